"""Whether a form file can be used: against its schema, in both languages, and to the end.

1. It is read strictly, and names only places that the schema has (:mod:`hub.forms.form_file` refuses what does not fit).
2. Every required place that is reached is asked or filled.
3. Every question, and every choice of it, has words of the form's own: a schema's titles are in one language.
   One that says ``translated: false`` has German ones twice, which is a finding, and no fault.
4. Where files are asked for is declared in the schema's entry of the catalogue, and demanded where that demands it: what the
   form asks is what the hub judges by, whoever sends.
5. Every branch can be finished: for each value of a question on which something depends, and for the rest at random, permitted
   answers make documents that the hub's own judge takes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Any

from hub.errors import ConfigurationError, Text
from hub.forms.document import document_of
from hub.forms.faults import judging
from hub.forms.form_file import NAME, FormFile, Questionnaire, questionnaire, read_form_file
from hub.forms.json_outline import outline_of_json_schema
from hub.forms.outline import ITEM, OWN, Field, FieldKind, FormOutline, escaped, tokens_of
from hub.forms.samples import completed
from hub.forms.xml_outline import outline_of_xml_schema
from hub.model import MediaType
from hub.validation.editions import SchemaEntry
from hub.validation.json.documents import JsonSchema
from hub.validation.report import Violation

#: Answers at random, beside those for each branch, and branches that are tried.
_AT_RANDOM, _BRANCHES = 25, 200
_LISTED = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class FormFinding:
    """Something that is wrong with a form file: a place of its schema, and what to do. Not ``broken``: it can be used."""

    at: str
    text: Text
    broken: bool = True


def outline_of(entry: SchemaEntry, root: str | None = None) -> FormOutline:
    """Return the outline of a schema of the catalogue; ``root`` names one of several messages, else the first is meant.

    Raises:
        ConfigurationError: The schema is too large, cannot be read, or has no such message.
    """
    judge = entry.judge
    if isinstance(judge, JsonSchema):
        return outline_of_json_schema(judge.known().documents[""])
    return outline_of_xml_schema(judge.source, root or entry.item.roots[0])


def form_of(entry: SchemaEntry, root: str | None = None) -> Questionnaire:
    """Return the questionnaire of a schema, or of one of its messages: by ``form.yaml`` in its folder where there is one.

    Raises:
        ConfigurationError: The form file is unusable or does not fit, or the schema cannot be outlined.
    """
    path = entry.folder / NAME
    if not path.is_file():
        return questionnaire(outline_of(entry, root))
    form = read_form_file(path.read_bytes(), str(path))
    if not concerns(form, entry) or (root is not None and root != (form.root or entry.item.roots[0])):
        return questionnaire(outline_of(entry, root))
    return questionnaire(outline_of(entry, form.root), form)


def concerns(form: FormFile, entry: SchemaEntry) -> bool:
    """Whether a form file is for a schema of its version: that with the message it names, the first where it names none."""
    return form.root in entry.item.roots if form.root is not None else entry.item.file == entry.manifest.schemas[0].file


def check(entry: SchemaEntry, form: FormFile) -> tuple[FormFinding, ...]:
    """Return what is wrong with a form file that was read.

    Raises:
        ConfigurationError: It names what the schema does not have.
    """
    outline = outline_of(entry, form.root)
    made = questionnaire(outline, form)
    reached = [*_unreached(outline.root, made.whole, ""), *_undeclared(entry, form)]
    worded = {each.at for each in form.asked() if each.label is not None}
    words = [finding for step in made.steps for finding in _unworded(step.root, "", form, worded)]
    missing = [] if reached else list(islice(_unfinished(entry, made), _LISTED))
    return (*reached, *dict.fromkeys(words), *missing, *([] if form.translated else [_GERMAN_ALONE]))


_GERMAN_ALONE = FormFinding(
    at="/translated",
    text=Text(
        "Dieses Formular spricht auch im Englischen deutsch. Übersetzen Sie seine Texte, und nehmen Sie translated heraus.",
        "This form speaks German in English, too. Translate its texts, and take translated out.",
    ),
    broken=False,
)


def _unreached(outlined: Field, whole: Field, at: str) -> Iterator[FormFinding]:
    """Yield required places below a place that is asked, and that are neither asked nor filled themselves."""
    kept = {(member.name, member.within): member for member in whole.members}
    needed = {name for fork in outlined.variants for names in fork.needs for name in names}
    asked_variants = {each for member in whole.members for each in member.within}
    for member in outlined.members:
        place = f"{at}/{escaped(member.name)}"
        found = kept.get((member.name, member.within))
        if found is not None:
            if not member.is_leaf:
                yield from _unreached(member, found, place)
        elif member.kind is not FieldKind.FIXED or not member.required:
            offered = not member.within or all(each in asked_variants for each in member.within)
            if offered and (member.required or (member.name in needed and bool(member.within))):
                yield FormFinding(
                    at=place,
                    text=Text(
                        "Das Schema verlangt diese Angabe. Fragen Sie sie, oder lassen Sie sie ausfüllen (filled).",
                        "The schema demands this. Ask for it, or have it filled in (filled).",
                    ),
                )


def _undeclared(entry: SchemaEntry, form: FormFile) -> Iterator[FormFinding]:
    """Yield attachments that form and catalogue do not see alike."""
    is_xml = entry.ref.media_type is MediaType.XML
    declared = {_steps_of(place.steps, is_xml=is_xml): place for place in entry.item.attachments}
    asked_for = {_steps_of(tokens_of(each.at), below=True, is_xml=is_xml): each for each in form.attachments}
    for steps, question in asked_for.items():
        place = declared.get(steps)
        if place is None:
            yield _not_in_catalogue(question.at)
        elif place.required != question.required:
            yield _differs_on_required(question.at)
    asked = {_steps_of(tokens_of(each.at), below=True, is_xml=is_xml): each.at for each in form.asked()}
    for steps in declared:
        if steps in asked and steps not in asked_for:
            yield _asked_for_value_alone(asked[steps])


def _not_in_catalogue(at: str) -> FormFinding:
    return FormFinding(
        at=at,
        text=Text(
            "Das Formular fragt hier nach einer Anlage, der Katalog weiß davon nichts. Tragen Sie sie in "
            "catalog.yaml ein (attachments), sonst merkt niemand, wenn sie fehlt.",
            "The form asks for an attachment here that the catalogue does not know. Declare it in catalog.yaml "
            "(attachments), or nobody notices when it is missing.",
        ),
    )


def _differs_on_required(at: str) -> FormFinding:
    return FormFinding(
        at=at,
        text=Text(
            "Formular und Katalog sagen Verschiedenes dazu, ob diese Anlage Pflicht ist (required).",
            "Form and catalogue differ on whether this attachment is required.",
        ),
    )


def _asked_for_value_alone(at: str) -> FormFinding:
    return FormFinding(
        at=at,
        text=Text(
            "Hier wird nach dem Katalog eine Anlage genannt, das Formular fragt nur nach einem Wert. Tragen Sie den "
            "Ort auch unter attachments ein.",
            "By the catalogue an attachment is named here, but the form asks for a value alone. Name the place under "
            "attachments, too.",
        ),
    )


def _steps_of(steps: Sequence[str], *, is_xml: bool, below: bool = False) -> tuple[str, ...]:
    """Return a place as form and catalogue both write it: of XML without root, namespaces and items (``below``: a form's)."""
    if not is_xml:
        return tuple(steps)
    inner = steps if below else steps[1:]
    return tuple(re.sub(r"\{.*\}", "", step) for step in inner if step != ITEM)


def _unworded(group: Field, at: str, form: FormFile, worded: set[str]) -> Iterator[FormFinding]:
    choices = {each.at: set(each.choices) for each in form.asked()}
    for member in group.members:
        place = member.name if member.name.startswith(OWN) else f"{at}/{escaped(member.name)}"
        if member.filled or member.kind is FieldKind.FIXED:
            continue
        silent = member.widget == "code" and member.kind is FieldKind.GROUP
        item = member.name == "*"
        if place not in worded and not silent and not item:
            yield _without_label(place)
        said = {_spelled(choice.value) for choice in member.choices}
        missing = sorted(said - choices.get(place, set())) if member.kind is FieldKind.CHOICE else []
        if missing and not member.items_of:
            names = ", ".join(missing[:_LISTED])
            yield FormFinding(
                at=place,
                text=Text(
                    f"Diesen Werten fehlen Wörter (choices): {names}.", f"These values lack words (choices): {names}."
                ),
            )
        yield from _unworded(member, place, form, worded)


def _without_label(place: str) -> FormFinding:
    return FormFinding(
        at=place,
        text=Text("Es fehlt eine Beschriftung (label) in beiden Sprachen.", "A label in both languages is missing."),
    )


def _spelled(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unfinished(entry: SchemaEntry, form: Questionnaire) -> Iterator[FormFinding]:
    judge = judging(entry)
    fillings = sample_fillings(entry)
    tries: list[Mapping[str, Any]] = [*islice(_branches(form), _BRANCHES), *[{}] * _AT_RANDOM]
    named: set[tuple[str, str]] = set()
    for number, forced in enumerate(tries):
        random = Random(number)  # noqa: S311  # Samples, and the same ones each time.
        answers = completed(form, random, forced=forced, optional=(number % 3) / 2)
        for violation in judge(document_of(form, answers, fillings).content):
            if (violation.rule, violation.path) in named:
                continue
            named.add((violation.rule, violation.path))
            branch = ", ".join(f"{at} = {value}" for at, value in forced.items())
            yield _breaks_schema(branch, violation)


def _breaks_schema(branch: str, violation: Violation) -> FormFinding:
    return FormFinding(
        at=violation.path or "/",
        text=Text(
            f"Mit erlaubten Antworten{f' ({branch})' if branch else ''} entsteht ein Dokument, das das Schema verletzt "
            f"[{violation.rule}]. {violation.text.de}",
            f"Permitted answers{f' ({branch})' if branch else ''} make a document that breaks the schema "
            f"[{violation.rule}]. {violation.text.en}",
        ),
    )


def _branches(form: Questionnaire) -> Iterator[dict[str, Any]]:
    """Yield, for each question with a few possible values, each of them: whatever depends on it comes up once at least."""
    for step in form.steps:
        for at, field in _below(step.root, ""):
            if field.kind is FieldKind.BOOLEAN and field.value is None:
                yield from ({at: True}, {at: False})
            elif field.kind is FieldKind.CHOICE and not field.items_of:
                yield from ({at: choice.value} for choice in field.choices)
            for fork in field.variants if field.kind is FieldKind.GROUP else ():
                if fork.decided_by is None:
                    yield from ({f"{at}/{fork.key}": number} for number in range(len(fork.labels)))


def _below(above: Field, at: str) -> Iterator[tuple[str, Field]]:
    for member in above.members:
        place = f"{at}/{escaped(member.name)}"
        yield place, member
        yield from _below(member, place)


def sample_fillings(entry: SchemaEntry) -> dict[str, str]:
    """Return values for everything that a portal fills in, to try a form with."""
    return {
        "schema": entry.uri,
        "now": "2026-11-30T10:00:00+01:00",
        "today": "2026-11-30",
        "uuid": "3f6a1c52-7f0e-4c57-9f0b-2f4a7c1d9e01",
        "area": "06439002",
        "place": "Bad Schwalbach",
        "authority": "Untere Bauaufsichtsbehörde",
        "product": "Rathaus-Hub",
    }


def refusal_of(error: ConfigurationError) -> FormFinding:
    """Return the refusal of a form file as a finding."""
    return FormFinding(at=str(error.members.get("place", "/")), text=error.detail)
