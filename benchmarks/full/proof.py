"""The price of proof: the accept path as it is, and the same without events, chain, receipt and checkpoints.

In this process and on SQLite, in turn, so that both see the same machine. Event tokens (PS512) are signed off the path, by
a duty or when they are first read; what they cost is measured by itself.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Connection

from benchmarks.crash.scenery import make_data
from benchmarks.full.backlog import AREA, EXAMPLE, SERVICE
from hub import app
from hub.config import load_settings
from hub.intake.reception import Reception
from hub.store import tables
from hub.store.database import Insert, micros
from hub.store.queue import delivery_row
from hub.store.rows import sealed_row, submitted_row
from hub.store.writer import Joint
from hub.submission import Application, Cover, MediaType, Submission

_ROUNDS = 8
_WINDOW = 64
_CASE, _MESSAGE = Insert(tables.cases), Insert(tables.messages)
_CONTENT, _DELIVERY = Insert(tables.contents), Insert(tables.deliveries)


class Unproven(Joint):
    """What the plain door writes, without what proves it: case, message, contents, delivery."""

    def __init__(self, submission: Submission) -> None:
        message_id, at = str(submission.submission_id), micros(submission.submitted_at)
        self.case = _CASE.row(
            {
                "case_id": str(submission.case_id),
                "destination_id": str(submission.destination_id),
                "sender": submission.sender,
                "seq": 0,
                "head": "",
                "created_at": at,
                "last_event_at": at,
                "tombstone": None,
                "covered": 0,
            }
        )
        self.message = _MESSAGE.row(submitted_row(submission, ""))
        self.contents = [_CONTENT.row(sealed_row(message_id, part, one)) for part, one in submission.contents.parts()]
        row = delivery_row(message_id, str(submission.destination_id), submission.submitted_at)
        self.delivery = _DELIVERY.row(row)

    @classmethod
    def many(cls, connection: Connection, writes: list[Self]) -> list[None]:  # type: ignore[override]
        """Write all of them."""
        _CASE.raw(connection, [one.case for one in writes])
        _MESSAGE.raw(connection, [one.message for one in writes])
        _CONTENT.raw(connection, [row for one in writes for row in one.contents])
        _DELIVERY.raw(connection, [one.delivery for one in writes])
        return [None] * len(writes)


def run(*, number: int) -> dict[str, Any]:
    """Accept ``number`` applications in each of several rounds, proven and unproven in turn."""
    with tempfile.TemporaryDirectory(prefix="hub-proof-") as name:
        data = Path(name) / "data"
        make_data(data)
        hub = app.build(load_settings(data, {}, disk_watermark_bytes=0))
        sender = hub.store.clients(limit=10).items[0].client_id
        cover = Cover(sender=sender, service=SERVICE, area=AREA)
        application = Application(cover=cover, media_type=MediaType.XML, data=EXAMPLE.read_bytes())
        ways = {"proven": _proven, "unproven": _unproven}
        seen: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for n in range(_ROUNDS + 1):
            for way in sorted(ways, reverse=bool(n % 2)):
                cost = _cost(hub, ways[way], application, number, checkpoints=way == "proven")
                if n:
                    seen[way].append(cost)
        token = _token_cost(hub)
        hub.close()
    return _told(seen, token, number)


def _cost(
    hub: app.Hub, accept: Any, application: Application, number: int, *, checkpoints: bool
) -> tuple[float, float]:
    """Return seconds on the clock and of CPU for one application."""
    begun, cpu = time.perf_counter(), time.process_time()
    window: list[Future[Any]] = []
    for _ in range(number):
        with hub.intake.open(application.cover, now=app.utc_now()) as reception:
            assert isinstance(reception, Reception)
            window.append(accept(hub, reception, application))
        if len(window) >= _WINDOW:
            window.pop(0).result(30)
    for future in window:
        future.result(30)
    if checkpoints:
        hub.checkpoints.make(app.utc_now())
    return (time.perf_counter() - begun) / number, (time.process_time() - cpu) / number


def _proven(_: app.Hub, reception: Reception, application: Application) -> Future[Any]:
    return reception.accept(application, now=app.utc_now())


def _unproven(hub: app.Hub, reception: Reception, application: Application) -> Future[Any]:
    """Do what ``Reception.accept`` does, without the proof."""
    now = app.utc_now()
    report = reception._validated(application, now)  # noqa: SLF001  # the same steps, some of them left out
    submission = reception._submission(application, report, now)  # noqa: SLF001
    return hub.store._begin(Unproven(submission))  # noqa: SLF001


def _token_cost(hub: app.Hub) -> float:
    """Return seconds of CPU for signing one event's token."""
    cpu = time.process_time()
    signed = hub.notary.sign_pending(limit=100)
    return (time.process_time() - cpu) / max(1, signed)


def _told(seen: dict[str, list[tuple[float, float]]], token: float, number: int) -> dict[str, Any]:
    def middle(way: str, which: int) -> float:
        return 1000 * statistics.median(one[which] for one in seen[way])

    results: dict[str, Any] = {
        way: {"ms_each": middle(way, 0), "cpu_ms_each": middle(way, 1)} for way in ("proven", "unproven")
    }
    proven, unproven = results["proven"], results["unproven"]
    results["cost_of_throughput"] = 1 - unproven["ms_each"] / proven["ms_each"]
    results["cost_of_cpu"] = 1 - unproven["cpu_ms_each"] / proven["cpu_ms_each"]
    results["token_cpu_ms"] = 1000 * token
    results["number"] = number
    print(
        f"proof on the accept path: {proven['ms_each']:.2f} ms each against {unproven['ms_each']:.2f} without:"
        f" {100 * results['cost_of_throughput']:.0f} % of throughput, {100 * results['cost_of_cpu']:.0f} % of CPU;"
        f" besides, off the path, {results['token_cpu_ms']:.1f} ms of CPU for each event token",
        flush=True,
    )
    return results
