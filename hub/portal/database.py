"""The portal's own database: SQLite beside the portal, or PostgreSQL where several portals share one.

It is small: every table holds ciphertext, hashes and dates. One row says which version of it this is; another version is
refused at the start, never guessed at. Times are whole microseconds since 1970 UTC.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Generic, TypeVar

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Dialect,
    Engine,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    UniqueConstraint,
    create_engine,
    event,
    select,
    text,
)
from sqlalchemy import Text as Words
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, IntegrityError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from hub.errors import ConfigurationError, Conflict, StoreUnavailable, Text, overtaken
from hub.forms.form_file import EasyText

R = TypeVar("R")
#: The version of these tables.
VERSION = 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BUSY_SECONDS = 10
_CONNECTIONS = 8
_STATEMENT_SECONDS = 30
_CONNECT_SECONDS = 5
#: Names the lock of PostgreSQL under which tables are made: two portals may start at once.
_MAKING = 0x52_48_50_46

metadata = MetaData()
version = Table("portal_version", metadata, Column("version", Integer, primary_key=True, autoincrement=False))
#: A form, running or kept: ``name`` is the hash of its identifier, absent while it is not whole. ``size`` counts the sealed
#: bytes of its content, ``attached`` those of its attachments. The content stands last: what looks for sizes skips it.
forms = Table(
    "portal_forms",
    metadata,
    Column("id", Words, primary_key=True),
    Column("name", Words, unique=True),
    Column("purpose", Words, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("attached", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
Index("portal_forms_ends", forms.c.ends_at, forms.c.size, forms.c.attached)
attachments = Table(
    "portal_attachments",
    metadata,
    Column("id", Words, primary_key=True),
    Column("form_id", Words, ForeignKey(forms.c.id, ondelete="CASCADE"), nullable=False),
    Column("name", Words, nullable=False),
    Column("whole", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    UniqueConstraint("form_id", "name"),
)
Index("portal_attachments_unfinished", attachments.c.whole, attachments.c.begun_at)
parts = Table(
    "portal_parts",
    metadata,
    Column("attachment_id", Words, ForeignKey(attachments.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)
#: Wrong codes: ``name`` is a hash of what was tried, or of where from.
failures = Table(
    "portal_failures",
    metadata,
    Column("name", Words, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("ends_at", BigInteger, nullable=False, index=True),
)
#: Mails that wait, and what they are about: sealed under a key of the portal that ``kid`` names. ``id`` is the hash of what
#: stands in a mail's links; ``then_kind`` and ``then_at``: what it becomes, and when that is due, once the person confirmed.
mails = Table(
    "portal_mails",
    metadata,
    Column("id", Words, primary_key=True),
    Column("kid", Words, nullable=False),
    Column("kind", Words, nullable=False),
    Column("then_kind", Words, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("then_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False, index=True),
    Column("content", LargeBinary, nullable=False),
)
Index("portal_mails_due", mails.c.kid, mails.c.due_at)

#: Invitations of people to what is on trial: ``hash`` is the code's. The table came after version 1, which does not miss it.
invitations = Table(
    "portal_invitations",
    metadata,
    Column("hash", Words, primary_key=True),
    Column("service", Words, nullable=False),
    Column("area", Words, nullable=False),
    Column("note", Words, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("ends_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)


class HotRead(Generic[R]):
    """A ``SELECT`` that every page makes, put together once for each kind of database; ``made`` reads a row of the driver's."""

    def __init__(self, statement: Select[Any], made: Callable[[Sequence[Any]], R]) -> None:
        self.made = made
        self._statement = statement
        self._compiled: dict[str, tuple[str, Sequence[str] | None]] = {}

    def compiled(self, dialect: Dialect) -> tuple[str, Sequence[str] | None]:
        """Return the statement as a driver takes it, and the names of its values in order where it takes them by place."""
        found = self._compiled.get(dialect.name)
        if found is None:
            made = self._statement.compile(dialect=dialect)
            found = self._compiled[dialect.name] = (str(made), getattr(made, "positiontup", None))
        return found


class PortalDatabase:
    """The tables of one portal. Thread-safe. ``StoreUnavailable`` where the database is away, locked or full."""

    def __init__(self, url: str) -> None:
        """Open ``url`` (``sqlite:///FILE`` or ``postgresql://…``), and make the tables if there are none.

        Raises:
            ConfigurationError: the address is none of these, or the tables are another version's.
            StoreUnavailable: it cannot be reached.
        """
        parsed = _parsed(url)
        self._lite = parsed.get_backend_name() == "sqlite"
        if self._lite:
            _create_privately(Path(parsed.database or ""))
        self._engine = _engine(parsed)
        self._writing = self._engine.execution_options(portal_writes=True)
        # Threads of one process take turns; SQLite's own waiting is unfair.
        self._turn: Any = threading.Lock() if self._lite else nullcontext()
        try:
            self._make()
        except BaseException:
            self._engine.dispose()
            raise

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Lend a transaction that is committed at its end, or leaves nothing."""
        with _translated(), self._turn, self._writing.begin() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Lend a connection that only reads; with SQLite, each statement sees what is there when it runs."""
        with _translated(), self._engine.connect() as connection:
            yield connection

    def first(self, hot: HotRead[R], **values: Any) -> R | None:
        """Return the first row of what is read for every page, None where there is none.

        It goes to the driver as it was compiled once: SQLAlchemy's way to it takes longer than both databases take to answer.
        """
        with _translated():
            connection = self._engine.raw_connection()
            try:
                cursor = connection.cursor()
                try:
                    sql, names = hot.compiled(self._engine.dialect)
                    cursor.execute(sql, values if names is None else tuple(values[name] for name in names))
                    row = cursor.fetchone()
                finally:
                    cursor.close()
            finally:
                # Back to the pool, which rolls back what PostgreSQL's driver began by itself.
                connection.close()
        return None if row is None else hot.made(row)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    def _make(self) -> None:
        with self.writing() as connection:
            if not self._lite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MAKING})
            version.create(connection, checkfirst=True)
            found = connection.execute(select(version.c.version)).scalars().all()
            if not found:
                metadata.create_all(connection)
                connection.execute(version.insert().values(version=VERSION))
            elif list(found) != [VERSION]:
                raise _other_version(list(found))
            invitations.create(connection, checkfirst=True)


def micros(moment: datetime) -> int:
    """Return an aware time as whole microseconds since 1970 UTC."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone names no instant")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(value: int) -> datetime:
    """Return the aware UTC time of :func:`micros`."""
    return _EPOCH + timedelta(microseconds=value)


def unavailable() -> StoreUnavailable:
    """Return the error for a database that cannot do what it must; nothing was stored."""
    return StoreUnavailable(
        EasyText(
            "Der Speicher des Portals ist gerade nicht erreichbar oder voll; nichts wurde gespeichert. Versuchen Sie es in "
            "einer Minute noch einmal.",
            "The portal's storage cannot be reached or is full at the moment; nothing was stored. Try again in a minute.",
            easy="Wir können gerade nichts speichern. Versuchen Sie es in einer Minute noch einmal.",
        ),
        for_people=True,
    )


def changed_elsewhere() -> Conflict:
    """Return the refusal of a write that was made on an older state: another tab, or another device."""
    return overtaken(
        Text("Diesen Antrag", "this application"),
        Text(
            "Vielleicht ist er in einem zweiten Fenster offen. Laden Sie die Seite neu, und machen Sie dort weiter.",
            "It may be open in a second window. Load the page again, and go on there.",
        ),
    )


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except IntegrityError as exc:
        # Something is there already, or what it belongs to has ended meanwhile.
        raise changed_elsewhere() from exc
    except (DatabaseError, InterfaceError, PoolTimeoutError) as exc:
        raise unavailable() from exc


def _engine(url: URL) -> Engine:
    pool: dict[str, Any] = {
        "pool_size": _CONNECTIONS,
        "max_overflow": 0,
        "pool_timeout": _BUSY_SECONDS,
        "hide_parameters": True,
    }
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False}, **pool)
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    milliseconds = _STATEMENT_SECONDS * 1000
    options = f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}"
    arguments = {"connect_timeout": _CONNECT_SECONDS, "application_name": "rathaus-portal", "options": options}
    return create_engine(url, pool_pre_ping=True, connect_args=arguments, **pool)


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transaction control starts deferred transactions, which fail where they must wait.
    connection.isolation_level = None
    for pragma in (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        # What was deleted is overwritten: even ciphertext ends where its time ends.
        "PRAGMA secure_delete = ON",
    ):
        connection.execute(pragma)


def _begin_sqlite(connection: Connection) -> None:
    # A statement that reads is a transaction of its own; beginning and ending one around it costs as much as it does.
    if connection.get_execution_options().get("portal_writes", False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as exc:  # Its message repeats the URL, password and all.
        raise _no_address() from exc
    if parsed.drivername in {"postgresql", "postgresql+psycopg"}:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername in {"sqlite", "sqlite+pysqlite"} and parsed.database and parsed.database != ":memory:":
        return parsed
    raise _no_address()


def _create_privately(file: Path) -> None:
    """Create an empty file that only its owner may read; what SQLite writes beside it inherits the mode."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise unavailable() from exc


def _no_address() -> ConfigurationError:
    return ConfigurationError(
        Text(
            "Die Adresse des Speichers ([storage] url) muss lauten: sqlite:///DATEI oder postgresql://NUTZER@RECHNER:PORT/NAME.",
            "The storage's address ([storage] url) must read sqlite:///FILE or postgresql://USER@HOST:PORT/NAME.",
        )
    )


def _other_version(found: list[int]) -> ConfigurationError:
    numbers = ", ".join(map(str, sorted(found)))
    return ConfigurationError(
        Text(
            f"Der Speicher des Portals hat die Fassung {numbers}, dieses Portal kennt {VERSION}. Nehmen Sie das Portal, das "
            "ihn angelegt hat, oder eine leere Datenbank; laufende und gesicherte Anträge darin gehen dann verloren.",
            f"The portal's storage is of version {numbers}, this portal knows {VERSION}. Use the portal that made it, or an "
            "empty database; running and saved applications in it are lost then.",
        )
    )
