"""What can be said of a table as a whole: findings, gaps, and the destinations that its rules lead to.

What a check says about a table: findings as values.

Who is responsible where: municipality by municipality, for one service or for all that have rules. Pure.

Destinations as the routing table sees them: planned in a file, or as facts to check rules against.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

import yaml

from hub.areas import LENGTHS, Area, Place
from hub.errors import ConfigurationError, Malformed, Refused, Text
from hub.model import Destination, OfferedService
from hub.routing.formats import compose, malformed_at, mapping, text_of, texts
from hub.routing.rules import Rule, legal_day, service_urn
from hub.routing.table import RoutingTable


class Severity(StrEnum):
    """How much a finding weighs."""

    #: The table must not become active.
    ERROR = "error"
    #: The table may become active if somebody says so.
    WARNING = "warning"


class Code(StrEnum):
    """What was found."""

    #: Two rules give the same area, service and time to different destinations.
    CONTRADICTION = "contradiction"
    #: Two rules say the same twice.
    OVERLAP = "overlap"
    #: A service that some municipalities have an authority for, and others not.
    GAP = "gap"
    #: A service of the register that no rule names.
    UNRULED = "unruled"
    #: The gazetteer has never known the area.
    UNKNOWN_AREA = "unknown-area"
    #: The area does not exist any more, or will not while the rule still holds.
    DISSOLVED_AREA = "dissolved-area"
    #: The service is not in the register.
    UNKNOWN_SERVICE = "unknown-service"
    #: There is no such destination.
    DESTINATION_MISSING = "destination-missing"
    #: The destination takes no submissions.
    DESTINATION_INACTIVE = "destination-inactive"
    #: The destination has no valid key.
    DESTINATION_KEY = "destination-key"
    #: The destination's key ends soon.
    KEY_ENDING = "key-ending"
    #: The destination does not offer the service.
    SERVICE_NOT_OFFERED = "service-not-offered"
    #: The destination offers the service, but not for the rule's whole area.
    REGION_NOT_OFFERED = "region-not-offered"
    #: The destination offers the service without a schema, or with none that the hub knows.
    SCHEMA_NOT_OFFERED = "schema-not-offered"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One finding: ``rows`` are the rule ids it is about, ``areas`` ARS prefixes, ``services`` URNs; all may be empty."""

    severity: Severity
    code: Code
    rows: tuple[str, ...]
    text: Text
    remedy: Text
    areas: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


def weight(finding: Finding) -> tuple[bool, str, tuple[str, ...]]:
    """Return the key by which findings are sorted: errors first, then by code and rows."""
    return finding.severity is not Severity.ERROR, finding.code, finding.rows


def summarised(ars: Iterable[str], everything: Collection[str]) -> tuple[str, ...]:
    """Return the shortest prefixes that stand for exactly the given areas among ``everything``, in order."""
    wanted = set(ars)
    totals: dict[str, int] = {}
    for one in everything:
        step = 1 if one in wanted else -len(everything)
        for length in LENGTHS:
            totals[one[:length]] = totals.get(one[:length], 0) + step
    chosen = {next(one[:n] for n in reversed(LENGTHS) if n == len(one) or totals.get(one[:n], 0) > 0) for one in wanted}
    return tuple(sorted(chosen))


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
class MunicipalityCover:
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
    covers: tuple[MunicipalityCover, ...]

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
    def covers(self) -> list[MunicipalityCover]:
        """All municipalities."""
        return [cover for district in self.districts for cover in district.covers]


def survey(table: RoutingTable, on: datetime, *, service: str | None = None, prefixes: Iterable[str] = ("",)) -> Survey:
    """Look at every municipality below ``prefixes`` on that day, for ``service`` or for all services with rules."""
    day = legal_day(on)
    towns = tuple(
        {town.area: town for each in prefixes for town in table.gazetteer.municipalities(each, on=day)}.values()
    )
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


def _cover(town: Place, alike: Sequence[tuple[str, ...]], found: Sequence[tuple[Rule, ...]]) -> MunicipalityCover:
    weights = [len(services) for services in alike]
    destinations = dict.fromkeys(rule.destination for rules in found for rule in rules)
    return MunicipalityCover(
        place=town,
        asked=sum(weights),
        lacking=sum(weight for weight, rules in zip(weights, found, strict=True) if not rules),
        contested=sum(weight for weight, rules in zip(weights, found, strict=True) if len(rules) > 1),
        destinations=tuple(destinations),
    )


def _by_district(covers: Iterable[MunicipalityCover]) -> tuple[DistrictCover, ...]:
    districts: dict[str, list[MunicipalityCover]] = {}
    for cover in covers:
        districts.setdefault(cover.place.area.ars[:_DISTRICT_DIGITS], []).append(cover)
    return tuple(DistrictCover(ars=ars, covers=tuple(inside)) for ars, inside in sorted(districts.items()))


_KEYS = frozenset({"destination_id", "name", "ars", "services", "schema_uris", "adapter", "contact"})


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedDestination:
    """One entry of a ``destinations.yaml``: what a destination is to be before it has keys and an owner."""

    destination_id: UUID
    name: str
    area: Area
    services: tuple[str, ...]
    schema_uris: tuple[str, ...]
    adapter: str
    contact: Mapping[str, str] = field(default_factory=dict)

    @property
    def ars(self) -> str:
        """The ARS of the area it is responsible for."""
        return self.area.ars


@dataclass(frozen=True, kw_only=True, slots=True)
class DestinationFacts:
    """What the check has to know of a destination.

    ``key_valid_until`` is the end of its encryption key's validity, None if it has no usable key. ``offers`` are the
    services with their regions and schemas.
    """

    name: str
    status: str
    key_valid_until: datetime | None
    offers: tuple[OfferedService, ...]

    @classmethod
    def of(cls, destination: Destination, *, key_valid_until: datetime | None) -> DestinationFacts:
        """Return the facts of a stored destination; the key's validity comes from the key policy."""
        return cls(
            name=destination.name,
            status=destination.status,
            key_valid_until=key_valid_until,
            offers=destination.services,
        )


def load_destinations(path: Path) -> tuple[PlannedDestination, ...]:
    """Read a ``destinations.yaml`` (strict keys). Raises :class:`ConfigurationError` naming file and line."""
    try:
        entries = mapping(compose(path.read_bytes()))
        if set(entries) != {"destinations"} or not isinstance(entries["destinations"], yaml.SequenceNode):
            raise Malformed(Text("Erwartet wird eine Liste: destinations.", "Expected one list: destinations."))
        planned = [_planned(node) for node in entries["destinations"].value]
    except OSError as exc:
        raise ConfigurationError(Text(f"{path} fehlt.", f"{path} is missing."), file=path.name) from exc
    except Refused as exc:
        text = Text(f"{path.name}: {exc.detail.de}", f"{path.name}: {exc.detail.en}")
        raise ConfigurationError(text, file=path.name) from exc
    if len({one.destination_id for one in planned}) != len(planned):
        raise ConfigurationError(
            Text(f"{path.name}: Eine destination_id steht doppelt.", f"{path.name}: A destination_id stands twice."),
            file=path.name,
        )
    return tuple(planned)


def _planned(node: yaml.Node) -> PlannedDestination:
    entries = mapping(node)
    if set(entries) != _KEYS:
        wanted = ", ".join(sorted(_KEYS))
        raise malformed_at(node, Text(f"Genau diese Schlüssel: {wanted}.", f"Exactly these keys: {wanted}."))
    try:
        return PlannedDestination(
            destination_id=UUID(text_of(entries["destination_id"])),
            name=text_of(entries["name"]),
            area=Area.from_ars(text_of(entries["ars"])),
            services=tuple(sorted(service_urn(text) for text in texts(entries["services"]))),
            schema_uris=tuple(texts(entries["schema_uris"])),
            adapter=text_of(entries["adapter"]),
            contact={key: text_of(value) for key, value in mapping(entries["contact"]).items()},
        )
    except ValueError as exc:
        raise malformed_at(
            entries["destination_id"], Text("destination_id ist keine UUID.", "destination_id is not a UUID.")
        ) from exc
    except Refused as exc:
        raise malformed_at(node, exc.detail) from exc
