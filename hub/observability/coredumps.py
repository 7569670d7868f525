"""No core dumps: an image of the process's memory holds applications in plaintext, and would outlive it on a disk.

The limit alone does not stop a system that pipes dumps into a program (core(5)), so the process also says that it is not to
be dumped, which keeps other processes of the same account from looking into its memory, too. A child inherits the limit; the
rest it has to say itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys

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
