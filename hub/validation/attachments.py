"""Attachments that documents name: where the names stand, and which were not sent.

Where the documents of a schema name attachments, as its entry in ``catalog.yaml`` declares.

JSON: a JSON Pointer (RFC 6901) whose token ``*`` stands for every item of an array or every member of an object
(``/hunde/*/befreiung/nachweisDatei``); it ends at a text, or at a list's ``*``. XML: an absolute path of elements in Clark's
notation, as in ``roots``, whose step ``*`` stands for any element and whose last step may be an attribute
(``/{urn:bau}antrag/{urn:bau}anlage/@datei``). Nothing else of XPath is understood.

Which attachments a document names, and which of them were not sent with it.

A name is compared with the names of the files as they were sent, in Unicode's form NFC and otherwise character by character.
Of a name nothing is said but its place. What was sent and is not named is fine.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal

from lxml import etree

from hub.errors import Text
from hub.model import MediaType
from hub.validation.json.documents import JsonSchema
from hub.validation.json.report import Token, known_part, lines_of, pointer
from hub.validation.report import Cause, Check, Limits, Report, Unchecked, Violation, text_of
from hub.validation.xml.documents import XmlDocument
from hub.validation.xml.report import Vocabulary, document_path

ANY = "*"
#: Places of one schema, and characters of one.
_MOST_PLACES, _LONGEST = 50, 2_000
#: Characters of a label.
_LONGEST_LABEL = 200
_NAME = r"[^\W\d][\w.\-]*"
_STEP = re.compile(rf"/(@?(?:\{{[^{{}}\s]+\}})?{_NAME}|\*)")
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachmentPlace:
    """One place where documents name an attachment.

    ``steps`` are the tokens of a pointer, or the steps of a path. ``required`` says that a document which names an attachment
    there is refused without it; otherwise its report warns. When it has to name one is the schema's to say. ``label`` is what
    the attachment is, for people.
    """

    at: str
    required: bool
    steps: tuple[str, ...]
    label: Text | None = None

    def as_document(self) -> dict[str, Any]:
        """Return the place as it stands in the manifest."""
        said = {} if self.label is None else {"label": {"de": self.label.de, "en": self.label.en}}
        return {"at": self.at, "required": self.required, **said}


def places_from(documents: Iterable[Any], media_type: MediaType) -> tuple[AttachmentPlace, ...]:
    """Return the places of one schema from a list of mappings ``{at, required, label}``.

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
    if not isinstance(document, Mapping) or set(document) - {"at", "required", "label"} or "at" not in document:
        raise ValueError("each place of attachments has at, may have required and label, and nothing else")
    at, required = document["at"], document.get("required", False)
    if not isinstance(at, str) or not isinstance(required, bool):
        raise TypeError("of a place of attachments, at is a text and required is true or false")
    split = _tokens if media_type is MediaType.JSON else _elements
    return AttachmentPlace(at=at, required=required, steps=split(at), label=_label(document.get("label")))


def _label(document: Any) -> Text | None:
    if document is None:
        return None
    if not isinstance(document, Mapping) or set(document) != {"de", "en"}:
        raise ValueError("the label of a place of attachments has de and en, and nothing else")
    if not all(isinstance(text, str) and 0 < len(text.strip()) <= _LONGEST_LABEL for text in document.values()):
        raise ValueError(f"a label of a place of attachments is a text of at most {_LONGEST_LABEL} characters")
    return Text(document["de"].strip(), document["en"].strip())


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


RULE = "attachment.missing"
#: Names of one document that are looked at: five times what may be sent.
_MOST_NAMES = 500
#: Characters of a name. No file's is longer, and longer runs of combining characters are slow to normalize.
_LONGEST_NAME = 1_000
_TEXT = etree.XPath("string()")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Named:
    """A name in a document; ``where`` is a path of tokens, or an element and its attribute if that is meant."""

    name: str
    where: Any
    place: AttachmentPlace

    @property
    def severity(self) -> Literal["error", "warning"]:
        """How bad it is that the file is missing."""
        return "error" if self.place.required else "warning"

    @property
    def text(self) -> Text:
        """What is said of it: what the file is, where somebody wrote that down, and never its name."""
        said, label = text_of(RULE), self.place.label
        if label is None:
            return said
        return Text(f"{label.de}: {said.de}", f"{label.en}: {said.en}")


class JsonAttachmentNames:
    """Finds the names in JSON documents of one schema. Thread-safe."""

    def __init__(self, places: Sequence[AttachmentPlace]) -> None:
        self._places = places
        self._declared = frozenset(step for place in places for step in place.steps)
        #: The report of flawless documents, and what becomes of it where their attachments are not at hand.
        self._kept: tuple[Report, Report] | None = None

    def judged(
        self,
        report: Report,
        document: Any,
        data: bytes,
        *,
        schema: JsonSchema,
        sent: Collection[str] | None,
        limits: Limits,
    ) -> Report:
        """Return the report with what the names of ``document``, read from ``data``, add; ``sent`` as in the catalogue."""
        if sent is None:
            return self._not_at_hand(report) if self._names_any(document) else report
        named = list(islice(self._named(document), _MOST_NAMES + 1))
        missing = _missing(named, sent)
        if not missing:
            return _judged(report, named, [], limits)
        names = schema.known().names | self._declared
        lines = lines_of(data, {each.where for each in missing[: limits.violations]})
        broken = [
            Violation(
                rule=RULE,
                severity=each.severity,
                path=pointer(known_part(each.where, names)),
                path_kind="json-pointer",
                line=lines.get(each.where),
                text=each.text,
            )
            for each in missing
        ]
        return _judged(report, named, broken, limits)

    def _not_at_hand(self, report: Report) -> Report:
        kept = self._kept
        if kept is None or kept[0] is not report:
            kept = self._kept = (report, _not_at_hand(report))
        return kept[1]

    def _names_any(self, document: Any) -> bool:
        return any(
            isinstance(value, str) and value != ""
            for place in self._places
            for _, value in _reached(document, place.steps, ())
        )

    def _named(self, document: Any) -> Iterator[_Named]:
        for place in self._places:
            for where, value in _reached(document, place.steps, ()):
                if isinstance(value, str) and value:
                    yield _Named(name=value, where=where, place=place)


class XmlAttachmentNames:
    """Finds the names in XML documents of one schema. Thread-safe."""

    def __init__(self, places: Sequence[AttachmentPlace]) -> None:
        self._places = [(_compiled(place.steps), place) for place in places]
        self._marks = [_mark(place.steps) for place in places]

    def judged(
        self,
        report: Report,
        document: XmlDocument,
        *,
        words: Callable[[], Vocabulary],
        sent: Collection[str] | None,
        limits: Limits,
    ) -> Report:
        """Return the report with what the names of ``document`` add to it; ``sent`` as in the catalogue."""
        if not any(mark in document.data for mark in self._marks):
            return report  # As most documents are that enclose nothing: no tree is looked at.
        if document.tree is None and len(document.data) > limits.walk_bytes:
            return replace(report, unchecked=(*report.unchecked, _TOO_LARGE))
        tree = document.whole_tree()
        named = list(islice(self._named(tree), _MOST_NAMES + 1))
        if sent is None:
            return _not_at_hand(report) if named else report
        missing = _missing(named, sent)
        if not missing:
            return _judged(report, named, [], limits)
        broken = [_broken(each, words()) for each in missing]
        return _judged(replace(report, namespaces=words().namespaces), named, broken, limits)

    def _named(self, tree: Any) -> Iterator[_Named]:
        for find, place in self._places:
            results: Any = find(tree)
            for found in results:
                text = str(found) if isinstance(found, str) else str(_TEXT(found))
                # White space at the ends is collapsed in all the types that file names have (XML Schema, part 2, 4.3.6).
                if name := text.strip(" \t\r\n"):
                    yield _Named(name=name, where=_owner(found), place=place)


def _reached(value: Any, steps: Sequence[str], at: tuple[Token, ...]) -> Iterator[tuple[tuple[Token, ...], Any]]:
    """Yield the places that a declared pointer leads to, and what stands there."""
    if not steps:
        yield at, value
        return
    step, rest = steps[0], steps[1:]
    if isinstance(value, dict):
        members: Iterable[tuple[Token, Any]] = value.items() if step == ANY else ()
        if step != ANY and step in value:
            members = ((step, value[step]),)
    elif isinstance(value, list):
        members = enumerate(value) if step == ANY else ()
        if step.isdecimal() and int(step) < len(value):
            members = ((int(step), value[int(step)]),)
    else:
        return
    for token, member in members:
        yield from _reached(member, rest, (*at, token))


def _compiled(steps: Sequence[str]) -> etree.XPath:
    """Return the XPath of a declared path, with a prefix for each namespace, that stops after the most names."""
    namespaces: dict[str, str] = {}
    path = ""
    for step in steps:
        sign, name = ("@", step[1:]) if step.startswith("@") else ("", step)
        if name.startswith("{"):
            namespace, _, local = name[1:].partition("}")
            name = f"{namespaces.setdefault(namespace, f'n{len(namespaces)}')}:{local}"
        path += f"/{sign}{name}"
    prefixes = {prefix: namespace for namespace, prefix in namespaces.items()}
    return etree.XPath(f"({path})[position() <= {_MOST_NAMES + 1}]", namespaces=prefixes)


def _mark(steps: Sequence[str]) -> bytes:
    """Return bytes without which no document has anything at a path: the local name of its last step that has one."""
    named = [step for step in steps if step != ANY]
    return (named[-1] if named else "<").rpartition("}")[2].lstrip("@").encode()


def _owner(found: Any) -> tuple[Any, str | None]:
    """Return the element of what an XPath found, and the attribute's name if it is one."""
    name = getattr(found, "attrname", None)
    return (found, None) if name is None else (found.getparent(), name)


def _broken(each: _Named, words: Vocabulary) -> Violation:
    element, attribute = each.where
    return Violation(
        rule=RULE,
        severity=each.severity,
        path=document_path(element, words, attribute=attribute),
        path_kind="xpath",
        line=element.sourceline,
        text=each.text,
    )


def _missing(named: Sequence[_Named], sent: Collection[str]) -> list[_Named]:
    """Return what is named among the first of a document and not among the files sent."""
    if not named:
        return []
    files = {_composed(name) for name in sent if len(name) <= _LONGEST_NAME}
    return [each for each in named[:_MOST_NAMES] if len(each.name) > _LONGEST_NAME or _composed(each.name) not in files]


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _not_at_hand(report: Report) -> Report:
    return replace(report, unchecked=(*report.unchecked, _NOT_AT_HAND))


def _judged(report: Report, named: Sequence[_Named], broken: Sequence[Violation], limits: Limits) -> Report:
    if len(named) > _MOST_NAMES:
        report = replace(report, unchecked=(*report.unchecked, _TOO_MANY))
    if not broken:
        return report
    return replace(report.extended(broken, cap=limits.violations), missing_attachments=len(broken))


_NOT_AT_HAND = Unchecked(
    check=Check.ATTACHMENTS,
    cause=Cause.NO_ATTACHMENTS,
    text=Text(
        "Das Dokument nennt Anlagen. Ob sie dabei sind, lässt sich erst prüfen, wenn sie mit ihm eingereicht werden.",
        "The document names attachments. Whether they are enclosed can be judged only when they are submitted with it.",
    ),
)
_TOO_LARGE = Unchecked(
    check=Check.ATTACHMENTS,
    cause=Cause.TOO_LARGE,
    text=Text(
        "Das Dokument ist zu groß, um zu prüfen, ob die Anlagen dabei sind, die es nennt; das Schema wurde geprüft.",
        "The document is too large to check whether the attachments that it names are enclosed; the schema was checked.",
    ),
)
_TOO_MANY = Unchecked(
    check=Check.ATTACHMENTS,
    cause=Cause.TOO_LARGE,
    text=Text(
        f"Das Dokument nennt mehr als {_MOST_NAMES} Anlagen; nur so viele wurden mit den gesendeten verglichen.",
        f"The document names more than {_MOST_NAMES} attachments; only so many were compared with those that were sent.",
    ),
)
