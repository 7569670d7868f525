"""Callbacks that were sent once may be sent again, by whom they are for or by an operator; bounded, and audited."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sealed_door import Door, movable_door, post  # noqa: F401  # movable_door is a fixture
from store_values import MINUTE, NOW, accepted, known_destination
from test_callbacks import SECRET, Post, drain

from hub.model import EVERYTHING, ClientKind
from hub.notifications.callbacks import MOST_RESENT, Resending
from hub.store import OutgoingCallback

LATER = NOW + timedelta(hours=1)


def ended(store, made, *, party: str = "online-service", at=NOW, state: str = "sent") -> UUID:
    """Have a callback about a submission end; return its id."""
    callback = OutgoingCallback(
        callback_id=uuid4(),
        party=party,
        url="https://dienst.example/cb",
        secret="s1",
        body=f'{{"submissionIds":["{made.submission_id}"]}}',
        created_at=at,
        case_id=made.case_id,
    )
    store.callbacks.add(callback)
    (claim,) = store.callbacks.claim(at, lease=MINUTE, node="n", limit=10)
    store.callbacks.record(claim, sent=state == "sent", next_attempt_at=None, note="", now=at)
    return callback.callback_id


def due(store, now=LATER) -> list[UUID]:
    return [claim.callback.callback_id for claim in store.callbacks.claim(now, lease=MINUTE, node="n", limit=100)]


@pytest.fixture
def made(store):
    return accepted(store, known_destination(store).destination_id)


def test_the_newest_go_out_again_whether_they_arrived_or_were_given_up(store, made):
    ended(store, made, at=NOW)
    middle, last = ended(store, made, at=NOW + MINUTE, state="dead"), ended(store, made, at=NOW + 2 * MINUTE)
    message = store.submissions.message(made.submission_id)
    assert Resending(store).again(message, party="online-service", last=2, actor="a", now=LATER) == 2
    assert set(due(store)) == {middle, last}
    (entry,) = [record.entry for record in store.audit.entries(action="callback.resend", scope=EVERYTHING).items]
    assert (entry.actor, entry.target, entry.after) == ("a", f"submission:{made.submission_id}", {"resent": 2})


def test_others_are_left_alone(store, made):
    ended(store, made, party="authority")
    ended(store, accepted(store, made.destination_id))
    message = store.submissions.message(made.submission_id)
    assert Resending(store).again(message, party="online-service", last=10, actor="a", now=LATER) == 0
    assert store.audit.entries(action="callback.resend", scope=EVERYTHING).total == 0
    assert Resending(store).again(message, party=None, last=10, actor="operator", now=LATER) == 1


def test_asking_again_and_again_sends_no_more_than_once_a_minute_and_never_many(store, made):
    for number in range(MOST_RESENT + 2):
        ended(store, made, at=NOW + number * timedelta(seconds=1))
    message = store.submissions.message(made.submission_id)
    resending = Resending(store)
    wish = {"party": "online-service", "last": 1000, "actor": "a"}
    assert resending.again(message, **wish, now=NOW + timedelta(seconds=20)) == 0
    assert resending.again(message, **wish, now=LATER) == MOST_RESENT
    # What is still to be sent is left alone: the two that were passed over go next.
    assert resending.again(message, **wish, now=LATER) == 2
    assert resending.again(message, **wish, now=LATER) == 0


def test_a_sender_asks_for_its_own_over_the_interface(own_door: Door):
    office = Post()
    callback = {"url": "https://sender.example/sender", "secret": SECRET}
    sent = own_door.send(callback=callback)
    own_door.hub.dispatcher.run_once()
    drain(own_door, office)
    before = office.types()
    assert before
    own_door.clock.pass_(minutes=5)
    where = f"/hub/v1/applications/{sent.submission_id}/callbacks"
    answer = post(own_door.sender, where, {"last": 3})
    assert (answer.status, answer.json) == (202, {"resent": len(before)})
    drain(own_door, office)
    assert office.types() == before * 2
    assert office.sent[0] == office.sent[len(before)]
    stranger = own_door.another(ClientKind.SENDER)
    assert post(stranger, where, {}).status == 404
    assert post(own_door.sender, where, {"last": 11}).status == 400
