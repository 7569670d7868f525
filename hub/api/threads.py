"""Errands of the event loop: blocking work is done in threads, and what comes of it is brought back.

One call wakes the loop for all that came until it runs: results of one commit come together, and each wake of a loop in
another thread costs as much as sealing.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, ref

from hub.errors import Overloaded, Text

T = TypeVar("T")

_NO_THREAD = Overloaded(
    Text(
        "Dem Hub fehlt gerade ein Thread. Nichts ist geschehen; bitte gleich noch einmal versuchen.",
        "The hub lacks a thread just now. Nothing was done; please try again shortly.",
    )
)
#: Errands that run at once; most wait for a file or for the store.
_AT_ONCE = 40
_POOL = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="errand")


async def in_thread(work: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Do blocking work in a thread and return its result.

    A request that is cancelled meanwhile waits for its errand: nothing runs on behind its back.
    """
    errand: Future[Any] = Future()
    _handed_out(_POOL, errand, partial(_done, errand, partial(work, *args, **named)))
    try:
        return await _brought(errand)
    except asyncio.CancelledError:
        if not errand.cancel():
            await over(asyncio.wrap_future(errand))
        raise


async def until_stored(work: Callable[[], Future[T]], *, pool: ThreadPoolExecutor = _POOL, here: bool = False) -> T:
    """Begin ``work`` in a thread; return what the future holds that it returns, which is resolved after a commit.

    With ``here``, for work that waits for nothing and is soon done, it is begun on the loop: a change of thread costs more.
    """
    if here:
        return await _brought(work())
    stored: Future[T] = Future()
    _handed_out(pool, stored, partial(_followed, work, stored))
    return await _brought(stored)


def _handed_out(pool: ThreadPoolExecutor, result: Future[T], work: Callable[[], None]) -> None:
    """Have a thread do ``work``, which begins only if it can claim ``result``.

    Raises:
        Overloaded: the system has no thread left, and none had begun by then. The pool keeps the work all the same, so without
            the claim it would be done later, behind the back of a request that was told otherwise.
    """
    try:
        pool.submit(work)
    except RuntimeError as exc:
        if result.cancel():
            raise _NO_THREAD from exc


def _done(errand: Future[T], work: Callable[[], T]) -> None:
    if not errand.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  # whatever it is, the request that waits must be told
        errand.set_exception(error)
    else:
        errand.set_result(result)


def _followed(work: Callable[[], Future[T]], stored: Future[T]) -> None:
    if not stored.set_running_or_notify_cancel():
        return
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
        returns = _RETURNS.setdefault(loop, _Returns())
    done.add_done_callback(partial(returns.put, waiting))
    return waiting


async def over(errand: asyncio.Future[Any]) -> None:
    """Wait until an errand has ended, whatever comes of it, and however often the request is cancelled meanwhile.

    For a request that is cancelled anyway: its caller raises that, and nothing of it runs on in a thread.
    """
    while not errand.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([errand])
    if not errand.cancelled():
        errand.exception()


class _Batch:
    """Results that one call brings to a loop. The loop alone holds it: what a closed loop never took goes with the loop."""

    def __init__(self, lock: threading.Lock) -> None:
        self._lock = lock
        self.came: list[tuple[asyncio.Future[Any], Future[Any]]] = []
        self.begun = False

    def settle(self) -> None:
        with self._lock:
            self.begun = True  # What comes from now on is another batch's.
        for waiting, done in self.came:
            _settle(waiting, done)


class _Returns:
    """Brings results back to one loop, and holds neither the loop nor anything of its."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batch: Callable[[], _Batch | None] = lambda: None

    def put(self, waiting: asyncio.Future[Any], done: Future[Any]) -> None:
        """Have ``waiting`` settled with ``done``; may be called from any thread."""
        with self._lock:
            batch = self._batch()
            if batch is not None and not batch.begun:
                batch.came.append((waiting, done))
                return
            batch = _Batch(self._lock)
            batch.came.append((waiting, done))
            self._batch = ref(batch)
            with suppress(RuntimeError):  # The loop is closed: nobody waits there any more.
                waiting.get_loop().call_soon_threadsafe(batch.settle)


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
