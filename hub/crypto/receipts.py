"""Proof that anybody can check: receipts, checkpoints, and the tree between both.

Receipts and checkpoints: proof that is signed at once (JWS with Ed25519), checked with the hub's published keys alone.

Merkle trees (RFC 9162 section 2.1): one hash over many entries, and short proofs that an entry is among them. Pure.

Entries are bytes of any length. Leaves and nodes are hashed apart (0x00 and 0x01 in front), so that no node passes as
an entry.
"""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from hmac import compare_digest
from typing import Any

import orjson

from hub.crypto import base64url
from hub.crypto.jws import read_jws_header, sign_eddsa, verify_eddsa
from hub.crypto.keys import SigningKey, VerificationKey, ed25519_verification_key
from hub.errors import SealBroken, Text

RECEIPT_TYPE = "receipt+jwt"
CHECKPOINT_TYPE = "checkpoint+jwt"
#: What a receipt may be written in; one that names no version is of the first.
_VERSIONS = (1, 2)
#: Seconds by which the clocks of a hub's nodes may differ.
_SKEW = 300


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
    """Return the claims of a receipt that a key of ``jwks`` (RFC 7517 section 5) signed, while that key was in use.

    Raises:
        SealBroken: it is no receipt, its key is not in the set or says to have been in use at another time, it was changed,
            or its version (``ver``, where it names one) is one that nobody here knows (``receipt-version-unknown``).
        KeyRefused: the key that it names is no Ed25519 key.
    """
    key = _find(jwks, read_jws_header(jws).kid)
    claims = _claims(verify_eddsa(jws, key, typ=RECEIPT_TYPE))
    version = claims.get("ver", 1)
    if version not in _VERSIONS or isinstance(version, bool):
        raise SealBroken(
            Text(
                "Diese Fassung einer Eingangsbestätigung ist hier nicht bekannt. Prüfen Sie sie mit einer neueren Version.",
                "This version of a receipt is not known here. Verify it with a newer release.",
            ),
            slug="receipt-version-unknown",
        )
    _require_in_use(key.jwk, claims)
    return claims


#: Bytes of a salt: as long as the hash, so that no two salts make one key (RFC 2104, section 2).
SALT_SIZE = 32
CONTENT_ALGORITHM = "HMAC-SHA-256(salt, SHA-512(content))"


def content_proof(salt: bytes, digests: Mapping[str, str]) -> dict[str, str]:
    """Return of each part, by name, HMAC-SHA-256 under ``salt`` over its content's SHA-512 (``digests``, hex), in base64url.

    Who has content and salt can show that it is what was received; without the salt it cannot be guessed, however short it is.
    """
    return {name: _content_mac(salt, bytes.fromhex(digest)) for name, digest in digests.items()}


def proven_parts(claims: Mapping[str, Any], salt: str, content: bytes) -> list[str]:
    """Return the names of the parts of a verified receipt that have this content; more than one where it was sent twice.

    Raises:
        SealBroken: the receipt has no proof of contents, ``salt`` (base64url) is none, or no part has this content
            (``content-not-proven``).
    """
    proof = claims.get("contentProof")
    if (
        not isinstance(proof, Mapping)
        or proof.get("alg") != CONTENT_ALGORITHM
        or not isinstance(proof.get("parts"), dict)
    ):
        raise _without_proof()
    key = base64url.decode(salt.encode("ascii", errors="replace"), part="salt")
    if len(key) != SALT_SIZE:
        raise _not_proven(Text("Das ist kein Salz des Hubs.", "This is no salt of the hub."))
    wanted = _content_mac(key, hashlib.sha512(content).digest()).encode()
    found = [name for name, mac in proof["parts"].items() if compare_digest(str(mac).encode(), wanted)]
    if not found:
        raise _other_content()
    return found


def _without_proof() -> SealBroken:
    return _not_proven(
        Text(
            "Diese Eingangsbestätigung enthält keinen Nachweis des Inhalts: Der Antrag kam schon verschlüsselt, oder sie "
            "ist älter.",
            "This receipt holds no proof of contents: the application came sealed already, or it is older.",
        )
    )


def _other_content() -> SealBroken:
    return _not_proven(
        Text(
            "Das ist nicht, was der Hub empfangen hat: Inhalt oder Salz gehören nicht zu dieser Eingangsbestätigung.",
            "This is not what the hub received: content or salt do not belong to this receipt.",
        )
    )


def _content_mac(salt: bytes, digest: bytes) -> str:
    return base64url.encode(hmac.digest(salt, digest, "sha256")).decode("ascii")


def _not_proven(detail: Text) -> SealBroken:
    return SealBroken(detail, slug="content-not-proven")


def _require_in_use(jwk: Mapping[str, Any], claims: Mapping[str, Any]) -> None:
    """Require a receipt to be from the time in which its key was used, as far as the key list tells (``nbf``, ``exp``).

    What it proves may be older than its key: one of the sealed door is signed when somebody first needs it.
    """
    begin, end = jwk.get("nbf", -math.inf), jwk.get("exp", math.inf)
    try:
        signed = float(claims["iat"]) if "nbf" in jwk or "exp" in jwk else 0.0
        taken = datetime.fromisoformat(claims["acceptedAt"]).timestamp() if "acceptedAt" in claims else signed
        fits = begin - _SKEW <= signed <= end + _SKEW and taken <= end + _SKEW
    except (KeyError, TypeError, ValueError, OverflowError):
        fits = False
    if not fits:
        raise SealBroken(
            Text(
                "Der Schlüssel dieses Nachweises war zur Zeit seiner Unterschrift nicht in Gebrauch. Der Nachweis gilt nicht.",
                "The key of this proof was not in use when it says to have been signed. The proof does not count.",
            )
        )


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
        raise _key_twice(kid)
    if found:
        return ed25519_verification_key(found[0])
    raise _key_missing()


def _key_twice(kid: str) -> SealBroken:
    return SealBroken(
        Text(
            f"Die Schlüsselliste nennt den Schlüssel {kid} mehrmals; welcher gilt, ist nicht zu sagen. Rufen Sie "
            "sie neu ab.",
            f"The key list names the key {kid} more than once; which one counts cannot be told. Fetch it anew.",
        )
    )


def _key_missing() -> SealBroken:
    return SealBroken(
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


#: Hashes of the longest proof: trees beyond 2^63 entries do not exist.
_PROOF_LIMIT = 63


def tree_head(entries: Sequence[bytes]) -> bytes:
    """Return the root hash (SHA-256) over ``entries``; of none, the hash of nothing."""
    if not entries:
        return hashlib.sha256(b"").digest()
    level = [_leaf(entry) for entry in entries]
    while len(level) > 1:
        level = _above(level)
    return level[0]


def inclusion_proof(entries: Sequence[bytes], index: int) -> list[bytes]:
    """Return the hashes that lead from entry ``index`` to the tree head, lowest first.

    Raises:
        IndexError: there is no such entry.
    """
    if not 0 <= index < len(entries):
        raise IndexError(index)
    proof = []
    level = [_leaf(entry) for entry in entries]
    while len(level) > 1:
        # The last node of an odd level has no neighbour and rises unchanged.
        if index ^ 1 < len(level):
            proof.append(level[index ^ 1])
        level, index = _above(level), index // 2
    return proof


def verify_inclusion(entry: bytes, *, index: int, size: int, proof: Sequence[bytes], head: bytes) -> None:
    """Require ``entry`` to stand at ``index`` of the ``size`` entries behind ``head`` (RFC 9162 section 2.1.3.2).

    Raises:
        SealBroken: it does not, or the proof has another length.
    """
    if not 0 <= index < size or len(proof) > _PROOF_LIMIT:
        raise _not_included()
    node, position, last = _leaf(entry), index, size - 1
    for neighbour in proof:
        if last == 0:
            raise _not_included()
        if position % 2 or position == last:
            node = _node(neighbour, node)
            while position % 2 == 0 and position:
                position, last = position // 2, last // 2
        else:
            node = _node(node, neighbour)
        position, last = position // 2, last // 2
    if last != 0 or not compare_digest(node, head):
        raise _not_included()


def _above(level: list[bytes]) -> list[bytes]:
    # Pairing from the left and lifting an odd last node gives the tree that the standard defines by the largest power
    # of two below the size.
    above = [_node(left, right) for left, right in zip(level[::2], level[1::2], strict=False)]
    return above + level[-1:] if len(level) % 2 else above


def _leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _not_included() -> SealBroken:
    return SealBroken(
        Text(
            "Der Eintrag steht nicht an dieser Stelle des signierten Protokolls. Es wurde verändert, oder der Nachweis "
            "gehört zu einem anderen Stand.",
            "The entry does not stand at this place of the signed log. It was changed, or the proof belongs to another "
            "state of the log.",
        )
    )
