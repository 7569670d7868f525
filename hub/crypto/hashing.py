"""SHA-512 of a long stream, reckoned beside whatever else is done with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from typing import Protocol

#: Bytes that are hashed in one go. One such piece is being hashed while the next one is collected.
_PIECE = 1024 * 1024
#: … or so many chunks: each is an object of its own, far larger than a few bytes.
_MOST_CHUNKS = 256


class Hash(Protocol):
    """A hash over a stream, as ``hashlib`` has them."""

    def update(self, chunk: bytes, /) -> None:
        """Take the next chunk."""

    def hexdigest(self) -> str:
        """Return the hash of all that came, in lower case."""


class Sha512Beside:
    """SHA-512 reckoned in ``pool`` while the caller goes on, never more than one piece behind.

    To hash a megabyte takes longer than all else that is done with it on its way to the disk, and holds no lock.
    """

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._hash = hashlib.sha512()
        self._collected: list[bytes] = []
        self._size = 0
        self._hashing: Future[None] | None = None

    def update(self, chunk: bytes, /) -> None:
        """Take the next chunk; wait where hashing has fallen a whole piece behind."""
        self._collected.append(chunk)
        self._size += len(chunk)
        if self._size >= _PIECE or len(self._collected) >= _MOST_CHUNKS:
            self._catch_up()
            self._hashing = self._pool.submit(self._reckon, self._collected)
            self._collected, self._size = [], 0

    def hexdigest(self) -> str:
        """Wait for the last piece and return the hash of all that came, in lower case."""
        self._catch_up()
        self._reckon(self._collected)
        self._collected, self._size = [], 0
        return self._hash.hexdigest()

    def _catch_up(self) -> None:
        if self._hashing is not None:
            self._hashing.result()

    def _reckon(self, chunks: Iterable[bytes]) -> None:
        for chunk in chunks:
            self._hash.update(chunk)
