"""What outboxes have in common: rows that are due, leased to one node at a time, tried again, and over at last.

One column runs each, as in the queue of deliveries: ``next_attempt_at`` is due, leased (pushed forward at claim) or NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Connection, Table, and_, text, update

from hub.store.database import clamp, in_postgresql, maybe_micros, micros
from hub.store.records import DeliveryState
from hub.store.unreadable import Unreadables, insist_on_types, stumble

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
class Tried:
    """What came of an attempt: ``sent``, or again at ``next_attempt_at``, or (None) given up."""

    sent: bool
    next_attempt_at: datetime | None
    note: str
    now: datetime

    @property
    def given_up(self) -> bool:
        """Whether this was the last attempt, in vain."""
        return not self.sent and self.next_attempt_at is None


class Outbox:
    """Claims and records over one table, whose rows are named by the column ``key``."""

    def __init__(self, table: Table, key: str) -> None:
        self._table = table
        self._key = table.c[key]
        names = {"table": table.name, "key": key}
        self._claim = {
            locked: text(_CLAIM.format(**names, lock="FOR UPDATE SKIP LOCKED" if locked else ""))
            for locked in (False, True)
        }
        self._claim_fairly = {
            locked: text(_CLAIM_FAIRLY.format(**names, candidates=candidates.format(**names)))
            for locked, candidates in ((False, _CANDIDATES_SQLITE), (True, _CANDIDATES_POSTGRESQL))
        }

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
            insist_on_types(row, self._table)
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

    def record(self, connection: Connection, key: UUID, *, fencing: int, attempt: int, tried: Tried) -> bool:
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


def _progress(attempt: int, tried: Tried) -> dict[str, Any]:
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
