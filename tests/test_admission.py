"""Room for one more application: memory and disk."""

import ctypes
import gc
import threading
import time
import weakref

import pytest
import spoiling

from hub.admission import Admission, Trim, usable_cores
from hub.errors import Overloaded, StoreUnavailable


def admission(*, budget=100, free=1000, watermark=10):
    return Admission(memory_budget=budget, free_bytes=lambda: free, disk_watermark=watermark)


def test_below_the_watermark_nothing_is_taken_in():
    with pytest.raises(StoreUnavailable) as caught:
        admission(free=9).require_disk()
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
    admission(free=10).require_disk()
    with pytest.raises(StoreUnavailable):
        admission(free=9).require_disk()


def test_a_disk_that_had_room_is_asked_again_after_a_quarter_of_a_second():
    free, now = [1000], [0.0]
    room = Admission(memory_budget=1, free_bytes=lambda: free[0], disk_watermark=10, ticks=lambda: now[0])
    room.require_disk()
    free[0] = 9
    now[0] = 0.2
    room.require_disk()
    now[0] = 0.25
    with pytest.raises(StoreUnavailable):
        room.require_disk()


def test_a_full_disk_is_asked_each_time_so_that_room_counts_at_once():
    free = [9]
    room = Admission(memory_budget=1, free_bytes=lambda: free[0], disk_watermark=10, ticks=lambda: 0.0)
    with pytest.raises(StoreUnavailable):
        room.require_disk()
    free[0] = 10
    room.require_disk()


MEBI = 1024 * 1024
LARGE = 100 * MEBI


class Allocator:
    """Counts how often memory is given back; may fail, and may be waited for."""

    def __init__(self, *, fails: bool = False) -> None:
        self.times, self.fails, self.called = 0, fails, threading.Event()
        self.threads: set[str] = set()

    def __call__(self) -> None:
        self.times += 1
        self.threads.add(threading.current_thread().name)
        self.called.set()
        if self.fails:
            raise OSError("no")

    def came_in_time(self) -> bool:
        came = self.called.wait(60)
        self.called.clear()
        return came


def trimmed(allocator, **more) -> tuple[Admission, Trim]:
    trim = Trim(give_back=allocator, **{"share": 3 * MEBI, "rest": 0, "pause": 0} | more)
    return Admission(memory_budget=LARGE, free_bytes=lambda: 1, disk_watermark=0, trim=trim), trim


def use(room: Admission, size: int) -> None:
    held = room.reserve()
    held.grow(size)
    held.release()


def test_after_much_of_the_budget_was_released_memory_is_given_back_off_the_callers_thread():
    allocator = Allocator()
    room, _ = trimmed(allocator)
    use(room, 2 * MEBI)
    assert allocator.times == 0
    use(room, 2 * MEBI)
    assert allocator.came_in_time()
    assert allocator.threads == {"memory"}


def test_small_applications_never_cost_a_collection():
    allocator = Allocator()
    room, _ = trimmed(allocator, share=1)
    for _ in range(10_000):
        use(room, 100_000)
    assert allocator.times == 0


def test_memory_is_given_back_seldom_however_much_is_released():
    allocator = Allocator()
    room, trim = trimmed(allocator, rest=3600)
    use(room, 50 * MEBI)
    assert allocator.came_in_time()
    for _ in range(20):
        use(room, 50 * MEBI)
    assert allocator.times == 1
    assert trim.busy is True, "one thread waits for its time, and no more than one"
    assert sum(thread.name == "memory" for thread in threading.enumerate()) == 1


def test_an_allocator_that_fails_is_asked_again():
    allocator = Allocator(fails=True)
    room, trim = trimmed(allocator)
    for _ in range(2):
        use(room, 50 * MEBI)
        assert allocator.came_in_time()
        end = time.monotonic() + 60
        while trim.busy and time.monotonic() < end:
            time.sleep(0.01)
    assert allocator.times == 2


def test_without_a_thread_to_be_had_memory_is_given_back_with_the_next_release(monkeypatch):
    allocator = Allocator()
    room, trim = trimmed(allocator)
    refused = spoiling.give_no_thread(monkeypatch, "memory")
    use(room, 50 * MEBI)
    assert (refused, trim.busy, allocator.times) == (["memory"], False, 0)
    monkeypatch.undo()
    use(room, 2 * MEBI)
    assert allocator.came_in_time()


def test_cycles_that_were_left_are_collected_then():
    class Cycle:
        def __init__(self) -> None:
            self.me = self

    allocator = Allocator()
    room, _ = trimmed(allocator)
    gc.disable()
    try:
        gone = weakref.ref(Cycle())
        assert gone() is not None
        use(room, 50 * MEBI)
        assert allocator.came_in_time()
        assert gone() is None
    finally:
        gc.enable()


def test_without_glibc_nothing_is_done(monkeypatch):
    class Other:
        def __init__(self, _name) -> None:
            pass

    monkeypatch.setattr(ctypes, "CDLL", Other)
    trim = Trim(share=1, pause=0)
    before = threading.active_count()
    trim.released(LARGE)
    assert threading.active_count() == before


CGROUPS = {
    "no control groups": ({}, None),
    "version 2, no limit": ({"self/cgroup": "0::/", "fs/cgroup/cpu.max": "max 100000"}, None),
    "version 2, half a core": ({"self/cgroup": "0::/", "fs/cgroup/cpu.max": "50000 100000"}, 1),
    "version 2, a core and a half": ({"self/cgroup": "0::/a/b", "fs/cgroup/a/b/cpu.max": "150000 100000"}, 2),
    "version 2, the group above is narrower": (
        {"self/cgroup": "0::/a/b", "fs/cgroup/a/b/cpu.max": "max 100000", "fs/cgroup/a/cpu.max": "100000 100000"},
        1,
    ),
    "version 2 in a container that knows its name outside": (
        {"self/cgroup": "0::/../../kubepods/x", "fs/cgroup/cpu.max": "100000 100000"},
        1,
    ),
    "version 1": (
        {
            "self/cgroup": "4:cpu,cpuacct:/a",
            "fs/cgroup/cpu,cpuacct/a/cpu.cfs_quota_us": "100000",
            "fs/cgroup/cpu,cpuacct/a/cpu.cfs_period_us": "100000",
        },
        1,
    ),
    "version 1 in a container, whose group is the root of what is mounted": (
        {
            "self/cgroup": "1:cpu:/docker/0815",
            "fs/cgroup/cpu/cpu.cfs_quota_us": "200000",
            "fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        2,
    ),
    "version 1, no limit": (
        {
            "self/cgroup": "1:cpu:/",
            "fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            "fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
        None,
    ),
    "nonsense": ({"self/cgroup": "0::/", "fs/cgroup/cpu.max": "much of it"}, None),
}


@pytest.mark.parametrize(("files", "cores"), CGROUPS.values(), ids=CGROUPS)
def test_the_cores_to_use_are_those_that_control_groups_allow(files, cores, tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert usable_cores(proc=tmp_path, sys=tmp_path) == (cores or 8)


def test_a_limit_wider_than_the_machine_allows_no_more_than_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1})
    (tmp_path / "self").mkdir()
    (tmp_path / "self/cgroup").write_text("0::/\n")
    (tmp_path / "fs/cgroup").mkdir(parents=True)
    (tmp_path / "fs/cgroup/cpu.max").write_text("1600000 100000\n")
    assert usable_cores(proc=tmp_path, sys=tmp_path) == 2
