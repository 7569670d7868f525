"""What is remembered of an announcement spares a look-up, and decides nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sealed_door import Door, shared_door  # noqa: F401  # shared_door is a fixture
from stage import altered
from store_values import NOW, Instead, announced, announcement, known_destination

from hub.fit_connect.messages import MOST, RecentAnnouncements, SendingTools, as_announced
from hub.fit_connect.submissions import Submitting
from hub.model import Subject


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
    assert remembered.at_hand(message.id) == store.submissions.message(message.id) == as_announced(message)
    assert remembered.find(message.id, Subject.REPLY) is None
    remembered.forget(message.id)
    assert remembered.at_hand(message.id) is None


def test_the_oldest_are_forgotten_first(store, remembered):
    messages = [announcement(uuid4()) for _ in range(MOST + 1)]
    for message in messages:
        remembered.note(message)
    assert remembered.at_hand(messages[0].id) is None
    assert all(remembered.at_hand(message.id) for message in messages[1:])


def test_only_small_submissions_of_what_is_known_begin_at_once(door: Door):
    tools, now = SendingTools(door.hub), door.clock()
    submitting = Submitting(tools)
    message = announcement(door.destination_id)
    assert not submitting.at_hand(message.id, 100, now=now)
    tools.recent.note(message)
    assert not submitting.at_hand(message.id, 100, now=now), "its destination is not known yet"
    tools.receivers.existing(door.destination_id, now=now)
    assert not submitting.at_hand(message.id, 100, now=now), "it is not known yet whether a vendor's client sends"
    door.hub.directory.software(message.sender, now=now)
    assert submitting.at_hand(message.id, 100, now=now)
    assert not submitting.at_hand(message.id, 100, now=now + timedelta(seconds=1))
    assert not submitting.at_hand(message.id, 1_000_000, now=now)
    reply = replace(message, id=uuid4(), kind=Subject.REPLY)
    tools.recent.note(reply)
    assert not submitting.at_hand(reply.id, 100, now=now), "who hears of it is looked up"


def test_times_of_the_store_are_those_of_the_announcement():
    assert as_announced(announcement(uuid4())).created_at == NOW


def test_what_ages_between_the_decision_and_the_act_is_not_read_anew(door: Door):
    """One look at the clock, one decision: with a store that is away, what was at hand is still submitted and announced."""
    from hub.fit_connect.messages import STRICT
    from hub.fit_connect.submissions import Announcing, SubmissionWish
    from hub.identity import Directory
    from hub.model import Service

    class Reading(Exception):
        """The store was read."""

    class Unread:
        def __getattr__(self, name):
            raise Reading(name)

    now = door.clock()
    writes = door.hub.store.submissions
    unread = Instead(Unread(), submissions=Instead(Unread(), announce=writes.announce, complete=writes.complete))
    directory = Directory(store=unread, policy=door.hub.policy)
    directory.answers[door.destination_id] = {"destination": (now, door.destination)}
    directory.answers[door.sending_caller.client_id] = {"software": (now, None)}
    blind = SendingTools(altered(door.hub, store=unread, directory=directory))
    announcing, submitting = Announcing(blind), Submitting(blind)
    identifier = "urn:de:fim:leika:leistung:99012008001000"
    wish = SubmissionWish(destination_id=door.destination_id, service=Service(identifier=identifier), announced=())

    destination = announcing.at_hand(wish, caller=door.sending_caller, now=now)
    directory.forget(door.destination_id)  # Aged, or forgotten by another thread.
    made = announcing.announce(wish, caller=door.sending_caller, now=now, destination=destination).result(60)

    directory.answers[door.destination_id] = {"destination": (now, door.destination)}
    looked = submitting.at_hand(made.id, 100, now=now)
    directory.forget(door.destination_id)
    blind.recent.forget(made.id)
    parts = {"metadata": door.seal(b"{}"), "data": door.seal(b"{}")}
    stored = submitting.submit(
        Subject.SUBMISSION, made.id, **parts, caller=door.sending_caller, profile=STRICT, now=now, looked=looked
    )
    assert stored.result(60).id == made.id
    with pytest.raises(Reading):
        submitting.submit(Subject.SUBMISSION, made.id, **parts, caller=door.sending_caller, profile=STRICT, now=now)


def test_the_handlers_look_at_the_clock_once(door: Door):
    """A clock on which a second passes between any two looks: nothing is looked up on the event loop all the same."""
    import threading

    from sealed_door import Door as Whole

    from hub.identity import Directory

    class Hurrying:
        looks = 0

        def __call__(self):
            self.looks += 1
            return began + timedelta(seconds=self.looks)

    on_the_loop = []
    real = door.hub.store

    def watched(noun, *names):
        def noting(name):
            def call(*args, **named):
                if threading.current_thread() is threading.main_thread():
                    on_the_loop.append(name)
                return getattr(noun, name)(*args, **named)

            return call

        return Instead(noun, **{name: noting(name) for name in names})

    began = door.clock()
    looking = Instead(
        real,
        parties=watched(real.parties, "destination"),
        submissions=watched(real.submissions, "message", "case"),
    )
    directory = Directory(store=looking, policy=door.hub.policy)
    hurried = Whole(door.stage, store=looking, directory=directory, clock=Hurrying())
    for _ in range(3):
        announced = hurried.announce()
        assert hurried.submit(announced["submissionId"], door.seal(b"{}"), door.seal(b"{}")).status == 200
    on_the_loop.clear()
    announced = hurried.announce()
    assert hurried.submit(announced["submissionId"], door.seal(b"{}"), door.seal(b"{}")).status == 200
    assert on_the_loop == []
