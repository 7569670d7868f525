"""Provisional contents: the blobs of one request, from their first byte to the outcome of the commit that refers to them.

They have one owner at any time. While they arrive it is the request: if it ends, for whatever reason, they are given up. With
:meth:`Provisional.own` the step that commits takes them over, in one instant: from then on a request that is cancelled
changes nothing, and only what the commit comes to says whether they stay.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from hub.errors import Overloaded, Refused, StoreUnavailable, Text
from hub.store.blobs.local import Blobs, BlobWriter

S = TypeVar("S")
A = TypeVar("A")


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
