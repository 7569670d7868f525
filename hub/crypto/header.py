"""JOSE headers, read strictly, before any key is touched (RFC 7515 section 4, RFC 8725)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn

from hub.crypto import base64url
from hub.errors import SealBroken, Text, TooLarge

#: Headers of honest senders take about 150 bytes.
HEADER_LIMIT = 4096
#: In base64url characters.
HEADER_SEGMENT_LIMIT = (HEADER_LIMIT * 4 + 2) // 3

_VALUE_LIMIT = 256

#: Members that would let a sender choose keys, work factors or the meaning of the token: never honoured, so refused.
_REFUSED = frozenset(
    {"crit", "jku", "jwk", "x5u", "x5c", "p2s", "p2c", "apu", "apv", "epk", "skid", "iv", "tag", "b64"},
)


def read(segment: bytes) -> dict[str, Any]:
    """Return the members of a protected header, given as the token's first part.

    Raises:
        TooLarge: more than 4096 bytes.
        SealBroken: not canonical base64url, not one JSON object, a name twice, or a member that is never allowed.
    """
    if len(segment) > HEADER_SEGMENT_LIMIT:
        raise _header_too_large()
    members = _parse(base64url.decode(segment, part="header"))
    forbidden = sorted(_REFUSED.intersection(members))
    if forbidden:
        raise _not_allowed(forbidden)
    return members


def _header_too_large() -> TooLarge:
    return TooLarge(
        Text(
            f"Der JOSE-Header ist größer als {HEADER_LIMIT} Byte. Senden Sie nur alg, enc, kid und cty.",
            f"The JOSE header is larger than {HEADER_LIMIT} bytes. Send alg, enc, kid and cty only.",
        )
    )


def _not_allowed(forbidden: Sequence[str]) -> SealBroken:
    names = ", ".join(forbidden)
    return SealBroken(
        Text(
            f"Der JOSE-Header enthält nicht erlaubte Angaben: {names}. Lassen Sie sie weg.",
            f"The JOSE header holds members that are not allowed: {names}. Leave them out.",
        )
    )


def text(members: dict[str, Any], name: str) -> str | None:
    """Return a member that is printable ASCII of at most 256 characters, or None where it is missing.

    Raises:
        SealBroken: the member has another type or form.
    """
    value = members.get(name)
    if value is None and name not in members:
        return None
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= _VALUE_LIMIT
        or not (value.isascii() and value.isprintable())
    ):
        raise SealBroken(
            Text(
                f"Die Angabe „{name}“ im JOSE-Header muss druckbarer ASCII-Text von 1 bis {_VALUE_LIMIT} Zeichen sein.",
                f'Member "{name}" of the JOSE header must be printable ASCII text of 1 to {_VALUE_LIMIT} characters.',
            )
        )
    return value


def require(members: dict[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    """Return a member whose value is one of ``allowed``.

    Raises:
        SealBroken: it is missing or has another value.
    """
    value = text(members, name)
    if value not in allowed:
        names = ", ".join(allowed)
        raise SealBroken(
            Text(
                f"Die Angabe „{name}“ im JOSE-Header fehlt oder ist nicht erlaubt. Erlaubt ist: {names}.",
                f'Member "{name}" of the JOSE header is missing or not allowed. Allowed: {names}.',
            )
        )
    return value


def _parse(document: bytes) -> dict[str, Any]:
    try:
        members = json.loads(document.decode("utf-8"), object_pairs_hook=_distinct, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise _unreadable() from exc
    if not isinstance(members, dict):
        raise _unreadable()
    return members


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise SealBroken(
            Text(
                "Der JOSE-Header enthält einen Namen doppelt. Jeder Name darf nur einmal vorkommen (RFC 7515, 4).",
                "The JOSE header holds a name twice. Each name may occur only once (RFC 7515, section 4).",
            )
        )
    return members


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _unreadable() -> SealBroken:
    return SealBroken(
        Text(
            "Der JOSE-Header ist kein JSON-Objekt in UTF-8. Senden Sie das Token kompakt serialisiert, ohne BOM.",
            "The JOSE header is no JSON object in UTF-8. Send the token in compact serialisation, without a BOM.",
        )
    )
