"""The questions of a schema as the portal asks them: as its form file has them, with files where the catalogue names them.

A schema is outlined once and kept by the hash that the hub records with whatever it judges; the few in use stay in memory.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from hub.errors import Text
from hub.forms.checking import form_of
from hub.forms.faults import FieldFault, Judging, faults_of, judging
from hub.forms.form_file import FormStep, Questionnaire
from hub.forms.outline import ITEM, Field, FieldKind, escaped
from hub.forms.page import PageItem, page_of
from hub.model import MediaType
from hub.validation.attachments import ANY
from hub.validation.editions import SchemaEntry
from hub.validation.report import Violation

#: Schemas whose questions are kept; the largest outline takes some megabytes.
_KEPT = 64
#: What a control says that a file is asked for.
FILE = "file"
_ITEMS = re.compile(r"/\d+(?=/|$)")
_ZONE = ZoneInfo("Europe/Berlin")
_PRODUCT = "Rathaus-Hub"


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedForm:
    """A form that can be filled: its schema, its questions, and what judges the answers here."""

    entry: SchemaEntry = field(repr=False)
    form: Questionnaire = field(repr=False)
    judge: Judging = field(repr=False)
    #: Places at which the name of a file stands, ``*`` for items.
    file_places: frozenset[str]

    @property
    def media_type(self) -> MediaType:
        """What the document of this form is."""
        return self.entry.ref.media_type

    def open_steps(self, answers: Mapping[str, Any]) -> list[FormStep]:
        """Return the steps that some answers lead to, in order."""
        return [step for step in self.form.steps if step.when is None or step.when.holds(answers)]

    def faults(
        self, answers: Mapping[str, Any], fillings: Mapping[str, str], judge: Judging | None = None
    ) -> tuple[FieldFault, ...]:
        """Return what is wrong with some answers; ``judge`` is by default the one of this process."""
        return faults_of(self.form, answers, fillings, judge or self.judge)

    def step_of(self, at: str, answers: Mapping[str, Any]) -> FormStep | None:
        """Return the open step on whose page a place is shown, None for none."""
        for step in self.open_steps(answers):
            if any(item.at == at for item in all_items(page_of(step, answers).items)):
                return step
        return None

    def step_asking(self, at: str, answers: Mapping[str, Any]) -> str:
        """Return the id of the open step that asks for files like the one at a place; empty for none."""
        place = _ITEMS.sub(f"/{ITEM}", at)
        steps = self.open_steps(answers)
        return next((step.id for step in steps if place in _file_places(step.root, "")), "")

    def named_files(self, value: Any) -> set[str]:
        """Return the names of files that stand in a document, or in answers."""
        return {name for place in self.file_places for name in _values_at(value, place.split("/")[1:])}

    def without_files(self, answers: Mapping[str, Any], present: Collection[str]) -> dict[str, Any]:
        """Return answers without the names of files that are not there."""
        return {name: self._without(f"/{escaped(name)}", value, present) for name, value in answers.items()}

    def _without(self, place: str, value: Any, present: Collection[str]) -> Any:
        if isinstance(value, Mapping):
            return {name: self._without(f"{place}/{escaped(name)}", each, present) for name, each in value.items()}
        if isinstance(value, list):
            return [self._without(f"{place}/{ITEM}", each, present) for each in value]
        return None if place in self.file_places and value not in present else value


def all_items(items: Sequence[PageItem]) -> Iterator[PageItem]:
    """Yield the items of a page and all within them."""
    for item in items:
        yield item
        yield from all_items(item.items)


class AskedForms:
    """The forms in use, by schema. Thread-safe; a form that two ask for at once is made by one."""

    def __init__(self, schema: Callable[[str], SchemaEntry]) -> None:
        self._schema = schema
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], AskedForm] = OrderedDict()

    def of(self, uri: str) -> AskedForm:
        """Return the form of a schema.

        Raises:
            ConfigurationError: The schema cannot be outlined, or its form file does not fit it.
            NotFound, UnknownSchema, Unavailable: The hub has no such schema, or cannot be asked.
        """
        entry = self._schema(uri)
        key = (uri, entry.ref.sha256)
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                found = self._kept[key] = asked_form(entry)
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return found


def asked_form(entry: SchemaEntry) -> AskedForm:
    """Return the form of a schema's entry; raise ``ConfigurationError`` as ``form_of`` does."""
    form = form_of(entry)
    places = {each.at: each.required for each in form.attachments}
    for named in entry.item.attachments:
        at = _place_in(form.known, list(named.steps), is_xml=form.is_xml)
        if at is not None:
            places[at] = places.get(at, False) or named.required
    steps = tuple(replace(step, root=_with_files(step.root, "", places)) for step in form.steps)
    made = replace(form, steps=steps, whole=_with_files(form.whole, "", places))
    asked = {at for step in steps for at in _file_places(step.root, "")}
    return AskedForm(entry=entry, form=made, judge=judging(entry), file_places=frozenset(asked))


def fillings_of(
    entry: SchemaEntry, *, ars: str, place: str, authority: str, form_id: str, now: datetime
) -> dict[str, str]:
    """Return what the portal fills into a form by itself; ``ars`` is a municipality's, of twelve digits."""
    here = now.astimezone(_ZONE)
    return {
        "schema": entry.uri,
        "now": here.isoformat(timespec="seconds"),
        "today": here.date().isoformat(),
        "uuid": form_id,
        # The municipality's key without its association (AGS): 064390015015 is 06439015.
        "area": ars[:5] + ars[9:12],
        "place": place,
        "authority": authority,
        "product": _PRODUCT,
    }


def violations_of(found: Sequence[Mapping[str, Any]]) -> tuple[Violation, ...]:
    """Return the violations of a hub's answer as its engine has them, errors alone; what cannot be read is passed over."""
    made = []
    for each in found:
        text = each.get("text")
        if not isinstance(text, Mapping) or each.get("severity", "error") != "error":
            continue
        made.append(
            Violation(
                rule=str(each.get("rule", "")),
                path=str(each.get("path", "")),
                path_kind="xpath" if each.get("pathKind") == "xpath" else "json-pointer",
                expected=None if each.get("expected") is None else str(each["expected"]),
                text=Text(str(text.get("de", "")), str(text.get("en", ""))),
            )
        )
    return tuple(made)


def _place_in(root: Field, steps: list[str], *, is_xml: bool) -> str | None:
    """Return a place of the catalogue's as one of the outline: without namespaces and root, ``*`` for the items of lists."""
    current, at = root, ""
    for step in steps[1:] if is_xml else steps:
        if current.kind is FieldKind.LIST:
            current, at = current.members[0], f"{at}/{ITEM}"
            if step == ANY and not is_xml:
                continue
        name = step.replace("{", "").rpartition("}")[2] if is_xml else step
        name = f"@{name.removeprefix('@')}" if is_xml and step.startswith("@") else name
        found = next((member for member in current.members if member.name == name), None)
        if found is None:
            return None
        current, at = found, f"{at}/{escaped(name)}"
    return at if current.is_leaf else None


def _with_files(above: Field, place: str, places: Mapping[str, bool]) -> Field:
    """Return a field in which files are asked for at some places; True: one must be given wherever the place comes up."""
    members = []
    for each in above.members:
        at = f"{place}/{escaped(each.name)}"
        below = _with_files(each, at, places)
        if at in places and each.is_leaf and each.kind is FieldKind.TEXT:
            below = replace(below, widget=FILE, required=below.required or places[at])
        members.append(below)
    return replace(above, members=tuple(members))


def _file_places(above: Field, place: str) -> Iterator[str]:
    for each in above.members:
        at = f"{place}/{escaped(each.name)}"
        if each.widget == FILE:
            yield at
        yield from _file_places(each, at)


def _values_at(value: Any, tokens: Sequence[str]) -> Iterator[str]:
    if not tokens:
        if isinstance(value, str) and value:
            yield value
        return
    if isinstance(value, list):
        for item in value:
            yield from _values_at(item, tokens[1:] if tokens[0] == ITEM else tokens)
    elif isinstance(value, Mapping):
        yield from _values_at(value.get(tokens[0].replace("~1", "/").replace("~0", "~")), tokens[1:])
