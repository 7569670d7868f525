"""How the interpreter of a serving process is set: for many short requests, a few threads, and much that lives to the end."""

from __future__ import annotations

import gc
import sys

#: Seconds after which a thread must let another one run. At the default of 5 ms, an event loop that shares the interpreter
#: with threads that hash or validate stands still for longer than a request takes; at a quarter of this, a tenth of all CPU
#: goes into taking turns.
_TURN = 0.002
#: Objects that are made before the collector looks for cycles. By default it looks several times a request, and on its
#: larger rounds at every schema and route that was loaded at the start.
_COLLECT_AFTER = (50_000, 20, 20)


def set_pace() -> None:
    """Set this process's interpreter for serving, once all is built: what is there now is no garbage, and not looked at again.

    For a process that serves and does nothing else. Whoever embeds the application sets its own.
    """
    sys.setswitchinterval(_TURN)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
