"""Deliveries seen from outside: their history, the dead letters, the backlog, and each destination's circuit breaker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, func, select, text, update

from hub.errors import Conflict, Text
from hub.store import tables
from hub.store.database import Database, maybe_micros, maybe_moment, micros, moment, not_found
from hub.store.records import Attempt, Backlog, Circuit, DeliveryState, DeliveryView, Page
from hub.submission import DeadCause, OutcomeKind, State

_DELIVERIES = tables.deliveries
_ATTEMPTS = tables.attempts
_CIRCUITS = tables.circuits
_MESSAGES = tables.messages

_ENSURE_CIRCUIT = text("""
INSERT INTO circuits (destination_id, failures, open_until, changed_at) VALUES (:destination_id, 0, NULL, :now)
ON CONFLICT (destination_id) DO UPDATE SET changed_at = :now
""")


class Deliveries(Database):
    """What became of deliveries, and what people may do about it."""

    def delivery(self, submission_id: UUID) -> DeliveryView | None:
        """Return a submission's delivery and its history; None for one that is not queued (incomplete, reply)."""
        statement = select(_DELIVERIES).where(_DELIVERIES.c.submission_id == str(submission_id))

        def read(connection: Connection) -> DeliveryView | None:
            row = connection.execute(statement).first()
            return None if row is None else _view(row, _history(connection, row.delivery_id))

        return self._read(read)

    def dead(
        self,
        cause: DeadCause | None = None,
        *,
        destination_id: UUID | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[DeliveryView]:
        """Return one page of the dead letters without their histories, oldest first."""
        table = _DELIVERIES
        dead = and_(table.c.state == DeliveryState.DEAD.value, tables.undelivered())
        statement = select(table).where(dead).order_by(table.c.accepted_at, table.c.delivery_id)
        if cause is not None:
            statement = statement.where(table.c.cause == cause.value)
        if destination_id is not None:
            statement = statement.where(table.c.destination_id == str(destination_id))
        return self._page(statement, _view, offset=offset, limit=limit)

    def redrive(self, delivery_id: UUID, now: datetime) -> bool:
        """Make a dead delivery due again, its schedule starting anew; False if it is not dead (asking twice harms nothing).

        Raises:
            NotFound: no such delivery.
            Conflict: its submission was answered or deleted; there is nothing left to deliver.
        """
        here = _DELIVERIES.c.delivery_id == str(delivery_id)
        again = {
            "state": DeliveryState.QUEUED.value,
            "next_attempt_at": micros(now),
            "accepted_at": micros(now),
            "cause": None,
            "finished_at": None,
        }

        def write(connection: Connection) -> bool:
            row = connection.execute(
                select(_DELIVERIES.c.state, _MESSAGES.c.state.label("message_state"))
                .join(_MESSAGES, _MESSAGES.c.message_id == _DELIVERIES.c.submission_id)
                .where(here)
            ).first()
            if row is None:
                raise not_found("delivery-not-found", "Die Zustellung", "Delivery", delivery_id)
            if row.state != DeliveryState.DEAD:
                return False
            if row.message_state not in {State.SUBMITTED, State.FORWARDED}:
                raise _nothing_left()
            dead = _DELIVERIES.c.state == DeliveryState.DEAD.value
            return connection.execute(update(_DELIVERIES).where(here, dead).values(again)).rowcount == 1

        future = self._begin(write, wakes=True)
        return future.result()

    def circuit(self, destination_id: UUID) -> Circuit:
        """Return a destination's circuit breaker; closed with no failures if nothing is known."""
        return self._read(lambda connection: _circuit(connection, destination_id))

    def change_circuit(self, destination_id: UUID, change: Callable[[Circuit], Circuit], now: datetime) -> Circuit:
        """Replace a circuit by ``change(circuit)`` (pure), one change at a time; return the new one."""
        here = _CIRCUITS.c.destination_id == str(destination_id)

        def write(connection: Connection) -> Circuit:
            connection.execute(_ENSURE_CIRCUIT, {"destination_id": str(destination_id), "now": micros(now)})
            changed = change(_circuit(connection, destination_id))
            values = {
                "failures": changed.failures,
                "open_until": maybe_micros(changed.open_until),
                "changed_at": micros(now),
            }
            connection.execute(update(_CIRCUITS).where(here).values(values))
            return changed

        return self._write(write)

    def backlog(self) -> list[Backlog]:
        """Return how many deliveries of each destination are queued, waiting or dead (delivered ones are not counted)."""
        table = _DELIVERIES
        statement = (
            select(
                table.c.destination_id,
                table.c.state,
                func.count().label("number"),
                func.min(table.c.accepted_at).label("oldest"),
            )
            .where(tables.undelivered())
            .group_by(table.c.destination_id, table.c.state)
        )
        rows = self._read(lambda connection: connection.execute(statement).all())
        return [
            Backlog(
                destination_id=UUID(row.destination_id),
                state=DeliveryState(row.state),
                count=row.number,
                oldest_at=moment(row.oldest),
            )
            for row in rows
        ]


def _history(connection: Connection, delivery_id: str) -> tuple[Attempt, ...]:
    statement = select(_ATTEMPTS).where(_ATTEMPTS.c.delivery_id == delivery_id).order_by(_ATTEMPTS.c.n)
    return tuple(
        Attempt(
            n=row.n,
            started_at=moment(row.started_at),
            ended_at=moment(row.ended_at),
            outcome=OutcomeKind(row.outcome),
            note=row.note,
            node=row.node,
            repeat=bool(row.repeat),
        )
        for row in connection.execute(statement)
    )


def _view(row: Any, history: tuple[Attempt, ...] = ()) -> DeliveryView:
    return DeliveryView(
        delivery_id=UUID(row.delivery_id),
        submission_id=UUID(row.submission_id),
        destination_id=UUID(row.destination_id),
        state=DeliveryState(row.state),
        attempts=history,
        next_attempt_at=maybe_moment(row.next_attempt_at),
        cause=None if row.cause is None else DeadCause(row.cause),
        accepted_at=moment(row.accepted_at),
        finished_at=maybe_moment(row.finished_at),
    )


def _circuit(connection: Connection, destination_id: UUID) -> Circuit:
    statement = select(_CIRCUITS).where(_CIRCUITS.c.destination_id == str(destination_id))
    row = connection.execute(statement).first()
    if row is None:
        return Circuit(destination_id=destination_id)
    return Circuit(destination_id=destination_id, failures=row.failures, open_until=maybe_moment(row.open_until))


def _nothing_left() -> Conflict:
    return Conflict(
        Text(
            "Die Einreichung ist schon beantwortet oder gelöscht; es gibt nichts mehr zuzustellen.",
            "The submission was answered or deleted already; there is nothing left to deliver.",
        ),
        slug="invalid-state-transition",
    )
