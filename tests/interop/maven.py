"""Artifacts of Maven's repository by name, for the tests that need some; skipped where they cannot be had."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hub.validation.xerces import local_repository

NOT_HAD = re.compile(
    r"Could not find artifact|was not found in|Unknown host|Network is unreachable|Connection refused|Blocked"
)


def copied(artifact: str, folder: Path) -> None:
    """Copy an artifact (``group:artifact:version[:jar:classifier]``) into a folder; skip where Maven or it cannot be had.

    What the local repository has already is taken from there: Maven takes seconds to begin.
    """
    group, name, version, *classifier = artifact.split(":")
    file = "-".join([name, version, *classifier[1:]]) + ".jar"
    known = local_repository() / Path(*group.split(".")) / name / version / file
    if known.is_file():
        shutil.copyfile(known, folder / file)
        return
    if not shutil.which("mvn"):
        pytest.skip("no Maven on this machine")
    done = subprocess.run(
        ["mvn", "-B", "-q", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy", f"-Dartifact={artifact}",
         f"-DoutputDirectory={folder}"],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    if done.returncode and NOT_HAD.search(done.stdout):
        pytest.skip(f"{artifact} cannot be had from the repository")
    assert done.returncode == 0, done.stdout[-2000:]
