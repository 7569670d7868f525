"""How one application is sealed: as JWEs, or as CMS where the destination's adapter wants that.

Attachments on their way in: sealed, or only hashed, while they arrive.

What a part is called in what the hub writes: a media type that metadata and JOSE headers have room for.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid4

from hub.admission import Reservation
from hub.crypto import EncryptionKey, JweWriter, Seal, cms, encrypt, require_media_type
from hub.errors import KeyRefused, KeyUnavailable, Text, TooLarge, too_large_for_destination
from hub.intake.screening import PartScreen
from hub.model import INLINE_LIMIT, Form, Sealed, Sealing
from hub.store import Beginning, SpillingSink

#: FIT-Connect's metadata, mimeType (section 10.1), in ASCII as its readers in other languages understand ``\\w``.
_WRITABLE = re.compile(r"[A-Za-z0-9_.-]{1,127}/[A-Za-z0-9_.+-]{1,127}")
_UNSPECIFIC = "application/octet-stream"


def media_type_of(label: str) -> str:
    """Return type and subtype alone of what a sender labels a part with (RFC 9110, section 8.3.1), in lower case.

    A media type that FIT-Connect's metadata have no room for becomes ``application/octet-stream``: the file is good all the
    same.

    Raises:
        UnsupportedMedia: the label is no media type.
    """
    require_media_type(label)
    essence = label.partition(";")[0].strip(" \t").lower()
    return essence if _WRITABLE.fullmatch(essence) else _UNSPECIFIC


class SealingWriter(Protocol):
    """One part while it is sealed: any number of ``write``, then ``finish``."""

    def write(self, plaintext: bytes) -> None:
        """Take the next piece."""

    def finish(self) -> Seal:
        """Close the seal."""


class Sealer(Protocol):
    """Seals the parts of one application to its destination's key."""

    form: Form

    def expect(self, size: int) -> None:
        """Count ``size`` bytes that have arrived in memory and will be sealed later; refuse early what cannot be.

        Raises:
            TooLarge: more than the destination takes. Overloaded: more than the hub's memory has room for now.
        """

    def has_room(self, size: int) -> bool:
        """Whether ``size`` bytes that nobody has to have still fit, with what is always written behind them."""

    def open(self, sink: Callable[[bytes], object], *, content_type: str, filename: str | None) -> SealingWriter:
        """Begin a part; ``sink`` gets its sealed form. Errors as :meth:`expect`, and ``UnsupportedMedia``."""

    def seal(self, plaintext: bytes, *, content_type: str, filename: str | None) -> tuple[bytes, Seal]:
        """Seal a small part in one go; return its sealed form. Errors as :meth:`open`."""


class JoseSealer:
    """Seals JWEs as a stream: of any size, and what is not in memory yet never is. The file name is metadata's to say."""

    form = Form.JOSE

    def __init__(self, key: EncryptionKey, reservation: Reservation) -> None:
        self._key = key
        self._reservation = reservation

    def expect(self, size: int) -> None:
        """Count plaintext that has arrived in memory."""
        self._reservation.grow(size)

    def has_room(self, size: int) -> bool:  # noqa: ARG002  # There is always room.
        """Say yes."""
        return True

    def open(self, sink: Callable[[bytes], object], *, content_type: str, filename: str | None) -> JweWriter:  # noqa: ARG002
        """Begin a part."""
        return JweWriter(self._key, content_type=media_type_of(content_type), sink=sink)

    def seal(self, plaintext: bytes, *, content_type: str, filename: str | None) -> tuple[bytes, Seal]:  # noqa: ARG002
        """Seal a small part."""
        return encrypt(self._key, plaintext, media_type_of(content_type))


class CmsSealer:
    """Seals files as CMS. Each lies in memory while it is sealed, so all together are capped and counted."""

    form = Form.CMS

    def __init__(self, key: EncryptionKey, reservation: Reservation, *, most: int | None) -> None:
        self._key = key
        self._reservation = reservation
        self._most = most
        self._expected = self._taken = 0

    def expect(self, size: int) -> None:
        """Count plaintext that has arrived in memory, which is sealed once the application is judged."""
        self._expected += size
        self._require_room(self._expected + self._taken)
        self._reservation.grow(size)  # The caller's own copy; the sealer's are counted when they are made.

    def has_room(self, size: int) -> bool:
        """Whether ``size`` bytes fit into the cap beside what was sealed and the metadata."""
        return self._most is None or self._taken + size + _METADATA_ROOM <= self._most

    def open(self, sink: Callable[[bytes], object], *, content_type: str, filename: str | None) -> SealingWriter:
        """Begin a part; without a name it gets one after its type."""
        self._take(cms.OVERHEAD)
        name = filename or f"anlage.{content_type.partition(';')[0].rpartition('/')[2]}"
        return _Counted(cms.CmsWriter(self._key, content_type=content_type, filename=name, sink=sink), self._take)

    def seal(self, plaintext: bytes, *, content_type: str, filename: str | None) -> tuple[bytes, Seal]:
        """Seal a small part."""
        sealed: list[bytes] = []
        writer = self.open(sealed.append, content_type=content_type, filename=filename)
        writer.write(plaintext)
        seal = writer.finish()
        return b"".join(sealed), seal

    def _take(self, size: int) -> None:
        self._taken += size
        self._require_room(self._taken)
        self._reservation.grow(size * cms.COPIES)

    def _require_room(self, size: int) -> None:
        if self._most is not None and size > self._most:
            raise too_large_for_destination(
                Text("Daten und Anlagen", "data and attachments"),
                self._most,
                Text(
                    "Verkleinern Sie die Anlagen, oder teilen Sie den Antrag.",
                    "Make the attachments smaller, or split the application.",
                ),
            )


class _Counted:
    """A writer that says how much it is given before it takes it."""

    def __init__(self, writer: SealingWriter, count: Callable[[int], None]) -> None:
        self._writer = writer
        self._count = count

    def write(self, plaintext: bytes) -> None:
        self._count(len(plaintext))
        self._writer.write(plaintext)

    def finish(self) -> Seal:
        return self._writer.finish()


def sealer_for(sealing: Sealing, key: EncryptionKey, reservation: Reservation) -> Sealer:
    """Return the sealer that a destination needs.

    Raises:
        KeyUnavailable: its key cannot seal in the form that it wants.
    """
    if sealing.form is Form.JOSE:
        return JoseSealer(key, reservation)
    try:
        cms.recipient(key)
    except KeyRefused as error:
        raise KeyUnavailable(error.detail) from error
    return CmsSealer(key, reservation, most=sealing.most)


#: Bytes that the metadata of a hundred attachments take, with whatever is put around parts.
_METADATA_ROOM = 128 * 1024
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


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnAttachment:
    """An attachment of the hub's own, for the authority alone; ``purpose`` as in FIT-Connect's metadata: form or report.

    It has no part name: it is none of the sender's, so it counts neither for idempotency nor for what the sender may say.
    """

    attachment: SealedAttachment
    purpose: str


def own_attachment(
    content: bytes, *, filename: str, media_type: str, purpose: str, sealer: Sealer, blobs: Beginning
) -> OwnAttachment:
    """Seal what the hub has to say to the authority."""
    sealed, plaintext_sha512 = sealed_whole(content, media_type, filename, sealer=sealer, blobs=blobs)
    facts = AttachmentFacts(part_name="", filename=filename, media_type=media_type, plaintext_sha512=plaintext_sha512)
    made = SealedAttachment(attachment_id=uuid4(), facts=facts, sealed=sealed)
    return OwnAttachment(attachment=made, purpose=purpose)


class IncomingAttachment(Protocol):
    """One attachment while it arrives: any number of ``write``, then ``finish``."""

    def write(self, chunk: bytes) -> None:
        """Take a further chunk."""

    def finish(self) -> AttachmentFacts:
        """Say that the attachment is complete; return what is known of it."""


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
        screen: PartScreen | None = None,
    ) -> None:
        self._done = done
        self._screen = screen
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
        if self._screen is not None:
            self._screen.write(chunk)
        self._writer.write(chunk)

    def finish(self) -> AttachmentFacts:
        """Wait for the verdict of who screens it, if somebody does, and close the seal; errors as ``PartScreen.finish``."""
        if self._screen is not None:
            self._screen.finish()
        seal = self._writer.finish()
        facts = AttachmentFacts(
            part_name=self._name,
            filename=self._filename,
            media_type=self._media_type,
            plaintext_sha512=seal.plaintext_sha512,
        )
        sealed = sealed_content(seal, self._sink)
        self._done(SealedAttachment(attachment_id=uuid4(), facts=facts, sealed=sealed))
        return facts


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

    def finish(self) -> AttachmentFacts:
        """Close the hash."""
        facts = AttachmentFacts(
            part_name=self._name,
            filename=self._filename,
            media_type=self._media_type,
            plaintext_sha512=self._hash.hexdigest(),
        )
        self._done(facts)
        return facts


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
