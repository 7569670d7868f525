"""What the store hands out and takes in, as frozen values. Times are aware UTC datetimes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias
from uuid import UUID

from hub.model import (
    GENESIS,
    Callback,
    Contents,
    DeadCause,
    Destination,
    Door,
    Event,
    Form,
    OutcomeKind,
    SchemaRef,
    Sealed,
    Service,
    Standing,
    State,
    Subject,
    Submission,
)


class DeliveryState(StrEnum):
    """Where a delivery stands."""

    #: Due, leased or waiting for its next attempt.
    QUEUED = "queued"
    #: The receiver has it.
    DELIVERED = "delivered"
    #: It lies in the mailbox until the receiver collects and answers.
    WAITING = "waiting"
    #: Given up; a person has to act.
    DEAD = "dead"


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """What an idempotency key stands for; the caller compares ``mac`` (of the request) in constant time.

    The rest is what stands on the cover of the submission that it was given for.
    """

    mac: str
    submission_id: UUID
    receipt: str
    service: str
    area: str | None
    schema_uri: str | None
    callback_url: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SentFilter:
    """Which of a sender's submissions are looked for; None: whichever.

    ``since`` (inclusive) and ``until`` (exclusive) bound when their cases began; ``services`` are all names of one;
    ``reference`` is what the sender calls it.
    """

    since: datetime | None = None
    until: datetime | None = None
    state: State | None = None
    services: Collection[str] | None = None
    reference: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredKey:
    """A destination's public key. ``use`` is ``wrapKey`` or ``verify``; ``jwk`` the public JWK (RFC 7517).

    One with ``retired_at`` is used for nothing new and kept for old seals and signatures.
    """

    kid: str
    use: str
    jwk: Mapping[str, Any]
    added_at: datetime
    retired_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A case: its parties and the head of its event log. ``tombstone`` is what remains after its log was dropped."""

    case_id: UUID
    destination_id: UUID
    sender: str
    seq: int
    head: str
    created_at: datetime
    last_event_at: datetime
    tombstone: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseHead:
    """The end of a case's chain, where the next event goes: its number and hash (0 and GENESIS for an empty log)."""

    case_id: UUID
    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredMessage:
    """A submission or reply as it lies in the store.

    ``contents`` is None until everything is uploaded and after deletion; ``uploaded`` holds the attachments so far. Lists
    come without both: read a single message for its contents. ``addressee`` is the client id of a reply's receiver.
    """

    kind: Subject
    id: UUID
    case_id: UUID
    destination_id: UUID
    sender: str
    addressee: str | None
    door: Door
    state: State
    service: Service
    area: str | None
    announced: tuple[UUID, ...]
    contents: Contents | None = field(repr=False)
    uploaded: Mapping[UUID, Sealed] = field(repr=False)
    form: Form
    schema: SchemaRef | None
    table_version: str | None
    callback: Callback | None
    receipt: str | None = field(repr=False)
    notices: int
    created_at: datetime
    submitted_at: datetime | None
    collected_at: datetime | None
    finished_at: datetime | None
    deleted_at: datetime | None

    def submission(self) -> Submission | None:
        """Return it as what is delivered; None while it is incomplete, after deletion, and of a message from a list."""
        if self.contents is None or self.submitted_at is None:
            return None
        return Submission(
            submission_id=self.id,
            case_id=self.case_id,
            destination_id=self.destination_id,
            sender=self.sender,
            door=self.door,
            service=self.service,
            area=self.area,
            contents=self.contents,
            submitted_at=self.submitted_at,
            schema=self.schema,
            table_version=self.table_version,
            callback=self.callback,
        )

    @property
    def ids(self) -> dict[str, str]:
        """The ids by which a line of the log speaks of it, as its members."""
        return ids_of(self)

    @property
    def callback_url(self) -> str | None:
        """Where the author wants news; the secret is for the outbox alone."""
        return None if self.callback is None else self.callback.url


@dataclass(frozen=True, kw_only=True, slots=True)
class Announcement:
    """A message to come. ``new_case``: the case begins with it; otherwise it must exist.

    ``opened_for`` is the client whose case it is, where that is not who writes: of what one authority hands on to another.
    """

    kind: Subject
    id: UUID
    case_id: UUID
    new_case: bool
    destination_id: UUID
    sender: str
    door: Door
    service: Service
    announced: tuple[UUID, ...]
    created_at: datetime
    area: str | None = None
    addressee: str | None = None
    callback: Callback | None = None
    opened_for: str | None = None

    @property
    def ids(self) -> dict[str, str]:
        """The ids by which a line of the log speaks of it, as its members."""
        return ids_of(self)


def ids_of(message: StoredMessage | Announcement) -> dict[str, str]:
    """Return the ids by which a line of the log speaks of a message: its own under the name of what it is."""
    return {
        message.kind.value: str(message.id),
        "case": str(message.case_id),
        "destination": str(message.destination_id),
        "service": message.service.identifier,
    }


#: Leases in a row that ran out, from which on a delivery is suspect: once is the fate of all that a dead worker held.
SUSPECT_LAPSES = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A leased delivery. Whoever holds ``fencing`` may record its attempt; after a lapse another number holds.

    ``attempt`` counts from 1; ``repeat`` says that an earlier attempt may have reached the receiver; ``lapses`` counts
    leases in a row that ran out (a delivery that kills its workers shows here). ``accepted_at`` starts the retry schedule: when
    accepted, or when last sent again by hand. ``circuit`` is how its destination's breaker stood then. ``receipt`` is the
    submission's, None where nobody needed one yet. ``run`` are the entries of its case's log from its create event to its
    submit event, as the store has them; None where they were not read, or one cannot be. ``known_as`` is how the receiver knows
    the delivery, where an earlier attempt kept that.
    """

    delivery_id: UUID
    submission: Submission
    destination: Destination
    node: str
    attempt: int
    repeat: bool
    fencing: int
    lapses: int
    accepted_at: datetime
    circuit: Standing = field(default_factory=Standing)
    receipt: str | None = field(default=None, repr=False)
    run: Sequence[Event] | None = field(default=None, repr=False)
    known_as: str | None = None

    @property
    def ids(self) -> dict[str, str | int]:
        """The ids by which a line of the log speaks of it, as its members."""
        return {
            "submission": str(self.submission.submission_id),
            "case": str(self.submission.case_id),
            "delivery": str(self.delivery_id),
            "destination": str(self.destination.destination_id),
            "service": self.submission.service.identifier,
            "attempt": self.attempt,
        }

    @property
    def suspect(self) -> bool:
        """Whether workers may have died of it: such ones are attempted one by one, so that they take no others along."""
        return self.lapses >= SUSPECT_LAPSES


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """One entry of a delivery's append-only history. ``proof`` is what the receiver signed about what it took."""

    n: int
    started_at: datetime
    ended_at: datetime
    outcome: OutcomeKind
    note: str
    node: str
    repeat: bool
    proof: bytes | None = field(repr=False, default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryView:
    """A delivery and its history."""

    delivery_id: UUID
    submission_id: UUID
    destination_id: UUID
    state: DeliveryState
    attempts: tuple[Attempt, ...]
    next_attempt_at: datetime | None
    cause: DeadCause | None
    accepted_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Circuit:
    """A destination's circuit breaker: consecutive failures, and until when nothing is claimed for it."""

    destination_id: UUID
    failures: int = 0
    open_until: datetime | None = None
    fault: str | None = None
    fault_since: datetime | None = None

    @property
    def standing(self) -> Standing:
        """The same without the destination, as the decision takes it."""
        return Standing(
            failures=self.failures, open_until=self.open_until, fault=self.fault, fault_since=self.fault_since
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """How many deliveries of a destination are in a state, and since when the oldest of them waits."""

    destination_id: UUID
    state: DeliveryState
    count: int
    oldest_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class OutgoingCallback:
    """A callback to send: ``party`` is the client or destination told, ``secret`` its encrypted HMAC key."""

    callback_id: UUID
    party: str
    url: str
    secret: str = field(repr=False)
    body: str = field(repr=False)
    created_at: datetime
    case_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackClaim:
    """A leased callback; ``attempt`` counts from 1."""

    callback: OutgoingCallback
    node: str
    attempt: int
    fencing: int

    @property
    def created_at(self) -> datetime:
        """Since when it is to be sent."""
        return self.callback.created_at


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackView:
    """A callback and what became of it."""

    callback: OutgoingCallback
    state: DeliveryState
    attempts: int
    note: str
    next_attempt_at: datetime | None
    finished_at: datetime | None


class NoticeKind(StrEnum):
    """What people are told of."""

    #: Submissions lie in a mailbox and nobody collects them.
    UNCOLLECTED = "uncollected"
    #: Pushed deliveries do not arrive.
    OVERDUE = "overdue"
    #: Pushed deliveries were given up.
    GIVEN_UP = "given-up"
    #: A callback was given up.
    CALLBACK_UNREACHABLE = "callback-unreachable"
    #: All that lies still for one contact, once a day.
    DIGEST = "digest"


@dataclass(frozen=True, kw_only=True, slots=True)
class Notice:
    """News for people. ``about`` is ``destination:ID`` or ``client:ID``; ``facts`` are ids, numbers and dates.

    ``recipient`` is a mail address; empty where nobody can be mailed: then the notice stands on the pages alone.
    """

    notice_id: UUID
    kind: NoticeKind
    about: str
    recipient: str = field(repr=False)
    facts: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeClaim:
    """A leased notice; ``attempt`` counts from 1."""

    notice: Notice
    node: str
    attempt: int
    fencing: int

    @property
    def created_at(self) -> datetime:
        """Since when it is to be sent."""
        return self.notice.created_at


@dataclass(frozen=True, kw_only=True, slots=True)
class NoticeView:
    """A notice and what became of its mail; ``WAITING`` means that there is none, it stands on the pages alone."""

    notice: Notice
    state: DeliveryState
    attempts: int
    note: str
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lagging:
    """How many submissions of a destination lag behind, and since when the oldest does."""

    destination_id: UUID
    number: int
    oldest_at: datetime


#: Makes the next events of a case from its head and the subject's state; pure, because it may be called again.
MakeEvents: TypeAlias = Callable[[CaseHead, State | None], Sequence[Event]]
#: The same once all contents are known.
MakeCompletion: TypeAlias = Callable[[CaseHead, Contents], Sequence[Event]]
