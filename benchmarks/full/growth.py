"""What an accept, a claim with its record, and a look at the status cost with 10,000 and with a million stored submissions.

CPU of this process and of the server together; the same work at each size, on one database that grows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from benchmarks.full.backlog import AREA, EXAMPLE, SERVICE, Hall, sender_of
from benchmarks.full.sink import Sink
from hub import app
from hub.config import load_settings
from hub.delivery.attempt import AdapterPool, Rules
from hub.delivery.dispatcher import Dispatcher
from hub.identity import Caller
from hub.model import ClientKind
from hub.model.clock import utc_now
from hub.model.delivery import Schedule
from hub.model.submission import Application, Cover, MediaType
from hub.notifications.callbacks import CallbackWriter

_RECEIVERS = 50
#: Copies that are made in one statement.
_AT_ONCE = 2_000


def run(hall: Hall, *, sizes: Sequence[int], number: int, rounds: int) -> dict[str, Any]:
    """Do ``number`` of each at every size, ``rounds`` times; return CPU milliseconds of one (the median round)."""
    there = hall.receivers([{}] * _RECEIVERS, "sink")
    found: dict[int, dict[str, float]] = {}
    stored = 0
    for size in sizes:
        begun = time.monotonic()
        while stored < size:
            more = min(size - stored, _AT_ONCE * _RECEIVERS)
            hall.keep(there, more // _RECEIVERS)
            stored += more // _RECEIVERS * _RECEIVERS
        filled = time.monotonic() - begun
        found[size] = _measured(hall, there, number=number, rounds=rounds)
        told = ", ".join(f"{name} {milliseconds:.2f} ms" for name, milliseconds in found[size].items())
        print(f"growth, {stored:,} stored (filled in {filled:.0f} s): {told}", flush=True)
    first, last = found[sizes[0]], found[sizes[-1]]
    ratios = {name: last[name] / first[name] for name in first}
    print(
        "  " + ", ".join(f"{name} {ratio:.2f} of before" for name, ratio in ratios.items()) + "    (aim: 0.85 to 1.15)"
    )
    return {"sizes": {str(size): one for size, one in found.items()}, "ratios": ratios}


def _measured(hall: Hall, there: Sequence[UUID], *, number: int, rounds: int) -> dict[str, float]:
    settings = load_settings(hall.data, {}, database_url=hall.url, disk_watermark_bytes=0)
    hub = app.build(settings)
    sender = sender_of(hall.data)["client_id"]
    expires_at = utc_now() + timedelta(hours=1)
    caller = Caller(client_id=sender, kind=ClientKind.SENDER, scopes=(), expires_at=expires_at)
    ids = [UUID(row[0]) for row in hall.rows("SELECT message_id FROM messages ORDER BY random() LIMIT :n", n=number)]
    dispatcher = _dispatcher(hub, settings)
    seen: dict[str, list[float]] = {"accept": [], "claim and record": [], "status": []}
    for _ in range(rounds + 1):  # The first round warms up.
        seen["accept"].append(_each(hall, number, lambda _: _accept(hub, sender)))
        hall.put_aside()
        hall.fill(there, max(1, number // len(there)))
        queued = hall.left()
        seen["claim and record"].append(_each(hall, 1, lambda _: _drained(dispatcher)) / queued)
        seen["status"].append(_each(hall, number, lambda n: hub.desk.progress(ids[n % len(ids)], caller=caller)))
    hub.close()
    return {name: sorted(values[1:])[rounds // 2] for name, values in seen.items()}


def _each(hall: Hall, number: int, do: Callable[[int], object]) -> float:
    """Do it so often; return CPU milliseconds of one."""
    begun = time.process_time() + hall.server.cpu_seconds()
    for each in range(number):
        do(each)
    return 1000 * (time.process_time() + hall.server.cpu_seconds() - begun) / number


def _accept(hub: app.Context, sender: str) -> None:
    cover = Cover(sender=sender, service=SERVICE, area=AREA)
    application = Application(cover=cover, media_type=MediaType.XML, data=EXAMPLE)
    hub.intake.accept(application, now=utc_now()).result(30)


def _drained(dispatcher: Dispatcher) -> None:
    while dispatcher.run_once():
        pass


def _dispatcher(hub: app.Context, settings: Any) -> Dispatcher:
    return Dispatcher(
        store=hub.store,
        blobs=hub.blobs,
        adapters=AdapterPool({"sink": Sink}),
        notary=hub.notary,
        evidences=hub.evidences,
        callback_writer=CallbackWriter(store=hub.store),
        rules=Rules(
            node=f"growth/{os.getpid()}",
            lease=settings.lease,
            schedule=Schedule(),
            threads=settings.delivery_threads,
            base_url=settings.canonical_url,
        ),
        clock=utc_now,
    )
