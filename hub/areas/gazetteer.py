"""The gazetteer: every area that the hub knows, found by key, name, postal code or descent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from hub.areas.area import AGS_LENGTH, LENGTHS, Area
from hub.areas.files import read_places, read_postal_codes, read_successions
from hub.areas.place import AreaKind, Place, Succession
from hub.areas.search import Search, searchable, words_of
from hub.errors import ConfigurationError, Text
from hub.files.sheets import bad_row


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """One page of places; ``total`` counts all that match."""

    places: tuple[Place, ...]
    total: int
    offset: int


class Gazetteer:
    """Every area that the hub knows, the dissolved ones and their successors included. Immutable."""

    def __init__(self, places: Iterable[Place], successions: Iterable[Succession] = ()) -> None:
        self._successions: dict[str, list[Succession]] = {}
        listed = list(places)
        for succession in successions:
            self._successions.setdefault(succession.old.area.ars, []).append(succession)
        listed[:0] = [changes[0].old for changes in self._successions.values()]
        self._places = _indexed(listed)
        self._by_ags = {place.area.ags: place for place in listed if len(place.area.ars) == LENGTHS[0]}
        #: Every area that has always existed and still does: what is asked of these does not depend on the day.
        self.lasting = tuple(place.area for place in self if not (place.valid_from or place.valid_until))
        self._words = {ars: words_of(place) for ars, place in self._places.items() if searchable(place)}

    @classmethod
    def load(cls, folder: Path) -> Gazetteer:
        """Read ``succession.csv`` and every other ``*.csv`` of ``folder`` (semicolon, UTF-8, strict columns).

        Raises :class:`ConfigurationError` naming file and row.
        """
        files = sorted(path for path in folder.glob("*.csv") if path.name != "succession.csv")
        if not files:
            raise ConfigurationError(
                Text(f"{folder} enthält kein Gebietsverzeichnis (*.csv).", f"{folder} holds no gazetteer (*.csv).")
            )
        places = [place for path in files for place in read_places(path)]
        successions = folder / "succession.csv"
        return cls(places, read_successions(successions) if successions.exists() else ())

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Place]:
        """Iterate over all places in the order of their keys, dissolved ones and associations included."""
        return iter(self._places.values())

    def find(self, ars: Area | str) -> Place | None:
        """Return the place with exactly this ARS, also if it is dissolved; None if there never was one."""
        return self._places.get(str(ars))

    def name(self, ars: Area | str) -> str:
        """Return the place's name, or its digits where the gazetteer does not know it."""
        place = self.find(ars)
        return place.name if place is not None else str(ars)

    def by_ags(self, ags: str) -> Place | None:
        """Return the place with this AGS (2, 3, 5 or 8 digits); None if there never was one."""
        return self._by_ags.get(ags) if len(ags) == AGS_LENGTH else self.find(ags)

    def by_postal_code(self, code: str) -> tuple[Place, ...]:
        """Return the places that have this postal code; a code may belong to several municipalities."""
        return tuple(place for place in self if code in place.postal_codes and place.valid_until is None)

    def successors(self, ars: Area | str, on: date) -> tuple[Place, ...]:
        """Return the areas that a dissolved area belongs to on that day; empty if it has none, or still exists."""
        found: dict[str, Place] = {}
        waiting, seen = [str(ars)], set[str]()
        while waiting:
            key = waiting.pop(0)
            if key in seen:
                continue
            seen.add(key)
            for change in self._successions.get(key, ()):
                place = self.find(change.new)
                if change.on <= on and place is not None and place.exists(on):
                    found[place.area.ars] = place
                elif change.on <= on:
                    waiting.append(change.new.ars)
        return tuple(found.values())

    def successor(self, ars: Area | str, on: date) -> Place | None:
        """Return the one area that a dissolved area belongs to on that day; None if there is none or several."""
        found = self.successors(ars, on)
        return found[0] if len(found) == 1 else None

    def municipalities(self, prefix: Area | str = "", on: date | None = None) -> tuple[Place, ...]:
        """Return the municipalities below ``prefix``: those of day ``on``, without it those not dissolved."""
        digits = str(prefix)
        return tuple(p for p in self if p.is_municipality and p.area.ars.startswith(digits) and _stands(p, on))

    def districts(self, prefix: Area | str = "", on: date | None = None) -> tuple[Place, ...]:
        """Return the districts and independent cities (5 digits) below ``prefix``, as :meth:`municipalities` does."""
        digits = str(prefix)
        return tuple(p for p in self if p.is_district and p.area.ars.startswith(digits) and _stands(p, on))

    def above(self, ars: Area | str) -> tuple[Place, ...]:
        """Return the wider areas that a place lies in, next larger first, without doubles (see ``searchable``)."""
        wider = (self.find(prefix) for prefix in Area(str(ars)).prefixes()[1:])
        return tuple(place for place in wider if place is not None and searchable(place))

    def became(self, ars: Area | str) -> tuple[Succession, ...]:
        """Return what a place became part of, or was renamed to, and when; empty if it never was dissolved."""
        return tuple(self._successions.get(str(ars), ()))

    def came_from(self, ars: Area | str) -> tuple[Succession, ...]:
        """Return what a place took the place of, and when."""
        digits = str(ars)
        return tuple(each for changes in self._successions.values() for each in changes if each.new.ars == digits)

    def search(
        self, words: Sequence[str], offset: int = 0, limit: int = 100, *, dissolved: bool = False
    ) -> SearchResult:
        """Find areas whose name or postal code matches every word (FIT-Connect Routing API, ``areaSearchexpression``).

        A word matches a whole word of the name; ``*`` stands for any letters (``Rhein*``, ``*stadt``, ``*gau*``).
        Case and umlauts do not matter (``Rödermark``, ``RODERMARK``, ``roedermark``). Dissolved areas are found only
        if asked for. Raises :class:`Malformed` for an expression that breaks the pattern, :class:`TooLarge` for too many.
        """
        search = Search(words)
        hits = [
            place
            for place in self
            if (dissolved or place.valid_until is None)
            and (known := self._words.get(place.area.ars)) is not None
            and search.matches(known)
        ]
        return SearchResult(places=tuple(hits[offset : offset + limit]), total=len(hits), offset=offset)

    def with_postal_codes(self, path: Path) -> Gazetteer:
        """Return a gazetteer that also finds by postal code, from a CSV with the columns ``plz`` and ``ars``.

        Keys of dissolved municipalities count for their successor. Raises :class:`ConfigurationError`.
        """
        codes: dict[str, set[str]] = {}
        for row, code, ars in read_postal_codes(path):
            place = self.find(ars)
            if place is None:
                raise bad_row(path, row, Text("Der ARS ist unbekannt.", "The ARS is unknown."))
            for owner in (place, *self.successors(place.area, date.max)):
                codes.setdefault(owner.area.ars, set()).add(code)
        return Gazetteer(
            (replace(place, postal_codes=tuple(sorted(codes.get(place.area.ars, ())))) for place in self),
            (change for changes in self._successions.values() for change in changes),
        )


def _indexed(places: Iterable[Place]) -> dict[str, Place]:
    """Return the places by ARS in order, with the associations (9 digits) that their municipalities imply."""
    by_ars = {place.area.ars: place for place in places}
    members: dict[str, list[Place]] = {}
    for place in by_ars.values():
        if len(place.area.ars) == LENGTHS[0]:
            members.setdefault(place.area.ars[: LENGTHS[1]], []).append(place)
    for ars, belonging in members.items():
        by_ars.setdefault(ars, _association(Area(ars), belonging))
    return dict(sorted(by_ars.items()))


def _association(area: Area, members: Sequence[Place]) -> Place:
    first, alone = members[0], len(members) == 1
    return Place(
        area=area,
        name=first.name if alone else f"Gemeindeverband {area.ars}",
        kind=AreaKind.ASSOCIATION,
        valid_from=first.valid_from if alone else None,
        valid_until=first.valid_until if alone else None,
    )


def _stands(place: Place, on: date | None) -> bool:
    return place.valid_until is None if on is None else place.exists(on)
