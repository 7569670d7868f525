"""Attachments on their way in: sealed, or only hashed, while they arrive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid4

from hub.crypto.jwe import Seal
from hub.errors import Text, TooLarge
from hub.intake.sealing import Sealer
from hub.model.submission import INLINE_LIMIT, Sealed
from hub.store import Beginning, SpillingSink

#: FIT-Connect section 15.
MOST_ATTACHMENTS = 100
#: Bytes of plaintext whose JWE is sure to stay in the row: base64url makes 4 bytes of 3, header and key take below 4 KiB.
_IN_ONE_GO = (INLINE_LIMIT - 4096) * 3 // 4


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachmentFacts:
    """What a sender said of an attachment, and the SHA-512 (hex) of its plaintext."""

    part_name: str
    filename: str | None
    media_type: str
    plaintext_sha512: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedAttachment:
    """One attachment after sealing."""

    attachment_id: UUID
    facts: AttachmentFacts
    sealed: Sealed


class IncomingAttachment(Protocol):
    """One attachment while it arrives: any number of ``write``, then ``finish``."""

    def write(self, chunk: bytes) -> None:
        """Take a further chunk."""

    def finish(self) -> None:
        """Say that the attachment is complete."""


class AttachmentSealer:
    """Takes one attachment's bytes as they arrive; only ciphertext leaves it, for ``blobs``. ``done`` is told the result."""

    def __init__(
        self,
        *,
        sealer: Sealer,
        blobs: Beginning,
        name: str,
        filename: str | None,
        media_type: str,
        limit: int,
        done: Callable[[SealedAttachment], None],
    ) -> None:
        self._done = done
        self._sink = SpillingSink(blobs)
        self._writer = sealer.open(self._sink.write, content_type=media_type, filename=filename)
        self._name = name
        self._filename = filename
        self._media_type = media_type
        self._left = limit

    def write(self, chunk: bytes) -> None:
        """Seal a further chunk.

        Raises:
            TooLarge: the attachment is larger than allowed.
        """
        self._left -= len(chunk)
        if self._left < 0:
            raise TooLarge(
                Text(
                    "Eine Anlage ist zu groß. Erlaubt sind 375 MB unverschlüsselt; teilen Sie die Datei.",
                    "An attachment is too large. 375 MB of plaintext are allowed; split the file.",
                )
            )
        self._writer.write(chunk)

    def finish(self) -> None:
        """Close the seal."""
        seal = self._writer.finish()
        facts = AttachmentFacts(
            part_name=self._name,
            filename=self._filename,
            media_type=self._media_type,
            plaintext_sha512=seal.plaintext_sha512,
        )
        sealed = sealed_content(seal, self._sink)
        self._done(SealedAttachment(attachment_id=uuid4(), facts=facts, sealed=sealed))


class AttachmentHasher:
    """Takes one attachment of a repeated request: only its hash is of interest. ``done`` is told the result."""

    def __init__(
        self, *, name: str, filename: str | None, media_type: str, done: Callable[[AttachmentFacts], None]
    ) -> None:
        self._done = done
        self._name = name
        self._filename = filename
        self._media_type = media_type
        self._hash = hashlib.sha512()

    def write(self, chunk: bytes) -> None:
        """Take a further chunk."""
        self._hash.update(chunk)

    def finish(self) -> None:
        """Close the hash."""
        facts = AttachmentFacts(
            part_name=self._name,
            filename=self._filename,
            media_type=self._media_type,
            plaintext_sha512=self._hash.hexdigest(),
        )
        self._done(facts)


def sealed_whole(
    plaintext: bytes, content_type: str, filename: str, *, sealer: Sealer, blobs: Beginning
) -> tuple[Sealed, str]:
    """Seal what lies in memory; return it with the SHA-512 (hex) of the plaintext. Only a large one is written as a stream."""
    if len(plaintext) <= _IN_ONE_GO:
        content, seal = sealer.seal(plaintext, content_type=content_type, filename=filename)
        return Sealed(tag=seal.tag, sha512=seal.sha512, size=seal.size, jwe=content), seal.plaintext_sha512
    sink = SpillingSink(blobs)
    writer = sealer.open(sink.write, content_type=content_type, filename=filename)
    writer.write(plaintext)
    seal = writer.finish()
    return sealed_content(seal, sink), seal.plaintext_sha512


def sealed_content(seal: Seal, sink: SpillingSink) -> Sealed:
    """Return what was sealed into ``sink``."""
    jwe, blob = sink.finish()
    return Sealed(tag=seal.tag, sha512=seal.sha512, size=seal.size, jwe=jwe, blob=blob)


def too_many_attachments() -> TooLarge:
    """Return the refusal of one attachment too many."""
    return TooLarge(
        Text(
            f"Mehr als {MOST_ATTACHMENTS} Anlagen sind nicht erlaubt.",
            f"More than {MOST_ATTACHMENTS} attachments are not allowed.",
        )
    )
