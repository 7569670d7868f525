"""The hand: what works counts, what only waits counts against a wider bound, and what is claimed ahead is soon begun."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from stage import VirtualClock

from hub.delivery import dispatcher
from hub.delivery.dispatcher import USUAL, WIDEST, ClaimBuffer, Widths
from hub.model import Outcome, OutcomeKind


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def buffer(clock) -> ClaimBuffer:
    return ClaimBuffer(2, patience=timedelta(seconds=5), clock=clock)


def claims(number, *, suspect=False, to=None):
    """So many deliveries, each to a receiver of its own unless it is ``to`` one."""
    return [_claim(suspect=suspect, to=to) for _ in range(number)]


def _claim(*, suspect, to):
    destination = SimpleNamespace(destination_id=to or uuid4())
    return SimpleNamespace(delivery_id=uuid4(), fencing=1, suspect=suspect, destination=destination)


def begun(buffer, number):
    buffer.take(claims(number))
    return [buffer.begin() for _ in range(number)]


def got_through(buffer, number):
    """So many attempts, one after the other, recorded."""
    for _ in range(number):
        (claim,) = begun(buffer, 1)
        buffer.end(claim)
        buffer.settle(claim)


def test_what_works_holds_its_slot(buffer, clock):
    first, _ = begun(buffer, 2)
    assert buffer.room() == 0
    assert buffer.begin() is None
    buffer.end(first)
    clock.pass_(seconds=0.1)
    assert buffer.room() == 1


def test_what_waits_for_its_receiver_gives_its_slot_to_others_but_not_without_end(buffer, clock):
    for _ in range(4):
        assert None not in begun(buffer, 2)
        assert buffer.room() == 0
        clock.pass_(seconds=1)
    assert buffer.most == 8
    buffer.take(claims(1))
    assert buffer.begin() is None


def test_near_the_bound_no_more_begin_than_fit(buffer, clock):
    first, *_ = [claim for _ in range(4) for claim in begun(buffer, 2) if clock.pass_(seconds=0.5) is None]
    clock.pass_(seconds=1)
    buffer.end(first)
    buffer.take(claims(2))
    assert buffer.startable() == 1


def test_a_clock_that_jumps_back_frees_nothing(buffer, clock):
    begun(buffer, 2)
    clock.pass_(seconds=-60)
    assert buffer.room() == 0


def test_what_ends_twice_or_never_began_changes_nothing(buffer, clock):
    (one,) = begun(buffer, 1)
    for _ in range(2):
        buffer.end(one)
        buffer.end(claims(1)[0])
    clock.pass_(seconds=1)
    assert buffer.room() == 2


def test_a_node_claims_ahead_what_it_got_through_a_moment_ago(buffer, clock):
    assert buffer.room() == 2
    got_through(buffer, 5)
    assert buffer.room() == 2 + 5
    clock.pass_(seconds=0.2)
    assert buffer.room() == 2


def test_nothing_is_claimed_while_enough_waits(buffer):
    got_through(buffer, 6)
    buffer.take(claims(4))
    assert buffer.room() == 0
    buffer.begin()
    assert buffer.room() == 1 + 6 - 3


def test_nothing_is_claimed_while_the_store_lags_behind(buffer):
    for _ in range(33):
        (claim,) = begun(buffer, 1)
        buffer.end(claim)
    assert buffer.room() == 0
    buffer.settle(claim)
    assert buffer.room() > 0


def test_what_waits_in_vain_is_given_back(buffer, clock):
    buffer.take(claims(2))
    clock.pass_(seconds=4)
    late = claims(1)
    buffer.take(late)
    assert buffer.give_back() == []
    clock.pass_(seconds=1)
    assert len(buffer.give_back()) == 2
    assert buffer.give_back(everything=True) == late
    assert buffer.begin() is None


def test_a_suspect_is_known_until_its_result_is_recorded(buffer):
    buffer.take(claims(1, suspect=True))
    assert buffer.suspicious()
    claim = buffer.begin()
    buffer.end(claim)
    assert buffer.suspicious()
    buffer.settle(claim)
    assert not buffer.suspicious()


def test_a_suspect_that_is_given_back_is_forgotten(buffer):
    buffer.take(claims(1, suspect=True))
    buffer.give_back(everything=True)
    assert not buffer.suspicious()


def test_the_end_of_an_attempt_frees_no_slot_of_the_claim_that_followed_it(buffer):
    (first,) = begun(buffer, 1)
    again = SimpleNamespace(**vars(first) | {"fencing": 2, "suspect": True})
    buffer.take([again])
    assert buffer.begin() is again
    buffer.end(first)
    buffer.settle(first)
    assert buffer.suspicious()
    buffer.take(claims(2))
    assert buffer.begin() is not None
    assert buffer.begin() is None
    buffer.end(again)
    buffer.settle(again)
    assert not buffer.suspicious()


# --- how much one receiver gets ---------------------------------------------------------------------------------------


def begin_all(buffer):
    begun = []
    while (claim := buffer.begin()) is not None:
        begun.append(claim)
    return begun


def test_a_quick_receiver_gets_more_than_the_usual_number_and_leaves_a_quarter_of_the_slots(clock):
    buffer, quick = ClaimBuffer(12, patience=timedelta(seconds=5), clock=clock), uuid4()
    buffer.take(claims(WIDEST, to=quick))
    assert len(begin_all(buffer)) == 9
    other = claims(3)
    buffer.take(other)
    assert begin_all(buffer) == other, "past what waits for the quick one"


def test_one_that_falls_silent_gets_no_more_and_keeps_nobody_from_being_claimed(clock):
    buffer, silent = ClaimBuffer(8, patience=timedelta(seconds=5), clock=clock), uuid4()
    buffer.take(claims(WIDEST, to=silent))
    held = len(begin_all(buffer))
    assert USUAL <= held <= 6
    clock.pass_(seconds=1)
    assert begin_all(buffer) == []
    assert buffer.startable() == 0
    assert buffer.silent() == {silent}
    assert buffer.room() == 8
    other = claims(8)
    buffer.take(other)
    assert begin_all(buffer) == other
    clock.pass_(seconds=4)
    assert len(buffer.give_back()) == WIDEST - held


def test_as_many_silent_receivers_as_before_leave_room_for_another(clock):
    """Eight that were quick and fall silent at once: what they hold beyond the usual number is held once, not eightfold."""
    buffer = ClaimBuffer(8, patience=timedelta(seconds=60), clock=clock)
    receivers = [uuid4() for _ in range(7)]
    for _ in range(4):
        for each in receivers:
            buffer.take(claims(4, to=each))
    begun = 0
    for _ in range(10):
        begun += len(begin_all(buffer))
        clock.pass_(seconds=1)
    assert begun <= buffer.most
    other = claims(1)
    buffer.take(other)
    assert begin_all(buffer) == other


YES, BUSY, NO = (
    Outcome(kind=kind, note="") for kind in (OutcomeKind.DELIVERED, OutcomeKind.UNREACHABLE, OutcomeKind.REFUSED)
)
SOON = timedelta(milliseconds=5)


def test_success_widens_up_to_a_bound_and_failure_halves_down_to_one():
    widths, there = Widths(), uuid4()
    assert (widths.of(there), widths.unusual()) == (USUAL, {})
    seen = []
    for _ in range(200):
        widths.note(there, YES, took=SOON)
        seen.append(widths.of(there))
    assert seen == sorted(seen)
    assert (seen[2], seen[4], seen[-1]) == (USUAL, USUAL + 1, WIDEST)
    widths.note(there, NO, took=SOON)
    assert widths.of(there) == WIDEST, "a refusal is the delivery's, not the receiver's"
    found = []
    for _ in range(6):
        widths.note(there, BUSY, took=SOON)
        found.append(widths.of(there))
    assert found == [8, 4, 2, 1, 1, 1]
    for _ in range(12):
        widths.note(there, YES, took=SOON)
    assert widths.of(there) >= USUAL


def test_a_slow_success_widens_nothing_and_one_that_is_waited_for_gets_the_usual_number():
    widths, there, slow = Widths(), uuid4(), timedelta(seconds=2)
    for _ in range(200):
        widths.note(there, YES, took=SOON)
    assert widths.unusual([there]) == {}
    widths.note(there, YES, took=slow)
    widths.note(there, YES, took=slow)
    assert widths.of(there) == USUAL
    widths.note(there, BUSY, took=slow)
    assert widths.unusual([there]) == {there: 2}, "what is below the usual number stays there"
    widths.note(there, YES, took=slow)
    assert widths.of(there) == 2


def test_receivers_that_come_and_go_are_forgotten(monkeypatch):
    monkeypatch.setattr(dispatcher, "_MOST_WIDTHS", 3)
    widths = Widths()
    for _ in range(9):
        widths.note(uuid4(), BUSY, took=SOON)
    assert len(widths.unusual()) == 3
