"""The case's event log: kinds, claims, hash chain and the state machine. Pure.

Events are Security Event Tokens (RFC 8417) in FIT-Connect's profile (sections 9.1-9.3 of its wire): PS512, exactly one event,
``iss`` the hub's base URL or a destination id. The chain covers what a token says (and, for a token that somebody else
signed, its bytes), not the hub's own signature: PS512 is randomised and the hub signs late.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar
from uuid import UUID

import orjson

from hub.errors import Text, state_forbids
from hub.model.submission import State, random_id

#: What a hub-written token names as its payload schema (every 1.x is accepted from others).
SET_SCHEMA = "https://schema.fitko.de/fit-connect/set-payload/1.2.2/set-payload.schema.json"
EVENT_PREFIX = "https://schema.fitko.de/fit-connect/events/"
#: Events of the house's own kinds: chained and proven as all, and in none of FIT-Connect's lists.
HOUSE_PREFIX = "urn:rathaus-hub:events:"
#: Why the hub rejects what its receiver can never open: a problem as an event's payload states it.
RECEIVER_LOST_KEY: Mapping[str, str] = {
    "type": f"{EVENT_PREFIX}problems/encryption-issue",
    "title": "Receiver lost its key",
    "detail": (
        "Der Empfänger hat den Schlüssel verloren, für den verschlüsselt wurde. Bitte neu einreichen, mit neuem "
        "Idempotency-Key. / The receiver lost the key that this was sealed to. Submit it anew, with a new Idempotency-Key."
    ),
    "instance": "metadata",
}


class Subject(StrEnum):
    """What an event speaks of."""

    SUBMISSION = "submission"
    REPLY = "reply"


class EventKind(StrEnum):
    """What happened; with the subject it makes the event URI, e.g. ``…/events/submit-submission``."""

    #: Announced (hub).
    CREATE = "create"
    #: Complete and stored for good (hub).
    SUBMIT = "submit"
    #: The receiver was told of it, or got it (hub).
    NOTIFY = "notify"
    #: An intermediate system took it over (receiver, API v1 only).
    FORWARD = "forward"
    #: Taken over by the receiver.
    ACCEPT = "accept"
    #: Turned down by the receiver, or by the hub on timeout.
    REJECT = "reject"
    #: Contents deleted (hub).
    DELETE = "delete"
    #: An AI system took part (receiver); a house event.
    AI_STEP = "ai-step"
    #: Handed on to another authority, where a new case goes on (hub); a house event.
    FORWARDED_TO = "forwarded-to"
    #: Goes on with a case that another authority had (hub); a house event.
    FORWARDED_FROM = "forwarded-from"


#: Allowed transitions: (state before, event) -> state after. Whatever is missing here is a 409.
TRANSITIONS: Mapping[tuple[State | None, EventKind], State] = {
    (None, EventKind.CREATE): State.INCOMPLETE,
    (State.INCOMPLETE, EventKind.SUBMIT): State.SUBMITTED,
    (State.INCOMPLETE, EventKind.DELETE): State.DELETED,
    (State.SUBMITTED, EventKind.NOTIFY): State.SUBMITTED,
    (State.SUBMITTED, EventKind.FORWARD): State.FORWARDED,
    (State.SUBMITTED, EventKind.ACCEPT): State.ACCEPTED,
    (State.SUBMITTED, EventKind.REJECT): State.REJECTED,
    (State.FORWARDED, EventKind.NOTIFY): State.FORWARDED,
    (State.FORWARDED, EventKind.ACCEPT): State.ACCEPTED,
    (State.FORWARDED, EventKind.REJECT): State.REJECTED,
    (State.SUBMITTED, EventKind.AI_STEP): State.SUBMITTED,
    (State.FORWARDED, EventKind.AI_STEP): State.FORWARDED,
    (State.ACCEPTED, EventKind.AI_STEP): State.ACCEPTED,
    (State.INCOMPLETE, EventKind.FORWARDED_FROM): State.INCOMPLETE,
    (State.SUBMITTED, EventKind.FORWARDED_TO): State.SUBMITTED,
    (State.FORWARDED, EventKind.FORWARDED_TO): State.FORWARDED,
    (State.ACCEPTED, EventKind.FORWARDED_TO): State.ACCEPTED,
    # The next authority has all of it by then; that nobody answered here in time, before the last word, changes nothing.
    (State.REJECTED, EventKind.FORWARDED_TO): State.REJECTED,
    (State.ACCEPTED, EventKind.DELETE): State.DELETED,
    (State.REJECTED, EventKind.DELETE): State.DELETED,
}

#: What a receiving client may write; everything else is the hub's.
RECEIVER_MAY_WRITE = frozenset({EventKind.FORWARD, EventKind.ACCEPT, EventKind.REJECT})

#: Kinds that FIT-Connect does not know.
HOUSE_KINDS = frozenset({EventKind.AI_STEP, EventKind.FORWARDED_TO, EventKind.FORWARDED_FROM})

#: What a receiver's last word on a message is.
ANSWERS = frozenset({EventKind.ACCEPT, EventKind.REJECT})

#: The chain's value before a case's first event.
GENESIS = "0" * 64
_HASH = re.compile(r"[0-9a-f]{64}")

T = TypeVar("T")


def hash_of(text: object) -> str:
    """Return what is stored as a chain's hash: SHA-256 in lower-case hexadecimal; raise ``ValueError`` for anything else."""
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        raise ValueError("no hash")
    return text


def canonical_entry(entry: Mapping[str, Any]) -> bytes:
    """Return an entry of a log in the one form that is hashed: JSON in UTF-8, names sorted, no white space."""
    return orjson.dumps(dict(entry), option=orjson.OPT_SORT_KEYS)


def chained_hash(previous: str, entry: bytes) -> str:
    """Return the hash of an entry's bytes behind an entry with the hash ``previous`` (both lower-case hexadecimal)."""
    return hashlib.sha256(bytes.fromhex(previous) + entry).hexdigest()


def event_uri(kind: EventKind, subject: Subject) -> str:
    """Return the name of an event in a token; a house event is of its case, whatever it speaks of."""
    return f"{HOUSE_PREFIX}{kind}" if kind in HOUSE_KINDS else f"{EVENT_PREFIX}{kind}-{subject}"


def next_state(state: State | None, kind: EventKind) -> State:
    """Return the state after ``kind``; raise :class:`Conflict` where the state machine has no such step."""
    try:
        return TRANSITIONS[state, kind]
    except KeyError:
        now = state or "unbekannt"
        raise state_forbids(
            Text(f"Das Ereignis {kind} passt nicht zum Zustand {now}.", f"Event {kind} does not fit state {now}."),
            Text(
                "Rufen Sie das Ereignisprotokoll ab und prüfen Sie den Stand.",
                "Read the event log and check where the case stands.",
            ),
        ) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One entry of a case's log.

    ``issuer`` is the hub's base URL for its own tokens, else a destination or client id; ``by_hub`` tells which. ``jws`` is
    the compact token: given for foreign events, absent for the hub's own until they are signed. ``digests`` maps stored part
    names to the SHA-512 of their JWE and stands in the chain at submit. ``hash`` = SHA-256 over the previous entry's hash and
    this entry (lower-case hex).
    """

    case_id: UUID
    seq: int
    jti: UUID
    subject: Subject
    subject_id: UUID
    kind: EventKind
    issuer: str
    by_hub: bool
    issued_at: datetime
    payload: Mapping[str, Any] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)
    jws: str | None = field(default=None, repr=False)
    previous: str = GENESIS
    hash: str = ""

    def claims(self) -> dict[str, Any]:
        """Return the token's claims (RFC 8417; whole seconds, exactly one event)."""
        return {
            "$schema": SET_SCHEMA,
            "jti": str(self.jti),
            "iss": self.issuer,
            "iat": int(self.issued_at.timestamp()),
            "sub": f"{self.subject}:{self.subject_id}",
            "txn": f"case:{self.case_id}",
            "events": {event_uri(self.kind, self.subject): dict(self.payload)},
        }

    def entry_hash(self) -> str:
        """Compute what ``hash`` must be: SHA-256(previous || canonical JSON of the entry)."""
        return self.hash_at(self.seq, self.previous)

    def hash_at(self, seq: int, previous: str) -> str:
        """Compute :meth:`entry_hash` as if the entry stood at ``seq`` after an entry with the hash ``previous``."""
        return chained_hash(previous, canonical_entry(self._document(seq)))

    def entry(self) -> dict[str, Any]:
        """Return the entry as the chain covers it once it is :func:`canonical`; one that somebody else signed has ``jws``."""
        return self._document(self.seq)

    def _document(self, seq: int) -> dict[str, Any]:
        entry: dict[str, Any] = {"seq": seq, "claims": self.claims(), "digests": dict(self.digests)}
        if not self.by_hub:
            entry["jws"] = self.jws
        return entry


def own_event(
    kind: EventKind,
    *,
    case_id: UUID,
    subject: tuple[Subject, UUID],
    issuer: str,
    now: datetime,
    payload: Mapping[str, Any] | None = None,
    digests: Mapping[str, str] | None = None,
    jti: UUID | None = None,
) -> Event:
    """Return an event of the hub's own; the store numbers and chains it.

    ``subject`` is what happened to what; ``issuer`` the hub's base URL; ``jti`` where it may be made twice.
    """
    about, subject_id = subject
    return Event(
        case_id=case_id,
        seq=0,
        jti=jti or random_id(),
        subject=about,
        subject_id=subject_id,
        kind=kind,
        issuer=issuer,
        by_hub=True,
        issued_at=now,
        payload=payload or {},
        digests=digests or {},
    )


def chain(events: Iterable[Event], *, head: str = GENESIS, seq: int = 0) -> list[Event]:
    """Return ``events`` numbered on from ``seq`` and hash-chained on from ``head``."""
    linked: list[Event] = []
    for event in events:
        seq += 1
        entry_hash = event.hash_at(seq, head)
        linked.append(replace(event, seq=seq, previous=head, hash=entry_hash))
        head = entry_hash
    return linked


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside(Generic[T]):
    """Something that no log holds but a history shows. An ``attempt`` to deliver never comes after the answer to it."""

    at: datetime
    step: T
    attempt: bool = False


def history(log: Sequence[tuple[Event, T]], beside: Iterable[Beside[T]]) -> list[T]:
    """Return the steps of ``log`` in its own order, and what lies beside it where its time falls.

    The order of events is that of the log, never that of their times: a receiver's token tells whole seconds of another
    clock (RFC 7519, NumericDate), so it seems older than what the hub wrote in the same second.
    """
    shown: list[T] = []
    waiting = sorted(beside, key=lambda one: one.at)
    for event, step in log:
        until = _latest(event)
        answered = event.kind in ANSWERS
        later = []
        for one in waiting:
            if one.at < until or (answered and one.attempt):
                shown.append(one.step)
            else:
                later.append(one)
        waiting = later
        shown.append(step)
    return shown + [one.step for one in waiting]


def _latest(event: Event) -> datetime:
    """Return when an event happened at the latest, by its issuer's clock."""
    return event.issued_at if event.by_hub else event.issued_at.replace(microsecond=999_999)
