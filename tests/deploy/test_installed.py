"""What an operator installs from the wheels and the lock is the hub, whole, without a checkout or a tool that builds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from end_to_end.processes import free_port, wait_for
from packaging.requirements import Requirement

import hub

pytestmark = pytest.mark.timeout(600)  # The first test waits until all is built and installed.

ROOT = Path(__file__).parents[2]
#: What an account that runs the hub has in its environment, and nothing of this checkout's.
BARE = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "LANG": "C.UTF-8"}
PLACES = """
import json, sysconfig
from importlib import metadata
import hub, adapters
print(json.dumps({
    "site": sysconfig.get_path("purelib"),
    "hub": [hub.__file__, adapters.__path__[0]],
    "installed": {each.metadata["Name"].lower().replace("_", "-"): each.version for each in metadata.distributions()},
}))
"""


@pytest.fixture(scope="module")
def places(installed_hub) -> dict:
    return json.loads(said(installed_hub.with_name("python"), "-I", "-c", PLACES))


@pytest.fixture(scope="module")
def example(places) -> Path:
    return Path(places["site"]) / "hub/_data/schemas/bauantrag/1.0/examples/good-einfamilienhaus.xml"


def said(program: Path, *arguments: str | Path) -> str:
    ran = subprocess.run(
        [program, *arguments], cwd="/", env=BARE, check=False, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_it_is_what_was_installed_and_no_checkout(installed_hub, places):
    assert said(installed_hub, "--version").split()[-1] == hub.__version__
    assert all(each.startswith(places["site"]) for each in places["hub"])
    assert not str(installed_hub).startswith(str(ROOT))


def test_what_is_installed_is_what_is_locked_and_no_tool_that_builds(places):
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[:1].isalnum()]
    locked = [Requirement(line.rstrip(" \\")) for line in lines]
    wanted = {each.name: str(each.specifier)[2:] for each in locked if each.marker is None or each.marker.evaluate()}
    wanted |= dict.fromkeys(("rathaus-hub", "rathaus-hub-client"), hub.__version__)
    assert places["installed"] == wanted
    assert {"hatchling", "pip", "setuptools"}.isdisjoint(wanted)


def test_everything_is_compiled(places):
    site = Path(places["site"])
    sources = [each for room in ("hub", "adapters", "sqlalchemy", "lxml") for each in (site / room).rglob("*.py")]
    left = [each for each in sources if not list((each.parent / "__pycache__").glob(f"{each.stem}.*.pyc"))]
    assert len(sources) > 300
    assert left == []


def test_it_judges_a_shipped_example_and_a_broken_one(installed_hub, example):
    assert said(installed_hub, "validate", example).startswith("gültig / valid")
    broken = next(example.parent.glob("bad-frist*"))
    ran = subprocess.run([installed_hub, "validate", broken], cwd="/", env=BARE, check=False, capture_output=True)
    assert ran.returncode == 1


@pytest.fixture(scope="module")
def served(installed_hub, tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    port, log = free_port(), folder / "hub.log"
    with log.open("wb") as output:
        command = [installed_hub, "serve", "--data", folder / "data", "--port", str(port), "--processes", "1"]
        process = subprocess.Popen(command, cwd="/", env=BARE, stdout=output, stderr=output)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: process.poll() is not None or requests.get(f"{address}/health/live", timeout=2).ok, log)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=60)
    # The server ends in order, and then by the signal that it was sent.
    assert code in {0, -signal.SIGTERM}, log.read_text()


def test_it_serves_health_contract_pages_and_routes(served):
    assert requests.get(f"{served}/health/ready", timeout=30).json()["status"] == "ok"
    assert requests.get(f"{served}/openapi.json", timeout=30).json()["info"]["version"]
    assert "Rathaus" in requests.get(f"{served}/admin/login", timeout=30).text
    areas = requests.get(f"{served}/hub/v1/areas", params={"q": "Taunusstein"}, timeout=30)
    assert areas.status_code == 200
    assert "Taunusstein" in areas.text


def test_the_databases_password_may_stand_in_a_file_of_its_own(installed_hub, postgresql_url, tmp_path):
    """As composition and chart do it: nothing secret in the environment, libpq reads the file."""
    folder = postgresql_url.partition("host=")[2]
    service = tmp_path / "pg_service.conf"
    service.write_text(f"[hub]\nhost={folder}\nuser=hub\ndbname=postgres\n", encoding="utf-8")
    env = {**BARE, "HUB_DATABASE_URL": "postgresql://?service=hub", "PGSERVICEFILE": str(service)}
    command = [installed_hub, "migrate", "--data", tmp_path]
    ran = subprocess.run(command, cwd="/", env=env, check=False, capture_output=True, text=True, timeout=60)
    assert (ran.returncode, "nichts zu tun" in ran.stdout) == (0, True), ran.stdout + ran.stderr


def test_it_installs_nowhere_where_something_is(dist, installed_hub):
    target = installed_hub.parents[1]
    ran = subprocess.run(
        ["/bin/sh", dist / "install.sh", target], env=os.environ, check=False, capture_output=True, text=True
    )
    assert ran.returncode == 2
    assert "gibt es schon" in ran.stderr
    assert installed_hub.exists()
