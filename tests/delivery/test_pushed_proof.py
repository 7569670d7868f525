"""What a push costs and carries: no event token is signed for it, by either door, unless its receiver reads envelope 1."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID

import pytest
from partner import Partner
from sealed_door import movable_door  # noqa: F401  # A fixture, used by name.
from stage import TAUNUSSTEIN

from hub.administration.adapters import AdapterApproval
from hub.client.verification import Received, ReceivedPart, require_proof
from hub.crypto import claims_of, verify_receipt
from hub.model import Evidence


def send_to(hub, destination_id, partner, folder, *, version: int) -> None:
    """Have a destination's deliveries go to a partner on loopback."""
    secret = folder / "push.secret"
    secret.touch(mode=0o600)
    secret.write_text("s" * 40)
    config = {
        "url": partner.url,
        "secret_file": str(secret),
        "envelope": version,
        "allow_http": True,
        "allow_private_addresses": True,
    }
    stored = hub.store.parties.destination(destination_id)
    hub.store.parties.replace_destination(replace(stored, adapter="https", adapter_config=config))


def received(envelope) -> Received:
    """What a receiver who believes nothing but its own eyes has of an envelope."""
    from hashlib import sha512

    texts = {"metadata": envelope["encryptedMetadata"], "data": envelope["encryptedData"]}
    texts |= {f"attachment:{one['attachmentId']}": one["jwe"] for one in envelope["attachments"]}
    parts = {
        name: ReceivedPart(tag=jwe.split(".")[4], sha512=sha512(jwe.encode()).hexdigest(), size=len(jwe))
        for name, jwe in texts.items()
    }
    return Received(
        submission_id=UUID(envelope["submissionId"]),
        case_id=UUID(envelope["caseId"]),
        destination_id=UUID(envelope["destinationId"]),
        service=envelope["publicService"]["identifier"],
        parts=parts,
    )


def proves(envelope, hub, now) -> bool:
    log = envelope["log"]
    evidence = Evidence(receipt=envelope["receipt"], previous=log["previous"], entries=tuple(log["entries"]))
    issuers = frozenset({hub.settings.canonical_url})
    jwks = json.loads(json.dumps(hub.keys.hub_jwks()))
    return require_proof(evidence, received(envelope), jwks=jwks, issuers=issuers, now=now) <= now


def signed(hub) -> int:
    cases = hub.store.submissions.cases().items
    return sum(event.jws is not None for case in cases for event in hub.store.event_log.events(case.case_id).items)


def test_an_application_by_the_plain_door_is_pushed_with_its_receipt_and_no_token_is_signed(stage, tmp_path):
    with Partner() as partner:
        send_to(stage.hub, stage.destination_id("Rheingau-Taunus"), partner, tmp_path, version=2)
        accepted = stage.accept(area=TAUNUSSTEIN)
        assert stage.hub.dispatcher.run_once() == 1
        (heard,) = partner.heard
    envelope = heard.json()
    assert envelope["version"] == 2
    assert envelope["receipt"] == accepted.receipt
    assert "eventLog" not in envelope
    assert proves(envelope, stage.hub, stage.clock())
    assert signed(stage.hub) == 0


def test_a_submission_by_the_sealed_door_is_pushed_with_a_receipt_made_for_it_which_its_sender_gets_too(
    own_door,
    tmp_path,
):
    with Partner() as partner:
        send_to(own_door.hub, own_door.destination_id, partner, tmp_path, version=2)
        sent = own_door.send()
        assert own_door.hub.store.submissions.message(UUID(sent.submission_id)).receipt is None
        assert own_door.hub.dispatcher.run_once() == 1
        (heard,) = partner.heard
    envelope = heard.json()
    assert proves(envelope, own_door.hub, own_door.clock())
    assert claims_of(envelope["receipt"])["door"] == "sealed"
    asked = own_door.sender.get(f"/hub/v1/applications/{sent.submission_id}/receipt")
    assert (asked.status, asked.body.decode()) == (200, envelope["receipt"])
    assert signed(own_door.hub) == 0


def test_a_receipt_of_the_sealed_door_is_made_for_whoever_asks_first_and_not_before_it_is_submitted(own_door):
    announced = own_door.announce()
    assert own_door.sender.get(f"/hub/v1/applications/{announced['submissionId']}/receipt").status == 404
    sent = own_door.send()
    path = f"/hub/v1/applications/{sent.submission_id}/receipt"
    first = own_door.sender.get(path)
    claims = verify_receipt(first.body.decode(), own_door.hub.keys.hub_jwks())
    assert claims["contents"]["metadata"]["authenticationTag"] == sent.metadata.split(".")[4]
    assert own_door.sender.get(path).body == first.body
    assert own_door.another(own_door.hub.store.parties.client(own_door.stage.sender).kind).get(path).status == 404


def test_what_waits_in_a_mailbox_signs_nothing_and_makes_no_receipt(own_door):
    sent = own_door.send()
    assert own_door.hub.dispatcher.run_once() == 1
    assert own_door.hub.store.submissions.message(UUID(sent.submission_id)).receipt is None
    assert signed(own_door.hub) == 0


def test_a_receiver_of_envelope_1_goes_on_to_get_signed_tokens(stage, tmp_path):
    with Partner() as partner:
        send_to(stage.hub, stage.destination_id("Rheingau-Taunus"), partner, tmp_path, version=1)
        stage.accept(area=TAUNUSSTEIN)
        assert stage.hub.dispatcher.run_once() == 1
        (heard,) = partner.heard
    envelope = heard.json()
    assert (envelope["version"], len(envelope["eventLog"])) == (1, 2)
    assert "receipt" not in envelope
    assert signed(stage.hub) == 2


def test_what_contradicts_itself_is_not_pushed_and_waits_for_a_person(stage, tmp_path):
    from sqlalchemy import text

    with Partner() as partner:
        send_to(stage.hub, stage.destination_id("Rheingau-Taunus"), partner, tmp_path, version=2)
        accepted = stage.accept(area=TAUNUSSTEIN)
        changed = text("UPDATE events SET digests = '{}' WHERE kind = 'submit'")
        stage.hub.store.database.write(lambda connection: connection.execute(changed))
        stage.hub.dispatcher.run_once()
        assert partner.heard == []
    submission_id = UUID(accepted.claims["sub"].removeprefix("submission:"))
    (attempt,) = stage.hub.store.deliveries.of(submission_id).attempts
    assert (attempt.outcome.value, attempt.note) == ("unreachable", "content not readable: log-contradicted")


@pytest.fixture
def approval(stage):
    return AdapterApproval(store=stage.hub.store, adapters=stage.hub.installed, files=None)


def test_a_new_way_gets_the_newest_envelope_and_one_that_exists_keeps_what_its_receiver_reads(approval, stage):
    here = stage.hub.store.parties.destination(stage.destination_id("Wiesbaden"))
    path = {"path": "/srv/drop"}
    new = approval.wish(None, "folder", path)
    assert new.options == {**path, "envelope": 2}
    existing = replace(here, adapter="folder", adapter_config=path)
    assert approval.wish(existing, "folder", {"path": "/srv/elsewhere"}).options == {"path": "/srv/elsewhere"}
    chosen = replace(existing, adapter_config={**path, "envelope": 2})
    assert approval.wish(chosen, "folder", path).options == {**path, "envelope": 2}
    assert approval.wish(chosen, "folder", {**path, "envelope": 1}).options == {**path, "envelope": 1}
    assert approval.wish(replace(here, adapter="https"), "folder", path).options == {**path, "envelope": 2}
    assert approval.wish(here, "mailbox", {}).options == {}
