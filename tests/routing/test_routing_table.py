"""The look-up: longest prefix, validity, refusals, explanation."""

from __future__ import annotations

import csv
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.areas import Area, AreaKind, Gazetteer, Place
from hub.errors import ConfigurationError, Invalid, Malformed, NoRoute
from hub.routing import RoutingTable, Rule, ServiceRegister, day_start, legal_day, service_urn

ROOT = Path(__file__).parents[2] / "routing_rules"
ON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BUILDING, TRADE, DOG = (service_urn(key) for key in ("99012008001000", "99050012104000", "99102013002000"))
ONE, TWO, THREE = (UUID(int=number) for number in (1, 2, 3))
TAUNUSSTEIN, BAD_SCHWALBACH, WIESBADEN = "064390015015", "064390002002", "064140000000"
HANAU_2025, HANAU_2026 = "064350014014", "064150000000"

GAZETTEER = Gazetteer.load(ROOT / "areas")
REGISTER = ServiceRegister.load(ROOT)


def rule(name, area, destination=ONE, *services, **more):
    return Rule(id=name, area=Area(area), services=services or (BUILDING,), destination=destination, **more)


def table(*rules):
    return RoutingTable(rules, gazetteer=GAZETTEER, services=REGISTER)


def refused(tab, ars, service=BUILDING, on=ON):
    with pytest.raises(NoRoute) as caught:
        tab.route(Area(ars), service, on)
    assert caught.value.detail.de
    return caught.value


# --- refusals


def test_an_empty_table_routes_nothing():
    assert refused(table(), TAUNUSSTEIN).members["cause"] == "no-rule"


def test_an_unknown_area_is_refused_with_the_next_larger_one():
    error = refused(table(rule("a", "06")), "064399999999")
    assert error.members["cause"] == "unknown-area"
    assert error.members["nearest"][0]["area"] == "06439"


def test_a_dissolved_area_is_refused_and_its_successor_named():
    error = refused(table(rule("a", "06")), HANAU_2025)
    assert error.members["cause"] == "dissolved-area"
    assert error.members["successors"] == [HANAU_2026]
    assert HANAU_2026 in error.detail.de
    assert HANAU_2026 in error.detail.en


def test_an_area_is_not_routed_before_it_exists():
    tab = table(rule("a", "06"))
    after = day_start(date(2026, 1, 1))
    before = after - timedelta(seconds=1)
    assert refused(tab, HANAU_2026, on=before).members["cause"] == "unknown-area"
    assert tab.route(Area(HANAU_2025), BUILDING, before).rule.id == "a"
    assert tab.route(Area(HANAU_2026), BUILDING, after).rule.id == "a"
    assert refused(tab, HANAU_2025, on=after).members["cause"] == "dissolved-area"


def test_an_unknown_service_is_refused_with_the_nearest_names():
    error = refused(table(rule("a", "06", ONE, TRADE)), WIESBADEN, service_urn("99050035001000"))
    assert error.members["cause"] == "unknown-service"
    assert "Gewerbe Anmeldung" in error.detail.de
    assert error.members["nearest"][0]["service"] == TRADE


def test_two_destinations_at_the_same_prefix_are_ambiguous():
    error = refused(table(rule("a", "06439"), rule("b", "06439", TWO)), TAUNUSSTEIN)
    assert error.members["cause"] == "ambiguous"
    assert {entry["rule"] for entry in error.members["nearest"]} == {"a", "b"}


def test_a_contradiction_is_not_healed_by_a_wider_rule():
    error = refused(table(rule("a", "06439"), rule("b", "06439", TWO), rule("c", "06")), TAUNUSSTEIN)
    assert error.members["cause"] == "ambiguous"


def test_no_rule_names_the_nearest_rules_and_why_they_do_not_fit():
    tab = table(
        rule("later", "06439", valid_from=ON + timedelta(days=1)),
        rule("neighbour", BAD_SCHWALBACH),
        rule("far", "06611"),
        rule("dog", "06439", TWO, DOG),
    )
    error = refused(tab, TAUNUSSTEIN)
    assert [entry["rule"] for entry in error.members["nearest"]] == ["later", "neighbour", "far"]
    assert "2026-11-23" in error.members["nearest"][0]["reason"]["en"]
    assert "district" in error.members["nearest"][1]["reason"]["en"]
    assert error.members["tableVersion"] == tab.version


def test_a_district_alone_is_not_routed_by_its_municipalities_rules():
    error = refused(table(rule("a", TAUNUSSTEIN)), "06439")
    assert "12 digits" in error.members["nearest"][0]["reason"]["en"]


def test_two_rules_of_the_same_name_make_no_table():
    with pytest.raises(ConfigurationError, match="twin"):
        table(rule("twin", "06439"), rule("twin", "06414"))


@pytest.mark.parametrize(
    "change",
    [
        {"id": ""},
        {"id": "With Blank"},
        {"id": "=x"},
        {"services": ()},
        {"note": "two\nlines"},
        {"note": "x" * 501},
        {"note": " blank"},
        {"valid_from": ON, "valid_until": ON},
        {"valid_from": ON, "valid_until": ON - timedelta(days=1)},
        {"valid_from": datetime(2026, 1, 1)},  # noqa: DTZ001
    ],
)
def test_a_rule_that_makes_no_sense_cannot_be_made(change):
    parts = {"id": "a", "area": Area("06"), "services": (BUILDING,), "destination": ONE} | change
    with pytest.raises(Invalid):
        Rule(**parts)


@pytest.mark.parametrize(
    "text", ["", "9905001210400", "98050012104000", "URN:de:fim:leika:leistung:99050012104000", "urn:x"]
)
def test_what_is_no_service_key_is_refused(text):
    with pytest.raises(Malformed):
        service_urn(text)


# --- answers


def test_the_longest_prefix_wins():
    tab = table(rule("land", "06"), rule("district", "06439", TWO), rule("town", TAUNUSSTEIN, THREE))
    assert tab.route(Area(TAUNUSSTEIN), BUILDING, ON).destination_id == THREE
    assert tab.route(Area(BAD_SCHWALBACH), BUILDING, ON).destination_id == TWO
    assert tab.route(Area(WIESBADEN), BUILDING, ON).destination_id == ONE
    assert tab.route(Area("06439"), BUILDING, ON).destination_id == TWO


def test_a_narrower_rule_that_is_not_valid_gives_way_to_a_wider_one():
    tab = table(rule("land", "06"), rule("town", TAUNUSSTEIN, TWO, valid_until=ON))
    assert tab.route(Area(TAUNUSSTEIN), BUILDING, ON).destination_id == ONE
    assert tab.route(Area(TAUNUSSTEIN), BUILDING, ON - timedelta(microseconds=1)).destination_id == TWO


def test_a_hand_over_at_a_moment_leaves_no_gap_and_no_overlap():
    tab = table(rule("old", "06439", ONE, valid_until=ON), rule("new", "06439", TWO, valid_from=ON))
    for _ in range(2):
        assert tab.route(Area(TAUNUSSTEIN), BUILDING, ON - timedelta(microseconds=1)).rule.id == "old"
        assert tab.route(Area(TAUNUSSTEIN), BUILDING, ON).rule.id == "new"


def test_two_rules_for_the_same_destination_are_no_contradiction():
    tab = table(rule("b", "06439"), rule("a", "06439"))
    assert tab.route(Area(TAUNUSSTEIN), BUILDING, ON).rule.id == "a"


def test_a_route_says_which_table_and_why():
    tab = table(rule("district", "06439", valid_from=ON))
    route = tab.route(Area(TAUNUSSTEIN), BUILDING, ON)
    assert route.table_version == tab.version
    words = " ".join(text.en for text in route.why(Area(TAUNUSSTEIN)))
    assert "Taunusstein" in words
    assert "Rheingau-Taunus-Kreis" in words
    assert "2026-11-22" in words


def test_asking_again_gives_the_same_answer():
    tab = table(rule("land", "06"), rule("town", TAUNUSSTEIN, TWO))
    assert tab.route(Area(TAUNUSSTEIN), BUILDING, ON) == tab.route(Area(TAUNUSSTEIN), BUILDING, ON)


def test_the_version_depends_on_content_alone():
    rules = [rule("a", "06"), rule("b", "06439", TWO, DOG, BUILDING), rule("c", "06414", note="x")]
    assert table(*rules).version == table(*reversed(rules)).version
    assert table(*rules).version == table(*rules[:1], rule("b", "06439", TWO, BUILDING, DOG), *rules[2:]).version
    assert table(*rules).version != table(*rules[:2], rule("c", "06414", note="y")).version
    assert table(*rules).version != table(*rules[:2]).version


def test_german_days_begin_at_german_midnight():
    assert day_start(date(2026, 7, 1)) == datetime(2026, 6, 30, 22, tzinfo=UTC)
    assert legal_day(datetime(2025, 12, 31, 23, tzinfo=UTC)).isoformat() == "2026-01-01"


# --- properties

places = st.sampled_from(
    [
        TAUNUSSTEIN,
        BAD_SCHWALBACH,
        WIESBADEN,
        HANAU_2026,
        "064120000000",
        "06439",
        "06414",
        "064390015",
        "064",
        "06",
        "065340014014",
    ]
)
services = st.sampled_from([BUILDING, TRADE, DOG])
moments = st.one_of(st.none(), st.integers(-5, 5).map(lambda days: ON + timedelta(days=days)))


@st.composite
def rules(draw):
    start, end = draw(moments), draw(moments)
    if start and end and start >= end:
        start, end = (end, start) if start != end else (start, None)
    return (draw(places), draw(st.sampled_from([ONE, TWO])), tuple(draw(st.sets(services, min_size=1))), start, end)


def built(drawn):
    return [
        Rule(id=f"r{at:02d}", area=Area(area), destination=to, services=served, valid_from=start, valid_until=end)
        for at, (area, to, served, start, end) in enumerate(drawn)
    ]


def answer(tab, ars, service, on):
    try:
        return tab.route(Area(ars), service, on).destination_id
    except NoRoute as exc:
        return exc.members["cause"]


rule_lists = st.lists(rules(), max_size=8).map(built)
questions = st.tuples(places, services, st.integers(-6, 6).map(lambda days: ON + timedelta(days=days)))


@settings(max_examples=150, deadline=None)
@given(rule_lists, st.lists(questions, min_size=1, max_size=6))
def test_explain_agrees_with_route(given_rules, asked):
    tab = table(*given_rules)
    for ars, service, on in asked:
        explanation = tab.explain(Area(ars), service, on)
        got = answer(tab, ars, service, on)
        assert (explanation.destination_id or "refused") == (got if isinstance(got, UUID) else "refused")
        taken = [c.rule for step in explanation.tried for c in step.considered if c.taken]
        assert taken == ([explanation.rule] if explanation.rule else [])
        assert len(explanation.lines("de")) == len(explanation.lines("en")) > 2


@settings(max_examples=100, deadline=None)
@given(rule_lists, questions, st.randoms(use_true_random=False))
def test_the_order_of_rules_does_not_matter(given_rules, asked, random):
    shuffled = list(given_rules)
    random.shuffle(shuffled)
    one, other = table(*given_rules), table(*shuffled)
    assert answer(one, *asked) == answer(other, *asked)
    assert one == other


@settings(max_examples=100, deadline=None)
@given(rule_lists, rules(), questions)
def test_a_new_rule_changes_nothing_outside_its_area(given_rules, new, asked):
    (added,) = built([new])
    added = Rule(
        id="new",
        area=added.area,
        destination=THREE,
        services=added.services,
        valid_from=added.valid_from,
        valid_until=added.valid_until,
    )
    ars, service, on = asked
    before, after = answer(table(*given_rules), *asked), answer(table(*given_rules, added), *asked)
    if not added.area.covers(GAZETTEER.same_as(Area(ars))) or service not in added.services or not added.holds(on):
        assert {before, after} <= {"unknown-service", "no-rule"} or before == after


@settings(max_examples=100, deadline=None)
@given(rule_lists, st.lists(questions, min_size=2, max_size=8))
def test_what_was_asked_before_does_not_change_an_answer(given_rules, asked):
    warm = table(*given_rules)
    for question in asked:
        answer(warm, *question)
    for question in asked:
        assert answer(warm, *question) == answer(table(*given_rules), *question)


@settings(max_examples=100, deadline=None)
@given(rule_lists, questions)
def test_the_look_up_agrees_with_the_definition(given_rules, asked):
    ars, service, on = asked
    here = GAZETTEER.same_as(Area(ars))  # A district-free city has two keys.
    fitting = [r for r in given_rules if service in r.services and r.holds(on) and r.area.covers(here)]
    longest = max((len(r.area.ars) for r in fitting), default=0)
    chosen = {r.destination for r in fitting if len(r.area.ars) == longest}
    got = answer(table(*given_rules), *asked)
    assert got == next(iter(chosen)) if len(chosen) == 1 else got == ("ambiguous" if chosen else "no-rule")


def test_refusals_can_be_written_as_json():
    tab = table(rule("a", "06439"), rule("b", "06439", TWO), rule("c", "06414", ONE, TRADE))
    for ars, service in [(TAUNUSSTEIN, BUILDING), ("064399999999", BUILDING), (HANAU_2025, TRADE), (WIESBADEN, DOG)]:
        members = refused(tab, ars, service).members
        assert json.loads(json.dumps(members)) == members
        assert len(members["nearest"]) <= 5


def test_the_whole_country_is_routed_as_defined():
    path = Path(__file__).parents[2].parent / "shared" / "data" / "regions" / "gemeinden_de_2025-08-31.csv"
    if not path.exists():
        pytest.skip("shared data are absent: regions/gemeinden_de_2025-08-31.csv")
    with path.open(encoding="utf-8", newline="") as file:
        places = [
            Place(area=Area.from_ars(row["ars"]), name=row["name"], kind=AreaKind.MUNICIPALITY)
            for row in csv.DictReader(file)
        ]
    districts = sorted({place.area.ars[:5] for place in places})
    served = tuple(service_urn(f"99{number:012d}") for number in range(575))
    owners = {ars: UUID(int=at) for at, ars in enumerate(districts)}
    rules = [Rule(id=f"d{ars}", area=Area(ars), services=served, destination=owners[ars]) for ars in districts]
    tab = RoutingTable(rules, gazetteer=Gazetteer(places), services=ServiceRegister([]))
    assert len(places) == 10_952
    for place in places:
        for service in served[::144]:
            assert tab.route(place.area, service, ON).destination_id == owners[place.area.ars[:5]]
