"""The image: its steps are those that a test can run without an engine, and what it ends as is small and confined."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from deploy_tools import tool
from packaging.requirements import Requirement
from stage import serving

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "deploy/container"
CONTAINERFILE = (CONTAINER / "Containerfile").read_text(encoding="utf-8")
_JOINED = re.sub(r"\\\n|^#[^\n]*\n", "", CONTAINERFILE, flags=re.MULTILINE)
#: The instructions of each stage, lines joined, without comments.
STAGES = re.split(r"^FROM [^\n]+\n", _JOINED, flags=re.MULTILINE)[1:]


def said(stage: str, word: str) -> list[str]:
    return re.findall(rf"^{word} (.+)$", stage, re.MULTILINE)


def test_what_is_installed_is_installed_by_the_script_that_tests_run():
    installing, last = STAGES
    assert said(installing, "RUN")[-1] == "sh /dist/install.sh /opt/rathaus-hub"
    assert "--from=installing /opt/rathaus-hub /opt/rathaus-hub" in said(last, "COPY")
    assert "install.sh" not in last


def test_the_image_backs_a_postgresql_database_up_with_the_tools_of_its_base():
    installing, last = STAGES
    assert "postgresql-client" in " ".join(said(installing, "RUN")).split()
    copied = next(words for words in said(last, "COPY") if "postgresql" in words).split()
    assert {each.rpartition("/")[2] for each in copied[1:-1]} == {"pg_dump", "pg_restore"}
    assert copied[-1].rstrip("/") in said(last, "ENV")[0].split()[0].removeprefix("PATH=").split(":")
    assert "libpq5" in " ".join(said(last, "RUN")).split()
    # pg_dump refuses a server that is newer than itself: the composition's is of the base's version.
    composition = (ROOT / "deploy/compose/compose.yaml").read_text(encoding="utf-8")
    assert "image: postgres:${POSTGRES:-15}-bookworm" in composition
    assert "ARG BASE=debian:bookworm-slim" in CONTAINERFILE


def test_everything_that_the_image_copies_is_in_dist(dist):
    copied = [words.split()[0] for stage in STAGES for words in said(stage, "COPY") if not words.startswith("--from")]
    assert all((dist / each).exists() for each in copied)
    assert {"install.sh", "requirements.lock", "Containerfile", "health.py"} <= {each.name for each in dist.iterdir()}


def test_the_last_stage_runs_as_nobody_special_and_builds_nothing():
    last = STAGES[-1]
    assert re.fullmatch(r"[1-9]\d{4}:[1-9]\d{4}", said(last, "USER")[0])
    assert not re.search(r"\b(pip|venv|gcc|build-essential|-dev|git|curl)\b", " ".join(said(last, "RUN")))
    assert "/opt/rathaus-hub/health.py" in said(last, "HEALTHCHECK")[0]
    assert "HUB_ENVIRONMENT=production" in said(last, "ENV")[0]
    labels = said(last, "LABEL")[0]
    for each in ("title", "licenses", "version", "revision", "documentation"):
        assert f"org.opencontainers.image.{each}=" in labels
    # No secret ever comes in while it is built.
    assert "SECRET" not in CONTAINERFILE.upper().replace("/RUN/SECRETS", "")


def test_the_question_for_health_says_what_the_hub_says(stage):
    def asked(*arguments: str) -> int:
        command = [sys.executable, "-I", CONTAINER / "health.py", *arguments]
        return subprocess.run(command, check=False, capture_output=True, timeout=30).returncode

    with serving(stage) as served:
        port = served.base_url.rpartition(":")[2]
        assert (asked(port), asked(port, "ready")) == (0, 0)
    assert asked(port) == 1


def test_the_linter_of_containerfiles_has_nothing_to_say():
    ran = subprocess.run(
        [tool("hadolint"), CONTAINER / "Containerfile"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stdout) == (0, "")


def test_the_bill_of_materials_is_the_lock(tmp_path):
    made = tmp_path / "sbom.json"
    command = ["requirements", "--output-reproducible", "--of", "JSON", "-o", made, ROOT / "requirements.lock"]
    subprocess.run([tool("cyclonedx-py"), *command], check=True, capture_output=True, timeout=60)
    parts = {each["name"]: each for each in json.loads(made.read_text())["components"]}
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line[:1].isalnum()]
    locked = {each.name: str(each.specifier)[2:] for each in (Requirement(line.rstrip(" \\")) for line in lines)}
    assert {name: each["version"] for name, each in parts.items()} == locked
    assert all(each["purl"] == f"pkg:pypi/{name}@{each['version']}" for name, each in parts.items())
