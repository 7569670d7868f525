"""A real server with short bounds, and connections to it on which anything can be said."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import orjson
import uvicorn

from hub.api.problems import server_options
from hub.web.protocol import ConnectionBounds

#: Longer than any bound of a test, and than a busy machine takes: who waits so long has waited in vain.
PATIENCE = 30.0
_PIECE = 64 * 1024
_ESTABLISHED = 1  # Of TCP's states, as Linux counts them.


@contextmanager
def listening(app: Any, bounds: ConnectionBounds) -> Iterator[int]:
    """Serve ``app`` within ``bounds`` on a free port."""
    options = {**server_options(bounds), "log_level": "critical"}
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="on", **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


@dataclass(frozen=True)
class Reply:
    """One answer off the wire."""

    status: int
    fields: dict[str, str]
    body: bytes = field(default=b"", repr=False)

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def slug(self) -> str:
        return self.json["type"].rpartition(":")[2].rpartition("/")[2]


class Wire:
    """One connection, without a library between the test and the server."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE, source_address=(source, 0))
        self.file = self._socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()
        self._socket.close()

    def send(self, *pieces: bytes) -> int:
        """Send all pieces; return how many bytes the server's side took before it hung up."""
        sent = 0
        try:
            for piece in pieces:
                for start in range(0, len(piece), _PIECE):
                    self._socket.sendall(piece[start : start + _PIECE])
                    sent += len(piece[start : start + _PIECE])
        except OSError:
            pass
        return sent

    def drip(self, piece: bytes, pause: float = 0.1, longest: float = PATIENCE) -> float:
        """Send a piece over and over until the server hangs up; return the seconds that it took."""
        began = time.monotonic()
        while time.monotonic() - began < longest and not self.is_closed():
            self.send(piece)
            time.sleep(pause)
        return time.monotonic() - began

    def is_closed(self) -> bool:
        """Whether the server has hung up; what it said before is still there to be read."""
        self._socket.setblocking(False)
        try:
            return self._socket.recv(1, socket.MSG_PEEK) is not None and self._at_end()
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self._socket.settimeout(PATIENCE)

    def _at_end(self) -> bool:
        seen = self._socket.recv(1 << 20, socket.MSG_PEEK)
        if not seen:
            return True
        state = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]
        return bool(state != _ESTABLISHED)

    def reply(self, *, head: bool = False) -> Reply:
        """Read one answer; interim ones (100 Continue) are passed over."""
        while (status := int(self.file.readline().split()[1])) == 100:
            self.file.readline()
        fields = {}
        while (line := self.file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        return Reply(status, fields, b"" if head else self._body(fields))

    def rest(self) -> bytes:
        """Read to the end, which the server makes."""
        try:
            return self.file.read()
        except ConnectionError:
            return b""

    def _body(self, fields: dict[str, str]) -> bytes:
        if fields.get("transfer-encoding") != "chunked":
            return self.file.read(int(fields.get("content-length", 0)))
        body = b""
        while size := int(self.file.readline(), 16):
            body += self.file.read(size)
            self.file.readline()
        self.file.readline()
        return body
