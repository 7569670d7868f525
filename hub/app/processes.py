"""Several processes that are one hub: a parent that serves nobody, and its children on one socket and one store.

The parent imports what its children need and opens nothing: no store, no key, no thread. So a child is forked whole and
quickly, at the start and whenever one died. One child makes everything ready before the others begin, and ends.

What the children must know of each other stands in memory that they share, one place each; nobody waits for anybody there.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import mmap
import os
import select
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from hub.supervision import Pauses, Supervisor

_log = logging.getLogger(__name__)

#: ``PR_SET_PDEATHSIG`` of prctl(2).
_SET_PARENT_DEATH_SIGNAL = 1
#: What the parent waits for.
_WATCHED = frozenset({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
#: What a terminal sends to all: the parent's to hear.
_NOT_FOR_CHILDREN = frozenset({signal.SIGINT, signal.SIGHUP})
#: Seconds between two looks whether all have begun.
_LOOK = 0.1
#: Seconds between two looks of a child whether its parent is still there, where the system does not tell it.
_ORPHANED = 0.5
#: Exit codes: somebody had to be killed; it did not start (as uvicorn has it).
_KILLED, _NOT_STARTED = 1, 3

#: A place in shared memory: numbers of eight bytes, and names of loops that are dead.
_NUMBERS, _NAMES = 8, 448
_SIZE = _NUMBERS * 8 + _NAMES
_UP, _CONNECTIONS, _MEMORY, _TRIED, _DEATHS, _PID = range(6)


class Board:
    """What children say of themselves, one place each. Numbers are written whole; a name may be read half written, once."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._bytes = mmap.mmap(-1, _SIZE * len(self.names))
        self._numbers = memoryview(self._bytes).cast("q")
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)  # its only parameter
        os.set_blocking(self._writer, False)

    def get(self, place: int, what: int) -> int:
        """Return a number."""
        return self._numbers[place * (_SIZE // 8) + what]

    def put(self, place: int, what: int, value: int) -> None:
        """Write a number."""
        self._numbers[place * (_SIZE // 8) + what] = value

    def dead_loops(self, place: int) -> tuple[str, ...]:
        """Return the names of a child's loops that are dead."""
        start = place * _SIZE + _NUMBERS * 8
        said = self._bytes[start : start + _NAMES].rstrip(b"\0").decode("ascii", errors="replace")
        return tuple(said.split()) if said else ()

    def put_dead_loops(self, place: int, names: Sequence[str]) -> None:
        """Write the names of a child's loops that are dead."""
        start = place * _SIZE + _NUMBERS * 8
        self._bytes[start : start + _NAMES] = " ".join(names).encode("ascii", "replace")[:_NAMES].ljust(_NAMES, b"\0")

    def died(self, place: int, *, counts: bool) -> None:
        """Forget what a child said that is gone; ``counts``: nobody told it to end."""
        for what in (_UP, _CONNECTIONS, _MEMORY, _TRIED, _PID):
            self.put(place, what, 0)
        self.put_dead_loops(place, ())
        if counts:
            self.put(place, _DEATHS, self.get(place, _DEATHS) + 1)

    def all_up(self) -> bool:
        """Say whether every child has begun."""
        return all(self.get(place, _UP) for place in range(len(self.names)))

    def wake(self) -> None:
        """Wake the child that delivers; one that is being woken needs no second call."""
        with suppress(BlockingIOError):
            os.write(self._writer, b"\0")

    def woken(self, seconds: float) -> bool:
        """Wait until somebody wakes, ``seconds`` at most; say whether somebody did."""
        readable, _, _ = select.select([self._reader], [], [], seconds)
        return bool(readable) and bool(os.read(self._reader, 65536))


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """What this process uses of something that all share, and what the others do (see :class:`hub.admission.Ledger`)."""

    board: Board
    place: int
    what: int

    def note(self, used: int) -> None:
        """Say how much this process uses."""
        self.board.put(self.place, self.what, used)

    def others(self) -> int:
        """Return how much all others use."""
        places = range(len(self.board.names))
        return sum(self.board.get(each, self.what) for each in places if each != self.place)


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A child's view of all."""

    board: Board
    place: int
    #: The parent's process id.
    parent: int

    @property
    def name(self) -> str:
        """How this child is called in logs, metrics and readiness."""
        return self.board.names[self.place]

    @property
    def memory(self) -> Share:
        """Plaintext in memory."""
        return Share(board=self.board, place=self.place, what=_MEMORY)

    @property
    def tried(self) -> Share:
        """Messages in memory that strangers try."""
        return Share(board=self.board, place=self.place, what=_TRIED)

    def begun(self) -> None:
        """Say that this child does its work now."""
        self.board.put(self.place, _PID, os.getpid())
        self.board.put(self.place, _UP, 1)

    @property
    def delivers(self) -> bool:
        """Whether this child delivers, and serves nobody."""
        return self.name == DELIVERING

    def orphaned(self) -> bool:
        """Say whether the parent is gone, where the system did not tell."""
        return os.getppid() != self.parent

    def note_connections(self, number: int) -> None:
        """Say how many connections this child has."""
        self.board.put(self.place, _CONNECTIONS, number)

    def busier(self) -> bool:
        """Say whether another child that serves has fewer connections than this one."""
        mine = self.board.get(self.place, _CONNECTIONS)
        return any(
            self.board.get(each, _UP) and self.board.get(each, _CONNECTIONS) < mine
            for each, name in enumerate(self.board.names)
            if each != self.place and name != DELIVERING
        )

    def tell_down(self, names: Sequence[str]) -> None:
        """Say which loops of this child are dead at the moment."""
        self.board.put_dead_loops(self.place, names)

    def down(self) -> tuple[str, ...]:
        """Name the other children that do not work at the moment, and their loops that are dead."""
        names: list[str] = []
        for each, name in enumerate(self.board.names):
            if each != self.place:
                names += [*([] if self.board.get(each, _UP) else [name]), *self.board.dead_loops(each)]
        return tuple(dict.fromkeys(names))

    def metrics(self) -> Iterator[Metric]:
        """Yield what the parent counted, who works, and what each process takes of the machine."""
        deaths = CounterMetricFamily(
            "hub_process_deaths", "Times a process of the hub died and was begun again.", labels=["process"]
        )
        up = GaugeMetricFamily(
            "hub_process_up", "Whether a process of the hub works (1) or not (0).", labels=["process"]
        )
        for each, name in enumerate(self.board.names):
            deaths.add_metric([name], self.board.get(each, _DEATHS))
            up.add_metric([name], self.board.get(each, _UP))
        yield deaths
        yield up
        pids = {name: self.board.get(each, _PID) for each, name in enumerate(self.board.names)}
        yield from _taken({name: pid for name, pid in pids.items() if pid} | {"parent": self.parent})


def _taken(pids: Mapping[str, int]) -> Iterator[Metric]:
    """Yield the client library's ``process_*`` of each of these processes, told apart by the label ``process``."""
    families: dict[str, Metric] = {}
    for name, pid in pids.items():
        for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            family = families.setdefault(metric.name, Metric(metric.name, metric.documentation, metric.type))
            family.samples += [each._replace(labels={**each.labels, "process": name}) for each in metric.samples]
    yield from families.values()


#: The child that delivers and keeps the periodic duties; the others are numbered from 1.
DELIVERING = "delivering"


def serving_names(number: int, *, work: bool) -> list[str]:
    """Return the names of so many children that serve, and of the one that delivers where one is wanted."""
    return [*(f"serving-{each}" for each in range(1, number + 1)), *([DELIVERING] if work else [])]


@dataclass(kw_only=True, slots=True)
class _Child:
    """One place as the parent sees it: ``pid`` 0 while nobody holds it, to be filled at ``due`` (monotonic seconds)."""

    pid: int = 0
    began: float = 0.0
    due: float = 0.0
    deaths: int = 0
    ending: bool = False


@dataclass(kw_only=True, slots=True)
class Parent:
    """The parent. ``run`` returns its exit code; in a child it does the child's work and leaves by ``SystemExit``.

    ``prepare`` is done by a child of its own before the others begin. ``work`` is done by each child, in its place. Children
    that were told to end have ``grace`` seconds to finish what they began.
    """

    board: Board
    prepare: Callable[[], None]
    work: Callable[[Member], None]
    grace: float
    pauses: Pauses = field(default_factory=Pauses)
    _children: list[_Child] = field(default_factory=list)
    _renewing: deque[int] = field(default_factory=deque)
    _stopping: bool = False
    _until: float = 0.0
    _code: int = 0
    _complete: bool = False

    def run(self) -> int:
        """Keep the children up until this process is told to end; return the exit code: 0 if all ended in order."""
        gc.collect()
        gc.freeze()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            code = self._prepared()
            if code:
                return code
            self._children = [_Child() for _ in self.board.names]
            while not self._over():
                self._fill()
                self._hear(signal.sigtimedwait(_WATCHED, self._patience()))
            return self._code
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)

    def _prepared(self) -> int:
        """Have a child make everything ready; return its exit code."""
        pid = self._fork()
        if not pid:
            self.prepare()
            raise SystemExit(0)
        while True:
            heard = signal.sigwaitinfo(_WATCHED).si_signo
            if heard == signal.SIGCHLD:
                done, status = os.waitpid(pid, os.WNOHANG)
                if done:
                    code = os.waitstatus_to_exitcode(status)
                    return code if code >= 0 else _NOT_STARTED
            elif heard != signal.SIGHUP:
                os.kill(pid, signal.SIGTERM)

    def _fork(self) -> int:
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            _end_with(parent)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, _NOT_FOR_CHILDREN)
        return pid

    def _fill(self) -> None:
        """Begin the children that are due."""
        now, parent = time.monotonic(), os.getpid()
        for place, child in enumerate(self._children):
            if child.pid or self._stopping or child.due > now:
                continue
            pid = self._fork()
            if not pid:
                self.work(Member(board=self.board, place=place, parent=parent))
                raise SystemExit(0)
            child.pid, child.began, child.ending = pid, now, False

    def _patience(self) -> float:
        """Return seconds after which to look again; signals come at once."""
        now = time.monotonic()
        if self._stopping:
            return max(0.01, min(self._until - now, 1.0))
        due = [child.due - now for child in self._children if not child.pid]
        if not self._complete or self._renewing:
            due.append(_LOOK)
        return max(0.0, min(due)) if due else 3600.0

    def _hear(self, heard: signal.struct_siginfo | None) -> None:
        number = 0 if heard is None else heard.si_signo
        if number in {signal.SIGTERM, signal.SIGINT}:
            self._stop()
        elif number == signal.SIGHUP and not self._stopping:
            self._renewing = deque(range(len(self._children)))
        # Asked before anybody is buried: whoever dies after all have begun is begun again.
        self._complete = self._complete or self.board.all_up()
        self._reap()
        if self._stopping and time.monotonic() >= self._until:
            self._kill()
        elif self.board.all_up():
            self._renew()

    def _reap(self) -> None:
        for place, child in enumerate(self._children):
            if not child.pid:
                continue
            done, status = os.waitpid(child.pid, os.WNOHANG)
            if done:
                self._bury(place, child, os.waitstatus_to_exitcode(status))

    def _bury(self, place: int, child: _Child, code: int) -> None:
        pid, child.pid = child.pid, 0
        self.board.died(place, counts=not child.ending)
        if self._stopping:
            return
        if child.ending:
            child.due = 0.0
            return
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if not self._complete:
            _log.error("process %s (%d) ended with %s before the hub had started", self.board.names[place], pid, how)
            self._code = code if code > 0 else _NOT_STARTED
            self._stop()
            return
        now = time.monotonic()
        child.deaths = 1 if now - child.began > self.pauses.longest else child.deaths + 1
        pause = self.pauses.after(child.deaths)
        child.due = now + pause
        _log.error("process %s (%d) died: %s; it begins again in %g s", self.board.names[place], pid, how, pause)

    def _renew(self) -> None:
        """Have the next child end, which is then begun anew: one after the other, so that the hub goes on."""
        if self._stopping or not self._renewing or any(child.ending for child in self._children):
            return
        child = self._children[self._renewing.popleft()]
        child.ending = True
        os.kill(child.pid, signal.SIGTERM)

    def _stop(self) -> None:
        """Tell all to end."""
        if not self._stopping:
            self._stopping = True
            self._until = time.monotonic() + self.grace
        for child in self._children:
            if child.pid:
                child.ending = True
                os.kill(child.pid, signal.SIGTERM)

    def _kill(self) -> None:
        """End who did not end in time."""
        for place, child in enumerate(self._children):
            if child.pid:
                _log.error("process %s did not end within %g s and is killed", self.board.names[place], self.grace)
                self._code = self._code or _KILLED
                os.kill(child.pid, signal.SIGKILL)
        self._until = time.monotonic() + self.grace

    def _over(self) -> bool:
        return self._stopping and not any(child.pid for child in self._children)


@contextmanager
def woken(wake: Callable[[], None], supervisor: Supervisor, board: Board) -> Iterator[None]:
    """Call ``wake`` whenever another process says that something is due, until the block ends."""

    def run(stop: threading.Event) -> None:
        while not stop.is_set():
            if board.woken(_ORPHANED):
                wake()

    loop = supervisor.begin("wake-ups", run)
    try:
        yield
    finally:
        loop.end()


def until_ended(member: Member | None = None) -> None:
    """Wait until this process is told to end (SIGTERM, SIGINT), or its parent is gone."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    while not stop.wait(None if member is None else _ORPHANED):
        if member is not None and member.orphaned():
            return


def _end_with(parent: int) -> None:
    """Have this process told to end when its parent does, however that ends; end now if it is gone already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(_NOT_STARTED)
