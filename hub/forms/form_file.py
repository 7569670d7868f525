"""Form files: ``form.yaml`` beside a schema's manifest, and the questionnaire that it makes of the schema's outline.

::

    format: 1
    translated: false                         # the file says German in English, too; may be missing
    title: {de: …, en: …, easy: …}            # easy (Leichte Sprache) may be missing, in every text
    intro: {de: …, en: …}                     # may be missing
    root: '{namespace}message'                # XML with several messages
    steps:
    - id: keeper
      title: {de: …, en: …}
      hint, when                              # may be missing
      fields:
      - at: /halter/familienname              # a place of the outline, or a question of the form's own: ?name
        label: {de: …, en: …}
        hint, item, widget, autocomplete, when, items_of
        login: family-name                    # what stands here at first of who is logged in; see FACTS
        locked: true                          # and cannot be changed here; of texts and days outside lists
        errors: {required: {de, en}}
        choices: {value: {de, en}}
        kind: boolean                         # of own questions alone: boolean or choice
    filled:
    - {at: /$schema, with: schema}            # or with: {value: x}; see FILLERS. A label may say what it is
    attachments:
    - {at: /nachweis, required: false, label: {de: …, en: …}}

Keys are strict. The order of fields is that of the page; a group that is named without any of its members is asked as the
schema has it. What is neither asked nor filled is not sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from hub.errors import ConfigurationError, Text
from hub.files.strict_yaml import load_yaml
from hub.forms.conditions import FormCondition, Operator, condition_from
from hub.forms.outline import (
    ATTRIBUTE,
    ITEM,
    OWN,
    Choice,
    Field,
    FieldKind,
    FormOutline,
    escaped,
    from_name,
    tokens_of,
)

NAME = "form.yaml"
_LARGEST = 1024 * 1024
FORMAT = 1
#: What the portal fills in by itself. ``item`` numbers the items of a list (p1, p2), for others to refer to.
FILLERS = ("schema", "now", "today", "uuid", "area", "place", "authority", "product", "item")
#: What a portal may know of a person who is logged in. ``street`` is without the number, ``birth-date`` ISO 8601,
#: ``name`` the whole one.
FACTS = (
    "given-name",
    "family-name",
    "birth-name",
    "title",
    "birth-date",
    "birth-place",
    "street",
    "house-number",
    "postal-code",
    "town",
    "country",
    "email",
    "phone",
    "name",
)
#: Ways in which a value is asked. Without one the kind decides.
WIDGETS = ("text", "textarea", "email", "tel", "code", "select", "radio", "checkbox", "file", "date", "number")
_AUTOCOMPLETE = re.compile(r"[a-z]+(?:-[a-z0-9]+)*")
_ID = re.compile(r"[a-z][a-z0-9-]{0,39}")
_LANGUAGES = ("de", "en", "easy")


@dataclass(frozen=True, slots=True)
class EasyText(Text):
    """A text with its form in *Leichte Sprache*."""

    easy: str = ""


def said(text: Text, language: str) -> str:
    """Return a text in a language (``de``, ``en``, ``easy``); German where it has no easy form."""
    if language == "easy":
        return text.easy if isinstance(text, EasyText) else text.de
    return text.en if language == "en" else text.de


@dataclass(frozen=True, kw_only=True, slots=True)
class FormStep:
    """One page of a form: what it asks, as the tree of its fields in the form's order."""

    id: str
    title: Text
    hint: Text | None = None
    when: FormCondition | None = None
    root: Field = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachmentQuestion:
    """A place at which a file is asked for; what stands there is its name."""

    at: str
    required: bool = False
    label: Text | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Questionnaire:
    """The questions of a schema: as a form file puts them, or as they come.

    ``whole`` holds what is asked or filled, in the order of documents; ``known`` all that the schema has, in the form's words.
    """

    title: Text
    intro: Text | None = None
    steps: tuple[FormStep, ...]
    whole: Field = field(repr=False)
    known: Field = field(repr=False)
    is_xml: bool
    attachments: tuple[AttachmentQuestion, ...] = ()
    #: Whether somebody wrote a form file, and in both languages.
    written: bool = False
    translated: bool = True

    def step(self, name: str) -> FormStep:
        """Return the step of an id; KeyError where there is none."""
        for step in self.steps:
            if step.id == name:
                return step
        raise KeyError(name)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Asked:
    """What a form file says of one place."""

    at: str
    where: str
    label: Text | None = None
    hint: Text | None = None
    item: Text | None = None
    widget: str = ""
    kind: str = ""
    autocomplete: str = ""
    items_of: str = ""
    login: str = ""
    locked: bool = False
    when: FormCondition | None = None
    called: bool = False
    choices: Mapping[str, Text] = field(default_factory=dict)
    errors: Mapping[str, Text] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class _StepWish:
    id: str
    title: Text
    hint: Text | None
    when: FormCondition | None
    fields: tuple[_Asked, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FormFile:
    """A form file as it was read, before it meets its schema."""

    name: str
    title: Text
    intro: Text | None
    root: str | None
    steps: tuple[_StepWish, ...] = field(repr=False)
    #: Place -> a filler, or ``=value``.
    filled: Mapping[str, str] = field(repr=False)
    attachments: tuple[AttachmentQuestion, ...]
    #: Place -> what is filled in there, in words for who reads the document.
    labels: Mapping[str, Text] = field(repr=False, default_factory=dict)
    #: Whether its English is English; imported files have none.
    translated: bool = True

    def asked(self) -> Iterator[_Asked]:
        """Yield what is said of each place, in the order of the pages."""
        for step in self.steps:
            yield from step.fields


class _Reading:
    """Takes plain values apart, and refuses with the place in the file and the reason."""

    def __init__(self, name: str) -> None:
        self.name = name

    def refuse(self, where: str, german: str, english: str) -> ConfigurationError:
        return ConfigurationError(
            Text(f"{self.name}: {where}: {german}", f"{self.name}: {where}: {english}"), file=self.name, place=where
        )

    def mapping(self, document: Any, where: str, *, needs: Iterable[str], may: Iterable[str] = ()) -> Mapping[str, Any]:
        if not isinstance(document, Mapping):
            raise self.refuse(where, "Hier muss eine Zuordnung stehen.", "a mapping must stand here")
        allowed = {*needs, *may}
        if unknown := sorted(str(key) for key in document if key not in allowed):
            names = ", ".join(unknown)
            raise self.refuse(where, f"Unbekannt: {names}.", f"unknown: {names}")
        if missing := [key for key in needs if key not in document]:
            names = ", ".join(missing)
            raise self.refuse(where, f"Es fehlt: {names}.", f"missing: {names}")
        return document

    def items(self, document: Any, where: str) -> list[Any]:
        if not isinstance(document, list):
            raise self.refuse(where, "Hier muss eine Liste stehen.", "a list must stand here")
        return document

    def text(self, document: Any, where: str) -> Text:
        found = self.mapping(document, where, needs=("de", "en"), may=("easy",))
        for language, each in found.items():
            if not isinstance(each, str) or not each.strip():
                raise self.refuse(f"{where}/{language}", "Hier muss ein Text stehen.", "a text must stand here")
        plain = {language: found.get(language, "").strip() for language in _LANGUAGES}
        return EasyText(plain["de"], plain["en"], plain["easy"]) if plain["easy"] else Text(plain["de"], plain["en"])

    def boolean(self, document: Mapping[str, Any], key: str, where: str = "", *, default: bool = False) -> bool:
        found = document.get(key, default)
        if not isinstance(found, bool):
            raise self.refuse(f"{where}/{key}", "Hier steht true oder false.", "true or false must stand here")
        return found

    def maybe(self, document: Mapping[str, Any], key: str, where: str) -> Text | None:
        return self.text(document[key], f"{where}/{key}") if key in document else None

    def texts(self, document: Mapping[str, Any], key: str, where: str) -> dict[str, Text]:
        found = document.get(key, {})
        if not isinstance(found, Mapping):
            raise self.refuse(f"{where}/{key}", "Hier muss eine Zuordnung stehen.", "a mapping must stand here")
        return {_plain(name): self.text(each, f"{where}/{key}/{name}") for name, each in found.items()}

    def condition(self, document: Mapping[str, Any], where: str) -> FormCondition | None:
        if "when" not in document:
            return None
        try:
            return condition_from(document["when"])
        except (TypeError, ValueError) as error:
            raise self.refuse(f"{where}/when", f"Das ist keine Bedingung: {error}", str(error)) from error

    def word(self, document: Mapping[str, Any], key: str, where: str, form: re.Pattern[str] | tuple[str, ...]) -> str:
        value = document.get(key, "")
        if value == "" and key not in document:
            return ""
        fits = isinstance(value, str) and (value in form if isinstance(form, tuple) else form.fullmatch(value))
        if not fits:
            shown = ", ".join(form) if isinstance(form, tuple) else form.pattern
            raise self.refuse(f"{where}/{key}", f"Erlaubt ist: {shown}.", f"allowed is: {shown}")
        return str(value)


def read_form_file(content: bytes, name: str) -> FormFile:
    """Read a form file; ``name`` is said in refusals.

    Raises:
        ConfigurationError: It is too large, no strict YAML, or a key is unknown, missing or wrong; ``place`` says where.
    """
    reading = _Reading(name)
    if len(content) > _LARGEST:
        raise reading.refuse("/", "Die Datei ist zu groß.", "the file is too large")
    try:
        document = load_yaml(content)
    except yaml.YAMLError as error:
        raise reading.refuse("/", f"Das ist kein YAML: {error}", f"this is not YAML: {error}") from error
    top = reading.mapping(
        document, "/", needs=("format", "title", "steps"), may=("intro", "root", "filled", "attachments", "translated")
    )
    if top["format"] != FORMAT or isinstance(top["format"], bool):
        raise reading.refuse("/format", f"Bekannt ist nur das Format {FORMAT}.", f"format {FORMAT} alone is known")
    steps = [
        _step(reading, each, f"/steps/{number}") for number, each in enumerate(reading.items(top["steps"], "/steps"))
    ]
    if not steps or len({step.id for step in steps}) != len(steps):
        raise reading.refuse(
            "/steps", "Schritte fehlen, oder zwei heißen gleich.", "there are no steps, or two have one id"
        )
    filled = list(_filled(reading, top.get("filled", [])))
    made = FormFile(
        name=name,
        title=reading.text(top["title"], "/title"),
        intro=reading.maybe(top, "intro", ""),
        root=top.get("root"),
        steps=tuple(steps),
        filled={at: way for at, way, _ in filled},
        attachments=tuple(_attachments(reading, top.get("attachments", []))),
        labels={at: label for at, _, label in filled if label is not None},
        translated=reading.boolean(top, "translated", default=True),
    )
    _require_once(reading, made)
    return made


def _step(reading: _Reading, document: Any, where: str) -> _StepWish:
    found = reading.mapping(document, where, needs=("id", "title", "fields"), may=("hint", "when"))
    fields = reading.items(found["fields"], f"{where}/fields")
    return _StepWish(
        id=reading.word(found, "id", where, _ID),
        title=reading.text(found["title"], f"{where}/title"),
        hint=reading.maybe(found, "hint", where),
        when=reading.condition(found, where),
        fields=tuple(_asked(reading, each, f"{where}/fields/{number}") for number, each in enumerate(fields)),
    )


def _asked(reading: _Reading, document: Any, where: str) -> _Asked:
    found = reading.mapping(
        document,
        where,
        needs=("at",),
        may=(
            *("label", "hint", "item", "widget", "kind", "autocomplete", "items_of", "login", "locked", "when"),
            *("choices", "errors"),
        ),
    )
    at = _place(reading, found, where)
    own = at.startswith(OWN)
    if own != ("kind" in found) or (own and "label" not in found):
        raise reading.refuse(
            where,
            "Eigene Fragen (?name) haben kind und label, andere kein kind.",
            "questions of the form (?name) have kind and label, others have no kind",
        )
    return _Asked(
        at=at,
        where=where,
        label=reading.maybe(found, "label", where),
        hint=reading.maybe(found, "hint", where),
        item=reading.maybe(found, "item", where),
        widget=reading.word(found, "widget", where, WIDGETS),
        kind=reading.word(found, "kind", where, ("boolean", "choice")),
        autocomplete=reading.word(found, "autocomplete", where, _AUTOCOMPLETE),
        items_of=str(found.get("items_of", "")),
        login=reading.word(found, "login", where, FACTS),
        locked=reading.boolean(found, "locked", where),
        when=reading.condition(found, where),
        called="when" in found,
        choices=reading.texts(found, "choices", where),
        errors=reading.texts(found, "errors", where),
    )


def _place(reading: _Reading, document: Mapping[str, Any], where: str) -> str:
    at = document["at"]
    if not isinstance(at, str) or not re.fullmatch(r"(?:/[^/\s]+)+|\?[a-z][a-zA-Z0-9]*", at):
        raise reading.refuse(f"{where}/at", "Das ist kein Ort (/name/name).", "this is no place (/name/name)")
    return at


def _filled(reading: _Reading, document: Any) -> Iterator[tuple[str, str, Text | None]]:
    for number, each in enumerate(reading.items(document, "/filled")):
        where = f"/filled/{number}"
        found = reading.mapping(each, where, needs=("at", "with"), may=("label",))
        at, way = _place(reading, found, where), found["with"]
        if isinstance(way, Mapping):
            way = f"={reading.mapping(way, f'{where}/with', needs=('value',))['value']}"
        else:
            way = reading.word(found, "with", where, FILLERS)
        yield at, way, reading.maybe(found, "label", where)


def _attachments(reading: _Reading, document: Any) -> Iterator[AttachmentQuestion]:
    for number, each in enumerate(reading.items(document, "/attachments")):
        where = f"/attachments/{number}"
        found = reading.mapping(each, where, needs=("at", "required"), may=("label",))
        required = reading.boolean(found, "required", where)
        yield AttachmentQuestion(
            at=_place(reading, found, where), required=required, label=reading.maybe(found, "label", where)
        )


def _require_once(reading: _Reading, made: FormFile) -> None:
    seen: set[str] = set()
    for each in made.asked():
        if each.at in seen or each.at in made.filled:
            raise reading.refuse(
                f"{each.where}/at",
                f"{each.at} wird schon gefragt oder ausgefüllt.",
                f"{each.at} is asked or filled already",
            )
        seen.add(each.at)


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def questionnaire(outline: FormOutline, form: FormFile | None = None) -> Questionnaire:
    """Return the questionnaire of an outline, as a form file puts it.

    Raises:
        ConfigurationError: The form file names a place, a value or a list that the schema does not have, or asks a place in a
            way that does not fit its kind; ``place`` says where in the file.
    """
    if form is None:
        return _unwritten(outline)
    places = dict(outline.walk())
    reading = _Reading(form.name)
    _require_places(reading, form, places)
    wishes = {each.at: _closed_with(each, step.when) for step in form.steps for each in step.fields}
    # A group that is named alone brings all that it has.
    bare = {at for at in wishes if not any(other.startswith(f"{at}/") for other in (*wishes, *form.filled))}
    own = tuple(_own_question(each) for each in wishes.values() if each.at.startswith(OWN))
    known = _worded(outline.root, "", wishes, form)
    whole = _pruned(known, "", {*wishes, *form.filled}, bare)
    steps = []
    for step in form.steps:
        order = {each.at: number for number, each in enumerate(step.fields)}
        listed = {at for at in order if not at.startswith(OWN)}
        members = [*_pruned(known, "", listed, bare).members, *(one for one in own if one.name in order)]
        root = replace(_ordered(replace(known, members=tuple(members)), "", order), required=True)
        steps.append(FormStep(id=step.id, title=step.title, hint=step.hint, when=step.when, root=root))
    return Questionnaire(
        title=form.title,
        intro=form.intro,
        steps=tuple(steps),
        whole=replace(whole, members=(*whole.members, *own), required=True),
        known=known,
        is_xml=outline.is_xml,
        attachments=form.attachments,
        written=True,
        translated=form.translated,
    )


def _closed_with(each: _Asked, when: FormCondition | None) -> _Asked:
    """Return a question that is closed where its step is, so that what was answered there before is not sent."""
    if when is None:
        return each
    both = when if each.when is None else FormCondition(operator=Operator.ALL, parts=(when, each.when))
    return replace(each, when=both)


def _require_places(reading: _Reading, form: FormFile, places: Mapping[str, Field]) -> None:
    for each in form.asked():
        found = places.get(each.at)
        if found is None and not each.at.startswith(OWN):
            raise _unknown(reading, f"{each.where}/at", each.at)
        _require_words(reading, each, found)
        if each.items_of and (each.items_of not in places or places[each.items_of].kind is not FieldKind.LIST):
            raise _unknown(reading, f"{each.where}/items_of", each.items_of)
        _require_condition(reading, each.when, f"{each.where}/when", form, places)
    for number, step in enumerate(form.steps):
        _require_condition(reading, step.when, f"/steps/{number}/when", form, places)
    for at in form.filled:
        if at not in places or not places[at].is_leaf:
            raise _unknown(reading, "/filled", at)
    for question in form.attachments:
        if question.at not in places or not places[question.at].is_leaf:
            raise _unknown(reading, "/attachments", question.at)


def _require_words(reading: _Reading, each: _Asked, found: Field | None) -> None:
    if found is None:
        return
    known = {_plain(choice.value) for choice in found.choices} | (
        {"true", "false"} if found.kind is FieldKind.BOOLEAN else set()
    )
    known |= {str(number) for fork in found.variants for number in range(len(fork.labels))}
    if wrong := sorted(set(each.choices) - known):
        names = ", ".join(wrong)
        raise reading.refuse(
            f"{each.where}/choices",
            f"{each.at} hat diese Werte nicht: {names}.",
            f"{each.at} has no such value: {names}",
        )
    if each.item is not None and found.kind is not FieldKind.LIST:
        raise reading.refuse(f"{each.where}/item", f"{each.at} ist keine Liste.", f"{each.at} is no list")
    if (each.widget or each.autocomplete or each.login) and not found.is_leaf:
        raise reading.refuse(f"{each.where}/widget", f"{each.at} ist kein Wert.", f"{each.at} is no value")
    _require_lockable(reading, each, found)


def _require_lockable(reading: _Reading, each: _Asked, found: Field) -> None:
    """Require of what is locked that a login fills it, that it is written, and that nothing can be put in its place."""
    if not each.locked:
        return
    in_list = ITEM in tokens_of(each.at)
    if not each.login or in_list or found.kind not in (FieldKind.TEXT, FieldKind.DATE):
        raise reading.refuse(
            f"{each.where}/locked",
            "Gesperrt werden nur Texte und Tage außerhalb von Listen, die login ausfüllt.",
            "only texts and days outside lists that login fills in are locked",
        )


def _require_condition(
    reading: _Reading, condition: FormCondition | None, where: str, form: FormFile, places: Mapping[str, Field]
) -> None:
    asked = {each.at for each in form.asked()}
    for steps in condition.places() if condition else ():
        at = steps[0] if steps[0].startswith(OWN) else "".join(f"/{escaped(step)}" for step in steps)
        if at not in (asked if at.startswith(OWN) else places):
            raise _unknown(reading, where, at)


def _unknown(reading: _Reading, where: str, at: str) -> ConfigurationError:
    return reading.refuse(where, f"Das Schema hat den Ort {at} nicht.", f"the schema has no place {at}")


def _own_question(each: _Asked) -> Field:
    choices = tuple(Choice(value=value, label=label) for value, label in each.choices.items())
    return Field(
        name=each.at,
        kind=FieldKind.BOOLEAN if each.kind == "boolean" else FieldKind.CHOICE,
        title=each.label or from_name(each.at),
        hint=each.hint,
        required=True,
        choices=choices,
        when=each.when,
        widget=each.widget,
        errors=dict(each.errors),
    )


def _worded(above: Field, place: str, wishes: Mapping[str, _Asked], form: FormFile) -> Field:
    """Return a field and all below it in the words of a form file."""
    members = tuple(_worded(each, f"{place}/{escaped(each.name)}", wishes, form) for each in above.members)
    title = form.labels.get(place, above.title)
    found = replace(above, members=members, title=title, filled=form.filled.get(place, ""))
    wish = wishes.get(place)
    if wish is None:
        return found
    if found.kind is FieldKind.LIST and found.members[0].is_leaf and wish.label is not None:
        item = replace(
            found.members[0],
            title=wish.item or wish.label,
            # What the schema says of an item is in one language, as everywhere where the form has words.
            hint=found.members[0].hint if f"{place}/{ITEM}" in wishes else None,
            errors=dict(wish.errors),
        )
        found = replace(found, members=(item,))
    forks = tuple(
        replace(fork, labels=tuple(wish.choices.get(str(n), label) for n, label in enumerate(fork.labels)))
        for fork in found.variants
    )
    return replace(
        found,
        title=wish.label or found.title,
        hint=wish.hint if wish.label is not None else wish.hint or found.hint,
        widget=wish.widget or found.widget,
        when=wish.when,
        called=wish.called,
        errors=dict(wish.errors),
        autocomplete=wish.autocomplete,
        login=wish.login,
        locked=wish.locked,
        items_of=wish.items_of,
        item_title=wish.item,
        variants=forks,
        choices=tuple(replace(one, label=wish.choices.get(_plain(one.value), one.label)) for one in found.choices),
    )


def _pruned(above: Field, place: str, listed: set[str], bare: set[str]) -> Field:
    """Return a field with those members alone that are listed, lie above what is, or within a group that is listed bare."""
    kept = []
    for each in above.members:
        at = f"{place}/{escaped(each.name)}"
        if at in listed and at in bare:
            kept.append(each)
        elif at in listed or any(other.startswith(f"{at}/") for other in listed):
            kept.append(_pruned(each, at, listed, bare))
        elif each.kind is FieldKind.FIXED and each.required and (each.name.startswith(ATTRIBUTE) or each.within):
            kept.append(each)
    return replace(above, members=tuple(kept))


def _ordered(above: Field, place: str, order: Mapping[str, int]) -> Field:
    """Return a field whose members stand in the order in which a form file names them, or something below them, first."""

    def rank(member: Field) -> int:
        at = member.name if member.name.startswith(OWN) else f"{place}/{escaped(member.name)}"
        below = [number for name, number in order.items() if name == at or name.startswith(f"{at}/")]
        return min(below, default=len(order))

    members = [_ordered(each, f"{place}/{escaped(each.name)}", order) for each in above.members]
    return replace(above, members=tuple(sorted(members, key=rank)))


def _unwritten(outline: FormOutline) -> Questionnaire:
    """Return a questionnaire without a form file: a step for each group, and one for all values at the top."""
    root = outline.root
    steps, loose = [], []
    for number, member in enumerate(root.members):
        if member.is_leaf:
            loose.append(member)
            continue
        alone = replace(root, members=(member,), required=True, variants=root.variants)
        steps.append(FormStep(id=f"step-{number + 1}", title=member.title, hint=member.hint, root=alone))
    if loose:
        title = Text("Angaben", "Details")
        top = replace(root, members=tuple(loose), required=True)
        steps.append(FormStep(id="details", title=title, root=top))
    filled = _with_fillers(root)
    return Questionnaire(
        title=root.title, intro=root.hint, steps=tuple(steps), whole=filled, known=filled, is_xml=outline.is_xml
    )


def _with_fillers(root: Field) -> Field:
    members = [replace(one, filled="schema") if one.name == "$schema" else one for one in root.members]
    return replace(root, members=tuple(members), required=True)


def place_of(tokens: Iterable[Any]) -> str:
    """Return the place of an instance's path: numbers are items."""
    return "".join(f"/{ITEM if isinstance(token, int) else escaped(token)}" for token in tokens)


def field_at(root: Field, at: str) -> Field | None:
    """Return the first field of an instance's path (``/hunde/0/name``), None where there is none."""
    current = root
    for token in tokens_of(at):
        name = ITEM if current.kind is FieldKind.LIST else token
        found = next((member for member in current.members if member.name == name), None)
        if found is None:
            return None
        current = found
    return current
