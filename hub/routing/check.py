"""Is a table fit to become active, and what changes from one table to another?

Every finding of a check names its rows and a remedy; errors block, warnings need a word.

1. overlap and contradiction   same area, service and time, twice
2. areas                       unknown, dissolved (with successor)
3. services                    unknown (with the nearest names)
4. destinations                missing, inactive, without valid key, not offering service, region or schema
5. gaps                        municipality x service without an authority; registered services without a rule

Rules that have ended are history and not judged. A difference says which rules change, and for whom the answer becomes
another one, and when.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID

from hub.areas import Area, Gazetteer, Place
from hub.errors import Text
from hub.model import OfferedService, canonical_service
from hub.routing.findings import Code, DestinationFacts, Finding, Severity, summarised, weight
from hub.routing.rules import Rule, ServiceRegister, day_start, legal_day
from hub.routing.table import RoutingTable

#: A key that ends within this time is worth a word.
_KEY_ENDS_SOON = timedelta(days=30)
#: More contradictions than this help nobody.
_MAX_PAIRS = 1_000
_MAX_NAMED = 5
_DAWN = datetime(1, 1, 1, tzinfo=UTC)


def check(
    table: RoutingTable,
    gazetteer: Gazetteer,
    services: ServiceRegister,
    destinations: Mapping[UUID, DestinationFacts],
    *,
    on: datetime,
    known_schemas: Collection[str] | None = None,
) -> list[Finding]:
    """Return all findings about ``table`` at the aware moment ``on``, errors first.

    ``known_schemas`` are the URIs of the hub's schema catalogue; without it offered schemas are not compared.
    """
    rules = [rule for rule in table if rule.valid_until is None or rule.valid_until > on]
    found = itertools.chain(
        _doubles(rules, services),
        _areas(rules, gazetteer, on),
        _services(rules, services),
        _destinations(rules, destinations, on, services, known_schemas),
        _gaps(table, gazetteer, services, on),
    )
    return sorted(found, key=weight)


def _named(values: Iterable[str]) -> str:
    listed = list(values)
    more = f" (+{len(listed) - _MAX_NAMED})" if len(listed) > _MAX_NAMED else ""
    return ", ".join(listed[:_MAX_NAMED]) + more


def _doubles(rules: Sequence[Rule], services: ServiceRegister) -> Iterator[Finding]:
    pairs: dict[tuple[str, str], tuple[Rule, Rule, list[str]]] = {}
    for service, standing in _by_place(rules):
        for one, other in _meeting(standing):
            if len(pairs) >= _MAX_PAIRS:
                break
            pairs.setdefault((one.id, other.id), (one, other, []))[2].append(service)
    for one, other, shared in pairs.values():
        yield _double(one, other, shared, services)


def _by_place(rules: Sequence[Rule]) -> Iterator[tuple[str, list[Rule]]]:
    places: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        for service in rule.services:
            places.setdefault((rule.area.ars, service), []).append(rule)
    for (_, service), standing in places.items():
        if len(standing) > 1:
            yield service, standing


def _meeting(rules: list[Rule]) -> Iterator[tuple[Rule, Rule]]:
    """Yield the pairs that hold at the same time; sorted by start, so that those in sequence cost nothing."""
    ordered = sorted(rules, key=lambda rule: (rule.valid_from or _DAWN, rule.id))
    for at, one in enumerate(ordered):
        for other in ordered[at + 1 :]:
            if not one.meets(other):
                break
            first, second = sorted((one, other), key=lambda rule: rule.id)
            yield first, second


def _double(one: Rule, other: Rule, shared: list[str], services: ServiceRegister) -> Finding:
    what, where = _named(services.name(service) for service in shared), one.area.ars
    same = one.destination == other.destination
    if same:
        text = Text(
            f"{one.id} und {other.id} sagen für {where} dasselbe: {what}.",
            f"{one.id} and {other.id} say the same for {where}: {what}.",
        )
        remedy = Text(
            "Streichen Sie die Leistung in einer der beiden Regeln.", "Remove the service from one of the two rules."
        )
    else:
        text = Text(
            f"{one.id} und {other.id} nennen für {where} zur selben Zeit verschiedene Zustellpunkte: {what}.",
            f"{one.id} and {other.id} name different destinations for {where} at the same time: {what}.",
        )
        remedy = Text(
            "Beenden Sie eine Regel (valid_until), bevor die andere beginnt, oder streichen Sie dort die Leistung.",
            "End one rule (valid_until) before the other begins, or remove the service from it.",
        )
    return Finding(
        severity=Severity.WARNING if same else Severity.ERROR,
        code=Code.OVERLAP if same else Code.CONTRADICTION,
        rows=(one.id, other.id),
        text=text,
        remedy=remedy,
        areas=(where,),
        services=tuple(shared),
    )


def _areas(rules: Sequence[Rule], gazetteer: Gazetteer, on: datetime) -> Iterator[Finding]:
    by_area: dict[str, list[Rule]] = {}
    for rule in rules:
        by_area.setdefault(rule.area.ars, []).append(rule)
    for ars, standing in sorted(by_area.items()):
        place = gazetteer.find(ars)
        if place is None:
            yield _unknown_area(ars, standing, gazetteer)
        elif place.valid_until is not None:
            end = day_start(place.valid_until + timedelta(days=1))
            outliving = [rule for rule in standing if rule.valid_until is None or rule.valid_until > end]
            if outliving:
                yield _dissolved(place, outliving, gazetteer, on)


def _unknown_area(ars: str, rules: list[Rule], gazetteer: Gazetteer) -> Finding:
    known = next((prefix for prefix in rules[0].area.prefixes()[1:] if gazetteer.find(prefix) is not None), "")
    hint = f"{gazetteer.name(known)} ({known})" if known else "-"
    return Finding(
        severity=Severity.ERROR,
        code=Code.UNKNOWN_AREA,
        rows=_ids(rules),
        text=gazetteer.meant(ars) or Text(f"Das Gebiet {ars} gibt es nicht.", f"There is no area {ars}."),
        remedy=Text(
            f"Berichtigen Sie den ARS; das nächstgrößere bekannte Gebiet ist {hint}.",
            f"Correct the ARS; the next larger known area is {hint}.",
        ),
        areas=(ars,),
    )


def _dissolved(place: Place, rules: list[Rule], gazetteer: Gazetteer, on: datetime) -> Finding:
    ars, last = place.area.ars, place.valid_until
    after = last + timedelta(days=1) if last is not None else legal_day(on)
    heirs = gazetteer.successors(ars, max(after, legal_day(on)))
    named = ", ".join(f"{heir.name} ({heir.area})" for heir in heirs) or "-"
    gone = not place.exists(legal_day(on))
    return Finding(
        severity=Severity.ERROR if gone else Severity.WARNING,
        code=Code.DISSOLVED_AREA,
        rows=_ids(rules),
        text=Text(
            f"{place.name} ({ars}) besteht nur bis {last}, die Regel gilt länger. Nachfolger: {named}.",
            f"{place.name} ({ars}) exists until {last} only, the rule holds longer. Successor: {named}.",
        ),
        remedy=Text(
            "Beenden Sie die Regel an diesem Tag und legen Sie eine für den Nachfolger an.",
            "End the rule on that day and make one for the successor.",
        ),
        areas=(ars, *(heir.area.ars for heir in heirs)),
    )


def _services(rules: Sequence[Rule], services: ServiceRegister) -> Iterator[Finding]:
    unknown: dict[str, list[Rule]] = {}
    for rule in rules:
        for service in () if rule.is_catch_all else rule.services:
            if service not in services:
                unknown.setdefault(service, []).append(rule)
    for service, standing in sorted(unknown.items()):
        near = services.nearest(service)
        named = ", ".join(f"{services.name(urn)} ({urn})" for urn in near) or "-"
        yield _unknown(service, standing, near, named)


def _unknown(service: str, standing: Sequence[Rule], near: Sequence[str], named: str) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=Code.UNKNOWN_SERVICE,
        rows=_ids(standing),
        text=Text(
            f"Die Leistung {service} steht nicht im Verzeichnis. Ähnlich: {named}.",
            f"Service {service} is not in the register. Similar: {named}.",
        ),
        remedy=Text(
            "Berichtigen Sie den Schlüssel oder nehmen Sie die Leistung ins Verzeichnis auf.",
            "Correct the key or add the service to the register.",
        ),
        services=(service, *near),
    )


def _destinations(
    rules: Sequence[Rule],
    destinations: Mapping[UUID, DestinationFacts],
    on: datetime,
    services: ServiceRegister,
    known_schemas: Collection[str] | None,
) -> Iterator[Finding]:
    by_destination: dict[UUID, list[Rule]] = {}
    for rule in rules:
        by_destination.setdefault(rule.destination, []).append(rule)
    for destination_id, standing in sorted(by_destination.items()):
        facts = destinations.get(destination_id)
        if facts is None:
            yield _missing(destination_id, standing)
            continue
        yield from _state(facts, standing, on)
        yield from _offers(facts, standing, services, known_schemas)


def _missing(destination_id: UUID, rules: list[Rule]) -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=Code.DESTINATION_MISSING,
        rows=_ids(rules),
        text=Text(f"Den Zustellpunkt {destination_id} gibt es nicht.", f"There is no destination {destination_id}."),
        remedy=Text(
            "Legen Sie den Zustellpunkt an oder berichtigen Sie seine Kennung in den Regeln.",
            "Create the destination or correct its id in the rules.",
        ),
    )


def _state(facts: DestinationFacts, rules: list[Rule], on: datetime) -> Iterator[Finding]:
    name, rows, ends = facts.name, _ids(rules), facts.key_valid_until
    if facts.status != "active":
        text = Text(f"{name} nimmt nichts an ({facts.status}).", f"{name} takes nothing ({facts.status}).")
        remedy = Text("Schalten Sie ihn frei oder ändern Sie die Regeln.", "Activate it or change the rules.")
        yield Finding(severity=Severity.ERROR, code=Code.DESTINATION_INACTIVE, rows=rows, text=text, remedy=remedy)
    renew = Text("Lassen Sie die Behörde einen neuen Schlüssel hinterlegen.", "Have the authority deposit a new key.")
    if ends is None or ends <= on:
        text = Text(f"{name} hat keinen gültigen Schlüssel.", f"{name} has no valid key.")
        yield Finding(severity=Severity.ERROR, code=Code.DESTINATION_KEY, rows=rows, text=text, remedy=renew)
    elif ends - on < _KEY_ENDS_SOON:
        day = legal_day(ends)
        text = Text(f"Der Schlüssel von {name} endet am {day}.", f"The key of {name} ends on {day}.")
        yield Finding(severity=Severity.WARNING, code=Code.KEY_ENDING, rows=rows, text=text, remedy=renew)


def _offers(
    facts: DestinationFacts, rules: list[Rule], services: ServiceRegister, known_schemas: Collection[str] | None
) -> Iterator[Finding]:
    offered: dict[str, list[OfferedService]] = {}
    for offer in facts.offers:
        offered.setdefault(canonical_service(offer.identifier), []).append(offer)
    lacking: dict[Code, dict[str, list[Rule]]] = {}
    for rule in rules:
        for service in () if rule.is_catch_all else rule.services:
            code = _lack(rule, offered.get(service, []), known_schemas)
            if code is not None:
                lacking.setdefault(code, {}).setdefault(service, []).append(rule)
    for code, by_service in sorted(lacking.items()):
        yield _not_offered(facts, code, by_service, services)


def _lack(rule: Rule, offers: list[OfferedService], known_schemas: Collection[str] | None) -> Code | None:
    """Return what is missing for one service of a rule; None if nothing is."""
    if not offers:
        return Code.SERVICE_NOT_OFFERED
    fitting = [offer for offer in offers if any(rule.area.as_region().startswith(region) for region in offer.regions)]
    if not fitting:
        return Code.REGION_NOT_OFFERED
    uris = {uri for offer in fitting for uri, _ in offer.schemas}
    if not uris or (known_schemas is not None and uris.isdisjoint(known_schemas)):
        return Code.SCHEMA_NOT_OFFERED
    return None


_LACKS: Mapping[Code, Text] = {
    Code.SERVICE_NOT_OFFERED: Text("bietet diese Leistungen nicht an", "does not offer these services"),
    Code.REGION_NOT_OFFERED: Text(
        "bietet diese Leistungen nicht für das ganze Gebiet der Regel an",
        "does not offer these services for the rule's whole area",
    ),
    Code.SCHEMA_NOT_OFFERED: Text(
        "bietet diese Leistungen ohne ein bekanntes Schema an", "offers these services without a known schema"
    ),
}


def _not_offered(
    facts: DestinationFacts, code: Code, by_service: Mapping[str, list[Rule]], services: ServiceRegister
) -> Finding:
    lack, what = _LACKS[code], _named(services.name(service) for service in sorted(by_service))
    return Finding(
        # Without a schema the sealed door still delivers; the plain door has nothing to validate by.
        severity=Severity.WARNING if code is Code.SCHEMA_NOT_OFFERED else Severity.ERROR,
        code=code,
        rows=_ids(rule for standing in by_service.values() for rule in standing),
        text=Text(f"{facts.name} {lack.de}: {what}.", f"{facts.name} {lack.en}: {what}."),
        remedy=Text(
            "Ergänzen Sie Leistung, Gebiet und Schema am Zustellpunkt oder ändern Sie die Regeln.",
            "Add service, region and schema to the destination or change the rules.",
        ),
        services=tuple(sorted(by_service)),
    )


def _gaps(table: RoutingTable, gazetteer: Gazetteer, services: ServiceRegister, on: datetime) -> Iterator[Finding]:
    towns = [place.area for place in gazetteer.municipalities(on=legal_day(on))]
    everything = [area.ars for area in towns]
    for service in table.routed_services:
        missing = [area.ars for area in towns if not table.find(area, service, on)]
        if missing:
            yield _gap(service, missing, summarised(missing, everything), services)
    unruled = tuple(service for service in services if service not in set(table.routed_services))
    if unruled:
        what = _named(services.name(service) for service in unruled)
        yield Finding(
            severity=Severity.WARNING,
            code=Code.UNRULED,
            rows=(),
            text=Text(
                f"Für {len(unruled)} Leistungen des Verzeichnisses gibt es keine Regel: {what}.",
                f"{len(unruled)} services of the register have no rule: {what}.",
            ),
            remedy=Text("Legen Sie Regeln an, wo die Leistung angeboten wird.", "Make rules where they are offered."),
            services=unruled,
        )


def _gap(service: str, missing: list[str], prefixes: tuple[str, ...], services: ServiceRegister) -> Finding:
    name = services.name(service)
    return Finding(
        severity=Severity.WARNING,
        code=Code.GAP,
        rows=(),
        text=Text(
            f"{name}: {len(missing)} Gemeinden haben keine zuständige Stelle ({_named(prefixes)}).",
            f"{name}: {len(missing)} municipalities have no responsible authority ({_named(prefixes)}).",
        ),
        remedy=Text(
            "Legen Sie Regeln für diese Gebiete an, wenn die Leistung dort angeboten wird.",
            "Make rules for these areas where the service is offered.",
        ),
        areas=prefixes,
        services=(service,),
    )


def _ids(rules: Iterable[Rule]) -> tuple[str, ...]:
    return tuple(sorted({rule.id for rule in rules}))


#: So many future moments at which a changed rule begins or ends are looked at.
_MAX_MOMENTS = 24
_MAX_SHOWN = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleChange:
    """A rule added (no ``before``), removed (no ``after``) or changed."""

    before: Rule | None
    after: Rule | None

    @property
    def id(self) -> str:
        """The rule's id."""
        rule = self.after or self.before
        return rule.id if rule is not None else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class RouteChange:
    """From ``since`` on the services of an area are another destination's business.

    ``before`` and ``after`` are the destinations: none means no route, several a contradiction.
    """

    area: Area
    services: tuple[str, ...]
    before: tuple[UUID, ...]
    after: tuple[UUID, ...]
    since: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Diff:
    """All changes between two tables, as seen at a moment and at the later moments that matter."""

    old_version: str
    new_version: str
    rules: tuple[RuleChange, ...]
    routes: tuple[RouteChange, ...]
    municipalities: tuple[str, ...]

    @property
    def count(self) -> int:
        """The number of changed rules and changed answers (area x service)."""
        return len(self.rules) + sum(len(change.services) for change in self.routes)

    def __bool__(self) -> bool:
        return self.count > 0

    def lines(self, language: Literal["de", "en"] = "de", names: Mapping[UUID, str] | None = None) -> list[str]:
        """Return the changes as lines to print; ``names`` are the destinations' names."""
        return [getattr(text, language) for text in self._texts(names or {})]

    def _texts(self, names: Mapping[UUID, str]) -> Iterator[Text]:
        if not self:
            yield Text("0 Änderungen (0 changes)", "0 changes")
            return
        answers = self.count - len(self.rules)
        yield Text(
            f"{len(self.rules)} geänderte Regeln, {answers} geänderte Zuständigkeiten",
            f"{len(self.rules)} changed rules, {answers} changed routes",
        )
        for change in self.rules:
            yield _rule_text(change)
        for (since, before, after, services), areas in _alike(self.routes).items():
            yield self._route_text(since, f"{_who(before, names)} -> {_who(after, names)}", services, areas)

    def _route_text(self, since: datetime, change: str, services: tuple[str, ...], areas: list[str]) -> Text:
        where = _some(summarised(areas, self.municipalities))
        day = legal_day(since)
        return Text(
            f"  ab {day}: {len(areas)} Gemeinden ({where}) x {len(services)} Leistungen: {change}",
            f"  from {day}: {len(areas)} municipalities ({where}) x {len(services)} services: {change}",
        )


def diff(old: RoutingTable, new: RoutingTable, gazetteer: Gazetteer, *, on: datetime) -> Diff:
    """Compare two tables over rules and over all municipalities x services, from the aware moment ``on``."""
    changes = tuple(_rule_changes(old, new))
    changed = [rule for change in changes for rule in (change.before, change.after) if rule is not None]
    services = sorted({service for rule in changed for service in rule.services})
    routes: list[RouteChange] = []
    last: dict[tuple[str, str], tuple[tuple[UUID, ...], tuple[UUID, ...]]] = {}
    for moment in _moments(changed, on):
        for place in _touched(gazetteer.municipalities(on=legal_day(moment)), changed):
            differing = dict(_differing(old, new, place.area, services, moment))
            fresh = {s: pair for s, pair in differing.items() if last.get((place.area.ars, s)) != pair}
            routes += _route_changes(place.area, fresh, moment)
            for service in services:
                last[place.area.ars, service] = differing.get(service, ((), ()))
    return Diff(
        old_version=old.version,
        new_version=new.version,
        rules=changes,
        routes=tuple(routes),
        municipalities=tuple(place.area.ars for place in gazetteer.municipalities()),
    )


def _rule_changes(old: RoutingTable, new: RoutingTable) -> Iterator[RuleChange]:
    before, after = {rule.id: rule for rule in old}, {rule.id: rule for rule in new}
    for rule_id in sorted(before.keys() | after.keys()):
        one, other = before.get(rule_id), after.get(rule_id)
        if one != other:
            yield RuleChange(before=one, after=other)


def _moments(changed: Sequence[Rule], on: datetime) -> list[datetime]:
    edges = {edge for rule in changed for edge in (rule.valid_from, rule.valid_until) if edge is not None and edge > on}
    return [on, *sorted(edges)[:_MAX_MOMENTS]] if changed else []


def _touched(places: Iterable[Place], changed: Sequence[Rule]) -> list[Place]:
    prefixes = {rule.area.ars for rule in changed}
    return [place for place in places if not prefixes.isdisjoint(place.area.prefixes())]


def _differing(
    old: RoutingTable, new: RoutingTable, area: Area, services: Sequence[str], on: datetime
) -> Iterator[tuple[str, tuple[tuple[UUID, ...], tuple[UUID, ...]]]]:
    for service in services:
        before, after = (tuple(rule.destination for rule in table.find(area, service, on)) for table in (old, new))
        if set(before) != set(after):
            yield service, (tuple(sorted(before)), tuple(sorted(after)))


def _route_changes(
    area: Area, fresh: Mapping[str, tuple[tuple[UUID, ...], tuple[UUID, ...]]], since: datetime
) -> Iterator[RouteChange]:
    by_pair: dict[tuple[tuple[UUID, ...], tuple[UUID, ...]], list[str]] = {}
    for service, pair in fresh.items():
        by_pair.setdefault(pair, []).append(service)
    for (before, after), services in by_pair.items():
        yield RouteChange(area=area, services=tuple(services), before=before, after=after, since=since)


def _rule_text(change: RuleChange) -> Text:
    if change.before is None:
        return Text(f"  + {change.id}", f"  + {change.id}")
    if change.after is None:
        return Text(f"  - {change.id}", f"  - {change.id}")
    old, new = change.before.as_row(), change.after.as_row()
    fields = ", ".join(key for key in old if old[key] != new[key])
    return Text(f"  ~ {change.id}: {fields}", f"  ~ {change.id}: {fields}")


_Alike = tuple[datetime, tuple[UUID, ...], tuple[UUID, ...], tuple[str, ...]]


def _alike(routes: Iterable[RouteChange]) -> dict[_Alike, list[str]]:
    groups: dict[_Alike, list[str]] = {}
    for change in routes:
        groups.setdefault((change.since, change.before, change.after, change.services), []).append(change.area.ars)
    return groups


def _who(destinations: tuple[UUID, ...], names: Mapping[UUID, str]) -> str:
    return " | ".join(names.get(one, str(one)) for one in destinations) or "-"


def _some(values: Sequence[str]) -> str:
    more = ", …" if len(values) > _MAX_SHOWN else ""
    return ", ".join(values[:_MAX_SHOWN]) + more
