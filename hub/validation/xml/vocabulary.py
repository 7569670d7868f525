"""The names and facets that a schema itself declares: what a report may say without repeating the sender.

Whatever a library's message quotes is only passed on if it stands here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hub.validation.xml.patterns import is_din_91379
from hub.validation.xml.prepared import rewritten

_XS = "{http://www.w3.org/2001/XMLSchema}"
_XML = "http://www.w3.org/XML/1998/namespace"
_PATTERN = f"{_XS}pattern"
_FACETS = frozenset(
    f"{_XS}{name}"
    for name in (
        *("pattern", "enumeration", "length", "minLength", "maxLength", "totalDigits", "fractionDigits"),
        *("minInclusive", "maxInclusive", "minExclusive", "maxExclusive"),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """Names are local names. ``namespaces`` are pairs of prefix and namespace name, each once."""

    elements: frozenset[str]
    attributes: frozenset[str]
    facets: frozenset[str]
    types: frozenset[str]
    #: The name of the type in which a pattern stands.
    patterns: Mapping[str, str]
    #: Patterns as the schema writes them, by what the compiler got in their place.
    originals: Mapping[str, str]
    namespaces: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, schemas: Iterable[Any]) -> Vocabulary:
        """Gather the words of schema documents (lxml root elements)."""
        names: dict[str, set[str]] = {"element": set(), "attribute": set(), "simpleType": set(), "complexType": set()}
        facets: set[str] = set()
        patterns: dict[str, str] = {}
        originals: dict[str, str] = {}
        prefixes: dict[str, str] = {}
        for schema in schemas:
            _gather_prefix(schema, prefixes)
            patterns.update(_named_patterns(schema))
            for node in schema.iter(f"{_XS}*"):
                local = node.tag.removeprefix(_XS)
                if local in names and (name := node.get("name")):
                    names[local].add(name)
                if node.tag in _FACETS:
                    facets.add(value := node.get("value", ""))
                    if node.tag == _PATTERN and (compiled := rewritten(value)) != value:
                        originals[compiled] = value
                elif (fixed := node.get("fixed")) is not None:
                    facets.add(fixed)
        return cls(
            elements=frozenset(names["element"]),
            attributes=frozenset(names["attribute"]),
            facets=frozenset(facets),
            types=frozenset(names["simpleType"] | names["complexType"]),
            patterns=patterns,
            originals=originals,
            namespaces=tuple(sorted((prefix, namespace) for namespace, prefix in prefixes.items())),
        )

    def prefix_of(self, namespace: str) -> str | None:
        """Return the prefix of a namespace of the schema; "" for no namespace, None for a foreign one."""
        if not namespace:
            return ""
        return next((prefix for prefix, name in self.namespaces if name == namespace), None)

    def element_name(self, tag: str) -> str | None:
        """Return ``prefix:local`` of ``{namespace}local`` if the schema declares such an element, else None."""
        namespace, local = split(tag)
        prefix = self.prefix_of(namespace)
        if prefix is None or local not in self.elements:
            return None
        return f"{prefix}:{local}" if prefix else local

    def attribute_name(self, tag: str) -> str | None:
        """Return ``prefix:local`` of an attribute that the schema declares, else None."""
        namespace, local = split(tag)
        prefix = self.prefix_of(namespace)
        if prefix is None or local not in self.attributes:
            return None
        return f"{prefix}:{local}" if prefix else local

    def shown(self, tag: str) -> str:
        """Return a name of the schema with its prefix, or its local part."""
        return self.element_name(tag) or split(tag)[1]


def split(tag: str) -> tuple[str, str]:
    """Return namespace ("" for none) and local name of ``{namespace}local``."""
    if tag.startswith("{"):
        namespace, _, local = tag[1:].partition("}")
        return namespace, local
    return "", tag


def _named_patterns(schema: Any) -> Iterator[tuple[str, str]]:
    standard = "DIN 91379: " if is_din_91379(schema.get("targetNamespace", "")) else ""
    for kind in schema.iterchildren(f"{_XS}simpleType"):
        for node in kind.iter(f"{_XS}pattern"):
            yield node.get("value", ""), standard + kind.get("name", "")


def _gather_prefix(schema: Any, prefixes: dict[str, str]) -> None:
    namespace = schema.get("targetNamespace")
    if not namespace or namespace in prefixes or namespace == _XML:
        return
    own = [prefix for prefix, name in schema.nsmap.items() if name == namespace and prefix]
    wish = min(own) if own else "ns"
    taken = set(prefixes.values())
    prefixes[namespace] = (
        wish
        if wish not in taken
        else next(f"{wish}{number}" for number in range(2, len(taken) + 3) if f"{wish}{number}" not in taken)
    )
