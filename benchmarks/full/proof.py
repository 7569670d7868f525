"""The price of proof: the accept path over HTTP as it is, and the same without events, chain, receipt and checkpoints.

Two servers on SQLite, each with a data folder of its own, under load in turn, so that both see the same machine: with the
message that all measurements of the accept path take, and with the project's own small example, of which proof is a larger
part. Event tokens (PS512) are signed off this path, by a duty or when they are first read; what one costs is measured by
itself.
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

from benchmarks import load, payload
from benchmarks.crash.nodes import free_port
from benchmarks.full.backlog import AREA, EXAMPLE, application_request, token_of
from benchmarks.full.processes import cpu_seconds, running
from benchmarks.served import ARS, prepare_data
from hub import app
from hub.config import load_settings

_WAYS = ("proven", "unproven")
#: As many as where the accept path is measured by itself.
_CONNECTIONS = 16
_COUNTED = ("messages", "events")
#: create-submission, submit-submission, and what the delivery to a mailbox adds.
_FIRST_EVENTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """What is sent, and where to."""

    name: str
    area: str
    document: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A running server, and a token for it."""

    process: Popen[bytes]
    port: int
    token: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What one turn showed."""

    per_second: float
    cpu_ms_each: float


def run(*, seconds: float, rounds: int) -> dict[str, Any]:
    """Send for ``seconds`` to one, then to the other, ``rounds`` times over; the first round only warms up."""
    message = payload.message()
    sent = {
        "standard": Sent(name=message.name, area=ARS, document=message.data),
        "small": Sent(name="own building application", area=AREA, document=EXAMPLE),
    }
    with tempfile.TemporaryDirectory(prefix="hub-proof-") as name:
        template = Path(name) / "template"
        prepare_data(template, message)
        with _served(template, Path(name), "proven") as proven, _served(template, Path(name), "unproven") as unproven:
            servers = {"proven": proven, "unproven": unproven}
            seen = {kind: _turns(servers, one, seconds=seconds, rounds=rounds) for kind, one in sent.items()}
        token_cost = _token_cost(Path(name) / "proven")
        _require_no_events(Path(name) / "unproven")
    results: dict[str, Any] = {kind: _figures(turns, sent[kind]) for kind, turns in seen.items()}
    print(f"besides, off the path, {token_cost:.1f} ms for each event token", flush=True)
    return results | {"token_cpu_ms": token_cost}


@contextmanager
def _served(template: Path, folder: Path, way: str) -> Iterator[Server]:
    shutil.copytree(template, folder / way)
    port = free_port()
    with running("benchmarks.full.unproven", str(folder / way), str(port), way) as process:
        yield Server(process=process, port=port, token=token_of(folder / way, port))


def _turns(servers: dict[str, Server], sent: Sent, *, seconds: float, rounds: int) -> dict[str, list[Measured]]:
    seen: dict[str, list[Measured]] = {way: [] for way in _WAYS}
    for n in range(rounds + 1):
        for way in _WAYS[:: 1 if n % 2 else -1]:
            measured = _measured(servers[way], sent, seconds=seconds)
            if n:
                seen[way].append(measured)
    return seen


def _measured(server: Server, sent: Sent, *, seconds: float) -> Measured:
    cpu = cpu_seconds(server.process)
    request = application_request(server.port, server.token, keyed=False, area=sent.area, document=sent.document)
    seen = load.post(server.port, request, connections=_CONNECTIONS, seconds=seconds)
    accepted = seen.statuses.get(202, 0)
    assert accepted == sum(seen.statuses.values()), seen.statuses
    return Measured(per_second=seen.rate(202), cpu_ms_each=1000 * (cpu_seconds(server.process) - cpu) / accepted)


def _require_no_events(data: Path) -> None:
    """Fail if the yardstick proved something after all: the two would be compared with themselves."""
    with closing(sqlite3.connect(f"file:{data / 'hub.sqlite'}?mode=ro", uri=True)) as database:
        messages, events = (database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in _COUNTED)
    # Those of the one answer that every sender is shown.
    assert messages > _FIRST_EVENTS >= events, (messages, events)


def _token_cost(data: Path) -> float:
    """Return milliseconds of CPU for signing and storing one event's token."""
    hub = app.build(load_settings(data, {}))
    cpu = time.process_time()
    signed = 0
    for case in hub.store.submissions.cases(limit=100).items:
        signed += len(hub.notary.tokens(case.case_id).items)
    spent = time.process_time() - cpu
    hub.close()
    return 1000 * spent / signed


def _figures(seen: dict[str, list[Measured]], sent: Sent) -> dict[str, Any]:
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
    results["bytes"] = len(sent.document)
    results["cost_of_cpu"] = 1 - unproven["cpu_ms_each"] / proven["cpu_ms_each"]
    print(
        f"proof on the accept path over HTTP, {sent.name}, {len(sent.document)} bytes:"
        f" {proven['per_second']:.0f} accepted /s against"
        f" {unproven['per_second']:.0f} without, {proven['cpu_ms_each']:.2f} ms of CPU each against"
        f" {unproven['cpu_ms_each']:.2f}: {100 * results['cost_of_throughput']:.0f} % of throughput,"
        f" {100 * results['cost_of_cpu']:.0f} % of CPU",
        flush=True,
    )
    return results
