"""Keyed hashes: FIT-Connect's callback authentication and the fingerprint behind idempotency (RFC 2104).

SHA-512 of a long stream, reckoned beside whatever else is done with it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from concurrent.futures import Executor, Future
from datetime import datetime, timedelta
from typing import Protocol

from hub.errors import Text, Unauthenticated

#: Receivers of callbacks refuse older timestamps (FIT-Connect, callbacks).
CALLBACK_TOLERANCE = timedelta(minutes=5)


def sign_callback(secret: str, timestamp: int, body: bytes) -> str:
    """Return the header ``Callback-Authentication``: lower-case hex of HMAC-SHA512 over ``<timestamp>.<body>``.

    ``timestamp`` is in whole seconds (Unix time) and travels in ``Callback-Timestamp``; ``body`` are the bytes as sent.
    """
    message = b"%d." % timestamp + body
    return hmac.new(secret.encode("utf-8"), message, hashlib.sha512).hexdigest()


def verify_callback(
    secret: str,
    timestamp: int,
    body: bytes,
    authentication: str,
    *,
    now: datetime,
    tolerance: timedelta = CALLBACK_TOLERANCE,
) -> None:
    """Require ``authentication`` to fit, in constant time, and ``timestamp`` to lie within ``tolerance`` of ``now``.

    Raises:
        Unauthenticated: either does not hold.
    """
    expected = sign_callback(secret, timestamp, body).encode("ascii")
    genuine = hmac.compare_digest(expected, authentication.encode("utf-8"))
    if not genuine or abs(now.timestamp() - timestamp) > tolerance.total_seconds():
        raise _not_genuine()


def _not_genuine() -> Unauthenticated:
    return Unauthenticated(
        Text(
            "Der Callback ist nicht echt oder zu alt. Prüfen Sie Callback-Authentication, Callback-Timestamp, "
            "Secret und die Uhr.",
            "The callback is not genuine or too old. Check Callback-Authentication, Callback-Timestamp, the secret "
            "and the clock.",
        )
    )


def idempotency_mac(key: bytes, parts: Iterable[bytes]) -> str:
    """Return HMAC-SHA256 (hex) over ``parts``, each preceded by its length, so that no two lists read alike.

    A bare hash of a short form could be guessed back to it; without ``key`` this one cannot.
    """
    mac = hmac.new(key, digestmod=hashlib.sha256)
    for part in parts:
        mac.update(len(part).to_bytes(8, "big"))
        mac.update(part)
    return mac.hexdigest()


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
