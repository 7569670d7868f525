"""Numbers: what pages count and search, and what gauges ask.

What the pages for people count and search: every query takes the scope that bounds it.

Numbers for gauges: how much waits, how much lies here. Each is one query over an index that holds only what waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Select, func, literal_column, or_, select, true

from hub.model import DeadCause, OutcomeKind, Scope, State, Subject, oldest_id, service_names
from hub.store import tables
from hub.store.database import Database, Page, a_moment, clamp, micros, moment
from hub.store.deliveries import _view as delivery_view
from hub.store.deliveries import to_circuit
from hub.store.records import Backlog, Circuit, DeliveryState, DeliveryView, StoredMessage
from hub.store.rows import to_message
from hub.store.scopes import beyond, destination_within

R = TypeVar("R")
_MESSAGES = tables.messages
_DELIVERIES = tables.deliveries
_ATTEMPTS = tables.attempts
_GOOD = (OutcomeKind.DELIVERED.value, OutcomeKind.WAITING.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How many there were in the ``bucket``-th span (from 0) for one destination."""

    destination_id: UUID
    bucket: int
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """What happened in equal spans since ``since``.

    ``accepted``: submissions; ``delivered``: deliveries that the receiver has; ``ended``: those and the given up;
    ``failed``: attempts that came to nothing.
    """

    since: datetime
    span: timedelta
    accepted: tuple[Tally, ...]
    delivered: tuple[Tally, ...]
    ended: tuple[Tally, ...]
    failed: tuple[Tally, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Routed:
    """A submission as far as routing is concerned: ids only."""

    submission_id: UUID
    service: str
    area: str
    destination_id: UUID
    submitted_at: datetime
    table_version: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A search for submissions; empty fields do not narrow it. ``text`` is an id, or the beginning or end of one."""

    text: str = ""
    service: str = ""
    area: str = ""
    destination_id: UUID | None = None
    state: State | None = None
    since: datetime | None = None


class Overview:
    """Reads for people, each bounded by a scope."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def activity(self, *, since: datetime, span: timedelta, scope: Scope) -> Activity:
        """Count per destination and span; each count walks an index from ``since`` on, however much there is before it."""
        messages, deliveries, attempts = _MESSAGES.c, _DELIVERIES.c, _ATTEMPTS.c
        # Delivery ids begin with the time of their submission (UUIDv7), so their primary key serves as an index of time.
        lately = deliveries.delivery_id >= str(oldest_id(since))
        done = deliveries.state == DeliveryState.DELIVERED.value
        over = deliveries.state.in_([DeliveryState.DELIVERED.value, DeliveryState.DEAD.value])
        failed = attempts.outcome.not_in(_GOOD)
        start, width = micros(since), span // timedelta(microseconds=1)

        def tally(at: Any, destination: Any, condition: ColumnElement[bool]) -> Select[Any]:
            bucket = (at - start) // width
            return (
                select(destination.label("destination_id"), bucket.label("bucket"), func.count().label("number"))
                .where(at >= start, condition, destination_within(destination, scope))
                .group_by(destination, bucket)
            )

        tried = tally(attempts.ended_at, deliveries.destination_id, failed).select_from(
            _ATTEMPTS.join(_DELIVERIES, attempts.delivery_id == deliveries.delivery_id)
        )
        came = tally(messages.submitted_at, deliveries.destination_id, lately).select_from(
            _DELIVERIES.join(_MESSAGES, deliveries.submission_id == messages.message_id)
        )
        statements = (
            came,
            tally(deliveries.finished_at, deliveries.destination_id, done),
            tally(deliveries.finished_at, deliveries.destination_id, over),
            tried,
        )

        def read(connection: Connection) -> list[tuple[Tally, ...]]:
            return [
                tuple(self._database.unreadables.each(_DELIVERIES, connection.execute(statement), _tally))
                for statement in statements
            ]

        accepted, delivered, ended, failures = self._database.read(read)
        return Activity(since=since, span=span, accepted=accepted, delivered=delivered, ended=ended, failed=failures)

    def submissions(self, wanted: Wanted, *, scope: Scope, offset: int = 0, limit: int = 50) -> Page[StoredMessage]:
        """Return one page of submissions without contents, newest first."""
        columns = _MESSAGES.c
        conditions: list[ColumnElement[bool]] = [tables.is_submission()]
        if wanted.text:
            text = wanted.text.lower()
            ids = (columns.message_id, columns.case_id)
            meant = [fits(text, autoescape=True) for each in ids for fits in (each.startswith, each.endswith)]
            conditions.append(or_(*meant))
        if wanted.service:
            conditions.append(columns.service_identifier.in_(service_names(wanted.service)))
        if wanted.area:
            conditions.append(columns.area.startswith(wanted.area, autoescape=True))
        if wanted.destination_id is not None:
            conditions.append(columns.destination_id == str(wanted.destination_id))
        if wanted.state is not None:
            conditions.append(columns.state == wanted.state.value)
        if wanted.since is not None:
            conditions.append(columns.created_at >= micros(wanted.since))
        whole = select(_MESSAGES).where(*conditions).order_by(columns.created_at.desc(), columns.message_id)
        return self._scoped(whole, columns.destination_id, to_message, scope=scope, offset=offset, limit=limit)

    def submission(self, submission_id: UUID, *, scope: Scope) -> StoredMessage | None:
        """Return a submission without its contents; None if there is none, or it is not within the scope."""
        statement = select(_MESSAGES).where(
            _MESSAGES.c.message_id == str(submission_id),
            _MESSAGES.c.kind == Subject.SUBMISSION.value,
            destination_within(_MESSAGES.c.destination_id, scope),
        )
        return self._database.one(statement, to_message)

    def dead(
        self, cause: DeadCause | None = None, *, scope: Scope, offset: int = 0, limit: int = 50
    ) -> Page[DeliveryView]:
        """Return one page of dead letters without histories, oldest first."""
        columns = _DELIVERIES.c
        statement = select(_DELIVERIES).where(
            columns.state == DeliveryState.DEAD.value,
            tables.undelivered(),
            true() if cause is None else columns.cause == cause.value,
        )
        whole = statement.order_by(columns.accepted_at, columns.delivery_id)
        return self._scoped(whole, columns.destination_id, delivery_view, scope=scope, offset=offset, limit=limit)

    def _scoped(
        self,
        whole: Select[Any],
        destination: Any,
        convert: Callable[[Any], R],
        *,
        scope: Scope,
        offset: int,
        limit: int,
    ) -> Page[R]:
        """Return one page of what is within a scope; one that leaves nothing out is asked for that, and costs no row more."""
        inside, left_out = whole.where(destination_within(destination, scope)), beyond(scope)
        unfiltered = None if left_out is None else (left_out, whole)
        return self._database.page(inside, convert, offset=offset, limit=limit, whole=unfiltered)

    def dead_causes(self, *, scope: Scope) -> dict[str, int]:
        """Return how many dead letters each cause has."""
        columns = _DELIVERIES.c
        statement = (
            select(columns.cause, func.count())
            .where(
                columns.state == DeliveryState.DEAD.value,
                tables.undelivered(),
                destination_within(columns.destination_id, scope),
            )
            .group_by(columns.cause)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return {cause or DeadCause.HUB.value: number for cause, number in rows}

    def delivery(self, delivery_id: UUID, *, scope: Scope) -> DeliveryView | None:
        """Return a delivery without its history; None if there is none, or it is not within the scope."""
        statement = select(_DELIVERIES).where(
            _DELIVERIES.c.delivery_id == str(delivery_id), destination_within(_DELIVERIES.c.destination_id, scope)
        )
        return self._database.one(statement, delivery_view)

    def waiting(self, *, scope: Scope) -> list[Backlog]:
        """Return how many deliveries of each destination are queued, waiting or dead."""
        columns = _DELIVERIES.c
        statement = (
            select(
                columns.destination_id,
                columns.state,
                func.count().label("number"),
                func.min(columns.accepted_at).label("oldest"),
            )
            .where(tables.undelivered(), destination_within(columns.destination_id, scope))
            .group_by(columns.destination_id, columns.state)
        )
        rows: Sequence[Any] = self._database.read(lambda connection: connection.execute(statement).all())
        return self._database.unreadables.each(_DELIVERIES, rows, _backlog)

    def schema_use(self, *, since: datetime, scope: Scope) -> dict[str, int]:
        """Return how many submissions since then were checked against each schema, by its URI."""
        columns = _MESSAGES.c
        statement = (
            select(columns.schema_uri, func.count())
            .where(
                columns.message_id >= str(oldest_id(since)),
                columns.kind == Subject.SUBMISSION.value,
                columns.schema_uri.is_not(None),
                destination_within(columns.destination_id, scope),
            )
            .group_by(columns.schema_uri)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return {uri: number for uri, number in rows}  # noqa: C416  # a row is no pair to mypy

    def routed(self, *, since: datetime, scope: Scope, limit: int = 20_000) -> list[Routed]:
        """Return the latest submissions since then that were routed by area, newest first."""
        columns = _MESSAGES.c
        statement = (
            select(
                columns.message_id,
                columns.service_identifier,
                columns.area,
                columns.destination_id,
                columns.submitted_at,
                columns.table_version,
            )
            .where(
                columns.kind == Subject.SUBMISSION.value,
                columns.submitted_at >= micros(since),
                columns.area.is_not(None),
                destination_within(columns.destination_id, scope),
            )
            .order_by(columns.submitted_at.desc(), columns.message_id)
            .limit(limit)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return self._database.unreadables.each(_MESSAGES, rows, _routed)

    def routed_counts(
        self, *, since: datetime, scope: Scope, destination: UUID | None = None
    ) -> dict[tuple[str, str], int]:
        """Count all submissions since then that were routed by area, to one destination or any, by (area, service)."""
        columns = _MESSAGES.c
        statement = (
            select(columns.area, columns.service_identifier, func.count())
            .where(
                columns.kind == Subject.SUBMISSION.value,
                columns.submitted_at >= micros(since),
                columns.area.is_not(None),
                true() if destination is None else columns.destination_id == str(destination),
                destination_within(columns.destination_id, scope),
            )
            .group_by(columns.area, columns.service_identifier)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return {(area, service): number for area, service, number in rows}


def _backlog(row: Any) -> Backlog:
    where, state, number, oldest = row.destination_id, row.state, row.number, row.oldest
    return Backlog(destination_id=UUID(where), state=DeliveryState(state), count=number, oldest_at=moment(oldest))


def _routed(row: Any) -> Routed:
    return Routed(
        submission_id=UUID(row.message_id),
        service=row.service_identifier,
        area=row.area,
        destination_id=UUID(row.destination_id),
        submitted_at=moment(row.submitted_at),
        table_version=row.table_version,
    )


def _tally(row: Any) -> Tally:
    return Tally(destination_id=UUID(row.destination_id), bucket=int(row.bucket), count=row.number)


_CALLBACKS = tables.callbacks.c
_NOTICES = tables.notices.c
_CONTENTS = tables.contents.c
_CASES = tables.cases.c
_CIRCUITS = tables.circuits


@dataclass(frozen=True, kw_only=True, slots=True)
class Sums:
    """Callbacks and mails to send and given up, cases beyond their checkpoint, bytes of contents in the blob store."""

    callbacks_pending: int
    callbacks_dead: int
    notices_pending: int
    notices_dead: int
    cases_uncovered: int
    blob_bytes: int


class Figures:
    """Counts and sums over the whole store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sums(self) -> Sums:
        """Return the sums of this moment, read in one snapshot."""
        statements = {
            "callbacks_pending": select(func.count()).where(_CALLBACKS.next_attempt_at.is_not(None)),
            "callbacks_dead": select(func.count()).where(
                _CALLBACKS.finished_at.is_not(None), _CALLBACKS.state == DeliveryState.DEAD.value
            ),
            "notices_pending": select(func.count()).where(_NOTICES.next_attempt_at.is_not(None)),
            "notices_dead": select(func.count()).where(
                _NOTICES.finished_at.is_not(None), _NOTICES.state == DeliveryState.DEAD.value
            ),
            "cases_uncovered": select(func.count()).select_from(tables.cases).where(literal_column("covered < seq")),
            "blob_bytes": select(func.coalesce(func.sum(_CONTENTS.size), 0)).where(_CONTENTS.blob.is_not(None)),
        }

        def read(connection: Connection) -> dict[str, Any]:
            return {name: int(connection.execute(one).scalar_one()) for name, one in statements.items()}

        return Sums(**self._database.read(read))

    def uncovered_since(self) -> datetime | None:
        """Return when the event was written that waits longest for a checkpoint; None if none waits."""
        statement = select(func.min(_CASES.last_event_at)).where(literal_column("covered < seq"))
        return self._database.read(lambda connection: a_moment(connection.execute(statement).scalar()))

    def troubled(self, *, limit: int, scope: Scope) -> list[Circuit]:
        """Return circuits of destinations within a scope that are not closed or count failures, the longest open first."""
        columns = _CIRCUITS.c
        statement = (
            select(_CIRCUITS)
            .where(
                (columns.failures > 0) | columns.open_until.is_not(None),
                destination_within(columns.destination_id, scope),
            )
            .order_by(columns.open_until.desc(), columns.destination_id)
            .limit(clamp(limit))
        )
        return self._database.all(statement, _CIRCUITS, to_circuit)
