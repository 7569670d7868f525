"""Whether there is room for one more application: memory for plaintext, disk for ciphertext; and how many cores there are.

Memory that was given back is given back to the system, too: see :class:`Trim`.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import math
import os
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from hub.errors import Overloaded, StoreUnavailable, Text

#: Seconds for which a disk that had room still has: asking lets go of the interpreter, which each application would pay.
_FRESH = 0.25


#: Bytes that one reservation must have held for its release to count: small ones leave nothing that the next does not reuse.
_LARGE = 1024 * 1024
#: Bytes given back by large reservations after which memory is looked after …
_SHARE = 24 * 1024 * 1024
#: … and seconds between two such times; also how long it waits, for more that is given back meanwhile.
_REST = 10.0
_PAUSE = 1.0

#: Where a control group's share of the processor stands, relative to the hierarchy's mount: version 2's file, or version 1's.
_HIERARCHIES = {"": "fs/cgroup", "cpu": "fs/cgroup/cpu", "cpu,cpuacct": "fs/cgroup/cpu,cpuacct"}

_log = logging.getLogger(__name__)


def usable_cores(*, proc: Path = Path("/proc"), sys: Path = Path("/sys")) -> int:
    """Return how many cores this process may keep busy: those that it may run on, or the fewer that its control groups allow.

    A container's limit is time and no set of cores: half a core counts as one, two and a half as three (cgroup-v2, "CPU
    Interface Files"; version 1: "CFS Bandwidth Control").
    """
    cores = len(os.sched_getaffinity(0))
    try:
        lines = (proc / "self/cgroup").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return cores
    shares = [share for line in lines for share in _shares(line, sys)]
    return max(1, min([cores, *(math.ceil(share) for share in shares)]))


def _shares(line: str, sys: Path) -> list[float]:
    """Return the limits of one hierarchy, in cores: of the process's group and of all above it, as far as they are seen here.

    Within a container the group may be named as the machine names it, and is the root of what is mounted.
    """
    _, _, rest = line.partition(":")
    kind, _, group = rest.partition(":")
    mount = _HIERARCHIES.get(kind)
    if mount is None:
        return []
    root, within = sys / mount, Path(group.lstrip("/"))
    found = (_share(root / each) for each in (within, *within.parents) if ".." not in each.parts)
    return [share for share in found if share is not None]


def _share(group: Path) -> float | None:
    try:
        if (group / "cpu.max").exists():
            quota, _, period = (group / "cpu.max").read_text(encoding="ascii").partition(" ")
        else:
            quota, period = (
                (group / f"cpu.cfs_{name}_us").read_text(encoding="ascii").strip() for name in ("quota", "period")
            )
        share = float(quota) / float(period)
    except (OSError, ValueError, ZeroDivisionError):  # "max" is no number: no limit.
        return None
    return share if share > 0 else None


class Trim:
    """Gives memory back to the system after much of the budget was released.

    What large bodies were parsed into may lie in cycles that a serving process seldom collects, and the allocator (glibc's)
    keeps what is freed for itself: without this a hub stays at twice its size after a dozen of them. It takes tens of
    milliseconds, so it is done in a thread of its own, seldom, and not where nothing is to be had.
    """

    def __init__(
        self,
        *,
        give_back: Callable[[], None] | None = None,
        share: int = _SHARE,
        rest: float = _REST,
        pause: float = _PAUSE,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self._give_back = give_back or allocator()
        self._share = share
        self._rest = rest
        self._pause = pause
        self._ticks = ticks
        self._lock = threading.Lock()
        self._released = 0
        self._next = -math.inf
        self.busy = False

    def released(self, size: int) -> None:
        """Count ``size`` bytes that are used no more; neither waits nor raises."""
        if size < _LARGE or self._give_back is None:
            return
        with self._lock:
            self._released += size
            if self.busy or self._released < self._share:
                return
            self.busy = True
        try:
            threading.Thread(target=self._run, name="memory", daemon=True).start()
        except RuntimeError:  # No more threads: the next large release tries again.
            self.busy = False

    def _run(self) -> None:
        try:
            time.sleep(max(self._pause, self._next - self._ticks()))
            with self._lock:
                self._released = 0
            gc.collect()
            if self._give_back is not None:
                self._give_back()
        except Exception:  # noqa: BLE001  # memory that stays is no reason to end anything
            _log.exception("memory could not be given back")
        finally:
            self._next = self._ticks() + self._rest
            self.busy = False


def allocator() -> Callable[[], None] | None:
    """Return what makes the C library give free memory back (``malloc_trim``, glibc's own); None for any other."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None

    def give_back() -> None:
        trim(ctypes.c_size_t(0))

    return give_back


class Ledger(Protocol):
    """Where processes that share one budget say what each of them uses."""

    def note(self, used: int) -> None:
        """Say how much this process uses."""

    def others(self) -> int:
        """Return how much all others use."""


class _Sole:
    """The ledger of a process that has its budget for itself."""

    def note(self, used: int) -> None:
        """Tell nobody."""

    def others(self) -> int:
        """Return nought."""
        return 0


_SOLE = _Sole()


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

    def require_room(self, size: int) -> None:
        """Take nothing, but refuse where ``size`` bytes more would not fit: before a body of that length is read.

        Raises:
            Overloaded: the budget has no room for so much.
        """
        self._admission.require_room(size)

    def release(self) -> None:
        """Give everything back; may be called twice."""
        self._admission.give_back(self._size)
        self._size = 0


class Admission:
    """Counts plaintext bytes in memory against a budget and watches the disk's free space.

    The budget is that of all processes that share ``ledger``. ``ticks`` are seconds of a clock that never goes back.
    """

    def __init__(
        self,
        *,
        memory_budget: int,
        free_bytes: Callable[[], int],
        disk_watermark: int,
        ticks: Callable[[], float] = time.monotonic,
        trim: Trim | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self._budget = memory_budget
        self._ledger: Ledger = ledger or _SOLE
        self._trim = trim or Trim()
        self.used = 0
        self._lock = threading.Lock()
        self._free_bytes = free_bytes
        self._watermark = disk_watermark
        self._ticks = ticks
        self._looked = -math.inf

    def require_disk(self) -> None:
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
            # Said before others are asked, so that of two who take the last room at once one is refused, or both are.
            self._ledger.note(self.used + size)
            try:
                self.require_room(size)
            except Overloaded:
                self._ledger.note(self.used)
                raise
            self.used += size

    def require_room(self, size: int) -> None:
        """Refuse where ``size`` bytes more would not fit."""
        if self.used + self._ledger.others() + size > self._budget:
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
            self.used -= size
            self._ledger.note(self.used)
        self._trim.released(size)
