"""The janitor: the one who deletes contents that nobody needs any more, on a thread that nobody waits for.

Deleting may take as long as a bucket likes, and may fail. So whoever lets go of a content (a refused request, a repeat, a
commit that replaced it, retention) hands it over and goes on. What the janitor cannot delete, has no room to remember, or
had not come to when its process ended, is an orphan like any other: the sweep finds it, a day later at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

from hub.errors import HubError

_log = logging.getLogger(__name__)
#: Contents that may wait to be deleted: some hundred bytes of memory each.
WAITING = 20_000
#: Seconds that the thread waits for more before it ends.
_IDLE = 1.0
#: How long whoever closes or counts waits for what was handed over; what is left then is the sweep's.
PATIENCE = timedelta(seconds=2)


class Leftover(Protocol):
    """A content in the making that came to nothing."""

    def remove(self) -> None:
        """Leave no trace of it; raise ``StoreUnavailable`` where that cannot be done now."""


class Janitor:
    """Deletes blobs, one after the other. Its thread begins with the first and ends when none are left, so none can die."""

    def __init__(self, delete: Callable[[str], None], *, waiting: int = WAITING) -> None:
        self._delete = delete
        self._most = waiting
        self._orphans: deque[str | Leftover] = deque()
        self._changed = threading.Condition()
        self._working = False

    def discard(self, *orphans: str | Leftover) -> None:
        """Have blobs (by their names) and unfinished ones removed soon; neither waits nor raises."""
        if not orphans:
            return
        with self._changed:
            room = max(0, self._most - len(self._orphans))
            self._orphans.extend(orphans[:room])
            if len(orphans) > room:
                _log.warning("%d contents are left to the sweep: too many wait to be deleted", len(orphans) - room)
            if self._working:
                self._changed.notify_all()
                return
            self._working = True
        try:
            threading.Thread(target=self._run, name="janitor", daemon=True).start()
        except RuntimeError:  # No more threads: the next call tries again, and the sweep comes in any case.
            self._working = False

    def settle(self, patience: timedelta = PATIENCE) -> bool:
        """Wait until all that was handed over is done with, for ``patience`` at most; say whether it is."""
        end = time.monotonic() + patience.total_seconds()
        with self._changed:
            return self._changed.wait_for(lambda: not self._orphans, timeout=max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while self._next():
            pass

    def _next(self) -> bool:
        with self._changed:
            if not self._orphans and not self._changed.wait_for(lambda: bool(self._orphans), timeout=_IDLE):
                self._working = False  # Under the lock: what is handed over from now on begins a thread anew.
                return False
            orphan = self._orphans[0]
        self._remove(orphan)
        with self._changed:
            self._orphans.popleft()  # Only now: who waits for the end waits for this one, too.
            self._changed.notify_all()
        return True

    def _remove(self, orphan: str | Leftover) -> None:
        try:
            if isinstance(orphan, str):
                self._delete(orphan)
            else:
                orphan.remove()
        except HubError as error:
            _log.warning("a content could not be deleted (%s) and is left to the sweep", type(error).__name__)
        except BaseException:  # noqa: BLE001  # nobody waits for this thread; whatever it is, the rest is deleted, too
            _log.exception("a content could not be deleted and is left to the sweep")
