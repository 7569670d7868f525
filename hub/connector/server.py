"""The small HTTP servers of the municipal side: quiet, each in threads of its own."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, TypeVar

D = TypeVar("D")
_POLL = 0.05


class QuietServer(ThreadingHTTPServer, Generic[D]):
    """Listens from construction, answers from ``begin`` until ``close``; ``desk`` is what its handlers share.

    Raises:
        OSError: the address or port cannot be used.
    """

    daemon_threads = True

    def __init__(self, address: str, port: int, handler: type[QuietHandler], desk: D) -> None:
        super().__init__((address, port), handler)
        self.desk = desk
        self._thread = threading.Thread(target=self.serve_forever, args=(_POLL,), daemon=True)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def begin(self, tls: ssl.SSLContext | None = None) -> None:
        """Answer from now on."""
        if tls is not None:
            # The handshake happens in the request's thread: a silent client must not stop the others.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self._thread.start()

    def close(self) -> None:
        """Stop listening; requests that are being answered are finished."""
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: broken connections are everyday, and the default prints a traceback."""


class QuietHandler(BaseHTTPRequestHandler):
    """Handles requests without a word about itself or them."""

    protocol_version = "HTTP/1.1"
    sys_version = ""
    disable_nagle_algorithm = True

    def log_message(self, *_args: Any) -> None:
        """Keep quiet: what came in stands elsewhere."""
