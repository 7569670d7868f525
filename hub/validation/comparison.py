"""What a sender must change from one version of a standard to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hub.errors import Text
from hub.validation.outline import Outline, Trait


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One difference. ``must`` says that a message of the old version may be refused because of it."""

    kind: str
    place: str
    must: bool
    text: Text


def differences(old: Iterable[Outline], new: Iterable[Outline]) -> tuple[Change, ...]:
    """Compare the outlines of two versions; what must be changed comes first, each part by place."""
    before, after = _merged(old), _merged(new)
    changes = [*_of_roots(before, after), *_of_places(before, after)]
    return tuple(sorted(changes, key=lambda change: (not change.must, change.place, change.kind)))


def _merged(outlines: Iterable[Outline]) -> Outline:
    parts = list(outlines)
    return Outline(
        roots=frozenset().union(*(part.roots for part in parts)),
        traits={place: trait for part in parts for place, trait in part.traits.items()},
    )


def _of_roots(before: Outline, after: Outline) -> Iterator[Change]:
    for root in before.roots - after.roots:
        yield _change(
            "message-removed", root, "Diese Nachricht gibt es nicht mehr.", "This message is gone.", must=True
        )
    for root in after.roots - before.roots:
        yield _change("message-added", root, "Diese Nachricht ist neu.", "This message is new.", must=False)


def _of_places(before: Outline, after: Outline) -> Iterator[Change]:
    for place in before.traits.keys() - after.traits.keys():
        if not _inside_removed(place, before, after):
            yield _change("removed", place, "Entfällt. Senden Sie es nicht mehr.", "Gone. Send it no more.", must=True)
    for place in after.traits.keys() - before.traits.keys():
        if not _inside_removed(place, after, before):
            yield _added(place, after.traits[place])
    for place in before.traits.keys() & after.traits.keys():
        yield from _between(place, before.traits[place], after.traits[place])


def _inside_removed(place: str, here: Outline, there: Outline) -> bool:
    """Whether the place's parent is missing on the other side too, so that naming the parent is enough."""
    parent = place.rpartition("/")[0]
    return bool(parent) and parent in here.traits and parent not in there.traits


def _added(place: str, trait: Trait) -> Change:
    if trait.required:
        return _change(
            "added-required", place, "Neu und Pflicht. Ergänzen Sie es.", "New and required. Add it.", must=True
        )
    return _change("added", place, "Neu, darf fehlen.", "New, may be left out.", must=False)


def _between(place: str, old: Trait, new: Trait) -> Iterator[Change]:
    if new.required and not old.required:
        yield _change(
            "became-required", place, "Ist jetzt Pflicht. Ergänzen Sie es.", "Now required. Add it.", must=True
        )
    if old.required and not new.required:
        yield _change("became-optional", place, "Darf jetzt fehlen.", "May now be left out.", must=False)
    if old.kind != new.kind:
        yield _change(
            "type-changed",
            place,
            f"Hat einen anderen Typ: {new.kind or '–'} statt {old.kind or '–'}.",
            f"Is of another type: {new.kind or '–'} instead of {old.kind or '–'}.",
            must=True,
        )
    if old.most != new.most:
        yield _change(
            "count-changed",
            place,
            f"Darf jetzt höchstens {new.most}-mal vorkommen statt {old.most}-mal.",
            f"May now occur at most {new.most} times instead of {old.most}.",
            must=_number(new.most) < _number(old.most),
        )
    yield from _of_values(place, old, new)
    yield from _of_limits(place, old, new)


def _of_values(place: str, old: Trait, new: Trait) -> Iterator[Change]:
    if old.values == new.values:
        return
    gone = (old.values or frozenset()) - new.values if new.values is not None else frozenset()
    more = new.values - old.values if new.values is not None and old.values is not None else frozenset()
    if gone or (old.values is None and new.values is not None):
        names = ", ".join(sorted(gone)) or "–"
        yield _change("values-removed", place, f"Werte entfallen: {names}.", f"Values are gone: {names}.", must=True)
    if more or new.values is None:
        names = ", ".join(sorted(more)) or "*"
        yield _change("values-added", place, f"Neue Werte: {names}.", f"New values: {names}.", must=False)


def _of_limits(place: str, old: Trait, new: Trait) -> Iterator[Change]:
    for name in sorted(old.limits.keys() | new.limits.keys()):
        before, after = old.limits.get(name), new.limits.get(name)
        if before != after:
            yield _change(
                "limit-changed",
                place,
                f"Grenze {name}: {_short(after)} statt {_short(before)}.",
                f"Limit {name}: {_short(after)} instead of {_short(before)}.",
                must=after is not None and not _looser(name, before, after),
            )


def _looser(name: str, before: str | None, after: str) -> bool:
    try:
        old, new = float(before or ""), float(after)
    except ValueError:
        return False
    if name in ("totalDigits", "fractionDigits") or name.startswith(("max", "exclusiveMax")):
        return new >= old
    return name.startswith(("min", "exclusiveMin")) and new <= old


def _number(text: str) -> float:
    return float("inf") if text == "unbounded" else float(text)


def _short(value: str | None) -> str:
    if value is None:
        return "–"
    return value if len(value) <= 60 else value[:60] + "…"  # noqa: PLR2004  # A pattern may be pages long.


def _change(kind: str, place: str, german: str, english: str, *, must: bool) -> Change:
    return Change(kind=kind, place=place, must=must, text=Text(german, english))
