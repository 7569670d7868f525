"""Access tokens for outgoing requests: OAuth 2.0 client credentials, by shared secret or by signed assertion."""

from __future__ import annotations

import math
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlencode
from uuid import uuid4

import orjson

from hub.crypto import SigningKey, sign_ps512
from hub.model import DeadCause, Outcome, OutcomeKind
from hub.transport.connection import Line
from hub.transport.http import Answer, Silence, request

_ANSWER_LIMIT = 64 * 1024
_TOKEN_LIMIT = 16 * 1024
_MARGIN = 30.0  # Seconds before its end at which a token is not used any more.
_UNSAID = 300.0  # Seconds that a token is kept when the server does not say how long it lives.
_LONGEST = 86_400.0
_ASSERTION_LIFE = 120  # Seconds (RFC 7523 section 3 asks for a limited life)
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class NoToken(Exception):  # Names what happened; adapters turn it into an outcome at once.
    """The token server gave none; ``outcome`` is what that means for the delivery."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.note)
        self.outcome = outcome


class OAuthTokens:
    """Fetches and keeps the token of one client; ``credentials`` makes the form fields that prove who it is."""

    def __init__(self, url: str, credentials: Callable[[], Mapping[str, str]]) -> None:
        self._url = url
        self._credentials = credentials
        self._lock = threading.Lock()
        self._token = ""
        self._until = 0.0

    def get(self, line: Line, tls: ssl.SSLContext) -> str:
        """Return a token that is good for a while.

        Raises:
            NoToken: there is none now.
        """
        with self._lock:
            if self._token and time.monotonic() < self._until:
                return self._token
        token, life = self._read(self._ask(line, tls))
        with self._lock:
            self._token, self._until = token, time.monotonic() + life
        return token

    def forget(self) -> None:
        """Drop the token: the other side did not take it."""
        with self._lock:
            self._token = ""

    def _ask(self, line: Line, tls: ssl.SSLContext) -> Answer:
        form = urlencode({"grant_type": "client_credentials", **self._credentials()}).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        try:
            return request(line, tls, "POST", self._url, headers, [form], length=len(form), answer_limit=_ANSWER_LIMIT)
        except Silence as silence:
            raise _none(f"token server: {silence.note}", silence.cause) from silence

    def _read(self, answer: Answer) -> tuple[str, float]:
        if answer.status // 100 != 2:  # noqa: PLR2004  # HTTP's own numbers
            wrong = answer.status // 100 in {3, 4} and answer.status not in {408, 425, 429}
            raise _none(f"token server: HTTP {answer.status}", DeadCause.CONFIGURATION if wrong else None)
        try:
            document = orjson.loads(answer.body)
        except orjson.JSONDecodeError as exc:
            raise _none("token server: no JSON", DeadCause.CONFIGURATION) from exc
        token = document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(token, str) or not 0 < len(token) <= _TOKEN_LIMIT or not _is_header_text(token):
            raise _none("token server: no token", DeadCause.CONFIGURATION)
        life = document.get("expires_in", _UNSAID)
        known = isinstance(life, int | float) and math.isfinite(life)
        return token, min(_LONGEST, float(life) if known else _UNSAID) - _MARGIN


def by_secret(client_id: str, secret: str) -> Callable[[], Mapping[str, str]]:
    """Prove the client by its secret in the form (client_secret_post, RFC 6749 section 2.3.1)."""
    return lambda: {"client_id": client_id, "client_secret": secret}


def by_assertion(client_id: str, key: SigningKey, audience: str) -> Callable[[], Mapping[str, str]]:
    """Prove the client by an assertion signed with PS512 (private_key_jwt, RFC 7523 section 2.2)."""

    def fields() -> Mapping[str, str]:
        issued = int(time.time())  # An adapter is the edge: the server compares this with its own clock.
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": str(uuid4()),
            "iat": issued,
            "exp": issued + _ASSERTION_LIFE,
        }
        assertion = sign_ps512(key, orjson.dumps(claims), typ="JWT")
        return {"client_id": client_id, "client_assertion_type": _ASSERTION_TYPE, "client_assertion": assertion}

    return fields


def _is_header_text(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def _none(note: str, cause: DeadCause | None) -> NoToken:
    return NoToken(Outcome(kind=OutcomeKind.UNREACHABLE, note=note, cause=cause))
