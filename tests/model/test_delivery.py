"""The retry decision is a pure function of outcome, attempt, times and chance."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model.delivery import Schedule, StepKind, next_step
from hub.model.submission import DeadCause, Outcome, OutcomeKind

ACCEPTED = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
TRANSIENT = (OutcomeKind.UNREACHABLE, OutcomeKind.UNKNOWN)


def decide(kind, *, attempt=1, now=ACCEPTED, chance=0.0, **more):
    outcome = Outcome(kind=kind, note="", **more)
    return next_step(outcome, attempt=attempt, accepted_at=ACCEPTED, now=now, schedule=Schedule(), chance=chance)


def test_a_refusal_is_buried_with_its_cause():
    step = decide(OutcomeKind.REFUSED, cause=DeadCause.PAYLOAD)
    assert (step.kind, step.cause) == (StepKind.BURY, DeadCause.PAYLOAD)


def test_a_refusal_without_a_cause_is_the_receivers():
    assert decide(OutcomeKind.REFUSED).cause is DeadCause.RECEIVER


@pytest.mark.parametrize("kind", TRANSIENT)
def test_trouble_is_given_up_after_fourteen_days(kind):
    late = decide(kind, attempt=40, now=ACCEPTED + timedelta(days=14))
    assert late.kind is StepKind.BURY


@pytest.mark.parametrize("kind", TRANSIENT)
def test_trouble_is_tried_again_after_five_seconds_first(kind):
    step = decide(kind)
    assert (step.kind, step.due) == (StepKind.RETRY, ACCEPTED + timedelta(seconds=5))


@pytest.mark.parametrize("kind", [OutcomeKind.DELIVERED, OutcomeKind.WAITING])
def test_what_arrived_is_finished(kind):
    assert decide(kind).kind is StepKind.FINISH


def test_the_receivers_wish_to_wait_is_honoured():
    assert decide(OutcomeKind.UNREACHABLE, retry_after=timedelta(minutes=7)).due == ACCEPTED + timedelta(minutes=7)


def test_the_receivers_wish_is_capped_at_the_longest_wait():
    assert decide(OutcomeKind.UNREACHABLE, retry_after=timedelta(days=90)).due == ACCEPTED + timedelta(hours=10)


@given(attempt=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_no_wait_is_longer_than_the_longest_or_shorter_than_jitter_allows(attempt, chance):
    schedule = Schedule()
    assert schedule.first * (1 - schedule.jitter) <= schedule.wait(attempt, chance) <= schedule.longest


@given(attempt=st.integers(1, 1000))
def test_waits_never_shrink_with_the_attempts(attempt):
    assert Schedule().wait(attempt, 0.5) <= Schedule().wait(attempt + 1, 0.5)


@given(
    kind=st.sampled_from(list(OutcomeKind)),
    attempt=st.integers(1, 100),
    age=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=30)),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_every_retry_is_due_later_and_before_giving_up(kind, attempt, age, chance):
    step = decide(kind, attempt=attempt, now=ACCEPTED + age, chance=chance)
    if step.kind is StepKind.RETRY:
        assert ACCEPTED + age < step.due <= ACCEPTED + Schedule().give_up
