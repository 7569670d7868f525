"""A driver that cancels a request at its n-th await, as a forced stop or a middleware does."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import suppress
from typing import Any

#: How a request may be cancelled: while it waits; when what it waited for has just come; again at each await that follows.
WAYS = ("while it waits", "just too late", "again and again")


class Cancelling:
    """Awaits ``work`` and cancels the task at await number ``at`` (from 1); ``reached`` says whether there was one."""

    def __init__(self, work: Coroutine[Any, Any, Any], at: int, way: str) -> None:
        self._work = work
        self._at = at
        self._way = way
        self._steps = 0

    @property
    def reached(self) -> bool:
        return self._steps >= self._at

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        step, value = self._work.send, None
        while True:
            try:
                waits_for = step(value)
            except StopIteration as end:
                return end.value
            self._steps += 1
            if self._steps == self._at or (self.reached and self._way == "again and again"):
                if self._way == "just too late" and asyncio.isfuture(waits_for):
                    waits_for.add_done_callback(lambda _: task.cancel())
                else:
                    task.cancel()
            try:
                value = yield waits_for
                step = self._work.send
            except BaseException as error:  # noqa: BLE001  # goes where it would have gone
                step, value = self._work.throw, error


def cancelled(work: Coroutine[Any, Any, Any], at: int, way: str) -> bool:
    """Run ``work`` on a loop of its own, cancelled at await ``at``; False if it ended before it came to that."""

    async def run() -> bool:
        driven = Cancelling(work, at, way)
        with suppress(asyncio.CancelledError):
            await driven
        return driven.reached

    return asyncio.run(run())
