"""Key pairs for the ways back, made ahead: one RSA-4096 pair takes 0.4 s, which no request shall wait for.

A pair belongs to one application. The public half goes into its metadata, the private half into what the applicant keeps.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.crypto import make_rsa_pair
from hub.supervision import Loop, Supervisor

#: Pairs that wait. Each is made while nobody asks for one.
POOL = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplyPair:
    """A pair as JWKs: ``public`` (wrapKey) and ``private`` (unwrapKey)."""

    public: Mapping[str, Any]
    private: Mapping[str, Any] = field(repr=False)


def _make() -> ReplyPair:
    public, private = make_rsa_pair("encryption", kid_prefix="reply-")
    return ReplyPair(public=public, private=private)


class ReplyKeys:
    """The pool. ``take`` may be called from any thread; ``make`` is replaced in tests alone."""

    def __init__(self, *, size: int = POOL, make: Callable[[], ReplyPair] = _make) -> None:
        self._make = make
        self._ready: queue.Queue[ReplyPair] = queue.Queue(maxsize=size)
        self._wanted = threading.Event()
        self._loop: Loop | None = None

    def start(self, supervisor: Supervisor | None = None) -> None:
        """Have a thread ready that makes pairs once :meth:`expect` has said that somebody will need one."""
        self._loop = (supervisor or Supervisor()).begin("reply-keys", self._fill, daemon=True)

    def expect(self) -> None:
        """Say that somebody has begun what will need a pair; by then some are ready."""
        self._wanted.set()

    def close(self) -> None:
        """Stop making pairs; those that wait are forgotten."""
        if self._loop is not None:
            self._loop.stop.set()
        self._wanted.set()
        while not self._ready.empty():
            self._ready.get_nowait()
        if self._loop is not None:
            self._loop.end()

    def take(self, *, wait: float) -> ReplyPair | None:
        """Return a pair that nobody else gets; None if there is none within so many seconds."""
        self._wanted.set()
        try:
            return self._ready.get(timeout=wait)
        except queue.Empty:
            return None

    def _fill(self, stop: threading.Event) -> None:
        self._wanted.wait()
        while not stop.is_set():
            pair = self._make()
            while not stop.is_set():
                try:
                    self._ready.put(pair, timeout=0.5)
                    break
                except queue.Full:
                    continue
