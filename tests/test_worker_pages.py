"""A process that only works answers for its health where it shows its metrics."""

from __future__ import annotations

import threading
import time

import pytest
import requests

from hub import app

PATIENCE = 60


@pytest.fixture
def shown(stage):
    loop, port = app.show_worker(stage.hub, 0)
    with requests.Session() as session:
        yield lambda path: session.get(f"http://127.0.0.1:{port}{path}", timeout=30)
    loop.end()


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
