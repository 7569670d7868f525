"""``python -m benchmarks.crash.wrong_clock FILE serve|work …``: a hub whose clock is wrong by the seconds that a file holds.

The hub takes its time as a parameter, so a clock that jumps needs no change of the machine's.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn

from hub import app
from hub.config import load_settings


def main() -> None:
    """Serve or work as ``hub serve`` and ``hub work`` do."""
    parser = argparse.ArgumentParser()
    parser.add_argument("clock", type=Path)
    parser.add_argument("command", choices=["serve", "work"])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--no-work", action="store_true")
    options = parser.parse_args()
    hub = app.build(load_settings(options.data, os.environ), clock=wrong_by(options.clock))
    if options.command == "work":
        _work(hub)
    else:
        application = app.asgi(hub, work=not options.no_work)
        uvicorn.run(application, port=options.port, **app.server_options(hub.settings))


def wrong_by(file: Path) -> Callable[[], datetime]:
    """Return a clock that is wrong by the whole seconds in ``file``; without one it is right."""

    def now() -> datetime:
        seconds = int(file.read_text(encoding="ascii") or 0) if file.exists() else 0
        return datetime.now(UTC) + timedelta(seconds=seconds)

    return now


def _work(hub: app.Context) -> None:
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with app.working(hub):
        stop.wait()
    hub.close()


if __name__ == "__main__":
    main()
