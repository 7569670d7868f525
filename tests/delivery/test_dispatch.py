"""From the queue to the receiver: what was accepted is delivered, or waits, or ends in a named state."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar
from uuid import UUID

import pytest
from stage import FRANKFURT
from store_values import Instead

from hub.crypto.receipts import claims_of
from hub.delivery.attempt import AdapterPool, Rules
from hub.delivery.dispatcher import Dispatcher
from hub.errors import ConfigurationError, Text
from hub.model.delivery import Schedule
from hub.model.events import EventKind
from hub.model.submission import DeadCause, Outcome, OutcomeKind
from hub.notifications.callbacks import CallbackWriter
from hub.store import DeliveryState


class Scripted:
    """An adapter that answers as it is told; what it got is kept."""

    name = "scripted"
    answers: ClassVar[list] = []
    got: ClassVar[list] = []

    def __init__(self, config):
        self.config = config

    def open(self):
        pass

    def deliver(self, package):
        type(self).got.append(package)
        answer = type(self).answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self):
        pass


@pytest.fixture
def scripted(stage):
    """The stage with its building authority reached by the scripted adapter."""
    Scripted.answers, Scripted.got = [], []
    stored = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
    stage.hub.store.parties.replace_destination(replace(stored, adapter="scripted", adapter_config={}))
    return stage


def dispatcher(stage, *, adapters=None, node="node-1", store=None) -> Dispatcher:
    return Dispatcher(
        store=store or stage.hub.store,
        blobs=stage.hub.blobs,
        adapters=AdapterPool(adapters or {"scripted": Scripted}),
        notary=stage.hub.notary,
        evidences=stage.hub.evidences,
        callback_writer=CallbackWriter(store=stage.hub.store),
        rules=Rules(
            node=node, lease=timedelta(minutes=2), schedule=Schedule(jitter=0), threads=4, base_url="http://hub"
        ),
        clock=stage.clock,
    )


def outcome(kind, **more) -> Outcome:
    return Outcome(kind=kind, note="as told", **more)


def accepted(stage, **more) -> UUID:
    return UUID(claims_of(stage.accept(**more).receipt)["sub"].removeprefix("submission:"))


def view(stage, submission_id):
    return stage.hub.store.deliveries.of(submission_id)


def test_an_unknown_adapter_ends_in_the_dead_letters_as_configuration(scripted):
    submission_id = accepted(scripted)
    dispatcher(scripted, adapters={"other": Scripted}).run_once()
    assert (view(scripted, submission_id).state, view(scripted, submission_id).cause) == (
        DeliveryState.DEAD,
        DeadCause.CONFIGURATION,
    )


def test_an_unknown_adapter_is_named_with_those_there_are(stage):
    destination = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
    with pytest.raises(ConfigurationError, match="mailbox"):
        AdapterPool({"mailbox": Scripted}).of(destination)


def test_an_unreachable_receiver_is_tried_again_later_and_not_before(scripted):
    submission_id = accepted(scripted)
    Scripted.answers = [outcome(OutcomeKind.UNREACHABLE), outcome(OutcomeKind.DELIVERED)]
    working = dispatcher(scripted)
    assert working.run_once() == 1
    assert working.run_once() == 0
    scripted.clock.pass_(seconds=5)
    assert working.run_once() == 1
    assert view(scripted, submission_id).state is DeliveryState.DELIVERED
    assert [attempt.outcome for attempt in view(scripted, submission_id).attempts] == [
        OutcomeKind.UNREACHABLE,
        OutcomeKind.DELIVERED,
    ]


def test_every_attempt_carries_the_same_delivery_id_and_repeats_are_flagged(scripted):
    accepted(scripted)
    Scripted.answers = [outcome(OutcomeKind.UNKNOWN), outcome(OutcomeKind.DELIVERED)]
    working = dispatcher(scripted)
    working.run_once()
    scripted.clock.pass_(seconds=5)
    working.run_once()
    first, second = Scripted.got
    assert first.delivery_id == second.delivery_id
    assert (first.repeat, second.repeat) == (False, True)


def test_a_bug_in_an_adapter_is_an_unknown_outcome_and_stops_nobody_else(scripted):
    first, second = accepted(scripted), accepted(scripted)
    Scripted.answers = [ZeroDivisionError(), outcome(OutcomeKind.DELIVERED)]
    dispatcher(scripted).run_once()
    assert {view(scripted, first).state, view(scripted, second).state} == {
        DeliveryState.QUEUED,
        DeliveryState.DELIVERED,
    }


def test_a_refusal_is_a_dead_letter_with_its_cause_and_no_notify_event(scripted):
    submission_id = accepted(scripted)
    Scripted.answers = [outcome(OutcomeKind.REFUSED, cause=DeadCause.PAYLOAD)]
    dispatcher(scripted).run_once()
    assert view(scripted, submission_id).cause is DeadCause.PAYLOAD
    case = scripted.hub.store.submissions.message(submission_id).case_id
    assert EventKind.NOTIFY not in [event.kind for event in scripted.hub.store.event_log.events(case).items]


def test_delivery_is_noted_in_the_log_and_the_log_stays_intact(scripted):
    submission_id = accepted(scripted)
    Scripted.answers = [outcome(OutcomeKind.DELIVERED)]
    dispatcher(scripted).run_once()
    case = scripted.hub.store.submissions.message(submission_id).case_id
    assert [event.kind for event in scripted.hub.store.event_log.events(case).items] == [
        EventKind.CREATE,
        EventKind.SUBMIT,
        EventKind.NOTIFY,
    ]
    assert not scripted.hub.notary.verify([case]).findings


def test_a_node_that_comes_back_after_its_lease_loses_its_say(scripted):
    submission_id = accepted(scripted)

    class Slow(Scripted):
        def deliver(self, package):
            scripted.clock.pass_(minutes=3)
            Scripted.answers = [outcome(OutcomeKind.DELIVERED)]
            dispatcher(scripted, node="node-2").run_once()
            return outcome(OutcomeKind.REFUSED)

    dispatcher(scripted, adapters={"scripted": Slow}).run_once()
    assert view(scripted, submission_id).state is DeliveryState.DELIVERED
    assert Scripted.got[-1].repeat


def test_a_hung_receiver_does_not_hold_up_another(scripted):
    release, delivered = threading.Event(), threading.Event()

    class Hanging(Scripted):
        def deliver(self, package):
            release.wait(10)
            return outcome(OutcomeKind.DELIVERED)

    class Prompt(Scripted):
        def deliver(self, package):
            delivered.set()
            return outcome(OutcomeKind.DELIVERED)

    stage = beside(scripted, "prompt")
    for _ in range(6):
        stage.accept()
    stage.accept(area=FRANKFURT)
    with running(dispatcher(stage, adapters={"scripted": Hanging, "prompt": Prompt}), release):
        assert delivered.wait(30)


def test_receivers_that_hang_give_their_slots_to_others(scripted):
    """Two of them hold as many attempts as the node makes at once, and somebody else's turn comes all the same."""
    release, delivered, hanging = threading.Event(), threading.Event(), threading.Semaphore(0)

    class Hanging(Scripted):
        def deliver(self, package):
            hanging.release()
            release.wait(20)
            return outcome(OutcomeKind.DELIVERED)

    class Prompt(Scripted):
        def deliver(self, package):
            delivered.set()
            return outcome(OutcomeKind.DELIVERED)

    for _ in range(4):
        scripted.accept()
    stage = beside(scripted, "prompt")
    working = dispatcher(stage, adapters={"scripted": Hanging, "prompt": Prompt})
    with running(working, release):
        assert all(hanging.acquire(timeout=5) for _ in range(4))
        stage.accept(area=FRANKFURT)
        working.wake()
        assert not delivered.wait(0.2)
        stage.clock.pass_(seconds=1)
        working.wake()
        assert delivered.wait(30)


def test_a_claim_that_brought_less_than_was_asked_for_is_not_followed_by_one_for_nothing(scripted):
    release, hanging, asked = threading.Event(), threading.Semaphore(0), []

    class Hanging(Scripted):
        def deliver(self, package):
            hanging.release()
            release.wait(20)
            return outcome(OutcomeKind.DELIVERED)

    def claim(*args, **named):
        asked.append(named["limit"])
        return queue.claim(*args, **named)

    for _ in range(3):
        scripted.accept()
    queue = scripted.hub.store.queue
    counting = Instead(scripted.hub.store, queue=Instead(queue, claim=claim))
    working = dispatcher(scripted, adapters={"scripted": Hanging}, store=counting)
    with running(working, release):
        assert all(hanging.acquire(timeout=5) for _ in range(3))
        assert not hanging.acquire(timeout=0.3)
        assert asked == [4], "the next look is due after a second, or when somebody wakes it"


def test_what_a_node_has_claimed_and_not_begun_is_given_back_when_it_stops(scripted):
    """It got through four in no time, claims more than it has slots, and then its receiver hangs: a restart loses no time."""
    release, hanging, stop = threading.Event(), threading.Semaphore(0), threading.Event()
    beside(scripted, "scripted")
    areas = [None, FRANKFURT] * 6
    submissions = [accepted(scripted, **({"area": area} if area else {})) for area in areas]

    class Tiring(Scripted):
        def deliver(self, package):
            type(self).got.append(package)
            if len(type(self).got) > 4:
                hanging.release()
                release.wait(20)
            return outcome(OutcomeKind.DELIVERED)

    working = dispatcher(scripted, adapters={"scripted": Tiring})
    thread = threading.Thread(target=working.run, args=[stop])
    thread.start()
    try:
        assert all(hanging.acquire(timeout=5) for _ in range(4))
        now = scripted.clock()
        assert scripted.hub.store.queue.next_due() > now
        stop.set()
        working.wake()
        assert wait_for(lambda: scripted.hub.store.queue.next_due() == now)
    finally:
        release.set()
        thread.join()
    views = [view(scripted, one) for one in submissions]
    assert [one.state for one in views].count(DeliveryState.DELIVERED) == 8
    waiting = [one for one in views if one.state is DeliveryState.QUEUED]
    assert [(one.attempts, one.next_attempt_at) for one in waiting] == [((), scripted.clock())] * 4


def test_results_are_recorded_while_other_attempts_run(scripted):
    """An attempt waits for no commit: its slot is free as soon as its receiver has answered."""
    for _ in range(9):
        scripted.accept()
    Scripted.answers = [outcome(OutcomeKind.DELIVERED)] * 9
    with running(dispatcher(scripted), threading.Event()):
        assert wait_for(lambda: scripted.hub.store.queue.next_due() is None)
    assert [package.repeat for package in Scripted.got] == [False] * 9


def wait_for(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def test_an_adapter_that_hangs_while_it_opens_keeps_nobody_from_theirs(scripted):
    release, delivered, opening = threading.Event(), threading.Event(), threading.Event()

    class Hanging(Scripted):
        def open(self):
            opening.set()
            release.wait(20)

        def deliver(self, package):
            return outcome(OutcomeKind.DELIVERED)

    class Prompt(Scripted):
        def deliver(self, package):
            delivered.set()
            return outcome(OutcomeKind.DELIVERED)

    stage = beside(scripted, "prompt")
    stage.accept()
    working = dispatcher(stage, adapters={"scripted": Hanging, "prompt": Prompt})
    with running(working, release):
        assert opening.wait(30)
        stage.accept(area=FRANKFURT)
        working.wake()
        assert delivered.wait(30)


def test_an_adapter_is_opened_once_and_one_that_fails_to_open_is_tried_again(scripted):
    opened = []

    class Shy(Scripted):
        def open(self):
            opened.append(self)
            if len(opened) == 1:
                raise ConfigurationError(Text("Noch nicht.", "Not yet."))

    pool = AdapterPool({"scripted": Shy})
    destination = scripted.hub.store.parties.destination(scripted.destination_id("Rheingau"))
    with pytest.raises(ConfigurationError):
        pool.of(destination)
    assert pool.of(destination) is pool.of(destination) is opened[1]
    assert len(opened) == 2
    pool.close()


def beside(stage, adapter):
    """The stage with a second receiver, in Frankfurt."""
    stored = stage.hub.store.parties.destination(stage.destination_id("Frankfurt"))
    stage.hub.store.parties.replace_destination(replace(stored, adapter=adapter, adapter_config={}))
    return stage


@contextmanager
def running(working: Dispatcher, release: threading.Event):
    """The dispatcher at work; at the end whoever hangs is let go."""
    stop = threading.Event()
    thread = threading.Thread(target=working.run, args=[stop])
    thread.start()
    try:
        yield
    finally:
        release.set()
        stop.set()
        working.wake()
        thread.join()


def test_an_adapter_that_hangs_while_it_opens_holds_up_nobody_else(scripted):
    release, delivered = threading.Event(), threading.Event()

    class Stuck(Scripted):
        def open(self):
            release.wait(10)

        def deliver(self, package):
            return outcome(OutcomeKind.DELIVERED)

    class Prompt(Stuck):
        def open(self):
            pass

        def deliver(self, package):
            delivered.set()
            return outcome(OutcomeKind.DELIVERED)

    stored = scripted.hub.store.parties.destination(scripted.destination_id("Frankfurt"))
    scripted.hub.store.parties.replace_destination(replace(stored, adapter="prompt", adapter_config={}))
    scripted.accept()
    scripted.accept(area="064120000000")
    stop = threading.Event()
    working = dispatcher(scripted, adapters={"scripted": Stuck, "prompt": Prompt})
    thread = threading.Thread(target=working.run, args=[stop])
    thread.start()
    try:
        assert delivered.wait(30)
    finally:
        release.set()
        stop.set()
        working.wake()
        thread.join()


def test_an_adapter_that_fails_to_open_is_tried_again_and_opened_anew(scripted):
    submission_id = accepted(scripted)
    failures = [OSError("/secret/path"), None]

    class Shaky(Scripted):
        def open(self):
            failure = failures.pop(0)
            if failure is not None:
                raise failure

        def deliver(self, package):
            return outcome(OutcomeKind.DELIVERED)

    working = dispatcher(scripted, adapters={"scripted": Shaky})
    working.run_once()
    (attempt,) = view(scripted, submission_id).attempts
    assert (attempt.outcome, attempt.note) == (OutcomeKind.UNREACHABLE, "adapter does not open: OSError")
    scripted.clock.pass_(seconds=6)
    working.run_once()
    assert view(scripted, submission_id).state is DeliveryState.DELIVERED


def test_an_adapter_that_does_not_close_keeps_no_other_open(stage):
    closed = []

    class Stubborn(Scripted):
        def close(self):
            closed.append(self.config["number"])
            raise OSError

    pool = AdapterPool({"scripted": Stubborn})
    there = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
    for number in range(2):
        pool.of(replace(there, adapter="scripted", adapter_config={"number": number}))
    pool.close()
    assert closed == [0, 1]


@pytest.mark.parametrize(
    ("said", "kind", "noted"),
    [
        (None, OutcomeKind.UNKNOWN, "adapter reports no outcome"),
        (Outcome(kind=OutcomeKind.UNREACHABLE, note="n" * 5000), OutcomeKind.UNREACHABLE, "n" * 200),
        (Outcome(kind=OutcomeKind.UNREACHABLE, note="a\nb"), OutcomeKind.UNREACHABLE, "'a\\nb'"),
    ],
    ids=["nothing", "a novel", "two lines"],
)
def test_what_a_strangers_adapter_reports_is_made_one_line(scripted, said, kind, noted):
    submission_id = accepted(scripted)
    Scripted.answers = [said]
    dispatcher(scripted).run_once()
    (attempt,) = view(scripted, submission_id).attempts
    assert (attempt.outcome, attempt.note) == (kind, noted)


def test_receivers_that_hang_on_every_thread_hold_up_nobody_for_long(scripted):
    release, hanging, delivered = threading.Event(), threading.Semaphore(0), threading.Event()

    class Hanging(Scripted):
        def deliver(self, package):
            hanging.release()
            release.wait(10)
            return outcome(OutcomeKind.UNREACHABLE)

    class Prompt(Scripted):
        def deliver(self, package):
            delivered.set()
            return outcome(OutcomeKind.DELIVERED)

    stored = scripted.hub.store.parties.destination(scripted.destination_id("Frankfurt"))
    scripted.hub.store.parties.replace_destination(replace(stored, adapter="prompt", adapter_config={}))
    for _ in range(4):
        scripted.accept()
    stop = threading.Event()
    working = dispatcher(scripted, adapters={"scripted": Hanging, "prompt": Prompt})
    thread = threading.Thread(target=working.run, args=[stop])
    thread.start()
    try:
        assert all(hanging.acquire(timeout=5) for _ in range(4)), "the four threads of this node"
        scripted.accept(area="064120000000")
        working.wake()
        assert not delivered.wait(0.3)
        scripted.clock.pass_(seconds=6)
        working.wake()
        assert delivered.wait(30)
    finally:
        release.set()
        stop.set()
        working.wake()
        thread.join()
