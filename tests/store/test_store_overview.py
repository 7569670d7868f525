"""What the pages count and search is right on both engines, and stays within the tenant."""

from __future__ import annotations

from datetime import timedelta

import pytest
from store_values import FINISHED, NOW, RECEIVED, accepted, buried, claim, known_destination, record

from hub.model import EVERYTHING, Scope
from hub.model.submission import DeadCause, Service, State
from hub.store.reports import Wanted

HOUR = timedelta(hours=1)


@pytest.fixture
def overview(store):
    return store.overview


@pytest.fixture
def two(store):
    """A destination in each of two tenants, each with a submission."""
    here, there = known_destination(store, tenant="06439"), known_destination(store, tenant="064140000000")
    return (accepted(store, here.destination_id), accepted(store, there.destination_id, area="064140000000"))


def test_activity_is_counted_by_span_and_tenant(overview, store, two):
    first, second = claim(store)
    record(store, first, RECEIVED, FINISHED, ended_at=NOW + HOUR)
    outcome, step = buried()
    record(store, second, outcome, step, ended_at=NOW + 2 * HOUR)
    found = overview.activity(since=NOW - HOUR, span=HOUR, scope=EVERYTHING)
    assert sorted((each.bucket, each.count) for each in found.accepted) == [(1, 1), (1, 1)]
    assert [(each.bucket, each.count) for each in found.delivered] == [(2, 1)]
    assert [(each.bucket, each.count) for each in found.failed] == [(3, 1)]
    assert len(overview.activity(since=NOW - HOUR, span=HOUR, scope=Scope.of_area("06439")).accepted) == 1
    assert overview.activity(since=NOW + HOUR, span=HOUR, scope=EVERYTHING).accepted == ()


def test_submissions_are_found_by_every_field(overview, two):
    first, second = two
    text = str(first.submission_id)
    for wanted in (
        Wanted(text=text),
        Wanted(text=text[:30].upper()),
        Wanted(text=text[-10:]),
        Wanted(text=str(first.case_id)),
        Wanted(area="064390"),
        Wanted(destination_id=first.destination_id),
    ):
        assert [each.id for each in overview.submissions(wanted, scope=EVERYTHING).items] == [first.submission_id], (
            wanted
        )
    assert overview.submissions(Wanted(state=State.SUBMITTED), scope=EVERYTHING).total == 2
    assert overview.submissions(Wanted(service=first.service.identifier, since=NOW), scope=EVERYTHING).total == 2
    assert overview.submissions(Wanted(since=NOW + HOUR), scope=EVERYTHING).total == 0
    assert overview.submissions(Wanted(text="%"), scope=EVERYTHING).total == 0
    assert [each.id for each in overview.submissions(Wanted(), scope=Scope.of_area("06414")).items] == [
        second.submission_id
    ]


def test_submissions_are_found_by_either_name_of_their_service(overview, store):
    here = known_destination(store, tenant="06439")
    names = [f"urn:de:fim:{kind}:99012008001000" for kind in ("leika:leistung", "leistung")]
    made = {accepted(store, here.destination_id, service=Service(identifier=name)).submission_id for name in names}
    for name in names:
        assert {each.id for each in overview.submissions(Wanted(service=name), scope=EVERYTHING).items} == made
    assert overview.submissions(Wanted(service=names[0][:-1] + "1"), scope=EVERYTHING).total == 0


def test_nothing_of_another_tenant_is_found(overview, store, two):
    first, second = two
    for taken in claim(store):
        record(store, taken, *buried(DeadCause.CONFIGURATION))
    assert overview.submission(first.submission_id, scope=Scope.of_area("06414")) is None
    assert overview.submission(first.submission_id, scope=Scope.of_area("06439")) is not None
    assert overview.dead(scope=EVERYTHING).total == 2
    (mine,) = overview.dead(DeadCause.CONFIGURATION, scope=Scope.of_area("06414")).items
    assert mine.submission_id == second.submission_id
    assert overview.dead(DeadCause.HUB, scope=Scope.of_area("06414")).total == 0
    assert overview.dead_causes(scope=Scope.of_area("06414")) == {"configuration": 1}
    assert overview.delivery(mine.delivery_id, scope=Scope.of_area("06414")) is not None
    assert overview.delivery(mine.delivery_id, scope=Scope.of_area("06439")) is None
    assert [each.count for each in overview.waiting(scope=Scope.of_area("06439"))] == [1]


def test_a_tenants_wildcard_is_a_letter(overview, two):
    assert overview.submissions(Wanted(), scope=Scope.of_area("%")).total == 0
    assert overview.submissions(Wanted(), scope=Scope.of_area("_6")).total == 0
