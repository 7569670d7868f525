"""A destination that gets mail: sealed as CMS at the plain door, delivered by SMTP, opened with openssl. All real."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from uuid import UUID

import pytest
from contract import workshop  # noqa: F401
from mail_server import MailServer
from openssl_cms import messages_in, opened, pem_key
from sealed_door import Door, Sent, kinds, read
from stage import BAUANTRAG, BAUEN, CANARY, TAUNUSSTEIN, Stage, VirtualClock, serving
from test_policy import send as send_leniently

from hub import app
from hub.adapter_kit.cases import SECRET
from hub.config import load_settings
from hub.crypto.development import InsecureDevelopmentAuthority
from hub.crypto.jwk import make_rsa_pair
from hub.crypto.receipts import claims_of
from hub.model.parties import Callback
from hub.model.submission import DeadCause, Form
from hub.routing import OnInvalid

PLAN = b"%PDF-1.7\r\n" + bytes(range(256)) * 500
NAME = f"Lageplan {CANARY} Süd.pdf"
LIMIT = 400_000


def mailed(stage: Stage, workshop, *, port: int = 1, **options) -> dict:  # noqa: F811
    """Let the demo's building authority be served by mail; return what the test needs to know of it."""
    known = stage.destination("Rheingau")
    config = {
        "host": "127.0.0.1",
        "port": port,
        "user": "hub",
        "password_file": str(workshop.secret_file),
        "ca_file": str(workshop.ca_file),
        "sender": "hub@example.org",
        "recipient": "bauamt@example.org",
        "allow_private_addresses": True,
        "timeout": 20,
        **options,
    }
    store = stage.hub.store
    destination = store.parties.destination(stage.destination_id("Rheingau"))
    store.parties.replace_destination(replace(destination, adapter="smime_mail", adapter_config=config))
    return known


def send(served, *, data: bytes = BAUANTRAG, attachments=((NAME, PLAN, "application/pdf"),), **headers):
    parts = [("data", ("antrag.xml", data, "application/xml"))]
    parts += [(f"anlage{number}", each) for number, each in enumerate(attachments)]
    where = {"service": BAUEN, "ars": TAUNUSSTEIN}
    return served.post("/hub/v1/applications", params=where, files=parts, headers=headers)


def nothing_stored(served) -> bool:
    return served.stage.hub.store.submissions.cases().total == 0 and not any(
        served.stage.hub.blobs.names(served.stage.clock())
    )


def use_key(stage: Stage, jwk: dict) -> None:
    """Put a key in place as if it had been good once."""
    store, destination_id = stage.hub.store, stage.destination_id("Rheingau")
    store.parties.add_key(destination_id, jwk, stage.clock())
    store.parties.replace_destination(replace(store.parties.destination(destination_id), encryption_kid=jwk["kid"]))
    stage.clock.pass_(seconds=2)  # Answers of the directory are a second old at most.


# --- what cannot be sealed ------------------------------------------------------------------------------------------


def bad_keys(stage: Stage):
    """Keys that the policy refuses, each for another reason."""
    now = stage.clock()
    authority = InsecureDevelopmentAuthority.load_or_create(
        stage.data / "pki" / "development-ca", now=now, production=False
    )
    stranger = InsecureDevelopmentAuthority.load_or_create(stage.data / "stranger", now=now, production=False)
    public, _ = make_rsa_pair("encryption")
    weak, _ = make_rsa_pair("encryption", bits=2048)
    signing, _ = make_rsa_pair("signing")
    wrong_use = authority.issue(signing, subject="x", now=now)["x5c"]
    yield "expired", authority.issue(public, subject="x", now=now.replace(year=now.year - 1), days=9)
    yield "weak", authority.issue(weak, subject="x", now=now)
    yield "no anchor", stranger.issue(public | {"kid": "stranger-1"}, subject="x", now=now)
    yield "no certificate", public | {"kid": "without-x5c"}
    yield (
        "a certificate for signatures",
        public | {"kid": "for-signing", "n": signing["n"], "e": signing["e"], "x5c": wrong_use},
    )


def test_a_bad_certificate_is_refused_before_anything_is_stored(stage, workshop):  # noqa: F811
    mailed(stage, workshop)
    with serving(stage) as served:
        for why, jwk in bad_keys(stage):
            use_key(stage, jwk | {"kid": f"bad-{why.replace(' ', '-')}"})
            answer = send(served)
            assert (answer.status_code, answer.json()["type"]) == (503, "urn:rathaus-hub:problem:key-unavailable"), why
            assert int(answer.headers["Retry-After"]) > 0
        assert nothing_stored(served)


def test_options_that_the_adapter_does_not_take_stop_the_application_not_the_delivery(stage, workshop):  # noqa: F811
    mailed(stage, workshop, surprise=1)
    with serving(stage) as served:
        answer = send(served)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:rathaus-hub:problem:destination-misconfigured")
        assert nothing_stored(served)


@pytest.mark.parametrize(
    "more",
    {
        "one large attachment": {"attachments": [("a.pdf", b"a" * LIMIT, "application/pdf")]},
        "many small attachments": {"attachments": [(f"{n}.pdf", b"a", "application/pdf") for n in range(60)]},
        "large data": {"data": BAUANTRAG + b" " * LIMIT},
    }.values(),
    ids=lambda more: next(iter(more)),
)
def test_what_fits_into_no_mail_is_refused_with_the_limit_and_nothing_is_stored(more, stage, workshop):  # noqa: F811
    mailed(stage, workshop, size_limit=LIMIT)
    with serving(stage) as served:
        problem = send(served, **more).json()
        assert (problem["status"], problem["type"]) == (413, "urn:rathaus-hub:problem:too-large-for-destination")
        assert str(problem["limit"]) in problem["detailDe"]
        assert problem["limit"] < LIMIT
        assert nothing_stored(served)


def test_plaintext_that_is_being_sealed_counts_as_memory_as_often_as_it_lies_there(made_once, tmp_path, workshop):  # noqa: F811
    shutil.copytree(made_once, tmp_path / "data")
    settings = load_settings(
        tmp_path / "data", {}, allow_private_addresses=True, disk_watermark_bytes=0, memory_budget_bytes=500_000
    )
    clock = VirtualClock()
    cast = json.loads((tmp_path / "data" / "demo.json").read_text())
    stage = Stage(hub=app.build(settings, clock=clock), clock=clock, cast=cast, data=tmp_path / "data")
    mailed(stage, workshop)
    with serving(stage) as served:
        large = [("a.pdf", b"a" * 200_000, "application/pdf")]
        answer = send(served, attachments=large)
        assert (answer.status_code, answer.json()["type"]) == (503, "urn:rathaus-hub:problem:overloaded")
        for _ in range(3):
            assert send(served, attachments=[("a.pdf", b"a" * 20_000, "application/pdf")]).status_code == 202
    stage.hub.close()


# --- from the POST to the opened mail -------------------------------------------------------------------------------


def test_an_application_arrives_as_mail_that_openssl_opens_byte_for_byte(stage, workshop, tmp_path):  # noqa: F811
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server, serving(stage) as served:
        known = mailed(stage, workshop, port=server.port)
        accepted = send(served, attachments=[(NAME, PLAN, "application/pdf"), ("", b"x,y\r\n", "text/csv")])
        assert accepted.status_code == 202, accepted.text
        assert stage.hub.dispatcher.run_once() == 1
        state = served.get(f"/hub/v1/applications/{accepted.json()['submissionId']}").json()
    assert state["delivery"] == "delivered"
    (taken,) = server.mails
    mail = taken.original_content or taken.content
    assert CANARY.encode() not in mail
    key = pem_key(known["private_decryption_jwk"])
    parts = {name: opened(inner.as_bytes(), key, tmp_path, inform="SMIME") for name, inner in messages_in(mail).items()}
    data, metadata = parts.pop("data.eml"), parts.pop("metadata.eml")
    assert (data.filename, data.media_type, data.body) == ("antrag.xml", "application/xml", BAUANTRAG)
    assert {(part.filename, part.media_type, part.body) for part in parts.values()} == {
        (NAME, "application/pdf", PLAN),
        ("anlage.csv", "text/csv", b"x,y\r\n"),
    }
    described = json.loads(metadata.body)["contentStructure"]
    assert described["data"]["hash"]["content"] == hashlib.sha512(BAUANTRAG).hexdigest()
    assert {each["hash"]["content"] for each in described["attachments"]} == {
        hashlib.sha512(part.body).hexdigest() for part in parts.values()
    }


def test_receipt_and_chain_hold_the_hash_of_each_sealed_part(stage, workshop):  # noqa: F811
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server, serving(stage) as served:
        mailed(stage, workshop, port=server.port)
        answer = send(served).json()
        stage.hub.dispatcher.run_once()
    claims = claims_of(answer["receipt"])
    sealed = {
        inner.get_filename(): hashlib.sha512(inner.get_payload(decode=True)).hexdigest()
        for inner in messages_in(server.mails[0].content).values()
    }
    proven = {name: part["sha512"] for name, part in claims["contents"].items()}
    assert sorted(proven.values()) == sorted(sealed.values())
    assert (proven["data"], claims["sealedAs"]) == (sealed["data.p7m"], "cms")
    assert not any("authenticationTag" in part for part in claims["contents"].values())
    log = stage.hub.store.event_log.events(stage.hub.store.submissions.cases().items[0].case_id).items
    (submitted,) = (event for event in log if event.kind == "submit")
    assert dict(submitted.digests) == proven
    assert dict(submitted.payload) == {"authenticationTags": {}}
    assert stage.hub.notary.verify([log[0].case_id]).findings == ()


def test_what_is_as_large_as_allowed_fits_into_the_mail(stage, workshop):  # noqa: F811
    """The limit that the door names is one that the delivery keeps, with one attachment as with a hundred."""
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server, serving(stage) as served:
        mailed(stage, workshop, port=server.port, size_limit=2_000_000)
        limit = send(served, attachments=[("a", b"a" * 2_000_000, "text/csv")]).json()["limit"]
        room = limit - 103 * 6 * 1024 - len(BAUANTRAG) - 60_000  # Metadata describe 100 attachments.
        for count in (1, 100):
            each = [(f"{'langer Name ' * 9}{n}.pdf", b"a" * (room // count), "application/pdf") for n in range(count)]
            assert send(served, attachments=each).status_code == 202
            stage.hub.dispatcher.run_once()
    assert [len(messages_in(mail.content)) for mail in server.mails] == [3, 102]


def test_the_same_application_again_gets_the_same_receipt_and_one_mail(stage, workshop):  # noqa: F811
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server, serving(stage) as served:
        mailed(stage, workshop, port=server.port)
        first, second = (send(served, **{"Idempotency-Key": "k" * 20}) for _ in range(2))
        assert first.json()["receipt"] == second.json()["receipt"]
        stage.hub.dispatcher.run_once()
        stage.hub.dispatcher.run_once()
    assert len(server.mails) == 1


def test_the_report_on_a_lenient_rules_application_is_sealed_alike(stage, workshop, tmp_path):  # noqa: F811
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server:
        known = mailed(stage, workshop, port=server.port)
        send_leniently(stage, OnInvalid.DELIVER_WITH_REPORT)
        stage.hub.dispatcher.run_once()
    inner = messages_in(server.mails[0].content)
    key = pem_key(known["private_decryption_jwk"])
    names = {opened(message.as_bytes(), key, tmp_path, inform="SMIME").filename for message in inner.values()}
    assert names == {"antrag.xml", "metadata.json", "validierungsbericht.json"}


# --- the sealed door and collection ---------------------------------------------------------------------------------


@pytest.fixture
def door(stage):
    door = Door(stage)
    door.__dict__["cast"] = stage.destination("Rheingau")
    return door


def test_the_sealed_door_says_which_door_to_take(door, workshop):  # noqa: F811
    announced = door.announce()  # As long as the destination takes JWEs.
    mailed(door.stage, workshop)
    door.clock.pass_(seconds=2)
    body = {"destinationId": str(door.destination_id), "announcedAttachments": []}
    for version, service in (("v1", "serviceType"), ("v2", "publicService")):
        document = body | {service: {"identifier": BAUEN, "name": "Bauantrag"}}
        answer = door.sender.ask(
            "POST",
            f"/{version}/submissions",
            ("Content-Type", "application/json"),
            body=[json.dumps(document).encode()],
        )
        assert door.refused(answer, 422, "destination-needs-plain-door")
    late = door.submit(announced["submissionId"], door.seal(b"{}"), door.seal(b"{}"))
    assert door.refused(late, 422, "destination-needs-plain-door")
    assert door.hub.store.submissions.message(UUID(announced["submissionId"])).state == "incomplete"


def test_where_the_options_say_so_the_sealed_doors_jwes_are_mailed(door, workshop):  # noqa: F811
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server:
        mailed(door.stage, workshop, port=server.port, accepts_jwe=True)
        door.clock.pass_(seconds=2)
        sent = door.send(b"plan")
        door.hub.dispatcher.run_once()
    outer = message_from_bytes(server.mails[0].content, policy=policy.SMTP)
    files = {part.get_content() for part in outer.iter_attachments() if part.get_content_type() == "application/jose"}
    assert files == {jwe.encode() for jwe in (sent.metadata, sent.data, *sent.attachments.values())}


def test_jwes_that_fit_into_no_mail_are_refused_before_they_are_stored(door, workshop):  # noqa: F811
    mailed(door.stage, workshop, accepts_jwe=True, size_limit=LIMIT)
    door.clock.pass_(seconds=2)
    announced = door.announce()
    refused = door.submit(announced["submissionId"], door.seal(b"{}"), door.seal(b"a" * LIMIT))
    assert door.refused(refused, 413, "too-large-for-destination")
    assert door.submit(announced["submissionId"], door.seal(b"{}"), door.seal(b"{}")).status in {200, 202}


def test_nobody_is_called_to_collect_what_is_pushed_only(door, workshop):  # noqa: F811
    mailed(door.stage, workshop)
    store = door.hub.store
    there = replace(
        store.parties.destination(door.destination_id), callback=Callback(url="https://fv.example/cb", secret="s")
    )
    store.parties.replace_destination(there)
    door.stage.accept()
    assert store.callbacks.claim(door.clock(), lease=timedelta(minutes=1), node="n", limit=10) == []


def test_what_is_sealed_as_cms_is_pushed_only(door, workshop):  # noqa: F811
    """A collector must neither be offered what it cannot open nor told that it does not exist."""
    mailed(door.stage, workshop)
    submission_id = claims_of(door.stage.accept().receipt)["sub"].removeprefix("submission:")
    assert submission_id not in door.listed()
    for version in ("v1", "v2"):
        shown = door.subscriber.get(f"/{version}/submissions/{submission_id}")
        assert door.refused(shown, 404, "submission-pushed-only")


def test_a_receiver_of_cms_may_accept_without_tags_because_there_are_none(door, workshop):  # noqa: F811
    mailed(door.stage, workshop)
    claims = claims_of(door.stage.accept().receipt)
    sent = Sent(claims["sub"].removeprefix("submission:"), claims["txn"].removeprefix("case:"), "", None)
    invented = door.token("accept-submission", sent, {"authenticationTags": {"metadata": "A" * 22}})
    assert door.refused(door.post_event(sent, invented), 422)
    assert door.post_event(sent, door.token("accept-submission", sent, {})).status in {200, 202, 204}
    log = door.log(sent)
    assert kinds(log) == ["create-submission", "submit-submission", "accept-submission"]
    assert next(iter(read(log[1])[1]["events"].values())) == {"authenticationTags": {}}


# --- an adapter that was changed meanwhile --------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["mailbox", "folder"])
def test_cms_is_not_given_to_an_adapter_that_takes_jwes(adapter, stage, workshop, tmp_path):  # noqa: F811
    mailed(stage, workshop)
    accepted = stage.accept()
    stage.clock.pass_(seconds=2)
    store, destination_id = stage.hub.store, stage.destination_id("Rheingau")
    config = {"path": str(tmp_path)} if adapter == "folder" else {}
    store.parties.replace_destination(
        replace(store.parties.destination(destination_id), adapter=adapter, adapter_config=config),
    )
    stage.hub.dispatcher.run_once()
    assert buried(stage, accepted) == (DeadCause.CONFIGURATION, f"sealed as cms, which {adapter} does not take here")


def test_jwes_are_not_mailed_to_whom_does_not_take_them(stage, workshop):  # noqa: F811
    accepted = stage.accept()
    mailed(stage, workshop)
    stage.hub.dispatcher.run_once()
    assert buried(stage, accepted) == (DeadCause.CONFIGURATION, "sealed as jose, which smime_mail does not take here")


def test_the_form_stands_in_the_store(stage, workshop):  # noqa: F811
    jose, cms = stage.accept(), None
    mailed(stage, workshop)
    stage.clock.pass_(seconds=2)
    cms = stage.accept()
    for accepted, form in ((jose, Form.JOSE), (cms, Form.CMS)):
        message = stage.hub.store.submissions.message(submission_id(accepted))
        assert message.form is message.contents.form is form


def submission_id(accepted) -> UUID:
    return UUID(claims_of(accepted.receipt)["sub"].removeprefix("submission:"))


def buried(stage: Stage, accepted) -> tuple[DeadCause, str]:
    view = stage.hub.store.deliveries.of(submission_id(accepted))
    assert view.state == "dead"
    return view.cause, view.attempts[-1].note.removeprefix("not attempted: ")
