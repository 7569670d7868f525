"""What lies at rest of an upload: segments of at most 1 MiB, each sealed on its own under a key that the upload's URL carries.

Segments of one stretch of the upload lie together as a piece, in a row or in one blob, so that a store of objects gets few of
them. Each is AES-256-GCM under a fresh nonce, with the upload's name, its offset and its length bound to it: what was sent,
discarded and sent again never meets the same nonce, and no segment opens in another place.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self

import orjson

from hub.crypto import base64url, symmetric
from hub.errors import SealBroken, Text

#: Bytes of plaintext in a segment; the last one of a piece may have fewer.
SEGMENT = 1024 * 1024
_SECRET_BYTES = 32
_SEGMENTS, _FACTS = b"rathaus-hub upload segments 1", b"rathaus-hub upload facts 1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A stretch of an upload as it lies: where it begins and how long it is, in bytes of plaintext; where its segments lie."""

    offset: int
    length: int
    blob: str | None = None
    sealed: bytes | None = field(default=None, repr=False)

    @property
    def end(self) -> int:
        """Where the next piece begins."""
        return self.offset + self.length


class UploadKey:
    """The secret of one upload, and what follows from it. It never prints."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        #: Names the upload in the store; the secret cannot be found by it.
        self.upload_id = hashlib.sha256(secret).hexdigest()
        self._name = self.upload_id.encode("ascii")
        self._segments = symmetric.derive(secret, purpose=_SEGMENTS)
        self._facts = symmetric.derive(secret, purpose=_FACTS)

    @classmethod
    def new(cls) -> Self:
        """Return a new one."""
        return cls(secrets.token_bytes(_SECRET_BYTES))

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the one that stands in a URL as ``text``, None where it is none."""
        try:
            secret = base64url.decode(text.encode("utf-8", "replace"), part="upload")
        except SealBroken:
            return None
        return cls(secret) if len(secret) == _SECRET_BYTES else None

    @property
    def text(self) -> str:
        """The secret as it stands in the URL. Nobody logs it."""
        return base64url.encode(self._secret).decode("ascii")

    def seal(self, offset: int, segment: bytes) -> bytes:
        """Return a segment that begins at ``offset``, sealed."""
        return symmetric.seal(self._segments, segment, bound=self._bound(offset, len(segment)))

    def open(self, offset: int, length: int, sealed: bytes) -> bytes:
        """Return the plaintext of a segment; raise ``SealBroken`` where it is none of this place."""
        return symmetric.unseal(self._segments, sealed, bound=self._bound(offset, length))

    def seal_facts(self, facts: dict[str, object]) -> bytes:
        """Return what is known of the upload (its file's name, its digest), sealed."""
        return symmetric.seal(self._facts, orjson.dumps(facts), bound=(self._name,))

    def open_facts(self, sealed: bytes) -> dict[str, object]:
        """Return what :meth:`seal_facts` sealed; raise ``SealBroken``."""
        facts: dict[str, object] = orjson.loads(symmetric.unseal(self._facts, sealed, bound=(self._name,)))
        return facts

    def _bound(self, offset: int, length: int) -> tuple[bytes, ...]:
        return self._name, offset.to_bytes(8, "big"), length.to_bytes(8, "big")

    def __repr__(self) -> str:
        return f"UploadKey({self.upload_id[:8]}…)"


def opened(key: UploadKey, pieces: Iterable[Piece], read: Callable[[Piece], Iterable[bytes]]) -> Iterator[bytes]:
    """Yield the plaintext of ``pieces``, segment by segment; ``read`` opens what lies of one.

    Raises:
        SealBroken: a piece is missing, was changed or lies elsewhere than it should.
    """
    at = 0
    for piece in pieces:
        if piece.offset != at:
            raise _gap()
        source = _Exactly(read(piece))
        while at < piece.end:
            length = min(SEGMENT, piece.end - at)
            yield key.open(at, length, source.take(length + symmetric.OVERHEAD))
            at += length


class _Exactly:
    """Hands out chunks of any size in portions of the size that is asked for."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._left = bytearray()

    def take(self, size: int) -> bytes:
        while len(self._left) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise _gap()
            self._left += chunk
        portion = bytes(memoryview(self._left)[:size])
        del self._left[:size]
        return portion


def _gap() -> SealBroken:
    return SealBroken(
        Text(
            "Von einem Upload fehlt ein Stück, oder es wurde verändert. Laden Sie die Datei neu hoch.",
            "A piece of an upload is missing, or was changed. Upload the file anew.",
        )
    )
