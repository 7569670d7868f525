"""The token endpoint (RFC 6749 section 4.4, client credentials) as FIT-Connect's clients use it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import unquote_plus

import orjson
from connexion.lifecycle import ConnexionResponse

from hub.api import Identify, caller_address, in_thread, visit
from hub.errors import Malformed, Text
from hub.identity import Clients, Token, bad_credentials, rights_of
from hub.identity.assertions import ASSERTION_TYPE
from hub.model import Client


class OAuth:
    """Handlers of the token endpoint, and the look-up of callers for every other operation."""

    def __init__(self, *, clients: Clients, clock: Callable[[], datetime]) -> None:
        self._clients = clients
        self._clock = clock
        #: Who is asked for, by operationId, before a body is read.
        self.identities: Mapping[str, Identify] = {"oauth.token": self._by_basic}

    async def token(self, body: Mapping[str, Any], client: Client | None = None) -> ConnexionResponse:
        """Exchange client credentials for an access token; ``client`` is who HTTP Basic proved, None: the form tells."""
        if body.get("grant_type") != "client_credentials":
            raise _other_grant()
        assertion = body.get("client_assertion")
        if client is None and assertion:
            client = await self._asserted(body, assertion)
        client_id, secret, scope = body.get("client_id"), body.get("client_secret"), body.get("scope") or None
        if client is not None:
            if client_id and client_id != client.client_id:
                raise _not_one_client()
            issue = partial(self._clients.grant, client, scope, now=self._clock())
        elif client_id and secret:
            address = caller_address()
            issue = partial(self._clients.issue, client_id, secret, scope, address=address, now=self._clock())
        else:
            raise _not_one_client()
        return _json(_token_json(await in_thread(issue)))

    async def _asserted(self, body: Mapping[str, Any], assertion: str) -> Client:
        """Return the client that its vendor's key proves (RFC 7523 section 2.2)."""
        if body.get("client_assertion_type") != ASSERTION_TYPE or body.get("client_secret"):
            raise _not_one_client()
        address, now = caller_address(), self._clock()
        found: Client = await in_thread(self._clients.asserted, assertion, address=address, now=now)
        return found

    async def _by_basic(self) -> Client | None:
        """Return the client that HTTP Basic proves (RFC 6749 section 2.3.1), None without that: its form tells.

        Raises:
            Unauthenticated: unreadable, unknown or wrong (section 5.2).
            TooMany: the throttle turns it away.
        """
        kind, _, value = visit().headers.get("authorization", "").partition(" ")
        if kind.lower() != "basic":
            return None
        client_id, secret = _basic(value)
        address, now = caller_address(), self._clock()
        found: Client = await in_thread(self._clients.authenticate, client_id, secret, address=address, now=now)
        return found

    def token_info(self, token: str) -> dict[str, Any]:
        """Return who holds a token, for connexion's security check.

        Raises:
            Unauthenticated: the token is not good.
        """
        caller = self._clients.recognise(token, now=self._clock())
        return {"sub": caller.client_id, "scope": rights_of(caller.scopes), "caller": caller}


def _other_grant() -> Malformed:
    return Malformed(
        Text(
            "grant_type muss client_credentials sein.",
            "grant_type must be client_credentials.",
        ),
        slug="unsupported_grant_type",
    )


def _token_json(token: Token) -> dict[str, Any]:
    return {
        "access_token": token.access_token,
        # A deprecated public client reads this name.
        "access_token_jwt": token.access_token,
        "token_type": "Bearer",
        "expires_in": int(token.life.total_seconds()),
        "scope": " ".join(token.scopes),
    }


def _basic(value: str) -> tuple[str, str]:
    """Return client id and secret of HTTP Basic's credentials, each of which is encoded as in a form."""
    try:
        client_id, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (ValueError, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise bad_credentials()
    return unquote_plus(client_id), unquote_plus(secret)


def _not_one_client() -> Malformed:
    return Malformed(
        Text(
            "Die Anfrage nennt keinen Client, oder zwei. Senden Sie client_id und client_secret an einer Stelle: im Formular "
            "oder im Kopf Authorization.",
            "The request names no client, or two. Send client_id and client_secret in one place: in the form body or in the "
            "header Authorization.",
        ),
        slug="invalid_request",
    )


def _json(body: Mapping[str, Any]) -> ConnexionResponse:
    return ConnexionResponse(
        status_code=200,
        body=orjson.dumps(body),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
