"""The store as one object: opening, migrating, being ready, backing up; the nouns come from their own modules."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, text

from hub.errors import ConfigurationError, StoreUnavailable, Text
from hub.store.audit import Audit
from hub.store.blobs.local import Blobs
from hub.store.deliveries import Deliveries
from hub.store.engine import (
    create_privately,
    reading_engine,
    sqlite_file,
    translated,
    unavailable,
    unreachable,
    writing_engine,
)
from hub.store.event_log import Log
from hub.store.leases import Duties
from hub.store.migration import current_revision, head_revision, upgrade
from hub.store.outboxes import Callbacks, Notices
from hub.store.parties import Parties
from hub.store.queue import Queue
from hub.store.retention import Retention
from hub.store.submissions import Messages, PlainDoor
from hub.supervision import Supervisor

#: Connections for reading; each handler thread needs one for the moment of a query.
_READERS = 8


class Store(Parties, PlainDoor, Messages, Log, Queue, Deliveries, Callbacks, Notices, Duties, Retention, Audit):
    """The hub's memory: the only SQL. The same on SQLite and PostgreSQL.

    ``url`` is ``sqlite:///FILE`` or ``postgresql://…``. With ``blobs`` it discards the blobs of contents that it deletes.
    Methods block until the result is durable, save those that return a future. Any of them raises ``StoreUnavailable``
    when the database cannot be reached, is locked or full.
    """

    def __init__(
        self,
        url: str,
        *,
        blobs: Blobs | None = None,
        readers: int = _READERS,
        supervisor: Supervisor | None = None,
    ) -> None:
        self._url = url
        self._file = sqlite_file(url)
        if self._file is not None:
            create_privately(self._file)
        reading = reading_engine(url, connections=readers)
        super().__init__(writing=writing_engine(url), reading=reading, supervisor=supervisor)
        self.blobs = blobs

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to ``revision`` (forward or back); of several nodes that start at once, one does it."""
        try:
            with translated(), self._writing.connect() as connection:
                upgrade(connection, revision)
                connection.commit()
        except StoreUnavailable as exc:
            raise unreachable(self._url, exc) from exc

    def schema_revision(self) -> str | None:
        """Return the revision of the tables, None before the first migration."""
        return self._read(current_revision)

    def require_tables(self) -> None:
        """Make the tables where there are none yet, and leave those that are there as they are.

        Raises:
            ConfigurationError: the tables are those of another version of the program.
        """
        current, head = self.schema_revision(), head_revision()
        if current is None:
            self.migrate()
        elif current != head:
            raise ConfigurationError(
                Text(
                    f"Die Tabellen der Datenbank haben den Stand {current}, dieses Programm braucht {head}. Sichern Sie, dann: "
                    "„hub migrate“. Läuft der Hub in einer neueren Version, so nehmen Sie deren Programm.",
                    f"The database's tables are at {current}, this program needs {head}. Back up, then: 'hub migrate'. If the "
                    "hub runs in a newer version, use that version's program.",
                )
            )

    def ready(self) -> None:
        """Raise ``StoreUnavailable`` unless the database answers and has the tables that this program knows.

        One that turned out to be damaged at any read or write is not ready again before a restart.
        """
        if self._unreadables.damage is not None:
            raise self._unreadables.damage
        if self.schema_revision() != head_revision():
            raise StoreUnavailable(
                Text(
                    "Die Tabellen der Datenbank passen nicht zu dieser Version. Führen Sie „hub migrate“ aus.",
                    "The database's tables do not fit this version. Run 'hub migrate'.",
                )
            )
        self._write(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

    def backup(self, target: Path) -> None:
        """Copy a SQLite database, while it is in use, into the new file ``target`` (blobs are copied after it, as files).

        Raises:
            ConfigurationError: the database is PostgreSQL (use its own tools), or ``target`` exists.
        """
        if self._file is None or target.exists():
            raise ConfigurationError(
                Text(
                    "Gesichert wird eine SQLite-Datenbank in eine neue Datei; für PostgreSQL dient pg_dump.",
                    "A SQLite database is backed up into a new file; for PostgreSQL use pg_dump.",
                )
            )
        create_privately(target)
        try:
            with closing(sqlite3.connect(self._file)) as source, closing(sqlite3.connect(target)) as copy:
                source.backup(copy, pages=1024)
        except sqlite3.Error as exc:
            target.unlink(missing_ok=True)
            raise unavailable() from exc

    def integrity(self) -> list[str]:
        """Return what the engine's own check finds wrong with a SQLite file; nothing for PostgreSQL, which checks itself."""
        if self._file is None:
            return []

        def read(connection: Connection) -> list[str]:
            found = connection.execute(text("PRAGMA integrity_check")).scalars()
            return [line for line in found if line != "ok"]

        return self._read(read)
