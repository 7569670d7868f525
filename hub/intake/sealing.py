"""How one application is sealed: as JWEs, or as CMS where the destination's adapter wants that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hub.admission import Reservation
from hub.crypto import cms
from hub.crypto.jwe import JweWriter, Seal, encrypt
from hub.crypto.keys import EncryptionKey
from hub.errors import KeyRefused, KeyUnavailable, Text, TooLarge
from hub.intake.labels import media_type_of
from hub.model.delivery import Sealing
from hub.model.submission import Form


class Writer(Protocol):
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

    def open(self, sink: Callable[[bytes], object], *, content_type: str, filename: str | None) -> Writer:
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
        self._insist_on_room(self._expected + self._taken)
        self._reservation.grow(size)  # The caller's own copy; the sealer's are counted when they are made.

    def open(self, sink: Callable[[bytes], object], *, content_type: str, filename: str | None) -> Writer:
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
        self._insist_on_room(self._taken)
        self._reservation.grow(size * cms.COPIES)

    def _insist_on_room(self, size: int) -> None:
        if self._most is not None and size > self._most:
            raise TooLarge(
                Text(
                    f"Diese Behörde empfängt Anträge als Mail: Daten und Anlagen zusammen dürfen {self._most} Byte nicht "
                    "überschreiten. Verkleinern Sie die Anlagen, oder teilen Sie den Antrag.",
                    f"This authority receives applications by mail: data and attachments together must not exceed "
                    f"{self._most} bytes. Make the attachments smaller, or split the application.",
                ),
                slug="too-large-for-destination",
                limit=self._most,
            )


class _Counted:
    """A writer that says how much it is given before it takes it."""

    def __init__(self, writer: Writer, count: Callable[[int], None]) -> None:
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
