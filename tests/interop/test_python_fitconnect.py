"""The two public Python clients, unmodified, against a running hub (API v1).

They pin old libraries, so they live in a virtual environment of their own, kept between runs under ``build/``. Facts:
FIT-Connect's wire, sections 16.1, 16.2 and appendix C.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from event_log_verifier import EventLogVerifier
from running_hub import ANSWER_LIMIT, Offer, RunningHub, good_example

PINS = ("fitconnect==0.4.2", "fitconnect_client==0.1.3")
SCRIPTS = Path(__file__).with_name("python_clients")
ENVIRONMENT = Path(__file__).parents[2] / "build" / ".venv-interop"
#: What an installer says when no package index can be reached at all, as opposed to any other failure.
UNREACHABLE = ("error sending request", "dns error", "Could not connect", "Temporary failure in name resolution")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def python() -> Path:
    """Give the interpreter of the clients' own environment; make it where it is missing."""
    interpreter = ENVIRONMENT / "bin" / "python"
    marker = ENVIRONMENT / "pins"
    if marker.exists() and marker.read_text() == "\n".join(PINS):
        return interpreter
    uv = Path(sys.executable).with_name("uv")
    make: list[list[Path | str]]
    if uv.exists():
        make = [
            [uv, "venv", "-q", "--clear", ENVIRONMENT],
            [uv, "pip", "install", "-q", "--python", interpreter, *PINS],
        ]
    else:
        make = [[Path(sys.executable), "-m", "venv", ENVIRONMENT], [interpreter, "-m", "pip", "install", "-q", *PINS]]
    for command in make:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and any(word in done.stderr for word in UNREACHABLE):
            pytest.skip(f"no package index can be reached to install {' and '.join(PINS)}")
        assert done.returncode == 0, done.stderr
    marker.write_text("\n".join(PINS))
    return interpreter


@pytest.fixture(scope="module")
def offer(hub: RunningHub) -> Offer:
    return hub.offer("application/json")


def _plan(hub: RunningHub, offer: Offer) -> dict[str, Any]:
    return {
        "base_url": hub.base_url,
        "token_url": hub.token_url,
        "sender": hub.credentials("sender"),
        "subscriber": hub.credentials("subscriber"),
        "destination_id": offer.destination_id,
        "name": offer.name,
        "service": offer.service,
        "schema_uri": offer.schema_uri,
        "private_decryption_jwk": offer.decryption_key,
    }


def _run(python: Path, script: str, plan: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, SCRIPTS / script], input=json.dumps(plan), capture_output=True, text=True, check=False, timeout=120
    )


def _result(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def test_the_client_says_in_its_own_words_that_a_secret_is_wrong(hub: RunningHub, offer: Offer, python: Path) -> None:
    plan = _plan(hub, offer)
    plan["sender"]["client_secret"] += "x"
    done = _run(python, "send_and_collect.py", plan)
    assert "Missing or invalid client authentication" in done.stderr


def test_the_client_says_in_its_own_words_that_a_destination_is_unknown(
    hub: RunningHub, offer: Offer, python: Path
) -> None:
    plan = _plan(hub, offer) | {"destination_id": "879ee109-a690-4db8-ab32-424284184d7d"}
    done = _run(python, "send_and_collect.py", plan)
    assert "Could not create submission: destination does not exist" in done.stderr


def test_fitconnect_sends_data_and_attachment_and_collects_both_unchanged(
    hub: RunningHub, offer: Offer, python: Path
) -> None:
    result = _result(_run(python, "send_and_collect.py", _plan(hub, offer)))
    assert result["was_listed"]
    assert result["data_is_equal"]
    assert result["read_sha512"] == result["sent_sha512"]


def test_fitconnect_client_sends_without_data_and_its_log_verifies(hub: RunningHub, offer: Offer, python: Path) -> None:
    result = _result(_run(python, "send_only.py", _plan(hub, offer)))
    assert sorted(result["answer"]["attachments"]) == sorted(result["attachment_ids"])
    bearer = hub.token("sender")
    log = requests.get(
        hub.url(f"/v1/submissions/{result['submission_id']}/events"),
        headers={"Authorization": f"Bearer {bearer}"},
        timeout=ANSWER_LIMIT,
    )
    assert log.status_code == 200, log.text
    verifier = EventLogVerifier(submission_api=hub.url("/submission-api"), bearer=bearer)
    assert verifier.states(log.json()["eventLog"])[:2] == ["CREATED", "SUBMITTED"]


def test_fitconnect_collects_what_the_plain_door_accepted_for_a_destination_that_reads_version_1(
    hub: RunningHub, offer: Offer, python: Path
) -> None:
    """The client bundles metadata schema 1.0.0 alone; its authority says so in ``metadataVersions``."""
    versions = _metadata_versions(hub, offer)
    _set_metadata_versions(hub, offer, ["1.0.0"])
    try:
        content, scan = good_example(offer.schema_uri), b"%PDF-1.7 " + bytes(range(256)) * 200
        accepted = requests.post(
            hub.url("/hub/v1/applications"),
            params={"service": offer.service, "ars": offer.ars},
            files={"data": ("data.json", content, "application/json"), "scan": ("scan.pdf", scan, "application/pdf")},
            headers={"Authorization": f"Bearer {hub.token('sender')}"},
            timeout=ANSWER_LIMIT,
        )
        assert accepted.status_code == 202, accepted.text
        plan = _plan(hub, offer) | {"submission_id": accepted.json()["submissionId"]}
        result = _result(_run(python, "collect.py", plan))
    finally:
        _set_metadata_versions(hub, offer, versions)
    assert result["was_listed"]
    assert result["data"] == json.loads(content)
    assert result["attachments_sha512"] == [hashlib.sha512(scan).hexdigest()]


def _metadata_versions(hub: RunningHub, offer: Offer) -> list[str]:
    shown = requests.get(hub.url(f"/v2/destinations/{offer.destination_id}"), timeout=ANSWER_LIMIT)
    versions: list[str] = shown.json()["metadataVersions"]
    return versions


def _set_metadata_versions(hub: RunningHub, offer: Offer, versions: list[str]) -> None:
    changed = requests.patch(
        hub.url(f"/v1/destinations/{offer.destination_id}"),
        json={"metadataVersions": versions},
        headers={"Authorization": f"Bearer {hub.token('subscriber')}"},
        timeout=ANSWER_LIMIT,
    )
    assert changed.status_code == 200, changed.text
