"""Opening JWEs with private keys, in memory or as a stream; nothing is released before its tag is verified.

Whatever goes wrong with a key, a wrapped key or a tag is told in the same words (RFC 7516 section 11.5): the answer
must not help somebody to guess.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.base import AEADDecryptionContext
from cryptography.hazmat.primitives.ciphers.modes import GCM

from hub.crypto import base64url
from hub.crypto.jwe import CEK_SIZE, OAEP_256, JweHeader
from hub.crypto.jwe_scanner import Splitter
from hub.crypto.keys import DecryptionKey
from hub.errors import HubError, SealBroken, Text, TooLarge

Source = Callable[[], Iterator[bytes]]

#: Characters of ciphertext that are decoded, decrypted and released together; a multiple of four.
_SEGMENT = 1024 * 1024
_INFLATE_STEP = 1024 * 1024
#: Header, wrapped key, vector, tag and dots at their largest.
_FRAME = 16 * 1024


def decrypt(jwe: bytes, keys: Sequence[DecryptionKey], *, max_output: int, allow_zip: bool = True) -> bytes:
    """Return the content of a compact JWE; ``max_output`` is the most bytes of it.

    Keys are tried in this order: the header's ``kid``, a thumbprint equal to it, all others (senders err in ``kid``).

    Raises:
        TooLarge: the content is over ``max_output``.
        SealBroken: the JWE breaks the profile, no key opens it, or it was changed.
    """
    splitter = _splitter(max_output=max_output, allow_zip=allow_zip)
    text = splitter.feed(jwe)
    header = splitter.finish()
    cek = _unwrap(splitter, keys)
    try:
        content = AESGCM(cek).decrypt(splitter.iv, base64url.decode_checked(text) + splitter.tag, splitter.protected)
    except InvalidTag as exc:
        raise _cannot_open() from exc
    output = _Output(header, max_output)
    plaintext = b"".join(output.feed(content))
    output.finish()
    return plaintext


class JweReader:
    """Opens a JWE of any size in two passes over ``source``, a callable that opens the same stream anew.

    The first pass verifies the tag and judges the whole content; the second decrypts and releases. A digest of every
    segment ties the second to the first, so that a file that changes in between releases nothing unverified.

    Raises:
        SealBroken: the JWE breaks the profile, or no key opens it.
    """

    def __init__(
        self, source: Source, keys: Sequence[DecryptionKey], *, max_output: int, allow_zip: bool = True
    ) -> None:
        self._source = source
        self._max_output = max_output
        self._allow_zip = allow_zip
        splitter = self._read_frame()
        self._protected, self._iv = splitter.protected, splitter.iv
        self._cek = _unwrap(splitter, keys)

    @property
    def header(self) -> JweHeader:
        """The protected header; its integrity is known once the tag is verified."""
        return self._header

    def plaintext(self) -> Iterator[bytes]:
        """Verify everything, then yield the content in pieces.

        Raises:
            TooLarge: the content is over ``max_output``.
            SealBroken: it was changed, its compression is broken, or the source changed between the passes.
        """
        digests = self._verify()
        return self._release(digests)

    def _verify(self) -> list[bytes]:
        decryptor, output = self._decryptor(), _Output(self._header, self._max_output)
        digests: list[bytes] = []
        splitter = self._splitter()
        refusal: HubError | None = None
        for segment in self._segments(splitter):
            digests.append(hashlib.sha256(segment).digest())
            content = decryptor.update(segment)
            # Judged along the way but told only behind the tag: nobody may learn what a forged content inflates to.
            refusal = refusal or _refusal(output, content)
        self._require_same_frame(splitter)
        try:
            decryptor.finalize_with_tag(splitter.tag)
        except InvalidTag as exc:
            raise _cannot_open() from exc
        if refusal is not None:
            raise refusal
        output.finish()
        return digests

    def _release(self, digests: list[bytes]) -> Iterator[bytes]:
        decryptor, output = self._decryptor(), _Output(self._header, self._max_output)
        expected = iter(digests)
        for segment in self._segments(self._splitter()):
            if hashlib.sha256(segment).digest() != next(expected, None):
                raise _source_changed()
            yield from filter(None, output.feed(decryptor.update(segment)))
        if next(expected, None) is not None:
            raise _source_changed()

    def _segments(self, splitter: Splitter) -> Iterator[bytes]:
        pending = bytearray()
        for chunk in self._source():
            pending += splitter.feed(chunk)
            while len(pending) > _SEGMENT:
                yield base64url.decode_checked(bytes(pending[:_SEGMENT]))
                del pending[:_SEGMENT]
        # A stream that ends inside the ciphertext may end inside a character's bits: it is judged before it is decoded.
        splitter.finish()
        if pending:
            yield base64url.decode_checked(bytes(pending))

    def _read_frame(self) -> Splitter:
        splitter = self._splitter()
        for chunk in self._source():
            splitter.feed(chunk)
            if splitter.header is not None and splitter.iv:
                self._header = splitter.header
                return splitter
        # The stream ended inside the frame: the splitter says what is missing.
        splitter.finish()
        raise _source_changed()

    def _require_same_frame(self, splitter: Splitter) -> None:
        if (splitter.protected, splitter.iv) != (self._protected, self._iv):
            raise _source_changed()

    def _splitter(self) -> Splitter:
        return _splitter(max_output=self._max_output, allow_zip=self._allow_zip)

    def _decryptor(self) -> AEADDecryptionContext:
        decryptor = Cipher(AES256(self._cek), GCM(self._iv)).decryptor()
        decryptor.authenticate_additional_data(self._protected)
        return decryptor


class _Output:
    """The content behind decryption: inflated where the header says so (RFC 1951), counted against the cap."""

    def __init__(self, header: JweHeader, max_output: int) -> None:
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS) if header.zip else None
        self._left = max_output

    def feed(self, content: bytes) -> Iterator[bytes]:
        """Yield what ``content`` becomes."""
        if self._inflater is None:
            yield self._count(content)
            return
        cap = inflated = 0
        # A full step may leave output behind in the inflater even when all input is consumed.
        while content or (inflated == cap and not self._inflater.eof):
            if self._inflater.eof:
                raise _broken_compression()
            cap = min(_INFLATE_STEP, self._left + 1)
            try:
                piece = self._inflater.decompress(content, cap)
            except zlib.error as exc:
                raise _broken_compression() from exc
            inflated = len(piece)
            yield self._count(piece)
            content = self._inflater.unconsumed_tail or self._inflater.unused_data

    def finish(self) -> None:
        """Require the compressed content to be complete."""
        if self._inflater is not None and not self._inflater.eof:
            raise _broken_compression()

    def _count(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise TooLarge(
                Text(
                    "Der entschlüsselte Inhalt überschreitet die erlaubte Größe. Verkleinern oder teilen Sie ihn.",
                    "The decrypted content exceeds the size allowed. Make it smaller or split it.",
                )
            )
        return content


def _splitter(*, max_output: int, allow_zip: bool) -> Splitter:
    # Incompressible content grows by less than a thousandth under deflate, and by a third in base64url.
    limit = (max_output + max_output // 1000) * 4 // 3 + _FRAME
    return Splitter(allow_zip=allow_zip, require_cty=False, require_kid=False, limit=limit)


def _unwrap(splitter: Splitter, keys: Sequence[DecryptionKey]) -> bytes:
    for key in _likeliest_first(keys, splitter.header.kid if splitter.header else None):
        if key.private_key.key_size != 8 * len(splitter.wrapped_key):
            continue
        try:
            cek = key.private_key.decrypt(splitter.wrapped_key, OAEP_256)
        except ValueError:
            continue
        if len(cek) == CEK_SIZE:
            return cek
    raise _cannot_open()


def _likeliest_first(keys: Sequence[DecryptionKey], kid: str | None) -> list[DecryptionKey]:
    return sorted(keys, key=lambda key: 0 if key.kid == kid else 1 if key.thumbprint == kid else 2)


def _refusal(output: _Output, content: bytes) -> HubError | None:
    try:
        for _ in output.feed(content):
            pass
    except HubError as refusal:
        return refusal
    return None


def _cannot_open() -> SealBroken:
    return SealBroken(
        Text(
            "Die JWE lässt sich nicht öffnen: Kein hinterlegter Schlüssel passt, oder der Inhalt wurde verändert. "
            "Prüfen Sie, ob mit dem veröffentlichten Schlüssel dieses Zustellpunkts verschlüsselt wurde.",
            "The JWE cannot be opened: no configured key fits, or the content was changed. "
            "Check that it was encrypted with the published key of this destination.",
        )
    )


def _broken_compression() -> SealBroken:
    return SealBroken(
        Text(
            "Der komprimierte Inhalt der JWE ist unvollständig oder es folgen weitere Daten (RFC 1951). "
            "Verschlüsseln Sie ohne „zip“.",
            "The compressed content of the JWE is incomplete or followed by further data (RFC 1951). "
            'Encrypt without "zip".',
        )
    )


def _source_changed() -> SealBroken:
    return SealBroken(
        Text(
            "Die JWE hat sich zwischen Prüfung und Entschlüsselung verändert. Rufen Sie sie neu ab.",
            "The JWE changed between verification and decryption. Fetch it again.",
        )
    )
