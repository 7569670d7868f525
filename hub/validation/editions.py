"""Which version of a standard an XML document states, where several in force know its root element.

XÖV standards fix the version as an attribute of the message or of its header (``version``, ``xjustizVersion``); others name
it in an element (XRechnung's ``CustomizationID``), which the schema's entry declares. Only the beginning of a document is
looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from io import BytesIO
from typing import Any

from lxml import etree

from hub.validation.xml.documents import XmlDocument
from hub.validation.xml.xsd import XSD, XsdSource, parse_schema_document

#: Elements and bytes at the beginning of a document that are looked at, and characters of what one states.
_ELEMENTS, _BYTES, _LONGEST = 200, 256 * 1024, 500
#: The message, its header, and what the header holds.
_DEPTH = 3
_WORD, _NO_STANDARD = "version", "listversionid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stated:
    """What the beginning of a document states: attributes by local name, and texts of elements by their paths."""

    attributes: frozenset[tuple[str, str]] = field(repr=False)
    texts: Mapping[str, str] = field(repr=False)

    def fits(self, declared: Mapping[str, tuple[str, ...]], fixed: Collection[tuple[str, str]]) -> bool:
        """Whether a document of a version states it: in an element that its entry declares, else in an attribute it fixes."""
        if declared:
            return any(
                fnmatchcase(self.texts.get(place, ""), value) for place, values in declared.items() for value in values
            )
        return not self.attributes.isdisjoint(fixed)


def stated_by(document: XmlDocument, places: Iterable[str]) -> Stated:
    """Read what a document states; ``places`` are paths of elements as ``/{namespace}message/{namespace}header``."""
    wanted = frozenset(places)
    attributes: set[tuple[str, str]] = set()
    texts: dict[str, str] = {}
    path: list[str] = []
    elements = 0
    parser = etree.iterparse(
        BytesIO(document.data[:_BYTES]),
        events=("start", "end"),
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
    )
    try:
        for event, node in parser:
            if event == "start":
                elements += 1
                path.append(str(node.tag))
                if len(path) <= _DEPTH:
                    attributes.update(_versions(node))
                continue
            place = "".join(f"/{step}" for step in path)
            if place in wanted and len(node.text or "") <= _LONGEST:
                texts.setdefault(place, (node.text or "").strip())
            path.pop()
            if elements >= _ELEMENTS:
                break
    except etree.XMLSyntaxError:
        # Only the beginning was read, or the document is not well-formed, which its check will tell.
        pass
    return Stated(attributes=frozenset(attributes), texts=texts)


def _versions(node: Any) -> Iterable[tuple[str, str]]:
    for name, value in node.attrib.items():
        local = etree.QName(name).localname
        if _is_version(local) and len(value) <= _LONGEST:
            yield local, value.strip()


def _is_version(name: str) -> bool:
    folded = name.casefold()
    return folded.endswith(_WORD) and folded != _NO_STANDARD


def fixed_versions(source: XsdSource) -> frozenset[tuple[str, str]]:
    """Return the attributes for a version that the documents of a schema fix, with their values."""
    found: set[tuple[str, str]] = set()
    for name in source.closure:
        content = source.read(name)
        if b"fixed" not in content:
            continue
        for node in parse_schema_document(content, name).iter(f"{XSD}attribute"):
            called, value = node.get("name") or "", node.get("fixed")
            if value is not None and _is_version(called):
                found.add((called, value.strip()))
    return frozenset(found)
