"""Usage is counted once per submission, whatever happens in between, and stays when the submissions are gone."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import text
from store_values import NOW
from usage_year import LATE, SeededYear

from hub.errors import Malformed
from hub.jobs.usage import RollUp
from hub.model import EVERYTHING, Scope
from hub.model.usage import BOUNDS, Month, UsageOutcome, bucket_of, cause_of, day_of, percentile, span_of
from hub.store.usage import Usage

#: After the year, before what came to nothing is tried again.
AFTER = datetime(2027, 1, 2, 12, 0, tzinfo=UTC)


def _made(store, number: int) -> SeededYear:
    chance = random.Random(17)
    made = SeededYear(store)
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    for day in range(0, 360, 360 // number):
        made.submit(begin + timedelta(days=day + 0.5, seconds=chance.randrange(40_000)), chance)
    # The last minute of a month of the calendar, an hour and two before that of UTC.
    made.submit(datetime(2026, 3, 31, 21, 59, 59, tzinfo=UTC), chance)
    made.submit(datetime(2026, 3, 31, 22, 0, 1, tzinfo=UTC), chance)
    made.submit(datetime(2026, 11, 30, 23, 0, 0, tzinfo=UTC), chance)
    made.checkpoint(1)
    return made


@pytest.fixture
def year(store):
    return _made(store, 20)


def _months() -> list[Month]:
    return [Month(2026, number) for number in range(1, 13)]


def _all(made: SeededYear, how: str, **more) -> list[Counter]:
    return [getattr(made, how)(month, **more) for month in _months()]


def _rolled_up(store, now=AFTER) -> RollUp:
    roll_up = RollUp(store=store)
    while roll_up.run(now) > 1:  # A run is bounded; the next one goes on.
        pass
    return roll_up


def test_a_years_figures_are_those_of_a_recount(store):
    year = _made(store, 90)
    _rolled_up(store)
    assert _all(year, "counted") == _all(year, "recounted")
    assert _all(year, "counted", tenant="06439001") == _all(year, "recounted", tenant="06439001")
    assert sum(line.number for month in _months() for line in store.usage.lines(month, scope=EVERYTHING)) == len(
        year.done
    )
    assert store.usage.lines(Month(2025, 12), scope=EVERYTHING) == []
    assert store.usage.months() == _months()[::-1]


def test_a_roll_up_that_is_done_again_counts_nothing_twice(year, store):
    roll_up = _rolled_up(store)
    before = _all(year, "counted")
    roll_up.month(Month(2026, 3), AFTER)
    roll_up.month(Month(2026, 4), AFTER)
    _rolled_up(store, AFTER + timedelta(days=1))
    assert _all(year, "counted") == before == _all(year, "recounted")


def test_a_late_event_of_a_past_day_is_counted_in(year, store):
    _rolled_up(store)
    late = year.arrive_late(2)
    assert len(late) == 2
    sent = next(sent for sent in year.done if sent.outcome == "delivered" and sent not in late)
    # An authority whose clock says so answers in the past: no time of a row says that this is new.
    year.answer(sent, "accepted", sent.at + timedelta(hours=2), random.Random(1))
    assert _all(year, "counted") != _all(year, "recounted")
    year.checkpoint(2)
    _rolled_up(store, LATE + timedelta(minutes=5))
    assert _all(year, "counted") == _all(year, "recounted")


@pytest.mark.parametrize("dies_at", [1, 3])
def test_a_count_that_dies_in_between_is_done_again(year, store, monkeypatch, dies_at):
    monkeypatch.setattr("hub.store.usage._TOGETHER", 1)
    _rolled_up(store)
    year.arrive_late(2)
    year.checkpoint(2)
    write, left = store.database.write, [dies_at]

    def dying(what):
        left[0] -= 1
        if left[0] == 0:
            raise SystemExit("killed")
        return write(what)

    store.usage.ask(LATE)
    (day, *_) = store.usage.due(counted_before=LATE, limit=500)[-1:]
    monkeypatch.setattr(store.database, "write", dying)
    with pytest.raises(SystemExit):
        store.usage.count(day, LATE)
    monkeypatch.setattr(store.database, "write", write)
    assert day in store.usage.due(counted_before=LATE, limit=500)
    _rolled_up(store, LATE + timedelta(minutes=5))
    assert _all(year, "counted") == _all(year, "recounted")


def test_two_nodes_that_count_one_day_do_not_count_it_twice(year, store, open_store, monkeypatch):
    """One stalls between its look and its writes; the other one looked later, and wrote."""
    _rolled_up(store)
    other = open_store().usage
    sent = year.arrive_late(1)[0]
    year.checkpoint(2)
    day = day_of(sent.at)
    read, looked = store.database.read, []

    def stalling(what):
        found = read(what)
        if not looked and isinstance(found, tuple):
            looked.append(day)
            year.answer(sent, "accepted", LATE, random.Random(1))
            other.ask_again([day])
            assert other.count(day, LATE) == 1
        return found

    store.usage.ask_again([day])
    monkeypatch.setattr(store.database, "read", stalling)
    assert store.usage.count(day, LATE) == 0
    monkeypatch.setattr(store.database, "read", read)
    assert looked
    assert year.counted(Month.of(day)) == year.recounted(Month.of(day))


def test_figures_stay_when_contents_and_then_cases_are_deleted(year, store):
    for sent in year.done:
        if sent.outcome in ("accepted", "rejected", "delivered"):
            year.delete(sent, AFTER)
    year.checkpoint(2)
    roll_up = _rolled_up(store)
    assert _all(year, "counted") == _all(year, "recounted")
    kept = next(sent for sent in year.done if sent.outcome == "accepted")
    gone = [sent for sent in year.done if sent.outcome in ("accepted", "rejected", "delivered") and sent is not kept]
    for sent in gone:
        assert store.retention.drop_case(sent.case_id, "tombstone")
    store.usage.ask_again({day_of(sent.at) for sent in year.done})
    roll_up.month(Month(2026, 3), AFTER + timedelta(days=800))
    _rolled_up(store, AFTER + timedelta(days=800))
    assert _all(year, "counted") == _all(year, "recounted")
    assert any(day.closed for month in _months() for day in store.usage.days(month))
    left = store.database.read(lambda connection: connection.execute(text("SELECT count(*) FROM deletions")).scalar())
    assert left == 1


def test_what_a_program_of_before_deleted_is_known_by_its_event(year, store):
    sent = next(sent for sent in year.done if sent.outcome == "accepted")
    other = next(sent for sent in year.done if sent.outcome == "rejected")
    for each in (sent, other):
        year.delete(each, AFTER)
        each.size = 0  # Nobody knows any more.
    store.database.write(lambda connection: connection.execute(text("DELETE FROM deletions")).rowcount)
    _rolled_up(store)
    assert _all(year, "counted") == _all(year, "recounted")


def test_what_a_person_sent_again_is_not_done_without_one(store):
    made = SeededYear(store)
    chance = random.Random(3)
    sent = made.submit(NOW, chance)
    while sent.outcome != "given-up":
        sent = made.submit(sent.at + timedelta(minutes=1), chance)
    delivery = store.deliveries.of(sent.id)
    again = sent.at + timedelta(days=1)
    assert store.deliveries.redrive(delivery.delivery_id, again)
    sent.outcome, sent.cause, sent.by_hand = "open", "", True
    _rolled_up(store, NOW + timedelta(days=2))
    assert made.counted(Month(2026, 11)) == made.recounted(Month(2026, 11))


def test_refusals_are_added_once_to_the_day_of_their_sender(store, open_store):
    day = NOW.date().isoformat()
    store.usage.note_refusals({(day, "portal", "no-route"): 3, (day, "portal", "invalid"): 1}).result(10)
    store.usage.note_refusals({(day, "portal", "no-route"): 2}).result(10)
    assert store.usage.refused(Month(2026, 11), scope=EVERYTHING) == []
    assert store.usage.add_refusals() == 3
    assert open_store().usage.add_refusals() == 0
    store.usage.note_refusals({(day, "portal", "no-route"): 1}).result(10)
    RollUp(store=store).run(NOW)
    found = {(each.sender, each.slug): each.number for each in store.usage.refused(Month(2026, 11), scope=EVERYTHING)}
    assert found == {("portal", "no-route"): 6, ("portal", "invalid"): 1}
    assert store.usage.refused(Month(2026, 11), scope=Scope.of_area("06439")) == []
    assert store.usage.refused(Month(2026, 10), scope=EVERYTHING) == []


def test_a_past_day_rests_between_two_counts_and_today_does_not(store):
    made = SeededYear(store)
    sent = made.submit(NOW - timedelta(days=5), random.Random(5))
    made.checkpoint(1)
    roll_up = RollUp(store=store)
    roll_up.run(NOW)
    store.usage.ask_again([day_of(sent.at)])
    assert store.usage.due(counted_before=NOW - roll_up.settled) == []
    assert roll_up.run(NOW + timedelta(hours=1)) == 1
    assert day_of(sent.at) in store.usage.due(counted_before=NOW + timedelta(hours=21) - roll_up.settled)


def test_a_day_is_counted_once_more_when_it_is_over(store):
    roll_up = RollUp(store=store)
    roll_up.run(NOW)
    roll_up.run(NOW + timedelta(days=3))
    (counted, *_) = store.usage.days(Month(2026, 11))
    assert (counted.day, counted.counted_at) == (NOW.date(), NOW + timedelta(days=3))


def test_a_store_without_submissions_has_no_figures(store):
    assert RollUp(store=store).run(NOW) == 1
    assert store.usage.lines(Month(2026, 11), scope=EVERYTHING) == []
    (today,) = store.usage.days(Month(2026, 11))
    assert (today.day, today.stale, today.closed) == (NOW.date(), False, False)
    assert Usage(store.database).months() == []


def test_days_are_those_of_the_calendar():
    assert day_of(datetime(2026, 3, 31, 22, 0, tzinfo=UTC)) == date(2026, 4, 1)
    begin, end = span_of(date(2026, 3, 29))
    assert (end - begin) == timedelta(hours=23)
    assert span_of(date(2026, 10, 25))[1] - span_of(date(2026, 10, 25))[0] == timedelta(hours=25)
    assert [str(Month(2026, 12).after), str(Month(2026, 1).before)] == ["2027-01", "2025-12"]
    assert len(list(Month(2028, 2).days())) == 29
    for wrong in ("2026-13", "26-01", "2026-1", "=2026-01", "2026-01\n"):
        with pytest.raises(Malformed):
            Month.parse(wrong)


def test_a_percentile_of_sums_is_within_the_bucket_of_the_true_one():
    chance = random.Random(11)
    times = [timedelta(seconds=chance.expovariate(1 / 50_000)) for _ in range(4_000)]
    histogram = Counter(bucket_of(each) for each in times)
    for share in (0.5, 0.9):
        true = sorted(times)[int(share * len(times)) - 1].total_seconds()
        said = percentile(histogram, share) * 3600
        bucket = bucket_of(timedelta(seconds=true))
        assert BOUNDS[bucket - 1] <= said <= BOUNDS[bucket]
    assert percentile({}, 0.5) is None
    assert percentile({-1: 7}, 0.5) is None
    assert percentile({len(BOUNDS): 1}, 0.5) == 365 * 24
    assert bucket_of(timedelta(seconds=-3)) == 0


@pytest.mark.parametrize(
    "payload", [None, [], {}, {"problems": []}, {"problems": [7]}, {"problems": [{"type": "=SUM(A1)"}]}]
)
def test_a_cause_in_no_form_is_another_one(payload):
    assert cause_of(payload) == "other"
    assert UsageOutcome("rejected") is UsageOutcome.REJECTED
