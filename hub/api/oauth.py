"""The token endpoint (RFC 6749 section 4.4, client credentials) as FIT-Connect's clients use it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import unquote_plus

import orjson
from connexion import context
from connexion.lifecycle import ConnexionResponse

from hub.api.errands import in_thread
from hub.api.operations import caller_address
from hub.clients import Clients, Token, rights_of
from hub.errors import Malformed, Text


class OAuth:
    """Handlers of the token endpoint, and the look-up of callers for every other operation."""

    def __init__(self, *, clients: Clients, clock: Callable[[], datetime]) -> None:
        self._clients = clients
        self._clock = clock

    async def token(self, body: Mapping[str, Any]) -> ConnexionResponse:
        """Exchange client credentials for an access token."""
        if body.get("grant_type") != "client_credentials":
            raise Malformed(
                Text(
                    "grant_type muss client_credentials sein.",
                    "grant_type must be client_credentials.",
                ),
                slug="unsupported_grant_type",
            )
        client_id, secret = body.get("client_id"), body.get("client_secret")
        if not client_id or not secret:
            client_id, secret = _basic()
        scope, address, now = body.get("scope") or None, caller_address(), self._clock()
        issue = partial(self._clients.issue, client_id, secret, scope, address=address, now=now)
        return _json(_token_json(await in_thread(issue)))

    def token_info(self, token: str) -> dict[str, Any]:
        """Return who holds a token, for connexion's security check.

        Raises:
            Unauthenticated: the token is not good.
        """
        caller = self._clients.recognise(token, now=self._clock())
        return {"sub": caller.client_id, "scope": rights_of(caller.scopes), "caller": caller}


def _token_json(token: Token) -> dict[str, Any]:
    return {
        "access_token": token.access_token,
        # A deprecated public client reads this name.
        "access_token_jwt": token.access_token,
        "token_type": "Bearer",
        "expires_in": int(token.life.total_seconds()),
        "scope": " ".join(token.scopes),
    }


def _basic() -> tuple[str, str]:
    """Return the credentials of HTTP Basic (RFC 6749 section 2.3.1), which some tools send instead of form fields."""
    kind, _, value = context.request.headers.get("authorization", "").partition(" ")
    try:
        name, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if kind.lower() != "basic" or not colon:
        raise Malformed(
            Text(
                "client_id und client_secret fehlen im Formular.",
                "client_id and client_secret are missing in the form body.",
            ),
            slug="invalid_request",
        )
    return unquote_plus(name), unquote_plus(secret)


def _json(body: Mapping[str, Any]) -> ConnexionResponse:
    return ConnexionResponse(
        status_code=200,
        body=orjson.dumps(body),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
