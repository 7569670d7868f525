"""What a node holds of the queue: deliveries that wait for a slot, attempts under way, results that are not recorded yet.

A claim costs a commit, whatever it brings, so a node claims ahead; but only as much as it has got through in the last
moment, so that nothing waits here for long while another node is idle. Attempts have slots. A receiver that hangs would
hold its share of them until its time is out, and some such receivers all of them; an attempt that has run for a second
is waiting, not working, and up to a bound another may begin beside it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from hub.store import Claim

#: A claim: its delivery and its fencing number.
_Key: TypeAlias = tuple[UUID, int]
#: An attempt that has run for so long is waiting for its receiver.
_SLOW = timedelta(seconds=1)
#: So many times the slots may be under way in all, the waiting ones included: each holds a thread and a delivery's contents.
_STRETCH = 4
#: What ended within this time is what a node is sure to begin soon.
_MOMENT = timedelta(milliseconds=100)
#: Deliveries that wait here at most, in slots: their contents lie in memory, and after a crash each counts as a repeat.
_AHEAD = 8
#: Results that wait to be recorded at most, in slots: beyond it the store is slower than the receivers.
_UNRECORDED = 16


class Hand:
    """Counts and keeps. ``number`` attempts work at once; ``most`` is the bound with those that wait for their receivers.

    What has waited here for longer than ``patience``, well within a lease, is for another node, or for later. ``clock`` is
    one that is never set back (``SteadyClock``). A delivery that was claimed anew after its lease ran out is another one here.
    """

    def __init__(self, number: int, *, patience: timedelta, clock: Callable[[], datetime]) -> None:
        self._number = number
        self._patience = patience
        self.most = number * _STRETCH
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting: deque[tuple[Claim, datetime]] = deque()
        self._since: dict[_Key, datetime] = {}
        self._unrecorded: set[_Key] = set()
        self._ended: deque[datetime] = deque(maxlen=number * _AHEAD)
        self._suspects: set[_Key] = set()

    def room(self) -> int:
        """Return how many deliveries to claim now: none while enough wait."""
        now = self._clock()
        with self._lock:
            ahead = self._ahead(now)
            if len(self._unrecorded) > self._number * _UNRECORDED or 2 * len(self._waiting) > ahead:
                return 0
            return max(0, self._free(now) + ahead - len(self._waiting))

    def suspicious(self) -> bool:
        """Say whether a delivery is here that its workers may have died of: it is attempted without another such."""
        with self._lock:
            return bool(self._suspects)

    def take(self, claims: Iterable[Claim]) -> None:
        """Keep what was claimed until :meth:`begin` asks for it."""
        now = self._clock()
        with self._lock:
            for claim in claims:
                self._waiting.append((claim, now))
                if claim.suspect:
                    self._suspects.add(_key(claim))

    def startable(self) -> int:
        """Return how many attempts may begin now."""
        now = self._clock()
        with self._lock:
            return min(self._free(now), len(self._waiting))

    def begin(self) -> Claim | None:
        """Return the delivery whose attempt begins now; None where no slot is free, or nothing waits."""
        now = self._clock()
        with self._lock:
            if not self._waiting or not self._free(now):
                return None
            claim, _ = self._waiting.popleft()
            self._since[_key(claim)] = now
            return claim

    def end(self, claim: Claim) -> None:
        """Note that an attempt is over, which frees its slot; its result is still to be recorded."""
        now = self._clock()
        with self._lock:
            if self._since.pop(_key(claim), None) is not None:
                self._ended.append(now)
                self._unrecorded.add(_key(claim))

    def settle(self, claim: Claim) -> None:
        """Note that a result is recorded, or cannot be."""
        with self._lock:
            self._unrecorded.discard(_key(claim))
            self._suspects.discard(_key(claim))

    def give_back(self, *, everything: bool = False) -> list[Claim]:
        """Return what has waited too long, or all that waits, and keep it no more."""
        now = self._clock()
        kept: list[Claim] = []
        with self._lock:
            while self._waiting and (everything or now - self._waiting[0][1] >= self._patience):
                claim, _ = self._waiting.popleft()
                self._suspects.discard(_key(claim))
                kept.append(claim)
        return kept

    def _free(self, now: datetime) -> int:
        working = sum(now - since < _SLOW for since in self._since.values())
        return max(0, min(self._number - working, self.most - len(self._since)))

    def _ahead(self, now: datetime) -> int:
        return sum(now - ended < _MOMENT for ended in self._ended)


def _key(claim: Claim) -> _Key:
    return claim.delivery_id, claim.fencing
