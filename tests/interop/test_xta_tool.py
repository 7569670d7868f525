"""The mailbox over XTA emptied by a client that nobody here wrote: xta-tool, as it is published, over TLS with a certificate.

It wants a newer Python than the hub has, so it lives in an environment of its own, kept between runs under ``build/``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from hashlib import sha512
from pathlib import Path
from uuid import UUID

import pytest
from stage import staged
from xta_mailbox import READER, serving_boxes

from hub.model import State, Subject

PIN = "xta-tool==0.9.0"
ENVIRONMENT = Path(__file__).parents[2] / "build" / ".venv-xta"
UNREACHABLE = ("error sending request", "dns error", "Could not connect")

pytestmark = pytest.mark.timeout(300)


def newer_python() -> str | None:
    """Find a Python that the client runs on, beside the one that runs here."""
    homes = sorted(Path.home().glob(".pyenv/versions/3.1[2-9]*/bin/python3"))
    named = (shutil.which(f"python3.{minor}") for minor in (12, 13, 14))
    for each in filter(None, [*map(str, homes), *named]):
        if subprocess.run([each, "-c", "pass"], capture_output=True, check=False).returncode == 0:  # No mere shim.
            return each
    return None


@pytest.fixture(scope="module")
def tool() -> Path:
    """The client's command; its environment is made where it is missing."""
    command, marker = ENVIRONMENT / "bin" / "xta", ENVIRONMENT / "pins"
    if marker.exists() and marker.read_text() == PIN:
        return command
    uv, python = Path(sys.executable).with_name("uv"), newer_python()
    if python is None:
        pytest.skip("no Python 3.12 on this machine")
    for step in (
        [uv, "venv", "-q", "--clear", "--python", python, ENVIRONMENT],
        [uv, "pip", "install", "-q", "--python", ENVIRONMENT / "bin" / "python", PIN],
    ):
        done = subprocess.run(step, capture_output=True, text=True, check=False)
        if done.returncode and any(word in done.stderr for word in UNREACHABLE):
            pytest.skip(f"no package index can be reached to install {PIN}")
        assert done.returncode == 0, done.stderr
    marker.write_text(PIN)
    return command


def test_the_tool_lists_collects_inspects_and_closes(tool, made_once, tmp_path):
    with staged(made_once, tmp_path) as stage, serving_boxes(stage, tmp_path) as box:
        first, second = box.accepted(), box.accepted()
        settings = tmp_path / "settings" / "config.toml"
        settings.parent.mkdir()
        settings.write_text(
            f'base-url = "https://127.0.0.1:{box.port}"\ncertfile = "{box.pair[0]}"\nkeyfile = "{box.pair[1]}"\n'
            f'cafile = "{box.authority.ca_file}"\n[self-identifier]\ntyp = "xoev"\nvalue = "{READER}"\n'
        )

        def run(*words: str | Path) -> str:
            done = subprocess.run(
                [tool, "-c", settings, *words], capture_output=True, text=True, check=False, timeout=60
            )
            assert done.returncode == 0, done.stderr
            return done.stdout

        assert run("ls").split() == [first, second]
        got = tmp_path / "got"
        got.mkdir()
        run("get", first, got)
        submission_id = UUID(first.rpartition(":")[2])
        message = stage.hub.store.submissions.message(submission_id, Subject.SUBMISSION)
        files = {sha512(each.read_bytes()).hexdigest() for each in got.iterdir()}
        assert {sealed.sha512 for _part, sealed in message.contents.parts()} <= files
        assert "status: '0'" in run("inspect", first)
        run("close", first)
        assert run("ls").split() == [second]
        assert stage.hub.store.submissions.message(submission_id, Subject.SUBMISSION).state is State.ACCEPTED
        refused = subprocess.run([tool, "-c", settings, "close", second], capture_output=True, text=True, check=False)
        assert (refused.returncode, "9070" in refused.stderr) == (1, True)
