"""systemd units: each command that serves has one, and they are confined to what the hub needs."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import requests
from end_to_end.processes import free_port, wait_for

from hub.cli.main import main as cli
from hub.config import load_settings

pytestmark = pytest.mark.timeout(600)  # The first test waits until all is built and installed.

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy/systemd"
SERVICES = sorted(UNITS.glob("*.service"))
#: Who says at its start what runs is a process that stays.
_STAYS = {"app.announce", "logs.what_runs"}
#: The showing: it plays all parties in one place and refuses production.
_DEMO = "run"
needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def commands(group: click.Group = cli, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield every command of the command line, with its words."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        words = f"{before} {name}".strip()
        if isinstance(command, click.Group):
            yield from commands(command, words)
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield words, command


def serving() -> list[str]:
    """Return the commands that serve: found in what they do, so that nobody can forget to list one."""
    found = [
        words
        for words, command in commands()
        if any(each.name == "port" for each in command.params) or _reached(command.callback) & _STAYS
    ]
    return [words for words in found if words != _DEMO]


def _reached(function) -> set[str]:
    """Return what a function of the command line calls, by way of others in its module too."""
    tree = ast.parse(inspect.getsource(inspect.getmodule(function)))
    there = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    called, open_ = set(), [function.__name__]
    while open_:
        body = there[open_.pop()].body  # Not what decorates it: a command calls no group that it belongs to.
        for node in (each for statement in body for each in ast.walk(statement)):
            name = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else None
            if name and name not in called:
                called.add(name)
                open_ += [name] * (name in there)
    return called


def parts(file: Path) -> dict[str, list[str]]:
    """Return what a unit says, by name; a name may stand several times."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", file.read_text(encoding="utf-8"), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def started(file: Path) -> list[str]:
    """Return the words behind ``hub`` that a service starts."""
    words = parts(file)["ExecStart"][0].split()
    assert words[0] == "/opt/rathaus-hub/bin/hub"
    return [word for word in words[1:] if word != "--verbose"]


def test_every_command_that_serves_has_a_unit():
    known = serving()
    assert {"serve", "work", "connector run", "portal"} <= set(known)
    begun = [" ".join(started(each)) for each in SERVICES]
    assert [words for words in known if not any(f"{line} ".startswith(f"{words} ") for line in begun)] == []


#: Where the settings of a command that serves are listed, below docs/reference.
SETTINGS_OF = {
    "serve": "settings-hub.md",
    "work": "settings-hub.md",
    "connector run": "settings-connector.md",
    "portal": "settings-portal.md",
}


def test_every_command_that_serves_has_its_settings_and_a_page_of_the_manual():
    known = serving()
    assert [words for words in known if words not in SETTINGS_OF] == []
    assert [page for page in SETTINGS_OF.values() if not (ROOT / "docs/reference" / page).is_file()] == []
    manual = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    # As a command between backticks, or at the beginning of a line to be typed.
    assert [words for words in known if not re.search(rf"(?:`|^|/)hub {words}\b", manual, re.MULTILINE)] == []


def test_what_units_start_are_commands_with_their_options():
    there = dict(commands())
    for file in SERVICES:
        words = started(file)
        name = next(" ".join(words[:cut]) for cut in (2, 1) if " ".join(words[:cut]) in there)
        options = {option for each in there[name].params for option in each.opts}
        assert {word for word in words if word.startswith("--")} <= options, file.name


def test_what_units_set_are_settings_of_production(tmp_path):
    for file in SERVICES:
        given = dict(pair.split("=", 1) for line in parts(file).get("Environment", []) for pair in line.split())
        if not given:
            continue
        assert given.pop("HUB_DATA") == "/var/lib/rathaus-hub", file.name
        settings = load_settings(tmp_path, {**given, "HUB_BASE_URL": "https://hub.example"})
        assert settings.production, file.name


def test_the_accounts_and_folders_of_the_units_are_made():
    accounts = set(re.findall(r"^u (\S+)", (UNITS / "rathaus-hub.sysusers.conf").read_text(), re.MULTILINE))
    folders = {
        path: (mode, owner)
        for path, mode, owner in re.findall(
            r"^d (\S+) (\d+) (\S+)", (UNITS / "rathaus-hub.tmpfiles.conf").read_text(), re.MULTILINE
        )
    }
    for file in SERVICES:
        said = parts(file)
        account = said["User"][0]
        assert account in accounts
        for place in [f"/var/lib/{each}" for each in said["StateDirectory"]] + said.get("ReadWritePaths", []):
            # The hub refuses a folder that others may write into; keys lie there.
            assert folders[place] == ("0700", account), file.name


def test_a_service_has_longer_to_end_than_the_hub_takes():
    from hub.cli import servers

    for file in SERVICES:
        said = parts(file)
        if said["Type"] != ["oneshot"]:
            assert int(said["TimeoutStopSec"][0]) > servers.GRACE


@pytest.fixture(scope="module")
def units(installed_hub, tmp_path_factory) -> list[Path]:
    """The units, with the hub where it is installed for this run: what they start is looked for."""
    folder = tmp_path_factory.mktemp("units")
    for each in [*SERVICES, *UNITS.glob("*.timer")]:
        text = each.read_text(encoding="utf-8").replace("/opt/rathaus-hub/bin/hub", str(installed_hub))
        (folder / each.name).write_text(text, encoding="utf-8")
    return sorted(folder.iterdir())


@needs_systemd
def test_systemd_finds_nothing_wrong_in_the_units(units):
    ran = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *map(str, units)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, [line for line in ran.stderr.splitlines() if "rathaus-hub" in line]) == (0, [])


@needs_systemd
@pytest.mark.parametrize("file", SERVICES, ids=lambda each: each.stem)
def test_a_service_is_exposed_to_little(file):
    # From 0 (shut) to 100; what needs the network and writes somewhere cannot be much below 10.
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(file)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr


def _filter(*names: str) -> set[str]:
    """Return the system calls of a set, those of the sets within it too."""
    found: set[str] = set()
    text = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", *names], check=True, capture_output=True, text=True
    ).stdout
    for line in text.splitlines():
        word = line.strip()
        if line.startswith(" ") and word and not word.startswith("#"):
            found |= _filter(word) if word.startswith("@") else {word}
    return found


@needs_systemd
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_hub_calls_nothing_that_its_unit_forbids(installed_hub, tmp_path):
    allowed: set[str] = set()
    for line in parts(UNITS / "rathaus-hub.service")["SystemCallFilter"]:
        for name in line.lstrip("~").split():
            allowed = allowed - _filter(name) if line.startswith("~") else allowed | _filter(name)
    forbidden = _filter("@known") - allowed
    assert {"chown", "setuid", "mount", "ptrace"} <= forbidden
    if os.geteuid() == 0:
        forbidden -= {"fchown", "chown"}  # SQLite gives its files to their folder's owner, as root alone.
    trace = tmp_path / "trace"
    names = ",".join(f"?{each}" for each in sorted(forbidden))
    # -D: what is started is the hub, and who watches is its child.
    watched = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-e", f"trace={names}", "-o", str(trace)]
    bare = {"PATH": "/usr/bin:/bin"}
    example = next(installed_hub.parents[1].rglob("bauantrag/1.0/examples/good-einfamilienhaus.xml"))
    subprocess.run([*watched, installed_hub, "validate", example], cwd="/", env=bare, check=True, timeout=100)
    port = free_port()
    serve = [installed_hub, "serve", "--processes", "2", "--port", str(port), "--data", tmp_path / "data"]
    log = tmp_path / "hub.log"
    with log.open("wb") as output:
        process = subprocess.Popen([*watched, "-A", *serve], cwd="/", env=bare, stdout=output, stderr=output)
    try:
        wait_for(lambda: requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).ok, log, patience=300)
    finally:
        process.terminate()
        process.wait(timeout=60)
    assert [line for line in trace.read_text().splitlines() if "(" in line] == []
