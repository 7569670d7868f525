"""What a process that only works shows on loopback: its metrics and its health, judged as where applications are taken."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import orjson

from hub.app.wiring import Hub, readiness
from hub.jobs.gauges import RETRY_AFTER, Readiness
from hub.supervision import Loop

_POLL = 0.2  # Seconds within which it notices that it is to stop.
_JSON = ("Content-Type", "application/json")
_TEXT = ("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
_FRESH = ("Cache-Control", "no-store")


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server has
        """Log nothing: who asks every few seconds would fill the log."""


def begin(hub: Hub, port: int) -> tuple[Loop, int]:
    """Show the pages at 127.0.0.1 and ``port`` (0: any that is free); return the loop, and the port.

    Raises:
        OSError: The port cannot be had.
    """
    pages = _pages(metrics=hub.meters.text, ready=readiness(hub))
    server = make_server("127.0.0.1", port, pages, server_class=_Server, handler_class=_Silent)
    server.timeout = _POLL

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            server.handle_request()
        server.server_close()

    return hub.supervisor.begin("worker-pages", run, daemon=True), server.server_port


def _pages(*, metrics: Callable[[], bytes], ready: Readiness) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    def answer(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/health/live":
            start("200 OK", [_JSON, _FRESH])
            return [orjson.dumps({"status": "ok"})]
        if path == "/health/ready":
            well, body = ready.judge()
            fields = [_JSON, _FRESH] if well else [_JSON, _FRESH, ("Retry-After", str(RETRY_AFTER))]
            start("200 OK" if well else "503 Service Unavailable", fields)
            return [orjson.dumps(body)]
        if path in {"/metrics", "/"}:
            start("200 OK", [_TEXT, _FRESH])
            return [metrics()]
        start("404 Not Found", [_TEXT])
        return [b"/metrics, /health/ready, /health/live\n"]

    return answer
