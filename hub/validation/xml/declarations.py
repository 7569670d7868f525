"""What some schema documents declare (XML Schema 1.0 part 1, 2.2 and 4.2): read once, each global component by its name.

Documents are followed through includes (those without a namespace take that of the includer), imports and redefinitions; what
is redefined is kept behind what redefines it. Names are written ``{namespace}local``. Both who judges documents
(:mod:`hub.validation.xml.components`) and who asks people for them (``hub.forms``) read schemas by this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

XS = "{http://www.w3.org/2001/XMLSchema}"
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
class SchemaDocument:
    """One document as one namespace includes it."""

    namespace: str
    chameleon: bool
    qualified: bool
    qualified_attributes: bool
    #: What may stand between all else in its types (XML Schema 1.1 part 1, 3.4.2).
    open_content: Any | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DeclaredPart:
    """A component: where it stands, and what it redefines. Local ones have the name of the global one that they stand in."""

    node: Any
    name: str
    document: SchemaDocument
    original: DeclaredPart | None = None

    def full_name(self, node: Any, name: str) -> str:
        """Return a QName that stands at a node of the document."""
        prefix, _, local = name.strip().rpartition(":")
        namespace = node.nsmap.get(prefix or None)
        if namespace is None and not prefix and self.document.chameleon:
            namespace = self.document.namespace
        return _joined(namespace or "", local)

    def local_name(self, node: Any) -> str:
        """Return what a local element or attribute of the document is called in documents by the schema."""
        attribute = node.tag == f"{XS}attribute"
        form, document = node.get("form"), self.document
        by_default = document.qualified_attributes if attribute else document.qualified
        qualified = form == "qualified" if form is not None else by_default
        return _joined(document.namespace if qualified else "", node.get("name", ""))


#: Returns the tree of a file of the schema.
Tree = Callable[[str], Any]
#: Returns the file that a location in a file means, None if there is none.
Locate = Callable[[str, str], str | None]


class Declarations:
    """The global components that are reached from some schema documents. Used by one thread."""

    def __init__(self, files: Iterable[str], tree: Tree, locate: Locate) -> None:
        #: Whether there are keys.
        self.keyed = False
        #: Names that two documents declare differently, with their files: (component, one file, other file).
        self.conflicts: list[tuple[str, str, str]] = []
        self._tree = tree
        self._locate = locate
        self._parts: dict[tuple[str, str], DeclaredPart] = {}
        self._files: dict[tuple[str, str], str] = {}
        self._met: set[tuple[str, str]] = set()
        for name in files:
            self._take(name, "")
        self._members = self._substitutes()

    def parts(self, kind: str) -> Iterator[DeclaredPart]:
        """Yield every component of a kind (``element``, ``type``, ``group``, ``attributeGroup``, ``attribute``)."""
        return (part for (each, _), part in self._parts.items() if each == kind)

    def part(self, kind: str, name: str, within: DeclaredPart | None = None) -> DeclaredPart | None:
        """Return the component of a name that stands within another one, None where there is none."""
        part = self._parts.get((kind, name))
        # What a redefinition calls by its own name is what it redefines (part 1, 4.2.2).
        return within.original if within is not None and part is within and within.original is not None else part

    def standing_for(self, name: str) -> Iterator[str]:
        """Yield the elements that may stand in the place of one, itself left out."""
        met, waiting = {name}, [name]
        while waiting:
            for member in self._members.get(waiting.pop(), ()):
                if member not in met:
                    met.add(member)
                    waiting.append(member)
                    yield member

    def _take(self, name: str, within: str) -> None:
        root = self._tree(name)
        namespace = root.get("targetNamespace", "") or within
        if (name, namespace) in self._met:
            return
        self._met.add((name, namespace))
        document = SchemaDocument(
            namespace=namespace,
            chameleon=bool(within) and not root.get("targetNamespace"),
            qualified=root.get("elementFormDefault") == "qualified",
            qualified_attributes=root.get("attributeFormDefault") == "qualified",
            open_content=next(root.iterfind(f"{XS}defaultOpenContent/{XS}any"), None),
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

    def _enter(self, parent: Any, name: str, document: SchemaDocument, *, over: bool) -> None:
        for node in parent.iterchildren(*_KINDS):
            kind, local = _KINDS[node.tag], node.get("name")
            if local is None:
                continue
            full = _joined(document.namespace, local)
            before = self._parts.get((kind, full))
            if before is not None and not over:
                self.conflicts.append((full, self._files[kind, full], name))
                continue
            self._parts[kind, full] = DeclaredPart(node, full, document, before)
            self._files[kind, full] = name

    def _substitutes(self) -> Mapping[str, list[str]]:
        members: dict[str, list[str]] = {}
        for part in self.parts("element"):
            for word in (part.node.get("substitutionGroup") or "").split():
                members.setdefault(part.full_name(part.node, word), []).append(part.name)
        return members


def _joined(namespace: str, local: str) -> str:
    return f"{{{namespace}}}{local}" if namespace else local
