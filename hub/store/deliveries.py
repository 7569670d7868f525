"""Deliveries seen from outside: their history, the dead letters, the backlog.

Each destination's circuit breaker, and its history: each opening and closing, the latest few of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, text, update

from hub.errors import Conflict, Text, UnreadableRow, not_found, state_forbids
from hub.model import DeadCause, OutcomeKind, Scope, State, new_id
from hub.store import tables
from hub.store.audit import AuditEntry, write_audit
from hub.store.database import (
    MOST_ITEMS,
    Database,
    Page,
    a_moment,
    clamp,
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    reads,
)
from hub.store.outboxes import Telling, write_telling
from hub.store.records import Attempt, Backlog, Circuit, DeliveryState, DeliveryView
from hub.store.scopes import destination_within

_CHANGES = tables.circuit_changes

#: Changes that are kept of each destination: a receiver may wish for pauses all day long.
KEPT = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class CircuitChange:
    """A circuit opened until ``open_until``, after so many failures in a row, or (None) closed."""

    at: datetime
    failures: int
    open_until: datetime | None


@reads(_CHANGES)
def _change(row: Any) -> CircuitChange:
    return CircuitChange(at=moment(row.at), failures=row.failures, open_until=maybe_moment(row.open_until))


def write_circuit_change(connection: Connection, circuit: Circuit, now: datetime) -> None:
    """Note that a circuit opened or closed, within the transaction that changes it; forget the oldest changes."""
    here = _CHANGES.c.destination_id == str(circuit.destination_id)
    row = {
        "destination_id": str(circuit.destination_id),
        "at": micros(now),
        "failures": circuit.failures,
        "open_until": maybe_micros(circuit.open_until),
    }
    connection.execute(insert(_CHANGES), row)
    oldest_kept = select(_CHANGES.c.seq).where(here).order_by(_CHANGES.c.seq.desc()).offset(KEPT).limit(1)
    last_dropped = connection.execute(oldest_kept).scalar()
    if last_dropped is not None:
        connection.execute(delete(_CHANGES).where(here, _CHANGES.c.seq <= last_dropped))


E = TypeVar("E", bound=StrEnum)
_log = logging.getLogger(__name__)

_DELIVERIES = tables.deliveries
_ATTEMPTS = tables.attempts
_CIRCUITS = tables.circuits
_MESSAGES = tables.messages

_ENSURE_CIRCUIT = text("""
INSERT INTO circuits (destination_id, failures, open_until, changed_at) VALUES (:destination_id, 0, NULL, :now)
ON CONFLICT (destination_id) DO UPDATE SET changed_at = :now
""")


class Deliveries:
    """What became of deliveries, and what people may do about it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, submission_id: UUID) -> DeliveryView | None:
        """Return a submission's delivery and its history; None for one that is not queued (incomplete, reply)."""
        statement = select(_DELIVERIES).where(_DELIVERIES.c.submission_id == str(submission_id))

        def read(connection: Connection) -> DeliveryView | None:
            row = connection.execute(statement).first()
            return None if row is None else _view(row, self._history(connection, row.delivery_id))

        return self._database.read(read)

    def dead(
        self,
        cause: DeadCause | None = None,
        *,
        scope: Scope,
        destination_id: UUID | None = None,
        destination_ids: Collection[UUID] | None = None,
        offset: int = 0,
        limit: int = 100,
    ) -> Page[DeliveryView]:
        """Return one page of the dead letters within a scope, without their histories, oldest first.

        Empty ``destination_ids`` mean none.
        """
        table = _DELIVERIES
        wanted = _dead(cause, destination_ids if destination_id is None else [destination_id])
        inside = destination_within(table.c.destination_id, scope)
        statement = select(table).where(wanted, inside).order_by(table.c.accepted_at, table.c.delivery_id)
        return self._database.page(statement, _view, offset=offset, limit=limit)

    def last_notes(self, delivery_ids: Collection[UUID]) -> dict[UUID, str]:
        """Return what the last attempt of each delivery came to, as its note says; those without an attempt are left out."""
        last = (
            select(_ATTEMPTS.c.delivery_id, func.max(_ATTEMPTS.c.n).label("n"))
            .where(_ATTEMPTS.c.delivery_id.in_(sorted(map(str, delivery_ids))))
            .group_by(_ATTEMPTS.c.delivery_id)
            .subquery()
        )
        statement = select(_ATTEMPTS.c.delivery_id, _ATTEMPTS.c.note).join(
            last, and_(_ATTEMPTS.c.delivery_id == last.c.delivery_id, _ATTEMPTS.c.n == last.c.n)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return {UUID(row.delivery_id): row.note for row in rows}

    def redrive_all(
        self,
        now: datetime,
        *,
        scope: Scope,
        cause: DeadCause | None,
        destination_ids: Collection[UUID] | None,
        audit: Callable[[int], AuditEntry],
        died: tuple[datetime, datetime] | None = None,
    ) -> int:
        """Make dead deliveries within a scope due again, as :meth:`redrive` does with one, batch by batch; return how many.

        Each batch is one transaction with its audit entry, which ``audit`` makes from its size. Answered or deleted
        submissions are left alone, and so is what died after ``now``: it may be one of these again. Empty
        ``destination_ids`` mean none. ``died`` bounds when they were given up (from, to before).
        """
        again = (
            select(_DELIVERIES.c.delivery_id)
            .join(_MESSAGES, _MESSAGES.c.message_id == _DELIVERIES.c.submission_id)
            .where(_revivable(cause, scope, destination_ids, died), _DELIVERIES.c.finished_at <= micros(now))
            .order_by(_DELIVERIES.c.accepted_at)
            .limit(MOST_ITEMS)
        )

        def write(connection: Connection) -> int:
            found = connection.execute(again).scalars().all()
            number = _revive(connection, found, now)
            if number:
                write_audit(connection, audit(number))
            return number

        done = 0
        while number := self._database.begin(write, wakes=True).result():
            done += number
        return done

    def revivable(
        self,
        *,
        scope: Scope,
        cause: DeadCause | None,
        destination_ids: Collection[UUID] | None,
        died: tuple[datetime, datetime],
    ) -> int:
        """Return how many :meth:`redrive_all` would make due again."""
        statement = (
            select(func.count())
            .select_from(_DELIVERIES.join(_MESSAGES, _MESSAGES.c.message_id == _DELIVERIES.c.submission_id))
            .where(_revivable(cause, scope, destination_ids, died))
        )
        return self._database.read(lambda connection: int(connection.execute(statement).scalar_one()))

    def give_up(
        self,
        before: datetime,
        now: datetime,
        *,
        tell: Callable[[Sequence[DeliveryView]], Sequence[Telling]],
        limit: int = 100,
        faulty: bool = False,
    ) -> list[DeliveryView]:
        """Bury deliveries queued since before ``before`` that nobody attempts now; return them.

        ``faulty``: only those behind a circuit whose settings have been at fault since before ``before``, of cause
        *configuration*.

        An open circuit keeps deliveries from their last attempt, which would have given them up. What ``tell`` (pure) makes
        of them is written in the same transaction.
        """
        table = _DELIVERIES.c
        idle = or_(table.leased_by.is_(None), table.next_attempt_at <= micros(now))
        due = (
            select(table.delivery_id)
            .where(_queued(), table.accepted_at < micros(before), idle, *([_behind_fault(before)] if faulty else []))
            .order_by(table.accepted_at)
            .limit(clamp(limit))
            .with_for_update(skip_locked=True)
        )
        over = {
            "state": DeliveryState.DEAD.value,
            "cause": (DeadCause.CONFIGURATION if faulty else DeadCause.RECEIVER).value,
            "next_attempt_at": None,
            "leased_by": None,
            "finished_at": micros(now),
            # Whoever comes back with a lease that ran out finds another number.
            "fencing": table.fencing + 1,
        }

        def write(connection: Connection) -> list[DeliveryView]:
            ids = connection.execute(due).scalars().all()
            connection.execute(update(_DELIVERIES).where(table.delivery_id.in_(ids)).values(over))
            rows = connection.execute(select(_DELIVERIES).where(table.delivery_id.in_(ids)))
            over_now = self._database.unreadables.each(_DELIVERIES, rows, _view)
            for telling in tell(over_now):
                write_telling(connection, telling)
            return over_now

        return self._database.write(write)

    def quarantined(self, submission_id: UUID) -> bool:
        """Tell whether a submission was kept from its receiver from the start."""
        statement = select(_DELIVERIES.c.delivery_id).where(
            _DELIVERIES.c.submission_id == str(submission_id), tables.quarantined()
        )
        return self._database.read(lambda connection: connection.execute(statement).first() is not None)

    def redrive(self, delivery_id: UUID, now: datetime, *, audit: AuditEntry | None = None) -> bool:
        """Make a dead delivery due again, its schedule starting anew; False if it is not dead (asking twice harms nothing).

        Raises:
            NotFound: no such delivery.
            Conflict: its submission was answered or deleted; there is nothing left to deliver.
        """
        here = _DELIVERIES.c.delivery_id == str(delivery_id)

        def write(connection: Connection) -> bool:
            row = connection.execute(
                select(_DELIVERIES.c.state, _MESSAGES.c.state.label("message_state"))
                .join(_MESSAGES, _MESSAGES.c.message_id == _DELIVERIES.c.submission_id)
                .where(here)
            ).first()
            if row is None:
                raise not_found("delivery-not-found", delivery_id)
            if row.state != DeliveryState.DEAD:
                return False
            if row.message_state not in {State.SUBMITTED, State.FORWARDED}:
                raise _nothing_left()
            again = _revive(connection, [str(delivery_id)], now) == 1
            if again and audit is not None:
                write_audit(connection, audit)
            return again

        future = self._database.begin(write, wakes=True)
        return future.result()

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
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return self._database.unreadables.each(_DELIVERIES, rows, _backlog)

    def _history(self, connection: Connection, delivery_id: str) -> tuple[Attempt, ...]:
        statement = select(_ATTEMPTS).where(_ATTEMPTS.c.delivery_id == delivery_id).order_by(_ATTEMPTS.c.n)
        return tuple(self._database.unreadables.each(_ATTEMPTS, connection.execute(statement), _attempt))


class Circuits:
    """Each destination's circuit breaker, and the history of its openings and closings."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def changes(self, destination_id: UUID, *, limit: int = 20) -> list[CircuitChange]:
        """Return the latest changes of a destination's circuit, the newest first."""
        here = _CHANGES.c.destination_id == str(destination_id)
        statement = select(_CHANGES).where(here).order_by(_CHANGES.c.seq.desc()).limit(clamp(limit))
        return self._database.all(statement, _CHANGES, _change)

    def circuit(self, destination_id: UUID) -> Circuit:
        """Return a destination's circuit breaker; closed with no failures if nothing is known."""
        return self._database.read(lambda connection: _circuit(connection, destination_id))

    def change(
        self,
        destination_id: UUID,
        change: Callable[[Circuit], Circuit],
        now: datetime,
        *,
        audit: Callable[[Circuit], AuditEntry] | None = None,
    ) -> Circuit:
        """Replace a circuit by ``change(circuit)`` (pure), one change at a time; return the new one.

        Openings and closings are kept as history. A person's change is audited; ``audit`` is told the circuit before it.
        """
        here = _CIRCUITS.c.destination_id == str(destination_id)

        def write(connection: Connection) -> Circuit:
            connection.execute(_ENSURE_CIRCUIT, {"destination_id": str(destination_id), "now": micros(now)})
            before = _circuit(connection, destination_id)
            changed = change(before)
            if changed.open_until != before.open_until:
                write_circuit_change(connection, changed, now)
            if audit is not None:
                write_audit(connection, audit(before))
            values = {
                "failures": changed.failures,
                "open_until": maybe_micros(changed.open_until),
                "fault": changed.fault,
                "fault_since": maybe_micros(changed.fault_since),
                "changed_at": micros(now),
            }
            connection.execute(update(_CIRCUITS).where(here).values(values))
            return changed

        return self._database.write(write)


def _backlog(row: Any) -> Backlog:
    return Backlog(
        destination_id=UUID(row.destination_id),
        state=DeliveryState(row.state),
        count=row.number,
        oldest_at=moment(row.oldest),
    )


def _dead(cause: DeadCause | None, destination_ids: Collection[UUID] | None) -> ColumnElement[bool]:
    """The condition of dead letters, of a cause and of destinations if they are named."""
    table = _DELIVERIES.c
    wanted = and_(table.state == DeliveryState.DEAD.value, tables.undelivered())
    if cause is not None:
        wanted = and_(wanted, table.cause == cause.value)
    if destination_ids is not None:
        wanted = and_(wanted, table.destination_id.in_([str(one) for one in destination_ids]))
    return wanted


def _revivable(
    cause: DeadCause | None,
    scope: Scope,
    destination_ids: Collection[UUID] | None,
    died: tuple[datetime, datetime] | None,
) -> ColumnElement[bool]:
    """The condition of dead letters, joined with their submissions, that can be delivered again."""
    open_ = _MESSAGES.c.state.in_([State.SUBMITTED.value, State.FORWARDED.value])
    wanted = and_(_dead(cause, destination_ids), destination_within(_DELIVERIES.c.destination_id, scope), open_)
    if died is None:
        return wanted
    begin, end = map(micros, died)
    return and_(wanted, _DELIVERIES.c.finished_at >= begin, _DELIVERIES.c.finished_at < end)


def _behind_fault(before: datetime) -> ColumnElement[bool]:
    circuit = _CIRCUITS.c
    at_fault = and_(circuit.open_until.is_not(None), circuit.fault.is_not(None), circuit.fault_since < micros(before))
    return _DELIVERIES.c.destination_id.in_(select(circuit.destination_id).where(at_fault))


def _queued() -> ColumnElement[bool]:
    return and_(_DELIVERIES.c.state == DeliveryState.QUEUED.value, tables.undelivered())


def _revive(connection: Connection, delivery_ids: Sequence[str], now: datetime) -> int:
    """Make dead deliveries due again; tries, schedule and notices begin anew, since a person has looked at them."""
    again = {
        "state": DeliveryState.QUEUED.value,
        "next_attempt_at": micros(now),
        "accepted_at": micros(now),
        "cause": None,
        "finished_at": None,
        "leased_by": None,
        "lapses": 0,
    }
    dead = and_(_DELIVERIES.c.delivery_id.in_(delivery_ids), _DELIVERIES.c.state == DeliveryState.DEAD.value)
    theirs = _MESSAGES.c.message_id.in_(select(_DELIVERIES.c.submission_id).where(dead))
    connection.execute(update(_MESSAGES).where(theirs, _MESSAGES.c.notices > 0).values(notices=0))
    return connection.execute(update(_DELIVERIES).where(dead).values(again)).rowcount


def _attempt(row: Any) -> Attempt:
    return Attempt(
        n=row.n,
        started_at=moment(row.started_at),
        ended_at=moment(row.ended_at),
        outcome=_or(OutcomeKind, row.outcome, OutcomeKind.UNKNOWN),
        note=row.note,
        node=row.node,
        repeat=bool(row.repeat),
        proof=None if row.proof is None else bytes(row.proof),
    )


def _or(kind: type[E], text: str, otherwise: E) -> E:
    """Return a member, or what stands for one that only a newer version knows: what cannot be read is shown all the same."""
    try:
        return kind(text)
    except ValueError:
        return otherwise


@reads(_DELIVERIES, strictly=False)
def _view(row: Any, history: tuple[Attempt, ...] = ()) -> DeliveryView:
    return DeliveryView(
        delivery_id=UUID(row.delivery_id),
        submission_id=UUID(row.submission_id),
        destination_id=UUID(row.destination_id),
        state=_or(DeliveryState, row.state, DeliveryState.DEAD if row.finished_at else DeliveryState.QUEUED),
        attempts=history,
        next_attempt_at=a_moment(row.next_attempt_at),
        cause=None if row.cause is None else _or(DeadCause, row.cause, DeadCause.HUB),
        # Its id begins with the time of the submission (UUIDv7), where nothing else tells it any more.
        accepted_at=a_moment(row.accepted_at) or moment((UUID(row.delivery_id).int >> 80) * 1000),
        finished_at=a_moment(row.finished_at),
    )


def _circuit(connection: Connection, destination_id: UUID) -> Circuit:
    statement = select(_CIRCUITS).where(_CIRCUITS.c.destination_id == str(destination_id))
    row = connection.execute(statement).first()
    closed = Circuit(destination_id=destination_id)
    try:
        return closed if row is None else to_circuit(row)
    except UnreadableRow as error:
        # A circuit only saves attempts; closed, it opens again by itself where it has to.
        _log.error("%s: the circuit counts as closed", error)  # what is wrong is said
        return closed


@reads(_CIRCUITS)
def to_circuit(row: Any) -> Circuit:
    """Return the circuit of a row."""
    # A node of the version before closes a circuit without a word of its fault.
    faulty = row.open_until is not None
    return Circuit(
        destination_id=UUID(row.destination_id),
        failures=row.failures,
        open_until=maybe_moment(row.open_until),
        fault=row.fault if faulty else None,
        fault_since=maybe_moment(row.fault_since) if faulty else None,
    )


def _nothing_left() -> Conflict:
    return state_forbids(
        Text("Die Einreichung ist schon beantwortet oder gelöscht.", "The submission was answered or deleted already."),
        Text("Es gibt nichts mehr zuzustellen.", "There is nothing left to deliver."),
    )


def delivery_row(submission_id: str, destination_id: str, first_attempt_at: datetime) -> dict[str, Any]:
    """Return the row of a new delivery."""
    due = micros(first_attempt_at)
    return {
        "delivery_id": str(new_id(moment(due))),
        "submission_id": submission_id,
        "destination_id": destination_id,
        "state": DeliveryState.QUEUED.value,
        "next_attempt_at": due,
        "fencing": 0,
        "leased_by": None,
        "claimed_at": None,
        "lapsed_by": None,
        "lapsed_at": None,
        "lapses": 0,
        "attempts": 0,
        "repeat": False,
        "cause": None,
        "known_as": None,
        "accepted_at": due,
        "finished_at": None,
    }


def quarantined_row(submission_id: str, destination_id: str, at: datetime) -> dict[str, Any]:
    """Return the row of a delivery that is kept back from the start: a dead letter that a person may release."""
    kept = {
        "state": DeliveryState.DEAD.value,
        "cause": DeadCause.PAYLOAD.value,
        "next_attempt_at": None,
        "finished_at": micros(at),
    }
    return delivery_row(submission_id, destination_id, at) | kept
