"""Receipts and checkpoints: proof that is signed at once (JWS with Ed25519), checked with the hub's published keys alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from hub.crypto import base64url
from hub.crypto.jws import read_jws_header, sign_eddsa, verify_eddsa
from hub.crypto.keys import SigningKey, VerificationKey, ed25519_verification_key
from hub.errors import SealBroken, Text

RECEIPT_TYPE = "receipt+jwt"
CHECKPOINT_TYPE = "checkpoint+jwt"


def make_receipt(key: SigningKey, claims: Mapping[str, Any]) -> str:
    """Return ``claims`` as a signed receipt; Ed25519 takes about 50 µs, so it is made at once.

    Raises:
        KeyRefused: ``key`` is no Ed25519 key.
    """
    return sign_eddsa(key, orjson.dumps(dict(claims)), typ=RECEIPT_TYPE)


def make_checkpoint(key: SigningKey, claims: Mapping[str, Any]) -> str:
    """Return ``claims`` as a signed checkpoint: by the receipts' key, because whoever checks one checks the other.

    Raises:
        KeyRefused: ``key`` is no Ed25519 key.
    """
    return sign_eddsa(key, orjson.dumps(dict(claims)), typ=CHECKPOINT_TYPE)


def verify_checkpoint(jws: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of a checkpoint that a key of ``jwks`` signed; errors as :func:`verify_receipt`."""
    return _claims(verify_eddsa(jws, _find(jwks, read_jws_header(jws).kid), typ=CHECKPOINT_TYPE))


def claims_of(jws: str) -> dict[str, Any]:
    """Return the claims of a receipt that this hub has just made or stored. Verifies nothing.

    Raises:
        SealBroken: it is no receipt.
    """
    return _claims(
        base64url.decode(jws.partition(".")[2].partition(".")[0].encode("ascii", errors="replace"), part="payload")
    )


def verify_receipt(jws: str, jwks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of a receipt that a key of ``jwks`` (RFC 7517 section 5) signed.

    Raises:
        SealBroken: it is no receipt, its key is not in the set, or it was changed.
        KeyRefused: the key that it names is no Ed25519 key.
    """
    return _claims(verify_eddsa(jws, _find(jwks, read_jws_header(jws).kid), typ=RECEIPT_TYPE))


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = orjson.loads(payload)
    except orjson.JSONDecodeError as exc:
        raise _no_claims() from exc
    if not isinstance(claims, dict):
        raise _no_claims()
    return claims


def _find(jwks: Mapping[str, Any], kid: str) -> VerificationKey:
    entries = jwks.get("keys") if isinstance(jwks, Mapping) else None
    if not isinstance(entries, list):
        raise _no_key_list()
    found = [jwk for jwk in entries if isinstance(jwk, Mapping) and jwk.get("kid") == kid]
    if len(found) > 1:
        raise SealBroken(
            Text(
                f"Die Schlüsselliste nennt den Schlüssel {kid} mehrmals; welcher gilt, ist nicht zu sagen. Rufen Sie "
                "sie neu ab.",
                f"The key list names the key {kid} more than once; which one counts cannot be told. Fetch it anew.",
            )
        )
    if found:
        return ed25519_verification_key(found[0])
    raise SealBroken(
        Text(
            "Der Schlüssel dieses Nachweises steht nicht in der Schlüsselliste. "
            "Rufen Sie /hub/v1/jwks.json des Hubs ab, der ihn ausgestellt hat.",
            "The key of this proof is not in the key list. Fetch /hub/v1/jwks.json of the hub that issued it.",
        )
    )


def _no_key_list() -> SealBroken:
    return SealBroken(
        Text(
            'Das ist keine Schlüsselliste (RFC 7517): Erwartet wird ein JSON-Objekt {"keys": […]}, wie '
            "/hub/v1/jwks.json es gibt.",
            'This is no key list (RFC 7517): expected is a JSON object {"keys": […]}, as /hub/v1/jwks.json gives it.',
        )
    )


def _no_claims() -> SealBroken:
    return SealBroken(
        Text(
            "Der Nachweis enthält kein JSON-Objekt. Er stammt nicht von einem Rathaus-Hub.",
            "The proof holds no JSON object. It was not issued by a Rathaus-Hub.",
        )
    )
