"""Connections: one engine for the writer, one for readers, and the seam where database errors become the hub's.

SQLite runs with WAL, synchronous=FULL, foreign keys, and BEGIN IMMEDIATE for writing; PostgreSQL with READ COMMITTED for
writing. Readers see one snapshot per transaction on both.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, DataError, IntegrityError, InterfaceError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from hub.errors import ConfigurationError, DatabaseDamaged, Malformed, StoreUnavailable, Text
from hub.store.statements import driver_errors

#: How long a SQLite connection waits for another process's write lock.
BUSY_SECONDS = 5
#: A statement that runs longer than this on PostgreSQL is stuck, not busy.
_STATEMENT_SECONDS = 60
_CONNECT_SECONDS = 5
_POOL_WAIT_SECONDS = 10
#: A server that vanished without a word (power, network, fail-over) is noticed in half a minute, not in a quarter of an hour.
_NOTICE_SILENCE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
#: The writer's connection, and one for migrations. No error text repeats a bound value.
_ONE: Mapping[str, Any] = {"pool_size": 1, "max_overflow": 1, "hide_parameters": True}
#: RETURNING came with 3.35, json_each became a part of every build with 3.38.
_OLDEST_SQLITE = (3, 38, 0)
#: 16 MiB of write-ahead log between checkpoints, 32 MiB of pages in memory per connection.
_CHECKPOINT_PAGES = 4096
_CACHE_KIB = 32 * 1024
#: Primary result codes of SQLite for a file that is damaged, or none of its own.
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
#: SQLSTATE of a foreign key violation (PostgreSQL, appendix A).
_FOREIGN_KEY = "23503"
#: SQLSTATE of a table that is not there (yet).
_NO_TABLE = "42P01"


def unavailable() -> StoreUnavailable:
    """Return the error for a database that cannot do what it must; nothing was stored."""
    return StoreUnavailable(
        Text(
            "Die Datenbank ist nicht erreichbar, gesperrt oder voll; nichts wurde gespeichert. Versuchen Sie es später erneut.",
            "The database cannot be reached, is locked or is full; nothing was stored. Try again later.",
        )
    )


#: What a driver's words mean, the first that fits.
_CAUSES: Mapping[str, Text] = {
    r"translate host name|not known|resolve host|getaddrinfo|Temporary failure in name": Text(
        "den Rechner dieses Namens gibt es nicht", "there is no host of this name"
    ),
    r"password authentication failed|no password supplied": Text(
        "Nutzer oder Passwort falsch, siehe database_password_file",
        "wrong user or password, see database_password_file",
    ),
    r'database "[^"]*" does not exist': Text("die Datenbank gibt es dort nicht", "there is no such database there"),
    r'role "[^"]*" does not exist': Text("den Nutzer gibt es dort nicht", "there is no such user there"),
    r"no pg_hba\.conf entry": Text("der Server lässt diesen Rechner nicht ein", "the server does not let this host in"),
    r"SSL|TLS|certificate": Text("keine TLS-Verbindung", "no TLS connection"),
    r"Connection refused|No such file or directory": Text("dort läuft kein PostgreSQL", "no PostgreSQL runs there"),
    r"timeout expired|timed out|unreachable|No route": Text("keine Antwort in der Frist", "no answer in time"),
    r"too many (clients|connections)|connection slots": Text("keine Verbindung mehr frei", "no connection is free"),
}


def unreachable(url: str, cause: StoreUnavailable) -> StoreUnavailable:
    """Return the error for a database that cannot be used at the start: which one, and what its driver says (no password)."""
    said = getattr(cause.__cause__, "orig", None) or cause.__cause__ or cause
    lines = str(said).strip().splitlines() or [type(said).__name__]
    why = lines[0]
    password = make_url(url).password
    if password and str(password) in why:
        why = type(said).__name__
    address = address_of(url)
    known = Text("", "")
    if sqlite_file(url) is None:
        found = (text for words, text in _CAUSES.items() if re.search(words, str(said)))
        meant = next(found, None)
        known = known if meant is None else Text(f"{meant.de}: ", f"{meant.en}: ")
    return StoreUnavailable(
        Text(
            f"Die Datenbank {address} ist nicht erreichbar, gesperrt, beschädigt oder voll ({known.de}{why}). Prüfen Sie "
            "database_url, ob die Datenbank läuft und der Zugang stimmt; eine beschädigte stellt „hub restore“ wieder her.",
            f"The database {address} cannot be reached, is locked, damaged or full ({known.en}{why}). Check "
            "database_url, whether the database runs and lets the hub in; a damaged one is brought back by 'hub restore'.",
        )
    )


def is_damage(error: BaseException) -> bool:
    """Say whether SQLite's driver says that the file is damaged, or none of its own."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _DAMAGED


def corrupt() -> DatabaseDamaged:
    """Return the error for a SQLite file that is damaged: waiting does not mend it."""
    return DatabaseDamaged(
        Text(
            "Die Datenbankdatei (hub.sqlite im Datenordner) ist beschädigt. Halten Sie den Hub an und spielen Sie die letzte "
            "Sicherung in einen leeren Ordner ein: hub restore.",
            "The database file (hub.sqlite in the data folder) is corrupt. Stop the hub and restore the last backup into an "
            "empty folder: hub restore.",
        )
    )


@contextmanager
def translated() -> Iterator[None]:
    """Turn what a database says about itself (gone, locked, full, without our tables) into ``StoreUnavailable``.

    A value that it cannot hold is its sender's fault (``Malformed``) and must not look like an outage to the neighbours.
    """
    try:
        yield
    except (IntegrityError, ProgrammingError) as exc:
        if getattr(exc.orig, "sqlstate", None) == _NO_TABLE:
            raise unavailable() from exc
        raise
    except DataError as exc:
        raise Malformed(
            Text(
                "Ein Text enthält Zeichen (etwa NUL), die nicht gespeichert werden können. Entfernen Sie diese.",
                "A text holds characters (such as NUL) that cannot be stored. Remove them.",
            )
        ) from exc
    except (DatabaseError, InterfaceError, PoolTimeoutError) as exc:
        raise (corrupt() if is_damage(getattr(exc, "orig", exc)) else unavailable()) from exc


def writing_engine(url: str) -> Engine:
    """Return an engine whose transactions may write; it opens connections one at a time and keeps none spare."""
    parsed = _parsed(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args=_sqlite_arguments(parsed), **_ONE)
        _set_up_sqlite(engine, begin="BEGIN IMMEDIATE", writes=True)
        return engine
    engine = create_engine(parsed, connect_args=_postgresql_arguments(), **_ONE)
    event.listen(engine, "connect", _require_durability)
    return engine


def reading_engine(url: str, *, connections: int) -> Engine:
    """Return an engine for up to ``connections`` concurrent readers, each transaction one snapshot."""
    parsed = _parsed(url)
    pool: dict[str, Any] = {
        "pool_size": connections,
        "max_overflow": 0,
        "pool_timeout": _POOL_WAIT_SECONDS,
        "hide_parameters": True,
    }
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args=_sqlite_arguments(parsed), **pool)
        _set_up_sqlite(engine, begin="BEGIN", writes=False)
        return engine
    return create_engine(
        parsed,
        isolation_level="REPEATABLE READ",
        pool_pre_ping=True,
        connect_args=_postgresql_arguments(),
        **pool,
    )


def lone_engine(url: str) -> Engine:
    """Return an engine for PostgreSQL whose statements stand alone, as making and dropping a database must."""
    return create_engine(
        _parsed(url), isolation_level="AUTOCOMMIT", connect_args=_postgresql_arguments(), hide_parameters=True
    )


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


def _no_address() -> ConfigurationError:
    return ConfigurationError(
        Text(
            "Die Datenbankadresse (database_url) muss lauten: sqlite:///DATEI oder "
            "postgresql://NUTZER@RECHNER:PORT/NAME; das Passwort steht in der Datei, die database_password_file nennt.",
            "The database address (database_url) must read sqlite:///FILE or postgresql://USER@HOST:PORT/NAME; the password "
            "stands in the file that database_password_file names.",
        )
    )


def sqlite_file(url: str) -> Path | None:
    """Return the database file of a SQLite URL, None for another engine."""
    parsed = _parsed(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def address_of(url: str) -> str:
    """Return a database URL as people may see it: without its password, and without parameters, which may hold one."""
    return _parsed(url).set(query={}).render_as_string(hide_password=True)


def create_privately(file: Path) -> None:
    """Create an empty SQLite file that only its owner may read; WAL and shared memory inherit the mode."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as exc:
        raise unavailable() from exc


def _set_up_sqlite(engine: Engine, *, begin: str, writes: bool) -> None:
    pragmas = (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        # Ids are random, so a batch touches many pages; a longer log lets them be written home once for many batches.
        f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}",
        f"PRAGMA journal_size_limit = {_CHECKPOINT_PAGES * 4096}",
        f"PRAGMA cache_size = -{_CACHE_KIB}",
        f"PRAGMA query_only = {'OFF' if writes else 'ON'}",
    )

    def connect(connection: sqlite3.Connection, _record: object) -> None:
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise ConfigurationError(
                Text("SQLite ist älter als 3.38. Bitte aktualisieren.", "SQLite is older than 3.38. Please update it.")
            )
        # The driver's own transaction control starts deferred transactions, which fail where they must wait.
        connection.isolation_level = None
        for pragma in pragmas:
            connection.execute(pragma)

    def start(connection: Connection) -> None:
        # Every batch of writes begins here, so the driver is asked directly.
        with driver_errors(connection):
            connection.connection.cursor().execute(begin)

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", start)


def _sqlite_arguments(url: URL) -> dict[str, Any]:
    """Return the patience with other processes; ``?timeout=SECONDS`` in the URL overrules it."""
    return {} if "timeout" in url.query else {"timeout": BUSY_SECONDS}


def _postgresql_arguments() -> dict[str, Any]:
    milliseconds = _STATEMENT_SECONDS * 1000
    return {
        "connect_timeout": _CONNECT_SECONDS,
        **_NOTICE_SILENCE,
        "application_name": "rathaus-hub",
        "options": f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}",
    }


def _require_durability(connection: Any, _record: object) -> None:
    """Overrule a server that answers commits before they are on disk: a 2xx means stored (any stricter setting stays)."""
    with connection.cursor() as cursor:
        if cursor.execute("SHOW synchronous_commit").fetchone()[0] == "off":
            cursor.execute("SET synchronous_commit = on")
    connection.commit()


def names_unknown(error: IntegrityError) -> bool:
    """Say whether a row named another that does not exist (a foreign key), rather than being there already."""
    return getattr(error.orig, "sqlstate", None) == _FOREIGN_KEY or "FOREIGN KEY" in str(error.orig)
