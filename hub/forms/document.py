"""From answers to the document that is sent: JSON, or XML in the order, namespaces and spelling of its schema.

What is not asked in the variants that the answers lead to is not sent, nor is anything empty. XML is written along the outline,
which has the order and the names; what the schema says of the whole is the judge's (``hub.validation``), behind every document.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import orjson

from hub.errors import ConfigurationError, Text
from hub.forms.form_file import Questionnaire
from hub.forms.outline import ATTRIBUTE, CONTENT, OWN, Field, FieldKind, escaped, is_given

#: What XML 1.0 cannot hold (section 2.2).
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACED = "\ufffd"


@dataclass(frozen=True, kw_only=True, slots=True)
class FormDocument:
    """A document as it is sent. ``items`` tells which item of the answers each item of its lists is, by the list's place."""

    content: bytes = field(repr=False)
    value: Mapping[str, Any] = field(repr=False)
    items: Mapping[str, tuple[int, ...]]


def document_of(form: Questionnaire, answers: Mapping[str, Any], fillings: Mapping[str, str]) -> FormDocument:
    """Return the document of some answers; ``fillings`` are what the portal knows, by filler (``now``, ``schema``).

    Raises:
        ConfigurationError: The form asks for a filling that is not there.
    """
    gathering = _Gathering(answers, fillings, is_xml=form.is_xml)
    value = gathering.group(form.whole, answers, "", ())
    content = _xml(form.whole, value) if form.is_xml else orjson.dumps(value, option=orjson.OPT_INDENT_2)
    return FormDocument(content=content, value=value, items=gathering.items)


_ABSENT: Any = object()


class _Gathering:
    def __init__(self, answers: Mapping[str, Any], fillings: Mapping[str, str], *, is_xml: bool) -> None:
        self._answers = answers
        self._fillings = fillings
        self._is_xml = is_xml
        self.items: dict[str, tuple[int, ...]] = {}

    def group(self, group: Field, value: Any, at: str, indices: tuple[int, ...]) -> dict[str, Any]:
        """Return the members of a group that are sent."""
        given: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        found: dict[str, Any] = {}
        by_itself: dict[str, Any] = {}
        for member, required in group.open_members(given):
            if member.name.startswith(OWN) or not (member.when is None or member.when.holds(self._answers, indices)):
                continue
            if member.filled or member.kind is FieldKind.FIXED:
                if required or member.filled:
                    by_itself[member.name] = self._filling(member, indices)
                continue
            below = self._member(
                member, given.get(member.name), f"{at}/{escaped(member.name)}", indices, required=required
            )
            if below is not _ABSENT:
                found[member.name] = below
        return {**by_itself, **found}

    def _member(self, member: Field, value: Any, at: str, indices: tuple[int, ...], *, required: bool) -> Any:
        if member.kind is FieldKind.GROUP:
            if not (required or is_given(value)):
                return _ABSENT
            made = self.group(member, value, at, indices)
            return made if made or required else _ABSENT
        if member.kind is FieldKind.LIST:
            return self._list(member, value, at, indices)
        if not is_given(value):
            return _ABSENT
        return value if not self._is_xml else _spelled(value)

    def _list(self, member: Field, value: Any, at: str, indices: tuple[int, ...]) -> Any:
        items = value if isinstance(value, list) else []
        found, kept = [], []
        for number, item in enumerate(items):
            if is_given(item):
                below = self._member(member.members[0], item, f"{at}/{number}", (*indices, number), required=True)
                if below is not _ABSENT:
                    found.append(below)
                    kept.append(number)
        self.items[at] = tuple(kept)
        return found or _ABSENT

    def _filling(self, member: Field, indices: tuple[int, ...]) -> Any:
        if not member.filled:
            return member.value
        if member.filled.startswith("="):
            return member.filled[1:]
        if member.filled == "item":
            return f"p{indices[-1] + 1 if indices else 1}"
        if member.filled not in self._fillings:
            raise ConfigurationError(
                Text(
                    f"Das Formular braucht „{member.filled}“ für {member.name}; es wurde nicht angegeben.",
                    f"The form needs '{member.filled}' for {member.name}; it was not given.",
                )
            )
        return self._fillings[member.filled]


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _NO_XML.sub(_REPLACED, str(value))


def _xml(root: Field, value: Mapping[str, Any]) -> bytes:
    prefixes: dict[str, str] = {}
    out: list[str] = []
    _element(root, value, out, prefixes)
    # Prefixes are known once all is written.
    declared = "".join(f" xmlns:{prefix}={quoteattr(namespace)}" for namespace, prefix in prefixes.items())
    start = out[0]
    out[0] = f"<{start[1:]}{declared}"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{"".join(out)}\n'.encode()


def _element(field: Field, value: Any, out: list[str], prefixes: dict[str, str]) -> None:
    name = _name(field.tag, prefixes)
    out.append(f"<{name}")
    if not isinstance(value, Mapping):
        out.append(f">{_escaped(str(value))}</{name}>")
        return
    content = ""
    for member in field.members:
        if member.name.startswith(ATTRIBUTE) and member.name in value:
            out.append(f" {_name(member.tag, prefixes)}={quoteattr(str(value[member.name]), _ATTRIBUTE_ESCAPES)}")
        elif member.name == CONTENT and member.name in value:
            content = _escaped(str(value[member.name]))
    out.append(f">{content}")
    for member, _ in field.open_members(value):
        if member.name.startswith(ATTRIBUTE) or member.name == CONTENT or member.name not in value:
            continue
        below = value[member.name]
        if member.kind is FieldKind.LIST:
            for item in below:
                _element(member.members[0], item, out, prefixes)
        else:
            _element(member, below, out, prefixes)
    out.append(f"</{name}>")


_ATTRIBUTE_ESCAPES = {"\n": "&#10;", "\t": "&#9;", "\r": "&#13;"}


def _escaped(text: str) -> str:
    return escape(text, {"\r": "&#13;"})


def _name(tag: str, prefixes: dict[str, str]) -> str:
    namespace, _, local = tag[1:].rpartition("}") if tag.startswith("{") else ("", "", tag)
    if not namespace:
        return local
    prefix = prefixes.setdefault(namespace, f"n{len(prefixes)}")
    return f"{prefix}:{local}"
