"""Leases of duties, the callback outbox, shared settings and the audit chain."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from sqlalchemy import text
from store_values import MINUTE, NOW, callback

from hub.errors import NotFound
from hub.model import EVERYTHING
from hub.model.events import GENESIS
from hub.store import AuditEntry


def _hold(store, node, now=NOW, name="sweep"):
    return store.duties.hold(name, node=node, now=now, lease=MINUTE)


def test_a_duty_has_one_holder_until_its_lease_ends(store):
    assert _hold(store, "a") == 1
    assert _hold(store, "b") is None
    assert _hold(store, "b", name="sign") == 1
    assert _hold(store, "a", NOW + MINUTE / 2) == 1
    assert _hold(store, "b", NOW + MINUTE) is None
    assert _hold(store, "b", NOW + MINUTE * 2) == 2
    assert _hold(store, "a", NOW + MINUTE * 2) is None


def test_a_holder_that_lapsed_gets_another_number(store):
    assert _hold(store, "a") == 1
    assert _hold(store, "a", NOW + MINUTE) == 2


def test_a_released_duty_is_free_at_once_but_only_its_holder_releases_it(store):
    _hold(store, "a")
    assert not store.duties.release("sweep", node="b", fencing=1)
    assert not store.duties.release("sweep", node="a", fencing=7)
    assert store.duties.release("sweep", node="a", fencing=1)
    assert _hold(store, "b") == 2


def test_eight_nodes_reach_for_a_duty_and_one_gets_it(open_store):
    nodes = [open_store() for _ in range(3)]
    together = threading.Barrier(8)
    taken = []

    def reach(number: int) -> None:
        together.wait()
        taken.append(_hold(nodes[number % 3], f"node-{number}"))

    threads = [threading.Thread(target=reach, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(taken) == {1: 1, None: 7}


def test_settings_are_shared_and_replaced(open_store):
    first, second = open_store(), open_store()
    assert first.settings.value("a") is None
    first.settings.set("a", "1")
    second.settings.set("a", "2")
    assert first.settings.value("a") == "2"


# The outbox.


def _claim(store, now=NOW, node="n", limit=10):
    return store.callbacks.claim(now, lease=MINUTE, node=node, limit=limit)


def test_two_senders_never_claim_the_same_callback(open_store):
    nodes = [open_store(), open_store()]
    made = {callback().callback_id for _ in range(30)}
    for callback_id in made:
        nodes[0].callbacks.add(callback(callback_id=callback_id))
    together = threading.Barrier(4)
    taken = []

    def work(number: int) -> None:
        together.wait()
        for _ in range(10):
            taken.extend(_claim(nodes[number % 2], node=f"n{number}", limit=4))

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(one.callback.callback_id for one in taken) == dict.fromkeys(made, 1)


def test_a_callback_comes_back_as_it_went_in_and_is_sent_once(store):
    made = callback(case_id=uuid4(), body='{"type":"new-events"}')
    store.callbacks.add(made)
    (claimed,) = _claim(store)
    assert (claimed.callback, claimed.attempt) == (made, 1)
    assert store.callbacks.record(claimed, sent=True, next_attempt_at=None, note="204", now=NOW)
    assert not store.callbacks.record(claimed, sent=True, next_attempt_at=None, note="204", now=NOW)
    assert _claim(store, NOW + timedelta(days=9)) == []


def test_a_late_callback_sender_loses(store):
    store.callbacks.add(callback())
    (late,) = _claim(store, node="slow")
    (current,) = _claim(store, NOW + MINUTE, node="quick")
    assert current.attempt == 2
    assert not store.callbacks.record(late, sent=False, next_attempt_at=None, note="", now=NOW)
    assert store.callbacks.record(current, sent=False, next_attempt_at=NOW + MINUTE * 5, note="500", now=NOW)
    assert _claim(store, NOW + MINUTE * 4) == []
    assert _claim(store, NOW + MINUTE * 5)[0].attempt == 3


def test_a_callback_that_was_given_up_can_be_sent_again(store):
    made = callback()
    store.callbacks.add(made)
    (claimed,) = _claim(store)
    store.callbacks.record(claimed, sent=False, next_attempt_at=None, note="gone", now=NOW)
    assert [one.callback_id for one in store.callbacks.dead().items] == [made.callback_id]
    assert store.callbacks.redrive(made.callback_id, NOW)
    assert not store.callbacks.redrive(made.callback_id, NOW)
    assert len(_claim(store)) == 1
    with pytest.raises(NotFound):
        store.callbacks.redrive(uuid4(), NOW)


def test_only_ended_callbacks_are_forgotten(store):
    for _ in range(2):
        store.callbacks.add(callback())
    store.callbacks.record(_claim(store, limit=1)[0], sent=True, next_attempt_at=None, note="", now=NOW)
    assert store.callbacks.forget(NOW) == 0
    assert store.callbacks.forget(NOW + MINUTE) == 1
    assert len(_claim(store, NOW + MINUTE)) == 1


# The audit log.


def _entry(number: int) -> AuditEntry:
    return AuditEntry(
        at=NOW + MINUTE * number,
        actor="admin",
        action="change",
        target=f"route {number}",
        after={"to": "Ä", "n": number},
    )


def test_the_audit_log_is_one_chain_in_order(store):
    made = [store.audit.append(_entry(number)) for number in range(3)]
    stored = store.audit.entries(scope=EVERYTHING).items
    assert list(stored) == made
    assert [record.seq for record in stored] == [1, 2, 3]
    assert stored[0].previous == GENESIS
    assert all(record.hash == record.record_hash() for record in stored)
    assert all(after.previous == before.hash for before, after in pairwise(stored))
    assert [record.seq for record in store.audit.entries(newest_first=True, limit=2, scope=EVERYTHING).items] == [3, 2]


def test_one_changed_word_in_the_audit_log_is_found(store):
    store.audit.append(_entry(0))
    store.database.write(lambda connection: connection.execute(text("UPDATE audit SET actor = 'nobody'")).rowcount)
    (record,) = store.audit.entries(scope=EVERYTHING).items
    assert record.record_hash() != record.hash
    assert replace(record, entry=_entry(0)).record_hash() == record.hash


def test_auditors_on_two_nodes_keep_one_chain(open_store):
    nodes = [open_store(), open_store()]
    together = threading.Barrier(6)

    def act(number: int) -> None:
        together.wait()
        for turn in range(3):
            nodes[number % 2].audit.append(_entry(number * 3 + turn))

    threads = [threading.Thread(target=act, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stored = nodes[0].audit.entries(limit=100, scope=EVERYTHING).items
    assert [record.seq for record in stored] == list(range(1, 19))
    assert all(after.previous == before.hash for before, after in pairwise(stored))
