"""A destination that wants it gets a page that people can read, sealed in beside the data; others get what they always got."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from uuid import UUID

import pytest
from contract import workshop  # noqa: F401
from mail_server import MailServer
from openssl_cms import messages_in, pem_key
from openssl_cms import opened as opened_cms
from stage import BAUANTRAG, NAMING, serving
from test_cms_destination import mailed
from test_cms_destination import send as send_to_mail
from test_policy import claims, message, opened, send

from hub.adapter_kit.cases import SECRET
from hub.crypto import decrypt, read_decryption_key
from hub.errors import ConfigurationError
from hub.forms.clerk_pages import LARGEST, ClerkPages
from hub.model import Application, MediaType
from hub.model.adapter import declared
from hub.model.delivery import sealing_of
from hub.routing import OnInvalid

HOSTILE = '<img src=x onerror="alert(1)">'
#: The example, whose applicant's name holds markup.
STRANGE = re.sub(
    rb"(<bau:(?:familienname|name)>)[^<]*",
    rb"\g<1>" + HOSTILE.replace("<", "&lt;").encode(),
    NAMING,
    count=1,
)


def wanting(stage, **options) -> None:
    """Let the demo's building authority want a page."""
    parties = stage.hub.store.parties
    destination = parties.destination(stage.destination_id("Rheingau"))
    config = {**destination.adapter_config, "readable": "html", **options}
    parties.replace_destination(replace(destination, adapter_config=config))


def page_of(stage, accepted) -> tuple[dict, bytes] | None:
    """What the metadata say of the page, and the page."""
    stored = message(stage, accepted)
    listed = opened(stage, stored.contents.metadata)["contentStructure"]["attachments"]
    (described,) = [each for each in listed if each["purpose"] == "form"] or [None]
    if described is None:
        return None
    key = read_decryption_key(stage.destination("Rheingau")["private_decryption_jwk"], written_by_us=True)
    sealed = stored.contents.attachments[UUID(described["attachmentId"])]
    return described, decrypt(b"".join(stage.hub.blobs.chunks(sealed)), [key], max_output=10**7)


def test_where_it_is_wanted_a_page_lies_beside_the_data(stage):
    assert page_of(stage, stage.accept()) is None
    wanting(stage)
    accepted = stage.accept()
    described, page = page_of(stage, accepted)
    assert (described["filename"], described["mimeType"]) == ("antrag.html", "text/html")
    assert described["hash"]["content"] == hashlib.sha512(page).hexdigest()
    assert page.startswith(b"<!doctype html>")
    assert b"Bauherr" in page or b"bauherr" in page.lower()
    # The receipt proves it as it does every other part.
    proven = claims(stage, accepted)["contents"]
    assert f"attachment:{described['attachmentId']}" in proven


def test_what_came_along_is_named_and_markup_stays_text(stage):
    wanting(stage)
    accepted = send(stage, OnInvalid.REJECT, STRANGE, attachments=["lageplan"])
    _, page = page_of(stage, accepted)
    assert b"lageplan.pdf" in page
    assert HOSTILE.encode() not in page
    assert b"<script" not in page


def test_a_repeat_is_a_repeat_whether_a_page_was_enclosed_or_not(stage):
    first = stage.accept(idempotency_key="k")
    wanting(stage)
    stage.clock.pass_(seconds=2)
    assert stage.accept(idempotency_key="k").receipt == first.receipt


def test_what_is_accepted_although_it_breaks_its_schema_is_shown_too(stage):
    wanting(stage)
    accepted = send(stage, OnInvalid.DELIVER_WITH_REPORT)
    purposes = opened(stage, message(stage, accepted).contents.metadata)["contentStructure"]["attachments"]
    assert sorted(each["purpose"] for each in purposes) == ["form", "report"]


def test_a_hundred_attachments_leave_no_room_and_nobody_is_refused(stage):
    wanting(stage)
    envelope = stage.cover()
    with stage.hub.intake.open(envelope, now=stage.clock()) as reception:
        for number in range(100):
            sealer = reception.attach(name=f"a{number}", filename=f"{number}.pdf", media_type="application/pdf")
            sealer.finish()
        application = Application(cover=envelope, media_type=MediaType.XML, data=BAUANTRAG)
        accepted = reception.accept(application, now=stage.clock()).result(10)
    assert page_of(stage, accepted) is None


def test_what_is_too_large_to_be_read_is_not_drawn(stage):
    entry = stage.hub.catalog.entry(claims(stage, stage.accept())["schema"]["uri"])
    pages = ClerkPages()
    assert pages.draw(entry, BAUANTRAG) is not None
    assert pages.draw(entry, BAUANTRAG + b" " * LARGEST) is None
    assert pages.draw(entry, b"<no") is None


def test_another_form_than_html_is_refused_with_the_option(stage):
    with pytest.raises(ConfigurationError, match="readable"):
        stage.hub.installed["https"]({"url": "https://a.example.org", "secret_file": "/x", "readable": "pdf"})
    for name in ("https", "mailbox", "folder", "sftp", "s3_drop", "smime_mail"):
        assert sealing_of(stage.hub.installed["mailbox"], {"readable": "html"}).readable, name
        assert "readable" in {each.name for each in declared(stage.hub.installed[name].options)}, name


def test_a_clerk_opens_it_in_a_mail_program(stage, workshop, tmp_path):  # noqa: F811
    with MailServer(workshop.tls(), user="hub", password=SECRET) as server, serving(stage) as served:
        known = mailed(stage, workshop, port=server.port, readable="html")
        assert send_to_mail(served, attachments=()).status_code == 202
        assert stage.hub.dispatcher.run_once() == 1
    key = pem_key(known["private_decryption_jwk"])
    inner = messages_in(server.mails[0].content)
    parts = [opened_cms(each.as_bytes(), key, tmp_path, inform="SMIME") for each in inner.values()]
    (page,) = [part for part in parts if part.filename == "antrag.html"]
    assert page.media_type == "text/html"
    assert page.body.startswith(b"<!doctype html>")


def test_where_a_mail_has_no_room_for_it_the_application_goes_without(stage, workshop):  # noqa: F811
    mailed(stage, workshop, readable="html", size_limit=140_000)
    accepted = stage.accept()
    assert len(message(stage, accepted).contents.attachments) == 0
