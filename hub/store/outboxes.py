"""The outboxes of callbacks and notices, and what they have in common.

What outboxes have in common: rows that are due, leased to one node at a time, tried again, and over at last.

One column runs each, as in the queue of deliveries: ``next_attempt_at`` is due, leased (pushed forward at claim) or NULL.

Notices to people: decided, audited and put into the outbox in one transaction, so that none of it stands alone.

The outbox of callbacks: written with the events that cause them, sent later, under leases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    delete,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)

from hub.errors import not_found
from hub.model import Subject
from hub.store import tables
from hub.store.audit import AuditEntry, write_audit
from hub.store.database import (
    Database,
    Page,
    Unreadables,
    clamp,
    from_json,
    in_postgresql,
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    reads,
    require_types,
    stumble,
    to_json,
)
from hub.store.records import (
    CallbackClaim,
    CallbackView,
    DeliveryState,
    Lagging,
    Notice,
    NoticeClaim,
    NoticeKind,
    NoticeView,
    OutgoingCallback,
)
from hub.store.statements import Insert, Query

R = TypeVar("R")

_CLAIM = """
UPDATE {table}
SET next_attempt_at = :until, leased_by = :node, fencing = fencing + 1,
    attempts = attempts + CASE WHEN leased_by IS NULL THEN 0 ELSE 1 END
WHERE {key} IN (
    SELECT {key} FROM {table} WHERE next_attempt_at <= :now ORDER BY next_attempt_at LIMIT :limit {lock}
)
RETURNING *
"""

#: The same, fair over parties: each gets the room that its attempts under way leave, and everybody's first come before
#: anybody's second; who goes first is drawn. Parties are found by jumping along the index of what is not over, so that the
#: cost grows with their number and not with a backlog.
_CLAIM_FAIRLY = """
WITH RECURSIVE parties (party) AS (
    SELECT min(party) FROM {table} WHERE next_attempt_at IS NOT NULL
    UNION ALL
    SELECT (SELECT min(q.party) FROM {table} q WHERE q.next_attempt_at IS NOT NULL AND q.party > p.party)
    FROM parties p WHERE p.party IS NOT NULL
),
seats AS (
    SELECT p.party, (
        SELECT count(*) FROM {table} b WHERE b.party = p.party AND b.leased_by IS NOT NULL AND b.next_attempt_at > :now
    ) AS busy
    FROM parties p WHERE p.party IS NOT NULL
),
{candidates}
UPDATE {table}
SET next_attempt_at = :until, leased_by = :node, fencing = fencing + 1,
    attempts = attempts + CASE WHEN leased_by IS NULL THEN 0 ELSE 1 END
WHERE {key} IN (SELECT {key} FROM candidates WHERE place <= :share ORDER BY place, random() LIMIT :limit)
RETURNING *
"""
_CANDIDATES_SQLITE = """candidates AS (
    SELECT q.{key},
        s.busy + row_number() OVER (PARTITION BY q.party ORDER BY q.next_attempt_at, q.{key}) AS place
    FROM seats s JOIN {table} q ON q.{key} IN (
        SELECT d.{key} FROM {table} d WHERE d.party = s.party AND d.next_attempt_at <= :now
        ORDER BY d.next_attempt_at LIMIT :share
    )
    WHERE s.busy < :share
)"""
_CANDIDATES_POSTGRESQL = """candidates AS MATERIALIZED (
    SELECT q.{key},
        s.busy + row_number() OVER (PARTITION BY s.party ORDER BY q.next_attempt_at, q.{key}) AS place
    FROM seats s CROSS JOIN LATERAL (
        SELECT d.{key}, d.next_attempt_at FROM {table} d WHERE d.party = s.party AND d.next_attempt_at <= :now
        ORDER BY d.next_attempt_at LIMIT :share FOR UPDATE SKIP LOCKED
    ) q
    WHERE s.busy < :share
)"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Telling:
    """One decision to tell people: what the audit log keeps of it, and a notice for each recipient."""

    entry: AuditEntry
    notices: tuple[Notice, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxAttempt:
    """What came of an attempt: ``sent``, or again at ``next_attempt_at``, or (None) given up."""

    sent: bool
    next_attempt_at: datetime | None
    note: str
    now: datetime

    @property
    def given_up(self) -> bool:
        """Whether this was the last attempt, in vain."""
        return not self.sent and self.next_attempt_at is None


class OutgoingQueue:
    """Claims and records over one table, whose rows are named by the column ``key``."""

    def __init__(self, table: Table, key: str) -> None:
        self._table = table
        self._key = table.c[key]
        names = {"table": table.name, "key": key}
        due = f"SELECT 1 AS due FROM {table.name} WHERE next_attempt_at <= :now LIMIT 1"  # noqa: S608  # our own table
        self._due = Query(sqlite=due, postgresql=due, columns=["due"])
        self._claim = {
            locked: text(_CLAIM.format(**names, lock="FOR UPDATE SKIP LOCKED" if locked else ""))
            for locked in (False, True)
        }
        self._claim_fairly = {
            locked: text(_CLAIM_FAIRLY.format(**names, candidates=candidates.format(**names)))
            for locked, candidates in ((False, _CANDIDATES_SQLITE), (True, _CANDIDATES_POSTGRESQL))
        }

    def due(self, database: Database, now: datetime) -> bool:
        """Whether anything is due: a look, where asking for a lease would be a transaction of the one writer."""
        return database.glance(self._due, {"now": micros(now)}) is not None

    def claim(
        self,
        connection: Connection,
        now: datetime,
        *,
        lease: timedelta,
        node: str,
        limit: int,
        share: int | None = None,
    ) -> Sequence[Any]:
        """Lease up to ``limit`` due rows to ``node``, the longest due first, and return them oldest first.

        With a ``share``, for tables with a column ``party``: fair over parties, none of which has more than that under way
        on all nodes (nodes that claim in the same instant may exceed it by what they took).
        """
        values = {"now": micros(now), "until": micros(now + lease), "node": node, "limit": clamp(limit)}
        shared = in_postgresql(connection)
        if share is None:
            rows = connection.execute(self._claim[shared], values).all()
        else:
            rows = connection.execute(self._claim_fairly[shared], values | {"share": share}).all()
        # An ill-typed time is found out where it is read.
        return sorted(rows, key=lambda row: row.created_at if isinstance(row.created_at, int) else 0)

    def postpone(self, connection: Connection, keys: Mapping[UUID, int], until: datetime) -> int:
        """Give back what was not attempted, until when it waits; ``keys`` tell the number of each lease. Return how many."""
        waits = {"next_attempt_at": micros(until), "leased_by": None}
        done = 0
        for key, fencing in keys.items():
            ours = and_(self._key == str(key), self._table.c.fencing == fencing, self._table.c.leased_by.is_not(None))
            done += connection.execute(update(self._table).where(ours).values(waits)).rowcount
        return done

    def give_up(self, connection: Connection, row: Any, column: str, now: datetime) -> None:
        """End what was leased and cannot be read; the note names the column."""
        over = {
            "state": DeliveryState.DEAD.value,
            "next_attempt_at": None,
            "leased_by": None,
            "note": f"column {column} cannot be read by this version",
            "finished_at": micros(now),
        }
        ours = and_(self._key == getattr(row, self._key.name), self._table.c.fencing == row.fencing)
        connection.execute(update(self._table).where(ours).values(over))

    def readable(
        self,
        connection: Connection,
        rows: Iterable[Any],
        read: Callable[[Any], R],
        now: datetime,
        *,
        unreadables: Unreadables,
    ) -> list[R]:
        """Return what was leased and can be read; what cannot is given up, counted and logged."""

        def typed(row: Any) -> R:
            require_types(row, self._table)
            return read(row)

        found = []
        for row in rows:
            try:
                found.append(typed(row))
            except Exception:  # noqa: BLE001  # whatever it is, it is one row's
                _, column = stumble(typed, [(self._table.name, row)])
                self.give_up(connection, row, column, now)
                unreadables.note(self._table.name, row[0], column)
        return found

    def record(self, connection: Connection, key: UUID, *, fencing: int, attempt: int, tried: OutboxAttempt) -> bool:
        """Record attempt number ``attempt``; False, and nothing written, if the lease was lost."""
        ours = and_(self._key == str(key), self._table.c.fencing == fencing, self._table.c.leased_by.is_not(None))
        statement = update(self._table).where(ours).values(_progress(attempt, tried))
        return connection.execute(statement).rowcount == 1


def fresh(created_at: datetime) -> dict[str, Any]:
    """Return the columns of a row that is due at once."""
    return {
        "state": DeliveryState.QUEUED.value,
        "next_attempt_at": micros(created_at),
        "fencing": 0,
        "leased_by": None,
        "attempts": 0,
        "note": "",
        "created_at": micros(created_at),
        "finished_at": None,
    }


def _progress(attempt: int, tried: OutboxAttempt) -> dict[str, Any]:
    state = DeliveryState.QUEUED
    if tried.sent or tried.given_up:
        state = DeliveryState.DELIVERED if tried.sent else DeliveryState.DEAD
    return {
        "state": state.value,
        "next_attempt_at": None if tried.sent else maybe_micros(tried.next_attempt_at),
        "leased_by": None,
        "attempts": attempt,
        "note": tried.note,
        "finished_at": None if state is DeliveryState.QUEUED else micros(tried.now),
    }


_NOTICES = tables.notices
_MESSAGES = tables.messages
_DELIVERIES = tables.deliveries
_DESTINATIONS = tables.destinations
#: A notice's id follows from its occasion: of two who decide the same, one writes it.
_INSERT_NOTICE = Insert(_NOTICES, "ON CONFLICT (notice_id) DO NOTHING")
_NOTICE_QUEUE = OutgoingQueue(_NOTICES, "notice_id")


class Notices:
    """Who is told of what, and what came of the mails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lagging(self, kind: NoticeKind, before: datetime, *, number: int) -> list[Lagging]:
        """Return the destinations of which notice ``number`` is due: something lags there since before ``before``.

        ``kind`` says what: ``UNCOLLECTED`` in a mailbox, or ``OVERDUE`` on its way. What got as many notices is not counted.
        """
        due, age = _due(kind, before, number)
        statement = _summed(age).where(due).group_by(_MESSAGES.c.destination_id).order_by(_MESSAGES.c.destination_id)
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return self._database.unreadables.each(_MESSAGES, rows, _lagging)

    def give(
        self,
        kind: NoticeKind,
        before: datetime,
        *,
        destination_id: UUID,
        number: int,
        make: Callable[[Lagging], Telling],
    ) -> int:
        """Give notice ``number`` of all that lags at a destination, as ``make`` words it; return how much that is.

        0 and nothing written if nothing lags any more, or if this notice has been given: then what lags waits for the
        next occasion. ``make`` is pure.
        """
        due, age = _due(kind, before, number)
        here = and_(due, _MESSAGES.c.destination_id == str(destination_id))

        def write(connection: Connection) -> int:
            row = connection.execute(_summed(age).where(here).group_by(_MESSAGES.c.destination_id)).first()
            if row is None:
                return 0
            telling = make(_lagging(row))
            if write_notices(connection, telling.notices) < len(telling.notices):
                return 0
            noticed = select(_MESSAGES.c.message_id).join(*_WITH_DELIVERY, isouter=True).where(here)
            noted = update(_MESSAGES).where(_MESSAGES.c.message_id.in_(noticed)).values(notices=number)
            connection.execute(noted)
            write_audit(connection, telling.entry)
            return int(row.number)

        return self._database.write(write)

    def write(self, telling: Telling) -> int:
        """Write a decision to tell people, unless it was written before; return how many notices are new."""

        def write(connection: Connection) -> int:
            given = write_notices(connection, telling.notices)
            if given:
                write_audit(connection, telling.entry)
            return given

        return self._database.write(write)

    def claim(self, now: datetime, *, lease: timedelta, node: str, limit: int) -> list[NoticeClaim]:
        """Lease up to ``limit`` due notices to ``node``, the longest due first."""

        def write(connection: Connection) -> list[NoticeClaim]:
            rows = _NOTICE_QUEUE.claim(connection, now, lease=lease, node=node, limit=limit)
            return _NOTICE_QUEUE.readable(connection, rows, _notice_claim, now, unreadables=self._database.unreadables)

        return self._database.write(write) if _NOTICE_QUEUE.due(self._database, now) else []

    def record(self, claim: NoticeClaim, tried: OutboxAttempt) -> bool:
        """Record an attempt to mail a notice; False if the lease was lost."""
        key = claim.notice.notice_id
        return self._database.write(
            lambda connection: _NOTICE_QUEUE.record(
                connection, key, fencing=claim.fencing, attempt=claim.attempt, tried=tried
            )
        )

    def given(self, *, about: str | None = None, offset: int = 0, limit: int = 100) -> Page[NoticeView]:
        """Return one page of notices (about one party, if it is named), newest first."""
        statement = select(_NOTICES)
        if about is not None:
            statement = statement.where(_NOTICES.c.about == about)
        ordered = statement.order_by(_NOTICES.c.created_at.desc(), _NOTICES.c.notice_id)
        return self._database.page(ordered, _view, offset=offset, limit=limit)

    def forget(self, before: datetime) -> int:
        """Delete notices that were over before ``before``; return how many. The audit log keeps what was decided."""
        old = delete(_NOTICES).where(_NOTICES.c.finished_at < micros(before))
        return self._database.write(lambda connection: connection.execute(old).rowcount)


def write_telling(connection: Connection, telling: Telling) -> None:
    """Write a decision to tell people, within the transaction of what they are told of; a notice given before stays."""
    write_notices(connection, telling.notices)
    write_audit(connection, telling.entry)


def write_notices(connection: Connection, given: tuple[Notice, ...]) -> int:
    """Put notices into the outbox, due at once; return how many had not been given before."""
    return sum(_INSERT_NOTICE(connection, _notice_row(notice)) for notice in given)


_WITH_DELIVERY = (_DELIVERIES, _DELIVERIES.c.submission_id == _MESSAGES.c.message_id)


def _summed(age: ColumnElement[Any]) -> Select[Any]:
    """Return the query of how much lags, for conditions over messages and their deliveries."""
    return select(
        _MESSAGES.c.destination_id, func.count().label("number"), func.min(age).label("oldest_at")
    ).select_from(_MESSAGES.outerjoin(*_WITH_DELIVERY))


def _due(kind: NoticeKind, before: datetime, number: int) -> tuple[ColumnElement[bool], ColumnElement[Any]]:
    """Return what lags, as a condition, and the column that says since when."""
    noticed_less = and_(tables.waiting(), _MESSAGES.c.notices < number)
    if kind is NoticeKind.OVERDUE:
        on_its_way = and_(tables.undelivered(), _DELIVERIES.c.state == DeliveryState.QUEUED.value)
        age: ColumnElement[Any] = _DELIVERIES.c.accepted_at
        return and_(noticed_less, on_its_way, age < micros(before)), age
    age = _MESSAGES.c.submitted_at
    in_mailbox = or_(_DELIVERIES.c.state.is_(None), _DELIVERIES.c.state == DeliveryState.WAITING.value)
    # A reply may wait for the online service; the authority is reminded of its own only.
    owner = select(_DESTINATIONS.c.owner).where(_DESTINATIONS.c.destination_id == _MESSAGES.c.destination_id)
    its_own = or_(_MESSAGES.c.kind == Subject.SUBMISSION.value, _MESSAGES.c.addressee == owner.scalar_subquery())
    # What was pushed and never answered stays open for years; it is told apart by its contents, which are gone.
    there = and_(_MESSAGES.c.collected_at.is_(None), _MESSAGES.c.deleted_at.is_(None))
    return and_(noticed_less, there, in_mailbox, its_own, age < micros(before)), age


def _lagging(row: Any) -> Lagging:
    return Lagging(destination_id=UUID(row.destination_id), number=row.number, oldest_at=moment(row.oldest_at))


def _notice_row(notice: Notice) -> dict[str, Any]:
    row = fresh(notice.created_at) | {
        "notice_id": str(notice.notice_id),
        "kind": notice.kind.value,
        "about": notice.about,
        "recipient": notice.recipient,
        "facts": to_json(dict(notice.facts)),
    }
    if notice.recipient:
        return row
    over = {"next_attempt_at": None, "finished_at": micros(notice.created_at)}
    return row | {"state": DeliveryState.WAITING.value} | over


@reads(_NOTICES)
def _notice(row: Any) -> Notice:
    return Notice(
        notice_id=UUID(row.notice_id),
        kind=NoticeKind(row.kind),
        about=row.about,
        recipient=row.recipient,
        facts=from_json(row.facts),
        created_at=moment(row.created_at),
    )


def _notice_claim(row: Any) -> NoticeClaim:
    return NoticeClaim(notice=_notice(row), node=row.leased_by, attempt=row.attempts + 1, fencing=row.fencing)


@reads(_NOTICES)
def _view(row: Any) -> NoticeView:
    return NoticeView(
        notice=_notice(row),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        note=row.note,
        finished_at=maybe_moment(row.finished_at),
    )


_CALLBACKS = tables.callbacks
_INSERT_CALLBACK = Insert(_CALLBACKS)
_CALLBACK_QUEUE = OutgoingQueue(_CALLBACKS, "callback_id")
#: Callbacks of one case that are shown at once.
_SHOWN = 100


class Callbacks:
    """Callbacks to send, and what came of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, callback: OutgoingCallback) -> None:
        """Put a callback into the outbox, due at once."""
        self._database.write(lambda connection: write_callbacks(connection, [callback]))

    def claim(
        self, now: datetime, *, lease: timedelta, node: str, limit: int, share: int | None = None
    ) -> list[CallbackClaim]:
        """Lease up to ``limit`` due callbacks to ``node``, the longest due first.

        With a ``share`` fair over parties, of each of which at most so many are under way on all nodes.
        """

        def write(connection: Connection) -> list[CallbackClaim]:
            rows = _CALLBACK_QUEUE.claim(connection, now, lease=lease, node=node, limit=limit, share=share)
            return _CALLBACK_QUEUE.readable(
                connection, rows, _callback_claim, now, unreadables=self._database.unreadables
            )

        return self._database.write(write) if _CALLBACK_QUEUE.due(self._database, now) else []

    def postpone(self, claims: Sequence[CallbackClaim], until: datetime) -> int:
        """Give back callbacks that were not attempted; they are due again at ``until``, and no attempt is counted."""
        keys = {claim.callback.callback_id: claim.fencing for claim in claims}
        return self._database.write(lambda connection: _CALLBACK_QUEUE.postpone(connection, keys, until))

    def record(
        self,
        claim: CallbackClaim,
        *,
        sent: bool,
        next_attempt_at: datetime | None,
        note: str,
        now: datetime,
        telling: Telling | None = None,
    ) -> bool:
        """Record an attempt: sent, again at ``next_attempt_at``, or (None) given up; False if the lease was lost.

        ``telling`` is written with it: what people are told of a callback that was given up.
        """
        tried = OutboxAttempt(sent=sent, next_attempt_at=next_attempt_at, note=note, now=now)
        key = claim.callback.callback_id

        def write(connection: Connection) -> bool:
            kept = _CALLBACK_QUEUE.record(connection, key, fencing=claim.fencing, attempt=claim.attempt, tried=tried)
            if kept and telling is not None:
                write_telling(connection, telling)
            return kept

        return self._database.write(write)

    def dead(self, *, party: str | None = None, offset: int = 0, limit: int = 100) -> Page[OutgoingCallback]:
        """Return one page of callbacks (to ``party``, if it is named) that were given up, oldest first."""
        statement = select(_CALLBACKS).where(_CALLBACKS.c.state == literal_column("'dead'"))
        if party is not None:
            statement = statement.where(_CALLBACKS.c.party == party)
        ordered = statement.order_by(_CALLBACKS.c.created_at, _CALLBACKS.c.callback_id)
        return self._database.page(ordered, _callback, offset=offset, limit=limit)

    def of_case(self, case_id: UUID) -> list[CallbackView]:
        """Return what became of a case's callbacks, the newest first; the oldest of very many are left out."""
        here = _CALLBACKS.c.case_id == str(case_id)
        statement = select(_CALLBACKS).where(here).order_by(_CALLBACKS.c.created_at.desc()).limit(_SHOWN)
        return self._database.all(statement, _CALLBACKS, to_view)

    def redrive(self, callback_id: UUID, now: datetime) -> bool:
        """Make a callback that was given up due again; False if it was not given up. ``NotFound`` for an unknown one."""
        here = _CALLBACKS.c.callback_id == str(callback_id)
        again = {"state": DeliveryState.QUEUED.value, "next_attempt_at": micros(now), "finished_at": None}

        def write(connection: Connection) -> bool:
            dead = _CALLBACKS.c.state == DeliveryState.DEAD.value
            if connection.execute(update(_CALLBACKS).where(here, dead).values(again)).rowcount:
                return True
            if connection.execute(select(_CALLBACKS.c.callback_id).where(here)).first() is None:
                raise not_found("callback-not-found", callback_id)
            return False

        return self._database.write(write)

    def resend(
        self,
        case_id: UUID,
        message_id: UUID,
        *,
        party: str | None,
        most: int,
        settled_before: datetime,
        now: datetime,
        audit: Callable[[int], AuditEntry],
    ) -> int:
        """Make the newest callbacks about a message due again, ``most`` at most, whether they arrived or were given up.

        Those to ``party`` alone, if it is named, and none that was under way after ``settled_before``. Returns how many; the
        entry that ``audit`` makes of that is written with it.
        """
        columns = _CALLBACKS.c
        ended = columns.state.in_([DeliveryState.DELIVERED.value, DeliveryState.DEAD.value])
        wanted = [
            columns.case_id == str(case_id),
            columns.body.contains(str(message_id)),
            ended,
            columns.finished_at <= micros(settled_before),
            *([] if party is None else [columns.party == party]),
        ]
        newest = select(columns.callback_id).where(*wanted).order_by(columns.created_at.desc()).limit(most)
        again = {"state": DeliveryState.QUEUED.value, "next_attempt_at": micros(now), "finished_at": None}

        def write(connection: Connection) -> int:
            here = columns.callback_id.in_(connection.execute(newest).scalars().all())
            # Once more whether it ended: of two who ask at once, one is heard.
            number = connection.execute(update(_CALLBACKS).where(here, ended).values(again)).rowcount
            if number:
                write_audit(connection, audit(number))
            return number

        return self._database.write(write)

    def forget(self, before: datetime) -> int:
        """Delete callbacks that ended before ``before``; return how many."""
        old = delete(_CALLBACKS).where(_CALLBACKS.c.finished_at < micros(before))
        return self._database.write(lambda connection: connection.execute(old).rowcount)


def write_callbacks(connection: Connection, callbacks: Sequence[OutgoingCallback]) -> None:
    """Put callbacks into the outbox, due at once."""
    _INSERT_CALLBACK(connection, *(_callback_row(callback) for callback in callbacks))


def _callback_row(callback: OutgoingCallback) -> dict[str, Any]:
    return fresh(callback.created_at) | {
        "callback_id": str(callback.callback_id),
        "party": callback.party,
        "case_id": None if callback.case_id is None else str(callback.case_id),
        "url": callback.url,
        "secret": callback.secret,
        "body": callback.body,
    }


@reads(_CALLBACKS)
def _callback(row: Any) -> OutgoingCallback:
    return OutgoingCallback(
        callback_id=UUID(row.callback_id),
        party=row.party,
        url=row.url,
        secret=row.secret,
        body=row.body,
        created_at=moment(row.created_at),
        case_id=None if row.case_id is None else UUID(row.case_id),
    )


def _callback_claim(row: Any) -> CallbackClaim:
    return CallbackClaim(callback=_callback(row), node=row.leased_by, attempt=row.attempts + 1, fencing=row.fencing)


@reads(_CALLBACKS)
def to_view(row: Any) -> CallbackView:
    """Return a callback of a row, and what became of it."""
    return CallbackView(
        callback=_callback(row),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        note=row.note,
        next_attempt_at=maybe_moment(row.next_attempt_at),
        finished_at=maybe_moment(row.finished_at),
    )
