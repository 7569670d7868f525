"""Signing and verifying: compact JWS (RFC 7515) with PS512 (RFC 7518) or Ed25519 (RFC 8037), and nothing else.

The algorithm is chosen by whom is called, never by the token (RFC 8725 section 3.1).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from hub.crypto import base64url, header, thumbprint
from hub.crypto.keys import RECEIPT_ALGORITHM, SIGN_ALGORITHM, SigningKey, VerificationKey
from hub.errors import KeyRefused, SealBroken, Text, TooLarge

#: Bytes of a whole token. Event tokens and receipts take a few kB; 100 attachments' tags about 7 kB.
JWS_LIMIT = 1024 * 1024

#: PS512: MGF1 and salt have the length of the hash, exactly (RFC 7518 section 3.5).
PSS_512 = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)


@dataclass(frozen=True, kw_only=True, slots=True)
class JwsHeader:
    """A protected header of the profile; unverified until the signature is."""

    alg: str
    typ: str | None
    kid: str


def read_jws_header(jws: str) -> JwsHeader:
    """Return the header of a compact JWS, so that its key can be looked up. Proves nothing yet.

    Raises:
        TooLarge: the token or its header is oversized.
        SealBroken: it is no strict compact JWS, has no kid, or its algorithm is neither PS512 nor EdDSA.
    """
    return _read_header(_split(jws)[0])


def sign_ps512(key: SigningKey, payload: bytes, *, typ: str) -> str:
    """Return ``payload`` as a compact JWS with header alg, typ, kid. Costs 2 ms with RSA-4096, never the same twice.

    Raises:
        KeyRefused: ``key`` is no RSA key.
    """
    if not isinstance(key.private_key, RSAPrivateKey):
        raise _wrong_key(SIGN_ALGORITHM)
    signed = _signing_input(key, payload, typ=typ)
    signature = key.private_key.sign(signed, PSS_512, hashes.SHA512())
    return (signed + b"." + base64url.encode(signature)).decode("ascii")


def sign_eddsa(key: SigningKey, payload: bytes, *, typ: str) -> str:
    """Return ``payload`` as a compact JWS signed with Ed25519, header alg, typ, kid.

    Raises:
        KeyRefused: ``key`` is no Ed25519 key.
    """
    if not isinstance(key.private_key, Ed25519PrivateKey):
        raise _wrong_key(RECEIPT_ALGORITHM)
    signed = _signing_input(key, payload, typ=typ)
    return (signed + b"." + base64url.encode(key.private_key.sign(signed))).decode("ascii")


def verify_ps512(jws: str, key: VerificationKey, *, typ: str | None) -> bytes:
    """Return the payload of a JWS that ``key`` signed with PS512; ``typ`` is what its header must say (None: anything).

    Raises:
        TooLarge: the token or its header is oversized.
        SealBroken: it is no strict compact JWS, names another algorithm, type or key, or does not verify.
        KeyRefused: ``key`` is no RSA key.
    """
    if not isinstance(key.public_key, RSAPublicKey):
        raise _wrong_key(SIGN_ALGORITHM)
    signed, payload, signature = _open(jws, key, alg=SIGN_ALGORITHM, typ=typ)
    try:
        key.public_key.verify(signature, signed, PSS_512, hashes.SHA512())
    except InvalidSignature as exc:
        raise _does_not_verify() from exc
    return payload


def verify_eddsa(jws: str, key: VerificationKey, *, typ: str | None) -> bytes:
    """Return the payload of a JWS that ``key`` signed with Ed25519; otherwise as :func:`verify_ps512`."""
    if not isinstance(key.public_key, Ed25519PublicKey):
        raise _wrong_key(RECEIPT_ALGORITHM)
    signed, payload, signature = _open(jws, key, alg=RECEIPT_ALGORITHM, typ=typ)
    try:
        key.public_key.verify(signature, signed)
    except InvalidSignature as exc:
        raise _does_not_verify() from exc
    return payload


def _signing_input(key: SigningKey, payload: bytes, *, typ: str) -> bytes:
    return _protected(key.alg, typ, key.kid) + b"." + base64url.encode(payload)


@lru_cache
def _protected(alg: str, typ: str, kid: str) -> bytes:
    members = {"alg": alg, "typ": typ, "kid": kid}
    return base64url.encode(json.dumps(members, separators=(",", ":")).encode("ascii"))


def _open(jws: str, key: VerificationKey, *, alg: str, typ: str | None) -> tuple[bytes, bytes, bytes]:
    """Return signing input, payload and signature of a token whose header fits the call."""
    protected, payload, signature = _split(jws)
    found = _read_header(protected)
    if found.alg != alg:
        raise _other_member("alg")
    if typ is not None and found.typ != typ:
        raise _other_member("typ")
    if found.kid != key.kid and found.kid != thumbprint(key.jwk):
        raise _other_member("kid")
    content = base64url.decode(payload, part="payload")
    return protected + b"." + payload, content, base64url.decode(signature, part="signature")


def _split(jws: str) -> tuple[bytes, bytes, bytes]:
    if len(jws) > JWS_LIMIT:
        raise TooLarge(
            Text(
                f"Das Token ist größer als {JWS_LIMIT} Byte.",
                f"The token is larger than {JWS_LIMIT} bytes.",
            )
        )
    parts = jws.encode("ascii", errors="replace").split(b".", 3)
    if len(parts) != 3 or not all(parts):  # noqa: PLR2004 - RFC 7515 section 7.1: header, payload, signature.
        raise SealBroken(
            Text(
                "Das ist kein vollständiges JWS: Verlangt sind genau drei nicht leere Teile, mit Punkten getrennt "
                "(RFC 7515, Abschnitt 7.1).",
                "This is no complete JWS: required are exactly three non-empty parts separated by dots "
                "(RFC 7515, section 7.1).",
            )
        )
    return parts[0], parts[1], parts[2]


def _read_header(protected: bytes) -> JwsHeader:
    members = header.read(protected)
    alg = header.require(members, "alg", (SIGN_ALGORITHM, RECEIPT_ALGORITHM))
    kid = header.text(members, "kid")
    if kid is None:
        raise _other_member("kid")
    return JwsHeader(alg=alg, typ=header.text(members, "typ"), kid=kid)


def _wrong_key(alg: str) -> KeyRefused:
    return KeyRefused(
        Text(
            f"Der Schlüssel passt nicht zum Verfahren {alg}. Verwenden Sie einen Schlüssel für dieses Verfahren.",
            f"The key does not fit algorithm {alg}. Use a key for that algorithm.",
        )
    )


def _other_member(name: str) -> SealBroken:
    return SealBroken(
        Text(
            f"Die Angabe „{name}“ im Header ist hier nicht die erwartete. Prüfen Sie Art und Schlüssel des Tokens.",
            f'Member "{name}" of the header is not the one expected here. Check the kind and key of the token.',
        ),
        member=name,
    )


def _does_not_verify() -> SealBroken:
    return SealBroken(
        Text(
            "Die Signatur passt nicht zu Inhalt und Schlüssel. Das Token wurde verändert oder mit einem anderen "
            "Schlüssel signiert; holen Sie es neu oder prüfen Sie den Schlüssel.",
            "The signature does not fit content and key. The token was changed or signed with another key; "
            "fetch it again or check the key.",
        )
    )
