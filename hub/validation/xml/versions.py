"""Which version of XML Schema a document is written in: 1.0, unless something in it has a meaning in 1.1 alone.

libxml2 passes over some of what 1.1 added (conditional inclusion, ``xpathDefaultNamespace``, default attributes), and would
call a document valid that is not. So every mark of 1.1 is looked for, in every document of a closure (XML Schema 1.1 part 1,
appendix G.1; part 2, appendix I).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from lxml import etree

from hub.validation.xml.xsd import XSD

_VERSIONING = "{http://www.w3.org/2007/XMLSchema-versioning}"
_ELEMENTS = frozenset(
    ("assert", "assertion", "alternative", "openContent", "defaultOpenContent", "override", "explicitTimezone")
)
_ATTRIBUTES = frozenset(
    (
        *("xpathDefaultNamespace", "defaultAttributes", "defaultAttributesApply", "notNamespace", "notQName"),
        *("inheritable", "appliesToEmpty"),
    )
)
_TYPES = frozenset(
    ("dateTimeStamp", "dayTimeDuration", "yearMonthDuration", "anyAtomicType", "error", "precisionDecimal")
)
#: Attributes that name types or elements by qualified names.
_TYPED = ("type", "base", "itemType", "memberTypes")
_CONSTRAINTS = frozenset(("unique", "key", "keyref"))
_LOCAL = frozenset(("element", "attribute"))
#: Without these words no document of a closure holds a mark; those that hold one are parsed and looked at.
_WORDS = re.compile(
    rb"XMLSchema-versioning|substitutionGroup|targetNamespace|<[^<>]*\ball\b|<[^<>]*\b(?:unique|key|keyref)\b|"
    + "|".join(sorted(_ELEMENTS | _ATTRIBUTES | _TYPES)).encode()
)


#: Tests of attributes alone: literals, attributes, operators, types after a cast, functions that are given something.
_OF_ATTRIBUTES = re.compile(
    r"""(?:\s++|"[^"]*+"|'[^']*+'|[0-9]++(?:\.[0-9]++)?+|@[\w.:-]++|[=<>!+,()-]
    |(?:and|or|eq|ne|lt|le|gt|ge|div|idiv|mod)\b(?![\w.:(-])|(?:cast|castable)\s+as\s+[\w.:-]+\??
    |(?:true|false)\(\s*\)|[A-Za-z][\w.:-]*+\(\s*(?!\s|\)))++""",
    re.VERBOSE,
)


class Mark(NamedTuple):
    """What shows that a document is written in XML Schema 1.1: a name, and its line."""

    name: str
    line: int


def mark_of(schema: Any) -> Mark | None:
    """Return the first mark of XML Schema 1.1 in a schema document (its root element), None if there is none."""
    for node in schema.iter(f"{XSD}*"):
        local = node.tag.rpartition("}")[2]
        # Most nodes have none of the attributes that could be a mark.
        if local not in _SUSPECT and _SUSPECT_ATTRIBUTES.isdisjoint(node.keys()):
            continue
        name = next(_marks(node), None)
        if name is not None:
            return Mark(name, node.sourceline or 0)
    return None


def unjudged_mark_of(schema: Any) -> Mark | None:
    """Return the first mark that neither engine judges for sure.

    Those are attributes that alternatives of elements below are to see, and tests of alternatives that look at more than the
    attributes of their element: its contents are to be empty to them (part 1, 3.12.4), and are not to the engine.
    """
    for node in schema.iter(f"{XSD}attribute", f"{XSD}alternative"):
        if (node.get("inheritable") or "").strip() in ("true", "1"):
            return Mark("inheritable", node.sourceline or 0)
        test = node.get("test")
        if test is not None and _OF_ATTRIBUTES.fullmatch(test) is None:
            return Mark("alternative test", node.sourceline or 0)
    return None


def may_name_version(content: bytes) -> bool:
    """Whether a document (in an encoding that ASCII is a part of) can hold a mark at all: a quick look at its bytes."""
    return _WORDS.search(content) is not None


def might_mean_1_1(schemas: Iterable[Any]) -> bool:
    """Whether documents that are wrong by 1.0 may be right by 1.1: ``all`` groups stand where 1.0 forbids them."""
    return any(next(schema.iter(f"{XSD}all"), None) is not None for schema in schemas)


#: Elements and attributes without which a node bears no mark; of those that say versions any attribute of the namespace.
_SUSPECT = _ELEMENTS | _CONSTRAINTS | {"all"}
_VERSIONED = ("minVersion", "maxVersion", "typeAvailable", "typeUnavailable", "facetAvailable", "facetUnavailable")
_SUSPECT_ATTRIBUTES = frozenset(
    (*_ATTRIBUTES, *_TYPED, "targetNamespace", "substitutionGroup", *(f"{_VERSIONING}{name}" for name in _VERSIONED))
)


def _marks(node: Any) -> Iterator[str]:
    local = node.tag.rpartition("}")[2]
    if local in _ELEMENTS:
        yield local
    for name in node.attrib:
        if name in _ATTRIBUTES:
            yield name
        elif name.startswith(_VERSIONING):
            yield f"vc:{name.removeprefix(_VERSIONING)}"
    if local in _CONSTRAINTS and node.get("ref") is not None:
        yield f"{local} ref"
    if local in _LOCAL and node.get("targetNamespace") is not None:
        yield f"{local} targetNamespace"
    if len((node.get("substitutionGroup") or "").split()) > 1:
        yield "substitutionGroup"
    if local == "all":
        yield from _marks_of_all(node)
    yield from _types(node)


def _marks_of_all(group: Any) -> Iterator[str]:
    """Yield what 1.0 forbids in an ``all`` group: wildcards, groups, and elements that occur more than once."""
    for node in group.iterchildren(f"{XSD}*"):
        local = etree.QName(node).localname
        if local in ("any", "group"):
            yield f"all {local}"
        elif local == "element" and node.get("maxOccurs", "1").strip() not in ("0", "1"):
            yield "all maxOccurs"


def _types(node: Any) -> Iterator[str]:
    for attribute in _TYPED:
        for word in (node.get(attribute) or "").split():
            prefix, _, local = word.rpartition(":")
            if local in _TYPES and f"{{{node.nsmap.get(prefix or None)}}}" == XSD:
                yield local
