"""Answers over HTTP: one map from errors to statuses, and one set of header fields, at every door."""

from __future__ import annotations

import ast
from datetime import timedelta
from pathlib import Path

import pytest

from hub import errors
from hub.errors import HubError, Text
from hub.web.responses import retry_after, status_of

_HUB = Path(__file__).parents[2] / "hub"
_TEXT = Text("Nein.", "No.")
_KINDS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, HubError)}


@pytest.mark.parametrize(
    ("error", "status", "wait"),
    [
        (errors.Malformed(_TEXT), 400, None),
        (errors.Malformed(_TEXT, slug="request-timeout"), 408, None),
        (errors.IdempotencyConflict(_TEXT), 409, None),
        (errors.KeyRefused(_TEXT), 422, None),
        (errors.TooMany(_TEXT, retry_after=timedelta(seconds=1.2)), 429, 2),
        (errors.Overloaded(_TEXT, retry_after=timedelta()), 503, 1),
        (errors.UnreadableRow("t", "k", "c"), 503, 60),
        (HubError(_TEXT), 500, None),
    ],
)
def test_an_error_has_one_status_and_says_when_to_ask_again(error, status, wait):
    assert (status_of(error), retry_after(error)) == (status, wait)


def _pairs(tree):
    """Yield the error classes that stand beside a number in a table: a dictionary, or a tuple of pairs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from zip(node.keys, node.values, strict=True)
        elif isinstance(node, ast.Tuple) and len(node.elts) == 2:
            yield tuple(node.elts)


def test_errors_are_mapped_to_statuses_in_one_place_and_browsers_kept_safe_in_one():
    maps, headers = set(), set()
    for file in sorted(_HUB.rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        name = file.relative_to(_HUB).as_posix()
        for kind, number in _pairs(tree):
            known = getattr(kind, "attr", getattr(kind, "id", None)) in _KINDS
            if known and isinstance(number, ast.Constant) and isinstance(number.value, int):
                maps.add(name)
        if any(isinstance(each, ast.Constant) and each.value in {"nosniff", b"nosniff"} for each in ast.walk(tree)):
            headers.add(name)
    assert maps == {"web/responses.py"}
    assert headers == {"web/responses.py"}
