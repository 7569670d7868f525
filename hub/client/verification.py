"""What proves a submission: its case's event log, verified before anything is opened (FIT-Connect, sections 9.1 to 9.5).

For each token, in the order of the log:
(1) header: typ secevent+jwt, alg PS512, a kid;
(2) the key: the hub's own list if the hub is the issuer, the destination's key if a destination is, else nothing;
(3) the signature;
(4) claims: jti unique, integer iat, txn this case, exactly one event.
For this submission's events, together:
(5) they follow the state machine from the start, and exactly one submit event, by the hub, is among them;
(6) that event carries authentication tags, and they equal the fifth parts of what was received, part by part.

A log that fails (1) to (5) proves nothing and rejects nothing: the trouble lies with the hub or with the way to it, not with
the citizen. A difference in (6) is a problem of the submission.

What is pushed may be proven by its receipt instead, without a token: :func:`require_proof`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from hub.client import event_tokens
from hub.crypto import VerificationKey, verification_key, verify_receipt
from hub.errors import HubError, Malformed, SealBroken, Text, Unavailable
from hub.model import (
    EVENT_PREFIX,
    GENESIS,
    EventKind,
    Evidence,
    State,
    Subject,
    canonical_entry,
    chained_hash,
    hash_of,
    next_state,
)

_LONGEST_LOG = 10_000
#: By how much clocks may differ.
_SKEW = timedelta(minutes=5)
_PREFIX = "https://schema.fitko.de/fit-connect/events/problems/"
_OWN_PREFIX = "urn:rathaus-hub:rejection:"

#: Finds the public JWK of an issuer (the hub's address or a destination id) by its kid.
KeyFinder = Callable[[str, str], Mapping[str, Any]]

#: FIT-Connect's problem slugs, with their titles (section 9.6), and our own.
TITLES: Mapping[str, str] = {
    "attachments-mismatch": "Attachments mismatch",
    "encryption-issue": "Encryption issue",
    "hash-mismatch": "Hash mismatch",
    "incorrect-authentication-tag": "Incorrect authentication tag",
    "missing-attachment": "Missing attachment",
    "missing-authentication-tags": "Missing authentication tags",
    "missing-data": "Missing data",
    "missing-schema": "Missing schema",
    "schema-violation": "Schema violation",
    "size-limit-exceeded": "Size limit exceeded",
    "syntax-violation": "Syntax violation",
    "unsupported-schema": "Unsupported schema",
    "malware-found": "Malware found",
    "not-scannable": "Cannot be scanned for malware",
}
#: Of these FIT-Connect knows nothing.
_OWN = frozenset({"malware-found", "not-scannable"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One reason to turn a submission down. ``instance`` is metadata, data, submission or attachment:<id>.

    ``detail`` goes to the sender and into journals: it never repeats a value of the payload.
    """

    slug: str
    instance: str
    detail: str

    def __post_init__(self) -> None:
        if self.slug not in TITLES:
            raise ValueError(self.slug)

    def as_event(self) -> dict[str, str]:
        """Return the problem as it stands in a reject event."""
        return {
            "type": (_OWN_PREFIX if self.slug in _OWN else _PREFIX) + self.slug,
            "title": TITLES[self.slug],
            "detail": self.detail,
            "instance": self.instance,
        }


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
        if not _is_moment(claims.get("iat")) or not isinstance(event, dict) or len(event) != 1:
            raise _broken("enthält ein unvollständiges Ereignis", "holds an incomplete event")
        seen.add(jti)
        entries.append(claims)
    return entries


def submit_event(
    entries: Sequence[Mapping[str, Any]],
    message_id: UUID,
    issuers: frozenset[str],
    *,
    subject: Subject = Subject.SUBMISSION,
) -> Mapping[str, Any]:
    """Return the claims of this message's submit event (step 5); ``issuers`` are the names that the hub signs as.

    Raises:
        SealBroken: the events are out of order, or there is not exactly one submit event by the hub.
    """
    state: State | None = None
    submitted: list[Mapping[str, Any]] = []
    for claims in entries:
        if claims.get("sub") != f"{subject}:{message_id}":
            continue
        ((uri, payload),) = claims["events"].items()
        kind = _kind(uri, subject)
        state = _step(state, kind)
        if kind is EventKind.SUBMIT:
            if claims.get("iss") not in issuers or not isinstance(payload, dict):
                raise _broken("enthält eine Einreichung von fremder Hand", "holds a submit event by somebody else")
            submitted.append(claims)
    if len(submitted) != 1:
        raise _broken("enthält nicht genau eine Einreichung", "does not hold exactly one submit event")
    return submitted[0]


def state_of(entries: Sequence[Mapping[str, Any]], message_id: UUID, subject: Subject = Subject.SUBMISSION) -> State:
    """Return the state that the events of a message lead to.

    Raises:
        SealBroken: they are out of order, or there are none.
    """
    state: State | None = None
    for claims in entries:
        if claims.get("sub") == f"{subject}:{message_id}":
            state = _step(state, _kind(next(iter(claims["events"])), subject))
    if state is None:
        raise _broken("enthält nichts über diese Einreichung", "holds nothing about this submission")
    return state


def differences(claims: Mapping[str, Any], received: Mapping[str, Any]) -> list[Problem]:
    """Return how the tags in a submit event differ from those ``received`` (step 6; both as ``authenticationTags``)."""
    (payload,) = claims["events"].values()
    announced = payload.get("authenticationTags")
    if not isinstance(announced, dict):
        return [_problem("missing-authentication-tags", "submission", "The submit event has no tags.")]
    problems = [
        _problem("incorrect-authentication-tag", name, f"The tag of {name} differs from the submit event.")
        for name in ("metadata", "data")
        if announced.get(name) != received.get(name)
    ]
    listed, held = announced.get("attachments") or {}, received.get("attachments", {})
    if not isinstance(listed, dict) or set(listed) != set(held):
        problems.append(_problem("attachments-mismatch", "submission", "The submit event names other attachments."))
        return problems
    problems += [
        _problem("incorrect-authentication-tag", f"attachment:{name}", "The tag differs from the submit event.")
        for name in held
        if listed[name] != held[name]
    ]
    return problems


def tags_of(metadata: str, data: str | None, attachments: Mapping[UUID, str]) -> dict[str, Any]:
    """Return ``authenticationTags`` of compact JWEs; of attachments the tags alone are given."""
    tags: dict[str, Any] = {"metadata": metadata.rpartition(".")[2]}
    if data is not None:
        tags["data"] = data.rpartition(".")[2]
    if attachments:
        tags["attachments"] = {str(one): tag for one, tag in attachments.items()}
    return tags


def find_event(entries: Sequence[Mapping[str, Any]], submission_id: UUID, kinds: frozenset[EventKind]) -> str | None:
    """Return the jti of the first event of these kinds about the submission, or None."""
    for claims in entries:
        if claims.get("sub") == f"submission:{submission_id}" and _kind(next(iter(claims["events"]))) in kinds:
            return str(claims["jti"])
    return None


def no_such_key(issuer: str) -> Unavailable:
    """Say that an issuer's key is not published (yet)."""
    return Unavailable(
        Text(
            f"Ein Schlüssel des Ausstellers {issuer} ist nicht veröffentlicht. Es wird erneut versucht.",
            f"A key of issuer {issuer} is not published. It will be tried again.",
        )
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedPart:
    """A sealed part as it was received: its JWE's fifth part, and digest and size of the bytes that lie here."""

    tag: str
    sha512: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """A pushed submission as its receiver has it. ``parts`` by name: metadata, data, attachment:<id>."""

    submission_id: UUID
    case_id: UUID
    destination_id: UUID
    service: str
    parts: Mapping[str, ReceivedPart]


def require_proof(
    evidence: Evidence, received: Received, *, jwks: Mapping[str, Any], issuers: frozenset[str], now: datetime
) -> datetime:
    """Require a receipt, and the log's entries that it names the end of, to prove what was received; return when it was taken.

    In this order:
    (1) the receipt: its header, a key of the hub's list ``jwks`` (not one of the receipt's own), the time in which that key
        was used, the signature, the version;
    (2) what it says: the hub (``issuers``), this submission, case, destination and service, a time not more than five
        minutes ahead of ``now``, sealed as JWE;
    (3) the entries: each unambiguous JSON, numbered without a gap, hashed as received behind ``previous`` up to the end that
        the receipt names; of this case, no id twice; exactly one submit event of this submission, the hub's, and it is last;
    (4) the parts: the same names, digests, sizes and tags in receipt, submit event and what lies here.

    Raises:
        SealBroken: something does not hold (``invalid-receipt``). That rejects nothing: the case's signed log, collected from
            the hub, is the stronger proof, and decides.
        KeyRefused: the key that the receipt names is no Ed25519 key.
    """
    claims = verify_receipt(evidence.receipt, jwks)
    taken = _require_claims(claims, received, issuers, now)
    submitted = _require_run(evidence, claims, issuers)
    _require_parts(claims, submitted, received.parts)
    return taken


def _require_claims(claims: Mapping[str, Any], received: Received, issuers: frozenset[str], now: datetime) -> datetime:
    destination = claims.get("destination")
    named = {
        "iss": claims.get("iss") in issuers,
        "sub": claims.get("sub") == f"submission:{received.submission_id}",
        "txn": claims.get("txn") == f"case:{received.case_id}",
        "destination": isinstance(destination, dict)
        and destination.get("destinationId") == str(received.destination_id),
        "publicService": claims.get("publicService") == received.service,
        "sealedAs": "sealedAs" not in claims,
    }
    for name, fits in named.items():
        if not fits:
            raise _unproven(f"nennt in {name} etwas anderes", f"says something else in {name}")
    taken = _moment(claims.get("acceptedAt"))
    if taken > now + _SKEW:
        raise _unproven("nennt eine Zeit, die noch kommt", "says a time that is yet to come")
    return taken


def _moment(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as exc:
        raise _unproven("nennt keine Zeit", "says no time") from exc
    if moment.tzinfo is None:
        raise _unproven("nennt keine Zeit", "says no time")
    return moment


def _require_run(evidence: Evidence, claims: Mapping[str, Any], issuers: frozenset[str]) -> Mapping[str, Any]:
    """Return the entry of the submit event, once the entries hold together and end where the receipt says."""
    end = claims.get("eventLog")
    head, jtis, entry = evidence.previous, set[str](), dict[str, Any]()
    if not isinstance(end, dict) or not _is_hash(head) or not 0 < len(evidence.entries) <= _LONGEST_LOG:
        raise _unproven("kommt ohne brauchbaren Auszug des Protokolls", "comes without a usable part of the log")
    first = None
    for number, text in enumerate(evidence.entries):
        entry = _entry(text)
        seq, said = entry.get("seq"), entry.get("claims")
        if not isinstance(seq, int) or isinstance(seq, bool) or not isinstance(said, dict):
            raise _unproven("kommt mit einem unlesbaren Eintrag", "comes with an unreadable entry")
        first = seq if first is None else first
        jti = said.get("jti")
        if seq != first + number or not isinstance(jti, str) or jti in jtis or said.get("txn") != claims["txn"]:
            raise _unproven("kommt mit einem Auszug, der Lücken hat", "comes with a part of the log that has gaps")
        jtis.add(jti)
        head = chained_hash(head, text.encode("utf-8"))
        _require_place(said, claims, issuers, last=number == len(evidence.entries) - 1)
    if (first == 1) != (evidence.previous == GENESIS) or (end.get("seq"), end.get("hash")) != (entry["seq"], head):
        raise _unproven("nennt ein anderes Ende des Protokolls", "names another end of the log")
    return entry


def _require_place(said: Mapping[str, Any], claims: Mapping[str, Any], issuers: frozenset[str], *, last: bool) -> None:
    """Require the hub's submit event of this submission to be the last entry, and no entry before it to be one."""
    events = said.get("events")
    uri = next(iter(events)) if isinstance(events, dict) and len(events) == 1 else ""
    submits = said.get("sub") == claims["sub"] and _kind(uri) is EventKind.SUBMIT
    if submits is not last or (last and said.get("iss") not in issuers):
        raise _unproven("endet nicht mit der einen Einreichung", "does not end with the one submission")


def _require_parts(claims: Mapping[str, Any], entry: Mapping[str, Any], parts: Mapping[str, ReceivedPart]) -> None:
    contents, digests = claims.get("contents"), entry.get("digests")
    (payload,) = entry["claims"]["events"].values()
    tags = payload.get("authenticationTags") if isinstance(payload, dict) else None
    if not isinstance(contents, dict) or not isinstance(digests, dict) or not isinstance(tags, dict):
        raise _unproven("nennt keine Teile", "names no parts")
    if not set(contents) == set(digests) == set(parts):
        raise _unproven("nennt andere Teile", "names other parts")
    for name, part in parts.items():
        proven = {"sha512": part.sha512, "size": part.size, "authenticationTag": part.tag}
        named = contents[name] if isinstance(contents[name], dict) else {}
        # What a later release says of a part besides is passed over.
        fits = all(named.get(each) == value for each, value in proven.items())
        if not fits or digests[name] != part.sha512 or _tag(tags, name) != part.tag:
            raise _unproven(f"gilt nicht für den Teil {name}", f"is not about the part {name}")


def _tag(tags: Mapping[str, Any], name: str) -> Any:
    """Return the tag of a part that ``authenticationTags`` name."""
    kind, _, attachment_id = name.partition(":")
    if not attachment_id:
        return tags.get(kind)
    attachments = tags.get("attachments")
    return attachments.get(attachment_id) if isinstance(attachments, dict) else None


def _entry(text: str) -> dict[str, Any]:
    """Return an entry; ``SealBroken`` where it is no JSON object, or one that two readers would read differently."""
    try:
        entry = orjson.loads(text)
        same = isinstance(entry, dict) and canonical_entry(entry) == text.encode("utf-8")
    except (ValueError, TypeError) as exc:
        raise _unproven("kommt mit einem unlesbaren Eintrag", "comes with an unreadable entry") from exc
    if not same:
        raise _unproven("kommt mit einem mehrdeutigen Eintrag", "comes with an ambiguous entry")
    return dict(entry)


def _is_hash(text: str) -> bool:
    try:
        return hash_of(text) == text
    except ValueError:
        return False


def _unproven(de: str, en: str) -> SealBroken:
    return SealBroken(
        Text(
            f"Die Eingangsbestätigung {de}; sie beweist diese Zustellung nicht.",
            f"The receipt {en}; it does not prove this delivery.",
        ),
        slug="invalid-receipt",
    )


def _claims(token: str, keys: dict[tuple[str, str], VerificationKey], find_key: KeyFinder) -> Mapping[str, Any]:
    try:
        found = event_tokens.read(token)
    except Malformed as exc:
        raise _broken("enthält ein unlesbares Token", "holds an unreadable token") from exc
    # The issuer is read before the signature is verified only to choose the key that then verifies it.
    issuer = found.claims.get("iss")
    if not isinstance(issuer, str):
        raise _broken("enthält ein Token ohne Aussteller", "holds a token without an issuer")
    name = (issuer, found.kid)
    if name not in keys:
        # Trust in these keys comes from the configured address that they were read from, not from a certificate inside.
        keys[name] = verification_key(find_key(*name))
    event_tokens.verify(token, keys[name])
    return found.claims


def _is_moment(value: Any) -> bool:
    """Whether a value is a time in whole seconds that the calendar has (RFC 7519, NumericDate)."""
    return isinstance(value, int) and 0 <= value <= event_tokens.LATEST


def _step(state: State | None, kind: EventKind | None) -> State:
    if kind is None:
        raise _broken("enthält ein unbekanntes Ereignis", "holds an unknown event")
    try:
        return next_state(state, kind)
    except HubError as exc:
        raise _broken("ist nicht in der richtigen Reihenfolge", "is out of order") from exc


def _kind(uri: str, wanted: Subject = Subject.SUBMISSION) -> EventKind | None:
    name, _dash, subject = uri.removeprefix(EVENT_PREFIX).partition("-")
    known = uri.startswith(EVENT_PREFIX) and subject == wanted and name in set(EventKind)
    return EventKind(name) if known else None


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
