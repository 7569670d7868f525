"""What files say, read anew when they change, without anybody waiting for it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

from hub.errors import ConfigurationError

T = TypeVar("T")
_log = logging.getLogger(__name__)
#: Seconds between two looks at the files.
_LOOK_EVERY = 1.0


class WatchedFile(Generic[T]):
    """Gives what was read from files. Thread-safe; a look costs the status of each file, once a second.

    ``look`` returns what tells one state of the files from another, ``read`` reads them, ``what`` names them in the log.
    Where they cannot be used, the last good state counts on; before there was one, ``otherwise`` does.
    """

    def __init__(
        self,
        look: Callable[[], Hashable],
        read: Callable[[], T],
        *,
        what: str,
        otherwise: T | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read for the first time.

        Raises:
            ConfigurationError: The files cannot be used, and nothing counts otherwise.
        """
        self._look = look
        self._read = read
        self._what = what
        self._monotonic = monotonic
        self._lock = Lock()
        self.looked = monotonic()
        self._stamp = look()
        try:
            self._current = read()
        except ConfigurationError as error:
            if otherwise is None:
                raise
            self._complain(error)
            self._current = otherwise

    def __call__(self) -> T:
        """Return what counts; whoever asks while another reads the files anew gets the state before."""
        if self._monotonic() - self.looked >= _LOOK_EVERY and self._lock.acquire(blocking=False):
            try:
                self._renew()
            finally:
                self._lock.release()
        return self._current

    def now(self) -> T:
        """Return what counts now: whoever has just changed the files looks at them, and waits for whoever reads them."""
        with self._lock:
            self._renew()
            return self._current

    def _renew(self) -> None:
        self.looked = self._monotonic()
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            # Remembered before reading: what changes meanwhile differs again at the next look.
            self._stamp = stamp
            self._current = self._read()
        except ConfigurationError as error:
            self._complain(error)
        except Exception:  # noqa: BLE001  # whatever a library makes of a file, those who ask go on with the last good state
            _log.exception("%s: the last good state counts on", self._what)

    def _complain(self, error: ConfigurationError) -> None:
        _log.error("%s: the last good state counts on: %s", self._what, error.detail.en)


def stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Return what changes with a file: its number, change time in nanoseconds and size; None where none can be seen."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
