"""Event tokens: the one reader and the one writer (RFC 8417; FIT-Connect, sections 9.1 and 9.2).

A token is read strictly before anybody believes it: as a compact JWS of the profile whose payload is one unambiguous JSON
object (:func:`read`), then, where its claims count, claim by claim (:func:`read_token`). Whoever reads the log of another
service takes the first alone, because that may write events that nobody here knows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from hub.crypto import SigningKey, VerificationKey, base64url, read_jws_header, sign_ps512, verify_ps512
from hub.errors import Invalid, Malformed, SealBroken, Text
from hub.model import EVENT_PREFIX, HOUSE_PREFIX, Event, EventKind, Subject

#: ``typ`` of an event token (RFC 8417 section 2.2).
TOKEN_TYPE = "secevent+jwt"  # noqa: S105  # A media type, not a secret.

_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SCHEMA = re.compile(r"https://schema\.fitko\.de/fit-connect/set-payload/1\.\d{1,4}\.\d{1,4}/set-payload\.schema\.json")
_EVENT = re.compile(rf"{re.escape(EVENT_PREFIX)}([a-z]{{1,20}})-(submission|reply)")
#: FIT-Connect's earliest ``iat``: 1 January 2020, German time.
_EARLIEST = 1_577_833_200
#: The last second that the calendar has: 31 December 9999.
LATEST = 253_402_300_799


@dataclass(frozen=True, kw_only=True, slots=True)
class EventToken:
    """The claims in a token and the key that it names; nothing of it is proven before :func:`verify`."""

    kid: str
    claims: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """What a token claims; nothing of it is proven before its signature is.

    ``bare``: an old token, without ``$schema`` and therefore with an empty payload (FIT-Connect, section 9.1).
    """

    token: str = field(repr=False)
    kid: str
    jti: UUID
    issuer: str
    issued_at: datetime
    subject: Subject
    subject_id: UUID
    case_id: UUID
    kind: EventKind
    payload: Mapping[str, Any] = field(repr=False)
    bare: bool = False


def sign(key: SigningKey, event: Event) -> str:
    """Return the compact token that says what ``event`` does; ``KeyRefused`` if ``key`` is no RSA key."""
    return sign_ps512(key, orjson.dumps(event.claims()), typ=TOKEN_TYPE)


def verify(token: str, key: VerificationKey) -> None:
    """Require ``key`` to have signed ``token``; raise ``SealBroken`` or, for a key of another kind, ``KeyRefused``."""
    verify_ps512(token, key, typ=TOKEN_TYPE)


def read(token: str) -> EventToken:
    """Return ``token`` with its claims.

    Raises:
        TooLarge: the token or its header is oversized.
        SealBroken: no strict compact JWS of type ``secevent+jwt`` with PS512 and a ``kid``.
        Malformed: its payload is not one JSON object.
    """
    header = read_jws_header(token)
    if header.alg != "PS512" or header.typ != TOKEN_TYPE:
        raise SealBroken(
            Text(
                f"Der Header des Ereignisses muss alg PS512, typ {TOKEN_TYPE} und kid nennen.",
                f"The event's header must name alg PS512, typ {TOKEN_TYPE} and kid.",
            )
        )
    return EventToken(kid=header.kid, claims=_claims(token))


def read_house_token(token: str, kind: EventKind) -> Claimed:
    """Return what a token of one of the house's own kinds claims; errors as :func:`read_token`, also for another kind."""
    return _read(token, kind)


def read_token(token: str) -> Claimed:
    """Return what ``token`` claims, of FIT-Connect's kinds.

    Raises:
        TooLarge, SealBroken, Malformed: as :func:`read`.
        Invalid: a claim is missing or of the wrong form; ``issue`` names it.
    """
    return _read(token, None)


def _read(token: str, house: EventKind | None) -> Claimed:
    found = read(token)
    claims = found.claims
    _require_schema(claims)
    kind, subject, payload = _event(claims, house)
    spoken_of, subject_id = _subject(claims)
    if subject is None:
        subject = spoken_of
    if spoken_of is not subject:
        raise invalid_claim("sub", "passt nicht zum Ereignis", "does not fit the event")
    return Claimed(
        token=token,
        kid=found.kid,
        jti=_uuid(claims.get("jti"), "jti"),
        issuer=_text(claims, "iss"),
        issued_at=_moment(claims.get("iat")),
        subject=subject,
        subject_id=subject_id,
        case_id=_uuid(_after(claims, "txn", "case:"), "txn"),
        kind=kind,
        payload=payload,
        bare="$schema" not in claims and not payload,
    )


def _claims(token: str) -> dict[str, Any]:
    payload = base64url.decode(token.split(".")[1].encode("ascii", "replace"), part="payload")
    try:
        # The first reader refuses what is no UTF-8, half a surrogate pair or bottomless; the second sees repeated names.
        orjson.loads(payload)
        claims = json.loads(payload, object_pairs_hook=_unique)
        # Written and read once more, so that the log's hash is over the very value that the store gives back.
        claims = orjson.loads(orjson.dumps(claims))
    except (ValueError, RecursionError, TypeError) as exc:
        raise _unreadable() from exc
    if not isinstance(claims, dict):
        raise _unreadable()
    return claims


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is repeated")
    return members


def _require_schema(claims: Mapping[str, Any]) -> None:
    """Accept every 1.x; old tokens without a payload leave it out."""
    schema = claims.get("$schema")
    if "$schema" in claims and not (isinstance(schema, str) and _SCHEMA.fullmatch(schema)):
        raise invalid_claim("$schema", "ist kein Schema set-payload 1.x", "is no schema set-payload 1.x")


def _event(claims: Mapping[str, Any], house: EventKind | None) -> tuple[EventKind, Subject | None, Mapping[str, Any]]:
    """Return kind, subject (None: a house event names none) and payload of the one event."""
    events = claims.get("events")
    if not isinstance(events, dict) or len(events) != 1:
        raise invalid_claim("events", "muss genau ein Ereignis enthalten", "must hold exactly one event")
    uri, payload = next(iter(events.items()))
    if house is not None and uri == f"{HOUSE_PREFIX}{house}" and isinstance(payload, dict):
        return house, None, payload
    found = None if house is not None else _EVENT.fullmatch(uri)
    if found is None or found[1] not in set(EventKind) or not isinstance(payload, dict):
        raise invalid_claim(
            "events", "nennt ein unbekanntes Ereignis oder keinen Inhalt", "names an unknown event or no payload"
        )
    return EventKind(found[1]), Subject(found[2]), payload


def _subject(claims: Mapping[str, Any]) -> tuple[Subject, UUID]:
    kind, _, identifier = _text(claims, "sub").partition(":")
    if kind not in set(Subject):
        raise invalid_claim("sub", "muss mit submission: oder reply: beginnen", "must begin with submission: or reply:")
    return Subject(kind), _uuid(identifier, "sub")


def _after(claims: Mapping[str, Any], name: str, prefix: str) -> str:
    value = _text(claims, name)
    if not value.startswith(prefix):
        raise invalid_claim(name, f"muss mit {prefix} beginnen", f"must begin with {prefix}")
    return value.removeprefix(prefix)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise invalid_claim(name, "fehlt oder ist kein Text", "is missing or no text")
    return value


def _uuid(value: Any, name: str) -> UUID:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise invalid_claim(name, "enthält keine UUID", "holds no UUID")
    return UUID(value)


def _moment(value: Any) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool) or not _EARLIEST <= value <= LATEST:
        raise invalid_claim(
            "iat", "muss eine ganze Zahl von Sekunden seit 1970 sein", "must be a whole number of seconds since 1970"
        )
    return datetime.fromtimestamp(value, UTC)


def _unreadable() -> Malformed:
    return Malformed(
        Text(
            "Der Inhalt des Ereignisses ist kein eindeutiges JSON-Objekt.",
            "The event's payload is no unambiguous JSON object.",
        )
    )


def invalid_claim(claim: str, de: str, en: str) -> Invalid:
    """Return the refusal of a token's claim; the texts go on behind its name, without a full stop."""
    return Invalid(
        Text(f"Die Angabe {claim} {de}.", f"Claim {claim} {en}."), slug="invalid-event", issue={"claim": claim}
    )
