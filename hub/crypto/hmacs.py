"""Keyed hashes: FIT-Connect's callback authentication and the fingerprint behind idempotency (RFC 2104)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import datetime, timedelta

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
        raise Unauthenticated(
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
