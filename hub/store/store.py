"""The store as one object: opening, migrating, being ready, backing up; and each of its nouns once, by its name."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, text

from hub.errors import ConfigurationError, Conflict, StoreUnavailable, Text, UnreadableRow
from hub.store.accounts import AccountRecords, Logins
from hub.store.ai_links import AiLinks
from hub.store.audit import Audit, AuditEntry, write_audit
from hub.store.blobs.contents import Blobs
from hub.store.credentials import Credentials
from hub.store.database import Database
from hub.store.deliveries import Circuits, Deliveries
from hub.store.engine import (
    BUSY_SECONDS,
    create_privately,
    reading_engine,
    sqlite_file,
    translated,
    unavailable,
    unreachable,
    writing_engine,
)
from hub.store.event_log import CheckpointLog, EventLog
from hub.store.findings import Findings
from hub.store.forwardings import Forwardings
from hub.store.leases import Duties, SharedSettings
from hub.store.migration import (
    current_revision,
    head_revision,
    hold,
    is_before,
    is_newer,
    losses,
    revisions,
    upgrade,
    works_here,
)
from hub.store.onboarding import Onboarding
from hub.store.outboxes import Callbacks, Notices
from hub.store.parties import Dossier, Parties
from hub.store.proposals import AdapterChanges, KeyChanges
from hub.store.queue import Queue
from hub.store.readiness import ReadinessCounts
from hub.store.reports import Figures, Overview
from hub.store.retention import Recovery, Retention
from hub.store.routing_versions import AI_SYSTEMS, SERVICES, TableVersions
from hub.store.submissions import Submissions
from hub.store.tenants import Tenants
from hub.store.timestamps import Timestamps
from hub.store.uploads import Uploads
from hub.store.usage import Usage
from hub.store.vendors import Vendors
from hub.store.writer import Turns
from hub.supervision import Supervisor

#: Connections for reading; each handler thread needs one for the moment of a query.
_READERS = 8


class Store:
    """The hub's memory: the only SQL. The same on SQLite and PostgreSQL.

    ``url`` is ``sqlite:///FILE`` or ``postgresql://…``. With ``blobs`` it discards the blobs of contents that it deletes.
    With ``turns`` it takes turns with other processes that do at writing a SQLite file (:class:`hub.store.writer.Turns`).
    Nouns share one :class:`Database`. Their methods block until the result is durable, save those that return a future. Any
    of them raises ``StoreUnavailable`` when the database cannot be reached, is locked or full.
    """

    def __init__(
        self,
        url: str,
        *,
        blobs: Blobs | None = None,
        readers: int = _READERS,
        supervisor: Supervisor | None = None,
        turns: bool = False,
    ) -> None:
        self._url = url
        self._file = sqlite_file(url)
        if self._file is not None:
            create_privately(self._file)
        self._writing = writing_engine(url)
        reading = reading_engine(url, connections=readers)
        own = Turns(self._file, patience=BUSY_SECONDS) if turns and self._file is not None else None
        self.database = database = Database(writing=self._writing, reading=reading, supervisor=supervisor, turns=own)

        #: Who takes part.
        self.parties = Parties(database)
        self.dossier = Dossier(database)
        #: Whose they are, and who may do what for whom.
        self.tenants, self.onboarding, self.vendors = Tenants(database), Onboarding(database), Vendors(database)
        #: What was sent, and what its log says of it.
        self.submissions = Submissions(database)
        self.event_log = EventLog(database)
        self.forwardings = Forwardings(database)
        self.checkpoints = CheckpointLog(database)
        #: What is on its way, and to whom it does not get.
        self.queue = Queue(database)
        self.deliveries = Deliveries(database)
        self.circuits = Circuits(database)
        #: Who is told.
        self.callbacks = Callbacks(database)
        self.notices = Notices(database)
        #: What runs by the clock.
        self.duties = Duties(database)
        self.settings = SharedSettings(database)
        self.retention = Retention(database, blobs=blobs)
        self.recovery = Recovery(database)
        #: What is on its way in, piece by piece.
        self.uploads = Uploads(database, blobs=blobs)
        #: What people do, and what they look at.
        self.accounts = AccountRecords(database)
        self.logins = Logins(database)
        self.credentials = Credentials(database)
        self.audit = Audit(database)
        self.key_changes = KeyChanges(database)
        self.adapter_changes = AdapterChanges(database)
        self.routing_versions = TableVersions(database)
        self.service_versions = TableVersions(database, SERVICES)
        self.ai_versions = TableVersions(database, AI_SYSTEMS)
        self.ai_links = AiLinks(database)
        self.timestamps = Timestamps(database)
        self.overview = Overview(database)
        self.figures = Figures(database)
        self.usage, self.readiness = Usage(database), ReadinessCounts(database)
        self.findings = Findings(database)

    def on_delivery_due(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` (from the writer's thread: return at once) after every commit that made a delivery due."""
        self.database.on_delivery_due(wake)

    def on_party_changed(self, tell: Callable[[UUID | str], None]) -> None:
        """Call ``tell`` with the id of every destination and client that this process changed, before the changer goes on."""
        self.database.on_party_changed(tell)

    def on_unreadable(self, count: Callable[[str], None]) -> None:
        """Call ``count`` with the table of each row that turns out not to be readable by this version, once a row."""
        self.database.on_unreadable(count)

    def note_unreadable(self, error: UnreadableRow) -> None:
        """Count and log a row whose columns are in form, but hold what nobody can use, as who uses them found out."""
        self.database.unreadables.note(*error.place)

    def close(self) -> None:
        """Finish waiting writes and close all connections."""
        self.database.close()

    def migrate(self, revision: str = "head") -> None:
        """Bring the tables to ``revision`` (forward or back); of several nodes that start at once, one does it.

        Newer tables that carry this program stay as they are where it is to be the "head".

        Raises:
            ConfigurationError: the tables are those of a newer program and do not carry this one.
        """
        with self._moving() as connection:
            current = current_revision(connection)
            if is_newer(current) and not works_here(connection):
                raise _too_new(current)
            upgrade(connection, revision)

    def move_tables(self, revision: str, entry: AuditEntry, *, with_loss: bool = False) -> Mapping[str, int]:
        """Bring the tables to ``revision``, forward or back, and record ``entry`` with what went; return that.

        What goes is told as in :func:`hub.store.migration.losses`; nothing goes unless ``with_loss``.

        Raises:
            ConfigurationError: no revision that this program knows, or the tables are a newer program's.
            Conflict: rows would be lost; nothing was changed.
        """
        if revision not in revisions():
            raise _no_revision(revision)
        with self._moving() as connection:
            current = hold(connection)
            if is_newer(current):
                raise _too_new(current)
            if current is None or current == revision:
                upgrade(connection, revision)
                return {}
            lost = losses(connection, revision) if is_before(revision, current) else {}
            if lost and not with_loss:
                raise _would_lose(revision, lost)
            said = {"revision": revision, **({"lost": lost} if lost else {})}
            write_audit(connection, replace(entry, before={"revision": current}, after=said))
            upgrade(connection, revision)
            return lost

    @contextmanager
    def _moving(self) -> Iterator[Connection]:
        """Yield a connection whose transaction moves tables, and commit it at the end."""
        try:
            with translated(), self._writing.connect() as connection:
                yield connection
                try:
                    connection.commit()
                except BaseException:
                    # It would go back to the pool as it is, within its transaction.
                    connection.invalidate()
                    raise
        except StoreUnavailable as exc:
            raise unreachable(self._url, exc) from exc

    def clock(self) -> datetime | None:
        """Return the time (aware, UTC) of a database server; None for SQLite, which has this machine's."""
        if self._file is not None:
            return None
        now = self.database.read(lambda connection: connection.execute(text("SELECT clock_timestamp()")).scalar_one())
        found: datetime = now.astimezone(UTC)
        return found

    def schema_revision(self) -> str | None:
        """Return the revision of the tables, None before the first migration.

        Whoever opens a store asks this first, so here ``StoreUnavailable`` says which database does not answer, and why.
        """
        try:
            return self.database.read(current_revision)
        except StoreUnavailable as exc:
            raise unreachable(self._url, exc) from exc

    def carries_this_version(self) -> bool:
        """Whether this program can work on the tables as they are: they are its own, or newer ones that say so."""
        return self.database.read(works_here)

    def require_tables(self) -> None:
        """Make the tables where there are none yet, and leave those that are there as they are.

        Raises:
            ConfigurationError: the tables are those of another version of the program, and do not carry this one.
        """
        current, head = self.schema_revision(), head_revision()
        if current is None:
            self.migrate()
        elif not self.carries_this_version():
            raise ConfigurationError(
                Text(
                    f"Die Tabellen der Datenbank haben den Stand {current}, dieses Programm braucht {head}. Sichern Sie, dann: "
                    "„hub migrate“. Läuft der Hub in einer neueren Version, so nehmen Sie deren Programm.",
                    f"The database's tables are at {current}, this program needs {head}. Back up, then: 'hub migrate'. If the "
                    "hub runs in a newer version, use that version's program.",
                )
            )

    def ready(self) -> None:
        """Raise ``StoreUnavailable`` unless the database answers and has tables that carry this program.

        One that turned out to be damaged at any read or write is not ready again before a restart.
        """
        damage = self.database.unreadables.damage
        if damage is not None:
            raise damage
        if not self.carries_this_version():
            raise StoreUnavailable(
                Text(
                    "Die Tabellen der Datenbank passen nicht zu dieser Version. Führen Sie „hub migrate“ aus.",
                    "The database's tables do not fit this version. Run 'hub migrate'.",
                )
            )
        self.database.write(lambda connection: connection.execute(text("SELECT 1")).scalar_one())

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

        return self.database.read(read)


def _too_new(current: str | None) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Tabellen haben den Stand {current}; dieses Programm kennt sie bis {head_revision()} und kann mit neueren "
            "nicht arbeiten. Nehmen Sie das Programm der neueren Version; zurück führt dessen „hub migrate --to "
            f"{head_revision()}“.",
            f"The tables are at {current}; this program knows them up to {head_revision()} and cannot work on newer ones. Use "
            f"the newer version's program; the way back is its 'hub migrate --to {head_revision()}'.",
        )
    )


def _no_revision(revision: str) -> ConfigurationError:
    known = ", ".join(revisions())
    return ConfigurationError(
        Text(
            f"Einen Stand „{revision}“ kennt dieses Programm nicht. Bekannt sind: {known}.",
            f'This program knows no revision "{revision}". Known are: {known}.',
        )
    )


def _would_lose(revision: str, lost: Mapping[str, int]) -> Conflict:
    what = ", ".join(f"{name} ({number})" for name, number in lost.items())
    return Conflict(
        Text(
            f"Auf dem Weg zurück zu {revision} gingen Zeilen verloren: {what}. Nichts wurde geändert. Sichern Sie, und sagen "
            "Sie es mit --with-loss ausdrücklich, wenn sie verloren gehen dürfen.",
            f"On the way back to {revision} rows would be lost: {what}. Nothing was changed. Back up, and say so with "
            "--with-loss if they may go.",
        )
    )
