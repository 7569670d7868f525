"""Carrying what lies in an outbox: claim what is due, carry it, record what came of it, for as long as the hub runs."""

from __future__ import annotations

import logging
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar

from hub.errors import Unavailable
from hub.model import Schedule, SteadyClock, reasons

_log = logging.getLogger(__name__)
#: Waits of a minute, doubling to an hour, for three days (the digest's suggestion; FITKO publishes none).
SCHEDULE = Schedule(
    first=timedelta(minutes=1), factor=2.0, longest=timedelta(hours=1), give_up=timedelta(days=3), jitter=0.2
)
#: An attempt that has run for so long is waiting for its receiver, and another may begin beside it.
_SLOW = timedelta(seconds=1)
#: So many times the slots may be under way in all.
_STRETCH = 4
#: Seconds to wait for further slots once one got free: a claim costs a commit, for one as for many.
_COMPANY = 0.01
#: Looks in a row at an empty outbox, and how many times as long the pauses are after those: a hub at rest rests.
_QUIET_AFTER = 20
_QUIET = 2
#: Seconds after which an attempt under way may have become a waiting one.
_LOOK_AGAIN = 0.5


class ClaimedEntry(Protocol):
    """Something leased to this process."""

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""

    @property
    def created_at(self) -> datetime:
        """Since when it is to be sent."""


C = TypeVar("C", bound=ClaimedEntry)


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """What came of one attempt: whether the other side took it, and a note (no content, no secret)."""

    taken: bool
    note: str


class OutboxWorker(ABC, Generic[C]):
    """Carries one outbox. Any number of nodes do; each thing is leased to one of them at a time.

    ``slots`` attempts work at once. One that waits for its receiver gives its slot away, up to a bound; a slot that gets
    free is filled at once, whoever else still waits.
    """

    #: What is carried, for names of threads and lines of the log.
    carries: str
    #: Seconds between two looks at an empty outbox.
    pause = 0.5

    def __init__(self, *, clock: Callable[[], datetime], schedule: Schedule, slots: int) -> None:
        self._clock = clock
        #: How long an attempt runs is measured by a clock that nobody sets back.
        self._steady = SteadyClock(clock)
        self._schedule = schedule
        self._slots = slots
        self._lock = threading.Lock()
        self._under_way: dict[threading.Thread, tuple[C, datetime]] = {}
        self._ended = threading.Event()
        self._empty_looks = 0

    @abstractmethod
    def claim(self, now: datetime, *, room: int) -> Sequence[C]:
        """Lease what is due, ``room`` things at most."""

    @abstractmethod
    def carry(self, claim: C) -> Carried:
        """Make one attempt."""

    @abstractmethod
    def record(self, claim: C, carried: Carried, *, again: datetime | None, now: datetime) -> None:
        """Record an attempt: taken, or to be made again, or (None) given up."""

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; attempts under way are finished and recorded."""
        try:
            while not stop.is_set():
                self._ended.clear()
                try:
                    begun = self._fill()
                except Unavailable as error:
                    _log.warning("%ss: %s", self.carries, error)
                    begun = []
                self._empty_looks = 0 if begun else self._empty_looks + 1
                if not begun:
                    self._rest(stop)
        finally:
            _join(self._threads())

    def under_way(self) -> list[C]:
        """Return what is being attempted now."""
        with self._lock:
            return [claim for claim, _ in self._under_way.values()]

    def run_once(self) -> int:
        """Attempt what is due now, as far as there are slots, and wait for the ends; return how many attempts were made."""
        begun = self._fill()
        _join(begun)
        return len(begun)

    def _rest(self, stop: threading.Event) -> None:
        """Wait for a slot that gets free, or for what becomes due."""
        if not self._threads():
            stop.wait(self.pause if self._empty_looks < _QUIET_AFTER else self.pause * _QUIET)
        elif self._ended.wait(_LOOK_AGAIN):
            stop.wait(_COMPANY)

    def _fill(self) -> list[threading.Thread]:
        """Begin an attempt in each slot that is free."""
        room = self._room()
        claims = self.claim(self._clock(), room=room) if room else ()
        return [self._begin(claim) for claim in claims]

    def _begin(self, claim: C) -> threading.Thread:
        # A thread each: one receiver that hangs must not use up the others' leases.
        thread = threading.Thread(target=self._work, args=[claim], name=self.carries)
        with self._lock:
            self._under_way[thread] = claim, self._steady()
        try:
            thread.start()
        except RuntimeError:  # No thread to be had: the lease runs out, and somebody tries again.
            self._leave(thread)
            raise
        return thread

    def _room(self) -> int:
        now = self._steady()
        with self._lock:
            working = sum(now - since < _SLOW for _, since in self._under_way.values())
            return max(0, min(self._slots - working, self._slots * _STRETCH - len(self._under_way)))

    def _threads(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._under_way)

    def _leave(self, thread: threading.Thread) -> None:
        with self._lock:
            self._under_way.pop(thread, None)
        self._ended.set()

    def _work(self, claim: C) -> None:
        try:
            self._attempt(claim)
        finally:
            self._leave(threading.current_thread())

    def _attempt(self, claim: C) -> None:
        """Make one attempt and record it, whatever it dies of: what is not recorded would be tried for ever."""
        try:
            carried = self.carry(claim)
        except BaseException as error:  # noqa: BLE001  # whatever a library raises is what came of it
            _log.exception("%s: the attempt failed", self.carries)
            carried = Carried(taken=False, note=f"{reasons.FAILED.note} ({type(error).__name__})")
        now = self._clock()
        again = None if carried.taken else self._next(claim, now)
        try:
            self.record(claim, carried, again=again, now=now)
        except Unavailable as error:
            # Nothing was recorded: the lease runs out and somebody tries again.
            _log.warning("%s: %s", self.carries, error)
        except Exception:  # noqa: BLE001  # likewise, and nobody waits for this thread
            _log.exception("%s: the attempt was not recorded", self.carries)

    def _next(self, claim: C, now: datetime) -> datetime | None:
        due = now + self._schedule.wait(claim.attempt, random.random())  # noqa: S311  # jitter, not a secret
        return due if due <= claim.created_at + self._schedule.give_up else None


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join()
