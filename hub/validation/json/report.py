"""Reports on JSON documents: stable rule ids, and places that exist in the document.

From jsonschema-rs errors to violations: stable rule ids, pointers without the sender's names, and lines.

Places in a well-formed JSON document: pointers, lines, and where a name stands twice. Nothing is parsed into a tree.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import unquote

import orjson

from hub.errors import Text
from hub.validation.report import RULES, Limits, Violation, text_of
from hub.validation.xml.patterns import offence

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


#: Members of a schema whose own members are names of fields.
_NAMING = ("properties", "dependentRequired", "dependentSchemas", "dependencies")
_EXPECTED_LENGTH = 400
#: Characters of a name that are compared with those that are allowed.
_LONGEST_NAME = 60
#: Variants of anyOf and oneOf that are described further; their errors are the sender's best hint.
_NESTING = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownNames:
    """Field names that a schema declares: only these may stand in a pointer. ``documents`` are its parts, by URI."""

    names: frozenset[str]
    documents: Mapping[str, Any] = field(repr=False)
    #: Whether anything can be one of several: the library then tells of all of them what is wrong, however much that is.
    has_alternatives: bool = True

    @classmethod
    def of(cls, schema: Mapping[str, Any], documents: Iterable[tuple[str, Any]]) -> KnownNames:
        """Gather the names of a schema and of the documents that it may refer to, itself among them by its addresses."""
        names: set[str] = set()
        alternatives = False
        by_address = {**dict(documents), "": schema}
        waiting: list[Any] = list({id(each): each for each in by_address.values()}.values())
        while waiting:
            node = waiting.pop()
            if isinstance(node, Mapping):
                alternatives = alternatives or "anyOf" in node or "oneOf" in node
                for keyword in _NAMING:
                    if isinstance(node.get(keyword), Mapping):
                        names.update(node[keyword])
                if isinstance(node.get("required"), list):
                    names.update(name for name in node["required"] if isinstance(name, str))
                waiting.extend(node.values())
            elif isinstance(node, list):
                waiting.extend(node)
        return cls(names=frozenset(names), documents=by_address, has_alternatives=alternatives)

    def allowed_beside(self, error: Any) -> tuple[str, ...]:
        """Return the names that the object may have of which an error says that it has others, in the schema's order."""
        location = error.absolute_keyword_location or ""
        base, _, fragment = location.partition("#")
        tokens = [unquote(each).replace("~1", "/").replace("~0", "~") for each in fragment.split("/")[1:]]
        node = self.documents.get(base)
        for token in (tokens or list(error.schema_path))[:-1]:
            node = _member(node, token)
        return tuple(dict.fromkeys(_properties(node, self.documents.get(base), _NESTING)))


def _member(node: Any, token: Any) -> Any:
    if isinstance(node, Mapping):
        return node.get(str(token))
    return node[int(token)] if isinstance(node, list) and str(token).isdecimal() and int(token) < len(node) else None


def _properties(node: Any, document: Any, nesting: int) -> Iterator[str]:
    """Yield the names that a subschema declares, and those that apply to the same object beside it."""
    if not isinstance(node, Mapping) or nesting == 0:
        return
    if isinstance(node.get("properties"), Mapping):
        yield from node["properties"]
    below = [part for key in ("allOf", "anyOf", "oneOf") for part in node.get(key) or ()]
    below += [node[key] for key in ("if", "then", "else") if key in node]
    reference = node.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        target = document
        for token in reference[2:].split("/"):
            target = _member(target, token.replace("~1", "/").replace("~0", "~"))
        below.append(target)
    for part in below:
        yield from _properties(part, document, nesting - 1)


def violations_of(
    errors: Iterator[Any], data: bytes, known: KnownNames, limits: Limits
) -> tuple[tuple[Violation, ...], int]:
    """Return violations up to the cap, and the number of all errors."""
    found = [
        (rule, known_part(path, known.names), expected, text, place)
        for error in islice(errors, limits.violations)
        for rule, path, expected, text, place in _described(error, known, _NESTING)
    ]
    if not found:
        # Invalid, and nobody looked where.
        found = [("json.schema-rule", (), None, text_of("json.schema-rule"), ())]
    total = len(found) + sum(1 for _ in errors)
    named = found[: limits.violations]
    lines = lines_of(data, {place for *_, place in named} | {path for _, path, *_ in named})
    return (
        tuple(
            Violation(
                rule=rule,
                path=pointer(path),
                path_kind="json-pointer",
                line=lines.get(place, lines.get(path)),
                expected=expected,
                text=text,
            )
            for rule, path, expected, text, place in named
        ),
        total,
    )


#: Rule, path that is named, what is expected, words, and the place whose line is told.
_Described = tuple[str, tuple[Token, ...], str | None, Text, tuple[Token, ...]]


def _described(error: Any, known: KnownNames, nesting: int) -> Iterator[_Described]:
    kind = error.kind
    rule, place = _rule_of(kind), tuple(error.instance_path)
    wrong = offence(kind.pattern, error.instance) if type(kind).__name__ == "Pattern" else None
    if wrong is not None:
        # A repertoire's pattern says less than the character that is not in it.
        yield wrong.rule, place, None, wrong.text, place
        return
    unexpected = list(getattr(kind, "unexpected", ()))
    if unexpected and rule in _UNEXPECTED:
        allowed = known.allowed_beside(error)
        expected = _bounded(", ".join(allowed)) or None
        yield rule, place, expected, _of_unexpected(unexpected, allowed, known), (*place, unexpected[0])
        return
    yield rule, place, _expected_of(kind), text_of(rule), place
    if nesting > 0 and type(kind).__name__ in ("AnyOf", "OneOfNotValid"):
        for nested in _closest(kind.context, error.instance_path):
            yield from _described(nested, known, nesting - 1)


_UNEXPECTED = ("json.additionalProperties", "json.unevaluatedProperties")


def _of_unexpected(unexpected: Sequence[str], allowed: Sequence[str], known: KnownNames) -> Text:
    """Return words for a field that is not allowed; its name is said where it is the schema's or looks like a developer's."""
    name, more = unexpected[0], len(unexpected) - 1
    near = get_close_matches(name[:_LONGEST_NAME], allowed, n=1, cutoff=0.75)
    said = name in known.names or is_harmless(name)
    named = (f" „{name}“", f" '{name}'") if said else ("", "")
    meant = (f" Meinten Sie „{near[0]}“?", f" Did you mean '{near[0]}'?") if near else ("", "")
    others = (f" und {more} weitere", f" and {more} more") if more else ("", "")
    which = ("Sie seine Schreibweise; erwartet werden die genannten Felder.", "; the fields named here are expected.")
    if not allowed:
        which = ("Sie seine Schreibweise.", ".")
    return Text(
        f"Das Objekt enthält ein Feld{named[0]}{others[0]}, das nicht vorgesehen ist.{meant[0]} Entfernen Sie es, oder prüfen "
        f"{which[0]}",
        f"The object holds a field{named[1]}{others[1]} that is not allowed.{meant[1]} Remove it, or check its "
        f"spelling{which[1]}",
    )


def _bounded(text: str) -> str:
    return text if len(text) <= _EXPECTED_LENGTH else f"{text[: _EXPECTED_LENGTH - 1]}…"


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


def known_part(path: tuple[Token, ...], names: Collection[str]) -> tuple[Token, ...]:
    """Cut a path at the first name that the schema does not know: the parent is what may be named."""
    for depth, token in enumerate(path):
        if isinstance(token, str) and token not in names:
            return path[:depth]
    return path
