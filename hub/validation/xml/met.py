"""What walks over documents take down of the places that need a second look, and how a document is spelt for libxml2."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hub.validation.xml.content import stop_of
from hub.validation.xml.places import ID, NUMBER, Fixed, PlaceType
from hub.validation.xml.values import (
    MOMENTS,
    SPACES,
    ValueKind,
    breach,
    equal,
    identifiers,
    is_negative_zero,
    is_spelt,
    is_uncertain,
    usual_moment,
)

#: How zero is spelt where its sign is left out.
ZERO = "0"
NUMBERS = frozenset({"double", "float", NUMBER})
#: Types whose white space libxml2 does not collapse.
_NOT_COLLAPSED = MOMENTS | {"duration"}


class Overlooked(NamedTuple):
    """A place that a walk found wrong: the rule, what the schema expects there, element and attribute (None for its text)."""

    rule: str
    expected: str | None
    element: Any
    attribute: str | None


class Respelt(NamedTuple):
    """A value that libxml2 reads right when it is spelt otherwise: where it stands, and how."""

    element: Any
    attribute: str | None
    text: str

    @property
    def written(self) -> str:
        """The value as the document spells it, without white space around it."""
        element = self.element
        return (text_in(element) if self.attribute is None else element.get(self.attribute)).strip(SPACES)


@dataclass(slots=True)
class Met:
    """What one walk has met: ids, references with the place each stands at, and what is wrong besides.

    ``same`` counts elements that have their fixed value, spelt otherwise than in the schema. ``respelt`` are times among
    blanks, which libxml2 refuses, and negative zeros, which it takes for less than zero. ``unjudged`` counts the elements and
    attributes that no declaration and no type judges (those of the namespace of xsi:type left out).
    """

    ids: set[str] = field(default_factory=set)
    repeated: list[Any] = field(default_factory=list)
    references: list[tuple[str, Any]] = field(default_factory=list)
    faults: list[Overlooked] = field(default_factory=list)
    same: int = 0
    respelt: list[Respelt] = field(default_factory=list)
    unjudged: int = 0

    @property
    def is_wrong(self) -> bool:
        """Whether a rule is broken that libxml2 does not know."""
        return bool(self.faults or self.repeated) or any(True for _ in self.dangling())

    def note(self, kind: str, value: str, place: Any) -> None:
        """Take down one identifier or reference; whitespace around it is collapsed (XML Schema part 2, 4.3.6)."""
        words = value.split()
        if kind == ID:
            for word in words[:1]:
                if word in self.ids:
                    self.repeated.append(place)
                self.ids.add(word)
        else:
            self.references.extend((word, place) for word in words)

    def note_element(self, place: PlaceType, element: Any) -> None:
        """Take down an element that may be nil though it is a field of a key."""
        if place.nil_field:
            self.faults.append(Overlooked("xml.identity", None, element, None))

    def note_form(self, form: str, value: str, element: Any, attribute: str | None) -> None:
        """Take down a value whose spelling is none of its type's."""
        if not is_spelt(form, value):
            self.faults.append(Overlooked("xml.datatype", f"xs:{form.removesuffix('*')}", element, attribute))
        elif form in NUMBERS and is_negative_zero(value):
            self.respelt.append(Respelt(element, attribute, ZERO))
        elif form in _NOT_COLLAPSED and value != (usual := usual_moment(form, value.strip(SPACES))):
            self.respelt.append(Respelt(element, attribute, usual))

    def note_value(self, kind: ValueKind, value: str, element: Any, attribute: str | None) -> None:
        """Take down a value that is none of its type's, though libxml2 takes it."""
        if (found := breach(kind, value)) is not None:
            self.faults.append(Overlooked(found.rule, found.expected, element, attribute))
            return
        self.unjudged += is_uncertain(kind, value)
        if kind.chooses_identifiers:
            words = identifiers(kind, value)
            self.unjudged += words is None
            for identifier, word in words or ():
                self.note(identifier, word, (element, attribute))

    def note_fixed(self, fixed: Fixed, value: str, element: Any, attribute: str | None) -> None:
        """Take down an attribute that has another value than the fixed one."""
        same = equal(fixed.kind, fixed.value, value)
        if same is False:
            self.faults.append(Overlooked("xml.fixed", fixed.value, element, attribute))
        else:
            # The same text may name something in another namespace; of some unions nobody tells.
            self.unjudged += fixed.is_name or same is None

    def note_content(self, fixed: Fixed, text: str, element: Any, *, has_elements: bool) -> None:
        """Take down an element with a fixed value."""
        if has_elements:
            self.faults.append(Overlooked("xml.fixed", fixed.value, element, None))
        elif text and text != fixed.value and equal(fixed.kind, fixed.value, text):
            self.same += 1
        elif text:
            self.unjudged += fixed.is_name

    def note_children(self, place: PlaceType, children: list[tuple[str, Any]], element: Any) -> None:
        """Take down where children, given as tags and elements, leave the model of their parent."""
        if place.content is None or (stop := stop_of(place.content, (tag for tag, _ in children))) is None:
            return
        if stop.child is None:
            self.faults.append(Overlooked("xml.element-missing", None, element, None))
        else:
            self.faults.append(Overlooked("xml.element-unexpected", None, children[stop.child][1], None))

    def dangling(self) -> Iterable[Any]:
        """Yield the place of each reference that leads nowhere."""
        return (place for word, place in self.references if word not in self.ids)


def text_in(element: Any) -> str:
    """Return the text of an element that holds no other: a comment or an instruction splits it."""
    text: str = element.text or ""
    return "".join((text, *(child.tail or "" for child in element))) if len(element) else text


def respelt(tree: Any, places: list[Respelt]) -> Any:
    """Return a copy of a tree in which values are spelt otherwise; the tree itself where none is."""
    if not places:
        return tree
    copied = deepcopy(tree)
    twins = dict(zip(tree.iter(), copied.iter(), strict=True))
    for place in places:
        if place.attribute is None:
            twin = twins[place.element]
            twin.text = place.text
            # What stands behind a comment is of the text.
            for piece in twin:
                piece.tail = None
        else:
            twins[place.element].set(place.attribute, place.text)
    return copied
