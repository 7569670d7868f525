"""Errands of the event loop: blocking work is done in threads, and what comes of it is brought back.

One call wakes the loop for all that came until it runs: results of one commit come together, and each wake of a loop in
another thread costs as much as sealing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

#: Errands that run at once; most wait for a file or for the store.
_AT_ONCE = 40
_POOL = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="errand")


async def in_thread(work: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Do blocking work in a thread and return its result.

    A request that is cancelled meanwhile waits for its errand: nothing runs on behind its back.
    """
    errand = _POOL.submit(partial(work, *args, **named))
    try:
        return await _brought(errand)
    except asyncio.CancelledError:
        if not errand.cancel():
            await _over(errand)
        raise


async def until_stored(work: Callable[[], Future[T]], *, pool: ThreadPoolExecutor = _POOL, here: bool = False) -> T:
    """Begin ``work`` in a thread; return what the future holds that it returns, which is resolved after a commit.

    With ``here``, for work that waits for nothing and is soon done, it is begun on the loop: a change of thread costs more.
    """
    if here:
        return await _brought(work())
    stored: Future[T] = Future()
    pool.submit(_followed, work, stored)
    return await _brought(stored)


def _followed(work: Callable[[], Future[T]], stored: Future[T]) -> None:
    try:
        begun = work()
    except BaseException as error:  # noqa: BLE001  # whatever it is, the request that waits must be told
        stored.set_exception(error)
    else:
        begun.add_done_callback(partial(_copy, stored))


def _copy(target: Future[T], done: Future[T]) -> None:
    error = done.exception()
    if error is None:
        target.set_result(done.result())
    else:
        target.set_exception(error)


def _brought(done: Future[T]) -> asyncio.Future[T]:
    """Return a future of this loop that is settled with ``done``, which any thread may resolve."""
    loop = asyncio.get_running_loop()
    waiting: asyncio.Future[T] = loop.create_future()
    returns = _RETURNS.get(loop)
    if returns is None:
        returns = _RETURNS.setdefault(loop, _Returns(loop))
    done.add_done_callback(partial(returns.put, waiting))
    return waiting


async def _over(errand: Future[Any]) -> None:
    """Wait until a thread has ended its errand, whatever came of it."""
    (ended,), _ = await asyncio.wait([asyncio.wrap_future(errand)])
    ended.exception()


class _Returns:
    """Brings results back to one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._came: deque[tuple[asyncio.Future[Any], Future[Any]]] = deque()
        self._called = False

    def put(self, waiting: asyncio.Future[Any], done: Future[Any]) -> None:
        """Have ``waiting`` settled with ``done``; may be called from any thread."""
        self._came.append((waiting, done))
        if not self._called:
            self._called = True
            self._loop.call_soon_threadsafe(self._settle_all)

    def _settle_all(self) -> None:
        self._called = False  # First: what comes from now on calls again, so nothing is left behind.
        while self._came:
            _settle(*self._came.popleft())


def _settle(waiting: asyncio.Future[Any], done: Future[Any]) -> None:
    if waiting.done():
        return  # Whoever waited has given up; what is stored stays stored.
    if done.cancelled():
        waiting.cancel()
        return
    error = done.exception()
    if error is None:
        waiting.set_result(done.result())
    else:
        waiting.set_exception(error)


_RETURNS: WeakKeyDictionary[asyncio.AbstractEventLoop, _Returns] = WeakKeyDictionary()
