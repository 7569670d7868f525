"""What is known of a person who is logged in, put where a form file says so; the person's own answers are not replaced.

What a form locks stands there whatever a browser sends. Within lists the first item is the person's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.forms.answers import taken
from hub.forms.form_file import FACTS, FormStep, Questionnaire
from hub.forms.outline import ITEM, Field, FieldKind, escaped, is_given, tokens_of

__all__ = ["FACTS", "KnownAnswer", "known_answers", "with_known", "with_locked", "without_known"]


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownAnswer:
    """What stands at a place of a step; ``value`` as answers have it, ``locked`` if the form file locks it."""

    step: str
    at: str
    value: Any = field(repr=False)
    locked: bool


def known_answers(form: Questionnaire, facts: Mapping[str, str]) -> tuple[KnownAnswer, ...]:
    """Return what of some facts (:data:`FACTS`) a form asks for, in its order. What cannot stand at its place is left out."""
    found = []
    for step in form.steps:
        for at, one in _asking(step.root, ""):
            text = facts.get(one.login, "")
            answers = taken(step, {}, [(at, text)], is_xml=form.is_xml) if text else {}
            value = value_at(answers, at)
            if is_given(value) and (
                one.kind is not FieldKind.CHOICE or any(value == each.value for each in one.choices)
            ):
                found.append(KnownAnswer(step=step.id, at=at, value=value, locked=one.locked))
    return tuple(found)


def with_known(form: Questionnaire, answers: Mapping[str, Any], known: tuple[KnownAnswer, ...]) -> dict[str, Any]:
    """Return answers with what is known wherever nothing was said, and wherever it is locked."""
    changed = dict(answers)
    for each in known:
        if each.locked or not is_given(value_at(changed, each.at)):
            changed = _put(form.step(each.step), changed, each, is_xml=form.is_xml)
    return changed


def with_locked(form: Questionnaire, answers: Mapping[str, Any], known: tuple[KnownAnswer, ...]) -> dict[str, Any]:
    """Return answers with what is locked as it has to be, whatever was sent in its place."""
    return with_known(form, answers, tuple(each for each in known if each.locked))


def without_known(form: Questionnaire, answers: Mapping[str, Any], known: tuple[KnownAnswer, ...]) -> dict[str, Any]:
    """Return answers without what is known, as far as the person left it as it was."""
    changed = dict(answers)
    for each in known:
        if value_at(changed, each.at) == each.value:
            empty = KnownAnswer(step=each.step, at=each.at, value="", locked=False)
            changed = _put(form.step(each.step), changed, empty, is_xml=form.is_xml)
    return changed


def value_at(answers: Any, at: str) -> Any:
    """Return what stands at a place (``/hunde/0/name``) of answers, None where nothing does."""
    value = answers
    for token in tokens_of(at):
        if isinstance(value, list):
            value = value[int(token)] if token.isdecimal() and int(token) < len(value) else None
        else:
            value = value.get(token) if isinstance(value, Mapping) else None
    return value


def _put(step: FormStep, answers: Mapping[str, Any], known: KnownAnswer, *, is_xml: bool) -> dict[str, Any]:
    return taken(step, answers, [*_ticked(step.root, answers, ""), (known.at, str(known.value))], is_xml=is_xml)


def _ticked(above: Field, value: Any, at: str) -> Iterator[tuple[str, str]]:
    """Yield the boxes of a step that are ticked: ``taken`` empties those that are not sent."""
    if above.kind is FieldKind.LIST:
        for number, item in enumerate(value if isinstance(value, list) else ()):
            yield from _ticked(above.members[0], item, f"{at}/{number}")
    elif isinstance(value, Mapping):
        for member in above.members:
            place, stands = f"{at}/{escaped(member.name)}", value.get(member.name)
            if member.kind is FieldKind.BOOLEAN and member.value is True and stands is True:
                yield place, "true"
            elif not member.is_leaf:
                yield from _ticked(member, stands, place)


def _asking(above: Field, at: str) -> Iterator[tuple[str, Field]]:
    """Yield the places of a step that a login fills, the first item for a list."""
    for member in above.members:
        place = f"{at}/{escaped(member.name)}" if member.name != ITEM else f"{at}/0"
        if member.login:
            yield place, member
        elif member.kind is FieldKind.LIST:
            yield from _asking(member.members[0], f"{place}/0")
        elif not member.is_leaf:
            yield from _asking(member, place)
