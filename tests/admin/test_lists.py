"""A list is narrowed before it is counted and cut into pages: its total is what its pages hold, whoever asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest
from sealed_door import Door
from store_values import Instead, client

from hub.administration.adapters import AdapterApproval
from hub.administration.destinations import DestinationService, Draft
from hub.administration.keys import By, KeyApproval
from hub.identity.clients import new_client
from hub.identity.persons import Person
from hub.model import Role, Scope
from hub.model.parties import ClientKind
from hub.store import Circuit
from hub.store.proposals import ChangeState, KeyStep

OPERATOR = Person(name="otto", full_name="Otto", roles=(Role.OPERATOR,))


@pytest.fixture
def door(stage) -> Door:
    return Door(stage)


@pytest.fixture
def owner(door):
    """A manager of three destinations, as (id, secret, destinations)."""
    made, secret = new_client(ClientKind.SUBSCRIBER, "Betrieb", now=door.clock(), manage=True)
    door.hub.store.parties.add_client(made)
    return made.client_id, secret, [door.give_destination(made.client_id) for _ in range(3)]


def scoped(door, owner, right, destination):
    return door.with_credentials(*owner[:2], f"{right}:destination:{destination.destination_id}")


@pytest.mark.parametrize("wanted", [0, 2], ids=["the first", "the last"])
def test_a_token_bound_to_one_destination_lists_and_counts_it_alone(door, owner, wanted):
    there = owner[2][wanted]
    page = scoped(door, owner, "manage", there).get("/v2/destinations?limit=1").json
    assert (page["totalCount"], page["count"]) == (1, 1)
    assert page["destinations"][0]["destinationId"] == str(there.destination_id)
    free = door.with_credentials(*owner[:2]).get("/v2/destinations?limit=1").json
    assert (free["totalCount"], free["count"]) == (3, 1)


def test_the_dead_letters_of_a_bound_token_are_found_behind_many_destinations(door, owner):
    store = door.hub.store
    for _ in range(500):
        store.parties.add_destination(replace(door.destination, destination_id=uuid4(), owner=owner[0], services=()))
    later = door.clock() + timedelta(days=1)
    last = replace(door.destination, destination_id=uuid4(), owner=owner[0], created_at=later, updated_at=later)
    store.parties.add_destination(last)
    answer = scoped(door, owner, "manage", last).get(f"/hub/v1/dead-letters?destinationId={last.destination_id}")
    assert (answer.status, answer.json["totalCount"]) == (200, 0)
    assert scoped(door, owner, "subscribe", last).get("/v2/submissions").json["totalCount"] == 0


def test_the_submissions_and_cases_of_a_bound_token_are_those_of_its_destination(door, owner):
    store, other = door.hub.store, owner[2][1]
    sent = door.send()
    store.parties.replace_destination(replace(store.parties.destination(door.destination_id), owner=owner[0]))
    elsewhere, here = (scoped(door, owner, "subscribe", each) for each in (other, door.destination))
    for path, name in (("/v2/submissions", "submissions"), ("/v2/cases", "cases")):
        assert here.get(path).json["totalCount"] == 1, path
        assert elsewhere.get(path).json["totalCount"] == 0, path
        assert elsewhere.get(path).json[name] == []
    assert here.get(f"/v2/cases/{sent.case_id}").status == 200
    assert elsewhere.get(f"/v2/cases/{sent.case_id}").status == 403


def test_a_destinations_open_key_changes_come_before_any_number_of_decided_ones(stage):
    desk = KeyApproval(store=stage.hub.store, policy=stage.hub.policy)
    place = stage.hub.store.parties.destination(stage.destination_id("Wiesbaden"))
    stage.hub.store.parties.replace_destination(replace(place, status="inactive"))
    place = replace(place, status="inactive")
    signing = next(key.kid for key in stage.hub.store.parties.keys(place.destination_id) if key.use == "verify")
    by = By(actor="otto", now=stage.clock())
    waiting = desk.propose(place, KeyStep.RETIRE, signing, by=by)
    for _ in range(60):
        change = desk.propose(place, KeyStep.RETIRE, place.encryption_kid, by=by)
        desk.refuse(place, change.change_id, by=by)
    found = desk.of(place)
    assert (found[0].change_id, found[0].state) == (waiting.change_id, ChangeState.OPEN)


def test_the_circuits_of_a_tenant_are_found_behind_those_of_many_others(stage):
    store, now = stage.hub.store, stage.clock()
    model = store.parties.destination(stage.destination_id("Wiesbaden"))

    def troubled(tenant, until):
        there = replace(model, destination_id=uuid4(), tenant=tenant, services=())
        store.parties.add_destination(there)
        circuit = Circuit(destination_id=there.destination_id, failures=1, open_until=until)
        store.circuits.change(there.destination_id, lambda _: circuit, now)
        return there.destination_id

    mine = troubled("09162", now + timedelta(minutes=1))
    for _ in range(500):
        troubled("05", now + timedelta(hours=1))
    assert [each.destination_id for each in store.figures.troubled(limit=500, scope=Scope.of_area("09"))] == [mine]


def test_the_callbacks_that_a_destination_did_not_take_are_its_own(stage):
    store = stage.hub.store
    asked = []

    def dead(**wish):
        asked.append(wish)
        return store.callbacks.dead(**wish)

    watched = Instead(store, callbacks=Instead(store.callbacks, dead=dead))
    destination_service = administering(watched, stage)
    here = stage.destination_id("Wiesbaden")
    assert list(destination_service.show(here, OPERATOR).dead_callbacks) == []
    assert [wish["party"] for wish in asked] == [str(here)]


def administering(store, stage):
    """Who administers destinations in a store of the test's own."""
    keys = KeyApproval(store=store, policy=stage.hub.policy)
    ways = AdapterApproval(store=store, adapters={}, files=None)
    return DestinationService(
        store=store, policy=stage.hub.policy, destinations=stage.hub.destinations, keys=keys, ways=ways
    )


def test_whether_a_destination_was_ever_active_is_known_after_any_number_of_changes(stage):
    store, now = stage.hub.store, stage.clock()
    destination_service = administering(store, stage)
    desk = KeyApproval(store=store, policy=stage.hub.policy)
    keys = {key.use: dict(key.jwk) for key in store.parties.keys(stage.destination_id("Wiesbaden"))}
    store.parties.add_client(client("owner", kind=ClientKind.SUBSCRIBER))
    sealing = keys["wrapKey"]
    draft = Draft(name="Neu", contact={}, services=(), metadata_versions=("1.0.0",), encryption_kid=sealing["kid"])
    made = destination_service.create(
        draft, OPERATOR, encryption_key=sealing, signature_key=keys["verify"], owner="owner", now=now
    )
    for number in range(501):
        destination_service.change(made.destination_id, Draft(name=f"Neu {number}"), OPERATOR, now=now)
    inactive = destination_service.change(made.destination_id, Draft(status="inactive"), OPERATOR, now=now)
    assert desk.awaits_first_start(inactive)
    other = replace(OPERATOR, name="olga")
    for status in ("active", "inactive"):
        destination_service.change(made.destination_id, Draft(status=status), other, now=now)
    assert not desk.awaits_first_start(store.parties.destination(made.destination_id))
