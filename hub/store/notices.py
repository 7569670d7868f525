"""Notices to people: decided, audited and put into the outbox in one transaction, so that none of it stands alone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    Select,
    Table,
    Text,
    and_,
    delete,
    func,
    or_,
    select,
    update,
)

from hub.model.events import Subject
from hub.store import tables
from hub.store.audit import write_audit
from hub.store.database import Database, from_json, maybe_moment, micros, moment, to_json
from hub.store.outboxes import Outbox, Tried, fresh
from hub.store.records import DeliveryState, Lagging, Notice, NoticeClaim, NoticeKind, NoticeView, Page, Telling
from hub.store.statements import Insert
from hub.store.unreadable import reads

notices = Table(
    "notices",
    tables.metadata,
    Column("notice_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("next_attempt_at", BigInteger),
    Column("fencing", Integer, nullable=False),
    Column("leased_by", Text),
    Column("attempts", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
)
tables.partial_index("ix_notices_due", "next_attempt_at IS NOT NULL", notices.c.next_attempt_at)
Index("ix_notices_about", notices.c.about, notices.c.created_at)
Index("ix_notices_finished_at", notices.c.finished_at)

_MESSAGES = tables.messages
_DELIVERIES = tables.deliveries
_DESTINATIONS = tables.destinations
#: A notice's id follows from its occasion: of two who decide the same, one writes it.
_INSERT = Insert(notices, "ON CONFLICT (notice_id) DO NOTHING")
_OUTBOX = Outbox(notices, "notice_id")


class Notices(Database):
    """Who is told of what, and what came of the mails."""

    def lagging(self, kind: NoticeKind, before: datetime, *, number: int) -> list[Lagging]:
        """Return the destinations of which notice ``number`` is due: something lags there since before ``before``.

        ``kind`` says what: ``UNCOLLECTED`` in a mailbox, or ``OVERDUE`` on its way. What got as many notices is not counted.
        """
        due, age = _due(kind, before, number)
        statement = _summed(age).where(due).group_by(_MESSAGES.c.destination_id).order_by(_MESSAGES.c.destination_id)
        rows = self._read(lambda connection: connection.execute(statement).all())
        return self._unreadables.each(_MESSAGES, rows, _lagging)

    def give_notice(
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
            told = select(_MESSAGES.c.message_id).join(*_WITH_DELIVERY, isouter=True).where(here)
            noted = update(_MESSAGES).where(_MESSAGES.c.message_id.in_(told)).values(notices=number)
            connection.execute(noted)
            write_audit(connection, telling.entry)
            return int(row.number)

        return self._write(write)

    def claim_notices(self, now: datetime, *, lease: timedelta, node: str, limit: int) -> list[NoticeClaim]:
        """Lease up to ``limit`` due notices to ``node``, the longest due first."""

        def write(connection: Connection) -> list[NoticeClaim]:
            rows = _OUTBOX.claim(connection, now, lease=lease, node=node, limit=limit)
            return _OUTBOX.readable(connection, rows, _claim, now, unreadables=self._unreadables)

        return self._write(write)

    def record_notice(self, claim: NoticeClaim, tried: Tried) -> bool:
        """Record an attempt to mail a notice; False if the lease was lost."""
        key = claim.notice.notice_id
        return self._write(
            lambda connection: _OUTBOX.record(
                connection, key, fencing=claim.fencing, attempt=claim.attempt, tried=tried
            )
        )

    def notices(self, *, about: str | None = None, offset: int = 0, limit: int = 100) -> Page[NoticeView]:
        """Return one page of notices (about one party, if it is named), newest first."""
        statement = select(notices)
        if about is not None:
            statement = statement.where(notices.c.about == about)
        ordered = statement.order_by(notices.c.created_at.desc(), notices.c.notice_id)
        return self._page(ordered, _view, offset=offset, limit=limit)

    def forget_notices(self, before: datetime) -> int:
        """Delete notices that were over before ``before``; return how many. The audit log keeps what was decided."""
        old = delete(notices).where(notices.c.finished_at < micros(before))
        return self._write(lambda connection: connection.execute(old).rowcount)


def write_telling(connection: Connection, telling: Telling) -> None:
    """Write a decision to tell people, within the transaction of what they are told of; a notice given before stays."""
    write_notices(connection, telling.notices)
    write_audit(connection, telling.entry)


def write_notices(connection: Connection, given: tuple[Notice, ...]) -> int:
    """Put notices into the outbox, due at once; return how many had not been given before."""
    return sum(_INSERT(connection, _row(notice)) for notice in given)


_WITH_DELIVERY = (_DELIVERIES, _DELIVERIES.c.submission_id == _MESSAGES.c.message_id)


def _summed(age: ColumnElement[Any]) -> Select[Any]:
    """Return the query of how much lags, for conditions over messages and their deliveries."""
    return select(
        _MESSAGES.c.destination_id, func.count().label("number"), func.min(age).label("oldest_at")
    ).select_from(_MESSAGES.outerjoin(*_WITH_DELIVERY))


def _due(kind: NoticeKind, before: datetime, number: int) -> tuple[ColumnElement[bool], ColumnElement[Any]]:
    """Return what lags, as a condition, and the column that says since when."""
    told_less = and_(tables.waiting(), _MESSAGES.c.notices < number)
    if kind is NoticeKind.OVERDUE:
        on_its_way = and_(tables.undelivered(), _DELIVERIES.c.state == DeliveryState.QUEUED.value)
        age: ColumnElement[Any] = _DELIVERIES.c.accepted_at
        return and_(told_less, on_its_way, age < micros(before)), age
    age = _MESSAGES.c.submitted_at
    in_mailbox = or_(_DELIVERIES.c.state.is_(None), _DELIVERIES.c.state == DeliveryState.WAITING.value)
    # A reply may wait for the online service; the authority is reminded of its own only.
    owner = select(_DESTINATIONS.c.owner).where(_DESTINATIONS.c.destination_id == _MESSAGES.c.destination_id)
    its_own = or_(_MESSAGES.c.kind == Subject.SUBMISSION.value, _MESSAGES.c.addressee == owner.scalar_subquery())
    # What was pushed and never answered stays open for years; it is told apart by its contents, which are gone.
    there = and_(_MESSAGES.c.collected_at.is_(None), _MESSAGES.c.deleted_at.is_(None))
    return and_(told_less, there, in_mailbox, its_own, age < micros(before)), age


def _lagging(row: Any) -> Lagging:
    return Lagging(destination_id=UUID(row.destination_id), number=row.number, oldest_at=moment(row.oldest_at))


def _row(notice: Notice) -> dict[str, Any]:
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


@reads(notices)
def _notice(row: Any) -> Notice:
    return Notice(
        notice_id=UUID(row.notice_id),
        kind=NoticeKind(row.kind),
        about=row.about,
        recipient=row.recipient,
        facts=from_json(row.facts),
        created_at=moment(row.created_at),
    )


def _claim(row: Any) -> NoticeClaim:
    return NoticeClaim(notice=_notice(row), node=row.leased_by, attempt=row.attempts + 1, fencing=row.fencing)


@reads(notices)
def _view(row: Any) -> NoticeView:
    return NoticeView(
        notice=_notice(row),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        note=row.note,
        finished_at=maybe_moment(row.finished_at),
    )
