"""A store on each engine, for tests: SQLite from a migrated template, PostgreSQL from a server of the tests' own.

A pytest plugin, loaded by ``conftest.py``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from hub.store import LocalBlobs, Store, tables

ENGINES = ("sqlite", "postgresql")
#: A cluster in memory is made in half the time.
_MEMORY = "/dev/shm"
_UNPRIVILEGED = ("postgres", "nobody")
_QUICK = ("fsync=off", "full_page_writes=off", "listen_addresses=", "max_connections=80", "shared_buffers=32MB")


def binaries() -> Path | None:
    """Find the folder of initdb and postgres: on the path, or where Debian and others keep it."""
    found = shutil.which("initdb")
    known = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parts[-2].zfill(3))
    folders = ([Path(found).resolve().parent] if found else []) + known[::-1]
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


class PostgresqlServer:
    """A cluster in a temporary folder, reachable by a unix socket in it alone. PostgreSQL refuses to run as root."""

    def __init__(self, programs: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hub-pg-", dir=_MEMORY if os.access(_MEMORY, os.W_OK) else None))
        self._programs = programs
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            self._as = {"user": _existing_user(), "extra_groups": []}
            shutil.chown(self.folder, user=str(self._as["user"]))
        self._run("initdb", "-D", "data", "-U", "hub", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self._process = self._start()

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://hub@/postgres?host={self.folder}"

    def _start(self) -> subprocess.Popen[bytes]:
        settings = [part for one in (*_QUICK, f"unix_socket_directories={self.folder}") for part in ("-c", one)]
        return subprocess.Popen(
            [str(self._programs / "postgres"), "-D", "data", *settings],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as,
        )

    def wait(self) -> None:
        engine = create_engine(self.url)
        deadline = time.monotonic() + 20
        while True:
            try:
                with engine.connect() as connection:
                    connection.execute(text("SELECT 1"))
                break
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        engine.dispose()

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._programs / program), *arguments], cwd=self.folder, check=True, capture_output=True, **self._as
        )


def _existing_user() -> str:
    import pwd

    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _UNPRIVILEGED if name in names)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """An empty, migrated PostgreSQL database; whoever takes it empties it first."""
    programs = binaries()
    if programs is None:
        pytest.skip("PostgreSQL's server programs (initdb, postgres) are not on this machine")
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    server = PostgresqlServer(programs)
    try:
        server.wait()
        store = Store(server.url)
        store.migrate()
        store.close()
        yield server.url
    finally:
        server.stop()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy."""
    file = tmp_path_factory.mktemp("template") / "hub.sqlite"
    store = Store(f"sqlite:///{file}")
    store.migrate()
    store.close()
    return file


def empty(url: str) -> None:
    """Empty all tables of a PostgreSQL database."""
    engine = create_engine(url)
    with engine.begin() as connection:
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(table.delete())
    engine.dispose()


@pytest.fixture(params=ENGINES)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty, migrated database, once per engine."""
    if request.param == "sqlite":
        file = tmp_path / "hub.sqlite"
        shutil.copy(request.getfixturevalue("sqlite_template"), file)
        return f"sqlite:///{file}"
    url: str = request.getfixturevalue("postgresql_url")
    empty(url)
    return url


@pytest.fixture
def open_store(store_url: str) -> Iterator[Callable[[], Store]]:
    """Open further stores on the same database: other processes, other nodes."""
    stores: list[Store] = []

    def open_one() -> Store:
        stores.append(Store(store_url))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    """A store on an empty database, once per engine."""
    return open_store()


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")
