"""Access tokens: OAuth 2.0 client credentials with the secret in the form (RFC 6749, sections 4.4 and 2.3.1)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode

from hub.client.answers import read_json, require_success, unreadable
from hub.client.transport import Request, Transport
from hub.model import utc_now

#: How long before its end a token is not used any more, and how long one lives that does not say.
_MARGIN = timedelta(seconds=30)
_UNSAID = timedelta(seconds=300)
_LONGEST_LIFE = 86_400


class TokenSource(Protocol):
    """Where a session gets its token."""

    def get(self, transport: Transport) -> str:
        """Return a token that is good for a while; may ask for one by ``transport``."""
        ...

    def forget(self) -> None:
        """Drop the token: the other side did not take it."""
        ...


class Tokens:
    """Fetches and keeps the token of one client; thread-safe. ``clock`` gives aware times.

    Raises:
        Unauthenticated: (from :meth:`get`) the client's name or secret is wrong.
        Unavailable: the server cannot be reached, has no time, or its answer cannot be read.
    """

    def __init__(
        self, token_url: str, *, client_id: str, client_secret: str, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._url = token_url
        self._form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[str, datetime] | None = None

    def get(self, transport: Transport) -> str:
        """Return a token that is good for a while."""
        with self._lock:
            now = self._clock()
            if self._kept is None or self._kept[1] <= now:
                self._kept = self._fetch(transport, now)
            return self._kept[0]

    def forget(self) -> None:
        """Drop the token: the other side did not take it."""
        with self._lock:
            self._kept = None

    def _fetch(self, transport: Transport, now: datetime) -> tuple[str, datetime]:
        # Asking twice gives two tokens and harms nobody.
        request = Request(
            method="POST",
            url=self._url,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            content=urlencode(self._form).encode("ascii"),
            repeatable=True,
        )
        with transport.exchange(request) as response:
            require_success(response)
            document = read_json(response)
        token = document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise unreadable()
        return token, now + max(timedelta(0), _life(document.get("expires_in")) - _MARGIN)


def _life(said: Any) -> timedelta:
    known = isinstance(said, int) and 0 < said <= _LONGEST_LIFE
    return timedelta(seconds=said) if known else _UNSAID
