"""Contents in blobs: what a store of them does, who owns them until a commit, and the one who deletes them.

The blobs of one request have one owner at any time, from their first byte to the outcome of the commit that refers to them.
While they arrive it is the request: if it ends, for whatever reason, they are given up. With :meth:`Provisional.own` the step
that commits takes them over, in one instant: from then on a request that is cancelled changes nothing, and only what the commit
comes to says whether they stay.

The janitor deletes contents that nobody needs any more, on a thread that nobody waits for. Deleting may take as long as a
bucket likes, and may fail. So whoever lets go of a content (a refused request, a repeat, a commit that replaced it, retention)
hands it over and goes on. What the janitor cannot delete, has no room to remember, or had not come to when its process ended,
is an orphan like any other: the sweep finds it, a day later at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from hub.errors import HubError, Overloaded, Refused, StoreUnavailable, Text
from hub.model import Sealed

_log = logging.getLogger(__name__)
#: Contents that may wait to be deleted: some hundred bytes of memory each.
WAITING = 20_000
#: Seconds that the thread waits for more before it ends.
_IDLE = 1.0
#: How long whoever closes or counts waits for what was handed over; what is left then is the sweep's.
PATIENCE = timedelta(seconds=2)
#: How much of a blob is in memory at once while it is read.
CHUNK = 1024 * 1024

S = TypeVar("S")
A = TypeVar("A")


class Leftover(Protocol):
    """A content in the making that came to nothing."""

    def remove(self) -> None:
        """Leave no trace of it; raise ``StoreUnavailable`` where that cannot be done now."""


class BlobWriter(Protocol):
    """One blob in the making; nobody can read it before ``commit``."""

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``. Raise ``StoreUnavailable`` where there is no room."""

    def commit(self) -> str:
        """Make it durable and return its name."""

    def abort(self) -> None:
        """Leave no trace; after ``commit`` it does nothing."""


class Beginning(Protocol):
    """Whatever begins blobs: the blob store, or the contents of one request."""

    def writer(self) -> BlobWriter:
        """Begin a new blob."""


class Blobs(Beginning, Protocol):
    """Where large contents lie. Names come from ``BlobWriter.commit`` and nowhere else."""

    def read(self, name: str, chunk: int = CHUNK, *, start: int = 0) -> Iterator[bytes]:
        """Yield a blob from byte ``start`` on, in pieces of at most ``chunk`` bytes. Raise ``NotFound`` for an unknown name."""

    def chunks(self, sealed: Sealed, *, start: int = 0) -> Iterator[bytes]:
        """Yield a sealed content from byte ``start`` on, wherever it lies, in the row or here."""

    def size(self, name: str) -> int:
        """Return a blob's length in bytes. Raise ``NotFound`` for an unknown name."""

    def delete(self, name: str) -> None:
        """Delete a blob now; an unknown one is deleted already. Who only needs it no more calls :meth:`discard`."""

    def discard(self, *orphans: str | Leftover) -> None:
        """Have the janitor delete blobs, and unfinished ones; neither waits nor raises."""

    def names(self, older_than: datetime) -> Iterator[str]:
        """Yield the blobs written before ``older_than``, to be compared with the rows; not those discarded already."""

    def free_bytes(self) -> int:
        """Return how much more may be written."""

    def settle(self, patience: timedelta = PATIENCE) -> bool:
        """Wait until what was discarded is done with, for ``patience`` at most; say whether it is."""

    def close(self) -> None:
        """Let go of connections; nothing is read or written any more."""


class Provisional:
    """Makes the blobs of one request, and keeps or gives up all of them together. Safe in any thread."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._turn = threading.Lock()
        self._written: list[_Draft] = []
        self._owned = False
        self._over = False

    def writer(self) -> BlobWriter:
        """Begin a further blob.

        Raises:
            StoreUnavailable: no room, or the contents were given up meanwhile.
        """
        draft = _Draft(self._blobs)
        with self._turn:
            if self._over:
                self._blobs.discard(draft)
                raise _given_up()
            self._written.append(draft)
        return draft

    def own(self) -> None:
        """Take the contents over from the request: from now on :meth:`abandon` does nothing.

        Raises:
            StoreUnavailable: the request ended before.
        """
        with self._turn:
            if self._over:
                raise _given_up()
            self._owned = True

    def abandon(self) -> bool:
        """Give everything up at the end of a request, unless a commit has taken it over; say whether it was given up."""
        with self._turn:
            if self._owned:
                return False
            written = self._taken()
        self._blobs.discard(*written)
        return True

    def give_up(self) -> None:
        """Have the janitor remove everything; may be called twice."""
        with self._turn:
            written = self._taken()
        self._blobs.discard(*written)

    def keep(self) -> None:
        """Leave everything where it is: rows refer to it, or only the sweep can tell."""
        with self._turn:
            self._taken()

    def _taken(self) -> list[_Draft]:
        """Return what was written, for the last time: from now on nothing is written any more."""
        self._over = True
        written, self._written = self._written, []
        return written

    def judge(self, error: BaseException | None) -> None:
        """Keep what a commit came of, give up what it certainly refused. Of a lost answer only the sweep can tell."""
        if isinstance(error, Refused | Overloaded):
            self.give_up()
        else:
            self.keep()

    def follow(
        self, stored: Future[S], answer: Callable[[S], A], *, repeated: Callable[[S], bool] = lambda _: False
    ) -> Future[A]:
        """Return a future of what ``answer`` makes of a commit's result; its error is the commit's or the answer's.

        It is settled first. Then the contents are kept or given up: also where the commit was a repeat, which refers to
        contents of before.
        """
        answered: Future[A] = Future()

        def settle(done: Future[S]) -> None:
            error = done.exception()
            try:
                if error is not None:
                    answered.set_exception(error)
                else:
                    _answered(answered, done.result(), answer)
            finally:
                if error is None and repeated(done.result()):
                    self.give_up()
                else:
                    self.judge(error)

        stored.add_done_callback(settle)
        return answered


class _Draft:
    """A blob writer that can be removed by another thread than the one that writes, at any moment and in any state."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._turn = threading.Lock()
        self._writer = blobs.writer()
        self._name: str | None = None
        self._removed = False

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``; raise ``StoreUnavailable`` where there is no room."""
        with self._turn:
            self._require_use()
            self._writer.write(chunk)

    def commit(self) -> str:
        """Make it durable and return its name."""
        with self._turn:
            self._require_use()
            self._name = self._writer.commit()
            return self._name

    def abort(self) -> None:
        """Leave no trace; after ``commit`` it does nothing."""
        with self._turn:
            if self._name is None:
                self._writer.abort()

    def remove(self) -> None:
        """Leave no trace, also after ``commit``."""
        with self._turn:
            self._removed = True
            if self._name is None:
                self._writer.abort()
            else:
                self._blobs.delete(self._name)

    def _require_use(self) -> None:
        if self._removed:
            raise _given_up()


def _answered(answered: Future[A], result: S, answer: Callable[[S], A]) -> None:
    try:
        made = answer(result)
    except BaseException as error:  # noqa: BLE001  # whatever it is, who waits must be told
        answered.set_exception(error)
    else:
        answered.set_result(made)


def _given_up() -> StoreUnavailable:
    return StoreUnavailable(
        Text(
            "Die Anfrage endete, bevor ihr Inhalt gespeichert war. Senden Sie sie erneut.",
            "The request ended before its contents were stored. Send it again.",
        )
    )


class Janitor:
    """Deletes blobs, one after the other. Its thread begins with the first and ends when none are left, so none can die."""

    def __init__(self, delete: Callable[[str], None], *, waiting: int = WAITING) -> None:
        self._delete = delete
        self._most = waiting
        self._orphans: deque[str | Leftover] = deque()
        self._changed = threading.Condition()
        self._working = False

    def discard(self, *orphans: str | Leftover) -> None:
        """Have blobs (by their names) and unfinished ones removed soon; neither waits nor raises."""
        if not orphans:
            return
        with self._changed:
            room = max(0, self._most - len(self._orphans))
            self._orphans.extend(orphans[:room])
            if len(orphans) > room:
                _log.warning("%d contents are left to the sweep: too many wait to be deleted", len(orphans) - room)
            if self._working:
                self._changed.notify_all()
                return
            self._working = True
        try:
            threading.Thread(target=self._run, name="janitor", daemon=True).start()
        except RuntimeError:  # No more threads: the next call tries again, and the sweep comes in any case.
            self._working = False

    def settle(self, patience: timedelta = PATIENCE) -> bool:
        """Wait until all that was handed over is done with, for ``patience`` at most; say whether it is."""
        end = time.monotonic() + patience.total_seconds()
        with self._changed:
            return self._changed.wait_for(lambda: not self._orphans, timeout=max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while self._next():
            pass

    def _next(self) -> bool:
        with self._changed:
            if not self._orphans and not self._changed.wait_for(lambda: bool(self._orphans), timeout=_IDLE):
                self._working = False  # Under the lock: what is handed over from now on begins a thread anew.
                return False
            orphan = self._orphans[0]
        self._remove(orphan)
        with self._changed:
            self._orphans.popleft()  # Only now: who waits for the end waits for this one, too.
            self._changed.notify_all()
        return True

    def _remove(self, orphan: str | Leftover) -> None:
        try:
            if isinstance(orphan, str):
                self._delete(orphan)
            else:
                orphan.remove()
        except HubError as error:
            _log.warning("a content could not be deleted (%s) and is left to the sweep", type(error).__name__)
        except BaseException:  # noqa: BLE001  # nobody waits for this thread; whatever it is, the rest is deleted, too
            _log.exception("a content could not be deleted and is left to the sweep")
