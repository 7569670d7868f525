"""Who is responsible where: municipality by municipality, for one service or for all that have rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from hub.areas import Place
from hub.routing.rules import Rule, legal_day
from hub.routing.table import RoutingTable

_DISTRICT_DIGITS = 5


class CoverState(StrEnum):
    """How well an area is covered; the worst first."""

    #: Some service has two authorities at once.
    CONTESTED = "contested"
    #: No service has an authority.
    GAP = "gap"
    #: Some service has none.
    PARTLY = "partly"
    #: Every service has exactly one.
    COVERED = "covered"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cover:
    """One municipality: of how many services asked how many lack an authority, or have two; and who is responsible."""

    place: Place
    asked: int
    lacking: int
    contested: int
    destinations: tuple[UUID, ...]

    @property
    def state(self) -> CoverState:
        """How well it is covered."""
        if self.contested:
            return CoverState.CONTESTED
        if self.lacking == 0:
            return CoverState.COVERED
        return CoverState.GAP if self.lacking == self.asked else CoverState.PARTLY


@dataclass(frozen=True, kw_only=True, slots=True)
class DistrictCover:
    """One district, by its municipalities."""

    ars: str
    covers: tuple[Cover, ...]

    @property
    def open(self) -> int:
        """In how many municipalities some service lacks an authority, or has two."""
        return sum(cover.state is not CoverState.COVERED for cover in self.covers)

    @property
    def share(self) -> int:
        """Of how many percent of services, over all municipalities, there is an authority; 100 only if nothing lacks."""
        asked = sum(cover.asked for cover in self.covers)
        return 100 * (asked - sum(cover.lacking for cover in self.covers)) // asked if asked else 0

    @property
    def state(self) -> CoverState:
        """How well it is covered as a whole."""
        states = {cover.state for cover in self.covers}
        if len(states) == 1:
            return states.pop()
        return CoverState.CONTESTED if CoverState.CONTESTED in states else CoverState.PARTLY

    @property
    def destinations(self) -> tuple[UUID, ...]:
        """Who is responsible somewhere in it."""
        return tuple(dict.fromkeys(each for cover in self.covers for each in cover.destinations))


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """All districts, and for each service in how many municipalities it has no authority."""

    districts: tuple[DistrictCover, ...]
    missing: Mapping[str, int]

    @property
    def covers(self) -> list[Cover]:
        """All municipalities."""
        return [cover for district in self.districts for cover in district.covers]


def survey(table: RoutingTable, on: datetime, *, service: str | None = None, prefix: str = "") -> Survey:
    """Look at every municipality below ``prefix`` on that day, for ``service`` or for all services with rules."""
    towns = table.gazetteer.municipalities(prefix, on=legal_day(on))
    alike = [(service,)] if service is not None else table.alike()
    # Services with the very same rules are asked for once: hundreds of services make a handful of answers.
    answers = [[table.find(town.area, services[0], on) for town in towns] for services in alike]
    missing = {
        each: sum(not rules for rules in answer)
        for services, answer in zip(alike, answers, strict=True)
        for each in services
    }
    covers = [_cover(town, alike, [answer[at] for answer in answers]) for at, town in enumerate(towns)]
    return Survey(districts=_by_district(covers), missing=missing)


def _cover(town: Place, alike: Sequence[tuple[str, ...]], found: Sequence[tuple[Rule, ...]]) -> Cover:
    weights = [len(services) for services in alike]
    destinations = dict.fromkeys(rule.destination for rules in found for rule in rules)
    return Cover(
        place=town,
        asked=sum(weights),
        lacking=sum(weight for weight, rules in zip(weights, found, strict=True) if not rules),
        contested=sum(weight for weight, rules in zip(weights, found, strict=True) if len(rules) > 1),
        destinations=tuple(destinations),
    )


def _by_district(covers: Iterable[Cover]) -> tuple[DistrictCover, ...]:
    districts: dict[str, list[Cover]] = {}
    for cover in covers:
        districts.setdefault(cover.place.area.ars[:_DISTRICT_DIGITS], []).append(cover)
    return tuple(DistrictCover(ars=ars, covers=tuple(inside)) for ars, inside in sorted(districts.items()))
