"""What every answer over HTTP has in common: the status of an error, and the header fields that keep a browser safe."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from datetime import timedelta
from typing import Any

from hub import errors
from hub.errors import HubError, RatePolicy

#: The one map from errors to statuses (RFC 9110 section 15); the nearest class of an error's decides.
_STATUS: Mapping[type[HubError], int] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.UnsupportedMedia: 415,
    errors.Invalid: 422,
    errors.Refused: 400,
    errors.TooMany: 429,
    errors.Unavailable: 503,
    errors.ConfigurationError: 503,
    HubError: 500,
}
#: Occurrences whose status is more particular than their class's.
_STATUS_BY_SLUG = {
    "method-not-allowed": 405,
    "request-timeout": 408,
    "upload-gone": 410,
    "tus-version": 412,
    "uri-too-long": 414,
    "range-not-satisfiable": 416,
    "upload-locked": 423,
    "headers-too-large": 431,
    "upload-checksum": 460,  # The number that TUS 1.0.0 gives it.
}
#: When to ask again after an outage of the hub's own making, which ends when somebody mends it.
_MENDED_SECONDS = 60

#: What every answer carries unless it says otherwise itself.
SAFE: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # Not "no-referrer": browsers then send "Origin: null" with a form, and it could not be told from a foreign one.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
#: What every answer of a test instance says.
TEST_INSTANCE: Mapping[str, str] = {"hub-environment": "test"}
_HTTPS_ONLY = ("strict-transport-security", "max-age=31536000")
#: No inline script or style, nothing from elsewhere; ``data:`` for the icons of the design system alone.
PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'"
)
#: For what is no page, should a browser show it as one.
POLICY = "default-src 'none'; frame-ancestors 'none'"

#: ASGI's shapes, which need no framework.
_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


def status_of(error: HubError) -> int:
    """Return the HTTP status that ``error`` is answered with."""
    kind = next(_STATUS[base] for base in type(error).__mro__ if base in _STATUS)
    return _STATUS_BY_SLUG.get(error.slug, kind)


def retry_after(error: HubError) -> int | None:
    """Return the seconds of ``Retry-After`` (RFC 9110 section 10.2.3), None where asking again is of no use."""
    if isinstance(error, errors.Unavailable):
        return max(1, math.ceil(error.retry_after.total_seconds()))
    return _MENDED_SECONDS if isinstance(error, errors.ConfigurationError) else None


def rate_limit(policy: RatePolicy, *, remaining: int, resets_in: timedelta) -> dict[str, str]:
    """Return the fields that tell a caller what is allowed and what is left (draft-ietf-httpapi-ratelimit-headers-10).

    ``RateLimit-Policy`` (section 3): ``q`` times in ``w`` seconds; ``RateLimit`` (section 4): ``r`` left, ``t`` seconds left.
    """
    window, left = math.ceil(policy.window.total_seconds()), max(1, math.ceil(resets_in.total_seconds()))
    return {
        "RateLimit-Policy": f'"{policy.name}";q={policy.quota};w={window}',
        "RateLimit": f'"{policy.name}";r={max(0, remaining)};t={left}',
    }


class SafeHeaders:
    """Outermost ASGI layer: header fields that every answer carries, unless it has set them itself."""

    def __init__(self, app: _App, *, https: bool, said: Mapping[str, str] | None = None) -> None:
        """``said`` are further fields that every answer carries."""
        self._app = app
        always = [*SAFE.items(), *([_HTTPS_ONLY] if https else []), *(said or {}).items()]
        self._always = [(name.encode(), value.encode()) for name, value in always]

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:  # noqa: D102  # ASGI's own interface
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def safe(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = self._completed(list(message.get("headers", ())))
            await send(message)

        await self._app(scope, receive, safe)

    def _completed(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        given = {name.lower() for name, _ in headers}
        headers += [header for header in self._always if header[0] not in given]
        if b"content-security-policy" not in given:
            headers.append((b"content-security-policy", _policy(headers).encode()))
        return headers


def _policy(headers: list[tuple[bytes, bytes]]) -> str:
    is_page = any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers)
    return PAGE_POLICY if is_page else POLICY
