"""The repository checks its own words."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import click

import hub
from hub.cli.main import main as cli
from hub.config import DECLARED, Settings
from hub.connector.declarations import DECLARED as CONNECTORS
from hub.portal.settings import DECLARED as PORTALS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
ADAPTERS = (ROOT / "docs/reference/adapters.md").read_text(encoding="utf-8")
#: The manual, page by page.
MANUAL = {path.name: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").rglob("*.md"))}


def test_the_version_is_the_newest_entry_of_the_changelog():
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest.group(1) == hub.__version__


def test_every_adapter_is_documented_and_proves_its_contract():
    names = {entry.name: entry.value for entry in entry_points(group="hub.adapters")}
    assert names
    for name, value in names.items():
        assert f"`{name}`" in ADAPTERS
        source = (ROOT / value.partition(":")[0].replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        assert re.search(r"^_: type\[Adapter\] = \w+\n?\Z", source, re.MULTILINE), name


def test_every_setting_says_what_it_is_for():
    declared = {each.name: each.text for each in (*DECLARED, *CONNECTORS, *PORTALS)}
    assert {field.name for field in dataclasses.fields(Settings)} - set(declared) == {"data"}
    assert [name for name, text in declared.items() if not (text.de and text.en)] == []
    assert len({text.de for text in declared.values()}) == len(declared)


def test_every_decision_has_context_and_reason_on_half_a_page():
    decisions = re.search(r"^## Decisions\n(.*?)^## ", CONTRIBUTING, re.DOTALL | re.MULTILINE)[1].split("\n### ")[1:]
    marks = ("*Context.*", "*Decision.*", "*Consequence.*")
    assert len(decisions) >= 5
    assert [each.splitlines()[0] for each in decisions if not all(each.count(mark) == 1 for mark in marks)] == []
    assert {each.splitlines()[0]: len(each.split()) for each in decisions if len(each.split()) > 275} == {}


def test_sixty_lines_lead_a_newcomer_to_a_first_change():
    start = "\n".join(CONTRIBUTING.splitlines()[:60])
    assert re.findall(r"^## (.*)", start, re.MULTILINE)[:4] == [
        "Set up",
        "Layout",
        "A first change",
        "Follow one submission with a finger",
    ]
    finger = re.search(r"^## Follow one submission with a finger\n(.*?)^## ", CONTRIBUTING, re.DOTALL | re.MULTILINE)[1]
    assert 1 <= len(set(re.findall(r"`((?:hub|adapters)/[\w/]+\.py)`", finger))) <= 8
    assert finger in start


def test_the_table_of_contents_leads_to_every_chapter_and_decision():
    headings = re.findall(r"^##+ (.*)", re.sub(r"```.*?```", "", CONTRIBUTING, flags=re.DOTALL), re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings]
    assert sorted(anchors) == sorted(set(anchors))
    linked = re.findall(r"\]\(#([^)]+)\)", CONTRIBUTING)
    assert set(linked) <= set(anchors)
    assert set(anchors) - set(linked) == {
        "set-up",
        "a-first-change",
        "follow-one-submission-with-a-finger",
    }


def test_what_the_papers_name_in_a_file_is_defined_in_it():
    pairs = re.compile(r"`((?:hub|adapters|tests)/[\w/]+\.py)`,? ((?:`[\w.]+`(?:, )?)+)")
    named = [
        (path, name)
        for path, names in pairs.findall(CONTRIBUTING + README)
        for name in re.findall(r"`([\w.]+)`", names)
    ]
    assert len(named) > 40
    assert [f"{path} {name}" for path, name in named if name not in _defined(ROOT / path)] == []


def _defined(path: Path) -> set[str]:
    """Return the names of a file's functions, classes, methods, fields and constants; a method's is ``Class.method``."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found.update(each.id for each in targets if isinstance(each, ast.Name))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            members = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
            fields = [each.target for each in node.body if isinstance(each, ast.AnnAssign)]
            names = [each.name for each in members] + [each.id for each in fields if isinstance(each, ast.Name)]
            found.update(f"{node.name}.{each}" for each in names)
    return found


def test_the_methods_that_the_walks_name_are_there():
    sources = [path for place in ("hub", "adapters") for path in (ROOT / place).rglob("*.py")]
    known = set().union(*map(_defined, sources))
    assert set(re.findall(r"`([A-Z]\w+\.(?!md\b|pem\b)[a-z_]\w*)`", CONTRIBUTING)) <= known


def test_every_command_that_the_papers_name_is_one():
    wrong = []
    for paper in (README, CONTRIBUTING, *MANUAL.values()):
        blocks = "\n".join(re.findall(r"```.*?```", paper, re.DOTALL))
        inline = re.findall(r"`hub ([a-z][^`]*)`", re.sub(r"```.*?```", "", paper, flags=re.DOTALL))
        wrong += [
            said for said in inline + re.findall(r"^hub ([a-z][^\n#]*)", blocks, re.MULTILINE) if not _is_command(said)
        ]
    assert wrong == []


def _is_command(said: str) -> bool:
    """Say whether commands and options are there; what stands behind a command is its arguments."""
    command, words = cli, said.split()
    while isinstance(command, click.Group) and words:
        if command.invoke_without_command and words[0].startswith("-"):
            break  # A command that has others below it: what follows are its own options.
        below = command.get_command(click.Context(command), words[0])
        if below is None:
            return False
        command, words = below, words[1:]
    options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    return set(re.findall(r"(?<!\S)--[a-z-]+", " ".join(words))) <= options


#: What opens connections, or can, of the language and of what is installed (the database's driver has a contract of its own).
_DIALLERS = frozenset(
    [
        "aiohttp",
        "asyncssh",
        "boto3",
        "ftplib",
        "http.client",
        "httpx",
        "imaplib",
        "obstore",
        "opentelemetry.exporter",
        "paramiko",
        "poplib",
        "requests",
        "smtplib",
        "socket",
        "telnetlib",
        "urllib.request",
        "urllib3",
        "websockets",
        "xmlrpc",
    ]
)
#: Who may, and what for.
_MAY_DIAL = {
    "hub/transport/connection.py": "the one dialler",
    "hub/transport/http.py": "speaks on what was dialled",
    "hub/transport/smtp.py": "speaks on what was dialled",
    "hub/transport/sftp.py": "speaks on what was dialled",
    "hub/transport/relay.py": "listens on loopback and is given what was dialled",
    "hub/store/blobs/s3.py": "its client goes by the relay",
    "adapters/s3_drop.py": "its client goes by the relay",
    "hub/client/transport.py": "how a client goes out that lives outside the hub; see below",
    "hub/scanning/scanner.py": "a unix socket of this machine; hosts by the dialler that it is handed",
    "hub/observability/tracing.py": "sends traces to the operator's collector",
    "hub/web/listening.py": "listens",
    "hub/web/protocol.py": "takes connections",
    "hub/config/serving.py": "asks for the machine's name",
}
#: Other programs than the hub, and the showing: municipal side, portal and a sender's commands call their one hub, demo and
#: trials play the parties.
_OTHERS = ("hub/cli/cases.py", "hub/connector/", "hub/portal/", "hub/demo/", "hub/adapter_kit/")


def test_nobody_but_the_dialler_and_who_goes_by_it_can_open_connections():
    sources = {
        path.relative_to(ROOT).as_posix(): path
        for place in ("hub", "adapters")
        for path in (ROOT / place).rglob("*.py")
    }
    able = {name for name, path in sources.items() if not name.startswith(_OTHERS) and _DIALLERS & _named(path)}
    assert able == set(_MAY_DIAL)


def test_the_hub_itself_does_not_go_by_the_clients_own_way_out():
    own = re.compile(r"hub\.client\.(?:transport|session) import [^\n]*\b(?:Direct|log_in)\b")
    sources = [path for place in ("hub", "adapters") for path in (ROOT / place).rglob("*.py")]
    able = {path.relative_to(ROOT).as_posix() for path in sources if own.search(path.read_text(encoding="utf-8"))}
    assert {name for name in able if not name.startswith((*_OTHERS, "hub/client/"))} == set()


def _named(path: Path) -> set[str]:
    """Return the modules that a file imports, wherever in it, and those that they lie in; asyncio's dialling as ``socket``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.update({node.module, *(f"{node.module}.{each.name}" for each in node.names)})
        elif isinstance(node, ast.Attribute) and node.attr in {"open_connection", "create_connection"}:
            found.add("socket")
    return {name.rsplit(".", cut)[0] for name in found for cut in range(name.count(".") + 1)}


def test_the_drawn_floors_are_those_that_are_enforced():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    floors = [floor.replace(" | ", " · ") for floor in contracts[0]["layers"]]
    drawn = re.search(r"## Layout.*?```text\n(.*?)```", CONTRIBUTING, re.DOTALL)[1].splitlines()
    assert [re.split(r"\s{2,}", line.strip())[0] for line in drawn] == floors


#: What fails by itself when something is not as it should be.
JUDGES = frozenset({"assert", "raise", "raises", "fail", "warns", "validate"})


def _judged_by(node: ast.AST) -> set[str]:
    """Return what may fail in a piece of code because of what was found: its own words, and what it calls, by name."""
    called = {ast.unparse(each.func).rpartition(".")[2] for each in ast.walk(node) if isinstance(each, ast.Call)}
    words = {type(each).__name__.lower() for each in ast.walk(node) if isinstance(each, ast.Assert | ast.Raise)}
    return called | words


def test_no_test_asserts_nothing():
    tests, helping = {}, {}
    for file in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                tests[f"{file.name}:{node.lineno} {node.name}"] = _judged_by(node)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                helping.setdefault(node.name, set()).update(_judged_by(node))
    known = set(JUDGES)
    while more := {name for name, by in helping.items() if name not in known and by & known}:
        known |= more
    assert len(tests) > 2_000
    assert [name for name, by in tests.items() if not by & known] == []
