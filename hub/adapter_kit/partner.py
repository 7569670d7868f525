"""A partner that misbehaves on request: stands before a hub on loopback, so that a vendor sees what its software makes of it.

Every request goes on to the hub as it is, and its answer back, save for every n-th, to which one thing happens:

- ``slow``: it takes a while before it goes on;
- ``500``: an error is answered, and nothing goes on;
- ``lost``: it goes on, and the answer gets lost: the hub has it, the sender does not know.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from enum import StrEnum
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

import orjson

from hub.adapter_kit.http import Fault, Heard, Receiver, StagedAnswer
from hub.errors import Invalid, Text

_PATIENCE = 60.0
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
#: Headers that are of one connection (RFC 9110 section 7.6.1), and those that are written anew.
_OWN = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length", "server", "date"})
_BROKEN = StagedAnswer(
    status=500,
    headers={"Content-Type": "application/problem+json"},
    body=orjson.dumps({"status": 500, "title": "Absichtlich / on purpose", "type": "about:blank"}),
)


class Misbehaviour(StrEnum):
    """What happens to every n-th request."""

    SLOW = "slow"
    BROKEN = "500"
    LOST = "lost"


class MisbehavingPartner:
    """Listens on loopback from construction until ``close``; ``base_url`` is the hub's own, on loopback, without TLS.

    Raises:
        Invalid: ``base_url`` is none of this machine's, for a proxy that reached further would be somebody's way in.
    """

    def __init__(self, base_url: str, fault: Misbehaviour, *, every: int = 2, seconds: float = 5.0) -> None:
        parts = urlsplit(base_url)
        if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
            raise Invalid(
                Text(
                    "Der Hub dahinter muss auf diesem Rechner stehen, ohne TLS: http://127.0.0.1:PORT.",
                    "The hub behind it has to be on this machine, without TLS: http://127.0.0.1:PORT.",
                )
            )
        self._host, self._port = str(parts.hostname), parts.port or 80
        self._fault, self._every, self._seconds = fault, max(1, every), seconds
        self._count = itertools.count(1)
        self._closing = threading.Event()
        self._receiver = Receiver(self._play, None)
        self.port = self._receiver.port

    @property
    def base_url(self) -> str:
        """Where the software under trial has to send to."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._receiver.close()

    def _play(self, heard: Heard) -> StagedAnswer | Fault:
        struck = next(self._count) % self._every == 0
        if struck and self._fault is Misbehaviour.BROKEN:
            return _BROKEN
        if struck and self._fault is Misbehaviour.SLOW:
            self._closing.wait(self._seconds)
        answer = self._passed_on(heard)
        return Fault.SILENT_CLOSE if struck and self._fault is Misbehaviour.LOST else answer

    def _passed_on(self, heard: Heard) -> StagedAnswer:
        connection = HTTPConnection(self._host, self._port, timeout=_PATIENCE)
        try:
            connection.request(heard.method, heard.path, body=heard.body or None, headers=_going_on(heard))
            answer = connection.getresponse()
            headers = {name: value for name, value in answer.getheaders() if name.lower() not in _OWN}
            return StagedAnswer(status=answer.status, headers=headers, body=answer.read())
        except (OSError, HTTPException):
            return StagedAnswer(status=502)
        finally:
            connection.close()


def _going_on(heard: Heard) -> Mapping[str, str]:
    return {name: value for name, value in heard.headers.items() if name.lower() not in _OWN}
