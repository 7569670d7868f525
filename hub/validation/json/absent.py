"""Members that are null where they might as well be absent: generated clients write every optional member they know.

(Jackson's inclusion ALWAYS, public FIT-Connect clients in Java.) They do so in bodies of requests and in metadata. What the
contract or schema lets be null keeps its meaning, and a required member that is null stays a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: Takes a document and returns it without such members.
Cleaner = Callable[[Any], Any]
#: A schema as OpenAPI 3.0 or JSON Schema 2020-12 writes it; the latter knows true and false as well.
Schema = Mapping[str, Any] | bool
_MAX_DEPTH = 60


def cleaner(schema: Schema, root: Mapping[str, Any] | None = None, depth: int = _MAX_DEPTH) -> Cleaner:
    """Return what leaves out of a document the optional members that are null and must not be, by its schema.

    ``root`` is the document that the schema's references (``#/…``, RFC 6901) lead into; None where it holds none.
    """
    schema = _led_to(schema, root)
    if depth == 0 or isinstance(schema, bool):
        return _as_it_is
    parts = (_led_to(part, root) for word in ("allOf", "anyOf", "oneOf") for part in schema.get(word, ()))
    named = [schema, *(part for part in parts if not isinstance(part, bool))]
    members = {name: inner for part in named for name, inner in part.get("properties", {}).items()}
    # What one of several alternatives requires is another's to leave out.
    every = (schema, *(_led_to(part, root) for part in schema.get("allOf", ())))
    required = {name for part in every if not isinstance(part, bool) for name in part.get("required", ())}
    optional = frozenset(
        name for name, inner in members.items() if name not in required and not _may_be_null(_led_to(inner, root))
    )
    inside = {name: cleaner(inner, root, depth - 1) for name, inner in members.items()}
    others = cleaner(schema.get("additionalProperties", True), root, depth - 1)
    items = [cleaner(part["items"], root, depth - 1) for part in named if "items" in part]
    if not members and not items and others is _as_it_is:
        return _as_it_is

    def clean(document: Any) -> Any:
        if isinstance(document, dict):
            kept = {name: value for name, value in document.items() if value is not None or name not in optional}
            return {name: inside.get(name, others)(value) for name, value in kept.items()}
        if isinstance(document, list) and items:
            return [items[0](each) for each in document]
        return document

    return clean


def _led_to(schema: Schema, root: Mapping[str, Any] | None) -> Schema:
    """Return what a schema that is a reference stands for; any other is itself."""
    while root is not None and not isinstance(schema, bool) and "$ref" in schema:
        found: Any = root
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    return schema


def _may_be_null(schema: Schema) -> bool:
    """Tell whether null means something here: OpenAPI 3.0 says ``nullable``, JSON Schema a type or that anything goes."""
    if isinstance(schema, bool):
        return schema
    return bool(schema.get("nullable")) or None in schema.get("enum", ()) or "null" in schema.get("type", ())


def _as_it_is(document: Any) -> Any:
    return document
