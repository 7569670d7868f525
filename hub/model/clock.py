"""Clocks: the wall clock, which only composition roots and commands ask, and one for what passes within a process.

The second goes on although the wall clock is set back, and follows it forward.
Waits, ages and leases held in memory are differences of two looks at a clock. Taken from a wall clock that somebody sets
back they do not end before it has caught up; taken from a monotonic clock alone they miss that a machine slept. What is
stored, shown or sent is a moment, not a difference: it is the wall clock's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

#: A wall clock that lags behind by more than this since the last look was set back; less is drift and being slewed.
_STEP = timedelta(seconds=1)


def utc_now() -> datetime:
    """Return the time; everywhere else it is a parameter, or a clock that was handed in."""
    return datetime.now(UTC)


class SteadyClock:
    """Gives the wall clock's time, moved on by each step that it was set back: it never runs back and never stands still.

    ``monotonic`` gives seconds; without a step the pace is the wall clock's.
    """

    def __init__(self, wall: Callable[[], datetime], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._seen, self._ticks = wall(), monotonic()
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        """Return a time to be compared with others of this clock."""
        with self._lock:
            wall, ticks = self._wall(), self._monotonic()
            missing = timedelta(seconds=ticks - self._ticks) - (wall - self._seen)
            if missing > _STEP or wall < self._seen:
                self._ahead += max(missing, self._seen - wall)
            self._seen, self._ticks = wall, ticks
            return wall + self._ahead
