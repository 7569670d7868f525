"""Findings: what lies still although somebody should have moved it, looked for in the rows and kept with its beginning.

Each look reads what there is now and writes the difference: what is new begins, what is there still is seen, what is gone
ends. So it may be done by any node, any number of times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, false, func, or_, select, true, update

from hub.model import Scope, State, Subject, service_names
from hub.model.usage import day_of, span_of
from hub.store import tables
from hub.store.database import Database, maybe_moment, micros, moment
from hub.store.records import DeliveryState
from hub.store.scopes import destination_within, within
from hub.store.statements import Insert

_FINDINGS = tables.findings
_USAGE = tables.usage
_MESSAGES = tables.messages
_DELIVERIES = tables.deliveries
_DESTINATIONS = tables.destinations
_CALLBACKS = tables.callbacks
_PUT = Insert(
    _FINDINGS,
    "ON CONFLICT (kind, about) DO UPDATE SET number = excluded.number, oldest_at = excluded.oldest_at, "
    "begun_at = CASE WHEN findings.ended_at IS NULL THEN findings.begun_at ELSE excluded.begun_at END, "
    "seen_at = excluded.seen_at, ended_at = NULL",
)
#: Days on which a sender sent within four weeks, from which on its silence means something.
_REGULAR = 8
_MONTH = timedelta(days=28)
#: Ended findings are forgotten after this.
_KEPT = timedelta(days=90)
#: What was delivered and never answered for so long is no news any more; its case is dropped some day.
_OLDEST = timedelta(days=365)


class FindingKind(StrEnum):
    """What lies still."""

    #: Delivered, and the authority's system says nothing of it.
    SILENT = "silent"
    #: In a mailbox that nobody empties.
    MAILBOX = "mailbox"
    #: Given up; a person has to decide.
    GIVEN_UP = "given-up"
    #: Callbacks that an address did not take.
    CALLBACKS = "callbacks"
    #: A sender that sent regularly, and does not any more.
    SENDER = "sender"
    #: A destination that is in use and gets nothing.
    UNUSED = "unused"
    #: Taken over by the authority, which has written nothing since: no decision for as long as its service says.
    DECISION = "decision"


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchPatience:
    """How long something may lie before it is found; zero: it is not looked for."""

    silent: timedelta = timedelta(days=7)
    mailbox: timedelta = timedelta(days=3)
    sender: timedelta = timedelta(days=14)
    unused: timedelta = timedelta(days=90)


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchFinding:
    """What was found of a destination or client: how much, since when the oldest lies, when it was found first and last."""

    kind: FindingKind
    about: str
    number: int
    oldest_at: datetime
    begun_at: datetime
    seen_at: datetime
    ended_at: datetime | None = None


class Findings:
    """Looks for what lies still, and keeps what was found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look(self, now: datetime, patience: WatchPatience, decisions: Mapping[str, timedelta] | None = None) -> int:
        """Find what lies still now, and write what changed; return how many findings there are.

        ``decisions`` says of services (URN) how long a decision may take. To look for those that are due reads a year's
        submissions; without it, what was found of them before stays.
        """
        queries = _queries(now, patience)
        if decisions:
            queries[FindingKind.DECISION] = _undecided(now, decisions)
        stays = false() if decisions is not None else _FINDINGS.c.kind == FindingKind.DECISION.value
        found = self._database.read(lambda connection: _found(connection, queries))

        def write(connection: Connection) -> int:
            for (kind, about), (number, oldest) in sorted(found.items()):
                row = {"kind": kind.value, "about": about, "number": number, "oldest_at": oldest, "ended_at": None}
                _PUT(connection, row | {"begun_at": micros(now), "seen_at": micros(now)})
            # What this look did not see is over; one that looked later has seen it later.
            open_ = and_(_FINDINGS.c.ended_at.is_(None), _FINDINGS.c.seen_at < micros(now))
            there = connection.execute(update(_FINDINGS).where(open_, stays).values(seen_at=micros(now))).rowcount
            connection.execute(update(_FINDINGS).where(open_, ~stays).values(ended_at=micros(now)))
            connection.execute(delete(_FINDINGS).where(_FINDINGS.c.ended_at < micros(now - _KEPT)))
            return len(found) + there

        return self._database.write(write)

    def open(
        self, *, kind: FindingKind | None = None, about: str | None = None, scope: Scope, limit: int = 500
    ) -> list[WatchFinding]:
        """Return what lies still at destinations and of senders within a scope, what lies longest first."""
        columns = _FINDINGS.c
        statement = (
            select(_FINDINGS)
            .where(
                columns.ended_at.is_(None),
                true() if kind is None else columns.kind == kind.value,
                true() if about is None else columns.about == about,
                _of(scope),
            )
            .order_by(columns.oldest_at, columns.kind, columns.about)
            .limit(limit)
        )
        return self._database.all(statement, _FINDINGS, _finding)

    def counts(self, *, scope: Scope) -> dict[FindingKind, int]:
        """Return how many destinations or senders each kind is open for."""
        columns = _FINDINGS.c
        statement = (
            select(columns.kind, func.count()).where(columns.ended_at.is_(None), _of(scope)).group_by(columns.kind)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return {FindingKind(kind): number for kind, number in rows if kind in set(FindingKind)}


def _of(scope: Scope) -> ColumnElement[bool]:
    if scope.is_everything:
        return true()
    theirs = select(tables.clients.c.client_id).where(within(tables.clients, scope))
    return or_(destination_within(_FINDINGS.c.about, scope), _FINDINGS.c.about.in_(theirs))


def _found(
    connection: Connection, queries: Mapping[FindingKind, Select[Any]]
) -> dict[tuple[FindingKind, str], tuple[int, int]]:
    found = {}
    for kind, query in queries.items():
        for about, number, oldest in connection.execute(query):
            at = micros(span_of(date.fromisoformat(oldest))[0]) if isinstance(oldest, str) else int(oldest)
            found[kind, about] = (int(number), at)
    return found


def _queries(now: datetime, patience: WatchPatience) -> dict[FindingKind, Select[Any]]:
    """Return of each kind the query for (about, number, oldest)."""
    queries = {FindingKind.GIVEN_UP: _given_up(), FindingKind.CALLBACKS: _callbacks(now)}
    if patience.silent:
        queries[FindingKind.SILENT] = _silent(now - patience.silent, now - _OLDEST)
    if patience.mailbox:
        queries[FindingKind.MAILBOX] = _mailbox(now - patience.mailbox)
    if patience.sender:
        queries[FindingKind.SENDER] = _senders(now, patience.sender)
    if patience.unused:
        queries[FindingKind.UNUSED] = _unused(now - patience.unused)
    return queries


def _given_up() -> Select[Any]:
    columns = _DELIVERIES.c
    return (
        select(columns.destination_id, func.count(), func.min(columns.accepted_at))
        .where(tables.undelivered(), columns.state == DeliveryState.DEAD.value, _still_waits(columns.submission_id))
        .group_by(columns.destination_id)
    )


def _still_waits(submission_id: Any) -> ColumnElement[bool]:
    """The condition that a delivery's submission has no answer: what was answered in the meantime is nobody's to do."""
    return submission_id.in_(select(_MESSAGES.c.message_id).where(tables.waiting()))  # type: ignore[no-any-return]


def _silent(before: datetime, after: datetime) -> Select[Any]:
    delivered = _DELIVERIES.c
    return (
        select(_MESSAGES.c.destination_id, func.count(), func.min(delivered.finished_at))
        .join(_DELIVERIES, delivered.submission_id == _MESSAGES.c.message_id)
        .where(
            tables.waiting(),
            _MESSAGES.c.kind == Subject.SUBMISSION.value,
            delivered.state == DeliveryState.DELIVERED.value,
            delivered.finished_at < micros(before),
            delivered.finished_at >= micros(after),
        )
        .group_by(_MESSAGES.c.destination_id)
    )


def _undecided(now: datetime, decisions: Mapping[str, timedelta]) -> Select[Any]:
    """What was taken over, and nothing was written back or handed on since. What retention deleted is meant, too.

    The hub cannot read replies: any of them counts as the decision.
    """
    columns, reply, gone = _MESSAGES.c, _MESSAGES.alias(), tables.deletions.c
    late = or_(
        *(
            and_(columns.service_identifier.in_(service_names(service)), columns.finished_at < micros(now - patience))
            for service, patience in sorted(decisions.items())
        )
    )
    accepted = State.ACCEPTED.value
    remembered = select(gone.message_id).where(gone.message_id == columns.message_id, gone.state == accepted).exists()
    written = select(reply.c.message_id).where(
        reply.c.case_id == columns.case_id,
        reply.c.kind == Subject.REPLY.value,
        reply.c.state != State.INCOMPLETE.value,
    )
    onward = select(tables.forwardings.c.from_case_id).where(tables.forwardings.c.from_case_id == columns.case_id)
    return (
        select(columns.destination_id, func.count(), func.min(columns.finished_at))
        .where(
            columns.kind == Subject.SUBMISSION.value,
            or_(columns.state == accepted, and_(columns.state == State.DELETED.value, remembered)),
            columns.finished_at >= micros(now - _OLDEST),
            late,
            ~written.exists(),
            ~onward.exists(),
        )
        .group_by(columns.destination_id)
    )


def _mailbox(before: datetime) -> Select[Any]:
    waits = _DELIVERIES.c
    return (
        select(_MESSAGES.c.destination_id, func.count(), func.min(_MESSAGES.c.submitted_at))
        .join(_DELIVERIES, waits.submission_id == _MESSAGES.c.message_id)
        .where(
            tables.waiting(),
            tables.undelivered(),
            waits.state == DeliveryState.WAITING.value,
            _MESSAGES.c.collected_at.is_(None),
            _MESSAGES.c.submitted_at < micros(before),
        )
        .group_by(_MESSAGES.c.destination_id)
    )


def _callbacks(now: datetime) -> Select[Any]:
    columns = _CALLBACKS.c
    return (
        select(columns.party, func.count(), func.min(columns.created_at))
        .where(columns.state == DeliveryState.DEAD.value, columns.created_at >= micros(now - _MONTH))
        .group_by(columns.party)
    )


def _senders(now: datetime, quiet: timedelta) -> Select[Any]:
    """Senders that sent on several days within the four weeks before they fell silent."""
    day, last = _USAGE.c.day, func.max(_USAGE.c.day)
    since, quiet_since = day_of(now - quiet - _MONTH).isoformat(), day_of(now - quiet).isoformat()
    return (
        select(_USAGE.c.sender, func.count(day.distinct()), last)
        .where(day >= since)
        .group_by(_USAGE.c.sender)
        .having(func.count(day.distinct()) >= _REGULAR, last < quiet_since)
    )


def _unused(before: datetime) -> Select[Any]:
    columns = _DESTINATIONS.c
    used = select(_USAGE.c.destination_id).where(_USAGE.c.day >= day_of(before).isoformat())
    return (
        select(columns.destination_id, func.count(), func.min(columns.created_at))
        .where(columns.status == "active", columns.created_at < micros(before), columns.destination_id.not_in(used))
        .group_by(columns.destination_id)
    )


def _finding(row: Any) -> WatchFinding:
    return WatchFinding(
        kind=FindingKind(row.kind),
        about=row.about,
        number=row.number,
        oldest_at=moment(row.oldest_at),
        begun_at=moment(row.begun_at),
        seen_at=moment(row.seen_at),
        ended_at=maybe_moment(row.ended_at),
    )


def by_destination(found: Sequence[WatchFinding]) -> dict[UUID, list[WatchFinding]]:
    """Return the findings that are about destinations, by their ids."""
    grouped: dict[UUID, list[WatchFinding]] = {}
    for each in found:
        try:
            grouped.setdefault(UUID(each.about), []).append(each)
        except ValueError:
            continue
    return grouped
