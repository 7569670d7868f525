"""What a destination offers is judged before it is kept, and one service changes without the others."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from stage import ANMELDEN, BAUEN, SCHEMAS

from hub.administration.offers import Offers, dropped
from hub.areas import Gazetteer
from hub.errors import HubError, NotFound
from hub.model import OfferedService
from hub.routing import ServiceRegister
from hub.validation.catalog import SchemaCatalog

RULES = Path(__file__).parents[2] / "routing_rules"
XML, JSON = "application/xml", "application/json"
MESSAGE = ("https://schema.rathaus-hub.example/bauantrag/1.0/bauantrag.xsd", XML)
ELSEWHERE = OfferedService(identifier=ANMELDEN, regions=("DE06414",), schemas=(("urn:amt:eigenes", JSON),))


@pytest.fixture(scope="module")
def offers() -> Offers:
    gazetteer = Gazetteer.load(RULES / "areas")
    register = ServiceRegister.load(RULES)
    return Offers(register=register, gazetteer=gazetteer, catalog=SchemaCatalog.load(SCHEMAS), on=date(2026, 11, 20))


@pytest.mark.parametrize(
    ("changed", "slug", "said"),
    [
        ({"service": BAUEN.rpartition(":")[2]}, "service-without-urn", f"Schreiben Sie {BAUEN}"),
        ({"service": BAUEN[:-1] + "9"}, "service-unknown", "Ähnlich:"),
        ({"regions": []}, "region-missing", "DE06439"),
        ({"regions": ["06439"]}, "region-without-de", "Schreiben Sie DE06439"),
        ({"regions": ["DE06499"]}, "area-unknown", "06499"),
        ({"schemas": [("urn:nowhere", None)]}, "schema-unknown", "hub schemas import"),
        ({"schemas": [(MESSAGE[0], JSON)]}, "schema-media-type", f"beschreibt {XML}, nicht {JSON}"),
        ({"service": ANMELDEN}, "schema-of-other-service", ANMELDEN),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)
def test_what_cannot_be_offered_is_refused_by_name_and_says_what_to_do(offers, changed, slug, said):
    wish = {"service": BAUEN, "regions": ["DE06439"], "schemas": [MESSAGE], **changed}
    with pytest.raises(HubError) as refused:
        offers.offer(**wish)
    assert refused.value.slug == slug
    assert said in refused.value.detail.de


def test_a_schema_may_be_named_without_its_media_type_or_not_at_all(offers):
    for schemas in ([MESSAGE], [(MESSAGE[0], None)]):
        assert offers.offer(BAUEN, ["DE06439", "DE"], schemas).schemas == (MESSAGE,)
    unnamed = offers.offer(BAUEN, ["DE06439"], []).schemas
    assert MESSAGE in unnamed
    assert all("/bauantrag/" in uri for uri, _ in unnamed)
    # Also versions that count only for whoever names them.
    wohnsitz = offers.offer(ANMELDEN, ["DE06439"], []).schemas
    assert {uri.split("/")[4] for uri, _ in wohnsitz} == {"1.0", "1.1", "1.2"}


def test_one_service_is_added_changed_and_dropped_without_the_others(offers):
    added = offers.with_one([ELSEWHERE], BAUEN, regions=["DE06439"])
    assert [each.identifier for each in added] == [BAUEN, ANMELDEN]
    assert added[1] is ELSEWHERE
    changed = offers.with_one(added, BAUEN, schemas=[MESSAGE])
    assert changed[0].regions == ("DE06439",)
    wider = offers.with_one(changed, BAUEN, regions=["DE06"])
    assert (wider[0].regions, wider[0].schemas) == (("DE06",), (MESSAGE,))
    assert dropped(changed, BAUEN) == (ELSEWHERE,)
    with pytest.raises(NotFound):
        dropped([ELSEWHERE], BAUEN)


def test_what_stood_there_before_is_not_judged_anew(offers):
    kept = offers.judged([ELSEWHERE], [ELSEWHERE])
    assert kept == [ELSEWHERE]
    with pytest.raises(HubError):
        offers.judged([ELSEWHERE])


def test_each_of_several_services_takes_the_schemas_that_belong_to_it(offers):
    wohnsitz = next(uri for uri in offers.catalog.uris() if "fim-wohnsitz/" in uri)
    shares = offers.split([BAUEN, ANMELDEN], [MESSAGE, (wohnsitz, None)])
    assert shares == {BAUEN: [MESSAGE], ANMELDEN: [(wohnsitz, None)]}
