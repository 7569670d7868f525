"""What a form can ask: the places of a schema, as a tree of fields in the order of its documents.

A place is written as a JSON Pointer (RFC 6901) over the names of fields, ``*`` standing for the items of a list
(``/hunde/*/name``); XML attributes are called ``@name``, the text of an element that has attributes ``#text``.

Answers have the shape of a document: mappings by name, lists, and values. Names that begin with ``?`` stand in no document: the
person's choice between variants, and questions that only the form asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hub.errors import ConfigurationError, Text
from hub.forms.conditions import FormCondition

#: Fields of one outline, and fields within each other. The largest message of the building standards has 3,400 fields in 14.
MOST_FIELDS, DEEPEST = 20_000, 24
#: Names that stand in no document begin with it.
OWN = "?"
ITEM = "*"
ATTRIBUTE = "@"
CONTENT = "#text"
_HUMPS = re.compile(r"(?<=[a-zäöüß0-9])(?=[A-ZÄÖÜ])|[_.\-]+")


class FieldKind(StrEnum):
    """What a person gives at a place."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATE_TIME = "date-time"
    TIME = "time"
    #: One of the field's choices.
    CHOICE = "choice"
    #: Nothing: the schema allows one value.
    FIXED = "fixed"
    #: What its members say.
    GROUP = "group"
    #: As many times as they like, within bounds, what its only member says.
    LIST = "list"


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """One of the values that a place may have."""

    value: Any
    label: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Variants:
    """A fork in a group: some of its members stand in one variant alone.

    ``needs`` are the members that are required in each variant. ``decided_by`` gives the variant, or None, from the group's
    answers; without it the person chooses, and the choice stands in the answers under ``key``.
    """

    key: str
    labels: tuple[Text, ...]
    needs: tuple[frozenset[str], ...]
    #: Members by which a variant can be recognised where nobody has chosen.
    marks: tuple[frozenset[str], ...] = ()
    decided_by: Callable[[Mapping[str, Any]], int | None] | None = field(default=None, repr=False, compare=False)
    required: bool = True
    #: Variants in which this fork stands itself.
    within: tuple[tuple[str, int], ...] = ()

    def chosen(self, answers: Mapping[str, Any]) -> int | None:
        """Return the variant that the answers of the group are of, None where that is open."""
        if self.decided_by is not None:
            return self.decided_by(answers)
        said = answers.get(self.key)
        if isinstance(said, int) and 0 <= said < len(self.labels):
            return said
        found = [number for number, names in enumerate(self.marks) if any(is_given(answers.get(one)) for one in names)]
        return found[0] if found else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One place. ``members`` are a group's, or a list's one; a group's names repeat where variants give them other shapes."""

    name: str
    kind: FieldKind
    title: Text
    hint: Text | None = None
    required: bool = False
    members: tuple[Field, ...] = ()
    variants: tuple[Variants, ...] = ()
    choices: tuple[Choice, ...] = ()
    #: The one value that is allowed, of ``FIXED``, and of a ``BOOLEAN`` that must be confirmed.
    value: Any = None
    #: Items of a list.
    least: int = 0
    most: int | None = None
    #: What the schema says of values, by its own words (``maxLength``, ``pattern``, ``minInclusive``).
    limits: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: Variants of the group in which the field stands, by key.
    within: tuple[tuple[str, int], ...] = ()
    #: XML: ``{namespace}name`` of the element or attribute.
    tag: str = ""
    #: What a form file adds.
    widget: str = ""
    when: FormCondition | None = None
    #: Whether the condition is the field's own, and not its step's: a group that it brings up is asked for.
    called: bool = False
    filled: str = ""
    errors: Mapping[str, Text] = field(default_factory=dict, repr=False)
    autocomplete: str = ""
    #: What of a person who is logged in stands here at first (:data:`hub.forms.known.FACTS`), and whether it has to stay.
    login: str = ""
    locked: bool = False
    #: Place of the list whose items are the choices, by number.
    items_of: str = ""
    #: What one item of a list is called.
    item_title: Text | None = None

    @property
    def is_leaf(self) -> bool:
        """Whether one value stands here."""
        return self.kind not in (FieldKind.GROUP, FieldKind.LIST)

    def open_variants(self, answers: Mapping[str, Any]) -> dict[str, int | None]:
        """Return the variant of each fork that the answers lead to."""
        chosen: dict[str, int | None] = {}
        for fork in self.variants:
            stands = all(chosen.get(key) == number for key, number in fork.within)
            chosen[fork.key] = fork.chosen(answers) if stands else None
        return chosen

    def open_members(self, answers: Mapping[str, Any]) -> Iterator[tuple[Field, bool]]:
        """Yield the members that stand in the variants of the answers, and whether each is required there."""
        if not self.variants:
            yield from ((member, member.required) for member in self.members)
            return
        chosen = self.open_variants(answers)
        needed: set[str] = set()
        for fork in self.variants:
            number = chosen[fork.key]
            if number is not None:
                needed |= fork.needs[number]
        for member in self.members:
            if all(chosen.get(key) == number for key, number in member.within):
                yield member, member.required or member.name in needed


@dataclass(frozen=True, kw_only=True, slots=True)
class FormOutline:
    """The fields of one schema. ``left_out`` are places that no form can offer: recursion, foreign references, wildcards."""

    root: Field
    is_xml: bool
    left_out: tuple[str, ...] = ()

    def walk(self) -> Iterator[tuple[str, Field]]:
        """Yield every field below the root with its place, parents first."""
        yield from _below("", self.root)


def _below(place: str, above: Field) -> Iterator[tuple[str, Field]]:
    for member in above.members:
        at = f"{place}/{escaped(member.name)}"
        yield at, member
        yield from _below(at, member)


class FieldCount:
    """Counts the fields of an outline that is being made, and remembers what is left out."""

    def __init__(self) -> None:
        self._count = 0
        self.left_out: list[str] = []

    def count(self, depth: int, place: str) -> bool:
        """Count a field; False, and the place is left out, where it lies too deep.

        Raises:
            ConfigurationError: There are too many.
        """
        self._count += 1
        if self._count > MOST_FIELDS:
            raise ConfigurationError(
                Text(
                    f"Das Schema hat mehr als {MOST_FIELDS} Felder. Für ein Formular ist es zu groß.",
                    f"The schema has more than {MOST_FIELDS} fields. It is too large for a form.",
                )
            )
        if depth > DEEPEST:
            self.leave_out(place)
            return False
        return True

    def leave_out(self, place: str) -> None:
        """Remember a place that no form can offer, once."""
        if place not in self.left_out:
            self.left_out.append(place)


def escaped(name: str) -> str:
    """Return a name as one token of a pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def tokens_of(place: str) -> list[str]:
    """Return the names of a pointer."""
    return [token.replace("~1", "/").replace("~0", "~") for token in place.split("/")[1:]]


def is_given(value: Any) -> bool:
    """Whether a person has said anything at a place; empty texts, lists and groups are nothing."""
    if isinstance(value, Mapping):
        return any(is_given(each) for name, each in value.items() if not name.startswith(OWN))
    if isinstance(value, list):
        return any(is_given(each) for each in value)
    return value is not None and value != ""


def from_name(name: str) -> Text:
    """Return a name as words, for places that nobody gave a title: ``geplanterBaubeginn`` is *Geplanter Baubeginn*."""
    words = " ".join(part for part in _HUMPS.split(name.lstrip(ATTRIBUTE + "#")) if part) or name
    said = words[:1].upper() + words[1:]
    return Text(said, said)
