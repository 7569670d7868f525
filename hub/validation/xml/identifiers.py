"""Identifiers and references inside an XML document (xs:ID, xs:IDREF, xs:IDREFS).

libxml2 does not check that an IDREF points at an ID. Which element or attribute is one cannot be told by its name
(the same name is an ID in one type and a plain text in another), so a table derived from the schema at import says
for each type that matters: its attributes, its text, and the types of its children. A walk over the document carries
the type along; what leads to no identifier is not entered.

The table knows named types too, because a document may choose one by xsi:type.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from hub.validation.xml.documents import ElementListener

XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
ID, IDREF, IDREFS = "ID", "IDREF", "IDREFS"
#: How many of the given words are ids of the document.
_FOUND = etree.XPath("count(id($words))")
KINDS = frozenset({ID, IDREF, IDREFS})


@dataclass(frozen=True, kw_only=True, slots=True)
class IdType:
    """What matters of one type: ``text`` and ``attributes`` name a kind, ``children`` the key of another type.

    ``open`` says that a wildcard lets any global element in.
    """

    text: str | None = None
    open: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    children: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class IdentifierTable:
    """Types by key; ``roots`` gives the key of each global element, ``named`` of each named type."""

    types: Mapping[str, IdType]
    roots: Mapping[str, str]
    named: Mapping[str, str]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> IdentifierTable:
        """Read the table as :meth:`as_json` writes it."""
        return cls(
            types={
                key: IdType(
                    text=value.get("text"),
                    open=bool(value.get("open", False)),
                    attributes=dict(value.get("attributes", {})),
                    children=dict(value.get("children", {})),
                )
                for key, value in document["types"].items()
            },
            roots=dict(document["roots"]),
            named=dict(document["named"]),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the table as plain values, empty parts left out."""
        return {
            "types": {key: _type_as_json(value) for key, value in sorted(self.types.items())},
            "roots": dict(sorted(self.roots.items())),
            "named": dict(sorted(self.named.items())),
        }

    @property
    def refers(self) -> bool:
        """Whether anything but attributes of type xs:ID is in it; of those libxml2 knows itself, on a tree."""
        return any(
            kind.text is not None or any(value != ID for value in kind.attributes.values())
            for kind in self.types.values()
        )

    def elements(self) -> Iterator[tuple[str, IdType]]:
        """Yield name and type of every element that matters anywhere, save where a document chooses its type itself."""
        yield from ((tag, self.types[key]) for tag, key in self.roots.items())
        yield from ((tag, self.types[key]) for kind in self.types.values() for tag, key in kind.children.items())

    def type_of_root(self, tag: str) -> IdType | None:
        """Return what matters of a root element, or None."""
        return self.types.get(self.roots.get(tag, ""))

    def type_of_child(self, parent: IdType, tag: str, chosen: str | None) -> IdType | None:
        """Return what matters of a child; ``chosen`` is the type that xsi:type names, as ``{namespace}local``."""
        if chosen is not None and chosen in self.named:
            return self.types.get(self.named[chosen])
        key = parent.children.get(tag)
        if key is None and parent.open:
            key = self.roots.get(tag)
        return self.types[key] if key is not None else None


@dataclass(slots=True)
class Identifiers:
    """What one walk has met: ids, and references with the place each stands at."""

    ids: set[str] = field(default_factory=set)
    repeated: list[Any] = field(default_factory=list)
    references: list[tuple[str, Any]] = field(default_factory=list)

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

    def dangling(self) -> Iterable[Any]:
        """Yield the place of each reference that leads nowhere."""
        return (place for word, place in self.references if word not in self.ids)


class _Kind:
    """An :class:`IdType` with its children looked up, for the walk."""

    __slots__ = ("attributes", "children", "open", "text")

    def __init__(self, kind: IdType) -> None:
        self.text = kind.text
        self.open = kind.open
        self.attributes = tuple(kind.attributes.items())
        self.children: dict[str, _Kind] = {}


class IdentifierWalk:
    """Walks trees by one table. Thread-safe."""

    def __init__(self, table: IdentifierTable) -> None:
        self._kinds = {key: _Kind(kind) for key, kind in table.types.items()}
        for key, kind in table.types.items():
            self._kinds[key].children = {tag: self._kinds[child] for tag, child in kind.children.items()}
        self._roots = {tag: self._kinds[key] for tag, key in table.roots.items()}
        self._named = {name: self._kinds.get(key) for name, key in table.named.items()}
        self._text_ids, self._references = _outstanding(table)

    def surely_whole(self, root: Any, *, plain: bool) -> bool:
        """Whether a look by names shows that no id is repeated and no reference dangles; False says nothing.

        The tree must have been found valid: libxml2 has then entered every attribute of type xs:ID, once, among the
        document's ids. What may be a reference, in any type of its name, is taken for one. The document must have no xsi:type;
        ``plain`` promises that it has no comments and no processing instructions either.
        """
        if self._text_ids and next(root.iter(*self._text_ids), None) is not None:
            return False
        if not self._references:
            return True
        words: list[str] = []
        for element in root.iter(*self._references):
            holds_text, attributes = self._references[element.tag]
            if holds_text:
                if not plain and len(element) and not isinstance(element[0].tag, str):
                    # A comment or an instruction may split the text.
                    return False
                # An element that has children is of another type of that name; its text is blank.
                words.append(element.text or "")
            if attributes:
                words += [element.get(name, "") for name in attributes]
        found = set(" ".join(words).split())
        return not found or _FOUND(root, words=" ".join(found)) == len(found)

    def __call__(self, root: Any, *, typed: bool = True) -> Identifiers:
        """Return what a tree (lxml root element) holds; places are ``(element, attribute or None)``.

        ``typed`` False promises that the document has no xsi:type, which saves a look at every element.
        """
        met = Identifiers()
        kind = self._roots.get(root.tag)
        waiting = [(root, kind)] if kind is not None else []
        while waiting:
            element, kind = waiting.pop()
            if kind.attributes or kind.text is not None:
                _note_element(element, kind, met)
            if typed or kind.open:
                below = [(child, self._child(kind, child)) for child in reversed(element)]
            elif kind.children:
                below = [(child, kind.children.get(child.tag)) for child in reversed(element)]
            else:
                continue
            # Last in, first out: taken in reverse, so that the second of two equal ids is the repeated one.
            waiting += [(child, of_child) for child, of_child in below if of_child is not None]
        return met

    def _child(self, parent: _Kind, child: Any) -> _Kind | None:
        if not isinstance(child.tag, str):
            return None
        chosen = chosen_type(child)
        if chosen is not None and chosen in self._named:
            return self._named[chosen]
        kind = parent.children.get(child.tag)
        return self._roots.get(child.tag) if kind is None and parent.open else kind


class IdentifierListener(ElementListener):
    """The same walk over a stream; it knows no places, so ``met`` holds None for each."""

    def __init__(self, table: IdentifierTable) -> None:
        self.met = Identifiers()
        self._table = table
        self._kinds: list[IdType | None] = []
        self._prefixes: list[Mapping[Any, str]] = [{}]
        self._text: list[str] = []

    def start(self, tag: str, attributes: Mapping[str, str], prefixes: Mapping[Any, str]) -> None:
        """Enter an element."""
        self._prefixes.append({**self._prefixes[-1], **prefixes} if prefixes else self._prefixes[-1])
        kind = self._kind_of(tag, attributes.get(XSI_TYPE))
        self._kinds.append(kind)
        self._text.clear()
        if kind is not None:
            for name, attribute_kind in kind.attributes.items():
                if name in attributes:
                    self.met.note(attribute_kind, attributes[name], None)

    def data(self, text: str) -> None:
        """Collect text."""
        if self._kinds and (kind := self._kinds[-1]) is not None and kind.text is not None:
            self._text.append(text)

    def end(self, _tag: str) -> None:
        """Leave an element."""
        kind = self._kinds.pop()
        self._prefixes.pop()
        if kind is not None and kind.text is not None:
            self.met.note(kind.text, "".join(self._text), None)
        self._text.clear()

    def _kind_of(self, tag: str, chosen: str | None) -> IdType | None:
        if not self._kinds:
            return self._table.type_of_root(tag)
        parent = self._kinds[-1]
        if parent is None:
            return None
        return self._table.type_of_child(parent, tag, expanded(chosen, self._prefixes[-1]) if chosen else None)


def chosen_type(element: Any) -> str | None:
    """Return the type that xsi:type names as ``{namespace}local``, or None."""
    value = element.get(XSI_TYPE)
    return expanded(value, element.nsmap) if value is not None else None


def expanded(name: str, prefixes: Mapping[Any, str]) -> str:
    """Return a QName as ``{namespace}local``, or as it stands if its prefix is unknown or empty."""
    prefix, _, local = name.strip().rpartition(":")
    namespace = prefixes.get(prefix or None)
    return f"{{{namespace}}}{local}" if namespace else local


def _outstanding(table: IdentifierTable) -> tuple[tuple[str, ...], dict[str, tuple[bool, tuple[str, ...]]]]:
    """Return the elements whose text may be an id, and those that may refer: by their text, by which attributes."""
    text_ids: set[str] = set()
    texts: set[str] = set()
    attributes: dict[str, set[str]] = {}
    for tag, kind in table.elements():
        if kind.text == ID:
            text_ids.add(tag)
        elif kind.text is not None:
            texts.add(tag)
        attributes.setdefault(tag, set()).update(name for name, held in kind.attributes.items() if held != ID)
    referring = texts | {tag for tag, names in attributes.items() if names}
    return tuple(text_ids), {tag: (tag in texts, tuple(attributes[tag])) for tag in referring}


def _note_element(element: Any, kind: _Kind, met: Identifiers) -> None:
    for name, attribute_kind in kind.attributes:
        value = element.get(name)
        if value is not None:
            met.note(attribute_kind, value, (element, name))
    if kind.text is not None:
        met.note(kind.text, _text(element), (element, None))


def _text(element: Any) -> str:
    text = element.text or ""
    # A comment splits the text in two.
    return "".join((text, *(child.tail or "" for child in element))) if len(element) else text


def _type_as_json(kind: IdType) -> dict[str, Any]:
    document: dict[str, Any] = {}
    if kind.text is not None:
        document["text"] = kind.text
    if kind.attributes:
        document["attributes"] = dict(sorted(kind.attributes.items()))
    if kind.open:
        document["open"] = True
    if kind.children:
        document["children"] = dict(sorted(kind.children.items()))
    return document
