"""schemathesis against the running hub: whatever the contract allows and forbids, no 5xx and no undeclared answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from stage import serving, staged

TESTS = Path(__file__).parent
#: Bounded: this many generated requests for each operation and party, and seconds for all of them together.
EXAMPLES, SECONDS = "4", 240
pytestmark = pytest.mark.timeout(SECONDS + 60)
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.fixture(scope="module")
def running(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("fuzz")) as stage, serving(stage) as served:
        yield served


@pytest.mark.parametrize("party", ["sender", "subscriber"])
def test_no_generated_request_breaks_the_hub_or_its_contract(running, party, tmp_path):
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", str(TESTS.parent / "openapi.yaml")),
        *("--url", running.base_url, "-H", f"Authorization: Bearer {running.token(party)}"),
        *("--phases", "examples,fuzzing", "--max-examples", EXAMPLES, "--seed", "1", "--no-color"),
        *("--checks", CHECKS, "--request-timeout", "20"),
    ]
    env = {**os.environ, "SCHEMATHESIS_HOOKS": "fuzzing_hooks", "PYTHONPATH": str(TESTS), "PYTHONWARNINGS": "ignore"}
    shown = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False, env=env, cwd=tmp_path)
    failures = [line[:300] for line in shown.stdout.partition("FAILURES")[2].splitlines()]
    assert shown.returncode == 0, "\n".join(failures[:80]) + shown.stderr[-2000:]
    cases = re.search(r"(\d+) generated, (\d+) passed", shown.stdout)
    assert cases is not None
    assert int(cases.group(1)) == int(cases.group(2)) > 200
