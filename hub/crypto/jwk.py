"""JSON Web Keys (RFC 7517, 7518, 8037): making, reading and naming them. Pure; judging is the business of ``keys``."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hub.crypto import base64url
from hub.errors import KeyRefused, SealBroken, Text

Jwk = Mapping[str, Any]

WRAP_ALGORITHM = "RSA-OAEP-256"
SIGN_ALGORITHM = "PS512"
RECEIPT_ALGORITHM = "EdDSA"

EXPONENT = 65537
#: OpenSSL's own limit; larger moduli only serve to burn time.
MOST_BITS = 16_384
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

#: Ed25519's field (RFC 8032 section 5.1), and the ordinates of its eight points of small order.
_FIELD = 2**255 - 19
_SMALL_ORDER = frozenset(
    (
        *(0, 1, _FIELD - 1),
        0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
        0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7,
    )
)
#: What a thumbprint covers, by key type (RFC 7638 section 3.2, RFC 8037 section 2).
_THUMBPRINT_MEMBERS = {"RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
#: What an RSA key does, by use: algorithm, public and private operation.
_RSA_USES = {
    "encryption": (WRAP_ALGORITHM, "wrapKey", "unwrapKey"),
    "signing": (SIGN_ALGORITHM, "verify", "sign"),
}


def thumbprint(jwk: Jwk) -> str:
    """Return the SHA-256 thumbprint of an RSA or Ed25519 JWK, in base64url (RFC 7638).

    Raises:
        KeyRefused: another key type, or a required member is missing.
    """
    names = _THUMBPRINT_MEMBERS.get(str(jwk.get("kty")), ("kty",))
    if len(names) == 1 or not all(isinstance(jwk.get(name), str) for name in names):
        raise refused(
            1,
            "Ein Fingerabdruck (RFC 7638) ist nur für vollständige RSA- und Ed25519-Schlüssel möglich.",
            "A thumbprint (RFC 7638) exists for complete RSA and Ed25519 keys only.",
        )
    document = json.dumps({name: jwk[name] for name in names}, separators=(",", ":"), sort_keys=True)
    return base64url.encode(hashlib.sha256(document.encode("utf-8")).digest()).decode("ascii")


def make_rsa_pair(use: str, *, kid_prefix: str = "", bits: int = 4096) -> tuple[dict[str, Any], dict[str, Any]]:
    """Make an RSA key and return (public JWK, private JWK); 4096 bits take about 0.4 s.

    ``use`` is "encryption" (wrapKey and unwrapKey, RSA-OAEP-256) or "signing" (verify and sign, PS512). The kid is
    ``kid_prefix`` and 22 random characters.
    """
    alg, operation, private_operation = _RSA_USES[use]
    private_key = rsa.generate_private_key(EXPONENT, bits)
    kid = f"{kid_prefix}{secrets.token_urlsafe(16)}"
    public = public_jwk(private_key.public_key(), kid=kid, operation=operation, alg=alg)
    return public, public | {"key_ops": [private_operation]} | _private_members(private_key)


def public_rsa_jwk(public_key: rsa.RSAPublicKey, *, use: str, kid: str) -> dict[str, Any]:
    """Return a public key as the JWK of a destination; ``use`` as in :func:`make_rsa_pair`."""
    alg, operation, _private_operation = _RSA_USES[use]
    return public_jwk(public_key, kid=kid, operation=operation, alg=alg)


def private_rsa_jwk(private_key: rsa.RSAPrivateKey, *, use: str, kid: str) -> dict[str, Any]:
    """Return a private key as a JWK that opens or signs; ``use`` as in :func:`make_rsa_pair`."""
    public = public_rsa_jwk(private_key.public_key(), use=use, kid=kid)
    return public | {"key_ops": [_RSA_USES[use][2]]} | _private_members(private_key)


def make_ed25519_pair(kid_prefix: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """Make an Ed25519 key and return (public JWK with verify, private JWK with sign) (RFC 8037)."""
    private_key = ed25519.Ed25519PrivateKey.generate()
    kid = f"{kid_prefix}{secrets.token_urlsafe(16)}"
    public = public_jwk(private_key.public_key(), kid=kid, operation="verify", alg=RECEIPT_ALGORITHM)
    seed = private_key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return public, public | {"key_ops": ["sign"], "d": base64url.encode(seed).decode("ascii")}


def public_rsa_key(jwk: Jwk) -> rsa.RSAPublicKey:
    """Return the JWK's n and e as a public key, unjudged.

    Raises:
        KeyRefused: n and e make no RSA key.
    """
    try:
        return rsa.RSAPublicNumbers(integer(jwk, "e"), integer(jwk, "n")).public_key()
    except ValueError as exc:
        raise refused(7, "n und e ergeben keinen RSA-Schlüssel.", "n and e make no RSA key.") from exc


def public_ed25519_key(jwk: Jwk) -> ed25519.Ed25519PublicKey:
    """Return the JWK's x as a public key (RFC 8037), judged: one signature verifies for any text behind a key of small order.

    Raises:
        KeyRefused: x is not base64url.
        ValueError: it has another length, is a number beyond the field (RFC 8032 section 5.1.3), or of small order.
    """
    content = octets(jwk, "x")
    ordinate = int.from_bytes(content, "little") & (2**255 - 1)
    if ordinate >= _FIELD or ordinate in _SMALL_ORDER:
        raise ValueError("a point of small order, or none")
    return ed25519.Ed25519PublicKey.from_public_bytes(content)


def public_jwk(
    public_key: rsa.RSAPublicKey | ed25519.Ed25519PublicKey, *, kid: str, operation: str, alg: str
) -> dict[str, Any]:
    """Return a public key as a JWK with one operation."""
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        x = base64url.encode(public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)).decode("ascii")
        return {"kty": "OKP", "crv": "Ed25519", "key_ops": [operation], "alg": alg, "kid": kid, "x": x}
    numbers = public_key.public_numbers()
    return {
        "kty": "RSA",
        "key_ops": [operation],
        "alg": alg,
        "kid": kid,
        "n": _unsigned_text(numbers.n),
        "e": _unsigned_text(numbers.e),
    }


def _private_members(private_key: rsa.RSAPrivateKey) -> dict[str, str]:
    numbers = private_key.private_numbers()
    parts = {
        "d": numbers.d,
        "p": numbers.p,
        "q": numbers.q,
        "dp": numbers.dmp1,
        "dq": numbers.dmq1,
        "qi": numbers.iqmp,
    }
    return {name: _unsigned_text(value) for name, value in parts.items()}


def _unsigned_text(value: int) -> str:
    return base64url.encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode("ascii")


def integer(jwk: Jwk, name: str) -> int:
    """Return a member that is a Base64urlUInt (RFC 7518 section 2): big-endian, no leading zero octet.

    Raises:
        KeyRefused: it is missing or has another form.
    """
    content = octets(jwk, name)
    if not content or content[0] == 0:
        raise _not_a_number(name)
    return int.from_bytes(content, "big")


def octets(jwk: Jwk, name: str) -> bytes:
    """Return a member that is base64url.

    Raises:
        KeyRefused: it is missing or has another form.
    """
    value = jwk.get(name)
    if not isinstance(value, str) or len(value) > MOST_BITS or not value.isascii():
        raise _not_a_number(name)
    try:
        return base64url.decode(value.encode("ascii"), part=name)
    except SealBroken as exc:
        raise _not_a_number(name) from exc


def _not_a_number(name: str) -> KeyRefused:
    return refused(
        7,
        f"{name} ist keine Zahl in Base64url (RFC 7518, Abschnitt 2: ohne Padding, ohne führendes Null-Byte).",
        f"{name} is no number in base64url (RFC 7518, section 2: no padding, no leading zero octet).",
    )


def refused(check: int, de: str, en: str) -> KeyRefused:
    """Return the refusal of a key by the numbered ``check`` of the key policy (see ``keys``)."""
    return KeyRefused(Text(f"Schlüsselprüfung {check}: {de}", f"Key check {check}: {en}"), check=check)
