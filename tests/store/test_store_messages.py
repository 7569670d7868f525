"""Submissions and replies: what is stored, once, together, and given back unchanged."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from store_values import (
    MINUTE,
    NOW,
    accept,
    accepted,
    announced,
    announcement,
    answer,
    claim,
    completed,
    event,
    first_events,
    known_destination,
    making,
    record,
    sealed,
    state_of,
    submission,
)

from hub.errors import Conflict, Invalid, NotFound
from hub.model.events import GENESIS, EventKind, Subject, chain
from hub.model.submission import Contents, Form, Sealed, State
from hub.store import DeliveryState


def _count(store, table: str) -> int:
    return store.database.read(
        lambda connection: connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    )


# The plain door.


def test_a_submission_that_cannot_be_stored_whole_leaves_nothing(store):
    there = known_destination(store)
    first = accepted(store, there.destination_id)
    clash = submission(there.destination_id, submission_id=first.submission_id)
    with pytest.raises(Conflict):
        accept(store, clash, key="k").result(10)
    assert store.submissions.case(clash.case_id) is None
    assert store.submissions.remembered(clash.sender, "k") is None
    assert _count(store, "messages") == 1


def test_an_unknown_destination_is_named_as_such(store):
    with pytest.raises(NotFound) as caught:
        accept(store, submission(uuid4())).result(10)
    assert caught.value.slug == "destination-not-found"


def test_events_that_do_not_begin_a_chain_are_a_bug(store):
    made = submission(known_destination(store).destination_id)
    broken = [event(made.case_id, made.submission_id, EventKind.SUBMIT)]
    for events in ([], broken, chain(broken, seq=4), first_events(made, EventKind.CREATE)):
        with pytest.raises(ValueError):
            store.submissions.submit(made, events=events, receipt="r", idempotency=None, first_attempt_at=NOW)


def test_a_bad_submission_does_not_harm_the_good_ones_of_its_batch(store):
    there = known_destination(store)
    good = [submission(there.destination_id) for _ in range(10)]
    bad = submission(uuid4())
    futures = [accept(store, made) for made in (*good[:5], bad, *good[5:])]
    with pytest.raises(NotFound):
        futures.pop(5).result(10)
    assert [future.result(10) for future in futures] == [None] * 10
    assert _count(store, "messages") == 10


def test_a_stored_submission_comes_back_as_it_went_in(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    stored = store.submissions.message(made.submission_id, Subject.SUBMISSION)
    assert stored is not None
    assert stored.contents == made.contents
    assert list(stored.contents.attachments) == list(made.contents.attachments)
    assert stored.announced == tuple(made.contents.attachments)
    assert (stored.schema, stored.service, stored.callback) == (made.schema, made.service, made.callback)
    assert (stored.state, stored.door, stored.area) == (State.SUBMITTED, made.door, made.area)
    assert (stored.created_at, stored.submitted_at, stored.deleted_at) == (NOW, NOW, None)
    assert stored.receipt == f"receipt of {made.submission_id}"
    assert stored.callback_url == "https://os.example.org/cb"
    assert store.submissions.message(made.submission_id, Subject.REPLY) is None


def test_case_log_and_delivery_stand_with_the_submission(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    log = store.event_log.events(made.case_id).items
    case = store.submissions.case(made.case_id)
    assert [entry.kind for entry in log] == [EventKind.CREATE, EventKind.SUBMIT]
    assert log[0].previous == GENESIS
    assert (case.seq, case.head) == (2, log[-1].hash)
    assert all(entry.entry_hash() == entry.hash for entry in log)
    assert store.deliveries.of(made.submission_id).state is DeliveryState.QUEUED


def test_the_same_key_gets_what_was_stored_first(store):
    there = known_destination(store)
    first, again = submission(there.destination_id), submission(there.destination_id)
    assert accept(store, first, key="k", mac="one").result(10) is None
    known = accept(store, again, key="k", mac="two").result(10)
    assert (known.submission_id, known.mac) == (first.submission_id, "one")
    assert known.receipt == f"receipt of {first.submission_id}"
    assert known == store.submissions.remembered("online-service", "k")
    assert store.submissions.message(again.submission_id) is None


def test_keys_of_different_senders_do_not_meet(store):
    there = known_destination(store)
    accept(store, submission(there.destination_id), key="k").result(10)
    other = submission(there.destination_id, sender="another")
    assert accept(store, other, key="k").result(10) is None


def test_one_key_under_eight_threads_gives_one_submission(open_store):
    nodes = [open_store(), open_store()]
    there = known_destination(nodes[0])
    made = [submission(there.destination_id) for _ in range(8)]
    together = threading.Barrier(8)
    answers = [None] * 8

    def send(number: int) -> None:
        together.wait()
        answers[number] = accept(nodes[number % 2], made[number], key="k").result(20)

    threads = [threading.Thread(target=send, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [made[number].submission_id for number, known in enumerate(answers) if known is None]
    assert len(winners) == 1
    assert {known.submission_id for known in answers if known is not None} == set(winners)
    assert (_count(nodes[0], "messages"), _count(nodes[0], "deliveries"), _count(nodes[0], "cases")) == (1, 1, 1)


def test_new_and_repeated_keys_in_one_batch_each_get_their_due(store):
    there = known_destination(store)
    old = submission(there.destination_id)
    accept(store, old, key="old").result(10)
    futures = {}
    made = [submission(there.destination_id) for _ in range(6)]
    for number, key in enumerate(["new-1", "old", "new-2", "new-1", None, "old"]):
        futures[number] = accept(store, made[number], key=key)
    answers = [futures[number].result(10) for number in range(6)]
    assert [None if known is None else known.submission_id for known in answers] == [
        None,
        old.submission_id,
        None,
        made[0].submission_id,
        None,
        old.submission_id,
    ]


def test_a_dispatcher_is_woken_after_the_commit(store):
    seen = []
    there = known_destination(store)
    store.on_delivery_due(lambda: seen.append(_count(store, "deliveries")))
    accepted(store, there.destination_id)
    with pytest.raises(NotFound):
        accept(store, submission(uuid4())).result(10)
    store.settings.set("a", "1")
    assert seen == [1]


# The sealed door.


def test_nothing_is_announced_twice_or_into_nowhere(store):
    there = known_destination(store)
    message = announced(store, there.destination_id)
    with pytest.raises(Conflict):
        store.submissions.announce(message, making(message, EventKind.CREATE)).result()
    same_case = replace(message, id=uuid4())
    with pytest.raises(Conflict):
        store.submissions.announce(same_case, making(same_case, EventKind.CREATE)).result()
    elsewhere = announcement(there.destination_id, new_case=False)
    with pytest.raises(NotFound) as caught:
        store.submissions.announce(elsewhere, making(elsewhere, EventKind.CREATE)).result()
    assert caught.value.slug == "case-not-found"
    unknown = announcement(uuid4())
    with pytest.raises(NotFound) as caught:
        store.submissions.announce(unknown, making(unknown, EventKind.CREATE)).result()
    assert caught.value.slug == "destination-not-found"
    assert (_count(store, "messages"), _count(store, "cases")) == (1, 1)


def test_an_announced_submission_is_incomplete_and_undelivered(store):
    one = uuid4()
    there = known_destination(store)
    message = announced(store, there.destination_id, one, one)
    stored = store.submissions.message(message.id)
    assert (stored.state, stored.contents, stored.uploaded) == (State.INCOMPLETE, None, {})
    assert stored.announced == (one,)
    assert store.deliveries.of(message.id) is None
    assert [entry.kind for entry in store.event_log.events(message.case_id).items] == [EventKind.CREATE]


def test_an_attachment_must_be_announced_and_early(store):
    one = uuid4()
    message = announced(store, known_destination(store).destination_id, one)
    with pytest.raises(NotFound):
        store.submissions.put_attachment(uuid4(), one, sealed())
    with pytest.raises(Invalid) as caught:
        store.submissions.put_attachment(message.id, uuid4(), sealed())
    assert caught.value.slug == "attachment-not-announced"
    store.submissions.put_attachment(message.id, one, sealed())
    assert completed(store, message)
    with pytest.raises(Conflict):
        store.submissions.put_attachment(message.id, one, sealed("late"))


def test_an_upload_replaces_the_one_before_and_names_its_blob(store):
    one = uuid4()
    message = announced(store, known_destination(store).destination_id, one)
    assert store.submissions.put_attachment(message.id, one, sealed("first", blob="a" * 32)) is None
    assert store.submissions.put_attachment(message.id, one, sealed("second", blob="b" * 32)) == "a" * 32
    assert store.submissions.put_attachment(message.id, one, sealed("third")) == "b" * 32
    assert store.submissions.message(message.id).uploaded == {one: sealed("third")}
    assert not store.retention.refers_to("b" * 32)


def test_a_submission_with_a_missing_attachment_is_not_complete(store):
    one, two = uuid4(), uuid4()
    message = announced(store, known_destination(store).destination_id, one, two)
    store.submissions.put_attachment(message.id, two, sealed())
    with pytest.raises(Invalid) as caught:
        completed(store, message)
    assert caught.value.members["attachments"] == [str(one)]
    assert state_of(store, message.id) is State.INCOMPLETE
    assert store.submissions.message(message.id).contents is None


def test_completing_stores_contents_events_and_delivery_together(store):
    one, two = uuid4(), uuid4()
    message = announced(store, known_destination(store).destination_id, one, two)
    for attachment in (two, one):
        store.submissions.put_attachment(message.id, attachment, sealed(str(attachment)))
    seen = []

    def make(head, contents):
        seen.append((head, contents))
        tags = {"authenticationTags": contents.authentication_tags()}
        return [event(message.case_id, message.id, EventKind.SUBMIT, payload=tags, issued_at=NOW + MINUTE)]

    assert completed(store, message, make=make)
    expected = Contents(
        metadata=sealed("metadata"),
        data=sealed("data"),
        attachments={one: sealed(str(one)), two: sealed(str(two))},
    )
    stored = store.submissions.message(message.id)
    assert stored.contents == expected == seen[-1][1]
    assert (stored.state, stored.submitted_at) == (State.SUBMITTED, NOW + MINUTE)
    assert stored.receipt is None, "made when somebody needs it"
    assert store.deliveries.of(message.id).state is DeliveryState.QUEUED
    assert store.event_log.events(message.case_id).items[-1].previous == seen[-1][0].hash


def test_the_same_submit_again_changes_nothing(store):
    message = announced(store, known_destination(store).destination_id)
    assert completed(store, message) is True
    assert completed(store, message) is False
    assert store.event_log.events(message.case_id).total == 2
    assert _count(store, "deliveries") == 1


def test_another_submit_after_the_first_is_a_conflict(store):
    message = announced(store, known_destination(store).destination_id)
    assert completed(store, message, data=None)
    for other in ({"metadata": sealed("other"), "data": None}, {"data": sealed("more")}):
        with pytest.raises(Conflict) as caught:
            completed(store, message, **other)
        assert caught.value.slug == "invalid-state-transition"


def test_eight_submits_at_once_complete_it_once(open_store):
    nodes = [open_store(), open_store()]
    message = announced(nodes[0], known_destination(nodes[0]).destination_id)
    together = threading.Barrier(8)
    answers = []

    def send(number: int) -> None:
        together.wait()
        answers.append(completed(nodes[number % 2], message))

    threads = [threading.Thread(target=send, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [False] * 7 + [True]
    assert nodes[0].event_log.events(message.case_id).total == 2


def test_a_refusing_maker_leaves_the_message_as_it_was(store):
    message = announced(store, known_destination(store).destination_id)

    def refuse(_head, _contents):
        raise Invalid(Conflict.title)

    with pytest.raises(Invalid):
        completed(store, message, make=refuse)
    assert state_of(store, message.id) is State.INCOMPLETE


def test_a_reply_joins_its_case_and_waits_for_its_addressee(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    reply = announced(
        store,
        there.destination_id,
        kind=Subject.REPLY,
        case_id=made.case_id,
        new_case=False,
        sender="specialist-system",
        addressee="online-service",
    )
    assert completed(store, reply)
    assert store.deliveries.of(reply.id) is None
    waiting = store.submissions.messages(Subject.REPLY, addressee="online-service", state=State.SUBMITTED)
    assert [one.id for one in waiting.items] == [reply.id]
    assert store.submissions.messages(Subject.REPLY, addressee="specialist-system").total == 0
    log = store.event_log.events(made.case_id)
    assert [entry.subject for entry in log.items] == [Subject.SUBMISSION] * 2 + [Subject.REPLY] * 2
    assert store.event_log.events(made.case_id, subject_id=reply.id).total == 2


# Lists.


def test_lists_are_oldest_first_bounded_and_counted(store):
    there = known_destination(store)
    made = [accepted(store, there.destination_id, submitted_at=NOW - MINUTE * number) for number in range(5)]
    page = store.submissions.messages(
        Subject.SUBMISSION, destination_ids=[there.destination_id], state=State.SUBMITTED, offset=1, limit=2
    )
    assert (page.total, page.offset) == (5, 1)
    assert [one.id for one in page.items] == [made[3].submission_id, made[2].submission_id]
    assert all(one.contents is None for one in page.items)


def test_only_what_still_waits_is_listed_as_submitted(store):
    there = known_destination(store)
    waiting, answered = (accepted(store, there.destination_id) for _ in range(2))
    store.event_log.append(
        answered.case_id,
        answered.submission_id,
        answer(EventKind.ACCEPT, answered.case_id, answered.submission_id, there.destination_id),
    )
    page = store.submissions.messages(Subject.SUBMISSION, destination_ids=[there.destination_id], state=State.SUBMITTED)
    assert [one.id for one in page.items] == [waiting.submission_id]


def test_no_destination_means_no_message(store):
    accepted(store, known_destination(store).destination_id)
    assert store.submissions.messages(Subject.SUBMISSION, destination_ids=[]).items == ()


def test_a_party_sees_its_own_cases(store):
    there = known_destination(store)
    elsewhere = known_destination(store, owner="somebody-else")
    made = accepted(store, there.destination_id)
    accepted(store, elsewhere.destination_id, sender="another")
    for party in ("online-service", "specialist-system"):
        assert [case.case_id for case in store.submissions.cases(party).items] == [made.case_id]
    assert store.submissions.cases("nobody").total == 0
    assert store.submissions.cases().total == 2


def test_the_first_collection_counts_and_readers_are_recorded_once_a_day(store):
    made = accepted(store, known_destination(store).destination_id)
    for number in range(3):
        for minutes in range(3):
            now = NOW + timedelta(days=number, minutes=minutes)
            store.submissions.mark_collected(made.submission_id, now)
            store.audit.record_read(client="specialist-system", message_id=made.submission_id, what="contents", now=now)
    assert store.submissions.message(made.submission_id).collected_at == NOW
    reads = store.audit.reads(made.submission_id)
    assert [one.at for one in reads.items] == [NOW + timedelta(days=number) for number in range(3)]
    assert reads.items[0].client == "specialist-system"


def test_what_was_delivered_and_answered_is_remembered_to_the_microsecond(store):
    there = known_destination(store)
    odd = NOW + timedelta(microseconds=123_457)
    made = accepted(store, there.destination_id, submitted_at=odd)
    assert store.submissions.message(made.submission_id).submitted_at == odd
    (claimed,) = claim(store)
    assert record(store, claimed, started_at=odd, ended_at=odd)
    assert store.deliveries.of(made.submission_id).attempts[0].started_at == odd


def test_contents_in_another_form_are_bytes_and_in_no_list_of_jwes(store):
    there = known_destination(store)
    jwes = accepted(store, there.destination_id)
    der = bytes(range(256))
    part = Sealed(tag="", sha512=hashlib.sha512(der).hexdigest(), size=len(der), jwe=der)
    contents = Contents(metadata=part, data=part, attachments={uuid4(): part}, form=Form.CMS)
    cms = accepted(store, there.destination_id, contents=contents)
    assert store.submissions.message(cms.submission_id).contents == contents
    assert {claimed.submission.contents.form for claimed in claim(store)} == {Form.JOSE, Form.CMS}
    for form, made in ((Form.JOSE, jwes), (Form.CMS, cms)):
        (only,) = store.submissions.messages(
            destination_ids=[there.destination_id], state=State.SUBMITTED, form=form
        ).items
        assert (only.id, only.form) == (made.submission_id, form)
