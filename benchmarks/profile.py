"""Where an accepted application's CPU time goes: each stage alone, in one process and one thread; the rest is HTTP and edge."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks import accept, load, payload
from benchmarks.served import ARS, SERVICE, WIESBADEN, prepare_data, sealing_key, serving
from hub import app
from hub.config import load_settings
from hub.crypto import encrypt
from hub.intake.intake import Accepted
from hub.intake.status import first_events
from hub.model import EVERYTHING, Application, Cover, MediaType, Submission, new_id
from hub.store import Remembered, StoredMessage

_COUNT = 200
_ROUNDS = 5
_TOGETHER = 16


def run(*, seconds: float = 4.0) -> dict[str, float]:
    """Measure and print the stages, the costliest first; return them in milliseconds."""
    message = payload.message()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        jwk = prepare_data(data, message)
        stages = _stages(data, message, sealing_key(jwk))
        with serving(data) as served:
            post = accept.request(served, message)
            load.post(served.port, post, connections=_TOGETHER, seconds=1.0)
            before = served.cpu_seconds()
            done = load.post(served.port, post, connections=_TOGETHER, seconds=seconds)
            whole = (served.cpu_seconds() - before) * 1000 / max(1, sum(done.statuses.values()))
    stages["HTTP, edge, and threads in each other's way"] = whole - sum(stages.values())
    print(f"profile: CPU of one accepted application, {whole:.2f} ms over HTTP with everything on")
    for name, spent in sorted(stages.items(), key=lambda stage: -stage[1]):
        print(f"  {spent:6.2f} ms  {100 * spent / whole:3.0f} %  {name}")
    print()
    return {"profile_whole_ms": whole} | {f"profile: {name}": spent for name, spent in stages.items()}


def _stages(data: Path, message: payload.Message, key: object) -> dict[str, float]:
    hub = app.build(load_settings(data, {"HUB_DISK_WATERMARK_BYTES": "0"}))
    try:
        accepted = _accepted(hub, message)
        metadata = b"{" + b" " * accept.METADATA + b"}"
        today = datetime.now(UTC).date()
        validate = _spent(
            lambda: hub.catalog.check(
                media_type=MediaType.XML, data=message.data, schema=None, service=SERVICE, on=today
            )
        )
        seal = _spent(
            lambda: (
                encrypt(key, message.data, "application/xml"),  # type: ignore[arg-type]
                encrypt(key, metadata, "application/json"),  # type: ignore[arg-type]
            )
        )
        sender = accepted.sender
        whole = _spent(lambda: _burst(lambda: _accept(hub, message, sender)), per=_TOGETHER)
        store = _spent(lambda: _burst(lambda: _store(hub, accepted)), per=_TOGETHER)
        deliver = _deliver(hub)
    finally:
        hub.close()
    return {
        "validation": validate,
        "sealing (two JWEs, RSA-4096 each)": seal,
        "store: case, message, contents, events, delivery in one commit of many": store,
        "delivery to the mailbox": deliver,
        "rest of intake: idempotency, routing, metadata, events, receipt": max(0.0, whole - validate - seal - store),
    }


def _accept(hub: app.Context, message: payload.Message, sender: str) -> Future[Accepted]:
    cover = Cover(sender=sender, service=SERVICE, area=ARS, schema=None, idempotency_key=str(uuid4()), callback=None)
    now = datetime.now(UTC)
    with hub.intake.open(cover, now=now) as reception:
        return reception.accept(Application(cover=cover, media_type=MediaType.XML, data=message.data), now=now)


def _accepted(hub: app.Context, message: payload.Message) -> StoredMessage:
    _accept(hub, message, hub.store.parties.clients(scope=EVERYTHING).items[0].client_id).result()
    found = hub.store.submissions.messages(destination_ids=[WIESBADEN], limit=1).items[0]
    stored = hub.store.submissions.message(found.id)
    assert stored is not None
    return stored


def _store(hub: app.Context, like: StoredMessage) -> Future[Remembered | None]:
    now = datetime.now(UTC)
    assert like.contents is not None
    submission = Submission(
        submission_id=new_id(now),
        case_id=new_id(now),
        destination_id=like.destination_id,
        sender=like.sender,
        door=like.door,
        service=like.service,
        area=like.area,
        contents=replace(like.contents),
        submitted_at=now,
        schema=like.schema,
        table_version=like.table_version,
    )
    return hub.store.submissions.submit(
        submission,
        events=first_events(submission, issuer="http://127.0.0.1"),
        receipt=like.receipt or "",
        idempotency=(str(uuid4()), "0" * 64),
        first_attempt_at=now,
    )


def _deliver(hub: app.Context) -> float:
    started, count = time.process_time(), 0
    while done := hub.dispatcher.run_once():
        count += done
    return (time.process_time() - started) * 1000 / max(1, count)


def _burst(begin: Callable[[], Future[Any]]) -> None:
    for future in [begin() for _ in range(_TOGETHER)]:
        future.result()


def _spent(work: Callable[[], object], *, per: int = 1) -> float:
    """Return the CPU milliseconds of one ``work`` (of ``per`` items): the best of several rounds."""
    best, count = float("inf"), max(1, _COUNT // per)
    for _ in range(_ROUNDS):
        started = time.process_time()
        for _ in range(count):
            work()
        best = min(best, (time.process_time() - started) * 1000 / count / per)
    return best
