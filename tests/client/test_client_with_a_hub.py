"""The client against a real hub: its examples run as they are printed, and what comes back is what was sent."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from uuid import UUID

import pytest
import uvicorn
from click.testing import CliRunner
from processes import free_port
from stage import BAUANTRAG, NAMING, SCHEMAS

from hub import app
from hub.cli import main
from hub.client import fit_connect
from hub.client.cases import OwnCases
from hub.client.contents import Attachment, Message
from hub.client.fit_connect import SUBMISSION_API, Dialect, Sender, Subscriber
from hub.client.plain import Application, PlainDoor, Receipt
from hub.client.session import Session, Tokens, log_in
from hub.client.transport import Direct
from hub.client.verification import Problem
from hub.config import load_settings
from hub.crypto.keys import (
    KeyPolicy,
    judge_encryption_key,
    make_rsa_pair,
    read_decryption_key,
    read_signing_key,
)
from hub.errors import (
    Conflict,
    IdempotencyConflict,
    Invalid,
    InvalidPayload,
    NoRoute,
    NotFound,
    SealBroken,
    TooLarge,
    UnknownSchema,
)
from hub.model import CaseMessage, CaseMessageKind, MediaType, Service, State, utc_now

CLIENT = Path(__file__).parents[2] / "client"
BAUEN = "urn:de:fim:leika:leistung:99012008001000"
PDF = b"%PDF-1.7" + bytes(300_000)


@dataclass
class Town:
    """A hub behind a real server, and what its partners are told."""

    demo: dict
    file: Path
    anchor: Path

    @property
    def hub(self) -> str:
        return self.demo["base_url"]

    @property
    def door(self) -> PlainDoor:
        return PlainDoor(log_in(self.hub, **self.demo["sender"]))

    @property
    def reserved(self) -> dict:
        return self.demo["reserved_for_tests"]

    def sender(self, dialect: Dialect = Dialect.V2) -> Sender:
        session = log_in(self.hub, **self.demo["sender"], api=SUBMISSION_API)
        return Sender(session, issuers=frozenset({self.hub}), dialect=dialect)

    def subscriber(self, dialect: Dialect = Dialect.V2) -> Subscriber:
        session = log_in(self.hub, **self.reserved["subscriber"], api=SUBMISSION_API)
        return Subscriber(session, issuers=frozenset({self.hub}), dialect=dialect)

    @property
    def policy(self) -> KeyPolicy:
        return KeyPolicy.from_files([self.anchor], allow_self_signed=False)

    @property
    def decryption(self):
        return read_decryption_key(self.reserved["private_decryption_jwk"], written_by_us=True)

    @property
    def signing(self):
        return read_signing_key(self.reserved["private_signing_jwk"], written_by_us=True)

    def send(self, sender: Sender, *attachments: Attachment):
        destination = sender.destination(UUID(self.reserved["destination_id"]))
        offered = destination.services[0]
        message = Message(
            data=b'{"antrag": 1}',
            media_type=MediaType.JSON,
            schema_uri=offered["submissionSchemas"][0]["schemaUri"],
            attachments=attachments,
        )
        key = sender.encryption_key(destination, policy=self.policy)
        service = Service(identifier=offered["identifier"])
        return sender.send(message, destination=destination, key=key, service=service)


@pytest.fixture(scope="module")
def town(made_once, tmp_path_factory):
    data, port = tmp_path_factory.mktemp("town") / "data", free_port()
    shutil.copytree(made_once, data)
    base_url = f"http://127.0.0.1:{port}"
    settings = load_settings(
        data, {}, base_url=base_url, port=port, allow_private_addresses=True, disk_watermark_bytes=0
    )
    hub = app.build(settings)
    options = {**app.server_options(settings), "log_level": "error"}
    server = uvicorn.Server(uvicorn.Config(app.asgi(hub, work=False), port=port, **options))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    demo = {**json.loads((data / "demo.json").read_text()), "base_url": base_url, "token_url": f"{base_url}/token"}
    (data / "demo.json").write_text(json.dumps(demo))
    anchor = data / "pki" / "development-ca" / "insecure-development-ca.pem"
    yield Town(demo, data / "demo.json", anchor)
    server.should_exit = True
    thread.join()
    hub.close()


# --- the plain door -------------------------------------------------------------------------------------------------


def test_an_application_with_attachments_gets_one_receipt_however_often_it_is_sent(town):
    opened = []

    def content():
        opened.append(BytesIO(PDF))
        return opened[-1]

    plan = Attachment(open=content, filename="lageplan.pdf", media_type="application/pdf", description="Der Plan")
    application = Application(
        data=NAMING, media_type=MediaType.XML, service=BAUEN, ars="064390015015", attachments=[plan]
    )
    receipt = town.door.submit(application)
    assert town.door.submit(application).token == receipt.token
    assert len(opened) == 2
    assert all(each.closed for each in opened)
    assert {part.partition(":")[0] for part in receipt.claims["contents"]} == {"metadata", "data", "attachment"}
    assert receipt.validation is None
    assert town.door.receipt(receipt.submission_id).token == receipt.token
    progress = town.door.progress(receipt.submission_id)
    assert (progress.state, progress.case_id) == (State.SUBMITTED, receipt.case_id)
    assert progress.history[0].text.de


def test_a_sender_finds_its_own_applications_again(town):
    common = {"media_type": MediaType.XML, "service": BAUEN, "ars": "064390015015"}
    receipt = town.door.submit(Application(data=BAUANTRAG, external_reference="OD-7", **common))
    assert receipt.claims["externalReference"] == "OD-7"
    (found,) = town.door.applications(external_reference="OD-7")
    assert (found.submission_id, found.case_id, found.external_reference) == (
        receipt.submission_id,
        receipt.case_id,
        "OD-7",
    )
    assert found in list(town.door.applications(state=State.SUBMITTED, service=BAUEN, since=found.accepted_at))


def test_what_is_refused_says_where(town):
    bad = (SCHEMAS / "bauantrag/1.0/examples/bad-ohne-flurstueck.xml.element-missing.xml").read_bytes()
    common = {"media_type": MediaType.XML, "service": BAUEN}
    with pytest.raises(InvalidPayload) as refused:
        town.door.submit(Application(data=bad, ars="064390015015", **common))
    assert refused.value.members["violations"][0]["path"]
    assert refused.value.members["status"] == 422
    with pytest.raises(NoRoute):
        town.door.submit(Application(data=BAUANTRAG, ars="010010000000", **common))
    application = Application(data=BAUANTRAG, ars="064390015015", idempotency_key="one-key", **common)
    town.door.submit(application)
    with pytest.raises(IdempotencyConflict):
        town.door.submit(Application(data=NAMING, ars="064390015015", idempotency_key="one-key", **common))
    with pytest.raises(NotFound):
        town.door.progress(UUID(int=7))


@pytest.mark.parametrize("wrong", [{}, {"ars": "06", "ags": "06414000"}, {"ars": "06", "idempotency_key": "a\r\nX: y"}])
def test_what_cannot_be_sent_is_refused_before(wrong):
    with pytest.raises(Invalid):
        Application(data=b"{}", media_type=MediaType.JSON, service=BAUEN, **wrong)


def test_a_receipt_of_other_keys_is_none(town, receipt_key):
    receipt = town.door.submit(Application(data=BAUANTRAG, media_type=MediaType.XML, service=BAUEN, ars="064390015015"))
    with pytest.raises(SealBroken):
        Receipt.verified(receipt.token, {"keys": [receipt_key.public_jwk()]})


def test_a_file_name_of_any_letters_ends_neither_line_nor_quotes(town):
    plan = Attachment(open=lambda: BytesIO(PDF), filename='Plän "1"\r\nX: y.pdf', media_type="application/pdf")
    application = Application(
        data=BAUANTRAG, media_type=MediaType.XML, service=BAUEN, ars="064390015015", attachments=[plan]
    )
    assert len(town.door.submit(application).claims["contents"]) == 3


def test_catalogues_are_asked_without_submitting(town):
    assert town.door.validate(BAUANTRAG, media_type=MediaType.XML).valid
    report = town.door.validate(BAUANTRAG.replace(b"flurstueck", b"grundstueck"), media_type=MediaType.XML)
    assert not report.valid
    assert report.total >= 1
    assert report.violations[0]["rule"]
    entries = town.door.schemas()
    entry = town.door.schema(entries[0]["uri"])
    assert entry.items() >= entries[0].items()
    assert [each["file"] for each in entry["documents"]]  # To be fetched; lists leave that out.
    with pytest.raises((NotFound, UnknownSchema)):
        town.door.schema("urn:nobody")
    assert town.door.areas("Taunusstein")["areas"][0]["ars"] == "064390015015"
    assert town.door.responsible(BAUEN, ars="064390015015")["destinationId"]


# --- what comes back ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answered(town):
    """An application that names a key for replies, and the authority's answer with an attachment."""
    public, private = make_rsa_pair("encryption")
    channel = {"fitConnect": {"processStandards": ["urn:example:bescheid"], "encryptionPublicKey": public}}
    application = Application(
        data=BAUANTRAG,
        media_type=MediaType.XML,
        service=BAUEN,
        ars="064390015015",
        metadata={"replyChannel": channel},
    )
    receipt = town.door.submit(application)
    authority = Subscriber(
        log_in(town.hub, **town.demo["subscriber"], api=SUBMISSION_API), issuers=frozenset({town.hub})
    )
    decision = Attachment(open=lambda: BytesIO(PDF), filename="bescheid.pdf", media_type="application/pdf")
    answer = Message(
        data=b'{"antwort": 2}', media_type=MediaType.JSON, schema_uri="urn:example:bescheid", attachments=[decision]
    )
    key = judge_encryption_key(public, now=utc_now(), policy=KeyPolicy(), require_x5c=False)
    return receipt, authority.write_reply(receipt.case_id, answer, key).message, private


def cases(town: Town) -> OwnCases:
    return OwnCases(log_in(town.hub, **town.demo["sender"]))


def test_a_reply_is_proven_by_the_log_and_opened_by_the_sender_alone(town, answered):
    receipt, sent, private = answered
    (reply,) = cases(town).replies(receipt.case_id)
    assert (reply.reply_id, reply.readable) == (sent.message_id, True)
    with cases(town).collect(receipt.case_id, reply.reply_id) as collected:
        opened = collected.open([read_decryption_key(private, written_by_us=True)])
        assert opened.data == b'{"antwort": 2}'
        (decision,) = opened.attachments
        assert (decision.filename, b"".join(decision.chunks())) == ("bescheid.pdf", PDF)
        with pytest.raises(SealBroken):  # Another key.
            collected.open([town.decryption])
    found = cases(town).show(receipt.case_id)
    assert found.replies == (reply,)
    assert receipt.submission_id in [each.submission_id for each in found.submissions]
    with pytest.raises(NotFound), cases(town).collect(receipt.case_id, UUID(int=7)):
        pass


class Swapping(Session):
    """A way to the hub on which somebody puts other data into replies, sealed for the sender as well."""

    def json(self, method, path, **more):
        found = super().json(method, path, **more)
        return found | {"encryptedData": found["encryptedMetadata"]} if "encryptedData" in found else found


def test_a_reply_whose_parts_are_not_those_of_the_log_is_not_opened(town, answered):
    receipt, sent, _ = answered
    tokens = Tokens(f"{town.hub}/token", **town.demo["sender"])
    swapped = OwnCases(Swapping(town.hub, transport=Direct(), tokens=tokens))
    with pytest.raises(SealBroken) as refused, swapped.collect(receipt.case_id, sent.message_id):
        pass
    assert refused.value.slug == "incorrect-authentication-tag"


def test_a_reply_that_goes_on_beyond_the_limit_is_given_up(town, answered, monkeypatch):
    receipt, sent, _ = answered
    monkeypatch.setattr(fit_connect, "LARGEST_ATTACHMENT", len(PDF))  # Its JWE is a third longer.
    with pytest.raises(TooLarge), cases(town).collect(receipt.case_id, sent.message_id):
        pass


def test_the_command_opens_a_reply_into_a_folder_and_accepts_it(town, answered, tmp_path):
    receipt, sent, private = answered
    (tmp_path / "key.json").write_text(json.dumps(private))
    (tmp_path / "secret").write_text(town.demo["sender"]["client_secret"])
    for name in ("key.json", "secret"):
        (tmp_path / name).chmod(0o600)
    who = [
        "--hub",
        town.hub,
        "--client-id",
        town.demo["sender"]["client_id"],
        "--secret-file",
        str(tmp_path / "secret"),
    ]
    shown = CliRunner().invoke(main, ["case", "show", str(receipt.case_id), *who])
    assert (shown.exit_code, str(sent.message_id) in shown.output) == (0, True), shown.output
    ids, key = [str(receipt.case_id), str(sent.message_id)], ["--key", str(tmp_path / "key.json")]
    opened = CliRunner().invoke(
        main, ["case", "reply", *ids, *key, "--into", str(tmp_path / "reply"), "--accept", *who]
    )
    assert opened.exit_code == 0, opened.output
    assert {path.name for path in (tmp_path / "reply").iterdir()} == {"metadata.json", "data.json", "bescheid.pdf"}
    assert (tmp_path / "reply" / "bescheid.pdf").read_bytes() == PDF
    assert (tmp_path / "reply" / "data.json").stat().st_mode & 0o077 == 0
    listed = CliRunner().invoke(main, ["case", "replies", str(receipt.case_id), *who])
    assert "accepted" in listed.output
    with pytest.raises(Conflict):
        cases(town).acknowledge(receipt.case_id, sent.message_id)
    (tmp_path / "lageplan.pdf").write_bytes(PDF)
    said = ["--text", "Der Lageplan liegt bei.", "--attachment", str(tmp_path / "lageplan.pdf")]
    assert CliRunner().invoke(main, ["case", "answer", *ids, *said, *who]).exit_code == 0
    back = ["case", "withdraw", str(receipt.case_id), str(receipt.submission_id)]
    assert CliRunner().invoke(main, [*back, *who]).exit_code == 0
    kinds = {each.kind for each in cases(town).show(receipt.case_id).submissions}
    assert kinds >= {None, "answer", "withdrawal"}


def test_a_later_message_gets_one_receipt_however_often_it_is_sent(town, answered):
    receipt, _, _ = answered
    common = {"service": BAUEN, "ars": "064390015015"}
    better = Application(
        data=BAUANTRAG, media_type=MediaType.XML, case_id=receipt.case_id, replaces=receipt.submission_id, **common
    )
    corrected = town.door.submit(better)
    assert (corrected.case_id, corrected.claims["inCase"]["kind"]) == (receipt.case_id, "correction")
    assert town.door.submit(better).token == corrected.token
    message = CaseMessage(kind=CaseMessageKind.WITHDRAWAL, about=UUID(int=7))
    with pytest.raises(Invalid) as refused:
        town.door.submit(Application.in_case(message, receipt.case_id, **common))
    assert refused.value.slug == "not-in-case"
    with pytest.raises(NotFound):
        town.door.submit(Application.in_case(message, UUID(int=7), **common))
    (hub,) = town.door.ai_systems(BAUEN)
    assert hub["kind"] == "rule-engine"


# --- the sealed door ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", Dialect)
def test_what_is_sent_is_collected_proven_opened_and_accepted(town, dialect):
    plan = Attachment(open=lambda: BytesIO(PDF), filename="plan.pdf", media_type="application/pdf", purpose="form")
    sent = town.send(town.sender(dialect), plan)
    subscriber = town.subscriber(dialect)
    (waiting,) = [
        each
        for each in subscriber.waiting(UUID(town.reserved["destination_id"]))
        if each.message_id == sent.message.message_id
    ]
    with subscriber.collect(waiting) as collected:
        subscriber.verify(collected)
        assert collected.tags == sent.tags
        opened = collected.open([town.decryption])
        assert opened.data == b'{"antrag": 1}'
        (attachment,) = opened.attachments
        assert (attachment.filename, attachment.purpose) == ("plan.pdf", "form")
        assert b"".join(attachment.chunks()) == PDF
        subscriber.accept(collected, town.signing)
        with pytest.raises(Conflict):
            subscriber.accept(collected, town.signing)
    assert town.sender(dialect).state(sent.message) is State.ACCEPTED


def test_what_is_rejected_says_why_to_its_sender(town):
    sent, subscriber = town.send(town.sender()), town.subscriber()
    with subscriber.collect(sent.message) as collected:
        changed = {**collected.tags, "data": "AAAAAAAAAAAAAAAAAAAAAA"}
        broken = type(collected)(**{name: getattr(collected, name) for name in collected.__slots__} | {"tags": changed})
        with pytest.raises(SealBroken) as refused:
            subscriber.verify(broken)
    problems = refused.value.members["problems"]
    assert [(each.slug, each.instance) for each in problems] == [("incorrect-authentication-tag", "data")]
    named = next(
        each
        for each in subscriber.waiting(UUID(town.reserved["destination_id"]))
        if each.message_id == sent.message.message_id
    )
    subscriber.reject(named, [*problems, Problem(slug="missing-data", instance="data", detail="None.")], town.signing)
    ((uri, payload),) = town.sender().verified_log(sent.message.case_id)[-1]["events"].items()
    assert uri.endswith("/reject-submission")
    assert [each["type"].rpartition("/")[2] for each in payload["problems"]] == [
        "incorrect-authentication-tag",
        "missing-data",
    ]


# --- the examples ---------------------------------------------------------------------------------------------------

APPLICATION = SCHEMAS / "bauantrag/1.0/examples/good-einfamilienhaus.xml"
BROKEN = SCHEMAS / "bauantrag/1.0/examples/bad-ohne-flurstueck.xml.element-missing.xml"


def test_the_examples_do_what_they_say(town, tmp_path):
    (tmp_path / "lageplan.pdf").write_bytes(PDF)
    printed = run(town, "submit", APPLICATION, tmp_path / "lageplan.pdf")
    assert re.search(r"^[0-9a-f-]{36} -> .*\n[\w.-]{100,}\n", printed)
    assert "violations of" in run(town, "validate", BROKEN)
    sent = run(town, "send", town.anchor)
    assert "/events/submit-submission" in sent
    collected = run(town, "collect")
    assert sent[:36] in collected
    assert "plan.pdf 8 bytes" in collected
    assert run(town, "reply", town.anchor) == "b'{\"antwort\": 2}'\n"


def run(town: Town, example: str, *arguments: Path) -> str:
    command = [sys.executable, str(CLIENT / "examples" / f"{example}.py"), str(town.file), *map(str, arguments)]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_what_the_readme_shows_stands_in_the_examples():
    readme = (CLIENT / "README.md").read_text(encoding="utf-8")
    examples = {path.name: path.read_text(encoding="utf-8") for path in (CLIENT / "examples").glob("*.py")}
    shown = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(shown) >= 3
    for block in shown:
        for piece in block.strip().split("\n\n"):
            assert any(piece in text for text in examples.values()), piece
    assert all(f"examples/{name}" in readme for name in examples)
