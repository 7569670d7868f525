"""The outline of a message of an XML Schema (1.0, part 1): elements and attributes in the order in which documents have them.

A ``choice`` becomes a fork; one that repeats, lists of its elements, for any order of them is allowed. Of a sequence that
repeats one round is offered. A code of XÖV (``code`` beside ``listURI``) is one question. What no form can offer is left out
and named: wildcards, abstract types, and a type within itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from hub.errors import ConfigurationError, Text
from hub.forms.outline import (
    ATTRIBUTE,
    CONTENT,
    ITEM,
    OWN,
    Choice,
    Field,
    FieldCount,
    FieldKind,
    FormOutline,
    Variants,
    escaped,
    from_name,
)
from hub.validation.xml.declarations import XS, Declarations, DeclaredPart
from hub.validation.xml.xsd import XsdSource, locating, parse_schema_document

_GROUPS = frozenset((f"{XS}sequence", f"{XS}all", f"{XS}group"))
_KINDS = {
    "boolean": FieldKind.BOOLEAN,
    "date": FieldKind.DATE,
    "dateTime": FieldKind.DATE_TIME,
    "time": FieldKind.TIME,
    **dict.fromkeys(("decimal", "float", "double"), FieldKind.NUMBER),
    **dict.fromkeys(
        (
            *("integer", "nonNegativeInteger", "positiveInteger", "nonPositiveInteger", "negativeInteger"),
            *("long", "int", "short", "byte", "unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte"),
        ),
        FieldKind.INTEGER,
    ),
}
_LEAST = {"nonNegativeInteger": "0", "positiveInteger": "1", **dict.fromkeys(("unsignedInt", "unsignedLong"), "0")}
_FACETS = (
    *("length", "minLength", "maxLength", "minInclusive", "maxInclusive", "minExclusive", "maxExclusive"),
    *("totalDigits", "fractionDigits"),
)
_IDENTIFIERS = ("ID", "IDREF")
_LONGEST_HINT = 400


@dataclass(frozen=True, slots=True)
class _Value:
    """What a simple type says of its values."""

    kind: FieldKind = FieldKind.TEXT
    limits: dict[str, Any] = field(default_factory=dict)
    choices: tuple[Choice, ...] = ()


@dataclass(slots=True)
class _Content:
    """The members of a type, while they are gathered."""

    members: list[Field] = field(default_factory=list)
    forks: list[Variants] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Where:
    """Where particles are gathered: the place of their parent, the types that led there, and what they stand in."""

    place: str
    chain: tuple[Any, ...]
    optional: bool = False
    repeated: bool = False
    within: tuple[tuple[str, int], ...] = ()


#: One branch of a fork: adds its members, and returns the names that it requires.
_Branch = Callable[[_Content, _Where], frozenset[str]]


def outline_of_xml_schema(source: XsdSource, root: str) -> FormOutline:
    """Return the outline of the message ``root`` (``{namespace}name``).

    Raises:
        ConfigurationError: There is no such element, a document cannot be read, or there are too many fields.
    """
    walker = _Walker(source)
    part = walker.part("element", root)
    if part is None:
        raise ConfigurationError(
            Text(f"Das Schema kennt das Element {root} nicht.", f"The schema does not know the element {root}.")
        )
    made = walker.element(part, root, _Where(place="", chain=()))
    if made is None:
        raise ConfigurationError(
            Text(f"Zum Element {root} lässt sich kein Formular bilden.", f"No form can be made for the element {root}.")
        )
    return FormOutline(root=made, is_xml=True, left_out=tuple(walker.counted.left_out))


class _Walker:
    def __init__(self, source: XsdSource) -> None:
        self.counted = FieldCount()
        self._declared = Declarations(
            (source.file,), lambda name: parse_schema_document(source.read(name), name), locating(source)
        )
        self.part = self._declared.part
        self._values: dict[DeclaredPart, _Value] = {}

    # Elements

    def element(self, part: DeclaredPart, tag: str, where: _Where, *, listed: bool = False) -> Field | None:
        """Return the field of an element, or of one item of a list of it; None where no form can offer it."""
        node = part.node
        name = tag.rpartition("}")[2]
        at = f"{where.place}/{escaped(name)}" if where.chain else ""
        if not self.counted.count(at.count("/"), at):
            return None
        made = Field(
            name=name, kind=FieldKind.TEXT, title=_title(node, name), hint=_documented(node), required=True, tag=tag
        )
        if (fixed := node.get("fixed")) is not None:
            return replace(made, kind=FieldKind.FIXED, value=fixed)
        kind = self._type_of(part)
        if isinstance(kind, _Value):
            return _filled(made, kind)
        if kind.node.get("abstract") in ("true", "1") or kind.node in where.chain:
            self.counted.leave_out(at)
            return None
        content = _Content()
        inside = f"{at}/{ITEM}" if listed else at
        self._complex(kind, content, _Where(place=inside, chain=(*where.chain, kind.node)))
        return _coded(
            replace(made, kind=FieldKind.GROUP, members=tuple(content.members), variants=tuple(content.forks))
        )

    def _type_of(self, part: DeclaredPart) -> _Value | DeclaredPart:
        node = part.node
        if (name := node.get("type")) is not None:
            return self._by_name(part.full_name(node, name), part)
        inline = next(node.iterchildren(f"{XS}simpleType", f"{XS}complexType"), None)
        if inline is not None:
            return (
                self._simple(replace(part, node=inline, original=None))
                if inline.tag == f"{XS}simpleType"
                else replace(part, node=inline, original=None)
            )
        for head in (node.get("substitutionGroup") or "").split():
            leading = self.part("element", part.full_name(node, head))
            if leading is not None:
                return self._type_of(leading)
        return _Value()

    def _by_name(self, name: str, within: DeclaredPart) -> _Value | DeclaredPart:
        if name.startswith(XS):
            return _builtin(name.removeprefix(XS))
        part = self.part("type", name, within)
        if part is None:
            return _Value()
        if part.node.tag == f"{XS}complexType":
            return part
        if part not in self._values:
            self._values[part] = self._simple(part)
        return self._values[part]

    # Complex types

    def _complex(self, part: DeclaredPart, content: _Content, where: _Where) -> None:
        derived = next(part.node.iterchildren(f"{XS}simpleContent", f"{XS}complexContent"), None)
        if derived is None:
            self._fill(part.node, part, content, where)
            return
        node = next(derived.iterchildren(f"{XS}extension", f"{XS}restriction"), None)
        if node is None:
            return
        base = self._by_name(part.full_name(node, node.get("base", "")), part)
        if derived.tag == f"{XS}simpleContent":
            self._simple_content(node, base, part, content, where)
            return
        if isinstance(base, DeclaredPart) and base.node is not part.node:
            inherited = _Content()
            self._complex(base, inherited, where)
            if node.tag == f"{XS}restriction":
                inherited.members = [one for one in inherited.members if one.name.startswith(ATTRIBUTE)]
                inherited.forks = []
            content.members += inherited.members
            content.forks += inherited.forks
        self._fill(node, part, content, where)

    def _simple_content(
        self, node: Any, base: _Value | DeclaredPart, part: DeclaredPart, content: _Content, where: _Where
    ) -> None:
        value = base if isinstance(base, _Value) else _Value()
        if isinstance(base, DeclaredPart):
            inherited = _Content()
            self._complex(base, inherited, where)
            text = next((one for one in inherited.members if one.name == CONTENT), None)
            if text is not None:
                value = _Value(text.kind, dict(text.limits), text.choices)
            content.members += [one for one in inherited.members if one.name != CONTENT]
        if node.tag == f"{XS}restriction":
            value = _restricted(value, node)
        self._attributes(node, part, content)
        title = from_name(where.place.rpartition("/")[2])
        text = Field(name=CONTENT, kind=FieldKind.TEXT, title=title, required=True)
        content.members.append(_filled(text, value))

    def _fill(self, node: Any, part: DeclaredPart, content: _Content, where: _Where) -> None:
        self._attributes(node, part, content)
        for child in node.iterchildren(f"{XS}*"):
            self._particle(child, part, content, where)

    def _particle(self, node: Any, part: DeclaredPart, content: _Content, where: _Where) -> frozenset[str]:
        """Add what a particle lets in; returns the names that it requires."""
        least, most = _occurs(node)
        if most == 0:
            return frozenset()
        if node.tag == f"{XS}element":
            return self._elements(node, part, content, where, (least, most))
        if node.tag == f"{XS}choice":
            return self._choice(list(node.iterchildren(f"{XS}*")), part, content, where, (least, most))
        if node.tag == f"{XS}any":
            self.counted.leave_out(f"{where.place}/{ITEM}")
        if node.tag not in _GROUPS:
            return frozenset()
        if node.tag == f"{XS}group" and (name := node.get("ref")) is not None:
            group = self.part("group", part.full_name(node, name), part)
            if group is None:
                return frozenset()
            node, part = group.node, group
        inner = replace(where, optional=where.optional or least == 0)
        found = [self._particle(child, part, content, inner) for child in node.iterchildren(f"{XS}*")]
        return frozenset[str]().union(*found) if least else frozenset()

    def _choice(
        self, children: list[Any], part: DeclaredPart, content: _Content, where: _Where, occurs: tuple[int, int | None]
    ) -> frozenset[str]:
        children = [child for child in children if child.tag != f"{XS}annotation"]
        if occurs[1] != 1:
            for child in children:
                self._particle(child, part, content, replace(where, optional=True, repeated=True))
            return frozenset()
        if len(children) == 1:
            return self._particle(children[0], part, content, replace(where, optional=where.optional or not occurs[0]))
        branches = [partial(self._particle, child, part) for child in children]
        self._fork(branches, content, where, required=occurs[0] > 0)
        return frozenset()

    def _fork(self, branches: Sequence[_Branch], content: _Content, where: _Where, *, required: bool) -> None:
        key, position = f"{OWN}{len(content.forks)}", len(content.forks)
        fork = Variants(key=key, labels=(), needs=(), within=where.within, required=required and not where.optional)
        content.forks.append(fork)
        needs, labels, marks = [], [], []
        for number, branch in enumerate(branches):
            start = len(content.members)
            inside = replace(where, optional=False, within=(*where.within, (key, number)))
            needs.append(branch(content, inside))
            made = content.members[start:]
            marks.append(frozenset(member.name for member in made))
            labels.append(made[0].title if made else Text(f"Möglichkeit {number + 1}", f"Option {number + 1}"))
        own = [one - frozenset[str]().union(*(marks[:n] + marks[n + 1 :])) for n, one in enumerate(marks)]
        content.forks[position] = replace(fork, labels=tuple(labels), needs=tuple(needs), marks=tuple(own))

    def _elements(
        self, node: Any, part: DeclaredPart, content: _Content, where: _Where, occurs: tuple[int, int | None]
    ) -> frozenset[str]:
        least, most = occurs
        if where.repeated:
            least, most = 0, None
        reference = node.get("ref")
        if reference is None:
            return self._add(
                replace(part, node=node, original=None), part.local_name(node), content, where, (least, most)
            )
        name = part.full_name(node, reference)
        standing = [
            full
            for full in (name, *self._declared.standing_for(name))
            if (one := self.part("element", full)) and not _abstract(one)
        ]
        if len(standing) == 1:
            return self._global(standing[0], (least, most), content, where)
        if not standing:
            self.counted.leave_out(f"{where.place}/{escaped(name.rpartition('}')[2])}")
        elif most == 1:
            branches = [partial(self._global, full, (1, 1)) for full in standing]
            self._fork(branches, content, where, required=least > 0)
        else:
            for full in standing:
                self._global(full, (0, most), content, where)
        return frozenset()

    def _global(self, name: str, occurs: tuple[int, int | None], content: _Content, where: _Where) -> frozenset[str]:
        part = self.part("element", name)
        assert part is not None  # noqa: S101  # It stands for one that does.
        return self._add(part, name, content, where, occurs)

    def _add(
        self, part: DeclaredPart, tag: str, content: _Content, where: _Where, occurs: tuple[int, int | None]
    ) -> frozenset[str]:
        least, most = occurs
        needed = least > 0 and not where.optional
        listed = most != 1
        made = self.element(part, tag, where, listed=listed)
        if made is None:
            return frozenset()
        required = needed and not where.within
        if listed:
            item = replace(made, name=ITEM)
            made = replace(
                made,
                kind=FieldKind.LIST,
                members=(item,),
                variants=(),
                choices=(),
                limits={},
                least=least if needed or where.within else 0,
                most=most,
                value=None,
            )
        content.members.append(replace(made, required=required, within=where.within))
        return frozenset((made.name,)) if needed else frozenset()

    # Attributes

    def _attributes(self, node: Any, part: DeclaredPart, content: _Content) -> None:
        for child in node.iterchildren(f"{XS}attribute", f"{XS}attributeGroup"):
            if child.tag == f"{XS}attributeGroup":
                group = self.part("attributeGroup", part.full_name(child, child.get("ref", "")), part)
                if group is not None:
                    self._attributes(group.node, group, content)
                continue
            made = self._attribute(child, part)
            content.members = [one for one in content.members if made is None or one.name != made.name]
            if made is not None and child.get("use") != "prohibited":
                content.members.append(made)

    def _attribute(self, node: Any, part: DeclaredPart) -> Field | None:
        declared = replace(part, node=node, original=None)
        if (reference := node.get("ref")) is not None:
            tag = part.full_name(node, reference)
            found = self.part("attribute", tag)
            if found is None:
                return None
            declared = found
        else:
            tag = part.local_name(node)
        name = tag.rpartition("}")[2]
        made = Field(
            name=f"{ATTRIBUTE}{name}",
            kind=FieldKind.TEXT,
            title=_title(declared.node, name),
            hint=_documented(declared.node),
            required=node.get("use") == "required",
            tag=tag,
        )
        fixed = node.get("fixed", declared.node.get("fixed"))
        if fixed is not None:
            return replace(made, kind=FieldKind.FIXED, value=fixed)
        kind = self._type_of(declared)
        return _filled(made, kind) if isinstance(kind, _Value) else made

    # Simple types

    def _simple(self, part: DeclaredPart) -> _Value:
        for node in part.node.iterchildren(f"{XS}restriction", f"{XS}union"):
            inline = [
                self._simple(replace(part, node=one, original=None)) for one in node.iterchildren(f"{XS}simpleType")
            ]
            named = (node.get("base") or node.get("memberTypes") or "").split()
            found = [self._by_name(part.full_name(node, name), part) for name in named] + inline
            values = [one for one in found if isinstance(one, _Value)]
            if node.tag == f"{XS}restriction":
                return _restricted(values[0] if values else _Value(), node)
            if values and all(one.choices for one in values):
                return _Value(FieldKind.CHOICE, {}, tuple(choice for one in values for choice in one.choices))
        return _Value()


def _restricted(base: _Value, node: Any) -> _Value:
    limits = dict(base.limits)
    choices: list[Choice] = []
    patterns: list[str] = []
    for facet in node.iterchildren(f"{XS}*"):
        word, value = facet.tag.removeprefix(XS), facet.get("value", "")
        if word == "enumeration":
            choices.append(Choice(value=value, label=_documented(facet) or Text(value, value)))
        elif word == "pattern":
            patterns.append(value)
        elif word in _FACETS:
            limits[word] = value
    if patterns:
        # Patterns of one step are alternatives, those of several steps hold together (part 2, 4.3.4).
        limits["patterns"] = (*limits.get("patterns", ()), "|".join(patterns))
    if choices:
        return _Value(FieldKind.CHOICE, limits, tuple(choices))
    return _Value(base.kind, limits, base.choices)


def _builtin(name: str) -> _Value:
    limits: dict[str, Any] = {}
    if name in _IDENTIFIERS:
        limits["identifier"] = name
    if name in _LEAST:
        limits["minInclusive"] = _LEAST[name]
    return _Value(_KINDS.get(name, FieldKind.TEXT), limits)


def _filled(made: Field, value: _Value) -> Field:
    return replace(made, kind=value.kind, limits=value.limits, choices=value.choices)


def _coded(made: Field) -> Field:
    """Ask a code of XÖV as one question, in the words of its element."""
    names = {member.name for member in made.members}
    if "code" not in names or not {f"{ATTRIBUTE}listURI", f"{ATTRIBUTE}listVersionID"} & names:
        return made
    members = [
        replace(member, title=made.title, hint=made.hint) if member.name == "code" else member
        for member in made.members
        if member.name == "code" or member.name.startswith(ATTRIBUTE)
    ]
    return replace(made, members=tuple(members), variants=(), widget="code")


def _title(node: Any, name: str) -> Text:
    said = next(
        (each.text.strip() for each in node.iterfind(f"{XS}annotation/{XS}appinfo//{{*}}title") if each.text), ""
    )
    return Text(said, said) if said else from_name(name)


def _documented(node: Any) -> Text | None:
    said = " ".join("".join(each.itertext()) for each in node.iterfind(f"{XS}annotation/{XS}documentation"))
    said = " ".join(said.split())
    if not said:
        return None
    said = said if len(said) <= _LONGEST_HINT else f"{said[: _LONGEST_HINT - 1]}…"
    return Text(said, said)


def _abstract(part: DeclaredPart) -> bool:
    return part.node.get("abstract") in ("true", "1")


def _occurs(node: Any) -> tuple[int, int | None]:
    most = node.get("maxOccurs", "1").strip()
    return int(node.get("minOccurs", "1").strip() or 1), None if most == "unbounded" else int(most)
