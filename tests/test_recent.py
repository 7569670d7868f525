"""What is remembered of an announcement spares a look-up, and decides nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sealed_door import Door, shared_door  # noqa: F401  # shared_door is a fixture
from store_values import NOW, announced, announcement, known_destination

from hub.events import Subject
from hub.exchange import recent
from hub.exchange.recent import RecentAnnouncements, as_announced
from hub.exchange.submitting import Submitting


@pytest.fixture
def remembered(store):
    return RecentAnnouncements(store)


def test_what_is_not_remembered_is_looked_up(store, remembered):
    message = announced(store, known_destination(store).destination_id)
    assert remembered.at_hand(message.id) is None
    assert remembered.find(message.id, Subject.SUBMISSION) == as_announced(message)
    assert remembered.find(uuid4(), Subject.SUBMISSION) is None


def test_what_is_remembered_is_what_the_store_says(store, remembered):
    message = announced(store, known_destination(store).destination_id)
    remembered.note(message)
    assert remembered.at_hand(message.id) == store.message(message.id) == as_announced(message)
    assert remembered.find(message.id, Subject.REPLY) is None
    remembered.forget(message.id)
    assert remembered.at_hand(message.id) is None


def test_the_oldest_are_forgotten_first(store, remembered):
    messages = [announcement(uuid4()) for _ in range(recent._MOST + 1)]
    for message in messages:
        remembered.note(message)
    assert remembered.at_hand(messages[0].id) is None
    assert all(remembered.at_hand(message.id) for message in messages[1:])


def test_only_small_submissions_of_what_is_known_begin_at_once(door: Door):
    tools, now = door.sending_tools, door.clock()
    submitting = Submitting(tools)
    message = announcement(door.destination_id)
    assert not submitting.at_hand(message.id, 100, now=now)
    tools.recent.note(message)
    assert not submitting.at_hand(message.id, 100, now=now), "its destination is not known yet"
    tools.receivers.existing(door.destination_id, now=now)
    assert submitting.at_hand(message.id, 100, now=now)
    assert not submitting.at_hand(message.id, 100, now=now + timedelta(seconds=1))
    assert not submitting.at_hand(message.id, 1_000_000, now=now)
    reply = replace(message, id=uuid4(), kind=Subject.REPLY)
    tools.recent.note(reply)
    assert not submitting.at_hand(reply.id, 100, now=now), "who hears of it is looked up"


def test_times_of_the_store_are_those_of_the_announcement():
    assert as_announced(announcement(uuid4())).created_at == NOW
