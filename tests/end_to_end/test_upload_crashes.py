"""kill -9 in the middle of an upload: nothing is lost, nothing is there twice, and nobody finds plaintext at rest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import requests
from processes import HubProcess, wait_for
from stage import BAUANTRAG, BAUEN, CANARY, TAUNUSSTEIN

MIB = 1024 * 1024
#: A piece of 16 MiB and a bit, every line of which gives itself away.
FILE = (f"{CANARY}\n".encode() * 640_000)[: 17 * MIB]
pytestmark = pytest.mark.timeout(180)


def ask(sender: requests.Session, method: str, url: str, body: bytes = b"", **more: str) -> requests.Response:
    fields = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    return sender.request(method, url, data=body or None, headers=fields, timeout=60)


def apply(sender: requests.Session, base: str, url: str) -> requests.Response:
    notes = json.dumps({"attachments": {"plan": {"upload": url}}})
    return sender.post(
        f"{base}/hub/v1/applications",
        params={"service": BAUEN, "ars": TAUNUSSTEIN},
        files={"data": ("a", BAUANTRAG, "application/xml"), "metadata": ("m", notes, "application/json")},
        headers={"Idempotency-Key": "einmal"},
        timeout=60,
    )


def resting(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_killed_between_piece_and_offset_and_between_acceptance_and_deletion(made_once, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(made_once, data)
    patient: dict[str, Any] = {"HUB_PAUSE_SECONDS": "1"}
    with HubProcess(data, HUB_CRASH_AT="upload-durable:2", **patient) as hub:
        sender, port = hub.sender(), hub.port
        begun = ask(sender, "POST", f"{hub.base_url}/hub/v1/uploads", Upload_Length=str(len(FILE)))
        path = begun.headers["Location"]
        with pytest.raises(requests.ConnectionError):
            ask(sender, "PATCH", hub.base_url + path, FILE, Upload_Offset="0")
    assert CANARY.encode() not in resting(data)
    with HubProcess(data, port=port, HUB_CRASH_AT="upload-accepted", **patient) as hub:
        sender, url = hub.sender(), hub.base_url + path
        assert ask(sender, "HEAD", url).headers["Upload-Offset"] == str(16 * MIB), "what was told of is there"

        def sent() -> bool:
            answer = ask(sender, "PATCH", url, FILE[16 * MIB :], Upload_Offset=str(16 * MIB))
            assert answer.status_code in {204, 423}, answer.text
            return answer.status_code == 204

        wait_for(sent)
        with pytest.raises(requests.ConnectionError):
            apply(sender, hub.base_url, path)
    with HubProcess(data, port=port, **patient) as hub:
        sender = hub.sender()

        def answered() -> Any:
            answer = apply(sender, hub.base_url, path)
            assert answer.status_code in {202, 423}, answer.text
            return answer.json() if answer.status_code == 202 else None

        first = wait_for(answered)
        assert apply(sender, hub.base_url, path).json() == first
        listed = sender.get(f"{hub.base_url}/hub/v1/applications", timeout=30).json()["applications"]
        assert [each["submissionId"] for each in listed] == [first["submissionId"]], "once, whoever asked how often"
        assert ask(sender, "HEAD", hub.base_url + path).status_code == 410
    lies = resting(tmp_path)
    assert CANARY.encode() not in lies
    assert path.rpartition("/")[2].encode() not in lies
