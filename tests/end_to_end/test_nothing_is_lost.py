"""What was acknowledged is delivered, whatever dies in between. Two real processes, a real receiver, a real power cut."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from uuid import UUID

import pytest
import requests
from partner import Partner
from processes import HubProcess, free_port, wait_for
from stage import BAUANTRAG, BAUEN, TAUNUSSTEIN

from hub.config import load_settings

WHERE = {"service": BAUEN, "ars": TAUNUSSTEIN}
XML = {"Content-Type": "application/xml"}


@pytest.fixture
def data(made_once, tmp_path):
    """A data folder whose building authority is pushed to at a port where nobody listens yet."""
    folder = tmp_path / "data"
    shutil.copytree(made_once, folder)
    return folder


def point_at(data, url: str) -> None:
    from hub import app

    hub = app.build(load_settings(data, {}, allow_private_addresses=True))
    cast = json.loads((data / "demo.json").read_text())
    building = next(each for each in cast["destinations"] if each["adapter"] == "https")
    stored = hub.store.parties.destination(UUID(building["destination_id"]))
    config = {
        "url": url,
        "secret_file": str(data / "demo" / "push.secret"),
        "allow_http": True,
        "allow_private_addresses": True,
    }
    hub.store.parties.replace_destination(replace(stored, adapter_config=config))
    hub.close()


def submit(hub: HubProcess, session: requests.Session, **headers: str) -> requests.Response:
    url = f"{hub.base_url}/hub/v1/applications"
    return session.post(url, params=WHERE, data=BAUANTRAG, headers={**XML, **headers}, timeout=30)


def test_killed_right_after_the_202_it_delivers_after_the_restart(data):
    port = free_port()
    point_at(data, f"http://127.0.0.1:{port}/in")
    with HubProcess(data, HUB_LEASE_SECONDS="2") as hub:
        session = hub.sender()
        acknowledged = submit(hub, session, **{"Idempotency-Key": "k-1"})
        hub.kill()
    assert acknowledged.status_code == 202
    with Partner(port=port) as partner, HubProcess(data, port=hub.port, HUB_RETRY_FIRST_SECONDS="1") as again:
        session = again.sender()
        repeated = submit(again, session, **{"Idempotency-Key": "k-1"})
        assert repeated.json() == acknowledged.json()
        wait_for(
            lambda: session.get(acknowledged.json()["status"], timeout=5).json()["delivery"] == "delivered", again.log
        )
        ids = {json.loads(request.body)["submissionId"] for request in partner.heard}
        assert ids == {acknowledged.json()["submissionId"]}


def test_a_receiver_that_is_down_delays_and_never_loses(data):
    port = free_port()
    point_at(data, f"http://127.0.0.1:{port}/in")
    with HubProcess(data, HUB_RETRY_FIRST_SECONDS="1") as hub:
        session = hub.sender()
        answers = [submit(hub, session).json() for _ in range(3)]
        wait_for(lambda: len(session.get(answers[0]["status"], timeout=5).json()["history"]) > 2, hub.log)
        with Partner(port=port) as partner:
            for answer in answers:
                wait_for(
                    lambda a=answer: session.get(a["status"], timeout=5).json()["delivery"] == "delivered", hub.log
                )
            got = sorted(json.loads(request.body)["submissionId"] for request in partner.heard)
    assert got == sorted(answer["submissionId"] for answer in answers)
