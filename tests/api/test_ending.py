"""A server ends when it is told to, not at its next tick."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time

import pytest
import uvicorn

from hub.api import protocol
from hub.api.protocol import SteadyServer


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
