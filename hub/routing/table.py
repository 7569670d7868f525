"""The routing table: area x service -> the responsible destination, at any moment. Immutable.

The longest ARS prefix wins among the rules that hold at that moment. No rule, or two destinations at the same prefix,
is a refusal; there is no default route.

All that does not depend on the question is settled when a table is made. Areas that the rules cannot tell apart form one
region (all municipalities of a district, where only districts have rules), and services that are ruled alike share a row
with the answer for each region. So a look-up is two dict gets and an index, and makes no object.

Why this authority: every prefix tried, every rule considered, and why it was taken or passed over.

What the table says when it has no answer: the cause, the nearest rules, and what to do next.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from hub.areas import Area, Gazetteer, Place
from hub.errors import ConfigurationError, NoRoute, Text
from hub.model import canonical_service
from hub.routing.explanation import Considered, Explanation, Tried, reasons, validity
from hub.routing.formats import read_folder
from hub.routing.rules import OnInvalid, Rule, RuleAccess, ServiceRegister, legal_day


def explain(table: RoutingTable, area: Area, service: str, on: datetime) -> Explanation:
    """Explain what ``table`` answers for area and service at the aware moment ``on``."""
    refused = _refusal_of(table, area, service, on)
    tried, winners = _tried(table, area, service, on)
    # Who may not apply is told who is responsible all the same.
    decides = refused is None or refused.members.get("cause") in {"closed", "by-invitation"}
    return Explanation(
        area=area,
        area_name=table.gazetteer.name(area),
        service=service,
        service_name=table.services.name(service),
        on=on,
        table_version=table.version,
        tried=tried,
        rule=winners[0] if winners and refused is None else None,
        refusal=None if refused is None else refused.detail,
        deciding=winners[0] if winners and decides else None,
    )


def _refusal_of(table: RoutingTable, area: Area, service: str, on: datetime) -> NoRoute | None:
    try:
        table.route(area, service, on)
    except NoRoute as exc:
        return exc
    return None


def _tried(table: RoutingTable, area: Area, service: str, on: datetime) -> tuple[tuple[Tried, ...], tuple[Rule, ...]]:
    tried: list[Tried] = []
    winners: tuple[Rule, ...] = ()
    for prefix in table.gazetteer.same_as(area).prefixes():
        rules = table.rules_at(prefix, service)
        decided = bool(winners)
        if not decided:
            winners = tuple(rule for rule in rules if rule.holds(on))
        split = len({rule.destination for rule in winners}) > 1
        considered = tuple(_judged(rule, on, winners, decided=decided, split=split) for rule in rules)
        tried.append(Tried(prefix=prefix, name=table.gazetteer.name(prefix), considered=considered))
    if winners or not table.catch_alls:
        return tuple(tried), winners
    caught = table.catch_all(area, on) if service in table.services or service in table.routed_services else ()
    return tuple(_with_catch_alls(table, each, on, caught) for each in tried), caught


def _with_catch_alls(table: RoutingTable, tried: Tried, on: datetime, winners: tuple[Rule, ...]) -> Tried:
    """Return what was tried at a prefix together with its catch-alls, which come after all rules."""
    split = len({rule.destination for rule in winners}) > 1
    taken = Text(
        "Genommen als Auffangstelle: Für diese Leistung gilt hier keine Regel.",
        "Taken as the catch-all: no rule holds for this service here.",
    )
    considered = [
        replace(found, why=taken) if found.taken else found
        for rule in table.catch_alls_at(tried.prefix)
        for found in [_judged(rule, on, winners, decided=bool(winners) and rule not in winners, split=split)]
    ]
    return replace(tried, considered=(*tried.considered, *considered))


def _judged(rule: Rule, on: datetime, winners: tuple[Rule, ...], *, decided: bool, split: bool) -> Considered:
    if decided:
        why = Text("Übergangen: ein engeres Gebiet hat entschieden.", "Passed over: a narrower area has decided.")
    elif not rule.holds(on):
        when = validity(rule)
        why = Text(f"Übergangen: gilt an diesem Tag nicht. {when.de}", f"Passed over: not valid then. {when.en}")
    elif split:
        why = Text(
            "Widerspruch: eine andere Regel nennt hier einen anderen Zustellpunkt.",
            "Contradiction: another rule names another destination here.",
        )
    elif rule is not winners[0]:
        why = Text("Doppelt: nennt denselben Zustellpunkt.", "Double: names the same destination.")
    else:
        why = Text(
            f"Genommen: das engste Gebiet mit gültiger Regel. {validity(rule).de}",
            f"Taken: the narrowest area with a valid rule. {validity(rule).en}",
        )
        return Considered(rule=rule, taken=True, why=why)
    return Considered(rule=rule, taken=False, why=why)


def _not_admitted(table: RoutingTable, area: Area, service: str, route: Route) -> NoRoute:
    """Return the refusal of a service that somebody is responsible for, and nobody may apply for online, or not this sender."""
    name, where = table.services.name(service), table.gazetteer.name(area)
    if route.rule.access is RuleAccess.CLOSED:
        text = Text(
            f"{name} ist in {where} noch nicht online möglich; die zuständige Stelle nimmt den Antrag auf anderem Weg an.",
            f"{name} is not possible online in {where} yet; the responsible authority takes applications another way.",
        )
        cause = "closed"
    else:
        text = Text(
            f"{name} wird in {where} erprobt, nur auf Einladung. Fragen Sie die zuständige Stelle, wenn Sie teilnehmen wollen.",
            f"{name} is being tried in {where}, by invitation only. Ask the responsible authority if you want to take part.",
        )
        cause = "by-invitation"
    return _refusal(table, text, cause, [], destinationId=str(route.destination_id))


_MAX_NEAREST = 5


def no_such_area(table: RoutingTable, area: Area, on: datetime) -> NoRoute:
    """Return the refusal of an area that does not exist on that day, with its successors."""
    place, day = table.gazetteer.find(area), legal_day(on)
    if place is None:
        return _unknown_area(table, area)
    if place.valid_from is not None and day < place.valid_from:
        text = Text(
            f"{place.name} ({area}) besteht erst seit {place.valid_from:%d.%m.%Y}.",
            f"{place.name} ({area}) exists only since {place.valid_from}.",
        )
        return _refusal(table, text, "unknown-area", [])
    return _dissolved(table, place, day)


def _dissolved(table: RoutingTable, place: Place, day: date) -> NoRoute:
    area = place.area
    heirs = table.gazetteer.successors(area, day)
    named = ", ".join(f"{heir.name} ({heir.area})" for heir in heirs)
    way = (
        (f"Nachfolger: {named}. Verwenden Sie dessen Schlüssel.", f"Successor: {named}. Use its key.")
        if heirs
        else ("Einen Nachfolger nennt das Verzeichnis nicht.", "The gazetteer names no successor.")
    )
    text = Text(
        f"{place.name} ({area}) besteht nicht mehr. {way[0]}", f"{place.name} ({area}) no longer exists. {way[1]}"
    )
    return _refusal(table, text, "dissolved-area", [], successors=[heir.area.ars for heir in heirs])


def _unknown_area(table: RoutingTable, area: Area) -> NoRoute:
    text = table.gazetteer.meant(area.ars) or Text(
        f"Das Gebiet {area} steht nicht im Gebietsverzeichnis. Prüfen Sie den Schlüssel in der Gebietssuche.",
        f"Area {area} is not in the gazetteer. Look its key up in the area search.",
    )
    return _refusal(table, text, "unknown-area", area_hints(table.gazetteer, area))


def area_hints(gazetteer: Gazetteer, area: Area) -> list[dict[str, Any]]:
    """Return the known areas around an unknown key: the widest part of it that exists."""
    for prefix in area.prefixes()[1:]:
        place = gazetteer.find(prefix)
        if place is not None and place.valid_until is None:
            reason = Text("nächstgrößeres bekanntes Gebiet", "next larger known area")
            named = {"areaName": place.name, "area_name": place.name}
            return [{"area": prefix, **named, "reason": {"de": reason.de, "en": reason.en}}]
    return []


def unknown_service(table: RoutingTable, area: Area, service: str, on: datetime) -> NoRoute:
    """Return the refusal of a service that neither the register nor a rule knows, with the nearest names."""
    likely = table.services.nearest(service)
    nearest = [hit for urn in likely for hit in _rules_nearby(table, area, urn, on)[:2]]
    names = ", ".join(f"{table.services.name(urn)} ({urn})" for urn in likely)
    like = (f" Ähnlich sind: {names}.", f" Similar ones: {names}.") if names else ("", "")
    text = Text(
        f"Diese Leistung ist nicht bekannt.{like[0]} Prüfen Sie den Schlüssel.",
        f"This service is not known.{like[1]} Check the key.",
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
        hits = [_near(table, rule, service, reason) for rule in winners]
        return _refusal(table, text, "ambiguous", hits)
    text = Text(
        f"Für {what} in {where} ist keine Stelle eingetragen. Prüfen Sie Gebiet und Leistung.",
        f"No authority is entered for {what} in {where}. Check area and service.",
    )
    nearby = _rules_nearby(table, area, service, on)[:3] + _services_nearby(table, area, service, on)
    return _refusal(table, text, "no-rule", nearby)


def _refusal(table: RoutingTable, text: Text, cause: str, nearest: list[dict[str, Any]], **members: Any) -> NoRoute:
    return NoRoute(text, cause=cause, nearest=nearest[:_MAX_NEAREST], tableVersion=table.version, **members)


def _near(table: RoutingTable, rule: Rule, service: str, reason: Text) -> dict[str, Any]:
    area_name, service_name = table.gazetteer.name(rule.area), table.services.name(service)
    return {
        "rule": rule.id,
        "area": rule.area.ars,
        "areaName": area_name,
        "service": service,
        "serviceName": service_name,
        # As they were called before; clients may read them.
        "area_name": area_name,
        "service_name": service_name,
        "reason": {"de": reason.de, "en": reason.en},
    }


def _rules_nearby(table: RoutingTable, area: Area, service: str, on: datetime) -> list[dict[str, Any]]:
    """Return the rules of the same service that come closest: other moment, part of the area, then neighbours."""
    area = table.gazetteer.same_as(area)
    closest = heapq.nsmallest(
        _MAX_NEAREST, table.rules_for(service), key=lambda rule: (*_distance(rule, area, on), rule.id)
    )
    return [_near(table, rule, service, _reason(rule, area, on)) for rule in closest]


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
    return [_near(table, ruled[urn], urn, reason) for urn in table.services.akin(service, ruled, 2)]


_DAWN = datetime.min.replace(tzinfo=UTC)


class Route(NamedTuple):
    """The answer of the table: which rule decides, hence which destination. One for each rule, whatever was asked."""

    rule: Rule
    table: RoutingTable
    #: Whether everybody may apply there.
    is_open: bool

    @property
    def destination_id(self) -> UUID:
        """The responsible destination."""
        return self.rule.destination

    @property
    def table_version(self) -> str:
        """The version of the table that decided."""
        return self.table.version

    def why(self, area: Area) -> tuple[Text, ...]:
        """Return the reasons in words, for the area that was asked for."""
        return reasons(self.rule, area, self.table.gazetteer)

    def __repr__(self) -> str:
        return f"Route({self.destination_id} by {self.rule.id})"


_Answer = Route | tuple[Rule, ...] | None


class _Sequence:
    """What holds somewhere where it depends on the moment.

    Before, between and after ``edges`` one of ``answers`` holds: a route, rules that contradict each other, or None for
    no rule, so that a wider area decides.
    """

    __slots__ = ("answers", "edges")

    def __init__(self, edges: Iterable[datetime], at: Callable[[datetime], _Answer]) -> None:
        self.edges = sorted(set(edges))
        self.answers = [at(on) for on in (_DAWN, *self.edges)]

    def at(self, on: datetime) -> _Answer:
        """Return what holds at the moment ``on``."""
        return self.answers[bisect_right(self.edges, on)]


_Entry = Route | _Sequence


class _Group:
    """The rules of services that are ruled alike.

    ``standing`` are the rules by prefix, ``entries`` say what they come to there, and ``row`` what holds in each region.
    """

    __slots__ = ("entries", "row", "standing")

    def __init__(self, rules: Iterable[Rule], routes: dict[str, Route], regions: Iterable[tuple[str, ...]]) -> None:
        self.standing: dict[str, tuple[Rule, ...]] = {}
        for rule in rules:
            self.standing[rule.area.ars] = (*self.standing.get(rule.area.ars, ()), rule)
        self.entries = {prefix: _entry(found, routes) for prefix, found in self.standing.items()}
        self.row = [self._over(prefixes) for prefixes in regions]

    def _over(self, prefixes: tuple[str, ...]) -> _Entry | None:
        """Return what the prefixes come to together, the narrowest area first."""
        found = [entry for entry in map(self.entries.get, prefixes) if entry is not None]
        if not found or isinstance(found[0], Route):
            return found[0] if found else None
        edges = (edge for entry in found if isinstance(entry, _Sequence) for edge in entry.edges)
        return _Sequence(edges, lambda on: _first(found, on))


class RoutingTable:
    """An immutable set of rules with its look-up. Two tables are equal if their versions are.

    ``version`` is the SHA-256 (hex) of the rules' content, whatever their order or file format.
    """

    def __init__(self, rules: Iterable[Rule], *, gazetteer: Gazetteer, services: ServiceRegister) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.id))
        self.gazetteer = gazetteer
        self.services = services
        self.version = _version(self.rules)
        #: Rules that take what no other one does; there is none unless somebody says so.
        self.catch_alls = tuple(rule for rule in self.rules if rule.is_catch_all)
        self._routes = {rule.id: Route(rule, self, rule.access is RuleAccess.OPEN) for rule in self.rules}
        self._regions, distinct = _regions(gazetteer, self.rules)
        self._groups = self._grouped(distinct)
        self._rows = {service: group.row for service, group in self._groups.items()}

    @classmethod
    def load(cls, folder: Path, gazetteer: Gazetteer, *, empty: bool = False) -> RoutingTable:
        """Read the services and every ``rules*.yaml`` of ``folder`` and its direct subfolders; ``empty``: no rules.

        Raises :class:`ConfigurationError` naming file and line.
        """
        register = ServiceRegister.load(folder)
        return cls(() if empty else read_folder(folder), gazetteer=gazetteer, services=register)

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RoutingTable) and other.version == self.version

    def __hash__(self) -> int:
        return hash(self.version)

    @property
    def routed_services(self) -> tuple[str, ...]:
        """The services that at least one rule names, in order."""
        return tuple(sorted(self._groups))

    def alike(self) -> list[tuple[str, ...]]:
        """Return the routed services by groups that have the very same rules: one answer holds for all of a group."""
        groups: dict[int, list[str]] = {}
        for service in self.routed_services:
            groups.setdefault(id(self._groups[service]), []).append(service)
        return [tuple(services) for services in groups.values()]

    def route(self, area: Area, service: str, on: datetime, *, sender: str | None = None) -> Route:
        """Return the one responsible destination at the aware moment ``on``, where ``sender`` may apply for the service.

        Raises :class:`~hub.errors.NoRoute` as :meth:`responsible`, or with ``cause`` closed or by-invitation.
        """
        try:
            found = self._rows[service][self._regions[area.ars]]
        except KeyError:
            found = None
        if not isinstance(found, Route):
            answer = found.answers[bisect_right(found.edges, on)] if found is not None else None
            found = answer if isinstance(answer, Route) else self.responsible(area, service, on)
        if found.is_open or found.rule.admits(sender):
            return found
        raise _not_admitted(self, area, service, found)

    def responsible(self, area: Area, service: str, on: datetime) -> Route:
        """Return the one responsible destination at the aware moment ``on``, whoever may apply there.

        A catch-all decides where no other rule does; not for what the hub does not know, nor where rules contradict each
        other. Raises :class:`~hub.errors.NoRoute` with the members ``cause`` (unknown-area, dissolved-area, unknown-service,
        no-rule, ambiguous), ``nearest`` (rules) and, where there is one, ``successors``.
        """
        place = self.gazetteer.find(area)
        if place is None or not place.exists(legal_day(on)):
            raise no_such_area(self, area, on)
        known = canonical_service(service)
        if known != service:
            return self.responsible(area, known, on)
        if service not in self._groups and service not in self.services:
            raise unknown_service(self, area, service, on)
        winners = self.find(area, service, on) or self.catch_all(area, on)
        if len(winners) != 1:
            raise undecided(self, area, service, on, winners)
        return self._routes[winners[0].id]

    def find(self, area: Area, service: str, on: datetime) -> tuple[Rule, ...]:
        """Return the deciding rules, one per destination: one is an answer, none and several are not."""
        group = self._groups.get(service)
        if group is None:
            return ()
        prefixes = self.gazetteer.same_as(area).prefixes()
        answer = _first((group.entries.get(prefix) for prefix in prefixes), on)
        return (answer.rule,) if isinstance(answer, Route) else answer or ()

    def catch_all(self, area: Area, on: datetime) -> tuple[Rule, ...]:
        """Return the catch-alls of the narrowest area that has one, one per destination; whether they decide is for others."""
        if not self.catch_alls:
            return ()
        for prefix in self.gazetteer.same_as(area).prefixes():
            standing = {each.destination: each for each in reversed(self.catch_alls_at(prefix)) if each.holds(on)}
            if standing:
                return tuple(sorted(standing.values(), key=lambda rule: rule.id))
        return ()

    def catch_alls_at(self, prefix: str) -> tuple[Rule, ...]:
        """Return the catch-alls that stand at exactly this prefix, whatever their validity."""
        return tuple(each for each in self.catch_alls if each.area.ars == prefix)

    def rules_at(self, prefix: str, service: str) -> tuple[Rule, ...]:
        """Return the rules that stand at exactly this prefix for a service, whatever their validity."""
        group = self._groups.get(service)
        return group.standing.get(prefix, ()) if group is not None else ()

    def rules_for(self, service: str) -> Iterator[Rule]:
        """Iterate over all rules that name a service."""
        group = self._groups.get(service)
        return itertools.chain.from_iterable(group.standing.values()) if group is not None else iter(())

    def explain(self, area: Area, service: str, on: datetime) -> Explanation:
        """Tell prefix by prefix which rules were considered and why each was taken or passed over."""
        return explain(self, area, canonical_service(service), on)

    def _grouped(self, regions: Sequence[tuple[str, ...]]) -> dict[str, _Group]:
        """Return each service's group; services with the very same rules share one."""
        _require_unique(self.rules)
        by_service: dict[str, list[int]] = {}
        for at, rule in enumerate(self.rules):
            for service in () if rule.is_catch_all else rule.services:
                by_service.setdefault(service, []).append(at)
        groups: dict[tuple[int, ...], _Group] = {}
        chosen: dict[str, _Group] = {}
        for service, numbers in by_service.items():
            signature = tuple(numbers)
            if signature not in groups:
                groups[signature] = _Group((self.rules[at] for at in signature), self._routes, regions)
            chosen[service] = groups[signature]
        return chosen


def _regions(gazetteer: Gazetteer, rules: Iterable[Rule]) -> tuple[dict[str, int], list[tuple[str, ...]]]:
    """Return the number of each lasting area's region, and the prefixes with rules that make each region."""
    ruled = {rule.area.ars for rule in rules}
    numbers: dict[tuple[str, ...], int] = {}
    regions = {
        area.ars: numbers.setdefault(
            tuple(filter(ruled.__contains__, gazetteer.same_as(area).prefixes())), len(numbers)
        )
        for area in gazetteer.lasting
    }
    return regions, list(numbers)


def _entry(rules: tuple[Rule, ...], routes: dict[str, Route]) -> _Entry:
    """Return what the rules at one prefix come to."""
    if len(rules) == 1 and rules[0].is_unbounded:
        return routes[rules[0].id]
    edges = (edge for rule in rules for edge in (rule.valid_from, rule.valid_until) if edge is not None)
    return _Sequence(edges, lambda on: _settled(rules, routes, on))


def _settled(rules: tuple[Rule, ...], routes: dict[str, Route], on: datetime) -> _Answer:
    """Return what rules at one prefix say at a moment; of several for one destination the first by id counts."""
    winners = {rule.destination: rule for rule in reversed(rules) if rule.holds(on)}
    if len(winners) > 1:
        return tuple(sorted(winners.values(), key=lambda rule: rule.id))
    return next((routes[rule.id] for rule in winners.values()), None)


def _first(entries: Iterable[_Entry | None], on: datetime) -> _Answer:
    """Return the first answer at a moment."""
    answers = (entry.at(on) if isinstance(entry, _Sequence) else entry for entry in entries)
    return next((answer for answer in answers if answer is not None), None)


def _version(rules: Iterable[Rule]) -> str:
    digest = hashlib.sha256()
    for rule in rules:
        digest.update(json.dumps(_content(rule), ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def _content(rule: Rule) -> list[object]:
    """Return what makes a rule, with moments in UTC: a version must not depend on time zone data."""
    span = [moment.isoformat() if moment is not None else None for moment in (rule.valid_from, rule.valid_until)]
    content: list[object] = [rule.id, rule.area.ars, rule.services, str(rule.destination), *span, rule.note]
    # What most rules do is not written, so a table without policies keeps the version that it had before there were any.
    if rule.on_invalid is not OnInvalid.REJECT:
        content.append(rule.on_invalid.value)
    return content if rule.access is RuleAccess.OPEN else [*content, f"access {rule.access}", *rule.invited]


def _require_unique(rules: tuple[Rule, ...]) -> None:
    for one, other in itertools.pairwise(rules):
        if one.id == other.id:
            raise ConfigurationError(
                Text(
                    f"Zwei Regeln heißen {one.id}. Benennen Sie eine um.", f"Two rules are called {one.id}. Rename one."
                )
            )
