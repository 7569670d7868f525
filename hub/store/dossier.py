"""What is known of one destination besides its record: its callbacks, and when it collected last."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from hub.store import tables
from hub.store.annex import Annex
from hub.store.database import clamp, maybe_moment, moment
from hub.store.records import DeliveryState
from hub.submission import oldest_id

_CALLBACKS = tables.callbacks
_MESSAGES = tables.messages


@dataclass(frozen=True, kw_only=True, slots=True)
class CallbackView:
    """A callback without its body and secret: where it stands, and what was said of its last attempt."""

    callback_id: UUID
    state: DeliveryState
    attempts: int
    note: str
    created_at: datetime
    next_attempt_at: datetime | None
    finished_at: datetime | None


class Dossier(Annex):
    """Reads on one destination."""

    def callback_states(self, destination_id: UUID) -> Mapping[DeliveryState, int]:
        """Return how many of a destination's callbacks are in each state; those that ended are forgotten after a while."""
        columns = _CALLBACKS.c
        statement = (
            select(columns.state, func.count()).where(columns.party == str(destination_id)).group_by(columns.state)
        )
        rows = self._read(lambda connection: connection.execute(statement).all())
        return {DeliveryState(state): number for state, number in rows}

    def callbacks(self, destination_id: UUID, *, limit: int = 20) -> list[CallbackView]:
        """Return a destination's latest callbacks, the newest first."""
        columns = _CALLBACKS.c
        statement = (
            select(
                columns.callback_id,
                columns.state,
                columns.attempts,
                columns.note,
                columns.created_at,
                columns.next_attempt_at,
                columns.finished_at,
            )
            .where(columns.party == str(destination_id))
            .order_by(columns.created_at.desc(), columns.callback_id)
            .limit(clamp(limit))
        )
        rows = self._read(lambda connection: connection.execute(statement).all())
        return [
            CallbackView(
                callback_id=UUID(row.callback_id),
                state=DeliveryState(row.state),
                attempts=row.attempts,
                note=row.note,
                created_at=moment(row.created_at),
                next_attempt_at=maybe_moment(row.next_attempt_at),
                finished_at=maybe_moment(row.finished_at),
            )
            for row in rows
        ]

    def last_collected(self, destination_id: UUID, *, since: datetime) -> datetime | None:
        """Return when the destination collected last something that came in since then; None if it did not."""
        columns = _MESSAGES.c
        lately = columns.message_id >= str(oldest_id(since))
        statement = select(func.max(columns.collected_at)).where(lately, columns.destination_id == str(destination_id))
        return maybe_moment(self._read(lambda connection: connection.execute(statement).scalar()))
