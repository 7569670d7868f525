"""What the plain door writes in one transaction: an application with its case, or a later one in a case that there is.

The row of the idempotency key is the gate: nothing of a repeated request passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self, TypeAlias
from uuid import UUID

from sqlalchemy import Connection, exists, select, tuple_
from sqlalchemy.exc import IntegrityError

from hub.errors import Conflict, Refused, Text, already_exists, not_found
from hub.model import GENESIS, Event, EventKind, State, Subject, Submission
from hub.observability.crashes import reach
from hub.store import tables
from hub.store.database import micros, reads
from hub.store.deliveries import delivery_row, quarantined_row
from hub.store.engine import names_unknown
from hub.store.event_log import advance, event_row, insert_events, lock_case, move_heads, require_kept
from hub.store.outboxes import write_callbacks
from hub.store.records import CaseHead, OutgoingCallback, Remembered
from hub.store.rows import sealed_row, submitted_row
from hub.store.statements import Insert, Lookup
from hub.store.writer import Joint, nothing_written

_MESSAGES = tables.messages
_IDEMPOTENCY = tables.idempotency

KNOWN_KEY = Lookup(_IDEMPOTENCY, columns=["submission_id"], by=["sender", "key"])
_REMEMBER = Insert(_IDEMPOTENCY, "ON CONFLICT (sender, key) DO NOTHING")
INSERT_CASE = Insert(tables.cases)
INSERT_MESSAGE = Insert(_MESSAGES)
INSERT_CONTENT = Insert(tables.contents)
INSERT_DELIVERY = Insert(tables.deliveries)


class SubmitNew(Joint):
    """The write of plain doors' submissions. Rows are made by the caller: the writer's time is everybody's."""

    def __init__(
        self,
        submission: Submission,
        *,
        events: Sequence[Event],
        receipt: str,
        reference: str | None,
        idempotency: tuple[str, str] | None,
        first_attempt_at: datetime,
        callbacks: Sequence[OutgoingCallback],
        quarantine: bool,
    ) -> None:
        message_id = str(submission.submission_id)
        self.message_id = message_id
        self.message = INSERT_MESSAGE.row(submitted_row(submission, receipt, reference=reference))
        self.case = INSERT_CASE.row(_new_case(submission, events))
        self.contents = [
            INSERT_CONTENT.row(sealed_row(message_id, part, sealed)) for part, sealed in submission.contents.parts()
        ]
        self.events = [event_row(event) for event in events]
        row = quarantined_row if quarantine else delivery_row
        delivery = row(message_id, str(submission.destination_id), first_attempt_at)
        self.delivery = INSERT_DELIVERY.row(delivery)
        self.callbacks = callbacks
        self.key = None if idempotency is None else (submission.sender, idempotency[0])
        self.memory = None if idempotency is None else _REMEMBER.row(_memory(submission, idempotency))

    @classmethod
    def many(cls, connection: Connection, writes: Sequence[Self]) -> list[Remembered | None]:
        """Write what is new. The keys' rows come first: they are the gate, and nothing of a repeated request passes."""
        known = _known_keys(connection, writes)
        new = [write for write in writes if write.message_id not in known]
        try:
            INSERT_CASE.raw(connection, [write.case for write in new])
            INSERT_MESSAGE.raw(connection, [write.message for write in new])
        except IntegrityError as exc:
            raise taken(exc, "Die Einreichung", "Submission", new[0].message_id) from exc
        INSERT_CONTENT.raw(connection, [row for write in new for row in write.contents])
        insert_events(connection, [row for write in new for row in write.events])
        INSERT_DELIVERY.raw(connection, [write.delivery for write in new])
        write_callbacks(connection, [callback for write in new for callback in write.callbacks])
        reach("before-commit")
        return [
            remembered(connection, *write.key) if write.key and write.message_id in known else None for write in writes
        ]


def _known_keys(connection: Connection, writes: Sequence[SubmitNew]) -> set[str]:
    """Claim the idempotency keys of ``writes``; return the message ids of those whose key another message has."""
    rows = {write.message_id: write.memory for write in writes if write.memory is not None}
    if _REMEMBER.raw(connection, list(rows.values())) == len(rows):
        return set()
    keys = [write.key for write in writes if write.key is not None]
    owned = select(_IDEMPOTENCY.c.submission_id).where(
        tuple_(_IDEMPOTENCY.c.sender, _IDEMPOTENCY.c.key).in_(keys),
        _IDEMPOTENCY.c.submission_id.in_(list(rows)),
    )
    return set(rows) - set(connection.execute(owned).scalars())


def _memory(submission: Submission, idempotency: tuple[str, str]) -> dict[str, Any]:
    key, mac = idempotency
    return {
        "sender": submission.sender,
        "key": key,
        "mac": mac,
        "submission_id": str(submission.submission_id),
        "created_at": micros(submission.submitted_at),
    }


def _new_case(submission: Submission, events: Sequence[Event]) -> dict[str, Any]:
    if (
        not events
        or events[0].previous != GENESIS
        or [event.seq for event in events] != list(range(1, len(events) + 1))
    ):
        raise ValueError("the events of a new case are chained from GENESIS")
    if advance(None, events) is not State.SUBMITTED:
        raise ValueError("the events of a complete submission end with it submitted")
    submitted_at = micros(submission.submitted_at)
    return {
        "case_id": str(submission.case_id),
        "destination_id": str(submission.destination_id),
        "sender": submission.sender,
        "seq": events[-1].seq,
        "head": events[-1].hash,
        "created_at": submitted_at,
        "last_event_at": micros(events[-1].issued_at),
        "tombstone": None,
        "covered": 0,
    }


def remembered(connection: Connection, sender: str, key: str) -> Remembered | None:
    """Return what a sender's idempotency key stands for."""
    cover = [_MESSAGES.c[name] for name in ("receipt", "service_identifier", "area", "schema_uri", "callback_url")]
    statement = (
        select(_IDEMPOTENCY.c.mac, _IDEMPOTENCY.c.submission_id, *cover)
        .join(_MESSAGES, _MESSAGES.c.message_id == _IDEMPOTENCY.c.submission_id)
        .where(_IDEMPOTENCY.c.sender == sender, _IDEMPOTENCY.c.key == key)
    )
    row = connection.execute(statement).first()
    return None if row is None else _memory_of(row)


@reads(_IDEMPOTENCY)
def _memory_of(row: Any) -> Remembered:
    return Remembered(
        mac=row.mac,
        submission_id=UUID(row.submission_id),
        receipt=row.receipt or "",
        service=row.service_identifier,
        area=row.area,
        schema_uri=row.schema_uri,
        callback_url=row.callback_url,
    )


def taken(error: IntegrityError, what_de: str, what_en: str, key: UUID | str) -> Refused:
    """Return what to say of a row that could not be inserted: its id is taken, or its destination is unknown."""
    if names_unknown(error):
        return not_found("destination-not-found")
    return already_exists(Text(f"{what_de} {key}", f"{what_en} {key}"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Filed:
    """What became of a later application: its receipt, or the earlier request that its key stands for already."""

    receipt: str = field(repr=False)
    earlier: Remembered | None = None


#: Makes the chained events of a later submission and its receipt from the end of the case's log; may be called twice.
MakeFiled: TypeAlias = Callable[[CaseHead], tuple[Sequence[Event], str]]


class SubmitInCase:
    """The write of a submission into a case that there is. It is made in the writer's time, where the log's end is known."""

    def __init__(
        self,
        submission: Submission,
        *,
        make: MakeFiled,
        reference: str | None,
        idempotency: tuple[str, str] | None,
        first_attempt_at: datetime,
        callbacks: Sequence[OutgoingCallback],
        quarantine: bool,
    ) -> None:
        self._submission = submission
        self._make = make
        self._reference = reference
        self._key = None if idempotency is None else (submission.sender, idempotency[0])
        self._memory = None if idempotency is None else _REMEMBER.row(_memory(submission, idempotency))
        row = quarantined_row if quarantine else delivery_row
        message_id, destination_id = str(submission.submission_id), str(submission.destination_id)
        self._delivery = row(message_id, destination_id, first_attempt_at)
        self._callbacks = callbacks

    def __call__(self, connection: Connection) -> Filed:
        """Write it, unless its key is known or the case is closed."""
        made, case_id = self._submission, self._submission.case_id
        message_id = str(made.submission_id)
        with nothing_written():
            earlier = None if self._key is None else remembered(connection, *self._key)
            if earlier is not None:
                return Filed(receipt=earlier.receipt, earlier=earlier)
            head = lock_case(connection, case_id)
            _require_open(connection, case_id)
            require_kept(connection, case_id)
        events, receipt = self._make(head)
        if advance(None, events) is not State.SUBMITTED or events[0].previous != head.hash:
            raise ValueError("the events of a complete submission are chained on and end with it submitted")
        if self._memory is not None and _REMEMBER.raw(connection, [self._memory]) == 0 and self._key is not None:
            # Another node took the same request in between.
            first = remembered(connection, *self._key)
            if first is None:
                raise already_exists(Text("Der Idempotency-Key", "The idempotency key"))
            return Filed(receipt=first.receipt, earlier=first)
        move_heads(connection, events[-1:])
        try:
            INSERT_MESSAGE.raw(
                connection, [INSERT_MESSAGE.row(submitted_row(made, receipt, reference=self._reference))]
            )
        except IntegrityError as exc:
            raise taken(exc, "Die Einreichung", "Submission", message_id) from exc
        INSERT_CONTENT(connection, *(sealed_row(message_id, part, sealed) for part, sealed in made.contents.parts()))
        insert_events(connection, [event_row(event) for event in events])
        INSERT_DELIVERY(connection, self._delivery)
        write_callbacks(connection, self._callbacks)
        reach("before-commit")
        return Filed(receipt=receipt)


def _require_open(connection: Connection, case_id: UUID) -> None:
    """Raise ``Conflict`` (``case-closed``) where every submission of a case was rejected: nobody works on it any more."""
    events = tables.events
    rejected = exists().where(
        events.c.case_id == _MESSAGES.c.case_id,
        events.c.subject_id == _MESSAGES.c.message_id,
        events.c.kind == EventKind.REJECT.value,
    )
    left = select(_MESSAGES.c.message_id).where(
        _MESSAGES.c.case_id == str(case_id),
        _MESSAGES.c.kind == Subject.SUBMISSION.value,
        _MESSAGES.c.submitted_at.is_not(None),
        ~rejected,
    )
    if connection.execute(left.limit(1)).first() is None:
        raise _case_closed()


def _case_closed() -> Conflict:
    return Conflict(
        Text(
            "Dieser Vorgang ist abgeschlossen: Alles darin wurde zurückgewiesen. Stellen Sie einen neuen Antrag, ohne "
            "caseId.",
            "This case is closed: all that was in it was rejected. Submit a new application, without caseId.",
        ),
        slug="case-closed",
    )
