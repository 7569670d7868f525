"""Naming the character that is not allowed, where a pattern is a repertoire of characters (such as those of DIN 91379).

A pattern of that kind, hundreds of letters and combining sequences repeated at will, tells a sender nothing. The code point
and its position do; they are the only thing of a payload that a report repeats.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from hub.errors import Text
from hub.validation.xml.regex import Automaton, Chars, PatternError, automaton_of

#: A repertoire allows at least this many characters; less is a form, not a repertoire.
_REPERTOIRE = 60
#: Characters of a text that are looked at.
_LOOKED_AT = 5_000
#: What stands in the namespaces of the schemas of DIN 91379 and of its predecessor.
_DIN_NAMESPACES = ("din-91379", "din-norm-91379", "latinchars")


@dataclass(frozen=True, kw_only=True, slots=True)
class Offence:
    """The first character of a text that is not allowed.

    ``position`` counts code points from 1; ``decomposed`` says that the text would pass in Unicode's form NFC.
    """

    code_point: int
    position: int
    decomposed: bool

    @property
    def rule(self) -> str:
        """The id of the broken rule."""
        return "character.decomposed" if self.decomposed else "character.not-allowed"

    @property
    def text(self) -> Text:
        """The broken rule in words, with code point and position."""
        name, at = f"U+{self.code_point:04X}", self.position
        if self.decomposed:
            return Text(
                f"Das Zeichen {name} an Stelle {at} gehört mit seinem Vorgänger zu einem zusammengesetzten Zeichen. "
                "Senden Sie den Text in der Unicode-Normalform NFC.",
                f"The character {name} at position {at} belongs to a composed character with the one before it. "
                "Send the text in Unicode normal form NFC.",
            )
        return Text(
            f"Das Zeichen {name} an Stelle {at} gehört nicht zum erlaubten Zeichenvorrat. Ersetzen Sie es.",
            f"The character {name} at position {at} is not in the allowed repertoire. Replace it.",
        )


def offence(pattern: str, text: str) -> Offence | None:
    """Return the first character that a repertoire does not allow; None if the pattern is none or nothing is found."""
    automaton = _repertoire(pattern)
    if automaton is None:
        return None
    position = _stuck(automaton, text[:_LOOKED_AT])
    if position is None:
        return None
    composed = unicodedata.normalize("NFC", text[:_LOOKED_AT])
    return Offence(
        code_point=ord(text[position]),
        position=position + 1,
        decomposed=composed != text[:_LOOKED_AT] and _stuck(automaton, composed) is None,
    )


def is_din_91379(namespace: str) -> bool:
    """Whether a schema's namespace is one of the character set's (KoSIT)."""
    return any(part in namespace for part in _DIN_NAMESPACES)


@lru_cache(maxsize=64)
def _repertoire(pattern: str) -> Automaton | None:
    try:
        automaton = automaton_of(pattern)
    except PatternError:
        return None
    size = sum(high - low + 1 for number in automaton.first for low, high in automaton.chars[number])
    again = all(automaton.first <= automaton.follow[number] for number in automaton.last)
    return automaton if again and size >= _REPERTOIRE else None


def _stuck(automaton: Automaton, text: str) -> int | None:
    """Return where a text leaves the automaton, or None."""
    met: dict[tuple[frozenset[int], str], frozenset[int]] = {}
    current = automaton.first
    for position, character in enumerate(text):
        step = (current, character)
        if step not in met:
            met[step] = _after(automaton, current, ord(character))
        current = met[step]
        if not current:
            return position
    return None


def _after(automaton: Automaton, current: frozenset[int], point: int) -> frozenset[int]:
    reached = [number for number in current if _holds(automaton.chars[number], point)]
    return frozenset().union(*(automaton.follow[number] for number in reached))


def _holds(chars: Chars, point: int) -> bool:
    return any(low <= point <= high for low, high in chars)
