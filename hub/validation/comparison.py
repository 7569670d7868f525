"""What a sender must change from one version of a standard to the next.

The outline of a schema: what a sender sees of it, XSD or JSON Schema, in one shape that can be compared.

A place is a path of names of the schema (``Antrag.0100/grundstueck``, ``halter/anschrift/plz``, ``@version`` for an
attribute). Namespaces are left out: they change with every version of a standard without meaning anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.errors import Text

_XS = "{http://www.w3.org/2001/XMLSchema}"
_COMPONENTS = frozenset(f"{_XS}{name}" for name in ("element", "complexType", "simpleType", "group", "attributeGroup"))
_LIMITS = (
    *("length", "minLength", "maxLength", "minInclusive", "maxInclusive", "minExclusive", "maxExclusive"),
    *("totalDigits", "fractionDigits", "pattern"),
)
_JSON_LIMITS = (
    *("minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "pattern", "format", "uniqueItems"),
)
_DEPTH = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Trait:
    """What a schema says of one place: whether it must be there, at most how often, of which type, and within which limits."""

    required: bool = False
    most: str = "1"
    kind: str = ""
    values: frozenset[str] | None = None
    limits: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outline:
    """Traits by place, and the names of the messages."""

    roots: frozenset[str]
    traits: Mapping[str, Trait]


def outline_of_xsd(schemas: Iterable[Any], roots: Iterable[str]) -> Outline:
    """Return the outline of XSD documents (lxml roots); ``roots`` are ``{namespace}local``."""
    traits: dict[str, Trait] = {}
    for schema in schemas:
        for component in schema.iterchildren(*_COMPONENTS):
            name = component.get("name", "")
            traits[name] = _xsd_trait(component, required=False)
            traits.update(_xsd_below(component, name, required=True, depth=0))
    return Outline(roots=frozenset(root.rpartition("}")[2] for root in roots), traits=traits)


def outline_of_json(schema: Mapping[str, Any], title: str) -> Outline:
    """Return the outline of a JSON Schema; references are followed inside the document."""
    traits = dict(_json_below(schema, schema, "", (), 0))
    return Outline(roots=frozenset({title}), traits=traits)


def _xsd_below(node: Any, place: str, *, required: bool, depth: int) -> Iterator[tuple[str, Trait]]:
    if depth > _DEPTH:
        return
    for child in node.iterchildren("*"):
        name = (child.get("name") or child.get("ref") or "").rpartition(":")[2]
        if child.tag == f"{_XS}element" and name:
            needed = required and child.get("minOccurs", "1") != "0"
            yield f"{place}/{name}", _xsd_trait(child, required=needed)
            yield from _xsd_below(child, f"{place}/{name}", required=True, depth=depth + 1)
        elif child.tag == f"{_XS}attribute" and name:
            yield f"{place}/@{name}", _xsd_trait(child, required=child.get("use") == "required")
        elif child.tag != f"{_XS}annotation":
            optional = child.tag == f"{_XS}choice" or child.get("minOccurs") == "0"
            yield from _xsd_below(child, place, required=required and not optional, depth=depth + 1)


def _xsd_trait(node: Any, *, required: bool) -> Trait:
    base = node.find(f".//{_XS}restriction") if node.tag != f"{_XS}complexType" else None
    if base is not None and _owner(base) is not node:
        base = None
    named = node.get("type") or (base.get("base") if base is not None else "") or ""
    values = [facet.get("value", "") for facet in _facets(base, "enumeration")]
    limits = {name: facet.get("value", "") for name in _LIMITS for facet in _facets(base, name)}
    if node.get("fixed") is not None:
        limits["fixed"] = node.get("fixed")
    return Trait(
        required=required,
        most=node.get("maxOccurs", "1"),
        kind=named.rpartition(":")[2],
        values=frozenset(values) or None,
        limits=limits,
    )


def _facets(base: Any, name: str) -> Iterator[Any]:
    return iter(base.iterchildren(f"{_XS}{name}")) if base is not None else iter(())


def _owner(restriction: Any) -> Any:
    """Return the element, attribute or type whose own value a restriction limits."""
    node = restriction.getparent()
    while node.tag == f"{_XS}simpleType" and node.get("name") is None:
        node = node.getparent()
    return node


def _json_below(
    schema: Any, document: Mapping[str, Any], place: str, met: tuple[int, ...], depth: int
) -> Iterator[tuple[str, Trait]]:
    if not isinstance(schema, Mapping) or id(schema) in met or depth > _DEPTH:
        return
    path = (*met, id(schema))
    required = schema.get("required", ())
    for name, member in dict(schema.get("properties") or {}).items():
        if name == "$schema":
            continue
        inner = _dereferenced(member, document)
        yield f"{place}/{name}", _json_trait(inner, required=name in required)
        yield from _json_below(inner, document, f"{place}/{name}", path, depth + 1)
    for keyword in ("items", "then", "else", "allOf", "anyOf", "oneOf", "$ref"):
        for part in _parts(schema.get(keyword), keyword, document):
            yield from _json_below(part, document, f"{place}[]" if keyword == "items" else place, path, depth + 1)


def _parts(value: Any, keyword: str, document: Mapping[str, Any]) -> list[Any]:
    if keyword == "$ref" and isinstance(value, str):
        return [_dereferenced({"$ref": value}, document)]
    return [_dereferenced(part, document) for part in (value if isinstance(value, list) else [value])]


def _dereferenced(schema: Any, document: Mapping[str, Any]) -> Any:
    """Return a schema with a local reference's members merged in; foreign references stay as they are."""
    for _ in range(_DEPTH):
        reference = schema.get("$ref") if isinstance(schema, Mapping) else None
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return schema
        target: Any = document
        for token in reference[2:].split("/"):
            target = target.get(token.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        schema = {**(target if isinstance(target, Mapping) else {}), **rest} if rest else target
    return schema


def _json_trait(schema: Any, *, required: bool) -> Trait:
    if not isinstance(schema, Mapping):
        return Trait(required=required)
    kinds = schema.get("type", "")
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    return Trait(
        required=required,
        kind=", ".join(kinds) if isinstance(kinds, list) else str(kinds),
        values=None if values is None else frozenset(map(str, values)),
        limits={name: str(schema[name]) for name in _JSON_LIMITS if name in schema},
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One difference. ``must`` says that a message of the old version may be refused because of it."""

    kind: str
    place: str
    must: bool
    text: Text


def differences(old: Iterable[Outline], new: Iterable[Outline]) -> tuple[Change, ...]:
    """Compare the outlines of two versions; what must be changed comes first, each part by place."""
    before, after = _merged(old), _merged(new)
    changes = [*_of_roots(before, after), *_of_places(before, after)]
    return tuple(sorted(changes, key=lambda change: (not change.must, change.place, change.kind)))


def _merged(outlines: Iterable[Outline]) -> Outline:
    parts = list(outlines)
    return Outline(
        roots=frozenset().union(*(part.roots for part in parts)),
        traits={place: trait for part in parts for place, trait in part.traits.items()},
    )


def _of_roots(before: Outline, after: Outline) -> Iterator[Change]:
    for root in before.roots - after.roots:
        yield _change(
            "message-removed", root, "Diese Nachricht gibt es nicht mehr.", "This message is gone.", must=True
        )
    for root in after.roots - before.roots:
        yield _change("message-added", root, "Diese Nachricht ist neu.", "This message is new.", must=False)


def _of_places(before: Outline, after: Outline) -> Iterator[Change]:
    for place in before.traits.keys() - after.traits.keys():
        if not _inside_removed(place, before, after):
            yield _change("removed", place, "Entfällt. Senden Sie es nicht mehr.", "Gone. Send it no more.", must=True)
    for place in after.traits.keys() - before.traits.keys():
        if not _inside_removed(place, after, before):
            yield _added(place, after.traits[place])
    for place in before.traits.keys() & after.traits.keys():
        yield from _between(place, before.traits[place], after.traits[place])


def _inside_removed(place: str, here: Outline, there: Outline) -> bool:
    """Whether the place's parent is missing on the other side too, so that naming the parent is enough."""
    parent = place.rpartition("/")[0]
    return bool(parent) and parent in here.traits and parent not in there.traits


def _added(place: str, trait: Trait) -> Change:
    if trait.required:
        return _change(
            "added-required", place, "Neu und Pflicht. Ergänzen Sie es.", "New and required. Add it.", must=True
        )
    return _change("added", place, "Neu, darf fehlen.", "New, may be left out.", must=False)


def _between(place: str, old: Trait, new: Trait) -> Iterator[Change]:
    if new.required and not old.required:
        yield _change(
            "became-required", place, "Ist jetzt Pflicht. Ergänzen Sie es.", "Now required. Add it.", must=True
        )
    if old.required and not new.required:
        yield _change("became-optional", place, "Darf jetzt fehlen.", "May now be left out.", must=False)
    if old.kind != new.kind:
        yield _other_type(place, old, new)
    if old.most != new.most:
        yield _other_count(place, old, new)
    yield from _of_values(place, old, new)
    yield from _of_limits(place, old, new)


def _other_type(place: str, old: Trait, new: Trait) -> Change:
    return _change(
        "type-changed",
        place,
        f"Hat einen anderen Typ: {new.kind or '–'} statt {old.kind or '–'}.",
        f"Is of another type: {new.kind or '–'} instead of {old.kind or '–'}.",
        must=True,
    )


def _other_count(place: str, old: Trait, new: Trait) -> Change:
    return _change(
        "count-changed",
        place,
        f"Darf jetzt höchstens {new.most}-mal vorkommen statt {old.most}-mal.",
        f"May now occur at most {new.most} times instead of {old.most}.",
        must=_number(new.most) < _number(old.most),
    )


def _of_values(place: str, old: Trait, new: Trait) -> Iterator[Change]:
    if old.values == new.values:
        return
    gone = (old.values or frozenset()) - new.values if new.values is not None else frozenset()
    more = new.values - old.values if new.values is not None and old.values is not None else frozenset()
    if gone or (old.values is None and new.values is not None):
        names = ", ".join(sorted(gone)) or "–"
        yield _change("values-removed", place, f"Werte entfallen: {names}.", f"Values are gone: {names}.", must=True)
    if more or new.values is None:
        names = ", ".join(sorted(more)) or "*"
        yield _change("values-added", place, f"Neue Werte: {names}.", f"New values: {names}.", must=False)


def _of_limits(place: str, old: Trait, new: Trait) -> Iterator[Change]:
    for name in sorted(old.limits.keys() | new.limits.keys()):
        before, after = old.limits.get(name), new.limits.get(name)
        if before != after:
            yield _change(
                "limit-changed",
                place,
                f"Grenze {name}: {_short(after)} statt {_short(before)}.",
                f"Limit {name}: {_short(after)} instead of {_short(before)}.",
                must=after is not None and not _looser(name, before, after),
            )


def _looser(name: str, before: str | None, after: str) -> bool:
    try:
        old, new = float(before or ""), float(after)
    except ValueError:
        return False
    if name in ("totalDigits", "fractionDigits") or name.startswith(("max", "exclusiveMax")):
        return new >= old
    return name.startswith(("min", "exclusiveMin")) and new <= old


def _number(text: str) -> float:
    return float("inf") if text == "unbounded" else float(text)


def _short(value: str | None) -> str:
    if value is None:
        return "–"
    return value if len(value) <= 60 else value[:60] + "…"  # noqa: PLR2004  # A pattern may be pages long.


def _change(kind: str, place: str, german: str, english: str, *, must: bool) -> Change:
    return Change(kind=kind, place=place, must=must, text=Text(german, english))
