"""The checks that the PHP client makes of every token of an event log, as an algorithm of our own.

Source: FIT-Connect's wire, section 9.5 (github.com/optiGov/php-fitconnect, MIT): type and algorithm exactly, kid and
claims present, exactly one event; an issuer that begins with ``http`` is looked up in the submission API's key set,
any other is a destination id whose key is fetched with a bearer token; PS512 decides.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

_CLAIMS = ("jti", "iss", "iat", "sub", "txn", "events")
#: The last part of an event's address and the state that the client shows for it; unknown events show none.
STATES: Mapping[str, str] = {
    "create-submission": "CREATED",
    "submit-submission": "SUBMITTED",
    "notify-submission": "NOTIFIED",
    "forward-submission": "FORWARDED",
    "reject-submission": "REJECTED",
    "accept-submission": "ACCEPTED",
    "delete-submission": "DELETED",
}


@dataclass(kw_only=True, slots=True)
class EventLogVerifier:
    """Verifies logs against one submission API; like the original it fetches the key set once."""

    submission_api: str
    bearer: str
    _key_set: dict[str, Any] = field(default_factory=dict)

    def states(self, log: Sequence[str]) -> list[str | None]:
        """Verify every token and give the states in the log's order; raise AssertionError or InvalidSignature."""
        return [self._state(token) for token in log]

    def _state(self, token: str) -> str | None:
        head, body, signature = token.split(".")
        header, claims = json.loads(_decoded(head)), json.loads(_decoded(body))
        assert header["typ"] == "secevent+jwt"
        assert header["alg"] == "PS512"
        assert isinstance(header["kid"], str)
        assert all(claims.get(name) is not None for name in _CLAIMS)
        assert len(claims["events"]) == 1
        assert isinstance(claims["iss"], str)
        _check(self._key(claims["iss"], header["kid"]), f"{head}.{body}".encode(), _decoded(signature))
        return STATES.get(next(iter(claims["events"])).rpartition("/")[2])

    def _key(self, issuer: str, kid: str) -> Mapping[str, Any]:
        if not issuer.startswith("http"):
            address = f"{self.submission_api}/v2/destinations/{issuer}/keys/{kid}"
            key: dict[str, Any] = _json(address, {"Authorization": f"Bearer {self.bearer}"})
            return key
        if not self._key_set:
            self._key_set = _json(f"{self.submission_api}/.well-known/jwks.json", {})
        return next(key for key in self._key_set["keys"] if key["kid"] == kid)


def _json(address: str, headers: Mapping[str, str]) -> dict[str, Any]:
    answer = requests.get(address, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def _check(key: Mapping[str, Any], signed: bytes, signature: bytes) -> None:
    exponent, modulus = (int.from_bytes(_decoded(key[name])) for name in ("e", "n"))
    pss = padding.PSS(padding.MGF1(hashes.SHA512()), salt_length=64)
    RSAPublicNumbers(exponent, modulus).public_key().verify(signature, signed, pss, hashes.SHA512())


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
