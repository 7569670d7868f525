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

from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

from lxml import etree

from hub.validation.xml.components import ID, IDREF, IDREFS, Complex, Components, Declared, Locate, Simple, Tree
from hub.validation.xml.documents import ElementListener
from hub.validation.xml.values import MOMENTS, SPACES, ValueKind, equal, is_negative_zero, is_spelt

XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
#: Of the table as it is stored; one that an earlier release stored is derived anew.
FORMAT = 2
#: How many of the given words are ids of the document.
_FOUND = etree.XPath("count(id($words))")
KINDS = frozenset({ID, IDREF, IDREFS})
LIST_URI, LIST_VERSION, CODE = "listURI", "listVersionID", "code"
#: How zero is spelt where its sign is left out.
ZERO = "0"
_NUMBERS = frozenset({"double", "float"})
#: Types whose white space libxml2 does not collapse.
_NOT_COLLAPSED = MOMENTS | {"duration"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fixed:
    """What a schema fixes; ``mixed`` that the element may hold elements too, and must not then (part 1, 3.3.4)."""

    value: str
    kind: ValueKind
    mixed: bool = False

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
class PlaceType:
    """What matters of one type: ``text`` and ``attributes`` name a kind of identifier, ``children`` the key of another type.

    ``open`` says that a wildcard lets any global element in. ``form`` and ``forms`` name spellings to be looked at
    (:func:`hub.validation.xml.values.is_spelt`), ``fixed`` and ``fixed_attributes`` values to be compared.
    """

    text: str | None = None
    open: bool = False
    form: str | None = None
    fixed: Fixed | None = None
    coded: Coded | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)
    fixed_attributes: Mapping[str, Fixed] = field(default_factory=dict)
    children: Mapping[str, str] = field(default_factory=dict)

    @property
    def matters(self) -> bool:
        """Whether the type itself has anything to look at."""
        own = self.text, self.form, self.fixed, self.coded
        return any(each is not None for each in own) or bool(self.attributes or self.forms or self.fixed_attributes)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values, empty parts left out."""
        parts = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: _plain(value) for name, value in parts.items() if value}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PlaceType:
        """Read it as :meth:`as_json` writes it."""
        fixed, coded = document.get("fixed"), document.get("coded")
        return cls(
            text=document.get("text"),
            open=bool(document.get("open", False)),
            form=document.get("form"),
            fixed=None if fixed is None else Fixed.from_json(fixed),
            coded=None if coded is None else Coded(uri=coded[0], version=coded[1], enumerated=bool(coded[2])),
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
    return value.as_json() if isinstance(value, Fixed | Coded) else value


@dataclass(frozen=True, kw_only=True, slots=True)
class PlaceTable:
    """Types by key; ``roots`` gives the key of each global element, ``named`` of each named type.

    ``keyed`` says that the schema has keys, whose fields are compared; ``sure`` are names of elements that hold a code of one
    kind wherever they stand.
    """

    types: Mapping[str, PlaceType]
    roots: Mapping[str, str]
    named: Mapping[str, str]
    keyed: bool = False
    sure: frozenset[str] = frozenset()

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PlaceTable:
        """Read the table as :meth:`as_json` writes it."""
        return cls(
            types={key: PlaceType.from_json(value) for key, value in document["types"].items()},
            roots=dict(document["roots"]),
            named=dict(document["named"]),
            keyed=bool(document["keyed"]),
            sure=frozenset(map(str, document["sure"])),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the table as plain values, empty parts left out."""
        return {
            "keyed": self.keyed,
            "sure": sorted(self.sure),
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

    def type_of_child(self, parent: PlaceType, tag: str, chosen: str | None) -> PlaceType | None:
        """Return what matters of a child; ``chosen`` is the type that xsi:type names, as ``{namespace}local``."""
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


class CodedElement(NamedTuple):
    """An element that holds a code, the child with the code, and list and version as the message or the schema names them."""

    element: Any
    code: Any
    uri: str | None
    version: str | None
    #: The schema itself lists the codes.
    enumerated: bool

    @property
    def value(self) -> str:
        """The code, white space around and in it collapsed (XML Schema part 2, 4.3.6)."""
        return " ".join(_text(self.code).split())


class Overlooked(NamedTuple):
    """A place that a walk found wrong: the rule, what the schema expects there, element and attribute (None for its text)."""

    rule: str
    expected: str | None
    element: Any
    attribute: str | None


class Respelt(NamedTuple):
    """A value that libxml2 reads right when it is spelt otherwise: where it stands, and how."""

    element: Any
    attribute: str | None
    text: str


@dataclass(slots=True)
class Met:
    """What one walk has met: ids, references with the place each stands at, and what is wrong besides.

    ``same`` counts elements that have their fixed value, spelt otherwise than in the schema. ``respelt`` are times among
    blanks, which libxml2 refuses, and negative zeros, which it takes for less than zero.
    """

    ids: set[str] = field(default_factory=set)
    repeated: list[Any] = field(default_factory=list)
    references: list[tuple[str, Any]] = field(default_factory=list)
    faults: list[Overlooked] = field(default_factory=list)
    same: int = 0
    respelt: list[Respelt] = field(default_factory=list)

    @property
    def is_wrong(self) -> bool:
        """Whether a rule is broken that libxml2 does not know."""
        return bool(self.faults or self.repeated) or any(True for _ in self.dangling())

    def note(self, kind: str, value: str, place: Any) -> None:
        """Take down one identifier or reference; whitespace around it is collapsed (XML Schema part 2, 4.3.6)."""
        words = value.split()
        if kind == ID:
            for word in words[:1]:
                if word in self.ids:
                    self.repeated.append(place)
                self.ids.add(word)
        else:
            self.references.extend((word, place) for word in words)

    def note_form(self, form: str, value: str, element: Any, attribute: str | None) -> None:
        """Take down a value whose spelling is none of its type's."""
        if not is_spelt(form, value):
            self.faults.append(Overlooked("xml.datatype", f"xs:{form.removesuffix('*')}", element, attribute))
        elif form in _NUMBERS and is_negative_zero(value):
            self.respelt.append(Respelt(element, attribute, ZERO))
        elif form in _NOT_COLLAPSED and value != value.strip(SPACES):
            self.respelt.append(Respelt(element, attribute, value.strip(SPACES)))

    def note_fixed(self, fixed: Fixed, value: str, element: Any, attribute: str | None) -> None:
        """Take down an attribute that has another value than the fixed one."""
        if equal(fixed.kind, fixed.value, value) is False:
            self.faults.append(Overlooked("xml.fixed", fixed.value, element, attribute))

    def note_content(self, fixed: Fixed, text: str, element: Any, *, has_elements: bool) -> None:
        """Take down an element with a fixed value."""
        if has_elements:
            self.faults.append(Overlooked("xml.fixed", fixed.value, element, None))
        elif text and text != fixed.value and equal(fixed.kind, fixed.value, text):
            self.same += 1

    def dangling(self) -> Iterable[Any]:
        """Yield the place of each reference that leads nowhere."""
        return (place for word, place in self.references if word not in self.ids)


class _Kind:
    """A :class:`PlaceType` with its children looked up, for the walk."""

    __slots__ = ("children", "own", "place")

    def __init__(self, place: PlaceType) -> None:
        self.place = place
        self.own = place.matters
        self.children: dict[str, _Kind] = {}


@dataclass(slots=True)
class _Name:
    """What elements of one name may be, in any type."""

    refers_by_text: bool = False
    references: set[str] = field(default_factory=set)
    forms: set[str] = field(default_factory=set)
    attribute_forms: set[tuple[str, str]] = field(default_factory=set)
    fixed: set[tuple[str, str]] = field(default_factory=set)
    childless: bool = False

    @property
    def matters(self) -> bool:
        found = self.references, self.forms, self.attribute_forms, self.fixed
        return self.refers_by_text or self.childless or any(found)


class _Quick(NamedTuple):
    """A :class:`_Name` for the quick look."""

    refers_by_text: bool
    references: tuple[str, ...]
    forms: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    fixed: tuple[tuple[str, str], ...]
    childless: bool
    others: bool


class PlaceWalk:
    """Walks trees by one table. Thread-safe."""

    def __init__(self, table: PlaceTable) -> None:
        self.table = table
        self._kinds = {key: _Kind(kind) for key, kind in table.types.items()}
        for key, kind in table.types.items():
            self._kinds[key].children = {tag: self._kinds[child] for tag, child in kind.children.items()}
        self._roots = {tag: self._kinds[key] for tag, key in table.roots.items()}
        self._named = {name: self._kinds.get(key) for name, key in table.named.items()}
        self._text_ids, self._names = _by_name(table)
        self._coded_names = {tag: kind.coded for tag, kind in table.elements() if kind.coded and tag in table.sure}
        #: Whether a document can break anything that libxml2 does not see.
        self.needed = bool(self._text_ids or self._names)

    def surely_whole(self, root: Any, *, plain: bool) -> bool:
        """Whether a look by names shows that a walk would find nothing; False says nothing.

        The tree must have been found valid: libxml2 has then entered every attribute of type xs:ID, once, among the
        document's ids. What may be a reference, in any type of its name, is taken for one, and so on. The document must have
        no xsi:type; ``plain`` promises that it has no comments and no processing instructions either.
        """
        if self._text_ids and next(root.iter(*self._text_ids), None) is not None:
            return False
        if not self._names:
            return True
        words: list[str] = []
        names = self._names
        for element in root.iter(*names):
            name = names[element.tag]
            if name.refers_by_text:
                if not plain and len(element) and not isinstance(element[0].tag, str):
                    # A comment or an instruction may split the text.
                    return False
                # An element that has children is of another type of that name; its text is blank.
                words.append(element.text or "")
            if name.references:
                words += [element.get(attribute, "") for attribute in name.references]
            if name.others and not _is_plain(element, name):
                return False
        found = set(" ".join(words).split())
        return not found or _FOUND(root, words=" ".join(found)) == len(found)

    def __call__(self, root: Any, *, typed: bool = True) -> Met:
        """Return what a tree (lxml root element) holds; places are ``(element, attribute or None)``.

        ``typed`` False promises that the document has no xsi:type, which saves a look at every element.
        """
        met = Met()
        kind = self._roots.get(root.tag)
        if typed and (chosen := chosen_type(root)) is not None and chosen in self._named:
            kind = self._named[chosen]
        waiting = [(root, kind)] if kind is not None else []
        while waiting:
            element, kind = waiting.pop()
            if kind.own:
                _note_element(element, kind.place, met)
            is_open = kind.place.open
            if typed or is_open:
                below = [(child, self._child(kind, child)) for child in reversed(element)]
            elif kind.children:
                below = [(child, kind.children.get(child.tag)) for child in reversed(element)]
            else:
                continue
            # Last in, first out: taken in reverse, so that the second of two equal ids is the repeated one.
            waiting += [(child, of_child) for child, of_child in below if of_child is not None]
        return met

    def codes(self, root: Any, *, typed: bool = True) -> Iterator[CodedElement]:
        """Yield the elements of a tree that hold a code, in their order; ``typed`` as in a walk."""
        for code in root.iter("{*}" + CODE):
            element = code.getparent()
            if element is None:
                continue
            coded = self._coded(element, typed=typed)
            uri, version = element.get(LIST_URI), element.get(LIST_VERSION)
            if coded is not None:
                yield CodedElement(
                    element,
                    code,
                    coded.uri if uri is None else uri,
                    coded.version if version is None else version,
                    coded.enumerated,
                )
            elif uri is not None:
                yield CodedElement(element, code, uri, version, enumerated=False)

    def _coded(self, element: Any, *, typed: bool) -> Coded | None:
        known = None if typed else self._coded_names.get(element.tag)
        if known is not None:
            return known
        place = self.table.type_of(element)
        return None if place is None else place.coded

    def _child(self, parent: _Kind, child: Any) -> _Kind | None:
        if not isinstance(child.tag, str):
            return None
        chosen = chosen_type(child)
        if chosen is not None and chosen in self._named:
            return self._named[chosen]
        kind = parent.children.get(child.tag)
        return self._roots.get(child.tag) if kind is None and parent.place.open else kind


class PlaceListener(ElementListener):
    """The same walk over a stream; it knows no places, so ``met`` holds None for each."""

    def __init__(self, table: PlaceTable) -> None:
        self.met = Met()
        self._table = table
        self._kinds: list[PlaceType | None] = []
        self._parents: list[bool] = []
        self._prefixes: list[Mapping[Any, str]] = [{}]
        self._text: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str], prefixes: Mapping[Any, str]) -> None:
        """Enter an element."""
        self._prefixes.append({**self._prefixes[-1], **prefixes} if prefixes else self._prefixes[-1])
        kind = self._kind_of(tag, attributes.get(XSI_TYPE))
        if self._parents:
            self._parents[-1] = True
        self._kinds.append(kind)
        self._parents.append(False)
        self._text.clear()
        if kind is not None:
            _note_attributes(attributes, kind, None, self.met)

    def data(self, text: str) -> None:
        """Collect text."""
        if self._kinds and (kind := self._kinds[-1]) is not None and _reads_text(kind):
            self._text.append(text)

    def end(self, _tag: str) -> None:
        """Leave an element."""
        kind = self._kinds.pop()
        has_elements = self._parents.pop()
        self._prefixes.pop()
        if kind is not None and _reads_text(kind):
            _note_text("".join(self._text), kind, None, self.met, has_elements=has_elements)
        self._text.clear()

    def _kind_of(self, tag: str, chosen: str | None) -> PlaceType | None:
        named = expanded(chosen, self._prefixes[-1]) if chosen else None
        if not self._kinds:
            return self._table.type_of_root(tag, named)
        parent = self._kinds[-1]
        return None if parent is None else self._table.type_of_child(parent, tag, named)


def chosen_type(element: Any) -> str | None:
    """Return the type that xsi:type names as ``{namespace}local``, or None."""
    value = element.get(XSI_TYPE)
    return expanded(value, element.nsmap) if value is not None else None


def expanded(name: str, prefixes: Mapping[Any, str]) -> str:
    """Return a QName as ``{namespace}local``, or as it stands if its prefix is unknown or empty."""
    prefix, _, local = name.strip().rpartition(":")
    namespace = prefixes.get(prefix or None)
    return f"{{{namespace}}}{local}" if namespace else local


def _by_name(table: PlaceTable) -> tuple[tuple[str, ...], dict[str, _Quick]]:
    """Return the elements whose text may be an id, and what else elements may be, by name."""
    text_ids: set[str] = set()
    names: dict[str, _Name] = {}
    for tag, place in table.elements():
        if place.text == ID:
            text_ids.add(tag)
        name = names.setdefault(tag, _Name())
        name.refers_by_text |= place.text in (IDREF, IDREFS)
        name.references |= {attribute for attribute, held in place.attributes.items() if held != ID}
        # White space that libxml2 does not collapse makes it refuse: no look is needed at what it took.
        name.forms |= {place.form} - MOMENTS if place.form is not None else set()
        name.attribute_forms |= {(held, form) for held, form in place.forms.items() if form not in MOMENTS}
        name.fixed |= {(attribute, fixed.value) for attribute, fixed in place.fixed_attributes.items()}
        name.childless |= place.fixed is not None and place.fixed.mixed
    quick = {
        tag: _Quick(
            name.refers_by_text,
            tuple(name.references),
            tuple(name.forms),
            tuple(name.attribute_forms),
            tuple(name.fixed),
            name.childless,
            bool(name.forms or name.attribute_forms or name.fixed or name.childless),
        )
        for tag, name in names.items()
        if name.matters
    }
    return tuple(text_ids), quick


def respelt(tree: Any, places: list[Respelt]) -> Any:
    """Return a copy of a tree in which values are spelt otherwise; the tree itself where none is."""
    if not places:
        return tree
    copied = deepcopy(tree)
    twins = dict(zip(tree.iter(), copied.iter(), strict=True))
    for place in places:
        if place.attribute is None:
            twins[place.element].text = place.text
        else:
            twins[place.element].set(place.attribute, place.text)
    return copied


def _is_plain(element: Any, name: _Quick) -> bool:
    """Whether an element surely has the spellings and fixed values that any element of its name may have to have."""
    for form in name.forms:
        if len(element) or not _is_surely(form, element.text or ""):
            return False
    for attribute, form in name.attributes:
        value = element.get(attribute)
        if value is not None and not _is_surely(form, value):
            return False
    for attribute, fixed in name.fixed:
        value = element.get(attribute)
        if value is not None and value != fixed:
            return False
    return not name.childless or not len(element)


def _is_surely(form: str, text: str) -> bool:
    return is_spelt(form, text) and not (form in _NUMBERS and is_negative_zero(text))


def _reads_text(place: PlaceType) -> bool:
    return place.text is not None or place.form is not None or place.fixed is not None


def _note_element(element: Any, place: PlaceType, met: Met) -> None:
    _note_attributes(element, place, element, met)
    if _reads_text(place):
        has_elements = bool(len(element)) and next(element.iterchildren("*"), None) is not None
        _note_text(_text(element), place, element, met, has_elements=has_elements)


def _text(element: Any) -> str:
    text = element.text or ""
    # A comment splits the text in two.
    return "".join((text, *(child.tail or "" for child in element))) if len(element) else text


def _note_attributes(attributes: Any, place: PlaceType, element: Any, met: Met) -> None:
    for name, kind in place.attributes.items():
        value = attributes.get(name)
        if value is not None:
            met.note(kind, value, (element, name))
    for name, form in place.forms.items():
        value = attributes.get(name)
        if value is not None:
            met.note_form(form, value, element, name)
    for name, fixed in place.fixed_attributes.items():
        value = attributes.get(name)
        if value is not None:
            met.note_fixed(fixed, value, element, name)


def _note_text(text: str, place: PlaceType, element: Any, met: Met, *, has_elements: bool) -> None:
    if place.text is not None:
        met.note(place.text, text, (element, None))
    if place.form is not None and not has_elements and text:
        met.note_form(place.form, text, element, None)
    if place.fixed is not None:
        met.note_content(place.fixed, text, element, has_elements=has_elements)


# Deriving the table.

#: Primitive types of which libxml2 takes spellings that are none, or not every one.
_FORMS = frozenset({"base64Binary", "double", "float", "duration"}) | MOMENTS


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


def derive_tables(files: Iterable[str], tree: Tree, locate: Locate) -> PlaceTables:
    """Return the tables of schema files: one for all, unless two of them mean different things by one name."""
    files = tuple(files)
    together = Components(files, tree, locate)
    if not together.conflicts:
        return dict.fromkeys(files, derive_table(together))
    return {name: derive_table(Components((name,), tree, locate)) for name in files}


def derive_table(components: Components) -> PlaceTable:
    """Return the table for documents of a schema."""
    derivation = _Derivation()
    roots = {declared.tag: derivation.key_of(declared) for declared in components.elements()}
    named = {name: derivation.key_of_type(kind) for name, kind in components.types()}
    return derivation.table(roots, named, keyed=components.keyed, skips=components.skips)


class _Derivation:
    """States of a walk: a type, and what an element of that type is fixed to."""

    def __init__(self) -> None:
        self._keys: dict[tuple[int, str | None], str] = {}
        self._states: list[tuple[Simple | Complex, str | None]] = []
        self._named: list[tuple[str, Complex]] = []

    def key_of(self, declared: Declared) -> str:
        """Return the key of an element's state, and enter all that it reaches."""
        return self._entered(declared.type(), declared.fixed)

    def key_of_type(self, kind: Simple | Complex) -> str:
        """Return the key of a named type, and enter all that it reaches."""
        key = self._entered(kind, None)
        if isinstance(kind, Complex):
            self._named.append((key, kind))
        return key

    def table(self, roots: Mapping[str, str], named: Mapping[str, str], *, keyed: bool, skips: bool) -> PlaceTable:
        """Return only what leads to a place of interest."""
        places = {self._keys[_state(*state)]: self._place(*state) for state in self._states}
        wanted = _leading(places, list(self._derivations()))
        short = {key: f"t{number}" for number, key in enumerate(key for key in places if key in wanted)}
        return PlaceTable(
            types={
                short[key]: replace(
                    places[key],
                    children={tag: short[child] for tag, child in places[key].children.items() if child in short},
                )
                for key in short
            },
            roots={tag: short[key] for tag, key in roots.items() if key in short},
            # A type that leads nowhere must be known too: xsi:type may choose it instead of one that does.
            named={name: short.get(key, "") for name, key in named.items()} if short else {},
            keyed=keyed,
            # Below a wildcard that skips, a name says nothing.
            sure=frozenset() if skips else _sure(places, roots),
        )

    def _entered(self, kind: Simple | Complex, fixed: str | None) -> str:
        waiting = [(kind, fixed)]
        while waiting:
            state = waiting.pop()
            key = _state(*state)
            if key in self._keys:
                continue
            self._keys[key] = str(len(self._keys))
            self._states.append(state)
            if isinstance(state[0], Complex):
                waiting += [(child.type(), child.fixed) for child in state[0].children.values()]
        return self._keys[_state(kind, fixed)]

    def _derivations(self) -> Iterator[tuple[str, str]]:
        """Yield pairs of a named type and a state of a type that it is derived from: xsi:type may put the first there."""
        states: dict[int, list[str]] = {}
        for state in self._states:
            states.setdefault(id(state[0]), []).append(self._keys[_state(*state)])
        for key, kind in self._named:
            base = kind.base
            while base is not None:
                yield from ((key, other) for other in states.get(id(base), ()))
                base = base.base if isinstance(base, Complex) else None

    def _place(self, kind: Simple | Complex, fixed: str | None) -> PlaceType:
        if isinstance(kind, Simple):
            return PlaceType(text=kind.identifier, form=_form_of(kind.kind), fixed=_fixed(fixed, kind.kind))
        simple = kind.simple
        value = simple.kind if simple is not None else _TEXT
        return PlaceType(
            text=simple.identifier if simple is not None else None,
            form=_form_of(simple.kind) if simple is not None else None,
            fixed=_fixed(fixed, value, mixed=simple is None),
            coded=_coded(kind),
            open=kind.open,
            attributes={name: use.type.identifier for name, use in kind.attributes.items() if use.type.identifier},
            forms={name: form for name, use in kind.attributes.items() if (form := _form_of(use.type.kind))},
            fixed_attributes={
                name: Fixed(value=use.fixed_here, kind=use.type.kind)
                for name, use in kind.attributes.items()
                if use.fixed_here is not None
            },
            children={tag: self._keys[_state(child.type(), child.fixed)] for tag, child in kind.children.items()},
        )


_TEXT = ValueKind(name="string", space="preserve")


def _state(kind: Simple | Complex, fixed: str | None) -> tuple[int, str | None]:
    return id(kind), fixed


def _form_of(kind: ValueKind) -> str | None:
    if kind.name == "list" and kind.parts[0].name in _FORMS:
        return f"{kind.parts[0].name}*"
    return kind.name if kind.name in _FORMS else None


def _fixed(value: str | None, kind: ValueKind, *, mixed: bool = False) -> Fixed | None:
    # Texts that keep their white space are compared as libxml2 compares all.
    if value is None or (kind.name == "string" and kind.space == "preserve" and not mixed):
        return None
    return Fixed(value=value, kind=kind, mixed=mixed)


def _coded(kind: Complex) -> Coded | None:
    uri, version = kind.attributes.get(LIST_URI), kind.attributes.get(LIST_VERSION)
    code = next((child for tag, child in kind.children.items() if tag.rpartition("}")[2] == CODE), None)
    if uri is None or code is None:
        return None
    of_code = code.type()
    simple = of_code if isinstance(of_code, Simple) else of_code.simple
    return Coded(
        uri=uri.fixed or uri.default,
        version=None if version is None else version.fixed or version.default,
        enumerated=simple is not None and simple.enumerated,
    )


def _sure(places: Mapping[str, PlaceType], roots: Mapping[str, str]) -> frozenset[str]:
    """Return the names of elements that hold a code of one kind in every type."""
    found: dict[str, set[Coded | None]] = {}
    for tag, key in roots.items():
        found.setdefault(tag, set()).add(places[key].coded)
    for place in places.values():
        for tag, key in place.children.items():
            found.setdefault(tag, set()).add(places[key].coded)
    return frozenset(tag for tag, kinds in found.items() if len(kinds) == 1 and None not in kinds)


def _leading(places: Mapping[str, PlaceType], derivations: list[tuple[str, str]]) -> set[str]:
    """Return the keys of types from which a place of interest can be reached, by children or by xsi:type."""
    before: dict[str, set[str]] = {}
    for key, place in places.items():
        for child in place.children.values():
            before.setdefault(child, set()).add(key)
    for key, base in derivations:
        before.setdefault(key, set()).add(base)
    wanted = {key for key, place in places.items() if place.matters}
    if wanted:
        wanted |= {key for key, place in places.items() if place.open}
    waiting = list(wanted)
    while waiting:
        for key in before.get(waiting.pop(), ()):
            if key not in wanted:
                wanted.add(key)
                waiting.append(key)
    return wanted
