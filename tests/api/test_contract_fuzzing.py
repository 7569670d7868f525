"""schemathesis against the running hub: whatever the contract allows and forbids, no 5xx and no undeclared answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from api_people import open_office
from stage import serving, staged

TESTS = Path(__file__).parents[1]
#: Bounded: this many generated requests for each operation and party, and seconds for all of them together.
EXAMPLES, SECONDS = "4", 240
#: Of the cases that schemathesis derives from the contract's bounds, ``MOST`` of each 12th operation; by ``make fuzz`` all.
EVERY, MOST, ALL = 12, "60", bool(os.environ.get("FUZZ_ALL"))
#: Their bodies are so deep that deriving the cases takes minutes: ``make fuzz`` has them.
DEEP = re.compile(r"destinations\.(create|patch|replace|change)$")
pytestmark = pytest.mark.timeout(SECONDS + 60)
ADMINISTRATION = "^/hub/v1/(routes|clients|destinations)"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def running(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("fuzz")) as stage, serving(stage) as served:
        yield served


@pytest.mark.parametrize("party", ["sender", "subscriber"])
def test_no_generated_request_breaks_the_hub_or_its_contract(running, party, tmp_path):
    assert fuzzed(running, running.token(party), tmp_path) > 200


@pytest.mark.timeout(0 if ALL else 120)
def test_no_case_of_the_contracts_bounds_breaks_the_hub(running, tmp_path):
    """Each boundary, missing part and wrong type that schemathesis derives from the contract, of the operations chosen."""
    operations = re.findall(r"^      operationId: (\S+)$", (TESTS.parent / "openapi.yaml").read_text(), re.MULTILINE)
    some = operations if ALL else [each for each in operations if not DEEP.search(each)][::EVERY]
    chosen = [word for each in some for word in ("--include-operation-id", each)]
    most = {} if ALL else {"FUZZ_MOST": MOST}
    phase = {"phases": "coverage", "checks": "not_a_server_error", "seconds": None if ALL else 100, "env": most}
    assert fuzzed(running, running.token("sender"), tmp_path, *chosen, **phase) > 100


def test_no_generated_request_of_an_administrator_breaks_the_hub_or_its_contract(running, tmp_path):
    """Somebody who may do everything: what is refused is refused by the contract or by the hub's rules, never by a crash.

    It comes last: it may disable who else would send.
    """
    office = open_office(running)
    token = office.log_in("berta").json()["access_token"]
    assert fuzzed(running, token, tmp_path, "--include-path-regex", ADMINISTRATION) > 100


def fuzzed(running, token, tmp_path, *more, phases="examples,fuzzing", checks=CHECKS, seconds=SECONDS, env=None):
    """Run schemathesis, require that nothing broke, and return how many requests it made."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(TESTS.parent / "openapi.yaml")),
        *("--url", running.base_url, "-H", f"Authorization: Bearer {token}"),
        *("--phases", phases, "--max-examples", EXAMPLES, "--seed", "1", "--no-color"),
        *("--checks", checks, "--request-timeout", "20"),
        *more,
    ]
    ours = {"SCHEMATHESIS_HOOKS": "fuzzing_hooks", "PYTHONPATH": str(TESTS), "PYTHONWARNINGS": "ignore", **(env or {})}
    around = {"env": {**os.environ, **ours}, "cwd": tmp_path, "timeout": seconds}
    shown = subprocess.run(command, capture_output=True, text=True, check=False, **around)
    failures = [line[:300] for line in shown.stdout.partition("FAILURES")[2].splitlines()]
    assert shown.returncode == 0, "\n".join(failures[:80]) + shown.stderr[-2000:]
    cases = re.search(r"(\d+) generated, (\d+) passed", shown.stdout)
    assert cases is not None
    assert int(cases.group(1)) == int(cases.group(2))
    return int(cases.group(1))
