"""How many attempts a node makes at once: those that only wait for a slow receiver give their slots to others.

A receiver that hangs would otherwise hold its share of the threads until its time is out, and some such receivers all of
them. An attempt that has run for a second is waiting, not working; up to a bound, another may begin beside it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from uuid import UUID

#: An attempt that has run for so long is waiting for its receiver.
_SLOW = timedelta(seconds=1)
#: So many times the slots may be under way in all, the waiting ones included: each holds a thread and a delivery's contents.
_STRETCH = 4


class Slots:
    """Counts the attempts under way. ``number`` of them work at once; ``most`` is the bound with those that wait."""

    def __init__(self, number: int, *, clock: Callable[[], datetime]) -> None:
        self._number = number
        self.most = number * _STRETCH
        self._clock = clock
        self._lock = threading.Lock()
        self._since: dict[UUID, datetime] = {}

    def free(self) -> int:
        """Return how many attempts may begin now."""
        now = self._clock()
        with self._lock:
            working = sum(now - since < _SLOW for since in self._since.values())
            return max(0, min(self._number - working, self.most - len(self._since)))

    def take(self, delivery_ids: Iterable[UUID]) -> None:
        """Note that attempts begin."""
        now = self._clock()
        with self._lock:
            self._since.update(dict.fromkeys(delivery_ids, now))

    def give_back(self, delivery_id: UUID) -> None:
        """Note that an attempt is over."""
        with self._lock:
            self._since.pop(delivery_id, None)
