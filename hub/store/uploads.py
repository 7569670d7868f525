"""Uploads on their way in: how far each has come, where its pieces lie, and who may write to it at the moment.

A writer holds an upload for a while and renews that with each piece; what somebody else holds is not written to, and a holder
whose time ran out and whose place another one took writes nothing any more. So of two writers, on any two nodes, one is told.
All here is sealed: nobody learns more of a file than its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, func, insert, or_, select, update

from hub.errors import Conflict, Forbidden, NotFound, Text, TooLarge, not_found
from hub.store import tables
from hub.store.blobs.contents import Blobs
from hub.store.database import Database, maybe_micros, maybe_moment, micros, moment, reads
from hub.uploads import ConcatKind, Piece

_UPLOADS = tables.uploads
_PIECES = tables.upload_pieces


class UploadState(StrEnum):
    """What has become of an upload."""

    #: It takes more, or is complete and waits to be used.
    OPEN = "open"
    #: It is a part of a final one now.
    JOINED = "joined"
    #: An application has it; nothing of it lies here any more but its digest, sealed, for a repeat.
    USED = "used"


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredUpload:
    """One upload. ``length`` and ``received`` are bytes; without ``length`` nobody has said yet how long it will be."""

    upload_id: str
    client_id: str
    kind: ConcatKind
    state: UploadState = UploadState.OPEN
    length: int | None
    received: int = 0
    facts: bytes = field(repr=False)
    final_id: str | None = None
    held_until: datetime | None = None
    created_at: datetime
    expires_at: datetime

    @property
    def complete(self) -> bool:
        """Whether all of it is here."""
        return self.received == self.length


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadQuota:
    """What one client may have under way: uploads, and their bytes; ``largest`` is one upload's most."""

    number: int
    size: int
    largest: int


class Uploads:
    """Reads and writes uploads. What belongs to another client does not exist. ``blobs`` are told what is needed no more."""

    def __init__(self, database: Database, *, blobs: Blobs | None = None) -> None:
        self._database = database
        self._blobs = blobs

    def begin(self, upload: StoredUpload, quota: UploadQuota) -> None:
        """Store a new one.

        Raises:
            TooLarge: the client has too many, or too much, under way (slug ``upload-quota``).
        """

        def write(connection: Connection) -> None:
            _require_room(connection, upload.client_id, quota, upload.length)
            connection.execute(insert(_UPLOADS).values(_row(upload)))

        self._database.write(write)

    def find(self, upload_id: str, client_id: str, *, now: datetime) -> StoredUpload:
        """Return an upload of a client's.

        Raises:
            NotFound: there is none; or its time is over, or it was used (slug ``upload-gone``).
        """
        found = self._database.one(_of(upload_id, client_id), _to_upload)
        if found is None:
            raise not_found("upload-not-found")
        if found.state is UploadState.USED or found.expires_at <= now:
            raise gone()
        return found

    def used(self, upload_id: str, client_id: str) -> StoredUpload | None:
        """Return an upload that an application has, None where it is none of those."""
        found = self._database.one(_of(upload_id, client_id), _to_upload)
        return found if found is not None and found.state is UploadState.USED else None

    def hold(self, upload_id: str, client_id: str, *, holder: str, now: datetime, until: datetime) -> StoredUpload:
        """Take an upload for ``holder`` alone; errors as :meth:`find`.

        Raises:
            Conflict: somebody else holds it (slug ``upload-locked``), or it is a part of another one.
        """

        def write(connection: Connection) -> StoredUpload:
            row = connection.execute(_of(upload_id, client_id).with_for_update()).first()
            if row is None:
                raise not_found("upload-not-found")
            upload = _to_upload(row)
            if upload.state is UploadState.USED or upload.expires_at <= now:
                raise gone()
            if upload.held_until is not None and upload.held_until > now and row.holder != holder:
                raise locked()
            if upload.state is UploadState.JOINED:
                raise joined()
            _set(connection, upload_id, holder=holder, held_until=micros(until))
            return upload

        return self._database.write(write)

    def renew(self, upload_id: str, *, holder: str, until: datetime) -> None:
        """Go on holding it; raise ``Conflict`` (slug ``upload-locked``) where that is over."""
        self._database.write(lambda connection: _renew(connection, upload_id, holder, until))

    def declare(self, upload_id: str, length: int, quota: UploadQuota, *, holder: str, until: datetime) -> None:
        """Say how long an upload will be that did not say so before; errors as :meth:`renew` and :meth:`begin`."""

        def write(connection: Connection) -> None:
            _renew(connection, upload_id, holder, until)
            client = connection.execute(select(_UPLOADS.c.client_id).where(_UPLOADS.c.upload_id == upload_id))
            _require_room(connection, client.scalar_one(), quota, 0, more=0)
            _set(connection, upload_id, length=length)

        self._database.write(write)

    def append(self, upload_id: str, pieces: Sequence[Piece], *, holder: str, until: datetime) -> None:
        """Add pieces at the end of what came so far, and go on holding the upload: all in one commit.

        Raises:
            Conflict: somebody else holds it by now (slug ``upload-locked``); nothing was added.
        """
        rows = [
            {
                "upload_id": upload_id,
                "begins": piece.offset,
                "length": piece.length,
                "blob": piece.blob,
                "sealed": piece.sealed,
            }
            for piece in pieces
        ]

        def write(connection: Connection) -> None:
            ours = and_(
                _UPLOADS.c.upload_id == upload_id,
                _UPLOADS.c.holder == holder,
                _UPLOADS.c.received == pieces[0].offset,
                _UPLOADS.c.state == UploadState.OPEN.value,
            )
            grown = update(_UPLOADS).where(ours).values(received=pieces[-1].end, held_until=micros(until))
            if connection.execute(grown).rowcount != 1:
                raise locked()
            connection.execute(insert(_PIECES), rows)

        self._database.write(write)

    def release(self, upload_id: str, *, holder: str) -> None:
        """Let others write to it; where somebody else does by now, nothing changes."""
        ours = and_(_UPLOADS.c.upload_id == upload_id, _UPLOADS.c.holder == holder)
        free = update(_UPLOADS).where(ours).values(holder=None, held_until=None)
        self._database.write(lambda connection: connection.execute(free).rowcount)

    def pieces(self, upload_id: str) -> list[Piece]:
        """Return the pieces of one upload, in their order."""
        statement = select(_PIECES).where(_PIECES.c.upload_id == upload_id).order_by(_PIECES.c.begins)
        return self._database.read(lambda connection: [_to_piece(row) for row in connection.execute(statement)])

    def count(self, upload_id: str) -> int:
        """Return how many pieces an upload has."""
        statement = select(func.count()).where(_PIECES.c.upload_id == upload_id)
        return self._database.read(lambda connection: int(connection.execute(statement).scalar_one()))

    def join(self, final: StoredUpload, parts: Sequence[str], quota: UploadQuota, *, now: datetime) -> int:
        """Make a final upload of complete partial ones; return its length in bytes.

        Said again of the same parts it takes the place of the final upload that there was: whoever never heard of that one
        asks once more.

        Raises:
            NotFound: a part is none of this client's. Forbidden: one is incomplete, or was no partial upload.
            Conflict: one is a part of another final upload, or is written to. TooLarge: all together are too long.
        """

        def write(connection: Connection) -> int:
            here = and_(_UPLOADS.c.upload_id.in_(parts), _UPLOADS.c.client_id == final.client_id)
            statement = select(_UPLOADS).where(here).order_by(_UPLOADS.c.upload_id).with_for_update()
            found = [_to_upload(row) for row in connection.execute(statement)]
            length = _require_joinable(found, parts, quota, now)
            _require_room(connection, final.client_id, quota, 0)
            earlier = {each.final_id for each in found if each.final_id is not None}
            if earlier:
                _require_same(connection, earlier, parts, now)
            connection.execute(delete(_UPLOADS).where(_UPLOADS.c.upload_id.in_(sorted(earlier))))
            connection.execute(insert(_UPLOADS).values(_row(final) | {"length": length, "received": length}))
            bound = {"state": UploadState.JOINED.value, "final_id": final.upload_id}
            expires = micros(final.expires_at)
            connection.execute(update(_UPLOADS).where(here).values(**bound, expires_at=expires))
            return length

        return self._database.write(write)

    def use(self, upload_id: str, *, holder: str, facts: bytes, until: datetime) -> None:
        """Note that an application has it, keep ``facts`` of it until then, and let its pieces go.

        Raises:
            Conflict: somebody else holds it by now (slug ``upload-locked``).
        """

        def write(connection: Connection) -> tuple[str, ...]:
            ours = and_(_UPLOADS.c.upload_id == upload_id, _UPLOADS.c.holder == holder)
            over = {"state": UploadState.USED.value, "holder": None, "held_until": None}
            statement = update(_UPLOADS).where(ours).values(**over, facts=facts, expires_at=micros(until))
            if connection.execute(statement).rowcount != 1:
                raise locked()
            return _without_pieces(connection, _UPLOADS.c.upload_id == upload_id)

        self._discard(self._database.write(write))

    def drop(self, upload_id: str, *, holder: str) -> None:
        """Delete an upload that ``holder`` holds, with all that came of it."""
        ours = and_(_UPLOADS.c.upload_id == upload_id, _UPLOADS.c.holder == holder)
        self._discard(self._database.write(lambda connection: _delete(connection, ours)))

    def expire(self, now: datetime, *, limit: int) -> int:
        """Delete what is over, but for what somebody writes to at this moment; return how many uploads, ``limit`` at most."""
        free = or_(_UPLOADS.c.held_until.is_(None), _UPLOADS.c.held_until <= micros(now))
        due = select(_UPLOADS.c.upload_id).where(_UPLOADS.c.expires_at <= micros(now), free).limit(limit)

        def write(connection: Connection) -> tuple[int, tuple[str, ...]]:
            ids = connection.execute(due.with_for_update(skip_locked=True)).scalars().all()
            return len(ids), _delete(connection, _UPLOADS.c.upload_id.in_(ids)) if ids else ()

        number, blobs = self._database.write(write)
        self._discard(blobs)
        return number

    def under_way(self) -> tuple[int, int]:
        """Return how many uploads no application has yet, and how many bytes came of them."""
        sums = select(func.count(), func.coalesce(func.sum(_UPLOADS.c.received), 0))
        statement = sums.where(_UPLOADS.c.state == UploadState.OPEN.value)
        number, received = self._database.read(lambda connection: connection.execute(statement).one())
        return int(number), int(received)

    def is_over(self, now: datetime) -> bool:
        """Whether there is anything to expire, by reading alone."""
        due = select(_UPLOADS.c.upload_id).where(_UPLOADS.c.expires_at <= micros(now)).limit(1)
        return self._database.read(lambda connection: connection.execute(due).first() is not None)

    def _discard(self, names: tuple[str, ...]) -> None:
        """Discard blobs after the commit that let go of them; a crash in between leaves them to the sweep."""
        if self._blobs is not None:
            self._blobs.discard(*names)


def locked() -> Conflict:
    """Return the refusal of a second writer; it passes."""
    return Conflict(
        Text(
            "In diesen Upload schreibt gerade eine andere Anfrage. Fragen Sie mit HEAD nach dem Stand, dann senden Sie weiter.",
            "Another request writes to this upload at the moment. Ask by HEAD how far it is, then go on sending.",
        ),
        slug="upload-locked",
    )


def gone() -> NotFound:
    """Return the refusal of what was there once."""
    return NotFound(
        Text(
            "Diesen Upload gibt es nicht mehr: Seine Zeit ist um, oder ein Antrag hat ihn schon. Beginnen Sie einen neuen.",
            "This upload is no more: its time is over, or an application has it already. Begin a new one.",
        ),
        slug="upload-gone",
    )


def joined() -> Conflict:
    """Return the refusal of a part that has its place."""
    return Conflict(
        Text(
            "Dieser Upload ist schon Teil eines anderen. Nehmen Sie dessen Adresse.",
            "This upload is a part of another one already. Use that one's address.",
        ),
        slug="upload-joined",
    )


def _of(upload_id: str, client_id: str) -> Any:
    return select(_UPLOADS).where(_UPLOADS.c.upload_id == upload_id, _UPLOADS.c.client_id == client_id)


def _set(connection: Connection, upload_id: str, **values: Any) -> None:
    connection.execute(update(_UPLOADS).where(_UPLOADS.c.upload_id == upload_id).values(**values))


def _renew(connection: Connection, upload_id: str, holder: str, until: datetime) -> None:
    ours = and_(_UPLOADS.c.upload_id == upload_id, _UPLOADS.c.holder == holder)
    if connection.execute(update(_UPLOADS).where(ours).values(held_until=micros(until))).rowcount != 1:
        raise locked()


def _require_room(
    connection: Connection, client_id: str, quota: UploadQuota, length: int | None, *, more: int = 1
) -> None:
    """Refuse ``more`` uploads of ``length`` bytes beyond the quota; one that does not say counts as the largest.

    Whoever begins two at once on two nodes waits for himself.
    """
    me = tables.clients.c.client_id == client_id
    connection.execute(select(tables.clients.c.client_id).where(me).with_for_update())
    size = case((_UPLOADS.c.kind == ConcatKind.FINAL.value, 0), else_=func.coalesce(_UPLOADS.c.length, quota.largest))
    under_way = select(func.count(), func.coalesce(func.sum(size), 0)).where(
        _UPLOADS.c.client_id == client_id, _UPLOADS.c.state != UploadState.USED.value
    )
    number, held = connection.execute(under_way).one()
    wanted = quota.largest if length is None else length
    if number + more > quota.number or held + wanted > quota.size:
        raise _too_many(quota)


def _too_many(quota: UploadQuota) -> TooLarge:
    return TooLarge(
        Text(
            f"Sie haben zu viel unterwegs: erlaubt sind {quota.number} Uploads mit zusammen {quota.size} Byte. Reichen Sie "
            "ein, was fertig ist, oder löschen Sie Uploads (DELETE).",
            f"You have too much under way: {quota.number} uploads of together {quota.size} bytes are allowed. Submit what "
            "is complete, or delete uploads (DELETE).",
        ),
        slug="upload-quota",
        limit=quota.size,
    )


def _require_joinable(found: Sequence[StoredUpload], parts: Sequence[str], quota: UploadQuota, now: datetime) -> int:
    """Return how long the parts are together; raise what :meth:`Uploads.join` says."""
    if len(found) < len(parts) or any(each.expires_at <= now for each in found):
        raise not_found("upload-not-found")
    if any(each.held_until is not None and each.held_until > now for each in found):
        raise locked()
    if any(each.kind is not ConcatKind.PARTIAL or not each.complete for each in found):
        raise _not_partial()
    length = sum(each.received for each in found)
    if length > quota.largest:
        raise _too_large_together(quota)
    return length


def _not_partial() -> Forbidden:
    return Forbidden(
        Text(
            "Zusammengesetzt wird nur, was mit „Upload-Concat: partial“ begonnen wurde und vollständig ist.",
            "Only what was begun with 'Upload-Concat: partial' and is complete is put together.",
        ),
        slug="upload-not-partial",
    )


def _too_large_together(quota: UploadQuota) -> TooLarge:
    return TooLarge(
        Text(
            f"Zusammen sind die Teile zu groß: erlaubt sind {quota.largest} Byte.",
            f"Together the parts are too large: {quota.largest} bytes are allowed.",
        ),
        limit=quota.largest,
    )


def _require_same(connection: Connection, finals: set[str], parts: Sequence[str], now: datetime) -> None:
    """Refuse parts of another final upload than one of exactly these parts that nobody uses at this moment."""
    statement = select(_UPLOADS.c.upload_id).where(_UPLOADS.c.final_id.in_(sorted(finals)))
    if len(finals) > 1 or set(connection.execute(statement).scalars()) != set(parts):
        raise joined()
    held = select(_UPLOADS.c.held_until).where(_UPLOADS.c.upload_id.in_(sorted(finals))).with_for_update()
    until = maybe_moment(connection.execute(held).scalar())
    if until is not None and until > now:
        raise locked()


def _without_pieces(connection: Connection, which: ColumnElement[bool]) -> tuple[str, ...]:
    """Delete the pieces of uploads, and the parts of final ones; return the names of the blobs that they lay in."""
    ids = connection.execute(select(_UPLOADS.c.upload_id).where(which)).scalars().all()
    parts = connection.execute(select(_UPLOADS.c.upload_id).where(_UPLOADS.c.final_id.in_(ids))).scalars().all()
    theirs = _PIECES.c.upload_id.in_([*ids, *parts])
    blobs = connection.execute(select(_PIECES.c.blob).where(theirs, _PIECES.c.blob.is_not(None))).scalars().all()
    connection.execute(delete(_PIECES).where(theirs))
    connection.execute(delete(_UPLOADS).where(_UPLOADS.c.upload_id.in_(parts)))
    return tuple(blobs)


def _delete(connection: Connection, which: ColumnElement[bool]) -> tuple[str, ...]:
    blobs = _without_pieces(connection, which)
    connection.execute(delete(_UPLOADS).where(which))
    return blobs


def _row(upload: StoredUpload) -> dict[str, Any]:
    return {
        "upload_id": upload.upload_id,
        "client_id": upload.client_id,
        "kind": upload.kind.value,
        "state": upload.state.value,
        "length": upload.length,
        "received": upload.received,
        "facts": upload.facts,
        "final_id": upload.final_id,
        "holder": None,
        "held_until": maybe_micros(upload.held_until),
        "created_at": micros(upload.created_at),
        "expires_at": micros(upload.expires_at),
    }


@reads(_UPLOADS)
def _to_upload(row: Any) -> StoredUpload:
    return StoredUpload(
        upload_id=row.upload_id,
        client_id=row.client_id,
        kind=ConcatKind(row.kind),
        state=UploadState(row.state),
        length=row.length,
        received=row.received,
        facts=bytes(row.facts),
        final_id=row.final_id,
        held_until=maybe_moment(row.held_until),
        created_at=moment(row.created_at),
        expires_at=moment(row.expires_at),
    )


@reads(_PIECES)
def _to_piece(row: Any) -> Piece:
    sealed = None if row.sealed is None else bytes(row.sealed)
    return Piece(offset=row.begins, length=row.length, blob=row.blob, sealed=sealed)
