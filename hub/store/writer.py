"""The one writer of a process: many small writes, one durable commit (group commit).

All writes that wait are run in one transaction and their futures resolve after its commit, so a caller's answer means
stored and synced, at the price of a fraction of a sync. A write that fails never harms its neighbours: the transaction is
rolled back and every write of it is run again in a transaction of its own. Writes are therefore pure closures over values
and may run twice. Whatever the thread itself dies of, those who wait are told that nothing is certain, and it begins again.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from hub.errors import Overloaded, Refused, StoreUnavailable, Text
from hub.store.engine import translated, unavailable
from hub.supervision import Supervisor

_log = logging.getLogger(__name__)
T = TypeVar("T")

#: Writes that share one commit at most; beyond some dozens a larger batch saves nothing and delays everybody in it.
BATCH = 128
#: Writes that may wait before new ones are turned away.
WAITING = 4096
#: Seconds to wait for company, if the batch before had any: a commit costs about the same for one as for a dozen.
_LINGER = 0.002
#: Seconds between two looks whether it is this process's turn: a commit takes a few milliseconds.
_SHORTEST_LOOK = 0.0002
_LONGEST_LOOK = 0.001
#: Writes in a row that the database must fail before it counts as down: one alone may have itself to blame.
_DOWN = 2


def _nobody() -> None:
    """Wake nobody."""


class Declined(Exception):
    """A signal to the writer: a write was refused before it changed anything, so its neighbours need no second run."""

    def __init__(self, error: Refused) -> None:
        """Carry the error that the caller gets."""
        super().__init__()
        self.error = error


@contextmanager
def nothing_written() -> Iterator[None]:
    """Mark the part of a write that only looks: what it refuses costs its neighbours nothing."""
    try:
        yield
    except Refused as error:
        raise Declined(error) from None


class Joint(ABC):
    """A write of which many run at once more cheaply than one by one: each statement once for all of them."""

    @classmethod
    @abstractmethod
    def many(cls, connection: Connection, writes: Sequence[Self]) -> list[Any]:
        """Run ``writes`` and return their results in order; an error makes each run alone."""

    def __call__(self, connection: Connection) -> Any:
        """Run this one alone."""
        return self.many(connection, [self])[0]


class Turns:
    """Turns of several processes at the write lock of one SQLite file: who waits comes next, and nobody twice before.

    SQLite's own waiting sleeps ever longer, so whoever commits again at once gets the lock again. Here two files beside the
    database are locked: in the first waits who comes next, and the second is held until the commit. Both locks are the
    kernel's and end with the process that has them, however it ends. Waiting is bounded, as SQLite's is, so that a process
    that was stopped in its turn stops nobody for good; so it looks again and again instead of sleeping in the kernel.
    """

    def __init__(self, database: Path, *, patience: float) -> None:
        self._files = [database.with_name(f"{database.name}.{name}") for name in ("next", "turn")]
        self._patience = patience
        self._descriptors: list[int] = []
        self._held = False
        self._impossible = False

    def take(self) -> bool:
        """Wait for a turn, unless this process has it; return False where ``patience`` (seconds) was not enough.

        Where no such files can be had or locked, everybody goes at once, and the database's own lock decides.
        """
        if self._held or self._impossible:
            return True
        try:
            return self._taken()
        except OSError as error:
            self._impossible = True
            _log.warning("no turns at writing are taken, processes may wait for one another unevenly: %s", error)
            return True

    def _taken(self) -> bool:
        if not self._descriptors:  # Not before: a lock belongs to a file as it was opened, and forks share that.
            for file in self._files:
                self._descriptors.append(os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        until = time.monotonic() + self._patience
        following, turn = self._descriptors
        if not _locked(following, until):
            return False
        try:
            self._held = _locked(turn, until)
        finally:
            fcntl.flock(following, fcntl.LOCK_UN)
        return self._held

    def release(self) -> None:
        """Give the turn to who waits; may be called twice."""
        if self._held:
            self._held = False
            fcntl.flock(self._descriptors[1], fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the files."""
        while self._descriptors:
            os.close(self._descriptors.pop())
        self._held = False


def _locked(descriptor: int, until: float) -> bool:
    pause = _SHORTEST_LOOK
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)
        else:
            return True


class _Alone:
    """Turns of a writer that has its database for itself, or whose database orders writers by itself."""

    def take(self) -> bool:
        """Wait for nobody."""
        return True

    def release(self) -> None:
        """Give nothing to nobody."""

    def close(self) -> None:
        """Let go of nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Job:
    write: Callable[[Connection], Any]
    future: Future[Any]
    wakes: bool


class Writer:
    """Runs writes on one thread and one connection. ``close`` finishes what waits and refuses what comes later."""

    def __init__(
        self,
        engine: Engine,
        *,
        batch: int = BATCH,
        waiting: int = WAITING,
        wake: Callable[[], None] = _nobody,
        supervisor: Supervisor | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.engine = engine
        self._turns: Turns | _Alone = turns or _Alone()
        self._wake = wake
        self._batch = batch
        self._waiting = waiting
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._connection: Connection | None = None
        self._kept_up = (supervisor or Supervisor()).begin("store-writer", self._loop, daemon=True)

    def run(self, write: Callable[[Connection], T], *, wakes: bool = False) -> Future[T]:
        """Queue ``write``; the future holds its result after the durable commit, or its error.

        With ``wakes`` the writer's ``wake`` is called after that commit, once for all writes in it.

        Errors in the future: whatever ``write`` raises; ``StoreUnavailable`` if it is not certain that it was stored;
        ``Overloaded`` if too much waits.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(unavailable())
            elif self._jobs.qsize() >= self._waiting:
                future.set_exception(_overloaded())
            else:
                self._jobs.put(_Job(write=write, future=future, wakes=wakes))
        return future

    def close(self) -> None:
        """Finish all waiting writes, then stop. May be called twice."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._kept_up.stop.set()
                self._jobs.put(None)
        self._kept_up.end()
        # Only where it died at the very end does anything wait here still.
        left: list[_Job] = []
        self._gather(left)
        _refuse(left)

    def _loop(self, _stop: threading.Event) -> None:
        """Work to the end of all work, which is a mark behind the last write."""
        open_ = True
        jobs: list[_Job] = []
        while open_:
            first = self._jobs.get()
            if first is not None and len(jobs) > 1:
                time.sleep(_LINGER)
            jobs = [] if first is None else [first]
            try:
                turn = first is None or self._turns.take()
                # What came while it waited for its turn goes along.
                open_ = first is not None and self._gather(jobs)
                running = [job for job in jobs if job.future.set_running_or_notify_cancel()]
                if running and turn:
                    self._settle(running)
                else:
                    _refuse(running)
            except BaseException:
                # Those who wait are told before this thread dies of it, and what waits behind them is for its next life.
                _refuse(jobs)
                self._disconnect()
                raise
            finally:
                self._turns.release()
        if self._connection is not None:
            self._connection.close()
        self._turns.close()

    def _gather(self, jobs: list[_Job]) -> bool:
        """Take what else waits, without waiting for it; return False at the end of all work."""
        while len(jobs) < self._batch:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return True
            if job is None:
                return False
            jobs.append(job)
        return True

    def _settle(self, jobs: list[_Job]) -> None:
        """Run ``jobs`` together; if one fails, each alone."""
        if self._together(jobs):
            return
        down = 0
        for position, job in enumerate(jobs):
            try:
                self._together([job], alone=True)
                down = 0
            except StoreUnavailable as error:
                job.future.set_exception(error)
                down += 1
                if down == _DOWN:
                    # Each further try would cost a time-out; those who wait are told at once.
                    for left in jobs[position + 1 :]:
                        left.future.set_exception(error)
                    return

    def _together(self, jobs: list[_Job], *, alone: bool = False) -> bool:
        """Run ``jobs`` in one transaction and resolve their futures; return False if they must be run again, each alone.

        ``alone``: the last word. An error goes to the job's future, ``StoreUnavailable`` to the caller.
        """
        results: list[Any] = []
        try:
            if not self._turns.take():
                raise unavailable()  # noqa: TRY301  # treated as what the database itself says when it is locked
            connection = self._connected()
            for kind, same in groupby((job.write for job in jobs), key=_kind):
                results += _results(kind, list(same), connection)
        except BaseException as error:  # noqa: BLE001  # whatever a write raises belongs to its caller, not to this thread
            self._roll_back()
            if alone or (len(jobs) == 1 and not isinstance(error, StoreUnavailable)):
                return _hand_over(error, jobs[0])
            return False
        try:
            with translated():
                connection.commit()
        except BaseException as error:  # noqa: BLE001  # nobody may be told "stored"; a lost answer to COMMIT says neither
            self._disconnect()
            for job in jobs:
                job.future.set_exception(error)
            return True
        self._turns.release()  # Before anybody is told: the next process goes on meanwhile.
        for job, result in zip(jobs, results, strict=True):
            _resolve(job.future, result)
        if any(job.wakes for job in jobs):
            self._wake_up()
        return True

    def _wake_up(self) -> None:
        try:
            self._wake()
        except Exception:  # noqa: BLE001  # all is stored and told; who was not woken looks again by itself
            _log.exception("nobody was woken")

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.invalidated:
            self._disconnect()
            with translated():
                self._connection = self.engine.connect()
        return self._connection

    def _roll_back(self) -> None:
        if self._connection is None:
            return
        if not self._connection.in_transaction():
            # Where SQLite refuses to BEGIN, SQLAlchemy goes on as if it had: each statement would be a commit of its own.
            self._disconnect()
            return
        try:
            self._connection.rollback()
        except SQLAlchemyError:
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(SQLAlchemyError):
            connection.invalidate()
            connection.close()


def _refuse(jobs: Sequence[_Job]) -> None:
    """Tell all who wait still that it is not certain whether anything was stored."""
    for job in jobs:
        with suppress(InvalidStateError):
            job.future.set_exception(unavailable())


def _kind(write: Callable[[Connection], Any]) -> type[Joint] | None:
    return type(write) if isinstance(write, Joint) else None


def _results(kind: type[Joint] | None, writes: list[Any], connection: Connection) -> list[Any]:
    with translated():
        if kind is not None:
            return kind.many(connection, writes)
        return [_result(write, connection) for write in writes]


def _result(write: Callable[[Connection], Any], connection: Connection) -> Any:
    try:
        return write(connection)
    except Declined as declined:
        return declined


def _resolve(future: Future[Any], result: Any) -> None:
    try:
        if isinstance(result, Declined):
            future.set_exception(result.error)
        else:
            future.set_result(result)
    except BaseException:  # noqa: BLE001  # a callback's own; the neighbours' writes are stored and must be told
        _log.exception("a callback of a write failed")


def _hand_over(error: BaseException, job: _Job) -> bool:
    if isinstance(error, StoreUnavailable):
        raise error
    job.future.set_exception(error)
    return True


def _overloaded() -> Overloaded:
    return Overloaded(
        Text(
            "Zu viele Schreibvorgänge warten. Versuchen Sie es in einigen Sekunden erneut.",
            "Too many writes are waiting. Try again in a few seconds.",
        ),
        retry_after=timedelta(seconds=5),
    )
