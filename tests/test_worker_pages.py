"""A process that only works answers for its health where it shows its metrics."""

from __future__ import annotations

import socket
import threading
import time

import pytest
import requests

from hub import app
from hub.app import starting
from hub.web.listening import SmallServer

PATIENCE = 60
ASKERS = ("127.0.0.1", "::1", "10.0.0.7")


@pytest.fixture
def shown(stage):
    loop, port = app.show_worker(stage.hub, 0)
    with requests.Session() as session:
        yield lambda path: session.get(f"http://127.0.0.1:{port}{path}", timeout=30)
    loop.end()


def test_slow_and_many_askers_keep_nobody_else_waiting_and_are_hung_up_on(stage, monkeypatch):
    monkeypatch.setattr(SmallServer, "answered_within", 1.0)
    monkeypatch.setattr(SmallServer, "most_at_once", 3)
    loop, port = app.show_worker(stage.hub, 0)
    where = ("127.0.0.1", port)
    try:
        slow = [socket.create_connection(where, timeout=30) for _ in range(2)]
        for each in slow:
            each.sendall(b"GET /metrics HTTP/1.0\r\nX: ")
        assert requests.get(f"http://127.0.0.1:{port}/health/live", timeout=30).json() == {"status": "ok"}
        # A byte now and then does not buy more time.
        ended = time.monotonic() + 20
        while slow[0].fileno() >= 0 and time.monotonic() < ended:
            try:
                slow[0].sendall(b"x")
                time.sleep(0.05)
            except OSError:
                slow[0].close()
        assert slow[0].fileno() < 0
        slow[1].close()
        time.sleep(0.5)
        crowd = [socket.create_connection(where, timeout=0.4) for _ in range(6)]
        assert crowd[5].recv(1) == b""
        with pytest.raises(TimeoutError):
            crowd[0].recv(1)
        for each in (*slow, *crowd):
            each.close()
    finally:
        loop.end()


def test_who_may_read_a_workers_metrics_is_what_the_setting_says():
    may = {(allowed, who): starting.may_read(allowed, who) for allowed in ("on", "off", "loopback") for who in ASKERS}
    assert [key for key, value in may.items() if value] == [
        ("on", "127.0.0.1"),
        ("on", "::1"),
        ("on", "10.0.0.7"),
        ("off", "127.0.0.1"),
        ("off", "::1"),
        ("loopback", "127.0.0.1"),
        ("loopback", "::1"),
    ]


def test_a_worker_shows_health_and_metrics_and_names_a_dead_loop(stage, shown):
    assert shown("/health/live").json() == {"status": "ok"}
    ready = shown("/health/ready")
    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ok", "checks": {"database": True, "disk": True, "keys": True}},
    )
    assert "hub_loop_deaths_total" in shown("/metrics").text
    assert shown("/elsewhere").status_code == 404
    heal = threading.Event()

    def run(stop):
        if not heal.is_set():
            raise ValueError
        stop.wait()

    loop = stage.hub.supervisor.begin("dispatcher", run)
    deadline = time.monotonic() + PATIENCE
    while (shown_now := shown("/health/ready")).status_code == 200:
        assert time.monotonic() < deadline
    assert (shown_now.status_code, shown_now.headers["Retry-After"]) == (503, "10")
    assert shown_now.json()["checks"]["dispatcher"] is False
    heal.set()
    loop.end()
