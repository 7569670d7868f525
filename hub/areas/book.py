"""The gazetteer of the moment: with the postal codes that an operator brings while the hub runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from hub.areas.gazetteer import Gazetteer
from hub.errors import ConfigurationError

_log = logging.getLogger(__name__)
#: Seconds between two looks at the list.
_LOOK_EVERY = 1.0

#: File number, change time in nanoseconds and size of the list; None where there is none.
_Stamp = tuple[int, int, int] | None


class GazetteerBook:
    """Gives the areas with the postal codes of the list ``codes``, where there is one. Thread-safe.

    Areas never change while the hub runs; a look costs one file status, once a second. A list that does not fit the areas stops
    nothing: the last good one counts on, at the start none.
    """

    def __init__(self, areas: Gazetteer, codes: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._areas = areas
        self._codes = codes
        self._monotonic = monotonic
        self._lock = Lock()
        self._stamp: _Stamp = None
        self._current = areas
        self._look()

    def __call__(self) -> Gazetteer:
        """Return the gazetteer; whoever asks while another reads the list anew gets the one before."""
        if self._monotonic() - self._looked >= _LOOK_EVERY and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._current

    def _look(self) -> None:
        self._looked = self._monotonic()
        stamp = _stamp(self._codes)
        if stamp == self._stamp:
            return
        # Remembered before reading: what changes meanwhile differs again at the next look.
        self._stamp = stamp
        try:
            self._current = self._areas if stamp is None else self._areas.with_postal_codes(self._codes)
        except ConfigurationError as error:
            _log.warning("postal codes not read, import them anew (hub areas import-postal-codes): %s", error.detail.en)


def _stamp(path: Path) -> _Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
