"""The outbox of callbacks: written with the events that cause them, sent later, under leases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, delete, select, text, update

from hub.store import tables
from hub.store.database import Database, Insert, clamp, in_postgresql, maybe_micros, micros, moment, not_found
from hub.store.records import CallbackClaim, DeliveryState, OutgoingCallback, Page

_CALLBACKS = tables.callbacks
_INSERT = Insert(_CALLBACKS)

_CLAIM = """
UPDATE callbacks
SET next_attempt_at = :until, leased_by = :node, fencing = fencing + 1,
    attempts = attempts + CASE WHEN leased_by IS NULL THEN 0 ELSE 1 END
WHERE callback_id IN (
    SELECT callback_id FROM callbacks WHERE next_attempt_at <= :now ORDER BY next_attempt_at LIMIT :limit {lock}
)
RETURNING *
"""


class Callbacks(Database):
    """Callbacks to send, and what came of them."""

    def add_callback(self, callback: OutgoingCallback) -> None:
        """Put a callback into the outbox, due at once."""
        self._write(lambda connection: write_callbacks(connection, [callback]))

    def claim_callbacks(self, now: datetime, *, lease: timedelta, node: str, limit: int) -> list[CallbackClaim]:
        """Lease up to ``limit`` due callbacks to ``node``, the longest due first."""
        values = {"now": micros(now), "until": micros(now + lease), "node": node, "limit": clamp(limit)}

        def write(connection: Connection) -> list[CallbackClaim]:
            statement = _CLAIM.format(lock="FOR UPDATE SKIP LOCKED" if in_postgresql(connection) else "")
            rows = connection.execute(text(statement), values).all()
            return sorted((_claim(row) for row in rows), key=lambda claim: claim.callback.created_at)

        return self._write(write)

    def record_callback(
        self, claim: CallbackClaim, *, sent: bool, next_attempt_at: datetime | None, note: str, now: datetime
    ) -> bool:
        """Record an attempt: sent, again at ``next_attempt_at``, or (None) given up; False if the lease was lost."""
        finished = sent or next_attempt_at is None
        state = DeliveryState.QUEUED
        if finished:
            state = DeliveryState.DELIVERED if sent else DeliveryState.DEAD
        changed = {
            "state": state.value,
            "next_attempt_at": None if sent else maybe_micros(next_attempt_at),
            "leased_by": None,
            "attempts": claim.attempt,
            "note": note,
            "finished_at": micros(now) if finished else None,
        }
        ours = and_(
            _CALLBACKS.c.callback_id == str(claim.callback.callback_id),
            _CALLBACKS.c.fencing == claim.fencing,
            _CALLBACKS.c.leased_by.is_not(None),
        )
        return self._write(
            lambda connection: connection.execute(update(_CALLBACKS).where(ours).values(changed)).rowcount == 1
        )

    def dead_callbacks(self, *, offset: int = 0, limit: int = 100) -> Page[OutgoingCallback]:
        """Return one page of callbacks that were given up, oldest first."""
        dead = _CALLBACKS.c.state == DeliveryState.DEAD.value
        statement = select(_CALLBACKS).where(dead).order_by(_CALLBACKS.c.created_at, _CALLBACKS.c.callback_id)
        return self._page(statement, _callback, offset=offset, limit=limit)

    def redrive_callback(self, callback_id: UUID, now: datetime) -> bool:
        """Make a callback that was given up due again; False if it was not given up. ``NotFound`` for an unknown one."""
        here = _CALLBACKS.c.callback_id == str(callback_id)
        again = {"state": DeliveryState.QUEUED.value, "next_attempt_at": micros(now), "finished_at": None}

        def write(connection: Connection) -> bool:
            dead = _CALLBACKS.c.state == DeliveryState.DEAD.value
            if connection.execute(update(_CALLBACKS).where(here, dead).values(again)).rowcount:
                return True
            if connection.execute(select(_CALLBACKS.c.callback_id).where(here)).first() is None:
                raise not_found("callback-not-found", "Den Rückruf", "Callback", callback_id)
            return False

        return self._write(write)

    def forget_callbacks(self, before: datetime) -> int:
        """Delete callbacks that ended before ``before``; return how many."""
        old = delete(_CALLBACKS).where(_CALLBACKS.c.finished_at < micros(before))
        return self._write(lambda connection: connection.execute(old).rowcount)


def write_callbacks(connection: Connection, callbacks: Sequence[OutgoingCallback]) -> None:
    """Put callbacks into the outbox, due at once."""
    _INSERT(connection, *(_row(callback) for callback in callbacks))


def _row(callback: OutgoingCallback) -> dict[str, Any]:
    return {
        "callback_id": str(callback.callback_id),
        "party": callback.party,
        "case_id": None if callback.case_id is None else str(callback.case_id),
        "url": callback.url,
        "secret": callback.secret,
        "body": callback.body,
        "state": DeliveryState.QUEUED.value,
        "next_attempt_at": micros(callback.created_at),
        "fencing": 0,
        "leased_by": None,
        "attempts": 0,
        "note": "",
        "created_at": micros(callback.created_at),
        "finished_at": None,
    }


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


def _claim(row: Any) -> CallbackClaim:
    return CallbackClaim(callback=_callback(row), node=row.leased_by, attempt=row.attempts + 1, fencing=row.fencing)
