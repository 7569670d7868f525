"""Who looks again and again at what waits costs little: no contents, no commit, one row a day."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from sealed_door import Door, movable_door
from store_values import NOW, accepted, known_destination

__all__ = ["movable_door"]


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_subscriber_that_looks_every_half_minute_for_a_day_leaves_one_row(own_door: Door, version: str):
    sent = own_door.send(version=version)
    path = f"/{version}/submissions/{sent.submission_id}"
    first = own_door.subscriber.get(path)
    state = first.headers["etag"]
    for _ in range(20):
        own_door.clock.pass_(seconds=30)
        plain = own_door.subscriber.get(path)
        assert (plain.status, plain.headers["etag"], plain.body) == (200, state, first.body)
        known = own_door.subscriber.get(path, ("If-None-Match", f'W/"x", {state}'))
        assert (known.status, known.body, known.headers["etag"]) == (304, b"", state)
    reads = own_door.hub.store.audit.reads(UUID(sent.submission_id))
    assert [read.what for read in reads.items] == ["contents"]


def test_another_state_gets_the_contents_and_a_stranger_learns_nothing(own_door: Door):
    sent = own_door.send()
    path = f"/v2/submissions/{sent.submission_id}"
    state = own_door.subscriber.get(path).headers["etag"]
    assert own_door.subscriber.get(path, ("If-None-Match", '"0"')).status == 200
    assert own_door.sender.get(path, ("If-None-Match", state)).status == 403
    assert own_door.accept(sent).status == 204
    assert own_door.subscriber.get(path, ("If-None-Match", state)).status == 404


def test_a_repeated_read_commits_nothing(store):
    made = accepted(store, known_destination(store).destination_id)
    known = {"client": "c", "message_id": made.submission_id, "what": "contents"}
    store.audit.record_read(**known, now=NOW)
    store.close()  # From here on any commit would fail.
    store.audit.record_read(**known, now=NOW + timedelta(hours=1))
    assert store.audit.reads(made.submission_id).total == 1


def test_readers_at_the_same_moment_leave_one_row(store):
    made = accepted(store, known_destination(store).destination_id)
    gate = threading.Barrier(8)

    def read() -> None:
        gate.wait()
        store.audit.record_read(client="c", message_id=made.submission_id, what="contents", now=NOW)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.audit.reads(made.submission_id).total == 1
