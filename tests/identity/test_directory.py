"""A change of a party is seen at once by the node that makes it, at both doors, and by others within a second."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sealed_door import Door, post
from store_values import Instead, destination

from hub.administration.clients import ClientService
from hub.administration.destinations import Draft
from hub.administration.keys import By, KeyApproval
from hub.app import development_authority
from hub.crypto.jwk import make_rsa_pair
from hub.errors import HubError
from hub.identity.clients import Directory, new_client
from hub.identity.persons import Person
from hub.model import Role
from hub.model.parties import ClientKind

OPERATOR = Person(name="otto", full_name="Otto", roles=(Role.OPERATOR,))


@pytest.fixture
def door(stage) -> Door:
    return Door(stage)


def sealed(door):
    body = {
        "destinationId": str(door.destination_id),
        "announcedAttachments": [],
        "publicService": {"identifier": "urn:de:fim:leika:leistung:99012008001000", "name": "Bauantrag"},
    }
    return post(door.sender, "/v2/submissions", body).status


def test_an_operators_change_is_seen_at_once_at_the_sealed_door(door):
    assert sealed(door) == 201
    door.hub.destination_service.change(door.destination_id, Draft(status="inactive"), OPERATOR, now=door.clock())
    assert sealed(door) != 201
    door.hub.destination_service.change(door.destination_id, Draft(status="active"), OPERATOR, now=door.clock())
    assert sealed(door) == 201


def test_an_operators_change_is_seen_at_once_at_the_plain_door(stage):
    stage.accept()
    here = stage.destination_id("Rheingau")
    stage.hub.destination_service.change(here, Draft(status="inactive"), OPERATOR, now=stage.clock())
    with pytest.raises(HubError):
        stage.accept()
    stage.hub.destination_service.change(here, Draft(status="active"), OPERATOR, now=stage.clock())
    stage.accept()


def test_an_owners_change_is_seen_at_once_at_both_doors(door):
    hub, now = door.hub, door.clock()
    owner, secret = new_client(ClientKind.SUBSCRIBER, "Betrieb", now=now, manage=True)
    hub.store.parties.add_client(owner)
    hub.store.parties.replace_destination(replace(door.destination, owner=owner.client_id))
    assert hub.directory.destination(door.destination_id, now=now).status == "active"
    answer = door.with_credentials(owner.client_id, secret).ask("DELETE", f"/v2/destinations/{door.destination_id}")
    assert answer.status in {200, 204}, answer.text
    assert hub.directory.destination(door.destination_id, now=now).status == "decommissioned"
    assert sealed(door) != 201


def test_a_key_that_two_people_activate_is_sealed_to_at_once(stage):
    hub, now = stage.hub, stage.clock()
    place = hub.directory.destination(stage.destination_id("Wiesbaden"), now=now)
    hub.directory.encryption_key(place, now=now)
    key = development_authority(hub.settings, now=now).issue(
        make_rsa_pair("encryption")[0], subject="Wiesbaden", now=now, days=365
    )
    desk = KeyApproval(store=hub.store, policy=hub.policy)
    change = desk.propose_new(place, key, activate=True, by=By(actor="otto", now=now))
    desk.approve(place, change.change_id, by=By(actor="anton", now=now))
    after = hub.directory.destination(place.destination_id, now=now)
    assert hub.directory.encryption_key(after, now=now).kid == key["kid"]


def test_a_client_that_is_disabled_is_locked_out_at_once(stage):
    hub, now = stage.hub, stage.clock()
    assert hub.directory.client(stage.sender, now=now).disabled_at is None
    ClientService(hub.store).disable(stage.sender, OPERATOR, now=now)
    assert hub.directory.client(stage.sender, now=now).disabled_at is not None


def test_a_party_that_was_looked_for_in_vain_is_found_as_soon_as_it_is_there(stage):
    hub, now = stage.hub, stage.clock()
    model = hub.store.parties.destination(stage.destination_id("Wiesbaden"))
    there = replace(model, destination_id=destination().destination_id)
    assert hub.directory.destination(there.destination_id, now=now) is None
    assert not hub.directory.at_hand(there.destination_id, now=now)
    hub.store.parties.add_destination(there)
    assert hub.directory.destination(there.destination_id, now=now) == there
    assert hub.directory.at_hand(there.destination_id, now=now)


def test_what_another_node_changed_is_seen_within_a_second(stage):
    hub = stage.hub
    here = stage.destination_id("Wiesbaden")
    other = Directory(store=hub.store, policy=hub.policy)  # Nobody tells it.
    before = other.destination(here, now=stage.clock())
    hub.store.parties.replace_destination(replace(before, name="Anders"))
    assert other.destination(here, now=stage.clock()) == before
    stage.clock.pass_(seconds=1)
    assert other.destination(here, now=stage.clock()).name == "Anders"


def test_what_was_read_while_it_changed_is_not_kept(stage):
    """A reader that saw the old row must not put it back after the change was told."""
    hub, now = stage.hub, stage.clock()
    here = stage.destination_id("Wiesbaden")
    reading, changed = threading.Event(), threading.Event()

    def slow(destination_id):
        """Answer when the change is through."""
        found = hub.store.parties.destination(destination_id)
        reading.set()
        assert changed.wait(20)
        return found

    store = Instead(hub.store, parties=Instead(hub.store.parties, destination=slow))
    directory = Directory(store=store, policy=hub.policy)
    hub.store.on_party_changed(directory.forget)
    seen = []
    reader = threading.Thread(target=lambda: seen.append(directory.destination(here, now=now)))
    reader.start()
    assert reading.wait(20)
    hub.store.parties.replace_destination(replace(hub.store.parties.destination(here), name="Anders"))
    changed.set()
    reader.join()
    assert seen[0].name != "Anders"
    assert directory.destination(here, now=now).name == "Anders"


def test_a_change_that_fails_is_told_too_for_nobody_knows_its_end(stage):
    forgotten = []
    stage.hub.store.on_party_changed(forgotten.append)
    unknown = destination()
    with pytest.raises(HubError):
        stage.hub.store.parties.replace_destination(unknown)
    assert forgotten == [unknown.destination_id]
