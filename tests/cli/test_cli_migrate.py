"""``hub migrate``: what is to be done is told apart by its exit code, and nothing is made by asking."""

from __future__ import annotations

import shutil

from click.testing import CliRunner

from hub.cli import main
from hub.model import EVERYTHING
from hub.store import Store, migration


def migrate(data, *options: str) -> tuple[int, str]:
    ended = CliRunner().invoke(main, ["migrate", *options, "--data", str(data)])
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return ended.exit_code, ended.output


def test_asking_tells_what_is_to_be_done_and_makes_nothing(sqlite_template, tmp_path, monkeypatch):
    data = tmp_path / "data"
    assert migrate(data, "--check")[0] == 1
    assert not data.exists()
    data.mkdir()
    shutil.copy(sqlite_template, data / "hub.sqlite")
    head = migration.head_revision()
    assert migrate(data, "--check") == (0, f"Stand {head}, nichts zu tun / {head}, nothing to do.\n")

    assert migrate(data, "--to", "0011")[0] == 0
    code, said = migrate(data, "--check")
    assert (code, "0012  adapter changes" in said, f"{head}  " in said, "0011  " in said) == (1, True, True, False)
    assert migrate(data) == (0, f"0011 → {head}\n")
    store = Store(f"sqlite:///{data / 'hub.sqlite'}")
    moves = [each.entry for each in store.audit.entries(action="tables.move", scope=EVERYTHING).items]
    assert [(each.before["revision"], each.after["revision"]) for each in moves] == [(head, "0011"), ("0011", head)]
    assert all(each.actor.startswith("cli:") for each in moves)
    store.close()

    assert migrate(data, "--to", "9999")[0] == 1
    monkeypatch.setenv("HUB_DATABASE_URL", "postgresql://hub@127.0.0.1:1/hub")
    assert migrate(data, "--check")[0] == 3
