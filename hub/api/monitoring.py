"""What is observed at the edge: answers counted and timed, ``/metrics``, health.

The outermost layer of observation: counts answers, times what submits, and opens a span for each request.

It knows the operation's id and the answer's status; path, query, header fields and bodies are never looked at, save the
caller's ``traceparent``.

``/metrics``: the hub's numbers for Prometheus, for whom the operator allows it.

Health: whether the process lives, and whether it can do its job right now.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import orjson
from connexion import context
from connexion.lifecycle import ConnexionResponse
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.deprecation import USED
from hub.api.problems import ABORTED, ABOUT
from hub.api.threads import in_thread
from hub.errors import ConfigurationError, NotFound, Text
from hub.files import vault
from hub.jobs.gauges import RETRY_AFTER, Gauges, Readiness
from hub.observability.diagnosis import SELF_CHECK
from hub.observability.metrics import Meters
from hub.observability.tracing import Traces

#: Operations that submit, and the door that each is.
_DOORS = {
    "applications.create": "plain",
    "applications.create_parts": "plain",
    "fit_connect.v1.submissions.submit": "sealed",
    "fit_connect.v2.submissions.submit": "sealed",
}
#: They come every few seconds and say nothing.
_UNTRACED = ("/health/", "/metrics")
_NO_ANSWER = 500
#: Where the pages for people lie, which are no operations of the contract.
_PAGES = "/admin"
_LONGEST_PARENT = 64
#: Instead of a client, where none is known.
_NOBODY = "none"

_log = logging.getLogger(__name__)


def _count_nobody(_client: str, _slug: str) -> None:
    """Count no refusals by client."""


class Measured:
    """Watches requests go by."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        meters: Meters,
        traces: Traces,
        refused: Callable[[str, str], None] = _count_nobody,
        used: Callable[[str, str], None] = _count_nobody,
    ) -> None:
        """``refused`` is told client and slug where what a known client submits is refused; ``used`` client and what ends."""
        self._used = used
        self._app = app
        self._meters = meters
        self._traces = traces
        self._refused = refused

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
            self._tally(scope["path"], noted, status)
            self._count(noted, status, timedelta(seconds=time.perf_counter() - began))

    def _tally(self, path: str, noted: dict[str, Any], status: int | None) -> None:
        gone = status is None and ABORTED in noted
        self._meters.requested(group=_group(path, noted), status="aborted" if gone else str(status or _NO_ANSWER))

        if USED in noted:
            client = _client(noted)
            self._meters.deprecated(noted[USED], client=client)
            if client != _NOBODY:
                self._used(client, noted[USED])

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
            return
        self._meters.answered(door=door, status=status or _NO_ANSWER, took=took)
        if "problem" in noted and (status or _NO_ANSWER) < _NO_ANSWER and (client := _client(noted)) != _NOBODY:
            self._refused(client, noted["problem"])
        if "problem" not in noted:  # A refusal has its line where it became a problem.
            about = {"outcome": "accepted", "door": door, "status": status} | noted.get(ABOUT, {})
            _log.info("application accepted", extra=about)


def _operation(noted: dict[str, Any]) -> str:
    found: str = noted.get("connexion_routing", {}).get("operation_id") or ""
    return found


def _client(noted: dict[str, Any]) -> str:
    """Return the client whose token a request has, :data:`_NOBODY` where it has none."""
    caller = (noted.get("connexion_context", {}).get("token_info") or {}).get("caller")
    return _NOBODY if caller is None else str(caller.client_id)


def _group(path: str, noted: dict[str, Any]) -> str:
    """Return the group of operations that a request belongs to: the first word of the operation's id, or the pages."""
    operation = _operation(noted)
    return operation.partition(".")[0] if operation else "admin" if path.startswith(_PAGES) else "none"


def _parent(scope: Scope) -> str | None:
    """Return the caller's ``traceparent`` (W3C Trace Context), if it has the length of one."""
    found = next((value for name, value in scope["headers"] if name == b"traceparent"), b"")
    return found.decode("latin-1") if 0 < len(found) <= _LONGEST_PARENT else None


#: The format that every version of Prometheus reads.
_TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
#: Header fields by which a proxy says that somebody else asks.
_FORWARDED = ("forwarded", "x-forwarded-for")


class Metrics:
    """Handler of ``/metrics``. ``allowed`` is ``on``, ``loopback`` or ``off``."""

    def __init__(self, *, meters: Meters, gauges: Gauges, allowed: str) -> None:
        self._meters = meters
        self._gauges = gauges
        self._allowed = allowed

    async def show(self) -> ConnexionResponse:
        """Show all metrics.

        Raises:
            NotFound: not for this caller; nothing tells that there are any.
        """
        if self._allowed == "off" or (self._allowed == "loopback" and not _is_local()):
            raise NotFound(
                Text(
                    "Diese Adresse gibt es nicht. Alle Adressen stehen in /openapi.json.",
                    "There is no such address. All of them stand in /openapi.json.",
                )
            )
        text = await in_thread(self._meters.text, self._gauges)
        return ConnexionResponse(
            status_code=200, body=text, content_type=_TEXT_FORMAT, headers={"Cache-Control": "no-store"}
        )


def _arrived() -> dict[str, str]:
    """Return how the request arrived: from whom, by which scheme, and what a proxy says of that."""
    request = context.request
    client = request.scope.get("client")
    said = {name: request.headers.get(name, "") for name in (*_FORWARDED, "x-forwarded-proto", "host")}
    return {"client": client[0] if client else "", "scheme": request.scope.get("scheme", ""), **said}


def _is_local() -> bool:
    """Tell whether this machine asks for itself; behind a proxy on it, that is never certain."""
    request = context.request
    client = request.scope.get("client")
    if client is None or any(name in request.headers for name in _FORWARDED):
        return False
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return False


_LONGEST_MARK = 64


class Health:
    """Handlers of ``/health``. ``mark`` is the file in which a self-check leaves the word that it asks with."""

    def __init__(self, readiness: Readiness, *, mark: Path) -> None:
        self._readiness = readiness
        self._mark = mark

    async def live(self) -> ConnexionResponse:
        """Say that the process answers; to a self-check, which may write the data folder, also whom it sees asking."""
        headers = {}
        word = context.request.headers.get(SELF_CHECK, "")
        if word and await in_thread(self._is_own, word):
            headers[SELF_CHECK] = orjson.dumps(_arrived()).decode("ascii", "replace")
        return ConnexionResponse(
            status_code=200, body=orjson.dumps({"status": "ok"}), content_type="application/json", headers=headers
        )

    def _is_own(self, word: str) -> bool:
        try:
            return hmac.compare_digest(vault.read(self._mark, most=_LONGEST_MARK), word.encode("latin-1"))
        except (OSError, ConfigurationError):
            return False

    async def ready(self) -> ConnexionResponse:
        """Say whether database, disk and keys can take an application now, and all loops live: 200 or 503."""
        ready, body = await in_thread(self._readiness.judge)
        headers = {"Cache-Control": "no-store"} | ({} if ready else {"Retry-After": str(RETRY_AFTER)})
        return ConnexionResponse(
            status_code=200 if ready else 503, body=orjson.dumps(body), content_type="application/json", headers=headers
        )
