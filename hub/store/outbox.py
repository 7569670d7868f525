"""What outboxes have in common: rows that are due, leased to one node at a time, tried again, and over at last.

One column runs each, as in the queue of deliveries: ``next_attempt_at`` is due, leased (pushed forward at claim) or NULL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Table, and_, text, update

from hub.store.database import clamp, in_postgresql, maybe_micros, micros
from hub.store.records import DeliveryState

_CLAIM = """
UPDATE {table}
SET next_attempt_at = :until, leased_by = :node, fencing = fencing + 1,
    attempts = attempts + CASE WHEN leased_by IS NULL THEN 0 ELSE 1 END
WHERE {key} IN (
    SELECT {key} FROM {table} WHERE next_attempt_at <= :now ORDER BY next_attempt_at LIMIT :limit {lock}
)
RETURNING *
"""


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
        self._claim = {
            locked: text(_CLAIM.format(table=table.name, key=key, lock="FOR UPDATE SKIP LOCKED" if locked else ""))
            for locked in (False, True)
        }

    def claim(self, connection: Connection, now: datetime, *, lease: timedelta, node: str, limit: int) -> Sequence[Any]:
        """Lease up to ``limit`` due rows to ``node``, the longest due first, and return them oldest first."""
        values = {"now": micros(now), "until": micros(now + lease), "node": node, "limit": clamp(limit)}
        rows = connection.execute(self._claim[in_postgresql(connection)], values).all()
        return sorted(rows, key=lambda row: row.created_at)

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
