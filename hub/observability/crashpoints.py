"""Named crash points: where a test lets the process die as a power cut would. Development only; by default they do nothing.

``arm("after-commit")`` kills the process when it first comes by that place, ``arm("after-commit:20")`` the twentieth time.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable

from hub.errors import ConfigurationError, Text

#: In the order in which one application passes them.
POINTS = (
    "after-read",
    "after-validate",
    "after-seal",
    "before-commit",
    "after-commit",
    "before-send",
    "after-send",
    "before-record",
    "after-record",
)


def _pass_by(_point: str) -> None:
    """Do nothing: nobody armed a point."""


# One process dies as a whole, so what kills it belongs to the process and to nothing smaller.
_reached: Callable[[str], None] = _pass_by


def reach(point: str) -> None:
    """Say that the process has come to ``point``; it goes no further if the point is armed."""
    _reached(point)


def arm(wanted: str) -> None:
    """Arm one point, ``NAME`` or ``NAME:TIMES``; an empty text arms none.

    Raises:
        ConfigurationError: there is no such point.
    """
    global _reached  # noqa: PLW0603  # see above
    if not wanted:
        _reached = _pass_by
        return
    name, _, times = wanted.partition(":")
    if name not in POINTS or (times and not times.isdigit()):
        known = ", ".join(POINTS)
        raise ConfigurationError(
            Text(
                f"crash_at muss NAME oder NAME:ANZAHL sein. Bekannt sind: {known}.",
                f"crash_at must be NAME or NAME:TIMES. Known are: {known}.",
            )
        )
    _reached = _killer(name, int(times or 1))


def _killer(armed: str, times: int) -> Callable[[str], None]:
    passed = itertools.count(1)

    def kill(point: str) -> None:
        if point == armed and next(passed) >= times:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill
