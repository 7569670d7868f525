"""What changes from one table to another: which rules, and for whom the answer becomes another one, and when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from hub.areas import Area, Gazetteer, Place
from hub.errors import Text
from hub.routing.findings import summarised
from hub.routing.rules import Rule, legal_day
from hub.routing.table import RoutingTable

#: So many future moments at which a changed rule begins or ends are looked at.
_MAX_MOMENTS = 24
_MAX_NAMED = 4


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
    more = ", …" if len(values) > _MAX_NAMED else ""
    return ", ".join(values[:_MAX_NAMED]) + more
