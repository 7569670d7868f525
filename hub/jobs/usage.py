"""The roll-up of usage: a duty that counts what changed, so that figures stay when submissions are deleted.

Today and yesterday are counted at each run; a day before them, for which something came late, at most about once a day. A first
run takes all days that there are, newest first, so many in one run; the next one goes on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta

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
