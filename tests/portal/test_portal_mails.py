"""Asking for mails on the portal's own pages, confirming by a mail's link, and ending it."""

from __future__ import annotations

import re

import pytest
from mail_server import MailServer
from people import answered, begun, key_on, sent_by, session_of
from portal_pages import portal_before
from sqlalchemy import select
from stage import staged

from hub.portal import following, saving
from hub.portal.database import mails
from hub.portal.notices import MailNotices

MAIL = "otto@example.org"


@pytest.fixture(scope="module")
def mailing_site(made_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mailing")
    with MailServer(None) as server, staged(made_once, folder, listens=False) as stage:
        mail = {"host": "127.0.0.1", "port": server.port, "security": "none", "sender": "portal@example.org"}
        with portal_before(stage, folder, mail=mail) as site:
            yield site, server


def link_in(server, site):
    MailNotices(site.portal).run_once(site.clock())
    return re.search(r"/benachrichtigung/[A-Za-z0-9_-]{43}", server.read()[-1].get_content())[0]


def kinds(site):
    with site.portal.storage.database.reading() as connection:
        return sorted(connection.execute(select(mails.c.kind)).scalars())


def test_news_of_an_application_are_asked_for_on_its_status_page(mailing_site, rsa_pair):
    site, server = mailing_site
    running, sent = sent_by(site, answered(site, begun(site)), rsa_pair)
    known = following.begin(site.portal, running, sent, site.clock())
    visitor = site.visitor()
    page = visitor.post("/stand", csrf="", reference=known["reference"], code=known["code"])
    key = key_on(page.text)
    wrong = visitor.post("/stand/mail", csrf="", key=key, mail="keine")
    assert (wrong.status_code, "Das ist keine Mailadresse" in wrong.text) == (422, True)
    assert "Wir haben eine Mail geschickt" in visitor.post("/stand/mail", csrf="", key=key, mail=MAIL).text
    path = link_in(server, site)
    assert kinds(site) == ["asked"]
    assert "Ist die Mailadresse Ihre" in visitor.get(path).text
    assert kinds(site) == ["asked"]
    assert "Sie werden benachrichtigt" in visitor.post(path, csrf="", do="confirm").text
    assert kinds(site) == ["watching"]
    assert "Keine Mails mehr" in visitor.post(path, csrf="", do="end").text
    assert kinds(site) == []
    assert visitor.post(path, csrf="", do="confirm").status_code == 404


def test_a_reminder_ends_with_what_it_reminds_of(mailing_site):
    site, server = mailing_site
    visitor = begun(site)
    visitor.post("/antrag/speichern", at="/antrag/speichern")
    assert visitor.post("/antrag/erinnern", at="/antrag/gesichert", mail="x").status_code == 422
    assert "Wir haben eine Mail geschickt" in visitor.post("/antrag/erinnern", at="/antrag/gesichert", mail=MAIL).text
    assert visitor.post(link_in(server, site), at="/antrag/gesichert", do="confirm").status_code == 200
    assert kinds(site) == ["reminding"]
    saving.forget(site.portal, session_of(site, visitor).running)
    assert kinds(site) == []
