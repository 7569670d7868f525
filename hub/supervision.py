"""Loops that live as long as the hub, each watched: one that dies is logged, counted, begun anew, and seen by readiness.

A loop takes a ``stop`` event and returns once that is set; ending in any other way, by an exception of whatever kind or
by returning early, is a death. It begins again after a pause that doubles from death to death, and is the shortest again
for a loop that lived for longer than the longest. Nothing but a clean stop ends it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

_log = logging.getLogger(__name__)

Run: TypeAlias = Callable[[threading.Event], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pauses:
    """Seconds before a loop that died begins again: ``first``, doubling to ``longest``."""

    first: float = 0.5
    longest: float = 30.0

    def after(self, deaths: int) -> float:
        """Return the pause after so many deaths in a row (from 1)."""
        return min(self.first * 2.0 ** min(deaths - 1, 60), self.longest)


@dataclass(kw_only=True, slots=True)
class Loop:
    """One loop under watch, in a thread of its own or, with ``attend``, in its caller's."""

    name: str
    stop: threading.Event
    thread: threading.Thread | None = None
    down: bool = False

    def end(self) -> None:
        """Have it stop, and wait until it has."""
        self.stop.set()
        if self.thread is not None:
            self.thread.join()


class Supervisor:
    """Watches loops. ``fell`` is told the name of each that dies, ``changed`` all that are dead; both must return at once."""

    def __init__(
        self,
        *,
        pauses: Pauses | None = None,
        fell: Callable[[str], None] | None = None,
        changed: Callable[[tuple[str, ...]], None] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pauses = pauses or Pauses()
        self._fell = fell or _unheard
        self._changed = changed or _unheard
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._loops: list[Loop] = []

    def begin(self, name: str, run: Run, *, daemon: bool = False) -> Loop:
        """Run a loop in a thread of its own until :meth:`Loop.end`."""
        loop = Loop(name=name, stop=threading.Event())
        loop.thread = threading.Thread(target=self._keep, args=[loop, run], name=name, daemon=daemon)
        self._note(loop)
        try:
            loop.thread.start()
        except BaseException:
            self._forget(loop)
            raise
        return loop

    def attend(self, name: str, run: Run, stop: threading.Event) -> None:
        """Run a loop in the caller's thread until ``stop`` is set."""
        loop = Loop(name=name, stop=stop)
        self._note(loop)
        self._keep(loop, run)

    def down(self) -> tuple[str, ...]:
        """Return the names of the loops that are dead at the moment, each once."""
        with self._lock:
            return tuple(dict.fromkeys(loop.name for loop in self._loops if loop.down))

    def _keep(self, loop: Loop, run: Run) -> None:
        deaths = 0
        try:
            while not loop.stop.is_set():
                began = self._monotonic()
                if _lived_well(loop, run):
                    return
                deaths = 1 if self._monotonic() - began > self._pauses.longest else deaths + 1
                self._bury(loop, self._pauses.after(deaths))
        finally:
            self._forget(loop)

    def _bury(self, loop: Loop, pause: float) -> None:
        loop.down = True
        try:
            self._fell(loop.name)
        except Exception:  # noqa: BLE001  # the loop matters more than its count
            _log.exception("%s: its death was not counted", loop.name)
        self._changed(self.down())
        loop.stop.wait(pause)
        loop.down = False
        self._changed(self.down())

    def _note(self, loop: Loop) -> None:
        with self._lock:
            self._loops.append(loop)

    def _forget(self, loop: Loop) -> None:
        with self._lock:
            self._loops = [each for each in self._loops if each is not loop]


def _lived_well(loop: Loop, run: Run) -> bool:
    """Run a loop once; return whether it ended because it was told to."""
    try:
        run(loop.stop)
    except BaseException:  # noqa: BLE001  # nobody waits for this thread; a library may raise what is no Exception
        _log.exception("%s: the loop died and begins again", loop.name)
        return False
    if loop.stop.is_set():
        return True
    _log.error("%s: the loop ended untold and begins again", loop.name)
    return False


def _unheard(_what: object) -> None:
    """Tell nobody."""
