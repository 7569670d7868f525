"""Authorities for the whole state: somebody answers everywhere for what is theirs, and all say that they are the demo's."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from stage import SCHEMAS, TAUNUSSTEIN, staged

from hub import app
from hub.areas import AreaKind
from hub.config import load_settings
from hub.connector.declarations import Polling
from hub.connector.opening import load_keys
from hub.connector.settings import ConnectorSettings
from hub.demo.authorities import plant, settle
from hub.demo.cast import Cast, write_config
from hub.fit_connect.forwarding import ForwardWish
from hub.identity import Caller
from hub.model import EVERYTHING, NOT_FREED, Application, ClientKind, MediaType
from hub.routing import CoverState, service_urn, survey
from hub.services import Responsible
from hub.store import all_items

HUNDESTEUER = service_urn("99102013000000")
BAUEN = service_urn("99012008001000")
FREISTELLUNG = service_urn("99012027000000")
NOTICE = SCHEMAS / "fim-genehmigungsfreistellung/2026.1/examples/good-einfamilienhaus.json"
VEHICLE = service_urn("99036008007000")
#: Towns of districts that are the building authority themselves (HBO § 60).
SPECIAL_STATUS = {
    "Bad Homburg v. d. Höhe",
    "Fulda",
    "Gießen",
    "Marburg",
    "Rüsselsheim am Main",
    "Wetzlar",
}


@pytest.fixture(scope="module")
def settled(made_once, tmp_path_factory):
    """A stage whose state is populated, and its cast."""
    with staged(made_once, tmp_path_factory.mktemp("authorities")) as stage:
        cast = Cast(folder=stage.data / "demo", document=stage.cast)
        yield stage, settle(stage.hub, cast, say=lambda _: None)


def destinations(hub):
    return list(all_items(lambda start: hub.store.parties.destinations(offset=start, limit=100, scope=EVERYTHING)))


def responsible(hub, ars, service):
    found = hub.table().route(hub.gazetteer.find(ars).area, service, hub.clock())
    return hub.store.parties.destination(found.destination_id)


def test_every_municipality_has_an_authority_for_every_service(settled):
    stage, _ = settled
    hub = stage.hub
    looked = survey(hub.table(), hub.clock())
    assert len(looked.covers) == 421
    assert set(looked.missing) == {service.key for service in hub.services()}
    assert {district.state for district in looked.districts} == {CoverState.COVERED}


def test_the_check_finds_nothing_for_all_of_them_offer_what_is_theirs(settled):
    stage, _ = settled
    now = stage.clock()
    assert stage.hub.book.findings(stage.hub.book.base(now), now=now, scope=EVERYTHING) == []


def test_the_law_says_whose_a_service_is(settled):
    stage, _ = settled
    hub = stage.hub
    for place in hub.gazetteer.municipalities():
        ars = place.area.ars
        assert responsible(hub, ars, HUNDESTEUER).tenant == ars
        by_themselves = place.kind is AreaKind.INDEPENDENT_CITY or place.name.partition(",")[0] in SPECIAL_STATUS
        assert responsible(hub, ars, BAUEN).tenant == (ars if by_themselves else ars[:5]), place.name
        is_city = place.kind is AreaKind.INDEPENDENT_CITY
        assert responsible(hub, ars, VEHICLE).tenant == (ars if is_city else ars[:5]), place.name
    (state,) = (each for each in hub.services() if each.responsible == (Responsible.STATE,))
    assert responsible(hub, "064390015015", state.key).tenant == "06"


def test_an_exemption_goes_to_the_municipality_first_and_what_it_does_not_free_to_the_building_authority(settled):
    stage, cast = settled
    hub, envelope = stage.hub, stage.cover(service=FREISTELLUNG, area=TAUNUSSTEIN)
    with hub.intake.open(envelope, now=stage.clock()) as reception:
        for name in ("lageplan", "zeichnungen", "beschreibung"):
            part = reception.attach(name=name, filename=f"{name}.pdf", media_type="application/pdf")
            part.write(b"%PDF")
            part.finish()
        notice = Application(cover=envelope, media_type=MediaType.JSON, data=NOTICE.read_bytes())
        claims = reception.accept(notice, now=stage.clock()).result(10).claims
    assert claims["destination"]["name"].startswith("Stadt Taunusstein")
    wish = ForwardWish(
        request_id=uuid4(),
        case_id=UUID(claims["txn"].removeprefix("case:")),
        submission_id=UUID(claims["sub"].removeprefix("submission:")),
        service="",
        area="",
        reason=NOT_FREED,
    )
    owner = Caller(
        client_id=cast.document["subscriber"]["client_id"],
        kind=ClientKind.SUBSCRIBER,
        scopes=(),
        expires_at=stage.clock() + timedelta(minutes=5),
    )
    found = hub.forwarding.check(wish, caller=owner, now=stage.clock())
    assert found.destination.destination_id == stage.destination_id("Rheingau")
    begun = hub.forwarding.begin(wish, caller=owner, now=stage.clock())
    assert begun.link.service == service_urn("99012008001001")
    assert hub.forwarding.begin(wish, caller=owner, now=stage.clock()).link == begun.link


def test_what_no_source_says_is_marked_as_assumed(settled):
    stage, _ = settled
    hub = stage.hub
    assumed = [each for each in hub.table() if "Annahme" in each.note]
    assert {hub.gazetteer.find(each.area.ars).name.partition(",")[0] for each in assumed} == SPECIAL_STATUS
    assert all(each.id.endswith("-annahme") and "HGO § 4a" in each.note for each in assumed)
    # Building and monuments alone; what is certain of these towns stands in a rule of its own.
    assert {service.rpartition(":")[2][:5] for each in assumed for service in each.services} == {"99012", "99033"}
    for each in assumed:
        (certain,) = [one for one in hub.table() if one.id == each.id.removesuffix("-annahme")]
        assert "Annahme" not in certain.note
        assert not set(certain.services) & set(each.services)


def test_an_authority_takes_the_schema_that_was_made_for_a_service(settled):
    stage, _ = settled
    hub = stage.hub
    entries = hub.catalog.entries()
    made_for = 0
    for service in hub.services():
        town = responsible(hub, "064390015015", service.key)
        (offer,) = (each for each in town.services if each.identifier == service.key)
        taken = {hub.catalog.entry(uri).manifest.standard for uri, _ in offer.schemas}
        standards = {each.manifest.standard for each in entries if service.key in (each.item.services or ())}
        assert taken == (standards or {"fim-formloser-antrag"}), service.official
        made_for += bool(standards)
    assert made_for >= 27


def test_the_destinations_of_the_showing_stay_who_they_are(settled):
    stage, _ = settled
    town = responsible(stage.hub, "064140000000", HUNDESTEUER)
    assert town.destination_id == stage.destination_id("Wiesbaden")
    offered = [each.identifier for each in town.services]
    assert len(offered) == len(set(offered))


def test_what_is_invented_says_so_and_shares_one_key(settled):
    stage, cast = settled
    hub = stage.hub
    shown = {each["destination_id"] for each in (*cast.destinations, cast.document["reserved_for_tests"])}
    invented = [each for each in destinations(hub) if str(each.destination_id) not in shown]
    assert len(invented) == 421 + 21 + 1 - 5
    assert all("(Vorführung / demo)" in each.name for each in invented)
    assert all("(Vorführung / demo)" in each.contact["legalName"] for each in invented)
    assert len({each.encryption_kid for each in invented}) == 1
    (made,) = hub.store.audit.entries(action="demo.authorities", scope=EVERYTHING).items
    assert made.entry.after == {"destinations": len(invented)}


def test_the_table_took_two_people(settled):
    stage, _ = settled
    version = stage.hub.book.version(stage.hub.book.base(stage.clock()))
    assert (version.created_by, version.approved_by) == ("demo-anna", "demo-ben")


def test_a_second_start_makes_nothing_and_leaves_the_table_to_whoever_changed_it(settled):
    stage, cast = settled
    before = len(destinations(stage.hub)), stage.hub.book.base(stage.clock())
    assert settle(stage.hub, cast, say=lambda _: None) is cast
    assert (len(destinations(stage.hub)), stage.hub.book.base(stage.clock())) == before


def test_the_connector_opens_for_all_of_them_with_few_keys_and_one_list(settled):
    stage, cast = settled
    write_config(cast, stage.hub.settings, listen_port=1, desk_port=2)
    settings = ConnectorSettings.read(cast.folder / "connector.toml")
    keys = load_keys(settings.destinations)
    assert settings.polling is Polling.ALL
    assert len(keys) == 5 + len(cast.document["authorities"])
    assert len({id(each.signing) for each in keys.values()}) == 6


def test_production_begins_with_no_rules_and_no_destinations(tmp_path):
    hub = app.build(load_settings(tmp_path / "data", {}, environment="production", base_url="https://hub.example.org"))
    try:
        assert len(hub.table()) == 0
        assert destinations(hub) == []
        assert len(hub.services()) > 0
    finally:
        hub.close()


def test_the_demo_has_the_tree_of_tenants_and_people_who_see_a_part_of_it(settled):
    stage, cast = settled
    plant(stage.hub, cast)
    plant(stage.hub, cast)
    store, people = stage.hub.store, json.loads((cast.folder / "accounts.json").read_text(encoding="utf-8"))
    assert {"demo-anna", "demo-ben", "demo-clara", "demo-kreis"} == people.keys()
    seen = stage.hub.accounts.check("demo-kreis", people["demo-kreis"], now=stage.clock())
    found = store.parties.destinations(scope=seen.scope, limit=500)
    assert 0 < found.total < store.parties.destinations(scope=EVERYTHING).total
    assert {each.tenant[:5] for each in found.items} == {"06439"}
    assert [each.role for each in store.tenants.grants_of("demo-clara")] == ["editor"]
