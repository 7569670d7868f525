"""Public keys as people deposit them: a JWK in JSON, or a certificate (PEM or DER, its chain behind it). Unjudged.

What comes out is a JWK for :mod:`hub.crypto.keys` to judge; nothing private passes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from hub.crypto import certificates
from hub.crypto.jwk import SIGN_ALGORITHM, WRAP_ALGORITHM, public_jwk, refused, thumbprint
from hub.errors import KeyRefused

#: Bytes; a JWK with a chain of six certificates has less.
_LARGEST = 128 * 1024
_ALGORITHMS = {"wrapKey": WRAP_ALGORITHM, "verify": SIGN_ALGORITHM}


def read_deposit(content: bytes, *, operation: str) -> dict[str, Any]:
    """Return what was deposited as a public JWK for ``operation`` (``wrapKey`` or ``verify``).

    A JWK keeps what it says of itself; a certificate gets its key's thumbprint (RFC 7638) as ``kid``.

    Raises:
        KeyRefused: it is neither, it is too large, or it holds a private key.
    """
    if len(content) > _LARGEST:
        raise refused(1, "Die Datei ist größer als 128 KiB.", "The file is larger than 128 KiB.")
    if b"PRIVATE KEY-----" in content:
        raise _private()
    if content.lstrip()[:1] == b"{":
        return _jwk(content)
    return _certified(_chain(content), operation)


def _jwk(content: bytes) -> dict[str, Any]:
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError) as exc:
        raise _neither() from exc
    if not isinstance(document, dict):
        raise _neither()
    if "keys" in document:
        raise refused(
            1,
            "Das ist ein Schlüsselsatz (JWKS). Hinterlegen Sie einen einzelnen JWK, je Zweck einen.",
            "This is a key set (JWKS). Deposit a single JWK, one for each purpose.",
        )
    return document


def _chain(content: bytes) -> Sequence[x509.Certificate]:
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_certificates(content)
        return [x509.load_der_x509_certificate(content)]
    except ValueError as exc:
        raise _neither() from exc


def _certified(chain: Sequence[x509.Certificate], operation: str) -> dict[str, Any]:
    public_key = chain[0].public_key()
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise refused(
            3,
            "Das Zertifikat ist keines für einen RSA-Schlüssel. Beantragen Sie eines mit RSA, mindestens 4096 Bit.",
            "The certificate is not about an RSA key. Apply for one with RSA, at least 4096 bits.",
        )
    jwk = public_jwk(public_key, kid="", operation=operation, alg=_ALGORITHMS[operation])
    return jwk | {"kid": thumbprint(jwk), "x5c": certificates.write_chain(chain)}


def _private() -> KeyRefused:
    return refused(
        2,
        "Die Datei enthält einen privaten Schlüssel. Behandeln Sie ihn als offengelegt: Erzeugen Sie einen neuen und "
        "hinterlegen Sie nur dessen Zertifikat.",
        "The file holds a private key. Treat it as disclosed: make a new one and deposit its certificate only.",
    )


def _neither() -> KeyRefused:
    return refused(
        1,
        "Das ist weder ein JWK (JSON) noch ein Zertifikat (PEM oder DER).",
        "This is neither a JWK (JSON) nor a certificate (PEM or DER).",
    )
