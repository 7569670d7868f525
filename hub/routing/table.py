"""The routing table: area x service -> the responsible destination, at any moment. Immutable.

The longest ARS prefix wins among the rules that hold at that moment. No rule, or two destinations at the same prefix,
is a refusal; there is no default route.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from hub.areas import LENGTHS, Area, Gazetteer, Place
from hub.errors import ConfigurationError, Text
from hub.routing import refusals
from hub.routing.explain import Explanation, explain, reasons
from hub.routing.formats import read_folder
from hub.routing.rules import OnInvalid, Rule, day_start, legal_day
from hub.routing.services import ServiceRegister

#: Answers are kept once found, with the span in which they hold, up to this many (about 40 MB).
_KEPT_ROUTES = 262_144

_DAWN = datetime.min.replace(tzinfo=UTC)
_DUSK = datetime.max.replace(tzinfo=UTC)
_new_route = tuple.__new__


class Route(NamedTuple):
    """The answer of the table: which rule decides for ``area``, hence which destination, and why.

    The same question has this answer from ``since`` (included) until ``until`` (excluded).
    A named tuple, not a dataclass: it is made on the look-up's path, where a frozen dataclass costs four times more.
    """

    rule: Rule
    area: Area
    table: RoutingTable
    since: datetime = _DAWN
    until: datetime = _DUSK

    @property
    def destination_id(self) -> UUID:
        """The responsible destination."""
        return self.rule.destination

    @property
    def table_version(self) -> str:
        """The version of the table that decided."""
        return self.table.version

    @property
    def why(self) -> tuple[Text, ...]:
        """The reasons in words."""
        return reasons(self.rule, self.area, self.table.gazetteer)

    def __repr__(self) -> str:
        return f"Route({self.area} -> {self.destination_id} by {self.rule.id})"


#: What stands at one prefix: a single unbounded rule, or several or bounded rules to be judged by the moment.
_Entry = Rule | tuple[Rule, ...]


class _Group:
    """The rules of services that are ruled alike.

    ``entries`` are the rules by prefix, ``levels`` the indices of ``LENGTHS`` at which there are any, and ``routes``,
    by ARS, answers found before, each with its span.
    """

    __slots__ = ("entries", "levels", "routes")

    def __init__(self, entries: dict[str, _Entry], routes: dict[str, Route]) -> None:
        lengths = {len(prefix) for prefix in entries}
        self.entries = entries
        self.levels = tuple(level for level, length in enumerate(LENGTHS) if length in lengths)
        self.routes = routes


class RoutingTable:
    """An immutable set of rules with its look-up. Two tables are equal if their versions are.

    ``version`` is the SHA-256 (hex) of the rules' content, whatever their order or file format.
    """

    def __init__(self, rules: Iterable[Rule], *, gazetteer: Gazetteer, services: ServiceRegister) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.id))
        self.gazetteer = gazetteer
        self.services = services
        self.version = _version(self.rules)
        self._lasting = gazetteer.lasting
        self._groups = self._grouped()
        self._room = _KEPT_ROUTES

    @classmethod
    def load(cls, folder: Path, gazetteer: Gazetteer) -> RoutingTable:
        """Read ``services.csv`` and every ``rules*.yaml`` of ``folder`` and its direct subfolders.

        Raises :class:`ConfigurationError` naming file and line.
        """
        register = ServiceRegister.load(folder / "services.csv")
        return cls(read_folder(folder), gazetteer=gazetteer, services=register)

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

    def route(self, area: Area, service: str, on: datetime) -> Route:
        """Return the one responsible destination at the aware moment ``on``.

        Raises :class:`~hub.errors.NoRoute` with the members ``cause`` (unknown-area, dissolved-area, unknown-service,
        no-rule, ambiguous), ``nearest`` (rules) and, where there is one, ``successors``.
        """
        group = self._groups.get(service)
        if group is not None:
            route = group.routes.get(area.ars)
            if route is not None and route.since <= on < route.until:
                return route
            prefixes = self._lasting.get(area.ars)
            if prefixes is not None:
                entries = group.entries
                for level in group.levels:
                    entry = entries.get(prefixes[level])
                    if type(entry) is Rule:
                        return self._keep(group, _new_route(Route, (entry, area, self, _DAWN, _DUSK)))
                    if entry is not None:
                        break
        return self._resolve(area, service, on)

    def find(self, area: Area, service: str, on: datetime) -> tuple[Rule, ...]:
        """Return the deciding rules, one per destination: one is an answer, none and several are not."""
        return self._decide(area, service, on)[0]

    def rules_at(self, prefix: str, service: str) -> tuple[Rule, ...]:
        """Return the rules that stand at exactly this prefix for a service, whatever their validity."""
        group = self._groups.get(service)
        return _rules_of(group.entries.get(prefix, ())) if group is not None else ()

    def rules_for(self, service: str) -> Iterator[Rule]:
        """Iterate over all rules that name a service."""
        group = self._groups.get(service)
        for entry in group.entries.values() if group is not None else ():
            yield from _rules_of(entry)

    def explain(self, area: Area, service: str, on: datetime) -> Explanation:
        """Tell prefix by prefix which rules were considered and why each was taken or passed over."""
        return explain(self, area, service, on)

    def _decide(self, area: Area, service: str, on: datetime) -> tuple[tuple[Rule, ...], list[datetime]]:
        """Return the deciding rules, and the moments at which another answer may begin."""
        edges: list[datetime] = []
        for prefix in area.prefixes():
            rules = self.rules_at(prefix, service)
            edges += [edge for rule in rules for edge in (rule.valid_from, rule.valid_until) if edge is not None]
            winners = {rule.destination: rule for rule in reversed(rules) if rule.holds(on)}
            if winners:
                return tuple(sorted(winners.values(), key=lambda rule: rule.id)), edges
        return (), edges

    def _keep(self, group: _Group, route: Route) -> Route:
        """Remember a route while there is room and return it; threads may race, harmlessly."""
        ars = route.area.ars
        if ars in group.routes:
            group.routes[ars] = route
        elif self._room > 0:
            self._room -= 1
            group.routes[ars] = route
        return route

    def _grouped(self) -> dict[str, _Group]:
        """Return each service's group; services with the very same rules share one."""
        _require_unique(self.rules)
        by_service: dict[str, list[int]] = {}
        for at, rule in enumerate(self.rules):
            for service in rule.services:
                by_service.setdefault(service, []).append(at)
        ready = {rule.id: self._alone(rule) for rule in self.rules if rule.area.ars in self._lasting}
        groups: dict[tuple[int, ...], _Group] = {}
        chosen: dict[str, _Group] = {}
        for service, numbers in by_service.items():
            signature = tuple(numbers)
            if signature not in groups:
                entries = _entries(self.rules[at] for at in signature)
                singles = [rules[0] for rules in map(_rules_of, entries.values()) if len(rules) == 1]
                routes = {rule.area.ars: ready[rule.id] for rule in singles if rule.id in ready}
                groups[signature] = _Group(entries, routes)
            chosen[service] = groups[signature]
        return chosen

    def _alone(self, rule: Rule) -> Route:
        """Return the answer for a rule's own area, if no other rule stands there for the service."""
        return Route(rule, rule.area, self, rule.valid_from or _DAWN, rule.valid_until or _DUSK)

    def _resolve(self, area: Area, service: str, on: datetime) -> Route:
        """Answer what depends on the moment, and refuse."""
        place = self.gazetteer.find(area)
        if place is None or not place.exists(legal_day(on)):
            raise refusals.no_such_area(self, area, on)
        if service not in self._groups and service not in self.services:
            raise refusals.unknown_service(self, area, service, on)
        winners, edges = self._decide(area, service, on)
        if len(winners) != 1:
            raise refusals.undecided(self, area, service, on, winners)
        edges += _edges_of(place)
        since, until = max(filter(on.__ge__, edges), default=_DAWN), min(filter(on.__lt__, edges), default=_DUSK)
        return self._keep(self._groups[service], Route(winners[0], area, self, since, until))


def _edges_of(place: Place) -> list[datetime]:
    """Return the moments at which the place begins and ends to exist."""
    starts = [place.valid_from] if place.valid_from is not None else []
    ends = [place.valid_until + timedelta(days=1)] if place.valid_until is not None else []
    return [day_start(day) for day in starts + ends]


def _rules_of(entry: _Entry) -> tuple[Rule, ...]:
    return (entry,) if isinstance(entry, Rule) else entry


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
    return content if rule.on_invalid is OnInvalid.REJECT else [*content, rule.on_invalid.value]


def _entries(rules: Iterable[Rule]) -> dict[str, _Entry]:
    entries: dict[str, _Entry] = {}
    for rule in rules:
        prefix = sys.intern(rule.area.ars)
        standing = entries.get(prefix)
        if standing is not None:
            entries[prefix] = (*_rules_of(standing), rule)
        else:
            entries[prefix] = rule if rule.is_unbounded else (rule,)
    return entries


def _require_unique(rules: tuple[Rule, ...]) -> None:
    for one, other in itertools.pairwise(rules):
        if one.id == other.id:
            raise ConfigurationError(
                Text(
                    f"Zwei Regeln heißen {one.id}. Benennen Sie eine um.", f"Two rules are called {one.id}. Rename one."
                )
            )
