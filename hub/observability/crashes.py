"""How a process may die: without a core dump, and, for a test, at a named point as a power cut would.

An image of the process's memory holds applications in plaintext, and would outlive it on a disk. The limit alone does not stop
a system that pipes dumps into a program (core(5)), so the process also says that it is not to
be dumped, which keeps other processes of the same account from looking into its memory, too. A child inherits the limit; the
rest it has to say itself.

``arm("after-commit")`` kills the process when it first comes by that place, ``arm("after-commit:20")`` the twentieth time.
Development only; by default the points do nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import sys
from collections.abc import Callable

from hub.errors import ConfigurationError, Text

#: ``PR_SET_DUMPABLE`` of prctl(2).
_SET_DUMPABLE = 4


def forbid() -> None:
    """Make this process, and whatever it starts, leave no core dump behind; nothing where the system knows no such limit."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


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
#: … and those that an upload passes: its piece durable and not told of, its application accepted and the upload still there.
OF_UPLOADS = ("upload-durable", "upload-accepted")
#: … and those of a message that is closed over XTA: nothing written, and all of it while the answer is not out.
OF_BOXES = ("box-closing", "box-closed")
_ALL = (*POINTS, *OF_UPLOADS, *OF_BOXES)


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
    if name not in _ALL or (times and not times.isdigit()):
        known = ", ".join(_ALL)
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
