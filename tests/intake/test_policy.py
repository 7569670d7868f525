"""What becomes of an application that breaks its schema is its rule's to say: reject, quarantine, deliver with report."""

from __future__ import annotations

import json
from dataclasses import replace
from uuid import UUID

import pytest
from stage import BAUANTRAG, altered

from hub.administration.dead_letters import DeadLetters, RedrivenBy
from hub.crypto import decrypt, read_decryption_key, verify_receipt
from hub.errors import IdempotencyConflict, Invalid, InvalidPayload, Malformed, Refused, UnknownSchema
from hub.intake import Intake
from hub.model import EVERYTHING, Application, DeadCause, MediaType, State, Subject
from hub.routing import OnInvalid, RoutingTable, from_csv, from_yaml, to_csv, to_yaml
from hub.store import DeliveryState

BROKEN = BAUANTRAG.replace(b"</bau:bauantrag.antrag.0100>", b"<bau:Geheimname/></bau:bauantrag.antrag.0100>")
LENIENT = (OnInvalid.QUARANTINE, OnInvalid.DELIVER_WITH_REPORT)


def lenient(stage, policy: OnInvalid) -> Intake:
    """The stage's intake with ``policy`` in every rule."""
    table = stage.hub.table()
    rules = [replace(rule, on_invalid=policy) for rule in table]
    changed = RoutingTable(rules, gazetteer=table.gazetteer, services=table.services)
    return Intake(altered(stage.hub.intake.tools, table=lambda: changed))


def send(stage, policy, data=BROKEN, *, attachments=(), **cover):
    envelope = stage.cover(**cover)
    with lenient(stage, policy).open(envelope, now=stage.clock()) as reception:
        for name in attachments:
            sealer = reception.attach(name=name, filename=f"{name}.pdf", media_type="application/pdf")
            sealer.write(b"%PDF")
            sealer.finish()
        application = Application(cover=envelope, media_type=MediaType.XML, data=data)
        return reception.accept(application, now=stage.clock()).result(10)


def claims(stage, accepted) -> dict:
    return verify_receipt(accepted.receipt, stage.hub.keys.hub_jwks())


def message(stage, accepted):
    return stage.hub.store.submissions.message(UUID(claims(stage, accepted)["sub"].removeprefix("submission:")))


def opened(stage, sealed) -> dict:
    key = read_decryption_key(stage.destination("Rheingau")["private_decryption_jwk"], written_by_us=True)
    return json.loads(decrypt(b"".join(stage.hub.blobs.chunks(sealed)), [key], max_output=10**7))


def test_without_a_policy_an_invalid_application_is_refused(stage):
    with pytest.raises(InvalidPayload):
        stage.accept(BROKEN)
    assert stage.hub.store.submissions.cases().total == 0


NEVER = {
    "what cannot be read": (b"<bau", Malformed),
    "what has no known schema": (b"<fremd xmlns='urn:x'/>", UnknownSchema),
}


@pytest.mark.parametrize("policy", LENIENT)
@pytest.mark.parametrize(("data", "error"), NEVER.values(), ids=NEVER)
def test_no_policy_lets_pass(stage, policy, data, error):
    with pytest.raises(error):
        send(stage, policy, data)
    assert stage.hub.store.submissions.cases().total == 0


def test_a_schema_that_the_destination_does_not_take_is_refused_under_every_policy(stage):
    there = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
    none = tuple(replace(each, schemas=(("urn:other", "application/xml"),)) for each in there.services)
    stage.hub.store.parties.replace_destination(replace(there, services=none))
    with pytest.raises(Invalid, match="does not take schema"):
        send(stage, OnInvalid.DELIVER_WITH_REPORT)


def test_no_report_fits_beside_a_hundred_attachments(stage):
    with pytest.raises(InvalidPayload):
        send(stage, OnInvalid.DELIVER_WITH_REPORT, attachments=[f"a{number}" for number in range(100)])


@pytest.mark.parametrize("policy", OnInvalid)
def test_a_valid_application_is_the_same_under_every_policy(stage, policy):
    accepted = send(stage, policy, BAUANTRAG)
    stored = message(stage, accepted)
    assert "validation" not in claims(stage, accepted)
    assert stored.contents.attachments == {}
    assert stage.hub.store.deliveries.of(stored.id).state is DeliveryState.QUEUED


@pytest.mark.parametrize("policy", LENIENT)
def test_the_receipt_says_that_the_application_is_invalid_and_no_value_of_it(stage, policy):
    accepted = send(stage, policy)
    said = claims(stage, accepted)["validation"]
    assert (said["valid"], said["onInvalid"]) == (False, policy.value)
    assert said["violations"] >= 1
    assert "Geheimname" not in json.dumps(claims(stage, accepted))


def test_quarantine_is_a_dead_letter_that_nobody_was_told_of(stage):
    stored = message(stage, send(stage, OnInvalid.QUARANTINE))
    view = stage.hub.store.deliveries.of(stored.id)
    assert (view.state, view.cause, view.attempts) == (DeliveryState.DEAD, DeadCause.PAYLOAD, ())
    assert stored.state is State.SUBMITTED
    assert stage.hub.dispatcher.run_once() == 0
    callbacks = stage.hub.store.callbacks.claim(stage.clock(), lease=stage.hub.settings.lease, node="n", limit=9)
    assert callbacks == []


def waiting(stage) -> list[UUID]:
    page = stage.hub.store.submissions.messages(
        Subject.SUBMISSION, destination_ids=[stage.destination_id("Rheingau")], state=State.SUBMITTED
    )
    return [each.id for each in page.items]


def test_the_receiver_does_not_see_what_is_in_quarantine_until_it_is_released(stage):
    stored = message(stage, send(stage, OnInvalid.QUARANTINE))
    assert waiting(stage) == []
    assert stage.hub.store.deliveries.quarantined(stored.id)
    delivery_id = stage.hub.store.deliveries.of(stored.id).delivery_id
    by = RedrivenBy(actor="cli:anna", now=stage.clock())
    assert DeadLetters(store=stage.hub.store).redrive(delivery_id, scope=EVERYTHING, by=by)
    assert waiting(stage) == [stored.id]
    assert not stage.hub.store.deliveries.quarantined(stored.id)


def test_a_receiver_that_guesses_the_number_gets_nothing_out_of_quarantine(served):
    stage = served.stage
    stored = message(stage, send(stage, OnInvalid.QUARANTINE))
    owner = "subscriber"
    headers = {"Authorization": f"Bearer {served.token(owner)}"}
    there = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
    assert there.owner == stage.cast[owner]["client_id"]
    assert served.get(f"/v2/submissions/{stored.id}", headers=headers).status_code == 404
    ordinary = message(stage, send(stage, OnInvalid.QUARANTINE, BAUANTRAG))
    assert served.get(f"/v2/submissions/{ordinary.id}", headers=headers).status_code == 200


def test_delivered_with_the_report_sealed_beside_it(stage):
    stored = message(stage, send(stage, OnInvalid.DELIVER_WITH_REPORT, attachments=["plan"]))
    assert stage.hub.store.deliveries.of(stored.id).state is DeliveryState.QUEUED
    metadata = opened(stage, stored.contents.metadata)
    plan, report = metadata["contentStructure"]["attachments"]
    assert (plan["purpose"], plan["filename"]) == ("attachment", "plan.pdf")
    assert (report["purpose"], report["filename"]) == ("report", "validierungsbericht.json")
    said = opened(stage, stored.contents.attachments[UUID(report["attachmentId"])])
    assert said["valid"] is False
    assert said["violations"]
    assert "Geheimname" not in json.dumps(said)


def test_the_report_counts_neither_for_the_same_request_nor_against_another(stage):
    first = send(stage, OnInvalid.DELIVER_WITH_REPORT, idempotency_key="k-1")
    again = send(stage, OnInvalid.DELIVER_WITH_REPORT, idempotency_key="k-1")
    assert (again.receipt, again.again) == (first.receipt, True)
    with pytest.raises(IdempotencyConflict):
        send(stage, OnInvalid.DELIVER_WITH_REPORT, BAUANTRAG, idempotency_key="k-1")


def test_the_answer_over_http_says_so_too(served):
    stage = served.stage
    stage.hub.intake.tools = lenient(stage, LENIENT[0]).tools
    answer = served.submit(BROKEN)
    assert answer.status_code == 202
    assert answer.json()["validation"]["onInvalid"] == "quarantine"


# ------------------------------------------------------------------------------------------------------ the rule's own key

RULE = """rules:
  - id: bau
    area: "06439"
    services: urn:de:fim:leika:leistung:99012008001000
    destination: 0f4d7a52-6a3c-4f0e-9d6b-3c1f5e8a6439
"""


def test_a_policy_that_nobody_knows_is_refused_with_those_that_are():
    with pytest.raises(Refused, match="quarantine"):
        from_yaml((RULE + "    on_invalid: accept\n").encode())


@pytest.mark.parametrize("policy", OnInvalid)
def test_a_policy_survives_both_formats(policy):
    (rule,) = from_yaml((RULE + f"    on_invalid: {policy.value}\n").encode())
    assert rule.on_invalid is policy
    assert from_yaml(to_yaml([rule])) == from_csv(to_csv([rule])) == (rule,)


def test_a_csv_from_before_there_were_policies_is_still_read():
    (rule,) = from_yaml(RULE.encode())
    old = to_csv([rule]).replace(b";on_invalid", b"").replace(b";;;\r\n", b";;\r\n")
    assert from_csv(old) == (rule,)


def test_a_policy_changes_the_version_of_the_table_and_its_absence_does_not(stage):
    table = stage.hub.table()

    def version(policy: OnInvalid) -> str:
        rules = [replace(rule, on_invalid=policy) for rule in table]
        return RoutingTable(rules, gazetteer=table.gazetteer, services=table.services).version

    assert version(OnInvalid.REJECT) == table.version
    assert len({version(policy) for policy in OnInvalid}) == 3
