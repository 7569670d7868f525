"""Looking an area up as people do: by key or part of one, by postal code, by name or part of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hub.areas.area import AGS_LENGTH
from hub.areas.gazetteer import Gazetteer
from hub.areas.place import Place
from hub.areas.search import searchable
from hub.errors import Text, TooLarge

_LONGEST = 200
_POSTAL_LENGTH = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What was found, best first; dissolved areas last. ``choice``: one postal code, several municipalities."""

    places: tuple[Place, ...]
    choice: bool = False


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
    words = [word if "*" in word else f"*{word}*" for word in text.split()]
    if not words:
        return Found(places=())
    return Found(places=_dissolved_last(gazetteer.search(words, limit=len(gazetteer), dissolved=True).places))


def _by_digits(gazetteer: Gazetteer, digits: str) -> Found:
    exact = gazetteer.by_ags(digits) if len(digits) == AGS_LENGTH else gazetteer.find(digits)
    coded = gazetteer.by_postal_code(digits) if len(digits) == _POSTAL_LENGTH else ()
    if exact is not None:
        return Found(places=(exact, *coded))
    if coded:
        return Found(places=coded, choice=len(coded) > 1)
    begun = [place for place in gazetteer if searchable(place) and _begins(place, digits)]
    return Found(places=_dissolved_last(begun))


def _begins(place: Place, digits: str) -> bool:
    return place.area.ars.startswith(digits) or place.area.ags.startswith(digits)


def _dissolved_last(places: Iterable[Place]) -> tuple[Place, ...]:
    return tuple(sorted(places, key=lambda place: place.valid_until is not None))
