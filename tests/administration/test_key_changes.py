"""Keys change in people's hands only when a second one agrees, and the policy judges at both ends."""

from __future__ import annotations

import base64
import hashlib
from datetime import timedelta

import pytest
from cryptography.x509 import load_der_x509_certificate

from hub.administration.destinations import Draft
from hub.administration.keys import By, KeyApproval
from hub.app import development_authority
from hub.crypto.certificates import as_jwk, read_deposit
from hub.crypto.jwk import make_rsa_pair
from hub.errors import Conflict, Forbidden, Invalid, KeyRefused, KeyUnavailable, Malformed, NotFound
from hub.model import EVERYTHING
from hub.store.proposals import ChangeState, KeyStep


@pytest.fixture(scope="session")
def fresh_pair():
    """A key without a certificate: making one takes half a second."""
    return make_rsa_pair("encryption")


@pytest.fixture
def desk(stage):
    return KeyApproval(store=stage.hub.store, policy=stage.hub.policy)


@pytest.fixture
def place(stage):
    return stage.hub.store.parties.destination(stage.destination_id("Wiesbaden"))


@pytest.fixture
def key(stage, fresh_pair):
    return certified(stage, fresh_pair[0])


def certified(stage, public, *, days=365):
    authority = development_authority(stage.hub.settings, now=stage.clock())
    return authority.issue(public, subject="Wiesbaden", now=stage.clock(), days=days)


def by(stage, name, text=""):
    return By(actor=name, now=stage.clock(), text=text)


def current(stage, place):
    return stage.hub.store.parties.destination(place.destination_id).encryption_kid


def test_a_proposal_changes_nothing(stage, desk, place, key):
    change = desk.propose_new(place, key, activate=True, by=by(stage, "otto", "läuft ab"))
    assert change.state is ChangeState.OPEN
    assert current(stage, place) == place.encryption_kid
    assert stage.hub.store.parties.key(place.destination_id, key["kid"]) is None


def test_nobody_approves_an_own_proposal(stage, desk, place, key):
    change = desk.propose_new(place, key, activate=True, by=by(stage, "otto"))
    with pytest.raises(Forbidden) as refusal:
        desk.approve(place, change.change_id, by=by(stage, "otto"))
    assert refusal.value.slug == "second-person"
    assert current(stage, place) == place.encryption_kid


def test_a_second_person_brings_the_key_into_use(stage, desk, place, key):
    change = desk.propose_new(place, key, activate=True, by=by(stage, "otto"))
    done = desk.approve(place, change.change_id, by=by(stage, "anton", "geprüft"))
    assert (done.state, done.decided_by, done.remark) == (ChangeState.APPROVED, "anton", "geprüft")
    assert current(stage, place) == key["kid"]
    proposed, approved = stage.hub.store.audit.entries(
        action="key.", target=str(place.destination_id), scope=EVERYTHING
    ).items
    assert (proposed.entry.actor, approved.entry.actor) == ("otto", "anton")
    assert approved.entry.before == {"encryption_kid": place.encryption_kid}
    assert approved.entry.after["kid"] == key["kid"]


def test_a_decision_is_made_once(stage, desk, place, key):
    change = desk.propose_new(place, key, activate=True, by=by(stage, "otto"))
    desk.refuse(place, change.change_id, by=by(stage, "anton"))
    with pytest.raises(Conflict):
        desk.approve(place, change.change_id, by=by(stage, "anton"))
    assert current(stage, place) == place.encryption_kid


def test_one_proposal_for_a_key_at_a_time(stage, desk, place, key):
    desk.propose_new(place, key, activate=True, by=by(stage, "otto"))
    with pytest.raises(Conflict) as refusal:
        desk.propose_new(place, key, activate=False, by=by(stage, "doris"))
    assert refusal.value.slug == "key-change-open"


def test_taking_back_is_told_from_refusing(stage, desk, place, key):
    change = desk.propose_new(place, key, activate=True, by=by(stage, "otto"))
    assert desk.refuse(place, change.change_id, by=by(stage, "otto")).state is ChangeState.WITHDRAWN
    again = desk.propose_new(place, key, activate=True, by=by(stage, "otto"))
    assert desk.refuse(place, again.change_id, by=by(stage, "anton")).state is ChangeState.REFUSED
    assert desk.open(scope=EVERYTHING) == []


def test_a_certificate_that_ended_meanwhile_is_refused_at_the_approval(stage, desk, place, fresh_pair):
    key = certified(stage, fresh_pair[0], days=3)
    change = desk.propose_new(place, key, activate=True, by=by(stage, "otto"))
    stage.clock.pass_(days=4)
    with pytest.raises(Malformed) as refusal:
        desk.approve(place, change.change_id, by=by(stage, "anton"))
    assert refusal.value.members["check"] == 10
    assert current(stage, place) == place.encryption_kid


def test_a_key_that_the_policy_refuses_is_not_even_proposed(stage, desk, place, fresh_pair):
    with pytest.raises(Malformed) as refusal:
        desk.propose_new(place, fresh_pair[0], activate=True, by=by(stage, "otto"))
    assert "x5c" in refusal.value.detail.de
    with pytest.raises(Malformed) as refusal:
        desk.propose_new(place, fresh_pair[1], activate=True, by=by(stage, "otto"))
    assert desk.of(place) == []


def test_a_signature_key_is_not_activated(stage, desk, place):
    signing = next(key for key in stage.hub.store.parties.keys(place.destination_id) if key.use == "verify")
    with pytest.raises(Invalid):
        desk.propose(place, KeyStep.ACTIVATE, signing.kid, by=by(stage, "otto"))


def test_the_key_in_use_of_an_active_destination_is_not_retired(stage, desk, place):
    with pytest.raises(Conflict):
        desk.propose(place, KeyStep.RETIRE, place.encryption_kid, by=by(stage, "otto"))


def test_a_retired_key_seals_nothing_and_stays_readable(stage, desk, place):
    from hub.administration.destinations import Destinations

    desk_of_all = Destinations(store=stage.hub.store, policy=stage.hub.policy)
    halted = desk_of_all.amend(place, Draft(status="inactive"), actor="otto", now=stage.clock())
    change = desk.propose(halted, KeyStep.RETIRE, place.encryption_kid, by=by(stage, "otto", "offengelegt"))
    desk.approve(halted, change.change_id, by=by(stage, "anton"))
    stage.clock.pass_(seconds=5)
    with pytest.raises(KeyUnavailable):
        stage.hub.directory.encryption_key(place, now=stage.clock())
    assert desk_of_all.key(place.destination_id, place.encryption_kid)["kid"] == place.encryption_kid
    with pytest.raises(Conflict):
        desk.propose(halted, KeyStep.ACTIVATE, place.encryption_kid, by=by(stage, "otto"))


def test_a_proposal_is_decided_at_its_own_destination(stage, desk, place, key):
    other = stage.hub.store.parties.destination(stage.destination_id("Rheingau"))
    change = desk.propose_new(place, key, activate=True, by=by(stage, "otto"))
    with pytest.raises(NotFound):
        desk.approve(other, change.change_id, by=by(stage, "anton"))


def test_whoever_created_a_destination_does_not_put_it_into_service(stage, desk, place):
    from dataclasses import replace

    from hub.store import AuditEntry

    entry = AuditEntry(at=stage.clock(), actor="otto", action="destination.create", target=str(place.destination_id))
    stage.hub.store.audit.append(entry)
    created = replace(place, status="created")
    with pytest.raises(Forbidden):
        desk.require_second_person(created, actor="otto", now=stage.clock())
    desk.require_second_person(created, actor="anton", now=stage.clock())
    desk.require_second_person(place, actor="otto", now=stage.clock())


def test_a_certificate_becomes_a_key_with_its_chain(stage, key):
    der = base64.b64decode(key["x5c"][0])
    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
    for content in (der, pem):
        made = read_deposit(content, operation="wrapKey")
        assert (made["n"], made["x5c"], made["key_ops"]) == (key["n"], [key["x5c"][0]], ["wrapKey"])
        assert made["kid"] == base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
        # What the connector signs with a file that holds this certificate names the same key.
        assert made == as_jwk([load_der_x509_certificate(der)], use="encryption")


@pytest.mark.parametrize(
    ("content", "check"),
    [
        (b"", 1),
        (b"not a key", 1),
        (b'{"keys": []}', 1),
        (b"[1]", 1),
        (b"{" * 100_000, 1),
        (b"x" * 200_000, 1),
        (b"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----", 2),
    ],
)
def test_what_is_no_public_key_is_refused_with_its_reason(content, check):
    with pytest.raises(KeyRefused) as refusal:
        read_deposit(content, operation="wrapKey")
    assert refusal.value.members["check"] == check


def test_the_circuit_remembers_its_openings(stage, place):
    from dataclasses import replace

    store, now = stage.hub.store, stage.clock()
    for turn in range(3):
        until = now + timedelta(hours=turn + 1)
        store.circuits.change(
            place.destination_id, lambda c, until=until: replace(c, failures=7, open_until=until), now
        )
        store.circuits.change(place.destination_id, lambda c: replace(c, failures=8), now)
    store.circuits.change(place.destination_id, lambda c: replace(c, failures=0, open_until=None), now)
    history = store.circuits.changes(place.destination_id)
    assert [change.open_until is None for change in history] == [True, False, False, False]
    assert history[1].open_until == now + timedelta(hours=3)


def test_the_history_of_a_circuit_is_bounded(stage, place):
    from dataclasses import replace

    from hub.store import deliveries

    store, now = stage.hub.store, stage.clock()
    for turn in range(deliveries.KEPT + 5):
        until = now + timedelta(seconds=turn + 1)
        store.circuits.change(place.destination_id, lambda c, until=until: replace(c, open_until=until), now)
    kept = store.circuits.changes(place.destination_id, limit=500)
    assert len(kept) == deliveries.KEPT
