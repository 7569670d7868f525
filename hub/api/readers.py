"""Small bodies, read so strictly that every reader would understand them the same way."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import orjson

from hub.api.limits import Limits
from hub.errors import Malformed, Text
from hub.validation.json.documents import insist_on_few_values


def strict_json(body: bytes, limits: Limits) -> Any:
    """Parse JSON (RFC 8259) that every reader understands the same way.

    Raises:
        Malformed: no JSON, no UTF-8, a repeated name, NaN or Infinity, a number or nesting over the caps.
        TooLarge: more values than the cap, whose memory no reservation for the text would cover.
    """
    insist_on_few_values(body, limits.json_values)
    try:
        # The first reader refuses what is no UTF-8, half a surrogate pair, NaN, and depth that could exhaust a stack;
        # the second one sees repeated names and the digits of numbers.
        orjson.loads(body)
        document = json.loads(
            body,
            object_pairs_hook=_unique,
            parse_int=lambda digits: _integer(digits, limits),
            parse_float=_finite,
            parse_constant=_refuse_constant,
        )
    except (ValueError, RecursionError) as error:
        raise _not_json() from error
    if body.count(b"[") + body.count(b"{") > limits.json_depth and _depth(document) > limits.json_depth:
        raise _not_json()
    return document


def strict_form(body: bytes, limits: Limits) -> dict[str, str]:
    """Parse a urlencoded form; names stand once, and names without a value count as absent (RFC 6749 section 3.2).

    Raises:
        Malformed: no ASCII, no UTF-8 in percent encoding, a repeated name, too many names.
    """
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=limits.query_fields
        )
        return {name: value for name, value in _unique(pairs).items() if value}
    except ValueError as error:
        raise _malformed(
            "Das Formular ist nicht lesbar, oder ein Feld steht mehrfach. Jedes darf nur einmal stehen.",
            "The form cannot be read, or a field stands more than once. Each may stand only once.",
        ) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name is repeated")
    return members


def _integer(digits: str, limits: Limits) -> int:
    if len(digits) > limits.json_digits:
        raise ValueError("too many digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError("out of range")
    return number


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("no JSON number")


def _depth(document: Any) -> int:
    """Return how deep arrays and objects are nested; a bare value has depth 0."""
    depth, layer = 0, [document]
    while layer := [node for node in layer if isinstance(node, dict | list)]:
        depth += 1
        layer = [child for node in layer for child in (node.values() if isinstance(node, dict) else node)]
    return depth


def _not_json() -> Malformed:
    return _malformed(
        "Der Inhalt ist kein eindeutiges JSON: UTF-8, jeder Name nur einmal, endliche Zahlen, mäßig tief geschachtelt.",
        "The body is not unambiguous JSON: UTF-8, each name once, finite numbers, nested moderately deep.",
        slug="invalid-json",
    )


def _malformed(de: str, en: str, *, slug: str = "malformed") -> Malformed:
    return Malformed(Text(de, en), slug=slug)
