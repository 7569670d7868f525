"""Clients, destinations and keys: kept as they came, changed only with their audit entry."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import uuid4

import pytest
from store_values import MINUTE, NOW, client, destination, known_destination

from hub.errors import Conflict, KeyRefused, NotFound
from hub.model import EVERYTHING, Scope
from hub.model.parties import ClientKind, OfferedService
from hub.store import AuditEntry

_ENTRY = AuditEntry(at=NOW, actor="admin", action="add", target="party")


def _jwk(kid: str, use: str = "wrapKey", n: str = "AQAB") -> dict[str, object]:
    return {"kid": kid, "kty": "RSA", "key_ops": [use], "n": n, "e": "AQAB"}


def test_a_client_id_is_taken_once_and_its_audit_entry_goes_with_it(store):
    store.parties.add_client(client(), audit=_ENTRY)
    with pytest.raises(Conflict) as caught:
        store.parties.add_client(client(name="another"), audit=_ENTRY)
    assert caught.value.slug == "already-exists"
    assert store.audit.entries(scope=EVERYTHING).total == 1
    assert store.parties.client("online-service").name == "Bürgerportal"


def test_an_unknown_client_is_none_and_cannot_be_changed(store):
    assert store.parties.client("nobody") is None
    with pytest.raises(NotFound):
        store.parties.set_client_secret("nobody", "hash")
    with pytest.raises(NotFound):
        store.parties.disable_client("nobody", NOW, audit=_ENTRY)
    assert store.audit.entries(scope=EVERYTHING).total == 0


def test_a_client_comes_back_as_it_went_in(store):
    made = client(kind=ClientKind.SUBSCRIBER, scopes=("a", "b"), tenant="06")
    store.parties.add_client(made)
    assert store.parties.client(made.client_id) == made


def test_a_client_gets_a_new_secret_and_is_disabled_for_good(store):
    store.parties.add_client(client())
    store.parties.set_client_secret("online-service", "$argon2id$new")
    store.parties.disable_client("online-service", NOW)
    store.parties.disable_client("online-service", NOW + MINUTE)
    stored = store.parties.client("online-service")
    assert (stored.secret_hash, stored.disabled_at) == ("$argon2id$new", NOW)


def test_clients_are_listed_by_id(store):
    for name in "cab":
        store.parties.add_client(client(name))
    page = store.parties.clients(offset=1, limit=1, scope=EVERYTHING)
    assert ([one.client_id for one in page.items], page.total) == (["b"], 3)


def test_a_destination_id_is_taken_once(store):
    made = known_destination(store)
    with pytest.raises(Conflict):
        store.parties.add_destination(made, [("wrapKey", _jwk("seal-1"))])
    assert store.parties.keys(made.destination_id) == []


def test_an_unknown_destination_is_none_and_cannot_be_changed(store):
    assert store.parties.destination(uuid4()) is None
    with pytest.raises(NotFound) as caught:
        store.parties.replace_destination(destination())
    assert caught.value.slug == "destination-not-found"
    with pytest.raises(NotFound):
        store.parties.add_key(uuid4(), _jwk("k"), NOW)


def test_a_destination_comes_back_as_it_went_in(store):
    made = known_destination(store, reply_channels={"eMail": {"usePgp": False}}, adapter_config={"url": "https://x"})
    assert store.parties.destination(made.destination_id) == made
    bare = known_destination(store, callback=None, owner=None, services=(), contact={})
    assert store.parties.destination(bare.destination_id) == bare


def test_a_replaced_destination_keeps_its_birthday(store):
    made = known_destination(store)
    changed = replace(made, status="inactive", adapter="https", callback=None, updated_at=NOW + MINUTE)
    store.parties.replace_destination(replace(changed, created_at=NOW + MINUTE))
    assert store.parties.destination(made.destination_id) == changed


def _renamed(name: str):
    return lambda before: replace(before, name=name)


def _audit(before, after):
    return replace(_ENTRY, before={"name": before.name}, after={"name": after.name})


def test_a_change_made_on_an_older_state_is_refused_whole(store):
    made = known_destination(store)
    changed = store.parties.change_destination(made.destination_id, _renamed("A"), audit=_audit, expected=made.revision)
    with pytest.raises(Conflict) as caught:
        store.parties.change_destination(made.destination_id, _renamed("B"), audit=_audit, expected=made.revision)
    assert caught.value.slug == "overtaken"
    assert store.parties.destination(made.destination_id) == changed
    assert store.audit.entries(scope=EVERYTHING).total == 1
    with pytest.raises(NotFound):
        store.parties.change_destination(uuid4(), _renamed("A"), audit=_audit)


def test_every_change_moves_the_revision_on_whatever_the_clock_says(store):
    made = known_destination(store)
    seen = {made.revision}
    for hour in (0, 0, -1):

        def change(before, hour=hour):
            return replace(before, updated_at=NOW + MINUTE * 60 * hour)

        seen.add(store.parties.change_destination(made.destination_id, change, audit=_audit).revision)
    assert len(seen) == 4
    assert store.parties.destination(made.destination_id).created_at == made.created_at


def test_changes_of_different_parts_at_the_same_time_do_not_undo_each_other(store):
    made = known_destination(store)
    changes = [_renamed("A"), lambda before: replace(before, adapter="folder")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda one: store.parties.change_destination(made.destination_id, one, audit=_audit), changes))
    found = store.parties.destination(made.destination_id)
    assert (found.name, found.adapter) == ("A", "folder")


def test_a_secret_is_replaced_only_in_the_state_that_was_seen(store):
    seen = client()
    store.parties.add_client(seen)
    store.parties.set_client_secret(seen.client_id, "$argon2id$one", expected=seen.revision)
    with pytest.raises(Conflict) as caught:
        store.parties.set_client_secret(seen.client_id, "$argon2id$two", expected=seen.revision)
    assert caught.value.slug == "overtaken"
    assert store.parties.client(seen.client_id).secret_hash == "$argon2id$one"


def test_destinations_are_found_by_owner_status_and_tenant_prefix(store):
    hessen = known_destination(store, tenant="06", owner="a")
    district = known_destination(store, tenant="06439", owner="b", created_at=NOW + MINUTE)
    known_destination(store, tenant="09", owner="b", status="inactive", created_at=NOW + MINUTE * 2)
    assert [one.destination_id for one in store.parties.destinations(scope=Scope.of_area("06")).items] == [
        hessen.destination_id,
        district.destination_id,
    ]
    assert store.parties.destinations(owner="b", scope=EVERYTHING).total == 2
    assert store.parties.destinations(owner="b", status="active", scope=EVERYTHING).items == (district,)
    assert store.parties.destinations(scope=Scope.of_area("%")).total == 0
    assert store.parties.destinations(scope=Scope.of_area("")).total == 3


def test_a_key_is_never_replaced_by_another(store):
    made = known_destination(store)
    assert store.parties.add_key(made.destination_id, _jwk("seal-1"), NOW, audit=_ENTRY)
    assert not store.parties.add_key(made.destination_id, _jwk("seal-1"), NOW, audit=_ENTRY)
    with pytest.raises(KeyRefused):
        store.parties.add_key(made.destination_id, _jwk("seal-1", n="AAAA"), NOW, audit=_ENTRY)
    assert store.parties.key(made.destination_id, "seal-1") == _jwk("seal-1")
    assert store.audit.entries(scope=EVERYTHING).total == 1


def test_the_current_encryption_key_comes_first(store):
    made = destination(encryption_kid="seal-1")
    store.parties.add_destination(made, [("wrapKey", _jwk("seal-1")), ("verify", _jwk("sign-1", "verify"))])
    store.parties.add_key(made.destination_id, _jwk("seal-2"), NOW + MINUTE)
    assert [key.kid for key in store.parties.keys(made.destination_id)] == ["seal-1", "seal-2", "sign-1"]
    store.parties.replace_destination(replace(made, encryption_kid="seal-2"))
    assert [key.kid for key in store.parties.keys(made.destination_id)] == ["seal-2", "seal-1", "sign-1"]
    assert [key.use for key in store.parties.keys(made.destination_id)] == ["wrapKey", "wrapKey", "verify"]
    assert store.parties.key(made.destination_id, "sign-9") is None
    assert store.parties.keys(uuid4()) == []


def test_an_offer_of_an_earlier_release_by_what_is_no_uri_is_read_as_one(store):
    # A file name with a blank went into the URI as it was.
    said = "urn:xoev-de:standard:xjustiz_3.6.2#xjustiz_3500_klaver _1_0"
    offered = OfferedService(identifier="urn:x", regions=("DE06",), schemas=((said, "application/xml"),))
    made = destination(services=(offered,))
    store.parties.add_destination(made)
    (service,) = store.parties.destination(made.destination_id).services
    assert service.schemas == ((said.replace(" ", "%20"), "application/xml"),)
