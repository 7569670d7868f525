"""The command line loads a command when it is called, and only what serves or works migrates."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from hub import app
from hub.cli import main
from hub.cli.main import COMMANDS_BY_NAME
from hub.config import load_settings
from hub.errors import ConfigurationError
from hub.store import Store

#: What only some commands need, and costs a second of loading and a hundred megabytes together.
HEAVY = {
    "connexion",
    "starlette",
    "uvicorn",
    "sqlalchemy",
    "lxml",
    "xmlschema",
    "cryptography",
    "jinja2",
    "structlog",
    "hub.app",
}


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_load_nothing_of_the_hub(arguments: list[str]):
    program = (
        "import sys; from hub.cli import main\n"
        "try: main(sys.argv[1:], prog_name='hub')\n"
        "except SystemExit: print('LOADED', *sys.modules)"
    )
    done = subprocess.run(  # our own interpreter
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=100, check=True
    )
    assert not HEAVY & set(done.stdout.rpartition("LOADED")[2].split())


#: By what a process imports at its start: what it must leave alone until something asks for it.
UNUSED = {
    "hub.cli.applications": {"connexion", "starlette", "uvicorn", "sqlalchemy", "xmlschema", "jinja2", "hub.app"},
    "hub.cli.schemas": {"connexion", "starlette", "uvicorn", "sqlalchemy", "hub.app", "hub.store"},
    "hub.cli.connector": {
        "connexion",
        "starlette",
        "uvicorn",
        "sqlalchemy",
        "alembic",
        "jinja2",
        "hub.app",
        "hub.store",
    },
    "hub.cli.servers, hub.app.interfaces, hub.app.starting": {
        *("alembic", "asyncssh", "authlib", "joserfc", "obstore", "opentelemetry", "saxonche", "xmlschema"),
        *("hub.adapter_kit", "hub.connector", "hub.demo", "adapters.sftp", "adapters.s3_drop"),
        *("psycopg", "sqlalchemy.dialects.postgresql", "sqlalchemy.orm"),
    },
}


@pytest.mark.parametrize("started", sorted(UNUSED))
def test_a_process_loads_nothing_that_it_may_never_use(started: str):
    program = f"import sys, {started}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    assert not UNUSED[started] & set(done.stdout.split())


@pytest.mark.parametrize("name", sorted(COMMANDS_BY_NAME))
def test_the_help_says_of_each_command_what_the_command_says_of_itself(name: str):
    command = main.get_command(None, name)  # type: ignore[arg-type]  # it looks at no context
    assert command is not None
    assert command.get_short_help_str(1_000) == COMMANDS_BY_NAME[name][1]


def test_a_name_that_is_no_command_is_wrong_usage():
    assert CliRunner().invoke(main, ["nothing"]).exit_code == 2


def tables_at(data: Path, revision: str) -> Store:
    """Make a hub's folder whose tables are at ``revision``."""
    app.build(load_settings(data, {}, disk_watermark_bytes=0)).close()
    store = Store(load_settings(data, {}).database)
    store.migrate(revision)
    return store


def test_a_command_leaves_older_tables_alone_and_names_the_way(tmp_path: Path):
    store = tables_at(tmp_path, "0004")
    answer = CliRunner().invoke(main, ["dead", "list", "--data", str(tmp_path)])
    assert answer.exit_code == 1
    assert "hub migrate" in answer.output
    assert store.schema_revision() == "0004"
    assert "0004 →" in CliRunner().invoke(main, ["migrate", "--data", str(tmp_path)]).output
    store.ready()
    assert "nothing to do" in CliRunner().invoke(main, ["migrate", "--data", str(tmp_path)]).output
    assert CliRunner().invoke(main, ["dead", "list", "--data", str(tmp_path)]).exit_code == 0
    store.close()


def test_what_serves_brings_older_tables_up_to_its_version(tmp_path: Path):
    store = tables_at(tmp_path, "0004")
    app.build(load_settings(tmp_path, {}, disk_watermark_bytes=0)).close()
    assert store.schema_revision() not in {None, "0004"}
    store.ready()
    store.close()


def test_tables_of_a_newer_version_are_refused_as_such(store_url: str):
    store = Store(store_url)
    known = store.schema_revision()
    # Without the word that they carry this program (tests of migrations have those that do).
    store.settings.set("tables.oldest", "9999")
    _at_revision(store, "9999")
    try:
        with pytest.raises(ConfigurationError, match="9999"):
            store.require_tables()
    finally:
        _at_revision(store, str(known))
        store.close()


def _at_revision(store: Store, revision: str) -> None:
    store.database.write(
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = :it"), {"it": revision})
    )
