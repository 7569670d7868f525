"""The event log of cases: appended under the case's lock, chained, and moving the state of what it speaks of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, update
from sqlalchemy.exc import IntegrityError

from hub.errors import Conflict, Text, not_found
from hub.model import DeadCause, Event, EventKind, State, Subject, chain, next_state
from hub.store import tables
from hub.store.database import Database, Page, from_json, micros, moment, reads, to_json
from hub.store.outboxes import write_callbacks
from hub.store.records import CaseHead, DeliveryState, MakeEvents, OutgoingCallback
from hub.store.statements import Insert, Lookup, Query, Update
from hub.store.writer import nothing_written

_CASES = tables.cases
_EVENTS = tables.events
_MESSAGES = tables.messages
_DELIVERIES = tables.deliveries
_COLUMNS = [column.name for column in _EVENTS.columns]
_INSERT = Insert(_EVENTS)
_HEAD = Lookup(_CASES, columns=["case_id", "seq", "head", "tombstone"], by=["case_id"], lock=True)
_MOVE_HEAD = Update(_CASES, changed=["seq", "head", "last_event_at"], by=["case_id"])

_SIGN = Update(_EVENTS, changed=["jws"], by=["case_id", "seq"], unset=["jws"])
_MARK = "SELECT min(seq) FROM events WHERE case_id = :case_id AND subject_id = :message_id AND kind = "
_FROM_TO = f"""
SELECT {", ".join(_COLUMNS)} FROM events
WHERE case_id = :case_id AND seq BETWEEN ({_MARK}'create') AND ({_MARK}'submit') ORDER BY seq"""  # noqa: S608  # our columns
_RUN = Query(sqlite=_FROM_TO, postgresql=_FROM_TO, columns=_COLUMNS)
_SIGNED = Lookup(_EVENTS, columns=["jws"], by=["case_id", "seq"])

#: Which time of a message an event sets.
_TIMES: Mapping[EventKind, str] = {
    EventKind.SUBMIT: "submitted_at",
    EventKind.ACCEPT: "finished_at",
    EventKind.REJECT: "finished_at",
    EventKind.DELETE: "deleted_at",
}
_MOVED = ("submitted_at", "finished_at", "deleted_at")
_MOVE = Update(_MESSAGES, changed=["state"], by=["message_id"], filled=_MOVED)


class EventLog:
    """Reads and appends events."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def events(
        self, case_id: UUID, *, subject_id: UUID | None = None, offset: int = 0, limit: int = 100
    ) -> Page[Event]:
        """Return one page of a case's log, oldest first; of one submission or reply if ``subject_id`` is given."""
        statement = select(_EVENTS).where(_EVENTS.c.case_id == str(case_id)).order_by(_EVENTS.c.seq)
        if subject_id is not None:
            statement = statement.where(_EVENTS.c.subject_id == str(subject_id))
        return self._database.page(statement, _event, offset=offset, limit=limit)

    def run(self, case_id: UUID, message_id: UUID) -> list[Event]:
        """Return the entries of a case's log from a message's create event to its submit event, all there are in between."""
        values = {"case_id": str(case_id), "message_id": str(message_id)}
        return self._database.unreadables.each(
            _EVENTS.name, self._database.read(lambda connection: _RUN(connection, values)), _event
        )

    def append(
        self,
        case_id: UUID,
        subject_id: UUID,
        make: MakeEvents,
        *,
        callbacks: Sequence[OutgoingCallback] = (),
    ) -> Sequence[Event]:
        """Append what ``make(head, state of the subject)`` returns, chained, and move the subject's state; return the events.

        All in one transaction, one at a time per case. ``make`` may be called twice and may refuse by raising.

        Raises:
            NotFound: no such case, or no such subject in it.
            Conflict: an event does not fit the state, or its ``jti`` was used before.
        """

        def write(connection: Connection) -> Sequence[Event]:
            with nothing_written():
                head = lock_case(connection, case_id)
                state = _state(connection, case_id, subject_id)
                made = make(head, state)
                _refuse_known(connection, made)
                after = advance(state, made)
            chained = write_events(connection, head, made)
            move(connection, subject_id, after, chained)
            write_callbacks(connection, callbacks)
            return chained

        return self._database.write(write)

    def keep_tokens(self, tokens: Sequence[tuple[UUID, int, str]]) -> list[str]:
        """Store the hub's signatures (case id, seq, token) of events that have none; return those that count, the first stored.

        Raise ``NotFound`` for an unknown event.
        """
        rows = [(jws, str(case_id), seq) for case_id, seq, jws in tokens]

        def write(connection: Connection) -> list[str]:
            if _SIGN.raw(connection, rows) == len(rows):
                return [jws for jws, _, _ in rows]
            # Another node was faster, with some of them at least.
            return [_token(_SIGNED.row(connection, case_id, seq), case_id, seq) for _, case_id, seq in rows]

        return self._database.write(write)


def _token(row: Any, case_id: str, seq: int) -> str:
    if row is None:
        raise not_found("event-not-found", f"{case_id}/{seq}")
    token: str = row.jws
    return token


def lock_case(connection: Connection, case_id: UUID) -> CaseHead:
    """Return the end of a case's chain and hold it until the transaction's end; raise ``NotFound`` for an unknown case."""
    return _head(case_id, _HEAD.row(connection, str(case_id)))


def lock_cases(connection: Connection, case_ids: Collection[UUID]) -> dict[UUID, CaseHead]:
    """Do the same for several cases, always in the same order, so that nobody waits in a circle."""
    found = {row.case_id: row for row in _HEAD.among(connection, [str(one) for one in case_ids])}
    return {case_id: _head(case_id, found.get(str(case_id))) for case_id in case_ids}


def _head(case_id: UUID, row: Any) -> CaseHead:
    if row is None or row.tombstone is not None:
        raise not_found("case-not-found", case_id)
    return CaseHead(case_id=case_id, seq=row.seq, hash=row.head)


def write_events(connection: Connection, head: CaseHead, events: Sequence[Event]) -> list[Event]:
    """Chain ``events`` on to a locked ``head`` and write both; return them as written.

    Raise ``Conflict`` where a ``jti`` was used before.
    """
    chained = chain(events, head=head.hash, seq=head.seq)
    if not chained:
        return []
    insert_events(connection, [event_row(event) for event in chained])
    move_heads(connection, chained[-1:])
    return chained


def move_heads(connection: Connection, last: Sequence[Event]) -> None:
    """Note the ``last`` event of each case's chain at the case."""
    rows = [(event.seq, event.hash, micros(event.issued_at), str(event.case_id)) for event in last]
    _MOVE_HEAD.raw(connection, rows)


def insert_events(connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows of :func:`event_row`; raise ``Conflict`` where a ``jti`` was used before."""
    try:
        _INSERT.raw(connection, rows)
    except IntegrityError as exc:
        raise _known() from exc


def move(connection: Connection, message_id: UUID, state: State | None, events: Sequence[Event]) -> None:
    """Write what ``events`` make of a message: its state, its times, and the end of its delivery if it is answered."""
    if state is None or not events:
        return
    move_all(connection, [(message_id, state, events)])


def move_all(connection: Connection, moves: Sequence[tuple[UUID, State, Sequence[Event]]]) -> None:
    """Do what :func:`move` does for several messages: (id, state after the events, events)."""
    _MOVE.raw(connection, [_moved(message_id, state, events) for message_id, state, events in moves])
    for message_id, _, events in moves:
        answer = next((event for event in events if event.kind in _ANSWERS), None)
        if answer is not None:
            end_delivery(connection, message_id, answered=not answer.by_hub, now=answer.issued_at)


def _moved(message_id: UUID, state: State, events: Sequence[Event]) -> tuple[Any, ...]:
    times = {_TIMES[event.kind]: micros(event.issued_at) for event in events if event.kind in _TIMES}
    return state.value, *(times.get(name) for name in _MOVED), str(message_id)


_ANSWERS = {EventKind.FORWARD, EventKind.ACCEPT, EventKind.REJECT, EventKind.DELETE}


def end_delivery(connection: Connection, submission_id: UUID, *, answered: bool, now: datetime) -> None:
    """End a delivery because the case went on without it: answered by the receiver, or given up by the hub."""
    ended: dict[str, Any] = {"next_attempt_at": None, "finished_at": micros(now)}
    if answered:
        ended |= {"state": DeliveryState.DELIVERED.value, "cause": None}
    else:
        ended |= {"state": DeliveryState.DEAD.value, "cause": DeadCause.RECEIVER.value}
    still_open = _DELIVERIES.c.state.in_([DeliveryState.QUEUED.value, DeliveryState.WAITING.value])
    here = _DELIVERIES.c.submission_id == str(submission_id)
    connection.execute(update(_DELIVERIES).where(here, still_open).values(ended))


def fitting(state: State | None, events: Sequence[Event]) -> tuple[State | None, list[Event]]:
    """Return the events that fit, and the state after them: an attempt's news may come after the receiver's answer."""
    kept = []
    for event in events:
        try:
            state = next_state(state, event.kind)
        except Conflict:
            continue
        kept.append(event)
    return state, kept


def advance(state: State | None, events: Sequence[Event]) -> State | None:
    """Return the state after ``events``; raise ``Conflict`` where one does not fit."""
    for event in events:
        state = next_state(state, event.kind)
    return state


def _state(connection: Connection, case_id: UUID, subject_id: UUID) -> State:
    statement = select(_MESSAGES.c.state).where(
        _MESSAGES.c.message_id == str(subject_id), _MESSAGES.c.case_id == str(case_id)
    )
    state = connection.execute(statement).scalar()
    if state is None:
        raise not_found("submission-not-found", subject_id)
    return State(state)


def _refuse_known(connection: Connection, events: Sequence[Event]) -> None:
    known = select(_EVENTS.c.jti).where(_EVENTS.c.jti.in_([str(event.jti) for event in events])).limit(1)
    if connection.execute(known).first() is not None:
        raise _known()


def _known() -> Conflict:
    return Conflict(
        Text(
            "Ein Ereignis mit dieser jti steht schon in einem Protokoll. Erzeugen Sie für jedes Ereignis eine neue.",
            "An event with this jti stands in a log already. Make a new one for each event.",
        ),
        slug="duplicate-event",
    )


def event_row(event: Event) -> tuple[Any, ...]:
    """Return the row of a chained event."""
    return _INSERT.row(
        {
            "case_id": str(event.case_id),
            "seq": event.seq,
            "jti": str(event.jti),
            "subject": event.subject.value,
            "subject_id": str(event.subject_id),
            "kind": event.kind.value,
            "issuer": event.issuer,
            "by_hub": event.by_hub,
            "issued_at": micros(event.issued_at),
            "payload": to_json(dict(event.payload)),
            "digests": to_json(dict(event.digests)),
            "jws": event.jws,
            "previous": event.previous,
            "hash": event.hash,
        }
    )


@reads(_EVENTS)
def _event(row: Any) -> Event:
    return Event(
        case_id=UUID(row.case_id),
        seq=row.seq,
        jti=UUID(row.jti),
        subject=Subject(row.subject),
        subject_id=UUID(row.subject_id),
        kind=EventKind(row.kind),
        issuer=row.issuer,
        by_hub=bool(row.by_hub),
        issued_at=moment(row.issued_at),
        payload=from_json(row.payload),
        digests=from_json(row.digests),
        jws=row.jws,
        previous=row.previous,
        hash=row.hash,
    )
