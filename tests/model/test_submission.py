"""Names of things: ids that never meet, whoever makes them."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122

import pytest

from hub.model.submission import is_uri, new_id, random_id

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


def test_a_forked_process_makes_other_ids_than_its_parent():
    random_id()  # Now there is a stock to inherit.
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, random_id().bytes)
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 16) != random_id().bytes
    for end in (reading, writing):
        os.close(end)


def test_ids_from_many_threads_never_meet():
    with ThreadPoolExecutor(4) as pool:
        made = [each for batch in pool.map(lambda _: [random_id() for _ in range(500)], range(8)) for each in batch]
    assert len(set(made)) == len(made)
    assert {(each.version, each.variant) for each in made} == {(4, RFC_4122)}


def test_ids_by_time_sort_as_they_were_made():
    made = [new_id(NOW + timedelta(milliseconds=step)) for step in range(300)]
    assert made == sorted(made)
    assert {(each.version, each.variant) for each in made} == {(7, RFC_4122)}


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("urn:xoev-de:bmk:standard:xbau_2.6#xbau-nachrichten", True),
        ("https://example.org/a%20b#c", True),
        ("urn:x#xjustiz_3500_klaver _1_0", False),
        ("urn:x#prüfung", False),
        ("urn:x#a#b", False),
        ("urn:x%2", False),
        ("no-scheme", False),
        ("urn:" + "x" * 3000, False),
    ],
)
def test_a_schemas_uri_is_one(text: str, good: bool):
    assert is_uri(text) is good
