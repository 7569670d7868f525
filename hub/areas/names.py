"""By what an area is found: its name as people write it, its kind, its parts, its postal codes.

Search by words as FIT-Connect's Routing API describes it (``areaSearchexpression``), in linear time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hub.areas.area import AreaKind, Place
from hub.errors import Malformed, Text, TooLarge

_MAX_WORDS = 10
_MAX_WORD_LENGTH = 100
#: FIT-Connect Routing API, ``areaSearchexpression``, written without nested repetition.
_EXPRESSION = re.compile(r"\*?[^*]{2,}(\*[^*]{2,})*\*?")


#: A word that may stand anywhere in another. One of accents alone has nothing left when it is folded.
_WITHIN = re.compile(r"\*[^*]+\*")


def searchable(place: Place) -> bool:
    """Leave out doubles: an association of one, and an independent city's row as a district."""
    is_double = place.is_district and place.kind is AreaKind.INDEPENDENT_CITY
    return place.kind is not AreaKind.ASSOCIATION and not is_double


_SPELT_OUT = {"ä": "ae", "ö": "oe", "ü": "ue"}
_UMLAUTS = str.maketrans(_SPELT_OUT)


def folded(word: str) -> frozenset[str]:
    """Return a word without case, once with umlauts spelt out (ue) and once without their dots (u)."""
    lower = unicodedata.normalize("NFC", word.casefold())
    if lower.isascii():
        return frozenset((lower,))  # Both are this; most words are.
    return frozenset({_bare(lower), lower.translate(_UMLAUTS)})


def one_spelling(text: str) -> str:
    """Return a text without case and accents, umlauts as one whether dotted, spelt out or neither (Führer, Fuehrer).

    For what is compared as a whole and not shown: "ue" that is no umlaut (Neue) loses its e as well.
    """
    plain = _bare(text.casefold())
    for umlaut, spelt in _SPELT_OUT.items():
        plain = plain.replace(spelt, _bare(umlaut))
    return plain


def _bare(lower: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFD", lower) if not unicodedata.combining(c))


#: What people call kinds of areas; official names leave it out as often as not (Kassel is a district and a city).
_KIND_WORDS = {
    AreaKind.STATE: ("Land", "Bundesland"),
    AreaKind.REGION: ("Regierungsbezirk",),
    AreaKind.DISTRICT: ("Landkreis", "Kreis", "LK"),
    AreaKind.INDEPENDENT_CITY: ("Stadt", "kreisfreie"),
    AreaKind.TOWN: ("Stadt",),
    AreaKind.MUNICIPALITY: ("Gemeinde",),
}
KIND_NAMES = {
    word.casefold(): frozenset(kind for kind, words in _KIND_WORDS.items() if word in words)
    for words in _KIND_WORDS.values()
    for word in words
}
#: What single letters with a dot stand for in names: Bad Homburg v. d. Höhe, Heuchelheim a. d. Lahn, Höchst i. Odw.
_SHORT = {
    "v": ("vor", "von"),
    "d": ("der", "dem"),
    "a": ("am", "an"),
    "i": ("im", "in"),
    "st": ("Sankt",),
    "odw": ("Odenwald",),
}
DOTTED = re.compile(r"([^\W\d_]+)\.")


#: Words of a name from which on people write their first letters alone: Bad Homburg vdH.
_ABBREVIATED = 3


@dataclass(frozen=True, slots=True)
class Known:
    """By what a place is found: folded words, and all of them in one text, a line for each."""

    words: frozenset[str]
    text: str


def known_as(words: Iterable[str]) -> Known:
    """Return what words are found by."""
    forms = frozenset(form for word in words for form in folded(word))
    return Known(forms, "\n".join(forms))


def known_by(place: Place) -> Known:
    """Return by what a place is found: its name, its kind, its parts and its postal codes."""
    kinds = _KIND_WORDS.get(place.kind, ())
    parts = (word for part in place.parts for word in words_of(part))
    return known_as([*words_of(place.name), *kinds, *parts, *place.postal_codes])


def words_of(name: str) -> Iterator[str]:
    """Yield the words of a name, the whole of it, what its letters with dots stand for, and how it is run together."""
    words = re.findall(r"\w+", name)
    yield from (*words, name)
    yield from (word for short in DOTTED.findall(name) for word in _SHORT.get(short.casefold(), ()))
    proper = re.findall(r"\w+", _proper(name))
    if len(proper) > 1:
        yield "".join(proper)
    if len(proper) >= _ABBREVIATED:
        # No word begins with a dot, so that this fits beginnings alone.
        yield "." + "".join(word[0] for word in proper)


def _proper(name: str) -> str:
    """Return a name without its title or by-name: Lorsch of Lorsch, Karolingerstadt."""
    return name.partition(",")[0]


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
        dotted = [word for word in said if DOTTED.match(word) and "*" not in word]
        self._short = [part.casefold() for word in dotted for part in DOTTED.findall(word)]
        spelt = [rest for word in dotted if len(rest := DOTTED.sub("", word)) > 1]
        self._patterns = [_pattern(word) for word in [*(word for word in said if word not in dotted), *spelt]]
        inner = {form[1:-1] for pattern in self._patterns for form in pattern if _WITHIN.fullmatch(form)}
        one = len(self._patterns) == 1 and not self._short and len(inner) == len(self._patterns[0])
        #: Where the whole search is one word that may stand anywhere in another: its forms, one of which has to be found.
        self.parts = frozenset(inner) if one else frozenset[str]()

    def matches(self, known: Known) -> bool:
        """Tell whether every pattern matches one of a place's words (see :func:`known_by`)."""
        return all(_matches(pattern, known) for pattern in self._patterns) and all(
            any(_shortens(short, word) for word in known.words) for short in self._short
        )


def _pattern(word: str) -> frozenset[str]:
    """Return the forms of a word; one with hyphens may be written without them (Bad-Homburg)."""
    return folded(word) | folded(word.replace("-", "")) if "-" in word.strip("*-") else folded(word)


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


def _matches(pattern: frozenset[str], known: Known) -> bool:
    return any(_fits(form, known) for form in pattern)


def _fits(form: str, known: Known) -> bool:
    if "*" not in form:
        return form in known.words
    inner = form[1:-1]
    if "*" not in inner and form.startswith("*") and form.endswith("*"):
        return inner in known.text
    parts = form.split("*")
    return any(_wildcard(parts, word) for word in known.words)


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
