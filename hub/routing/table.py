"""The routing table: area x service -> the responsible destination, at any moment. Immutable.

The longest ARS prefix wins among the rules that hold at that moment. No rule, or two destinations at the same prefix,
is a refusal; there is no default route.

All that does not depend on the question is settled when a table is made. Areas that the rules cannot tell apart form one
region (all municipalities of a district, where only districts have rules), and services that are ruled alike share a row
with the answer for each region. So a look-up is two dict gets and an index, and makes no object.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from hub.areas import Area, Gazetteer
from hub.errors import ConfigurationError, Text
from hub.model.submission import canonical_service
from hub.routing import refusals
from hub.routing.explain import Explanation, explain, reasons
from hub.routing.formats import read_folder
from hub.routing.rules import OnInvalid, Rule, legal_day
from hub.routing.services import ServiceRegister

_DAWN = datetime.min.replace(tzinfo=UTC)


class Route(NamedTuple):
    """The answer of the table: which rule decides, hence which destination. One for each rule, whatever was asked."""

    rule: Rule
    table: RoutingTable

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
        self._routes = {rule.id: Route(rule, self) for rule in self.rules}
        self._regions, distinct = _regions(gazetteer, self.rules)
        self._groups = self._grouped(distinct)
        self._rows = {service: group.row for service, group in self._groups.items()}

    @classmethod
    def load(cls, folder: Path, gazetteer: Gazetteer, *, empty: bool = False) -> RoutingTable:
        """Read ``services.csv`` and every ``rules*.yaml`` of ``folder`` and its direct subfolders; ``empty``: no rules.

        Raises :class:`ConfigurationError` naming file and line.
        """
        register = ServiceRegister.load(folder / "services.csv")
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

    def route(self, area: Area, service: str, on: datetime) -> Route:
        """Return the one responsible destination at the aware moment ``on``.

        Raises :class:`~hub.errors.NoRoute` with the members ``cause`` (unknown-area, dissolved-area, unknown-service,
        no-rule, ambiguous), ``nearest`` (rules) and, where there is one, ``successors``.
        """
        try:
            found = self._rows[service][self._regions[area.ars]]
        except KeyError:
            found = None
        if isinstance(found, Route):
            return found
        if found is not None:
            answer = found.answers[bisect_right(found.edges, on)]
            if isinstance(answer, Route):
                return answer
        return self._resolve(area, service, on)

    def find(self, area: Area, service: str, on: datetime) -> tuple[Rule, ...]:
        """Return the deciding rules, one per destination: one is an answer, none and several are not."""
        group = self._groups.get(service)
        if group is None:
            return ()
        answer = _first((group.entries.get(prefix) for prefix in area.prefixes()), on)
        return (answer.rule,) if isinstance(answer, Route) else answer or ()

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
            for service in rule.services:
                by_service.setdefault(service, []).append(at)
        groups: dict[tuple[int, ...], _Group] = {}
        chosen: dict[str, _Group] = {}
        for service, numbers in by_service.items():
            signature = tuple(numbers)
            if signature not in groups:
                groups[signature] = _Group((self.rules[at] for at in signature), self._routes, regions)
            chosen[service] = groups[signature]
        return chosen

    def _resolve(self, area: Area, service: str, on: datetime) -> Route:
        """Answer for an area that has begun or ended once, and refuse."""
        place = self.gazetteer.find(area)
        if place is None or not place.exists(legal_day(on)):
            raise refusals.no_such_area(self, area, on)
        known = canonical_service(service)
        if known != service:
            return self.route(area, known, on)
        if service not in self._groups and service not in self.services:
            raise refusals.unknown_service(self, area, service, on)
        winners = self.find(area, service, on)
        if len(winners) != 1:
            raise refusals.undecided(self, area, service, on, winners)
        return self._routes[winners[0].id]


def _regions(gazetteer: Gazetteer, rules: Iterable[Rule]) -> tuple[dict[str, int], list[tuple[str, ...]]]:
    """Return the number of each lasting area's region, and the prefixes with rules that make each region."""
    ruled = {rule.area.ars for rule in rules}
    numbers: dict[tuple[str, ...], int] = {}
    regions = {
        area.ars: numbers.setdefault(tuple(filter(ruled.__contains__, area.prefixes())), len(numbers))
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
    return content if rule.on_invalid is OnInvalid.REJECT else [*content, rule.on_invalid.value]


def _require_unique(rules: tuple[Rule, ...]) -> None:
    for one, other in itertools.pairwise(rules):
        if one.id == other.id:
            raise ConfigurationError(
                Text(
                    f"Zwei Regeln heißen {one.id}. Benennen Sie eine um.", f"Two rules are called {one.id}. Rename one."
                )
            )
