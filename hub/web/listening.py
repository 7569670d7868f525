"""Taking an address to listen at, what to say where it cannot be had, and a small server for pages that few ask for."""

from __future__ import annotations

import errno
import os
import socket
import time
from contextlib import ExitStack, suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from hub.errors import ConfigurationError, Text, Unavailable


def require_free_port(host: str, port: int) -> None:
    """Refuse an address that cannot be listened at, before anything is built: see :func:`bound`."""
    bound(host, port).close()


def bound(host: str, port: int) -> socket.socket:
    """Return a socket for connections to an address, which does not listen yet.

    Raises:
        Unavailable: another process listens there. ConfigurationError: this machine has no such address, or may not use it.
    """
    with ExitStack() as undo:
        probe = undo.enter_context(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET))
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                raise _taken(host, port) from exc
            raise _not_listening(host, port, exc) from exc
        undo.pop_all()
        return probe


def _taken(host: str, port: int) -> Unavailable:
    return Unavailable(
        Text(
            f"An {host}, Port {port}, lauscht schon ein anderer Prozess. Beenden Sie ihn, oder wählen Sie mit "
            "--port einen anderen.",
            f"Another process listens at {host}, port {port}. Stop it, or choose another one with --port.",
        )
    )


def _not_listening(host: str, port: int, exc: OSError) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"An {host}, Port {port}, lässt sich nicht lauschen ({os.strerror(exc.errno or 0)}). "
            "Prüfen Sie host und port.",
            f"Cannot listen at {host}, port {port} ({os.strerror(exc.errno or 0)}). Check host and port.",
        )
    )


class SmallServer(ThreadingMixIn, WSGIServer):
    """Answers some requests at once, each within a bounded time: who asks slowly, or much, keeps nobody else waiting."""

    daemon_threads = True
    #: Requests that are answered at once, and seconds for each, from connection to end.
    most_at_once = 16
    answered_within = 10.0

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._under_way: dict[socket.socket, float] = {}
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name, as the library would."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "worker", self.socket.getsockname()[1]
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread of its own, or hang up where too many are being answered."""
        if len(self._under_way) >= self.most_at_once:
            self.shutdown_request(request)
            return
        self._under_way[request] = time.monotonic() + self.answered_within
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        self._under_way.pop(request, None)
        super().shutdown_request(request)

    def end_overdue(self) -> None:
        """Hang up on those who took too long; their threads notice."""
        now = time.monotonic()
        for request, until in list(self._under_way.items()):
            if until < now:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)


class _Silent(WSGIRequestHandler):
    timeout = SmallServer.answered_within

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name that http.server has
        """Log nothing: who asks every few seconds would fill the log."""


def small_server(host: str, port: int, pages: Any) -> SmallServer:
    """Return a server of a WSGI application at ``host`` and ``port`` (0: any that is free), which somebody has to run.

    Raises:
        OSError: the port cannot be had.
    """
    server = SmallServer((host, port), _Silent)
    server.set_app(pages)
    return server
