"""What a person is shown before sending: all that was answered, step by step, as plain rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from markupsafe import Markup

from hub.forms.form_file import FormStep, said
from hub.forms.outline import FieldKind, is_given
from hub.forms.page import PageItem, page_of
from hub.forms.readable import visible
from hub.forms.values import shown_value


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewBlock:
    """Questions with their answers, below a heading or none. All is HTML that was escaped."""

    heading: Markup | None
    rows: tuple[tuple[Markup, Markup], ...] = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ReviewSection:
    """What one step holds. ``step`` is its id, by which it is changed."""

    step: str
    title: Markup
    blocks: tuple[ReviewBlock, ...]


def sections_of(steps: Sequence[FormStep], answers: Mapping[str, Any], language: str) -> list[ReviewSection]:
    """Return what some answers are, in the order of the pages (``language``: de, en, easy); steps without answers too."""
    return [
        ReviewSection(
            step=step.id,
            title=_shown(said(step.title, language)),
            blocks=tuple(_blocks(list(_rows(page_of(step, answers).items, language)))),
        )
        for step in steps
    ]


class _Row(NamedTuple):
    label: Markup
    #: None for the heading of what follows.
    value: Markup | None = None


def _blocks(rows: Sequence[_Row]) -> Iterator[ReviewBlock]:
    heading: Markup | None = None
    pairs: list[tuple[Markup, Markup]] = []
    for row in rows:
        if row.value is not None:
            pairs.append((row.label, row.value))
            continue
        if pairs:
            yield ReviewBlock(heading=heading, rows=tuple(pairs))
        heading, pairs = row.label, []
    if pairs:
        yield ReviewBlock(heading=heading, rows=tuple(pairs))


def _rows(items: Sequence[PageItem], language: str) -> Iterator[_Row]:
    for item in items:
        field_, title = item.field, said(item.field.title, language)
        if field_.kind is FieldKind.GROUP:
            below = list(_rows(item.items, language))
            if below and field_.widget != "code" and any(row.value is not None for row in below):
                yield _Row(label=_shown(title))
            yield from below
        elif field_.kind is FieldKind.LIST:
            yield from _list_rows(item, language)
        elif is_given(item.value):
            yield _Row(label=_shown(title), value=_shown(_answer(item, language)))


def _list_rows(item: PageItem, language: str) -> Iterator[_Row]:
    name = said(item.field.item_title or item.field.title, language)
    for number, inner in enumerate(item.items, start=1):
        one = f"{name} {number}"
        if inner.field.kind is FieldKind.GROUP:
            below = list(_rows(inner.items, language))
            if below:
                yield _Row(label=_shown(one))
            yield from below
        elif is_given(inner.value):
            yield _Row(label=_shown(one), value=_shown(_answer(inner, language)))


def _answer(item: PageItem, language: str) -> str:
    for choice in item.field.choices:
        if choice.value == item.value and isinstance(choice.value, bool) == isinstance(item.value, bool):
            return said(choice.label, language)
    return shown_value(item.field, item.value, language)


def _shown(text: str) -> Markup:
    return Markup(visible(text))  # noqa: S704  # Escaped there, with what cannot be seen written out.
