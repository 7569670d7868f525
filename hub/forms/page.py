"""One page of a form: which fields of a step are shown for some answers, what stands in them and what is wrong; its HTML.

The HTML is that of KERN's forms, without a script: each field has its label, hint and error tied to it (WCAG 1.3.1, 3.3.1),
names are places (``/hunde/0/name``), and lists have buttons ``add`` and ``remove`` whose values are places. It is put together
from strings, each value escaped once, for a page may have thousands of fields.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from html import escape
from typing import Any, NamedTuple

from markupsafe import Markup

from hub.errors import Text
from hub.forms.form_file import FormStep, said
from hub.forms.outline import OWN, Choice, Field, FieldKind, Variants, escaped, is_given
from hub.forms.values import shown_value

#: Choices up to which they are shown as radio buttons.
_RADIOS = 6
_LONG_TEXT = 250
#: What forms say and what their places are called, as HTML: the same for everybody. What people say is in no memory.
_fixed = lru_cache(maxsize=16_384)(escape)
#: Fields in which nothing stands, drawn: by field, place, whether it is required, and language.
_UNANSWERED: dict[tuple[int, str, bool, str], tuple[Field, str]] = {}
_MOST_UNANSWERED = 16_384
#: The questions of forks, by fork.
_QUESTIONS: dict[int, tuple[Variants, Field]] = {}
#: What browsers offer where a file is asked for, and the button that takes a file away; its value is the place.
ACCEPTED, DETACH = ".pdf,.jpg,.jpeg,.png", "detach"


_PROBLEM = {"en": "There is a problem", "easy": "Hier stimmt etwas noch nicht"}
_OPTIONAL = {"en": "optional", "easy": "müssen Sie nicht"}
_FROM_LOG_IN = {
    "en": "From your log-in; to be changed there alone.",
    "easy": "Das kommt von Ihrer Anmeldung. Hier können Sie es nicht ändern.",
}


class PageItem(NamedTuple):
    """A field as it stands on a page, at its place in the answers; ``items`` are a group's members or a list's items."""

    field: Field
    at: str
    value: Any
    required: bool
    error: Text | None
    items: tuple[PageItem, ...] = ()
    #: Shown, and not to be changed here.
    locked: bool = False


class FormPage(NamedTuple):
    """What a step shows for some answers."""

    step: FormStep
    items: tuple[PageItem, ...]
    #: Place and words of what is wrong, in the order of the page.
    errors: tuple[tuple[str, Text], ...]


def page_of(
    step: FormStep,
    answers: Mapping[str, Any],
    errors: Mapping[str, Text] | None = None,
    locked: Collection[str] = (),
) -> FormPage:
    """Return the page of a step; ``errors`` are the faults of these answers by place, others' places are passed over.

    ``locked``: places whose values are shown alone.
    """
    drawn = _Shown(answers, errors or {}, locked)
    items = tuple(drawn.members(step.root, answers, "", (), needed=True))
    return FormPage(step, items, tuple(drawn.found))


class _Shown:
    def __init__(self, answers: Mapping[str, Any], errors: Mapping[str, Text], locked: Collection[str]) -> None:
        self._answers = answers
        self._errors = errors
        self._locked = locked
        self.found: list[tuple[str, Text]] = []

    def members(
        self, group: Field, value: Any, at: str, indices: tuple[int, ...], *, needed: bool
    ) -> Iterator[PageItem]:
        given: Mapping[str, Any] = value if isinstance(value, Mapping) else {}
        if group.variants:
            yield from self._forks(group, given, at, needed=needed)
        for member, required in group.open_members(given):
            if member.kind is FieldKind.FIXED or member.filled:
                continue
            if member.when is not None and not member.when.holds(self._answers, indices):
                continue
            # A group that a form brings up under a condition is asked for there, whether the schema could do without it or not.
            called = member.called and member.kind is FieldKind.GROUP
            place = f"{at}/{escaped(member.name)}"
            yield self._item(member, given.get(member.name), place, indices, required=(required or called) and needed)

    def _forks(self, group: Field, given: Mapping[str, Any], at: str, *, needed: bool) -> Iterator[PageItem]:
        forks = [fork for fork in group.variants if fork.decided_by is None]
        asked = {key for member in group.members for key, _ in member.within}
        chosen = group.open_variants(given) if forks else {}
        for fork in forks:
            if fork.key in asked and all(chosen.get(key) == number for key, number in fork.within):
                yield self._fork(fork, given, at, needed=needed)

    def _fork(self, fork: Variants, given: Mapping[str, Any], at: str, *, needed: bool) -> PageItem:
        place = f"{at}/{fork.key}"
        return PageItem(_question_of(fork), place, fork.chosen(given), fork.required and needed, self._error(place))

    def _item(self, field: Field, value: Any, at: str, indices: tuple[int, ...], *, required: bool) -> PageItem:
        error = self._error(at)
        if field.kind is FieldKind.GROUP:
            inner = self.members(field, value, at, indices, needed=required or is_given(value))
            return PageItem(field, at, value, required, error, tuple(inner))
        if field.kind is FieldKind.LIST:
            items = value if isinstance(value, list) else []
            count = max(len(items), field.least, 1) if required else len(items)
            inner = (
                self._item(
                    field.members[0],
                    items[number] if number < len(items) else None,
                    f"{at}/{number}",
                    (*indices, number),
                    required=number < max(field.least, 1) or number < len(items),
                )
                for number in range(count)
            )
            return PageItem(field, at, value, required, error, tuple(inner))
        if field.items_of:
            return PageItem(_with_items(field, self._answers), at, value, required, error)
        return PageItem(field, at, value, required, error, locked=at in self._locked)

    def _error(self, at: str) -> Text | None:
        error = self._errors.get(at)
        if error is not None:
            self.found.append((at, error))
        return error


def _question_of(fork: Variants) -> Field:
    """Return what asks which variant applies: for each fork one, however often its page is drawn."""
    kept = _QUESTIONS.get(id(fork))
    # A number that names an object names another one when that has gone.
    if kept is not None and kept[0] is fork:
        return kept[1]
    choices = tuple(Choice(value=number, label=label) for number, label in enumerate(fork.labels))
    title = Text("Was trifft zu?", "Which applies?")
    made = Field(name=fork.key, kind=FieldKind.CHOICE, title=title, choices=choices, widget="radio")
    if len(_QUESTIONS) >= _MOST_UNANSWERED:
        _QUESTIONS.clear()
    _QUESTIONS[id(fork)] = fork, made
    return made


def _with_items(field: Field, answers: Mapping[str, Any]) -> Field:
    """Return a field whose choices are the items of a list, named by their first texts."""
    value: Any = answers
    for token in field.items_of.split("/")[1:]:
        value = value.get(token) if isinstance(value, Mapping) else None
    items = value if isinstance(value, list) else []
    choices = []
    for number, item in enumerate(items, start=1):
        words = " ".join(_first_texts(item))
        label = f"{number}. {words}".strip()
        choices.append(Choice(value=f"p{number}", label=Text(label, label)))
    return replace(field, kind=FieldKind.CHOICE, choices=tuple(choices))


def _first_texts(item: Any) -> list[str]:
    if isinstance(item, Mapping):
        for each in (value for name, value in item.items() if not name.startswith((OWN, "@"))):
            if isinstance(each, str):
                return [value for value in item.values() if isinstance(value, str) and value][:2]
            if found := _first_texts(each):
                return found
    return []


def draw(page: FormPage, language: str) -> Markup:
    """Return the HTML of a page's fields (``language``: de, en, easy), to stand within a form of the portal's own."""
    out: list[str] = []
    if page.errors:
        _summary(page, language, out)
    for item in page.items:
        _draw(item, language, out, 2)
    return Markup("".join(out))  # noqa: S704  # Every value in it was escaped when it was put there.


def _summary(page: FormPage, language: str, out: list[str]) -> None:
    title = _PROBLEM.get(language, "Bitte prüfen Sie Ihre Angaben")
    out.append(
        '<div class="kern-alert kern-alert--danger" role="alert" tabindex="-1" id="errors">'
        f'<h2 class="kern-title">{title}</h2><ul>'
    )
    for at, text in page.errors:
        out.append(f'<li><a href="#f{escape(at)}">{escape(said(text, language))}</a></li>')
    out.append("</ul></div>")


def _draw(item: PageItem, language: str, out: list[str], level: int) -> None:
    field = item.field
    if field.kind is FieldKind.GROUP:
        if field.widget == "code":
            for inner in item.items:
                _draw(inner._replace(required=item.required and inner.required), language, out, level)
            return
        _open_group(item, said(field.title, language), language, out)
        for inner in item.items:
            _draw(inner, language, out, level + 1)
        out.append("</div></fieldset>")
    elif field.kind is FieldKind.LIST:
        _draw_list(item, language, out, level)
    elif item.value is None and item.error is None and not item.locked and not field.items_of:
        out.append(_unanswered(item, language))
    else:
        _draw_leaf(item, language, out)


def _unanswered(item: PageItem, language: str) -> str:
    """Return a field in which nothing stands: it looks the same to everybody, and is put together once."""
    key = id(item.field), item.at, item.required, language
    kept = _UNANSWERED.get(key)
    # A number that names an object names another one when that has gone.
    if kept is not None and kept[0] is item.field:
        return kept[1]
    out: list[str] = []
    _draw_leaf(item, language, out)
    if len(_UNANSWERED) >= _MOST_UNANSWERED:
        _UNANSWERED.clear()
    _UNANSWERED[key] = item.field, "".join(out)
    return out[0]


def _open_group(item: PageItem, title: str, language: str, out: list[str]) -> None:
    at = _fixed(item.at)
    out.append(
        f'<fieldset class="kern-fieldset" id="f{at}"{_described(item)}><legend class="kern-label">{escape(title)}'
        f"{_optional(item, language)}</legend>{_hint(item, language)}{_error(item, language)}"
        '<div class="kern-fieldset__body">'
    )


def _draw_list(item: PageItem, language: str, out: list[str], level: int) -> None:
    field = item.field
    _open_group(item, said(field.title, language), language, out)
    name = said(field.item_title or field.members[0].title, language)
    if field.item_title is None and field.members[0].kind is FieldKind.GROUP:
        name = said(field.title, language)
    for number, inner in enumerate(item.items, start=1):
        one = f"{name} {number}"
        if inner.field.kind is FieldKind.GROUP:
            _open_group(inner._replace(required=True), one, language, out)
            for below in inner.items:
                _draw(below, language, out, level + 2)
            out.append("</div></fieldset>")
        else:
            _draw_leaf(inner._replace(required=True), language, out, label=one)
        if len(item.items) > field.least:
            _draw_remove(inner.at, one, language, out)
    if field.most is None or len(item.items) < field.most:
        _draw_add(item.at, name, language, out)
    out.append("</div></fieldset>")


def _draw_remove(at: str, one: str, language: str, out: list[str]) -> None:
    english = language == "en"
    word = "Remove" if english else "entfernen"
    label = f"{word} {one}" if english else f"{one} {word}"
    out.append(
        f'<button class="kern-btn kern-btn--tertiary" name="remove" value="{_fixed(at)}" formnovalidate>'
        f'<span class="kern-label">{_fixed(label)}</span></button>'
    )


def _draw_add(at: str, name: str, language: str, out: list[str]) -> None:
    english = language == "en"
    label = f"Add {name}" if english else f"{name} hinzufügen"
    out.append(
        f'<button class="kern-btn kern-btn--secondary" name="add" value="{_fixed(at)}" formnovalidate>'
        f'<span class="kern-label">{_fixed(label)}</span></button>'
    )


def _optional(item: PageItem, language: str) -> str:
    if item.required:
        return ""
    return f' <span class="kern-label__optional">({_OPTIONAL.get(language, "freiwillig")})</span>'


def _hint(item: PageItem, language: str) -> str:
    hint = item.field.hint
    return (
        "" if hint is None else f'<div class="kern-hint" id="h{_fixed(item.at)}">{_fixed(said(hint, language))}</div>'
    )


def _locked(item: PageItem, language: str) -> str:
    """Say why a value cannot be changed here, and where it can."""
    if not item.locked:
        return ""
    words = _FROM_LOG_IN.get(language, "Aus Ihrer Anmeldung; zu ändern ist es nur dort.")
    return f'<p class="kern-hint" id="l{_fixed(item.at)}">{words}</p>'


def _error(item: PageItem, language: str) -> str:
    if item.error is None:
        return ""
    return (
        f'<p class="kern-error" id="e{_fixed(item.at)}" role="alert"><span class="kern-body">'
        f"{escape(said(item.error, language))}</span></p>"
    )


def _described(item: PageItem) -> str:
    if item.error is None and item.field.hint is None and not item.locked:
        return ""
    at = _fixed(item.at)
    notes = (("h", item.field.hint is not None), ("l", item.locked), ("e", item.error is not None))
    names = [f"{kind}{at}" for kind, is_there in notes if is_there]
    return f' aria-describedby="{" ".join(names)}"'


def _draw_leaf(item: PageItem, language: str, out: list[str], label: str | None = None) -> None:
    field = item.field
    title = _fixed(label or said(field.title, language))
    if field.kind is FieldKind.BOOLEAN and field.value is True:
        out.append(_checkbox(item, title, language))
    elif field.kind is FieldKind.BOOLEAN:
        yes, no = (Text("Ja", "Yes"), Text("Nein", "No"))
        out.append(_radios(item, title, (Choice(value=True, label=yes), Choice(value=False, label=no)), language))
    elif field.kind is FieldKind.CHOICE and field.widget != "select" and len(field.choices) <= _RADIOS:
        out.append(_radios(item, title, field.choices, language))
    else:
        out.append(_labelled(item, title, language))


def _labelled(item: PageItem, title: str, language: str) -> str:
    at = _fixed(item.at)
    wrong = " kern-form-input--error" if item.error is not None else ""
    if item.locked:
        wrong += " kern-form-input--readonly"
    return (
        f'<div class="kern-form-input{wrong}"><label class="kern-label" for="f{at}">{title}{_optional(item, language)}</label>'
        f"{_hint(item, language)}{_locked(item, language)}{_control(item, at, language)}{_error(item, language)}</div>"
    )


def _control(item: PageItem, at: str, language: str) -> str:
    field = item.field
    more = _attributes(item)
    if field.widget == "file":
        return _file(item, at, more, language)
    value = escape("" if item.value is None else shown_value(field, item.value, language))
    if field.kind is FieldKind.CHOICE:
        none = "Please choose" if language == "en" else "Bitte wählen"
        options = "".join(
            f'<option value="{escape(str(one.value))}"{" selected" if one.value == item.value else ""}>'
            f"{_label(field, one, language)}</option>"
            for one in field.choices
        )
        return (
            '<div class="kern-form-input__select-wrapper">'
            f'<select class="kern-form-input__select" id="f{at}" name="{at}"{more}>'
            f'<option value="">{none}</option>{options}</select></div>'
        )
    if field.widget == "textarea" or (not field.widget and _is_long(field)):
        return f'<textarea class="kern-form-input__input" id="f{at}" name="{at}" rows="6"{more}>\n{value}</textarea>'
    return f'<input class="kern-form-input__input" id="f{at}" name="{at}" type="{_input_type(field)}" value="{value}"{more}>'


def _file(item: PageItem, at: str, more: str, language: str) -> str:
    """Ask for a file; one that was given is named, and can be taken away or replaced."""
    control = f'<input class="kern-form-input__input" id="f{at}" name="{at}" type="file" accept="{ACCEPTED}"{more}>'
    if not is_given(item.value):
        return control
    name = escape(str(item.value))
    given, word = ("Given", "Remove") if language == "en" else ("Liegt bei", "entfernen")
    label = f"{word} {name}" if language == "en" else f"{name} {word}"
    return (
        f'<p class="kern-body given-file">{given}: <bdi>{name}</bdi></p>{control}'
        f'<button class="kern-btn kern-btn--tertiary" name="{DETACH}" value="{at}" formnovalidate>'
        f'<span class="kern-label">{label}</span></button>'
    )


def _label(field: Field, one: Choice, language: str) -> str:
    # The items of a list are called by what somebody wrote there.
    return (escape if field.items_of else _fixed)(said(one.label, language))


def _is_long(field: Field) -> bool:
    most = field.limits.get("maxLength", 0)
    return field.kind is FieldKind.TEXT and int(most) > _LONG_TEXT and field.limits.get("format") != "email"


def _input_type(field: Field) -> str:
    if field.widget in ("email", "tel"):
        return field.widget
    return "email" if field.limits.get("format") == "email" else "text"


def _attributes(item: PageItem) -> str:
    field = item.field
    more = _described(item)
    if item.locked:
        more += " readonly"
    if item.required and not (field.widget == "file" and is_given(item.value)):
        more += " required"
    if item.error is not None:
        more += ' aria-invalid="true"'
    if field.autocomplete:
        more += f' autocomplete="{_fixed(field.autocomplete)}"'
    if field.kind is FieldKind.TEXT and "maxLength" in field.limits:
        more += f' maxlength="{int(field.limits["maxLength"])}"'
    elif field.kind in (FieldKind.INTEGER, FieldKind.NUMBER):
        more += ' inputmode="decimal"' if field.kind is FieldKind.NUMBER else ' inputmode="numeric"'
    return more


def _checkbox(item: PageItem, title: str, language: str) -> str:
    at = _fixed(item.at)
    checked = " checked" if item.value is True else ""
    return (
        f'<div class="kern-form-check"><input class="kern-form-check__checkbox" id="f{at}" name="{at}" type="checkbox" '
        f'value="true"{checked}{_attributes(item)}><label class="kern-label" for="f{at}">{title}{_optional(item, language)}'
        f"</label>{_hint(item, language)}{_error(item, language)}</div>"
    )


def _radios(item: PageItem, title: str, choices: Sequence[Choice], language: str) -> str:
    at = _fixed(item.at)
    options = []
    for number, one in enumerate(choices):
        # The first one has the field's own id, so that an error's link leads to it.
        own = f"f{at}" if number == 0 else f"f{at}-{number}"
        value = str(one.value).lower() if isinstance(one.value, bool) else one.value
        checked = " checked" if one.value == item.value and type(one.value) is type(item.value) else ""
        options.append(
            f'<div class="kern-form-check"><input class="kern-form-check__radio" id="{own}" name="{at}" type="radio" '
            f'value="{escape(str(value))}"{checked}{" required" if item.required else ""}>'
            f'<label class="kern-label" for="{own}">'
            f"{_label(item.field, one, language)}</label></div>"
        )
    return (
        f'<fieldset class="kern-fieldset"{_described(item)}>'
        f'<legend class="kern-label">{title}{_optional(item, language)}</legend>'
        f"{_hint(item, language)}{_error(item, language)}"
        f'<div class="kern-fieldset__body">{"".join(options)}</div></fieldset>'
    )
