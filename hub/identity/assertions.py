"""Clients of vendors show who they are by their vendor's key: ``private_key_jwt`` (RFC 7523, OpenID Connect Core section 9).

One key stands for all of a vendor's clients, so that nobody has to hand hundreds of secrets over, and retiring it locks all of
them out at once. What is checked, in order:

1. a strict compact JWS, PS512, with the key's ``kid``, of at most 8 KiB;
2. ``iss`` and ``sub`` are one client's id, ``aud`` is this hub or its token endpoint, ``exp`` lies ahead, five minutes at most;
3. the client is there, not disabled, and a vendor's software; the vendor's key of that ``kid`` was approved, is not retired,
   and the key policy takes it now;
4. the signature; 5. ``jti`` was not used before, on any node.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from hub.crypto import KeyPolicy, base64url, judge_signature_key, read_jws_header, verify_ps512
from hub.errors import HubError
from hub.model import Client
from hub.store import Store

#: What ``client_assertion_type`` has to say.
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST = 8 * 1024
_LIFE = timedelta(minutes=5)
_LONGEST_JTI = 255
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


class Assertions:
    """Judges assertions; ``issuer`` is the hub's own address."""

    def __init__(self, *, store: Store, policy: KeyPolicy, issuer: str) -> None:
        self._store = store
        self._policy = policy
        self._audiences = {issuer, f"{issuer}/token"}

    def proven(self, assertion: str, *, now: datetime) -> Client | None:
        """Return the client that an assertion proves; None for one that proves nobody."""
        try:
            header, claims = read_jws_header(assertion[: _LONGEST + 1]), _claims(assertion)
        except (HubError, ValueError):
            return None
        if claims is None or not self._is_for_now(claims, now):
            return None
        client = self._store.parties.client(claims["sub"])
        software = None if client is None else self._store.vendors.software(client.client_id)
        if client is None or client.disabled_at is not None or software is None:
            return None
        key = self._store.vendors.key(software.vendor_id, header.kid)
        if key is None or not key.is_good:
            return None
        try:
            judged = judge_signature_key(dict(key.jwk), now=now, policy=self._policy)
            verify_ps512(assertion, judged, typ=None)
        except HubError:
            return None
        once = hashlib.sha256(f"assertion {software.vendor_id} {claims['jti']}".encode()).hexdigest()
        # It is remembered until nobody could use it any more.
        fresh = self._store.accounts.use_answer(once, datetime.fromtimestamp(claims["exp"], UTC))
        return client if fresh else None

    def _is_for_now(self, claims: dict[str, Any], now: datetime) -> bool:
        audience = claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]
        until = claims["exp"]
        if not isinstance(until, int) or isinstance(until, bool) or not 0 < until < _LATEST:
            return False
        named = claims["iss"] == claims["sub"] and any(each in self._audiences for each in audience)
        return named and now < datetime.fromtimestamp(until, UTC) <= now + _LIFE


def _claims(assertion: str) -> dict[str, Any] | None:
    if len(assertion) > _LONGEST:
        return None
    found = orjson.loads(base64url.decode(assertion.split(".")[1].encode("ascii", "replace"), part="payload"))
    if not isinstance(found, dict) or not {"iss", "sub", "aud", "exp", "jti"} <= found.keys():
        return None
    texts = (found["iss"], found["sub"], found["jti"])
    if not all(isinstance(each, str) and 0 < len(each) <= _LONGEST_JTI for each in texts):
        return None
    audience = found["aud"] if isinstance(found["aud"], list) else [found["aud"]]
    return found if all(isinstance(each, str) for each in audience) else None
