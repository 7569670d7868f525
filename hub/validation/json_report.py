"""From jsonschema-rs errors to violations: stable rule ids, pointers without the sender's names, and lines."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from hub.errors import Text
from hub.validation.characters import offence
from hub.validation.limits import Limits
from hub.validation.report import Violation
from hub.validation.rules import RULES, text_of

Token = str | int

#: Members of a schema whose own members are names of fields.
_NAMING = ("properties", "dependentRequired", "dependentSchemas", "dependencies")
_EXPECTED_LENGTH = 400
#: Variants of anyOf and oneOf that are described further; their errors are the sender's best hint.
_NESTING = 4
#: Parts of a JSON document, in the order they are tried at a place.
_PART = re.compile(rb'[\s:,]*+(?:([{\[])|([}\]])|("(?:[^"\\]++|\\.)*+")|([^\s:,{}\[\]"]++))', re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownNames:
    """Field names that a schema declares: only these may stand in a pointer."""

    names: frozenset[str]

    @classmethod
    def of(cls, schemas: Iterable[Any]) -> KnownNames:
        """Gather the names of schemas and all their subschemas."""
        names: set[str] = set()
        waiting = list(schemas)
        while waiting:
            node = waiting.pop()
            if isinstance(node, Mapping):
                for keyword in _NAMING:
                    if isinstance(node.get(keyword), Mapping):
                        names.update(node[keyword])
                if isinstance(node.get("required"), list):
                    names.update(name for name in node["required"] if isinstance(name, str))
                waiting.extend(node.values())
            elif isinstance(node, list):
                waiting.extend(node)
        return cls(names=frozenset(names))


def violations_of(
    errors: Iterator[Any], data: bytes, known: KnownNames, limits: Limits
) -> tuple[tuple[Violation, ...], int]:
    """Return violations up to the cap, and the number of all errors."""
    found = [
        (rule, _safe(path, known), expected, text)
        for error in islice(errors, limits.violations)
        for rule, path, expected, text in _described(error, _NESTING)
    ]
    total = len(found) + sum(1 for _ in errors)
    named = found[: limits.violations]
    lines = lines_of(data, {path for _, path, _, _ in named})
    return (
        tuple(
            Violation(
                rule=rule,
                path=pointer(path),
                path_kind="json-pointer",
                line=lines.get(path),
                expected=expected,
                text=text,
            )
            for rule, path, expected, text in named
        ),
        total,
    )


def pointer(path: Sequence[Token]) -> str:
    """Return a JSON Pointer (RFC 6901)."""
    return "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in path)


def lines_of(data: bytes, wanted: set[tuple[Token, ...]]) -> dict[tuple[Token, ...], int]:
    """Return the line, from 1, at which each wanted place of a well-formed document starts."""
    places = [(path, offset) for path, offset in _places(data) if path in wanted]
    lines: dict[tuple[Token, ...], int] = {}
    line, before = 1, 0
    for path, offset in places:
        line += data.count(b"\n", before, offset)
        before = offset
        lines[path] = line
    return lines


def _described(error: Any, nesting: int) -> Iterator[tuple[str, tuple[Token, ...], str | None, Text]]:
    kind = error.kind
    rule, place = _rule_of(kind), tuple(error.instance_path)
    wrong = offence(kind.pattern, error.instance) if type(kind).__name__ == "Pattern" else None
    if wrong is not None:
        # A repertoire's pattern says less than the character that is not in it.
        yield wrong.rule, place, None, wrong.text
        return
    yield rule, place, _expected_of(kind), text_of(rule)
    if nesting > 0 and type(kind).__name__ in ("AnyOf", "OneOfNotValid"):
        for nested in _closest(kind.context, error.instance_path):
            yield from _described(nested, nesting - 1)


def _closest(variants: Sequence[Sequence[Any]], place: Sequence[Token]) -> Sequence[Any]:
    """Return the errors of the variant that was most likely meant: of the right type, and with the fewest errors."""

    def distance(errors: Sequence[Any]) -> tuple[bool, int]:
        other = any(error.kind.name in ("type", "const", "enum") and error.instance_path == place for error in errors)
        return other, len(errors)

    return min((errors for errors in variants if errors), key=distance, default=())


def _rule_of(kind: Any) -> str:
    name = f"json.{kind.name}"
    if name in RULES:
        return name
    return _OTHER_RULES.get(type(kind).__name__, "json.schema-rule")


_OTHER_RULES = {
    "BacktrackLimitExceeded": "json.regex-limit",
    "RegexEngineFailure": "json.regex-limit",
    "FalseSchema": "json.falseSchema",
}


def _expected_of(kind: Any) -> str | None:
    describe = _EXPECTED.get(kind.name)
    if describe is None:
        return None
    try:
        return describe(kind)[:_EXPECTED_LENGTH]
    except AttributeError:
        # Another kind under the same keyword, such as a pattern that ran into its limit.
        return None


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode("utf-8")


def _limit(kind: Any) -> str:
    return str(kind.limit)


_EXPECTED: Mapping[str, Callable[[Any], str]] = {
    "required": lambda kind: str(kind.property),
    "dependentRequired": lambda kind: str(kind.property),
    "type": lambda kind: ", ".join(kind.types),
    "enum": lambda kind: ", ".join(_shown(option) for option in kind.options),
    "const": lambda kind: _shown(kind.expected_value),
    "pattern": lambda kind: str(kind.pattern),
    "format": lambda kind: str(kind.format),
    "multipleOf": lambda kind: str(kind.multiple_of),
    "contentEncoding": lambda kind: str(kind.content_encoding),
    "contentMediaType": lambda kind: str(kind.content_media_type),
    **dict.fromkeys(
        (
            *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
            *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
        ),
        _limit,
    ),
}


def _safe(path: tuple[Token, ...], known: KnownNames) -> tuple[Token, ...]:
    """Cut a path at the first name that the schema does not know: the parent is what may be named."""
    for depth, token in enumerate(path):
        if isinstance(token, str) and token not in known.names:
            return path[:depth]
    return path


def _places(data: bytes) -> Iterator[tuple[tuple[Token, ...], int]]:
    """Yield the path and offset of every value, in the document's order."""
    # Each open container: [is it an object, its path, the next index or the pending name].
    stack: list[list[Any]] = []
    position = 0
    while (match := _PART.match(data, position)) is not None:
        position = match.end()
        opened, closed, text, _ = match.groups()
        if closed:
            stack.pop()
            continue
        if stack and stack[-1][0] and stack[-1][2] is None:
            stack[-1][2] = orjson.loads(text)
            continue
        path = _next_path(stack)
        yield path, match.start(match.lastindex or 0)
        if opened:
            stack.append([opened == b"{", path, None if opened == b"{" else 0])


def _next_path(stack: list[list[Any]]) -> tuple[Token, ...]:
    if not stack:
        return ()
    is_object, parent, key = stack[-1]
    stack[-1][2] = None if is_object else key + 1
    return (*parent, key)
