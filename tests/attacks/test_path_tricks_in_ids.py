"""Ids that try to be paths, SQL or patterns lead nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_values import accept, client, destination, submission

from hub.errors import Malformed, NotFound
from hub.model import EVERYTHING, Scope
from hub.model.submission import Service
from hub.store import LocalBlobs

TRICKS = (
    "",
    ".",
    "..",
    "../secret",
    "/etc/passwd",
    "..%2fsecret",
    "0" * 31,
    "0" * 33,
    "0" * 32 + "\n",
    "0" * 31 + "/",
    "0" * 31 + "\0",
    "A" * 32,
    "٠" * 32,
    "00/00/" + "0" * 32,
    "unfinished/" + "0" * 32,
    "~root",
    "C:\\windows",
)
INJECTIONS = ("' OR '1'='1", "x'; DROP TABLE clients; --", "%", "_", "\\", '"', "a/../b")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    return tmp_path


@pytest.mark.parametrize("trick", TRICKS, ids=repr)
def test_a_blob_name_is_never_a_path(house, trick):
    blobs = LocalBlobs(house / "blobs")
    for use in (blobs.read, blobs.size, blobs.delete):
        with pytest.raises(NotFound) as caught:
            use(trick)
        assert len(trick) < 3 or trick not in caught.value.detail.en
    assert (house / "secret").read_text() == "secret"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.text(max_size=40))
def test_no_text_reaches_a_file_outside(house, name):
    blobs = LocalBlobs(house / "blobs")
    with pytest.raises(NotFound):
        blobs.read(name)


def test_a_link_in_place_of_a_blob_is_not_followed(house):
    blobs = LocalBlobs(house / "blobs")
    with blobs.writer() as writer:
        name = writer.commit()
    place = house / "blobs" / name[:2] / name[2:4] / name
    place.unlink()
    place.symlink_to(house / "secret")
    with pytest.raises(Exception, match="contents lie"):
        b"".join(blobs.read(name))


@pytest.mark.parametrize("trick", INJECTIONS, ids=repr)
def test_a_client_id_is_a_value_and_never_sql(store, trick):
    store.parties.add_client(client("honest"))
    assert store.parties.client(trick) is None
    assert store.submissions.remembered(trick, trick) is None
    store.parties.add_client(client(trick))
    assert store.parties.client(trick).client_id == trick
    assert store.parties.clients(scope=EVERYTHING).total == 2


@pytest.mark.parametrize("trick", INJECTIONS, ids=repr)
def test_a_key_id_or_tenant_is_a_value_and_never_a_pattern(store, trick):
    there = destination(tenant="06")
    store.parties.add_destination(there, [("wrapKey", {"kid": "seal-1", "key_ops": ["wrapKey"]})])
    assert store.parties.key(there.destination_id, trick) is None
    assert store.parties.destinations(scope=Scope.of_area(trick)).total == 0
    assert store.parties.destinations(owner=trick, scope=EVERYTHING).total == 0
    assert not store.retention.refers_to(trick)


def test_a_nul_in_a_text_is_its_senders_problem_alone(store):
    there = destination()
    store.parties.add_destination(there)
    bad = submission(there.destination_id, service=Service(identifier="urn:x", name="a\0b"))
    futures = [accept(store, one) for one in (submission(there.destination_id), bad, submission(there.destination_id))]
    error = futures[1].exception(10)
    assert error is None or (isinstance(error, Malformed) and "a\0b" not in str(error))
    assert [futures[0].result(10), futures[2].result(10)] == [None, None]


@pytest.mark.parametrize("offset", [-1, 1 << 63, 1 << 80], ids=repr)
def test_an_offset_out_of_this_world_gives_an_empty_page(store, offset):
    store.parties.add_client(client())
    assert len(store.parties.clients(offset=offset, scope=EVERYTHING).items) == (1 if offset < 0 else 0)
