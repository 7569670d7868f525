"""A sustained run: applications come in over HTTP and go out to a receiver, for minutes; does anything creep?"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

from benchmarks import load
from benchmarks.crash.nodes import free_port
from benchmarks.full.backlog import Hall, application_request, token_of
from benchmarks.full.processes import resident_mebibytes, running
from hub.store import Store

_CONNECTIONS = 8
#: Seconds between two looks.
_LOOK = 2.0
_PATIENCE = 240.0


def run(hall: Hall, *, seconds: float) -> dict[str, Any]:
    """Send as fast as eight connections can for ``seconds``, then let what is queued go out."""
    door, there = free_port(), free_port()
    point_at(hall, f"http://127.0.0.1:{there}/healthy/0")
    environment = {"HUB_DATABASE_URL": hall.url, "HUB_BASE_URL": f"http://127.0.0.1:{door}"}
    data = ["--data", str(hall.data)]
    with (
        running("benchmarks.full.receivers", str(there)),
        running(
            "hub.cli", "serve", "--workers", "1", "--no-work", "--port", str(door), *data, env=environment
        ) as serving,
        running("hub.cli", "work", *data, env=environment) as working,
    ):
        request = application_request(door, token_of(hall.data, door), keyed=True)
        over, points = threading.Event(), []

        def look() -> None:
            begun = time.perf_counter()
            while not over.wait(_LOOK):
                accepted, delivered = hall.rows(_COUNTS)[0]
                memory = resident_mebibytes(serving), resident_mebibytes(working)
                points.append((time.perf_counter() - begun, accepted, delivered, *memory))

        watcher = threading.Thread(target=look)
        watcher.start()
        seen = load.post(door, request, connections=_CONNECTIONS, seconds=seconds)
        left = drained(hall)
        over.set()
        watcher.join()
    return _figures(hall, seen, points, seconds=seconds, left=left)


_COUNTS = "SELECT count(*), count(*) FILTER (WHERE state = 'delivered') FROM deliveries"


def point_at(hall: Hall, url: str) -> None:
    """Have applications go to a receiver."""
    store = Store(hall.url)
    stored = store.parties.destination(hall.origin)
    assert stored is not None
    store.parties.replace_destination(replace(stored, adapter_config={**stored.adapter_config, "url": url}))
    store.close()


def drained(hall: Hall) -> float:
    """Wait until everything is delivered; return the seconds that it took."""
    begun = time.monotonic()
    while hall.left() and time.monotonic() < begun + _PATIENCE:
        time.sleep(0.2)
    return time.monotonic() - begun


def _figures(hall: Hall, seen: load.Load, points: list[Any], *, seconds: float, left: float) -> dict[str, Any]:
    acknowledged = seen.statuses.get(202, 0)
    accepted, delivered = hall.rows(_COUNTS)[0]
    # The submission that copies are made of was there before, and is not delivered.
    open_ = accepted - 1 - delivered
    middle = [one for one in points if seconds * 0.2 <= one[0] <= seconds]
    half = len(middle) // 2
    results = {
        "seconds": seconds,
        "statuses": {str(status): count for status, count in seen.statuses.items()},
        "accepted_per_second": seen.rate(202),
        "p50_ms": seen.percentile(0.5),
        "p99_ms": seen.percentile(0.99),
        "second half against first": _rate(middle[half:]) / _rate(middle[: half + 1]),
        "serve_growth_mib": middle[-1][3] - middle[0][3],
        "work_growth_mib": middle[-1][4] - middle[0][4],
        "drained_seconds": left,
        "delivered": delivered,
        "open": open_,
        "holds": acknowledged == delivered + open_,
        "points": [[round(value, 2) for value in one] for one in points],
    }
    print(
        f"sustained for {seconds:.0f} s: {results['accepted_per_second']:.0f} accepted /s, p50 {results['p50_ms']:.0f} ms,"
        f" p99 {results['p99_ms']:.0f} ms; second half against first {results['second half against first']:.2f}; memory"
        f" +{results['serve_growth_mib']:.0f} MiB serving, +{results['work_growth_mib']:.0f} MiB delivering;"
        f" {acknowledged} acknowledged = {delivered} delivered + {open_} open; answers {results['statuses']}",
        flush=True,
    )
    return results


def _rate(points: list[Any]) -> float:
    return float((points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0]))
