from __future__ import annotations

import email
import hashlib
from email import policy

import orjson
import pytest
from contract import hold, make_package, opened, sentences_for, trial_of, workshop  # noqa: F401
from mail_server import MailServer
from openssl_cms import messages_in

from adapters.smime_mail import SmimeMail
from hub.adapter_kit.cases import SECRET, Trouble
from hub.adapter_kit.mail import PostBench
from hub.adapter_kit.packages import bulky, mixed_up
from hub.errors import ConfigurationError
from hub.model.delivery import sealing_of
from hub.model.submission import DeadCause, Form, OutcomeKind


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
        "hardly any room": {"size_limit": 131_071},
        "a yes that is no boolean": {"accepts_jwe": "yes"},
        "a certificate of its own": {"recipient_certificate_file": "authority.pem"},
    }.values(),
    ids=str,
)
def test_smime_mail_refuses(change, config):
    with pytest.raises(ConfigurationError):
        SmimeMail({**config, **change})


@pytest.mark.parametrize("option", ["password_file", "ca_file"])
def test_missing_files_stop_the_start(option, config):
    with pytest.raises(ConfigurationError):
        opened(SmimeMail, {**config, option: "/nowhere/at/all"})


def test_it_asks_for_cms_and_takes_jwes_only_where_the_options_say_so(config):
    usual, lenient = (sealing_of(SmimeMail, {**config, "accepts_jwe": yes}) for yes in (False, True))
    assert usual.form is lenient.form is Form.CMS
    assert usual.takes == {Form.CMS}
    assert lenient.takes == {Form.CMS, Form.JOSE}


def test_another_program_takes_the_mail_and_finds_every_content(workshop, config):  # noqa: F811
    package = make_package(attachments=3, form=Form.CMS)
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server:
        outcome = opened(SmimeMail, {**config, "port": server.port}).deliver(package)
    assert outcome.kind is OutcomeKind.DELIVERED, outcome
    (taken,) = server.mails
    assert (taken.mail_from, taken.rcpt_tos) == ("hub@example.org", ["bauamt@example.org"])
    mail = taken.original_content or taken.content
    inner = messages_in(mail)
    assert {message.get_content_type() for message in inner.values()} == {"application/pkcs7-mime"}
    assert {message.get_param("smime-type") for message in inner.values()} == {"enveloped-data"}
    files = {message.get_filename(): message.get_payload(decode=True) for message in inner.values()}
    assert set(files.values()) == {sealed.jwe for _, sealed in package.submission.contents.parts()}
    assert hashes_in(manifest_of(mail)) == {
        name: hashlib.sha512(content).hexdigest() for name, content in files.items()
    }
    assert set(inner) >= {"metadata.eml", "data.eml"}


def test_outside_the_seals_stand_ids_and_sizes_and_nothing_else(bench, config):
    package = make_package(form=Form.CMS)
    opened(SmimeMail, config).deliver(package)
    (mail,) = bench.mails
    assert email.message_from_bytes(mail, policy=policy.SMTP)["Message-ID"] == f"<{package.delivery_id}@example.org>"
    manifest = manifest_of(mail)
    assert set(manifest) == {"version", "deliveryId", "attempt", "repeat", "submissionId", "files"}
    submission = package.submission
    for word in (submission.service.name, submission.service.identifier, submission.area, package.event_log[0]):
        assert word.encode() not in mail + orjson.dumps(manifest)


@pytest.mark.parametrize("form", Form)
def test_a_content_that_was_mixed_up_is_in_no_mail(form, bench, config):
    outcome = opened(SmimeMail, {**config, "accepts_jwe": True}).deliver(mixed_up(make_package(form=form)))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, DeadCause.HUB)
    assert bench.mails == []


def test_what_came_by_the_sealed_door_is_mailed_as_jwe_files(bench, config):
    package = make_package(attachments=2)
    opened(SmimeMail, {**config, "accepts_jwe": True}).deliver(package)
    files = jwe_files_in(bench.mails[0])
    assert hashes_in(manifest_of(bench.mails[0])) == {
        name: hashlib.sha512(content).hexdigest() for name, content in files.items()
    }
    assert set(files.values()) == {sealed.jwe for _, sealed in package.submission.contents.parts()}


def test_large_jwe_attachments_are_offered_by_link(bench, config):
    package = make_package(attachments=2, text="a" * 90_000)
    contents = package.submission.contents
    without_attachments = int((contents.metadata.size + contents.data.size + 500) * 1.4) + 32 * 1024
    opened(SmimeMail, {**config, "size_limit": without_attachments, "accepts_jwe": True}).deliver(package)
    assert set(jwe_files_in(bench.mails[0])) == {"metadata.jwe", "data.jwe"}
    links = manifest_of(bench.mails[0])["links"]
    assert {each["attachmentId"] for each in links} == {str(each) for each in contents.attachments}
    assert all(each["url"].endswith(f"/attachments/{each['attachmentId']}") for each in links)
    assert {each["sha512"] for each in links} == {each.sha512 for each in contents.attachments.values()}


@pytest.mark.parametrize("form", Form)
def test_a_delivery_larger_than_any_mail_blames_the_payload(form, bench, config):
    outcome = opened(SmimeMail, {**config, "size_limit": 1_000_000}).deliver(bulky(make_package(form=form)))
    assert (outcome.kind, outcome.cause) == (OutcomeKind.REFUSED, DeadCause.PAYLOAD)
    assert bench.mails == []


def jwe_files_in(mail: bytes) -> dict[str, bytes]:
    outer = email.message_from_bytes(mail, policy=policy.SMTP)
    return {
        part.get_filename(): part.get_content()
        for part in outer.iter_attachments()
        if part.get_content_type() == "application/jose"
    }


def manifest_of(mail: bytes) -> dict:
    outer = email.message_from_bytes(mail, policy=policy.SMTP)
    (manifest,) = (part for part in outer.iter_attachments() if part.get_filename() == "manifest.json")
    return orjson.loads(manifest.get_content())


def hashes_in(manifest: dict) -> dict[str, str]:
    return {name.replace("/", "-"): facts["sha512"] for name, facts in manifest["files"].items()}
