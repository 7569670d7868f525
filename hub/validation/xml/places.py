"""Places of a document that need a second look: what libxml2 does not judge as XML Schema 1.0 says.

It does not check that an IDREF points at an ID, ignores what a use of a global attribute fixes, compares elements with their
fixed value as texts, and takes binary data, numbers and durations that are none. Which element or attribute is concerned cannot
be told by its name (the same name is an ID in one type and a plain text in another), so a table derived from the schema once
says for each type that matters: its attributes, its text, and the types of its children. A walk over the document carries
the type along; what leads to no such place is not entered.

The table knows named types too, because a document may choose one by xsi:type. The same table knows which elements hold a
code, and what list and version the schema names for it where the message need not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum, auto
from typing import Any

from hub.validation.xml.content import Model, model_from_json
from hub.validation.xml.values import MOMENTS, ValueKind

ID, IDREF, IDREFS = "ID", "IDREF", "IDREFS"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
XSI_TYPE, XSI_NIL = f"{XSI}type", f"{XSI}nil"
#: Of the table as it is stored; one that an earlier release stored is derived anew.
FORMAT = 6
LIST_URI, LIST_VERSION, CODE = "listURI", "listVersionID", "code"
#: How wildcards treat what they let in (part 1, 3.10.1): by a declaration where there is one, by none.
LAX, SKIP = "lax", "skip"
#: Primitive types of which libxml2 takes spellings that are none, or not every one.
FORMS = frozenset({"base64Binary", "double", "float", "duration"}) | MOMENTS
#: Built-in types by which a document can make any place one that is looked at: it chooses them by xsi:type.
#: What is looked at besides where keys are compared: -0 and 0 are one number.
NUMBER = "decimal"
LOOKED_AT = FORMS | {ID, IDREF, IDREFS}


def _may_be_name(kind: ValueKind) -> bool:
    return kind.name in ("QName", "NOTATION") or any(map(_may_be_name, kind.parts))


@dataclass(frozen=True, kw_only=True, slots=True)
class Fixed:
    """What a schema fixes; ``mixed`` that the element may hold elements too, and must not then (part 1, 3.3.4)."""

    value: str
    kind: ValueKind
    mixed: bool = False

    @property
    def is_name(self) -> bool:
        """Whether it is, or may be or hold, a name whose prefix says more than its text."""
        return _may_be_name(self.kind)

    def as_json(self) -> list[Any]:
        """Return it as plain values."""
        return [self.value, self.mixed, self.kind.as_json()]

    @classmethod
    def from_json(cls, document: list[Any]) -> Fixed:
        """Read it as :meth:`as_json` writes it."""
        value, mixed, kind = document
        return cls(value=str(value), mixed=bool(mixed), kind=ValueKind.from_json(kind))


@dataclass(frozen=True, kw_only=True, slots=True)
class Coded:
    """An element with a child ``code``: list and version that the schema fixes or defaults, None where the message names them.

    ``enumerated`` says that the schema itself lists the codes.
    """

    uri: str | None = None
    version: str | None = None
    enumerated: bool = False

    def as_json(self) -> list[Any]:
        """Return it as plain values."""
        return [self.uri, self.version, self.enumerated]


@dataclass(frozen=True, kw_only=True, slots=True)
class Wild:
    """What wildcards of a type let in that no declaration need judge: ``elements`` and ``attributes`` are LAX, SKIP or empty.

    ``children`` and ``uses`` name what the type declares itself, which no wildcard lets in.
    """

    elements: str = ""
    attributes: str = ""
    children: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()

    def as_json(self) -> list[Any]:
        """Return it as plain values."""
        return [self.elements, self.attributes, sorted(self.children), sorted(self.uses)]

    @classmethod
    def from_json(cls, document: list[Any]) -> Wild:
        """Read it as :meth:`as_json` writes it."""
        elements, attributes, children, uses = document
        return cls(
            elements=str(elements), attributes=str(attributes), children=frozenset(children), uses=frozenset(uses)
        )


class Fate(Enum):
    """What becomes of an element where it stands."""

    #: It has a declaration or names its type: it is judged.
    JUDGED = auto()
    #: It has none, and a wildcard lets it in all the same; what stands in it is judged if it has one.
    LOOSE = auto()
    #: A wildcard lets it in with all that stands in it.
    SKIPPED = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceType:
    """What matters of one type: ``text`` and ``attributes`` name a kind of identifier, ``children`` the key of another type.

    ``open`` says that a wildcard lets any global element in, ``wild`` that some let in what nothing judges. ``form`` and
    ``forms`` name spellings to be looked at (:func:`hub.validation.xml.values.is_spelt`), ``fixed`` and ``fixed_attributes``
    values to be compared, ``value`` and ``values`` types whose values are judged anew; ``filled`` is what an empty element
    stands for by its declaration, ``nil_field`` says that it is a field of a key and may be nil, which no valid document holds.
    ``content`` is the model of what stands in it, where libxml2 may count that wrongly.
    """

    text: str | None = None
    open: bool = False
    form: str | None = None
    fixed: Fixed | None = None
    coded: Coded | None = None
    wild: Wild | None = None
    content: Model | None = None
    value: ValueKind | None = None
    filled: str | None = None
    nil_field: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)
    fixed_attributes: Mapping[str, Fixed] = field(default_factory=dict)
    values: Mapping[str, ValueKind] = field(default_factory=dict)
    children: Mapping[str, str] = field(default_factory=dict)

    @property
    def matters(self) -> bool:
        """Whether the type itself has anything to look at."""
        own = self.text, self.form, self.fixed, self.coded, self.wild, self.content, self.value
        of_attributes = self.attributes, self.forms, self.fixed_attributes, self.values
        return self.nil_field or any(each is not None for each in own) or any(of_attributes)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, empty parts left out."""
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: _plain(value) for name, value in parts.items() if value}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PlaceType:
        """Read it as :meth:`as_json` writes it."""
        fixed, coded, wild = document.get("fixed"), document.get("coded"), document.get("wild")
        content, value = document.get("content"), document.get("value")
        return cls(
            text=document.get("text"),
            open=bool(document.get("open", False)),
            form=document.get("form"),
            fixed=None if fixed is None else Fixed.from_json(fixed),
            coded=None if coded is None else Coded(uri=coded[0], version=coded[1], enumerated=bool(coded[2])),
            wild=None if wild is None else Wild.from_json(wild),
            content=None if content is None else model_from_json(content),
            value=None if value is None else ValueKind.from_json(value),
            filled=document.get("filled"),
            nil_field=bool(document.get("nil_field", False)),
            values={name: ValueKind.from_json(each) for name, each in document.get("values", {}).items()},
            attributes=dict(document.get("attributes", {})),
            forms=dict(document.get("forms", {})),
            fixed_attributes={
                name: Fixed.from_json(value) for name, value in document.get("fixed_attributes", {}).items()
            },
            children=dict(document.get("children", {})),
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in sorted(value.items())}
    return value.as_json() if isinstance(value, Fixed | Coded | Wild | ValueKind) else value


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceTable:
    """Types by key; ``roots`` gives the key of each global element, ``named`` of each named type.

    ``keyed`` says that the schema has keys, whose fields are compared; ``sure`` are names of elements that hold a code of one
    kind wherever they are judged. ``globals`` and ``global_attributes`` are all that wildcards let in to be judged, and
    ``anything`` is the type of what they let in besides: all three are there if any type is wild. ``apart`` gives by type
    namespaces of the schema (empty: none) of which no wildcard lets in anything; tables of earlier releases have none.
    """

    types: Mapping[str, PlaceType]
    roots: Mapping[str, str]
    named: Mapping[str, str]
    keyed: bool = False
    sure: frozenset[str] = frozenset()
    globals: frozenset[str] = frozenset()
    global_attributes: frozenset[str] = frozenset()
    anything: str = ""
    apart: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PlaceTable:
        """Read the table as :meth:`as_json` writes it."""
        return cls(
            types={key: PlaceType.from_json(value) for key, value in document["types"].items()},
            roots=dict(document["roots"]),
            named=dict(document["named"]),
            keyed=bool(document["keyed"]),
            sure=frozenset(map(str, document["sure"])),
            globals=frozenset(map(str, document["globals"])),
            global_attributes=frozenset(map(str, document["globalAttributes"])),
            anything=str(document["anything"]),
            apart={str(key): frozenset(map(str, held)) for key, held in document.get("apart", {}).items()},
        )

    def as_json(self) -> dict[str, Any]:
        """Return the table as plain values, empty parts left out."""
        apart = {key: sorted(held) for key, held in sorted(self.apart.items())}
        return {
            **({"apart": apart} if apart else {}),
            "keyed": self.keyed,
            "sure": sorted(self.sure),
            "globals": sorted(self.globals),
            "globalAttributes": sorted(self.global_attributes),
            "anything": self.anything,
            "types": {key: value.as_json() for key, value in sorted(self.types.items())},
            "roots": dict(sorted(self.roots.items())),
            "named": dict(sorted(self.named.items())),
        }

    @property
    def fixes(self) -> bool:
        """Whether elements have fixed values that can be spelt in several ways."""
        return any(place.fixed is not None for place in self.types.values())

    def elements(self) -> Iterator[tuple[str, PlaceType]]:
        """Yield name and type of every element that matters anywhere, save where a document chooses its type itself."""
        yield from ((tag, self.types[key]) for tag, key in self.roots.items())
        yield from ((tag, self.types[key]) for kind in self.types.values() for tag, key in kind.children.items())

    def type_of_root(self, tag: str, chosen: str | None = None) -> PlaceType | None:
        """Return what matters of a root element, or None."""
        if chosen is not None and chosen in self.named:
            return self.types.get(self.named[chosen])
        return self.types.get(self.roots.get(tag, ""))

    def fate(self, parent: PlaceType, tag: str, chosen: str | None) -> Fate:
        """Tell whether a child is judged; ``chosen`` is the type that xsi:type names, as ``{namespace}local``."""
        wild = parent.wild
        if wild is None or not wild.elements or tag in wild.children:
            return Fate.JUDGED
        if wild.elements == SKIP:
            return Fate.SKIPPED
        return Fate.JUDGED if chosen is not None or tag in self.globals else Fate.LOOSE

    def unjudged(self, place: PlaceType, attributes: Any) -> int:
        """Count the attributes of an element that nothing judges; ``attributes`` are names, or a mapping of them."""
        wild = place.wild
        if wild is None or not wild.attributes:
            return 0
        known = self.global_attributes if wild.attributes == LAX else frozenset()
        return sum(1 for name in attributes if name not in wild.uses and name not in known and not name.startswith(XSI))

    def type_of_child(self, parent: PlaceType, tag: str, chosen: str | None) -> PlaceType | None:
        """Return what matters of a child, or None; ``chosen`` as for its fate."""
        fate = self.fate(parent, tag, chosen)
        if fate is not Fate.JUDGED:
            return self.types.get(self.anything) if fate is Fate.LOOSE else None
        if chosen is not None and chosen in self.named:
            return self.types.get(self.named[chosen])
        key = parent.children.get(tag)
        if key is None and parent.open:
            key = self.roots.get(tag)
        return self.types[key] if key is not None else None

    def type_of(self, element: Any) -> PlaceType | None:
        """Return what matters of an element of a tree, or None."""
        above = [element, *element.iterancestors()]
        kind = self.type_of_root(above[-1].tag, chosen_type(above[-1]))
        for node in reversed(above[:-1]):
            if kind is None:
                return None
            kind = self.type_of_child(kind, node.tag, chosen_type(node))
        return kind


def is_nil(said: str | None) -> bool:
    """Whether what xsi:nil says, if it is there, makes an element nil."""
    return said is not None and said.strip() in ("true", "1")


def chosen_type(element: Any) -> str | None:
    """Return the type that xsi:type names as ``{namespace}local``, or None."""
    value = element.get(XSI_TYPE)
    return expanded(value, element.nsmap) if value is not None else None


def expanded(name: str, prefixes: Mapping[Any, str]) -> str:
    """Return a QName as ``{namespace}local``, or as it stands if its prefix is unknown or empty."""
    prefix, _, local = name.strip().rpartition(":")
    namespace = prefixes.get(prefix or None)
    return f"{{{namespace}}}{local}" if namespace else local


#: The tables of the schemas of one version, by the file of each.
PlaceTables = Mapping[str, PlaceTable]


def tables_from_json(document: Mapping[str, Any]) -> PlaceTables | None:
    """Read tables as :func:`tables_as_json` writes them; None if an earlier release wrote them, which knew less."""
    if document.get("format") != FORMAT:
        return None
    return {
        str(name): table
        for each in document["tables"]
        for table in (PlaceTable.from_json(each),)
        for name in each["files"]
    }


def tables_as_json(tables: PlaceTables) -> dict[str, Any]:
    """Return tables as plain values, those of several schemas once."""
    files: dict[int, list[str]] = {}
    for name, table in tables.items():
        files.setdefault(id(table), []).append(name)
    return {
        "format": FORMAT,
        "tables": [{"files": sorted(names), **tables[names[0]].as_json()} for names in files.values()],
    }
