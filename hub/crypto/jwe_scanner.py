"""Taking a compact JWE apart as it streams by, strictly, without a key (RFC 7516 section 7.1).

One parser for everybody: the sealed door only looks (:class:`JweScanner`), ``opening`` decrypts what passed here.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Executor
from dataclasses import dataclass

from hub.crypto import base64url
from hub.crypto.header import HEADER_SEGMENT_LIMIT
from hub.crypto.hmacs import Hash, Sha512Beside
from hub.crypto.jwe import IV_SIZE, TAG_SIZE, JweHeader, read_header
from hub.errors import SealBroken, Text, TooLarge

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
