"""Mail that something happened, and nothing else, to people who asked for it and confirmed that the address is theirs."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from mail_server import MailServer
from sqlalchemy import select
from stage import CANARY, NOW

from hub.errors import Invalid, TooMany
from hub.model import State
from hub.portal.database import PortalDatabase, mails
from hub.portal.notices import MailNotices, is_mail_address
from hub.portal.storage import FormStorage
from hub.portal.texts import shipped_texts

HERE, MAIL = "192.0.2.1", f"{CANARY}@example.org"
CASE = (str(uuid4()), str(uuid4()))
_LINK = re.compile(r"/benachrichtigung/([A-Za-z0-9_-]{43})")


class HubOfOneCase:
    """The hub's doors, as far as one case goes: ``state`` and ``replies`` are what happened."""

    state, replies, away = State.SUBMITTED, (), False

    def status(self, _submission_id):
        if self.away:
            raise OSError
        return SimpleNamespace(state=self.state)

    @property
    def session(self):
        return SimpleNamespace(base_url="https://hub.example", json=self._json)

    def _json(self, *_):
        row = {"replyId": str(uuid4()), "caseId": CASE[1], "destinationId": CASE[0], "state": "submitted"}
        times = {"readable": True, "submittedAt": NOW.isoformat(), "finishedAt": None}
        return {
            "caseId": CASE[1],
            "destinationId": CASE[0],
            "createdAt": NOW.isoformat(),
            "submissions": [],
            "replies": [row | times for _ in self.replies],
        }


@pytest.fixture
def portal(tmp_path):
    with closing(PortalDatabase(f"sqlite:///{tmp_path}/data/forms.sqlite")) as database:
        yield SimpleNamespace(
            storage=FormStorage(database),
            settings=SimpleNamespace(
                storage=SimpleNamespace(folder=tmp_path / "data"),
                mail=SimpleNamespace(
                    sender="portal@example.org", host="127.0.0.1", port=1, security="none", user="", password_file=None
                ),
                looks={"x": SimpleNamespace(name="Bürgerportal")},
                public_url="https://portal.example",
            ),
            texts=shipped_texts(),
            doors=HubOfOneCase(),
        )


class Posted(list):
    """Mails that were handed over; ``fails`` so many times first."""

    fails = 0

    def __call__(self, mail):
        if self.fails:
            self.fails -= 1
            raise OSError("no connection")
        self.append(mail)


def asked(portal, posted, kind="watch"):
    """Somebody who entered an address; the notices, and the token of the link that was mailed."""
    notices = MailNotices(portal, send=posted)
    if kind == "watch":
        notices.watch(MAIL, "de", CASE, address=HERE, now=NOW)
    else:
        notices.remind(MAIL, "en", NOW + timedelta(days=28), address=HERE, now=NOW)
    assert notices.run_once(NOW) == 1
    return notices, _LINK.search(posted[-1].get_content())[1]


def test_only_who_confirmed_hears_that_something_happened_and_hears_no_more_than_that(portal):
    posted = Posted()
    notices, token = asked(portal, posted)
    assert "bestätigen" in posted[0]["Subject"]
    portal.doors.state = State.ACCEPTED
    notices.run_once(NOW + timedelta(hours=1))
    assert len(posted) == 1
    assert notices.confirm(token, NOW + timedelta(hours=1))
    assert notices.confirm(token, NOW + timedelta(hours=1))
    notices.run_once(NOW + timedelta(hours=1))  # What is known now is where it begins.
    portal.doors.replies = (1,)
    notices.run_once(NOW + timedelta(hours=2))
    notices.run_once(NOW + timedelta(hours=3))
    assert len(posted) == 2
    news = posted[1]
    text = f"{news['Subject']} {news.get_content()}"
    assert "etwas getan" in text
    assert [each for each in (*CASE, CANARY, "Bauantrag", "Rheingau") if each in text] == []
    assert (news["To"], news["Auto-Submitted"]) == (MAIL, "auto-generated")
    notices.end(token, NOW)
    portal.doors.replies = (1, 2)
    notices.run_once(NOW + timedelta(days=1))
    assert len(posted) == 2
    assert not notices.confirm(token, NOW)


def test_a_saved_application_is_told_of_three_days_before_its_end(portal):
    posted = Posted()
    notices, token = asked(portal, posted, "remind")
    notices.confirm(token, NOW)
    notices.run_once(NOW + timedelta(days=24))
    assert len(posted) == 1
    notices.run_once(NOW + timedelta(days=25))
    notices.run_once(NOW + timedelta(days=26))
    assert len(posted) == 2
    assert "2026-12-18" in posted[1].get_content()
    assert MailNotices(portal, send=posted).run_once(NOW + timedelta(days=27)) == 0


def test_who_does_not_confirm_within_two_days_is_forgotten(portal):
    posted = Posted()
    notices, token = asked(portal, posted)
    assert notices.run_once(NOW + timedelta(days=2)) == 1
    assert not notices.confirm(token, NOW + timedelta(days=2))
    with portal.storage.database.reading() as connection:
        assert connection.execute(select(mails)).all() == []


def test_what_waits_outlives_a_restart_and_a_mail_server_that_is_away(portal):
    posted = Posted()
    posted.fails = 2
    MailNotices(portal, send=posted).watch(MAIL, "de", CASE, address=HERE, now=NOW)
    for minutes in (0, 6, 30):
        assert MailNotices(portal, send=posted).run_once(NOW + timedelta(minutes=minutes)) == 1
    assert len(posted) == 1
    assert MailNotices(portal, send=posted).run_once(NOW + timedelta(minutes=31)) == 0


def test_the_database_tells_neither_addresses_nor_applications(portal, tmp_path):
    asked(portal, Posted())
    files = [path for path in (tmp_path / "data").iterdir() if path.suffix != ".key" and path.is_file()]
    content = b"".join(path.read_bytes() for path in files)
    assert b"portal_mails" in content
    assert [each for each in (CANARY, "example.org", *CASE) if each.encode() in content] == []
    key = tmp_path / "data/mail.key"
    assert key.stat().st_mode & 0o077 == 0
    # With another key nothing of it is taken up, and nothing of it is sent.
    key.unlink()
    posted = Posted()
    assert MailNotices(portal, send=posted).run_once(NOW + timedelta(hours=1)) == 0


def test_nobody_is_asked_more_than_three_times_a_day_whoever_enters_the_address(portal):
    notices = MailNotices(portal, send=Posted())
    for number in range(3):
        notices.watch(MAIL.upper() if number else MAIL, "de", CASE, address=f"192.0.2.{number}", now=NOW)
    with pytest.raises(TooMany):
        notices.watch(MAIL, "de", CASE, address="192.0.2.9", now=NOW)
    for number in range(19):  # One more came from here before.
        notices.remind(f"a{number}@example.org", "de", NOW, address=HERE, now=NOW)
    with pytest.raises(TooMany):
        notices.remind("b@example.org", "de", NOW, address=HERE, now=NOW)
    for number in range(20):  # A household of IPv6 has a whole network to itself.
        notices.remind(f"c{number}@example.org", "de", NOW, address=f"2001:db8::{number + 1:x}", now=NOW)
    with pytest.raises(TooMany):
        notices.remind("d@example.org", "de", NOW, address="2001:db8::ffff:1", now=NOW)


def test_what_is_no_plain_address_is_refused(portal):
    assert is_mail_address("name.nachname+x@bad-homburg.example")
    for text in (
        "",
        "x",
        "a@b",
        "a@b.example\nBcc: c@d.example",
        "Otto <a@b.example>",
        "ä@b.example",
        "a@@b.example",
        "a@b.example,c@d.example",
    ):
        assert not is_mail_address(text)
        with pytest.raises(Invalid):
            MailNotices(portal, send=Posted()).watch(text, "de", CASE, address=HERE, now=NOW)


def test_a_mail_goes_to_a_real_server_and_never_in_the_clear_where_tls_was_asked_for(portal):
    with MailServer(None) as server:
        portal.settings.mail.port = server.port
        notices = MailNotices(portal)
        notices.watch(MAIL, "de", CASE, address=HERE, now=NOW)
        notices.run_once(NOW)
        (mail,) = server.read()
        assert mail["To"] == MAIL
        portal.settings.mail.security = "starttls"
        strict = MailNotices(portal)
        strict.watch(MAIL, "de", CASE, address=HERE, now=NOW)
        strict.run_once(NOW)
        assert len(server.read()) == 1
