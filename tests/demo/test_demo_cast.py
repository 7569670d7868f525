"""The demo's destination that is reserved for tests is nobody's but whoever's who tries a client of their own."""

from __future__ import annotations

import json
import tomllib
from uuid import UUID

import pytest
from sealed_door import Door, post
from stage import VirtualClock

from hub import app
from hub.config import load_settings
from hub.crypto.keys import read_decryption_key
from hub.demo.cast import Cast, prepare, write_config


@pytest.fixture
def reserved(stage):
    return stage.cast["reserved_for_tests"]


def test_the_demos_connector_leaves_it_alone(stage, reserved):
    cast = Cast(folder=stage.data / "demo", document=stage.cast)
    write_config(cast, stage.hub.settings, listen_port=1, desk_port=2)
    config = tomllib.loads((stage.data / "demo" / "connector.toml").read_text())
    served = {each["destination_id"] for each in config["destinations"]}
    assert served == {each["destination_id"] for each in stage.cast["destinations"]}
    assert reserved["destination_id"] not in served


def test_its_own_subscriber_collects_from_it_and_the_demos_does_not(stage, reserved):
    door = Door(stage)
    wish = {
        "destinationId": reserved["destination_id"],
        "announcedAttachments": [],
        "publicService": {"identifier": reserved["services"][0], "name": "Versuch"},
    }
    announced = post(door.sender, "/v2/submissions", wish)
    assert announced.status == 201, announced.text
    party = reserved["subscriber"]
    own = door.with_credentials(party["client_id"], party["client_secret"])
    path = f"/v2/submissions?destinationId={reserved['destination_id']}"
    assert own.get(path).status == 200
    assert door.subscriber.get(path).status == 403
    key = stage.hub.store.parties.destination(UUID(reserved["destination_id"])).encryption_kid
    assert read_decryption_key(reserved["private_decryption_jwk"], written_by_us=True).kid == key


def test_a_demo_of_an_earlier_version_gets_it_at_its_next_start(tmp_path):
    hub = app.build(load_settings(tmp_path / "data", {}), clock=VirtualClock())
    (tmp_path / "data" / "demo").mkdir(mode=0o700)
    (tmp_path / "data" / "demo.json").write_text(json.dumps({"destinations": []}))
    try:
        made = prepare(hub, say=lambda _: None).document["reserved_for_tests"]
        assert prepare(hub, say=lambda _: None).document["reserved_for_tests"] == made
        stored = hub.store.parties.destination(UUID(made["destination_id"]))
        assert (stored.owner, stored.adapter) == (made["subscriber"]["client_id"], "mailbox")
    finally:
        hub.close()
