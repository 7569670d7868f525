"""A refusal's slug has one text: read from the sources, so that a second one fails."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hub import errors
from hub.errors import NOT_FOUND, HubError, NotFound, not_found

_ROOT = Path(__file__).parents[2]
#: What makes an error of its arguments; the rest of what takes a slug passes on one that was made.
_KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, HubError)}
#: One kind or another of error, said by a parameter.
_ANY_KIND = {"kind"}
#: Makers of errors in one file, which take the texts apart.
_MAKERS = {"_malformed", "_unreadable"}


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for room in ("hub", "adapters"):
        for file in sorted((_ROOT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    yield file.relative_to(_ROOT).as_posix(), node


def _passes_on(call: ast.Call) -> bool:
    """An error made of another one keeps its text."""
    return bool(call.args) and isinstance(call.args[0], ast.Attribute) and call.args[0].attr == "detail"


def _slug(call: ast.Call) -> str | None:
    given = next((each.value for each in call.keywords if each.arg == "slug"), None)
    return given.value if isinstance(given, ast.Constant) else None


def _made() -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for place, call in _calls():
        slug = _slug(call)
        if slug is not None and call.func.id in _KINDS | _ANY_KIND | _MAKERS and not _passes_on(call):
            made.setdefault(slug, []).append(f"{place}:{call.lineno}")
    return made


def test_a_slug_has_one_text() -> None:
    made = _made()
    assert len(made) > 40, "the sources are read"
    several = {slug: places for slug, places in made.items() if len(places) > 1 or slug in NOT_FOUND}
    assert not several, "say it in one place: hub.errors, or a function of the room that owns the noun"


def test_everything_that_may_be_missing_has_its_text_in_the_table() -> None:
    asked = [call.args[0] for _, call in _calls() if call.func.id == "not_found"]
    asked = Counter(each.value for each in asked if isinstance(each, ast.Constant))
    kinds = {f"{kind}-not-found" for kind in ("key-change", "adapter-change", "catalogue", "ai-register")}
    assert set(asked) | kinds == set(NOT_FOUND)


def test_a_missing_thing_is_named_by_its_identifier() -> None:
    refusal = not_found("destination-not-found", "d1")
    assert isinstance(refusal, NotFound)
    assert refusal.slug == "destination-not-found"
    assert refusal.detail.de.startswith("Den Zustellpunkt d1 gibt es nicht")
    assert refusal.detail.en.startswith("Destination d1 does not exist")
    assert not_found("destination-not-found").detail.en.startswith("Destination does not exist")
