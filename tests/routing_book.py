"""A book of routing tables on a small world, and people to work with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hub.administration.routing_tables import RoutingTableVersions, Sources
from hub.areas import Area, AreaKind, Gazetteer, Place
from hub.identity.persons import Person
from hub.model import Role
from hub.model.parties import OfferedService
from hub.model.submission import Service
from hub.routing import DestinationFacts, Rule, ServiceRegister
from hub.store import Store

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HUNDE = "urn:de:fim:leika:leistung:99102013000000"
BAUEN = "urn:de:fim:leika:leistung:99012008001000"
KREIS, STADT = UUID(int=1), UUID(int=2)
SCHEMA = "urn:schema"

EDITOR = Person(name="erika", full_name="Erika Editor", roles=(Role.EDITOR,))
APPROVER = Person(name="anton", full_name="Anton Approver", roles=(Role.APPROVER,))
BOTH = Person(name="berta", full_name="Berta Both", roles=(Role.EDITOR, Role.APPROVER))
VIEWER = Person(name="viktor", full_name="Viktor Viewer", roles=(Role.VIEWER,))
DISTRICT = Person(name="doris", full_name="Doris District", roles=(Role.EDITOR, Role.APPROVER), tenant="06439")

WORLD = Gazetteer(
    Place(area=Area(ars), name=name, kind=kind)
    for ars, name, kind in (
        ("06", "Hessen", AreaKind.STATE),
        ("06439", "Rheingau-Taunus-Kreis", AreaKind.DISTRICT),
        ("064390015015", "Taunusstein", AreaKind.TOWN),
        ("064390008008", "Idstein", AreaKind.TOWN),
        ("064140000000", "Wiesbaden", AreaKind.INDEPENDENT_CITY),
    )
)
SERVICES = ServiceRegister(
    [Service(identifier=BAUEN, name="Baugenehmigung"), Service(identifier=HUNDE, name="Hundesteuer")]
)


def rule(name: str, area: str = "06439", services: Sequence[str] = (BAUEN, HUNDE), to: UUID = KREIS, **more) -> Rule:
    return Rule(id=name, area=Area(area), services=tuple(services), destination=to, **more)


RULES = (rule("kreis"), rule("stadt", "064140000000", to=STADT))


def facts(_: datetime) -> dict[UUID, DestinationFacts]:
    offers = tuple(OfferedService(identifier=s, regions=("DE06",), schemas=((SCHEMA, "x"),)) for s in (BAUEN, HUNDE))
    offer = {"status": "active", "key_valid_until": NOW + timedelta(days=400), "offers": offers}
    return {KREIS: DestinationFacts(name="Kreis", **offer), STADT: DestinationFacts(name="Stadt", **offer)}


def book(store: Store, rules: Sequence[Rule] = RULES) -> RoutingTableVersions:
    """A book whose version 1 is active."""
    sources = Sources(gazetteer=WORLD, services=SERVICES, facts=facts, schemas=lambda: [SCHEMA])
    made = RoutingTableVersions(store=store, sources=sources)
    made.begin(rules, now=NOW)
    return made
