"""Whether a process can do its job right now: one judge for all who ask, whichever way they do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hub.errors import ConfigurationError, Unavailable
from hub.store import Blobs, Store

#: Seconds after which to ask again.
RETRY_AFTER = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Readiness:
    """Judges database, disk, keys and loops.

    ``faults`` returns what is wrong with the hub's keys, ``down`` names the loops of this process that are dead at the
    moment; below ``watermark`` free bytes nothing is accepted.
    """

    store: Store
    blobs: Blobs
    watermark: int
    faults: Callable[[], Sequence[ConfigurationError]]
    down: Callable[[], Iterable[str]]

    def judge(self) -> tuple[bool, dict[str, Any]]:
        """Return whether all is well, and what to answer: each check, and what an operator has to do.

        A loop is named only while it is dead.
        """
        faults = self.faults()
        checks = {"database": self._database(), "disk": self._disk(), "keys": not faults}
        checks |= dict.fromkeys(self.down(), False)
        ready = all(checks.values())
        body: dict[str, Any] = {"status": "ok" if ready else "unavailable", "checks": checks}
        if faults:
            body["faults"] = [{"de": fault.detail.de, "en": fault.detail.en} for fault in faults]
        return ready, body

    def _disk(self) -> bool:
        try:
            return self.blobs.free_bytes() >= self.watermark
        except Unavailable:
            return False

    def _database(self) -> bool:
        try:
            self.store.ready()
        except Unavailable:
            return False
        return True
