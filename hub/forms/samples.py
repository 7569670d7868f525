"""Answers as somebody might give them: permitted values at random, for trying whether a form can be finished.

They also stand in for what is still missing while one page of an XML form is judged, whose judge stops at the first gap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import lru_cache
from random import Random
from typing import Any

from hub.forms.form_file import Questionnaire
from hub.forms.outline import Field, FieldKind, is_given, tokens_of
from hub.forms.page import PageItem, page_of
from hub.validation.xml.regex import PatternError, characters_of

#: How often pages are looked at again for what answers brought up, and tries at one text.
_PASSES, _TRIES = 40, 300
#: Repetitions of what a pattern lets repeat without an end.
_REPEATS = 6
_FIRST, _LAST = date(1950, 1, 1), date(2026, 6, 30)
_ALPHABET = "abcdefghijklmnopqrstuvwxyzäöüßABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜ"
#: Code points of what people write, by first and last.
_PLAIN = ((0x20, 0x7E), (0xA1, 0xAC), (0xAE, 0x17E))
_FORMATS = {
    "email": "erika.mustermann@example.org",
    "uri": "https://example.org/",
    "uuid": "3f6a1c52-7f0e-4c57-9f0b-2f4a7c1d9e01",
}


def completed(
    form: Questionnaire,
    random: Random,
    given: Mapping[str, Any] | None = None,
    *,
    optional: float = 0.5,
    forced: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return answers that fill every required field that comes up, and others with a probability.

    ``given`` answers stay; ``forced`` are values by place (``/hunde/*/gefaehrlich``), taken wherever it comes up.
    """
    answers: dict[str, Any] = _copied(given or {})
    filling = _Filling(random, optional, forced or {}, is_xml=form.is_xml)
    for _ in range(_PASSES):
        filling.changed = False
        for step in form.steps:
            if step.when is None or step.when.holds(answers):
                filling.fill(page_of(step, answers).items, answers)
        if not filling.changed:
            break
    return answers


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copied(each) for name, each in value.items()}
    return [_copied(each) for each in value] if isinstance(value, list) else value


class _Filling:
    def __init__(self, random: Random, optional: float, forced: Mapping[str, Any], *, is_xml: bool) -> None:
        self._random = random
        self._optional = optional
        self._forced = forced
        self._is_xml = is_xml
        self._decided: dict[str, bool] = {}
        self.changed = False

    def fill(self, items: Sequence[PageItem], answers: dict[str, Any]) -> None:
        for item in items:
            key = tokens_of(item.at)[-1]
            if item.field.kind is FieldKind.GROUP:
                below = answers.get(key)
                if not isinstance(below, dict):
                    below = answers[key] = {}
                self.fill(item.items, below)
                if item.required:
                    self._fill_some(item, below)
            elif item.field.kind is FieldKind.LIST:
                self._fill_list(item, key, answers)
            elif not is_given(item.value) and self._wants(item):
                answers[key] = self._value(item)
                self.changed = True

    def _fill_list(self, item: PageItem, key: str, answers: dict[str, Any]) -> None:
        items = answers.get(key)
        if not isinstance(items, list):
            items = answers[key] = []
        if len(items) < len(item.items) or (not items and self._wants(item)):
            items += [None] * max(len(item.items) - len(items), 1)
            self.changed = True
            return  # They come up at the next look.
        for number, inner in enumerate(item.items):
            if inner.field.is_leaf:
                if not is_given(items[number]):
                    items[number] = self._item(item.field, inner, items)
                    self.changed = True
                continue
            if not isinstance(items[number], dict):
                items[number] = {}
            self.fill(inner.items, items[number])
            self._fill_some(inner, items[number])

    def _fill_some(self, item: PageItem, below: dict[str, Any]) -> None:
        """Fill one field of a group that must not be empty."""
        if "minProperties" in item.field.limits and not is_given(below):
            self._fill_first(item.items, below)

    def _fill_first(self, items: Sequence[PageItem], answers: dict[str, Any]) -> None:
        """Fill the first field that there is, within whatever groups and lists."""
        found = next((inner for inner in items if inner.field.is_leaf), next(iter(items), None))
        if found is None:
            return
        key = tokens_of(found.at)[-1]
        self.changed = True
        if found.field.is_leaf:
            answers[key] = self._value(found)
        elif found.field.kind is FieldKind.GROUP:
            below = answers[key] = {}
            self._fill_first(found.items, below)
        elif not found.items:
            answers[key] = [None]  # It comes up at the next look.
        elif found.items[0].field.is_leaf:
            answers[key] = [self._value(found.items[0])]
        else:
            below = {}
            answers[key] = [below]
            self._fill_first(found.items[0].items, below)

    def _item(self, field: Field, inner: PageItem, items: list[Any]) -> Any:
        contained = field.limits.get("contains")
        if contained is not None and contained not in items:
            return contained
        for _ in range(_TRIES):
            value = self._value(inner)
            if value not in items:
                break
        return value

    def _wants(self, item: PageItem) -> bool:
        place = _general(item.at)
        if item.required or place in self._forced:
            return True
        if item.at not in self._decided:
            self._decided[item.at] = self._random.random() < self._optional
        return self._decided[item.at]

    def _value(self, item: PageItem) -> Any:
        place = _general(item.at)
        if place in self._forced:
            return self._forced[place]
        return sample(item.field, self._random, is_xml=self._is_xml)


def _general(at: str) -> str:
    return re.sub(r"/\d+(?=/|$)", "/*", at)


def sample(field: Field, random: Random, *, is_xml: bool) -> Any:
    """Return a permitted value of a field, as far as its limits tell what is permitted."""
    kind = field.kind
    if kind is FieldKind.BOOLEAN:
        return True if field.value is True else random.random() < 0.5  # noqa: PLR2004  # One of two.
    if kind is FieldKind.CHOICE:
        return random.choice(field.choices).value if field.choices else "x"
    if kind in (FieldKind.DATE, FieldKind.DATE_TIME, FieldKind.TIME):
        clock = f"{random.randint(8, 17):02}:{random.choice((0, 15, 30, 45)):02}:00"
        day = _day(field, random)
        return {FieldKind.DATE: day, FieldKind.TIME: clock}.get(kind, f"{day}T{clock}+01:00")
    if kind in (FieldKind.INTEGER, FieldKind.NUMBER):
        value = _number(field, random)
        return format(value, "f") if is_xml and isinstance(value, float) else str(value) if is_xml else value
    return _text(field, random, is_xml=is_xml)


def _day(field: Field, random: Random) -> str:
    first = max(_FIRST, _date(field.limits.get("minInclusive"), _FIRST))
    last = max(first, min(_LAST, _date(field.limits.get("maxInclusive"), _LAST)))
    return (first + timedelta(days=random.randint(0, (last - first).days))).isoformat()


def _date(value: Any, otherwise: date) -> date:
    try:
        return date.fromisoformat(str(value))
    except ValueError:
        return otherwise


def _number(field: Field, random: Random) -> Any:
    limits = field.limits
    step = limits.get("multipleOf")
    whole = field.kind is FieldKind.INTEGER
    least = _bound(
        limits, ("minimum", "minInclusive"), ("exclusiveMinimum", "minExclusive"), 1 if whole or not step else step
    )
    most = _bound(
        limits, ("maximum", "maxInclusive"), ("exclusiveMaximum", "maxExclusive"), -1 if whole or not step else -step
    )
    low = least if least is not None else 1.0 if most is None or most >= 1 else most - 100
    high = max(low, most if most is not None else low + 100)
    if step and not whole:
        times = random.randint(-int(-low // step), int(high // step))
        # 0.1 three times is not 0.3.
        return round(times * step, len(str(step).partition(".")[2]))
    if step:
        return int(-(-low // step) * step) + int(step) * random.randint(0, max(0, int((high - low) // step) - 1))
    if -(-low // 1) > high // 1:
        return (low + high) / 2  # No whole number lies between them.
    value = random.randint(int(-(-low // 1)), int(high // 1))
    return value if whole or random.random() < 0.5 else float(value)  # noqa: PLR2004  # As often.


def _bound(
    limits: Mapping[str, Any], inclusive: tuple[str, ...], exclusive: tuple[str, ...], inward: float
) -> float | None:
    for word in inclusive:
        if word in limits:
            return float(limits[word])
    for word in exclusive:
        if word in limits and not isinstance(limits[word], bool):
            return float(limits[word]) + inward
    return None


def _text(field: Field, random: Random, *, is_xml: bool) -> str:
    limits = field.limits
    if "format" in limits and limits["format"] in _FORMATS:
        return _FORMATS[limits["format"]]
    least = int(limits.get("length", limits.get("minLength", 0)))
    most = int(limits.get("length", limits.get("maxLength", max(least, 1) + 20)))
    patterns = limits.get("patterns", ())
    text = ""
    for _ in range(_TRIES):
        text = "".join(
            random.choice(_ALPHABET) for _ in range(random.randint(max(least, 1), max(least, 1, min(most, 24))))
        )
        if patterns:
            text = _of_pattern(patterns[0], random) or text
        if least <= len(text) <= most and all(_fits(each, text, is_xml=is_xml) for each in patterns):
            return text
    return text


def _fits(pattern: str, text: str, *, is_xml: bool) -> bool:
    compiled = _compiled(pattern)
    if compiled is None:
        return True
    return (compiled.fullmatch(text) if is_xml else compiled.search(text)) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str] | None:
    try:
        return re.compile(pattern)
    except re.error:
        return None


def _of_pattern(pattern: str, random: Random) -> str | None:
    read = _read(pattern)
    return None if read is None else _drawn(read, random)


@dataclass(frozen=True, slots=True)
class _Repeated:
    """A part of a pattern and how often it may stand: a set of characters as ranges, or alternatives of such parts."""

    least: int
    most: int | None
    ranges: tuple[tuple[int, int], ...] = ()
    alternatives: tuple[tuple[_Repeated, ...], ...] = ()


def _drawn(alternatives: tuple[tuple[_Repeated, ...], ...], random: Random) -> str:
    # What comes first is what is meant as a rule; the others are its exceptions.
    chosen = alternatives[0] if random.random() < 0.8 else random.choice(alternatives)  # noqa: PLR2004
    out: list[str] = []
    for part in chosen:
        for _ in range(random.randint(part.least, part.least + _REPEATS if part.most is None else part.most)):
            if part.alternatives:
                out.append(_drawn(part.alternatives, random))
            else:
                low, high = random.choice(part.ranges)
                out.append(chr(random.randint(low, high)))
    return "".join(out)


@lru_cache(maxsize=256)
def _read(pattern: str) -> tuple[tuple[_Repeated, ...], ...] | None:
    """Return the alternatives of a pattern; None of one that uses more than sets, groups and counts."""
    try:
        found, end = _alternatives(pattern, 0)
    except (PatternError, IndexError, ValueError):
        return None
    return found if end == len(pattern) else None


def _alternatives(pattern: str, at: int) -> tuple[tuple[tuple[_Repeated, ...], ...], int]:
    found: list[tuple[_Repeated, ...]] = []
    while True:
        parts: list[_Repeated] = []
        while at < len(pattern) and pattern[at] not in "|)":
            if pattern[at] in "^$":
                at += 1
                continue
            part, at = _atom(pattern, at)
            least, most, at = _quantifier(pattern, at)
            parts.append(replace(part, least=least, most=most))
        found.append(tuple(parts))
        if at >= len(pattern) or pattern[at] != "|":
            return tuple(found), at
        at += 1


def _atom(pattern: str, at: int) -> tuple[_Repeated, int]:
    if pattern[at] == "(":
        at += 1
        if pattern.startswith("?:", at):
            at += 2
        elif pattern.startswith("?", at):
            raise ValueError("look-around")
        inner, at = _alternatives(pattern, at)
        return _Repeated(1, 1, alternatives=inner), at + 1
    if pattern[at] not in "[\\.":
        return _Repeated(1, 1, ranges=((ord(pattern[at]), ord(pattern[at])),)), at + 1
    chars, at = characters_of(pattern, at)
    # Letters that people write, where the set has any.
    plain = [(max(low, first), min(high, last)) for low, high in chars for first, last in _PLAIN]
    ranges = tuple((low, high) for low, high in plain if low <= high)
    return _Repeated(1, 1, ranges=ranges or tuple(chars)), at


def _quantifier(pattern: str, at: int) -> tuple[int, int | None, int]:
    sign = pattern[at : at + 1]
    if sign in ("*", "+", "?") and sign:
        end = at + 1
        bounds: tuple[int, int | None] = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
    elif sign == "{":
        end = pattern.index("}", at) + 1
        least, comma, most = pattern[at + 1 : end - 1].partition(",")
        bounds = (int(least), int(most) if most else None if comma else int(least))
    else:
        return 1, 1, at
    if pattern[end : end + 1] == "?":
        end += 1
    return *bounds, end
