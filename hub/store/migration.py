"""Migrations: which revision the tables have, how they get to another one, and who can work on them there.

Only moving tables that are there loads alembic, ten megabytes of a process that never needs them again: looking does not, and
a database that is empty gets the tables of this version at once. Both ways make the same tables, which a test compares.

Tables say which programs they carry: whoever brings them to its own revision leaves the oldest one whose programs go on
working on them (:data:`OLDEST`). So a program of before can begin on newer tables, which is the way back after an update.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, create_engine, inspect, text

from hub.store import tables
from hub.store.database import in_postgresql

if TYPE_CHECKING:
    from alembic.config import Config

#: Tables, each with its columns: whether they may be NULL, and their default as SQL.
_Shape = dict[str, dict[str, tuple[bool, Any]]]
_FOLDER = Path(__file__).parent / "migrations"
#: Any number that no other program uses for its advisory locks in this database.
_LOCK = 7_281_654
#: The oldest revision whose programs go on working on the tables of this one. Additive revisions leave it; one that takes
#: something away that the program before uses raises it to its own number.
OLDEST = "0013"
#: How a file names the revision before its own; the first one names none.
_BEFORE = re.compile(r'^down_revision = "(\w+)"', re.MULTILINE)
#: Where that stands in the database.
_OLDEST_NAME = "tables.oldest"
#: Tables whose rows are remembered answers, or end by themselves: going back without them costs a slow hash or a log-in.
_FLEETING = frozenset({"login_failures", "login_steps", "openid_answers", "proven_secrets", "sessions", "throttle"})
#: Columns that only spare work: they are filled anew, or say what stands elsewhere, too.
_DERIVED = frozenset({("cases", "covered"), ("messages", "reference"), ("reads", "day")})
#: As alembic itself makes it.
_VERSION_TABLE = """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
"""


@cache
def head_revision() -> str | None:
    """Return the revision that this program's tables have."""
    return list(revisions())[-1] if revisions() else None


@cache
def revisions() -> Mapping[str, str]:
    """Return the revisions that this program knows, each with what its file is called after it, in the order that they name.

    The files are named ``rREVISION_WORDS.py``; each names the one before it, and numbers may come in any order.
    """
    words, after = {}, {}
    for file in (_FOLDER / "versions").glob("r[0-9]*_*.py"):
        number, _, called = file.stem[1:].partition("_")
        words[number] = called.replace("_", " ")
        before = _BEFORE.search(file.read_text(encoding="utf-8"))
        after[None if before is None else before[1]] = number
    found: dict[str, str] = {}
    last: str | None = None
    while (last := after.get(last)) is not None:
        found[last] = words[last]
    return found


def is_before(revision: str, current: str) -> bool:
    """Tell whether tables at ``current`` have to go back to be at ``revision``; both are known."""
    order = ["base", *revisions()]
    return order.index(revision) < order.index(current)


def pending(current: str | None) -> Sequence[str]:
    """Return the revisions that tables at ``current`` lack; none for tables of a newer program."""
    order = list(revisions())
    if current is None:
        return order
    return order[order.index(current) + 1 :] if current in order else []


def is_newer(current: str | None) -> bool:
    """Whether tables at ``current`` were made by a newer program than this one, which knows no such revision."""
    return current is not None and current not in revisions()


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the database's tables have."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def works_here(connection: Connection) -> bool:
    """Whether this program can work on the tables as they are: its own, or newer ones that say so."""
    current = current_revision(connection)
    if current == head_revision():
        return True
    if not is_newer(current):
        return False
    query = text("SELECT value FROM settings WHERE name = :name")
    oldest = connection.execute(query, {"name": _OLDEST_NAME}).scalar_one_or_none()
    return oldest is not None and str(oldest) in revisions()


def hold(connection: Connection) -> str | None:
    """Let nobody else move the tables until the transaction's end; return their revision."""
    if in_postgresql(connection):
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    return current_revision(connection)


def upgrade(connection: Connection, revision: str) -> None:
    """Bring the tables to ``revision`` within the connection's transaction; nodes that start together wait for each other.

    Newer tables that carry this program are left as they are where the "head" is asked for.
    """
    current = hold(connection)
    if current is not None and current == (head_revision() if revision == "head" else revision):
        return
    if revision == "head" and is_newer(current) and works_here(connection):
        return
    if revision == "head" and not inspect(connection).get_table_names():
        _create(connection)
    else:
        _move(connection, current, revision)
    _say_oldest(connection, revision)


def _say_oldest(connection: Connection, revision: str) -> None:
    """Leave word which programs the tables carry; of those that were moved elsewhere than to this program's, none is known."""
    if not inspect(connection).has_table("settings"):
        return
    connection.execute(text("DELETE FROM settings WHERE name = :name"), {"name": _OLDEST_NAME})
    if revision in {"head", head_revision()}:
        row = {"name": _OLDEST_NAME, "value": OLDEST}
        connection.execute(text("INSERT INTO settings (name, value) VALUES (:name, :value)"), row)


def _move(connection: Connection, current: str | None, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    back = revision == "base" or _is_behind(config, current, revision)
    (command.downgrade if back else command.upgrade)(config, revision)


def _create(connection: Connection) -> None:
    """Make the tables of this version in an empty database, as if they had come there revision by revision."""
    tables.metadata.create_all(connection)
    connection.execute(text(_VERSION_TABLE))
    connection.execute(text("INSERT INTO alembic_version (version_num) VALUES (:head)"), {"head": head_revision()})


def _is_behind(config: Config, current: str | None, revision: str) -> bool:
    if current is None or revision in {"head", current}:
        return False
    from alembic.script import ScriptDirectory

    older = {script.revision for script in ScriptDirectory.from_config(config).iterate_revisions(current, "base")}
    return revision in older


def losses(connection: Connection, revision: str) -> dict[str, int]:
    """Return what going back to ``revision`` would lose: of each table or column that goes, the rows that say something there.

    Nothing is changed, but nobody writes to these tables any more until the transaction's end. Which tables and columns go is
    tried on an empty database in memory.
    """
    found = {
        name: _count(connection, table, said)
        for name, table, said in _going(_shape(str(current_revision(connection))), _shape(revision))
    }
    return {name: number for name, number in found.items() if number}


def _going(before: _Shape, after: _Shape) -> Iterator[tuple[str, str, str]]:
    """Yield for each table and column that goes its name, its table, and in SQL which rows say something there."""
    for table, columns in before.items():
        if table in _FLEETING:
            continue
        if table not in after:
            yield table, table, "1 = 1"
            continue
        for name, (nullable, default) in columns.items():
            if name not in after[table] and (table, name) not in _DERIVED:
                said = f"{name} <> {default}" if default else "1 = 1"
                yield f"{table}.{name}", table, f"{name} IS NOT NULL" if nullable else said


def _count(connection: Connection, table: str, where: str) -> int:
    if in_postgresql(connection):
        connection.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))
    # Names and defaults are those of our own migrations.
    return int(connection.execute(text(f"SELECT count(*) FROM {table} WHERE {where}")).scalar_one())  # noqa: S608


@cache
def _shape(revision: str) -> _Shape:
    """Return the tables of a revision."""
    if revision == "base":
        return {}
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as scratch:
            _move(scratch, None, revision)
            looked = inspect(scratch)
            return {
                table: {each["name"]: (each["nullable"], each["default"]) for each in looked.get_columns(table)}
                for table in looked.get_table_names()
                if table != "alembic_version"
            }
    finally:
        engine.dispose()
