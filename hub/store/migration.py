"""Migrations: which revision the tables have, and how they get to another one.

Only moving tables that are there loads alembic, ten megabytes of a process that never needs them again: looking does not, and
a database that is empty gets the tables of this version at once. Both ways make the same tables, which a test compares.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from hub.store import tables
from hub.store.database import in_postgresql

if TYPE_CHECKING:
    from alembic.config import Config

_FOLDER = Path(__file__).parent / "migrations"
#: Any number that no other program uses for its advisory locks in this database.
_LOCK = 7_281_654
#: As alembic itself makes it.
_VERSION_TABLE = """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)
"""


@cache
def head_revision() -> str | None:
    """Return the revision that this program's tables have: the files are named ``rREVISION_WORDS.py``, in their order."""
    return max((file.name[1:].partition("_")[0] for file in (_FOLDER / "versions").glob("r[0-9]*_*.py")), default=None)


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the database's tables have."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def upgrade(connection: Connection, revision: str) -> None:
    """Bring the tables to ``revision`` within the connection's transaction; nodes that start together wait for each other."""
    if in_postgresql(connection):
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    current = current_revision(connection)
    if current is not None and current == (head_revision() if revision == "head" else revision):
        return
    if revision == "head" and not inspect(connection).get_table_names():
        _create(connection)
        return
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
