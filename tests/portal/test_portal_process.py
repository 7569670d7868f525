"""``hub portal`` as an operator has it: what it says at its start, how it ends, and what it refuses."""

from __future__ import annotations

import json
import signal
import socket
import subprocess

import pytest
import requests
from end_to_end.processes import HUB, free_port, wait_for


@pytest.fixture
def settings(tmp_path):
    """Write a settings file for a port; the hub behind it need not be there."""
    secret = tmp_path / "secret"
    secret.write_text("canary-4711")
    secret.chmod(0o600)

    def written(port, **top):
        lines = [f"{name} = {json.dumps(value)}" for name, value in top.items()]
        lines += ["[hub]", f'base_url = "http://127.0.0.1:{free_port()}"', 'client_id = "portal"']
        lines += ['client_secret_file = "secret"', "[serve]", f"port = {port}"]
        file = tmp_path / "portal.toml"
        file.write_text("\n".join(lines))
        return file

    return written


def test_it_says_what_runs_serves_and_ends_in_order(settings, tmp_path):
    port, log = free_port(), tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*HUB, "portal", "--config", str(settings(port))], stdout=output, stderr=output)
    try:
        wait_for(lambda: requests.get(f"http://127.0.0.1:{port}/healthz", timeout=5).ok, log)
        answer = requests.get(f"http://127.0.0.1:{port}/leistungen", timeout=30)
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    said = log.read_text()
    assert "Rathaus-Hub: hub portal, version" in said
    assert f"http://127.0.0.1:{port}" in said
    assert "Entwicklungsmodus" in said
    assert "Traceback" not in said
    assert "canary-4711" not in said


def run(*arguments):
    return subprocess.run([*HUB, "portal", *arguments], capture_output=True, text=True, timeout=100, check=False)


def test_what_it_cannot_use_or_have_ends_it_with_the_promised_code(settings, tmp_path):
    missing = run("--config", str(tmp_path / "none.toml"))
    assert (missing.returncode, "--config" in missing.stderr) == (1, True)
    wrong = run("--config", str(settings(1, environment="loud", pasword="x")))
    assert wrong.returncode == 1
    assert "environment" in wrong.stderr
    assert "pasword" in wrong.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = run("--config", str(settings(taken.getsockname()[1])))
    assert (busy.returncode, "Another process listens" in busy.stderr) == (3, True)
