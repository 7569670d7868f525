"""Walks over documents, to the places that need a second look: on trees, over streams, and a quick look by names.

Each walk carries along the type that the table of places gives an element (:mod:`hub.validation.xml.places`). It takes down
what is wrong there, and counts what nothing judges.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lxml import etree

from hub.validation.xml.documents import ElementListener, XmlDocument, is_plain, notice
from hub.validation.xml.met import NUMBERS, Met, text_in
from hub.validation.xml.places import (
    CODE,
    ID,
    IDREF,
    IDREFS,
    LAX,
    LIST_URI,
    LIST_VERSION,
    LOOKED_AT,
    NUMBER,
    XSI,
    XSI_NIL,
    XSI_TYPE,
    Coded,
    Fate,
    PlaceTable,
    PlaceType,
    Wild,
    chosen_type,
    expanded,
    is_nil,
)
from hub.validation.xml.values import (
    MOMENTS,
    ValueKind,
    breach,
    is_negative_zero,
    is_spelt,
    is_uncertain,
    usual_moment,
)

#: How many of the given words are ids of the document.
_FOUND = etree.XPath("count(id($words))")
#: How values of some types are written as a rule, several of them apart by a character that is none.
_POSITIVE = re.compile(r"[0-9]++(?:\.[0-9]*+)?+(?:\0[0-9]++(?:\.[0-9]*+)?+)*+")
_USUAL = {
    "base64Binary": re.compile(
        r"(?:(?:[A-Za-z0-9+/]{4})*+(?:[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?+(?:\0|\Z))++"
    ),
    "double": _POSITIVE,
    "float": _POSITIVE,
    NUMBER: _POSITIVE,
}
#: Types of which libxml2 does not compare every value rightly, where values are compared at all.
_WITH_HOURS = frozenset({"time", "dateTime"})


#: So few names are looked for one by one, which needs no look at what each element found is called.
_FEW = 8
#: Stands for namespaces of which nothing is known: no name of one is empty but for a blank.
_ANY_NAMESPACE = frozenset({" "})


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
        return " ".join(text_in(self.code).split())


class _Kind:
    """A :class:`PlaceType` with its children looked up, for the walk."""

    __slots__ = ("children", "loose", "own", "place")

    def __init__(self, place: PlaceType) -> None:
        self.place = place
        self.own = place.matters
        self.loose = place.wild is not None and bool(place.wild.elements)
        self.children: dict[str, _Kind] = {}


@dataclass(slots=True)
class _Name:
    """What elements of one name may be, in any type."""

    identifies: bool = False
    refers_by_text: bool = False
    references: set[str] = field(default_factory=set)
    forms: set[str] = field(default_factory=set)
    attribute_forms: set[tuple[str, str]] = field(default_factory=set)
    fixed: set[tuple[str, str]] = field(default_factory=set)
    values: set[tuple[str | None, ValueKind]] = field(default_factory=set)
    childless: bool = False
    counted: bool = False
    #: The names that each type lets in and judges, where it lets in others that nothing judges.
    children: list[frozenset[str]] = field(default_factory=list)
    #: The namespaces that each such type keeps out, but for the elements that it names.
    apart: list[frozenset[str]] = field(default_factory=list)
    uses: list[frozenset[str]] = field(default_factory=list)

    @property
    def matters(self) -> bool:
        found = self.references, self.forms, self.attribute_forms, self.fixed, self.values, self.children, self.uses
        return self.identifies or self.refers_by_text or self.childless or self.counted or any(found)


class _Quick(NamedTuple):
    """A :class:`_Name` for the quick look."""

    identifies: bool
    refers_by_text: bool
    references: tuple[str, ...]
    forms: tuple[str, ...]
    attributes: tuple[tuple[str, str], ...]
    fixed: tuple[tuple[str, str], ...]
    values: tuple[tuple[str | None, ValueKind], ...]
    childless: bool
    counted: bool
    children: frozenset[str] | None
    apart: frozenset[str]
    uses: frozenset[str] | None


class _Look:
    """What documents of one root may hold at which a second look is needed: ``names`` are those of the elements."""

    __slots__ = ("by_name", "names")

    def __init__(self, by_name: Mapping[str, _Quick]) -> None:
        self.by_name = by_name
        self.names = tuple(by_name)


class PlaceWalk:
    """Walks trees by one table. Thread-safe."""

    def __init__(self, table: PlaceTable) -> None:
        self.table = table
        self._kinds = {key: _Kind(kind) for key, kind in table.types.items()}
        for key, kind in table.types.items():
            self._kinds[key].children = {tag: self._kinds[child] for tag, child in kind.children.items()}
        self._roots = {tag: self._kinds[key] for tag, key in table.roots.items()}
        self._named = {name: self._kinds.get(key) for name, key in table.named.items()}
        self._anything = self._kinds.get(table.anything)
        self._looks: dict[str, _Look] = {}
        #: Local names of simple types that make a place of the one for which a document chooses them.
        self.chosen = _choosable(table)
        self._coded_names = {tag: kind.coded for tag, kind in table.elements() if kind.coded and tag in table.sure}

    def surely_whole(self, root: Any, document: XmlDocument) -> bool:
        """Whether a look by names shows that a walk would find nothing; False says nothing.

        ``root``, the document's tree, must have been found valid: libxml2 has then entered every attribute of type xs:ID,
        once, among the document's ids. What may be a reference, in any type of its name, is taken for one, and so on. The
        document must have no xsi:type.
        """
        look = self._look(root.tag)
        if not look.names:
            return True
        plain = document.noticed is not None or is_plain(document.data)
        words: list[str] = []
        texts: dict[str, list[str]] = {}
        for tag, elements in _held(root, document, look):
            name = look.by_name[tag]
            if elements and not (
                (plain or _is_unsplit(elements, name))
                and _is_plain(elements, name)
                and _is_judged(elements, name, root, document.data)
            ):
                return False
            if name.refers_by_text:
                # An element that has children is of another type of that name; its text is blank.
                words += [element.text or "" for element in elements]
            for attribute in name.references:
                words += [element.get(attribute, "") for element in elements]
            for form in name.forms:
                texts.setdefault(form, []).extend([element.text or "" for element in elements])
        found = set(" ".join(words).split())
        leads = not found or _FOUND(root, words=" ".join(found)) == len(found)
        return leads and all(_are_surely(form, held) for form, held in texts.items())

    def names(self, root: str) -> tuple[str, ...]:
        """Return the names of the elements that are looked at in documents of a root."""
        return self._look(root).names

    def _look(self, root: str) -> _Look:
        look = self._looks.get(root)
        if look is None:
            look = self._looks[root] = _Look(_by_name(self.table, root))
        return look

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
                _note_element(element, kind.place, met, self.table)
            if typed or kind.place.open or kind.loose:
                below = [(child, self._child(kind, child, met)) for child in reversed(element)]
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

    def _child(self, parent: _Kind, child: Any, met: Met) -> _Kind | None:
        if not isinstance(child.tag, str):
            return None
        chosen = chosen_type(child)
        if parent.loose and (fate := self.table.fate(parent.place, child.tag, chosen)) is not Fate.JUDGED:
            if fate is Fate.LOOSE:
                met.unjudged += 1
                return self._anything
            met.unjudged += sum(1 + _own_attributes(each.keys()) for each in child.iter("*"))
            return None
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
        self._nil: list[bool] = []
        self._below: list[list[tuple[str, Any]]] = []
        self._prefixes: list[Mapping[Any, str]] = [{}]
        self._text: list[str] = []
        # How deep the stream is in what a wildcard skips.
        self._skipped = 0

    def start(self, tag: str, attributes: Mapping[str, str], prefixes: Mapping[Any, str]) -> None:
        """Enter an element."""
        if self._skipped:
            self._skip(attributes)
            return
        self._prefixes.append({**self._prefixes[-1], **prefixes} if prefixes else self._prefixes[-1])
        if self._parents:
            self._parents[-1] = True
            if (above := self._kinds[-1]) is not None and above.content is not None:
                self._below[-1].append((tag, None))
        chosen = attributes.get(XSI_TYPE)
        named = expanded(chosen, self._prefixes[-1]) if chosen else None
        parent = self._kinds[-1] if self._kinds else None
        fate = Fate.JUDGED if parent is None else self._table.fate(parent, tag, named)
        if fate is Fate.SKIPPED:
            self._prefixes.pop()
            self._skip(attributes)
            return
        self.met.unjudged += fate is Fate.LOOSE
        kind = self._kind_of(tag, named)
        self._kinds.append(kind)
        self._parents.append(False)
        self._nil.append(is_nil(attributes.get(XSI_NIL)))
        self._below.append([])
        self._text.clear()
        if kind is not None:
            _note_attributes(attributes, kind, None, self.met, self._table)

    def data(self, text: str) -> None:
        """Collect text."""
        if self._skipped == 0 and self._kinds and (kind := self._kinds[-1]) is not None and _reads_text(kind):
            self._text.append(text)

    def end(self, _tag: str) -> None:
        """Leave an element."""
        if self._skipped:
            self._skipped -= 1
            return
        kind = self._kinds.pop()
        has_elements, nil = self._parents.pop(), self._nil.pop()
        below = self._below.pop()
        self._prefixes.pop()
        if kind is not None and below:
            self.met.note_children(kind, below, None)
        if kind is not None and _reads_text(kind):
            _note_text("".join(self._text), kind, None, self.met, has_elements=has_elements, nil=nil)
        self._text.clear()

    def _skip(self, attributes: Mapping[str, str]) -> None:
        self._skipped += 1
        self.met.unjudged += 1 + _own_attributes(attributes)

    def _kind_of(self, tag: str, named: str | None) -> PlaceType | None:
        if not self._kinds:
            return self._table.type_of_root(tag, named)
        parent = self._kinds[-1]
        return None if parent is None else self._table.type_of_child(parent, tag, named)


def _choosable(table: PlaceTable) -> frozenset[str]:
    simple = {key for key, place in table.types.items() if place == PlaceType(text=place.text, form=place.form)}
    return LOOKED_AT | {name.rpartition("}")[2] for name, key in table.named.items() if key in simple}


def _reached(table: PlaceTable, root: str) -> Iterator[tuple[str, str]]:
    """Yield name and key of the type of every element that matters in documents of a root, if they choose no types."""
    waiting = [(root, table.roots[root])] if root in table.roots else []
    met = set(waiting)
    while waiting:
        tag, key = waiting.pop()
        yield tag, key
        place = table.types[key]
        # What a wildcard lets in may be any global element.
        below = {*place.children.items(), *(table.roots.items() if place.open else ())} - met
        met |= below
        waiting += below


def _by_name(table: PlaceTable, root: str) -> dict[str, _Quick]:
    """Return what elements may be in documents of a root, by their name."""
    names: dict[str, _Name] = {}
    for tag, key in _reached(table, root):
        place = table.types[key]
        name = names.setdefault(tag, _Name())
        name.identifies |= place.text == ID
        name.refers_by_text |= place.text in (IDREF, IDREFS)
        name.references |= {attribute for attribute, held in place.attributes.items() if held != ID}
        # White space that libxml2 does not collapse makes it refuse: no look is needed at what it took.
        passed = MOMENTS - _WITH_HOURS if table.keyed else MOMENTS
        name.forms |= {place.form} - passed if place.form is not None else set()
        name.attribute_forms |= {(held, form) for held, form in place.forms.items() if form not in passed}
        name.values |= {(None, place.value)} if place.value is not None else set()
        name.values |= set(place.values.items())
        name.fixed |= {(attribute, fixed.value) for attribute, fixed in place.fixed_attributes.items()}
        name.childless |= place.fixed is not None and place.fixed.mixed
        # Whatever stands there needs a walk.
        name.identifies |= place.nil_field or (place.text is not None and place.filled is not None)
        name.identifies |= any(
            fixed.is_name for fixed in (place.fixed, *place.fixed_attributes.values()) if fixed is not None
        )
        name.counted |= place.content is not None
        if place.wild is not None:
            _note_wild(name, place.wild, table.apart.get(key, frozenset()), table)
    return {
        tag: _Quick(
            name.identifies,
            name.refers_by_text,
            tuple(name.references),
            tuple(name.forms),
            tuple(name.attribute_forms),
            tuple(name.fixed),
            tuple(name.values),
            name.childless,
            name.counted,
            _common(name.children),
            _common(name.apart) or frozenset(),
            _common(name.uses),
        )
        for tag, name in names.items()
        if name.matters
    }


def _note_wild(name: _Name, wild: Wild, apart: frozenset[str], table: PlaceTable) -> None:
    if wild.elements:
        name.children.append(wild.children | table.globals if wild.elements == LAX else wild.children)
        name.apart.append(apart)
    if wild.attributes:
        name.uses.append(wild.uses | table.global_attributes if wild.attributes == LAX else wild.uses)


def _common(sets: list[frozenset[str]]) -> frozenset[str] | None:
    """Return what any type of a name judges; None where no type lets in what nothing judges."""
    return frozenset.intersection(*sets) if sets else None


def _held(root: Any, document: XmlDocument, look: _Look) -> Iterable[tuple[str, list[Any]]]:
    """Return a document's elements of the names that are looked at, by name: as the parser noticed them, or found now."""
    noticed = document.noticed
    if noticed is not None and noticed.names == look.names:
        elements: Iterable[Any] = noticed.elements
    elif len(look.names) <= _FEW:
        return ((tag, list(root.iter(tag))) for tag in look.names)
    else:
        elements = root.iter(*look.names)
        notice(document.head, look.names)
    found: dict[str, list[Any]] = {}
    for element in elements:
        found.setdefault(element.tag, []).append(element)
    return found.items()


def _is_unsplit(elements: list[Any], name: _Quick) -> bool:
    """Whether the texts that are looked at stand in one piece: a comment or an instruction may split them."""
    judged = bool(name.forms) or any(attribute is None for attribute, _ in name.values)
    if not judged and not name.refers_by_text:
        return True
    return all(not len(element) or (not judged and isinstance(element[0].tag, str)) for element in elements)


def _is_plain(elements: list[Any], name: _Quick) -> bool:
    """Whether elements surely have the spellings and fixed values that any element of their name may have to have.

    The texts of the elements themselves are left out.
    """
    if name.identifies or ((name.childless or name.counted) and any(len(element) for element in elements)):
        return False
    if not all(_has_values(element, name) for element in elements if name.values):
        return False
    for attribute, form in name.attributes:
        if not _are_surely(form, [value for each in elements if (value := each.get(attribute)) is not None]):
            return False
    return all(element.get(attribute, fixed) == fixed for attribute, fixed in name.fixed for element in elements)


def _has_values(element: Any, name: _Quick) -> bool:
    for attribute, kind in name.values:
        value = element.get(attribute) if attribute is not None else element.text or ""
        # An element that has children is of another type of that name.
        if value is not None and (
            kind.chooses_identifiers or breach(kind, value) is not None or is_uncertain(kind, value)
        ):
            return False
    return True


def _is_judged(elements: list[Any], name: _Quick, root: Any, data: bytes) -> bool:
    """Whether what stands in elements, in whichever type of their name, is surely judged."""
    if name.children is not None and not name.apart.issuperset(_namespaces(root, data)):
        below = {child.tag for element in elements for child in element}
        if not name.children.issuperset(below):
            return False
    if name.uses is None:
        return True
    held = {key for element in elements for key in element.keys()}  # noqa: SIM118  # no mapping
    return all(each in name.uses or each.startswith(XSI) for each in held)


def _namespaces(root: Any, data: bytes) -> frozenset[str]:
    """Return the namespaces of which a document may hold elements; one that none has stands for those declared below."""
    declared = root.nsmap
    if data.count(b"xmlns") != len(declared) or b"<xml:" in data:
        return _ANY_NAMESPACE
    # What has no prefix is of no namespace, where no default is declared.
    return frozenset(declared.values() if None in declared else (*declared.values(), ""))


def _are_surely(form: str, texts: list[str]) -> bool:
    """Whether texts have a form: all at once where they are written as most are, else one by one."""
    usual = _USUAL.get(form)
    # No document holds the character that keeps them apart.
    if usual is not None and usual.fullmatch("\0".join(texts)) is not None:
        return True
    return all(_is_surely(form, text) for text in texts)


def _is_surely(form: str, text: str) -> bool:
    if form in NUMBERS and "-" in text and is_negative_zero(text):
        return False
    if form in _WITH_HOURS and usual_moment(form, text) != text:
        return False
    return is_spelt(form, text)


def _reads_text(place: PlaceType) -> bool:
    return any(each is not None for each in (place.text, place.form, place.fixed, place.value))


def _own_attributes(names: Iterable[str]) -> int:
    return sum(1 for name in names if not name.startswith(XSI))


def _note_element(element: Any, place: PlaceType, met: Met, table: PlaceTable) -> None:
    _note_attributes(element, place, element, met, table)
    if place.content is not None and len(element):
        met.note_children(place, [(child.tag, child) for child in element.iterchildren("*")], element)
    if _reads_text(place):
        has_elements = bool(len(element)) and next(element.iterchildren("*"), None) is not None
        _note_text(text_in(element), place, element, met, has_elements=has_elements, nil=is_nil(element.get(XSI_NIL)))


def _note_attributes(attributes: Any, place: PlaceType, element: Any, met: Met, table: PlaceTable) -> None:
    met.note_element(place, element)
    if place.wild is not None and place.wild.attributes:
        met.unjudged += table.unjudged(place, attributes.keys())
    for name, kind in place.attributes.items():
        value = attributes.get(name)
        if value is not None:
            met.note(kind, value, (element, name))
    for name, form in place.forms.items():
        value = attributes.get(name)
        if value is not None:
            met.note_form(form, value, element, name)
    for name, of_value in place.values.items():
        value = attributes.get(name)
        if value is not None:
            met.note_value(of_value, value, element, name)
    for name, fixed in place.fixed_attributes.items():
        value = attributes.get(name)
        if value is not None:
            met.note_fixed(fixed, value, element, name)


def _note_text(text: str, place: PlaceType, element: Any, met: Met, *, has_elements: bool, nil: bool) -> None:
    if place.filled is not None and not text and not nil and not has_elements:
        text = place.filled
    if place.text is not None:
        met.note(place.text, text, (element, None))
    if place.form is not None and not has_elements and text:
        met.note_form(place.form, text, element, None)
    if place.value is not None and not has_elements and not nil:
        met.note_value(place.value, text, element, None)
    if place.fixed is not None:
        met.note_content(place.fixed, text, element, has_elements=has_elements)
