"""The components of a schema (XML Schema 1.0 part 1, 2.2): its elements and types, as its documents' trees declare them.

The documents have been compiled by an engine before; what is wrong in them is that engine's to say. Only what decides where a
document needs a second look is read: attributes, children, simple types. The content of a type is told by names alone, which
is enough because a name has one type within one content (part 1, 3.8.6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.validation.xml.values import INTEGERS, ValueKind

XS = "{http://www.w3.org/2001/XMLSchema}"
ID, IDREF, IDREFS = "ID", "IDREF", "IDREFS"
_PARTICLES = frozenset((f"{XS}sequence", f"{XS}choice", f"{XS}all"))
_FACETS = frozenset(
    f"{XS}{name}"
    for name in (
        *("pattern", "enumeration", "length", "minLength", "maxLength", "totalDigits", "fractionDigits"),
        *("minInclusive", "maxInclusive", "minExclusive", "maxExclusive"),
    )
)
_STRINGS = {"string": "preserve", "normalizedString": "replace"}
_LISTS = {"IDREFS": "IDREF", "NMTOKENS": "NMTOKEN", "ENTITIES": "ENTITY"}
_PRIMITIVES = frozenset(
    (
        *("boolean", "decimal", "double", "float", "duration", "dateTime", "date", "time", "gYearMonth", "gYear"),
        *("gMonthDay", "gDay", "gMonth", "hexBinary", "base64Binary", "anyURI", "QName", "NOTATION"),
    )
)
#: Members that every part of a schema may give as two names.
_KINDS = {
    f"{XS}element": "element",
    f"{XS}simpleType": "type",
    f"{XS}complexType": "type",
    f"{XS}group": "group",
    f"{XS}attributeGroup": "attributeGroup",
    f"{XS}attribute": "attribute",
}
_REFERS = (f"{XS}include", f"{XS}import", f"{XS}redefine", f"{XS}override")


@dataclass(frozen=True, slots=True, eq=False)
class Simple:
    """A simple type: what it makes of a text, ``identifier`` (ID, IDREF, IDREFS or None), and whether it lists its values."""

    kind: ValueKind
    identifier: str | None = None
    enumerated: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """An attribute of a type. ``fixed_here`` is what a use of a global attribute fixes by itself."""

    type: Simple
    fixed: str | None = None
    default: str | None = None
    fixed_here: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """An element as some content names it: its tag, the type that it has (once asked for), its fixed value."""

    tag: str
    type: Callable[[], Simple | Complex]
    fixed: str | None = None


@dataclass(slots=True, eq=False)
class Complex:
    """A complex type. ``open`` says that a wildcard lets in elements that are judged (lax or strict, not skip)."""

    attributes: dict[str, Use] = field(default_factory=dict)
    children: dict[str, Declared] = field(default_factory=dict)
    open: bool = False
    simple: Simple | None = None
    mixed: bool = False
    base: Simple | Complex | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Document:
    namespace: str
    chameleon: bool
    qualified: bool
    qualified_attributes: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """A global component: where it stands, and what it redefines."""

    node: Any
    name: str
    document: _Document
    original: _Part | None = None


#: Returns the tree of a file of the schema.
Tree = Callable[[str], Any]
#: Returns the file that a location in a file means, None if there is none.
Locate = Callable[[str, str], str | None]


class Components:
    """The components that are reached from some schema documents. Used by one thread."""

    def __init__(self, files: Iterable[str], tree: Tree, locate: Locate) -> None:
        #: Whether there are keys, and wildcards that skip what they let in.
        self.keyed = self.skips = False
        #: Names that two documents declare differently, with their files: (component, one file, other file).
        self.conflicts: list[tuple[str, str, str]] = []
        self._tree = tree
        self._locate = locate
        self._parts: dict[tuple[str, str], _Part] = {}
        self._files: dict[tuple[str, str], str] = {}
        self._met: set[tuple[str, str]] = set()
        self._types: dict[tuple[int, str], Simple | Complex] = {}
        # lxml makes a node anew, of another identity, once nobody holds it.
        self._nodes: list[Any] = []
        self._builtins: dict[str, Simple | Complex] = {}
        self._any = Complex(open=True, mixed=True)
        for name in files:
            self._take(name, "")
        self._members = self._substitutes()

    def elements(self) -> Iterator[Declared]:
        """Yield every global element."""
        return (self._global(part) for (kind, _), part in self._parts.items() if kind == "element")

    def types(self) -> Iterator[tuple[str, Simple | Complex]]:
        """Yield every named type with its name."""
        return ((name, self._typed(part)) for (kind, name), part in self._parts.items() if kind == "type")

    def _take(self, name: str, within: str) -> None:
        root = self._tree(name)
        namespace = root.get("targetNamespace", "") or within
        if (name, namespace) in self._met:
            return
        self._met.add((name, namespace))
        document = _Document(
            namespace=namespace,
            chameleon=bool(within) and not root.get("targetNamespace"),
            qualified=root.get("elementFormDefault") == "qualified",
            qualified_attributes=root.get("attributeFormDefault") == "qualified",
        )
        self.keyed = self.keyed or next(root.iter(f"{XS}key", f"{XS}unique"), None) is not None
        for node in root.iterchildren(*_REFERS):
            location = (node.get("schemaLocation") or "").strip()
            target = self._locate(location, name) if location else None
            if target is not None:
                self._take(target, "" if node.tag == f"{XS}import" else namespace)
            if node.tag in (f"{XS}redefine", f"{XS}override"):
                self._enter(node, name, document, over=True)
        self._enter(root, name, document, over=False)

    def _enter(self, parent: Any, name: str, document: _Document, *, over: bool) -> None:
        for node in parent.iterchildren(*_KINDS):
            kind, local = _KINDS[node.tag], node.get("name")
            if local is None:
                continue
            full = _joined(document.namespace, local)
            before = self._parts.get((kind, full))
            if before is not None and not over:
                self.conflicts.append((full, self._files[kind, full], name))
                continue
            self._parts[kind, full] = _Part(node, full, document, before)
            self._files[kind, full] = name

    def _substitutes(self) -> Mapping[str, list[str]]:
        members: dict[str, list[str]] = {}
        for (kind, name), part in self._parts.items():
            if kind == "element" and (head := part.node.get("substitutionGroup")) is not None:
                for word in head.split():
                    members.setdefault(_named(part, part.node, word), []).append(name)
        return members

    def _standing_for(self, name: str) -> Iterator[str]:
        met, waiting = {name}, [name]
        while waiting:
            for member in self._members.get(waiting.pop(), ()):
                if member not in met:
                    met.add(member)
                    waiting.append(member)
                    yield member

    def _find(self, kind: str, name: str, within: _Part) -> _Part | None:
        part = self._parts.get((kind, name))
        # What a redefinition calls by its own name is what it redefines (part 1, 4.2.2).
        return within.original if part is within and within.original is not None else part

    # Elements

    def _global(self, part: _Part) -> Declared:
        return Declared(part.name, lambda: self._type_of_element(part.node, part), part.node.get("fixed"))

    def _local(self, node: Any, part: _Part) -> Declared:
        document = part.document
        form = node.get("form")
        qualified = form == "qualified" if form is not None else document.qualified
        tag = _joined(document.namespace if qualified else "", node.get("name", ""))
        return Declared(tag, lambda: self._type_of_element(node, part), node.get("fixed"))

    def _type_of_element(self, node: Any, part: _Part) -> Simple | Complex:
        if (name := node.get("type")) is not None:
            return self._by_name(_named(part, node, name), part)
        inline = next(node.iterchildren(f"{XS}simpleType", f"{XS}complexType"), None)
        if inline is not None:
            return self._made(inline, part)
        head = (node.get("substitutionGroup") or "").split()
        leading = self._parts.get(("element", _named(part, node, head[0]))) if head else None
        return self._any if leading is None else self._type_of_element(leading.node, leading)

    # Types

    def _by_name(self, name: str, within: _Part) -> Simple | Complex:
        part = self._find("type", name, within)
        if part is not None:
            return self._typed(part)
        return self._builtin(name.removeprefix(XS)) if name.startswith(XS) else self._any

    def _typed(self, part: _Part) -> Simple | Complex:
        return self._made(part.node, part)

    def _made(self, node: Any, part: _Part) -> Simple | Complex:
        key = (id(node), part.document.namespace)
        if key not in self._types:
            self._nodes.append(node)
            if node.tag == f"{XS}simpleType":
                self._types[key] = self._simple(node, part)
            else:
                self._types[key] = self._complex(node, part)
        return self._types[key]

    def _builtin(self, name: str) -> Simple | Complex:
        if name == "anyType":
            return self._any
        if name not in self._builtins:
            self._builtins[name] = _builtin(name)
        return self._builtins[name]

    def _simple_by(self, node: Any, part: _Part, attribute: str) -> list[Simple]:
        """Return the simple types that an attribute names and those that stand inside."""
        found = [self._by_name(_named(part, node, word), part) for word in (node.get(attribute) or "").split()]
        found += [self._made(inline, part) for inline in node.iterchildren(f"{XS}simpleType")]
        return [kind for kind in found if isinstance(kind, Simple)]

    def _simple(self, node: Any, part: _Part) -> Simple:
        for child in node.iterchildren(f"{XS}restriction", f"{XS}list", f"{XS}union"):
            if child.tag == f"{XS}restriction":
                return self._restricted(next(iter(self._simple_by(child, part, "base")), _STRING), child)
            if child.tag == f"{XS}list":
                item = next(iter(self._simple_by(child, part, "itemType")), _STRING)
                identifier = IDREFS if item.identifier == IDREF else None
                return Simple(ValueKind(name="list", parts=(item.kind,)), identifier)
            members = self._simple_by(child, part, "memberTypes")
            return Simple(
                ValueKind(name="union", space="preserve", parts=tuple(member.kind for member in members)),
                enumerated=bool(members) and all(member.enumerated for member in members),
            )
        return _STRING

    @staticmethod
    def _restricted(base: Simple, node: Any) -> Simple:
        kind = base.kind
        space = next((facet.get("value") for facet in node.iterchildren(f"{XS}whiteSpace")), kind.space)
        facets = {child.tag for child in node.iterchildren(f"{XS}*")} & _FACETS
        made = ValueKind(name=kind.name, space=str(space), parts=kind.parts, faceted=kind.faceted or bool(facets))
        return Simple(made, base.identifier, base.enumerated or f"{XS}enumeration" in facets)

    def _complex(self, node: Any, part: _Part) -> Complex:
        made = Complex(mixed=node.get("mixed") in ("true", "1"), base=self._any)
        content = next(node.iterchildren(f"{XS}simpleContent", f"{XS}complexContent"), None)
        if content is None:
            self._fill(made, node, part)
            return made
        derivation = next(content.iterchildren(f"{XS}extension", f"{XS}restriction"), None)
        if derivation is None:
            return made
        made.mixed = content.get("mixed", node.get("mixed")) in ("true", "1")
        base = self._by_name(_named(part, derivation, derivation.get("base", "")), part)
        made.base = base
        if isinstance(base, Complex):
            made.attributes = dict(base.attributes)
        if content.tag == f"{XS}simpleContent":
            made.simple = self._simple_content(base, derivation, part)
        elif derivation.tag == f"{XS}extension" and isinstance(base, Complex):
            made.children, made.open = dict(base.children), base.open
            made.mixed = made.mixed or (base.mixed and base is not self._any)
        self._fill(made, derivation, part)
        return made

    def _simple_content(self, base: Simple | Complex, derivation: Any, part: _Part) -> Simple:
        simple = base if isinstance(base, Simple) else base.simple or _STRING
        if derivation.tag == f"{XS}extension":
            return simple
        inline = next(iter(self._simple_by(derivation, part, "memberTypes")), simple)
        return self._restricted(inline, derivation)

    def _fill(self, made: Complex, node: Any, part: _Part) -> None:
        """Add the particles and attributes that stand in a node."""
        for child in node.iterchildren(f"{XS}*"):
            if child.tag in _PARTICLES or child.tag == f"{XS}group":
                self._fill_content(made, child, part)
        for name, use in self._uses(node, part):
            if use is None:
                made.attributes.pop(name, None)
            else:
                made.attributes[name] = use

    def _fill_content(self, made: Complex, node: Any, part: _Part) -> None:
        if node.get("maxOccurs", "").strip() == "0":
            return
        if node.tag == f"{XS}element":
            for declared in self._declared(node, part):
                made.children.setdefault(declared.tag, declared)
        elif node.tag == f"{XS}any":
            skips = node.get("processContents", "strict").strip() == "skip"
            made.open, self.skips = made.open or not skips, self.skips or skips
        elif node.tag == f"{XS}group":
            group = self._find("group", _named(part, node, node.get("ref", "")), part)
            for child in () if group is None else group.node.iterchildren(*_PARTICLES):
                assert group is not None  # noqa: S101  # There would be no child.
                self._fill_content(made, child, group)
        elif node.tag in _PARTICLES:
            for child in node.iterchildren(f"{XS}*"):
                self._fill_content(made, child, part)

    def _declared(self, node: Any, part: _Part) -> Iterator[Declared]:
        reference = node.get("ref")
        if reference is None:
            yield self._local(node, part)
            return
        name = _named(part, node, reference)
        for full in (name, *self._standing_for(name)):
            found = self._parts.get(("element", full))
            if found is not None:
                yield self._global(found)

    # Attributes

    def _uses(self, node: Any, part: _Part) -> Iterator[tuple[str, Use | None]]:
        for child in node.iterchildren(f"{XS}attribute", f"{XS}attributeGroup"):
            if child.tag == f"{XS}attribute":
                yield self._use(child, part)
                continue
            group = self._find("attributeGroup", _named(part, child, child.get("ref", "")), part)
            if group is not None:
                yield from self._uses(group.node, group)

    def _use(self, node: Any, part: _Part) -> tuple[str, Use | None]:
        prohibited = node.get("use") == "prohibited"
        fixed, default = node.get("fixed"), node.get("default")
        if (reference := node.get("ref")) is not None:
            name = _named(part, node, reference)
            found = self._parts.get(("attribute", name))
            if prohibited:
                return name, None
            if found is None:
                return name, Use(_STRING, fixed, default, fixed)
            top = found.node
            return name, Use(
                self._attribute_type(top, found),
                fixed if fixed is not None else top.get("fixed"),
                default if default is not None else top.get("default"),
                fixed,
            )
        form = node.get("form")
        qualified = form == "qualified" if form is not None else part.document.qualified_attributes
        name = _joined(part.document.namespace if qualified else "", node.get("name", ""))
        return name, None if prohibited else Use(self._attribute_type(node, part), fixed, default)

    def _attribute_type(self, node: Any, part: _Part) -> Simple:
        return next(iter(self._simple_by(node, part, "type")), _STRING)


def _builtin(name: str) -> Simple:
    if name in _LISTS:
        item = ValueKind(name="string")
        return Simple(ValueKind(name="list", parts=(item,)), IDREFS if name == IDREFS else None)
    if name in _PRIMITIVES or name in INTEGERS:
        return Simple(ValueKind(name=name))
    space = _STRINGS.get(name, "preserve" if name == "anySimpleType" else "collapse")
    return Simple(ValueKind(name="string", space=space), name if name in (ID, IDREF) else None)


_STRING = Simple(ValueKind(name="string", space="preserve"))


def _joined(namespace: str, local: str) -> str:
    return f"{{{namespace}}}{local}" if namespace else local


def _named(part: _Part, node: Any, name: str) -> str:
    """Return a QName of a schema document as ``{namespace}local``."""
    prefix, _, local = name.strip().rpartition(":")
    namespace = node.nsmap.get(prefix or None)
    if namespace is None and not prefix and part.document.chameleon:
        namespace = part.document.namespace
    return _joined(namespace or "", local)
