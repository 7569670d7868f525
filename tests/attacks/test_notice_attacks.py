"""Attacks on notices by mail: what owners write about themselves reaches headers, envelopes and texts of mails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sealed_door import Door, movable_door, patch, shared_door  # noqa: F401  # fixtures

from hub.notifications.mail import Noticeboard, mail_of
from hub.store import Notice, NoticeKind

OPERATORS = "betrieb@hub.example"
ADDRESSES = {
    "another header": "a@example.org\r\nBcc: everybody@example.org",
    "a second recipient": "a@example.org, b@example.org",
    "a command of the envelope": "a@example.org> NOTIFY=NEVER",
    "a command behind a line feed": "a@example.org\nRCPT TO:<b@example.org>",
    "a name and an address": "Amt <a@example.org>",
    "a route": "@evil.example:a@example.org",
    "letters that look like others": "аmt@example.org",
    "no address at all": "Rathaus, Zimmer 3",
    "a pipe to a program": '"|/bin/sh"@example.org',
    "nothing": "",
}


def recipients(door: Door, contact: dict[str, Any]) -> list[str]:
    """Who would be mailed of a mailbox of an authority that says this of itself."""
    there = replace(door.destination, destination_id=uuid4(), contact=contact)
    keys = [(stored.use, stored.jwk) for stored in door.hub.store.parties.keys(door.destination_id)]
    door.hub.store.parties.add_destination(there, keys)
    board = Noticeboard(store=door.hub.store, mails=True, operators=OPERATORS)
    telling = board.telling(NoticeKind.UNCOLLECTED, str(there.destination_id), {}, occasion="1", now=door.clock())
    return [notice.recipient for notice in telling.notices]


def test_a_plain_address_is_mailed(door: Door):
    assert recipients(door, {"email": "amt+eingang@stadt.example"}) == ["amt+eingang@stadt.example"]


@pytest.mark.parametrize("address", ADDRESSES.values(), ids=ADDRESSES)
def test_an_address_that_is_more_than_an_address_is_not_mailed(door: Door, address: str):
    assert recipients(door, {"email": address}) == [OPERATORS]


@pytest.mark.parametrize("value", [None, 7, ["a@example.org"], {"a": "b"}], ids=repr)
def test_a_contact_of_another_shape_is_not_mailed(door: Door, value: Any):
    assert recipients(door, {"email": value}) == [OPERATORS]


def test_braces_in_an_id_or_a_fact_are_text(door: Door):
    notice = Notice(
        notice_id=uuid4(),
        kind=NoticeKind.CALLBACK_UNREACHABLE,
        about="client:{base.__class__}",
        recipient=OPERATORS,
        facts={"callbackId": "{0}", "attempts": 1, "days": 3, "note": "{note}\r\nBcc: x@example.org"},
        created_at=door.clock(),
    )
    mail = mail_of(notice, sender="hub@hub.example", base_url="https://hub.example")
    assert "{base.__class__}" in mail.get_content()
    assert mail["Bcc"] is None


def test_a_mail_never_holds_what_an_authority_says_of_itself(door: Door):
    contact = {"legalName": "Zwitscherlinde", "address": "Weg 1", "phone": "0611 1", "email": "a@stadt.example"}
    there = replace(door.destination, destination_id=uuid4(), contact=contact, name="Zwitscherlinde")
    door.hub.store.parties.add_destination(
        there, [(each.use, each.jwk) for each in door.hub.store.parties.keys(door.destination_id)]
    )
    board = Noticeboard(store=door.hub.store, mails=True)
    facts = {"deliveries": 1, "days": 3, "since": "2026-11-17", "givenUpAfterDays": 14}
    about = str(there.destination_id)
    (notice,) = board.telling(NoticeKind.OVERDUE, about, facts, occasion="1", now=door.clock()).notices
    mail = mail_of(notice, sender="hub@hub.example", base_url="https://hub.example")
    assert "Zwitscherlinde" not in mail.as_string()
