"""Authorities for the whole state, invented from the list of areas: each service has one wherever the law gives it to somebody.

Their names say that they are the demo's, and all of them share one pair of keys, which a real authority never would. The
five destinations of the showing stay who they are, and are given the services that they lack.
"""

from __future__ import annotations

import json
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID, uuid5

from hub.app import Context
from hub.areas import AreaKind, Gazetteer, Place
from hub.demo.cast import SHARED_KEYS, Cast, key_pairs, new_destination, offered, roles, write_private
from hub.identity import Person
from hub.model import LEIKA_PREFIX, Role
from hub.routing import PlannedDestination, Rule, legal_day
from hub.services import PublicService, Responsible
from hub.store import AuditEntry

#: Ids follow from the areas, so that they are the same wherever the demo runs.
_IDS = UUID("5f1a6b0e-3a3f-4b8e-9a75-0600000421de")
#: Every offer of theirs is looked up for the state, then narrowed.
_STATE = "06"
#: Towns of districts with more inhabitants have a special status (HGO § 4a). Who they are follows from the area list; what they
#: do in their district's place is in none of the sources that this repository names. That they are the lower building and
#: monument authority (HBO § 60, HDSchG § 5) is assumed, and said with each rule; whatever else is their district's is left
#: there.
_SPECIAL_STATUS = 50_000
#: By the group of a LeiKa key: building, monuments.
_THEIR_OWN = frozenset({"99012", "99033"})
_MARK = "Vorführung / demo"
_SUBJECT = "Behörden der Vorführung, gemeinsamer Schlüssel"
_WHY = "Erzeugt für die Vorführung / generated for the demo"
_ASSUMED = f"{_WHY}; Annahme: Stadt mit Sonderstatus / assumed: town of special status (HGO § 4a)"
_EDITOR = Person(name="demo-anna", full_name="demo-anna", roles=(Role.EDITOR,))
_APPROVER = Person(name="demo-ben", full_name="demo-ben", roles=(Role.APPROVER,))


@dataclass(frozen=True, kw_only=True, slots=True)
class Authority:
    """Who does ``services`` (URNs, in order) in an area; ``assumed`` are those that no source says it of."""

    place: Place
    services: tuple[str, ...]
    assumed: frozenset[str] = frozenset()


def authorities(services: Sequence[PublicService], gazetteer: Gazetteer, on: date) -> list[Authority]:
    """Return who does which services on a day, by area: the narrowest kind of authority that each service names."""
    found: dict[str, list[str]] = defaultdict(list)
    assumed: dict[str, set[str]] = defaultdict(set)
    for service in services:
        for place in _responsible(service.responsible, gazetteer, on):
            found[place.area.ars].append(service.key)
        if Responsible.DISTRICT in service.responsible and service.key.removeprefix(LEIKA_PREFIX)[:5] in _THEIR_OWN:
            for place in _of_special_status(gazetteer, on):
                found[place.area.ars].append(service.key)
                assumed[place.area.ars].add(service.key)
    places = {place.area.ars: place for place in gazetteer}
    return [
        Authority(place=places[ars], services=tuple(sorted(found[ars])), assumed=frozenset(assumed[ars]))
        for ars in sorted(found)
    ]


def _responsible(kinds: Sequence[Responsible], gazetteer: Gazetteer, on: date) -> Iterator[Place]:
    municipalities = gazetteer.municipalities(on=on)
    if Responsible.MUNICIPALITY in kinds:
        yield from municipalities
        return
    if Responsible.INDEPENDENT_CITY in kinds:
        yield from (place for place in municipalities if place.kind is AreaKind.INDEPENDENT_CITY)
    if Responsible.DISTRICT in kinds:
        yield from (place for place in gazetteer.districts(on=on) if place.kind is AreaKind.DISTRICT)
    if Responsible.STATE in kinds:
        yield from (place for place in gazetteer if place.kind is AreaKind.STATE and place.exists(on))


def _of_special_status(gazetteer: Gazetteer, on: date) -> Iterator[Place]:
    towns = (place for place in gazetteer.municipalities(on=on) if place.kind is AreaKind.TOWN)
    return (place for place in towns if (place.inhabitants or 0) > _SPECIAL_STATUS)


def settle(hub: Context, cast: Cast, *, say: Callable[[str], None]) -> Cast:
    """Make the destinations that are missing, in one commit, and rules that lead to them; return the cast with them.

    Rules are added to the table that the hub began with and to no other: whoever made one of their own shall keep it.
    """
    if hub.settings.routing_rules:
        return cast
    known = {role.ars: role.destination_id for role in roles()}
    planned = authorities(list(hub.services()), hub.gazetteer, legal_day(hub.clock()))
    invented = [_planned(each) for each in planned if each.place.area.ars not in known]
    if "authorities" not in cast.document:
        say(f"  {len(invented)} Behörden / authorities …")
        _make(hub, cast, invented)
        areas = ((each.place.area.ars, each.services) for each in planned)
        _complete(hub, {known[ars]: services for ars, services in areas if ars in known})
        cast = cast.extended(authorities=[str(role.destination_id) for role in invented])
    if hub.book.base(hub.clock()) == 1:
        _extend(hub, planned, known | {role.ars: role.destination_id for role in invented})
    return cast


def _planned(authority: Authority) -> PlannedDestination:
    place = authority.place
    name, body = _titles(place)
    return PlannedDestination(
        destination_id=uuid5(_IDS, place.area.ars),
        name=f"{name} ({_MARK})",
        area=place.area,
        services=authority.services,
        schema_uris=(),
        adapter="mailbox",
        contact={
            "legalName": f"{name}, {body} ({_MARK})",
            "address": f"Musterstraße 1, {place.name.partition(',')[0]}",
            "phone": "+49 30 23125 000",
            "email": f"demo-{place.area.ars}@example.org",
        },
    )


def plant(hub: Context, cast: Cast) -> None:
    """Make the tree of Hessen's tenants, and people who see a part of it, where there is none yet."""
    now = hub.clock()
    machine = Person(name="demo", full_name="demo", roles=(Role.OPERATOR,), is_named=False)
    if hub.settings.routing_rules or not hub.tenant_service.import_land(machine, _LAND, now=now):
        return
    people = json.loads((cast.folder / "accounts.json").read_text(encoding="utf-8"))
    for name, (ars, trusted) in _PEOPLE.items():
        people[name] = secrets.token_urlsafe(12)
        hub.accounts.add(name, people[name], roles=trusted, tenant=ars, actor="demo", now=now)
    hub.tenant_service.grant(machine, account="demo-clara", role="editor", tenant_id=f"ars-{_DISTRICT}", now=now)
    write_private(cast.folder / "accounts.json", people)


_LAND, _DISTRICT = "06", "06439"
#: Who sees a part alone: a district's operator, and somebody in one of its towns, who may also edit in the whole district.
_PEOPLE = {
    "demo-kreis": (_DISTRICT, (Role.OPERATOR, Role.APPROVER)),
    "demo-clara": ("064390015015", (Role.VIEWER,)),
}


def _titles(place: Place) -> tuple[str, str]:
    """Return what an authority is called, and the body that speaks for it (HGO § 9, HKO § 8)."""
    proper = place.name.partition(",")[0]
    if place.kind is AreaKind.DISTRICT:
        return proper if proper.lower().endswith("kreis") else f"Landkreis {proper}", "Der Kreisausschuss"
    if place.kind is AreaKind.STATE:
        return f"Land {proper}", "Landesverwaltung"
    if place.kind is AreaKind.MUNICIPALITY:
        return f"Gemeinde {proper}", "Der Gemeindevorstand"
    return f"Stadt {proper}", "Der Magistrat"


def _make(hub: Context, cast: Cast, planned: Sequence[PlannedDestination]) -> None:
    """Store all of them in one commit; what a service takes is looked up once, not for each area."""
    now, owner = hub.clock(), cast.document["subscriber"]["client_id"]
    pairs = key_pairs(hub, cast.folder, SHARED_KEYS, subject=_SUBJECT, now=now)
    services = {service for role in planned for service in role.services}
    general = {service: offered(hub, _STATE, service) for service in services}
    made = []
    for role in planned:
        offers = [replace(general[service], regions=(role.area.as_region(),)) for service in role.services]
        made.append(new_destination(role, offers, pairs, owner=owner, now=now))
    audit = AuditEntry(at=now, actor="demo", action="demo.authorities", target="hub", after={"destinations": len(made)})
    hub.store.parties.add_destinations(made, audit=audit)


def _complete(hub: Context, services: Mapping[UUID, tuple[str, ...]]) -> None:
    """Give the destinations of the showing what they lack of the services that are theirs."""
    for destination_id, wanted in services.items():
        stored = hub.store.parties.destination(destination_id)
        if stored is None:
            continue
        there = {each.identifier for each in stored.services}
        more = [offered(hub, stored.tenant, service) for service in wanted if service not in there]
        completed = replace(stored, services=(*stored.services, *more), updated_at=hub.clock())
        hub.store.parties.replace_destination(completed)


def _extend(hub: Context, planned: Sequence[Authority], destinations: Mapping[str, UUID]) -> None:
    """Bring a table into force that has an answer everywhere, by the two people of the demo as anybody has to."""
    now, table = hub.clock(), hub.table()
    rules = [*table, *_lacking(table, planned, destinations)]
    draft = hub.book.draft(_EDITOR, title="Ganz Hessen, erzeugt / all of Hesse, generated", rules=rules, now=now)
    hub.book.approve(draft.number, _APPROVER, revision=draft.revision, now=now, text=_WHY)
    hub.book.activate(draft.number, _APPROVER, now=now, text=_WHY)


def _lacking(table: Iterable[Rule], planned: Sequence[Authority], destinations: Mapping[str, UUID]) -> Iterator[Rule]:
    ruled: dict[str, set[str]] = defaultdict(set)
    for rule in table:
        ruled[rule.area.ars].update(rule.services)
    for each in planned:
        ars = each.place.area.ars
        for suffix, wanted, note in (
            ("", frozenset(each.services) - each.assumed, _WHY),
            ("-annahme", each.assumed, _ASSUMED),
        ):
            services = tuple(service for service in each.services if service in wanted and service not in ruled[ars])
            if services:
                yield Rule(
                    id=f"demo-{ars}{suffix}",
                    area=each.place.area,
                    services=services,
                    destination=destinations[ars],
                    note=note,
                )


__all__ = ["Authority", "authorities", "settle"]
