"""The event log of cases and its signed checkpoints.

Events are appended under the case's lock, chained, and move the state of what they speak of. A checkpoint covers the ends of
all case logs: which ends are new, and which stood in which checkpoint.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy
from sqlalchemy import ColumnElement, Connection, and_, cast, func, literal_column, select, update
from sqlalchemy.exc import IntegrityError

from hub.errors import Conflict, Text, UnreadableRow, case_goes_on, not_found
from hub.model import MOST_FORWARDS, DeadCause, Event, EventKind, State, Subject, chain, hash_of, next_state
from hub.store import tables
from hub.store.database import Database, Page, from_json, in_postgresql, micros, moment, reads, to_json
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
_END_OF = """
(SELECT min(c.seq) FROM events c WHERE c.case_id = m.case_id AND c.subject_id = m.message_id AND c.kind = '{kind}')"""
#: CROSS JOIN keeps SQLite to the order in which tables are named.
_RUNS_SQL = f"""
SELECT m.message_id, {", ".join(f"e.{name}" for name in _COLUMNS)} FROM messages m CROSS JOIN events e
WHERE m.message_id {{ids}} AND e.case_id = m.case_id
    AND e.seq BETWEEN {_END_OF.format(kind="create")} AND {_END_OF.format(kind="submit")}
ORDER BY m.message_id, e.seq"""  # noqa: S608  # our columns
RUNS = Query(sqlite=_RUNS_SQL, postgresql=_RUNS_SQL, columns=["message_id", *_COLUMNS], several=["ids"])
_FORWARDINGS = tables.forwardings
_WENT = (
    select(_FORWARDINGS.c.case_id)
    .where(_FORWARDINGS.c.completed_at.is_not(None))
    .order_by(_FORWARDINGS.c.begun_at.desc(), _FORWARDINGS.c.submission_id.desc())
    .limit(1)
)
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
        self,
        case_id: UUID,
        *,
        subject_id: UUID | None = None,
        kinds: Collection[EventKind] | None = None,
        without: Collection[EventKind] = (),
        offset: int = 0,
        limit: int = 100,
    ) -> Page[Event]:
        """Return one page of a case's log, oldest first; of one submission or reply, or of some kinds, if they are given.

        A kind that cannot be read is none of those left out ``without``: it is counted, and said to be missing.
        """
        statement = select(_EVENTS).where(_EVENTS.c.case_id == str(case_id)).order_by(_EVENTS.c.seq)
        if subject_id is not None:
            statement = statement.where(_EVENTS.c.subject_id == str(subject_id))
        if kinds is not None:
            statement = statement.where(_EVENTS.c.kind.in_(sorted(kind.value for kind in kinds)))
        if without:
            statement = statement.where(_EVENTS.c.kind.not_in(sorted(kind.value for kind in without)))
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


def runs(connection: Connection, message_ids: Collection[str]) -> dict[str, list[Event]]:
    """Return for several messages what :meth:`EventLog.run` returns for one; one with a row that cannot be read is left out."""
    found: dict[str, list[Event]] = {}
    broken = set()
    for row in RUNS(connection, {"ids": message_ids}) if message_ids else ():
        try:
            found.setdefault(row.message_id, []).append(_event(row))
        except UnreadableRow:
            broken.add(row.message_id)
    return {message_id: run for message_id, run in found.items() if message_id not in broken}


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


def require_kept(connection: Connection, case_id: UUID) -> None:
    """Raise ``Invalid`` (``case-goes-on``) where a locked case was handed on, with the id as which it goes on by now."""
    last = case_id
    for _ in range(MOST_FORWARDS):
        went = connection.execute(_WENT.where(_FORWARDINGS.c.from_case_id == str(last))).scalar()
        if went is None:
            break
        last = UUID(went)
    if last != case_id:
        raise case_goes_on(last)


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


_CHECKPOINTS = tables.checkpoints
_LEAVES = tables.checkpoint_leaves

#: Stands in the place of a case's id for the leaf of the audit log, which is no case; no case has it.
AUDIT_LOG = UUID(int=0)

_AUDIT = tables.audit
_INSERT_CHECKPOINT = Insert(_CHECKPOINTS)
_INSERT_LEAF = Insert(_LEAVES)
_UNCOVERED: ColumnElement[bool] = literal_column("covered < seq")
#: The end of a log as one text; ids are of one length, so the texts are in the ids' order.
_BETWEEN, _BESIDE = ":", ","
_END = _CASES.c.case_id + _BETWEEN + cast(_CASES.c.seq, sqlalchemy.Text) + _BETWEEN + _CASES.c.head

#: A log moved since the last checkpoint, or the audit log did.
_PENDING_SQL = f"""
SELECT 1 AS moved WHERE EXISTS (SELECT 1 FROM {_CASES.name} WHERE covered < seq)
    OR COALESCE((SELECT max(seq) FROM {_AUDIT.name}), 0)
        > COALESCE((SELECT max(seq) FROM {_LEAVES.name} WHERE case_id = '{AUDIT_LOG}'), 0)
"""  # noqa: S608  # names of our own tables
_PENDING = Query(sqlite=_PENDING_SQL, postgresql=_PENDING_SQL, columns=["moved"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A signed statement (``token``) about the ends of some logs. Numbers begin at 1 and have no gaps."""

    number: int
    made_at: datetime
    token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class LeafStanding:
    """A leaf beside what the store holds today: ``stored`` is the hash of the event that the leaf names.

    ``stored`` is None if there is no such event, ``case_seq`` is None if there is no such case; ``dropped`` says that the
    log reached the end of its retention and left a tombstone.
    """

    leaf: CaseHead
    stored: str | None
    case_seq: int | None
    dropped: bool


class CheckpointLog:
    """Reads and writes checkpoints."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending(self) -> bool:
        """Whether any log has an end that no checkpoint covers."""
        return self._database.glance(_PENDING) is not None

    def uncovered(self, limit: int) -> list[CaseHead]:
        """Return up to ``limit`` ends of logs that no checkpoint covers yet, in the order of their case ids."""
        first = select(_END.label("end")).where(_UNCOVERED).order_by(_CASES.c.case_id).limit(limit).subquery()
        # As one value: fetching row by row would let others take the interpreter at each, and wait for it again.
        statement = select(func.aggregate_strings(first.c.end, _BESIDE))
        ends = self._database.read(lambda connection: connection.execute(statement).scalar())
        if not ends:
            return []
        rows = [end.split(_BETWEEN) for end in sorted(ends.split(_BESIDE))]
        return self._database.unreadables.each("cases", rows, _end)

    def audit_head(self) -> CaseHead | None:
        """Return the end of the audit log as a leaf; None while it is empty, or its hash is none: that is never signed."""
        statement = select(_AUDIT.c.seq, _AUDIT.c.hash).order_by(_AUDIT.c.seq.desc()).limit(1)
        row = self._database.read(lambda connection: connection.execute(statement).first())
        if row is None:
            return None
        try:
            return CaseHead(case_id=AUDIT_LOG, seq=row.seq, hash=hash_of(row.hash))
        except ValueError:
            self._database.unreadables.note(_AUDIT.name, row.seq, "hash")
            return None

    def audit_heads(self) -> dict[int, set[str]]:
        """Return what the checkpoints hold of the audit log: hashes by the number of the record, one each if all is well.

        A leaf that cannot be read is noted and left out: that its checkpoint is damaged, the verification of those says.
        """
        statement = select(_LEAVES).where(_LEAVES.c.case_id == str(AUDIT_LOG))
        found: dict[int, set[str]] = {}
        for leaf in self._database.all(statement, _LEAVES, _leaf):
            found.setdefault(leaf.seq, set()).add(leaf.hash)
        return found

    def newest_head(self, case_id: UUID) -> CaseHead | None:
        """Return the newest leaf of a log; None if no checkpoint covers it yet."""
        statement = (
            select(_LEAVES.c.seq, _LEAVES.c.head)
            .where(_LEAVES.c.case_id == str(case_id))
            .order_by(_LEAVES.c.seq.desc())
            .limit(1)
        )
        row = self._database.read(lambda connection: connection.execute(statement).first())
        return None if row is None else CaseHead(case_id=case_id, seq=row.seq, hash=row.head)

    def last(self) -> Checkpoint | None:
        """Return the newest checkpoint."""
        statement = select(_CHECKPOINTS).order_by(_CHECKPOINTS.c.number.desc()).limit(1)
        return self._database.one(statement, _checkpoint)

    def get(self, number: int) -> Checkpoint | None:
        """Return a checkpoint."""
        statement = select(_CHECKPOINTS).where(_CHECKPOINTS.c.number == number)
        return self._database.one(statement, _checkpoint)

    def add(self, checkpoint: Checkpoint, heads: Sequence[CaseHead]) -> None:
        """Store a checkpoint with its leaves in order, in one transaction.

        Raises:
            Conflict: another node made the checkpoint of that number first.
        """
        row = _INSERT_CHECKPOINT.row(
            {"number": checkpoint.number, "made_at": micros(checkpoint.made_at), "token": checkpoint.token}
        )
        leaves = _leaf_rows(checkpoint.number, heads)

        def write(connection: Connection) -> None:
            try:
                _INSERT_CHECKPOINT.raw(connection, [row])
            except IntegrityError as exc:
                raise _too_late(checkpoint.number) from exc
            _INSERT_LEAF.raw(connection, leaves)
            _cover(connection, checkpoint.number)

        self._database.write(write)

    def leaves(self, number: int) -> list[CaseHead]:
        """Return a checkpoint's leaves in order."""
        statement = select(_LEAVES).where(_LEAVES.c.number == number).order_by(_LEAVES.c.position)
        return self._database.read(lambda connection: [_leaf(row) for row in connection.execute(statement)])

    def newest_of(self, case_id: UUID) -> tuple[int, int] | None:
        """Return (number, position) of the newest leaf of a case; None if no checkpoint covers it yet."""
        statement = (
            select(_LEAVES.c.number, _LEAVES.c.position)
            .where(_LEAVES.c.case_id == str(case_id))
            .order_by(_LEAVES.c.seq.desc())
            .limit(1)
        )
        row = self._database.read(lambda connection: connection.execute(statement).first())
        return None if row is None else (row.number, row.position)

    def standing(self, number: int) -> list[LeafStanding]:
        """Return a checkpoint's leaves in order, each beside what is stored of its case today."""
        event = and_(_EVENTS.c.case_id == _LEAVES.c.case_id, _EVENTS.c.seq == _LEAVES.c.seq)
        statement = (
            select(
                _LEAVES,
                _EVENTS.c.hash.label("stored"),
                _CASES.c.seq.label("case_seq"),
                _CASES.c.head.label("case_head"),
                _CASES.c.tombstone,
            )
            .outerjoin(_EVENTS, event)
            .outerjoin(_CASES, _CASES.c.case_id == _LEAVES.c.case_id)
            .where(_LEAVES.c.number == number)
            .order_by(_LEAVES.c.position)
        )
        return self._database.read(lambda connection: [_standing(row) for row in connection.execute(statement)])

    def without_leaf(self, limit: int = 100) -> list[CaseHead]:
        """Return up to ``limit`` cases that say to be covered further than any leaf of theirs reaches."""
        reached = select(func.coalesce(func.max(_LEAVES.c.seq), 0)).where(_LEAVES.c.case_id == _CASES.c.case_id)
        statement = (
            select(_CASES.c.case_id, _CASES.c.seq, _CASES.c.head)
            .where(_CASES.c.covered > reached.scalar_subquery())
            .limit(limit)
        )
        return self._database.read(lambda connection: [_end_of_case(row) for row in connection.execute(statement)])


def _leaf_rows(number: int, heads: Sequence[CaseHead]) -> list[Any]:
    return [
        _INSERT_LEAF.row(
            {
                "number": number,
                "position": position,
                "case_id": str(head.case_id),
                "seq": head.seq,
                "head": head.hash,
            }
        )
        for position, head in enumerate(heads)
    ]


def _cover(connection: Connection, number: int) -> None:
    """Note at the cases of a checkpoint how far it covers them: one statement, however many there are."""
    leaf = and_(_LEAVES.c.number == number, _LEAVES.c.case_id == _CASES.c.case_id)
    if in_postgresql(connection):
        # Always in the same order, so that nobody waits in a circle with those who append.
        held = select(_CASES.c.case_id).join(_LEAVES, leaf).order_by(_CASES.c.case_id).with_for_update(of=_CASES)
        connection.execute(held)
    connection.execute(update(_CASES).where(leaf, _CASES.c.covered < _LEAVES.c.seq).values(covered=_LEAVES.c.seq))


def _end(row: Sequence[str]) -> CaseHead:
    case_id, seq, head = row
    return CaseHead(case_id=UUID(case_id), seq=int(seq), hash=hash_of(head))


def _end_of_case(row: Any) -> CaseHead:
    return CaseHead(case_id=UUID(row.case_id), seq=row.seq, hash=row.head)


@reads(_CHECKPOINTS)
def _checkpoint(row: Any) -> Checkpoint:
    return Checkpoint(number=row.number, made_at=moment(row.made_at), token=row.token)


@reads(_LEAVES)
def _leaf(row: Any) -> CaseHead:
    return CaseHead(case_id=UUID(row.case_id), seq=row.seq, hash=row.head)


def _standing(row: Any) -> LeafStanding:
    dropped = row.tombstone is not None
    # Of a dropped log only its end is left, at the case.
    stored = row.case_head if dropped and row.case_seq == row.seq else row.stored
    return LeafStanding(
        leaf=_leaf(row),
        stored=stored,
        case_seq=row.case_seq,
        dropped=dropped,
    )


def _too_late(number: int) -> Conflict:
    return Conflict(
        Text(
            f"Den Prüfpunkt {number} hat ein anderer Knoten schon gesetzt.",
            f"Checkpoint {number} was made by another node already.",
        ),
        slug="checkpoint-exists",
    )
