"""The price of proof: the accept path over HTTP as it is, and the same without events, chain, receipt and checkpoints.

Two servers on SQLite, each with a data folder of its own, under load in turn, so that both see the same machine. Event
tokens (PS512) are signed off this path, by a duty or when they are first read; what one costs is measured by itself.
"""

from __future__ import annotations

import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

from benchmarks import load
from benchmarks.crash.nodes import free_port
from benchmarks.crash.scenery import make_data
from benchmarks.full.backlog import application_request, token_of
from benchmarks.full.processes import cpu_seconds, running
from hub import app
from hub.config import load_settings

_WAYS = ("proven", "unproven")
_CONNECTIONS = 8
_COUNTED = ("messages", "events")
#: create-submission, submit-submission, and what the delivery to a mailbox adds.
_FIRST_EVENTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one turn showed."""

    per_second: float
    cpu_ms_each: float


def run(*, seconds: float, rounds: int) -> dict[str, Any]:
    """Send for ``seconds`` to one, then to the other, ``rounds`` times over; the first round only warms up."""
    seen: dict[str, list[Measured]] = {way: [] for way in _WAYS}
    with tempfile.TemporaryDirectory(prefix="hub-proof-") as name:
        template = Path(name) / "template"
        make_data(template)
        with _served(template, Path(name), "proven") as proven, _served(template, Path(name), "unproven") as unproven:
            for n in range(rounds + 1):
                for way, (process, port, token) in (("proven", proven), ("unproven", unproven))[:: 1 if n % 2 else -1]:
                    measured = _measured(process, port, token, seconds=seconds)
                    if n:
                        seen[way].append(measured)
        token_cost = _token_cost(Path(name) / "proven")
        _insist_on_no_events(Path(name) / "unproven")
    return _told(seen, token_cost)


@contextmanager
def _served(template: Path, folder: Path, way: str) -> Iterator[tuple[Popen[bytes], int, str]]:
    shutil.copytree(template, folder / way)
    port = free_port()
    with running("benchmarks.full.unproven", str(folder / way), str(port), way) as process:
        yield process, port, token_of(folder / way, port)


def _measured(process: Popen[bytes], port: int, token: str, *, seconds: float) -> Measured:
    cpu = cpu_seconds(process)
    seen = load.post(port, application_request(port, token, keyed=False), connections=_CONNECTIONS, seconds=seconds)
    accepted = seen.statuses.get(202, 0)
    assert accepted == sum(seen.statuses.values()), seen.statuses
    return Measured(per_second=seen.rate(202), cpu_ms_each=1000 * (cpu_seconds(process) - cpu) / accepted)


def _insist_on_no_events(data: Path) -> None:
    """Fail if the yardstick proved something after all: the two would be compared with themselves."""
    with closing(sqlite3.connect(f"file:{data / 'hub.sqlite'}?mode=ro", uri=True)) as database:
        messages, events = (database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _COUNTED)
    # Those of the one answer that every sender is shown.
    assert messages > _FIRST_EVENTS >= events, (messages, events)


def _token_cost(data: Path) -> float:
    """Return milliseconds of CPU for signing and storing one event's token."""
    hub = app.build(load_settings(data, {}))
    cpu = time.process_time()
    signed = hub.notary.sign_pending(limit=200)
    spent = time.process_time() - cpu
    hub.close()
    return 1000 * spent / signed


def _told(seen: dict[str, list[Measured]], token_cost: float) -> dict[str, Any]:
    results: dict[str, Any] = {
        way: {
            "per_second": statistics.median(one.per_second for one in turns),
            "cpu_ms_each": statistics.median(one.cpu_ms_each for one in turns),
        }
        for way, turns in seen.items()
    }
    proven, unproven = results["proven"], results["unproven"]
    # Turns that follow each other see the same neighbours on the machine.
    pairs = zip(seen["proven"], seen["unproven"], strict=True)
    results["cost_of_throughput"] = 1 - statistics.median(one.per_second / other.per_second for one, other in pairs)
    results["cost_of_cpu"] = 1 - unproven["cpu_ms_each"] / proven["cpu_ms_each"]
    results["token_cpu_ms"] = token_cost
    print(
        f"proof on the accept path over HTTP: {proven['per_second']:.0f} accepted /s against"
        f" {unproven['per_second']:.0f} without, {proven['cpu_ms_each']:.2f} ms of CPU each against"
        f" {unproven['cpu_ms_each']:.2f}: {100 * results['cost_of_throughput']:.0f} % of throughput,"
        f" {100 * results['cost_of_cpu']:.0f} % of CPU; besides, off the path, {token_cost:.1f} ms for each event token",
        flush=True,
    )
    return results
