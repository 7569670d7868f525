"""The outermost layer of observation: counts answers, times what submits, and opens a span for each request.

It knows the operation's id and the answer's status; path, query, header fields and bodies are never looked at, save the
caller's ``traceparent``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.problems import ABORTED
from hub.errors import ConfigurationError
from hub.observability.metrics import Meters
from hub.observability.tracing import Traces

#: Operations that submit, and the door that each is.
_DOORS = {
    "applications.create": "plain",
    "fit_connect.v1.submissions.submit": "sealed",
    "fit_connect.v2.submissions.submit": "sealed",
}
#: They come every few seconds and say nothing.
_UNTRACED = ("/health/", "/metrics")
_NO_ANSWER = 500
_LONGEST_PARENT = 64

_log = logging.getLogger(__name__)


class Measured:
    """Watches requests go by."""

    def __init__(self, app: ASGIApp, *, meters: Meters, traces: Traces) -> None:
        self._app = app
        self._meters = meters
        self._traces = traces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Routing copies the scope; this dictionary is shared, so what is noted below is seen here.
        noted: dict[str, Any] = scope.setdefault("extensions", {})
        began = time.perf_counter()
        status: int | None = None

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            try:
                await send(message)
            except OSError as error:  # How a server says that nobody is there to be answered (ASGI, HTTP 2.4).
                raise ClientDisconnect from error

        try:
            if scope["path"].startswith(_UNTRACED):
                await self._app(scope, receive, watched)
                return
            with self._traces.request("http", _parent(scope), method=scope["method"]) as span:
                try:
                    await self._app(scope, receive, watched)
                finally:
                    span.tell(
                        status=status or _NO_ANSWER, operation=_operation(noted), problem=noted.get("problem", "")
                    )
        except ClientDisconnect:
            noted[ABORTED] = True
            _log.info("client left before the end of its request")
        except asyncio.CancelledError:
            noted[ABORTED] = True
            raise
        finally:
            self._count(noted, status, timedelta(seconds=time.perf_counter() - began))

    def _count(self, noted: dict[str, Any], status: int | None, took: timedelta) -> None:
        if "problem" in noted:
            self._meters.refused(noted["problem"])
            if noted["problem"] == ConfigurationError.slug and (status or _NO_ANSWER) >= _NO_ANSWER:
                self._meters.misconfigured()
        door = _DOORS.get(_operation(noted))
        if door is None:
            return
        if status is None and ABORTED in noted:
            self._meters.aborted(door=door)
        else:
            self._meters.answered(door=door, status=status or _NO_ANSWER, took=took)


def _operation(noted: dict[str, Any]) -> str:
    found: str = noted.get("connexion_routing", {}).get("operation_id") or ""
    return found


def _parent(scope: Scope) -> str | None:
    """Return the caller's ``traceparent`` (W3C Trace Context), if it has the length of one."""
    found = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
    return found.decode("latin-1") if 0 < len(found) <= _LONGEST_PARENT else None
