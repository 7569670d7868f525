"""A case's event log at the connector: verified, and answered.

Verifying a case's event log before anything is opened (FIT-Connect, sections 9.1 to 9.5).

For each token, in the order of the log:
(1) header: typ secevent+jwt, alg PS512, a kid;
(2) the key: the hub's own list if the hub is the issuer, the destination's key if a destination is, else nothing;
(3) the signature;
(4) claims: jti unique, integer iat, txn this case, exactly one event.
For this submission's events, together:
(5) they follow the state machine from the start, and exactly one submit event, by the hub, is among them;
(6) that event carries authentication tags, and they equal the fifth parts of what was received, part by part.

A log that fails (1) to (5) proves nothing and rejects nothing: the submission is held, for the trouble lies with the
hub or with the way to it, not with the citizen. A difference in (6) is a problem of the submission.

The receiver's word in the case: accept-submission or reject-submission, signed with the destination's key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import orjson

from hub.connector.envelope import Envelope
from hub.connector.opening import Problem, Verdict
from hub.crypto import base64url
from hub.crypto.jose import read_jws_header, sign_ps512, verify_ps512
from hub.crypto.keys import SigningKey, VerificationKey, verification_key
from hub.errors import HubError, SealBroken, Text, Unavailable
from hub.model.events import EVENT_PREFIX, Event, EventKind, Subject, next_state
from hub.model.submission import State

TYP = "secevent+jwt"
_LONGEST_LOG = 10_000

#: Finds the public JWK of an issuer (the hub's address or a destination id) by its kid.
KeyFinder = Callable[[str, str], Mapping[str, Any]]


def read_log(log: Sequence[str], case_id: UUID, find_key: KeyFinder) -> list[Mapping[str, Any]]:
    """Verify every token of a log (steps 1 to 4); return the claims.

    Raises:
        SealBroken: a token does not verify or says something impossible.
        Unavailable: a key cannot be fetched now.
    """
    if len(log) > _LONGEST_LOG:
        raise _broken("ist zu lang", "is too long")
    keys: dict[tuple[str, str], VerificationKey] = {}
    seen: set[str] = set()
    entries = []
    for token in log:
        claims = _claims(token, keys, find_key)
        jti, event = claims.get("jti"), claims.get("events")
        if not isinstance(jti, str) or jti in seen or claims.get("txn") != f"case:{case_id}":
            raise _broken("nennt einen fremden Vorgang oder wiederholt sich", "names another case or repeats itself")
        if not isinstance(claims.get("iat"), int) or not isinstance(event, dict) or len(event) != 1:
            raise _broken("enthält ein unvollständiges Ereignis", "holds an incomplete event")
        seen.add(jti)
        entries.append(claims)
    return entries


def submit_event(
    entries: Sequence[Mapping[str, Any]], submission_id: UUID, issuers: frozenset[str]
) -> Mapping[str, Any]:
    """Return the claims of this submission's submit event (step 5); ``issuers`` are the names that the hub signs as.

    Raises:
        SealBroken: the events are out of order, or there is not exactly one submit event by the hub.
    """
    state: State | None = None
    submitted: list[Mapping[str, Any]] = []
    for claims in entries:
        if claims.get("sub") != f"submission:{submission_id}":
            continue
        ((uri, payload),) = claims["events"].items()
        kind = _kind(uri)
        state = _step(state, kind)
        if kind is EventKind.SUBMIT:
            if claims.get("iss") not in issuers or not isinstance(payload, dict):
                raise _broken("enthält eine Einreichung von fremder Hand", "holds a submit event by somebody else")
            submitted.append(claims)
    if len(submitted) != 1:
        raise _broken("enthält nicht genau eine Einreichung", "does not hold exactly one submit event")
    return submitted[0]


def _step(state: State | None, kind: EventKind | None) -> State:
    if kind is None:
        raise _broken("enthält ein unbekanntes Ereignis", "holds an unknown event")
    try:
        return next_state(state, kind)
    except HubError as exc:
        raise _broken("ist nicht in der richtigen Reihenfolge", "is out of order") from exc


def compare_tags(claims: Mapping[str, Any], envelope: Envelope) -> tuple[dict[str, Any], list[Problem]]:
    """Compare the submit event with what was received (step 6); return the received tags and what differs."""
    found = received_tags(envelope)
    (payload,) = claims["events"].values()
    told = payload.get("authenticationTags")
    if not isinstance(told, dict):
        return found, [_problem("missing-authentication-tags", "submission", "The submit event has no tags.")]
    problems = [
        _problem("incorrect-authentication-tag", name, f"The tag of {name} differs from the submit event.")
        for name in ("metadata", "data")
        if told.get(name) != found.get(name)
    ]
    listed, held = told.get("attachments") or {}, found.get("attachments", {})
    if not isinstance(listed, dict) or set(listed) != set(held):
        problems.append(_problem("attachments-mismatch", "submission", "The submit event names other attachments."))
        return found, problems
    problems += [
        _problem("incorrect-authentication-tag", f"attachment:{name}", "The tag differs from the submit event.")
        for name in held
        if listed[name] != held[name]
    ]
    return found, problems


def received_tags(envelope: Envelope) -> dict[str, Any]:
    """Return the fifth parts of what was received, as authenticationTags."""
    tags: dict[str, Any] = {"metadata": envelope.metadata.rpartition(".")[2]}
    if envelope.data is not None:
        tags["data"] = envelope.data.rpartition(".")[2]
    if envelope.attachments:
        tags["attachments"] = {str(one): _last_part(path) for one, path in envelope.attachments.items()}
    return tags


def find_event(entries: Sequence[Mapping[str, Any]], submission_id: UUID, kinds: frozenset[EventKind]) -> str | None:
    """Return the jti of the first event of these kinds about the submission, or None."""
    for claims in entries:
        if claims.get("sub") == f"submission:{submission_id}" and _kind(next(iter(claims["events"]))) in kinds:
            return str(claims["jti"])
    return None


def _claims(token: str, keys: dict[tuple[str, str], VerificationKey], find_key: KeyFinder) -> Mapping[str, Any]:
    header = read_jws_header(token)
    if header.typ != TYP or header.alg != "PS512" or header.kid is None:
        raise _broken("enthält ein Token falscher Art", "holds a token of the wrong kind")
    # The issuer is read before the signature is verified only to choose the key that then verifies it.
    issuer = _payload(token).get("iss")
    if not isinstance(issuer, str):
        raise _broken("enthält ein Token ohne Aussteller", "holds a token without an issuer")
    name = (issuer, header.kid)
    if name not in keys:
        # Trust in these keys comes from the configured address that they were read from, not from a certificate inside.
        keys[name] = verification_key(find_key(*name))
    claims = orjson.loads(verify_ps512(token, keys[name], typ=TYP))
    if not isinstance(claims, dict):
        raise _broken("enthält ein unlesbares Token", "holds an unreadable token")
    return claims


def _payload(token: str) -> Mapping[str, Any]:
    try:
        claims = orjson.loads(base64url.decode(token.split(".")[1].encode("ascii", "replace"), part="payload"))
    except orjson.JSONDecodeError as exc:
        raise _broken("enthält ein unlesbares Token", "holds an unreadable token") from exc
    return claims if isinstance(claims, dict) else {}


def _kind(uri: str) -> EventKind | None:
    name, _dash, subject = uri.removeprefix(EVENT_PREFIX).partition("-")
    known = uri.startswith(EVENT_PREFIX) and subject == "submission" and name in set(EventKind)
    return EventKind(name) if known else None


def _last_part(path: Path) -> str:
    """Return a compact JWE's fifth part without reading the file whole."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - 64))
        return file.read().decode("ascii", "replace").rpartition(".")[2]


def _problem(slug: str, instance: str, detail: str) -> Problem:
    return Problem(slug=slug, instance=instance, detail=detail)


def _broken(de: str, en: str) -> SealBroken:
    return SealBroken(
        Text(
            f"Das Ereignisprotokoll {de}. Fragen Sie den Betreiber des Hubs; bis dahin bleibt die Einreichung liegen.",
            f"The event log {en}. Ask the hub's operator; until then the submission is held.",
        ),
        slug="invalid-event-log",
    )


def no_such_key(issuer: str) -> Unavailable:
    """Say that an issuer's key is not published (yet)."""
    return Unavailable(
        Text(
            f"Ein Schlüssel des Ausstellers {issuer} ist nicht veröffentlicht. Es wird erneut versucht.",
            f"A key of issuer {issuer} is not published. It will be tried again.",
        )
    )


def sign_answer(
    verdict: Verdict,
    *,
    submission_id: UUID,
    case_id: UUID,
    destination_id: UUID,
    key: SigningKey,
    accept: bool,
    now: datetime,
) -> tuple[UUID, str]:
    """Return the id and the compact token of the answer (FIT-Connect, sections 9.1, 9.2 and 9.6)."""
    payload: Mapping[str, Any] = (
        {"authenticationTags": dict(verdict.tags)}
        if accept
        else {"problems": [problem.as_event() for problem in verdict.problems]}
    )
    event = Event(
        case_id=case_id,
        seq=0,
        jti=uuid4(),
        subject=Subject.SUBMISSION,
        subject_id=submission_id,
        kind=EventKind.ACCEPT if accept else EventKind.REJECT,
        issuer=str(destination_id),
        by_hub=False,
        issued_at=now,
        payload=payload,
    )
    return event.jti, sign_ps512(key, orjson.dumps(event.claims()), typ=TYP)
