"""The roll-up of usage: a duty that counts what changed, so that figures stay when submissions are deleted.

Today and yesterday are counted at each run; a day before them, for which something came late, at most about once a day. A first
run takes all days that there are, newest first, so many in one run; the next one goes on.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta

from hub.errors import HubError
from hub.model.usage import Month, day_of
from hub.store import Store

_log = logging.getLogger(__name__)
#: Days counted in one run.
_MOST_DAYS = 62
#: Rows of refusals that one run adds up: each is what one process refused within a moment.
_GOES = 100
_REFUSALS = 1_000


@dataclass(frozen=True, kw_only=True, slots=True)
class RollUp:
    """Counts days. ``settled`` is how long a past day rests between two counts."""

    store: Store
    settled: timedelta = timedelta(hours=20)

    def run(self, now: datetime) -> int:
        """Count what changed; return how many days were counted."""
        usage = self.store.usage
        for _ in range(_GOES):
            if usage.add_refusals(limit=_REFUSALS) < _REFUSALS:
                break
        usage.ask(now)
        yesterday = day_of(now) - timedelta(days=1)
        recent = [day for day in usage.due(counted_before=now) if day >= yesterday]
        past = [day for day in usage.due(counted_before=now - self.settled) if day < yesterday]
        days = (recent + past)[:_MOST_DAYS]
        for day in days:
            usage.count(day, now)
        return len(days)

    def month(self, month: Month, now: datetime) -> int:
        """Count a whole month anew; return how many submissions it has. What retention closed stays as it was."""
        days = [day for day in month.days() if day <= day_of(now)]
        self.store.usage.ask_again(days)
        return sum(self.store.usage.count(day, now) for day in days)


class RefusalTally:
    """Counts what known senders are refused at the door, or use although it will end, without a commit for each.

    What comes while some are being written goes with the next write; so nothing lies in memory for longer than a commit takes,
    and however many there are, a write holds one number for each sender and problem.
    """

    def __init__(
        self, *, note: Callable[[Mapping[tuple[str, str, str], int]], Future[int]], clock: Callable[[], datetime]
    ) -> None:
        """``note`` begins to store counts by (day, sender, slug)."""
        self._note = note
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: Counter[tuple[str, str, str]] = Counter()
        self._writing = False

    def __call__(self, sender: str, slug: str) -> None:
        """Count one refusal; what the store does not take now goes with a later one."""
        key = (day_of(self._clock()).isoformat(), sender, slug)
        with self._lock:
            self._waiting[key] += 1
            if self._writing:
                return
            self._writing = True
        self._begin()

    def _begin(self) -> None:
        with self._lock:
            taken, self._waiting = self._waiting, Counter()
            self._writing = bool(taken)
        if not taken:
            return
        try:
            self._note(taken).add_done_callback(lambda done: self._written(taken, done))
        except HubError as error:
            self._keep(taken, error)

    def _written(self, taken: Counter[tuple[str, str, str]], done: Future[int]) -> None:
        error = None if done.cancelled() else done.exception()
        if done.cancelled() or error is not None:
            self._keep(taken, error)
        else:
            self._begin()

    def _keep(self, taken: Counter[tuple[str, str, str]], error: BaseException | None) -> None:
        _log.warning("refusals are counted later: %s", type(error).__name__)
        with self._lock:
            self._waiting += taken
            self._writing = False
