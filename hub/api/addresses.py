"""Addresses: which paths and queries are plain enough to be read in one way only, and where mounts lead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.types import Scope

from hub.api.limits import Limits
from hub.errors import Malformed, NotFound, Text, TooLarge

#: Operations that stand in the contract with their mount in front: (method, path).
Prefixed = tuple[tuple[str, re.Pattern[str]], ...]
#: Mounts of FIT-Connect's APIs (its section 1.2). At the root, Submission wins.
PREFIXES: Mapping[str, str] = {
    "/submission-api": "submission",
    "/destination-api": "destination",
    "/routing-api": "routing",
}
#: Other addresses under which public clients look for the token endpoint (FIT-Connect section 20, point 2).
ALIASES: Mapping[str, str] = {"/auth": "/token", "/auth/token": "/token", "/oauth/token": "/token"}

_BEHIND_PREFIX = re.compile(r"/(?:v[12]|\.well-known)/")
#: Query names that the framework's security context would overwrite, in every spelling that it folds into them.
_RESERVED_NAMES = frozenset({"user", "token_info", "context_", "body"})
_PLAIN_PATH = re.compile(rb"(?:/[A-Za-z0-9\-._~!$&'()*+,;=:@%]*)+")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_path(scope: Scope, limits: Limits) -> None:
    """Refuse a path that another program on the way could read differently (RFC 3986 sections 3.3 and 6)."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    if len(raw) > limits.path_bytes:
        raise TooLarge(
            Text(
                f"Die Adresse ist zu lang: erlaubt sind {limits.path_bytes} Byte.",
                f"The address is too long: {limits.path_bytes} bytes are allowed.",
            ),
            slug="uri-too-long",
        )
    if _PLAIN_PATH.fullmatch(raw) and not _is_ambiguous(raw):
        return
    raise _malformed(
        "Die Adresse enthält Zeichen oder Abschnitte, die mehrdeutig sind (etwa „//“, „..“, %2F oder Steuerzeichen).",
        "The address holds characters or segments that are ambiguous (such as '//', '..', %2F or control characters).",
    )


def _is_ambiguous(raw: bytes) -> bool:
    if b"//" in raw:
        return True
    if b"%" not in raw and b"/." not in raw:
        return False
    if any(escape[1] is None for escape in _ESCAPE.finditer(raw)):
        return True
    decoded = _ESCAPE.sub(lambda escape: bytes([int(escape[1], 16)]), raw)
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        return True
    hidden = decoded.count(b"/") != raw.count(b"/") or "\\" in text or b"%" in decoded
    return hidden or bool(_CONTROL.search(text)) or any(segment in {".", ".."} for segment in text.split("/"))


def check_query(query: bytes, limits: Limits, repeatable: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Return the names and values of a query.

    Refuse one that could be read differently, and names that the framework gives a meaning of its own.
    """
    if not query:
        return ()
    pairs = _parsed_query(query, limits)
    names = [name for name, _ in pairs]
    if any(_folded(name) in _RESERVED_NAMES for name in names):
        raise _malformed(
            "Ein Name im Abfrageteil ist dem Hub vorbehalten (user, token_info, context_, body). Lassen Sie ihn weg.",
            "A name in the query is reserved to the hub (user, token_info, context_, body). Leave it out.",
        )
    single = [name for name in names if name not in repeatable]
    if len(single) != len(set(single)):
        raise _malformed(
            "Ein Parameter im Abfrageteil steht mehrfach. Jeder darf nur einmal stehen.",
            "A parameter of the query stands more than once. Each may stand only once.",
        )
    return tuple(pairs)


def _folded(name: str) -> str:
    """Return ``name`` as the framework turns it into an argument's name."""
    return re.sub(r"[^0-9A-Za-z_]", "", re.sub(r"\[(?!\])", "_", name))


def _parsed_query(query: bytes, limits: Limits) -> list[tuple[str, str]]:
    if len(query) > limits.query_bytes:
        raise TooLarge(
            Text(
                f"Der Abfrageteil ist zu lang: erlaubt sind {limits.query_bytes} Byte.",
                f"The query is too long: {limits.query_bytes} bytes are allowed.",
            ),
            slug="uri-too-long",
        )
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=limits.query_fields
        )
    except ValueError as error:
        raise _malformed(
            f"Der Abfrageteil ist kein UTF-8 in Prozentkodierung oder hat mehr als {limits.query_fields} Parameter.",
            f"The query is not percent-encoded UTF-8, or has more than {limits.query_fields} parameters.",
        ) from error
    if any(_CONTROL.search(name) or _CONTROL.search(value) for name, value in pairs):
        raise _malformed(
            "Der Abfrageteil enthält Steuerzeichen. Entfernen Sie sie.",
            "The query holds control characters. Remove them.",
        )
    return pairs


def unmounted(method: str, path: str, prefixed: Prefixed) -> tuple[str, str]:
    """Return which API is meant, and the path as the contract knows it."""
    if path in ALIASES:
        return "hub", ALIASES[path]
    first, slash, rest = path[1:].partition("/")
    api = PREFIXES.get(f"/{first}")
    if api is None:
        return ("submission" if _BEHIND_PREFIX.match(path) else "hub"), path
    if any(known == method and pattern.fullmatch(path) for known, pattern in prefixed):
        return api, path
    inner = slash + rest
    if not _BEHIND_PREFIX.match(inner):
        raise NotFound(
            Text(
                "Unter diesem Präfix gibt es nur /v1, /v2 und /.well-known.",
                "Behind this prefix there is only /v1, /v2 and /.well-known.",
            )
        )
    return api, inner


def _malformed(de: str, en: str) -> Malformed:
    return Malformed(Text(de, en))
