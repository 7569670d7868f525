"""Search by words as FIT-Connect's Routing API describes it (``areaSearchexpression``), in linear time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from hub.areas.place import AreaKind, Place
from hub.errors import Malformed, Text, TooLarge

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


def words_of(place: Place) -> frozenset[str]:
    """Return the folded forms by which a place is found."""
    words = re.findall(r"\w+", place.name)
    return frozenset(form for word in [*words, place.name, *place.postal_codes] for form in _folded(word))


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
        self._patterns = [_folded(word) for text in expressions for word in _checked(text).split()]

    def matches(self, words: frozenset[str]) -> bool:
        """Tell whether every pattern matches one of a place's words (see :func:`words_of`)."""
        return all(_matches(pattern, words) for pattern in self._patterns)


def _checked(expression: str) -> str:
    if not _EXPRESSION.fullmatch(expression):
        raise Malformed(
            Text(
                "Ein Suchausdruck hat zwischen Sternen mindestens zwei Zeichen, zum Beispiel Rhein*.",
                "A search expression has at least two characters between asterisks, for example Rhein*.",
            )
        )
    return expression


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
