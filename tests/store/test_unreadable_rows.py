"""Rows that this version cannot read stop nothing: one is told of, given up or left out, and its neighbours go on."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
import spoiling
from store_values import (
    LEASE,
    MINUTE,
    NOW,
    accepted,
    announced,
    buried,
    callback,
    claim,
    known_destination,
    record,
)

from hub.model import EVERYTHING
from hub.model.submission import DeadCause, OutcomeKind
from hub.store import DeliveryState
from hub.store.reports import Wanted

HOUR = timedelta(hours=1)
#: What a newer version may write, or damage leaves, in columns of each table that a claim reads.
GARBAGE = [
    ("messages", "door", "fax"),
    ("messages", "form", "asn1"),
    ("messages", "announced", "{"),
    ("messages", "announced", "5"),
    ("messages", "announced", '["no-id"]'),
    ("messages", "schema_media_type", "text/csv"),
    ("messages", "state", "handed-on"),
    ("deliveries", "state", "handed-on"),
    ("contents", "part", "readable"),
    ("destinations", "services", "["),
    ("destinations", "services", '[["only-one"]]'),
    ("destinations", "metadata_versions", "7"),
    ("destinations", "contact", "[]"),
    ("destinations", "adapter_config", "null"),
]


@pytest.fixture
def spoil(store_url):
    """Write a value where it does not belong, as another program would."""
    return partial(spoiling.spoil, store_url)


def spoiled(store, spoil, table, column, value):
    """A delivery of which one row is spoiled, and a healthy one to another destination."""
    there, elsewhere = known_destination(store).destination_id, known_destination(store).destination_id
    bad, good = accepted(store, there), accepted(store, elsewhere)
    key, of = {
        "messages": ("message_id", bad.submission_id),
        "deliveries": ("submission_id", bad.submission_id),
        "contents": ("part = 'data' AND message_id", bad.submission_id),
        "destinations": ("destination_id", there),
    }[table]
    spoil(table, column, value, key=key, of=str(of))
    return bad, good


@pytest.mark.parametrize(("table", "column", "value"), GARBAGE)
def test_a_delivery_that_cannot_be_read_is_a_dead_letter_and_stops_nobody(store, spoil, table, column, value):
    counted = []
    store.on_unreadable(counted.append)
    bad, good = spoiled(store, spoil, table, column, value)
    claims = claim(store)
    assert [one.submission.submission_id for one in claims] == [good.submission_id]
    assert record(store, claims[0])
    view = store.deliveries.of(bad.submission_id)
    assert (view.state, view.cause) == (DeliveryState.DEAD, DeadCause.HUB)
    (attempt,) = view.attempts
    assert f"{table}.{column}" in attempt.note
    assert str(value) not in attempt.note
    assert counted == [table]
    assert claim(store, now=NOW + 10 * LEASE) == []
    store.ready()


@pytest.mark.parametrize(
    ("table", "column", "value"), [each for each in GARBAGE if each[0] in {"messages", "deliveries"}][:6]
)
def test_a_dead_letter_that_cannot_be_read_is_shown_and_can_be_sent_again(store, spoil, table, column, value):
    bad, _good = spoiled(store, spoil, table, column, value)
    claim(store)
    (delivery,) = store.deliveries.dead(DeadCause.HUB, scope=EVERYTHING).items
    assert delivery.submission_id == bad.submission_id
    assert [one.submission_id for one in store.overview.dead(scope=EVERYTHING).items] == [bad.submission_id]
    assert store.overview.dead_causes(scope=EVERYTHING) == {"hub": 1}
    assert store.deliveries.redrive(delivery.delivery_id, NOW + HOUR)
    assert bad.submission_id not in {one.submission.submission_id for one in claim(store, now=NOW + HOUR)}
    assert store.deliveries.of(bad.submission_id).state is DeliveryState.DEAD


def test_once_the_row_is_mended_the_dead_letter_is_delivered(store, spoil):
    bad, _good = spoiled(store, spoil, "messages", "door", "fax")
    claim(store)
    spoil("messages", "door", "plain", key="message_id", of=str(bad.submission_id))
    store.deliveries.redrive(store.deliveries.of(bad.submission_id).delivery_id, NOW + HOUR)
    again = next(one for one in claim(store, now=NOW + HOUR) if not one.repeat)
    assert (again.submission.submission_id, again.attempt) == (bad.submission_id, 2)
    assert record(store, again)


def test_during_an_update_what_only_a_newer_version_reads_waits_for_it_but_not_for_ever(store, spoil):
    bad, _good = spoiled(store, spoil, "messages", "door", "fax")
    head = store.schema_revision()
    spoil("alembic_version", "version_num", "r9999", key="version_num", of=head)
    try:
        waits_and_dies(store, bad)
    finally:
        spoil("alembic_version", "version_num", head, key="version_num", of="r9999")


def waits_and_dies(store, bad):
    claim(store)
    view = store.deliveries.of(bad.submission_id)
    assert (view.state, view.attempts, view.next_attempt_at) == (DeliveryState.QUEUED, (), NOW + MINUTE)
    claim(store, now=NOW + 2 * HOUR)
    assert store.deliveries.of(bad.submission_id).state is DeliveryState.DEAD


@pytest.mark.parametrize(("table", "column"), [("deliveries", "cause"), ("deliveries", "state")])
def test_a_member_of_a_newer_version_is_shown_all_the_same(store, spoil, table, column):
    there = known_destination(store).destination_id
    made = accepted(store, there)
    (one,) = claim(store)
    outcome, step = buried()
    record(store, one, outcome, step)
    spoil(table, column, "newer", key="submission_id", of=str(made.submission_id))
    view = store.deliveries.of(made.submission_id)
    assert view.state is DeliveryState.DEAD
    assert store.deliveries.backlog() == [] or column == "cause"
    assert store.overview.waiting(scope=EVERYTHING) == store.deliveries.backlog()


def test_an_attempt_of_a_newer_kind_is_shown_as_of_unknown_end(store, spoil):
    made = accepted(store, known_destination(store).destination_id)
    (one,) = claim(store)
    record(store, one)
    spoil("attempts", "outcome", "newer", key="delivery_id", of=str(one.delivery_id))
    (attempt,) = store.deliveries.of(made.submission_id).attempts
    assert attempt.outcome is OutcomeKind.UNKNOWN


def test_a_callback_that_cannot_be_read_is_given_up_and_stops_nobody(store, spoil):
    bad, good = callback(), callback()
    store.callbacks.add(bad)
    store.callbacks.add(good)
    spoil("callbacks", "case_id", "no-id", key="callback_id", of=str(bad.callback_id))
    claims = store.callbacks.claim(NOW, lease=LEASE, node="a", limit=10)
    assert [one.callback.callback_id for one in claims] == [good.callback_id]
    assert store.callbacks.claim(NOW + 10 * LEASE, lease=LEASE, node="a", limit=10)[0].callback == good


def test_a_message_that_cannot_be_read_is_passed_by_retention(store, spoil):
    there = known_destination(store).destination_id
    made = [announced(store, there, created_at=NOW + timedelta(seconds=number)) for number in range(4)]
    for bad in made[:2]:
        spoil("messages", "door", "fax", key="message_id", of=str(bad.id))
    assert [one.id for one in store.retention.incomplete(NOW + HOUR, limit=1)] == [made[2].id]
    assert [one.id for one in store.retention.incomplete(NOW + HOUR, limit=9)] == [made[2].id, made[3].id]
    assert {one.id for one in store.overview.submissions(Wanted(), scope=EVERYTHING).items} == {made[2].id, made[3].id}
