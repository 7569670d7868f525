"""The small HTTP servers of the municipal side: quiet, each request in a thread of its own, within bounds.

What a stranger may take up is bounded before anybody has looked at it: bytes and time of a request's head, the pace of a body,
and connections. Where there are too many, the one that has kept the server waiting longest for its bytes makes room.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Generic, TypeVar

from hub.errors import Malformed, Text, TooLarge

D = TypeVar("D")
_POLL = 0.05
_PIECE = 256 * 1024
#: Bytes of a line around a chunk, and lines behind the last one (RFC 9112 section 7.1).
_LONGEST_LINE = 1024
_MOST_TRAILERS = 32
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What strangers may take up. Times are seconds."""

    #: Bytes of request line and header section together.
    head_bytes: int = 64 * 1024
    #: From the connection, or the answer before, to the end of the header section.
    head_seconds: float = 10.0
    #: How long a body may pause, take in all, and how many bytes earn it another second.
    pause: float = 10.0
    body_seconds: float = 15.0
    body_rate: int = 8_000
    #: Connections at once: of everybody, and of one address.
    connections: int = 64
    connections_of_one: int = 32


class QuietServer(ThreadingHTTPServer, Generic[D]):
    """Listens from construction, answers from ``begin`` until ``close``; ``desk`` is what its handlers share.

    Raises:
        OSError: the address or port cannot be used.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: str, port: int, handler: type[QuietHandler], desk: D, *, bounds: Bounds | None = None
    ) -> None:
        super().__init__((address, port), handler)
        self.desk = desk
        self._bounds = bounds or Bounds()
        self._lines: dict[Any, Line] = {}
        self._lock = threading.Lock()
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

    def line(self, request: Any) -> Line:
        """Return what is known of a connection."""
        return self._lines[request]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin to serve a connection, if there is room for it or room can be made."""
        with self._lock:
            taken = self._has_room(client_address[0])
            if taken:
                self._lines[request] = Line(request, client_address[0], self._bounds)
        if taken:
            super().process_request(request, client_address)
        else:
            super().shutdown_request(request)

    def shutdown_request(self, request: Any) -> None:
        """End a connection."""
        with self._lock:
            self._lines.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: broken connections are everyday, and the default prints a traceback."""

    def _has_room(self, address: str) -> bool:
        """Tell whether one more connection may begin; the slowest of those that would be too many ends for it."""
        lines = [line for line in self._lines.values() if not line.ended]
        own = [line for line in lines if line.address == address]
        crowd = own if len(own) >= self._bounds.connections_of_one else lines
        if crowd is lines and len(lines) < self._bounds.connections:
            return True
        waiting = [line for line in crowd if line.is_reading]
        if waiting:
            max(waiting, key=Line.overdue).end()
        return bool(waiting)


class Line(io.RawIOBase):
    """One connection as it is read: raises ``TimeoutError`` where bytes do not come in time, and ``TooLarge`` over a head."""

    def __init__(self, connection: socket.socket, address: str, bounds: Bounds) -> None:
        super().__init__()
        self.address = address
        self.is_reading = False
        self.ended = False
        self._connection = connection
        self._bounds = bounds
        self.expect_head()

    def readable(self) -> bool:
        """Say that it can be read from."""
        return True

    def expect_head(self) -> None:
        """Bound what follows as the head of a request."""
        self._in_head, self._began, self._seen = True, time.monotonic(), 0

    def expect_body(self) -> None:
        """Bound what follows as a body."""
        self._in_head, self._began, self._seen = False, time.monotonic(), 0

    def overdue(self) -> float:
        """Return for how many seconds it has kept the server waiting, less those that its bytes have earned."""
        return time.monotonic() - self._began - self._seen / self._bounds.body_rate

    def end(self) -> None:
        """Have its thread find the connection closed."""
        self.ended = True
        with suppress(OSError):
            # Of a socket in TLS as well, and without a word to its other end.
            socket.socket.shutdown(self._connection, socket.SHUT_RDWR)

    def readinto(self, buffer: Any) -> int:
        """Read what comes next."""
        if self._in_head:
            left = self._bounds.head_seconds - (time.monotonic() - self._began)
        else:
            left = self._bounds.body_seconds - self.overdue()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left if self._in_head else min(left, self._bounds.pause))
        self.is_reading = True
        try:
            size = self._connection.recv_into(buffer)
        finally:
            self.is_reading = False
        self._seen += size
        if self._in_head and self._seen > self._bounds.head_bytes:
            raise TooLarge(_HEAD_TOO_LARGE)
        return size


class QuietHandler(BaseHTTPRequestHandler):
    """Handles requests without a word about itself or them. ``Upgrade`` is passed over (RFC 9110 section 7.8)."""

    protocol_version = "HTTP/1.1"
    sys_version = ""
    disable_nagle_algorithm = True
    server: QuietServer[Any]

    def setup(self) -> None:
        """Read through the connection's bounds."""
        super().setup()
        self.rfile.close()
        self._line = self.server.line(self.request)
        self.rfile = io.BufferedReader(self._line)

    def handle_one_request(self) -> None:
        """Serve one request."""
        self._line.expect_head()
        self.requestline, self.request_version, self.command = "", self.protocol_version, ""
        try:
            super().handle_one_request()
        except TooLarge:
            self.close_connection = True
            self.send_error(431)

    def parse_request(self) -> bool:
        """Read the head; what follows is the body."""
        parsed = super().parse_request()
        if parsed:
            self._line.expect_body()
        return parsed

    def body(self, largest: int) -> Iterator[bytes]:
        """Yield the body piece by piece, whether its length was told or it comes in chunks.

        Raises:
            TooLarge: over ``largest`` bytes. TimeoutError: it comes too slowly.
            Malformed: no length, two of them, another coding than ``chunked``, or a body that breaks off.
        """
        lengths, codings = self.headers.get_all("Content-Length", []), self.headers.get_all("Transfer-Encoding", [])
        if codings:
            chunked = len(codings) == 1 and codings[0].strip().lower() == "chunked"
            if lengths or not chunked or self.request_version != self.protocol_version:
                raise Malformed(_FRAMING)
            yield from self._chunks(largest)
            return
        if len(lengths) != 1 or not re.fullmatch("[0-9]{1,19}", lengths[0]):
            raise Malformed(_FRAMING)
        _insist(int(lengths[0]), largest)
        yield from self._exactly(int(lengths[0]))

    def log_message(self, *_args: Any) -> None:
        """Keep quiet: what came in stands elsewhere."""

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read1(min(_PIECE, size))
            if not piece:
                raise Malformed(_BROKE_OFF)
            size -= len(piece)
            yield piece

    def _chunks(self, largest: int) -> Iterator[bytes]:
        total = 0
        while size := self._chunk_size():
            total += size
            _insist(total, largest)
            yield from self._exactly(size)
            if self.rfile.readline(3) != b"\r\n":
                raise Malformed(_FRAMING)
        for _ in range(_MOST_TRAILERS):
            line = self.rfile.readline(_LONGEST_LINE)
            if line == b"\r\n":
                return
            if not line.endswith(b"\r\n"):
                break
        raise Malformed(_FRAMING)

    def _chunk_size(self) -> int:
        line = _CHUNK_SIZE.fullmatch(self.rfile.readline(_LONGEST_LINE))
        if line is None:
            raise Malformed(_FRAMING)
        return int(line[1], 16)


def _insist(size: int, largest: int) -> None:
    if size > largest:
        raise TooLarge(
            Text(f"Der Inhalt ist größer als {largest} Byte.", f"The body is larger than {largest} bytes."),
            limit=largest,
        )


_HEAD_TOO_LARGE = Text("Die Kopfzeilen sind zu groß.", "The header fields are too large.")
_FRAMING = Text(
    "Die Länge des Inhalts fehlt oder ist nicht eindeutig. Senden Sie Content-Length, oder chunked.",
    "The length of the body is missing or ambiguous. Send Content-Length, or chunks.",
)
_BROKE_OFF = Text("Der Inhalt kam nicht ganz an.", "The body did not arrive whole.")
