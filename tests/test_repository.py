"""The repository checks its own words."""

from __future__ import annotations

import ast
import dataclasses
import re
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import hub
from hub.config import Settings

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def test_the_version_is_the_newest_entry_of_the_changelog():
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest.group(1) == hub.__version__


def test_every_adapter_is_documented_and_proves_its_contract():
    names = {entry.name: entry.value for entry in entry_points(group="hub.adapters")}
    assert names
    for name, value in names.items():
        assert f"`{name}`" in README
        source = (ROOT / value.partition(":")[0].replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
        assert re.search(r"^_: type\[Adapter\] = \w+\n?\Z", source, re.MULTILINE), name


def test_every_setting_says_what_it_is_for():
    source = (ROOT / "hub/config.py").read_text(encoding="utf-8")
    before = dict(re.findall(r"(#: [^\n]+)\n    (\w+):", source))
    distinct = set(before.values())
    undocumented = [field.name for field in dataclasses.fields(Settings) if field.name not in distinct]
    # Neighbours that share one sentence stand directly below it.
    assert set(undocumented) <= {
        "port",
        "finished_seconds",
        "uncollected_seconds",
        "case_seconds",
        "give_up_seconds",
        "retry_longest_seconds",
    }


def test_every_decision_has_context_and_reason():
    decisions = CONTRIBUTING.partition("## Decisions")[2]
    assert decisions.count("### ") >= 5


def test_lock_files_hold_hashes_and_no_addresses():
    for lock in (ROOT / "requirements.lock", ROOT / "tests/requirements.lock"):
        text = lock.read_text(encoding="utf-8")
        assert "--hash=sha256:" in text
        assert "://" not in text


def test_what_runs_is_what_is_pinned():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8").lower()
    names = {re.split(r"[\[<>=;~ ]", requirement)[0].lower() for requirement in wanted}
    names.remove(
        "rathaus-hub-client"
    )  # Comes from this repository, in this very version (tests/client/test_wheels.py).
    assert [name for name in names if not re.search(rf"^{re.escape(name)}==", locked, re.MULTILINE)] == []


def test_a_newcomer_sees_few_names():
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    ignored = {"data", "build", "dist", "node_modules"}
    assert len(visible - ignored) <= 19


def test_every_place_that_the_papers_name_is_there():
    for paper in (README, CONTRIBUTING):
        linked = [target for target in re.findall(r"\]\(([^)#]+)\)", paper) if "://" not in target]
        named = re.findall(r"`((?:hub|adapters|tests|schemas|routing_rules|certs|benchmarks)/[\w./-]+)`", paper)
        assert [place for place in linked + named if not (ROOT / place).exists()] == []


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
    "hub/observability/tracing.py": "sends traces to the operator's collector",
    "hub/app/starting.py": "listens",
    "hub/config.py": "asks for the machine's name",
}
#: Other programs than the hub, and the showing: the municipal side calls its one hub, demo and trials play the parties.
_OTHERS = ("hub/connector/", "hub/demo/", "hub/adapter_kit/")


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
