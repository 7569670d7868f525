"""The catalogue of the moment: read anew when its folders change, without anybody waiting for it.

A check holds the catalogue that it began with. What was accepted under a version keeps that version's reference, whatever
becomes of the version later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock

from hub.errors import ConfigurationError
from hub.validation.catalog import SchemaCatalog
from hub.validation.limits import Limits
from hub.validation.manifest import NAME
from hub.validation.standing import NAME as STANDING

_log = logging.getLogger(__name__)
#: Seconds between two looks at the folders.
_LOOK_EVERY = 1.0

#: Name, change time in nanoseconds, size and file number of each manifest, and of what operators decided on them.
_Stamp = tuple[tuple[str, int, int, int], ...]


class CatalogBook:
    """Gives the catalogue. Thread-safe; a look at the folders costs one file status per version, once a second."""

    def __init__(
        self, *roots: Path, limits: Limits | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Load the catalogue.

        Raises:
            ConfigurationError: A manifest is unusable, a file is changed, or two schemas share a URI.
        """
        self._roots = roots
        self._limits = limits
        self._monotonic = monotonic
        self._lock = Lock()
        self._stamp = _stamp(roots)
        self._catalog = SchemaCatalog.load(*roots, limits=limits)
        self._looked = monotonic()

    def __call__(self) -> SchemaCatalog:
        """Return the catalogue; whoever asks while another reads it anew gets the one before."""
        if self._monotonic() - self._looked >= _LOOK_EVERY and self._lock.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._catalog

    def _look(self) -> None:
        self._looked = self._monotonic()
        stamp = _stamp(self._roots)
        if stamp == self._stamp:
            return
        # Remembered before reading: what changes meanwhile differs again at the next look.
        self._stamp = stamp
        try:
            self._catalog = SchemaCatalog.load(*self._roots, limits=self._limits)
        except ConfigurationError as error:
            _log.error("the catalogue keeps its last good state: %s", error.detail.en)


def _stamp(roots: tuple[Path, ...]) -> _Stamp:
    found = []
    for root in roots:
        for path in [root / STANDING, *sorted(root.glob(f"*/*/{NAME}"))]:
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
