"""Slots: what works counts, what only waits counts against a wider bound."""

from __future__ import annotations

from uuid import uuid4

import pytest
from stage import VirtualClock

from hub.slots import Slots


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def slots(clock) -> Slots:
    return Slots(2, clock=clock)


def taken(slots, number):
    ids = [uuid4() for _ in range(number)]
    slots.take(ids)
    return ids


def test_what_works_holds_its_slot(slots, clock):
    first, _ = taken(slots, 2)
    assert slots.free() == 0
    slots.give_back(first)
    assert slots.free() == 1


def test_what_waits_gives_its_slot_to_others_but_not_without_end(slots, clock):
    for _ in range(4):
        taken(slots, 2)
        assert slots.free() == 0
        clock.pass_(seconds=1)
    assert slots.most == 8
    assert slots.free() == 0


def test_near_the_bound_no_more_begin_than_fit(slots, clock):
    ids = taken(slots, 8)
    clock.pass_(seconds=1)
    slots.give_back(ids[0])
    assert slots.free() == 1


def test_what_is_given_back_twice_or_was_never_taken_changes_nothing(slots):
    (one,) = taken(slots, 1)
    for _ in range(2):
        slots.give_back(one)
        slots.give_back(uuid4())
    assert slots.free() == 2


def test_a_clock_that_jumps_back_frees_nothing(slots, clock):
    taken(slots, 2)
    clock.pass_(seconds=-60)
    assert slots.free() == 0
