"""Who may apply for a service at an authority: everybody, who is invited, nobody; and the table says so to all who ask it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stage import BAUEN, NOW, TAUNUSSTEIN, WIESBADEN, Stage, altered

from hub.areas import Area
from hub.errors import Invalid, Malformed, NoRoute
from hub.intake import Intake
from hub.routing import RoutingTable, Rule, RuleAccess, rule_from_row, to_csv, to_yaml
from hub.routing.formats import from_csv, from_yaml

TOWN = Area(TAUNUSSTEIN)


def with_access(table: RoutingTable, access: RuleAccess, *invited: str) -> RoutingTable:
    """The table with another state of the building permit in Taunusstein."""
    deciding = table.responsible(TOWN, BAUEN, NOW).rule
    changed = replace(deciding, access=access, invited=invited)
    rules = [changed if each.id == deciding.id else each for each in table.rules]
    return RoutingTable(rules, gazetteer=table.gazetteer, services=table.services)


@pytest.fixture
def rule(stage: Stage) -> Rule:
    return stage.hub.table().responsible(TOWN, BAUEN, NOW).rule


def test_a_rule_goes_through_files_as_it_is(rule: Rule):
    pilot = replace(rule, access=RuleAccess.PILOT, invited=("planer-2", "planer-1", "planer-2"))
    assert pilot.invited == ("planer-1", "planer-2")
    for back in (from_csv(to_csv([pilot])), from_yaml(to_yaml([pilot]))):
        assert back == (pilot,)
    assert rule_from_row(rule.as_row()) == rule


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ({"access": "halb"}, Malformed),
        ({"access": "pilot"}, Invalid),
        ({"invited": "planer"}, Invalid),
        ({"access": "closed", "invited": "planer"}, Invalid),
        ({"access": "pilot", "invited": "ein/pfad"}, Invalid),
        ({"access": "pilot", "invited": " ".join(f"c{n}" for n in range(201))}, Invalid),
    ],
)
def test_what_makes_no_sense_is_refused(rule: Rule, row: dict[str, str], error: type[Exception]):
    with pytest.raises(error):
        rule_from_row(rule.as_row() | row)


def test_closed_is_closed_for_everybody_and_says_who_is_responsible(stage: Stage):
    table = with_access(stage.hub.table(), RuleAccess.CLOSED)
    with pytest.raises(NoRoute) as refused:
        table.route(TOWN, BAUEN, NOW, sender=stage.sender)
    assert refused.value.members["cause"] == "closed"
    assert refused.value.members["destinationId"] == str(table.responsible(TOWN, BAUEN, NOW).destination_id)
    explained = table.explain(TOWN, BAUEN, NOW)
    assert (explained.rule, explained.access) == (None, RuleAccess.CLOSED)
    access, responsible = explained.lines("de")[-2:]
    assert responsible.startswith(f"Zuständig: {refused.value.members['destinationId']} nach Regel ")
    assert access.startswith("Zugang: noch nicht online. ")
    assert table.explain(Area(WIESBADEN), BAUEN, NOW).lines("en")[-2] == "Access: open"


def test_a_pilot_admits_who_is_invited_and_nobody_else(stage: Stage):
    table = with_access(stage.hub.table(), RuleAccess.PILOT, stage.sender)
    assert table.route(TOWN, BAUEN, NOW, sender=stage.sender).rule.access is RuleAccess.PILOT
    for stranger in (None, "", "somebody-else"):
        with pytest.raises(NoRoute) as refused:
            table.route(TOWN, BAUEN, NOW, sender=stranger)
        assert refused.value.members["cause"] == "by-invitation"
    assert table.explain(TOWN, BAUEN, NOW).lines("en")[-2].startswith("Access: on trial, by invitation only. ")


def test_a_table_without_states_has_the_version_that_it_had(stage: Stage):
    table = stage.hub.table()
    assert with_access(table, RuleAccess.OPEN).version == table.version
    versions = {table.version, *(with_access(table, each, *who).version for each, who in _STATES)}
    assert len(versions) == 4


_STATES = ((RuleAccess.CLOSED, ()), (RuleAccess.PILOT, ("a",)), (RuleAccess.PILOT, ("b",)))


def test_the_plain_door_takes_what_the_state_lets_in(stage: Stage):
    def door(access: RuleAccess, *invited: str) -> Stage:
        table = with_access(stage.hub.table(), access, *invited)
        hub = altered(stage.hub, table=lambda: table)
        return replace(stage, hub=altered(hub, intake=Intake(hub)))

    for closed in (door(RuleAccess.CLOSED), door(RuleAccess.PILOT, "somebody-else")):
        with pytest.raises(NoRoute):
            closed.accept()
    taken = door(RuleAccess.PILOT, stage.sender).accept()
    assert "Bauaufsicht" in taken.claims["destination"]["name"]
