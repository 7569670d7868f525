"""Conditions of a form file: what must have been answered elsewhere, in a closed set of words and without code.

``{at: /hunde/*/gefaehrlich, is: true}`` · ``is_not`` · ``in: [a, b]`` · ``given: true`` · ``at_least: 2`` (a number, a date, or
how many items a list has) · ``at_most`` · ``all: […]`` · ``any: […]`` · ``not: {…}``. ``*`` stands for the item in which the
question itself stands; where that has none, for any of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Operator(StrEnum):
    """The words of conditions."""

    IS = "is"
    IS_NOT = "is_not"
    IN = "in"
    GIVEN = "given"
    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    ALL = "all"
    ANY = "any"
    NOT = "not"


_JOINING = (Operator.ALL, Operator.ANY, Operator.NOT)


@dataclass(frozen=True, kw_only=True, slots=True)
class FormCondition:
    """One condition: a comparison at a place (``steps``), or a joining of ``parts``."""

    operator: Operator
    steps: tuple[str, ...] = ()
    operand: Any = None
    parts: tuple[FormCondition, ...] = ()

    def holds(self, answers: Any, indices: tuple[int, ...] = ()) -> bool:
        """Whether it holds; ``indices`` are the items, from the outermost, in which the question stands."""
        if self.operator is Operator.ALL:
            return all(part.holds(answers, indices) for part in self.parts)
        if self.operator is Operator.ANY:
            return any(part.holds(answers, indices) for part in self.parts)
        if self.operator is Operator.NOT:
            return not self.parts[0].holds(answers, indices)
        found = list(_reached(answers, self.steps, indices))
        return any(_compared(self.operator, value, self.operand) for value in found or [None])

    def places(self) -> Iterator[tuple[str, ...]]:
        """Yield every place that it looks at."""
        if self.steps:
            yield self.steps
        for part in self.parts:
            yield from part.places()


def condition_from(document: Any) -> FormCondition:
    """Read a condition from plain values.

    Raises:
        ValueError, TypeError: It is none; the message says why.
    """
    if not isinstance(document, Mapping) or not document:
        raise TypeError("a condition is a mapping, as {at: /place, is: value}")
    words = set(map(str, document)) - {"at"}
    if len(words) != 1 or (word := words.pop()) not in list(Operator):
        raise ValueError(f"a condition has exactly one of {', '.join(Operator)}, and at")
    operator = Operator(word)
    operand = document[word]
    if operator in _JOINING:
        if "at" in document:
            raise ValueError(f"{word} joins conditions and has no place of its own")
        parts = [operand] if operator is Operator.NOT else operand
        if not isinstance(parts, list) or not parts:
            raise TypeError(f"{word} takes {'a condition' if operator is Operator.NOT else 'a list of conditions'}")
        return FormCondition(operator=operator, parts=tuple(condition_from(part) for part in parts))
    return FormCondition(operator=operator, steps=_steps(document.get("at")), operand=_operand(operator, operand))


def _steps(at: Any) -> tuple[str, ...]:
    if not isinstance(at, str) or not at.startswith(("/", "?")):
        raise TypeError("at is a place as /name/name, or a question of the form as ?name")
    tokens = at.split("/")[1:] if at.startswith("/") else [at]
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in tokens)


def _operand(operator: Operator, operand: Any) -> Any:
    if operator is Operator.GIVEN and not isinstance(operand, bool):
        raise TypeError("given is true or false")
    if operator is Operator.IN and not (isinstance(operand, list) and operand):
        raise TypeError("in takes a list of values")
    if operator in (Operator.IS, Operator.IS_NOT, Operator.AT_LEAST, Operator.AT_MOST) and isinstance(
        operand, list | dict | None
    ):
        raise TypeError(f"{operator} takes one value")
    return tuple(operand) if operator is Operator.IN else operand


def _reached(value: Any, steps: tuple[str, ...], indices: tuple[int, ...]) -> Iterator[Any]:
    if not steps:
        yield value
    elif steps[0] == "*":
        items = value if isinstance(value, list) else []
        if indices:
            items = items[indices[0] : indices[0] + 1]
        for item in items:
            yield from _reached(item, steps[1:], indices[1:])
    elif isinstance(value, Mapping) and steps[0] in value:
        yield from _reached(value[steps[0]], steps[1:], indices)


def _compared(operator: Operator, value: Any, operand: Any) -> bool:
    if operator is Operator.GIVEN:
        return (value not in (None, "", [], {})) is operand
    if operator is Operator.IS:
        return _same(value, operand)
    if operator is Operator.IS_NOT:
        return not _same(value, operand)
    if operator is Operator.IN:
        return any(_same(value, each) for each in operand)
    return _measured(value, operand, least=operator is Operator.AT_LEAST)


def _same(value: Any, operand: Any) -> bool:
    # ``true`` is no 1, and XML knows texts alone.
    if isinstance(value, bool) or isinstance(operand, bool):
        return value is operand or value == str(operand).lower()
    return bool(value == operand) or (isinstance(value, str) and value == str(operand))


def _measured(value: Any, operand: Any, *, least: bool) -> bool:
    if isinstance(value, list):
        value = len(value)
    try:
        if isinstance(operand, int | float) and not isinstance(operand, bool):
            value = float(value)
        else:
            value, operand = str(value or ""), str(operand)
            if not value:
                return False
    except (TypeError, ValueError):
        return False
    return bool(value >= operand) if least else bool(value <= operand)
