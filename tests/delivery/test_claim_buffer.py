"""The hand: what works counts, what only waits counts against a wider bound, and what is claimed ahead is soon begun."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from stage import VirtualClock

from hub.delivery.dispatcher import ClaimBuffer


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def buffer(clock) -> ClaimBuffer:
    return ClaimBuffer(2, patience=timedelta(seconds=5), clock=clock)


def claims(number, *, suspect=False):
    return [SimpleNamespace(delivery_id=uuid4(), fencing=1, suspect=suspect) for _ in range(number)]


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
    again = SimpleNamespace(delivery_id=first.delivery_id, fencing=2, suspect=True)
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
