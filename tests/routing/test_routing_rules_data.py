"""What ships in routing_rules/: keys that exist, destinations that offer what rules give them, the promised routes."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hub.areas import Area, Gazetteer
from hub.errors import NoRoute
from hub.model import LEIKA_PREFIX
from hub.routing import RoutingTable, ServiceRegister, load_destinations, service_urn
from hub.services import ServiceCatalogue
from hub.validation.catalog import SchemaCatalog

ROOT = Path(__file__).parents[2] / "routing_rules"
LEIKA = Path(__file__).parents[2].parent / "shared" / "data" / "leika"
ON = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def table():
    return RoutingTable.load(ROOT, Gazetteer.load(ROOT / "areas"))


@pytest.fixture(scope="module")
def destinations():
    return {one.destination_id: one for one in load_destinations(ROOT / "hessen" / "destinations.yaml")}


def catalogue(name):
    path = LEIKA / name
    if not path.exists():
        pytest.skip(f"shared data are absent: leika/{name}")
    with path.open(encoding="utf-8", newline="") as file:
        return {row["leika"]: row for row in csv.DictReader(file)}


def test_every_service_key_exists_in_the_catalogue_under_this_name():
    official = catalogue("leika_2019-10_ozg-nrw.csv")
    services = ServiceCatalogue.load(ROOT)
    names = {each.key.removeprefix(LEIKA_PREFIX): each.official for each in services if "LeiKa" in each.source}
    assert names == {key: official[key]["name"] for key in names}
    # Keys that are younger than that catalogue say where they are in use.
    assert [each.official for each in services if "LeiKa" not in each.source] == ["Hundesteuer Abmeldung"]
    assert len(names) >= 25


def test_every_schema_that_a_destination_offers_serves_one_of_its_services(destinations):
    catalog = SchemaCatalog.load(ROOT.parent / "schemas")
    serving = {entry.ref.uri: entry for entry in catalog.entries()}
    for destination in destinations.values():
        for uri in destination.schema_uris:
            assert any(serving[uri].serves(service) for service in destination.services), (destination.name, uri)


def test_services_marked_as_used_in_munich_are():
    munich = catalogue("muenchen_services_with_leika.csv")
    keys = [each.key.removeprefix(LEIKA_PREFIX) for each in ServiceCatalogue.load(ROOT) if "München" in each.source]
    assert keys
    assert set(keys) <= set(munich)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("99012008001000", "Baugenehmigung Erteilung"),
        ("99050012104000", "Gewerbe Anmeldung"),
        ("99102013002000", "Hundesteuer Festsetzung"),
        ("99008001012000", "Personalausweis Ausstellung"),
        ("99115005104000", "Wohnsitz Anmeldung"),
    ],
)
def test_the_register_knows_the_common_services(table, key, name):
    assert table.services.name(service_urn(key)) == name


def test_the_wrong_key_for_a_trade_registration_is_not_in_the_register(table):
    assert service_urn("99050035001000") not in table.services


def test_rules_cover_at_least_twenty_registered_services(table):
    assert len(table.routed_services) >= 20
    assert all(service in table.services for service in table.routed_services)


def test_every_rule_leads_to_a_destination_that_offers_its_services_for_its_area(table, destinations):
    for rule in table:
        destination = destinations[rule.destination]
        assert destination.area.covers(rule.area), rule.id
        assert set(rule.services) <= set(destination.services), rule.id


def test_no_destination_offers_what_no_rule_gives_it(table, destinations):
    for destination in destinations.values():
        ruled = {s for rule in table if rule.destination == destination.destination_id for s in rule.services}
        assert set(destination.services) == ruled, destination.name


def test_the_five_demo_destinations_use_different_ways(destinations):
    assert {d.ars for d in destinations.values()} == {"06439", "064140000000", "064120000000", "064150000000", "06"}
    assert {"https", "mailbox", "folder"} == {d.adapter for d in destinations.values()}


def to(table, destinations, ars, key):
    return destinations[table.route(Area.from_ars(ars), service_urn(key), ON).destination_id].ars


def test_building_applications_of_the_districts_municipalities_go_to_the_district(table, destinations):
    for place in table.gazetteer.municipalities("06439"):
        assert to(table, destinations, place.area.ars, "99012008001000") == "06439"


@pytest.mark.parametrize("ars", ["064140000000", "064120000000", "064150000000"])
@pytest.mark.parametrize(
    "key", ["99012008001000", "99050012104000", "99102013002000", "99008001012000", "99115005104000"]
)
def test_independent_cities_are_responsible_themselves(table, destinations, ars, key):
    assert to(table, destinations, ars, key) == ars


def test_parental_allowance_is_the_states_business_everywhere(table, destinations):
    assert all(
        to(table, destinations, place.area.ars, "99041006017000") == "06" for place in table.gazetteer.municipalities()
    )


def test_what_is_not_ruled_has_no_default(table):
    with pytest.raises(NoRoute):
        table.route(Area.from_ars("065340014014"), service_urn("99050012104000"), ON)


def test_the_register_finds_what_a_typing_slip_meant():
    register = ServiceRegister.load(ROOT)
    assert register.nearest("Gewerbeanmeldung")[0] == service_urn("99050012104000")
    assert "Hundesteuer" in register.name(register.nearest("Hundestuer")[0])
    assert service_urn("99050012104000") in register.nearest("99050012104001")
    assert register.nearest("zzzz") == ()
