"""Applications on a hub whose rows lie in PostgreSQL and whose contents lie in a bucket, both across a wire that may break.

Whatever breaks, and wherever a request is cancelled: nothing acknowledged lacks contents, nothing is left for ever, and a
failed deletion hides no other reason.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from bucket import Bucket
from bucket_faults import Fault, FaultyBucket, faulty_bucket
from cancelling import WAYS, cancelled
from sealed_door import Door
from sqlalchemy import create_engine
from stage import ANMELDUNG, Stage, VirtualClock
from stand_in import Answer
from store_servers import empty
from test_cancellation import (
    APPLICATIONS,
    BOUNDARY,
    Ask,
    attached,
    is_whole,
    large,
    multipart,
    nothing_is_left_over,
    request,
    unreferenced,
)

from hub import app
from hub.config import load_settings
from hub.jobs.scheduler import sweep_orphans
from hub.store import tables

#: How many awaits of the way are tried, of those that there are: the first, the last, and evenly between them.
_SAMPLE = 12


@pytest.fixture(scope="module")
def wire(s3_server: tuple[str, Any]) -> Iterator[FaultyBucket]:
    with faulty_bucket(s3_server[0]) as made:
        yield made


@pytest.fixture(scope="module")
def door(
    made_once: Path, tmp_path_factory: pytest.TempPathFactory, postgresql_url: str, wire: FaultyBucket
) -> Iterator[Door]:
    from hub.store.blobs import s3

    folder = tmp_path_factory.mktemp("far")
    data = folder / "data"
    shutil.copytree(made_once, data)
    empty(postgresql_url)
    copy(f"sqlite:///{data / 'hub.sqlite'}", postgresql_url)
    place = Bucket(endpoint=wire.endpoint, url="s3://hub-blobs/far", client=None).settings(folder)
    settings = load_settings(
        data, {}, allow_private_addresses=True, disk_watermark_bytes=0, database_url=postgresql_url, **place
    )
    clock = VirtualClock()
    with pytest.MonkeyPatch.context() as shorter:
        # A bucket that says nothing is waited for by the minute otherwise.
        shorter.setattr(s3, "_PATIENCE", timedelta(seconds=2))
        shorter.setattr(s3, "_RETRIES", 1)
        hub = app.build(settings, clock=clock)
    yield Door(Stage(hub=hub, clock=clock, cast=json.loads((data / "demo.json").read_text()), data=data))
    hub.close()


def copy(source: str, target: str) -> None:
    """Copy all rows; numbers that a database gives are given anew, in the same order."""
    engines = create_engine(source), create_engine(target)
    with engines[0].connect() as rows, engines[1].begin() as taken:
        for table in tables.metadata.sorted_tables:
            kept = [column for column in table.columns if column.autoincrement is not True]
            found = rows.execute(table.select().order_by(*table.primary_key)).mappings().all()
            if found:
                taken.execute(table.insert(), [{each.name: row[each.name] for each in kept} for row in found])
    for engine in engines:
        engine.dispose()


def sending(door: Door, key: str, body: tuple[str, list[bytes]]) -> Ask:
    headers = (("Content-Type", body[0]), ("Idempotency-Key", key))
    return request(door.sender, "POST", APPLICATIONS, *headers, body=body[1])


def is_acknowledged_whole(door: Door, key: str, answer: Answer) -> None:
    """Insist that answer, row, receipt and key agree, and that all contents are there."""
    assert answer.status == 202, answer.body
    known = door.hub.store.submissions.remembered(door.stage.sender, key)
    assert UUID(answer.json["submissionId"]) == known.submission_id
    assert answer.json["receipt"] == known.receipt == door.hub.store.submissions.message(known.submission_id).receipt
    assert is_whole(door, known.submission_id)


def swept(door: Door) -> set[str]:
    """Sweep as the duty does once the grace is over, and return what is left without a row."""
    door.hub.blobs.settle(timedelta(seconds=20))
    sweep_orphans(door.hub.store, door.hub.blobs, grace=timedelta(0))(door.clock().replace(year=2999))
    door.hub.blobs.settle(timedelta(seconds=20))
    return unreferenced(door)


class Steps:
    """Counts the awaits of a way that nobody cancels."""

    def __init__(self, ask: Ask) -> None:
        self.ask, self.taken = ask, 0

    def __await__(self) -> Any:
        work, value = self.ask(), None
        while True:
            try:
                waits_for = work.send(value)
            except StopIteration as end:
                return end.value
            self.taken += 1
            value = yield waits_for


def sample(number: int) -> list[int]:
    """Return at which of so many awaits a request is cancelled: always the same ones, both ends included."""
    return sorted({1 + round(each * (number - 1) / (_SAMPLE - 1)) for each in range(_SAMPLE)})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("body", [large, attached])
def test_an_application_that_is_cancelled_is_there_whole_or_not_at_all(door: Door, body):
    async def counted() -> int:
        steps = Steps(sending(door, f"counted-{body.__name__}", body()))
        assert (await steps).status == 202
        return steps.taken

    points = sample(asyncio.run(counted()))
    assert len(points) > 2
    for way, at in zip((way for _ in count() for way in WAYS), points, strict=False):
        key = f"far-{body.__name__}-{at}"
        ask = sending(door, key, body())
        cancelled(ask(), at, way)
        known = door.hub.store.submissions.remembered(door.stage.sender, key)
        if known is not None:
            assert is_whole(door, known.submission_id)
        is_acknowledged_whole(door, key, asyncio.run(ask()))
        assert known is None or known == door.hub.store.submissions.remembered(door.stage.sender, key)
    assert nothing_is_left_over(door)


# --- faults of the bucket ---------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", Fault)
def test_what_cannot_be_put_is_not_acknowledged_and_nothing_of_it_stays(door: Door, wire: FaultyBucket, fault: Fault):
    key = f"put-{fault.name.lower()}"
    ask = sending(door, key, attached())
    with wire.broken("PUT", fault):
        answer = asyncio.run(ask())
    assert (answer.status, answer.slug) == (503, "store-unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert door.hub.store.submissions.remembered(door.stage.sender, key) is None
    assert swept(door) == set()
    is_acknowledged_whole(door, key, asyncio.run(ask()))
    # The sweep took nothing that a row refers to.
    assert swept(door) == set()
    assert is_whole(door, door.hub.store.submissions.remembered(door.stage.sender, key).submission_id)


@pytest.mark.timeout(120)
def test_an_upload_whose_completion_got_no_answer_is_not_acknowledged_and_nothing_of_it_stays(
    door: Door, wire: FaultyBucket
):
    """The object is there whole; nobody has told the hub."""
    parts = {"data": ("application/json", ANMELDUNG), "plan": ("application/octet-stream", bytes(9_000_000))}
    ask = sending(door, "completed", (f"multipart/form-data; boundary={BOUNDARY}", multipart(**parts)))
    with wire.broken("complete", Fault.ANSWER_LOST):
        answer = asyncio.run(ask())
    assert (answer.status, answer.slug) == (503, "store-unavailable")
    assert door.hub.store.submissions.remembered(door.stage.sender, "completed") is None
    assert swept(door) == set()
    is_acknowledged_whole(door, "completed", asyncio.run(ask()))


@pytest.mark.timeout(120)
@pytest.mark.parametrize("fault", Fault)
def test_a_deletion_that_fails_hides_neither_a_refusal_nor_an_answer(door: Door, wire: FaultyBucket, fault: Fault):
    key = f"deleted-{fault.name.lower()}"
    ask = sending(door, key, attached())
    first = asyncio.run(ask())
    kind, pieces = attached()
    pieces = [b"{}" if piece == ANMELDUNG else piece for piece in pieces]
    with wire.broken("delete", fault):
        refused = asyncio.run(sending(door, f"{key}-refused", (kind, pieces))())
        again = asyncio.run(ask())
        door.hub.blobs.settle(timedelta(seconds=20))
    if fault is Fault.REFUSED:
        assert len(unreferenced(door)) > 1  # What two requests let go of.
    assert (refused.status, refused.slug) == (422, "invalid-payload")
    assert (again.status, again.json) == (first.status, first.json)
    is_acknowledged_whole(door, key, again)
    assert swept(door) == set()
