"""Central costs by an allocation key: what each member pays of a month, exactly to the cent.

The key is a YAML file of the operator's::

    members:
      - ars: "064390015015"        # who pays: a municipality, district or land; the longest key that an area begins with counts
        inhabitants: 29000         # only where the gazetteer knows none, or others are agreed
    costs:
      - name: Betrieb
        from: 2026-01              # first and last month; without "until" it goes on
        until: 2026-12
        monthly: "12500.00"        # in euros; as text, for a number with a point is no exact one
        key: {accepted: 50, inhabitants: 30, flat: 20}

``accepted`` divides by what was accepted for a member's area in that month, ``flat`` in equal parts. Where nothing at all was
accepted its part is divided in equal parts, too. Cents that are left over go to the largest remainders, then to the lower key.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

from hub.errors import ConfigurationError, Malformed, Text
from hub.files.strict_yaml import load_yaml
from hub.model.usage import Month

_LARGEST = 4 * 1024 * 1024
_ARS = re.compile(r"\d{2,12}")
_EUROS = re.compile(r"(\d{1,12})(?:\.(\d{2}))?")
_MOST_WEIGHT = 1_000_000


class CostBasis(StrEnum):
    """By what a part of a cost is divided."""

    ACCEPTED = "accepted"
    INHABITANTS = "inhabitants"
    FLAT = "flat"


@dataclass(frozen=True, kw_only=True, slots=True)
class CostMember:
    """Who pays."""

    ars: str
    name: str
    inhabitants: int


@dataclass(frozen=True, kw_only=True, slots=True)
class CostItem:
    """A cost of each month from ``begin`` to ``end`` (inclusive; None: it goes on), in cents, with the weights of its key."""

    name: str
    cents: int
    key: Mapping[CostBasis, int]
    begin: Month
    end: Month | None

    def holds_in(self, month: Month) -> bool:
        """Tell whether it is due for a month."""
        return self.begin <= month and (self.end is None or month <= self.end)


@dataclass(frozen=True, kw_only=True, slots=True)
class CostShare:
    """What one member pays of one cost."""

    ars: str
    name: str
    item: str
    cents: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """All costs and who pays them."""

    members: Sequence[CostMember] = ()
    items: Sequence[CostItem] = ()

    @classmethod
    def load(cls, path: Path, known: Callable[[str], tuple[str, int | None]]) -> Costs:
        """Read the file; ``known`` tells name and inhabitants of an ARS.

        Raises:
            ConfigurationError: it cannot be read, or something in it is no such thing; names the place.
        """
        try:
            if path.stat().st_size > _LARGEST:
                raise _wrong(path, "", Text("Die Datei ist zu groß.", "The file is too large."))
            document = load_yaml(path.read_bytes())
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise _wrong(
                path, "", Text("Die Datei fehlt oder ist kein YAML.", "The file is missing or is no YAML.")
            ) from error
        reading = _Reading(path)
        members = [reading.member(at, each, known) for at, each in reading.listed(document, "members")]
        twice = [ars for ars, number in Counter(each.ars for each in members).items() if number > 1]
        if twice:
            raise _wrong(path, "members", Text(f"{twice[0]} steht mehrmals da.", f"{twice[0]} is there several times."))
        items = [reading.item(at, each) for at, each in reading.listed(document, "costs")]
        return cls(members=tuple(sorted(members, key=lambda each: each.ars)), items=tuple(items))

    def allocate(self, month: Month, accepted: Mapping[str, int]) -> list[CostShare]:
        """Divide a month's costs among the members; ``accepted`` counts submissions by the ARS of their area.

        The shares of each cost sum up to it exactly.
        """
        weights = {
            CostBasis.ACCEPTED: self._accepted(accepted),
            CostBasis.INHABITANTS: [each.inhabitants for each in self.members],
            CostBasis.FLAT: [1] * len(self.members),
        }
        found = []
        for item in self.items:
            if not item.holds_in(month):
                continue
            cents = [0] * len(self.members)
            parts = split(item.cents, list(item.key.values()))
            for basis, part in zip(item.key, parts, strict=True):
                even = weights[CostBasis.FLAT]
                mine = split(part, weights[basis] if any(weights[basis]) else even)
                cents = [before + more for before, more in zip(cents, mine, strict=True)]
            found += [
                CostShare(ars=each.ars, name=each.name, item=item.name, cents=amount)
                for each, amount in zip(self.members, cents, strict=True)
            ]
        return found

    def _accepted(self, accepted: Mapping[str, int]) -> list[int]:
        numbers: Counter[str] = Counter()
        keys = {each.ars for each in self.members}
        for area, number in accepted.items():
            member = next((area[:length] for length in range(len(area), 1, -1) if area[:length] in keys), None)
            if member is not None:
                numbers[member] += number
        return [numbers[each.ars] for each in self.members]


def split(cents: int, weights: Sequence[int]) -> list[int]:
    """Divide an amount by weights (not all zero) so that the parts sum up to it: by the largest remainders, then in order."""
    total = sum(weights)
    exact = [Fraction(cents * weight, total) for weight in weights]
    parts = [int(each) for each in exact]
    by_remainder = sorted(range(len(weights)), key=lambda at: (parts[at] - exact[at], at))
    for at in by_remainder[: cents - sum(parts)]:
        parts[at] += 1
    return parts


class _Reading:
    """Reads the parts of one file; each refusal names file and place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def listed(self, document: Any, name: str) -> Iterable[tuple[str, dict[str, Any]]]:
        found = document.get(name) if isinstance(document, dict) and set(document) <= {"members", "costs"} else None
        if not isinstance(found, list) or not found or not all(isinstance(each, dict) for each in found):
            raise self.wrong(
                name,
                "Nötig sind die Listen „members“ und „costs“, und sonst nichts.",
                "There must be the lists 'members' and 'costs', and nothing else.",
            )
        return [(f"{name}[{at}]", each) for at, each in enumerate(found)]

    def member(self, at: str, fields: dict[str, Any], known: Callable[[str], tuple[str, int | None]]) -> CostMember:
        ars = fields.get("ars")
        if not isinstance(ars, str) or not _ARS.fullmatch(ars) or not set(fields) <= {"ars", "name", "inhabitants"}:
            raise self.wrong(
                at,
                "Nötig ist „ars“ als Text aus 2 bis 12 Ziffern; dazu sind „name“ und „inhabitants“ möglich.",
                "It takes 'ars' as a text of 2 to 12 digits; 'name' and 'inhabitants' may stand beside it.",
            )
        name, counted = known(ars)
        inhabitants = fields.get("inhabitants", counted)
        if not isinstance(inhabitants, int) or isinstance(inhabitants, bool) or inhabitants < 0:
            raise self.wrong(
                f"{at}.inhabitants",
                "Die Zahl der Einwohner fehlt oder ist keine.",
                "The number of inhabitants is missing or is none.",
            )
        return CostMember(ars=ars, name=str(fields.get("name", name))[:200], inhabitants=inhabitants)

    def item(self, at: str, fields: dict[str, Any]) -> CostItem:
        name, key = fields.get("name"), fields.get("key")
        if not isinstance(name, str) or not name or not set(fields) <= {"name", "from", "until", "monthly", "key"}:
            raise self.wrong(
                at,
                "Nötig sind „name“, „from“, „monthly“ und „key“; „until“ ist möglich.",
                "It takes 'name', 'from', 'monthly' and 'key'; 'until' may stand beside them.",
            )
        return CostItem(
            name=name[:200],
            cents=self._cents(f"{at}.monthly", fields.get("monthly")),
            key=self._key(f"{at}.key", key),
            begin=self._month(f"{at}.from", fields.get("from")),
            end=None if fields.get("until") is None else self._month(f"{at}.until", fields["until"]),
        )

    def _cents(self, at: str, value: Any) -> int:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        found = _EUROS.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise self.wrong(
                at,
                'Der Betrag in Euro steht in Anführungszeichen, mit Punkt und zwei Stellen: "12500.00".',
                'The amount in euros stands in quotes, with a point and two digits: "12500.00".',
            )
        return int(found[1]) * 100 + int(found[2] or 0)

    def _key(self, at: str, value: Any) -> Mapping[CostBasis, int]:
        names = {each.value for each in CostBasis}
        if (
            not isinstance(value, dict)
            or not set(value) <= names
            or not all(type(each) is int and 0 <= each <= _MOST_WEIGHT for each in value.values())
            or not any(value.values())
        ):
            raise self.wrong(
                at,
                f"Der Schlüssel nennt ganze Gewichte für {', '.join(sorted(names))}, nicht alle 0.",
                f"The key names whole weights for {', '.join(sorted(names))}, not all of them 0.",
            )
        return {basis: value[basis.value] for basis in CostBasis if value.get(basis.value)}

    def _month(self, at: str, value: Any) -> Month:
        try:
            return Month.parse(value if isinstance(value, str) else "")
        except Malformed as error:
            raise self.wrong(at, error.detail.de, error.detail.en) from error

    def wrong(self, at: str, de: str, en: str) -> ConfigurationError:
        return _wrong(self._path, at, Text(de, en))


def _wrong(path: Path, at: str, why: Text) -> ConfigurationError:
    where = f"{path.name}, {at}" if at else path.name
    return ConfigurationError(Text(f"{where}: {why.de}", f"{where}: {why.en}"), file=path.name)
