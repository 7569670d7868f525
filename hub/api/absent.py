"""Members that are null where they might as well be absent: generated clients write every optional member they know.

(Jackson's inclusion ALWAYS, public FIT-Connect clients in Java.) What the contract lets be null keeps its meaning, and a
required member that is null stays a fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

#: Takes a document and returns it without such members.
Cleaner = Callable[[Any], Any]
_MAX_DEPTH = 60


def cleaner(schema: Mapping[str, Any], depth: int = _MAX_DEPTH) -> Cleaner:
    """Return what leaves out of a document the optional members that are null and must not be, by its resolved schema."""
    if depth == 0:
        return _as_it_is
    named = [schema, *(part for word in ("allOf", "anyOf", "oneOf") for part in schema.get(word, ()))]
    members = {name: inner for part in named for name, inner in part.get("properties", {}).items()}
    # What one of several alternatives requires is another's to leave out.
    required = {name for part in (schema, *schema.get("allOf", ())) for name in part.get("required", ())}
    optional = frozenset(name for name, inner in members.items() if name not in required and not _may_be_null(inner))
    inside = {name: cleaner(inner, depth - 1) for name, inner in members.items()}
    items = [cleaner(part["items"], depth - 1) for part in named if "items" in part]
    if not members and not items:
        return _as_it_is

    def clean(document: Any) -> Any:
        if isinstance(document, dict):
            kept = {name: value for name, value in document.items() if value is not None or name not in optional}
            return {name: inside.get(name, _as_it_is)(value) for name, value in kept.items()}
        if isinstance(document, list) and items:
            return [items[0](each) for each in document]
        return document

    return clean


def _may_be_null(schema: Mapping[str, Any]) -> bool:
    return bool(schema.get("nullable")) or None in schema.get("enum", ())


def _as_it_is(document: Any) -> Any:
    return document
