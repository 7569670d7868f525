"""Ten minutes at seven tenths of the peak, with a million submissions stored: does anything creep?

Peak is what a hub of two serving processes and one that delivers accepts **and** delivers a second, from the first request to
the last delivery. At 70 % of it nothing should queue: the last minute delivers what the first did, memory stays, and an
application is delivered soon after it was accepted.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from benchmarks import load
from benchmarks.crash.nodes import free_port
from benchmarks.full.backlog import Hall, application_request, token_of
from benchmarks.full.processes import running, tree_resident_mebibytes
from benchmarks.full.sustained import drained, point_at

_CONNECTIONS = 16
_SHARE = 0.7
_RECEIVERS = 50
#: Copies that are made in one statement.
_AT_ONCE = 100_000
_LOOK = 5.0
_COUNTED = "SELECT count(*) FROM deliveries WHERE accepted_at >= :since AND finished_at IS NOT NULL"
_LATE = """
SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY finished_at - accepted_at) FROM deliveries
WHERE accepted_at >= :since AND finished_at IS NOT NULL
"""
_BETWEEN = "SELECT count(*) FROM deliveries WHERE finished_at >= :since AND finished_at < :until"


def run(hall: Hall, *, stored: int, seconds: float, warm: float) -> dict[str, Any]:
    """Store so many submissions, find the peak in ``warm`` seconds, and send at its share for ``seconds``."""
    places = hall.receivers([{}] * _RECEIVERS, "https")
    for first in range(0, stored, _AT_ONCE):
        hall.keep(places, min(_AT_ONCE, stored - first) // _RECEIVERS)
    door, there = free_port(), free_port()
    point_at(hall, f"http://127.0.0.1:{there}/healthy/0")
    environment = {"HUB_DATABASE_URL": hall.url, "HUB_BASE_URL": f"http://127.0.0.1:{door}"}
    serve = ("hub.cli", "serve", "--workers", "2", "--work", "--port", str(door), "--data", str(hall.data))
    with running("benchmarks.full.receivers", str(there)), running(*serve, env=environment) as serving:
        request = application_request(door, token_of(hall.data, door), keyed=True)
        load.post(door, request, connections=_CONNECTIONS, seconds=warm / 4)
        drained(hall)
        began = time.monotonic()
        seen = load.post(door, request, connections=_CONNECTIONS, seconds=warm)
        drained(hall)
        peak = seen.statuses[202] / (time.monotonic() - began)
        return _endured(hall, serving.pid, door, request, peak=peak, seconds=seconds, stored=stored)


def _endured(
    hall: Hall, serving: int, door: int, request: Any, *, peak: float, seconds: float, stored: int
) -> dict[str, Any]:
    over, memory = threading.Event(), []

    def look() -> None:
        while not over.wait(_LOOK):
            memory.append(tree_resident_mebibytes(serving))

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    since = time.time_ns() // 1000
    seen = load.paced(door, request, connections=_CONNECTIONS, seconds=seconds, pace=_SHARE * peak)
    drained(hall)
    over.set()
    watcher.join()
    minute = min(60.0, seconds / 4) * 1_000_000
    end = since + seconds * 1_000_000
    first, last = (
        hall.rows(_BETWEEN, since=int(begin), until=int(begin + minute))[0][0] for begin in (since, end - minute)
    )
    p50, p99 = (float(each) / 1000 for each in hall.rows(_LATE, since=since)[0][0])
    quarter = max(1, len(memory) // 4)
    before, after = max(memory[:quarter]), max(memory[-quarter:])
    results = {
        "stored": stored,
        "peak": peak,
        "pace": _SHARE * peak,
        "seconds": seconds,
        "statuses": {str(status): count for status, count in seen.statuses.items()},
        "last minute against first": last / first,
        "delivered p50 ms": p50,
        "delivered p99 ms": p99,
        "accept p99 ms": seen.percentile(0.99),
        "memory": after / before,
        "delivered": hall.rows(_COUNTED, since=since)[0][0],
    }
    print(
        f"endurance: {stored:,} stored, peak {peak:.0f} accepted and delivered /s; {seconds:.0f} s at {_SHARE * peak:.0f} /s:"
        f" last minute against first {last / first:.2f} (aim 0.95), accepted to delivered p50 {p50:.0f} ms, p99 {p99:.0f} ms"
        f" (aim 500), accept p99 {results['accept p99 ms']:.0f} ms, memory {after:.0f} MiB against {before:.0f}:"
        f" {after / before:.2f} (aim 1.10); answers {results['statuses']}, {results['delivered']} delivered",
        flush=True,
    )
    return results
