"""Answers: what a browser sends for one step, taken into what was answered before.

Names are places. One that the step does not have is refused, whoever sent it: nothing gets into a document but by a question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub.errors import Malformed, TooLarge
from hub.forms.form_file import EasyText, FormStep
from hub.forms.outline import ITEM, Field, FieldKind, tokens_of
from hub.forms.values import typed

#: Values of one step, characters of one value, items of one list.
MOST_VALUES, LONGEST_VALUE, MOST_ITEMS = 20_000, 100_000, 1_000
ADD, REMOVE = "add", "remove"


def taken(
    step: FormStep, answers: Mapping[str, Any], submitted: Iterable[tuple[str, str]], *, is_xml: bool
) -> dict[str, Any]:
    """Return the answers with what was submitted for a step; ``add`` and ``remove`` change a list.

    A box that is shown and not submitted was left empty.

    Raises:
        Malformed: A name is none of the step's.
        TooLarge: There are too many values, or one is too long.
    """
    pairs = list(submitted)
    if len(pairs) > MOST_VALUES or any(len(value) > LONGEST_VALUE for _, value in pairs):
        raise TooLarge(_TOO_MUCH)
    changed: dict[str, Any] = _copied(answers)
    _untick(step.root, changed)
    for name, value in pairs:
        if name not in (ADD, REMOVE):
            _put(changed, _steps_of(name, step.root), value, is_xml=is_xml)
    for name, value in pairs:
        if name in (ADD, REMOVE):
            _change_list(changed, step.root, value, add=name == ADD)
    return changed


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


def _untick(field: Field, value: Any) -> None:
    """Empty the boxes that must be ticked, wherever there is something: browsers send those alone that are."""
    if field.kind is FieldKind.LIST:
        for item in value if isinstance(value, list) else ():
            _untick(field.members[0], item)
        return
    if not isinstance(value, dict):
        return
    for member in field.members:
        if member.kind is FieldKind.BOOLEAN and member.value is True:
            value.pop(member.name, None)
        elif not member.is_leaf:
            _untick(member, value.get(member.name))


def _steps_of(name: str, root: Field) -> list[tuple[Field | None, str | int]]:
    """Return the way to a place: each step's field and its key; the last field is a leaf, or None for a fork."""
    way: list[tuple[Field | None, str | int]] = []
    current = root
    tokens = tokens_of(name) if name.startswith("/") else []
    for number, token in enumerate(tokens):
        if current.kind is FieldKind.LIST:
            item = _item(token)
            if item is None or item >= min(current.most or MOST_ITEMS, MOST_ITEMS):
                raise Malformed(_UNKNOWN)
            way.append((current.members[0], item))
            current = current.members[0]
            continue
        is_fork = any(fork.key == token and fork.decided_by is None for fork in current.variants)
        if is_fork and number == len(tokens) - 1:
            return [*way, (None, token)]
        found = [member for member in current.members if member.name == token and token != ITEM]
        if not found:
            raise Malformed(_UNKNOWN)
        current = found[0]
        way.append((current, token))
    if not way or not current.is_leaf or current.kind is FieldKind.FIXED or current.filled:
        raise Malformed(_UNKNOWN)
    return way


def _item(token: str) -> int | None:
    """Return the number of a list's item; None of what is none, or of more digits than any has."""
    return int(token) if token.isascii() and token.isdecimal() and len(token) <= len(str(MOST_ITEMS)) else None


def _put(answers: dict[str, Any], way: list[tuple[Field | None, str | int]], text: str, *, is_xml: bool) -> None:
    value: Any
    last, key = way[-1]
    if last is None:
        value = int(text) if text.isascii() and text.isdecimal() and len(text) < 4 else None  # noqa: PLR2004  # Digits.
    else:
        value = typed(last, text, is_xml=is_xml)
    at: Any = answers
    for field, step in way[:-1]:
        at = _below(at, step, empty=[] if field is not None and field.kind is FieldKind.LIST else {})
    if isinstance(key, int):
        _lengthened(at, key)[key] = value
    elif value is None:
        at.pop(key, None)
    else:
        at[key] = value


def _below(at: Any, step: str | int, *, empty: Any) -> Any:
    """Return what stands at a step, and put an empty container there where nothing fitting does."""
    if isinstance(step, int):
        _lengthened(at, step)
        if not isinstance(at[step], type(empty)):
            at[step] = empty
        return at[step]
    if not isinstance(at.get(step), type(empty)):
        at[step] = empty
    return at[step]


def _lengthened(items: list[Any], number: int) -> list[Any]:
    while len(items) <= number:
        items.append(None)
    return items


def _change_list(answers: dict[str, Any], root: Field, at: str, *, add: bool) -> None:
    tokens = tokens_of(at) if at.startswith("/") else []
    current = root
    value: Any = answers
    parent: Any = None
    for number, token in enumerate(tokens):
        if current.kind is FieldKind.LIST:
            item = _item(token)
            if item is None or item >= MOST_ITEMS:
                raise Malformed(_UNKNOWN)
            if not add and number == len(tokens) - 1:
                if item < len(value):
                    del value[item]
                return
            value = _below(value, item, empty={})
            current = current.members[0]
            continue
        found = next((member for member in current.members if member.name == token), None)
        if found is None:
            raise Malformed(_UNKNOWN)
        current = found
        parent, value = value, _below(value, token, empty=[] if found.kind is FieldKind.LIST else {})
    if not add or current.kind is not FieldKind.LIST or parent is None:
        raise Malformed(_UNKNOWN)
    shown = max(len(value), current.least, 1 if current.required else 0)
    if shown < min(current.most or MOST_ITEMS, MOST_ITEMS):
        _lengthened(value, shown)


_UNKNOWN = EasyText(
    "Diese Seite des Formulars hat das gesendete Feld nicht. Laden Sie die Seite neu und senden Sie sie noch einmal ab.",
    "This page of the form does not have the field that was sent. Load the page again, and send it once more.",
    easy="Etwas passt nicht zu dieser Seite. Laden Sie die Seite neu. Senden Sie sie noch einmal.",
)
_TOO_MUCH = EasyText(
    f"Die Seite nimmt höchstens {MOST_VALUES} Angaben mit je {LONGEST_VALUE} Zeichen. Kürzen Sie die Angaben.",
    f"The page takes at most {MOST_VALUES} values of {LONGEST_VALUE} characters each. Shorten them.",
    easy="Das ist zu viel Text. Schreiben Sie weniger.",
)
