"""Writing JWE: compact serialisation (RFC 7516), RSA-OAEP-256 and A256GCM (RFC 7518), in memory or as a stream.

Plaintext goes in, ciphertext comes out at the same pace: nothing of a content is kept, whatever its size.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import GCM

from hub.crypto import base64url, header
from hub.crypto.keys import WRAP_ALGORITHM, EncryptionKey
from hub.errors import SealBroken, Text, TooLarge, UnsupportedMedia

ENCRYPTION = "A256GCM"
#: Bytes (RFC 7518 section 5.3).
IV_SIZE = 12
TAG_SIZE = 16
CEK_SIZE = 32

#: OAEP with SHA-256 for both the label's hash and MGF1 (RFC 7518 section 4.3).
OAEP_256 = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)

#: Bytes that GCM may encrypt under one initialisation vector (NIST SP 800-38D).
_GCM_LIMIT = 2**36 - 32
#: Larger writes are cut into slices, so that the ciphertext of one slice, not of all, lies in memory.
_SLICE = 3 * 256 * 1024
#: A key seals many contents of few types; each header is about 200 bytes.
_HEADERS_KEPT = 4096
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}( ?;[ -~]{1,100})?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """What is known of a JWE once written.

    ``tag`` is its fifth part; ``sha512`` (lower-case hex) and ``size`` (bytes) speak of the compact serialisation,
    ``plaintext_sha512`` and ``plaintext_size`` of the content.
    """

    tag: str
    sha512: str
    size: int
    plaintext_sha512: str
    plaintext_size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JweHeader:
    """A protected header that passed the profile; ``kid`` is a hint of the sender, not a fact."""

    alg: str
    enc: str
    kid: str | None
    cty: str | None
    zip: str | None


@lru_cache(maxsize=_HEADERS_KEPT)
def read_header(
    segment: bytes, *, allow_zip: bool = False, require_cty: bool = False, require_kid: bool = True
) -> JweHeader:
    """Return the header that ``segment`` (the first part of a compact JWE) encodes.

    Raises:
        TooLarge: more than 4096 bytes.
        SealBroken: it is no strict JSON object, or breaks the profile: alg, enc, kid, cty, zip, forbidden members.
    """
    members = header.read(segment)
    alg = header.require(members, "alg", (WRAP_ALGORITHM,))
    enc = header.require(members, "enc", (ENCRYPTION,))
    kid, cty = header.text(members, "kid"), header.text(members, "cty")
    if require_kid and kid is None:
        raise _missing("kid")
    if require_cty and cty is None:
        raise _missing("cty")
    return JweHeader(alg=alg, enc=enc, kid=kid, cty=cty, zip=_compression(members, allow_zip=allow_zip))


def encrypt(key: EncryptionKey, plaintext: bytes, content_type: str) -> tuple[bytes, Seal]:
    """Return ``plaintext`` as a compact JWE, with its seal. For contents that lie in memory anyway.

    Raises:
        UnsupportedMedia: ``content_type`` is no media type.
    """
    cek, iv = _fresh_key()
    protected = _protected(key.kid, content_type)
    sealed = AESGCM(cek).encrypt(iv, plaintext, protected)
    parts = (
        protected,
        base64url.encode(key.public_key.encrypt(cek, OAEP_256)),
        base64url.encode(iv),
        base64url.encode(sealed[:-TAG_SIZE]),
        base64url.encode(sealed[-TAG_SIZE:]),
    )
    jwe = b".".join(parts)
    return jwe, Seal(
        tag=parts[4].decode("ascii"),
        sha512=hashlib.sha512(jwe).hexdigest(),
        size=len(jwe),
        plaintext_sha512=hashlib.sha512(plaintext).hexdigest(),
        plaintext_size=len(plaintext),
    )


def _fresh_key() -> tuple[bytes, bytes]:
    """Return a content key and an IV, asked for in one go: each question lets go of the interpreter."""
    random = os.urandom(CEK_SIZE + IV_SIZE)
    return random[:CEK_SIZE], random[CEK_SIZE:]


class JweWriter:
    """Seals a stream: ``write`` plaintext in any pieces, ``finish`` once. ``sink`` gets the compact JWE as it arises.

    A writer that is dropped before ``finish`` leaves a JWE without a tag behind, which nobody can open.

    Raises:
        UnsupportedMedia: ``content_type`` is no media type.
    """

    def __init__(self, key: EncryptionKey, *, content_type: str, sink: Callable[[bytes], object]) -> None:
        cek, iv = _fresh_key()
        protected = _protected(key.kid, content_type)
        self._sink = sink
        self._encryptor = Cipher(AES256(cek), GCM(iv)).encryptor()
        self._encryptor.authenticate_additional_data(protected)
        self._encoder = base64url.Encoder()
        self._plain_hash, self._jwe_hash = hashlib.sha512(), hashlib.sha512()
        self._plain_size = self._jwe_size = 0
        wrapped = base64url.encode(key.public_key.encrypt(cek, OAEP_256))
        self._put(b".".join((protected, wrapped, base64url.encode(iv), b"")))

    def write(self, plaintext: bytes) -> None:
        """Seal the next piece.

        Raises:
            TooLarge: more than GCM can encrypt under one key and vector (64 GiB).
        """
        self._plain_size += len(plaintext)
        if self._plain_size > _GCM_LIMIT:
            raise TooLarge(
                Text(
                    "Der Inhalt überschreitet 64 GiB. Teilen Sie ihn auf.",
                    "The content exceeds 64 GiB. Split it.",
                )
            )
        self._plain_hash.update(plaintext)
        for start in range(0, len(plaintext), _SLICE):
            self._put(self._encoder.update(self._encryptor.update(plaintext[start : start + _SLICE])))

    def finish(self) -> Seal:
        """Write the last group and the tag; return the seal."""
        rest = self._encoder.update(self._encryptor.finalize()) + self._encoder.finish()
        tag = base64url.encode(self._encryptor.tag)
        self._put(rest + b"." + tag)
        return Seal(
            tag=tag.decode("ascii"),
            sha512=self._jwe_hash.hexdigest(),
            size=self._jwe_size,
            plaintext_sha512=self._plain_hash.hexdigest(),
            plaintext_size=self._plain_size,
        )

    def _put(self, text: bytes) -> None:
        self._jwe_hash.update(text)
        self._jwe_size += len(text)
        self._sink(text)


def require_media_type(content_type: str) -> None:
    """Raise ``UnsupportedMedia`` unless ``content_type`` has the form of a media type (RFC 6838)."""
    if not _MEDIA_TYPE.fullmatch(content_type):
        raise UnsupportedMedia(
            Text(
                "Der angegebene Inhaltstyp ist kein Medientyp der Form „typ/untertyp“ (RFC 6838).",
                'The content type given is no media type of the form "type/subtype" (RFC 6838).',
            )
        )


@lru_cache(_HEADERS_KEPT)
def _protected(kid: str, content_type: str) -> bytes:
    require_media_type(content_type)
    members = {"alg": WRAP_ALGORITHM, "enc": ENCRYPTION, "kid": kid, "cty": content_type}
    return base64url.encode(json.dumps(members, separators=(",", ":")).encode("ascii"))


def _compression(members: dict[str, object], *, allow_zip: bool) -> str | None:
    if "zip" not in members:
        return None
    if not allow_zip:
        raise SealBroken(
            Text(
                "Der JOSE-Header enthält „zip“. Hier sind nur unkomprimierte JWE erlaubt; lassen Sie „zip“ weg.",
                'The JOSE header holds "zip". Only uncompressed JWEs are allowed here; leave "zip" out.',
            )
        )
    return header.require(members, "zip", ("DEF",))


def _missing(name: str) -> SealBroken:
    return SealBroken(
        Text(
            f"Dem JOSE-Header fehlt „{name}“. Ergänzen Sie die Angabe und verschlüsseln Sie erneut.",
            f'The JOSE header lacks "{name}". Add the member and encrypt again.',
        ),
        member=name,
    )
