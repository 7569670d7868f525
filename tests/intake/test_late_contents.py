"""A bucket that is slow or away holds up nobody but itself: not a repeat, not other senders' commits, not the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from datetime import timedelta

import pytest
from sealed_door import Door, shared_door  # noqa: F401  # shared_door is a fixture
from stage import ANMELDEN, ANMELDUNG, WIESBADEN, altered
from store_values import Instead
from test_janitor import Faulty

from hub.errors import InvalidPayload, StoreUnavailable, Text
from hub.fit_connect.messages import STRICT, SendingTools
from hub.fit_connect.submissions import Submitting, Uploading
from hub.intake import Intake
from hub.model import INLINE_LIMIT, Application, MediaType, Subject
from hub.store import LocalBlobs

LARGE = ANMELDUNG + b" " * 400_000
LONG = timedelta(seconds=60)
_AWAY = StoreUnavailable(Text("weg", "away"))


@pytest.fixture
def faulty(door: Door):
    blobs = Faulty(door.stage.data / "blobs")
    yield blobs
    blobs.go_on.set()
    assert blobs.janitor.settle(LONG)


def submitting(door: Door, blobs: LocalBlobs) -> Submitting:
    return Submitting(SendingTools(altered(door.hub, blobs=blobs)))


def submit(door: Door, to: Submitting, announced: str, metadata: str, data: str) -> Future:
    from uuid import UUID

    return to.submit(
        Subject.SUBMISSION,
        UUID(announced),
        metadata=metadata,
        data=data,
        caller=door.sending_caller,
        profile=STRICT,
        now=door.clock(),
    )


@pytest.mark.parametrize("fault", ["away", "slow"])
def test_the_same_submit_again_is_answered_while_the_bucket_is_out_of_order(door: Door, faulty, fault):
    to, announced = submitting(door, faulty), door.announce()["submissionId"]
    metadata, data = door.seal(b"{}"), door.seal(bytes(INLINE_LIMIT))
    submit(door, to, announced, metadata, data).result(60)
    faulty.go_on.clear()
    if fault == "away":
        faulty.fails = Everything()
        faulty.go_on.set()
    assert str(submit(door, to, announced, metadata, data).result(60).id) == announced
    # The one writer is free: another sender's commit does not wait for the bucket.
    assert door.send().submission_id
    faulty.go_on.set()
    assert faulty.janitor.settle(LONG)
    assert set(faulty.by) == {"janitor"}


class Everything(set):
    def __contains__(self, _) -> bool:
        return True


def test_a_replaced_attachment_is_deleted_by_the_janitor_and_the_upload_does_not_wait(door: Door, faulty):
    from uuid import UUID, uuid4

    attachment_id = str(uuid4())
    announced = door.announce(attachment_id)["submissionId"]
    uploading = Uploading(SendingTools(altered(door.hub, blobs=faulty)))
    jwe = door.seal(bytes(INLINE_LIMIT), "application/pdf").encode()
    faulty.go_on.clear()
    for _ in range(2):
        upload = uploading.begin(
            Subject.SUBMISSION,
            UUID(announced),
            UUID(attachment_id),
            declared=None,
            caller=door.sending_caller,
            profile=STRICT,
        )
        upload.write(jwe)
        upload.finish()
        upload.abort()  # What is stored stays stored.
    faulty.go_on.set()
    assert faulty.janitor.settle(LONG)
    assert set(faulty.by) == {"janitor"}
    (sealed,) = door.hub.store.submissions.message(UUID(announced)).uploaded.values()
    assert b"".join(faulty.chunks(sealed)) == jwe


def intake(door: Door, blobs: LocalBlobs) -> Intake:
    return Intake(altered(door.hub, blobs=blobs))


def application(door: Door, data: bytes, key: str | None = None) -> Application:
    cover = door.stage.cover(service=ANMELDEN, area=WIESBADEN, idempotency_key=key)
    return Application(cover=cover, media_type=MediaType.JSON, data=data)


@pytest.mark.parametrize("fault", ["away", "slow"])
def test_a_refused_application_tells_its_own_reason_whatever_the_bucket_does(door: Door, faulty, fault):
    wrong = application(door, ANMELDUNG.replace(b"einzug", b"eingang"))
    faulty.go_on.clear()
    if fault == "away":
        faulty.fails = Everything()
        faulty.go_on.set()
    with intake(door, faulty).open(wrong.cover, now=door.clock()) as opened:
        for number in range(3):
            sealer = opened.attach(name=f"a{number}", filename="a.pdf", media_type="application/pdf")
            sealer.write(bytes(INLINE_LIMIT))
            sealer.finish()
        with pytest.raises(InvalidPayload):
            opened.accept(wrong, now=door.clock())
    assert threading.current_thread().name not in faulty.by


def test_a_slower_twin_gives_up_its_data_too(door: Door, faulty):
    before = set(faulty.names(door.clock().replace(year=2999)))
    twins = application(door, LARGE, "twins")
    first = intake(door, faulty).accept(twins, now=door.clock()).result(60)
    second = intake(door, faulty).accept(twins, now=door.clock()).result(60)
    assert second.again
    assert second.receipt == first.receipt
    assert len(set(faulty.names(door.clock().replace(year=2999))) - before) == 1


def test_a_writer_that_turns_an_application_away_keeps_nothing(door: Door, faulty):
    from hub.store import Store
    from hub.store.engine import writing_engine
    from hub.store.submissions import Submissions
    from hub.store.writer import Writer

    before = set(faulty.names(door.clock().replace(year=2999)))
    url = str(door.hub.settings.database)
    store = Store(url, blobs=faulty)
    engine = writing_engine(url)
    full = Writer(engine, waiting=0)
    store.submissions = Submissions(Instead(store.database, begin=full.run))
    narrow = Intake(altered(door.hub, blobs=faulty, store=store))
    with pytest.raises(Exception, match=r".") as caught:
        narrow.accept(application(door, LARGE), now=door.clock()).result(60)
    assert caught.value.slug == "overloaded"
    assert set(faulty.names(door.clock().replace(year=2999))) == before
    full.close()
    engine.dispose()
    store.close()


class Unwritable(LocalBlobs):
    """Blobs that fail at the n-th call of the disk while they are written."""

    def __init__(self, folder, fails_at: int) -> None:
        super().__init__(folder)
        self.left = fails_at

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise _AWAY

    def writer(self):
        self.count()
        return _Failing(super().writer(), self)


class _Failing:
    def __init__(self, writer, blobs) -> None:
        self.writer, self.blobs, self.abort = writer, blobs, writer.abort

    def write(self, chunk):
        self.blobs.count()
        self.writer.write(chunk)

    def commit(self):
        self.blobs.count()
        return self.writer.commit()


def test_a_disk_that_fails_at_any_step_of_an_application_leaves_nothing(door: Door):
    before = set(door.hub.blobs.names(door.clock().replace(year=2999)))
    failed = 0
    for step in range(1, 40):
        blobs = Unwritable(door.stage.data / "blobs", step)
        one = application(door, LARGE, f"step-{step}")
        try:
            with intake(door, blobs).open(one.cover, now=door.clock()) as opened:
                for number in range(2):
                    sealer = opened.attach(name=f"a{number}", filename="a.pdf", media_type="application/pdf")
                    sealer.write(bytes(INLINE_LIMIT))
                    sealer.finish()
                opened.accept(one, now=door.clock()).result(60)
        except StoreUnavailable:
            failed += 1
            assert set(blobs.names(door.clock().replace(year=2999))) == before
            assert not list((door.stage.data / "blobs" / "unfinished").iterdir())
            assert door.hub.store.submissions.remembered(door.stage.sender, f"step-{step}") is None
            continue
        break
    assert failed >= 9


def test_a_cancelled_application_whose_acceptance_goes_on_keeps_its_attachments(door: Door):
    """The tail of the multipart handler, cancelled while a slow check runs in its thread."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        def check(self, **arguments):
            begun.set()
            go_on.wait(60)
            return door.hub.catalog.check(**arguments)

        def entry(self, uri):
            return door.hub.catalog.entry(uri)

    slow = Intake(altered(door.hub, catalogs=Slow))
    one = application(door, ANMELDUNG, "goes-on")
    from hub.api import until_stored

    async def create():
        with slow.open(one.cover, now=door.clock()) as opened:
            sealer = opened.attach(name="plan", filename="plan.bin", media_type="application/octet-stream")
            sealer.write(bytes(INLINE_LIMIT))
            sealer.finish()
            await until_stored(lambda: opened.accept(one, now=door.clock()))

    async def cancelled():
        task = asyncio.create_task(create())
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()

    asyncio.run(cancelled())
    end = time.monotonic() + 60
    while (
        known := door.hub.store.submissions.remembered(door.stage.sender, "goes-on")
    ) is None and time.monotonic() < end:
        time.sleep(0.02)
    (sealed,) = door.hub.store.submissions.message(known.submission_id).contents.attachments.values()
    assert sum(len(chunk) for chunk in door.hub.blobs.chunks(sealed)) == sealed.size


def test_the_budget_is_held_until_the_acceptance_that_goes_on_is_over(door: Door):
    before = door.hub.admission.used
    one = application(door, ANMELDUNG)
    with door.hub.intake.open(one.cover, now=door.clock()) as opened:
        opened.take(1000)
        accepted = opened.accept(one, now=door.clock())
    accepted.result(60)
    assert door.hub.admission.used == before
    with door.hub.intake.open(one.cover, now=door.clock()) as left:
        left.take(1000)
    with pytest.raises(StoreUnavailable):
        left.accept(one, now=door.clock())
    assert door.hub.admission.used == before
