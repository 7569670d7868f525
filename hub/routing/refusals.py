"""What the table says when it has no answer: the cause, the nearest rules, and what to do next."""

from __future__ import annotations

import heapq
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hub.areas import Area, Gazetteer
from hub.errors import NoRoute, Text
from hub.routing.explain import validity
from hub.routing.rules import Rule, legal_day

if TYPE_CHECKING:
    from hub.routing.table import RoutingTable

_MAX_NEAREST = 5


def no_such_area(table: RoutingTable, area: Area, on: datetime) -> NoRoute:
    """Return the refusal of an area that does not exist on that day, with its successors."""
    place, day = table.gazetteer.find(area), legal_day(on)
    if place is None:
        text = Text(
            f"Das Gebiet {area} steht nicht im Gebietsverzeichnis. Prüfen Sie den Schlüssel in der Gebietssuche.",
            f"Area {area} is not in the gazetteer. Look its key up in the area search.",
        )
        return _refusal(table, text, "unknown-area", area_hints(table.gazetteer, area))
    if place.valid_from is not None and day < place.valid_from:
        text = Text(
            f"{place.name} ({area}) besteht erst seit {place.valid_from:%d.%m.%Y}.",
            f"{place.name} ({area}) exists only since {place.valid_from}.",
        )
        return _refusal(table, text, "unknown-area", [])
    heirs = table.gazetteer.successors(area, day)
    named = ", ".join(f"{heir.name} ({heir.area})" for heir in heirs) or "-"
    text = Text(
        f"{place.name} ({area}) besteht nicht mehr. Nachfolger: {named}. Verwenden Sie dessen Schlüssel.",
        f"{place.name} ({area}) no longer exists. Successor: {named}. Use its key.",
    )
    return _refusal(table, text, "dissolved-area", [], successors=[heir.area.ars for heir in heirs])


def area_hints(gazetteer: Gazetteer, area: Area) -> list[dict[str, Any]]:
    """Return the known areas around an unknown key: the widest part of it that exists."""
    for prefix in area.prefixes()[1:]:
        place = gazetteer.find(prefix)
        if place is not None and place.valid_until is None:
            reason = Text("nächstgrößeres bekanntes Gebiet", "next larger known area")
            return [{"area": prefix, "area_name": place.name, "reason": {"de": reason.de, "en": reason.en}}]
    return []


def unknown_service(table: RoutingTable, area: Area, service: str, on: datetime) -> NoRoute:
    """Return the refusal of a service that neither the register nor a rule knows, with the nearest names."""
    likely = table.services.nearest(service)
    nearest = [hit for urn in likely for hit in _rules_nearby(table, area, urn, on)[:2]]
    names = ", ".join(f"{table.services.name(urn)} ({urn})" for urn in likely) or "-"
    text = Text(
        f"Diese Leistung ist nicht bekannt. Ähnlich sind: {names}. Prüfen Sie den Schlüssel.",
        f"This service is not known. Similar ones: {names}. Check the key.",
    )
    return _refusal(table, text, "unknown-service", nearest)


def undecided(table: RoutingTable, area: Area, service: str, on: datetime, winners: tuple[Rule, ...]) -> NoRoute:
    """Return the refusal of a question with no deciding rule, or with several that contradict each other."""
    where, what = f"{table.gazetteer.name(area)} ({area})", table.services.name(service)
    if winners:
        ids = ", ".join(rule.id for rule in winners)
        reason = Text("widerspricht den anderen", "contradicts the others")
        text = Text(
            f"Für {what} in {where} widersprechen sich Regeln: {ids}. Die Tabelle ist zu berichtigen.",
            f"For {what} in {where} rules contradict each other: {ids}. The table has to be corrected.",
        )
        hits = [_entry(table, rule, service, reason) for rule in winners]
        return _refusal(table, text, "ambiguous", hits)
    text = Text(
        f"Für {what} in {where} ist keine Stelle eingetragen. Prüfen Sie Gebiet und Leistung.",
        f"No authority is entered for {what} in {where}. Check area and service.",
    )
    nearby = _rules_nearby(table, area, service, on)[:3] + _services_nearby(table, area, service, on)
    return _refusal(table, text, "no-rule", nearby)


def _refusal(table: RoutingTable, text: Text, cause: str, nearest: list[dict[str, Any]], **members: Any) -> NoRoute:
    return NoRoute(text, cause=cause, nearest=nearest[:_MAX_NEAREST], tableVersion=table.version, **members)


def _entry(table: RoutingTable, rule: Rule, service: str, reason: Text) -> dict[str, Any]:
    return {
        "rule": rule.id,
        "area": rule.area.ars,
        "area_name": table.gazetteer.name(rule.area),
        "service": service,
        "service_name": table.services.name(service),
        "reason": {"de": reason.de, "en": reason.en},
    }


def _rules_nearby(table: RoutingTable, area: Area, service: str, on: datetime) -> list[dict[str, Any]]:
    """Return the rules of the same service that come closest: other moment, part of the area, then neighbours."""
    closest = heapq.nsmallest(
        _MAX_NEAREST, table.rules_for(service), key=lambda rule: (*_distance(rule, area, on), rule.id)
    )
    return [_entry(table, rule, service, _reason(rule, area, on)) for rule in closest]


def _distance(rule: Rule, area: Area, on: datetime) -> tuple[int, int]:
    if rule.area.covers(area):
        return (0, 0) if not rule.holds(on) else (1, 0)
    if area.covers(rule.area):
        return 2, 0
    return 3, -_shared(rule.area, area)


def _reason(rule: Rule, area: Area, on: datetime) -> Text:
    if rule.area.covers(area):
        return validity(rule) if not rule.holds(on) else Text("gilt für dieses Gebiet", "holds for this area")
    if area.covers(rule.area):
        return Text(
            "gilt für einen Teil dieses Gebiets; geben Sie alle 12 Stellen an",
            "holds for a part of this area; give all 12 digits",
        )
    return _SHARED[_shared(rule.area, area)]


def _shared(one: Area, other: Area) -> int:
    """Return the number of digits of the smallest legal area that holds both; 0 if none does."""
    return next((len(prefix) for prefix in one.prefixes() if other.ars.startswith(prefix)), 0)


_SHARED = {
    9: Text("gleiche Leistung, gleicher Gemeindeverband", "same service, same association"),
    5: Text("gleiche Leistung, gleicher Kreis", "same service, same district"),
    3: Text("gleiche Leistung, gleicher Regierungsbezirk", "same service, same government region"),
    2: Text("gleiche Leistung, gleiches Land", "same service, same state"),
    0: Text("gleiche Leistung, anderes Land", "same service, another state"),
}


def _services_nearby(table: RoutingTable, area: Area, service: str, on: datetime) -> list[dict[str, Any]]:
    """Return the rules for this very area whose service is closest to the one asked for."""
    reason = Text("ähnliche Leistung, für dieses Gebiet geregelt", "similar service, ruled for this area")
    ruled = {urn: found[0] for urn in table.routed_services if len(found := table.find(area, urn, on)) == 1}
    return [_entry(table, ruled[urn], urn, reason) for urn in table.services.akin(service, ruled, 2)]
