"""Areas as values: their keys, their names, and what became of them.

Area keys as values: parse, prefix, parent. Pure arithmetic on digits.

Named areas and what became of them, as frozen values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from hub.errors import Invalid, Malformed, Text

#: Legal lengths of an ARS, longest first: municipality, association, district, government region, land.
LENGTHS = (12, 9, 5, 3, 2)
AGS_LENGTH = 8
#: The lands by the first two digits of every key (Statistisches Bundesamt, Gemeindeverzeichnis: Länderschlüssel).
LANDS: Mapping[str, str] = {
    "01": "Schleswig-Holstein",
    "02": "Hamburg",
    "03": "Niedersachsen",
    "04": "Bremen",
    "05": "Nordrhein-Westfalen",
    "06": "Hessen",
    "07": "Rheinland-Pfalz",
    "08": "Baden-Württemberg",
    "09": "Bayern",
    "10": "Saarland",
    "11": "Berlin",
    "12": "Brandenburg",
    "13": "Mecklenburg-Vorpommern",
    "14": "Sachsen",
    "15": "Sachsen-Anhalt",
    "16": "Thüringen",
}
_DISTRICT_FREE = re.compile(r"[0-9]{5}000")


@dataclass(frozen=True, order=True, slots=True)
class Area:
    """An area by its ARS of 2, 3, 5, 9 or 12 digits. Areas sort by their digits.

    Construction does not check; parse with :meth:`from_ars`, :meth:`from_ags` or :meth:`from_region`.
    """

    ars: str

    def __str__(self) -> str:
        return self.ars

    @classmethod
    def from_ars(cls, text: str) -> Area:
        """Parse an ARS. Raises :class:`Malformed` (not digits) or :class:`Invalid` (length, land)."""
        _require_digits(text, "ARS")
        if len(text) not in LENGTHS:
            raise Invalid(_wrong_length(text))
        _require_land(text)
        return cls(text)

    def unpadded(self) -> Iterator[Area]:
        """Yield the wider areas whose key is this one without zeros at its end, narrowest first.

        Other interfaces of the federation write districts so (``064390000000`` for 06439); in an ARS only what is an area
        of its own has 12 digits.
        """
        for prefix in self.prefixes()[1:]:
            if not self.ars[len(prefix) :].strip("0"):
                yield Area(prefix)

    @classmethod
    def from_ags(cls, text: str) -> Area:
        """Parse an AGS of 2, 3 or 5 digits, or of 8 for a district-free city (``…000``).

        Any other AGS of 8 digits needs :meth:`Gazetteer.by_ags`, for the association is missing in it.
        Raises :class:`Malformed` (not digits) or :class:`Invalid` (length, land, association unknown).
        """
        _require_digits(text, "AGS")
        _require_land(text)
        if _DISTRICT_FREE.fullmatch(text):
            return cls(f"{text[:5]}0000000")
        if len(text) == AGS_LENGTH:
            raise _not_to_compute(text)
        if len(text) not in (2, 3, 5):
            raise _no_ags(text)
        return cls(text)

    @classmethod
    def from_region(cls, text: str) -> Area:
        """Parse FIT-Connect's region, ``DE`` and an ARS. ``DE`` alone is the whole country and no area here."""
        if not text.startswith("DE"):
            raise Malformed(
                Text(
                    "Eine Region beginnt mit DE, dann folgt der ARS, zum Beispiel DE06439.",
                    "A region begins with DE followed by the ARS, for example DE06439.",
                )
            )
        return cls.from_ars(text[2:])

    def as_region(self) -> str:
        """Return FIT-Connect's region: ``DE`` and the ARS."""
        return f"DE{self.ars}"

    @property
    def ags(self) -> str:
        """The AGS: 2, 3, 5 or 8 digits (an association has none of its own: its district's)."""
        return self.ars[:5] + self.ars[9:]

    def prefixes(self) -> tuple[str, ...]:
        """Return the area's own ARS and every legal prefix of it, longest first."""
        ars = self.ars
        return tuple(ars[:length] for length in LENGTHS if length <= len(ars))

    def covers(self, other: Area) -> bool:
        """Tell whether ``other`` is this area or lies within it."""
        return other.ars.startswith(self.ars)

    @property
    def parent(self) -> Area | None:
        """The next larger area; None for a land."""
        wider = self.prefixes()[1:]
        return Area(wider[0]) if wider else None


def _not_to_compute(text: str) -> Invalid:
    return Invalid(
        Text(
            f"Zum AGS {text} lässt sich der ARS nicht ausrechnen. Geben Sie den ARS mit 12 Stellen an.",
            f"The ARS cannot be computed from AGS {text}. Give the ARS with 12 digits.",
        )
    )


def _no_ags(text: str) -> Invalid:
    return Invalid(
        Text(
            f"Ein AGS hat 2, 3, 5 oder 8 Stellen, dieser hat {len(text)}. Prüfen Sie führende Nullen.",
            f"An AGS has 2, 3, 5 or 8 digits, this one has {len(text)}. Check for lost leading zeros.",
        )
    )


def _require_digits(text: str, what: str) -> None:
    if not (text.isascii() and text.isdigit()):
        raise Malformed(
            Text(
                f"Ein {what} besteht nur aus Ziffern. Beispiel: 06439 für den Rheingau-Taunus-Kreis.",
                f"An {what} consists of digits only. Example: 06439 for Rheingau-Taunus-Kreis.",
            )
        )


def _require_land(text: str) -> None:
    if text[:2] not in LANDS:
        raise Invalid(
            Text(
                "Die ersten zwei Stellen müssen ein Land sein (01 bis 16). Prüfen Sie führende Nullen.",
                "The first two digits must be a land (01 to 16). Check for a lost leading zero.",
            )
        )


def _wrong_length(text: str) -> Text:
    if len(text) in (LENGTHS[0] - 1, AGS_LENGTH - 1) and f"0{text[:1]}" in LANDS:
        return Text(
            f"{text} hat {len(text)} Stellen, vorn fehlt eine Null: geben Sie 0{text} an. Prüfen Sie alle führenden Nullen.",
            f"{text} has {len(text)} digits, one is missing in front: give 0{text}. Check all leading zeros.",
        )
    if len(text) == AGS_LENGTH:
        return Text(
            "Ein ARS hat 2, 3, 5, 9 oder 12 Stellen. Acht Stellen hat ein AGS: geben Sie ihn als ags an.",
            "An ARS has 2, 3, 5, 9 or 12 digits. Eight digits make an AGS: give it as ags.",
        )
    return Text(
        f"Ein ARS hat 2, 3, 5, 9 oder 12 Stellen, dieser hat {len(text)}. Prüfen Sie führende Nullen.",
        f"An ARS has 2, 3, 5, 9 or 12 digits, this one has {len(text)}. Check for lost leading zeros.",
    )


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
    """One named area. ``valid_from`` is its first day, ``valid_until`` its last; None where it is unbounded.

    ``parts`` are names of what lies in it and has no key (villages, quarters), or what people call it otherwise.
    """

    area: Area
    name: str
    kind: AreaKind
    inhabitants: int | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    postal_codes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

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
