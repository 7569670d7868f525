"""Destinations as senders need them: read at most a second ago, and at once after a change by this node."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from hub.exchange.access import existing_destination
from hub.parties import Destination
from hub.store import Store

#: How old an answer may be: what another node changed is seen within it.
FRESH = timedelta(seconds=1)
_MOST = 10_000


class Receivers:
    """Looks up destinations; a row with many services costs more to read than all checks of a submission."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[UUID, tuple[datetime, Destination]] = {}

    def existing(self, destination_id: UUID, *, now: datetime) -> Destination:
        """Return a destination in any status; raise ``NotFound`` for an unknown one."""
        known = self._fresh(destination_id, now)
        if known is not None:
            return known
        destination = existing_destination(self._store, destination_id)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[destination_id] = (now, destination)
        return destination

    def at_hand(self, destination_id: UUID, *, now: datetime) -> bool:
        """Say whether :meth:`existing` would answer without a look into the store."""
        return self._fresh(destination_id, now) is not None

    def _fresh(self, destination_id: UUID, now: datetime) -> Destination | None:
        known = self._known.get(destination_id)
        return known[1] if known is not None and now - FRESH < known[0] <= now else None

    def forget(self, destination_id: UUID) -> None:
        """Look this one up anew next time."""
        self._known.pop(destination_id, None)
