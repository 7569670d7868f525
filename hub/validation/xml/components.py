"""The components of a schema (XML Schema 1.0 part 1, 2.2), as far as they decide which places need a second look.

Elements and types are read as the schema's documents declare them. These have been compiled by an engine before; what is wrong
in them is that engine's to say. Only what decides where a document needs a second look is read: attributes, children, simple
types. The content of a type is told by names alone, which is enough because a name has one type within one content
(part 1, 3.8.6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from hub.validation.xml.content import Model, ModelMaker, in_order, is_counted
from hub.validation.xml.declarations import XS, Declarations, DeclaredPart, Locate, Tree
from hub.validation.xml.linear import is_judged_apart
from hub.validation.xml.places import (
    ID,
    IDREF,
    IDREFS,
    LAX,
    SKIP,
)
from hub.validation.xml.values import INTEGERS, MOMENTS, PATTERN, Facets, ValueKind

_PARTICLES = frozenset((f"{XS}sequence", f"{XS}choice", f"{XS}all"))
_FACETS = frozenset(
    f"{XS}{name}"
    for name in (
        *("pattern", "enumeration", "length", "minLength", "maxLength", "totalDigits", "fractionDigits"),
        *("minInclusive", "maxInclusive", "minExclusive", "maxExclusive"),
    )
)
_BOUNDS = tuple(f"{XS}{name}" for name in ("minInclusive", "maxInclusive", "minExclusive", "maxExclusive"))
#: Types of which some values cannot be compared (part 2, 3.2.4 and 3.2.7.4): libxml2 takes these for within bounds.
_MISORDERED = MOMENTS | {"double", "float"}
_STRINGS = {"string": "preserve", "normalizedString": "replace"}
_LISTS = {"IDREFS": "IDREF", "NMTOKENS": "NMTOKEN", "ENTITIES": "ENTITY"}
_PRIMITIVES = frozenset(
    (
        *("boolean", "decimal", "double", "float", "duration", "dateTime", "date", "time", "gYearMonth", "gYear"),
        *("gMonthDay", "gDay", "gMonth", "hexBinary", "base64Binary", "anyURI", "QName", "NOTATION"),
    )
)


@dataclass(frozen=True, slots=True, eq=False)
class Simple:
    """A simple type: what it makes of a text, ``identifier`` (ID, IDREF, IDREFS or None), and whether it lists its values.

    ``facets`` are all that it has, whoever judges them.
    """

    kind: ValueKind
    identifier: str | None = None
    enumerated: bool = False
    facets: Facets = ()

    @property
    def as_member(self) -> ValueKind:
        """What it makes of a text as a member of a union."""
        return replace(self.kind, facets=self.facets, identifier=self.identifier if self.identifier != IDREFS else None)


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """An attribute of a type. ``fixed_here`` is what a use of a global attribute fixes by itself."""

    type: Simple
    fixed: str | None = None
    default: str | None = None
    fixed_here: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """An element as some content names it: its tag, the type that it has (once asked for), what it is where it is empty.

    ``node`` is where it is declared.
    """

    tag: str
    type: Callable[[], Simple | Complex]
    node: Any
    fixed: str | None = None
    default: str | None = None

    @property
    def may_be_nil(self) -> bool:
        """Whether it may be nil."""
        return (self.node.get("nillable") or "").strip() in ("true", "1")


class Namespaces(NamedTuple):
    """Those that are named ("" for none), or ``but`` those all others."""

    named: frozenset[str] = frozenset()
    but: bool = False

    @classmethod
    def of_wildcard(cls, node: Any, own: str) -> Namespaces:
        """Return what a wildcard (``xs:any``) in a document of a namespace lets in (part 1, 3.10.1)."""
        words = node.get("namespace", "##any").split()
        if words == ["##any"] or node.get("notNamespace") is not None:
            return cls(but=True)
        if words == ["##other"]:
            return cls(frozenset({own, ""}), but=True)
        meant = {"##targetNamespace": own, "##local": ""}
        return cls(frozenset(meant.get(word, word) for word in words))

    def joined(self, other: Namespaces) -> Namespaces:
        """Return those of either."""
        if self.but and other.but:
            return Namespaces(self.named & other.named, but=True)
        if self.but or other.but:
            all_but, some = (self, other) if self.but else (other, self)
            return Namespaces(all_but.named - some.named, but=True)
        return Namespaces(self.named | other.named)

    def holds(self, namespace: str) -> bool:
        """Whether one is among them."""
        return (namespace in self.named) is not self.but


_NO_NAMESPACES = Namespaces()


@dataclass(slots=True, eq=False)
class Complex:
    """A complex type. ``open`` says that a wildcard lets in elements that are judged (lax or strict, not skip).

    ``loose`` says how it treats those that it lets in without a declaration (LAX, SKIP or empty), ``lets_in`` of which
    namespaces they are, ``attribute_wildcard`` how one of attributes treats these (strict, LAX, SKIP or empty).
    ``counted`` says that libxml2 may count its content wrongly, ``content`` gives the model of that (None where a group
    ``all`` stands in it).
    """

    attributes: dict[str, Use] = field(default_factory=dict)
    children: dict[str, Declared] = field(default_factory=dict)
    open: bool = False
    loose: str = ""
    lets_in: Namespaces = _NO_NAMESPACES
    attribute_wildcard: str = ""
    simple: Simple | None = None
    mixed: bool = False
    base: Simple | Complex | None = None
    counted: bool = False
    content: Callable[[], Model | None] = lambda: None


class Components(Declarations):
    """The components that are reached from some schema documents. Used by one thread."""

    def __init__(self, files: Iterable[str], tree: Tree, locate: Locate) -> None:
        super().__init__(files, tree, locate)
        self._types: dict[tuple[int, str], Simple | Complex] = {}
        # lxml makes a node anew, of another identity, once nobody holds it.
        self._nodes: list[Any] = []
        self._builtins: dict[str, Simple | Complex] = {}
        #: The type of which all are (part 1, 3.4.7), and of what is let in without a declaration.
        self.anything = Complex(open=True, mixed=True, loose=LAX, lets_in=Namespaces(but=True), attribute_wildcard=LAX)

    def elements(self) -> Iterator[Declared]:
        """Yield every global element."""
        return map(self._global, self.parts("element"))

    def types(self) -> Iterator[tuple[str, Simple | Complex]]:
        """Yield every named type with its name; so is the one of which all are."""
        yield f"{XS}anyType", self.anything
        yield from ((part.name, self._typed(part)) for part in self.parts("type"))

    def attributes(self) -> Mapping[str, Use]:
        """Return every global attribute by its name."""
        return {
            part.name: Use(self._attribute_type(part.node, part), part.node.get("fixed"), part.node.get("default"))
            for part in self.parts("attribute")
        }

    def builtin(self, name: str) -> Simple | Complex:
        """Return a type of XML Schema itself."""
        if name == "anyType":
            return self.anything
        if name not in self._builtins:
            self._builtins[name] = _builtin(name)
        return self._builtins[name]

    # Elements

    def _global(self, part: DeclaredPart) -> Declared:
        return self._element(part.name, part.node, part)

    def _local(self, node: Any, part: DeclaredPart) -> Declared:
        return self._element(part.local_name(node), node, part)

    def _element(self, tag: str, node: Any, part: DeclaredPart) -> Declared:
        return Declared(
            tag, lambda: self._type_of_element(node, part), node, fixed=node.get("fixed"), default=node.get("default")
        )

    def _type_of_element(self, node: Any, part: DeclaredPart) -> Simple | Complex:
        alternatives = list(node.iterchildren(f"{XS}alternative"))
        declared = self._declared_type(node, part)
        if not alternatives:
            return declared
        key = (id(node), part.document.namespace)
        if key not in self._types:
            self._nodes.append(node)
            self._types[key] = self._one_of([declared, *(self._declared_type(each, part) for each in alternatives)])
        return self._types[key]

    def _one_of(self, kinds: Sequence[Simple | Complex]) -> Simple | Complex:
        """Return a type that says no more than any of some is sure to say: a document's attributes choose among them.

        The type of a child that they give different types, or that one may let in by a wildcard, is left open.
        """
        complex_ones = [kind for kind in kinds if isinstance(kind, Complex)]
        if not complex_ones:
            return kinds[0]
        treats = {kind.loose for kind in complex_ones}, {kind.attribute_wildcard for kind in complex_ones}
        loose, wildcard = (next((each for each in (SKIP, LAX, "strict") if each in held), "") for held in treats)
        made = Complex(open=any(kind.open for kind in complex_ones), loose=loose, attribute_wildcard=wildcard)
        made.mixed, made.simple, made.base = complex_ones[0].mixed, complex_ones[0].simple, complex_ones[0].base
        for kind in complex_ones:
            made.lets_in = made.lets_in.joined(kind.lets_in)
            made.attributes |= kind.attributes
            for tag, child in kind.children.items():
                if all(tag in other.children for other in complex_ones) or not loose:
                    same = child.type() is made.children.get(tag, child).type()
                    made.children[tag] = child if same else Declared(tag, lambda: self.anything, child.node)
        if wildcard in (LAX, SKIP):
            common = set.intersection(*(set(kind.attributes) for kind in complex_ones))
            made.attributes = {name: use for name, use in made.attributes.items() if name in common}
        return made

    def _declared_type(self, node: Any, part: DeclaredPart) -> Simple | Complex:
        if (name := node.get("type")) is not None:
            return self._by_name(part.full_name(node, name), part)
        inline = next(node.iterchildren(f"{XS}simpleType", f"{XS}complexType"), None)
        if inline is not None:
            return self._made(inline, part)
        head = (node.get("substitutionGroup") or "").split()
        leading = self.part("element", part.full_name(node, head[0])) if head else None
        return self.anything if leading is None else self._type_of_element(leading.node, leading)

    # Types

    def _by_name(self, name: str, within: DeclaredPart) -> Simple | Complex:
        part = self.part("type", name, within)
        if part is not None:
            return self._typed(part)
        return self.builtin(name.removeprefix(XS)) if name.startswith(XS) else self.anything

    def _typed(self, part: DeclaredPart) -> Simple | Complex:
        return self._made(part.node, part)

    def _made(self, node: Any, part: DeclaredPart) -> Simple | Complex:
        key = (id(node), part.document.namespace)
        if key not in self._types:
            self._nodes.append(node)
            if node.tag == f"{XS}simpleType":
                self._types[key] = self._simple(node, part)
            else:
                self._types[key] = self._complex(node, part)
        return self._types[key]

    def _simple_by(self, node: Any, part: DeclaredPart, attribute: str) -> list[Simple]:
        """Return the simple types that an attribute names and those that stand inside."""
        found = [self._by_name(part.full_name(node, word), part) for word in (node.get(attribute) or "").split()]
        found += [self._made(inline, part) for inline in node.iterchildren(f"{XS}simpleType")]
        return [kind for kind in found if isinstance(kind, Simple)]

    def _simple(self, node: Any, part: DeclaredPart) -> Simple:
        for child in node.iterchildren(f"{XS}restriction", f"{XS}list", f"{XS}union"):
            if child.tag == f"{XS}restriction":
                return self._restricted(next(iter(self._simple_by(child, part, "base")), _STRING), child)
            if child.tag == f"{XS}list":
                item = next(iter(self._simple_by(child, part, "itemType")), _STRING)
                identifier = IDREFS if item.identifier == IDREF else None
                return Simple(ValueKind(name="list", parts=(item.as_member,)), identifier)
            members = self._simple_by(child, part, "memberTypes")
            return Simple(
                ValueKind(name="union", space="preserve", parts=tuple(member.as_member for member in members)),
                enumerated=bool(members) and all(member.enumerated for member in members),
            )
        return _STRING

    @staticmethod
    def _restricted(base: Simple, node: Any) -> Simple:
        kind = base.kind
        space = next((facet.get("value") for facet in node.iterchildren(f"{XS}whiteSpace")), kind.space)
        facets = {child.tag for child in node.iterchildren(f"{XS}*")} & _FACETS
        bounds = {facet: bound for facet, bound in kind.bounds if facet != PATTERN}
        if kind.name in _MISORDERED:
            bounds |= {facet.tag.removeprefix(XS): facet.get("value", "") for facet in node.iterchildren(*_BOUNDS)}
        patterns = [bound for facet, bound in kind.bounds if facet == PATTERN]
        # Those of one step are alternatives (part 2, 4.3.4).
        own = [facet.get("value", "") for facet in node.iterchildren(f"{XS}pattern")]
        if any(map(is_judged_apart, own)):
            patterns.append(own[0] if len(own) == 1 else "|".join(f"({each})" for each in own))
        made = ValueKind(
            name=kind.name,
            space=str(space),
            parts=kind.parts,
            faceted=kind.faceted or bool(facets),
            bounds=(*bounds.items(), *((PATTERN, each) for each in patterns)),
        )
        return Simple(
            made, base.identifier, base.enumerated or f"{XS}enumeration" in facets, (*base.facets, *_facets(node))
        )

    def _complex(self, node: Any, part: DeclaredPart) -> Complex:
        made = Complex(mixed=node.get("mixed") in ("true", "1"), base=self.anything)
        content = next(node.iterchildren(f"{XS}simpleContent", f"{XS}complexContent"), None)
        if content is None:
            made.content = lambda: self._content(node, part)
            self._fill(made, node, part)
            return made
        derivation = next(content.iterchildren(f"{XS}extension", f"{XS}restriction"), None)
        if derivation is None:
            return made
        made.mixed = content.get("mixed", node.get("mixed")) in ("true", "1")
        base = self._by_name(part.full_name(derivation, derivation.get("base", "")), part)
        made.base = base
        if isinstance(base, Complex):
            made.attributes = dict(base.attributes)
        if content.tag == f"{XS}simpleContent":
            made.simple = self._simple_content(base, derivation, part)
        elif derivation.tag == f"{XS}extension" and isinstance(base, Complex):
            made.children, made.open, made.loose = dict(base.children), base.open, base.loose
            made.lets_in, made.attribute_wildcard = base.lets_in, base.attribute_wildcard
            made.counted = base.counted
            made.mixed = made.mixed or (base.mixed and base is not self.anything)
        extended = base if derivation.tag == f"{XS}extension" and isinstance(base, Complex) else None
        made.content = lambda: self._content(derivation, part, extended)
        self._fill(made, derivation, part)
        return made

    def _content(self, node: Any, part: DeclaredPart, extended: Complex | None = None) -> Model | None:
        """Return the model of what stands in a node, after that of the type which it extends."""
        maker = ModelMaker(self)
        models = [] if extended is None else [extended.content()]
        models += [maker.of(child, part) for child in node.iterchildren(f"{XS}group", *_PARTICLES)]
        known = [model for model in models if model is not None]
        return in_order(known) if len(known) == len(models) else None

    def tags(self, node: Any, part: DeclaredPart) -> Iterable[str]:
        """Return the tags that an element of a content stands for."""
        return (declared.tag for declared in self._declared(node, part))

    def _simple_content(self, base: Simple | Complex, derivation: Any, part: DeclaredPart) -> Simple:
        simple = base if isinstance(base, Simple) else base.simple or _STRING
        if derivation.tag == f"{XS}extension":
            return simple
        inline = next(iter(self._simple_by(derivation, part, "memberTypes")), simple)
        return self._restricted(inline, derivation)

    def _fill(self, made: Complex, node: Any, part: DeclaredPart) -> None:
        """Add the particles and attributes that stand in a node."""
        for child in node.iterchildren(f"{XS}*"):
            if child.tag in _PARTICLES or child.tag == f"{XS}group":
                self._fill_content(made, child, part)
            elif child.tag == f"{XS}openContent" and child.get("mode") != "none":
                self._let_in(made, next(child.iterchildren(f"{XS}any"), None), part)
        if part.document.open_content is not None and next(node.iterchildren(f"{XS}openContent"), None) is None:
            self._let_in(made, part.document.open_content, part)
        for name, use in self._uses(node, part):
            if use is None:
                made.attributes.pop(name, None)
            else:
                made.attributes[name] = use
        for wildcard in self._attribute_wildcards(node, part):
            made.attribute_wildcard = wildcard.get("processContents", "strict").strip()

    def _let_in(self, made: Complex, wildcard: Any | None, part: DeclaredPart) -> None:
        """Add a wildcard of elements. Where several treat what they let in otherwise, the least is taken for sure."""
        if wildcard is None or wildcard.get("maxOccurs", "").strip() == "0":
            return
        treats = wildcard.get("processContents", "strict").strip()
        made.open = made.open or treats != SKIP
        if treats == SKIP or (treats == LAX and made.loose != SKIP):
            made.loose = treats
        if treats in (LAX, SKIP):
            made.lets_in = made.lets_in.joined(Namespaces.of_wildcard(wildcard, part.document.namespace))

    def _attribute_wildcards(self, node: Any, part: DeclaredPart) -> Iterator[Any]:
        """Yield the wildcards of attributes of a node: those of its groups, and last its own, which counts (part 1, 3.4.2)."""
        for child in node.iterchildren(f"{XS}attributeGroup"):
            group = self.part("attributeGroup", part.full_name(child, child.get("ref", "")), part)
            if group is not None:
                yield from self._attribute_wildcards(group.node, group)
        yield from node.iterchildren(f"{XS}anyAttribute")

    def _fill_content(self, made: Complex, node: Any, part: DeclaredPart) -> None:
        if node.get("maxOccurs", "").strip() == "0":
            return
        made.counted = made.counted or is_counted(node)
        if node.tag == f"{XS}element":
            for declared in self._declared(node, part):
                made.children.setdefault(declared.tag, declared)
        elif node.tag == f"{XS}any":
            self._let_in(made, node, part)
        elif node.tag == f"{XS}group":
            group = self.part("group", part.full_name(node, node.get("ref", "")), part)
            for child in () if group is None else group.node.iterchildren(*_PARTICLES):
                assert group is not None  # noqa: S101  # There would be no child.
                self._fill_content(made, child, group)
        elif node.tag in _PARTICLES:
            for child in node.iterchildren(f"{XS}*"):
                self._fill_content(made, child, part)

    def _declared(self, node: Any, part: DeclaredPart) -> Iterator[Declared]:
        reference = node.get("ref")
        if reference is None:
            yield self._local(node, part)
            return
        name = part.full_name(node, reference)
        for full in (name, *self.standing_for(name)):
            found = self.part("element", full)
            if found is not None:
                yield self._global(found)

    # Attributes

    def _uses(self, node: Any, part: DeclaredPart) -> Iterator[tuple[str, Use | None]]:
        for child in node.iterchildren(f"{XS}attribute", f"{XS}attributeGroup"):
            if child.tag == f"{XS}attribute":
                yield self._use(child, part)
                continue
            group = self.part("attributeGroup", part.full_name(child, child.get("ref", "")), part)
            if group is not None:
                yield from self._uses(group.node, group)

    def _use(self, node: Any, part: DeclaredPart) -> tuple[str, Use | None]:
        prohibited = node.get("use") == "prohibited"
        fixed, default = node.get("fixed"), node.get("default")
        if (reference := node.get("ref")) is not None:
            name = part.full_name(node, reference)
            found = self.part("attribute", name)
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
        name = part.local_name(node)
        return name, None if prohibited else Use(self._attribute_type(node, part), fixed, default)

    def _attribute_type(self, node: Any, part: DeclaredPart) -> Simple:
        return next(iter(self._simple_by(node, part, "type")), _STRING)


def _facets(node: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the facets of one step: its patterns and its enumerations are alternatives (part 2, 4.3.4 and 4.3.5)."""
    given: dict[str, list[str]] = {}
    for facet in node.iterchildren(*_FACETS):
        given.setdefault(facet.tag.removeprefix(XS), []).append(facet.get("value", ""))
    yield from ((name, tuple(values)) for name, values in given.items())


#: What the names among the built-in types look like (part 2, 3.3; appendix F for the classes).
_NAME, _TOKEN, _NCNAME = r"\i\c*", r"\c+", r"[\i-[:]][\c-[:]]*"
_LOOKS = {
    "Name": _NAME,
    "NMTOKEN": _TOKEN,
    "language": r"[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*",
    **dict.fromkeys(("NCName", "ENTITY", ID, IDREF), _NCNAME),
}


def _builtin(name: str) -> Simple:
    if name in _LISTS:
        item = _builtin(_LISTS[name]).as_member
        kind = ValueKind(name="list", parts=(item,), bounds=(("minLength", "1"),))
        return Simple(kind, IDREFS if name == IDREFS else None)
    if name in _PRIMITIVES or name in INTEGERS:
        return Simple(ValueKind(name=name))
    space = _STRINGS.get(name, "preserve" if name == "anySimpleType" else "collapse")
    facets = ((PATTERN, (_LOOKS[name],)),) if name in _LOOKS else ()
    return Simple(ValueKind(name="string", space=space), name if name in (ID, IDREF) else None, facets=facets)


_STRING = Simple(ValueKind(name="string", space="preserve"))
