"""A dead receiver is left alone: few attempts, growing pauses, one attempt to find out; neighbours notice nothing."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

import pytest
from dispatching import until
from hypothesis import given
from hypothesis import strategies as st
from store_values import MINUTE, NOW, accepted, claim, known_destination, record

from hub.delivery.attempt import AdapterPool, Leases, Rules
from hub.delivery.dispatcher import Breakers, Dispatcher
from hub.model import EVERYTHING, Breaker, DeadCause, Outcome, OutcomeKind, Schedule, Standing, next_standing
from hub.observability.metrics import Meters
from hub.store import Circuit, DeliveryState, LocalBlobs, Store

BREAKER = Breaker()
REFUSED = Outcome(kind=OutcomeKind.REFUSED, note="HTTP 422", cause=DeadCause.PAYLOAD)
DELIVERED = Outcome(kind=OutcomeKind.DELIVERED, note="HTTP 201")
UNREACHABLE = Outcome(kind=OutcomeKind.UNREACHABLE, note="connection refused")
UNKNOWN = Outcome(kind=OutcomeKind.UNKNOWN, note="no answer")
GONE = Outcome(kind=OutcomeKind.REFUSED, note="HTTP 410", cause=DeadCause.RECEIVER, disable=True)
SLOWER = Outcome(kind=OutcomeKind.UNREACHABLE, note="HTTP 429", retry_after=timedelta(minutes=7))
OPEN = Standing(failures=5, open_until=NOW + MINUTE)
HALF_OPEN = Standing(failures=5, open_until=NOW - MINUTE)


def after(outcome: Outcome, standing: Standing) -> Standing:
    return next_standing(outcome, standing, now=NOW, breaker=BREAKER)


def in_row(outcome: Outcome, times: int) -> Standing:
    """The standing after so many failures, each at the end of the pause before it."""
    standing = Standing()
    for _ in range(times):
        standing = after(outcome, Standing(failures=standing.failures))
    return standing


JUDGEMENTS = {
    "a failure below the threshold only counts": (UNREACHABLE, Standing(failures=3), Standing(failures=4)),
    "an unknown end is a failure": (UNKNOWN, Standing(), Standing(failures=1)),
    "the threshold opens": (
        UNREACHABLE,
        Standing(failures=4),
        Standing(failures=5, open_until=NOW + timedelta(seconds=30)),
    ),
    "the attempt after the pause fails: a longer pause": (
        UNREACHABLE,
        HALF_OPEN,
        Standing(failures=6, open_until=NOW + MINUTE),
    ),
    "a straggler's failure while it is open changes nothing": (UNREACHABLE, OPEN, OPEN),
    "a straggler's success while it is open does not end the pause": (
        DELIVERED,
        OPEN,
        Standing(open_until=OPEN.open_until),
    ),
    "the attempt after the pause succeeds: closed": (DELIVERED, HALF_OPEN, Standing()),
    "a refusal shows that the receiver is there": (REFUSED, HALF_OPEN, Standing()),
    "a success at a closed circuit changes nothing": (DELIVERED, Standing(), Standing()),
    "a wrong configuration says nothing of the receiver": (
        Outcome(kind=OutcomeKind.REFUSED, note="", cause=DeadCause.CONFIGURATION),
        HALF_OPEN,
        HALF_OPEN,
    ),
    "a login that fails is spared like any failure": (
        Outcome(kind=OutcomeKind.UNREACHABLE, note="HTTP 401", cause=DeadCause.CONFIGURATION),
        Standing(failures=4),
        Standing(failures=5, open_until=NOW + timedelta(seconds=30)),
    ),
    "what the hub cannot read says nothing of the receiver": (
        Outcome(kind=OutcomeKind.UNREACHABLE, note="", cause=DeadCause.HUB),
        Standing(failures=4),
        Standing(failures=4),
    ),
    "a wish to wait is granted, and is no failure": (
        SLOWER,
        Standing(failures=4),
        Standing(failures=4, open_until=NOW + timedelta(minutes=7)),
    ),
    "a wish does not shorten a longer pause": (
        SLOWER,
        Standing(failures=9, open_until=NOW + timedelta(minutes=8)),
        Standing(failures=9, open_until=NOW + timedelta(minutes=8)),
    ),
    "who is gone is left alone until somebody says otherwise": (
        GONE,
        Standing(),
        Standing(failures=1, open_until=NOW + BREAKER.gone),
    ),
}


@pytest.mark.parametrize(("outcome", "before", "wanted"), JUDGEMENTS.values(), ids=JUDGEMENTS)
def test_each_outcome_has_its_meaning_for_the_circuit(outcome, before, wanted):
    assert after(outcome, before) == wanted


def test_pauses_double_up_to_the_longest():
    pauses = [(in_row(UNREACHABLE, times).open_until - NOW).total_seconds() for times in range(5, 14)]
    assert pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]


@given(st.integers(min_value=5, max_value=10**6))
def test_no_number_of_failures_makes_a_pause_longer_than_the_longest(failures):
    assert timedelta(seconds=30) <= BREAKER.pause(failures) <= timedelta(hours=1)


@given(st.sampled_from([UNREACHABLE, UNKNOWN, DELIVERED, REFUSED, SLOWER]), st.integers(0, 100))
def test_nothing_but_being_gone_disables(outcome, failures):
    standing = after(outcome, Standing(failures=failures))
    assert not standing.is_disabled(NOW, BREAKER)
    assert after(GONE, standing).is_disabled(NOW, BREAKER)


@dataclass
class Yard:
    """A dispatcher on a real store with a virtual clock, and receivers that answer as they are told."""

    store: Store
    folder: Any
    meters: Meters = field(default_factory=Meters)
    now: Any = NOW
    tried: Counter = field(default_factory=Counter)
    answers: dict[UUID, Outcome] = field(default_factory=dict)

    def dispatcher(self, **rules: Any) -> Dispatcher:
        yard = self

        class Meter:
            name: ClassVar[str] = "told"

            def __init__(self, config):
                pass

            def open(self):
                pass

            def deliver(self, package):
                yard.tried[package.destination.destination_id] += 1
                return yard.answers.get(package.destination.destination_id, DELIVERED)

            def close(self):
                pass

        return Dispatcher(
            store=self.store,
            blobs=LocalBlobs(self.folder),
            adapters=AdapterPool({"told": Meter}),
            notary=None,
            evidences=None,
            callback_writer=_Silent(),
            rules=Rules(
                node="n",
                lease=timedelta(minutes=2),
                schedule=Schedule(jitter=0, first=timedelta(seconds=1), factor=1.0),
                threads=8,
                base_url="http://hub",
                **rules,
            ),
            clock=lambda: self.now,
            meters=self.meters,
        )

    def destination(self, answer: Outcome | None = None) -> UUID:
        made = known_destination(self.store, adapter="told", adapter_config={}).destination_id
        if answer is not None:
            self.answers[made] = answer
        return made

    def work(self, dispatcher: Dispatcher, *, seconds: int) -> None:
        """Let ``seconds`` pass, doing all that is due in each."""
        for _ in range(seconds):
            while dispatcher.run_once():
                pass
            self.now += timedelta(seconds=1)

    def value(self, name: str, **labels: str) -> float:
        found = [
            sample.value
            for metric in self.meters.collect()
            for sample in metric.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found)


class _Silent:
    def notified(self, submission, *, now):
        return []


@pytest.fixture
def yard(store, tmp_path):
    return Yard(store=store, folder=tmp_path / "yard")


def test_fifty_deliveries_to_a_dead_receiver_cost_few_attempts_and_harm_no_neighbour(yard):
    dead, alive = yard.destination(UNREACHABLE), yard.destination()
    for _ in range(50):
        accepted(yard.store, dead)
    neighbours = [accepted(yard.store, alive) for _ in range(20)]
    working = yard.dispatcher()
    yard.work(working, seconds=10)
    assert all(yard.store.deliveries.of(one.submission_id).state is DeliveryState.DELIVERED for one in neighbours)
    # Those under way when it opened, then one after each pause: 30, 60 and 120 seconds.
    first = yard.tried[dead]
    assert first <= 8
    yard.work(working, seconds=230)
    assert yard.tried[dead] - first <= 3
    assert yard.store.circuits.circuit(dead).open_until > yard.now
    assert yard.value("hub_circuit_openings_total", reason="failures") >= 2


def test_a_wrong_password_is_not_tried_for_each_delivery(yard):
    """Fifty deliveries with a login that fails would lock the account at the receiver."""
    there = yard.destination(Outcome(kind=OutcomeKind.UNREACHABLE, note="login refused", cause=DeadCause.CONFIGURATION))
    made = [accepted(yard.store, there) for _ in range(50)]
    working = yard.dispatcher()
    yard.work(working, seconds=60)
    assert yard.tried[there] <= 10
    yard.answers[there] = DELIVERED
    yard.store.circuits.change(there, lambda _: Circuit(destination_id=there), yard.now)
    yard.work(working, seconds=120)
    assert all(yard.store.deliveries.of(one.submission_id).state is DeliveryState.DELIVERED for one in made)


def test_a_receiver_that_comes_back_gets_everything(yard):
    there = yard.destination(UNREACHABLE)
    made = [accepted(yard.store, there) for _ in range(12)]
    working = yard.dispatcher()
    yard.work(working, seconds=5)
    yard.answers[there] = DELIVERED
    yard.work(working, seconds=40)
    assert all(yard.store.deliveries.of(one.submission_id).state is DeliveryState.DELIVERED for one in made)
    assert yard.store.circuits.circuit(there).standing == Standing()


def test_after_the_pause_one_attempt_finds_out(yard):
    there = yard.destination(UNREACHABLE)
    for _ in range(12):
        accepted(yard.store, there)
    working = yard.dispatcher()
    yard.work(working, seconds=5)
    yard.now = yard.store.circuits.circuit(there).open_until
    before = yard.tried[there]
    working.run_once()
    assert yard.tried[there] == before + 1
    assert working.run_once() == 0


def test_too_many_requests_slow_the_destination_and_not_that_delivery_alone(yard):
    there = yard.destination(SLOWER)
    for _ in range(30):
        accepted(yard.store, there)
    working = yard.dispatcher()
    yard.work(working, seconds=60)
    assert yard.tried[there] <= 8
    assert yard.store.circuits.circuit(there).standing == Standing(open_until=NOW + timedelta(minutes=7))
    yard.answers[there] = DELIVERED
    yard.now = NOW + timedelta(minutes=7)
    yard.work(working, seconds=3)
    assert yard.tried[there] >= 30


def test_a_receiver_that_is_gone_is_an_alarm_and_gets_nothing_more(yard, caplog):
    gone = yard.destination(GONE)
    for _ in range(20):
        accepted(yard.store, gone)
    working = yard.dispatcher()
    yard.work(working, seconds=30)
    assert yard.tried[gone] <= 8
    entries = [record.entry for record in yard.store.audit.entries(scope=EVERYTHING).items]
    assert [(entry.action, entry.target) for entry in entries] == [("circuit.disable", f"destination:{gone}")]
    assert yard.value("hub_circuit_openings_total", reason="gone") == 1
    assert any(line.levelname == "ERROR" and str(gone) in line.getMessage() for line in caplog.records)


def test_the_usual_success_writes_nothing_to_the_circuit(yard):
    there = yard.destination()
    accepted(yard.store, there)
    breakers = Breakers(store=_NoWrites(), meters=yard.meters, breaker=BREAKER, node="n")
    (taken,) = claim(yard.store)
    breakers.note(taken, DELIVERED, now=NOW)


class _NoWrites:
    def __getattr__(self, name):
        raise AssertionError(name)


def test_a_delivery_whose_workers_died_is_set_aside_and_not_attempted_again(yard):
    there = yard.destination()
    poison = accepted(yard.store, there)
    for _ in range(3):
        assert claim(yard.store, now=yard.now)
        yard.now += timedelta(minutes=2)
    assert yard.dispatcher().run_once() == 1
    view = yard.store.deliveries.of(poison.submission_id)
    assert (view.state, view.cause) == (DeliveryState.DEAD, DeadCause.HUB)
    assert yard.tried[there] == 0
    assert yard.value("hub_deliveries_isolated_total") == 1


def test_what_kills_its_workers_takes_no_other_along(yard):
    there = yard.destination()
    poison, *others = [accepted(yard.store, there).submission_id for _ in range(6)]
    for _ in range(12):
        claims = claim(yard.store, now=yard.now)
        if any(one.lapses == 3 for one in claims):
            break
        if poison in {one.submission.submission_id for one in claims}:
            # The worker dies with all that it holds; their leases run out.
            yard.now += timedelta(minutes=2)
            others.append(accepted(yard.store, there).submission_id)
        else:
            for one in claims:
                record(yard.store, one)
    assert [one.submission.submission_id for one in claims if one.lapses == 3] == [poison]
    yard.now += timedelta(minutes=2)
    while yard.dispatcher().run_once():
        pass
    assert [yard.store.deliveries.of(one).state for one in others] == [DeliveryState.DELIVERED] * len(others)
    assert yard.store.deliveries.of(poison).cause is DeadCause.HUB


def test_two_deaths_are_not_enough(yard):
    there = yard.destination()
    unlucky = accepted(yard.store, there)
    for _ in range(2):
        assert claim(yard.store, now=yard.now)
        yard.now += timedelta(minutes=2)
    yard.dispatcher().run_once()
    assert yard.store.deliveries.of(unlucky.submission_id).state is DeliveryState.DELIVERED


def test_a_released_poison_delivery_gets_its_tries_anew(yard):
    poison = accepted(yard.store, yard.destination())
    for _ in range(3):
        claim(yard.store, now=yard.now)
        yard.now += timedelta(minutes=2)
    working = yard.dispatcher()
    working.run_once()
    assert yard.store.deliveries.redrive(yard.store.deliveries.of(poison.submission_id).delivery_id, yard.now)
    working.run_once()
    assert yard.store.deliveries.of(poison.submission_id).state is DeliveryState.DELIVERED


def leases(yard: Yard, longest: timedelta = timedelta(hours=1)) -> Leases:
    return Leases(store=yard.store, lease=timedelta(minutes=2), longest=longest, clock=lambda: yard.now)


def test_a_long_attempt_keeps_its_lease(yard):
    accepted(yard.store, yard.destination())
    (taken,) = claim(yard.store)
    kept = leases(yard)
    with kept.held(taken):
        for _ in range(20):
            yard.now += timedelta(seconds=40)
            assert kept.renew() == 1
            assert claim(yard.store, now=yard.now, node="other") == []
    assert record(yard.store, taken, ended_at=yard.now)


def test_an_attempt_that_hangs_beyond_all_measure_is_let_go_of(yard):
    accepted(yard.store, yard.destination())
    (taken,) = claim(yard.store)
    kept = leases(yard, longest=timedelta(minutes=5))
    with kept.held(taken):
        for _ in range(15):
            yard.now += timedelta(seconds=40)
            kept.renew()
        assert len(claim(yard.store, now=yard.now, node="other")) == 1


def test_what_is_over_is_not_renewed(yard):
    accepted(yard.store, yard.destination())
    (taken,) = claim(yard.store)
    kept = leases(yard)
    with kept.held(taken):
        pass
    yard.now += timedelta(seconds=60)
    assert kept.renew() == 0


def test_a_short_attempt_costs_no_renewal(yard):
    accepted(yard.store, yard.destination())
    (taken,) = claim(yard.store)
    kept = Leases(store=_NoWrites(), lease=timedelta(minutes=2), longest=timedelta(hours=1), clock=lambda: yard.now)
    with kept.held(taken):
        yard.now += timedelta(seconds=10)
        assert kept.renew() == 0


def test_leases_are_renewed_while_the_dispatcher_works(store, tmp_path):
    release, begun = threading.Event(), threading.Event()

    class Long:
        def __init__(self, config):
            pass

        def open(self):
            pass

        def close(self):
            pass

        def deliver(self, package):
            begun.set()
            release.wait(10)
            return DELIVERED

    made = accepted(store, known_destination(store, adapter="long", adapter_config={}).destination_id)
    working = Dispatcher(
        store=store,
        blobs=LocalBlobs(tmp_path),
        adapters=AdapterPool({"long": Long}),
        notary=None,
        evidences=None,
        callback_writer=_Silent(),
        rules=Rules(node="n", lease=timedelta(seconds=0.6), schedule=Schedule(), threads=2, base_url="http://hub"),
        clock=lambda: datetime.now(UTC),
    )
    stop = threading.Event()
    thread = threading.Thread(target=working.run, args=[stop])
    thread.start()
    try:
        assert begun.wait(30)
        first = store.deliveries.of(made.submission_id).next_attempt_at
        until(lambda: store.deliveries.of(made.submission_id).next_attempt_at != first)
        # At the moment when the lease that it began with ran out, however late this machine looks.
        assert claim(store, now=first, node="other") == []
    finally:
        release.set()
        stop.set()
        working.wake()
        thread.join()
    assert store.deliveries.of(made.submission_id).state is DeliveryState.DELIVERED
    assert len(store.deliveries.of(made.submission_id).attempts) == 1
