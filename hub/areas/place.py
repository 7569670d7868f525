"""Named areas and what became of them, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from hub.areas.area import LENGTHS, Area
from hub.errors import Text


class AreaKind(StrEnum):
    """What kind of area a place is; :attr:`label` is the name for people."""

    #: Land.
    STATE = "state"
    #: Regierungsbezirk.
    REGION = "region"
    #: Landkreis.
    DISTRICT = "district"
    #: Kreisfreie Stadt: a district (5 digits) and a municipality (12 digits) at once.
    INDEPENDENT_CITY = "independent-city"
    #: Gemeindeverband.
    ASSOCIATION = "association"
    #: Gemeinde with the title of a town.
    TOWN = "town"
    #: Gemeinde.
    MUNICIPALITY = "municipality"
    #: Gemeindefreies Gebiet: nobody's municipality, usually forest.
    UNINCORPORATED = "unincorporated"

    @property
    def label(self) -> Text:
        """The kind in words."""
        return _LABELS[self]


_LABELS: Mapping[AreaKind, Text] = {
    AreaKind.STATE: Text("Land", "State"),
    AreaKind.REGION: Text("Regierungsbezirk", "Government region"),
    AreaKind.DISTRICT: Text("Landkreis", "District"),
    AreaKind.INDEPENDENT_CITY: Text("Kreisfreie Stadt", "Independent city"),
    AreaKind.ASSOCIATION: Text("Gemeindeverband", "Association of municipalities"),
    AreaKind.TOWN: Text("Stadt", "Town"),
    AreaKind.MUNICIPALITY: Text("Gemeinde", "Municipality"),
    AreaKind.UNINCORPORATED: Text("Gemeindefreies Gebiet", "Unincorporated area"),
}
_MUNICIPAL = frozenset({AreaKind.INDEPENDENT_CITY, AreaKind.TOWN, AreaKind.MUNICIPALITY})


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """One named area. ``valid_from`` is its first day, ``valid_until`` its last; None where it is unbounded."""

    area: Area
    name: str
    kind: AreaKind
    inhabitants: int | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    postal_codes: tuple[str, ...] = ()

    def exists(self, on: date) -> bool:
        """Tell whether the area exists on that day."""
        return (self.valid_from is None or self.valid_from <= on) and (
            self.valid_until is None or on <= self.valid_until
        )

    @property
    def is_municipality(self) -> bool:
        """Whether this is a municipality (12 digits), independent cities included, unincorporated areas not."""
        return len(self.area.ars) == LENGTHS[0] and self.kind in _MUNICIPAL

    @property
    def is_district(self) -> bool:
        """Whether this is a district or, as one, an independent city (5 digits)."""
        return self.kind in (AreaKind.DISTRICT, AreaKind.INDEPENDENT_CITY) and len(self.area.ars) == len("06439")


@dataclass(frozen=True, kw_only=True, slots=True)
class Succession:
    """``old`` ceased to exist and has been part of ``new`` since the day ``on``."""

    old: Place
    new: Area
    on: date
