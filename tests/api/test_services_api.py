"""Services are found by citizens' words over HTTP, with who does them where they live; cached, bounded, counted."""

from __future__ import annotations

import csv
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from uuid import UUID

import pytest
from sealed_door import Door
from shared_data import SHARED
from stage import NOW, TAUNUSSTEIN, WIESBADEN, Served, serving, staged

from hub.api.fit_connect.destinations import Quota
from hub.api.services import PublicServices
from hub.areas import Area, AreaKind, Gazetteer, Place, look_up
from hub.routing import RoutingTable, Rule, ServiceRegister
from hub.services import ServiceCatalogue
from hub.validation.catalog import SchemaCatalog

RULES = Path(__file__).parents[2] / "routing_rules"
SERVICES = "/hub/v1/services"
DOGS = "urn:de:fim:leika:leistung:99102013000000"


@pytest.fixture(scope="module")
def door(made_once, tmp_path_factory):
    with staged(made_once, tmp_path_factory.mktemp("services")) as stage, serving(stage) as served:
        del served.session.headers["Authorization"]  # Anybody may look.
        yield served


def first(door: Served, **asked: object) -> dict:
    found = door.get(SERVICES, params=asked)
    assert found.status_code == 200, found.text
    return found.json()["services"][0]


def test_who_lives_in_a_town_learns_what_to_bring_and_who_takes_it_online(door: Served):
    dogs = first(door, q="Hund anmelden", ars=WIESBADEN)
    assert (dogs["key"], dogs["name"]) == (DOGS, "Hund anmelden")
    assert dogs["needs"][0].startswith("Rasse")
    assert dogs["fee"]["kind"] == "municipal"
    assert dogs["law"] == ["§ 7 HessKAG"]
    assert dogs["ways"][0] == "online-here"
    office = dogs["office"]
    assert office["online"]
    assert office["why"] is None
    base = "https://schema.rathaus-hub.example/fim-hundesteuer"
    assert office["schemas"] == [f"{base}/{version}/anmeldung.schema.json" for version in ("1.0", "1.1", "1.2")]
    assert office["authority"] == {"ars": WIESBADEN, "name": "Wiesbaden, Landeshauptstadt"}
    entry = door.get("/hub/v1/schemas/entry", params={"uri": office["schemas"][0]})
    assert entry.json()["inForce"]


@pytest.mark.parametrize(
    ("q", "ars", "authority"),
    [
        ("Jagdschein", TAUNUSSTEIN, "Rheingau-Taunus-Kreis"),
        ("Jagdschein", "064120000000", "Frankfurt am Main, Stadt"),
        ("Elterngeld", TAUNUSSTEIN, "Hessen"),
        ("Sperrmüll", "066330001001", None),
    ],
)
def test_where_nobody_takes_it_online_the_authority_is_named(door: Served, q, ars, authority):
    service = first(door, q=q, ars=ars)
    office = service["office"]
    if not office["online"]:
        assert office["why"]["text"]
        assert service["authority"] in office["why"]["text"]
        assert "online-here" not in service["ways"]
        assert (office["destinationId"], office["schemas"]) == (None, [])
    if authority is not None:
        assert office["authority"]["name"] == authority


def test_what_has_to_be_enclosed_is_said_for_the_schemas_that_are_taken_here(door: Served):
    here = first(door, q="Hund anmelden", ars=WIESBADEN)
    assert [each["schema"] for each in here["attachments"]] == here["office"]["schemas"]
    assert {(each["at"], each["required"], each["label"]) for each in here["attachments"]} == {
        ("/ermaessigung/nachweisDatei", False, "Nachweis für die Ermäßigung")
    }
    anywhere = first(door, q="register a dog", lang="en")
    assert {each["label"] for each in anywhere["attachments"]} == {"Proof for the reduction"}
    entry = door.get("/hub/v1/schemas/entry", params={"uri": here["attachments"][0]["schema"]}).json()
    assert entry["attachments"][0]["label"] == {"de": "Nachweis für die Ermäßigung", "en": "Proof for the reduction"}


def test_texts_come_in_the_language_that_is_asked_for(door: Served):
    assert first(door, q="dog", lang="en")["name"] == "Register a dog"
    german, english = (door.get(f"{SERVICES}/99102013000000", params={"lang": each}).json() for each in ("de", "en"))
    assert (german["name"], english["name"]) == ("Hund anmelden", "Register a dog")
    assert german["office"] is None


def test_one_service_has_three_names_and_an_unknown_one_is_said(door: Served):
    shown = [door.get(f"{SERVICES}/{key}").json() for key in ("99102013000000", DOGS, DOGS.replace("leika:", ""))]
    assert shown[0] == shown[1] == shown[2]
    unknown = door.get(f"{SERVICES}/99999999999999")
    assert (unknown.status_code, unknown.json()["type"]) == (404, "urn:rathaus-hub:problem:service-not-found")


def test_an_answer_that_is_known_is_not_sent_again(door: Served):
    asked = {"q": "Perso", "ars": TAUNUSSTEIN}
    got = door.get(SERVICES, params=asked)
    assert got.headers["cache-control"] == "public, max-age=60"
    known = door.get(SERVICES, params=asked, headers={"If-None-Match": got.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")
    other = door.get(SERVICES, params=asked | {"ars": "064120000000"}, headers={"If-None-Match": got.headers["etag"]})
    assert other.status_code == 200


def test_all_are_listed_in_pages(door: Served):
    pages = [door.get(SERVICES, params={"limit": 20, "offset": at}).json() for at in (0, 20, 40)]
    keys = [each["key"] for page in pages for each in page["services"]]
    assert [page["total"] for page in pages] == [52, 52, 52]
    assert len(set(keys)) == 52


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"q": "x" * 201}, 400),
        ({"ars": "6439"}, 400),
        ({"ars": "064399999999"}, 422),
        ({"ars": "064350014014"}, 422),
        ({"limit": 51}, 400),
        ({"lang": "fr"}, 400),
        ({"query": "x"}, 400),
    ],
)
def test_what_cannot_be_asked_is_refused_with_a_reason(door: Served, asked, status):
    got = door.get(SERVICES, params=asked)
    assert (got.status_code, got.headers["content-type"]) == (status, "application/problem+json")
    if asked.get("ars") == "064350014014":
        assert got.json()["successors"] == ["064150000000"]


def test_who_asks_too_often_waits(stage):
    door = Door(stage, quota=Quota(limit=2))
    answers = [door.anybody.get(f"{SERVICES}?q=Perso") for _ in range(3)]
    assert [each.status for each in answers] == [200, 200, 429]
    assert answers[1].headers["ratelimit-remaining"] == "0"
    assert answers[2].json["type"] == "urn:rathaus-hub:problem:too-many-requests"
    assert int(answers[2].headers["retry-after"]) >= 1


@pytest.fixture(scope="module")
def country():
    """All municipalities of the country and 624 services, each ruled for every district by one of 24 rules."""
    path = SHARED / "regions" / "gemeinden_de_2025-08-31.csv"
    if not path.exists():
        pytest.skip("the municipalities of the whole country are not here (../shared/data)")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    towns = [Place(area=Area(row["ars"]), name=row["name"], kind=AreaKind.MUNICIPALITY) for row in rows]
    districts = {row["ars"][:5]: row["kreis"] for row in rows}
    around = [Place(area=Area(ars), name=name, kind=AreaKind.DISTRICT) for ars, name in districts.items()]
    gazetteer = Gazetteer([*towns, *around])
    shipped = list(ServiceCatalogue.load(RULES))
    services = ServiceCatalogue(
        replace(each, key=f"urn:de:test:{number}:{at}") for number in range(12) for at, each in enumerate(shipped)
    )
    keys = [each.key for each in services]
    rules = [
        Rule(id=f"r{number}-{ars}", area=Area(ars), services=tuple(keys[number::4]), destination=UUID(int=1))
        for ars in districts
        for number in range(4)
    ]
    return gazetteer, services, RoutingTable(rules, gazetteer=gazetteer, services=ServiceRegister.of(services))


def test_searches_of_a_whole_country_take_few_milliseconds(country):
    gazetteer, services, table = country
    assert (len(services), len(gazetteer.municipalities()) > 10_900) == (624, True)
    desk = PublicServices(
        services=lambda: services,
        table=lambda: table,
        gazetteer=lambda: gazetteer,
        destination=lambda _: None,
        catalog=lambda: SchemaCatalog(()),
        quota=Quota(),
        clock=lambda: NOW,
    )
    searches = {
        "services": lambda text: desk.found(text, TAUNUSSTEIN, "de", 0, 20),
        "areas": lambda text: look_up(gazetteer, text),
    }
    words = {
        "services": ["Hund anmelden", "fuehrershcein beantragen", "Perso", "wohnung neue adresse", "x" * 200],
        "areas": [
            "Landkreis Kassel",
            "Frankfurt/M",
            "Bad Homburg vdH",
            "Neustadt",
            "Taunusstein Hessen",
            "en er in an ge",
        ],
    }
    for kind, search in searches.items():
        for text in words[kind]:
            search(text)
            took = []
            for _ in range(5):
                begun = time.process_time()
                search(text)
                took.append(time.process_time() - begun)
            assert median(took) <= 0.2, (kind, text, took)
