"""A bucket that refuses, loses its answers, or is silent: a server on loopback before the tests' own one."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Fault(StrEnum):
    """What comes of a request."""

    #: Nothing is done, and that is said.
    REFUSED = "refused"
    #: It is done, and the connection ends without an answer.
    ANSWER_LOST = "answer lost"
    #: Nothing is done, and nothing is said.
    SILENT = "silent"


class FaultyBucket:
    """Hands requests on to a bucket's server. ``faults`` says what comes of which action, ``met`` which of them did.

    Actions: methods of HTTP, ``delete`` (of one object or of several), ``complete`` (of an upload in parts).
    """

    def __init__(self, endpoint: str) -> None:
        self.behind = urlsplit(endpoint).netloc
        self.faults: dict[str, Fault] = {}
        self.met: list[tuple[str, Fault]] = []
        self.over = threading.Event()
        self.endpoint = ""

    @contextmanager
    def broken(self, action: str, fault: Fault) -> Iterator[None]:
        """Have an action fail until the block ends; at least one has to be met."""
        self.met.clear()
        self.faults = {action: fault}
        try:
            yield
        finally:
            self.faults = {}
        assert (action, fault) in self.met


def action_of(method: str, path: str) -> str:
    query = urlsplit(path).query
    if (method == "DELETE" and "uploadId" not in query) or (method == "POST" and query.startswith("delete")):
        return "delete"
    return "complete" if method == "POST" and "uploadId" in query else method


class _Handler(BaseHTTPRequestHandler):
    """Hands one request on, unless something is wrong with it."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self.hand_on
        raise AttributeError(name)

    def hand_on(self) -> None:
        made = self.server.made
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        action = action_of(self.command, self.path)
        fault = made.faults.get(action)
        if fault is not None:
            made.met.append((action, fault))
        if fault is Fault.SILENT:
            made.over.wait(10)
        elif fault is Fault.REFUSED:
            self.answer(403, {}, b"")
        else:
            answer = self.asked(body)
            if fault is None:
                self.answer(*answer)
        self.close_connection = fault in {Fault.SILENT, Fault.ANSWER_LOST}

    def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        length = headers.pop("content-length", "0") if self.command == "HEAD" else str(len(content))
        for name, value in {**headers, "content-length": length}.items():
            if name not in {"transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def asked(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.server.made.behind, timeout=20)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    made: FaultyBucket


@contextmanager
def faulty_bucket(endpoint: str) -> Iterator[FaultyBucket]:
    """Serve before the bucket's server at ``endpoint``."""
    server = _Server(("127.0.0.1", 0), _Handler)
    made = server.made = FaultyBucket(endpoint)
    serving = threading.Thread(target=server.serve_forever, args=[0.05])
    serving.start()
    made.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        serving.join()
        server.server_close()
