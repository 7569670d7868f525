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

from hub.delivery import Schedule
from hub.errors import Unavailable

_log = logging.getLogger(__name__)
#: Waits of a minute, doubling to an hour, for three days (the digest's suggestion; FITKO publishes none).
SCHEDULE = Schedule(
    first=timedelta(minutes=1), factor=2.0, longest=timedelta(hours=1), give_up=timedelta(days=3), jitter=0.2
)


class Claimed(Protocol):
    """Something leased to this process."""

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""

    @property
    def created_at(self) -> datetime:
        """Since when it is to be sent."""


C = TypeVar("C", bound=Claimed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Carried:
    """What came of one attempt: whether the other side took it, and a note (no content, no secret)."""

    taken: bool
    note: str


class Courier(ABC, Generic[C]):
    """Carries one outbox. Any number of nodes do; each thing is leased to one of them at a time."""

    #: What is carried, for names of threads and lines of the log.
    carries: str
    #: Seconds between two looks at an empty outbox.
    pause = 0.5

    def __init__(self, *, clock: Callable[[], datetime], schedule: Schedule) -> None:
        self._clock = clock
        self._schedule = schedule

    @abstractmethod
    def claim(self, now: datetime) -> Sequence[C]:
        """Lease what is due."""

    @abstractmethod
    def carry(self, claim: C) -> Carried:
        """Make one attempt."""

    @abstractmethod
    def record(self, claim: C, carried: Carried, *, again: datetime | None, now: datetime) -> None:
        """Record an attempt: taken, or to be made again, or (None) given up."""

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set."""
        while not stop.is_set():
            try:
                made = self.run_once()
            except Unavailable as error:
                _log.warning("%ss: %s", self.carries, error)
                made = 0
            if not made:
                stop.wait(self.pause)

    def run_once(self) -> int:
        """Attempt what is due now, at once but bounded; return how many attempts were made."""
        claims = self.claim(self._clock())
        # A thread each: one receiver that hangs must not use up the others' leases.
        threads = [threading.Thread(target=self._attempt, args=[claim], name=self.carries) for claim in claims]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(claims)

    def _attempt(self, claim: C) -> None:
        carried = self.carry(claim)
        now = self._clock()
        again = None if carried.taken else self._next(claim, now)
        try:
            self.record(claim, carried, again=again, now=now)
        except Unavailable as error:
            # Nothing was recorded: the lease runs out and somebody tries again.
            _log.warning("%s: %s", self.carries, error)

    def _next(self, claim: C, now: datetime) -> datetime | None:
        due = now + self._schedule.wait(claim.attempt, random.random())  # noqa: S311  # jitter, not a secret
        return due if due <= claim.created_at + self._schedule.give_up else None
