"""Whether there is room for one more application: memory for plaintext, disk for ciphertext."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from hub.errors import Overloaded, StoreUnavailable, Text

#: Seconds for which a disk that had room still has: asking lets go of the interpreter, which each application would pay.
_FRESH = 0.25


class Reservation:
    """A share of the memory budget, held while plaintext is in memory."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._size = 0

    def grow(self, size: int) -> None:
        """Take ``size`` bytes more.

        Raises:
            Overloaded: the budget is spent; nothing was taken.
        """
        self._admission.take(size)
        self._size += size

    def insist_on_room(self, size: int) -> None:
        """Take nothing, but refuse where ``size`` bytes more would not fit: before a body of that length is read.

        Raises:
            Overloaded: the budget has no room for so much.
        """
        self._admission.insist_on_room(size)

    def release(self) -> None:
        """Give everything back; may be called twice."""
        self._admission.give_back(self._size)
        self._size = 0


class Admission:
    """Counts plaintext bytes in memory against a budget and watches the disk's free space.

    ``ticks`` are seconds of a clock that never goes back.
    """

    def __init__(
        self,
        *,
        memory_budget: int,
        free_bytes: Callable[[], int],
        disk_watermark: int,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = memory_budget
        self._used = 0
        self._lock = threading.Lock()
        self._free_bytes = free_bytes
        self._watermark = disk_watermark
        self._ticks = ticks
        self._looked = -math.inf

    def check_disk(self) -> None:
        """Refuse below the watermark, so that what was acknowledged can still be delivered.

        Raises:
            StoreUnavailable: less than the watermark is free.
        """
        now = self._ticks()
        if now - self._looked < _FRESH:
            return
        if self._free_bytes() < self._watermark:
            raise StoreUnavailable(
                Text(
                    "Der Speicher des Hubs ist fast voll. Bitte versuchen Sie es später noch einmal.",
                    "The hub's store is nearly full. Please try again later.",
                ),
                retry_after=timedelta(minutes=5),
            )
        self._looked = now

    def reserve(self) -> Reservation:
        """Begin an empty reservation."""
        return Reservation(self)

    def take(self, size: int) -> None:
        """Count ``size`` bytes in."""
        with self._lock:
            self.insist_on_room(size)
            self._used += size

    def insist_on_room(self, size: int) -> None:
        """Refuse where ``size`` bytes more would not fit."""
        if self._used + size > self._budget:
            raise Overloaded(
                Text(
                    "Der Hub verarbeitet gerade zu viele große Anträge. Bitte gleich noch einmal versuchen.",
                    "The hub is busy with too many large applications. Please try again shortly.",
                ),
                retry_after=timedelta(seconds=5),
            )

    def give_back(self, size: int) -> None:
        """Count ``size`` bytes out."""
        with self._lock:
            self._used -= size
