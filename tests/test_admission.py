"""Room for one more application: memory and disk."""

import pytest

from hub.admission import Admission
from hub.errors import Overloaded, StoreUnavailable


def admission(*, budget=100, free=1000, watermark=10):
    return Admission(memory_budget=budget, free_bytes=lambda: free, disk_watermark=watermark)


def test_below_the_watermark_nothing_is_taken_in():
    with pytest.raises(StoreUnavailable) as caught:
        admission(free=9).check_disk()
    assert caught.value.retry_after.total_seconds() > 0


def test_over_the_memory_budget_an_application_has_to_wait_and_takes_nothing():
    room = admission()
    first, second = room.reserve(), room.reserve()
    first.grow(60)
    with pytest.raises(Overloaded):
        second.grow(50)
    second.grow(40)


def test_what_is_released_can_be_used_again_and_a_second_release_changes_nothing():
    room = admission()
    first = room.reserve()
    first.grow(100)
    first.release()
    first.release()
    again = room.reserve()
    again.grow(100)
    with pytest.raises(Overloaded):
        room.reserve().grow(1)


def test_above_the_watermark_there_is_room():
    admission(free=10).check_disk()


def test_a_disk_that_had_room_is_asked_again_after_a_quarter_of_a_second():
    free, now = [1000], [0.0]
    room = Admission(memory_budget=1, free_bytes=lambda: free[0], disk_watermark=10, ticks=lambda: now[0])
    room.check_disk()
    free[0] = 9
    now[0] = 0.2
    room.check_disk()
    now[0] = 0.25
    with pytest.raises(StoreUnavailable):
        room.check_disk()


def test_a_full_disk_is_asked_each_time_so_that_room_counts_at_once():
    free = [9]
    room = Admission(memory_budget=1, free_bytes=lambda: free[0], disk_watermark=10, ticks=lambda: 0.0)
    with pytest.raises(StoreUnavailable):
        room.check_disk()
    free[0] = 10
    room.check_disk()
