"""Reading compact JWEs as they stream by: taken apart without a key, or opened with a private one (RFC 7516).

One strict parser for everybody: the sealed door only looks (:class:`JweScanner`), :class:`JweReader` decrypts what passed it,
and nothing is released before its tag is verified. Whatever goes wrong with a key, a wrapped key or a tag is told in the same
words (section 11.5): the answer must not help somebody to guess.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.base import AEADDecryptionContext
from cryptography.hazmat.primitives.ciphers.modes import GCM

from hub.crypto import base64url
from hub.crypto.header import HEADER_SEGMENT_LIMIT
from hub.crypto.hmacs import Hash, Sha512Beside
from hub.crypto.jwe import CEK_SIZE, IV_SIZE, OAEP_256, TAG_SIZE, JweHeader, read_header
from hub.crypto.keys import DecryptionKey
from hub.errors import HubError, SealBroken, Text, TooLarge

#: Characters of the shortest JWE that fits the profile: RSA-4096, no payload, header of alg and enc only.
SHORTEST = 776

#: Bytes of a wrapped content key: RSA-4096 to RSA-16384.
_WRAPPED_SIZES = range(512, 2049)
_HEADER, _KEY, _IV, _CIPHERTEXT, _TAG = range(5)
_NAMES = ("header", "encrypted_key", "iv", "ciphertext", "tag")
#: Most characters of each part that is kept whole.
_CAPS = {_HEADER: HEADER_SEGMENT_LIMIT, _KEY: 2731, _IV: 16, _TAG: 22}


@dataclass(frozen=True, kw_only=True, slots=True)
class Scanned:
    """What a foreign JWE says of itself: header, tag (fifth part), SHA-512 (lower-case hex) and size of its bytes."""

    header: JweHeader
    tag: str
    sha512: str
    size: int


class Splitter:
    """Splits a compact JWE given in chunks: small parts are kept and judged, ciphertext is checked and passed on.

    ``protected`` is the first part as it came (the additional authenticated data), ``wrapped_key``, ``iv`` and ``tag``
    are decoded. Each is set as soon as its part is complete.
    """

    def __init__(self, *, allow_zip: bool, require_cty: bool, require_kid: bool, limit: int) -> None:
        self.header: JweHeader | None = None
        self.protected = self.wrapped_key = self.iv = self.tag = self.tag_text = b""
        self._header_rules = {"allow_zip": allow_zip, "require_cty": require_cty, "require_kid": require_kid}
        self._limit = limit
        self._part = _HEADER
        self._pending = b""
        self._length = 0
        self._end = b""
        self.size = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take the next piece; return the ciphertext characters in it, checked against the alphabet.

        Raises:
            TooLarge: over the limit, or an oversized header.
            SealBroken: the JWE breaks the profile.
        """
        self.size += len(chunk)
        if self.size > self._limit:
            raise _too_large(self._limit)
        passed = b""
        while True:
            text, dot, chunk = chunk.partition(b".")
            if self._part == _CIPHERTEXT:
                self._require_base64url(text)
                passed = text
            else:
                self._keep(text)
            if not dot:
                return passed
            self._close()

    def finish(self) -> JweHeader:
        """Judge the end; return the header.

        Raises:
            SealBroken: parts are missing, or the tag is wrong.
        """
        if self._part != _TAG or self.header is None or self.size < SHORTEST:
            raise _not_five_parts()
        self.tag_text = self._pending
        self.tag = self._decode_exactly(TAG_SIZE)
        return self.header

    def _require_base64url(self, text: bytes) -> None:
        if text.translate(None, base64url.ALPHABET):
            raise base64url.not_base64url("ciphertext")
        if text:
            self._length += len(text)
            self._end = text[-1:]

    def _keep(self, text: bytes) -> None:
        if len(self._pending) + len(text) > _CAPS[self._part]:
            # The header's own reader knows the words for this.
            if self._part == _HEADER:
                read_header(self._pending + text[: HEADER_SEGMENT_LIMIT + 1])
            raise _wrong_length(_NAMES[self._part])
        self._pending += text

    def _close(self) -> None:
        if self._part == _HEADER:
            self.protected = self._pending
            self.header = read_header(self._pending, **self._header_rules)
        elif self._part == _KEY:
            self.wrapped_key = base64url.decode(self._pending, part=_NAMES[_KEY])
            if len(self.wrapped_key) not in _WRAPPED_SIZES:
                raise _wrong_length(_NAMES[_KEY])
        elif self._part == _IV:
            self.iv = self._decode_exactly(IV_SIZE)
        elif self._part == _CIPHERTEXT:
            base64url.require_end(length=self._length, end=self._end, part=_NAMES[_CIPHERTEXT])
        else:
            raise _not_five_parts()
        self._part += 1
        self._pending = b""

    def _decode_exactly(self, size: int) -> bytes:
        name = _NAMES[self._part]
        content = base64url.decode(self._pending, part=name)
        if len(content) != size:
            raise _wrong_length(name)
        return content


class JweScanner:
    """Looks at a foreign JWE while it streams by: ``feed`` it in any pieces, then ``finish``. Decrypts nothing.

    ``limit`` is the most bytes of the whole JWE. ``require_kid`` may be lifted for old senders. With ``pool`` the JWE is
    hashed there, while the caller goes on.
    """

    def __init__(
        self,
        *,
        allow_zip: bool,
        require_cty: bool,
        limit: int,
        require_kid: bool = True,
        pool: Executor | None = None,
    ) -> None:
        self._splitter = Splitter(allow_zip=allow_zip, require_cty=require_cty, require_kid=require_kid, limit=limit)
        self._hash: Hash = hashlib.sha512() if pool is None else Sha512Beside(pool)

    def feed(self, chunk: bytes) -> None:
        """Take the next piece.

        Raises:
            TooLarge: over the limit, or an oversized header.
            SealBroken: the JWE breaks the profile; told as early as it shows.
        """
        self._splitter.feed(chunk)
        self._hash.update(chunk)

    def finish(self) -> Scanned:
        """Return what was seen.

        Raises:
            SealBroken: the JWE ended too early or its tag is wrong.
        """
        header = self._splitter.finish()
        return Scanned(
            header=header,
            tag=self._splitter.tag_text.decode("ascii"),
            sha512=self._hash.hexdigest(),
            size=self._splitter.size,
        )


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        Text(
            f"Die JWE ist größer als {limit} Byte. Verkleinern oder teilen Sie den Inhalt.",
            f"The JWE is larger than {limit} bytes. Make the content smaller or split it.",
        ),
        limit=limit,
    )


def _wrong_length(part: str) -> SealBroken:
    return SealBroken(
        Text(
            f"Der Teil „{part}“ der JWE hat eine falsche Länge. Verlangt sind RSA-OAEP-256 mit mindestens 4096 Bit, "
            "96 Bit IV und 128 Bit Tag (RFC 7518, Abschnitte 4.3 und 5.3).",
            f'Part "{part}" of the JWE has a wrong length. Required are RSA-OAEP-256 with at least 4096 bits, '
            "a 96-bit IV and a 128-bit tag (RFC 7518, sections 4.3 and 5.3).",
        ),
        part=part,
    )


def _not_five_parts() -> SealBroken:
    return SealBroken(
        Text(
            "Das ist keine vollständige JWE: Verlangt sind genau fünf Teile, mit Punkten getrennt, mindestens "
            f"{SHORTEST} Zeichen, ohne Anführungszeichen und Zeilenumbruch (RFC 7516, Abschnitt 7.1).",
            "This is no complete JWE: required are exactly five parts separated by dots, at least "
            f"{SHORTEST} characters, without quotes and line break (RFC 7516, section 7.1).",
        )
    )


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
