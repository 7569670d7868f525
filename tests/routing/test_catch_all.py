"""Catch-alls: what no rule holds for goes to whom a rule says so explicitly, to nobody else; explained, checked and counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stage import BAUEN, NOW, TAUNUSSTEIN, WIESBADEN, Stage, altered

from hub.areas import Area
from hub.errors import Forbidden, Invalid, NoRoute
from hub.identity import Person
from hub.intake import Intake
from hub.model import EVERYTHING, Role
from hub.routing import Code, DestinationFacts, RoutingTable, Rule, check, rule_from_row, to_csv, to_yaml
from hub.routing.formats import from_csv, from_yaml

TOWN, DISTRICT = Area(TAUNUSSTEIN), Area("06439")
UNKNOWN = "urn:de:fim:leika:leistung:99999999999999"


def remade(table: RoutingTable, *more: Rule, without: Area | None = None) -> RoutingTable:
    """The table with more rules; of rules that cover an area, without the building permit."""
    rules = [
        replace(each, services=left)
        for each in table.rules
        if (left := tuple(urn for urn in each.services if not (without and each.area.covers(without) and urn == BAUEN)))
    ]
    return RoutingTable([*rules, *more], gazetteer=table.gazetteer, services=table.services)


@pytest.fixture
def office(stage: Stage) -> Rule:
    """A catch-all of the district, at an authority that does not offer the building permit."""
    here = next(
        each for each in stage.cast["destinations"] if all(not urn.endswith(BAUEN[-14:]) for urn in each["services"])
    )
    row = {"id": "rtk-auffang", "area": "06439", "services": "*", "destination": here["destination_id"]}
    return rule_from_row(row)


def refused(table: RoutingTable, area: Area = TOWN, service: str = BAUEN) -> str:
    with pytest.raises(NoRoute) as error:
        table.route(area, service, NOW)
    return str(error.value.members["cause"])


def test_what_no_rule_holds_for_is_refused_unless_a_catch_all_says_otherwise(stage: Stage, office: Rule):
    bare = remade(stage.hub.table(), without=TOWN)
    assert not bare.catch_alls, "there is none that nobody made"
    assert refused(bare) == "no-rule"
    caught = remade(stage.hub.table(), office, without=TOWN).route(TOWN, BAUEN, NOW)
    assert caught.rule == office
    assert "Auffangstelle" in caught.why(TOWN)[0].de
    assert "catch-all" in caught.why(TOWN)[0].en


def test_any_other_rule_goes_before_also_a_wider_one_and_one_that_is_closed(stage: Stage, office: Rule):
    table = stage.hub.table()
    wide = table.route(TOWN, BAUEN, NOW).rule
    narrow = replace(office, area=TOWN)
    assert wide.area != TOWN
    assert remade(table, narrow).route(TOWN, BAUEN, NOW).rule == wide


def test_neither_the_unknown_nor_a_contradiction_is_caught(stage: Stage, office: Rule):
    table = remade(stage.hub.table(), office, without=TOWN)
    assert refused(table, service=UNKNOWN) == "unknown-service"
    assert refused(table, area=Area("064399999999")) == "unknown-area"
    assert refused(remade(table, without=Area(WIESBADEN)), area=Area(WIESBADEN)) == "no-rule"
    other = replace(office, id="zweite", destination=stage.destination_id("Wiesbaden"))
    twice = remade(table, other)
    assert refused(twice) == "ambiguous"
    found = check(twice, twice.gazetteer, twice.services, {}, on=NOW)
    assert {Code.CONTRADICTION} == {each.code for each in found if set(each.rows) == {"rtk-auffang", "zweite"}}
    assert not [each for each in found if each.code is Code.UNKNOWN_SERVICE]


def test_it_is_shown_in_the_explanation_and_a_gap_stays_a_gap(stage: Stage, office: Rule):
    table = remade(stage.hub.table(), office, without=TOWN)
    explained = table.explain(TOWN, BAUEN, NOW)
    assert (explained.rule, explained.destination_id) == (office, office.destination)
    lines = "\n".join(explained.lines("de"))
    assert "-> rtk-auffang: Genommen als Auffangstelle: Für diese Leistung gilt hier keine Regel." in lines
    assert "Taken as the catch-all" in "\n".join(explained.lines("en"))
    assert "rtk-auffang" not in "\n".join(stage.hub.table().explain(TOWN, BAUEN, NOW).lines())
    assert table.find(TOWN, BAUEN, NOW) == (), "the overview of gaps does not count it"
    facts = {
        office.destination: DestinationFacts(
            name="Amt", status="active", key_valid_until=NOW.replace(year=2030), offers=()
        )
    }
    found = check(remade(table), table.gazetteer, table.services, facts, on=NOW)
    assert not [each for each in found if "rtk-auffang" in each.rows], "it need not offer what it takes"


def test_it_stands_alone_and_goes_through_files_as_it_is(office: Rule):
    for back in (from_csv(to_csv([office])), from_yaml(to_yaml([office]))):
        assert back == (office,)
    with pytest.raises(Invalid, match="catch-all"):
        rule_from_row(office.as_row() | {"services": f"* {BAUEN}"})


def test_the_plain_door_takes_it_and_says_that_it_was_caught(stage: Stage, office: Rule):
    table = remade(stage.hub.table(), office, without=TOWN)
    hub = altered(stage.hub, table=lambda: table)
    taken = replace(stage, hub=altered(hub, intake=Intake(hub))).accept()
    assert str(office.destination) in str(taken.claims["destination"])


def test_it_takes_two_people_and_what_came_by_it_is_counted(stage: Stage, office: Rule):
    book, now = stage.hub.book, stage.clock()
    anna, bert = (Person(name=name, full_name=name, roles=(Role.EDITOR, Role.APPROVER)) for name in ("anna", "bert"))
    draft = book.draft(anna, title="Auffang", now=now, rules=list(remade(book.at(now), office, without=TOWN)))
    with pytest.raises(Forbidden):
        book.approve(draft.number, anna, revision=draft.revision, now=now, text="selbst")
    approved = book.approve(draft.number, bert, revision=draft.revision, now=now, text="beschlossen")
    book.activate(approved.number, bert, now=now, text="beschlossen")
    stage.clock.pass_(minutes=1)
    assert book.caught(now=stage.clock(), scope=EVERYTHING) == {"rtk-auffang": 0}
    stage.accept()
    assert book.caught(now=stage.clock(), scope=EVERYTHING) == {"rtk-auffang": 1}
    stage.clock.pass_(days=31)
    assert book.caught(now=stage.clock(), scope=EVERYTHING) == {"rtk-auffang": 0}
