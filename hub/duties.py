"""Periodic duties: signing pending events, sweeping orphan blobs, forgetting old idempotency keys.

APScheduler is the clock, not the queue: each tick asks the store for the duty's lease, so that of any number of nodes one does
the work, and a node that dies in the middle loses nothing because the lease runs out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from apscheduler.schedulers.background import BackgroundScheduler

from hub.errors import Unavailable
from hub.store import Blobs, Store

_log = logging.getLogger(__name__)
# It warns of each tick that finds the one before still at work, which is what we ask it to do.
logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)


@dataclass(frozen=True, kw_only=True, slots=True)
class Duty:
    """Something to do every so often. ``run`` takes the time and returns how much it did."""

    name: str
    every: timedelta
    run: Callable[[datetime], int]


class Clock:
    """Runs duties at their times, each on one node at a time."""

    def __init__(self, *, store: Store, node: str, duties: Sequence[Duty], clock: Callable[[], datetime]) -> None:
        self._store = store
        self._node = node
        self._duties = duties
        self._clock = clock
        self._held: dict[str, int] = {}
        # A missed tick is made up for, once: misfire_grace_time=None and coalesce.
        self._scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )

    def start(self) -> None:
        """Begin ticking."""
        for duty in self._duties:
            self._scheduler.add_job(
                self.tick, "interval", seconds=duty.every.total_seconds(), args=[duty], id=duty.name
            )
        self._scheduler.start()

    def stop(self) -> None:
        """Stop ticking; a duty under way is finished first, and what this node holds is free for the others at once."""
        self._scheduler.shutdown(wait=True)
        with suppress(Unavailable):
            for name, fencing in self._held.items():
                self._store.release_duty(name, node=self._node, fencing=fencing)

    def tick(self, duty: Duty) -> int:
        """Do ``duty`` now if no other node holds it; return how much was done."""
        now = self._clock()
        try:
            fencing = self._store.hold_duty(duty.name, node=self._node, now=now, lease=3 * duty.every)
            if fencing is None:
                return 0
            self._held[duty.name] = fencing
            done = duty.run(now)
        except Unavailable as error:
            _log.warning("duty %s: %s", duty.name, error)
            return 0
        if done:
            _log.info("duty %s: %d done", duty.name, done)
        return done


def sweep_orphans(store: Store, blobs: Blobs, *, grace: timedelta) -> Callable[[datetime], int]:
    """Return the duty that deletes blobs without a row.

    A blob is written before its row is committed, so young ones are left alone for ``grace``.
    """

    def run(now: datetime) -> int:
        swept = 0
        for name in blobs.names(older_than=now - grace):
            if not store.refers_to(name):
                blobs.delete(name)
                swept += 1
        return swept

    return run
