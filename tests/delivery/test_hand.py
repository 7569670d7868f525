"""The hand: what works counts, what only waits counts against a wider bound, and what is claimed ahead is soon begun."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from stage import VirtualClock

from hub.delivery.dispatcher import Hand


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def hand(clock) -> Hand:
    return Hand(2, patience=timedelta(seconds=5), clock=clock)


def claims(number, *, suspect=False):
    return [SimpleNamespace(delivery_id=uuid4(), fencing=1, suspect=suspect) for _ in range(number)]


def begun(hand, number):
    hand.take(claims(number))
    return [hand.begin() for _ in range(number)]


def got_through(hand, number):
    """So many attempts, one after the other, recorded."""
    for _ in range(number):
        (claim,) = begun(hand, 1)
        hand.end(claim)
        hand.settle(claim)


def test_what_works_holds_its_slot(hand, clock):
    first, _ = begun(hand, 2)
    assert hand.room() == 0
    assert hand.begin() is None
    hand.end(first)
    clock.pass_(seconds=0.1)
    assert hand.room() == 1


def test_what_waits_for_its_receiver_gives_its_slot_to_others_but_not_without_end(hand, clock):
    for _ in range(4):
        assert None not in begun(hand, 2)
        assert hand.room() == 0
        clock.pass_(seconds=1)
    assert hand.most == 8
    hand.take(claims(1))
    assert hand.begin() is None


def test_near_the_bound_no_more_begin_than_fit(hand, clock):
    first, *_ = [claim for _ in range(4) for claim in begun(hand, 2) if clock.pass_(seconds=0.5) is None]
    clock.pass_(seconds=1)
    hand.end(first)
    hand.take(claims(2))
    assert hand.startable() == 1


def test_a_clock_that_jumps_back_frees_nothing(hand, clock):
    begun(hand, 2)
    clock.pass_(seconds=-60)
    assert hand.room() == 0


def test_what_ends_twice_or_never_began_changes_nothing(hand, clock):
    (one,) = begun(hand, 1)
    for _ in range(2):
        hand.end(one)
        hand.end(claims(1)[0])
    clock.pass_(seconds=1)
    assert hand.room() == 2


def test_a_node_claims_ahead_what_it_got_through_a_moment_ago(hand, clock):
    assert hand.room() == 2
    got_through(hand, 5)
    assert hand.room() == 2 + 5
    clock.pass_(seconds=0.2)
    assert hand.room() == 2


def test_nothing_is_claimed_while_enough_waits(hand):
    got_through(hand, 6)
    hand.take(claims(4))
    assert hand.room() == 0
    hand.begin()
    assert hand.room() == 1 + 6 - 3


def test_nothing_is_claimed_while_the_store_lags_behind(hand):
    for _ in range(33):
        (claim,) = begun(hand, 1)
        hand.end(claim)
    assert hand.room() == 0
    hand.settle(claim)
    assert hand.room() > 0


def test_what_waits_in_vain_is_given_back(hand, clock):
    hand.take(claims(2))
    clock.pass_(seconds=4)
    late = claims(1)
    hand.take(late)
    assert hand.give_back() == []
    clock.pass_(seconds=1)
    assert len(hand.give_back()) == 2
    assert hand.give_back(everything=True) == late
    assert hand.begin() is None


def test_a_suspect_is_known_until_its_result_is_recorded(hand):
    hand.take(claims(1, suspect=True))
    assert hand.suspicious()
    claim = hand.begin()
    hand.end(claim)
    assert hand.suspicious()
    hand.settle(claim)
    assert not hand.suspicious()


def test_a_suspect_that_is_given_back_is_forgotten(hand):
    hand.take(claims(1, suspect=True))
    hand.give_back(everything=True)
    assert not hand.suspicious()


def test_the_end_of_an_attempt_frees_no_slot_of_the_claim_that_followed_it(hand):
    (first,) = begun(hand, 1)
    again = SimpleNamespace(delivery_id=first.delivery_id, fencing=2, suspect=True)
    hand.take([again])
    assert hand.begin() is again
    hand.end(first)
    hand.settle(first)
    assert hand.suspicious()
    hand.take(claims(2))
    assert hand.begin() is not None
    assert hand.begin() is None
    hand.end(again)
    hand.settle(again)
    assert not hand.suspicious()
