"""What is known of one destination besides its record: its callbacks, and when it collected last."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select

from hub.model.submission import oldest_id
from hub.store import tables
from hub.store.annex import Annex
from hub.store.callbacks import to_view
from hub.store.database import a_moment, clamp
from hub.store.records import CallbackView, DeliveryState

_CALLBACKS = tables.callbacks
_MESSAGES = tables.messages


class Dossier(Annex):
    """Reads on one destination."""

    def callback_states(self, destination_id: UUID) -> Mapping[DeliveryState, int]:
        """Return how many of a destination's callbacks are in each state; those that ended are forgotten after a while."""
        columns = _CALLBACKS.c
        statement = (
            select(columns.state, func.count()).where(columns.party == str(destination_id)).group_by(columns.state)
        )
        rows = self._read(lambda connection: connection.execute(statement).all())
        known = set(DeliveryState)
        return {DeliveryState(state): number for state, number in rows if state in known}

    def callbacks(self, destination_id: UUID, *, limit: int = 20) -> list[CallbackView]:
        """Return a destination's latest callbacks, the newest first."""
        statement = (
            select(_CALLBACKS)
            .where(_CALLBACKS.c.party == str(destination_id))
            .order_by(_CALLBACKS.c.created_at.desc(), _CALLBACKS.c.callback_id)
            .limit(clamp(limit))
        )
        return self._all(statement, _CALLBACKS, to_view)

    def last_collected(self, destination_id: UUID, *, since: datetime) -> datetime | None:
        """Return when the destination collected last something that came in since then; None if it did not."""
        columns = _MESSAGES.c
        lately = columns.message_id >= str(oldest_id(since))
        statement = select(func.max(columns.collected_at)).where(lately, columns.destination_id == str(destination_id))
        return a_moment(self._read(lambda connection: connection.execute(statement).scalar()))
