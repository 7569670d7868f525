"""Health: whether the process lives, and whether it can do its job right now."""

from __future__ import annotations

from typing import Any

import orjson
from connexion.lifecycle import ConnexionResponse

from hub.api.threads import in_thread
from hub.jobs.gauges import RETRY_AFTER, Readiness


class Health:
    """Handlers of ``/health``."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def live(self) -> dict[str, Any]:
        """Say that the process answers."""
        return {"status": "ok"}

    async def ready(self) -> ConnexionResponse:
        """Say whether database, disk and keys can take an application now, and all loops live: 200 or 503."""
        ready, body = await in_thread(self._readiness.judge)
        headers = {"Cache-Control": "no-store"} | ({} if ready else {"Retry-After": str(RETRY_AFTER)})
        return ConnexionResponse(
            status_code=200 if ready else 503, body=orjson.dumps(body), content_type="application/json", headers=headers
        )
