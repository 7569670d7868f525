"""Judging the patterns of schemas before they run.

A backtracking engine (libxml2, Python) needs exponential time on a pattern that can match some text in exponentially many
ways: if from one position there are two different ways, over the same text, back to that position. Patterns that can do
that are refused when a standard is imported; a thread that runs one could not be stopped.

The search runs over pairs of positions that the same text can reach, and looks for a cycle through a position and a pair of
two different ones.

Naming the character that is not allowed, where a pattern is a repertoire of characters (such as those of DIN 91379).

A pattern of that kind, hundreds of letters and combining sequences repeated at will, tells a sender nothing. The code point
and its position do; they are the only thing of a payload that a report repeats.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hub.errors import ConfigurationError, Text
from hub.validation.xml.regex import Automaton, Chars, PatternError, automaton_of, overlap

_XS_PATTERN = "{http://www.w3.org/2001/XMLSchema}pattern"
#: Longest pattern that is judged, and most pairs that are looked at for one.
_LENGTH = 50_000
_PAIRS = 200_000
_SHOWN = 120

#: A position, a set of positions that may come next, or two different positions reached by the same text.
_Node = tuple[str, Any]


def refuse_dangerous_patterns(
    documents: Iterable[tuple[str, Any]],
    *,
    harmless: Callable[[str], bool] | None = None,
    apart: Callable[[str], bool] = lambda _: False,
) -> None:
    """Judge every pattern of XSD documents (lxml roots) or JSON Schemas (mappings), given with their file names.

    ``harmless`` tells which ones the engine of their kind runs in linear time: these are taken however they are written;
    ``apart`` those that are kept from it and judged otherwise.

    Raises:
        ConfigurationError: A pattern is dangerous, or cannot be judged.
    """
    judged: set[str] = set()
    for name, document in documents:
        for pattern in _patterns(document):
            if pattern in judged:
                continue
            judged.add(pattern)
            if harmless is not None and harmless(pattern):
                continue
            way = _UNAMBIGUOUS if harmless is None else _WITHOUT_BACKTRACKING
            try:
                dangerous = is_dangerous(pattern)
            except PatternError as error:
                raise _refused(name, pattern, str(error), way) from error
            if dangerous and not apart(pattern):
                raise _refused(name, pattern, "exponential time", way)


def is_dangerous(pattern: str) -> bool:
    """Whether some text can be matched in exponentially many ways.

    Raises:
        PatternError: The pattern cannot be read, or is too large to judge.
    """
    if len(pattern) > _LENGTH:
        raise PatternError("too large")
    search = _Search(automaton_of(pattern))
    return any(search.is_bad(component) for component in _Components(search))


def _patterns(document: Any) -> Iterator[str]:
    if isinstance(document, Mapping):
        yield from _json_patterns(document)
    else:
        for node in document.iter(_XS_PATTERN):
            yield node.get("value", "")


def _json_patterns(document: Any) -> Iterator[str]:
    waiting = [document]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if isinstance(node.get("pattern"), str):
                yield node["pattern"]
            if isinstance(node.get("patternProperties"), Mapping):
                yield from node["patternProperties"]
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


class _Search:
    """The graph of positions and pairs, made as it is walked."""

    def __init__(self, automaton: Automaton) -> None:
        self._automaton = automaton
        self._sets: dict[frozenset[int], int] = {}
        self._members: list[frozenset[int]] = []
        self._set_of = [self._set_number(frozenset(follow)) for follow in automaton.follow]
        self._pairs = 0

    def starts(self) -> Iterator[_Node]:
        """Yield where the walk begins: every position."""
        return (("position", number) for number in range(len(self._automaton.chars)))

    def after(self, node: _Node) -> list[_Node]:
        """Return the nodes that a node leads to."""
        kind, value = node
        if kind == "position":
            return [("set", self._set_of[value])]
        if kind == "set":
            members = self._members[value]
            return [*(("position", member) for member in members), *self._overlapping(members, members)]
        one, other = value
        if self._set_of[one] == self._set_of[other]:
            return [("set", self._set_of[one])]
        return self._overlapping(self._members[self._set_of[one]], self._members[self._set_of[other]])

    def is_bad(self, component: list[_Node]) -> bool:
        """Whether a strongly connected component holds a position and a pair, or an edge that exists twice."""
        positions = {value for kind, value in component if kind == "position"}
        if positions and any(kind == "pair" for kind, _ in component):
            return True
        return any(one in positions and other in positions for one, other in self._automaton.doubled)

    def _set_number(self, members: frozenset[int]) -> int:
        if members not in self._sets:
            self._sets[members] = len(self._members)
            self._members.append(members)
        return self._sets[members]

    def _overlapping(self, one: frozenset[int], other: frozenset[int]) -> list[_Node]:
        """Return what two positions can both move to on one character: the same position, or a pair."""
        chars = self._automaton.chars
        found: set[_Node] = set()
        for low, high in _sweep(chars, one, other):
            if low == high:
                found.add(("position", low))
            elif overlap(chars[low], chars[high]):
                found.add(("pair", (min(low, high), max(low, high))))
        self._pairs += len(found)
        if self._pairs > _PAIRS:
            raise PatternError("too large")
        return list(found)


def _sweep(chars: list[Chars], one: frozenset[int], other: frozenset[int]) -> Iterator[tuple[int, int]]:
    """Yield pairs, one of each set, whose intervals overlap, in the order of their characters."""
    intervals = sorted((low, high, number) for number in one | other for low, high in chars[number])
    open_ones: list[tuple[int, int]] = []
    for low, high, number in intervals:
        open_ones = [(end, member) for end, member in open_ones if end >= low]
        for _, member in open_ones:
            if (number in one and member in other) or (member in one and number in other):
                yield number, member
        if number in one and number in other:
            yield number, number
        open_ones.append((high, number))


class _Components:
    """The strongly connected components of the graph (Tarjan's algorithm, without recursion)."""

    def __init__(self, search: _Search) -> None:
        self._search = search
        self._index: dict[_Node, int] = {}
        self._low: dict[_Node, int] = {}
        self._path: list[_Node] = []
        self._on_path: set[_Node] = set()

    def __iter__(self) -> Iterator[list[_Node]]:
        for start in self._search.starts():
            if start not in self._index:
                yield from self._from(start)

    def _from(self, start: _Node) -> Iterator[list[_Node]]:
        work = [self._entered(start)]
        while work:
            node, rest = work[-1]
            below = next(rest, None)
            if below is None:
                work.pop()
                if work:
                    self._lower(work[-1][0], self._low[node])
                if self._low[node] == self._index[node]:
                    yield self._closed(node)
            elif below not in self._index:
                work.append(self._entered(below))
            elif below in self._on_path:
                self._lower(node, self._index[below])

    def _entered(self, node: _Node) -> tuple[_Node, Iterator[_Node]]:
        self._index[node] = self._low[node] = len(self._index)
        self._path.append(node)
        self._on_path.add(node)
        return node, iter(self._search.after(node))

    def _lower(self, node: _Node, number: int) -> None:
        self._low[node] = min(self._low[node], number)

    def _closed(self, node: _Node) -> list[_Node]:
        component: list[_Node] = []
        while not component or component[-1] != node:
            component.append(self._path.pop())
            self._on_path.discard(component[-1])
        # A node alone is no cycle: no edge leads from a node to itself.
        return component if len(component) > 1 else []


_UNAMBIGUOUS = Text("Schreiben Sie es eindeutig.", "Write it unambiguously.")
_WITHOUT_BACKTRACKING = Text(
    "Schreiben Sie es eindeutig, oder ohne Vorausschau und Rückverweise: dann läuft es in linearer Zeit.",
    "Write it unambiguously, or without look-around and back references: it then runs in linear time.",
)


def _refused(name: str, pattern: str, reason: str, way: Text) -> ConfigurationError:
    shown = pattern if len(pattern) <= _SHOWN else pattern[:_SHOWN] + "…"
    return ConfigurationError(
        Text(
            f"{name} enthält ein gefährliches oder unlesbares Muster ({reason}): {shown}. {way.de}",
            f"{name} holds a pattern that is dangerous or cannot be read ({reason}): {shown}. {way.en}",
        ),
        file=name,
    )


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
