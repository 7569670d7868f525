"""Deletion: on time, only from an end, and history stays."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy import text
from store_values import (
    FINISHED,
    MINUTE,
    NOW,
    RECEIVED,
    WAITS,
    accept,
    accepted,
    announced,
    answer,
    claim,
    completed,
    event,
    known_destination,
    making,
    record,
    sealed,
    state_of,
    submission,
)

from hub.errors import Conflict, NotFound
from hub.model.events import EventKind, Subject
from hub.model.submission import Contents, State
from hub.store import DeliveryState
from hub.store.retention import Retention

_LATER = NOW + MINUTE


def _ids(messages):
    return [one.id for one in messages]


def _answered(store, kind=EventKind.ACCEPT, **changes):
    there = known_destination(store)
    made = accepted(store, there.destination_id, **changes)
    make = answer(kind, made.case_id, made.submission_id, there.destination_id)
    store.event_log.append(made.case_id, made.submission_id, make)
    return made


def _delete_event(made):
    return lambda _head, _state: [event(made.case_id, made.submission_id, EventKind.DELETE, issued_at=_LATER)]


def test_what_somebody_still_waits_for_is_not_deleted(store):
    made = accepted(store, known_destination(store).destination_id)
    with pytest.raises(Conflict):
        store.retention.delete_contents(made.submission_id, _LATER)
    (taken,) = claim(store)
    record(store, taken, WAITS)
    with pytest.raises(Conflict):
        store.retention.delete_contents(made.submission_id, _LATER)
    assert store.submissions.message(made.submission_id).contents == made.contents
    with pytest.raises(NotFound):
        store.retention.delete_contents(uuid4(), _LATER)


def test_contents_go_and_history_stays(store, blobs):
    retention = Retention(store.database, blobs=blobs)
    with blobs.writer() as writer:
        writer.write(b"x")
        name = writer.commit()
    contents = Contents(metadata=sealed(), data=sealed("big", blob=name))
    made = _answered(store, contents=contents)
    assert store.retention.refers_to(name)
    assert retention.delete_contents(made.submission_id, _LATER, _delete_event(made)) == (name,)
    message = store.submissions.message(made.submission_id)
    assert (message.state, message.contents, message.deleted_at) == (State.DELETED, None, _LATER)
    assert message.receipt is not None
    assert store.event_log.events(made.case_id).items[-1].kind is EventKind.DELETE
    assert store.deliveries.of(made.submission_id).state is DeliveryState.DELIVERED
    assert not store.retention.refers_to(name)
    assert list(blobs.names(older_than=NOW.replace(year=2999))) == []


def test_deleting_twice_changes_nothing(store):
    made = _answered(store)
    store.retention.delete_contents(made.submission_id, _LATER, _delete_event(made))
    assert store.retention.delete_contents(made.submission_id, _LATER + MINUTE, _delete_event(made)) == ()
    assert store.submissions.message(made.submission_id).deleted_at == _LATER
    assert store.event_log.events(made.case_id).total == 4


def test_the_incomplete_are_listed_after_their_day_and_deleted(store):
    there = known_destination(store)
    old = announced(store, there.destination_id, created_at=NOW - MINUTE)
    announced(store, there.destination_id, created_at=NOW)
    assert _ids(store.retention.incomplete(NOW)) == [old.id]
    store.retention.delete_contents(old.id, NOW, making(old, EventKind.DELETE))
    assert state_of(store, old.id) is State.DELETED
    assert store.retention.incomplete(NOW) == []


def test_only_what_waits_in_a_mailbox_counts_as_unanswered(store):
    there = known_destination(store)
    made = [accepted(store, there.destination_id) for _ in range(3)]
    waiting, pushed, _open = claim(store, limit=3)
    record(store, waiting, WAITS)
    record(store, pushed, RECEIVED)
    reply = announced(
        store,
        there.destination_id,
        kind=Subject.REPLY,
        case_id=made[0].case_id,
        new_case=False,
        addressee="online-service",
    )
    completed(store, reply)
    assert set(_ids(store.retention.unanswered(_LATER))) == {waiting.submission.submission_id, reply.id}
    assert store.retention.unanswered(NOW) == []


def test_the_answered_are_listed_until_their_contents_are_gone(store):
    made = [_answered(store, kind) for kind in (EventKind.ACCEPT, EventKind.REJECT)]
    assert store.retention.finished(NOW) == []
    assert set(_ids(store.retention.finished(_LATER))) == {one.submission_id for one in made}
    for one in made:
        store.retention.delete_contents(one.submission_id, _LATER, _delete_event(one))
    assert store.retention.finished(_LATER) == []


def test_what_was_delivered_and_never_answered_is_deleted_without_an_event(store):
    made = accepted(store, known_destination(store).destination_id)
    assert store.retention.delivered(_LATER) == []
    record(store, claim(store)[0], RECEIVED, FINISHED)
    assert _ids(store.retention.delivered(_LATER)) == [made.submission_id]
    store.retention.delete_contents(made.submission_id, _LATER)
    assert store.retention.delivered(_LATER) == []
    message = store.submissions.message(made.submission_id)
    assert (message.state, message.contents, message.deleted_at) == (State.SUBMITTED, None, _LATER)


def test_a_case_is_dropped_whole_and_leaves_its_tombstone(store):
    made = submission(known_destination(store).destination_id)
    accept(store, made, key="k").result(10)
    there = made.destination_id
    record(store, claim(store)[0])
    store.audit.record_read(client="c", message_id=made.submission_id, what="data", now=NOW)
    make = answer(EventKind.ACCEPT, made.case_id, made.submission_id, there)
    store.event_log.append(made.case_id, made.submission_id, make)
    with pytest.raises(Conflict):
        store.retention.drop_case(made.case_id, "tombstone")
    store.retention.delete_contents(made.submission_id, _LATER, _delete_event(made))
    head = store.submissions.case(made.case_id).head
    assert store.retention.drop_case(made.case_id, "tombstone")
    assert not store.retention.drop_case(made.case_id, "another")
    case = store.submissions.case(made.case_id)
    assert (case.tombstone, case.head, case.seq) == ("tombstone", head, 4)
    assert store.event_log.events(made.case_id).total == 0
    assert store.submissions.message(made.submission_id) is None
    assert store.submissions.remembered("online-service", "k") is None
    for table in ("messages", "contents", "events", "deliveries", "attempts", "idempotency", "reads"):
        count = text(f"SELECT count(*) FROM {table}")
        assert store.database.read(lambda connection, count=count: connection.execute(count).scalar_one()) == 0
    with pytest.raises(NotFound):
        store.event_log.append(made.case_id, made.submission_id, make)
    with pytest.raises(NotFound):
        store.retention.drop_case(uuid4(), "tombstone")


def test_stale_cases_are_those_without_news(store):
    there = known_destination(store)
    old = accepted(store, there.destination_id, submitted_at=NOW - MINUTE)
    accepted(store, there.destination_id)
    assert [case.case_id for case in store.retention.stale_cases(NOW)] == [old.case_id]


def test_old_idempotency_keys_are_forgotten_and_young_ones_kept(store):
    there = known_destination(store)
    accept(store, submission(there.destination_id, submitted_at=NOW - MINUTE), key="old").result(10)
    accept(store, submission(there.destination_id), key="young").result(10)
    assert store.retention.forget_idempotency(NOW) == 1
    assert store.submissions.remembered("online-service", "old") is None
    assert store.submissions.remembered("online-service", "young") is not None


def test_lists_are_bounded(store):
    there = known_destination(store)
    for _ in range(3):
        announced(store, there.destination_id, created_at=NOW - MINUTE)
    assert len(store.retention.incomplete(NOW, limit=2)) == 2
