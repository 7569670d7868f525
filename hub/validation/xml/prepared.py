r"""Schema documents as libxml2 gets them: written anew where it would read them otherwise than XML Schema 1.0 says.

Patterns: libxml2 knows the characters of Unicode 3, reads ``\P`` and negated classes inside a class the wrong way round, and
some subtractions too. Such atoms become explicit ranges of characters, by the Unicode of this Python. The ranges of letters
that messages mostly hold stand first and by themselves, for libxml2 compares a character with every range of a class.

Substitution: where something may stand for an element that may occur several times, libxml2 lets what the element's parent
holds begin anew behind it. The element gets a group of its own, which occurs in its place.

Bounds: libxml2 compares times of other zones, and the hour 24, by their texts. Bounds are put as documents are: in UTC.

Namespaces: libxml2 reads one document for each namespace that is imported and passes over the others. Where several
are, one document that includes them all takes their place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

from lxml import etree

from hub.errors import ConfigurationError, Text
from hub.validation.xml.linear import is_judged_apart
from hub.validation.xml.regex import (
    Chars,
    PatternError,
    UnreadableError,
    characters_of,
    complement,
    is_read_right,
    union,
)
from hub.validation.xml.values import usual_moment

_XS = "{http://www.w3.org/2001/XMLSchema}"
#: Where the documents stand that take the place of several.
GATHERED = "hub-gathered/"
#: What XML 1.0 calls a character (section 2.2); nothing else comes before a pattern.
_XML: Chars = ((0x9, 0xA), (0xD, 0xD), (0x20, 0xD7FF), (0xE000, 0xFFFD), (0x10000, 0x10FFFF))
#: Classes of more ranges are split at these characters: the end of Latin-1, of Latin Extended-B.
_RANGES, _TIERS = 12, (0xFF, 0x24F)
_ESCAPED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"} | {sign: f"\\{sign}" for sign in "\\|.-^?*+{}()[]"}
#: What libxml2 reads otherwise, or may: escapes of several characters, classes that subtract, hyphens, branches and groups.
_READ_OTHERWISE = re.compile(r"\\[pPdDwW]|-[\[\]]|\[[^\]]*\\[SIC]|\\.-|-\\|-[^\[\]]-|[(|]")
_COUNT = re.compile(r"\{([0-9]+)(,?)([0-9]*)\}")
#: Characters that the copies of one atom may take in the place of a count.
_LONGEST = 4000
_SHOWN = 120
#: What may occur in content, and what shows that something may not.
_PARTICLES = tuple(f"{_XS}{name}" for name in ("element", "any", "group", "sequence", "choice", "all"))
_NEVER = re.compile(rb"""maxOccurs\s*=\s*["']\s*0""")
#: A bound that may be a time in another zone, or a date with the hour 24.
_BOUND = re.compile(rb"clusive\s[^<>]*(?:[+-][0-9]{2}:[0-9]{2}|T24:|24:00)")
#: Names a leading element, for which another one may stand.
_LEADING = re.compile(rb"""\bsubstitutionGroup\s*=\s*["']([^"']*)["']""")
_REFERENCES = re.compile(rb"<(?:[\w.-]+:)?(import|include|redefine)\b([^>]*)>")
_ATTRIBUTE = re.compile(rb"""\b(namespace|schemaLocation)\s*=\s*("[^"]*"|'[^']*')""")


def usual_bound(value: str) -> str:
    """Return a bound as libxml2 compares it rightly, where it is a time or a date with time."""
    bare = value.strip()
    usual = usual_moment("dateTime" if "T" in bare else "time", bare)
    return value if usual == bare else usual


@lru_cache(maxsize=4096)
def rewritten(pattern: str) -> str:
    """Return a pattern that libxml2 reads as XML Schema reads the given one (part 2, appendix F).

    What breaks the grammar is returned as it is: the compiler says what is wrong with it.

    Raises:
        PatternError: It names a block or a category that is unknown.
    """
    if _READ_OTHERWISE.search(pattern) is None:
        return pattern
    try:
        pieces = list(_pieces(pattern))
    except UnreadableError:
        return pattern
    plain = "".join(pieces)
    if "(" in plain or "|" in plain:
        with suppress(PatternError):
            return _spread(pieces)
    return plain


def _pieces(pattern: str) -> Iterator[str]:
    """Yield a pattern's atoms (classes and escapes written anew where need be), quantifiers, parentheses and bars."""
    at = 0
    while at < len(pattern):
        if pattern[at] in "[\\":
            end = _end_of(pattern, at)
            if is_read_right(pattern[at:end]):
                yield pattern[at:end]
            else:
                chars, end = characters_of(pattern, at)
                yield _class_of(chars)
        else:
            count = _COUNT.match(pattern, at)
            end = at + 1 if count is None else count.end()
            yield pattern[at:end]
        at = end


def _spread(pieces: Sequence[str]) -> str:
    """Return a pattern with branches or groups without what libxml2 misreads there.

    It takes the counts of branches that begin alike for one: copies of the atom stand in their place. And it lets whatever
    comes to the end of a repeated group begin that group again: an empty group after it keeps others away.

    Raises:
        PatternError: It breaks the grammar, or would become too long.
    """
    reader = _Copies(pieces)
    whole = reader.branches()
    if reader.at < len(pieces):
        raise PatternError("unbalanced parenthesis")
    return whole


class _Copies:
    """Reads pieces of a pattern from left to right."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.at = 0
        self._pieces = pieces

    def branches(self) -> str:
        """Read up to a closing parenthesis or the end."""
        parts = [self._branch()]
        while self._next() == "|":
            self.at += 1
            parts.append(self._branch())
        return "|".join(parts)

    def _branch(self) -> str:
        parts: list[str] = []
        while (piece := self._next()) and piece not in "|)":
            self.at += 1
            if piece == "(":
                piece = f"({self.branches()})"
                if self._next() != ")":
                    raise PatternError("unbalanced parenthesis")
                self.at += 1
            count = _COUNT.fullmatch(self._next())
            if count is not None:
                self.at += 1
                piece = _copied(piece, count)
            elif self._next() and self._next() in "?*+":
                piece = _repeated(piece, self._next())
                self.at += 1
            parts.append(piece)
        return "".join(parts)

    def _next(self) -> str:
        return self._pieces[self.at] if self.at < len(self._pieces) else ""


def _repeated(atom: str, sign: str) -> str:
    return f"{atom}{sign}()" if atom[0] == "(" and sign != "?" else f"{atom}{sign}"


def _copied(atom: str, count: re.Match[str]) -> str:
    least, comma, most = int(count[1]), count[2], count[3]
    if len(atom) * max(least, int(most or 0)) > _LONGEST:
        raise PatternError("too long")
    if comma and not most:
        return atom * (least - 1) + _repeated(atom, "+") if least else _repeated(atom, "*")
    optional = ""
    for _ in range(int(most) - least if comma else 0):
        optional = f"({atom}{optional})?" if optional else f"{atom}?"
    return atom * least + optional


def _end_of(pattern: str, at: int) -> int:
    """Return where the class or escape that begins at a position ends."""
    depth = 0
    while at < len(pattern):
        sign = pattern[at]
        at += 1
        if sign == "\\":
            at += 1
            if pattern[at - 1 : at + 1] in ("p{", "P{"):
                at = pattern.find("}", at) + 1 or len(pattern)
        depth += (sign == "[") - (sign == "]")
        if depth <= 0:
            return at
    raise UnreadableError("it ends too early")


def _class_of(chars: Chars) -> str:
    """Return a class, or a choice of classes, that holds some characters."""
    chars = _within(chars, _XML)
    if not chars:
        return f"[^{_ranges(_XML)}]"
    if len(chars) <= _RANGES:
        return f"[{_ranges(chars)}]"
    bounds = (0, *(tier + 1 for tier in _TIERS), 0x110000)
    parts = [_within(chars, ((low, high - 1),)) for low, high in pairwise(bounds)]
    classes = [f"[{_ranges(part)}]" for part in parts if part]
    return f"({'|'.join(classes)})" if len(classes) > 1 else classes[0]


def _within(chars: Chars, bounds: Chars) -> Chars:
    return complement(union(complement(chars), complement(bounds)))


def _ranges(chars: Chars) -> str:
    return "".join(sign for low, high in chars for sign in _range(low, high))


def _range(low: int, high: int) -> Iterator[str]:
    # Within a class libxml2 takes an escape for a character of its own, never for an end of a range.
    while low <= high and chr(low) in _ESCAPED:
        yield _ESCAPED[chr(low)]
        low += 1
    after = []
    while low <= high and chr(high) in _ESCAPED:
        after.append(_ESCAPED[chr(high)])
        high -= 1
    if low <= high:
        yield chr(low) if low == high else f"{chr(low)}-{chr(high)}"
    yield from after


class Import(NamedTuple):
    """A reference of one document to another: ``kind`` is import, include or redefine."""

    kind: str
    namespace: str
    target: str


@dataclass(slots=True)
class Made:
    """What was made of documents, by their names, for schemas of one package that share them."""

    located: dict[str, bytes] = field(default_factory=dict)
    #: By the names too of the elements for which others may stand.
    written: dict[tuple[str, frozenset[str]], bytes] = field(default_factory=dict)
    leading: dict[str, frozenset[str]] = field(default_factory=dict)
    references: dict[str, tuple[Import, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """The documents of a schema as they are to be compiled. ``root`` is the one to begin with.

    ``gathered`` names, by namespace, the documents that are read in place of the first alone.
    """

    root: str
    read: Callable[[str], bytes] = field(repr=False)
    gathered: Mapping[str, tuple[str, ...]]

    @property
    def generated(self) -> tuple[str, ...]:
        """The names of the documents that take the place of several."""
        return tuple(f"{GATHERED}{number}.xsd" for number in range(len(self.gathered)))


def prepared(
    file: str,
    closure: Iterable[str],
    read: Callable[[str], bytes],
    resolve: Callable[[str, str], str | None],
    address: Callable[[str], str],
    *,
    made: Made,
    apart: bool = True,
) -> Prepared:
    """Return the documents of a schema as libxml2 is to get them; ``resolve`` tells the file that a location in a file means.

    ``address`` gives the address at which the compiler finds a document; ``made`` keeps what other schemas share. Without
    ``apart`` patterns stay that this program would judge itself: for an engine beside which nobody does.
    """
    for name in closure:
        if name not in made.references:
            content = read(name)
            made.references[name] = tuple(_references(content, name, resolve))
            made.leading[name] = frozenset(_leading(content))
    references = {name: made.references[name] for name in closure}
    own = _namespace(read(file))
    gathered = _gathered(file, own, references)
    names = {namespace: f"{GATHERED}{number}.xsd" for number, namespace in enumerate(gathered)}
    leading = frozenset().union(*(made.leading[name] for name in references)) if apart else frozenset()

    def written(name: str, moved: Callable[[Any], str | None] | None) -> bytes:
        return _written(read(name), name, moved, leading, apart=apart)

    def located(name: str) -> bytes:
        for namespace, generated in names.items():
            if name == generated:
                return _including(namespace, map(address, gathered[namespace]))
        if names:
            return written(name, partial(_moved, name))
        if (name, leading) not in made.written:
            made.written[name, leading] = written(name, None)
        return made.written[name, leading]

    def _moved(name: str, node: Any) -> str | None:
        namespace = node.get("namespace", "")
        location = (node.get("schemaLocation") or "").strip()
        known = namespace in names and location and resolve(location, name) is not None
        return address(names[namespace]) if known else None

    return Prepared(root=names.get(own, file), read=located, gathered=gathered)


def _gathered(file: str, own: str, references: Mapping[str, tuple[Import, ...]]) -> dict[str, tuple[str, ...]]:
    """Return the namespaces of which several documents are imported that do not include one another."""
    imported: dict[str, list[str]] = {own: [file]}
    for found in references.values():
        for each in found:
            if each.kind == "import" and each.target not in imported.setdefault(each.namespace, []):
                imported[each.namespace].append(each.target)
    included = {name: _included(name, references) for names in imported.values() for name in names}
    gathered = {}
    for namespace, names in imported.items():
        # Of two that include each other the first stays.
        needed = [
            name
            for number, name in enumerate(names)
            if not any(
                name in included[other] and (other not in included[name] or place < number)
                for place, other in enumerate(names)
                if other != name
            )
        ]
        if len(needed) > 1:
            gathered[namespace] = tuple(needed)
    return gathered


def _included(name: str, references: Mapping[str, tuple[Import, ...]]) -> set[str]:
    met: set[str] = set()
    waiting = [name]
    while waiting:
        for each in references.get(waiting.pop(), ()):
            if each.kind != "import" and each.target not in met:
                met.add(each.target)
                waiting.append(each.target)
    return met


def _references(content: bytes, name: str, resolve: Callable[[str, str], str | None]) -> Iterator[Import]:
    for kind, attributes in _REFERENCES.findall(content):
        named = {key: value[1:-1].decode("utf-8", "replace") for key, value in _ATTRIBUTE.findall(attributes)}
        location = named.get(b"schemaLocation", "").strip()
        target = resolve(location, name) if location else None
        if target is not None:
            yield Import(kind.decode(), named.get(b"namespace", ""), target)


def _leading(content: bytes) -> Iterator[str]:
    """Yield the local names of elements for which others may stand."""
    for named in _LEADING.findall(content):
        yield from (word.rpartition(":")[2] for word in named.decode("utf-8", "replace").split())


def _namespace(content: bytes) -> str:
    return str(_parsed(content).get("targetNamespace", ""))


def _including(namespace: str, addresses: Iterable[str]) -> bytes:
    schema = etree.Element(f"{_XS}schema", nsmap={"xs": _XS[1:-1]})
    if namespace:
        schema.set("targetNamespace", namespace)
    for address in addresses:
        etree.SubElement(schema, f"{_XS}include", schemaLocation=address)
    return etree.tostring(schema)


def _written(
    content: bytes, name: str, moved: Callable[[Any], str | None] | None, leading: frozenset[str], *, apart: bool
) -> bytes:
    """Return a document with its patterns, particles and locations as they are to be; as it is, where nothing changes.

    Raises:
        ConfigurationError: A pattern names a block or a category that is unknown.
    """
    holds_never = _NEVER.search(content) is not None
    refers = leading and b"ref" in content
    bounds = apart and _BOUND.search(content) is not None
    if b"pattern" not in content and moved is None and not holds_never and not refers and not bounds:
        return content
    root = _parsed(content)
    changed = _write_patterns(root, name, apart=apart)
    for node, usual in _times(root) if bounds else ():
        node.set("value", usual)
        changed = True
    for node in list(root.iter(f"{_XS}element")) if refers else ():
        if node.get("ref", "").strip().rpartition(":")[2] in leading and node.get("maxOccurs", "1").strip() != "1":
            _put_in_group(node)
            changed = True
    for node in list(root.iter(*_PARTICLES)) if holds_never else ():
        if (node.get("minOccurs") or "").strip() == (node.get("maxOccurs") or "").strip() == "0":
            _leave_out(node)
            changed = True
    for node in root.iterchildren(f"{_XS}import") if moved is not None else ():
        assert moved is not None  # noqa: S101  # There would be no node.
        if (address := moved(node)) is not None:
            node.set("schemaLocation", address)
            changed = True
    # Lines stay where they were: the compiler names them.
    return etree.tostring(root) if changed else content


def _write_patterns(root: Any, name: str, *, apart: bool) -> bool:
    """Write the patterns of a document anew where need be, and leave out those that are judged apart; tell whether any was."""
    changed = False
    judged_apart: list[Any] = []
    for node in root.iter(f"{_XS}pattern"):
        pattern = node.get("value", "")
        if apart and any(
            is_judged_apart(each.get("value", "")) for each in node.getparent().iterchildren(f"{_XS}pattern")
        ):
            judged_apart.append(node)
            continue
        try:
            new = rewritten(pattern)
        except PatternError as error:
            raise _unknown(name, pattern, error) from error
        if new != pattern:
            node.set("value", new)
            changed = True
    for node in judged_apart:
        _leave_out(node)
    return changed or bool(judged_apart)


def _times(root: Any) -> Iterator[tuple[Any, str]]:
    """Yield the bounds that are times with a zone or dates with the hour 24, and how they are usually spelt."""
    for node in root.iter(*(f"{_XS}{bound}clusive" for bound in ("minIn", "minEx", "maxIn", "maxEx"))):
        value = node.get("value", "")
        if (usual := usual_bound(value)) != value:
            yield node, usual


def _leave_out(node: Any) -> None:
    """Take out a particle that may not occur, or a pattern that is judged apart.

    The first is none (part 1, 3.9.1), and libxml2 lets it occur once.
    """
    lines = etree.tostring(node, with_tail=False).count(b"\n")
    left = etree.Comment("\n" * lines)
    left.tail = node.tail
    node.getparent().replace(node, left)


def _put_in_group(node: Any) -> None:
    """Have a group of one element occur as often as the element was to."""
    group = node.makeelement(f"{_XS}sequence")
    for count in ("minOccurs", "maxOccurs"):
        if (said := node.attrib.pop(count, None)) is not None:
            group.set(count, said)
    group.tail, node.tail = node.tail, None
    node.getparent().replace(node, group)
    group.append(node)


def _unknown(name: str, pattern: str, error: PatternError) -> ConfigurationError:
    shown = pattern if len(pattern) <= _SHOWN else pattern[:_SHOWN] + "…"
    return ConfigurationError(
        Text(
            f"{name} enthält ein Muster, das niemand sicher lesen kann ({error}): {shown}. Schreiben Sie die Zeichen aus.",
            f"{name} holds a pattern that nobody can read for sure ({error}): {shown}. Write its characters out.",
        ),
        file=name,
    )


def _parsed(content: bytes) -> Any:
    return etree.fromstring(
        content, etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    )


__all__ = ["GATHERED", "Made", "Prepared", "prepared", "rewritten", "usual_bound"]
