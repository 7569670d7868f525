"""Where the documents of a schema name attachments, as its entry in ``catalog.yaml`` declares.

JSON: a JSON Pointer (RFC 6901) whose token ``*`` stands for every item of an array or every member of an object
(``/hunde/*/befreiung/nachweisDatei``); it ends at a text, or at a list's ``*``. XML: an absolute path of elements in Clark's
notation, as in ``roots``, whose step ``*`` stands for any element and whose last step may be an attribute
(``/{urn:bau}antrag/{urn:bau}anlage/@datei``). Nothing else of XPath is understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hub.model.submission import MediaType

ANY = "*"
#: Places of one schema, and characters of one.
_MOST_PLACES, _LONGEST = 50, 2_000
_NAME = r"[^\W\d][\w.\-]*"
_STEP = re.compile(rf"/(@?(?:\{{[^{{}}\s]+\}})?{_NAME}|\*)")
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachmentPlace:
    """One place where documents name an attachment.

    ``steps`` are the tokens of a pointer, or the steps of a path. ``required`` says that a document which names an attachment
    there is refused without it; otherwise its report warns.
    """

    at: str
    required: bool
    steps: tuple[str, ...]

    def as_document(self) -> dict[str, Any]:
        """Return the place as it stands in the manifest."""
        return {"at": self.at, "required": self.required}


def places_from(documents: Iterable[Any], media_type: MediaType) -> tuple[AttachmentPlace, ...]:
    """Return the places of one schema from a list of mappings ``{at, required}``.

    Raises:
        TypeError, ValueError: A member is unknown, missing or of the wrong type, a path is none, or a place stands twice.
    """
    places = tuple(_place(document, media_type) for document in documents)
    if len(places) > _MOST_PLACES:
        raise ValueError(f"there are more than {_MOST_PLACES} places of attachments")
    if len({place.steps for place in places}) < len(places):
        raise ValueError("a place of attachments stands there twice")
    return places


def _place(document: Any, media_type: MediaType) -> AttachmentPlace:
    if not isinstance(document, Mapping) or set(document) - {"at", "required"} or "at" not in document:
        raise ValueError("each place of attachments has at, may have required, and nothing else")
    at, required = document["at"], document.get("required", False)
    if not isinstance(at, str) or not isinstance(required, bool):
        raise TypeError("of a place of attachments, at is a text and required is true or false")
    split = _tokens if media_type is MediaType.JSON else _elements
    return AttachmentPlace(at=at, required=required, steps=split(at))


def _tokens(at: str) -> tuple[str, ...]:
    if len(at) > _LONGEST or not _POINTER.fullmatch(at):
        raise ValueError(f"{at[:100]!r} is no JSON Pointer to where attachments are named")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in at[1:].split("/"))


def _elements(at: str) -> tuple[str, ...]:
    steps = tuple(_STEP.findall(at)) if len(at) <= _LONGEST else ()
    whole = "".join(f"/{step}" for step in steps) == at
    if not whole or not steps or any(step.startswith("@") for step in (steps[0], *steps[:-1])):
        raise ValueError(
            f"{at[:100]!r} is no path to where attachments are named: it has steps as /{{namespace}}element, and an "
            "attribute only as the last one"
        )
    return steps
