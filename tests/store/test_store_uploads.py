"""Uploads in the store, on both engines: one writer at a time on any two nodes, nothing added twice, quotas that hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from store_values import MINUTE, NOW

from hub.errors import Conflict, HubError, NotFound, TooLarge
from hub.store import StoredUpload, UploadQuota
from hub.uploads import ConcatKind, Piece

QUOTA = UploadQuota(number=10, size=10_000, largest=5_000)
WEEK = timedelta(days=7)


def upload(name: str, *, length: int | None = 100, kind: ConcatKind = ConcatKind.WHOLE) -> StoredUpload:
    return StoredUpload(
        upload_id=name,
        client_id="client",
        kind=kind,
        length=length,
        facts=b"sealed",
        created_at=NOW,
        expires_at=NOW + WEEK,
    )


def begun(store, name: str = "one", **more) -> str:
    store.uploads.begin(upload(name, **more), QUOTA)
    return name


def held(store, name: str, holder: str, now=NOW) -> StoredUpload:
    return store.uploads.hold(name, "client", holder=holder, now=now, until=now + MINUTE)


def filled(store, name: str, length: int = 100) -> str:
    begun(store, name, length=length, kind=ConcatKind.PARTIAL)
    held(store, name, "a")
    store.uploads.append(name, [Piece(offset=0, length=length, sealed=b"x")], holder="a", until=NOW + MINUTE)
    store.uploads.release(name, holder="a")
    return name


def slug(refused: pytest.ExceptionInfo[HubError]) -> str:
    return refused.value.slug


def test_two_nodes_that_write_at_once_come_to_one(open_store):
    one, other = open_store(), open_store()
    begun(one)

    def attempt(pair) -> str:
        store, holder = pair
        try:
            held(store, "one", holder)
        except Conflict as refused:
            return refused.slug
        return "held"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, [(store, f"{number}") for number, store in enumerate([one, other] * 4)]))
    assert sorted(outcomes) == ["held"] + ["upload-locked"] * 7


def test_a_lapsed_writer_adds_nothing_and_a_late_one_begins_where_it_is(store):
    begun(store)
    held(store, "one", "a")
    later = NOW + MINUTE
    assert held(store, "one", "b", later).received == 0
    piece = Piece(offset=0, length=10, blob="b" * 32)
    with pytest.raises(Conflict):
        store.uploads.append("one", [piece], holder="a", until=later + MINUTE)
    store.uploads.append("one", [piece], holder="b", until=later + MINUTE)
    with pytest.raises(Conflict):
        store.uploads.append("one", [piece], holder="b", until=later + MINUTE)
    with pytest.raises(Conflict):
        store.uploads.renew("one", holder="a", until=later + MINUTE)
    store.uploads.release("one", holder="a")
    with pytest.raises(Conflict):
        held(store, "one", "c", later)
    assert (store.uploads.pieces("one"), store.uploads.count("one")) == ([piece], 1)
    assert store.uploads.find("one", "client", now=later).received == 10


def test_a_clients_quota_counts_what_is_declared_and_what_is_not(store):
    begun(store, "a", length=4_000)
    begun(store, "b", length=None)
    with pytest.raises(TooLarge) as refused:
        begun(store, "c", length=1_001)
    assert slug(refused) == "upload-quota"
    held(store, "b", "w")
    store.uploads.declare("b", 10, QUOTA, holder="w", until=NOW + MINUTE)
    begun(store, "c", length=5_000)
    store.uploads.begin(replace(upload("d", length=4_000), client_id="another"), QUOTA)


def test_parts_are_joined_once_and_go_with_the_whole(store):
    parts = [filled(store, "p1"), filled(store, "p2", 50)]
    final = replace(upload("final", length=None, kind=ConcatKind.FINAL), expires_at=NOW + 2 * WEEK)
    assert store.uploads.join(final, parts, QUOTA, now=NOW) == 150
    assert store.uploads.find("p1", "client", now=NOW + WEEK).final_id == "final", "they stay as long as the whole"
    assert store.uploads.join(replace(final, upload_id="again"), parts, QUOTA, now=NOW) == 150
    with pytest.raises(NotFound):
        store.uploads.find("final", "client", now=NOW)
    with pytest.raises(Conflict) as refused:
        store.uploads.join(replace(final, upload_id="third"), parts[:1], QUOTA, now=NOW)
    assert slug(refused) == "upload-joined"
    with pytest.raises(TooLarge):
        store.uploads.join(
            replace(final, upload_id="f"), [filled(store, "p3", 5_000), filled(store, "p4")], QUOTA, now=NOW
        )
    held(store, "again", "w")
    with pytest.raises(Conflict) as refused:
        store.uploads.join(replace(final, upload_id="f"), parts, QUOTA, now=NOW)
    assert slug(refused) == "upload-locked", "an application reads it at this moment"
    store.uploads.use("again", holder="w", facts=b"digest", until=NOW + 3 * WEEK)
    assert store.uploads.pieces("p1") == store.uploads.pieces("p2") == []
    used = store.uploads.used("again", "client")
    assert used is not None
    assert used.facts == b"digest"
    with pytest.raises(NotFound) as gone:
        held(store, "again", "x")
    assert slug(gone) == "upload-gone"


def test_what_is_over_goes_but_for_what_is_written_to(store):
    for name in ("a", "b"):
        begun(store, name)
    assert not store.uploads.is_over(NOW)
    end = NOW + WEEK
    store.uploads.hold("a", "client", holder="w", now=end - MINUTE, until=end + MINUTE)
    assert store.uploads.is_over(end)
    assert store.uploads.expire(end, limit=10) == 1
    with pytest.raises(NotFound):
        store.uploads.find("b", "client", now=NOW)
    assert store.uploads.expire(end + MINUTE, limit=10) == 1
    assert store.uploads.expire(end + MINUTE, limit=10) == 0


def test_a_restored_store_forgets_uploads(store):
    filled(store, "a")
    assert store.recovery.forget_uploads() == 1
    assert store.uploads.pieces("a") == []


def test_a_row_that_cannot_be_read_is_told_by_its_column(store):
    begun(store)
    store.database.write(lambda connection: connection.execute(text("UPDATE uploads SET state = 'nonsense'")).rowcount)
    with pytest.raises(HubError) as refused:
        store.uploads.find("one", "client", now=NOW)
    assert slug(refused) == "unreadable-row"
    assert "nonsense" not in str(refused.value)
