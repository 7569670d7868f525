"""Sealing under a key that somebody carries, and making such a key of what a person types.

AES-256-GCM (NIST SP 800-38D) with a fresh nonce of 96 random bits for each sealing, in front of the ciphertext. What a
sealing belongs to is bound to it and must be said again on opening, so that nothing that was stored fits in another place.
"""

from __future__ import annotations

import hashlib
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from hub.errors import SealBroken, Text

KEY_SIZE = 32
_NONCE_SIZE = 12
_TAG_SIZE = 16
#: Bytes by which what is sealed is longer than what was.
OVERHEAD = _NONCE_SIZE + _TAG_SIZE
#: RFC 7914: 32 MiB and about a tenth of a second for each guess.
_COST, _BLOCK, _PARALLEL = 1 << 15, 8, 1
_MEMORY = 2 * 128 * _COST * _BLOCK


def seal(key: bytes, content: bytes, *, bound: tuple[bytes, ...]) -> bytes:
    """Return ``content`` sealed under a ``key`` of 32 bytes; ``bound`` says where it belongs."""
    nonce = os.urandom(_NONCE_SIZE)
    return nonce + AESGCM(key).encrypt(nonce, content, _joined(bound))


def unseal(key: bytes, sealed: bytes, *, bound: tuple[bytes, ...]) -> bytes:
    """Return what :func:`seal` sealed.

    Raises:
        SealBroken: it was changed, belongs elsewhere, or the key is another.
    """
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], _joined(bound))
    except (InvalidTag, ValueError) as exc:
        raise SealBroken(
            Text(
                "Ein gespeicherter Inhalt lässt sich nicht öffnen: Er wurde verändert, oder der Schlüssel ist ein anderer.",
                "A stored content cannot be opened: it was changed, or the key is another.",
            )
        ) from exc


def stretch(secret: bytes, *, salt: bytes, size: int) -> bytes:
    """Return ``size`` bytes of what a person types (scrypt, RFC 7914); slow on purpose, and the same for the same."""
    return hashlib.scrypt(secret, salt=salt, n=_COST, r=_BLOCK, p=_PARALLEL, maxmem=_MEMORY, dklen=size)


def derive(secret: bytes, *, purpose: bytes) -> bytes:
    """Return a key of 32 bytes made of a random ``secret`` for one ``purpose`` (HKDF-SHA-256, RFC 5869)."""
    return HKDF(algorithm=hashes.SHA256(), length=KEY_SIZE, salt=None, info=purpose).derive(secret)


def _joined(parts: tuple[bytes, ...]) -> bytes:
    """Return ``parts``, each preceded by its length, so that no two lists read alike."""
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)
