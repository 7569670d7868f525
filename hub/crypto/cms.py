"""Sealing as CMS EnvelopedData (RFC 5652) for receivers that read S/MIME but no JWE: AES-256-CBC, RSA key transport.

CBC is not authenticated and the key transport is RSAES-PKCS1-v1_5: that is what those receivers understand. Use it for
them alone; the hash in the receipt is what proves the content.
"""

from __future__ import annotations

from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import PKCS7EnvelopeBuilder, PKCS7Options

from hub.crypto import certificates
from hub.crypto.keys import KeyPolicy
from hub.errors import KeyRefused, Text


def judge_recipient(certificate_pem: bytes, *, now: datetime, policy: KeyPolicy) -> certificates.Certificate:
    """Return a PEM certificate as one to seal for, after the key policy's checks 7 and 10 to 12.

    Raises:
        KeyRefused: it cannot be read, is weak, not valid now, leads to no anchor, or is for another use.
    """
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        public_key = certificate.public_key()
    except ValueError as exc:
        raise _refused() from exc
    if not isinstance(public_key, RSAPublicKey) or public_key.key_size < policy.minimum_bits:
        raise _refused()
    certificates.judge_validity([certificate], now=now)
    if not (policy.allow_self_signed and certificates.is_self_signed(certificate)):
        certificates.judge_trust([certificate], anchors=policy.trust_anchors, now=now)
    if not certificates.allows(certificate, "key_encipherment"):
        raise _refused()
    return certificate


def seal(recipient: certificates.Certificate, content: bytes) -> bytes:
    """Return ``content`` as DER-encoded CMS EnvelopedData for a judged recipient. The whole content lies in memory."""
    return (
        PKCS7EnvelopeBuilder()
        .set_data(content)
        .add_recipient(recipient)
        .set_content_encryption_algorithm(AES256)
        .encrypt(Encoding.DER, [PKCS7Options.Binary])
    )


def _refused() -> KeyRefused:
    return KeyRefused(
        Text(
            "Das Zertifikat des Empfängers taugt nicht für CMS: Verlangt ist PEM mit RSA, mindestens 4096 Bit, "
            "Schlüsselverwendung keyEncipherment. Hinterlegen Sie ein passendes.",
            "The recipient's certificate does not fit CMS: required is PEM with RSA, at least 4096 bits, "
            "key usage keyEncipherment. Register a fitting one.",
        )
    )
