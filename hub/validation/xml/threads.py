"""Threads of their own for documents that would leave too much behind.

lxml keeps every name that a thread has parsed in a dictionary of that thread, which is freed when the thread ends and not
before. A sender who invents names could fill it, a little with each document. So large documents are judged in a thread that
ends with them; and a thread that has judged many bytes of strange small ones hands all further ones to such threads too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Bytes of strange documents after which a thread is not used for parsing any more.
_ALLOWANCE = 4 * 1024 * 1024


class _Spent(threading.local):
    strange_bytes = 0


_spent = _Spent()


def note_strange(size: int) -> None:
    """Take down that this thread has parsed a document of ``size`` bytes which may hold names of its sender's own."""
    _spent.strange_bytes += size


def is_worn() -> bool:
    """Whether this thread has parsed enough strange names."""
    return _spent.strange_bytes > _ALLOWANCE


def in_own_thread(work: Callable[[], T]) -> T:
    """Do some work in a thread that ends with it, and return or raise what it returns or raises."""
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  # It is raised again, in the caller's thread.
            errors.append(error)

    thread = threading.Thread(target=run, name="validation", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
