"""Housekeeping: what is due for rejection or deletion, and the deletion itself. History outlives contents.

What a backup has to take along, and what a restored store can no longer be sure of.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, delete, select, true, update

from hub.errors import Conflict, Text, not_found, state_forbids
from hub.model import State
from hub.store import tables
from hub.store.blobs.contents import Blobs
from hub.store.database import Database, micros
from hub.store.event_log import advance, end_delivery, lock_case, move, write_events
from hub.store.outboxes import write_callbacks
from hub.store.records import Case, DeliveryState, MakeEvents, OutgoingCallback, StoredMessage
from hub.store.rows import to_message
from hub.store.statements import Lookup
from hub.store.submissions import read_case
from hub.store.usage import remember_deletion
from hub.store.writer import nothing_written

_CASES = tables.cases
_MESSAGES = tables.messages
_CONTENTS = tables.contents
_DELIVERIES = tables.deliveries
_IDEMPOTENCY = tables.idempotency

_BLOB = Lookup(_CONTENTS, columns=["blob"], by=["blob"])
_PIECE = Lookup(tables.upload_pieces, columns=["blob"], by=["blob"])

_DELETABLE = {State.INCOMPLETE, State.ACCEPTED, State.REJECTED}


@dataclass(frozen=True, kw_only=True, slots=True)
class Services:
    """Which services are meant, by all their names: ``only`` these, or all ``but`` those."""

    only: Collection[str] | None = None
    but: Collection[str] = ()

    def condition(self) -> ColumnElement[bool]:
        """Return the condition that a message is for one of them."""
        named = _MESSAGES.c.service_identifier
        if self.only is not None:
            return named.in_(sorted(self.only))
        return named.not_in(sorted(self.but)) if self.but else true()


#: Whatever the service.
_ALL = Services()


class Retention:
    """Lists what is overdue, oldest first and bounded, and deletes it. With ``blobs`` it discards those that it lets go of."""

    def __init__(self, database: Database, *, blobs: Blobs | None = None) -> None:
        self._database = database
        self._blobs = blobs

    def incomplete(self, before: datetime, *, limit: int = 100, skip: int = 0) -> list[StoredMessage]:
        """Return messages that were announced before ``before`` and never submitted."""
        due = and_(tables.incomplete(), _MESSAGES.c.created_at < micros(before))
        return self._overdue(due, _MESSAGES.c.created_at, limit, skip)

    def unanswered(self, before: datetime, *, limit: int = 100, skip: int = 0) -> list[StoredMessage]:
        """Return messages submitted before ``before`` that lie in a mailbox unanswered.

        What a push adapter delivered is not among them.
        """
        delivered = (
            select(_DELIVERIES.c.delivery_id)
            .where(
                _DELIVERIES.c.submission_id == _MESSAGES.c.message_id,
                _DELIVERIES.c.state != DeliveryState.WAITING.value,
            )
            .exists()
        )
        due = and_(tables.waiting(), _MESSAGES.c.submitted_at < micros(before), ~delivered)
        return self._overdue(due, _MESSAGES.c.submitted_at, limit, skip)

    def finished(
        self, before: datetime, *, among: Services = _ALL, limit: int = 100, skip: int = 0
    ) -> list[StoredMessage]:
        """Return messages accepted or rejected before ``before`` whose contents still lie here."""
        due = and_(tables.finished(), _MESSAGES.c.finished_at < micros(before), among.condition())
        return self._overdue(due, _MESSAGES.c.finished_at, limit, skip)

    def delivered(
        self, before: datetime, *, among: Services = _ALL, limit: int = 100, skip: int = 0
    ) -> list[StoredMessage]:
        """Return submissions delivered before ``before`` and never answered, whose contents still lie here."""
        done = select(_DELIVERIES.c.submission_id).where(
            _DELIVERIES.c.submission_id == _MESSAGES.c.message_id,
            _DELIVERIES.c.state == DeliveryState.DELIVERED.value,
            _DELIVERIES.c.finished_at < micros(before),
        )
        due = and_(tables.waiting(), _MESSAGES.c.deleted_at.is_(None), done.exists(), among.condition())
        return self._overdue(due, _MESSAGES.c.submitted_at, limit, skip)

    def delete_contents(
        self,
        message_id: UUID,
        now: datetime,
        make: MakeEvents | None = None,
        *,
        callbacks: Sequence[OutgoingCallback] = (),
    ) -> tuple[str, ...]:
        """Delete a message's contents and append ``make``'s events (the delete event) in one transaction.

        Returns the names of the blobs that nothing refers to any more; a store that knows the blob store has discarded them,
        else the caller does. Deleting twice changes nothing.

        Raises:
            NotFound: no such message.
            Conflict: it is neither incomplete, accepted, rejected nor delivered: somebody still waits for it.
        """

        def write(connection: Connection) -> tuple[str, ...]:
            with nothing_written():
                row = _message(connection, message_id)
                head = lock_case(connection, UUID(row.case_id))
                row = _message(connection, message_id)
                if row.deleted_at is not None:
                    return ()
                _require_end(connection, row)
                events = make(head, State(row.state)) if make is not None else ()
                state = advance(State(row.state), events)
            names = _blob_names(connection, [row.message_id])
            remember_deletion(connection, row.message_id, row.state)
            connection.execute(delete(_CONTENTS).where(_CONTENTS.c.message_id == row.message_id))
            move(connection, message_id, state, write_events(connection, head, events))
            gone = update(_MESSAGES).where(_MESSAGES.c.message_id == row.message_id).values(deleted_at=micros(now))
            connection.execute(gone)
            end_delivery(connection, message_id, answered=False, now=now)
            write_callbacks(connection, callbacks)
            return names

        return self._discard(self._database.write(write))

    def stale_cases(self, before: datetime, *, limit: int = 100, skip: int = 0) -> list[Case]:
        """Return cases whose last event is older than ``before`` and whose log still lies here."""
        statement = (
            select(_CASES)
            .where(_CASES.c.tombstone.is_(None), _CASES.c.last_event_at < micros(before))
            .order_by(_CASES.c.last_event_at, _CASES.c.case_id)
        )
        return self._database.readable(statement, _CASES, read_case, limit=limit, skip=skip)

    def drop_case(self, case_id: UUID, tombstone: str) -> bool:
        """Drop all of a case but its row, which keeps the (signed) ``tombstone`` and the head of the chain.

        Returns False if that was done before.

        Raises:
            NotFound: no such case.
            Conflict: contents of the case still lie here.
        """

        def write(connection: Connection) -> bool:
            with nothing_written():
                row = connection.execute(
                    select(_CASES.c.tombstone).where(_CASES.c.case_id == str(case_id)).with_for_update()
                ).first()
                if row is None:
                    raise not_found("case-not-found", case_id)
                if row.tombstone is not None:
                    return False
                if _has_contents(connection, case_id):
                    raise _not_over()
            _drop(connection, str(case_id))
            kept = update(_CASES).where(_CASES.c.case_id == str(case_id)).values(tombstone=tombstone)
            connection.execute(kept)
            return True

        return self._database.write(write)

    def forget_idempotency(self, before: datetime) -> int:
        """Forget idempotency keys used before ``before``; return how many."""
        old = delete(_IDEMPOTENCY).where(_IDEMPOTENCY.c.created_at < micros(before))
        return self._database.write(lambda connection: connection.execute(old).rowcount)

    def refers_to(self, blob: str) -> bool:
        """Say whether any content lies in ``blob``."""
        return not self.unreferenced([blob])

    def unreferenced(self, blobs: Collection[str]) -> set[str]:
        """Return those of ``blobs`` in which no content lies and no piece of an upload; two queries, however many there are."""

        def read(connection: Connection) -> set[str]:
            return {row.blob for lookup in (_BLOB, _PIECE) for row in lookup.among(connection, blobs)}

        return set(blobs) - self._database.read(read)

    def _overdue(self, due: ColumnElement[bool], age: ColumnElement[Any], limit: int, skip: int) -> list[StoredMessage]:
        statement = select(_MESSAGES).where(due).order_by(age, _MESSAGES.c.message_id)
        return self._database.readable(statement, _MESSAGES, to_message, limit=limit, skip=skip)

    def _discard(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Discard blobs after the commit that let go of them; a crash in between leaves them to the sweep."""
        if self._blobs is not None:
            self._blobs.discard(*names)
        return names


def _message(connection: Connection, message_id: UUID) -> Any:
    row = connection.execute(select(_MESSAGES).where(_MESSAGES.c.message_id == str(message_id))).first()
    if row is None:
        raise not_found("submission-not-found", message_id)
    return row


def _require_end(connection: Connection, message: Any) -> None:
    if State(message.state) in _DELETABLE:
        return
    delivered = select(_DELIVERIES.c.delivery_id).where(
        _DELIVERIES.c.submission_id == message.message_id, _DELIVERIES.c.state == DeliveryState.DELIVERED.value
    )
    if connection.execute(delivered).first() is None:
        raise _not_over()


def _blob_names(connection: Connection, message_ids: Sequence[str]) -> tuple[str, ...]:
    named = select(_CONTENTS.c.blob).where(_CONTENTS.c.message_id.in_(message_ids), _CONTENTS.c.blob.is_not(None))
    return tuple(connection.execute(named).scalars())


def _has_contents(connection: Connection, case_id: UUID) -> bool:
    held = (
        select(_CONTENTS.c.message_id)
        .join(_MESSAGES, _MESSAGES.c.message_id == _CONTENTS.c.message_id)
        .where(_MESSAGES.c.case_id == str(case_id))
        .limit(1)
    )
    return connection.execute(held).first() is not None


def _drop(connection: Connection, case_id: str) -> None:
    in_case = select(_MESSAGES.c.message_id).where(_MESSAGES.c.case_id == case_id)
    their_deliveries = select(_DELIVERIES.c.delivery_id).where(_DELIVERIES.c.submission_id.in_(in_case))
    for statement in (
        delete(tables.attempts).where(tables.attempts.c.delivery_id.in_(their_deliveries)),
        delete(_DELIVERIES).where(_DELIVERIES.c.submission_id.in_(in_case)),
        delete(_IDEMPOTENCY).where(_IDEMPOTENCY.c.submission_id.in_(in_case)),
        delete(tables.reads).where(tables.reads.c.message_id.in_(in_case)),
        delete(tables.deletions).where(tables.deletions.c.message_id.in_(in_case)),
        delete(tables.callbacks).where(tables.callbacks.c.case_id == case_id),
        delete(tables.events).where(tables.events.c.case_id == case_id),
        delete(_MESSAGES).where(_MESSAGES.c.case_id == case_id),
    ):
        connection.execute(statement)
    _forget_way(connection, case_id)


def _forget_way(connection: Connection, case_id: str) -> None:
    """Forget how a dropped case came here, and the dropped ones before it, unless a case goes on from there.

    What is left of the chain still says who had it, since when it counts, and how often it was handed on.
    """
    ways = tables.forwardings
    last: str | None = case_id
    while last is not None:
        if connection.execute(select(ways.c.case_id).where(ways.c.from_case_id == last).limit(1)).first() is not None:
            return
        before = connection.execute(select(ways.c.from_case_id).where(ways.c.case_id == last)).scalar()
        connection.execute(delete(ways).where(ways.c.case_id == last))
        dropped = select(_CASES.c.case_id).where(_CASES.c.case_id == before, _CASES.c.tombstone.is_not(None))
        last = connection.execute(dropped).scalar()


def _not_over() -> Conflict:
    return state_forbids(
        Text("Der Vorgang ist noch nicht zu Ende.", "The case has not come to its end."),
        Text("Gelöscht wird erst danach.", "Nothing is deleted before."),
    )


class Recovery:
    """The store seen by backup and restore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def blob_names(self) -> frozenset[str]:
        """Return the names of all blobs that contents lie in."""
        statement = select(_CONTENTS.c.blob).where(_CONTENTS.c.blob.is_not(None))
        return self._database.read(lambda connection: frozenset(connection.execute(statement).scalars()))

    def forget_uploads(self) -> int:
        """Forget uploads that were under way; return how many. A backup holds no pieces of them: their senders begin anew."""

        def write(connection: Connection) -> int:
            connection.execute(delete(tables.upload_pieces))
            return connection.execute(delete(tables.uploads)).rowcount

        return self._database.write(write)

    def suspect_open_deliveries(self) -> int:
        """Flag every open delivery as a possible repeat; return how many there are.

        What was delivered after the backup is open again in it, and nobody here knows: the receiver must be told.
        """
        open_ = update(_DELIVERIES).where(_DELIVERIES.c.next_attempt_at.is_not(None)).values(repeat=True)
        return self._database.write(lambda connection: connection.execute(open_).rowcount)
