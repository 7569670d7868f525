"""Deadlines: the last day by the Civil Code, with Hesse's holidays; and what a service's entry may say."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stage import BAUEN, Stage

from hub.errors import Invalid, Text
from hub.intake.status import StatusDesk
from hub.services import DeadlineRule, DeadlineUnit
from hub.services.deadlines import is_holiday_in_hesse
from hub.services.entry import service_from

COMPLETE = {
    "name": "completeness",
    "title": {"de": "Prüfung auf Vollständigkeit", "en": "Check for completeness"},
    "amount": 3,
    "unit": "weeks",
    "law": ["§ 1 Probegesetz"],
}


def rule(amount: int, unit: str) -> DeadlineRule:
    return DeadlineRule(name="x", title=Text("x", "x"), amount=amount, unit=DeadlineUnit(unit))


@pytest.mark.parametrize(
    ("received", "amount", "unit", "last"),
    [
        # The day of receipt does not count (§ 187 (1)); weeks end on the day of the same name (§ 188 (2)).
        ("2026-11-20", 1, "days", "2026-11-23"),
        ("2026-11-16", 3, "days", "2026-11-19"),
        ("2026-11-20", 3, "weeks", "2026-12-11"),
        ("2026-11-20", 1, "months", "2026-12-21"),
        # No 31st of February, nor of April (§ 188 (3)).
        ("2027-01-31", 1, "months", "2027-03-01"),
        ("2028-01-31", 1, "months", "2028-02-29"),
        ("2026-03-31", 1, "months", "2026-04-30"),
        ("2026-12-31", 2, "months", "2027-03-01"),
        # Saturday, Sunday and holidays go on to the next working day (§ 193): Christmas 2026 takes four days.
        ("2026-12-04", 3, "weeks", "2026-12-28"),
        # Christmas Eve and New Year's Eve are working days.
        ("2026-12-03", 3, "weeks", "2026-12-24"),
        ("2026-11-30", 1, "months", "2026-12-30"),
        ("2026-10-31", 2, "months", "2026-12-31"),
        ("2026-03-06", 4, "weeks", "2026-04-07"),
        ("2026-05-14", 3, "weeks", "2026-06-05"),
        ("2026-12-18", 2, "weeks", "2027-01-04"),
        # What is a holiday elsewhere is none here.
        ("2026-12-07", 30, "days", "2027-01-06"),
        ("2025-10-01", 30, "days", "2025-10-31"),
        ("2024-02-29", 12, "months", "2025-02-28"),
    ],
)
def test_the_last_day_is_that_of_the_civil_code(received: str, amount: int, unit: str, last: str):
    assert rule(amount, unit).last_day(date.fromisoformat(received)) == date.fromisoformat(last)


@given(
    st.dates(date(2000, 1, 1), date(2049, 12, 31)),
    st.integers(1, 120),
    st.sampled_from(sorted(DeadlineUnit)),
)
def test_a_last_day_is_a_working_day_and_not_before_its_time(received: date, amount: int, unit: str):
    last = rule(amount, unit).last_day(received)
    assert last.weekday() < 5
    assert not is_holiday_in_hesse(last)
    assert last > received
    if unit == "days":
        assert timedelta(0) <= last - received - timedelta(days=amount) < timedelta(days=6)


def entry(*deadlines: Any, **more: Any) -> dict[str, Any]:
    return {
        "key": "99012008001000",
        "official": "Baugenehmigung Erteilung",
        "name": {"de": "a", "en": "b"},
        "deadlines": list(deadlines),
        **more,
    }


def test_an_entry_says_deadlines_and_what_it_is_handed_on_for():
    made = service_from(entry({**COMPLETE, "law": ["§ 70 HBO"]}, onward="99012008001001"))
    assert made.deadlines[0].amount == 3
    assert made.onward == "urn:de:fim:leika:leistung:99012008001001"
    assert service_from(made.as_document()) == made


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 0},
        {"amount": 600},
        {"amount": "3"},
        {"amount": True},
        {"unit": "years"},
        {"name": "Vollständigkeit!"},
        {"title": None},
        {"law": ["irgendwo"]},
        {"more": 1},
    ],
)
def test_what_no_deadline_is_is_refused_by_its_place(change: dict[str, Any]):
    with pytest.raises(Invalid):
        service_from(entry({**COMPLETE, "law": ["§ 70 HBO"], **change}))


@pytest.mark.parametrize("weeks", [0, 51, 1.5, True, "4"])
def test_weeks_to_a_decision_are_a_number_that_the_watch_looks_back_for(weeks):
    assert service_from(entry(decision_weeks=12)).as_document()["decision_weeks"] == 12
    with pytest.raises(Invalid, match="decision_weeks"):
        service_from(entry(decision_weeks=weeks))


def test_two_deadlines_of_one_name_are_refused():
    with pytest.raises(Invalid):
        service_from(entry(*[{**COMPLETE, "law": []}] * 2))


def test_nothing_is_assumed_where_nobody_wrote_it_down(stage: Stage):
    assert all(not each.deadlines for each in stage.hub.services())


def test_a_sender_reads_the_last_day_of_what_it_sent(stage: Stage):
    catalogue = stage.hub.services()
    building = catalogue.service(BAUEN)
    timed = service_from({**building.as_document(), "deadlines": [{**COMPLETE, "law": ["§ 70 HBO"]}]})

    class Timed:
        """A catalogue with that one service."""

        @staticmethod
        def find(key: str) -> Any:
            return timed if key == BAUEN else None

    taken = stage.accept()
    desk = StatusDesk(
        store=stage.hub.store,
        evidences=stage.hub.evidences,
        clock=stage.clock,
        services=Timed,  # type: ignore[arg-type, return-value]
    )
    known, clients = stage.cast["sender"], stage.hub.clients
    token = clients.issue(known["client_id"], known["client_secret"], None, now=stage.clock()).access_token
    caller = clients.recognise(token, now=stage.clock())
    progress = desk.progress(UUID(taken.claims["sub"].removeprefix("submission:")), caller=caller)
    ((said, last),) = progress.deadlines
    assert (said.name, last) == ("completeness", date(2026, 12, 11))
