"""A hundred thousand queued deliveries: how fast does one process of each kind get through them?

The hub's worker does all that it does in earnest (a claim with lease and fencing, the sealed contents read, the attempt
appended, an event chained, the submission moved on); only the receiver is a sink. procrastinate's job does nothing, and
the bare loop is what SKIP LOCKED costs at the least.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from subprocess import Popen
from typing import Any

from benchmarks.full.backlog import Hall
from benchmarks.full.processes import YARDSTICK, called, cpu_seconds, running

_RECEIVERS = 50
_OPEN = {
    "procrastinate": "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'",
    "bare": "SELECT count(*) FROM bare_jobs WHERE state = 'ready'",
}
#: So many are done before the clock starts: the start of a process is not measured.
_WARM = 200


def run(hall: Hall, *, number: int, seconds: float) -> dict[str, Any]:
    """Drain ``number`` of each, for ``seconds`` at most; return rates and the way there."""
    results: dict[str, Any] = {"queued": number}
    hall.fill(hall.receivers([{}] * _RECEIVERS, "sink"), number // _RECEIVERS)
    work = running("benchmarks.full.sink", str(hall.data), hall.url)
    results["hub"] = _drained(work, hall.left, seconds)
    conninfo = f"host={hall.server.folder} user=hub dbname=postgres"
    for kind, counting in _OPEN.items():
        called(
            ["benchmarks.full.yardstick", kind, "fill", conninfo, str(number)], python=YARDSTICK, seconds=seconds + 120
        )
        work = running("benchmarks.full.yardstick", kind, "work", conninfo, str(number), python=YARDSTICK)
        results[kind] = _drained(work, lambda statement=counting: int(hall.rows(statement)[0][0]), seconds)
    for kind in _OPEN:
        results[f"hub against {kind}"] = results["hub"]["per_second"] / results[kind]["per_second"]
    _tell(results)
    return results


def _drained(working: AbstractContextManager[Popen[bytes]], left: Callable[[], int], seconds: float) -> dict[str, Any]:
    """Watch a worker empty its queue."""
    first = left()
    with working as worker:
        while left() > first - _WARM:
            time.sleep(0.05)
        begun, start, cpu = time.perf_counter(), left(), cpu_seconds(worker)
        points = [(0.0, start)]
        while points[-1][1] and points[-1][0] < seconds:
            time.sleep(0.25)
            points.append((time.perf_counter() - begun, left()))
            used = cpu_seconds(worker) if worker.poll() is None else None
            cpu_used = used - cpu if used is not None else None
    took, end = points[-1]
    done = start - end
    return {
        "done": done,
        "seconds": round(took, 1),
        "per_second": done / took,
        "cpu_ms_each": None if cpu_used is None else 1000 * cpu_used / done,
        "points": [(round(at, 2), start - now) for at, now in points],
    }


def _tell(results: dict[str, Any]) -> None:
    print(f"drain of {results['queued']} queued deliveries, one process each, 8 at once, PostgreSQL")
    for kind in ("hub", *_OPEN):
        one = results[kind]
        print(f"  {kind:14} {one['per_second']:8.0f} /s   ({one['done']} in {one['seconds']} s)")
    for kind in _OPEN:
        print(f"  hub against {kind}: {results[f'hub against {kind}']:.2f}", flush=True)
