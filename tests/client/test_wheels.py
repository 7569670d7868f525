"""Two distributions of one package: together everything, nothing twice, and the client stands alone."""

from __future__ import annotations

import email
import json
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import hub

ROOT = Path(__file__).parents[2]
SERVER, CLIENT = "rathaus-hub", "rathaus-hub-client"
#: Rooms that a client has no use for.
OF_THE_SERVER = {
    *(
        "admin",
        "administration",
        "api",
        "app",
        "areas",
        "cli",
        "connector",
        "delivery",
        "demo",
        "fit_connect",
        "identity",
    ),
    *("intake", "jobs", "notifications", "observability", "proof", "routing", "store", "transport", "validation"),
}
IMPORT_ALL = """
import importlib, json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import hub.client
for found in pkgutil.iter_modules(hub.client.__path__):
    importlib.import_module(f"hub.client.{found.name}")
assert hub.__file__.startswith(sys.argv[1]), hub.__file__
print(json.dumps(sorted(sys.modules)))
"""


@pytest.fixture(scope="module")
def wheels(dist) -> dict[str, Path]:
    """Both distributions, built without any network from what is checked out."""
    return {name: next(dist.glob(f"{name.replace('-', '_')}-*.whl")) for name in (SERVER, CLIENT)}


def files(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def facts(wheel: Path) -> email.message.Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def requirements(wheel: Path) -> list[Requirement]:
    found = [Requirement(line) for line in facts(wheel).get_all("Requires-Dist", [])]
    return [each for each in found if each.marker is None or each.marker.evaluate({"extra": ""})]


def test_no_file_is_in_both_and_none_is_left_out(wheels):
    server, client = files(wheels[SERVER]), files(wheels[CLIENT])
    assert server & client == set()
    tracked = {
        path.relative_to(ROOT).as_posix() for room in ("hub", "adapters") for path in (ROOT / room).rglob("*.py")
    }
    assert tracked - server - client == set()
    assert "hub/py.typed" in client


def test_what_they_ask_for_is_what_there_is(wheels):
    versions = {name: facts(wheel)["Version"] for name, wheel in wheels.items()}
    assert versions == {SERVER: hub.__version__, CLIENT: hub.__version__}
    assert f"{CLIENT}=={hub.__version__}" in {str(each) for each in requirements(wheels[SERVER])}
    for each in [one for wheel in wheels.values() for one in requirements(wheel)]:
        installed = versions.get(each.name) or metadata.version(each.name)
        assert each.specifier.contains(installed), str(each)


def test_the_client_alone_imports_and_knows_no_room_of_the_server(wheels, tmp_path):
    with zipfile.ZipFile(wheels[CLIENT]) as archive:
        archive.extractall(tmp_path)
    for name in closure(requirements(wheels[CLIENT])):
        lend(metadata.distribution(name), tmp_path)
    # Isolated and without site: neither the working folder nor this environment's packages are looked at.
    command = [sys.executable, "-I", "-S", "-c", IMPORT_ALL, str(tmp_path)]
    ran = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    loaded = set(json.loads(ran.stdout))
    assert {name.split(".")[1] for name in loaded if name.startswith("hub.")} & OF_THE_SERVER == set()
    assert "requests" not in loaded


def closure(wanted: list[Requirement]) -> set[str]:
    names: set[str] = set()
    while wanted:
        each = wanted.pop()
        if each.name not in names and (each.marker is None or each.marker.evaluate({"extra": ""})):
            names.add(each.name)
            wanted += [Requirement(line) for line in metadata.requires(each.name) or []]
    return names


def lend(distribution: metadata.Distribution, folder: Path) -> None:
    """Show the top-level places of an installed distribution in ``folder``."""
    for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in {"..", "__pycache__"}}:
        if not (folder / top).exists():
            (folder / top).symlink_to(distribution.locate_file(top))
