from __future__ import annotations

import email
import hashlib
import subprocess
from datetime import UTC, datetime
from email import policy

import orjson
import pytest
from contract import hold, make_package, opened, sentences_for, trial_of, workshop  # noqa: F401
from mail_server import MailServer

from adapters.smime_mail import SmimeMail
from hub.adapter_kit.cases import Trouble
from hub.adapter_kit.post import PostBench
from hub.adapter_kit.samples import bulky
from hub.adapter_kit.workshop import SECRET
from hub.crypto.throwaway import InsecureThrowawayAuthority
from hub.errors import ConfigurationError
from hub.submission import DeadCause, OutcomeKind


@pytest.fixture
def bench(workshop):  # noqa: F811
    bench = PostBench(workshop)
    yield bench
    bench.close()


@pytest.fixture
def config(bench):
    return trial_of(SmimeMail).filled(bench.arrange(Trouble.NONE, make_package()))


@pytest.mark.parametrize("sentence", sentences_for(SmimeMail))
def test_smime_mail(sentence, workshop):  # noqa: F811
    hold(sentence, SmimeMail, workshop)


@pytest.mark.parametrize(
    "change",
    {
        "two recipients": {"recipient": "a@example.org, b@example.org"},
        "a line break in the recipient": {"recipient": "a@example.org\r\nBcc: b@example.org"},
        "a command in the sender": {"sender": "a@example.org> SIZE=1"},
        "no recipient": {"recipient": ""},
        "no port": {"port": 0},
        "no room": {"size_limit": 0},
    }.values(),
    ids=str,
)
def test_smime_mail_refuses(change, config):
    with pytest.raises(ConfigurationError):
        SmimeMail({**config, **change})


@pytest.mark.parametrize("option", ["password_file", "ca_file", "recipient_certificate_file", "anchors_file"])
def test_missing_files_stop_the_start(option, config):
    with pytest.raises(ConfigurationError):
        opened(SmimeMail, {**config, option: "/nowhere/at/all"})


def test_a_weak_certificate_stops_the_start(config, workshop):  # noqa: F811
    with pytest.raises(ConfigurationError, match="4096"):
        opened(SmimeMail, {**config, "recipient_certificate_file": str(workshop.client[0])})


def test_a_certificate_that_leads_to_no_anchor_stops_the_start(config, workshop):  # noqa: F811
    with pytest.raises(ConfigurationError):
        opened(SmimeMail, {**config, "anchors_file": str(workshop.ca_file)})


def test_a_certificate_that_ran_out_seals_nothing(config, tmp_path):
    authority = InsecureThrowawayAuthority(tmp_path, now=datetime.now(UTC))
    certificate, _key = authority.issue_recipient(days=0.0000005)
    with pytest.raises(ConfigurationError):
        opened(SmimeMail, {**config, "recipient_certificate_file": str(certificate)})


def test_another_program_opens_the_mail_and_finds_every_content(workshop, config):  # noqa: F811
    package = make_package(attachments=3)
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server:
        outcome = opened(SmimeMail, {**config, "port": server.port}).deliver(package)
    assert outcome.kind is OutcomeKind.DELIVERED, outcome
    (taken,) = server.mails
    assert (taken.mail_from, taken.rcpt_tos) == ("hub@example.org", ["bauamt@example.org"])
    entity = open_with_openssl(taken.original_content or taken.content, workshop)
    files = {part.get_filename(): part.get_content() for part in entity.iter_attachments()}
    manifest = orjson.loads(files.pop("manifest.json"))
    assert manifest["deliveryId"] == str(package.delivery_id)
    assert {name.replace("/", "-"): facts["sha512"] for name, facts in manifest["files"].items()} == {
        name: hashlib.sha512(content).hexdigest() for name, content in files.items()
    }
    assert len(files) == 5


def test_nothing_of_the_delivery_stands_outside_the_seal(bench, config):
    package = make_package()
    opened(SmimeMail, config).deliver(package)
    (mail,) = bench.mails
    outside = email.message_from_bytes(mail, policy=policy.SMTP)
    assert outside["Message-ID"] == f"<{package.delivery_id}@example.org>"
    assert package.submission.service.name.encode() not in mail
    assert str(package.submission.submission_id).encode() not in mail
    assert outside.get_content_type() == "application/pkcs7-mime"


def test_large_attachments_are_offered_by_link(bench, config, workshop):  # noqa: F811
    package = make_package(attachments=2, text="a" * 90_000)
    contents = package.submission.contents
    without_attachments = int((contents.metadata.size + contents.data.size + 33_000) * 1.95)
    opened(SmimeMail, {**config, "size_limit": without_attachments}).deliver(package)
    entity = open_with_openssl(bench.mails[0], workshop)
    assert {part.get_filename() for part in entity.iter_attachments()} == {"manifest.json", "metadata.jwe", "data.jwe"}
    manifest = next(part for part in entity.iter_attachments() if part.get_filename() == "manifest.json")
    links = orjson.loads(manifest.get_content())["links"]
    assert {each["attachmentId"] for each in links} == {str(each) for each in contents.attachments}
    assert all(each["url"].endswith(f"/attachments/{each['attachmentId']}") for each in links)


def test_a_delivery_larger_than_any_mail_blames_the_payload(bench, config):
    outcome = opened(SmimeMail, {**config, "size_limit": 1_000_000}).deliver(bulky(make_package()))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, DeadCause.PAYLOAD)
    assert bench.mails == []


def open_with_openssl(mail: bytes, workshop):  # noqa: F811
    certificate, key = workshop.recipient
    command = ["openssl", "cms", "-decrypt", "-inform", "SMIME", "-recip", str(certificate), "-inkey", str(key)]
    content = subprocess.run(command, input=mail, capture_output=True, check=True, timeout=20).stdout
    return email.message_from_bytes(content, policy=policy.SMTP)
