"""Which elements are fields of keys and may be nil: none of a valid document is (XML Schema 1.0 part 1, 3.11.4, 4.2.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from hub.validation.xml.components import Complex, Components, Declared
from hub.validation.xml.declarations import XS

_ANYWHERE = ".//"


def nil_fields(components: Components) -> frozenset[Any]:
    """Return the nodes that declare an element which may be nil and is a field of a key (``xs:key``, not ``xs:unique``)."""
    if not components.keyed:
        return frozenset()
    return frozenset(
        field.node
        for element in _below(components.elements(), own=True)
        for key in element.node.iterchildren(f"{XS}key")
        for field in _fields(element, key)
        if field.may_be_nil
    )


def _fields(element: Declared, key: Any) -> Iterator[Declared]:
    """Yield the elements that the fields of a key stand for, which an element declares."""
    selected = [each for selector in key.iterchildren(f"{XS}selector") for each in _chosen([element], selector)]
    for field in key.iterchildren(f"{XS}field"):
        yield from _chosen(selected, field)


def _chosen(elements: Iterable[Declared], node: Any) -> Iterator[Declared]:
    """Yield the elements that the paths of a selector or field lead to (3.11.6); attributes are none."""
    for written in node.get("xpath", "").split("|"):
        path = "".join(written.split())
        found = list(elements)
        if path.startswith(_ANYWHERE):
            path = path.removeprefix(_ANYWHERE)
            found = [*found, *_below(found, own=False)]
        for step in path.split("/"):
            name = step.removeprefix("child::")
            if name.startswith(("@", "attribute::")):
                found = []
            elif name != ".":
                found = [child for each in found for child in _children(each) if _is_named(child.tag, name, node)]
        yield from found


def _is_named(tag: str, name: str, node: Any) -> bool:
    prefix, _, local = name.rpartition(":")
    namespace = node.nsmap.get(prefix, "") if prefix else ""
    tag_namespace, _, tag_local = tag.rpartition("}")
    return local in ("*", tag_local) and (name == "*" or tag_namespace[1:] == namespace)


def _children(element: Declared) -> Iterable[Declared]:
    kind = element.type()
    return kind.children.values() if isinstance(kind, Complex) else ()


def _below(elements: Iterable[Declared], *, own: bool) -> Iterator[Declared]:
    """Yield all elements that can stand in some, at any depth, each declaration once; with ``own`` these too."""
    waiting, met = list(elements), set[Any]()
    first = {element.node for element in waiting}
    while waiting:
        element = waiting.pop()
        if element.node in met:
            continue
        met.add(element.node)
        if own or element.node not in first:
            yield element
        waiting += _children(element)
