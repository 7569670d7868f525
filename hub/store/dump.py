"""PostgreSQL's own tools: a dump of the database while it is in use, its way back, and a database to try it in."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DatabaseError

from hub.errors import ConfigurationError, Text
from hub.store.engine import lone_engine, translated

#: Seconds that a dump may take without an end: it is stuck then, not large.
_LONGEST = 6 * 3600
#: What a scratch database is called; nothing of another name is ever dropped.
_SCRATCH = "hub_drill_"
_NAME = re.compile(_SCRATCH + "[0-9a-f]{12}")


def has_tools() -> bool:
    """Whether this machine has ``pg_dump``."""
    return shutil.which("pg_dump") is not None


def dump(url: str, target: Path) -> None:
    """Write what the database holds at one moment into the new file ``target`` (pg_dump's custom format).

    Raises:
        ConfigurationError: there is no pg_dump, or it refuses (its version is older than the server's, a right is missing).
    """
    target.touch(mode=0o600, exist_ok=False)
    try:
        _run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", f"--file={target}")
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def load(url: str, source: Path) -> None:
    """Bring a dump into an empty database, whole or not at all.

    Raises:
        ConfigurationError: the database is not empty, there is no pg_restore, or it refuses.
    """
    if _tables(url):
        shown = make_url(url).database
        raise ConfigurationError(
            Text(
                f"Die Datenbank {shown} ist nicht leer. Eine Wiederherstellung überschreibt nichts; nennen Sie eine leere "
                "(database_url).",
                f"The database {shown} is not empty. A restore overwrites nothing; name an empty one (database_url).",
            )
        )
    _run("pg_restore", url, "--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction", str(source))


@contextmanager
def scratch(url: str) -> Iterator[str]:
    """Make an empty database beside the one that ``url`` names, yield its URL, and drop it with all that came into it.

    Raises:
        ConfigurationError: the account may not make one. StoreUnavailable: the server cannot be reached.
    """
    name = _SCRATCH + secrets.token_hex(6)
    _outside_transaction(url, f"CREATE DATABASE {name}")
    try:
        yield make_url(url).set(database=name).render_as_string(hide_password=False)
    finally:
        if _NAME.fullmatch(name):
            _outside_transaction(url, f"DROP DATABASE {name} WITH (FORCE)")


def _outside_transaction(url: str, statement: str) -> None:
    engine = lone_engine(url)
    try:
        with translated(), engine.connect() as connection:
            connection.execute(text(statement))
    except DatabaseError as exc:
        # What is away or busy is ``StoreUnavailable`` by now; what is left is a right that is missing.
        why = str(exc.orig).splitlines()[0]
        raise ConfigurationError(
            Text(
                f"Auf dem Server lässt sich keine Datenbank zum Probieren anlegen ({why}). Geben Sie dem Konto CREATEDB, oder "
                "nennen Sie eine leere (--scratch-url).",
                f"No database to try things in can be made on the server ({why}). Give the account CREATEDB, or name an empty "
                "one (--scratch-url).",
            )
        ) from exc
    finally:
        engine.dispose()


def _tables(url: str) -> int:
    engine = lone_engine(url)
    try:
        with translated(), engine.connect() as connection:
            found = connection.execute(
                text("SELECT count(*) FROM information_schema.tables WHERE table_schema = current_schema()")
            )
            return int(found.scalar_one())
    finally:
        engine.dispose()


def _run(program: str, url: str, *arguments: str) -> None:
    """Run one of PostgreSQL's tools; the password goes by its surroundings, for everybody sees a process's arguments."""
    address, password = _without_password(make_url(url))
    surroundings = os.environ if password is None else os.environ | {"PGPASSWORD": password}
    try:
        done = subprocess.run(
            [program, f"--dbname={address}", *arguments],
            env=surroundings,
            capture_output=True,
            check=False,
            timeout=_LONGEST,
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise _refused(program, str(exc)) from exc
    if done.returncode:
        said = done.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise _refused(program, said[0] if said else str(done.returncode))


def _without_password(url: URL) -> tuple[str, str | None]:
    query = dict(url.query)
    password = query.pop("password", None) or url.password
    bare = URL.create(
        "postgresql", username=url.username, host=url.host, port=url.port, database=url.database, query=query
    )
    return bare.render_as_string(hide_password=False), None if password is None else str(password)


def _refused(program: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"{program} gelang nicht: {why}. Installieren Sie die Programme des PostgreSQL-Servers in dessen Version.",
            f"{program} failed: {why}. Install PostgreSQL's client programs in the server's version.",
        )
    )
