"""What the portal keeps of applications: ciphertext, under keys that only the person carries.

A form is a content of some kilobytes and the attachments that belong to it. Its key is never stored, and its identifier only
as a hash, so that whoever has database and disk reads nothing, and cannot even name what he has. What is sealed is bound to
its place (AES-256-GCM with the place as additional data): a row, a part or an older revision that somebody put elsewhere does
not open. Attachments are sealed in parts of at most 1 MiB, the last one marked as such, and are there whole or not at all.

Sealed is what and how: form = ("form", identifier, purpose, revision); part = ("part", identifier, attachment, number, last).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate
from typing import Any, NamedTuple, Self
from uuid import uuid4

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, update

from hub.crypto import base64url, symmetric
from hub.errors import HubError, NotFound, Overloaded, SealBroken, Text, TooLarge
from hub.forms.form_file import EasyText
from hub.portal.database import HotRead, PortalDatabase, attachments, changed_elsewhere, forms, micros, moment, parts

_IDENTIFIER_SIZE = 16
_KEY_SIZE = symmetric.KEY_SIZE
_WRITTEN = re.compile(r"([A-Za-z0-9_-]{22})\.([A-Za-z0-9_-]{43})")
#: Bytes that are sealed in one go.
PART_SIZE = 1024 * 1024
#: Forms that end in one transaction.
_BATCH = 100
#: … and bytes of their attachments, unless the first one has more.
_BATCH_SIZE = 64 * 1024**2
#: A form's revision as it is begun, and as a copy of one that had answers: what nobody answered tells itself by it.
_BEGUN, _COPIED = 1, 2
#: For so long a begun form is nobody else's to push out, and so many go at once.
_GRACE, _PUSHED_OUT = timedelta(minutes=5), 100
#: How much of its time a running form loses before reading it writes that it is in use.
_NOTICED = timedelta(minutes=5)


class FormPurpose(StrEnum):
    """What a form is kept for; bound to what is sealed."""

    #: Somebody fills it in; ends an hour after its last use.
    RUNNING = "running"
    #: Somebody will go on with it, with reference and code.
    SAVED = "saved"
    #: It was sent, and somebody follows what becomes of it.
    FOLLOWED = "followed"
    #: Several people have to release it.
    RELEASE = "release"
    #: No form: somebody is at the provider of log-ins, and comes back to one.
    LOGIN = "login"


@dataclass(frozen=True, kw_only=True, slots=True)
class FormKey:
    """Where a form lies, and the key that opens it; the two are never stored together. 22 characters and 32 bytes."""

    identifier: str
    key: bytes = field(repr=False)

    @classmethod
    def new(cls) -> Self:
        """Return a key that nobody has."""
        return cls.of(os.urandom(_IDENTIFIER_SIZE + _KEY_SIZE))

    @classmethod
    def of(cls, secret: bytes) -> Self:
        """Return the key that 48 bytes make: 16 of identifier, then 32 of key."""
        identifier, key = secret[:_IDENTIFIER_SIZE], secret[_IDENTIFIER_SIZE:]
        return cls(identifier=base64url.encode(identifier).decode("ascii"), key=key)

    @classmethod
    def read(cls, written: str) -> Self | None:
        """Return what :meth:`text` wrote, None for anything else."""
        found = _WRITTEN.fullmatch(written)
        if found is None:
            return None
        try:
            return cls(identifier=found[1], key=base64url.decode(found[2].encode("ascii"), part="key"))
        except SealBroken:
            return None

    def text(self) -> str:
        """Return the key for a cookie, or to be sealed within another form."""
        return f"{self.identifier}.{base64url.encode(self.key).decode('ascii')}"

    @property
    def name(self) -> str:
        """The name under which the form lies: tells nothing of identifier or key."""
        return _hash("form", self.identifier)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A form as it was kept. ``revision`` counts its writes from 1; ``ends`` is when it is deleted, aware."""

    content: bytes = field(repr=False)
    purpose: FormPurpose
    revision: int
    ends: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class StorageLimits:
    """How much is kept. Sizes are in bytes as sealed; ``size`` bounds all forms and their attachments together."""

    forms: int = 50_000
    size: int = 20 * 1024**3
    form_size: int = 2 * 1024**2
    attachments: int = 50
    attached_size: int = 500 * 1024**2
    running: timedelta = timedelta(minutes=60)
    #: For a running form that nobody has written since it was begun.
    unanswered: timedelta = timedelta(minutes=60)
    saved: timedelta = timedelta(days=28)


class _Kept(NamedTuple):
    """A row of the table of forms, its columns in their order."""

    id: str
    name: str
    purpose: str
    revision: int
    size: int
    attached: int
    ends_at: int
    content: bytes


class FormStorage:
    """Keeps forms. Thread-safe; several portals may share one database. ``StoreUnavailable`` where it is away or full."""

    def __init__(self, database: PortalDatabase, *, limits: StorageLimits | None = None) -> None:
        self.database = database
        self.limits = limits or StorageLimits()

    def new_key(self) -> FormKey:
        """Return a key that nobody has."""
        return FormKey.new()

    def read_key(self, written: str) -> FormKey | None:
        """Return the key of a cookie's value; None of what is none."""
        return FormKey.read(written)

    def begin(self, key: FormKey, content: bytes, *, now: datetime, ends: datetime) -> None:
        """Keep a form that somebody begins; see :meth:`create`."""
        self.create(key, content, purpose=FormPurpose.RUNNING, now=now, ends=ends)

    def create(self, key: FormKey, content: bytes, *, purpose: FormPurpose, now: datetime, ends: datetime) -> None:
        """Keep a new form as revision 1. Where there are too many, those go that were begun longest ago and never answered.

        Raises:
            Conflict: there is one of this key. Overloaded: the portal keeps as much as it may. TooLarge: ``content`` is.
        """
        sealed = self._sealed(key, content, purpose, _BEGUN)
        with self.database.writing() as connection:
            connection.execute(delete(forms).where(forms.c.name == key.name, forms.c.ends_at <= micros(now)))
            self._make_room(connection, now)
            self._require_room(connection, len(sealed))
            connection.execute(
                insert(forms).values(
                    id=uuid4().hex,
                    name=key.name,
                    purpose=purpose.value,
                    revision=_BEGUN,
                    size=len(sealed),
                    attached=0,
                    ends_at=micros(ends),
                    content=sealed,
                )
            )

    def read(self, key: FormKey, *, now: datetime) -> Kept | None:
        """Return a form, None where there is none any more. A running one lives on from here, once it was written.

        Raises:
            SealBroken: what lies there is not what was kept.
        """
        row = self.database.first(_HOT, wanted=key.name, now=micros(now))
        if row is None:
            return None
        purpose = _purpose(row)
        content = symmetric.unseal(key.key, row.content, bound=_bound(key, purpose, row.revision))
        ends = moment(row.ends_at)
        if purpose is FormPurpose.RUNNING and row.revision > _BEGUN and ends < now + self.limits.running - _NOTICED:
            ends = now + self.limits.running
            with self.database.writing() as connection:
                later = update(forms).where(forms.c.id == row.id, forms.c.ends_at < micros(ends))
                connection.execute(later.values(ends_at=micros(ends)))
        return Kept(content=content, purpose=purpose, revision=row.revision, ends=ends)

    def write(self, key: FormKey, content: bytes, *, revision: int, now: datetime, ends: datetime) -> int:
        """Replace a form's content that was read as ``revision``; return the next revision.

        Raises:
            Conflict: somebody wrote meanwhile: a second tab, another device. NotFound: it has ended. TooLarge: ``content`` is.
        """
        with self.database.writing() as connection:
            row = _of(connection, key, now, lock=True)
            if row is None:
                raise ended()
            if row.revision != revision:
                raise changed_elsewhere()
            sealed = self._sealed(key, content, _purpose(row), revision + 1)
            connection.execute(
                update(forms)
                .where(forms.c.id == row.id)
                .values(content=sealed, size=len(sealed), revision=revision + 1, ends_at=micros(ends))
            )
        return revision + 1

    def delete(self, key: FormKey) -> None:
        """Delete a form and its attachments, if it is there."""
        with self.database.writing() as connection:
            connection.execute(delete(forms).where(forms.c.name == key.name))

    def attach(self, key: FormKey, chunks: Iterable[bytes], *, limit: int, now: datetime) -> str:
        """Keep an attachment of at most ``limit`` bytes as it comes in; return its identifier (32 hexadecimal digits).

        No transaction lasts longer than one part, however slowly the chunks come; until the last one nobody sees it.

        Raises:
            NotFound: the form has ended. TooLarge: the attachment, or all of the form's. Overloaded: the portal is full.
            Whatever ``chunks`` raises: nothing is kept then.
        """
        identifier = uuid4().hex
        with self.database.reading() as connection:
            form = _of(connection, key, now)
        if form is None:
            raise ended()
        row_id = self._announce(form.id, _attachment_name(key, identifier), now)
        try:
            self._fill(key, identifier, row_id, pieces(chunks, limit=limit))
        except BaseException:
            # Where that fails, too, it goes with those that never became whole.
            with suppress(HubError):
                self._abandon(row_id)
            raise
        return identifier

    def attachment(self, key: FormKey, identifier: str) -> Iterator[bytes]:
        """Return an attachment's bytes, part by part. What was tampered with ends in ``SealBroken``, not in wrong bytes.

        Raises:
            NotFound: the form has no such attachment, or none any more.
        """
        with self.database.reading() as connection:
            found = connection.execute(_attachment(key, identifier)).first()
        if found is None:
            raise _no_attachment()
        return self._parts(key, identifier, found)

    def detach(self, key: FormKey, identifier: str) -> None:
        """Delete an attachment, if it is there."""
        with self.database.writing() as connection:
            row = connection.execute(_attachment(key, identifier)).first()
            if row is not None:
                _forget(connection, row)

    def copy(
        self,
        source: FormKey,
        target: FormKey,
        content: bytes,
        *,
        attached: Sequence[str],
        purpose: FormPurpose,
        now: datetime,
        ends: datetime,
    ) -> None:
        """Keep ``content``, and the attachments of ``source`` that it names, under ``target`` in place of what lay there.

        It begins with revision 2: somebody has answered it before.
        The attachments keep their identifiers. Until all of it is there, what lay there before stays as it was.

        Raises:
            NotFound: ``source`` has ended, or lacks one of the attachments. Overloaded, TooLarge: as :meth:`create`.
        """
        sealed = self._sealed(target, content, purpose, _COPIED)
        with self.database.reading() as connection:
            if _of(connection, source, now) is None:
                raise ended()
        form_id = self._begin_copy(purpose, sealed, now)
        try:
            for identifier in attached:
                row_id = self._announce(form_id, _attachment_name(target, identifier), now)
                self._fill(target, identifier, row_id, pieces(self.attachment(source, identifier)))
            self._take_the_place(form_id, target, ends)
        except BaseException:
            # Where that fails, too, it goes with those that have ended.
            with suppress(HubError), self.database.writing() as connection:
                connection.execute(delete(forms).where(forms.c.id == form_id))
            raise

    def expire(self, now: datetime) -> int:
        """Delete what has come to its end: forms, and attachments that never became whole. Return how many.

        In batches of bounded size, each a transaction of its own.
        """
        gone = 0
        for expire in (self._expire_forms, self._expire_unfinished):
            while number := expire(now):
                gone += number
        return gone

    def _sealed(self, key: FormKey, content: bytes, purpose: FormPurpose, revision: int) -> bytes:
        if len(content) + symmetric.OVERHEAD > self.limits.form_size:
            raise _too_large()
        return symmetric.seal(key.key, content, bound=_bound(key, purpose, revision))

    def _make_room(self, connection: Connection, now: datetime) -> None:
        """Push out forms that nobody answered, the oldest first, where there is no room for one more."""
        if connection.execute(select(func.count()).select_from(forms)).scalar_one() < self.limits.forms:
            return
        youngest = micros(now + self.limits.unanswered - _GRACE)
        idle = select(forms.c.id).where(
            forms.c.purpose == FormPurpose.RUNNING.value, forms.c.revision == _BEGUN, forms.c.ends_at <= youngest
        )
        gone = connection.execute(idle.order_by(forms.c.ends_at).limit(_PUSHED_OUT)).scalars().all()
        connection.execute(delete(forms).where(forms.c.id.in_(gone)))

    def _require_room(self, connection: Connection, more: int, *, new: int = 1) -> None:
        sums = select(func.count(), func.coalesce(func.sum(forms.c.size + forms.c.attached), 0)).select_from(forms)
        number, size = connection.execute(sums).one()
        if number + new > self.limits.forms or size + more > self.limits.size:
            raise Overloaded(
                EasyText(
                    "Gerade sind zu viele Anträge zugleich in Arbeit. Versuchen Sie es in einigen Minuten noch einmal.",
                    "Too many applications are under way at the moment. Try again in a few minutes.",
                    easy="Gerade machen zu viele Menschen einen Antrag. Versuchen Sie es in ein paar Minuten noch einmal.",
                ),
                retry_after=timedelta(minutes=5),
                for_people=True,
            )

    def _announce(self, form_id: str, name: str, now: datetime) -> str:
        row_id = uuid4().hex
        begun = {"size": 0, "parts": 0, "whole": False, "begun_at": micros(now)}
        with self.database.writing() as connection:
            many = select(func.count()).select_from(attachments).where(attachments.c.form_id == form_id)
            if connection.execute(many).scalar_one() >= self.limits.attachments:
                raise _too_many(self.limits.attachments)
            connection.execute(insert(attachments).values(id=row_id, form_id=form_id, name=name, **begun))
        return row_id

    def _fill(self, key: FormKey, identifier: str, row_id: str, content: Iterable[tuple[bytes, bool]]) -> None:
        for number, (piece, last) in enumerate(content):
            sealed = symmetric.seal(key.key, piece, bound=_part(key, identifier, number, last=last))
            with self.database.writing() as connection:
                self._require_room(connection, len(sealed), new=0)
                row = connection.execute(select(attachments).where(attachments.c.id == row_id)).first()
                if row is None:
                    raise ended()
                grown = update(forms).where(
                    forms.c.id == row.form_id, forms.c.attached + len(sealed) <= self.limits.attached_size
                )
                if connection.execute(grown.values(attached=forms.c.attached + len(sealed))).rowcount != 1:
                    raise _too_large()
                connection.execute(insert(parts).values(attachment_id=row_id, number=number, content=sealed))
                more = {"size": attachments.c.size + len(sealed), "parts": number + 1, "whole": last}
                connection.execute(update(attachments).where(attachments.c.id == row_id).values(more))

    def _abandon(self, row_id: str) -> None:
        with self.database.writing() as connection:
            row = connection.execute(select(attachments).where(attachments.c.id == row_id)).first()
            if row is not None:
                _forget(connection, row)

    def _parts(self, key: FormKey, identifier: str, row: Row[Any]) -> Iterator[bytes]:
        for number in range(row.parts):
            wanted = select(parts.c.content).where(parts.c.attachment_id == row.id, parts.c.number == number)
            with self.database.reading() as connection:
                sealed = connection.execute(wanted).scalar()
            if sealed is None:
                raise _no_attachment()
            bound = _part(key, identifier, number, last=number + 1 == row.parts)
            yield symmetric.unseal(key.key, sealed, bound=bound)

    def _begin_copy(self, purpose: FormPurpose, sealed: bytes, now: datetime) -> str:
        form_id = uuid4().hex
        with self.database.writing() as connection:
            self._require_room(connection, len(sealed))
            connection.execute(
                insert(forms).values(
                    id=form_id,
                    name=None,
                    purpose=purpose.value,
                    revision=_COPIED,
                    size=len(sealed),
                    attached=0,
                    # Should this process end before it is whole, it goes with the others that have ended.
                    ends_at=micros(now + self.limits.running),
                    content=sealed,
                )
            )
        return form_id

    def _take_the_place(self, form_id: str, target: FormKey, ends: datetime) -> None:
        with self.database.writing() as connection:
            connection.execute(delete(forms).where(forms.c.name == target.name))
            named = update(forms).where(forms.c.id == form_id).values(name=target.name, ends_at=micros(ends))
            if connection.execute(named).rowcount != 1:
                raise ended()

    def _expire_forms(self, now: datetime) -> int:
        some = select(forms.c.id, forms.c.attached).where(forms.c.ends_at <= micros(now)).limit(_BATCH)
        with self.database.writing() as connection:
            rows = connection.execute(some).all()
            sizes = accumulate(row.attached for row in rows)
            batch = [row.id for row, size in zip(rows, sizes, strict=True) if size <= _BATCH_SIZE or row is rows[0]]
            return connection.execute(delete(forms).where(forms.c.id.in_(batch))).rowcount if batch else 0

    def _expire_unfinished(self, now: datetime) -> int:
        long_ago = micros(now - self.limits.running)
        some = (
            select(attachments).where(attachments.c.whole.is_(False), attachments.c.begun_at <= long_ago).limit(_BATCH)
        )
        with self.database.writing() as connection:
            rows = connection.execute(some).all()
            for row in rows:
                _forget(connection, row)
        return len(rows)


def pieces(chunks: Iterable[bytes], *, limit: int | None = None) -> Iterator[tuple[bytes, bool]]:
    """Cut a stream into pieces of :data:`PART_SIZE`, each with whether it is the last; an empty stream is one empty piece.

    Raises:
        TooLarge: there are more than ``limit`` bytes.
    """
    held, total = bytearray(), 0
    for chunk in chunks:
        total += len(chunk)
        if limit is not None and total > limit:
            raise _attachment_too_large(limit)
        held += chunk
        while len(held) > PART_SIZE:
            yield bytes(held[:PART_SIZE]), False
            del held[:PART_SIZE]
    yield bytes(held), True


def ended() -> NotFound:
    """Return the refusal of a form that is not there any more."""
    return NotFound(
        EasyText(
            "Diesen Antrag gibt es hier nicht mehr: Er wurde gelöscht, oder seine Zeit ist abgelaufen. Haben Sie ihn "
            "gesichert, dann machen Sie mit Ihrem Code weiter; sonst beginnen Sie neu.",
            "This application is not here any more: it was deleted, or its time is over. If you saved it, go on with your "
            "code; else begin anew.",
            easy="Diesen Antrag gibt es nicht mehr. Haben Sie ihn gesichert? Dann machen Sie mit Ihrem Code weiter. "
            "Sonst fangen Sie neu an.",
        )
    )


def _no_attachment() -> NotFound:
    return NotFound(
        EasyText(
            "Diese Anlage gibt es nicht mehr. Laden Sie die Seite neu, und fügen Sie sie noch einmal hinzu.",
            "This attachment is not here any more. Load the page again, and add it once more.",
            easy="Diese Datei ist nicht mehr da. Legen Sie sie noch einmal dazu.",
        )
    )


def _attachment_too_large(limit: int) -> TooLarge:
    megabytes = max(1, limit // 1_000_000)
    return TooLarge(
        EasyText(
            f"Die Anlage ist größer als {megabytes} MB. Wählen Sie eine kleinere Datei.",
            f"The attachment is larger than {megabytes} MB. Choose a smaller file.",
            easy=f"Die Datei ist zu groß. Sie darf {megabytes} MB groß sein. Wählen Sie eine kleinere Datei.",
        ),
        limit=limit,
    )


def _too_large() -> TooLarge:
    return TooLarge(
        EasyText(
            "Der Antrag ist mit seinen Anlagen zu groß. Entfernen Sie eine Anlage, oder nehmen Sie kleinere Dateien.",
            "The application with its attachments is too large. Remove an attachment, or take smaller files.",
            easy="Der Antrag ist zu groß. Nehmen Sie eine Datei weg. Oder nehmen Sie kleinere Dateien.",
        )
    )


def _too_many(most: int) -> TooLarge:
    return TooLarge(
        EasyText(
            f"Mehr als {most} Anlagen nimmt ein Antrag nicht auf. Fassen Sie Seiten in einer Datei zusammen.",
            f"An application takes no more than {most} attachments. Put pages together into one file.",
            easy=f"Sie können {most} Dateien dazu-legen. Mehr geht nicht.",
        ),
        limit=most,
    )


def _hash(*parts_of_name: str) -> str:
    return hashlib.sha256("\0".join(parts_of_name).encode("utf-8")).hexdigest()


def _attachment_name(key: FormKey, identifier: str) -> str:
    return _hash("attachment", key.identifier, identifier)


def _bound(key: FormKey, purpose: FormPurpose, revision: int) -> tuple[bytes, ...]:
    return b"form", key.identifier.encode("ascii"), purpose.value.encode("ascii"), b"%d" % revision


def _part(key: FormKey, identifier: str, number: int, *, last: bool) -> tuple[bytes, ...]:
    return b"part", key.identifier.encode("ascii"), identifier.encode("ascii"), b"%d" % number, b"%d" % last


#: Made once: putting a statement together costs as much as running it.
_READ = select(forms).where(forms.c.name == bindparam("wanted"), forms.c.ends_at > bindparam("now"))
_READ_LOCKED = _READ.with_for_update()
_HOT = HotRead(_READ, _Kept._make)


def _of(connection: Connection, key: FormKey, now: datetime, *, lock: bool = False) -> Row[Any] | None:
    wanted = {"wanted": key.name, "now": micros(now)}
    return connection.execute(_READ_LOCKED if lock else _READ, wanted).first()


def _attachment(key: FormKey, identifier: str) -> Select[Any]:
    return select(attachments).where(attachments.c.name == _attachment_name(key, identifier), attachments.c.whole)


def _forget(connection: Connection, row: Row[Any]) -> None:
    """Delete an attachment and give its room back to its form."""
    less = update(forms).where(forms.c.id == row.form_id).values(attached=forms.c.attached - row.size)
    connection.execute(less)
    connection.execute(delete(attachments).where(attachments.c.id == row.id))


def _purpose(row: Row[Any] | _Kept) -> FormPurpose:
    try:
        return FormPurpose(row.purpose)
    except ValueError as exc:
        raise SealBroken(
            Text("Ein gespeicherter Antrag wurde verändert.", "A stored application was changed.")
        ) from exc
