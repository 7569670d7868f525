"""Proposals, circuits' histories, callbacks and the audit search are alike on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from store_values import NOW, accepted, callback, known_destination

from hub.errors import Conflict, KeyRefused, NotFound
from hub.model import EVERYTHING, Scope
from hub.model.submission import MediaType, SchemaRef, new_id
from hub.store import AuditEntry, DeliveryState
from hub.store.proposals import ChangeState, KeyChange, KeyStep

JWK = {"kid": "new-key-1", "kty": "RSA", "key_ops": ["wrapKey"], "n": "AQ", "e": "AQAB", "alg": "RSA-OAEP-256"}


def audit(action="key.propose"):
    return AuditEntry(at=NOW, actor="otto", action=action, target="destination:x")


@pytest.fixture
def changes(store):
    return store.key_changes


def proposal(place, **said):
    given = {"step": KeyStep.ACTIVATE, "kid": "new-key-1", "jwk": JWK, "reason": "", "proposed_by": "otto"}
    return KeyChange(destination_id=place.destination_id, proposed_at=NOW, **{**given, **said})


def decided(change, state=ChangeState.APPROVED):
    return replace(change, state=state, decided_by="anton", decided_at=NOW + timedelta(hours=1), remark="gut")


def test_an_approval_adds_the_key_and_seals_to_it_in_one_transaction(store, changes):
    place = known_destination(store)
    made = changes.propose(proposal(place), audit=audit())
    assert store.parties.key(place.destination_id, "new-key-1") is None
    done = changes.decide(decided(made), audit=audit("key.approve"))
    assert done == decided(made)
    assert changes.of(place.destination_id) == [done]
    assert store.parties.destination(place.destination_id).encryption_kid == "new-key-1"
    assert store.parties.usable_key(place.destination_id, "new-key-1") == JWK
    assert store.audit.entries(action="key.", scope=EVERYTHING).total == 2


def test_a_key_with_the_same_kid_rolls_the_whole_approval_back(store, changes):
    place = known_destination(store)
    made = changes.propose(proposal(place), audit=audit())
    store.parties.add_key(place.destination_id, {**JWK, "n": "Aw"}, NOW)
    with pytest.raises(KeyRefused):
        changes.decide(decided(made), audit=audit("key.approve"))
    assert changes.change(made.change_id).state is ChangeState.OPEN
    assert store.parties.destination(place.destination_id).encryption_kid == place.encryption_kid
    assert store.audit.entries(action="key.approve", scope=EVERYTHING).total == 0


def test_retiring_leaves_the_key_readable(store, changes):
    place = known_destination(store)
    store.parties.add_key(place.destination_id, JWK, NOW)
    made = changes.propose(proposal(place, step=KeyStep.RETIRE, jwk=None), audit=audit())
    changes.decide(decided(made), audit=audit("key.approve"))
    assert store.parties.usable_key(place.destination_id, "new-key-1") is None
    assert store.parties.key(place.destination_id, "new-key-1") == JWK
    retired = next(key for key in store.parties.keys(place.destination_id) if key.kid == "new-key-1")
    assert retired.retired_at == NOW + timedelta(hours=1)


def test_only_one_is_open_and_each_is_decided_once(store, changes):
    place = known_destination(store)
    made = changes.propose(proposal(place), audit=audit())
    with pytest.raises(Conflict):
        changes.propose(proposal(place), audit=audit())
    changes.decide(decided(made, ChangeState.REFUSED), audit=audit("key.refuse"))
    with pytest.raises(Conflict):
        changes.decide(decided(made), audit=audit("key.approve"))
    again = changes.propose(proposal(place), audit=audit())
    assert [each.change_id for each in changes.of(place.destination_id)] == [again.change_id, made.change_id]
    with pytest.raises(NotFound):
        changes.change(999)


def test_open_proposals_stay_within_the_tenant(store, changes):
    here, there = known_destination(store, tenant="06439"), known_destination(store, tenant="06414")
    made = [changes.propose(proposal(place), audit=audit()) for place in (here, there)]
    assert changes.open(scope=EVERYTHING) == made
    assert changes.open(scope=Scope.of_area("06439")) == made[:1]


def test_openings_and_closings_are_kept_the_newest_first(store):
    place = known_destination(store)
    until = NOW + timedelta(minutes=5)
    store.circuits.change(place.destination_id, lambda c: replace(c, failures=1), NOW)
    store.circuits.change(place.destination_id, lambda c: replace(c, failures=5, open_until=until), NOW)
    store.circuits.change(
        place.destination_id, lambda c: replace(c, failures=0, open_until=None), until, audit=lambda _: audit("close")
    )
    history = store.circuits.changes(place.destination_id)
    assert [(each.at, each.failures, each.open_until) for each in history] == [(until, 0, None), (NOW, 5, until)]
    assert store.audit.entries(action="close", scope=EVERYTHING).total == 1


def test_callbacks_of_one_party_are_counted_and_shown_without_their_secret(store):
    place = known_destination(store)
    for _ in range(3):
        store.callbacks.add(callback(party=str(place.destination_id)))
    store.callbacks.add(callback(party="somebody else"))
    claimed = store.callbacks.claim(NOW, lease=timedelta(minutes=1), node="n", limit=10)
    mine = next(each for each in claimed if each.callback.party == str(place.destination_id))
    store.callbacks.record(mine, sent=False, next_attempt_at=None, note="HTTP 410", now=NOW)
    dossier = store.dossier
    assert dossier.callback_states(place.destination_id) == {DeliveryState.QUEUED: 2, DeliveryState.DEAD: 1}
    shown = dossier.callbacks(place.destination_id)
    assert len(shown) == 3
    assert "HTTP 410" in [each.note for each in shown]
    assert mine.callback.secret not in str(shown)


def test_what_was_collected_lately_is_told(store):
    place = known_destination(store)
    dossier = store.dossier
    made = accepted(store, place.destination_id, submission_id=new_id(NOW))
    month = NOW - timedelta(days=30)
    assert dossier.last_collected(place.destination_id, since=month) is None
    store.submissions.mark_collected(made.submission_id, NOW)
    assert dossier.last_collected(place.destination_id, since=month) == NOW
    assert dossier.last_collected(place.destination_id, since=NOW + timedelta(seconds=1)) is None


def test_the_use_of_schemas_is_counted_within_the_tenant(store):
    here, there = known_destination(store, tenant="06439"), known_destination(store, tenant="06414")
    schema = SchemaRef(uri="urn:s", standard="s", version="1", sha256="0" * 64, media_type=MediaType.XML)
    for place in (here, there, there):
        accepted(store, place.destination_id, schema=schema, submission_id=new_id(NOW))
    overview = store.overview
    assert overview.schema_use(since=NOW, scope=EVERYTHING) == {"urn:s": 3}
    assert overview.schema_use(since=NOW, scope=Scope.of_area("06439")) == {"urn:s": 1}
    assert overview.schema_use(since=NOW + timedelta(days=1), scope=EVERYTHING) == {}


def test_the_audit_log_is_searched_without_wildcards(store):
    for actor, action, target in (("a", "key.propose", "destination:1"), ("b", "key.approve", "destination:2")):
        store.audit.append(AuditEntry(at=NOW, actor=actor, action=action, target=target))

    def found(**wanted):
        return [each.entry.actor for each in store.audit.entries(**wanted, scope=EVERYTHING).items]

    assert found(action="key.") == ["a", "b"]
    assert found(target="nation:2") == ["b"]
    assert found(actor="a", action="key.approve") == []
    assert found(action="%") == found(target="_") == []
