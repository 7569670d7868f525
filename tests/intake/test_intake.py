"""The plain door: validate, route, seal, store, in one transaction, and say so with a signed receipt."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest
from stage import ANMELDEN, ANMELDUNG, BAUANTRAG, BAUEN, TAUNUSSTEIN, WIESBADEN, altered

from hub.admission import Admission
from hub.crypto import claims_of, decrypt, read_decryption_key, verify_receipt
from hub.errors import (
    IdempotencyConflict,
    Invalid,
    InvalidPayload,
    KeyUnavailable,
    Malformed,
    NoRoute,
    Overloaded,
    StoreUnavailable,
    TooLarge,
    UnknownSchema,
)
from hub.intake import Intake
from hub.model import Application, Callback, MediaType, State
from hub.store import DeliveryState
from hub.transport.connection import Outbound


def nothing_stored(stage) -> bool:
    return stage.hub.store.submissions.cases().total == 0 and not any(stage.hub.blobs.names(stage.clock()))


REFUSALS = {
    "a document that is not XML": ({"data": b"<bau", "error": Malformed}),
    "a document of an unknown schema": ({"data": b"<fremd xmlns='urn:x'/>", "error": UnknownSchema}),
    "a document that breaks its schema": (
        {"data": BAUANTRAG.replace(b"flurstueck", b"flurstock"), "error": InvalidPayload}
    ),
    "an area that does not exist": {"area": "069999999999", "error": NoRoute},
    "a service that nobody offers there": {"service": ANMELDEN, "error": NoRoute},
    "a service that does not exist": {"service": "urn:de:fim:leika:leistung:99999999999999", "error": NoRoute},
    "a schema that the service does not take": {
        "data": ANMELDUNG,
        "media_type": MediaType.JSON,
        "error": Invalid,
    },
}


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS)
def test_what_is_refused_leaves_nothing_behind(stage, case):
    case = dict(case)
    with pytest.raises(case.pop("error")):
        stage.accept(**case)
    assert nothing_stored(stage)


def test_every_violation_is_listed_and_no_value_is_repeated(stage):
    broken = BAUANTRAG.replace(b"</bau:bauantrag.antrag.0100>", b"<bau:Geheimname/></bau:bauantrag.antrag.0100>")
    with pytest.raises(InvalidPayload) as caught:
        stage.accept(broken)
    violations = json.dumps([dict(each) for each in caught.value.members["violations"]])
    assert caught.value.members["total"] >= 1
    assert "Geheimname" not in violations + str(caught.value)


def intake_with(stage, **tools) -> Intake:
    return Intake(altered(stage.hub, **tools))


def test_without_room_on_the_disk_intake_answers_try_later(stage):
    full = Admission(memory_budget=10**9, free_bytes=lambda: 99, disk_watermark=100)
    with pytest.raises(StoreUnavailable):
        intake_with(stage, admission=full).open(stage.cover(), now=stage.clock())


def test_an_authority_without_a_valid_key_is_not_given_another(stage):
    stage.clock.pass_(days=3 * 365)
    with pytest.raises(KeyUnavailable):
        stage.accept()
    assert nothing_stored(stage)


def test_an_inactive_destination_takes_nothing(stage):
    destination = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
    stage.hub.store.parties.replace_destination(replace(destination, status="inactive"))
    with pytest.raises(NoRoute):
        stage.accept()


def test_a_callback_address_inside_the_network_is_refused(stage):
    inward = stage.cover(callback=Callback(url="https://127.0.0.1/cb", secret="0" * 32))
    with pytest.raises(Invalid) as caught:
        intake_with(stage, outbound=Outbound()).open(inward, now=stage.clock())
    assert caught.value.slug == "callback-url-refused"


def test_what_was_accepted_is_stored_queued_and_proven(stage):
    accepted = stage.accept()
    claims = verify_receipt(accepted.receipt, stage.hub.keys.hub_jwks())
    submission_id = UUID(claims["sub"].removeprefix("submission:"))
    message = stage.hub.store.submissions.message(submission_id)
    assert message.state is State.SUBMITTED
    assert message.schema.version == "1.0"
    assert stage.hub.store.deliveries.of(submission_id).state is DeliveryState.QUEUED
    assert claims["destination"]["name"].startswith("Rheingau-Taunus")
    assert claims["contents"].keys() == {"metadata", "data"}
    for part, sealed in message.contents.parts():
        assert claims["contents"][part]["sha512"] == sealed.sha512
    assert claims["eventLog"]["hash"] == stage.hub.store.submissions.case(message.case_id).head


def test_only_the_authority_opens_it_and_finds_what_was_sent(stage):
    claims = claims_of(stage.accept().receipt)
    message = stage.hub.store.submissions.message(UUID(claims["sub"].removeprefix("submission:")))
    key = read_decryption_key(stage.destination("Rheingau")["private_decryption_jwk"], written_by_us=True)
    assert decrypt(message.contents.data.jwe, [key], max_output=10**6) == BAUANTRAG
    metadata = json.loads(decrypt(message.contents.metadata.jwe, [key], max_output=10**6))
    assert metadata["contentStructure"]["data"]["submissionSchema"]["mimeType"] == "application/xml"


def test_the_same_key_and_body_get_the_same_receipt(stage):
    first = stage.accept(idempotency_key="k-1")
    second = stage.accept(idempotency_key="k-1")
    assert (second.receipt, second.again) == (first.receipt, True)
    assert stage.hub.store.submissions.cases().total == 1


def test_the_same_key_and_another_body_are_a_conflict(stage):
    stage.accept(idempotency_key="k-1")
    with pytest.raises(IdempotencyConflict):
        stage.accept(BAUANTRAG.replace(b"Einfamilienhaus", b"Zweifamilienhaus") + b"\n", idempotency_key="k-1")


def test_a_repeat_that_would_be_refused_now_gets_its_earlier_receipt(stage):
    first = stage.accept(idempotency_key="k-1")
    destination = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
    stage.hub.store.parties.replace_destination(replace(destination, status="inactive"))
    stage.clock.pass_(seconds=2)
    with pytest.raises(NoRoute):
        stage.accept(idempotency_key="k-2")
    assert stage.accept(idempotency_key="k-1") == replace(first, again=True)
    with pytest.raises(IdempotencyConflict):
        stage.accept(BAUANTRAG + b"\n", idempotency_key="k-1")
    assert stage.hub.store.submissions.cases().total == 1


def test_the_same_key_from_many_threads_gives_one_submission(stage):
    with ThreadPoolExecutor(8) as pool:
        answers = [job.result() for job in [pool.submit(stage.accept, idempotency_key="k-1") for _ in range(16)]]
    assert len({answer.receipt for answer in answers}) == 1
    assert stage.hub.store.submissions.cases().total == 1


def reception(stage, **cover):
    envelope = stage.cover(service=ANMELDEN, area=WIESBADEN, **cover)
    return envelope, stage.hub.intake.open(envelope, now=stage.clock())


def attach(open_reception, content: bytes, name: str = "nachweis") -> None:
    sealer = open_reception.attach(name=name, filename=f"{name}.pdf", media_type="application/pdf")
    sealer.write(content)
    sealer.finish()


def test_attachments_are_sealed_and_described(stage):
    envelope, opened = reception(stage)
    content = b"%PDF-1.4 " + bytes(200_000)
    said = {"attachments": {"nachweis": {"purpose": "report", "description": "Bescheinigung"}}}
    with opened:
        attach(opened, content)
        application = Application(cover=envelope, media_type=MediaType.JSON, data=ANMELDUNG, metadata=said)
        claims = claims_of(opened.accept(application, now=stage.clock()).result().receipt)
    message = stage.hub.store.submissions.message(UUID(claims["sub"].removeprefix("submission:")))
    (sealed,) = message.contents.attachments.values()
    assert sealed.blob is not None
    key = read_decryption_key(stage.destination("Wiesbaden")["private_decryption_jwk"], written_by_us=True)
    assert decrypt(b"".join(stage.hub.blobs.chunks(sealed)), [key], max_output=10**6) == content
    metadata = json.loads(decrypt(message.contents.metadata.jwe, [key], max_output=10**6))
    (described,) = metadata["contentStructure"]["attachments"]
    assert (described["purpose"], described["filename"]) == ("report", "nachweis.pdf")


def test_attachments_of_a_refused_application_are_dropped(stage):
    envelope, opened = reception(stage)
    broken = Application(cover=envelope, media_type=MediaType.JSON, data=ANMELDUNG.replace(b"einzug", b"eingang"))
    with opened:
        attach(opened, bytes(200_000))
        with pytest.raises(InvalidPayload):
            opened.accept(broken, now=stage.clock())
    stage.clock.pass_(days=30)
    assert nothing_stored(stage)


def test_the_101st_attachment_is_refused(stage):
    _, opened = reception(stage)
    with opened:
        for number in range(100):
            attach(opened, b"x", f"a{number}")
        with pytest.raises(TooLarge):
            attach(opened, b"x", "one-more")


def test_an_attachment_over_its_limit_is_refused_while_it_arrives(stage):
    opened = intake_with(stage, attachment_limit=10).open(stage.cover(), now=stage.clock())
    with opened:
        sealer = opened.attach(name="a", filename=None, media_type="application/pdf")
        sealer.write(b"1234567890")
        with pytest.raises(TooLarge):
            sealer.write(b"1")


def test_plaintext_over_the_memory_budget_has_to_wait(stage):
    _, opened = reception(stage)
    with opened, pytest.raises(Overloaded):
        opened.take(2**40)


WRONG_METADATA = {
    "a member that is the hub's to write": {"contentStructure": {}},
    "a note on a part that did not come": {"attachments": {"other": {"purpose": "form"}}},
    "a hash of its own": {"attachments": {"nachweis": {"hash": {}}}},
}


@pytest.mark.parametrize("said", WRONG_METADATA.values(), ids=WRONG_METADATA)
def test_metadata_that_the_sender_may_not_write_is_refused(stage, said):
    envelope, opened = reception(stage)
    wrong = Application(cover=envelope, media_type=MediaType.JSON, data=ANMELDUNG, metadata=said)
    with opened:
        attach(opened, b"x")
        with pytest.raises(Malformed):
            opened.accept(wrong, now=stage.clock())


def test_metadata_that_breaks_the_metadata_schema_is_refused(stage):
    envelope, opened = reception(stage)
    said = {"replyChannel": {"eMail": {}}}
    with opened, pytest.raises(InvalidPayload):
        opened.accept(
            Application(cover=envelope, media_type=MediaType.JSON, data=ANMELDUNG, metadata=said), now=stage.clock()
        )


def test_an_application_names_its_service_and_area(stage):
    claims = claims_of(stage.accept().receipt)
    assert (claims["publicService"], claims["area"]) == (BAUEN, TAUNUSSTEIN)
