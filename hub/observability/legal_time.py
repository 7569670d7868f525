"""Whose clock it is: whether the system's clock is held to a reference (NTP), as the kernel knows it.

The kernel is asked by ``ntp_adjtime`` with no mode set (Linux, adjtimex(2)): it needs no right, no program and no network, and
is the same for chrony, ntpd and systemd-timesyncd. Where it cannot be asked, or says what makes no sense, the state is *not
known*, and that is said.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from hub.errors import Text
from hub.observability.diagnosis import Diagnosis, doubtful, well

#: Seconds for which an answer holds: receipts are made by the hundred.
_FRESH = 1.0
#: adjtimex(2), ``status``: the clock is not held to a reference.
_UNSYNCHRONISED = 0x0040
#: What the call returns where the clock is not to be relied on (``TIME_ERROR``), or not at all.
_CLOCK_ERROR, _FAILED = 5, -1


class ClockState(StrEnum):
    """What is known of the clock."""

    SYNCHRONISED = "synchronised"
    UNSYNCHRONISED = "unsynchronised"
    NOT_KNOWN = "not-known"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClockReading:
    """What the kernel says of its clock; errors in milliseconds, None where it does not say."""

    state: ClockState
    estimated_error: float | None = None
    maximal_error: float | None = None

    def claim(self) -> dict[str, str | float]:
        """Return it as a receipt says it (member ``clock``)."""
        said: dict[str, str | float] = {"of": "hub", "state": self.state.value}
        if self.state is ClockState.SYNCHRONISED and self.maximal_error is not None:
            said["maxErrorMs"] = self.maximal_error
        if self.state is ClockState.SYNCHRONISED and self.estimated_error is not None:
            said["estimatedErrorMs"] = self.estimated_error
        return said


NOT_KNOWN = ClockReading(state=ClockState.NOT_KNOWN)


class _Timex(ctypes.Structure):
    """``struct timex`` of 64-bit Linux as far as it is read, and the room that the kernel writes behind."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("rest", ctypes.c_byte * 512),
    )


def ask_kernel() -> ClockReading:
    """Return what the kernel says now; *not known* where it cannot be asked."""
    if ctypes.sizeof(ctypes.c_long) != 8:  # noqa: PLR2004  # another layout
        return NOT_KNOWN
    try:
        ask = ctypes.CDLL(None, use_errno=True).ntp_adjtime
        said = _Timex()
        returned = ask(ctypes.byref(said))
    except (OSError, AttributeError, TypeError):
        return NOT_KNOWN
    return judged(returned, said.status, estimated=said.esterror, maximal=said.maxerror)


def judged(returned: int, status: int, *, estimated: int, maximal: int) -> ClockReading:
    """Return the reading that the call's answer means; errors come in microseconds, as adjtimex(2) has them."""
    if returned <= _FAILED:
        return NOT_KNOWN
    if returned == _CLOCK_ERROR or status & _UNSYNCHRONISED:
        return ClockReading(state=ClockState.UNSYNCHRONISED)
    return ClockReading(
        state=ClockState.SYNCHRONISED,
        estimated_error=estimated / 1_000 if estimated >= 0 else None,
        maximal_error=maximal / 1_000 if maximal >= 0 else None,
    )


class SystemClock:
    """Asks at most once a second, for any number of threads."""

    def __init__(
        self, ask: Callable[[], ClockReading] = ask_kernel, *, ticks: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._ticks = ticks
        self._lock = threading.Lock()
        self._seen: tuple[float, ClockReading] | None = None

    def reading(self) -> ClockReading:
        """Return what is known of the clock now."""
        seen, now = self._seen, self._ticks()
        if seen is not None and now - seen[0] < _FRESH:
            return seen[1]
        with self._lock:
            if self._seen is None or now - self._seen[0] >= _FRESH:
                self._seen = (now, self._ask())
            return self._seen[1]


def diagnosed(reading: ClockReading) -> Diagnosis:
    """Say whether the machine's clock is held to a reference: receipts say it, too."""
    if reading.state is ClockState.SYNCHRONISED:
        error = "" if reading.maximal_error is None else f" (± {reading.maximal_error:.0f} ms)"
        return well("clock", f"wird nachgeführt (NTP){error}", f"is synchronised (NTP){error}")
    if reading.state is ClockState.NOT_KNOWN:
        return _clock_not_known()
    return doubtful(
        "clock",
        Text("die Uhr wird nicht nachgeführt (NTP)", "the clock is not synchronised (NTP)"),
        Text(
            "chrony (mit rtcsync) oder systemd-timesyncd einrichten: Eingangsbestätigungen nennen es",
            "set up chrony (with rtcsync) or systemd-timesyncd: receipts name it",
        ),
    )


def _clock_not_known() -> Diagnosis:
    return doubtful(
        "clock",
        Text(
            "ob die Uhr nachgeführt wird, sagt das System nicht",
            "whether the clock is held, the system does not say",
        ),
        Text("Eingangsbestätigungen sagen „not-known“; NTP einrichten", "receipts say 'not-known'; set up NTP"),
    )
