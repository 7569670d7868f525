"""The gazetteer: every area that the hub knows, found by key, name, postal code or descent.

Reading the gazetteer's CSV files: semicolon, UTF-8, strict columns; every refusal names file and row.

Looking an area up as people do: by key or part of one, by postal code, by name or part of one.
"""

from __future__ import annotations

import itertools
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path

from hub.areas.area import AGS_LENGTH, LANDS, LENGTHS, Area, AreaKind, Place, Succession
from hub.areas.names import DOTTED, KIND_NAMES, Known, Search, folded, known_as, known_by, searchable, words_of
from hub.errors import ConfigurationError, Invalid, Malformed, Text, TooLarge
from hub.files.sheets import bad_row, sheet_rows

#: A gazetteer of the whole country has 11,000 rows and 1.5 MB; a file beyond this is a mistake.
_LARGEST = 16 * 1024 * 1024
_PLACES = ("ars", "name", "kind", "inhabitants", "valid_from")
_SUCCESSIONS = ("old_ars", "old_name", "old_kind", "new_ars", "on")


def read_places(path: Path) -> Iterator[Place]:
    """Yield the places of a file. Raises :class:`ConfigurationError`."""
    for row, fields in _rows(path, _PLACES):
        try:
            yield Place(
                area=Area.from_ars(fields["ars"]),
                name=fields["name"],
                kind=AreaKind(fields["kind"]),
                inhabitants=int(fields["inhabitants"]) if fields["inhabitants"] else None,
                valid_from=date.fromisoformat(fields["valid_from"]) if fields["valid_from"] else None,
            )
        except (ValueError, Invalid, Malformed) as exc:
            raise bad_row(path, row, Text("Die Angaben sind ungültig.", "Its values are invalid.")) from exc


def read_successions(path: Path) -> Iterator[Succession]:
    """Yield the successions of a file. Raises :class:`ConfigurationError`."""
    for row, fields in _rows(path, _SUCCESSIONS):
        try:
            on = date.fromisoformat(fields["on"])
            old = Place(
                area=Area.from_ars(fields["old_ars"]),
                name=fields["old_name"],
                kind=AreaKind(fields["old_kind"]),
                valid_until=on - timedelta(days=1),
            )
            yield Succession(old=old, new=Area.from_ars(fields["new_ars"]), on=on)
        except (ValueError, Invalid, Malformed) as exc:
            raise bad_row(path, row, Text("Die Angaben sind ungültig.", "Its values are invalid.")) from exc


def read_postal_codes(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (row, postal code, ARS or AGS) of a CSV with the columns ``plz`` and ``ars`` or ``ags``; others are ignored."""
    for row, fields in _rows(path, ["plz"], strict=False):
        key = fields.get("ars") or fields.get("ags")
        if not key:
            raise bad_row(path, row, Text("Es fehlt ars oder ags.", "There is no ars or ags."))
        yield row, fields["plz"].strip(), key.strip()


def read_parts(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (row, name, ARS or AGS) of a CSV with the columns ``name`` and ``ars`` or ``ags``; others are ignored."""
    for row, fields in _rows(path, ["name"], strict=False):
        key = fields.get("ars") or fields.get("ags")
        if not key:
            raise bad_row(path, row, Text("Es fehlt ars oder ags.", "There is no ars or ags."))
        yield row, " ".join(fields["name"].split()), key.strip()


def _rows(path: Path, columns: Collection[str], *, strict: bool = True) -> Iterator[tuple[int, dict[str, str]]]:
    return sheet_rows(path, columns=columns, largest=_LARGEST, strict=strict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """One page of places; ``total`` counts all that match."""

    places: tuple[Place, ...]
    total: int
    offset: int


class Gazetteer:
    """Every area that the hub knows, the dissolved ones and their successors included. Immutable."""

    def __init__(
        self,
        places: Iterable[Place],
        successions: Iterable[Succession] = (),
        *,
        codes_elsewhere: Mapping[str, str] | None = None,
    ) -> None:
        self._successions: dict[str, list[Succession]] = {}
        listed = list(places)
        for succession in successions:
            self._successions.setdefault(succession.old.area.ars, []).append(succession)
        listed[:0] = [changes[0].old for changes in self._successions.values()]
        self._places = _indexed(listed)
        self._by_ags = {place.area.ags: place for place in listed if len(place.area.ars) == LENGTHS[0]}
        #: Every area that has always existed and still does: what is asked of these does not depend on the day.
        self.lasting = tuple(place.area for place in self if not (place.valid_from or place.valid_until))
        self._known = {ars: known_by(place) for ars, place in self._places.items() if searchable(place)}
        #: The words of all areas in one text, by whose beginnings in it a place is told from the next.
        self._keys = tuple(self._known)
        self._text = "".join(f"{known.text}\n" for known in self._known.values())
        self._starts = [0, *itertools.accumulate(len(known.text) + 1 for known in self._known.values())][:-1]
        #: The lands that some place lies in, by their two digits.
        self.lands = tuple(sorted({ars[:2] for ars in self._places}))
        #: Postal codes of lands that no place lies in, by what the operator's list says.
        self._codes_elsewhere = dict(codes_elsewhere or {})

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

    def same_as(self, area: Area) -> Area:
        """Return the one key of an area that has two: an independent city is a district (5 digits) and a municipality (12)."""
        place = self._places.get(area.ars)
        double = place is not None and place.is_district and place.kind is AreaKind.INDEPENDENT_CITY
        return Area(f"{area.ars:0<12}") if double else area

    def padded(self, area: Area) -> Place | None:
        """Return the area whose key somebody filled up with zeros; None where it is known as it stands, or nothing fits."""
        if self.find(area) is not None:
            return None
        return next((place for each in area.unpadded() if (place := self.find(each)) is not None), None)

    def elsewhere(self, key: str) -> Text | None:
        """Say that a key (ARS or AGS, or the beginning of one) belongs to a land that no known place lies in; None if not."""
        land = key[:2]
        if land not in LANDS or land in self.lands:
            return None
        return Text(
            f"{key} gehört zu {LANDS[land]}, dieser Hub bedient {self.served}.",
            f"{key} belongs to {LANDS[land]}, this hub serves {self.served}.",
        )

    @property
    def served(self) -> str:
        """The names of the lands that places lie in."""
        return ", ".join(LANDS[each] for each in self.lands if each in LANDS)

    def meant(self, key: str) -> Text | None:
        """Say what an unknown key is meant to be: one of another land, or one filled up with zeros; None if neither."""
        if not (key.isascii() and key.isdigit()):
            return None
        # An AGS leaves the four digits of the association out.
        ars = f"{key[:5]}0000{key[5:]}" if len(key) == AGS_LENGTH else key
        padded = self.padded(Area(ars)) if len(ars) in LENGTHS else None
        if padded is None:
            return self.elsewhere(key)
        name, ars = padded.name, padded.area.ars
        return Text(
            f"{key} ist {ars} mit Nullen aufgefüllt ({padded.kind.label.de} {name}). Geben Sie {ars} an, oder die Gemeinde "
            "mit ihren 12 Stellen.",
            f"{key} is {ars} filled up with zeros ({padded.kind.label.en} {name}). Give {ars}, or the municipality with its "
            "12 digits.",
        )

    def land_of_code(self, code: str) -> str | None:
        """Return the two digits of the land that the operator's list names for a postal code none of our places has."""
        return self._codes_elsewhere.get(code)

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
        hits = [place for place, known in self._searched(dissolved=dissolved) if search.matches(known)]
        return SearchResult(places=tuple(hits[offset : offset + limit]), total=len(hits), offset=offset)

    def matching(self, word: str, among: frozenset[str] | None = None) -> frozenset[str]:
        """Return the keys of the areas that one word fits, dissolved ones included; ``among``: of these alone.

        Raises as :meth:`search` does.
        """
        search = Search([word])
        if search.parts:
            return self._containing(search.parts)
        known = self._known.items()
        return frozenset(ars for ars, each in known if (among is None or ars in among) and search.matches(each))

    def _containing(self, parts: Iterable[str]) -> frozenset[str]:
        """Return the keys of the areas that have one of some parts of words: a pass over one text, whatever is in it."""
        found: set[str] = set()
        for part in parts:
            at = self._text.find(part)
            while at >= 0:
                place = bisect_right(self._starts, at) - 1
                found.add(self._keys[place])
                end = self._starts[place + 1] if place + 1 < len(self._starts) else len(self._text)
                at = self._text.find(part, end)
        return frozenset(found)

    def _searched(self, *, dissolved: bool) -> Iterator[tuple[Place, Known]]:
        for ars, known in self._known.items():
            place = self._places[ars]
            if dissolved or place.valid_until is None:
                yield place, known

    def distinction(self, place: Place) -> Text:
        """Return what tells a place from others of its name: its kind, what it lies in, and whether it still is."""
        around = "".join(f", {each.name}" for each in self.above(place.area)[:1])
        kind = place.kind.label
        ended = Text("", "")
        if place.valid_until is not None:
            ended = Text(f", bis {place.valid_until:%d.%m.%Y}", f", until {place.valid_until}")
        return Text(f"{kind.de}{around}{ended.de}", f"{kind.en}{around}{ended.en}")

    def with_parts(self, path: Path) -> Gazetteer:
        """Return a gazetteer that also finds by what lies in municipalities, from a CSV with the columns ``name`` and ``ars``.

        Keys of dissolved municipalities count for their successor. Raises :class:`ConfigurationError`.
        """
        parts: dict[str, set[str]] = {}
        for row, name, key in read_parts(path):
            place = self.find(key)
            if place is None:
                raise bad_row(path, row, Text("Der ARS ist unbekannt.", "The ARS is unknown."))
            for owner in (place, *self.successors(place.area, date.max)):
                parts.setdefault(owner.area.ars, set()).add(name)
        return self._of(
            (replace(place, parts=tuple(sorted(parts.get(place.area.ars, ())))) for place in self),
            self._codes_elsewhere,
        )

    def _of(self, places: Iterable[Place], codes_elsewhere: Mapping[str, str]) -> Gazetteer:
        changes = (change for changes in self._successions.values() for change in changes)
        return Gazetteer(places, changes, codes_elsewhere=codes_elsewhere)

    def with_postal_codes(self, path: Path) -> Gazetteer:
        """Return a gazetteer that also finds by postal code, from a CSV with the columns ``plz`` and ``ars``.

        Keys of dissolved municipalities count for their successor. Raises :class:`ConfigurationError`.
        """
        codes: dict[str, set[str]] = {}
        elsewhere: dict[str, str] = {}
        for row, code, ars in read_postal_codes(path):
            if ars in LANDS and ars not in self.lands:
                elsewhere.setdefault(code, ars)
                continue
            place = self.find(ars)
            if place is None:
                raise bad_row(path, row, Text("Der ARS ist unbekannt.", "The ARS is unknown."))
            for owner in (place, *self.successors(place.area, date.max)):
                codes.setdefault(owner.area.ars, set()).add(code)
        return self._of(
            (replace(place, postal_codes=tuple(sorted(codes.get(place.area.ars, ())))) for place in self), elsewhere
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


_LONGEST = 200
_POSTAL_LENGTH = 5
_CODE = re.compile(r"[0-9]{5}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was found, best first; dissolved areas last. ``choice``: one postal code, several municipalities.

    ``note`` says what a key, a postal code or a land is that no known area has; ``parts`` by ARS which parts were named.
    """

    places: tuple[Place, ...]
    choice: bool = False
    note: Text | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def look_up(gazetteer: Gazetteer, text: str) -> Found:
    """Find areas by what somebody typed.

    Digits are an ARS (also as a region, ``DE…``), an AGS, the beginning of one, or a postal code; anything else are
    words, each of which must be part of the name.

    Raises:
        Malformed: a word of one letter, or with asterisks in strange places.
        TooLarge: more than 200 characters, or too many words.
    """
    if len(text) > _LONGEST:
        raise TooLarge(Text(f"Höchstens {_LONGEST} Zeichen.", f"At most {_LONGEST} characters."))
    key = "".join(text.split()).upper().removeprefix("DE")
    if key.isascii() and key.isdigit():
        return _by_digits(gazetteer, key)
    said = _lettered([word for part in re.split(r"[\s/,;()]+", _parted(text)) if (word := part.strip())])
    if not said:
        return Found(places=())
    found = _by_words(gazetteer, said)
    return Found(
        places=_best_first(found, said),
        note=None if found else _other_land(gazetteer, said),
        parts={place.area.ars: named for place in found if (named := _parts_named(place, said))},
    )


def _lettered(said: list[str]) -> list[str]:
    """Return words with a dot behind single letters beside others: Frankfurt/M, Bad Homburg v d H."""
    if all(len(word) == 1 for word in said):
        return said
    return [f"{word}." if len(word) == 1 and word.isalpha() else word for word in said]


def _by_words(gazetteer: Gazetteer, said: list[str]) -> tuple[Place, ...]:
    """Return what is found by all words, else without a postal code or kinds, or hyphens parted, else with the areas around."""
    Search(_anywhere(said))  # Refuses what is no search.
    fitting = _Fitting(gazetteer)
    named = [word for word in said if word.casefold() not in KIND_NAMES]
    uncoded = [word for word in said if not _CODE.fullmatch(word)]
    both = [word for word in named if word in uncoded]
    parted = [part for word in said for part in word.split("-") if len(part) > 1]
    for words in (said, uncoded, named, both, parted):
        if found := fitting.all_of(words):
            return found
    return fitting.around(both)


class _Fitting:
    """Which areas the words of one search fit, each word looked for once."""

    def __init__(self, gazetteer: Gazetteer) -> None:
        self._gazetteer = gazetteer
        self._known: dict[str, frozenset[str]] = {}

    def all_of(self, words: Sequence[str]) -> tuple[Place, ...]:
        """Return the areas that all words fit; what is written short is looked for among those alone that the rest fits."""
        found: frozenset[str] | None = None
        for word in sorted(set(words), key=lambda each: DOTTED.fullmatch(each) is not None):
            hits = self._fits(word, found)
            found = hits if found is None else found & hits
        return self._places(found or frozenset())

    def around(self, words: Sequence[str]) -> tuple[Place, ...]:
        """Return areas that some word fits, where the others fit them or areas around them: Taunusstein Hessen."""
        if len(words) < 2:  # noqa: PLR2004  # one for the place, one for what it lies in
            return ()
        hits = [self._fits(word, None) for word in words]
        return self._places(ars for ars in frozenset().union(*hits) if all(_lies_in(ars, each) for each in hits))

    def _fits(self, word: str, among: frozenset[str] | None) -> frozenset[str]:
        if DOTTED.fullmatch(word):
            return self._gazetteer.matching(word, among)
        if word not in self._known:
            self._known[word] = self._gazetteer.matching(_anywhere([word])[0])
        return self._known[word]

    def _places(self, found: Iterable[str]) -> tuple[Place, ...]:
        return tuple(place for ars in sorted(found) if (place := self._gazetteer.find(ars)) is not None)


def _lies_in(ars: str, hits: frozenset[str]) -> bool:
    return any(prefix in hits for prefix in Area(ars).prefixes())


def _anywhere(words: Iterable[str]) -> list[str]:
    return [word if "*" in word or DOTTED.fullmatch(word) else f"*{word}*" for word in words]


def _parts_named(place: Place, said: Sequence[str]) -> tuple[str, ...]:
    """Return the parts of a place that somebody named, and not the place's own name."""
    if not place.parts:
        return ()
    own, words = known_as(words_of(place.name)), [part for word in said for part in word.split("-") if len(part) > 1]
    searches = [search for word in _anywhere(words) if not (search := Search([word])).matches(own)]
    return tuple(part for part in place.parts if any(each.matches(known_as(words_of(part))) for each in searches))


def _parted(text: str) -> str:
    """Return a text with a blank behind each dot that stands for letters left out: a.M., v.d.H."""
    return DOTTED.sub(r"\1. ", text)


def _best_first(places: Iterable[Place], said: Sequence[str]) -> tuple[Place, ...]:
    """Return places in order: of the kind that was said (Landkreis Kassel), the very name before others, dissolved last."""
    kinds = frozenset(kind for word in said for kind in KIND_NAMES.get(word.casefold(), ()))
    rest = " ".join(word for word in said if word.casefold() not in KIND_NAMES)

    wanted = folded(rest)

    def rank(place: Place) -> tuple[bool, bool, int, bool]:
        of_kind = not kinds or place.kind in kinds
        return place.valid_until is not None, not of_kind, _distance(place, wanted), not place.is_municipality

    return tuple(sorted(places, key=rank))


def _distance(place: Place, wanted: frozenset[str]) -> int:
    """Return how far a place's name is from what was said: 0 the very name, 1 a part's, 2 its beginning, 3 anything else."""
    named = folded(re.split(r",| \(", place.name)[0])
    if not named.isdisjoint(wanted):
        return 0
    if any(not folded(part).isdisjoint(wanted) for part in place.parts):
        return 1
    return 2 if any(name.startswith(each) for name in named for each in wanted if each) else 3


def _other_land(gazetteer: Gazetteer, said: Sequence[str]) -> Text | None:
    """Say that what is looked for is another land: Berlin, Hamburg."""
    name = folded(" ".join(word for word in said if word.casefold() not in KIND_NAMES))
    land = next((key for key, each in LANDS.items() if key not in gazetteer.lands and folded(each) & name), None)
    if land is None:
        return None
    return Text(
        f"{LANDS[land]} ist ein anderes Land, dieser Hub bedient {gazetteer.served}.",
        f"{LANDS[land]} is another land, this hub serves {gazetteer.served}.",
    )


def _by_digits(gazetteer: Gazetteer, digits: str) -> Found:
    exact = gazetteer.by_ags(digits) if len(digits) == AGS_LENGTH else gazetteer.find(digits)
    coded = gazetteer.by_postal_code(digits) if len(digits) == _POSTAL_LENGTH else ()
    if exact is not None:
        return Found(places=(exact, *coded))
    if coded:
        return Found(places=coded, choice=len(coded) > 1)
    padded = gazetteer.padded(Area(digits)) if len(digits) in LENGTHS else None
    if padded is not None:
        return Found(places=(padded,), note=gazetteer.meant(digits))
    begun = [place for place in gazetteer if searchable(place) and _begins(place, digits)]
    return Found(places=_dissolved_last(begun), note=None if begun else _note(gazetteer, digits))


def _note(gazetteer: Gazetteer, digits: str) -> Text | None:
    """Say what digits are that no known area begins with: a postal code or a key of another land."""
    land = gazetteer.land_of_code(digits)
    if land is not None:
        return _code_elsewhere(gazetteer, digits, land)
    # Five digits may be a postal code as well as the key of a district: nobody can tell whose.
    return None if len(digits) == _POSTAL_LENGTH else gazetteer.elsewhere(digits)


def _code_elsewhere(gazetteer: Gazetteer, code: str, land: str) -> Text:
    return Text(
        f"Die Postleitzahl {code} gehört zu {LANDS[land]}, dieser Hub bedient {gazetteer.served}.",
        f"The postal code {code} belongs to {LANDS[land]}, this hub serves {gazetteer.served}.",
    )


def _begins(place: Place, digits: str) -> bool:
    return place.area.ars.startswith(digits) or place.area.ags.startswith(digits)


def _dissolved_last(places: Iterable[Place]) -> tuple[Place, ...]:
    return tuple(sorted(places, key=lambda place: place.valid_until is not None))
