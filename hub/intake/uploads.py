"""Uploads that may break off and go on, from their beginning to the application that takes them.

Each request brings the secret again, in the URL, so nothing is held from one request to the next but rows and ciphertext: a
restart, another node and days of pause are alike. Pieces are durable and told of in one commit before their sender hears of
them; what a commit did not come to is given up, and if the process dies in between, the sweep finds it.

A writer holds its upload (:mod:`hub.store.uploads`) for twice as long as a sender may pause, and writes down what it has at
least three times in that; so who was cut off waits no longer than that before another request may go on.

What an application names is read once, from the first segment to the last, into the same sealers as a part of its body
(:meth:`hub.intake.intake.Reception.attach`): whoever has to see the plaintext of attachments looks there, and sees both.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from hub.admission import Admission
from hub.errors import Conflict, Forbidden, HubError, Invalid, Malformed, Text, TooLarge, not_found
from hub.intake.intake import Reception, Replay
from hub.intake.sealing import AttachmentFacts
from hub.observability.crashes import reach
from hub.store import Blobs, BlobWriter, Provisional, Store, StoredUpload, UploadQuota
from hub.uploads import (
    SEGMENT,
    Checksum,
    Concat,
    ConcatKind,
    Description,
    Piece,
    UploadKey,
    opened,
    read_description,
    secret_in,
)

_log = logging.getLogger(__name__)
#: Segments of one piece at most: 16 MiB in one blob.
_SEGMENTS = 16
#: A last segment up to this size lies in the row.
_INLINE = 16 * 1024
#: Pieces of one upload: chunks of 64 KiB of the largest file that is taken make 5,723.
MOST_PIECES = 10_000
#: Uploads deleted in one commit, and commits in one run.
_AT_ONCE, _GOES = 100, 50


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadRules:
    """How long uploads are kept and what a client may have under way; ``pause`` is how long a sender may, in seconds.

    ``kept`` from its beginning; ``remembered`` is how long the digest of a used one is kept, so that a repeat is known.
    """

    kept: timedelta
    remembered: timedelta
    quota: UploadQuota
    pause: float

    @property
    def lease(self) -> timedelta:
        """For how long a writer holds its upload without a sign of life."""
        return timedelta(seconds=2 * self.pause)


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadStanding:
    """How far an upload is, as its owner is told. ``parts`` are the secrets of a final upload's parts."""

    key: UploadKey
    kind: ConcatKind
    length: int | None
    offset: int
    expires_at: datetime
    description: Description
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """What header fields say of a chunk: where it begins, how many bytes it has if that is known, what its digest must be.

    ``length`` is that of the whole upload, where it is said only now.
    """

    offset: int
    announced: int | None = None
    length: int | None = None
    checksum: Checksum | None = None


class UploadDesk:
    """Begins, shows, takes down and hands over uploads of one client each."""

    def __init__(
        self, *, store: Store, blobs: Blobs, admission: Admission, rules: UploadRules, clock: Callable[[], datetime]
    ) -> None:
        self.rules = rules
        self._store = store
        self._blobs = blobs
        self._admission = admission
        self._clock = clock

    def begin(self, client_id: str, *, length: int | None, description: Description, concat: Concat) -> UploadStanding:
        """Begin an upload of ``length`` bytes (None: said later), or put complete partial ones together.

        Raises:
            TooLarge: larger than any attachment may be, or over the client's quota. StoreUnavailable: the disk is nearly full.
        """
        self._admission.require_disk()
        if length is not None and length > self.rules.quota.largest:
            raise self._too_large()
        key, now = UploadKey.new(), self._clock()
        facts: dict[str, object] = {"metadata": description.said, "parts": list(concat.parts)}
        upload = StoredUpload(
            upload_id=key.upload_id,
            client_id=client_id,
            kind=concat.kind,
            length=length,
            facts=key.seal_facts(facts),
            created_at=now,
            expires_at=now + self.rules.kept,
        )
        if concat.kind is ConcatKind.FINAL:
            parts = [_key(part).upload_id for part in concat.parts]
            length = self._store.uploads.join(upload, parts, self.rules.quota, now=now)
            upload = replace(upload, length=length, received=length)
        else:
            self._store.uploads.begin(upload, self.rules.quota)
        return self._standing(key, upload)

    def show(self, secret: str, client_id: str) -> UploadStanding:
        """Return how far an upload is; raise ``NotFound``."""
        key = _key(secret)
        return self._standing(key, self._store.uploads.find(key.upload_id, client_id, now=self._clock()))

    def take(self, secret: str, client_id: str) -> HeldUpload:
        """Hold an upload for one request, until it lets go; errors as :meth:`hub.store.uploads.Uploads.hold`."""
        key, holder = _key(secret), secrets.token_hex(16)
        until = self._until()
        upload = self._store.uploads.hold(key.upload_id, client_id, holder=holder, now=self._clock(), until=until)
        return HeldUpload(self._store, self._blobs, key, holder, upload, self._until)

    def receive(self, held: HeldUpload, chunk: Chunk) -> ChunkWriter:
        """Judge a chunk by its header fields, before a byte of it is read; return who takes its bytes.

        Raises:
            Forbidden: it is a final upload. Conflict: the chunk does not begin where the upload ends (slug ``upload-offset``).
            Malformed: the length is another than before. TooLarge: the chunk goes beyond the upload's length.
        """
        if held.upload.kind is ConcatKind.FINAL:
            raise final()
        if chunk.offset != held.upload.received:
            raise wrong_offset(held.upload.received)
        if chunk.length is not None:
            self._declare(held, chunk.length)
        self._admission.require_disk()
        most = self.rules.quota.largest
        held.require_room(chunk.announced or 0, most)
        number = self._store.uploads.count(held.key.upload_id)
        return ChunkWriter(held, self._blobs, largest=most, number=number, checksum=chunk.checksum)

    def _declare(self, held: HeldUpload, length: int) -> None:
        upload = held.upload
        if upload.length is not None and upload.length != length:
            raise _length_changed()
        if length > self.rules.quota.largest:
            raise self._too_large()
        if length < upload.received:
            raise _length_changed()
        if upload.length is None:
            held.declare(length, self.rules.quota)

    def drop(self, secret: str, client_id: str) -> None:
        """Delete an upload and all that came of it."""
        held = self.take(secret, client_id)
        try:
            held.drop()
        finally:
            held.release()

    def expire(self, now: datetime) -> int:
        """Delete what is over; return how many uploads."""
        done = 0
        for _ in range(_GOES):
            found = self._store.uploads.expire(now, limit=_AT_ONCE)
            done += found
            if found < _AT_ONCE:
                break
        return done

    def pour(self, named: Sequence[NamedUpload], client_id: str, reception: Reception | Replay, *, most: int) -> Poured:
        """Read uploads into an application as attachments, ``most`` bytes in all; they are held until :meth:`Poured.over`.

        A repeat of the application that took one needs only its digest.

        Raises:
            NotFound: there is none of this client's, or it was used for something else (slug ``upload-gone``).
            Conflict: it is not complete (slug ``upload-incomplete``), or somebody writes to it.
            TooLarge: all together are.
        """
        poured = Poured(until=self._clock() + self.rules.remembered)
        try:
            for each in named:
                self._pour(each, client_id, reception, poured)
                self._require_together(poured, most)
        except BaseException:
            poured.over(accepted=False)
            raise
        return poured

    def _pour(self, named: NamedUpload, client_id: str, reception: Reception | Replay, poured: Poured) -> None:
        key = _key(named.secret)
        used = self._store.uploads.used(key.upload_id, client_id)
        if used is not None and isinstance(reception, Replay):
            reception.recall(_known(key, used, named.name))
            return
        held = self.take(named.secret, client_id)
        try:
            _require_complete(held.upload)
            poured.taken.append((held, self._attach(held, named.name, reception)))
        except BaseException:
            held.release()
            raise

    def _require_together(self, poured: Poured, most: int) -> None:
        if sum(held.upload.received for held, _ in poured.taken) > most:
            raise self._too_large(most)

    def _attach(self, held: HeldUpload, name: str, reception: Reception | Replay) -> AttachmentFacts:
        description = _description(held.key, held.upload)
        taken = reception.attach(name=name, filename=description.filename, media_type=description.media_type)
        for segment in held.plaintext():
            taken.write(segment)
        return taken.finish()

    def _standing(self, key: UploadKey, upload: StoredUpload) -> UploadStanding:
        facts = key.open_facts(upload.facts)
        parts = facts.get("parts")
        return UploadStanding(
            key=key,
            kind=upload.kind,
            length=upload.length,
            offset=upload.received,
            expires_at=upload.expires_at,
            description=_description(key, upload),
            parts=tuple(map(str, parts)) if isinstance(parts, list) else (),
        )

    def _until(self) -> datetime:
        return self._clock() + self.rules.lease

    def _too_large(self, most: int | None = None) -> TooLarge:
        most = self.rules.quota.largest if most is None else most
        return TooLarge(
            Text(
                f"Der Upload ist zu groß: erlaubt sind {most} Byte. Teilen Sie die Datei.",
                f"The upload is too large: {most} bytes are allowed. Split the file.",
            ),
            limit=most,
        )


class HeldUpload:
    """An upload that one request holds."""

    def __init__(  # noqa: PLR0917  # what is known of it, by the one who holds it
        self,
        store: Store,
        blobs: Blobs,
        key: UploadKey,
        holder: str,
        upload: StoredUpload,
        until: Callable[[], datetime],
    ) -> None:
        self.key = key
        self.upload = upload
        self._store = store
        self._blobs = blobs
        self._holder = holder
        self._until = until
        self._over = False

    def require_room(self, size: int, largest: int) -> None:
        """Refuse ``size`` bytes more than the upload has room for."""
        most = largest if self.upload.length is None else self.upload.length
        if self.upload.received + size > most:
            raise TooLarge(
                Text(
                    "Dieses Stück reicht über das Ende des Uploads hinaus. Prüfen Sie Upload-Length.",
                    "This chunk goes beyond the upload's end. Check Upload-Length.",
                ),
                limit=most - self.upload.received,
            )

    def declare(self, length: int, quota: UploadQuota) -> None:
        """Note how long the upload will be."""
        self._store.uploads.declare(self.key.upload_id, length, quota, holder=self._holder, until=self._until())
        self.upload = replace(self.upload, length=length)

    def append(self, pieces: Sequence[Piece]) -> None:
        """Add durable pieces to what came so far."""
        self._store.uploads.append(self.key.upload_id, pieces, holder=self._holder, until=self._until())
        self.upload = replace(self.upload, received=pieces[-1].end)

    def renew(self) -> None:
        """Go on holding it."""
        self._store.uploads.renew(self.key.upload_id, holder=self._holder, until=self._until())

    def plaintext(self) -> Iterator[bytes]:
        """Yield what came so far, segment by segment, and hold it on meanwhile; raise ``SealBroken``, ``NotFound``."""
        for key, upload_id in self._parts():
            for number, segment in enumerate(opened(key, self._store.uploads.pieces(upload_id), self._read)):
                if number % _SEGMENTS == 0:
                    self.renew()
                yield segment

    def drop(self) -> None:
        """Delete it."""
        self._store.uploads.drop(self.key.upload_id, holder=self._holder)
        self._over = True

    def use(self, facts: AttachmentFacts, until: datetime) -> None:
        """Note that an application has it; until then its digest is kept, sealed."""
        known: dict[str, object] = {
            "filename": facts.filename,
            "mediaType": facts.media_type,
            "sha512": facts.plaintext_sha512,
        }
        sealed = self.key.seal_facts(known)
        self._store.uploads.use(self.key.upload_id, holder=self._holder, facts=sealed, until=until)
        self._over = True

    def release(self) -> None:
        """Let others write to it; one that fails runs out by itself."""
        if self._over:
            return
        self._over = True
        try:
            self._store.uploads.release(self.key.upload_id, holder=self._holder)
        except HubError as error:
            _log.warning("an upload stays held until its time is out: %s", type(error).__name__)

    def _parts(self) -> list[tuple[UploadKey, str]]:
        if self.upload.kind is not ConcatKind.FINAL:
            return [(self.key, self.key.upload_id)]
        parts = self.key.open_facts(self.upload.facts).get("parts")
        keys = [_key(str(secret)) for secret in parts] if isinstance(parts, list) else []
        return [(key, key.upload_id) for key in keys]

    def _read(self, piece: Piece) -> Iterator[bytes]:
        return iter([piece.sealed or b""]) if piece.blob is None else self._blobs.read(piece.blob)


class ChunkWriter:
    """Takes one chunk's bytes and makes pieces of them; without a checksum each is told of as soon as it is durable.

    With one all wait until the chunk has proven whole, and are given up if it has not. Only the last segment of a piece is
    shorter than the others.
    """

    def __init__(
        self, held: HeldUpload, blobs: Blobs, *, largest: int, number: int = 0, checksum: Checksum | None = None
    ) -> None:
        """``number`` are the pieces that the upload has; ``largest`` bytes are any upload's most."""
        self._held = held
        self._blobs = blobs
        self._largest = largest
        self._number = number
        self._checksum = checksum
        self._digest = None if checksum is None else hashlib.new(checksum.algorithm, usedforsecurity=False)
        self._provisional = Provisional(blobs)
        self._writer: BlobWriter | None = None
        self._pieces: list[Piece] = []
        self._begins = self._at = held.upload.received

    @property
    def offset(self) -> int:
        """How far the upload is with all that was told of."""
        return self._held.upload.received

    def write(self, segment: bytes) -> None:
        """Seal a segment's worth of bytes, or fewer.

        Raises:
            TooLarge: they go beyond the upload's end, or there are too many pieces. StoreUnavailable: no room.
        """
        if not segment:
            return
        self._held.require_room(self._at + len(segment) - self._held.upload.received, self._largest)
        if self._digest is not None:
            self._digest.update(segment)
        sealed = self._held.key.seal(self._at, segment)
        self._at += len(segment)
        if self._writer is None and len(segment) <= _INLINE:
            self._add(Piece(offset=self._begins, length=len(segment), sealed=sealed))
        else:
            self._writer = self._writer or self._provisional.writer()
            self._writer.write(sealed)
            if len(segment) < SEGMENT or self._at - self._begins >= _SEGMENTS * SEGMENT:
                self._end_piece()
        if self._writer is None and self._checksum is None:
            self._tell()

    def finish(self) -> None:
        """End the chunk.

        Raises:
            Invalid: its digest is another than was said (slug ``upload-checksum``); nothing of it was kept.
        """
        if self._checksum is not None and self._digest is not None and self._digest.digest() != self._checksum.digest:
            raise _other_checksum()
        self._end_piece()
        self._tell()

    def rest(self) -> None:
        """Take breath, for a slow sender: what came is told of, and the upload is held on."""
        if self._checksum is not None:
            self._held.renew()
        else:
            self._end_piece()
            self._tell()

    def break_off(self) -> None:
        """End a chunk that broke off: what came of it is kept, unless a checksum was to judge the whole."""
        if self._checksum is None:
            self.finish()

    def give_up(self) -> None:
        """Have what was not told of removed."""
        self._provisional.give_up()

    def _end_piece(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            self._add(Piece(offset=self._begins, length=self._at - self._begins, blob=writer.commit()))

    def _add(self, piece: Piece) -> None:
        self._number += 1
        if self._number > MOST_PIECES:
            raise TooLarge(
                Text(
                    f"Der Upload kam in mehr als {MOST_PIECES} Stücken. Beginnen Sie ihn neu, mit größeren Stücken.",
                    f"The upload came in more than {MOST_PIECES} pieces. Begin it anew, in larger ones.",
                ),
                limit=MOST_PIECES,
            )
        self._pieces.append(piece)
        self._begins = piece.end

    def _tell(self) -> None:
        """Tell of the durable pieces in one commit; from then on they are the upload's."""
        if not self._pieces:
            return
        reach("upload-durable")
        self._held.append(self._pieces)
        self._pieces = []
        self._provisional.keep()
        self._provisional = Provisional(self._blobs)


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedUpload:
    """An upload that an application names as the attachment ``name``, by the secret of its URL."""

    name: str
    secret: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Poured:
    """Uploads that went into an application, each with what is known of it."""

    until: datetime
    taken: list[tuple[HeldUpload, AttachmentFacts]] = field(default_factory=list)

    def over(self, *, accepted: bool) -> None:
        """Say what the application came to: it has the uploads now, or they are free again. Fails nobody.

        What cannot be noted is a complete upload that nobody uses: a repeat of the application finds it, and its time ends it.
        """
        for held, facts in self.taken:
            if not accepted:
                held.release()
                continue
            reach("upload-accepted")
            try:
                held.use(facts, self.until)
            except HubError as error:
                _log.warning("an upload that was used lies here until its time is out: %s", type(error).__name__)


def without_uploads(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], list[NamedUpload]]:
    """Take the uploads out of what a sender says of attachments: return the rest, which holds no secret, and them.

    Raises:
        Malformed: ``upload`` is no URL of an upload of this hub, or one is named twice.
    """
    notes = metadata.get("attachments")
    if not isinstance(notes, Mapping):
        return dict(metadata), []
    named: list[NamedUpload] = []
    said: dict[str, Any] = {}
    for name, note in notes.items():
        if not isinstance(note, Mapping) or note.get("upload") is None:
            said[name] = note
            continue
        url = note["upload"]
        secret = secret_in(url) if isinstance(url, str) else None
        if secret is None or any(each.secret == secret for each in named):
            raise _no_upload()
        named.append(NamedUpload(name=name, secret=secret))
        said[name] = {member: value for member, value in note.items() if member != "upload"}
    return {**metadata, "attachments": said}, named


def _key(secret: str) -> UploadKey:
    key = UploadKey.read(secret)
    if key is None:
        raise not_found("upload-not-found")
    return key


def _description(key: UploadKey, upload: StoredUpload) -> Description:
    metadata = key.open_facts(upload.facts).get("metadata")
    return read_description(metadata if isinstance(metadata, str) else None)


def _known(key: UploadKey, used: StoredUpload, name: str) -> AttachmentFacts:
    facts = key.open_facts(used.facts)
    filename = facts.get("filename")
    return AttachmentFacts(
        part_name=name,
        filename=None if filename is None else str(filename),
        media_type=str(facts.get("mediaType")),
        plaintext_sha512=str(facts.get("sha512")),
    )


def _no_upload() -> Malformed:
    return Malformed(
        Text(
            "metadata.attachments.….upload muss die Adresse eines Uploads dieses Hubs sein, jede nur einmal.",
            "metadata.attachments.….upload must be the address of an upload of this hub, each named once.",
        ),
        field="metadata.attachments",
    )


def _require_complete(upload: StoredUpload) -> None:
    if upload.complete:
        return
    raise Conflict(
        Text(
            "Ein genannter Upload ist nicht vollständig. Laden Sie ihn zu Ende, und reichen Sie dann ein.",
            "An upload that is named is not complete. Upload it to its end, then submit.",
        ),
        slug="upload-incomplete",
    )


def final() -> Forbidden:
    """Return the refusal of a chunk for what is put together."""
    return Forbidden(
        Text(
            "In einen zusammengesetzten Upload lässt sich nichts schreiben. Schreiben Sie vorher in seine Teile.",
            "Nothing can be written to a final upload. Write to its parts before.",
        ),
        slug="upload-final",
    )


def wrong_offset(offset: int) -> Conflict:
    """Return the refusal of a chunk that begins elsewhere than where the upload ends."""
    return Conflict(
        Text(
            f"Dieser Upload ist bei Byte {offset}. Senden Sie von dort an weiter.",
            f"This upload is at byte {offset}. Go on from there.",
        ),
        slug="upload-offset",
        offset=offset,
    )


def _length_changed() -> Malformed:
    return Malformed(
        Text(
            "Upload-Length ist anders als zuvor gesagt, oder kleiner als das, was schon da ist. Sie gilt, einmal gesagt.",
            "Upload-Length is other than was said before, or less than what is here already. Once said it stands.",
        ),
        field="Upload-Length",
    )


def _other_checksum() -> Invalid:
    return Invalid(
        Text(
            "Das Stück kam anders an, als Upload-Checksum sagt; nichts davon wurde behalten. Senden Sie es noch einmal.",
            "The chunk arrived other than Upload-Checksum says; nothing of it was kept. Send it again.",
        ),
        slug="upload-checksum",
    )
