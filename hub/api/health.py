"""Health: whether the process lives, and whether it can do its job right now."""

from __future__ import annotations

from typing import Any

import orjson
from connexion.lifecycle import ConnexionResponse

from hub.api.errands import in_thread
from hub.errors import Unavailable
from hub.store import Blobs, Store


class Health:
    """Handlers of ``/health``."""

    def __init__(self, *, store: Store, blobs: Blobs, watermark: int) -> None:
        self._store = store
        self._blobs = blobs
        self._watermark = watermark

    async def live(self) -> dict[str, Any]:
        """Say that the process answers."""
        return {"status": "ok"}

    async def ready(self) -> ConnexionResponse:
        """Say whether database and disk can take an application now: 200 or 503."""
        checks = await in_thread(self._checks)
        ready = all(checks.values())
        body = {"status": "ok" if ready else "unavailable", "checks": checks}
        headers = {"Cache-Control": "no-store"} | ({} if ready else {"Retry-After": "10"})
        return ConnexionResponse(
            status_code=200 if ready else 503, body=orjson.dumps(body), content_type="application/json", headers=headers
        )

    def _checks(self) -> dict[str, bool]:
        return {"database": self._database(), "disk": self._blobs.free_bytes() >= self._watermark}

    def _database(self) -> bool:
        try:
            self._store.ready()
        except Unavailable:
            return False
        return True
