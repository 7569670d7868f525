"""Judging an ID token (OpenID Connect Core 1.0 section 3.1.3.7, RFC 8725).

In this order: (1) size and form, (2) header by an allow-list, before any library sees the token, (3) the provider's key for
it: asymmetric, strong enough, of the algorithm's kind, (4) signature, (5) issuer, audience, authorized party, times,
(6) nonce, (7) subject.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from authlib.oidc.core import CodeIDToken
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from hub.crypto import header
from hub.crypto.jwk import MOST_BITS, integer
from hub.errors import KeyRefused, SealBroken, Text, TooLarge, Unauthenticated

#: What may sign, and the kind of key (kty, crv) that it takes. No symmetric one: its key would be the client's secret.
ALGORITHMS: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", "")),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
}
#: Clocks of provider and hub may differ by this.
LEEWAY = timedelta(seconds=60)
#: A token is read seconds after it was made; an older one comes from elsewhere.
_OLDEST = timedelta(minutes=10)
_TOKEN_LIMIT = 64 * 1024
_LEAST_BITS = 2048
_LONGEST_SUBJECT = 255
_COMPACT_DOTS = 2

Jwk = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """What the token must say: who made it, for whom, and for which log-in."""

    issuer: str
    client_id: str
    nonce: str = field(repr=False)


def key_id(token: str) -> str | None:
    """Return the ``kid`` of a token's header, to look its key up. Proves nothing; raises as :func:`verified`."""
    return _header(token)[1]


def verified(token: str, keys: Sequence[Jwk], expected: Expected, *, now: datetime) -> Mapping[str, Any]:
    """Return the claims of a token that one of the provider's ``keys`` signed for this log-in.

    Raises:
        Unauthenticated: some check fails (member ``check`` tells which, for the log).
    """
    alg, kid = _header(token)
    key = _key(keys, alg, kid)
    try:
        payload = jws.deserialize_compact(token, key, algorithms=[alg]).payload
        claims = orjson.loads(payload)
    except (JoseError, ValueError) as exc:
        raise refused("signature") from exc
    if not isinstance(claims, dict):
        raise refused("form")
    _judge(claims, {"alg": alg}, expected, now)
    return claims


def refused(check: str) -> Unauthenticated:
    """Return the refusal of an answer of the provider; ``check`` is for the log, people learn what to do."""
    return Unauthenticated(
        Text(
            "Die Anmeldung ist fehlgeschlagen: Die Antwort des Anmeldedienstes ist ungültig oder abgelaufen. Beginnen Sie "
            "noch einmal.",
            "Logging in failed: the provider's answer is invalid or out of date. Begin again.",
        ),
        slug="openid-refused",
        check=check,
    )


def _header(token: str) -> tuple[str, str | None]:
    if len(token) > _TOKEN_LIMIT or not token.isascii() or token.count(".") != _COMPACT_DOTS:
        raise refused("form")
    try:
        members = header.read(token.partition(".")[0].encode("ascii"))
        alg = header.require(members, "alg", tuple(ALGORITHMS))
        return alg, header.text(members, "kid")
    except (SealBroken, TooLarge) as exc:
        raise refused("header") from exc


def _key(keys: Sequence[Jwk], alg: str, kid: str | None) -> RSAKey | ECKey:
    """Return the one key that may have signed; without a ``kid`` there must be exactly one of the kind."""
    kty, curve = ALGORITHMS[alg]
    fitting = [
        each
        for each in keys
        if each.get("kty") == kty
        and each.get("crv", "") == curve
        and each.get("use", "sig") == "sig"
        and each.get("alg", alg) == alg
        and (kid is None or each.get("kid") == kid)
    ]
    if len(fitting) != 1:
        raise refused("key")
    public: dict[str, str | list[str]] = {
        name: str(fitting[0].get(name)) for name in (("kty", "n", "e") if kty == "RSA" else ("kty", "crv", "x", "y"))
    }
    try:
        if kty == "EC":
            return ECKey.import_key(public)
        if not _LEAST_BITS <= integer(public, "n").bit_length() <= MOST_BITS:
            raise refused("key")
        return RSAKey.import_key(public)
    except (JoseError, KeyRefused, ValueError) as exc:
        raise refused("key") from exc


def _judge(claims: dict[str, Any], protected: dict[str, Any], expected: Expected, now: datetime) -> None:
    options = {
        "iss": {"essential": True, "value": expected.issuer},
        "aud": {"essential": True, "value": expected.client_id},
    }
    params = {"client_id": expected.client_id, "nonce": expected.nonce}
    moment, leeway = int(now.timestamp()), int(LEEWAY.total_seconds())
    try:
        CodeIDToken(claims, protected, options, params).validate(now=moment, leeway=leeway)
    except (JoseError, ValueError, TypeError) as exc:
        raise refused(str(getattr(exc, "claim", None) or "claims")) from exc
    # What the library leaves open: types, the exact form of iss, the age, and a comparison in constant time.
    if claims["iss"] != expected.issuer:
        raise refused("iss")
    if not all(type(claims[name]) in (int, float) for name in ("exp", "iat")) or claims["exp"] + leeway < moment:
        raise refused("exp")
    if not moment - _OLDEST.total_seconds() <= claims["iat"] <= moment + leeway:
        raise refused("iat")
    nonce, subject = claims.get("nonce"), claims.get("sub")
    if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), expected.nonce.encode()):
        raise refused("nonce")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise refused("sub")
