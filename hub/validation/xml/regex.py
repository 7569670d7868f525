"""Regular expressions of schemas (XML Schema part 2 appendix F, ECMA-262) as position automata, to be judged, not run.

Every character of a pattern becomes a position; ``follow`` says which positions may come after which (Glushkov). Sets of
characters are sorted, disjoint intervals of code points. A count of ten or more is as good as endless; a smaller one is
unrolled to at most two copies, which is enough to see whether a match can be found in several ways.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby

Chars = tuple[tuple[int, int], ...]

_LAST = 0x10FFFF
ANY: Chars = ((0, _LAST),)
_DIGITS: Chars = ((0x30, 0x39),)
_SPACE: Chars = ((9, 10), (13, 13), (32, 32))
_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "0": 0}
_CLASSES = frozenset("dDwWsSiIcC")
_ENDLESS = 10
_COPIES = 2
_POSITIONS = 20_000
_DEPTH = 60


class PatternError(ValueError):
    """A pattern that cannot be read, or uses what no judge can follow (back references)."""


@dataclass(slots=True)
class Automaton:
    """Positions with their characters; ``follow[p]`` are the positions after ``p``, ``doubled`` edges met twice.

    A text starts at one of ``first`` and ends at one of ``last``.
    """

    chars: list[Chars] = field(default_factory=list)
    follow: list[set[int]] = field(default_factory=list)
    doubled: set[tuple[int, int]] = field(default_factory=set)
    first: frozenset[int] = frozenset()
    last: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class _Part:
    nullable: bool
    first: frozenset[int]
    last: frozenset[int]


_EMPTY = _Part(nullable=True, first=frozenset(), last=frozenset())


def automaton_of(pattern: str) -> Automaton:
    """Read a pattern.

    Raises:
        PatternError: It cannot be read or is too large.
    """
    reader = _Reader(pattern)
    whole = reader.alternatives(0)
    if reader.rest:
        raise PatternError("unbalanced parenthesis")
    reader.automaton.first, reader.automaton.last = whole.first, whole.last
    return reader.automaton


def overlap(one: Chars, other: Chars) -> bool:
    """Whether two sets share a character."""
    i = j = 0
    while i < len(one) and j < len(other):
        if one[i][1] < other[j][0]:
            i += 1
        elif other[j][1] < one[i][0]:
            j += 1
        else:
            return True
    return False


def union(*sets: Chars) -> Chars:
    """Return the union of sets."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(interval for chars in sets for interval in chars):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(chars: Chars) -> Chars:
    """Return every character that is not in a set."""
    found, start = [], 0
    for low, high in chars:
        if low > start:
            found.append((start, low - 1))
        start = high + 1
    if start <= _LAST:
        found.append((start, _LAST))
    return tuple(found)


#: Planes that hold nothing but code points of one category, so that they need not be asked one by one.
_UNIFORM = (
    *((0x34000, 0xDFFFF, "Cn"), (0xE1000, 0xEFFFF, "Cn"), (0xF0000, 0xFFFFD, "Co"), (0xFFFFE, 0xFFFFF, "Cn")),
    *((0x100000, 0x10FFFD, "Co"), (0x10FFFE, 0x10FFFF, "Cn")),
)


@lru_cache(maxsize=1)
def _categories() -> dict[str, Chars]:
    """Return the characters of every general category, of two letters and of one."""
    runs = list(_UNIFORM)
    for start, end in ((0, 0x34000), (0xE0000, 0xE1000)):
        at = start
        for category, members in groupby(map(unicodedata.category, map(chr, range(start, end)))):
            low, at = at, at + sum(1 for _ in members)
            runs.append((low, at - 1, category))
    found: dict[str, list[tuple[int, int]]] = {}
    for low, high, category in runs:
        for name in (category, category[0]):
            found.setdefault(name, []).append((low, high))
    return {name: union(tuple(intervals)) for name, intervals in found.items()}


def _category(name: str) -> Chars:
    # Blocks (IsBasicLatin) and scripts are taken for everything: too cautious rather than too trusting.
    return _categories().get(name, ANY)


def _class(character: str) -> Chars:
    lower = character.lower()
    if lower == "d":
        chars = union(_DIGITS, _category("Nd"))
    elif lower == "s":
        chars = _SPACE
    elif lower == "i":
        chars = union(_category("L"), ((0x3A, 0x3A), (0x5F, 0x5F)))
    elif lower == "c":
        chars = union(_category("L"), _category("N"), _category("M"), ((0x2D, 0x2E), (0x3A, 0x3A), (0x5F, 0x5F)))
    else:
        chars = union(_category("L"), _category("N"), _category("M"), _category("S"), ((0x5F, 0x5F),))
    return complement(chars) if character.isupper() else chars


#: Escapes inside a class after which libxml2 still reads it right: of one character, of white space and names, of a block.
_READ_RIGHT = re.compile(r"\\(?:[nrt\\|.\-^?*+{}()\[\]sic]|p\{Is[^}]*\})")


def is_read_right(atom: str) -> bool:
    """Whether libxml2 reads a class or an escape as XML Schema does, by current Unicode (its own is that of 2002)."""
    if atom[0] == "\\":
        return atom[1] not in "pPdDwW" or atom[2:5] == "{Is"
    return "-[" not in atom and "\\" not in _READ_RIGHT.sub("", atom)


def characters_of(pattern: str, at: int) -> tuple[Chars, tuple[str, ...], int]:
    """Return the characters of the class or escape at a position, blocks that it adds to them, and where it ends.

    Unlike for judging, the characters are exactly those of XML Schema (part 2, appendix F).

    Raises:
        PatternError: It cannot be read, or takes a block away, of which the characters are not known here.
    """
    reader = _ExactReader(pattern, at)
    chars = reader.read()
    return chars, tuple(reader.blocks), reader.at


class _Reader:
    """Reads a pattern from left to right into an automaton."""

    def __init__(self, pattern: str) -> None:
        self.automaton = Automaton()
        self._pattern = pattern
        self._at = 0

    @property
    def rest(self) -> str:
        """What is not read yet."""
        return self._pattern[self._at :]

    def alternatives(self, depth: int) -> _Part:
        """Read ``a|b|…`` up to a closing parenthesis or the end."""
        if depth > _DEPTH:
            raise PatternError("nested too deeply")
        parts = [self._sequence(depth)]
        while self._take("|"):
            parts.append(self._sequence(depth))
        return _Part(
            nullable=any(part.nullable for part in parts),
            first=frozenset().union(*(part.first for part in parts)),
            last=frozenset().union(*(part.last for part in parts)),
        )

    def _sequence(self, depth: int) -> _Part:
        whole = _EMPTY
        while self._at < len(self._pattern) and self._pattern[self._at] not in "|)":
            start = self._at
            part = self._atom(depth)
            whole = self._joined(whole, self._repeated(part, start, depth))
        return whole

    def _repeated(self, part: _Part, start: int, depth: int) -> _Part:
        end = self._at
        bounds = self._quantifier()
        if bounds is None:
            return part
        least, most = bounds
        after = self._at
        endless = most is None or most >= _ENDLESS
        copies = max(1, min(_COPIES, least if endless else most or 0))
        whole = part
        for number in range(1, copies):
            # The same characters once more, as positions of their own.
            self._at = start
            again = self._atom(depth)
            optional = not endless and number >= least
            whole = self._joined(whole, _optional(again) if optional else again)
            part = again
        if self._at != after:
            self._at = after
        if endless:
            self._connect(part.last, part.first)
        assert end <= after  # noqa: S101  # A quantifier is read forward.
        return _optional(whole) if least == 0 else whole

    def _quantifier(self) -> tuple[int, int | None] | None:
        bounds: tuple[int, int | None] | None = None
        for sign, meant in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                bounds = meant
                break
        if bounds is None and self.rest.startswith("{"):
            bounds = self._counts()
        if bounds is not None and not self._take("?"):
            self._take("+")
        return bounds

    def _counts(self) -> tuple[int, int | None] | None:
        inside, closed, _ = self.rest[1:].partition("}")
        least, comma, most = inside.partition(",")
        if not closed or not least.isdecimal() or (most and not most.isdecimal()):
            return None
        self._at += len(inside) + 2
        if not comma:
            return int(least), int(least)
        return int(least), int(most) if most else None

    def _atom(self, depth: int) -> _Part:
        sign = self._next()
        if sign == "(":
            return self._group(depth)
        if sign in "^$":
            return _EMPTY
        if sign == "[":
            return self._position(self._set(depth))
        if sign == ".":
            return self._position(ANY)
        if sign == "\\":
            escaped = self._escape(in_set=False)
            return _EMPTY if escaped is None else self._position(escaped)
        return self._position(((ord(sign), ord(sign)),))

    def _group(self, depth: int) -> _Part:
        looks = False
        if self._take("?"):
            if self._take("<"):
                looks = self.rest[:1] in ("=", "!")
                while self._next() not in "=!>":
                    pass
            else:
                looks = self._next() in "=!"
        part = self.alternatives(depth + 1)
        if not self._take(")"):
            raise PatternError("unbalanced parenthesis")
        # What only looks ahead or behind consumes nothing; its inside is judged all the same.
        return _EMPTY if looks else part

    def _set(self, depth: int) -> Chars:
        if depth > _DEPTH:
            raise PatternError("nested too deeply")
        negated = self._take("^")
        found: list[Chars] = []
        taken: Chars = ()
        while not self._take("]"):
            if self.rest.startswith("-["):
                self._at += 2
                taken = self._set(depth + 1)
                continue
            found.append(self._range())
        chars = union(*found)
        chars = complement(chars) if negated else chars
        return complement(union(complement(chars), taken)) if taken else chars

    def _range(self) -> Chars:
        low = self._member()
        if len(low) != 1 or low[0][0] != low[0][1] or not self.rest.startswith("-") or self.rest[1:2] in ("]", "["):
            return low
        self._at += 1
        high = self._member()
        if not high or high[-1][1] < low[0][0]:
            raise PatternError("a range that runs backwards")
        return ((low[0][0], high[-1][1]),)

    def _member(self) -> Chars:
        sign = self._next()
        if sign == "\\":
            return self._escape(in_set=True) or ()
        return ((ord(sign), ord(sign)),)

    def _escape(self, *, in_set: bool) -> Chars | None:
        character = self._next()
        if character in _CLASSES:
            return _class(character)
        if character in "pP":
            return self._property(negated=character == "P")
        if character in "bB" and not in_set:
            return None
        if character in "ux":
            return self._code_point(4 if character == "u" else 2)
        if character in _CONTROLS:
            return ((_CONTROLS[character], _CONTROLS[character]),)
        if character.isdecimal() or character == "k":
            raise PatternError("a back reference")
        return ((ord(character), ord(character)),)

    def _property(self, *, negated: bool) -> Chars:
        if not self._take("{"):
            raise PatternError("a property without a name")
        name, closed, _ = self.rest.partition("}")
        if not closed:
            raise PatternError("a property without an end")
        self._at += len(name) + 1
        chars = _category(name.rpartition("=")[2])
        return complement(chars) if negated and chars != ANY else chars

    def _code_point(self, digits: int) -> Chars:
        text = self.rest[:digits]
        self._at += digits
        try:
            point = int(text, 16)
        except ValueError as error:
            raise PatternError("a code point that is none") from error
        return ((point, point),)

    def _position(self, chars: Chars) -> _Part:
        number = len(self.automaton.chars)
        if number >= _POSITIONS:
            raise PatternError("too large")
        self.automaton.chars.append(chars)
        self.automaton.follow.append(set())
        return _Part(nullable=False, first=frozenset({number}), last=frozenset({number}))

    def _joined(self, one: _Part, other: _Part) -> _Part:
        self._connect(one.last, other.first)
        return _Part(
            nullable=one.nullable and other.nullable,
            first=one.first | other.first if one.nullable else one.first,
            last=one.last | other.last if other.nullable else other.last,
        )

    def _connect(self, before: frozenset[int], after: frozenset[int]) -> None:
        for position in before:
            follow = self.automaton.follow[position]
            if follow & after:
                self.automaton.doubled.update((position, next_one) for next_one in follow & after)
            follow |= after

    def _next(self) -> str:
        if self._at >= len(self._pattern):
            raise PatternError("it ends too early")
        self._at += 1
        return self._pattern[self._at - 1]

    def _take(self, sign: str) -> bool:
        if self._pattern.startswith(sign, self._at):
            self._at += 1
            return True
        return False


def _optional(part: _Part) -> _Part:
    return _Part(nullable=True, first=part.first, last=part.last)


class _ExactReader(_Reader):
    """Reads one class or escape by XML Schema alone."""

    def __init__(self, pattern: str, at: int) -> None:
        super().__init__(pattern)
        self._at = at
        self._whole = True
        self.blocks: list[str] = []

    @property
    def at(self) -> int:
        """Where the reader stands."""
        return self._at

    def read(self) -> Chars:
        """Read the class or escape."""
        if self._next() == "[":
            return self._set(0)
        return self._escape(in_set=True) or ()

    def _set(self, depth: int) -> Chars:
        self._whole = self._whole and not self.rest.startswith("^") and depth == 0
        chars = super()._set(depth)
        if self.blocks and not self._whole:
            raise PatternError("a block that is taken away")
        return chars

    def _escape(self, *, in_set: bool) -> Chars | None:
        escape = self.rest[:1]
        if escape in ("w", "W", "d", "D", "i", "I", "c", "C"):
            self._at += 1
            chars = _EXACT[escape.lower()]()
            return complement(chars) if escape.isupper() else chars
        return super()._escape(in_set=in_set)

    def _property(self, *, negated: bool) -> Chars:
        name = self.rest[1:].partition("}")[0]
        if not name.startswith("Is"):
            if name not in _categories():
                raise PatternError("an unknown category")
            return super()._property(negated=negated)
        self._at += len(name) + 2
        self.blocks.append(f"\\{'P' if negated else 'p'}{{{name}}}")
        return ()


def _name_start() -> Chars:
    return _NAME_START


def _name() -> Chars:
    return union(_NAME_START, _NAME_REST)


#: NameStartChar and what NameChar adds (XML 1.0, fifth edition, section 2.3), without what the second did not know at all.
_NAME_START: Chars = (
    *((0x3A, 0x3A), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x2FF)),
    *((0x370, 0x37D), (0x37F, 0x1FFF), (0x200C, 0x200D), (0x2070, 0x218F), (0x2C00, 0x2FEF), (0x3001, 0xD7FF)),
    *((0xF900, 0xFDCF), (0xFDF0, 0xFFFD)),
)
_NAME_REST: Chars = ((0x2D, 0x2E), (0x30, 0x39), (0xB7, 0xB7), (0x300, 0x36F), (0x203F, 0x2040))
_EXACT = {
    "d": lambda: _category("Nd"),
    "w": lambda: complement(union(_category("P"), _category("Z"), _category("C"))),
    "i": _name_start,
    "c": _name,
}
