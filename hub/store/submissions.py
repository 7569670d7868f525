"""The plain door's one transaction: a complete submission, its case, its proof and its delivery."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Connection, select, tuple_
from sqlalchemy.exc import IntegrityError

from hub.errors import NotFound, Refused, Text
from hub.model.events import GENESIS, Event
from hub.model.submission import State, Submission
from hub.observability.crashpoints import reach
from hub.store import tables
from hub.store.callbacks import write_callbacks
from hub.store.database import Database, already_there, micros
from hub.store.engine import names_unknown
from hub.store.event_log import advance, event_row, insert_events
from hub.store.queue import delivery_row, quarantined_row
from hub.store.records import OutgoingCallback, Remembered
from hub.store.rows import sealed_row, submitted_row
from hub.store.statements import Insert, Lookup
from hub.store.unreadable import reads
from hub.store.writer import Joint

_MESSAGES = tables.messages
_IDEMPOTENCY = tables.idempotency

_KNOWN_KEY = Lookup(_IDEMPOTENCY, columns=["submission_id"], by=["sender", "key"])
_REMEMBER = Insert(_IDEMPOTENCY, "ON CONFLICT (sender, key) DO NOTHING")
INSERT_CASE = Insert(tables.cases)
INSERT_MESSAGE = Insert(_MESSAGES)
INSERT_CONTENT = Insert(tables.contents)
INSERT_DELIVERY = Insert(tables.deliveries)


class PlainDoor(Database):
    """Stores complete submissions."""

    def remembered(self, sender: str, key: str) -> Remembered | None:
        """Return what a sender's idempotency key stands for."""
        if self._glance(_KNOWN_KEY, sender, key) is None:
            return None
        return self._read(lambda connection: _remembered(connection, sender, key))

    def submit(
        self,
        submission: Submission,
        *,
        events: Sequence[Event],
        receipt: str,
        idempotency: tuple[str, str] | None,
        first_attempt_at: datetime,
        callbacks: Sequence[OutgoingCallback] = (),
        quarantine: bool = False,
    ) -> Future[Remembered | None]:
        """Store a complete submission in a new case, and its delivery, in one transaction.

        ``events`` are the case's first, chained from GENESIS; ``idempotency`` is (key, mac of the request). The future holds
        None after the durable commit, or what the key stands for already: then nothing was written. With ``quarantine`` the
        delivery is born a dead letter of cause payload, which the receiver does not see.

        Errors in the future: ``Conflict`` where an id is taken, ``StoreUnavailable``.
        """
        write = _Submit(
            submission,
            events=events,
            receipt=receipt,
            idempotency=idempotency,
            first_attempt_at=first_attempt_at,
            callbacks=callbacks,
            quarantine=quarantine,
        )
        return self._begin(write, wakes=True)


class _Submit(Joint):
    """The write of plain doors' submissions. Rows are made by the caller: the writer's time is everybody's."""

    def __init__(
        self,
        submission: Submission,
        *,
        events: Sequence[Event],
        receipt: str,
        idempotency: tuple[str, str] | None,
        first_attempt_at: datetime,
        callbacks: Sequence[OutgoingCallback],
        quarantine: bool,
    ) -> None:
        message_id = str(submission.submission_id)
        self.message_id = message_id
        self.message = INSERT_MESSAGE.row(submitted_row(submission, receipt))
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
            _remembered(connection, *write.key) if write.key and write.message_id in known else None for write in writes
        ]


def _known_keys(connection: Connection, writes: Sequence[_Submit]) -> set[str]:
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


def _remembered(connection: Connection, sender: str, key: str) -> Remembered | None:
    statement = (
        select(_IDEMPOTENCY.c.mac, _IDEMPOTENCY.c.submission_id, _MESSAGES.c.receipt)
        .join(_MESSAGES, _MESSAGES.c.message_id == _IDEMPOTENCY.c.submission_id)
        .where(_IDEMPOTENCY.c.sender == sender, _IDEMPOTENCY.c.key == key)
    )
    row = connection.execute(statement).first()
    return None if row is None else _memory_of(row)


@reads(_IDEMPOTENCY)
def _memory_of(row: Any) -> Remembered:
    return Remembered(mac=row.mac, submission_id=UUID(row.submission_id), receipt=row.receipt or "")


def taken(error: IntegrityError, what_de: str, what_en: str, key: UUID | str) -> Refused:
    """Return what to say of a row that could not be inserted: its id is taken, or its destination is unknown."""
    if names_unknown(error):
        return NotFound(
            Text(
                "Diesen Zustellpunkt gibt es nicht. Prüfen Sie die destinationId.",
                "There is no such destination. Check the destinationId.",
            ),
            slug="destination-not-found",
        )
    return already_there(what_de, what_en, key)
