"""What is wrong with some answers, each fault at the field that a person can change.

First what the form knows by itself: what is missing where it is shown and required, and control characters. Then what the judge
says of the document (the hub's own engines), its places led back to fields. A form file's words for a fault come first, then
words for people, then the rule's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from hub.errors import Text
from hub.forms.document import FormDocument, document_of
from hub.forms.form_file import EasyText, FormStep, Questionnaire, said
from hub.forms.outline import OWN, Field, FieldKind, escaped, is_given, tokens_of
from hub.forms.page import FormPage, PageItem, page_of
from hub.forms.samples import completed
from hub.validation.editions import SchemaEntry
from hub.validation.json.documents import JsonSchema, read_json
from hub.validation.report import Limits, Violation
from hub.validation.xml.documents import read_xml
from hub.validation.xml.patterns import Offence

#: Judges a document, and returns the rules that it breaks.
Judging = Callable[[bytes], Sequence[Violation]]
_STEP = re.compile(r"/(@?)(?:[^:/\[\]]+:)?([^:/\[\]]+)(?:\[(\d+)\])?")
_MISSING = (
    "xml.element-missing",
    "xml.element-unexpected",
    "xml.attribute-missing",
    "json.required",
    "json.dependentRequired",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldFault:
    """One fault: the place in the answers (``/hunde/0/chipnummer``), the rule, and words for people."""

    at: str
    rule: str
    text: Text


def judging(entry: SchemaEntry, limits: Limits | None = None) -> Judging:
    """Return what judges documents by a schema of the catalogue: the engine by which the hub judges them, too."""
    bounds = limits or Limits()
    judge = entry.judge

    def violations(content: bytes) -> Sequence[Violation]:
        if isinstance(judge, JsonSchema):
            return judge.check(read_json(content, bounds), content, bounds)[0]
        return judge.check(read_xml(content, bounds), bounds).violations

    return violations


def faults_of(
    form: Questionnaire, answers: Mapping[str, Any], fillings: Mapping[str, str], judge: Judging
) -> tuple[FieldFault, ...]:
    """Return every fault of some answers, each place once, in the order of the form.

    Raises:
        ConfigurationError: The form asks for a filling that is not there.
    """
    pages = [page_of(step, answers) for step in form.steps if step.when is None or step.when.holds(answers)]
    shown = {item.at: item for page in pages for item in _all(page.items)}
    found = {fault.at: fault for fault in _own(shown)}
    judged = answers
    if form.is_xml and found:
        # libxml2 judges nothing behind a gap: what is still missing is stood in for, so that the rest is judged.
        judged = completed(form, Random(0), answers, optional=0)  # noqa: S311  # Samples, and the same ones each time.
    document = document_of(form, judged, fillings)
    for violation in judge(document.content):
        item = _item_of(violation, form, document, shown)
        if item is None:
            # Nothing that is shown can mend it; it is said at the top, and not kept quiet.
            found.setdefault("", FieldFault(at="", rule=violation.rule, text=violation.text))
        elif not any(at == item.at or at.startswith(f"{item.at}/") for at in found):
            found[item.at] = FieldFault(at=item.at, rule=violation.rule, text=_words(item, violation))
    order = {at: number for number, at in enumerate(shown)}
    return tuple(sorted(found.values(), key=lambda fault: order.get(fault.at, -1)))


def judged_page(
    form: Questionnaire, step: FormStep, answers: Mapping[str, Any], fillings: Mapping[str, str], judge: Judging
) -> FormPage:
    """Return the page of a step with the faults of its own fields; those of other steps are not told here."""
    return page_of(step, answers, {fault.at: fault.text for fault in faults_of(form, answers, fillings, judge)})


def _all(items: Sequence[PageItem]) -> Iterator[PageItem]:
    for item in items:
        yield item
        yield from _all(item.items)


def _own(shown: Mapping[str, PageItem]) -> Iterator[FieldFault]:
    for at, item in shown.items():
        field = item.field
        empty = not is_given(item.value) and (field.is_leaf or not item.items)
        unconfirmed = field.value is True and item.value is not True
        if item.required and (empty or unconfirmed):
            yield FieldFault(at=at, rule="required", text=field.errors.get("required") or _required(field))
        elif isinstance(item.value, str) and (control := _control(item.value)) is not None:
            yield FieldFault(at=at, rule=control.rule, text=control.text)


def _required(field: Field) -> Text:
    de, en, easy = (said(field.title, language) for language in ("de", "en", "easy"))
    if field.value is True:
        return EasyText(
            f"Bitte bestätigen Sie: „{de}“.", f"Please confirm: “{en}”.", easy=f"Klicken Sie hier an: „{easy}“."
        )
    if field.kind in (FieldKind.CHOICE, FieldKind.BOOLEAN):
        return EasyText(
            f"Bitte wählen Sie aus: „{de}“.", f"Please choose: “{en}”.", easy=f"Wählen Sie etwas aus: „{easy}“."
        )
    return EasyText(
        f"Bitte füllen Sie dieses Feld aus: „{de}“.",
        f"Please fill in this field: “{en}”.",
        easy=f"Hier fehlt noch etwas: „{easy}“.",
    )


def _control(text: str) -> Offence | None:
    for position, character in enumerate(text, start=1):
        if unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t":
            return Offence(code_point=ord(character), position=position, decomposed=False)
    return None


def _item_of(
    violation: Violation, form: Questionnaire, document: FormDocument, shown: Mapping[str, PageItem]
) -> PageItem | None:
    """Return the field of a violation: the one at its place, or that which is missing there, or else the nearest above."""
    xml = violation.path_kind == "xpath"
    at = _from_xpath(violation.path, form, document) if xml else _from_pointer(violation.path, form, document)
    if violation.rule in _MISSING and violation.expected:
        sign = "@" if violation.rule == "xml.attribute-missing" else ""
        for expected in violation.expected.split(", "):
            name = sign + (expected.rpartition(":")[2] if xml else expected)
            item = _shown_at(f"{at}/{escaped(name)}", shown)
            if item is not None:
                return item
    while True:
        item = _shown_at(at, shown)
        if item is not None or not at:
            return item
        at = at.rpartition("/")[0]


def _shown_at(at: str, shown: Mapping[str, PageItem]) -> PageItem | None:
    """Return the field at a place; of a group its first that lacks something, and of a code the one question."""
    item = shown.get(at)
    if item is None:
        item = next((each for place, each in shown.items() if place.startswith(f"{at}/")), None) if at else None
    while item is not None and item.field.kind is FieldKind.GROUP and item.items:
        inner = next((each for each in item.items if each.required and not is_given(each.value)), None)
        if inner is None and item.field.widget != "code":
            return item
        item = inner or item.items[0]
    return item


def _from_pointer(path: str, form: Questionnaire, document: FormDocument) -> str:
    at = ""
    current: Field | None = form.whole
    for token in tokens_of(path):
        if current is not None and current.kind is FieldKind.LIST and token.isdecimal():
            at += f"/{_original(document, at, int(token))}"
            current = current.members[0]
            continue
        at += f"/{escaped(token)}"
        current = _member(current, token)
    return at


def _from_xpath(path: str, form: Questionnaire, document: FormDocument) -> str:
    at = ""
    current: Field | None = form.whole
    for number, (sign, name, position) in enumerate(_STEP.findall(path)):
        if number == 0:
            continue
        at += f"/{escaped(sign + name)}"
        current = _member(current, sign + name)
        if current is not None and current.kind is FieldKind.LIST:
            at += f"/{_original(document, at, int(position or 1) - 1)}"
            current = current.members[0]
    return at


def _member(current: Field | None, name: str) -> Field | None:
    if current is None or name.startswith(OWN):
        return None
    return next((member for member in current.members if member.name == name), None)


def _original(document: FormDocument, at: str, number: int) -> int:
    kept = document.items.get(at, ())
    return kept[number] if number < len(kept) else number


def _words(item: PageItem, violation: Violation) -> Text:
    field = item.field
    short = re.sub(r"^(?:json|xml)\.", "", violation.rule)
    for name in (violation.rule, short, _SAME.get(short, short)):
        if name in field.errors:
            return field.errors[name]
    if violation.rule in _MISSING:
        return field.errors.get("required") or _required(field)
    made = _WORDS.get(_SAME.get(short, short))
    if made is None or violation.rule.startswith("character."):
        return violation.text
    if callable(made):
        return made(field, violation.expected or "")
    return made


#: Rules that are one to people.
_SAME = {
    "min-length": "minLength",
    "max-length": "maxLength",
    "datatype": "type",
    "format": "type",
    "enumeration": "enum",
    "exclusiveMinimum": "minimum",
    "exclusiveMaximum": "maximum",
}


_TYPES: Mapping[FieldKind, Text] = {
    FieldKind.DATE: EasyText(
        "Bitte geben Sie ein Datum an, zum Beispiel 31.12.2026.",
        "Please give a date, for example 2026-12-31.",
        easy="Schreiben Sie ein Datum. Zum Beispiel: 31.12.2026.",
    ),
    FieldKind.DATE_TIME: EasyText(
        "Bitte geben Sie Tag und Uhrzeit an, zum Beispiel 31.12.2026 14:30.",
        "Please give day and time, for example 2026-12-31 14:30.",
        easy="Schreiben Sie Tag und Uhrzeit. Zum Beispiel: 31.12.2026 14:30.",
    ),
    FieldKind.INTEGER: EasyText(
        "Bitte geben Sie eine ganze Zahl an.", "Please give a whole number.", easy="Schreiben Sie hier eine Zahl."
    ),
    FieldKind.NUMBER: EasyText(
        "Bitte geben Sie eine Zahl an, zum Beispiel 12,5.",
        "Please give a number, for example 12.5.",
        easy="Schreiben Sie hier eine Zahl. Zum Beispiel: 12,5.",
    ),
}
_MAIL_ADDRESS = EasyText(
    "Bitte geben Sie eine E-Mail-Adresse an, zum Beispiel name@example.org.",
    "Please give an e-mail address, for example name@example.org.",
    easy="Schreiben Sie Ihre Mail-Adresse. Zum Beispiel: name@example.org.",
)
_OTHER_FORM = EasyText(
    "Die Angabe hat nicht die erwartete Form.",
    "What is given does not have the expected form.",
    easy="Das passt hier nicht.",
)


def _of_type(field: Field, _: str) -> Text:
    return _TYPES.get(field.kind) or (_MAIL_ADDRESS if field.limits.get("format") == "email" else _OTHER_FORM)


def _limit(german: str, english: str, easy: str) -> Callable[[Field, str], Text]:
    def filled(_: Field, expected: str) -> Text:
        de, en, simply = (each.format(expected or "…") for each in (german, english, easy))
        return EasyText(de, en, easy=simply)

    return filled


_WORDS: Mapping[str, Text | Callable[[Field, str], Text]] = {
    "type": _of_type,
    "pattern": EasyText(
        "Die Angabe hat nicht die erwartete Form. Bitte prüfen Sie sie.",
        "What is given does not have the expected form. Please check it.",
        easy="Das passt hier nicht. Schauen Sie noch einmal hin.",
    ),
    "enum": EasyText(
        "Bitte wählen Sie eine der angebotenen Möglichkeiten.",
        "Please choose one of the options.",
        easy="Wählen Sie etwas aus.",
    ),
    "const": EasyText(
        "Bitte bestätigen Sie diese Angabe.", "Please confirm this.", easy="Klicken Sie das Kästchen an."
    ),
    "minLength": _limit(
        "Bitte geben Sie mindestens {} Zeichen an.",
        "Please give at least {} characters.",
        "Schreiben Sie mehr. Mindestens {} Zeichen.",
    ),
    "maxLength": _limit(
        "Bitte geben Sie höchstens {} Zeichen an.",
        "Please give at most {} characters.",
        "Schreiben Sie weniger. Höchstens {} Zeichen.",
    ),
    "minimum": _limit(
        "Der Wert ist zu klein; die Grenze ist {}.",
        "The value is too small; the limit is {}.",
        "Die Zahl ist zu klein. Die Grenze ist {}.",
    ),
    "maximum": _limit(
        "Der Wert ist zu groß; die Grenze ist {}.",
        "The value is too large; the limit is {}.",
        "Die Zahl ist zu groß. Die Grenze ist {}.",
    ),
    "multipleOf": _limit(
        "Der Wert muss ein Vielfaches von {} sein.",
        "The value must be a multiple of {}.",
        "Die Zahl passt nicht. Es geht nur in Schritten von {}.",
    ),
    "digits": EasyText(
        "Die Zahl hat zu viele Stellen.", "The number has too many digits.", easy="Die Zahl ist zu lang."
    ),
    "minItems": _limit(
        "Bitte machen Sie mindestens {} Angaben.",
        "Please give at least {} entries.",
        "Hier fehlt etwas. Sie brauchen {}.",
    ),
    "maxItems": _limit(
        "Bitte machen Sie höchstens {} Angaben.", "Please give at most {} entries.", "Das ist zu viel. Es gehen {}."
    ),
    "minProperties": EasyText(
        "Bitte füllen Sie mindestens eines dieser Felder aus.",
        "Please fill in at least one of these fields.",
        easy="Füllen Sie eines von diesen Feldern aus.",
    ),
    "uniqueItems": EasyText(
        "Eine Angabe steht hier zweimal.", "One entry stands here twice.", easy="Das steht hier 2 Mal."
    ),
}
