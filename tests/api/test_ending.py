"""A server ends when it is told to, not at its next tick."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import threading
import time

import pytest
import uvicorn

from hub.web import protocol
from hub.web.protocol import SharingServer, SteadyServer


async def nothing(scope, receive, send):
    """Answer nobody."""


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(protocol, "_TICK", 600)
    return SteadyServer(uvicorn.Config(nothing, port=0, lifespan="off", log_config=None))


def ended_within(server: SteadyServer, tell) -> float:
    """Return the seconds between being told and the end."""

    async def run() -> float:
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  # the library has no event for it
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)  # It is in the pause behind its first tick.
        asked = time.monotonic()
        tell()
        await asyncio.wait_for(serving, 30)
        return time.monotonic() - asked

    return asyncio.run(run())


def test_a_thread_that_says_so_ends_it_at_once(server):
    def tell() -> None:
        threading.Thread(target=setattr, args=[server, "should_exit", True]).start()

    assert ended_within(server, tell) < 10
    server.should_exit = True  # Its loop is closed: nobody minds.
    assert server.should_exit


def test_a_signal_ends_it_at_once(server):
    # The library raises the signal again once it has ended, for whoever handled it before.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        assert ended_within(server, lambda: os.kill(os.getpid(), signal.SIGTERM)) < 10
    finally:
        signal.signal(signal.SIGTERM, before)


class Alone:
    """A process without siblings."""

    def begun(self) -> None:
        """Nobody asks."""

    def note_connections(self, number: int) -> None:
        """Nobody asks."""

    def busier(self) -> bool:
        """Nobody has fewer."""
        return False

    def orphaned(self) -> bool:
        """Whoever began it is there."""
        return False


class Full(socket.socket):
    """A socket for which there is no room once, and whose next caller is gone again."""

    def __init__(self) -> None:
        super().__init__()
        self.errors = [OSError(errno.EMFILE, "Too many open files"), ConnectionAbortedError()]

    def accept(self):
        if self.errors:
            raise self.errors.pop(0)
        return super().accept()


def test_without_a_descriptor_to_be_had_callers_wait_and_are_taken_later(monkeypatch, caplog):
    monkeypatch.setattr(protocol, "_EXHAUSTED", 0.05)
    listener = Full()
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    async def answering(scope, receive, send):
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    config = uvicorn.Config(answering, lifespan="off", log_config=None)
    sharing = SharingServer(config, listener=listener, siblings=Alone())

    def ask() -> None:
        with socket.create_connection(listener.getsockname()[:2], timeout=30) as caller:
            caller.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answers.append(caller.recv(100))
        sharing.should_exit = True

    answers: list[bytes] = []
    ended_within(sharing, threading.Thread(target=ask).start)
    assert listener.errors == []
    assert answers[0].startswith(b"HTTP/1.1 204")
    assert caplog.text.count("no further connection can be taken") == 1
