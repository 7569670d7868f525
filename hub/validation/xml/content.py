"""Content models that libxml2 counts wrongly, judged by derivatives of the model (Brzozowski; Antimirov's partial ones).

libxml2 keeps one counter for each particle. Where a group that is counted holds others that are, or may be empty, it begins
with some of them anew too often, and takes a child too many or too few; of a wildcard that must occur several times, in
something that may be left out, it takes one. Such models are kept in the table of places; what may still come is worked out
child by child, so that nothing is counted twice and nothing is unfolded.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hub.validation.xml.declarations import XS, DeclaredPart

#: A model: ``("one", tags)``, ``("any", keeps out, namespaces)``, ``("of", ranges of characters)``,
#: ``("all of", models)``, ``("one of", models)``, or
#: ``("times", model, least, most)`` with ``most`` -1 for any number.
Model = tuple[Any, ...]
_NOTHING: Model = ("all of", ())
_UNBOUNDED = -1
#: What may still come after a child: so many ways at most are followed before a model counts as too hard to judge.
_WAYS = 500
_GROUPS = {f"{XS}sequence": "all of", f"{XS}choice": "one of"}


@dataclass(frozen=True, slots=True)
class Stop:
    """Where content leaves its model: the number of the child, None where children are missing at the end."""

    child: int | None


def is_counted(node: Any) -> bool:
    """Whether a particle of a schema document is one whose counts libxml2 may get wrong: a group, or a wildcard."""
    if node.tag not in (*_GROUPS, f"{XS}group", f"{XS}any"):
        return False
    least, most = _occurs(node)
    return least > 1 or (most > 1 and node.tag != f"{XS}any")


def _occurs(node: Any) -> tuple[int, int]:
    least, most = (node.get(name, "1").strip() for name in ("minOccurs", "maxOccurs"))
    return int(least), _UNBOUNDED if most == "unbounded" else int(most)


def in_order(models: Iterable[Model]) -> Model:
    """Return the model of what stands one after the other."""
    flat: list[Model] = []
    for model in models:
        flat += model[1] if model[0] == "all of" else [model]
    return flat[0] if len(flat) == 1 else ("all of", tuple(flat))


class ModelMaker:
    """Makes models of the particles of schema documents. ``components`` knows groups and what stands for elements."""

    def __init__(self, components: Any) -> None:
        self._components = components

    def of(self, node: Any, part: DeclaredPart) -> Model | None:
        """Return the model of a particle; None where it holds a group (``all``) that is judged otherwise."""
        least, most = _occurs(node)
        if most == 0:
            return _NOTHING
        model = self._once(node, part)
        return model if model is None or (least, most) == (1, 1) else ("times", model, least, most)

    def _once(self, node: Any, part: DeclaredPart) -> Model | None:
        if node.tag == f"{XS}element":
            return "one", tuple(sorted(self._components.tags(node, part)))
        if node.tag == f"{XS}any":
            return "any", *_namespaces(node, part)
        if node.tag == f"{XS}group":
            group = self._components.part("group", part.full_name(node, node.get("ref", "")), part)
            inner = None if group is None else next(group.node.iterchildren(*_GROUPS), None)
            return None if inner is None else self.of(inner, group)
        if node.tag not in _GROUPS:
            return None
        parts = [self.of(child, part) for child in node.iterchildren(f"{XS}*") if child.tag != f"{XS}annotation"]
        if any(each is None for each in parts):
            return None
        known = [each for each in parts if each is not None]
        return in_order(known) if node.tag == f"{XS}sequence" else ("one of", tuple(known))


def _namespaces(node: Any, part: DeclaredPart) -> tuple[bool, tuple[str, ...]]:
    """Return whether a wildcard names what it keeps out, and the namespaces."""
    own, said = part.document.namespace, node.get("namespace", "##any").split()
    if said == ["##any"]:
        return True, ()
    if said == ["##other"]:
        return True, tuple(sorted({own, ""}))
    short = {"##targetNamespace": own, "##local": ""}
    return False, tuple(sorted(short.get(word, word) for word in said))


def stop_of(model: Model, tags: Iterable[str]) -> Stop | None:
    """Return where children leave a model, None where they fit it (or it has more ways than are followed)."""
    ways = frozenset((model,))
    for number, tag in enumerate(tags):
        ways = frozenset(way for each in ways for way in after(each, tag))
        if not ways:
            return Stop(number)
        if len(ways) > _WAYS:
            return None
    return None if any(may_end(way) for way in ways) else Stop(None)


@lru_cache(maxsize=4096)
def may_end(model: Model) -> bool:
    """Whether nothing more need come."""
    kind = model[0]
    if kind == "all of":
        return all(map(may_end, model[1]))
    if kind == "one of":
        return any(map(may_end, model[1]))
    return kind == "times" and (model[2] == 0 or may_end(model[1]))


@lru_cache(maxsize=16384)
def after(model: Model, tag: str) -> frozenset[Model]:
    """Return what may follow a child (its tag; of a text, a character), in each way in which the model may take it."""
    kind = model[0]
    if kind == "one of":
        return frozenset(way for each in model[1] for way in after(each, tag))
    if kind == "times":
        return _after_one_of_several(model, tag)
    if kind == "all of":
        return _after_first(model[1], tag)
    return frozenset((_NOTHING,)) if _takes(model, tag) else frozenset()


def _takes(model: Model, tag: str) -> bool:
    """Whether a model of one child or character takes it."""
    kind = model[0]
    if kind == "one":
        return tag in model[1]
    if kind == "any":
        namespace = tag[1:].partition("}")[0] if tag.startswith("{") else ""
        return (namespace in model[2]) is not model[1]
    character = ord(tag)
    return any(low <= character <= high for low, high in model[1])


def _after_one_of_several(model: Model, tag: str) -> frozenset[Model]:
    _, inner, least, most = model
    if most == 0:
        return frozenset()
    left = most if most == _UNBOUNDED else most - 1
    rest: Model = ("times", inner, 0 if may_end(inner) else max(least - 1, 0), left) if left else _NOTHING
    return frozenset(in_order((way, rest)) for way in after(inner, tag))


def _after_first(models: tuple[Model, ...], tag: str) -> frozenset[Model]:
    found: set[Model] = set()
    for number, each in enumerate(models):
        rest = in_order(models[number + 1 :])
        found.update(in_order((way, rest)) for way in after(each, tag))
        if not may_end(each):
            break
    return frozenset(found)


def model_from_json(document: Any) -> Model:
    """Read a model as JSON holds it: tuples as lists."""
    return tuple(model_from_json(each) if isinstance(each, list) else each for each in document)
