"""Periodic duties: signing pending events, sweeping orphan blobs, forgetting old idempotency keys.

APScheduler runs them, each once at a time on a thread of its own; when, a monotonic clock says. Each tick asks the store for
the duty's lease, so that of any number of nodes one does the work, and a node that dies in the middle loses nothing because
the lease runs out.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

from apscheduler.schedulers.background import BackgroundScheduler

from hub.errors import Unavailable
from hub.observability.metrics import Meters
from hub.store import Blobs, Store
from hub.supervision import Loop, Supervisor

_log = logging.getLogger(__name__)
#: Blobs of which the database is asked in one query.
_ASKED_TOGETHER = 1000
#: How long the deletion of so many may take.
_PATIENCE = timedelta(minutes=5)
# It warns of each tick that finds the one before still at work, which is what we ask it to do.
logging.getLogger("apscheduler.scheduler").setLevel(logging.ERROR)
#: Seconds after which a duty that was asked for and did not begin means that nobody listens any more.
_DEAF = 600.0
#: Seconds to wait where there are no duties at all.
_IDLE = 60.0
#: A wall clock that gains more than this between two looks was set forward, or the machine slept …
_LEAP = timedelta(hours=1)
#: … and seconds for which nothing is deleted then: long enough for a time service, or a person, to set it right.
_WARY = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Duty:
    """Something to do every so often. ``run`` takes the time and returns how much it did.

    ``deletes``: it deletes, or gives up, what is too old by the wall clock; it waits where that clock has just leapt forward.
    ``pending`` says, by reading alone, whether there is anything to do; without it the duty is done each time.
    """

    name: str
    every: timedelta
    run: Callable[[datetime], int]
    deletes: bool = False
    pending: Callable[[], bool] | None = None


class Clock:
    """Runs duties at their times, each on one node at a time.

    When is told by a monotonic clock: a wall clock that is set back would stop them until it has caught up. One that is set
    forward makes everything look old, so what deletes waits a while for it to be set right.
    """

    def __init__(
        self,
        *,
        store: Store,
        node: str,
        duties: Sequence[Duty],
        clock: Callable[[], datetime],
        supervisor: Supervisor | None = None,
        meters: Meters | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._node = node
        self.duties = duties
        self._clock = clock
        self._monotonic = monotonic
        self._meters = meters or Meters()
        self._supervisor = supervisor or Supervisor()
        self._held: dict[str, int] = {}
        self._running: set[str] = set()
        self._loop: Loop | None = None
        self._looking = threading.Lock()
        self._seen, self._ticks = clock(), monotonic()
        self._wary_until = self._ticks

    def start(self) -> None:
        """Begin ticking."""
        self._loop = self._supervisor.begin("duties", self.run)

    def stop(self) -> None:
        """Stop ticking; a duty under way is finished first, and what this node holds is free for the others at once."""
        if self._loop is not None:
            self._loop.end()
        with suppress(Unavailable):
            for name, fencing in self._held.items():
                self._store.duties.release(name, node=self._node, fencing=fencing)

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set, each duty first after its time, and a tick that was missed once."""
        # One run of a duty at a time, on threads of its own; a run that was asked for is never too late.
        scheduler = BackgroundScheduler(
            timezone="UTC", job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        scheduler.start()
        try:
            self._tick_on(scheduler, stop)
        finally:
            # Whoever died must not wait for a duty that hangs.
            scheduler.shutdown(wait=stop.is_set())

    def _tick_on(self, scheduler: BackgroundScheduler, stop: threading.Event) -> None:
        due = {duty.name: self._monotonic() + duty.every.total_seconds() for duty in self.duties}
        asked: dict[str, float] = {}
        while not stop.wait(self._until(due)):
            self._look()  # Often, so that what passed in between is little.
            now = self._monotonic()
            for duty in self.duties:
                if due[duty.name] <= now:
                    due[duty.name] = now + duty.every.total_seconds()
                    if duty.name not in self._running:
                        asked.setdefault(duty.name, now)
                        scheduler.add_job(self._begun, args=[asked, duty], id=duty.name, replace_existing=True)
            if any(now - since > _DEAF for since in asked.copy().values()):
                raise RuntimeError("the scheduler takes no duties any more")

    def _look(self) -> datetime:
        """Return the wall clock's time, compared with what passed since the last look."""
        with self._looking:
            wall, ticks = self._clock(), self._monotonic()
            gained = (wall - self._seen) - timedelta(seconds=ticks - self._ticks)
            self._seen, self._ticks = wall, ticks
            if gained > _LEAP:
                self._wary_until = ticks + _WARY
                _log.error(
                    "the clock leapt forward by %s: nothing is deleted for %.0f s; check the machine's time",
                    gained,
                    _WARY,
                )
            return wall

    def _begun(self, asked: dict[str, float], duty: Duty) -> None:
        self._running.add(duty.name)
        asked.pop(duty.name, None)
        try:
            now = self._look()
            if duty.deletes and self._monotonic() < self._wary_until:
                self._meters.duty_failed(duty.name)
            else:
                self._do(duty, now)
        finally:
            self._running.discard(duty.name)

    def _until(self, due: Mapping[str, float]) -> float:
        """Return seconds until the next duty is due."""
        return max(0.0, min(due.values(), default=_IDLE + self._monotonic()) - self._monotonic())

    def tick(self, duty: Duty) -> int:
        """Do ``duty`` now if no other node holds it; return how much was done. One that fails is logged and counted."""
        return self._do(duty, self._clock())

    def _do(self, duty: Duty, now: datetime) -> int:
        try:
            if duty.pending is not None and not duty.pending():
                return 0  # A lease is a write, and most of a quiet night there is nothing.
            fencing = self._store.duties.hold(duty.name, node=self._node, now=now, lease=3 * duty.every)
            if fencing is None:
                return 0
            self._held[duty.name] = fencing
            done = duty.run(now)
        except Unavailable as error:
            _log.warning("duty %s: %s", duty.name, error)
            return 0
        except Exception:  # noqa: BLE001  # whatever a duty raises; the others and its own next run go on
            _log.exception("duty %s failed", duty.name)
            self._meters.duty_failed(duty.name)
            return 0
        if done:
            _log.info("duty %s: %d done", duty.name, done)
        return done


def sweep_orphans(store: Store, blobs: Blobs, *, grace: timedelta) -> Callable[[datetime], int]:
    """Return the duty that discards blobs without a row, and tells how many.

    A blob is written before its row is committed, so young ones are left alone for ``grace``. The database is asked once
    for a thousand of them; neither they nor their names are ever in memory all at once.
    """

    def run(now: datetime) -> int:
        swept = 0
        names = blobs.names(older_than=now - grace)
        while some := tuple(islice(names, _ASKED_TOGETHER)):
            orphans = store.retention.unreferenced(some)
            blobs.discard(*orphans)
            swept += len(orphans)
            if not blobs.settle(_PATIENCE):
                break  # It deletes more slowly than we list: the next time goes on.
        return swept

    return run
