"""Patterns of schemas that an engine which goes back needs exponential time for, judged in one pass over the text.

What may follow is worked out by derivatives, as of content models (:mod:`hub.validation.xml.content`), character by character,
and remembered: an automaton grows as texts need it. Such patterns are taken out of what libxml2 compiles.
"""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache

from hub.errors import Text, TooLarge
from hub.validation.xml.content import Model, after, in_order, may_end
from hub.validation.xml.patterns import is_dangerous
from hub.validation.xml.regex import PatternError, characters_of, complement

_COUNT = re.compile(r"\{([0-9]+)(,?)([0-9]*)\}")
_SIGNS = {"?": (0, 1), "*": (0, -1), "+": (1, -1)}
_ANY_CHARACTER = complement(((0xA, 0xA), (0xD, 0xD)))
#: Most ways that are followed at once, steps that are remembered, and how deep groups stand in one another.
_WAYS, _STEPS, _DEPTH = 300, 20_000, 50


class LinearPattern:
    """A pattern (part 2, appendix F) that judges any text in time that grows with its length. Thread-safe."""

    def __init__(self, pattern: str) -> None:
        """Read a pattern.

        Raises:
            PatternError: It breaks the grammar, or names a block or a category that is unknown.
        """
        self._start = frozenset((_Reader(pattern).read(),))
        self._steps: dict[tuple[frozenset[Model], str], frozenset[Model]] = {}

    def matches(self, text: str) -> bool:
        """Whether the whole text matches.

        Raises:
            TooLarge: There are more ways to match it than are followed.
        """
        ways = self._start
        for character in text:
            found = self._steps.get((ways, character))
            if found is None:
                found = frozenset(way for each in ways for way in after(each, character))
                if len(found) > _WAYS:
                    raise TooLarge(_GIVEN_UP)
                if len(self._steps) >= _STEPS:
                    self._steps.clear()
                self._steps[ways, character] = found
            if not found:
                return False
            ways = found
        return any(map(may_end, ways))


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0

    def read(self) -> Model:
        whole = self._branches(0)
        if self._at < len(self._pattern):
            raise PatternError("unbalanced parenthesis")
        return whole

    def _branches(self, depth: int) -> Model:
        if depth > _DEPTH:
            raise PatternError("nested too deeply")
        branches = [self._branch(depth)]
        while self._next() == "|":
            self._at += 1
            branches.append(self._branch(depth))
        return branches[0] if len(branches) == 1 else ("one of", tuple(branches))

    def _branch(self, depth: int) -> Model:
        parts: list[Model] = []
        while self._next() and self._next() not in "|)":
            parts.append(self._often(self._atom(depth)))
        return in_order(parts)

    def _atom(self, depth: int) -> Model:
        sign = self._next()
        if sign == "(":
            self._at += 1
            inner = self._branches(depth + 1)
            if self._next() != ")":
                raise PatternError("unbalanced parenthesis")
            self._at += 1
            return inner
        if sign in "[\\":
            chars, self._at = characters_of(self._pattern, self._at)
            return "of", chars
        if sign in "?*+{}]":
            raise PatternError(f"{sign} stands where a character should")
        self._at += 1
        return "of", _ANY_CHARACTER if sign == "." else ((ord(sign), ord(sign)),)

    def _often(self, atom: Model) -> Model:
        count = _COUNT.match(self._pattern, self._at)
        if count is not None:
            self._at = count.end()
            least = int(count[1])
            most = (int(count[3]) if count[3] else -1) if count[2] else least
            if most != -1 and most < least:
                raise PatternError("a count that ends before it begins")
            return "times", atom, least, most
        if self._next() and self._next() in _SIGNS:
            least, most = _SIGNS[self._next()]
            self._at += 1
            return "times", atom, least, most
        return atom

    def _next(self) -> str:
        return self._pattern[self._at : self._at + 1]


@lru_cache(maxsize=256)
def linear(pattern: str) -> LinearPattern:
    """Return a pattern ready to judge.

    Raises:
        PatternError: As when it is read.
    """
    return LinearPattern(pattern)


@lru_cache(maxsize=4096)
def is_judged_apart(pattern: str) -> bool:
    """Whether a pattern is kept from libxml2 and judged here: it is dangerous there, and can be read."""
    with suppress(PatternError):
        return is_dangerous(pattern) and linear(pattern) is not None
    return False


_GIVEN_UP = Text(
    "Die Prüfung eines Musters wurde abgebrochen, weil sie an einem Wert zu lange dauerte. Kürzen Sie lange Texte.",
    "Checking a pattern was given up because it took too long on a value. Shorten long texts.",
)
