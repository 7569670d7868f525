"""A later submission of the plain door goes into its case in one transaction, on either engine."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from store_values import accept_in_case, accepted, answer, known_destination

from hub.errors import Conflict, NotFound
from hub.model.events import EventKind


def test_it_is_chained_on_to_the_log_and_queued(store):
    first = accepted(store, known_destination(store).destination_id)
    filed = accept_in_case(store, first).result(10)
    log = store.event_log.events(first.case_id).items
    assert [event.seq for event in log] == [1, 2, 3, 4]
    assert [event.previous for event in log[1:]] == [event.hash for event in log[:-1]]
    case = store.submissions.case(first.case_id)
    assert (case.seq, case.head) == (4, log[-1].hash)
    message = store.submissions.message(log[-1].subject_id)
    assert (filed.receipt, filed.earlier) == (message.receipt, None)
    assert store.deliveries.of(message.id).state == "queued"


def test_a_known_key_writes_nothing_and_brings_the_first_receipt(store):
    first = accepted(store, known_destination(store).destination_id)
    filed = accept_in_case(store, first, key="k").result(10)
    again = accept_in_case(store, first, key="k").result(10)
    assert (again.receipt, again.earlier.mac) == (filed.receipt, "mac")
    assert store.event_log.events(first.case_id).total == 4


def test_several_at_once_stand_one_after_the_other(store):
    first = accepted(store, known_destination(store).destination_id)
    for each in [accept_in_case(store, first) for _ in range(5)]:
        assert each.result(10).earlier is None
    assert [event.seq for event in store.event_log.events(first.case_id).items] == list(range(1, 13))


def test_a_case_that_is_closed_or_is_none_takes_nothing(store):
    first = accepted(store, known_destination(store).destination_id)
    store.event_log.append(
        first.case_id,
        first.submission_id,
        answer(EventKind.REJECT, first.case_id, first.submission_id, first.destination_id),
    )
    with pytest.raises(Conflict) as refused:
        accept_in_case(store, first).result(10)
    assert refused.value.slug == "case-closed"
    assert store.event_log.events(first.case_id).total == 3
    with pytest.raises(NotFound):
        accept_in_case(store, replace(first, case_id=uuid4())).result(10)
