"""The walk that a newcomer sees: real processes, real HTTP, from an empty folder to "accepted"."""

from __future__ import annotations

import json
import subprocess

import pytest
from processes import HUB, free_port


@pytest.mark.timeout(260)
def test_the_demo_ends_well_and_shows_every_step(tmp_path):
    data = tmp_path / "data"
    command = [*HUB, "run", "--once", "--data", str(data), "--port", str(free_port())]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for step in ("accepted", "validated", "routed", "sealed", "delivered", "opened", "acknowledged", "proven"):
        # Two at the plain door, and one by the portal's form, of which the walk shows less.
        count = 3 if step in {"routed", "opened", "proven"} else 2
        assert shown.stdout.count(f" {step} ") == count, step
    assert "dog tax in Wiesbaden, by the portal's form" in shown.stdout
    assert "citizens' portal: http://127.0.0.1:" in shown.stdout
    assert "✗" not in shown.stdout
    assert shown.stdout.count("1 Anlage(n) / attachment(s)") == 3
    assert "invalid-payload" in shown.stdout
    assert "Adapter https" in shown.stdout
    assert "Adapter mailbox" in shown.stdout
    cast = data / "demo.json"
    assert cast.stat().st_mode & 0o777 == 0o600
    document = json.loads(cast.read_text())
    parties = {"sender", "subscriber", "portal", "destinations", "reserved_for_tests", "authorities"}
    assert {"base_url", "token_url", *parties} == set(document)
    wanted = {"destination_id", "name", "ars", "services", "schema_uris", "adapter"}
    assert all(
        set(each) == wanted | {"private_decryption_jwk", "private_signing_jwk"} for each in document["destinations"]
    )
    assert {each["adapter"] for each in document["destinations"]} >= {"https", "mailbox"}
    reserved = document["reserved_for_tests"]
    assert set(reserved) == wanted | {"private_decryption_jwk", "private_signing_jwk", "subscriber"}
    assert set(document["portal"]) == set(document["sender"])
    assert "hub portal" in (data / "demo" / "portal.log").read_text()
    assert reserved["destination_id"] not in (data / "demo" / "connector.toml").read_text()


def test_production_refuses_the_demo(tmp_path):
    command = [*HUB, "run", "--once", "--data", str(tmp_path)]
    env = {"HUB_ENVIRONMENT": "production", "HUB_BASE_URL": "https://hub.example.org", "PATH": ""}
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=env)
    assert shown.returncode == 1
    assert "production" in shown.stderr
    assert "Traceback" not in shown.stderr
