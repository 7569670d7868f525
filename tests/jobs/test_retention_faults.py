"""Faults at retention: a step that fails, and things that cannot be helped, keep none of what is behind them from its turn."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from store_values import HUB, NOW, Instead, accepted, announced, claim, known_destination, record

from hub.crypto.keys import SigningKey
from hub.jobs.retention import RetentionJob
from hub.model.submission import Outcome, OutcomeKind, State
from hub.notifications.callbacks import CallbackWriter
from hub.notifications.mail import Noticeboard
from hub.observability.metrics import Meters

DAY = timedelta(days=1)


class Keys:
    """A keyring that only signs."""

    signing = SigningKey(
        kid="hub-1", alg="PS512", private_key=rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )


def failing(store, noun, method, only=None):
    """The store with a method of a noun that fails; ``only`` with these first arguments, if there are any."""
    real = getattr(store, noun)

    def call(*args, **named):
        if only is None or args[0] in only:
            raise ZeroDivisionError
        return getattr(real, method)(*args, **named)

    return Instead(store, **{noun: Instead(real, **{method: call})})


def retention(store, meters, *, keys=None):
    board = Noticeboard(store=store)
    return RetentionJob(
        store=store, callback_writer=CallbackWriter(store=store), board=board, keys=keys, base_url=HUB, meters=meters
    )


@pytest.mark.parametrize("step", ["incomplete", "lagging", "unanswered", "finished", "delivered", "stale_cases"])
def test_a_step_that_fails_is_counted_and_keeps_no_other_from_its_turn(store, step):
    there = known_destination(store).destination_id
    waiting = announced(store, there)
    pushed = accepted(store, there)
    (taken,) = claim(store)
    assert record(store, taken, Outcome(kind=OutcomeKind.DELIVERED, note="201"))
    meters = Meters()
    retention(failing(store, "notices" if step == "lagging" else "retention", step), meters).run(NOW + 8 * DAY)
    assert 'hub_duty_failures_total{duty="retention"} 1.0' in meters.text().decode()
    assert (store.submissions.message(waiting.id).state is State.DELETED) == (step != "incomplete")
    assert (store.submissions.message(pushed.submission_id).deleted_at is not None) == (step != "delivered")


def test_more_than_a_batch_of_stuck_messages_holds_up_nobody_behind_them(store):
    there = known_destination(store).destination_id
    made = [announced(store, there, created_at=NOW + timedelta(seconds=number)) for number in range(130)]
    stuck = {one.id for one in made[:120]}
    meters = Meters()
    done = retention(failing(store, "retention", "delete_contents", only=stuck), meters).delete_incomplete(
        NOW + 2 * DAY
    )
    assert done == 10
    assert {store.submissions.message(one.id).state for one in made[120:]} == {State.DELETED}
    assert {store.submissions.message(one.id).state for one in made[:120]} == {State.INCOMPLETE}


def test_a_case_that_cannot_be_dropped_keeps_no_other_from_its_end(store):
    there = known_destination(store).destination_id
    made = [announced(store, there, created_at=NOW + timedelta(seconds=number)) for number in range(3)]
    meters = Meters()
    keep = retention(failing(store, "retention", "drop_case", only={made[0].case_id}), meters, keys=Keys())
    assert keep.bury_cases(NOW + 800 * DAY) == 2
    assert [store.submissions.case(one.case_id).tombstone is None for one in made] == [True, False, False]
    assert 'hub_duty_failures_total{duty="retention"} 1.0' in meters.text().decode()
