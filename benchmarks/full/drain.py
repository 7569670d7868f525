"""A hundred thousand queued deliveries: how fast does one process of each kind get through them?

The hub's worker does all that it does in earnest (a claim with lease and fencing, the sealed contents read, the attempt
appended, an event chained, the submission moved on); only the receiver is a sink. procrastinate's job does nothing, and
the bare loop is what SKIP LOCKED costs at the least.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from subprocess import Popen
from typing import Any

from benchmarks.full.backlog import Hall
from benchmarks.full.processes import YARDSTICK, called, running

_RECEIVERS = 50
_OPEN = {
    "procrastinate": "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo'",
    "bare": "SELECT count(*) FROM bare_jobs WHERE state = 'ready'",
}
#: So many are done before the clock starts: the start of a process is not measured.
_WARM = 100
#: Seconds between two looks at a queue's length.
_LOOK = 0.1
_TURNS = 3
_PATIENCE = 60.0


def run(hall: Hall, *, number: int, seconds: float) -> dict[str, Any]:
    """Queue ``number`` for each, and let them drain in turns of ``seconds``, so that all see the same machine."""
    conninfo = f"host={hall.server.folder} user=hub dbname=postgres"
    hall.fill(hall.receivers([{}] * _RECEIVERS, "sink"), number // _RECEIVERS)
    for kind in _OPEN:
        filling = ["benchmarks.full.yardstick", kind, "fill", conninfo, str(number)]
        called(filling, python=YARDSTICK, seconds=_PATIENCE)
    turns: dict[str, list[dict[str, Any]]] = {kind: [] for kind in ("hub", *_OPEN)}
    share = number // _TURNS
    for _ in range(_TURNS):
        work = running("benchmarks.full.sink", str(hall.data), hall.url)
        turns["hub"].append(_drained(work, hall.left, share, seconds))
        for kind, counting in _OPEN.items():
            work = running("benchmarks.full.yardstick", kind, "work", conninfo, str(number), python=YARDSTICK)
            left = partial(_count, hall, counting)
            turns[kind].append(_drained(work, left, share, seconds))
    results: dict[str, Any] = {"queued": number, **{kind: _together(seen) for kind, seen in turns.items()}}
    for kind in _OPEN:
        pairs = zip(turns["hub"], turns[kind], strict=True)
        ratios = [one["per_second"] / other["per_second"] for one, other in pairs if other["done"]]
        results[f"hub against {kind}"] = statistics.median(ratios)
    _tell(results)
    return results


def _count(hall: Hall, statement: str) -> int:
    return int(hall.rows(statement)[0][0])


def _drained(
    working: AbstractContextManager[Popen[bytes]], left: Callable[[], int], share: int, seconds: float
) -> dict[str, Any]:
    """Watch a worker at its queue for ``seconds``, or until its turn's ``share`` is done; what it holds then is left."""
    first = left()
    if first < share // 2:
        # A short queue may be empty before its last turn.
        return {"done": 0, "seconds": 0.0, "per_second": 0.0, "points": []}
    with working:
        end = time.monotonic() + _PATIENCE
        while left() > max(0, first - min(_WARM, share // 3)) and time.monotonic() < end:
            time.sleep(0.05)
        begun, start = time.perf_counter(), left()
        points = [(0.0, start)]
        while points[-1][1] > max(0, first - share) and points[-1][0] < seconds:
            time.sleep(_LOOK)
            points.append((time.perf_counter() - begun, left()))
    took, now = points[-1]
    return {
        "done": start - now,
        "seconds": took,
        "per_second": (start - now) / max(took, 0.01),
        "points": [(at, start - one) for at, one in points],
    }


def _together(turns: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Put turns one behind the other."""
    points: list[tuple[float, int]] = []
    seconds, done = 0.0, 0
    for turn in turns:
        points += [(round(seconds + at, 2), done + so_far) for at, so_far in turn["points"]]
        seconds, done = seconds + turn["seconds"], done + turn["done"]
    return {"done": done, "seconds": round(seconds, 1), "per_second": done / max(seconds, 0.01), "points": points}


def _tell(results: dict[str, Any]) -> None:
    print(f"drain of {results['queued']} queued deliveries, one process each, 8 at once, PostgreSQL")
    for kind in ("hub", *_OPEN):
        one = results[kind]
        print(f"  {kind:14} {one['per_second']:8.0f} /s   ({one['done']} in {one['seconds']} s)")
    for kind in _OPEN:
        print(f"  hub against {kind}: {results[f'hub against {kind}']:.2f}", flush=True)
