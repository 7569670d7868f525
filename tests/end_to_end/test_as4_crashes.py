"""kill -9 while a submission goes out by AS4, and while one comes in: nothing is lost, nothing is there twice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import requests
from as4_parties import make, related, side, written_agreement
from click.testing import CliRunner
from processes import HubProcess, wait_for
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN

from adapters.as4 import As4
from hub import app
from hub.adapter_kit.as4 import As4Bench
from hub.adapter_kit.cases import Trouble, Workshop
from hub.adapter_kit.check import find_trial
from hub.adapter_kit.packages import make_package
from hub.cli import main
from hub.config import load_settings
from hub.soap.as4_reader import read_envelope
from hub.soap.ebms import INITIATOR, RESPONDER, Agent, PartInfo

pytestmark = pytest.mark.timeout(240)
_PATIENT = {"HUB_LEASE_SECONDS": "2", "HUB_RETRY_FIRST_SECONDS": "1"}


class AccessPoint(As4Bench):
    """The kit's, which counts the messages that come, repeats included."""

    def __init__(self, workshop: Workshop) -> None:
        self.heard = 0
        super().__init__(workshop)

    def play(self, heard: Any) -> Any:
        self.heard += 1
        return super().play(heard)

    @property
    def held(self) -> int:
        return len(self._held)


def point_at(data: Path, config: dict[str, Any]) -> None:
    hub = app.build(load_settings(data, {}, allow_private_addresses=True))
    cast = json.loads((data / "demo.json").read_text())
    building = next(each for each in cast["destinations"] if each["adapter"] == "https")
    stored = hub.store.parties.destination(UUID(building["destination_id"]))
    assert stored is not None
    hub.store.parties.replace_destination(replace(stored, adapter="as4", adapter_config=config))
    hub.close()


def test_killed_after_sending_and_before_the_receipt_is_written_it_is_one_message(
    made_once: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    shutil.copytree(made_once, data)
    bench = AccessPoint(Workshop(tmp_path / "workshop", now=datetime.now(UTC)))
    try:
        point_at(data, find_trial("as4", As4, None).filled(bench.arrange(Trouble.NONE, make_package())))
        with HubProcess(data, HUB_CRASH_AT="after-send", **_PATIENT) as hub:
            answer = hub.sender().post(
                f"{hub.base_url}/hub/v1/applications",
                params={"service": BAUEN, "ars": TAUNUSSTEIN},
                data=BAUANTRAG,
                headers={"Content-Type": "application/xml"},
                timeout=30,
            )
            assert answer.status_code == 202, answer.text
            wait_for(lambda: hub.process.poll() is not None, hub.log)
        assert (bench.heard, bench.held) == (1, 1)
        with HubProcess(data, port=hub.port, **_PATIENT) as last:
            session = last.sender()
            wait_for(
                lambda: session.get(answer.json()["status"], timeout=5).json()["delivery"] == "delivered", last.log
            )
        assert (bench.heard, bench.held) == (2, 1)
        printed = CliRunner().invoke(main, ["receipt", "delivered", answer.json()["submissionId"], "--data", str(data)])
        signal = read_envelope(printed.stdout_bytes).signal(bench.certificate, now=datetime.now(UTC))
        assert signal.refers_to.endswith("@hub.example.org")
    finally:
        bench.close()


def test_killed_after_storing_and_before_answering_the_repeat_gets_the_receipt(made_once: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(made_once, data)
    folder = written_agreement(tmp_path / "as4")
    agreed = folder / "bauamt.toml"
    sender = json.loads((data / "demo.json").read_text())["sender"]["client_id"]
    agreed.write_text(agreed.read_text().replace("CLIENT", sender) + f'area = "{TAUNUSSTEIN}"\n')
    made = make(
        {"antrag@bauamt": BAUANTRAG}, sender="bauamt", receiver="hub", service=BAUEN, service_kind="",
        by=Agent(party="bauamt", role=INITIATOR), to=Agent(party="hub", role=RESPONDER), properties={},
        parts=(PartInfo(cid="antrag@bauamt", media_type="application/xml"),),
    )  # fmt: skip
    body, content_type = related(made.envelope.content, made.sealed)

    def send(hub: HubProcess) -> requests.Response:
        return requests.post(f"{hub.base_url}/as4", data=body, headers={"Content-Type": content_type}, timeout=30)

    with HubProcess(data, HUB_AS4_FOLDER=str(folder), HUB_CRASH_AT="after-commit", **_PATIENT) as hub:
        with pytest.raises(requests.ConnectionError):
            send(hub)
        wait_for(lambda: hub.process.poll() is not None, hub.log)
    with HubProcess(data, port=hub.port, HUB_AS4_FOLDER=str(folder), **_PATIENT) as last:
        signal = read_envelope(send(last).content).signal(side("hub").peer, now=datetime.now(UTC))
        assert (signal.refers_to, signal.digests) == (made.message.message_id, made.envelope.digests)
        listed = last.sender().get(f"{last.base_url}/hub/v1/applications", timeout=30).json()["applications"]
    assert len(listed) == 1
