"""Migrations: which revision the tables have, and how they get to another one."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from hub.store.database import in_postgresql

_FOLDER = Path(__file__).parent / "migrations"
#: Any number that no other program uses for its advisory locks in this database.
_LOCK = 7_281_654


def head_revision() -> str | None:
    """Return the revision that this program's tables have."""
    return ScriptDirectory(str(_FOLDER)).get_current_head()


def current_revision(connection: Connection) -> str | None:
    """Return the revision that the database's tables have."""
    return MigrationContext.configure(connection).get_current_revision()


def upgrade(connection: Connection, revision: str) -> None:
    """Bring the tables to ``revision`` within the connection's transaction; nodes that start together wait for each other."""
    if in_postgresql(connection):
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    back = revision == "base" or _is_behind(config, current_revision(connection), revision)
    (command.downgrade if back else command.upgrade)(config, revision)


def _is_behind(config: Config, current: str | None, revision: str) -> bool:
    if current is None or revision in {"head", current}:
        return False
    older = {script.revision for script in ScriptDirectory.from_config(config).iterate_revisions(current, "base")}
    return revision in older
