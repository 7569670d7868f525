"""What would change: rule by rule, and for which municipalities and services the answer becomes another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.areas import Area, Gazetteer
from hub.routing import RoutingTable, Rule, ServiceRegister, diff, from_csv, service_urn, to_csv

ROOT = Path(__file__).parents[2] / "routing_rules"
ON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BUILDING, TRADE = service_urn("99012008001000"), service_urn("99050012104000")
ONE, TWO = UUID(int=1), UUID(int=2)
GAZETTEER = Gazetteer.load(ROOT / "areas")
REGISTER = ServiceRegister.load(ROOT)
MUNICIPALITIES = [place.area for place in GAZETTEER.municipalities()]


def rule(name, area="06439", destination=ONE, *services, **more):
    return Rule(id=name, area=Area(area), services=services or (BUILDING,), destination=destination, **more)


def table(*rules):
    return RoutingTable(rules, gazetteer=GAZETTEER, services=REGISTER)


def changes(old, new, on=ON):
    return diff(table(*old), table(*new), GAZETTEER, on=on)


def test_equal_tables_print_0_changes():
    result = changes([rule("a")], [rule("a")])
    assert not result
    assert result.lines("en") == ["0 changes"]
    assert "0 changes" in result.lines("de")[0]


def test_the_exported_table_imported_again_has_0_changes():
    shipped = RoutingTable.load(ROOT, GAZETTEER)
    again = RoutingTable(from_csv(to_csv(shipped)), gazetteer=GAZETTEER, services=shipped.services)
    assert diff(shipped, again, GAZETTEER, on=ON).lines("en") == ["0 changes"]


def test_a_note_changes_a_rule_and_nobodys_route():
    result = changes([rule("a")], [rule("a", note="x")])
    assert len(result.rules) == result.count == 1
    assert result.routes == ()
    assert "  ~ a: note" in result.lines()


def test_a_district_that_changes_hands_is_counted_by_municipality_and_service():
    result = changes([rule("a", "06439", ONE, BUILDING, TRADE)], [rule("a", "06439", TWO, BUILDING, TRADE)])
    assert len(result.routes) == 17
    assert result.count == 1 + 34
    assert {(change.before, change.after) for change in result.routes} == {((ONE,), (TWO,))}
    assert any(
        "17 municipalities (06439) x 2 services: Old -> New" in line
        for line in result.lines("en", {ONE: "Old", TWO: "New"})
    )


def test_an_exception_that_stays_in_force_is_not_counted():
    exception = rule("b", "064390015015", TWO)
    assert len(changes([rule("a"), exception], [rule("a", "06439", UUID(int=3)), exception]).routes) == 16


def test_added_and_removed_rules_show_as_routes_that_appear_and_vanish():
    appeared = changes([], [rule("a", "064390015015")])
    assert [(change.before, change.after) for change in appeared.routes] == [((), (ONE,))]
    vanished = changes([rule("a", "064390015015")], [])
    assert [(change.before, change.after) for change in vanished.routes] == [((ONE,), ())]
    assert "  + a" in appeared.lines()
    assert "  - a" in vanished.lines()


def test_a_contradiction_shows_both_destinations():
    (change,) = changes([rule("a", "064390015015")], [rule("a", "064390015015"), rule("b", "064390015015", TWO)]).routes
    assert change.after == (ONE, TWO)


def test_a_change_in_the_future_is_shown_with_its_day():
    later, end = ON + timedelta(days=10), ON + timedelta(days=20)
    new = [
        rule("a", "064390015015", valid_until=later),
        rule("b", "064390015015", TWO, valid_from=later, valid_until=end),
    ]
    result = changes([rule("a", "064390015015")], new)
    assert [(change.since, change.after) for change in result.routes] == [(later, (TWO,)), (end, ())]
    assert any("2026-12-02" in line for line in result.lines("en"))


def test_a_renamed_rule_changes_no_route():
    assert changes([rule("a")], [rule("b")]).routes == ()


areas = st.sampled_from(["06", "06439", "064390015015", "064140000000"])
some = st.lists(st.tuples(areas, st.sampled_from([ONE, TWO]), st.sampled_from([BUILDING, TRADE])), max_size=4)


def built(drawn):
    return [rule(f"r{n}", area, to, service) for n, (area, to, service) in enumerate(drawn)]


@settings(max_examples=40, deadline=None)
@given(some, some)
def test_the_diff_lists_exactly_the_answers_that_differ(old, new):
    one, other = table(*built(old)), table(*built(new))
    listed = {(c.area, s): (c.before, c.after) for c in diff(one, other, GAZETTEER, on=ON).routes for s in c.services}

    def to(tab, area, service):
        return tuple(sorted(found.destination for found in tab.find(area, service, ON)))

    expected = {
        (area, service): (to(one, area, service), to(other, area, service))
        for area in MUNICIPALITIES
        for service in (BUILDING, TRADE)
        if to(one, area, service) != to(other, area, service)
    }
    assert listed == expected
