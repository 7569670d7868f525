"""Places in a well-formed JSON document: pointers, lines, and where a name stands twice. Nothing is parsed into a tree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import orjson

Token = str | int

#: Parts of a document that are walked for lines and places: a second of one core, and more than any form has.
_MOST_PARTS = 400_000
#: Parts of a JSON document, in the order they are tried at a place.
_PART = re.compile(rb'[\s:,]*+(?:([{\[])|([}\]])|("(?:[^"\\]++|\\.)*+")|([^\s:,{}\[\]"]++))', re.DOTALL)
#: A name that a developer typed and no person bears: said back, it tells nothing of anybody.
_HARMLESS = re.compile(r"[a-z$@_](?:[A-Za-z_.-]|[0-9]{1,3}(?![0-9])){0,39}")


class Repeated(NamedTuple):
    """Where an object names a field the second time: its pointer, the name, and line and column from 1."""

    path: tuple[Token, ...]
    name: str
    line: int
    column: int


def is_harmless(name: str) -> bool:
    """Whether a name that a sender chose may be said back: it has the form of an identifier, and no number of a person."""
    return _HARMLESS.fullmatch(name) is not None


def pointer(path: Sequence[Token]) -> str:
    """Return a JSON Pointer (RFC 6901)."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in path)


def lines_of(data: bytes, wanted: set[tuple[Token, ...]]) -> dict[tuple[Token, ...], int]:
    """Return the line, from 1, at which each wanted place of a well-formed document starts; none far down a huge one."""
    lines: dict[tuple[Token, ...], int] = {}
    line, before = 1, 0
    for path, offset in _places(data):
        if path not in wanted:
            continue
        line += data.count(b"\n", before, offset)
        before = offset
        lines[path] = line
        if len(lines) == len(wanted):
            break
    return lines


def first_repeated(data: bytes) -> Repeated | None:
    """Return where the first name stands that its object has already; None if there is none near enough to the start."""
    met: dict[tuple[Token, ...], set[str]] = {}
    for path, name, offset in _steps(data):
        if name is None:
            # Another value stands here now: what is below it is told anew.
            met.pop(path, None)
            continue
        names = met.setdefault(path, set())
        if name in names:
            start = data.rfind(b"\n", 0, offset) + 1
            column = len(data[start:offset].decode("utf-8", "replace")) + 1
            return Repeated(path, name, data.count(b"\n", 0, offset) + 1, column)
        names.add(name)
    return None


def _places(data: bytes) -> Iterator[tuple[tuple[Token, ...], int]]:
    """Yield the path and offset of every value, in the document's order."""
    return ((path, offset) for path, name, offset in _steps(data) if name is None)


def _steps(data: bytes) -> Iterator[tuple[tuple[Token, ...], str | None, int]]:
    """Yield every value (path, None, offset) and every name (path of its object, name, offset), in order, within bounds."""
    # Each open container: [is it an object, its path, the next index or the pending name].
    stack: list[list[Any]] = []
    position = 0
    for _ in range(_MOST_PARTS):
        if (match := _PART.match(data, position)) is None:
            return
        position = match.end()
        opened, closed, text, _ = match.groups()
        if closed:
            stack.pop()
            continue
        if stack and stack[-1][0] and stack[-1][2] is None:
            stack[-1][2] = orjson.loads(text)
            yield stack[-1][1], stack[-1][2], match.start(3)
            continue
        path = _next_path(stack)
        yield path, None, match.start(match.lastindex or 0)
        if opened:
            stack.append([opened == b"{", path, None if opened == b"{" else 0])


def _next_path(stack: list[list[Any]]) -> tuple[Token, ...]:
    if not stack:
        return ()
    is_object, parent, key = stack[-1]
    stack[-1][2] = None if is_object else key + 1
    return (*parent, key)
