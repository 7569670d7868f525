"""The receiving system: notes each delivery durably before it answers, and sometimes fails as real ones do."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from benchmarks.crash.ledger import Ledger, Reception

#: Of a hundred deliveries, so many are turned away, and so many are taken without an answer.
_BUSY, _MUTE = 2, 2
#: Seconds that taking one in lasts at most: long enough to be killed in the middle of it.
_SLOWEST = 0.03


class Receiver:
    """Listens on loopback until ``close``."""

    def __init__(self, ledger: Ledger, *, faults: bool = True) -> None:
        self.ledger = ledger
        self.faults = faults
        self.turned_away = self.mute = 0
        #: Seconds between noting a delivery and answering.
        self.pause: Callable[[], float] = lambda: random.random() * _SLOWEST
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.receiver = self
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/in"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100
    receiver: Receiver

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A hub that was killed in the middle of a delivery is what this is about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        chance = random.randrange(100) if receiver.faults else 100
        if chance < _BUSY:
            receiver.turned_away += 1
            self._answer(503)
            return
        document = json.loads(body)
        receiver.ledger.add(
            Reception(
                submission_id=document["submissionId"],
                delivery_id=document["deliveryId"],
                attempt=document["attempt"],
                repeat=document["repeat"],
                jwe=document["encryptedData"],
            )
        )
        time.sleep(receiver.pause())
        if chance < _BUSY + _MUTE:
            receiver.mute += 1
            self.close_connection = True
            return
        self._answer(204)

    def _answer(self, status: int) -> None:
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
