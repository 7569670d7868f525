"""Events that clients write: read strictly, judged, and added to the log.

Events that receivers write: accept, reject, forward (FIT-Connect, section 9.4).

Event tokens that clients write: read strictly, before anybody believes them (RFC 8417; FIT-Connect, section 9.1).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from hub.crypto import base64url, jws
from hub.crypto.keys import verification_key
from hub.errors import Forbidden, Invalid, Malformed, SealBroken, Text
from hub.fit_connect.sending import Profile
from hub.identity.access import case_not_found, insist_on_party, owns
from hub.identity.clients import Caller
from hub.model.events import EVENT_PREFIX, RECEIVER_MAY_WRITE, Event, EventKind, Subject, next_state
from hub.model.parties import Destination
from hub.model.submission import State
from hub.notifications.callbacks import CallbackWriter
from hub.proof.event_log import TOKEN_TYPE
from hub.store import CaseHead, Store, StoredMessage

_ID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SCHEMA = re.compile(r"https://schema\.fitko\.de/fit-connect/set-payload/1\.\d{1,4}\.\d{1,4}/set-payload\.schema\.json")
_EVENT = re.compile(rf"{re.escape(EVENT_PREFIX)}([a-z]{{1,20}})-(submission|reply)")
#: FIT-Connect's earliest ``iat``: 1 January 2020, German time.
_EARLIEST = 1_577_833_200
_LATEST = 253_402_300_799


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


def read_token(token: str) -> Claimed:
    """Return what ``token`` claims.

    Raises:
        TooLarge: the token or its header is oversized.
        SealBroken: no strict compact JWS of type ``secevent+jwt`` with PS512 and a ``kid``.
        Malformed: its payload is not one JSON object.
        Invalid: a claim is missing or of the wrong form; ``issue`` names it.
    """
    header = jws.read_jws_header(token)
    if header.alg != "PS512" or header.typ != TOKEN_TYPE or header.kid is None:
        raise SealBroken(
            Text(
                f"Der Header des Ereignisses muss alg PS512, typ {TOKEN_TYPE} und kid nennen.",
                f"The event's header must name alg PS512, typ {TOKEN_TYPE} and kid.",
            )
        )
    claims = _claims(token)
    _insist_on_schema(claims)
    kind, subject, payload = _event(claims)
    spoken_of, subject_id = _subject(claims)
    if spoken_of is not subject:
        raise _bad("sub", "passt nicht zum Ereignis", "does not fit the event")
    return Claimed(
        token=token,
        kid=header.kid,
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


def _insist_on_schema(claims: Mapping[str, Any]) -> None:
    """Accept every 1.x; old tokens without a payload leave it out."""
    schema = claims.get("$schema")
    if "$schema" in claims and not (isinstance(schema, str) and _SCHEMA.fullmatch(schema)):
        raise _bad("$schema", "ist kein Schema set-payload 1.x", "is no schema set-payload 1.x")


def _event(claims: Mapping[str, Any]) -> tuple[EventKind, Subject, Mapping[str, Any]]:
    events = claims.get("events")
    if not isinstance(events, dict) or len(events) != 1:
        raise _bad("events", "muss genau ein Ereignis enthalten", "must hold exactly one event")
    uri, payload = next(iter(events.items()))
    found = _EVENT.fullmatch(uri)
    if found is None or found[1] not in set(EventKind) or not isinstance(payload, dict):
        raise _bad(
            "events", "nennt ein unbekanntes Ereignis oder keinen Inhalt", "names an unknown event or no payload"
        )
    return EventKind(found[1]), Subject(found[2]), payload


def _subject(claims: Mapping[str, Any]) -> tuple[Subject, UUID]:
    kind, _, identifier = _text(claims, "sub").partition(":")
    if kind not in set(Subject):
        raise _bad("sub", "muss mit submission: oder reply: beginnen", "must begin with submission: or reply:")
    return Subject(kind), _uuid(identifier, "sub")


def _after(claims: Mapping[str, Any], name: str, prefix: str) -> str:
    value = _text(claims, name)
    if not value.startswith(prefix):
        raise _bad(name, f"muss mit {prefix} beginnen", f"must begin with {prefix}")
    return value.removeprefix(prefix)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise _bad(name, "fehlt oder ist kein Text", "is missing or no text")
    return value


def _uuid(value: Any, name: str) -> UUID:
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise _bad(name, "enthält keine UUID", "holds no UUID")
    return UUID(value)


def _moment(value: Any) -> datetime:
    if not isinstance(value, int) or isinstance(value, bool) or not _EARLIEST <= value <= _LATEST:
        raise _bad(
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


def _bad(claim: str, de: str, en: str) -> Invalid:
    return Invalid(
        Text(f"Die Angabe {claim} {de}.", f"Claim {claim} {en}."), slug="invalid-event", issue={"claim": claim}
    )


_MOST_PROBLEMS = 500


class Acknowledgement:
    """Takes receivers' events into the log of their case."""

    def __init__(self, *, store: Store, callback_writer: CallbackWriter) -> None:
        self._store = store
        self._callback_writer = callback_writer

    def post(self, case_id: UUID, token: str, *, caller: Caller, profile: Profile, now: datetime) -> None:
        """Judge ``token`` and append it to the log, byte for byte as it came.

        The checks, in order:

         1. the case exists, and the caller is one of its parties;
         2. the token is a strict compact JWS; its header names PS512, ``secevent+jwt`` and a key, and nothing forbidden;
         3. its payload is one JSON object; every claim has its form; ``$schema`` is a 1.x; there is exactly one event;
         4. ``txn`` is the case of the address; ``sub`` is a message of that case;
         5. the event is one that receivers write (forward in version 1 only, and of submissions only);
         6. ``iss`` is the receiving destination, and that belongs to the caller;
         7. the key that the header names is a key of that destination for ``verify``;
         8. the signature verifies;
         9. accept repeats the authentication tags of what is stored; reject lists problems; nothing else has a payload.
            In version 1 an old token, without ``$schema``, has no payload whatever it says (FIT-Connect, section 9.1);
        10. the step fits the state, and the ``jti`` is new (in the transaction that appends).

        Raises:
            NotFound: (1). Forbidden: (1), (5), (6). TooLarge, Malformed: (2), (3).
            SealBroken: (2), (7), (8). Invalid: (3), (4), (9); ``issue`` names the claim. Conflict: (10).
        """
        self._insist_on_case(case_id, caller)
        claimed = read_token(token)
        message = self._message(case_id, claimed)
        _insist_on_writer(claimed, profile)
        issuer = self._issuer(claimed, message, caller)
        self._verify(claimed, issuer)
        if not (claimed.bare and profile.takes_bare_events):
            _insist_on_payload(claimed, message)
        news = self._callback_writer.answered(message, now=now)
        self._store.event_log.append(case_id, message.id, _appending(claimed), callbacks=news)

    def _insist_on_case(self, case_id: UUID, caller: Caller) -> None:
        case = self._store.submissions.case(case_id)
        if case is None:
            raise case_not_found()
        insist_on_party(self._store, case, caller)

    def _message(self, case_id: UUID, claimed: Claimed) -> StoredMessage:
        if claimed.case_id != case_id:
            raise _unfit("txn", "ist nicht der Vorgang der Adresse", "is not the case of the address")
        message = self._store.submissions.message(claimed.subject_id, claimed.subject)
        if message is None or message.case_id != case_id:
            raise _unfit("sub", "gehört nicht zu diesem Vorgang", "does not belong to this case")
        return message

    def _issuer(self, claimed: Claimed, message: StoredMessage, caller: Caller) -> Destination:
        """Return the destination that signs: the case's own, or one of the caller's for a reply that it receives."""
        destination = self._store.parties.destination(_destination_id(claimed))
        if destination is None or not owns(caller, destination):
            raise _foreign_issuer()
        receives = message.addressee == caller.client_id
        if message.kind is Subject.REPLY and not receives:
            raise _foreign_issuer()
        if message.kind is Subject.SUBMISSION and destination.destination_id != message.destination_id:
            raise _foreign_issuer()
        return destination

    def _verify(self, claimed: Claimed, issuer: Destination) -> None:
        jwk = self._store.parties.usable_key(issuer.destination_id, claimed.kid)
        if jwk is None or jwk.get("key_ops") != ["verify"]:
            raise SealBroken(
                Text(
                    "Unter dieser kid hat der Zustellpunkt keinen gültigen Signaturschlüssel. Hinterlegen Sie ihn zuerst.",
                    "The destination has no valid signature key under this kid. Add the key first.",
                ),
                issue={"header": "kid"},
            )
        jws.verify_ps512(claimed.token, verification_key(jwk), typ=TOKEN_TYPE)


def _appending(claimed: Claimed) -> Any:
    def make(head: CaseHead, state: State | None) -> Sequence[Event]:
        next_state(state, claimed.kind)
        return (
            Event(
                case_id=head.case_id,
                seq=0,
                jti=claimed.jti,
                subject=claimed.subject,
                subject_id=claimed.subject_id,
                kind=claimed.kind,
                issuer=claimed.issuer,
                by_hub=False,
                issued_at=claimed.issued_at,
                payload=claimed.payload,
                jws=claimed.token,
            ),
        )

    return make


def _insist_on_writer(claimed: Claimed, profile: Profile) -> None:
    if claimed.kind in RECEIVER_MAY_WRITE and (claimed.kind is not EventKind.FORWARD or _forwards(claimed, profile)):
        return
    raise Forbidden(
        Text(
            f"Das Ereignis {claimed.kind}-{claimed.subject} schreiben Empfänger hier nicht; accept und reject sind möglich.",
            f"Receivers do not write event {claimed.kind}-{claimed.subject} here; accept and reject are possible.",
        ),
        issue={"claim": "events"},
    )


def _forwards(claimed: Claimed, profile: Profile) -> bool:
    return profile.may_forward and claimed.subject is Subject.SUBMISSION


def _destination_id(claimed: Claimed) -> UUID:
    try:
        destination_id = UUID(claimed.issuer)
    except ValueError as exc:
        raise _foreign_issuer() from exc
    if str(destination_id) != claimed.issuer.lower():
        raise _foreign_issuer()
    return destination_id


def _insist_on_payload(claimed: Claimed, message: StoredMessage) -> None:
    if claimed.kind is EventKind.ACCEPT:
        _insist_on_tags(claimed.payload.get("authenticationTags"), message)
    elif claimed.kind is EventKind.REJECT:
        _insist_on_problems(claimed.payload.get("problems"))


def _insist_on_tags(tags: Any, message: StoredMessage) -> None:
    """Compare tags; an empty group and a missing one mean the same."""
    if message.contents is None:
        return  # Nothing is stored to compare with, so the state machine refuses.
    given = tags if isinstance(tags, Mapping) else {}
    wanted = message.contents.authentication_tags()
    same = all(given.get(name) == wanted.get(name) for name in ("metadata", "data"))
    if not same or (given.get("attachments") or {}) != wanted.get("attachments", {}):
        raise _unfit(
            "authenticationTags",
            "stimmt nicht mit den gespeicherten Inhalten überein. Laden Sie die Einreichung neu und prüfen Sie sie",
            "does not agree with the stored contents. Download the submission again and check it",
        )


def _insist_on_problems(problems: Any) -> None:
    """Check the shape only: the list of problem types is open (FIT-Connect, section 9.6)."""
    shaped = isinstance(problems, list) and all(
        isinstance(problem, dict) and isinstance(problem.get("type"), str) for problem in problems
    )
    if not shaped or len(problems) > _MOST_PROBLEMS:
        raise _unfit(
            "problems",
            f"muss eine Liste von höchstens {_MOST_PROBLEMS} Problemen mit je einem type sein",
            f"must be a list of at most {_MOST_PROBLEMS} problems, each with a type",
        )


def _unfit(claim: str, de: str, en: str) -> Invalid:
    return Invalid(
        Text(f"Die Angabe {claim} {de}.", f"Claim {claim} {en}."), slug="invalid-event", issue={"claim": claim}
    )


def _foreign_issuer() -> Forbidden:
    return Forbidden(
        Text(
            "iss muss der empfangende Zustellpunkt sein, und er muss zu Ihrem Client gehören.",
            "iss must be the receiving destination, and it must belong to your client.",
        ),
        issue={"claim": "iss"},
    )
