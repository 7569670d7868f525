"""The queue of deliveries. One column runs it: ``next_attempt_at`` is due, leased (pushed forward at claim) or NULL."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, func, select, update

from hub.model import (
    DeadCause,
    Destination,
    Event,
    Outcome,
    OutcomeKind,
    Standing,
    State,
    Step,
)
from hub.store import tables
from hub.store.attempts import INSERT_ATTEMPT, AttemptResult
from hub.store.database import (
    Database,
    Unreadables,
    a_moment,
    clamp,
    in_postgresql,
    micros,
    moment,
    require_types,
    stumble,
    to_json,
)
from hub.store.deliveries import to_circuit
from hub.store.event_log import runs
from hub.store.migration import current_revision, head_revision
from hub.store.parties import destination_rows, to_destination
from hub.store.records import SUSPECT_LAPSES, Claim, DeliveryState, OutgoingCallback
from hub.store.rows import MissingParts, rows_of_parts, to_submission, whole_contents
from hub.store.statements import Lookup, Query

_DELIVERIES = tables.deliveries
_CIRCUIT = Lookup(
    tables.circuits,
    columns=["destination_id", "failures", "open_until", "fault", "fault_since"],
    by=["destination_id"],
)
_MESSAGE = Lookup(tables.messages, columns=[column.name for column in tables.messages.columns], by=["message_id"])

#: The destinations with anything unfinished, found by jumping along the index: the cost does not grow with a backlog.
_RECEIVERS = """
WITH RECURSIVE receivers (destination_id) AS (
    SELECT min(destination_id) FROM deliveries WHERE next_attempt_at IS NOT NULL
    UNION ALL
    SELECT (
        SELECT min(q.destination_id) FROM deliveries q
        WHERE q.next_attempt_at IS NOT NULL AND q.destination_id > r.destination_id
    )
    FROM receivers r WHERE r.destination_id IS NOT NULL
)"""

#: Each destination gets the room that its running attempts leave; one place if it failed last. Where other nodes run more
#: than the usual number they found the receiver quick, and this node's number counts beside theirs: else whoever was first
#: would keep all that comes to itself. The unary plus
#: keeps the planner off the index of due rows, where a backlog of planned retries would have to be counted.
#: ``instant`` adapters and the others take turns: what is over at once needs no bulkhead.
_ROOM = """,
held AS (
    SELECT r.destination_id,
        (
            SELECT count(*) FROM deliveries b
            WHERE b.destination_id = r.destination_id AND b.leased_by IS NOT NULL AND +b.next_attempt_at > :now
        ) AS busy,
        (
            SELECT count(*) FROM deliveries b
            WHERE b.destination_id = r.destination_id AND b.leased_by <> :node AND +b.next_attempt_at > :now
        ) AS others
    FROM receivers r WHERE r.destination_id IS NOT NULL
),
seats AS (
    SELECT r.destination_id, r.busy,
        CASE WHEN c.open_until IS NULL AND COALESCE(c.failures, 0) = 0
            THEN COALESCE({width}, CAST(:per_destination AS INTEGER))
                + CASE WHEN r.others > :per_destination THEN r.others ELSE 0 END
            ELSE 1 END AS room
    FROM held r JOIN destinations z ON z.destination_id = r.destination_id
        LEFT JOIN circuits c ON c.destination_id = r.destination_id
    WHERE CASE WHEN z.adapter {{instant}} THEN 1 ELSE 0 END = :turn
        AND (c.open_until IS NULL OR c.open_until <= :now)
)"""

#: What a destination's number is in ``widths``, a JSON object by destination.
_WIDTH_SQLITE = """CAST(json_extract(:widths, '$."' || r.destination_id || '"') AS INTEGER)"""
_WIDTH_POSTGRESQL = "CAST(CAST(:widths AS JSONB) ->> r.destination_id AS INTEGER)"

#: Leases of it ran out in a row, this one included if it is one: what more than once died with its worker.
_SUSPECT = f"(d.lapses > 0 AND d.lapses + CASE WHEN d.leased_by IS NULL THEN 0 ELSE 1 END >= {SUSPECT_LAPSES})"

#: CROSS JOIN keeps SQLite to the order in which tables are named: suspects first, for they are few.
_CANDIDATES_SQLITE = f""",
candidates AS (
    SELECT q.delivery_id, s.room,
        s.busy + row_number() OVER (PARTITION BY q.destination_id ORDER BY q.next_attempt_at, q.delivery_id) AS place
    FROM seats s JOIN deliveries q ON q.delivery_id IN (
        SELECT d.delivery_id FROM deliveries d
        WHERE d.destination_id = s.destination_id AND d.next_attempt_at <= :now AND (:turn = 1 OR NOT {_SUSPECT})
        ORDER BY d.next_attempt_at LIMIT :widest
    )
    WHERE s.busy < s.room
),
suspects AS (
    SELECT d.delivery_id FROM deliveries d CROSS JOIN seats s ON s.destination_id = d.destination_id AND s.busy < s.room
    WHERE d.next_attempt_at <= :now AND {_SUSPECT}
    ORDER BY d.next_attempt_at LIMIT :suspects
)"""  # noqa: S608  # a condition of our own

#: PostgreSQL locks what it considers; other nodes step over it instead of waiting. Locking re-reads a row that was
#: claimed in between, so nobody gets it twice.
_CANDIDATES_POSTGRESQL = f""",
chosen AS MATERIALIZED (
    SELECT destination_id, room, busy FROM seats WHERE busy < room ORDER BY busy, random() LIMIT :limit
),
candidates AS (
    SELECT q.delivery_id, s.room,
        s.busy + row_number() OVER (PARTITION BY s.destination_id ORDER BY q.next_attempt_at, q.delivery_id) AS place
    FROM chosen s CROSS JOIN LATERAL (
        SELECT d.delivery_id, d.next_attempt_at FROM deliveries d
        WHERE d.destination_id = s.destination_id AND d.next_attempt_at <= :now AND (:turn = 1 OR NOT {_SUSPECT})
        ORDER BY d.next_attempt_at LIMIT :widest FOR UPDATE SKIP LOCKED
    ) q
),
suspects AS MATERIALIZED (
    SELECT d.delivery_id FROM deliveries d JOIN seats s ON s.destination_id = d.destination_id AND s.busy < s.room
    WHERE d.next_attempt_at <= :now AND {_SUSPECT}
    ORDER BY d.next_attempt_at LIMIT :suspects FOR UPDATE OF d SKIP LOCKED
)"""  # noqa: S608  # a condition of our own

_TAKEN = (
    "delivery_id",
    "submission_id",
    "destination_id",
    "state",
    "attempts",
    "repeat",
    "fencing",
    "lapses",
    "known_as",
    "accepted_at",
    "lapsed_by",
    "lapsed_at",
)
#: First everybody's first, then everybody's second: a backlog takes only its own turn; who goes first is drawn.
#: Suspects come besides, one at most, so that what kills workers takes no other suspect along.
#: A row that still names a holder is a lease that ran out: an attempt whose end nobody knows.
_TAKE = """
UPDATE deliveries SET
    attempts = attempts + CASE WHEN leased_by IS NULL THEN 0 ELSE 1 END,
    lapses = lapses + CASE WHEN leased_by IS NULL THEN 0 ELSE 1 END,
    repeat = CASE WHEN leased_by IS NULL THEN repeat ELSE TRUE END,
    lapsed_by = leased_by,
    lapsed_at = claimed_at,
    leased_by = :node,
    claimed_at = :now,
    next_attempt_at = :until,
    fencing = fencing + 1
WHERE delivery_id IN (
    SELECT delivery_id FROM (
        SELECT delivery_id, place FROM candidates WHERE place <= room
        UNION ALL SELECT delivery_id, 0 AS place FROM suspects
    ) taken ORDER BY place, random() LIMIT :limit
)
RETURNING """ + ", ".join(_TAKEN)  # noqa: S608  # our own columns

CLAIM = Query(
    sqlite=_RECEIVERS + _ROOM.format(width=_WIDTH_SQLITE) + _CANDIDATES_SQLITE + _TAKE,
    postgresql=_RECEIVERS + _ROOM.format(width=_WIDTH_POSTGRESQL) + _CANDIDATES_POSTGRESQL + _TAKE,
    columns=_TAKEN,
    several=["instant"],
)
#: Deliveries to instant adapters that one claim takes: enough to share a commit, few enough to lie in memory.
_TOGETHER = 64

#: When each destination's first delivery may be attempted, its circuit considered.
_FIRST_DUE = """
SELECT min(CASE WHEN c.open_until > q.due THEN c.open_until ELSE q.due END) FROM (
    SELECT r.destination_id, (
        SELECT min(d.next_attempt_at) FROM deliveries d
        WHERE d.destination_id = r.destination_id AND d.next_attempt_at IS NOT NULL
    ) AS due
    FROM receivers r WHERE r.destination_id IS NOT NULL
) q LEFT JOIN circuits c ON c.destination_id = q.destination_id
"""
_WHEN = _RECEIVERS + _FIRST_DUE
NEXT_DUE = Query(sqlite=_WHEN, postgresql=_WHEN, columns=["due"])

_CLOSED = Standing()
_NOBODY: Mapping[UUID, int] = {}
#: How long a delivery that only a newer version can read waits for one, from its acceptance on, and between two looks.
_GRACE = timedelta(hours=1)
_ASIDE = timedelta(minutes=1)
_LAPSED_NOTE = "the lease ran out before a result was recorded"


def _turn(limit: int, per_destination: int, widths: Mapping[UUID, int], *, suspects: bool) -> Mapping[str, Any]:
    """Return the values of a claim of what takes its time, within all bounds."""
    return {
        "turn": 0,
        "limit": clamp(limit),
        "per_destination": clamp(per_destination),
        "widest": clamp(max([per_destination, *widths.values()])),
        "widths": to_json({str(each): clamp(width) for each, width in widths.items()}),
        "suspects": int(suspects),
    }


#: The values of a claim of what is over at once.
_AT_ONCE: Mapping[str, Any] = {
    "turn": 1,
    "limit": _TOGETHER,
    "per_destination": _TOGETHER,
    "widest": _TOGETHER,
    "widths": "{}",
    "suspects": 0,
}


class Queue:
    """Claims and records deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self,
        now: datetime,
        *,
        lease: timedelta,
        node: str,
        limit: int,
        per_destination: int,
        widths: Mapping[UUID, int] = _NOBODY,
        instant: Collection[str] = (),
        suspects: bool = True,
    ) -> list[Claim]:
        """Lease due deliveries to ``node`` until ``now + lease``: at most ``limit``, the longest due of a destination first.

        Fair over destinations; a destination with an open circuit gets none, one that failed last gets one at a time.
        ``per_destination`` bounds a destination's running attempts of all nodes, for those in ``widths`` their number there;
        nodes that claim in the same instant may exceed it by what they took. Where other nodes run more than
        ``per_destination``, the number bounds this node's own. A claim after a lapse has ``repeat`` set, and the
        lapse stands in the history as an attempt of unknown outcome.

        Of the suspects (:attr:`Claim.suspect`) one is among them at most, and only with ``suspects``.

        ``instant`` names adapters whose attempts are over at once. Neither bound counts for them: some dozens are
        claimed besides, also with a ``limit`` of 0.
        """
        start = micros(now)
        always = {"now": start, "until": micros(now + lease), "node": node, "instant": instant}
        turns = [_AT_ONCE] if instant else []
        if limit > 0 or not instant:
            turns.append(_turn(limit, per_destination, widths, suspects=suspects))

        def write(connection: Connection) -> Callable[[], _Found]:
            shared = in_postgresql(connection)
            rows = [row for turn in turns for row in CLAIM(connection, {**always, **turn})]
            lapsed = [row for row in rows if row.lapsed_by is not None]
            INSERT_ATTEMPT(connection, *(_lapsed_row(row, start) for row in lapsed))
            if not rows:
                return _Found
            if shared:
                # Read at once: a transaction of its own costs further round trips.
                found = _found(connection, rows, node, self._database.unreadables, instant)
                return lambda: found
            # SQLite's writer is what intake waits for; its readers wait for nobody.
            return lambda: self._database.read(
                lambda reading: _found(reading, rows, node, self._database.unreadables, instant)
            )

        found = self._database.write(write)()
        if found.broken:
            self._set_down(found.broken, node, now)
        return found.claims

    def _set_down(self, broken: Sequence[_Broken], node: str, now: datetime) -> None:
        """Make dead letters of what cannot be read, while the lease is ours; what a newer version may read waits for it.

        A crash before leaves the lease to run out, and whoever claims it next does the same.
        """
        for each in broken:
            self._database.unreadables.note(each.table, each.row.delivery_id, each.column)

        def write(connection: Connection) -> None:
            newer = current_revision(connection) != head_revision()
            for each in broken:
                _set_down(connection, each, node, now, newer=newer)

        self._database.write(write)

    def record(
        self,
        claim: Claim,
        outcome: Outcome,
        step: Step,
        *,
        started_at: datetime,
        ended_at: datetime,
        events: Sequence[Event] = (),
        callbacks: Sequence[OutgoingCallback] = (),
    ) -> bool:
        """Record an attempt and what follows; return False, with nothing written, where the claim is not ours any more.

        ``events`` need not be numbered or chained. One that does not fit the submission's state any more (the receiver
        answered before the attempt ended) is left out.
        """
        result = AttemptResult(
            claim=claim,
            outcome=outcome,
            step=step,
            started_at=started_at,
            ended_at=ended_at,
            events=events,
            callbacks=callbacks,
        )
        return self.recording(result).result()

    def recording(self, result: AttemptResult) -> Future[bool]:
        """Record as :meth:`record` does, without waiting: of many that are begun together, all share one commit."""
        return self._database.begin(result)

    def give_up_recording(self, result: AttemptResult, note: str) -> bool:
        """Make a dead letter of what was attempted and cannot be recorded, because something of its case cannot be read.

        Nothing but the delivery is touched. Left alone it would be sent again at the end of each lease. A later attempt is a
        repeat. False, and nothing written, where the claim is not ours any more.
        """
        attempt = {
            "started_at": micros(result.started_at),
            "ended_at": micros(result.ended_at),
            "outcome": result.outcome.kind.value,
            "note": note,
            "node": result.claim.node,
            "repeat": result.claim.repeat,
        }

        def write(connection: Connection) -> bool:
            ours = and_(_ours(result.claim), _DELIVERIES.c.next_attempt_at.is_not(None))
            key = str(result.claim.delivery_id)
            connection.execute(update(_DELIVERIES).where(ours).values(repeat=True))
            return _bury(connection, key, ours, attempt, now=result.ended_at)

        return self._database.write(write)

    def renew(self, claim: Claim, until: datetime) -> bool:
        """Extend a lease; False where the claim is not ours any more."""
        open_ = and_(_ours(claim), _DELIVERIES.c.next_attempt_at.is_not(None))
        longer = update(_DELIVERIES).where(open_).values(next_attempt_at=micros(until))
        return self._database.write(lambda connection: connection.execute(longer).rowcount == 1)

    def keep(self, claim: Claim, known_as: str | None) -> bool:
        """Keep how the receiver knows a delivery, for every later attempt; False where the claim is not ours any more."""
        open_ = and_(_ours(claim), _DELIVERIES.c.next_attempt_at.is_not(None))
        kept = update(_DELIVERIES).where(open_).values(known_as=known_as)
        return self._database.write(lambda connection: connection.execute(kept).rowcount == 1)

    def give_back(self, claims: Sequence[Claim], now: datetime) -> None:
        """Let others have what was claimed and not begun, at once and without a lapse; what is not ours any more is left."""
        due = {"leased_by": None, "next_attempt_at": micros(now)}

        def write(connection: Connection) -> None:
            for claim in claims:
                open_ = and_(_ours(claim), _DELIVERIES.c.next_attempt_at.is_not(None))
                connection.execute(update(_DELIVERIES).where(open_).values(due))

        self._database.begin(write, wakes=True).result()

    def next_due(self) -> datetime | None:
        """Return when the next delivery may be attempted or its lease ends (maybe in the past); None if all are finished."""
        return a_moment(self._database.glance(NEXT_DUE).due)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Broken:
    """A delivery that is leased and cannot be read, and the column at which that fails."""

    row: Any
    table: str
    column: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What a claim brought."""

    claims: list[Claim] = field(default_factory=list)
    broken: list[_Broken] = field(default_factory=list)


def _found(
    connection: Connection, taken: Sequence[Any], node: str, unreadables: Unreadables, instant: Collection[str]
) -> _Found:
    """Read what was taken, one by one."""
    ids = [row.submission_id for row in taken]
    messages = {row.message_id: row for row in _MESSAGE.among(connection, ids)}
    parts = rows_of_parts(connection, ids)
    receivers = {row.destination_id for row in taken}
    destinations = {row.destination_id: row for row in destination_rows(connection, receivers)}
    standings = unreadables.each(tables.circuits, _CIRCUIT.among(connection, receivers), to_circuit)
    # One that cannot be read counts as closed: it only saves attempts.
    circuits = {str(each.destination_id): each.standing for each in standings}
    # What is over at once is proven to nobody.
    proven = {each for each, there in destinations.items() if there.adapter not in instant}
    logs = runs(connection, [row.submission_id for row in taken if row.destination_id in proven])
    #: Read once for all that go there: its services may be many.
    known = cache(_receiver)
    found = _Found()
    for row in taken:
        message, there = messages.get(row.submission_id), destinations.get(row.destination_id)
        if message is None or there is None:
            found.broken.append(_Broken(row=row, table="messages" if message is None else "destinations", column="id"))
            continue
        sources = [("deliveries", row), ("messages", message), ("destinations", there)]
        read = partial(
            _claim_of,
            circuit=circuits.get(row.destination_id),
            node=node,
            parts=parts.get(row.submission_id, []),
            run=logs.get(row.submission_id),
        )
        try:
            found.claims.append(read(row, message, there, receiver=known))
        except MissingParts:
            found.broken.append(_Broken(row=row, table="contents", column="part"))
        except Exception:  # noqa: BLE001  # whatever it is, it is one row's
            table, column = stumble(read, sources)
            found.broken.append(_Broken(row=row, table=table, column=column))
    found.claims.sort(key=lambda claim: claim.accepted_at)
    return found


def _receiver(there: Any) -> Destination:
    require_types(there, tables.destinations)
    return to_destination(there)


def _claim_of(
    row: Any,
    message: Any,
    there: Any,
    *,
    circuit: Standing | None,
    node: str,
    parts: Sequence[Any],
    run: Sequence[Event] | None,
    receiver: Callable[[Any], Destination] = _receiver,
) -> Claim:
    """Return the claim of a delivery's rows; raise whatever reading them raises."""
    require_types(message, tables.messages)
    destination = receiver(there)
    if row.state != DeliveryState.QUEUED.value:
        raise ValueError("state")
    State(message.state)  # Else what comes of an attempt could not be recorded.
    submission = to_submission(message, whole_contents(message, parts))
    return Claim(
        delivery_id=UUID(row.delivery_id),
        submission=submission,
        destination=destination,
        node=node,
        attempt=row.attempts + 1,
        repeat=bool(row.repeat),
        fencing=row.fencing,
        lapses=row.lapses,
        known_as=row.known_as,
        accepted_at=moment(row.accepted_at),
        circuit=_CLOSED if circuit is None else circuit,
        receipt=message.receipt,
        run=run,
    )


def _set_down(connection: Connection, broken: _Broken, node: str, now: datetime, *, newer: bool) -> None:
    row, table = broken.row, _DELIVERIES.c
    ours = and_(
        table.delivery_id == row.delivery_id,
        table.fencing == row.fencing,
        table.leased_by.is_not(None),
        table.next_attempt_at.is_not(None),
    )
    fresh = isinstance(row.accepted_at, int) and micros(now) - row.accepted_at < _GRACE // timedelta(microseconds=1)
    if newer and fresh:
        later = {"leased_by": None, "next_attempt_at": micros(now + _ASIDE)}
        connection.execute(update(_DELIVERIES).where(ours).values(later))
        return
    note = f"not attempted: column {broken.table}.{broken.column} cannot be read by this version"
    attempt = {"started_at": micros(now), "ended_at": micros(now), "outcome": OutcomeKind.REFUSED.value, "note": note}
    _bury(connection, row.delivery_id, ours, attempt | {"node": node, "repeat": False}, now=now)


def _bury(connection: Connection, delivery_id: str, ours: Any, attempt: dict[str, Any], *, now: datetime) -> bool:
    """Make a dead letter of cause hub, and say why in its history; only if it is still ``ours``."""
    number = select(func.coalesce(func.max(tables.attempts.c.n), 0) + 1).where(
        tables.attempts.c.delivery_id == delivery_id
    )
    n = connection.execute(number).scalar_one()
    over = {
        "state": DeliveryState.DEAD.value,
        "cause": DeadCause.HUB.value,
        "next_attempt_at": None,
        "leased_by": None,
        "finished_at": micros(now),
        "attempts": n,
    }
    if connection.execute(update(_DELIVERIES).where(ours).values(over)).rowcount == 0:
        return False
    INSERT_ATTEMPT(connection, attempt | {"delivery_id": delivery_id, "n": n, "proof": None})
    return True


def _ours(claim: Claim) -> Any:
    return and_(
        _DELIVERIES.c.delivery_id == str(claim.delivery_id),
        _DELIVERIES.c.fencing == claim.fencing,
        _DELIVERIES.c.leased_by.is_not(None),
    )


def _lapsed_row(row: Any, now: int) -> dict[str, Any]:
    return {
        "delivery_id": row.delivery_id,
        "n": row.attempts,
        "started_at": now if row.lapsed_at is None else row.lapsed_at,
        "ended_at": now,
        "outcome": OutcomeKind.UNKNOWN.value,
        "note": _LAPSED_NOTE,
        "node": row.lapsed_by,
        # Whether that attempt itself was a repeat: any attempt after another of unknown end is.
        "repeat": row.lapses > 1,
        "proof": None,
    }
