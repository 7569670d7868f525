"""Errands of the event loop: nothing gets lost between threads, and nothing runs on behind a request's back."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import pytest
import spoiling

from hub.api import threads
from hub.api.threads import in_thread, until_stored
from hub.errors import Overloaded


def test_an_error_in_a_thread_reaches_who_waits():
    async def failing():
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await until_stored(lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await until_stored(lambda: 1 / 0, here=True)

    asyncio.run(failing())


def test_an_error_behind_the_commit_reaches_who_waits():
    async def failing(here):
        stored: Future[int] = Future()
        stored.set_exception(KeyError("gone"))
        with pytest.raises(KeyError):
            await until_stored(lambda: stored, here=here)

    asyncio.run(failing(here=False))
    asyncio.run(failing(here=True))


@pytest.mark.parametrize("here", [False, True], ids=["in a thread", "on the loop"])
def test_work_begins_where_it_is_told_to(here):
    async def begun():
        where: Future[str] = Future()

        def work():
            where.set_result(threading.current_thread().name)
            return where

        return await until_stored(work, here=here)

    assert (asyncio.run(begun()) == threading.main_thread().name) is here


def test_where_no_thread_is_to_be_had_the_caller_is_told_to_come_again_and_nothing_is_done_later(monkeypatch):
    """A pool keeps the work for which it got no thread, and the next thread would do it."""
    done: list[str] = []

    def stored(name: str) -> Future[str]:
        done.append(name)
        result: Future[str] = Future()
        result.set_result(name)
        return result

    async def asked(pool: ThreadPoolExecutor) -> None:
        refused = spoiling.give_no_thread(monkeypatch, "rare")
        with pytest.raises(Overloaded):
            await until_stored(lambda: stored("refused"), pool=pool)
        monkeypatch.setattr(threads, "_POOL", pool)
        with pytest.raises(Overloaded):
            await in_thread(done.append, "refused, too")
        assert len(refused) == 2
        monkeypatch.undo()
        assert await until_stored(lambda: stored("taken"), pool=pool) == "taken"

    with ThreadPoolExecutor(1, thread_name_prefix="rare") as pool:
        asyncio.run(asked(pool))
    assert done == ["taken"]


def test_where_a_pool_gets_no_further_thread_one_that_it_has_does_the_work(monkeypatch):
    async def asked(pool: ThreadPoolExecutor) -> None:
        monkeypatch.setattr(threads, "_POOL", pool)
        begun, goes_on = threading.Event(), threading.Event()
        first = asyncio.ensure_future(in_thread(lambda: (begun.set(), goes_on.wait(30))[1]))
        await asyncio.to_thread(begun.wait, 30)
        refused = spoiling.give_no_thread(monkeypatch, "few")
        second = asyncio.ensure_future(in_thread(lambda: "told"))
        await asyncio.sleep(0.05)
        goes_on.set()
        with suppress(Overloaded):  # Whoever was told so by then may come again.
            assert await second == "told"
        assert await first is True
        assert refused

    with ThreadPoolExecutor(2, thread_name_prefix="few") as pool:
        asyncio.run(asked(pool))


def test_what_one_commit_resolves_wakes_the_loop_once():
    async def counted():
        loop, wakes = asyncio.get_running_loop(), []
        wake = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = lambda *args, **named: (wakes.append(1), wake(*args, **named))[1]
        stored = [Future() for _ in range(50)]
        waiting = [asyncio.ensure_future(until_stored(lambda one=one: one, here=True)) for one in stored]
        await asyncio.sleep(0)

        # The loop is busy while the writer's thread resolves them all, as after a commit.
        writer = threading.Thread(target=lambda: [one.set_result(n) for n, one in enumerate(stored)])
        writer.start()
        writer.join()
        return await asyncio.gather(*waiting), len(wakes)

    results, wakes = asyncio.run(counted())
    assert results == list(range(50))
    assert wakes == 1


def test_a_request_that_is_cancelled_waits_for_its_errand():
    begun, go_on, ended = threading.Event(), threading.Event(), []

    def errand():
        begun.set()
        go_on.wait(5)
        ended.append(True)

    async def cancelled():
        task = asyncio.ensure_future(in_thread(errand))
        await asyncio.to_thread(begun.wait, 5)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return list(ended)

    assert asyncio.run(cancelled()) == [True]


def test_who_has_given_up_harms_nobody():
    async def given_up():
        stored: Future[int] = Future()
        other: Future[int] = Future()
        task = asyncio.ensure_future(until_stored(lambda: stored, here=True))
        staying = asyncio.ensure_future(until_stored(lambda: other, here=True))
        await asyncio.sleep(0)
        task.cancel()
        stored.set_result(1)
        other.set_result(2)
        return await staying

    assert asyncio.run(given_up()) == 2


def test_each_loop_gets_its_own():
    """One that ended with a result on its way must not swallow those of the next."""

    async def left_behind():
        stored: Future[int] = Future()
        task = asyncio.ensure_future(until_stored(lambda: stored, here=True))
        await asyncio.sleep(0)
        stored.set_result(1)
        task.cancel()

    async def answered():
        return await in_thread(lambda: "here")

    asyncio.run(left_behind())
    assert asyncio.run(answered()) == "here"


def test_no_loop_is_held_once_it_is_closed():
    async def answered():
        await in_thread(int)
        return weakref.ref(asyncio.get_running_loop())

    async def left_with_a_result_on_its_way(stored):
        task = asyncio.ensure_future(until_stored(lambda: stored, here=True))
        await asyncio.sleep(0)
        task.cancel()
        return weakref.ref(asyncio.get_running_loop())

    held = [asyncio.run(answered()) for _ in range(5)]
    late: list[Future[int]] = [Future() for _ in range(5)]
    held += [asyncio.run(left_with_a_result_on_its_way(stored)) for stored in late]
    for stored in late:
        stored.set_result(1)  # Of a commit that came when the loop was closed.
    late.clear()
    del stored
    gc.collect()
    assert [loop() for loop in held] == [None] * 10


def test_a_request_that_is_cancelled_again_and_again_waits_for_its_errand_all_the_same():
    begun, go_on, ended = threading.Event(), threading.Event(), []

    def errand():
        begun.set()
        go_on.wait(60)
        ended.append(True)
        raise ZeroDivisionError

    async def cancelled():
        task = asyncio.ensure_future(in_thread(errand))
        await asyncio.to_thread(begun.wait, 60)
        for _ in range(5):
            task.cancel()
            await asyncio.sleep(0.01)
            assert not task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return list(ended)

    assert asyncio.run(cancelled()) == [True]
