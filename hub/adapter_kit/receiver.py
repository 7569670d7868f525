"""A receiving system over HTTP that plays well or badly: ``play`` decides what happens to a request."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from hub.adapter_kit.gate import reset
from hub.adapter_kit.workshop import HOST

_PAUSE = 0.05
_PATIENCE = 20.0  # Seconds; longer than any adapter waits on a bench.
_NO_CONTENT = 204


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """One request."""

    method: str
    path: str
    headers: Message = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """One answer."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Fault(Enum):
    """What may happen instead of an answer; the request was read whole."""

    #: Never answers.
    HANG = auto()
    #: Answers one byte at a time.
    DRIP = auto()
    #: Says 200 at once, then drips the body.
    DRIP_BODY = auto()
    RESET = auto()
    #: Closes politely without an answer.
    SILENT_CLOSE = auto()
    #: Cuts its answer in the middle of the head.
    HALF_ANSWER = auto()
    #: Says 200 and sends more than anybody wants.
    HUGE_BODY = auto()
    #: Sends a header line without end.
    HUGE_HEADER = auto()
    #: Speaks something else than HTTP.
    NOISE = auto()


Play = Callable[[Heard], Answer | Fault]


class Receiver:
    """Listens on loopback from construction until ``close``."""

    def __init__(self, play: Play, tls: ssl.SSLContext | None) -> None:
        self.play = play
        self.released = threading.Event()
        self._server = _Server((HOST, 0), _Handler)
        self._server.receiver = self
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody and stop listening."""
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 50
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Broken connections are what this server is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _PATIENCE
    disable_nagle_algorithm = True
    server: _Server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        heard = Heard(method=self.command, path=self.path, headers=self.headers, body=body)
        outcome = self.server.receiver.play(heard)
        if isinstance(outcome, Answer):
            self._answer(outcome)
            return
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._misbehave(outcome)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815  # Names that http.server wants.

    def _answer(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status != _NO_CONTENT and "Content-Length" not in answer.headers:
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    def _misbehave(self, fault: Fault) -> None:
        yes = b"HTTP/1.1 200 OK\r\n"
        match fault:
            case Fault.HANG:
                self.server.receiver.released.wait(_PATIENCE)
            case Fault.DRIP:
                self._drip(yes + b"X-Slow: " + b"a" * 4000)
            case Fault.DRIP_BODY:
                self.wfile.write(yes + b"Content-Length: 5000\r\n\r\n")
                self._drip(b"a" * 5000)
            case Fault.HUGE_BODY:
                self._flood(yes + b"Content-Length: 99999999999\r\n\r\n")
            case Fault.HUGE_HEADER:
                self._flood(yes + b"X-Huge: ")
            case Fault.RESET:
                reset(self.connection)
            case Fault.HALF_ANSWER | Fault.NOISE:
                self.wfile.write(b"HTTP/1.1 20" if fault is Fault.HALF_ANSWER else b"220 mail.example.org ESMTP\r\n")

    def _drip(self, data: bytes) -> None:
        for byte in data:
            self.wfile.write(bytes([byte]))
            if self.server.receiver.released.wait(_PAUSE):
                return

    def _flood(self, start: bytes) -> None:
        self.wfile.write(start)
        while not self.server.receiver.released.is_set():
            self.wfile.write(b"a" * 65536)

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""
