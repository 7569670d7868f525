"""The event log: one chain per case, one writer at a time, states that move only as they may."""

from __future__ import annotations

import threading
from itertools import pairwise
from uuid import uuid4

import pytest
from sqlalchemy import text
from store_values import (
    MINUTE,
    NOW,
    accepted,
    announced,
    answer,
    callback,
    completed,
    event,
    known_destination,
    state_of,
)

from hub.errors import Conflict, NotFound
from hub.model import GENESIS, DeadCause, EventKind, State
from hub.store import DeliveryState


def _accept(store, made, there, **changes):
    make = answer(EventKind.ACCEPT, made.case_id, made.submission_id, there.destination_id, **changes)
    return store.event_log.append(made.case_id, made.submission_id, make)


def test_a_second_answer_is_a_conflict_and_leaves_the_log_alone(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    _accept(store, made, there)
    with pytest.raises(Conflict) as caught:
        _accept(store, made, there)
    assert caught.value.slug == "invalid-state-transition"
    assert store.event_log.events(made.case_id).total == 3


def test_a_replayed_jti_is_a_conflict(store):
    there = known_destination(store)
    jti = uuid4()
    first, second = (accepted(store, there.destination_id) for _ in range(2))
    _accept(store, first, there, jti=jti)
    with pytest.raises(Conflict) as caught:
        _accept(store, second, there, jti=jti)
    assert caught.value.slug == "duplicate-event"
    assert state_of(store, second.submission_id) is State.SUBMITTED


def test_nothing_is_appended_to_what_is_not_there(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    with pytest.raises(NotFound) as caught:
        store.event_log.append(uuid4(), made.submission_id, lambda _head, _state: [])
    assert caught.value.slug == "case-not-found"
    other = accepted(store, there.destination_id)
    with pytest.raises(NotFound) as caught:
        store.event_log.append(made.case_id, other.submission_id, lambda _head, _state: [])
    assert caught.value.slug == "submission-not-found"


def test_the_maker_sees_head_and_state_and_may_say_nothing(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    seen = []

    def make(head, state):
        seen.append((head, state))
        return []

    assert store.event_log.append(made.case_id, made.submission_id, make) == []
    ((head, state),) = seen
    assert (head.seq, state) == (2, State.SUBMITTED)
    assert head.hash == store.submissions.case(made.case_id).head


def test_an_appended_event_is_chained_and_stored_as_it_came(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    payload = {"authenticationTags": {"metadata": "ü" * 3}}
    (appended,) = _accept(store, made, there, payload=payload, digests={"data": "ab"}, issued_at=NOW + MINUTE)
    log = store.event_log.events(made.case_id).items
    assert log[-1] == appended
    assert (appended.jws, appended.payload) == ("aaa.bbb.ccc", payload)
    assert appended.hash == appended.entry_hash()
    previous = GENESIS
    for entry in log:
        assert entry.previous == previous
        previous = entry.hash
    assert store.submissions.case(made.case_id).last_event_at == NOW + MINUTE


def test_an_answer_moves_the_submission_and_ends_its_delivery(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    _accept(store, made, there, issued_at=NOW + MINUTE)
    message = store.submissions.message(made.submission_id)
    assert (message.state, message.finished_at) == (State.ACCEPTED, NOW + MINUTE)
    delivery = store.deliveries.of(made.submission_id)
    assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.DELIVERED, None)


def test_a_rejection_by_the_hub_leaves_a_dead_letter(store):
    made = accepted(store, known_destination(store).destination_id)
    store.event_log.append(
        made.case_id,
        made.submission_id,
        lambda _head, _state: [event(made.case_id, made.submission_id, EventKind.REJECT)],
    )
    delivery = store.deliveries.of(made.submission_id)
    assert (delivery.state, delivery.cause) == (DeliveryState.DEAD, DeadCause.RECEIVER)
    assert state_of(store, made.submission_id) is State.REJECTED


def test_callbacks_stand_with_their_event_or_not_at_all(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    make = answer(EventKind.ACCEPT, made.case_id, made.submission_id, there.destination_id)
    store.event_log.append(made.case_id, made.submission_id, make, callbacks=[callback()])
    with pytest.raises(Conflict):
        store.event_log.append(made.case_id, made.submission_id, make, callbacks=[callback()])
    assert len(store.callbacks.claim(NOW, lease=MINUTE, node="n", limit=10)) == 1


def test_ten_writers_on_two_nodes_make_one_chain(open_store):
    nodes = [open_store(), open_store()]
    made = accepted(nodes[0], known_destination(nodes[0]).destination_id)
    together = threading.Barrier(10)

    def notify(number: int) -> None:
        together.wait()
        for _ in range(3):
            nodes[number % 2].event_log.append(
                made.case_id,
                made.submission_id,
                lambda _head, _state: [event(made.case_id, made.submission_id, EventKind.NOTIFY, jti=uuid4())],
            )

    threads = [threading.Thread(target=notify, args=[number]) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log = nodes[0].event_log.events(made.case_id, limit=100).items
    assert [entry.seq for entry in log] == list(range(1, 33))
    assert all(after.previous == before.hash for before, after in pairwise(log))
    assert (nodes[1].submissions.case(made.case_id).seq, nodes[1].submissions.case(made.case_id).head) == (
        32,
        log[-1].hash,
    )


def test_two_accepts_at_once_are_one_accept(open_store):
    nodes = [open_store(), open_store()]
    there = known_destination(nodes[0])
    made = accepted(nodes[0], there.destination_id)
    together = threading.Barrier(6)
    outcomes = []

    def try_it(number: int) -> None:
        together.wait()
        try:
            _accept(nodes[number % 2], made, there)
            outcomes.append("accepted")
        except Conflict:
            outcomes.append("conflict")

    threads = [threading.Thread(target=try_it, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["accepted"] + ["conflict"] * 5


def test_the_first_signature_is_everybodys(open_store):
    nodes = [open_store(), open_store()]
    made = accepted(nodes[0], known_destination(nodes[0]).destination_id)
    assert nodes[0].event_log.keep_tokens([(made.case_id, 1, "first.x.y")]) == ["first.x.y"]
    assert nodes[1].event_log.keep_tokens([(made.case_id, 1, "second.x.y")]) == ["first.x.y"]
    assert nodes[0].event_log.events(made.case_id).items[0].jws == "first.x.y"
    with pytest.raises(NotFound):
        nodes[0].event_log.keep_tokens([(made.case_id, 9, "z")])


def test_the_run_of_a_submission_goes_from_its_create_to_its_submit_event_and_no_further(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    other = accepted(store, there.destination_id)
    _accept(store, made, there)
    run = store.event_log.run(made.case_id, made.submission_id)
    assert [(event.seq, event.kind) for event in run] == [(1, EventKind.CREATE), (2, EventKind.SUBMIT)]
    assert run == list(store.event_log.events(made.case_id).items[:2])
    assert store.event_log.run(made.case_id, other.submission_id) == []


def test_the_first_receipt_is_everybodys(open_store):
    nodes = [open_store(), open_store()]
    message = announced(nodes[0], known_destination(nodes[0]).destination_id)
    assert completed(nodes[0], message)
    made = message.id
    assert nodes[0].submissions.keep_receipt(made, "first") == "first"
    assert nodes[1].submissions.keep_receipt(made, "second") == "first"
    assert nodes[1].submissions.message(made).receipt == "first"
    with pytest.raises(NotFound):
        nodes[0].submissions.keep_receipt(uuid4(), "any")


def test_of_many_signatures_stored_at_once_each_counts_only_where_there_was_none(store):
    made = accepted(store, known_destination(store).destination_id)
    store.event_log.keep_tokens([(made.case_id, 1, "first.x.y")])
    both = [(made.case_id, 1, "second.x.y"), (made.case_id, 2, "only.x.y")]
    assert store.event_log.keep_tokens(both) == ["first.x.y", "only.x.y"]
    assert [event.jws for event in store.event_log.events(made.case_id).items] == ["first.x.y", "only.x.y"]


def test_one_changed_byte_is_found(store):
    made = accepted(store, known_destination(store).destination_id)
    tamper = text('UPDATE events SET digests = \'{"data":"00"}\' WHERE seq = 2')
    store.database.write(lambda connection: connection.execute(tamper).rowcount)
    changed = store.event_log.events(made.case_id).items[1]
    assert changed.entry_hash() != changed.hash


def test_a_late_offset_gives_the_rest(store):
    made = accepted(store, known_destination(store).destination_id)
    page = store.event_log.events(made.case_id, offset=1, limit=10)
    assert ([entry.seq for entry in page.items], page.total, page.offset) == ([2], 2, 1)
    assert store.event_log.events(uuid4()).total == 0
