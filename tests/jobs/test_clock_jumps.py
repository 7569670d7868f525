"""A clock that jumps, forward or back, costs time or a flagged repeat; it never costs a delivery or the proof."""

from __future__ import annotations

from datetime import timedelta

import pytest
from stage import VirtualClock
from store_values import HUB, LEASE, MINUTE, NOW, accepted, claim, known_destination, record

from hub.crypto import HubKeys
from hub.delivery.attempt import Leases
from hub.model import SteadyClock
from hub.proof.checkpoints import Checkpoints

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def there(store):
    return known_destination(store).destination_id


def test_a_jump_forward_ends_leases_early_and_the_repeat_is_flagged(store, there):
    accepted(store, there)
    (first,) = claim(store, node="a")
    (second,) = claim(store, node="b", now=NOW + DAY)
    assert (second.repeat, second.delivery_id) == (True, first.delivery_id)
    assert not record(store, first)
    assert record(store, second)
    assert claim(store, now=NOW + 2 * DAY) == []


def test_a_jump_back_delays_what_a_dead_node_held_and_loses_nothing(store, there):
    accepted(store, there)
    claim(store, node="a", now=NOW + HOUR)
    # The holder is dead and the clock is right again: until the lease is over by the right clock, nobody gets it.
    assert claim(store, node="b") == []
    assert claim(store, node="b", now=NOW + HOUR) == []
    (again,) = claim(store, node="b", now=NOW + HOUR + LEASE)
    assert again.repeat
    assert record(store, again)


def test_a_jump_back_during_an_attempt_keeps_its_result(store, there):
    accepted(store, there)
    (held,) = claim(store, now=NOW + HOUR)
    assert record(store, held, started_at=NOW + HOUR, ended_at=NOW)
    assert claim(store, now=NOW + DAY) == []


def test_what_is_accepted_before_the_jump_back_is_delivered_when_its_time_comes(store, there):
    accepted(store, there, due=NOW + HOUR)
    assert claim(store) == []
    assert store.queue.next_due() == NOW + HOUR
    assert len(claim(store, now=NOW + HOUR)) == 1


def test_a_duty_goes_on_with_its_holder_whatever_the_clock_does(store):
    first = store.duties.hold("checkpoint", node="a", now=NOW, lease=MINUTE)
    for now in (NOW - DAY, NOW - DAY + MINUTE / 2, NOW):
        assert store.duties.hold("checkpoint", node="a", now=now, lease=MINUTE) is not None
    assert store.duties.hold("checkpoint", node="b", now=NOW + DAY, lease=MINUTE) > first


def test_checkpoints_verify_although_their_times_run_backwards(store, there, tmp_path):
    ring = HubKeys.load_or_create(tmp_path / "ring", NOW, create=True)
    checkpoints = Checkpoints(store=store, keys=ring, issuer=HUB)
    for now in (NOW, NOW - DAY, NOW + DAY):
        accepted(store, there)
        assert checkpoints.make(now) == 1
    assert checkpoints.verify().findings == ()


def test_who_slept_through_a_lease_does_not_begin(store, there):
    clock = VirtualClock()
    leases = Leases(store=store, lease=LEASE, longest=HOUR, clock=clock)
    accepted(store, there)
    (held,) = claim(store)
    leases.taken([held], at=clock())
    clock.now += LEASE - timedelta(seconds=1)
    assert not leases.lapsed(held)
    clock.now += timedelta(seconds=1)
    assert leases.lapsed(held)
    with leases.held(held):
        leases.renew()
    assert not leases.lapsed(held)  # Forgotten with the end of the attempt.


def steady_clock():
    wall, ticks = VirtualClock(), [0.0]
    return wall, ticks, SteadyClock(wall, monotonic=lambda: ticks[0])


def passes(wall, ticks, seconds, *, step=0.0):
    wall.pass_(seconds=seconds + step)
    ticks[0] += seconds


def test_what_passes_does_not_stand_still_while_the_clock_is_set_back():
    wall, ticks, steady = steady_clock()
    start = steady()
    for seconds, step in ((10, 0), (10, -300), (10, 0), (3600, -3599), (10, -10)):
        before = steady()
        passes(wall, ticks, seconds, step=step)
        assert steady() - before == timedelta(seconds=seconds)
    assert steady() - start == timedelta(seconds=3640)


def test_what_passes_while_the_machine_sleeps_counts():
    wall, _ticks, steady = steady_clock()
    start = steady()
    wall.pass_(hours=8)
    assert steady() - start == timedelta(hours=8)


def test_without_a_step_the_pace_is_the_wall_clocks():
    wall, ticks, steady = steady_clock()
    start = steady()
    passes(wall, ticks, 100, step=-0.4)
    assert steady() - start == timedelta(seconds=99.6)


def test_a_lease_is_renewed_and_lapses_although_the_clock_is_set_back(store, there):
    clock, ticks = VirtualClock(), [0.0]
    leases = Leases(store=store, lease=LEASE, longest=HOUR, clock=clock, monotonic=lambda: ticks[0])
    accepted(store, there)
    (held,) = claim(store)
    leases.taken([held], at=leases.steady())
    with leases.held(held):
        passes(clock, ticks, 60, step=-3600)
        assert leases.renew() == 1
        assert not leases.lapsed(held)
        passes(clock, ticks, LEASE.total_seconds())
        assert leases.lapsed(held)


def test_a_lease_that_went_to_another_is_not_renewed_and_its_result_is_refused(store, there):
    clock, ticks = VirtualClock(), [0.0]
    leases = Leases(store=store, lease=LEASE, longest=HOUR, clock=clock, monotonic=lambda: ticks[0])
    accepted(store, there)
    (late,) = claim(store)
    leases.taken([late], at=leases.steady())
    with leases.held(late):
        (other,) = claim(store, now=NOW + 2 * LEASE, node="node-b")
        assert other.fencing > late.fencing
        passes(clock, ticks, LEASE.total_seconds())
        assert leases.renew() == 0
        assert leases.lapsed(late)
    assert not record(store, late)
    assert record(store, other)
