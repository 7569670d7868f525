"""Health: whether the process lives, and whether it can do its job right now."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from connexion.lifecycle import ConnexionResponse

from hub.api.errands import in_thread
from hub.errors import ConfigurationError, Unavailable
from hub.store import Blobs, Store


class Health:
    """Handlers of ``/health``; ``faults`` returns what is wrong with the hub's keys.

    ``down`` names the loops of this process that are dead at the moment.
    """

    def __init__(
        self,
        *,
        store: Store,
        blobs: Blobs,
        watermark: int,
        faults: Callable[[], Sequence[ConfigurationError]],
        down: Callable[[], Iterable[str]],
    ) -> None:
        self._down = down
        self._store = store
        self._blobs = blobs
        self._faults = faults
        self._watermark = watermark

    async def live(self) -> dict[str, Any]:
        """Say that the process answers."""
        return {"status": "ok"}

    async def ready(self) -> ConnexionResponse:
        """Say whether database, disk and keys can take an application now, and all loops live: 200 or 503.

        With what an operator has to do; a loop is named only while it is dead.
        """
        faults = await in_thread(self._faults)
        checks = await in_thread(self._checks) | {"keys": not faults}
        ready = all(checks.values())
        body: dict[str, Any] = {"status": "ok" if ready else "unavailable", "checks": checks}
        if faults:
            body["faults"] = [{"de": fault.detail.de, "en": fault.detail.en} for fault in faults]
        headers = {"Cache-Control": "no-store"} | ({} if ready else {"Retry-After": "10"})
        return ConnexionResponse(
            status_code=200 if ready else 503, body=orjson.dumps(body), content_type="application/json", headers=headers
        )

    def _checks(self) -> dict[str, bool]:
        checks = {"database": self._database(), "disk": self._disk()}
        return checks | dict.fromkeys(self._down(), False)

    def _disk(self) -> bool:
        try:
            return self._blobs.free_bytes() >= self._watermark
        except Unavailable:
            return False

    def _database(self) -> bool:
        try:
            self._store.ready()
        except Unavailable:
            return False
        return True
