"""``make crash``: the ledger test. ``--short`` takes some 2 minutes, the full run some 40."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.crash.account import Account, broken_off
from benchmarks.crash.casework import CasesAccount
from benchmarks.crash.dying import SHORT
from benchmarks.crash.postgresql import Postgresql, binaries
from benchmarks.crash.scenarios import (
    Setting,
    clock_jumps,
    database_outage,
    disk_full,
    every_point,
    every_point_of_a_case,
    paused_nodes,
    process_kills,
    random_kills,
)
from benchmarks.crash.scenery import make_data

_OUT = Path(__file__).parents[1] / "out"
#: What a scenario comes to.
Accounted = Account | CasesAccount
Scenario = Callable[[Setting], Accounted]


def main() -> None:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--short", action="store_true", help="each crash point once, few random kills (CI)")
    parser.add_argument("--only", default="", help="run only scenarios whose name contains this")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long each scenario does harm")
    options = parser.parse_args()
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    results: dict[str, Accounted] = {}
    with tempfile.TemporaryDirectory(prefix="hub-crash-") as name:
        template = Path(name) / "template"
        make_data(template)
        for title, seconds, scenario in _scenarios(short=options.short):
            if options.only in title:
                setting = Setting(
                    template=template, folder=Path(name) / title.replace(" ", "-"), seconds=options.seconds or seconds
                )
                results[title] = _reported(title, _run(scenario, setting))
                _keep(results, time.monotonic() - started)
    load, cores = os.getloadavg()[2], os.cpu_count()
    print(f"{len(results)} scenarios in {time.monotonic() - started:.0f} s; load {load:.1f} on {cores} cores")
    sys.exit(0 if results and all(each.holds for each in results.values()) else 1)


def _run(scenario: Scenario, setting: Setting) -> Accounted:
    """Run a scenario; one that breaks off has failed, and the others are run all the same."""
    try:
        return scenario(setting)
    except Exception:  # noqa: BLE001  # whatever it was, it is reported as this scenario's fault
        return broken_off(traceback.format_exc())


def _keep(results: dict[str, Accounted], seconds: float) -> None:
    """Write what is known so far: a run that is broken off has still counted."""
    _OUT.mkdir(exist_ok=True)
    document = {
        "seconds": round(seconds),
        "load": round(os.getloadavg()[1], 1),
        "cores": os.cpu_count(),
        "scenarios": {title: each.as_json() for title, each in results.items()},
    }
    (_OUT / "crash.json").write_text(json.dumps(document, indent=1), encoding="utf-8")


def _scenarios(*, short: bool) -> Iterator[tuple[str, float, Scenario]]:
    """Yield (title, seconds of harm, scenario)."""
    yield "sqlite each point", 0, every_point
    yield (
        "sqlite each point of a case",
        0,
        partial(every_point_of_a_case, points=SHORT) if short else every_point_of_a_case,
    )
    yield "sqlite random kills", 5 if short else 180, random_kills
    if not short:
        yield "sqlite kills of processes", 120, process_kills
        yield "sqlite disk full", 30, disk_full
    if binaries() is None:
        print("PostgreSQL's server programs are not on this machine: its scenarios are skipped")
        return
    if not short:
        yield "postgresql each point", 0, _on_postgresql(every_point)
        yield "postgresql each point of a case", 0, _on_postgresql(every_point_of_a_case)
        yield "postgresql kills of processes", 120, _on_postgresql(process_kills)
        yield "postgresql paused nodes", 60, _on_postgresql(paused_nodes)
        yield "postgresql clock jumps", 60, _on_postgresql(clock_jumps)
    yield "postgresql random kills", 6 if short else 180, _on_postgresql(random_kills)
    if not short:
        yield "postgresql outage", 60, _on_postgresql(database_outage)


def _on_postgresql(scenario: Callable[[Setting, Postgresql], Accounted]) -> Scenario:
    def run(setting: Setting) -> Accounted:
        programs = binaries()
        assert programs is not None
        with Postgresql(programs) as server:
            return scenario(setting, server)

    return run


def _reported(title: str, account: Accounted) -> Accounted:
    print(f"{title}: {account}", flush=True)
    for fault in account.faults[:20]:
        print(f"  FAULT {fault}", flush=True)
    return account


main()
