"""``make bench-full``: the queue against others, bulkheads, a sustained run, the price of proof, the largest attachments.

Under 25 minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import attachments
from benchmarks.full import drain, endurance, growth, neighbours, proof, sustained
from benchmarks.full.backlog import Hall, hall
from benchmarks.full.processes import YARDSTICK, called

_OUT = Path(__file__).parents[1] / "out"


def main() -> None:
    """Measure what was asked for, print it, keep the figures in ``benchmarks/out/full.json``, and draw them."""
    parser = argparse.ArgumentParser(prog="make bench-full", description=__doc__)
    parser.add_argument(
        "--only",
        choices=["drain", "neighbours", "sustained", "proof", "attachments", "growth", "endurance"],
        help="measure this alone",
    )
    parser.add_argument("--short", action="store_true", help="a tenth of it, to see that it runs")
    options = parser.parse_args()
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    short = options.short
    print(
        f"CPython {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}; ratios within one run"
        " count, absolute numbers are this machine's\n"
    )
    measurements: dict[str, Callable[[Hall], dict[str, Any]]] = {
        "neighbours": lambda here: neighbours.run(here, each=4 if short else 20, rounds=1 if short else 2),
        "sustained": lambda here: sustained.run(here, seconds=10 if short else 60),
        # Last, for it leaves the database full.
        "drain": lambda here: drain.run(here, number=9_000 if short else 100_000, seconds=6 if short else 40),
    }
    begun = time.monotonic()
    results: dict[str, Any] = {}
    if options.only in {None, *measurements}:
        with hall() as here:
            for name, measure in measurements.items():
                if options.only in {None, name}:
                    results[name] = measure(here)
                    _keep(results, begun)
    if options.only == "growth":
        # By itself: a million submissions take minutes to make.
        with hall() as here:
            sizes = (2_000, 20_000) if short else (10_000, 1_000_000)
            results["growth"] = growth.run(here, sizes=sizes, number=50 if short else 300, rounds=1 if short else 3)
    if options.only == "endurance":
        with hall() as here:
            stored, seconds, warm = (20_000, 20.0, 8.0) if short else (1_000_000, 600.0, 40.0)
            results["endurance"] = endurance.run(here, stored=stored, seconds=seconds, warm=warm)
    if options.only in {None, "proof"}:
        results["proof"] = proof.run(seconds=1 if short else 5, rounds=1 if short else 6)
    if options.only in {None, "attachments"}:
        results["attachments"] = attachments.run(megabytes=5 if short else 500, turns=1 if short else 3)
    _keep(results, begun)
    called(["benchmarks.full.plots", str(_OUT)], python=YARDSTICK, seconds=120)
    print(f"{len(results)} measurements in {time.monotonic() - begun:.0f} s; pictures in {_OUT}")


def _keep(results: dict[str, Any], begun: float) -> None:
    """Write what is known so far, beside what an earlier run measured."""
    _OUT.mkdir(exist_ok=True)
    file = _OUT / "full.json"
    before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    machine = {
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[1], 1),
        "seconds": round(time.monotonic() - begun),
    }
    file.write_text(json.dumps({**before, **results, "machine": machine}, indent=1), encoding="utf-8")


main()
