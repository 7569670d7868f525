"""A change of a key waits for a second person, is carried out once, and takes its audit entry along."""

from __future__ import annotations

from datetime import timedelta

import pytest
from store_values import NOW, known_destination

from hub.errors import Conflict
from hub.store import AuditEntry
from hub.store.key_changes import KeyAction, KeyChange, KeyChanges

pytest_plugins = ["store_servers"]
LATER = NOW + timedelta(hours=1)


def entry(action: str) -> AuditEntry:
    return AuditEntry(at=NOW, actor="otto", action=action, target="x")


@pytest.fixture
def change(store) -> KeyChange:
    destination = known_destination(store)
    for kid in ("new", "newer"):
        store.add_key(destination.destination_id, {"kid": kid, "key_ops": ["wrapKey"]}, NOW)
    return KeyChange(
        destination_id=destination.destination_id,
        kid="new",
        action=KeyAction.ACTIVATE,
        proposed_by="otto",
        proposed_at=NOW,
    )


def test_the_same_waits_once(store, change):
    changes = KeyChanges(store)
    changes.propose(change, audit=entry("propose"))
    with pytest.raises(Conflict):
        changes.propose(change, audit=entry("propose"))
    assert [each.entry.action for each in store.audit().items] == ["propose"]


def test_what_does_not_wait_is_not_carried_out(store, change):
    with pytest.raises(Conflict):
        KeyChanges(store).settle(change, "olga", LATER, audit=entry("settle"), use_kid="new")
    assert store.destination(change.destination_id).encryption_kid != "new"
    assert store.audit().total == 0


def test_the_second_word_changes_the_key_once(store, change):
    changes = KeyChanges(store)
    changes.propose(change, audit=entry("propose"))
    changes.settle(change, "olga", LATER, audit=entry("settle"), use_kid="new")
    assert store.destination(change.destination_id).encryption_kid == "new"
    (done,) = changes.of(change.destination_id)
    assert (done.proposed_by, done.settled_by, done.settled_at) == ("otto", "olga", LATER)
    with pytest.raises(Conflict):
        changes.settle(change, "olga", LATER, audit=entry("settle"))


def test_a_key_that_became_current_meanwhile_is_not_retired(store, change):
    changes = KeyChanges(store)
    retire = KeyChange(
        destination_id=change.destination_id,
        kid="new",
        action=KeyAction.RETIRE,
        proposed_by="otto",
        proposed_at=NOW,
    )
    for each in (change, retire):
        changes.propose(each, audit=entry("propose"))
    changes.settle(change, "olga", LATER, audit=entry("settle"), use_kid="new")
    with pytest.raises(Conflict):
        changes.settle(retire, "olga", LATER, audit=entry("settle"))
    assert not changes.is_retired(change.destination_id, "new")
