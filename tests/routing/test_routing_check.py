"""Checks at edit time: a table that contradicts itself, or leads nowhere, is found before it is used."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.areas import Area, Gazetteer
from hub.errors import NoRoute
from hub.model.parties import Destination, OfferedService
from hub.routing import (
    Code,
    DestinationFacts,
    RoutingTable,
    Rule,
    ServiceRegister,
    Severity,
    check,
    day_start,
    load_destinations,
    service_urn,
)
from hub.routing.findings import summarised

REPOSITORY = Path(__file__).parents[2]
ROOT = REPOSITORY / "routing_rules"
ON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BUILDING, TRADE = service_urn("99012008001000"), service_urn("99050012104000")
ONE, TWO = UUID(int=1), UUID(int=2)
XSD = "https://schema.example/bauantrag.xsd"
GAZETTEER = Gazetteer.load(ROOT / "areas")
REGISTER = ServiceRegister.load(ROOT)


def rule(name, area="06439", destination=ONE, *services, **more):
    return Rule(id=name, area=Area(area), services=services or (BUILDING,), destination=destination, **more)


def facts(name="Amt", *, status="active", key=ON + timedelta(days=400), offers=None):
    if offers is None:
        offers = [
            OfferedService(identifier=s, regions=("DE",), schemas=((XSD, "application/xml"),))
            for s in (BUILDING, TRADE)
        ]
    return DestinationFacts(name=name, status=status, key_valid_until=key, offers=tuple(offers))


GOOD = {ONE: facts("Amt 1"), TWO: facts("Amt 2")}


def table(*rules):
    return RoutingTable(rules, gazetteer=GAZETTEER, services=REGISTER)


def found(*rules, destinations=GOOD, on=ON, gaps=False, **more):
    findings = check(table(*rules), GAZETTEER, REGISTER, destinations, on=on, **more)
    for finding in findings:
        assert all((finding.text.de, finding.text.en, finding.remedy.de, finding.remedy.en))
    return [finding for finding in findings if gaps or finding.code not in {Code.GAP, Code.UNRULED}]


def only(findings, code, severity):
    assert [(f.code, f.severity) for f in findings] == [(code, severity)]
    return findings[0]


def test_a_table_without_fault_has_no_findings_but_gaps():
    assert found(rule("a")) == []


def test_two_destinations_for_the_same_area_service_and_time_contradict():
    finding = only(found(rule("b", "06439", TWO), rule("a")), Code.CONTRADICTION, Severity.ERROR)
    assert finding.rows == ("a", "b")
    assert finding.services == (BUILDING,)
    assert finding.areas == ("06439",)


def test_two_rules_that_say_the_same_are_worth_a_word():
    only(found(rule("a"), rule("b")), Code.OVERLAP, Severity.WARNING)


def test_rules_that_follow_each_other_do_not_contradict():
    assert (
        found(rule("a", valid_until=ON + timedelta(days=1)), rule("b", "06439", TWO, valid_from=ON + timedelta(days=1)))
        == []
    )


def test_a_contradiction_in_the_future_is_found_today():
    later = ON + timedelta(days=100)
    findings = found(rule("a"), rule("b", "06439", TWO, valid_from=later))
    only(findings, Code.CONTRADICTION, Severity.ERROR)


def test_a_contradiction_that_is_over_is_history():
    assert found(rule("a"), rule("b", "06439", TWO, valid_until=ON)) == []


def test_a_narrower_rule_is_an_exception_and_no_contradiction():
    assert found(rule("a"), rule("b", "064390015015", TWO)) == []


def test_many_rules_in_sequence_are_checked_in_no_time():
    days = [ON + timedelta(days=n) for n in range(3001)]
    rules = [
        rule(f"r{n}", "06439", (ONE, TWO)[n % 2], valid_from=days[n], valid_until=days[n + 1]) for n in range(3000)
    ]
    assert found(*rules) == []


def test_an_unknown_area_is_an_error_with_the_next_larger_one():
    finding = only(found(rule("a", "064399999999")), Code.UNKNOWN_AREA, Severity.ERROR)
    assert "Rheingau-Taunus-Kreis" in finding.remedy.en


def test_a_dissolved_area_is_an_error_with_its_successor():
    finding = only(found(rule("a", "064350014014")), Code.DISSOLVED_AREA, Severity.ERROR)
    assert "064150000000" in finding.text.de
    assert finding.areas == ("064350014014", "064150000000")


def test_an_area_that_will_be_dissolved_while_the_rule_holds_is_a_warning():
    before = datetime(2025, 6, 1, tzinfo=UTC)
    finding = only(found(rule("a", "064350014014"), on=before), Code.DISSOLVED_AREA, Severity.WARNING)
    assert "064150000000" in finding.text.en
    assert found(rule("a", "064350014014", valid_until=day_start(date(2026, 1, 1))), on=before) == []


def test_an_unknown_service_is_an_error_with_the_nearest_names():
    wrong = service_urn("99050012104001")
    offers = [OfferedService(identifier=wrong, regions=("DE",), schemas=((XSD, "application/xml"),))]
    findings = found(rule("a", "06439", ONE, wrong), destinations={ONE: facts(offers=offers)})
    assert "Gewerbe Anmeldung" in only(findings, Code.UNKNOWN_SERVICE, Severity.ERROR).text.de


@pytest.mark.parametrize(
    ("destinations", "code", "severity"),
    [
        ({}, Code.DESTINATION_MISSING, Severity.ERROR),
        ({ONE: facts(status="inactive")}, Code.DESTINATION_INACTIVE, Severity.ERROR),
        ({ONE: facts(status="decommissioned")}, Code.DESTINATION_INACTIVE, Severity.ERROR),
        ({ONE: facts(key=None)}, Code.DESTINATION_KEY, Severity.ERROR),
        ({ONE: facts(key=ON)}, Code.DESTINATION_KEY, Severity.ERROR),
        ({ONE: facts(key=ON + timedelta(days=29))}, Code.KEY_ENDING, Severity.WARNING),
        ({ONE: facts(offers=[])}, Code.SERVICE_NOT_OFFERED, Severity.ERROR),
        (
            {
                ONE: facts(
                    offers=[OfferedService(identifier=BUILDING, regions=("DE064390015015",), schemas=((XSD, "x"),))]
                )
            },
            Code.REGION_NOT_OFFERED,
            Severity.ERROR,
        ),
        (
            {ONE: facts(offers=[OfferedService(identifier=BUILDING, regions=("DE06",), schemas=())])},
            Code.SCHEMA_NOT_OFFERED,
            Severity.WARNING,
        ),
    ],
)
def test_a_destination_that_cannot_take_it_is_found(destinations, code, severity):
    finding = only(found(rule("a"), rule("other", "06414"), destinations=destinations), code, severity)
    assert finding.rows == ("a", "other") or code is Code.REGION_NOT_OFFERED


def test_a_destination_may_offer_a_service_by_its_other_name():
    assert found(rule("a"), destinations={ONE: facts(offers=_renamed())}) == found(rule("a"))


def _renamed():
    return [
        OfferedService(
            identifier=BUILDING.replace(":leika:", ":"), regions=("DE",), schemas=((XSD, "application/xml"),)
        )
    ]


def test_a_schema_that_the_catalogue_does_not_know_is_found():
    only(found(rule("a"), known_schemas={"https://other.example"}), Code.SCHEMA_NOT_OFFERED, Severity.WARNING)
    assert found(rule("a"), known_schemas={XSD}) == []


def test_municipalities_without_an_authority_are_counted_and_named_by_district():
    findings = found(rule("a"), gaps=True)
    gap = next(f for f in findings if f.code is Code.GAP)
    assert "404 municipalities" in gap.text.en
    assert "065" in gap.areas
    assert "06439" not in gap.areas
    assert gap.severity is Severity.WARNING
    assert next(f for f in findings if f.code is Code.UNRULED).services == tuple(s for s in REGISTER if s != BUILDING)


def test_a_whole_state_has_no_gap():
    assert not [f for f in found(rule("a", "06"), gaps=True) if f.code is Code.GAP]


def test_errors_come_first():
    findings = found(rule("a"), rule("b"), rule("c", "06439", TWO), gaps=True)
    severities = [f.severity for f in findings]
    assert severities == sorted(severities, key=lambda severity: severity is not Severity.ERROR)
    assert severities[0] is Severity.ERROR


def test_the_shipped_table_has_no_errors():
    shipped = RoutingTable.load(ROOT, GAZETTEER)
    uris = {
        schema["uri"]: schema
        for path in REPOSITORY.glob("schemas/*/*/catalog.yaml")
        for schema in yaml.safe_load(path.read_bytes())["schemas"]
    }
    planned = load_destinations(ROOT / "hessen" / "destinations.yaml")
    if uris:
        assert {uri for one in planned for uri in one.schema_uris} <= uris.keys()
    destinations = {
        one.destination_id: facts(
            one.name,
            offers=[
                OfferedService(
                    identifier=s, regions=(one.area.as_region(),), schemas=tuple((u, "x") for u in one.schema_uris)
                )
                for s in one.services
            ],
        )
        for one in planned
    }
    findings = check(shipped, GAZETTEER, shipped.services, destinations, on=ON)
    assert [f for f in findings if f.severity is Severity.ERROR] == []
    assert {f.code for f in findings} <= {Code.GAP, Code.UNRULED, Code.SCHEMA_NOT_OFFERED}


MUNICIPALITIES = [place.area.ars for place in GAZETTEER.municipalities()]


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(MUNICIPALITIES)), st.sets(st.sampled_from(["06", "065", "06439", "06412"])))
def test_a_summary_stands_for_exactly_the_given_areas(single, prefixes):
    wanted = single | {ars for ars in MUNICIPALITIES if ars.startswith(tuple(prefixes))}
    summary = summarised(wanted, MUNICIPALITIES)
    assert {ars for ars in MUNICIPALITIES if ars.startswith(summary)} == wanted
    assert len(summary) <= len(wanted)
    assert len(set(summary)) == len(summary)


spans = st.tuples(st.integers(0, 6), st.integers(1, 6)).map(
    lambda s: (ON + timedelta(days=s[0]), ON + timedelta(days=s[0] + s[1]))
)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["06", "06439"]), st.sampled_from([ONE, TWO]), spans), max_size=6))
def test_a_table_without_contradictions_is_never_ambiguous(drawn):
    rules = [
        rule(f"r{n}", area, to, valid_from=span[0], valid_until=span[1]) for n, (area, to, span) in enumerate(drawn)
    ]
    checked, tab = found(*rules), table(*rules)
    causes = set()
    for hours in range(0, 13 * 24, 12):
        for ars in ("06439", "064390015015", "06"):
            try:
                tab.route(Area(ars), BUILDING, ON + timedelta(hours=hours))
            except NoRoute as exc:
                causes.add(exc.members["cause"])
    assert ("ambiguous" in causes) <= any(f.code is Code.CONTRADICTION for f in checked)


def test_findings_do_not_depend_on_the_order_of_rules():
    rules = [rule("a"), rule("b"), rule("c", "06439", TWO), rule("d", "064350014014")]
    assert found(*rules, gaps=True) == found(*reversed(rules), gaps=True)


def test_facts_are_taken_from_a_stored_destination():
    offers = facts().offers
    stored = Destination(
        destination_id=ONE,
        name="Amt",
        status="inactive",
        owner=None,
        tenant="06",
        services=offers,
        metadata_versions=("2.1.0",),
        encryption_kid="k",
        contact={},
        adapter="mailbox",
        adapter_config={},
        created_at=ON,
        updated_at=ON,
    )
    expected = DestinationFacts(name="Amt", status="inactive", key_valid_until=ON, offers=offers)
    assert DestinationFacts.of(stored, key_valid_until=ON) == expected


OTHER_OFFER = OfferedService(identifier=BUILDING, regions=("DE06414",), schemas=((XSD, "application/xml"),))
NO_SCHEMA = OfferedService(identifier=BUILDING, regions=("DE",), schemas=())
UNKNOWN_SERVICE = service_urn("99050012104999")
#: What is wrong, what the finding is, the rows that it names, and what its remedy speaks of (English).
FAULTS = [
    ([rule("a"), rule("b", "06439", TWO)], GOOD, Code.CONTRADICTION, ("a", "b"), "End one rule"),
    ([rule("a"), rule("b")], GOOD, Code.OVERLAP, ("a", "b"), "Remove the service"),
    ([rule("a", "064399999999")], GOOD, Code.UNKNOWN_AREA, ("a",), "Rheingau-Taunus-Kreis"),
    ([rule("a", "064350014014")], GOOD, Code.DISSOLVED_AREA, ("a",), "one for the successor"),
    ([rule("a", "06439", ONE, UNKNOWN_SERVICE)], GOOD, Code.UNKNOWN_SERVICE, ("a",), "Correct the key"),
    ([rule("a")], {}, Code.DESTINATION_MISSING, ("a",), "Create the destination"),
    ([rule("a")], {ONE: facts(status="inactive")}, Code.DESTINATION_INACTIVE, ("a",), "Activate it"),
    ([rule("a")], {ONE: facts(key=None)}, Code.DESTINATION_KEY, ("a",), "deposit a new key"),
    ([rule("a")], {ONE: facts(key=ON + timedelta(days=1))}, Code.KEY_ENDING, ("a",), "deposit a new key"),
    ([rule("a")], {ONE: facts(offers=[])}, Code.SERVICE_NOT_OFFERED, ("a",), "Add service"),
    ([rule("a")], {ONE: facts(offers=[OTHER_OFFER])}, Code.REGION_NOT_OFFERED, ("a",), "Add service"),
    ([rule("a")], {ONE: facts(offers=[NO_SCHEMA])}, Code.SCHEMA_NOT_OFFERED, ("a",), "Add service"),
    ([rule("a", "06439")], GOOD, Code.GAP, (), "Make rules"),
    ([rule("a", "06439")], GOOD, Code.UNRULED, (), "Make rules"),
]


@pytest.mark.parametrize(("rules", "destinations", "code", "rows", "remedy"), FAULTS, ids=lambda value: str(value)[:24])
def test_every_kind_of_finding_names_its_rows_and_a_remedy(rules, destinations, code, rows, remedy):
    finding = next(f for f in found(*rules, destinations=destinations, gaps=True) if f.code is code)
    assert finding.rows == rows
    assert remedy in finding.remedy.en
    # What has no row has areas or services to look at.
    assert finding.rows or finding.areas or finding.services


def test_no_kind_of_finding_is_without_its_test():
    assert {code for _, _, code, _, _ in FAULTS} == set(Code)
