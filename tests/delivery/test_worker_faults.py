"""Faults at the workers themselves: whatever one of them dies of, readiness says so, and the work goes on."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import dispatching
import pytest
import requests
import spoiling
from dispatching import PATIENCE, Taking, running, until
from stage import WIESBADEN, altered
from store_values import Instead

from hub import app
from hub.delivery.attempt import AdapterPool
from hub.jobs.scheduler import Clock
from hub.model import reasons
from hub.model.delivery import Schedule
from hub.model.submission import DeadCause, OutcomeKind
from hub.notifications.outbox import Carried, OutboxWorker
from hub.observability.metrics import Meters
from hub.store import DeliveryState
from hub.supervision import Pauses, Supervisor

ROOT = Path(__file__).parents[2]


class Fatal(BaseException):
    """What no ``except Exception`` holds, as some libraries raise."""


def failing(store, *, claim):
    """The store, whose queue answers claims with what ``claim`` lists, once each, before it does what is asked."""

    def claimed(*args, **named):
        if claim:
            raise claim.pop(0)
        return store.queue.claim(*args, **named)

    return Instead(store, queue=Instead(store.queue, claim=claimed))


@pytest.fixture
def taking(stage):
    """The stage with its building authority reached by the adapter above."""
    Taking.begin()
    stored = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
    stage.hub.store.parties.replace_destination(replace(stored, adapter="taking", adapter_config={}))
    return stage


def dispatcher(stage, *, store=None, **changes):
    """The shared one, of a whole hub: it signs, and its time passes."""
    hub = stage.hub
    parts = {
        "blobs": hub.blobs,
        "notary": hub.notary,
        "clock": stage.clock,
        "adapters": AdapterPool({"taking": Taking}),
    }
    return dispatching.dispatcher(store or hub.store, stage.data, **(parts | changes))


def delivery(stage, accepted):
    return stage.hub.store.deliveries.of(UUID(accepted.claims["sub"].removeprefix("submission:")))


def delivered(stage, accepted):
    return delivery(stage, accepted).state is DeliveryState.DELIVERED


@pytest.mark.parametrize("death", [ValueError("door"), Fatal()])
def test_a_dispatcher_that_dies_is_counted_and_delivers_again(taking, death):
    fallen = []
    watch = Supervisor(pauses=Pauses(first=0.05), fell=fallen.append)
    with running(dispatcher(taking, store=failing(taking.hub.store, claim=[death]), supervisor=watch)):
        accepted = taking.accept()
        until(lambda: delivered(taking, accepted))
    assert fallen == ["dispatcher"]


def test_a_worker_that_could_not_be_called_is_missed_by_nobody(taking, monkeypatch):
    """No thread is to be had for once: the loop begins again, and as many attempts as before run at once."""
    failures, submit = [RuntimeError("can't start new thread")] * 3, ThreadPoolExecutor.submit

    def failing_once(self, *args):
        if self._thread_name_prefix == "deliver" and failures:
            raise failures.pop()
        return submit(self, *args)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", failing_once)
    with running(working := dispatcher(taking, supervisor=Supervisor(pauses=Pauses(first=0.02)))):
        accepted = [taking.accept() for _ in range(3)]
        until(lambda: all(delivered(taking, each) for each in accepted))
        assert (failures, working._called) == ([], 0)


@pytest.mark.parametrize("death", [ZeroDivisionError("a name"), Fatal("a name")])
def test_whatever_an_adapter_dies_of_is_recorded_and_ends_by_the_schedule(taking, death):
    Taking.delivering = [death]
    with running(working := dispatcher(taking)):
        accepted = taking.accept()
        (attempt,) = until(lambda: delivery(taking, accepted).attempts)
        assert (attempt.outcome, attempt.note) == (OutcomeKind.UNKNOWN, f"adapter failed: {type(death).__name__}")
        taking.clock.pass_(seconds=5)
        working.wake()
        until(lambda: delivered(taking, accepted))
    assert [package.repeat for package in Taking.got] == [True]


#: What a newer version may write, or damage leaves, in the row of a case.
CASES = [("head", "no hash"), ("seq", "many"), ("tombstone", "newer")]


def spoil(stage, accepted, column, value):
    case_id = accepted.claims["txn"].removeprefix("case:")
    spoiling.spoil(stage.hub.settings.database, "cases", column, value, key="case_id", of=case_id)


@pytest.mark.parametrize(("column", "value"), CASES)
def test_what_cannot_be_recorded_is_sent_once_and_is_a_dead_letter(taking, column, value):
    accepted = taking.accept()
    spoil(taking, accepted, column, value)
    fallen = []
    with running(working := dispatcher(taking, supervisor=Supervisor(fell=fallen.append))):
        until(lambda: delivery(taking, accepted).state is DeliveryState.DEAD)
        good = taking.accept()
        until(lambda: delivered(taking, good))
        taking.clock.pass_(hours=1)
        working.wake()
    view = delivery(taking, accepted)
    assert view.cause is DeadCause.HUB
    (attempt,) = view.attempts
    assert (attempt.outcome, attempt.note[:21]) == (OutcomeKind.DELIVERED, "taken; not recorded: ")
    assert value not in attempt.note
    assert sorted(Taking.submissions()) == sorted(
        one.claims["sub"].removeprefix("submission:") for one in (accepted, good)
    )
    assert fallen == []


@pytest.mark.parametrize(("column", "value"), CASES)
def test_what_cannot_be_recorded_in_a_mailbox_stops_no_dispatcher(stage, column, value):
    bad, good = stage.accept(area=WIESBADEN), stage.accept(area=WIESBADEN)
    assert stage.hub.store.parties.destination(UUID(bad.claims["destination"]["destinationId"])).adapter == "mailbox"
    spoil(stage, bad, column, value)
    stage.hub.dispatcher.run_once()
    assert delivery(stage, bad).state is DeliveryState.DEAD
    assert delivery(stage, good).state is DeliveryState.WAITING


@pytest.mark.parametrize("death", [ZeroDivisionError(), Fatal()])
def test_whatever_an_adapter_dies_of_while_it_opens_is_recorded_and_no_repeat(taking, death):
    Taking.opening = [death]
    accepted = taking.accept()
    working = dispatcher(taking)
    assert working.run_once() == 1
    (attempt,) = delivery(taking, accepted).attempts
    assert (attempt.outcome, attempt.note) == (
        OutcomeKind.UNREACHABLE,
        f"adapter does not open: {type(death).__name__}",
    )
    taking.clock.pass_(seconds=5)
    assert working.run_once() == 1
    assert [package.repeat for package in Taking.got] == [False]


class Parcel:
    """Something in an outbox."""

    def __init__(self, attempt, created_at):
        self.attempt = attempt
        self.created_at = created_at


class Porter(OutboxWorker):
    """Carries one parcel at a time, and dies as told while it claims or carries."""

    carries = "parcel"
    pause = 0.01

    def __init__(self, clock, *, claiming=(), carrying=()):
        super().__init__(clock=clock, schedule=Schedule(jitter=0), slots=4)
        self.claiming, self.carrying = list(claiming), list(carrying)
        self.waiting = []
        self.recorded = []

    def claim(self, now, *, room):
        if self.claiming:
            raise self.claiming.pop(0)
        claims, self.waiting = self.waiting, []
        return claims

    def carry(self, claim):
        if self.carrying:
            raise self.carrying.pop(0)
        return Carried(taken=True, note="taken")

    def record(self, claim, carried, *, again, now):
        self.recorded.append((carried, again))


@pytest.mark.parametrize("death", [UnicodeError("label"), Fatal()])
def test_whatever_an_attempt_of_a_courier_dies_of_is_recorded_and_given_up_at_last(stage, death):
    porter = Porter(stage.clock, carrying=[death, death])
    porter.waiting = [Parcel(1, stage.clock())]
    assert porter.run_once() == 1
    porter.waiting = [Parcel(9, stage.clock() - timedelta(days=15))]
    assert porter.run_once() == 1
    assert [carried.note for carried, _ in porter.recorded] == [f"{reasons.FAILED.note} ({type(death).__name__})"] * 2
    assert [again for _, again in porter.recorded] == [stage.clock() + timedelta(seconds=5), None]


def test_a_courier_that_dies_carries_again(stage):
    fallen = []
    porter = Porter(stage.clock, claiming=[ValueError("kind"), Fatal()])
    porter.waiting = [Parcel(1, stage.clock())]
    loop = Supervisor(pauses=Pauses(first=0.01), fell=fallen.append).begin("parcels", porter.run)
    until(lambda: porter.recorded)
    loop.end()
    assert fallen == ["parcels", "parcels"]


class CountedPauses(threading.Event):
    """Set after some pauses, none of which is waited for."""

    def __init__(self, most, *, between=lambda number: None):
        super().__init__()
        self.most, self.between, self.seconds = most, between, []

    def wait(self, timeout=None):
        self.seconds.append(timeout)
        self.between(len(self.seconds))
        if len(self.seconds) == self.most:
            self.set()
        return self.is_set()


def test_an_outbox_that_stays_empty_is_looked_at_half_as_often(stage):
    porter = Porter(stage.clock)

    def parcel_comes(number):
        if number == 30:
            porter.waiting = [Parcel(1, stage.clock())]

    stop = CountedPauses(32, between=parcel_comes)
    porter.run(stop)
    assert len(porter.recorded) == 1
    assert (stop.seconds[0], stop.seconds[29]) == (0.01, 0.02)
    assert 0.01 in stop.seconds[30:]


def test_readiness_names_a_loop_while_it_is_dead(served):
    hub = served.stage.hub
    died, heal = threading.Event(), threading.Event()

    def run(stop):
        if not heal.is_set():
            died.set()
            raise ValueError
        stop.wait()

    assert served.get("/health/ready").status_code == 200
    loop = hub.supervisor.begin("dispatcher", run)
    assert died.wait(PATIENCE)
    readiness = until(lambda: (found := served.get("/health/ready")).status_code == 503 and found.json())
    assert readiness == {
        "status": "unavailable",
        "checks": {"database": True, "disk": True, "keys": True, "dispatcher": False},
    }
    assert 'hub_loop_deaths_total{loop="dispatcher"}' in hub.meters.text().decode()
    heal.set()
    until(lambda: served.get("/health/ready").status_code == 200)
    loop.end()


def test_every_loop_of_a_working_hub_is_watched(stage):
    with app.working(stage.hub):
        expected = {"dispatching", "leases", "results", "callbacks", "duties", "store-writer"}
        until(lambda: {thread.name for thread in threading.enumerate()} >= expected)
        assert stage.hub.supervisor.down() == ()


class Mortal(Supervisor):
    """Has each loop die as soon as it begins, once."""

    def __init__(self):
        self.fallen = []
        super().__init__(pauses=Pauses(first=0.01), fell=self.fallen.append)
        self.mortal = set()

    def begin(self, name, run, *, daemon=False):
        return super().begin(name, partial(self.dying, name, run), daemon=daemon)

    def attend(self, name, run, stop):
        super().attend(name, partial(self.dying, name, run), stop)

    def dying(self, name, run, stop):
        if name not in self.mortal:
            self.mortal.add(name)
            raise Fatal
        run(stop)


#: Loops of processes or objects besides, and the tests in which they die.
DIE_ELSEWHERE = {
    "store-writer": "tests/store/test_store_writer.py::test_a_writer_that_dies_is_counted_and_writes_again",
    "connector": "tests/connector/test_connector_walk.py::test_a_walk_that_dies_begins_anew",
    "wake-ups": "tests/end_to_end/test_processes.py::test_wake_ups_that_died_are_heard_again",
    "bucket-relay": "tests/transport/test_relay.py::test_a_relay_whose_loop_died_dials_again",
    "portal-expiry": "tests/portal/test_portal_loops.py::test_loops_of_the_portal_that_die_begin_anew",
    "portal-mails": "tests/portal/test_portal_loops.py::test_loops_of_the_portal_that_die_begin_anew",
    "local-interface": "tests/connector/test_connector_system.py::test_the_interface_answers_again_when_its_loop_died",
    # The same server, in the demonstration.
    "specialist-system": "tests/connector/test_connector_system.py::test_the_interface_answers_again_when_its_loop_died",
    "clerk-pages": "tests/connector/test_connector_clerk_page.py::test_a_page_whose_loop_dies_is_there_again",
    "pushes": "tests/connector/test_connector_listen.py::test_a_listener_whose_loop_dies_takes_pushes_again",
    "xta-mailbox": "tests/api/test_xta_mailbox.py::test_a_server_whose_loop_dies_listens_again",
    "reply-keys": "tests/portal/test_portal_reply_keys.py::test_a_pool_that_dies_begins_anew",
}


def test_every_long_lived_loop_dies_once_and_the_hub_works_on(taking):
    hub, watch = taking.hub, Mortal()
    parts = {"store": hub.store, "clock": taking.clock, "supervisor": watch}
    mortal = altered(
        hub,
        supervisor=watch,
        dispatcher=dispatcher(taking, supervisor=watch),
        duties=Clock(node="here", duties=hub.duties.duties, **parts),
        postman=Porter(taking.clock),
    )
    shown, port = app.show_worker(mortal, 0)
    with app.working(mortal):
        accepted = taking.accept()
        until(lambda: delivered(taking, accepted) and not watch.down())
        until(lambda: requests.get(f"http://127.0.0.1:{port}/health/live", timeout=5).ok)
        mortal.postman.waiting = [Parcel(1, taking.clock())]
        until(lambda: mortal.postman.recorded)
    shown.end()
    begun = re.compile(r"""\.(?:begin|attend)\(\s*"([\w-]+)",""")
    named = {name for file in (ROOT / "hub").rglob("*.py") for name in begun.findall(file.read_text(encoding="utf-8"))}
    assert sorted(watch.fallen) == sorted(named - DIE_ELSEWHERE.keys())
    for place in DIE_ELSEWHERE.values():
        file, _, name = place.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), place


def test_deaths_are_counted_by_loop():
    meters = Meters()
    meters.loop_fell("leases")
    assert 'hub_loop_deaths_total{loop="leases"} 1.0' in meters.text().decode()
