"""Keys and algorithms of signed and encrypted messages between access points (eDelivery AS4 1.15, section 3.2.6.2).

RSA with SHA-256 signs (RFC 8017, section 8.2), RSA-OAEP with SHA-256 and MGF1-SHA-256 wraps a key of one message, and
AES-128-GCM seals its parts under it: nonce, ciphertext and tag behind each other (XML Encryption 1.1, section 5.2.4). Parts go
through in pieces. What a part's opener yields is not proven before its end: whoever keeps it must be able to drop it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers import AEADDecryptionContext, Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import GCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from hub.errors import KeyRefused, Text

_LEAST_BITS, _MOST_BITS = 2048, 8192
_KEY, _NONCE, _TAG = 16, 12, 16
#: Bytes that sealing adds to a part.
PART_OVERHEAD = _NONCE + _TAG


class NotGenuine(ValueError):
    """A signature, a wrapped key or a sealed part is not what it claims to be."""


def _oaep() -> padding.OAEP:
    return padding.OAEP(mgf=padding.MGF1(SHA256()), algorithm=SHA256(), label=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class MessagePeer:
    """The other side, as its pinned certificate says; ``der`` is the certificate, valid from ``begins`` to ``ends``."""

    der: bytes = field(repr=False)
    begins: datetime
    ends: datetime
    _public: RSAPublicKey = field(repr=False)

    def is_valid(self, now: datetime) -> bool:
        """Tell whether the certificate is neither expired nor yet to come."""
        return self.begins <= now <= self.ends

    def verify(self, signature: bytes, signed: bytes) -> None:
        """Require that this peer signed these bytes.

        Raises:
            NotGenuine: it did not.
        """
        try:
            self._public.verify(signature, signed, padding.PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError) as exc:
            raise NotGenuine from exc

    def wrap(self, key: bytes) -> bytes:
        """Return a message's key for this peer alone."""
        return self._public.encrypt(key, _oaep())


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageKey:
    """The own private key with its certificate ``der``."""

    der: bytes = field(repr=False)
    _private: RSAPrivateKey = field(repr=False)

    def sign(self, content: bytes) -> bytes:
        """Return the signature of these bytes."""
        return self._private.sign(content, padding.PKCS1v15(), SHA256())

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return a message's key.

        Raises:
            NotGenuine: it is for another key, or none. Nothing tells the two apart.
        """
        try:
            key = self._private.decrypt(wrapped, _oaep())
        except ValueError as exc:
            raise NotGenuine from exc
        if len(key) != _KEY:
            raise NotGenuine
        return key


def read_message_peer(pem: bytes) -> MessagePeer:
    """Read the other side's certificate.

    Raises:
        KeyRefused: no certificate in PEM, or no RSA key of 2048 to 8192 bits in it.
    """
    certificate = _certificate(pem)
    return MessagePeer(
        der=certificate.public_bytes(Encoding.DER),
        begins=certificate.not_valid_before_utc,
        ends=certificate.not_valid_after_utc,
        _public=_rsa(certificate),
    )


def read_message_key(pem: bytes, certificate_pem: bytes) -> MessageKey:
    """Read the own private key and its certificate.

    Raises:
        KeyRefused: they cannot be read, are no RSA of 2048 to 8192 bits, or do not belong together.
    """
    certificate = _certificate(certificate_pem)
    public = _rsa(certificate)
    try:
        private = load_pem_private_key(pem, None)
    except (ValueError, TypeError) as exc:
        raise _unusable() from exc
    if not isinstance(private, RSAPrivateKey) or private.public_key().public_numbers() != public.public_numbers():
        raise KeyRefused(
            Text(
                "Schlüssel und Zertifikat gehören nicht zusammen. Nennen Sie beide aus demselben Antrag.",
                "Key and certificate do not belong together. Name the two of the same request.",
            )
        )
    return MessageKey(der=certificate.public_bytes(Encoding.DER), _private=private)


def _certificate(pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as exc:
        raise _unusable() from exc


def _rsa(certificate: x509.Certificate) -> RSAPublicKey:
    public = certificate.public_key()
    if not isinstance(public, RSAPublicKey) or not _LEAST_BITS <= public.key_size <= _MOST_BITS:
        raise _unusable()
    return public


def _unusable() -> KeyRefused:
    return KeyRefused(
        Text(
            "Gebraucht werden ein Zertifikat und sein privater Schlüssel in PEM, ohne Kennwort, RSA mit 2048 bis 8192 Bit.",
            "A certificate and its private key in PEM are needed, without password, RSA of 2048 to 8192 bits.",
        )
    )


def new_part_key() -> bytes:
    """Return a fresh key for the parts of one message."""
    return os.urandom(_KEY)


class PartSealer:
    """Seals one part: what ``head``, ``write`` and ``finish`` return belongs behind each other."""

    def __init__(self, key: bytes) -> None:
        nonce = os.urandom(_NONCE)
        self._encryptor = Cipher(AES128(key), GCM(nonce)).encryptor()
        self.head = nonce

    def write(self, plaintext: bytes) -> bytes:
        """Seal the next piece."""
        return self._encryptor.update(plaintext)

    def finish(self) -> bytes:
        """Return what comes last."""
        return self._encryptor.finalize() + self._encryptor.tag


class PartOpener:
    """Opens one part: ``write`` sealed bytes in any pieces, ``finish`` once. Nothing is proven before ``finish`` returns."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._decryptor: AEADDecryptionContext | None = None
        self._waiting = b""

    def write(self, sealed: bytes) -> bytes:
        """Open what is no longer the end of what has come so far."""
        waiting = self._waiting + sealed
        if self._decryptor is None:
            if len(waiting) < _NONCE + _TAG:
                self._waiting = waiting
                return b""
            self._decryptor = Cipher(AES128(self._key), GCM(waiting[:_NONCE])).decryptor()
            waiting = waiting[_NONCE:]
        ready = max(0, len(waiting) - _TAG)
        self._waiting = waiting[ready:]
        return self._decryptor.update(waiting[:ready])

    def finish(self) -> None:
        """Require that all of it was genuine.

        Raises:
            NotGenuine: it was not, or the end is missing.
        """
        if self._decryptor is None:
            raise NotGenuine
        try:
            self._decryptor.finalize_with_tag(self._waiting)
        except (InvalidTag, ValueError) as exc:
            raise NotGenuine from exc
