"""The gazetteer: every area that the hub knows, found by key, name, postal code or descent.

Reading the gazetteer's CSV files: semicolon, UTF-8, strict columns; every refusal names file and row.

Postal codes: a list of the operator's own, judged once when it is imported, and kept in the data folder.

No list is shipped: there is none of the authorities, and what others collect has licences of its own.

The gazetteer of the moment: with the postal codes that an operator brings while the hub runs.

Looking an area up as people do: by key or part of one, by postal code, by name or part of one.

Search by words as FIT-Connect's Routing API describes it (``areaSearchexpression``), in linear time.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path

from hub.areas.area import AGS_LENGTH, LANDS, LENGTHS, Area, AreaKind, Place, Succession
from hub.errors import ConfigurationError, Invalid, Malformed, Text, TooLarge
from hub.files import vault
from hub.files.sheets import bad_row, sheet_rows
from hub.files.watched import WatchedFile, stamp_of

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


def _rows(path: Path, columns: Collection[str], *, strict: bool = True) -> Iterator[tuple[int, dict[str, str]]]:
    return sheet_rows(path, columns=columns, largest=_LARGEST, strict=strict)


_MAX_WORDS = 10
_MAX_WORD_LENGTH = 100
#: FIT-Connect Routing API, ``areaSearchexpression``, written without nested repetition.
_EXPRESSION = re.compile(r"\*?[^*]{2,}(\*[^*]{2,})*\*?")


def searchable(place: Place) -> bool:
    """Leave out doubles: an association of one, and an independent city's row as a district."""
    is_double = place.is_district and place.kind is AreaKind.INDEPENDENT_CITY
    return place.kind is not AreaKind.ASSOCIATION and not is_double


_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def _folded(word: str) -> frozenset[str]:
    """Return a word without case, once with umlauts spelt out (ue) and once without their dots (u)."""
    folded = unicodedata.normalize("NFC", word.casefold())
    plain = "".join(c for c in unicodedata.normalize("NFD", folded) if not unicodedata.combining(c))
    return frozenset({plain, folded.translate(_UMLAUTS)})


#: What people call kinds of areas; official names leave it out as often as not (Kassel is a district and a city).
_KIND_WORDS = {
    AreaKind.STATE: ("Land", "Bundesland"),
    AreaKind.REGION: ("Regierungsbezirk",),
    AreaKind.DISTRICT: ("Landkreis", "Kreis", "LK"),
    AreaKind.INDEPENDENT_CITY: ("Stadt",),
    AreaKind.TOWN: ("Stadt",),
    AreaKind.MUNICIPALITY: ("Gemeinde",),
}
_KINDS = {
    word.casefold(): frozenset(kind for kind, words in _KIND_WORDS.items() if word in words)
    for words in _KIND_WORDS.values()
    for word in words
}
#: What single letters with a dot stand for in names: Bad Homburg v. d. Höhe, Heuchelheim a. d. Lahn, Höchst i. Odw.
_SHORT = {"v": ("vor", "von"), "d": ("der", "dem"), "a": ("am", "an"), "i": ("im", "in"), "odw": ("Odenwald",)}
_DOTTED = re.compile(r"([^\W\d_]+)\.")


def words_of(place: Place) -> frozenset[str]:
    """Return the folded forms by which a place is found."""
    words = re.findall(r"\w+", place.name)
    spelt = [word for short in _DOTTED.findall(place.name) for word in _SHORT.get(short.casefold(), ())]
    kinds = _KIND_WORDS.get(place.kind, ())
    return frozenset(
        form for word in [*words, *spelt, *kinds, place.name, *place.postal_codes] for form in _folded(word)
    )


class Search:
    """A parsed search: every word must match a word of the place's name, or a postal code.

    Raises :class:`Malformed` (an expression breaks the pattern) or :class:`TooLarge` (too many or too long).
    """

    def __init__(self, expressions: Sequence[str]) -> None:
        if len(expressions) > _MAX_WORDS or any(len(text) > _MAX_WORD_LENGTH for text in expressions):
            raise TooLarge(
                Text(
                    f"Höchstens {_MAX_WORDS} Suchausdrücke mit je {_MAX_WORD_LENGTH} Zeichen sind erlaubt.",
                    f"At most {_MAX_WORDS} search expressions of {_MAX_WORD_LENGTH} characters each are allowed.",
                )
            )
        said = [word for text in expressions for word in re.split(r"[\s/]+", _checked(text)) if word]
        dotted = [word for word in said if _DOTTED.match(word) and "*" not in word]
        self._short = [part.casefold() for word in dotted for part in _DOTTED.findall(word)]
        spelt = [rest for word in dotted if len(rest := _DOTTED.sub("", word)) > 1]
        self._patterns = [_folded(word) for word in [*(word for word in said if word not in dotted), *spelt]]

    def matches(self, words: frozenset[str]) -> bool:
        """Tell whether every pattern matches one of a place's words (see :func:`words_of`)."""
        return all(_matches(pattern, words) for pattern in self._patterns) and all(
            any(_shortens(short, word) for word in words) for short in self._short
        )


def _checked(expression: str) -> str:
    if not _EXPRESSION.fullmatch(expression):
        raise Malformed(
            Text(
                "Ein Suchausdruck hat zwischen Sternen mindestens zwei Zeichen, zum Beispiel Rhein*.",
                "A search expression has at least two characters between asterisks, for example Rhein*.",
            )
        )
    return expression


def _shortens(short: str, word: str) -> bool:
    """Tell whether ``short``, written with a dot, may stand for ``word``: it begins so, and holds its letters in order."""
    rest = iter(word)
    return " " not in word and word.startswith(short[0]) and all(each in rest for each in short)


def _matches(pattern: frozenset[str], words: frozenset[str]) -> bool:
    plain = frozenset(form for form in pattern if "*" not in form)
    if plain:
        return not plain.isdisjoint(words)
    return any(_wildcard(form.split("*"), word) for form in pattern for word in words)


def _wildcard(parts: Sequence[str], word: str) -> bool:
    """Match ``word`` against the literal parts between asterisks, greedily from the left: linear time."""
    first, *middle, last = parts
    if len(word) < len(first) + len(last) or not (word.startswith(first) and word.endswith(last)):
        return False
    at, end = len(first), len(word) - len(last)
    for part in middle:
        found = word.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


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
        self._words = {ars: words_of(place) for ars, place in self._places.items() if searchable(place)}
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
        return Gazetteer(
            (replace(place, postal_codes=tuple(sorted(codes.get(place.area.ars, ())))) for place in self),
            (change for changes in self._successions.values() for change in changes),
            codes_elsewhere=elsewhere,
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


_CODE = re.compile(r"[0-9]{5}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What an import brought: codes, municipalities, codes of several municipalities, and rows of unknown lands."""

    codes: int
    municipalities: int
    shared: int
    foreign: int


def import_postal_codes(gazetteer: Gazetteer, source: Path, target: Path) -> Imported:
    """Judge the list ``source`` (CSV with the columns plz and ars, or ags) and keep it as ``target``, whole or not at all.

    Of rows of lands that the gazetteer does not hold only the land is kept, and they are counted.

    Raises:
        ConfigurationError: a code that is not five digits, a key that is none (a leading zero is lost), an unknown
            municipality, or nothing to keep; names file and row.
    """
    owners: dict[str, set[str]] = {}
    elsewhere: dict[str, set[str]] = {}
    foreign = 0
    for row, code, key in read_postal_codes(source):
        if not _CODE.fullmatch(code):
            why = Text(
                "Eine Postleitzahl hat fünf Ziffern. Prüfen Sie führende Nullen.",
                "A postal code has five digits. Check for a lost leading zero.",
            )
            raise bad_row(source, row, why)
        _require_key(source, row, key)
        if key[:2] not in gazetteer.lands:
            foreign += 1
            elsewhere.setdefault(code, set()).add(key[:2])
            continue
        place = gazetteer.by_ags(key) if len(key) == AGS_LENGTH else gazetteer.find(key)
        if place is None:
            why = gazetteer.meant(key) or Text(
                "Diesen ARS oder AGS gibt es nicht. Prüfen Sie führende Nullen.",
                "There is no such ARS or AGS. Check for lost leading zeros.",
            )
            raise bad_row(source, row, why)
        owners.setdefault(code, set()).add(place.area.ars)
    if not owners:
        raise bad_row(
            source, 1, Text("Die Liste nennt keine bekannte Gemeinde.", "The list names no known municipality.")
        )
    _write(target, owners | {code: lands for code, lands in elsewhere.items() if code not in owners})
    return Imported(
        codes=len(owners),
        municipalities=len(set().union(*owners.values())),
        shared=sum(len(each) > 1 for each in owners.values()),
        foreign=foreign,
    )


def _require_key(source: Path, row: int, key: str) -> None:
    """Refuse what is no ARS or AGS, most often for a spreadsheet has taken its leading zero."""
    try:
        if len(key) == AGS_LENGTH:
            Area.from_ars(key[:2])
        else:
            Area.from_ars(key)
    except (Malformed, Invalid) as exc:
        raise bad_row(source, row, exc.detail) from exc


def _write(target: Path, owners: dict[str, set[str]]) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = ["plz;ars", *(f"{code};{ars}" for code in sorted(owners) for ars in sorted(owners[code]))]
    vault.write(target, "".join(f"{line}\n" for line in lines).encode())


class GazetteerBook(WatchedFile[Gazetteer]):
    """Gives the areas with the postal codes of the list ``codes``, where there is one; areas never change while the hub runs.

    A list that does not fit the areas does not stop the start: then there are no codes.
    """

    def __init__(self, areas: Gazetteer, codes: Path, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        def read() -> Gazetteer:
            return areas.with_postal_codes(codes) if codes.is_file() else areas

        what = "postal codes (hub areas import-postal-codes)"
        super().__init__(partial(stamp_of, codes), read, what=what, otherwise=areas, monotonic=monotonic)


_LONGEST = 200
_POSTAL_LENGTH = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was found, best first; dissolved areas last. ``choice``: one postal code, several municipalities.

    ``note`` says what a key, a postal code or a land is that no known area has.
    """

    places: tuple[Place, ...]
    choice: bool = False
    note: Text | None = None


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
    said = [word for part in re.split(r"[\s/,;()]+", _parted(text)) if (word := part.strip())]
    words = [word if "*" in word or _DOTTED.fullmatch(word) else f"*{word}*" for word in said]
    if not words:
        return Found(places=())
    found = gazetteer.search(words, limit=len(gazetteer), dissolved=True).places
    return Found(places=_best_first(found, said), note=None if found else _other_land(gazetteer, said))


def _parted(text: str) -> str:
    """Return a text with a blank behind each dot that stands for letters left out: a.M., v.d.H."""
    return _DOTTED.sub(r"\1. ", text)


def _best_first(places: Iterable[Place], said: Sequence[str]) -> tuple[Place, ...]:
    """Return places in order: of the kind that was said (Landkreis Kassel), the very name before others, dissolved last."""
    kinds = frozenset(kind for word in said for kind in _KINDS.get(word.casefold(), ()))
    rest = " ".join(word for word in said if word.casefold() not in _KINDS)

    def rank(place: Place) -> tuple[bool, bool, bool]:
        named = _folded(re.split(r",| \(", place.name)[0])
        of_kind = place.kind in kinds
        return (
            place.valid_until is not None,
            bool(kinds) and not of_kind,
            bool(kinds) and named.isdisjoint(_folded(rest)),
        )

    return tuple(sorted(places, key=rank))


def _other_land(gazetteer: Gazetteer, said: Sequence[str]) -> Text | None:
    """Say that what is looked for is another land: Berlin, Hamburg."""
    name = _folded(" ".join(word for word in said if word.casefold() not in _KINDS))
    land = next((key for key, each in LANDS.items() if key not in gazetteer.lands and _folded(each) & name), None)
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
