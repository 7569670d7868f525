"""What every command promises: 0 done, 1 refused, 2 wrong usage, 3 not available now."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import click
import pytest
from click.testing import CliRunner
from mail_server import free_port

from hub.cli import main
from hub.cli.main import COMMANDS_BY_NAME
from hub.store import Store

#: The demo, which makes keys first, and the doctor, which has a test of its own.
_ELSEWHERE = {"doctor", "run"}
#: What is typed where a command asks: a password twice, and a yes.
_TYPED = {"destinations decommission": "y\n"}
_PASSWORD = "a-password-of-some-length\n" * 2
_VALUES = {"uuid": lambda: str(uuid4()), "integer": lambda: "1", "text": lambda: "x", "integer range": lambda: "1"}


def commands(group=main, path=()):
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


def value(parameter, tmp_path: Path) -> str:
    kind = parameter.type
    if isinstance(kind, click.Choice):
        return str(kind.choices[0])
    if isinstance(kind, click.Path):
        if not kind.file_okay:
            folder = tmp_path / "empty"
            folder.mkdir(exist_ok=True)
            return str(folder)
        file = tmp_path / "file"
        file.write_text("{}")
        file.chmod(0o600)
        return str(file)
    return _VALUES.get(kind.name, lambda: "x")()


def test_with_a_database_that_is_away_every_command_that_needs_it_exits_3_and_names_it(tmp_path, monkeypatch):
    port = free_port()
    monkeypatch.setenv("HUB_PROCESSES", "1")  # No child of this one.
    monkeypatch.setenv("HUB_DATABASE_URL", f"postgresql://hub@127.0.0.1:{port}/hub")
    opened, genuine = [], Store.__init__

    def noting(self, url, *args, **kwargs):
        opened.append(url)
        genuine(self, url, *args, **kwargs)

    monkeypatch.setattr(Store, "__init__", noting)
    walked, wrong = 0, {}
    for path, command in commands():
        name = " ".join(path)
        if name in _ELSEWHERE:
            continue
        data = tmp_path / "data"
        (data / "pki").mkdir(parents=True, exist_ok=True)
        given = [*path]
        for each in command.params:
            if each.name == "data":
                given += ["--data", str(data)]
            elif isinstance(each, click.Argument) and (each.required or each.nargs == -1):
                given.append(value(each, tmp_path))
            elif each.required:
                given += [each.opts[0], value(each, tmp_path)]
        if "--data" not in given:
            continue
        opened.clear()
        ran = CliRunner().invoke(main, given, input=_TYPED.get(name, _PASSWORD))
        walked += bool(opened)
        if opened and (ran.exit_code != 3 or f"127.0.0.1:{port}" not in ran.output or "Traceback" in ran.output):
            wrong[name] = (ran.exit_code, ran.output[-300:], ran.exception)
    assert walked > 40
    assert wrong == {}


def test_wrong_usage_exits_2_everywhere():
    for name in COMMANDS_BY_NAME:
        assert CliRunner().invoke(main, [name, "--no-such-option"]).exit_code == 2, name


@pytest.mark.parametrize("name", sorted(COMMANDS_BY_NAME))
def test_help_exits_0(name):
    assert CliRunner().invoke(main, [name, "--help"]).exit_code == 0
