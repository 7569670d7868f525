"""Periodic duties: one node at a time, nothing lost with a dead winner, only orphans swept."""

from __future__ import annotations

import os
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from stage import ANMELDEN, ANMELDUNG, NOW, WIESBADEN
from store_values import Instead, accept, known_destination, sealed, submission

from hub.crypto import claims_of
from hub.errors import StoreUnavailable, Text
from hub.jobs.scheduler import Clock, Duty, sweep_orphans
from hub.model import Application, Contents, MediaType
from hub.observability.metrics import Meters
from hub.store import LocalBlobs

QUICK = timedelta(milliseconds=20)


def until(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.01)


@contextmanager
def ticking(clock):
    clock.start()
    try:
        yield
    finally:
        clock.stop()


def node(stage, name: str, duty: Duty) -> Clock:
    return Clock(store=stage.hub.store, node=name, duties=[duty], clock=stage.clock)


def counted() -> tuple[list, Duty]:
    ran: list = []
    return ran, Duty(name="count", every=timedelta(minutes=1), run=lambda now: ran.append(now) or 1)


def test_of_two_nodes_one_does_the_duty(stage):
    ran, duty = counted()
    assert node(stage, "a", duty).tick(duty) + node(stage, "b", duty).tick(duty) == 1
    assert len(ran) == 1


def test_after_a_dead_winner_another_node_does_it(stage):
    ran, duty = counted()
    node(stage, "a", duty).tick(duty)
    stage.clock.pass_(minutes=4)
    assert node(stage, "b", duty).tick(duty) == 1
    assert len(ran) == 2


def test_a_node_that_ends_in_order_leaves_its_duties_to_the_others_at_once(stage):
    ran, duty = counted()
    first, second = node(stage, "a", duty), node(stage, "b", duty)
    first.start()
    assert first.tick(duty) == 1
    assert second.tick(duty) == 0
    first.stop()
    assert second.tick(duty) == 1
    assert len(ran) == 2


def test_a_database_that_is_away_postpones_the_duty(stage):
    _, duty = counted()
    stage.hub.store.close()
    assert node(stage, "a", duty).tick(duty) == 0


def write_blob(stage) -> str:
    writer = stage.hub.blobs.writer()
    writer.write(b"sealed")
    return writer.commit()


def test_a_blob_without_a_row_is_swept_after_its_grace_and_not_before(stage):
    name = write_blob(stage)
    sweep = sweep_orphans(stage.hub.store, stage.hub.blobs, grace=timedelta(hours=24))
    (path,) = [found for found in (stage.data / "blobs").rglob("*") if found.name.startswith(name)]
    then = stage.clock().timestamp()
    os.utime(path, (then, then))
    assert sweep(stage.clock()) == 0
    stage.clock.pass_(hours=25)
    assert sweep(stage.clock()) == 1
    assert not path.exists()


def test_a_blob_with_a_row_is_never_swept(stage):
    cover = stage.cover(service=ANMELDEN, area=WIESBADEN)
    with stage.hub.intake.open(cover, now=stage.clock()) as reception:
        sealer = reception.attach(name="a", filename="a.pdf", media_type="application/pdf")
        sealer.write(bytes(200_000))
        sealer.finish()
        application = Application(cover=cover, media_type=MediaType.JSON, data=ANMELDUNG)
        receipt = reception.accept(application, now=stage.clock()).result().receipt
    stage.clock.pass_(days=3650)
    assert sweep_orphans(stage.hub.store, stage.hub.blobs, grace=timedelta(hours=24))(stage.clock()) == 0
    message = stage.hub.store.submissions.message(UUID(claims_of(receipt)["sub"].removeprefix("submission:")))
    (sealed,) = message.contents.attachments.values()
    assert sum(len(chunk) for chunk in stage.hub.blobs.chunks(sealed)) == sealed.size


def test_no_duty_signs_a_token_and_what_a_reader_got_stays_as_it_is(stage):
    stage.accept()
    for _ in range(3):
        for duty in stage.hub.duties.duties:
            stage.hub.duties.tick(duty)
        stage.clock.pass_(minutes=1)
    (case,) = stage.hub.store.submissions.cases().items
    assert [event.jws for event in stage.hub.store.event_log.events(case.case_id).items] == [None, None]
    first = stage.hub.notary.tokens(case.case_id).items
    stage.clock.pass_(hours=1)
    assert stage.hub.notary.tokens(case.case_id).items == first


def test_a_duty_that_fails_is_counted_and_keeps_no_other_from_its_turn(stage):
    def fail(_now):
        raise ValueError

    ran, sound = counted()
    meters = Meters()
    duties = [Duty(name="broken", every=timedelta(milliseconds=20), run=fail), replace(sound, every=QUICK)]
    clock = Clock(store=stage.hub.store, node="a", duties=duties, clock=stage.clock, meters=meters)
    with ticking(clock):
        until(lambda: len(ran) >= 2)
        until(lambda: re.search(r'hub_duty_failures_total{duty="broken"} [1-9]', meters.text().decode()))


def test_each_duty_of_a_hub_may_fail_and_does_its_work_the_next_time(stage):
    """Read from the hub's own list: a duty that is new is here, too."""
    duties, meters, ran = stage.hub.duties.duties, Meters(), []
    for duty in duties:
        failures = [ValueError(duty.name)]

        def run(now, duty=duty, failures=failures):
            if failures:
                raise failures.pop()
            done = duty.run(now)
            ran.append(duty.name)
            return done

        broken = replace(duty, run=run, pending=None)
        clock = Clock(store=stage.hub.store, node="a", duties=[broken], clock=stage.clock, meters=meters)
        assert clock.tick(broken) == 0
        assert f'hub_duty_failures_total{{duty="{duty.name}"}} 1.0' in meters.text().decode()
        assert duty.name not in ran
        clock.tick(broken)
        assert f'hub_duty_failures_total{{duty="{duty.name}"}} 1.0' in meters.text().decode()
    assert ran == [duty.name for duty in duties]
    assert len(ran) >= 10


def test_duties_go_on_while_the_clock_is_set_back(stage):
    ran, duty = counted()
    clock = Clock(store=stage.hub.store, node="a", duties=[replace(duty, every=QUICK)], clock=stage.clock)
    with ticking(clock):
        until(lambda: ran)
        stage.clock.pass_(hours=-5)
        until(lambda: ran[-1] == stage.clock())


def test_nothing_is_deleted_for_a_while_after_the_clock_leapt_forward(stage, caplog):
    """A clock that is set to next year makes everything look old, and what was deleted is gone when it is set right."""
    ran, sound = counted()
    deleted, ahead, meters = [], [0.0], Meters()
    deleting = Duty(name="delete", every=QUICK, run=lambda now: deleted.append(now) or 1, deletes=True)
    clock = Clock(
        store=stage.hub.store,
        node="a",
        duties=[replace(sound, every=QUICK), deleting],
        clock=stage.clock,
        meters=meters,
        monotonic=lambda: time.monotonic() + ahead[0],
    )
    before = stage.clock()
    with ticking(clock):
        until(lambda: ran and deleted)
        stage.clock.pass_(days=400)
        until(lambda: ran[-1] > before and 'hub_duty_failures_total{duty="delete"}' in meters.text().decode())
        assert {*deleted} == {before}
        assert "leapt forward by 399 days" in caplog.text
        ahead[0] += 3_700
        until(lambda: deleted[-1] > before)


def test_a_duty_that_takes_long_runs_once_at_a_time_and_delays_no_other(stage):
    go, runs = threading.Event(), []

    def linger(_now):
        runs.append(None)
        go.wait(20)
        return 1

    ran, sound = counted()
    duties = [Duty(name="long", every=QUICK, run=linger), replace(sound, every=QUICK)]
    clock = Clock(store=stage.hub.store, node="a", duties=duties, clock=stage.clock)
    with ticking(clock):
        until(lambda: runs and len(ran) >= 5)
        assert len(runs) == 1
        go.set()


class Listed:
    """Blobs that exist by name alone, more than anybody would hold in memory, listed one by one."""

    def __init__(self, number: int, *, slow: bool = False) -> None:
        self.number, self.slow, self.listed, self.discarded = number, slow, 0, []

    def names(self, older_than):
        for index in range(self.number):
            self.listed += 1
            yield f"{index:032x}"

    def discard(self, *orphans) -> None:
        self.discarded += orphans

    def settle(self, patience) -> bool:
        return not self.slow


def test_the_database_is_asked_once_for_a_thousand_blobs(store):
    asked, blobs = [], Listed(2500)

    def unreferenced(names):
        asked.append(len(names))
        return store.retention.unreferenced(names)

    counting = Instead(store, retention=Instead(store.retention, unreferenced=unreferenced))
    assert sweep_orphans(counting, blobs, grace=timedelta(hours=24))(NOW) == 2500
    assert asked == [1000, 1000, 500]
    assert len(set(blobs.discarded)) == 2500


def test_a_bucket_that_deletes_slowly_is_not_given_more_than_it_can_do(store):
    blobs = Listed(5000, slow=True)
    assert sweep_orphans(store, blobs, grace=timedelta(hours=24))(NOW) == 1000
    assert blobs.listed == 1000


def test_among_thousands_of_orphans_what_a_row_names_is_left(store):
    destination = known_destination(store)
    names = [f"{index:032x}" for index in range(3000)]
    kept = set(names[7::500])
    for name in kept:
        one = submission(destination.destination_id)
        contents = Contents(metadata=sealed(), data=sealed("big", blob=name))
        accept(store, replace(one, contents=contents)).result(60)
    blobs = Listed(3000)
    assert sweep_orphans(store, blobs, grace=timedelta(hours=24))(NOW) == 3000 - len(kept)
    assert kept.isdisjoint(blobs.discarded)
    assert store.retention.unreferenced([]) == set()


def test_the_question_is_answered_by_the_index(store):
    """Growth: a question that reads the table would cost more with every submission kept."""
    names = [f"{index:032x}" for index in range(1000)]
    plan = explained(store, names)
    assert "ix_contents_blob" in plan, plan


def explained(store, names) -> str:
    from hub.store.retention import _BLOB
    from hub.store.statements import several

    def read(connection) -> str:
        style = connection.dialect.paramstyle
        cursor = connection.connection.cursor()
        before = "EXPLAIN QUERY PLAN " if style == "qmark" else "EXPLAIN "
        if style != "qmark":
            cursor.execute("SET enable_seqscan = off")  # An empty table is read whole otherwise.
        cursor.execute(before + _BLOB._among[style], [several(names, style)])
        return str(cursor.fetchall())

    return store.database.read(read)


def test_one_blob_that_cannot_be_deleted_keeps_none_of_the_others(stage):
    class Stuck(LocalBlobs):
        def delete(self, name):
            if name == stuck:
                raise StoreUnavailable(Text("weg", "away"))
            super().delete(name)

    blobs = Stuck(stage.data / "blobs")
    names = [write_blob(stage) for _ in range(3)]
    stuck = min(names)
    sweep = sweep_orphans(stage.hub.store, blobs, grace=timedelta(hours=24))
    assert sweep(datetime.now(UTC) + timedelta(days=2)) == 3
    assert list(blobs.names(datetime(2999, 1, 1, tzinfo=UTC))) == [stuck]


def test_a_blob_that_is_being_written_is_left_alone(stage):
    writer = stage.hub.blobs.writer()
    writer.write(b"half")
    sweep = sweep_orphans(stage.hub.store, stage.hub.blobs, grace=timedelta(hours=24))
    young = write_blob(stage)
    assert sweep(datetime.now(UTC) + timedelta(hours=23)) == 0
    name = writer.commit()
    assert sweep(datetime.now(UTC) + timedelta(hours=23)) == 0
    assert set(stage.hub.blobs.names(datetime(2999, 1, 1, tzinfo=UTC))) == {name, young}
