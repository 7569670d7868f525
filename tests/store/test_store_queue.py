"""The queue: nobody claims what another holds, nobody starves, a late writer loses."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, update
from store_values import (
    FINISHED,
    LEASE,
    MINUTE,
    NOW,
    RECEIVED,
    WAITS,
    accepted,
    answer,
    buried,
    callback,
    claim,
    event,
    known_destination,
    record,
    state_of,
)

from hub.errors import Conflict, NotFound
from hub.model import EVERYTHING
from hub.model.delivery import Step, StepKind
from hub.model.events import EventKind
from hub.model.submission import DeadCause, Outcome, OutcomeKind, State
from hub.store import Circuit, DeliveryState, tables

_SOON = NOW + timedelta(seconds=10)
_AGAIN = Step(kind=StepKind.RETRY, due=NOW + MINUTE)
_UNREACHABLE = Outcome(kind=OutcomeKind.UNREACHABLE, note="connection refused")
_UNKNOWN = Outcome(kind=OutcomeKind.UNKNOWN, note="no answer")


def test_two_claimers_never_get_the_same_delivery(open_store):
    nodes = [open_store() for _ in range(3)]
    receivers = [known_destination(nodes[0]) for _ in range(4)]
    made = {accepted(nodes[0], receivers[number % 4].destination_id).submission_id for number in range(60)}
    together = threading.Barrier(6)
    taken = []

    def work(number: int) -> None:
        together.wait()
        for _ in range(12):
            taken.extend(claim(nodes[number % 3], node=f"node-{number}", limit=7))

    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(one.submission.submission_id for one in taken) == dict.fromkeys(made, 1)


def test_nothing_is_claimed_before_it_is_due(store):
    accepted(store, known_destination(store).destination_id, due=_SOON)
    assert claim(store) == []
    assert store.queue.next_due() == _SOON
    assert len(claim(store, now=_SOON)) == 1


def test_a_claim_carries_all_that_an_attempt_needs(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    (taken,) = claim(store, node="node-b")
    assert taken.submission == made
    assert taken.destination == there
    assert (taken.attempt, taken.repeat, taken.lapses, taken.node) == (1, False, 0, "node-b")
    assert taken.accepted_at == NOW
    assert store.queue.next_due() == NOW + LEASE


def test_a_claim_brings_the_log_of_each_as_a_look_at_it_would(store):
    there, box = (known_destination(store, adapter=name) for name in ("folder", "mailbox"))
    made = [accepted(store, there.destination_id) for _ in range(3)]
    accepted(store, box.destination_id)
    # What follows the submit event is none of the push's business.
    store.event_log.append(
        made[0].case_id,
        made[0].submission_id,
        lambda _head, _state: [event(made[0].case_id, made[0].submission_id, EventKind.NOTIFY)],
    )
    taken = store.queue.claim(NOW, lease=LEASE, node="n", limit=100, per_destination=100, instant={"mailbox"})
    runs = {one.submission.submission_id: one.run for one in taken}
    assert [[each.seq for each in runs[one.submission_id]] for one in made] == [[1, 2]] * 3
    assert [runs[one.submission_id] for one in made] == [
        store.event_log.run(one.case_id, one.submission_id) for one in made
    ]
    assert [one.run for one in taken if one.destination.adapter == "mailbox"] == [None]


def test_an_entry_that_cannot_be_read_costs_its_own_delivery_the_run_and_nothing_else(store):
    there = known_destination(store)
    bad, good = (accepted(store, there.destination_id) for _ in range(2))
    kind = update(tables.events).where(tables.events.c.case_id == str(bad.case_id)).values(issued_at=1 << 62)
    store.database.write(lambda connection: connection.execute(kind))
    runs = {one.submission.submission_id: one.run for one in claim(store)}
    assert runs[bad.submission_id] is None
    assert len(runs[good.submission_id]) == 2


def test_a_destination_that_cannot_be_read_sets_each_of_its_deliveries_aside_and_no_others(store):
    broken, there = known_destination(store), known_destination(store)
    bad = [accepted(store, broken.destination_id) for _ in range(2)]
    good = accepted(store, there.destination_id)
    spoilt = update(tables.destinations).where(tables.destinations.c.destination_id == str(broken.destination_id))
    store.database.write(lambda connection: connection.execute(spoilt.values(services="{")))
    assert [one.submission.submission_id for one in claim(store)] == [good.submission_id]
    assert {store.deliveries.of(one.submission_id).cause for one in bad} == {DeadCause.HUB}


def test_a_wide_receiver_gets_its_own_number_and_the_others_theirs(store):
    wide, narrow, usual = (known_destination(store).destination_id for _ in range(3))
    for there in (wide, narrow, usual):
        for _ in range(8):
            accepted(store, there)

    def taken():
        widths = {wide: 6, narrow: 1}
        found = store.queue.claim(NOW, lease=LEASE, node="n", limit=100, per_destination=4, widths=widths)
        return Counter(one.destination.destination_id for one in found)

    assert taken() == {wide: 6, narrow: 1, usual: 4}
    assert taken() == {}
    store.circuits.change(wide, lambda circuit: replace(circuit, failures=1), NOW)
    accepted(store, wide, due=NOW)
    assert taken() == {}, "one that failed last gets one at a time, however wide it was"


def test_a_receiver_that_one_node_found_quick_is_open_to_the_others_too(store):
    there = known_destination(store).destination_id
    for _ in range(30):
        accepted(store, there)

    def taken(node, width=4):
        return len(store.queue.claim(NOW, lease=LEASE, node=node, limit=100, per_destination=4, widths={there: width}))

    assert taken("first") == 4
    assert taken("second") == 0, "nobody knows yet that it takes more than the usual number"
    assert taken("first", width=10) == 6
    assert [taken("second"), taken("second")] == [4, 0]
    assert [taken("first", width=10), taken("second", width=6), taken("third", width=1)] == [0, 2, 1]
    store.circuits.change(there, lambda circuit: replace(circuit, failures=1), NOW)
    assert taken("fourth") == 0


def test_a_late_writer_loses_and_writes_nothing(store):
    made = accepted(store, known_destination(store).destination_id)
    (late,) = claim(store, node="slow")
    (current,) = claim(store, now=NOW + LEASE, node="quick")
    assert not record(store, late, events=[event(made.case_id, made.submission_id, EventKind.NOTIFY)])
    assert not store.queue.renew(late, NOW + MINUTE * 9)
    assert store.deliveries.of(made.submission_id).state is DeliveryState.QUEUED
    assert store.event_log.events(made.case_id).total == 2
    assert record(store, current)
    assert not record(store, current)
    view = store.deliveries.of(made.submission_id)
    assert [(one.n, one.node) for one in view.attempts] == [(1, "slow"), (2, "quick")]


def test_a_lapsed_lease_is_an_attempt_of_unknown_outcome(store):
    made = accepted(store, known_destination(store).destination_id)
    claim(store, node="dies")
    (second,) = claim(store, now=NOW + LEASE)
    assert (second.attempt, second.repeat, second.lapses) == (2, True, 1)
    (third,) = claim(store, now=NOW + LEASE * 2)
    assert (third.attempt, third.repeat, third.lapses) == (3, True, 2)
    history = store.deliveries.of(made.submission_id).attempts
    assert [(one.n, one.outcome, one.repeat) for one in history] == [
        (1, OutcomeKind.UNKNOWN, False),
        (2, OutcomeKind.UNKNOWN, True),
    ]
    assert (history[0].node, history[0].started_at, history[0].ended_at) == ("dies", NOW, NOW + LEASE)


def died(store, *, since, times):
    """So many times in a row workers died with all that was due; return when the last lease ran out."""
    for n in range(times):
        claim(store, now=since + LEASE * n)
    return since + LEASE * times


def test_what_died_twice_with_its_worker_is_claimed_one_by_one(store):
    there = known_destination(store).destination_id
    for _ in range(3):
        accepted(store, there)
    now = died(store, since=NOW, times=2)
    fresh = accepted(store, there)
    taken = claim(store, now=now)
    assert [one.suspect for one in taken].count(True) == 1
    assert fresh.submission_id in {one.submission.submission_id for one in taken}
    (next_one,) = claim(store, now=now)
    assert next_one.suspect
    assert claim(store, now=now, suspects=False) == []


def test_once_is_the_fate_of_all_that_a_dead_worker_held(store):
    there = known_destination(store).destination_id
    for _ in range(3):
        accepted(store, there)
    now = died(store, since=NOW, times=1)
    assert [one.lapses for one in claim(store, now=now, suspects=False)] == [1, 1, 1]


def test_lapses_count_in_a_row(store):
    accepted(store, known_destination(store).destination_id)
    now = died(store, since=NOW, times=2)
    (taken,) = claim(store, now=now)
    assert taken.lapses == 2
    assert record(store, taken, _UNREACHABLE, _AGAIN, ended_at=now)
    (again,) = claim(store, now=now + MINUTE)
    assert (again.lapses, again.repeat) == (0, True)


def test_a_suspect_of_a_busy_receiver_waits_like_any_other(store):
    there = known_destination(store).destination_id
    accepted(store, there)
    now = died(store, since=NOW, times=2)
    accepted(store, there)
    assert len(claim(store, now=now, each=1, suspects=False)) == 1
    assert claim(store, now=now, each=1) == []


def test_what_was_not_begun_is_given_back_without_a_trace(store):
    made = accepted(store, known_destination(store).destination_id)
    (taken,) = claim(store, node="node-a")
    store.queue.give_back([taken], NOW)
    assert not record(store, taken)
    (again,) = claim(store, node="node-b")
    assert (again.attempt, again.repeat, again.lapses) == (1, False, 0)
    assert store.deliveries.of(made.submission_id).attempts == ()


def test_what_is_not_ours_any_more_cannot_be_given_back(store):
    made = accepted(store, known_destination(store).destination_id)
    (late,) = claim(store)
    (current,) = claim(store, now=NOW + LEASE)
    store.queue.give_back([late], NOW)
    assert record(store, current)
    store.queue.give_back([current], NOW)
    assert store.deliveries.of(made.submission_id).next_attempt_at is None


def test_whoever_is_late_but_unchallenged_still_counts(store):
    accepted(store, known_destination(store).destination_id)
    (late,) = claim(store)
    assert record(store, late, ended_at=NOW + LEASE * 3)


def test_a_renewed_lease_is_not_claimed_by_others(store):
    accepted(store, known_destination(store).destination_id)
    (taken,) = claim(store)
    assert store.queue.renew(taken, NOW + LEASE * 2)
    assert claim(store, now=NOW + LEASE) == []
    assert record(store, taken)


def test_an_unreachable_receiver_is_tried_again_when_due(store):
    made = accepted(store, known_destination(store).destination_id)
    (first,) = claim(store)
    assert record(store, first, _UNREACHABLE, _AGAIN)
    assert claim(store) == []
    (second,) = claim(store, now=NOW + MINUTE)
    assert (second.attempt, second.repeat, second.delivery_id) == (2, False, first.delivery_id)
    assert store.deliveries.of(made.submission_id).attempts[0].note == "connection refused"


def test_an_answer_that_never_came_flags_every_later_attempt(store):
    accepted(store, known_destination(store).destination_id)
    (first,) = claim(store)
    record(store, first, _UNKNOWN, _AGAIN)
    (second,) = claim(store, now=NOW + MINUTE)
    assert second.repeat
    record(store, second, _UNREACHABLE, Step(kind=StepKind.RETRY, due=NOW + MINUTE * 2))
    (third,) = claim(store, now=NOW + MINUTE * 2)
    assert third.repeat


def test_a_finished_delivery_is_finished_with_its_event_and_callback(store):
    made = accepted(store, known_destination(store).destination_id)
    (taken,) = claim(store)
    notify = event(made.case_id, made.submission_id, EventKind.NOTIFY)
    assert record(store, taken, WAITS, events=[notify], callbacks=[callback()])
    view = store.deliveries.of(made.submission_id)
    assert (view.state, view.next_attempt_at, view.finished_at) == (DeliveryState.WAITING, None, NOW)
    assert store.event_log.events(made.case_id).items[-1].jti == notify.jti
    assert len(store.callbacks.claim(NOW, lease=MINUTE, node="n", limit=10)) == 1
    assert store.queue.next_due() is None
    assert claim(store, now=NOW + timedelta(days=99)) == []


def test_an_answer_during_the_attempt_is_not_undone_by_its_record(store):
    there = known_destination(store)
    made = accepted(store, there.destination_id)
    (taken,) = claim(store)
    make = answer(EventKind.ACCEPT, made.case_id, made.submission_id, there.destination_id)
    store.event_log.append(made.case_id, made.submission_id, make)
    notify = event(made.case_id, made.submission_id, EventKind.NOTIFY)
    assert record(store, taken, _UNKNOWN, _AGAIN, events=[notify])
    view = store.deliveries.of(made.submission_id)
    assert (view.state, view.next_attempt_at, len(view.attempts)) == (DeliveryState.DELIVERED, None, 1)
    assert state_of(store, made.submission_id) is State.ACCEPTED
    assert store.event_log.events(made.case_id).items[-1].kind is EventKind.ACCEPT


# Fairness.


def test_a_backlog_takes_only_its_own_turn(store):
    crowded, quiet = known_destination(store), known_destination(store)
    for _ in range(20):
        accepted(store, crowded.destination_id, due=NOW - MINUTE)
    accepted(store, quiet.destination_id)
    taken = claim(store, limit=4)
    assert Counter(one.destination.destination_id for one in taken) == {
        crowded.destination_id: 3,
        quiet.destination_id: 1,
    }


def _crowd(store, destination_id, number: int) -> None:
    """Let ``number`` more deliveries be due for an hour: copies of one, for each has but to exist."""
    first = str(accepted(store, destination_id, due=NOW - MINUTE * 60).submission_id)
    ids = [str(uuid4()) for _ in range(number)]

    def write(connection):
        for table, own in ((tables.messages, "message_id"), (tables.contents, "message_id"), (tables.deliveries, "")):
            key = table.c[own or "submission_id"]
            rows = [dict(row) for row in connection.execute(select(table).where(key == first)).mappings()]
            fresh = [
                {**row, key.name: one} | ({} if own else {"delivery_id": str(uuid4())}) for one in ids for row in rows
            ]
            connection.execute(insert(table), fresh)

    store.database.write(write)


def test_ten_thousand_due_deliveries_of_one_destination_starve_no_other(store):
    crowded, quiet = known_destination(store), known_destination(store)
    _crowd(store, crowded.destination_id, 10_000)
    served = Counter()
    for _ in range(10):
        made = accepted(store, quiet.destination_id)
        taken = claim(store, limit=4, each=2)
        assert made.submission_id in {one.submission.submission_id for one in taken}
        served.update(one.destination.destination_id for one in taken)
        assert all(record(store, one) for one in taken)
    assert served == {quiet.destination_id: 10, crowded.destination_id: 20}


def test_a_delivery_that_makes_no_sense_holds_up_no_other(store):
    there = known_destination(store).destination_id
    odd, sound = accepted(store, there), accepted(store, there, due=NOW + timedelta(microseconds=1))
    nonsense = update(tables.messages).where(tables.messages.c.message_id == str(odd.submission_id)).values(door="odd")
    store.database.write(lambda connection: connection.execute(nonsense))
    assert claim(store, now=_SOON, limit=1) == []
    assert store.deliveries.of(odd.submission_id).cause is DeadCause.HUB
    (taken,) = claim(store, now=_SOON, limit=1)
    assert taken.submission == sound


def test_a_destination_gets_no_more_than_its_share_at_once(store):
    there = known_destination(store)
    for _ in range(6):
        accepted(store, there.destination_id)
    first = claim(store, each=2)
    assert len(first) == 2
    assert claim(store, each=2) == []
    record(store, first[0])
    assert len(claim(store, each=2)) == 1


def test_a_share_held_by_the_dead_is_freed_with_their_lease(store):
    there = known_destination(store)
    for _ in range(4):
        accepted(store, there.destination_id)
    claim(store, each=2, node="dies")
    assert len(claim(store, now=NOW + LEASE, each=2)) == 2


def test_the_longest_due_of_a_destination_comes_first(store):
    there = known_destination(store)
    made = [accepted(store, there.destination_id, due=NOW - MINUTE * number) for number in range(3)]
    assert [one.submission.submission_id for one in claim(store, limit=2)] == [
        made[2].submission_id,
        made[1].submission_id,
    ]


# Circuits.


def _open(store, destination_id, until) -> None:
    store.circuits.change(destination_id, lambda known: replace(known, failures=5, open_until=until), NOW)


def test_an_open_circuit_holds_its_destination_alone(store):
    broken, sound = known_destination(store), known_destination(store)
    accepted(store, broken.destination_id)
    accepted(store, sound.destination_id, due=NOW + MINUTE)
    _open(store, broken.destination_id, _SOON)
    assert claim(store) == []
    assert store.queue.next_due() == _SOON
    accepted(store, sound.destination_id)
    (only,) = claim(store)
    assert only.destination == sound
    taken = claim(store, now=NOW + MINUTE)
    assert {one.destination.destination_id for one in taken} == {broken.destination_id, sound.destination_id}


def test_a_half_open_circuit_lets_one_through(store):
    there = known_destination(store)
    for _ in range(3):
        accepted(store, there.destination_id)
    _open(store, there.destination_id, _SOON)
    (probe,) = claim(store, now=_SOON)
    assert claim(store, now=_SOON) == []
    record(store, probe)
    store.circuits.change(there.destination_id, lambda _known: Circuit(destination_id=there.destination_id), _SOON)
    assert len(claim(store, now=_SOON)) == 2


def test_a_receiver_that_failed_last_is_tried_one_at_a_time(store):
    """So many receivers may hang at once; each of them then holds one thread, not its whole share."""
    failing, sound = known_destination(store), known_destination(store)
    for there in (failing, sound):
        for _ in range(3):
            accepted(store, there.destination_id)
    store.circuits.change(failing.destination_id, lambda known: replace(known, failures=1), NOW)
    taken = Counter(one.destination.destination_id for one in claim(store, each=4))
    assert taken == {failing.destination_id: 1, sound.destination_id: 3}
    store.circuits.change(failing.destination_id, lambda known: replace(known, failures=0), NOW)
    assert len(claim(store, each=4)) == 2


def test_circuit_changes_do_not_overwrite_each_other(open_store):
    nodes = [open_store(), open_store()]
    there = known_destination(nodes[0])
    assert nodes[0].circuits.circuit(there.destination_id) == Circuit(destination_id=there.destination_id)

    def fail(number: int) -> None:
        for _ in range(5):
            nodes[number % 2].circuits.change(
                there.destination_id, lambda known: replace(known, failures=known.failures + 1), NOW
            )

    threads = [threading.Thread(target=fail, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert nodes[0].circuits.circuit(there.destination_id).failures == 20


# Dead letters.


def test_the_buried_lie_among_the_dead_by_cause(store):
    there = known_destination(store)
    made = [accepted(store, there.destination_id) for _ in range(2)]
    causes = [DeadCause.PAYLOAD, DeadCause.CONFIGURATION]
    for taken, cause in zip(claim(store), causes, strict=True):
        record(store, taken, *buried(cause))
    assert store.deliveries.dead(scope=EVERYTHING).total == 2
    (delivery,) = store.deliveries.dead(DeadCause.PAYLOAD, scope=EVERYTHING).items
    assert delivery.submission_id in {one.submission_id for one in made}
    assert (delivery.state, delivery.next_attempt_at) == (DeliveryState.DEAD, None)
    assert store.deliveries.dead(DeadCause.HUB, scope=EVERYTHING).total == 0
    assert store.deliveries.dead(destination_id=uuid4(), scope=EVERYTHING).total == 0


def test_a_redrive_happens_once_and_starts_the_schedule_anew(store):
    made = accepted(store, known_destination(store).destination_id)
    (taken,) = claim(store)
    record(store, taken, *buried())
    woken = []
    store.on_delivery_due(lambda: woken.append(1))
    assert store.deliveries.redrive(taken.delivery_id, _SOON)
    assert not store.deliveries.redrive(taken.delivery_id, _SOON)
    assert woken
    (again,) = claim(store, now=_SOON)
    assert (again.attempt, again.accepted_at, again.delivery_id) == (2, _SOON, taken.delivery_id)
    assert record(store, again)
    assert store.deliveries.of(made.submission_id).state is DeliveryState.DELIVERED


def test_what_is_answered_or_unknown_is_not_sent_again(store):
    made = accepted(store, known_destination(store).destination_id)
    (taken,) = claim(store)
    record(store, taken, *buried())
    reject = event(made.case_id, made.submission_id, EventKind.REJECT)
    store.event_log.append(made.case_id, made.submission_id, lambda _head, _state: [reject])
    with pytest.raises(Conflict):
        store.deliveries.redrive(taken.delivery_id, _SOON)
    with pytest.raises(NotFound):
        store.deliveries.redrive(uuid4(), _SOON)


def test_the_backlog_is_counted_by_destination_and_state(store):
    there = known_destination(store)
    for number in range(4):
        accepted(store, there.destination_id, due=NOW - MINUTE * number)
    waits, dies, arrives = claim(store, limit=3)
    record(store, waits, WAITS)
    record(store, dies, *buried())
    record(store, arrives, RECEIVED, FINISHED)
    found = {one.state: one for one in store.deliveries.backlog()}
    assert {state: one.count for state, one in found.items()} == {
        DeliveryState.QUEUED: 1,
        DeliveryState.WAITING: 1,
        DeliveryState.DEAD: 1,
    }
    assert found[DeliveryState.QUEUED].oldest_at == NOW
