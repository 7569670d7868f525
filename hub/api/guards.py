"""Guards in front of the framework: caps, plain addresses, identity. Pure ASGI, each small, cheapest first.

Guards in front of the framework: pure ASGI, each small, cheapest first.

connexion trusts what it is handed: it compares media types by case, has no limit on bodies, and parses forms into
temporary files. So a request is made plain here before connexion sees it, or it is refused.

Addresses: which paths and queries are plain enough to be read in one way only, and where mounts lead.

Caps on requests.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.errors import HubError, Malformed, NotFound, Text, TooLarge, UnsupportedMedia, too_slow
from hub.model import MediaType
from hub.web.protocol import headers_too_large, uri_too_long


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestLimits:
    """Caps on requests. Sizes are bytes; powers of ten, as FIT-Connect counts (its section 15)."""

    #: A body where the contract names no other cap: administration, forms, small JSON.
    json: int = 1_000_000
    #: The data part of an application, in plaintext.
    data_part: int = 100_000_000
    #: A JSON body that carries sealed metadata and data: 4/3 of the above, and room for both headers.
    sealed: int = 140_000_000
    #: One attachment.
    attachment: int = 500_000_000
    #: A whole application or submission.
    total: int = 2_000_000_000
    #: How many attachments a submission may have.
    attachments: int = 100
    #: Header section: fields and bytes, names and values together.
    header_fields: int = 100
    header_bytes: int = 32 * 1024
    path_bytes: int = 2048
    query_bytes: int = 8192
    query_fields: int = 100
    #: Values, nesting and digits of JSON bodies that the edge itself reads. Sealed parts are text: they may be long, not many.
    json_values: int = 250_000
    json_depth: int = 64
    json_digits: int = 40
    #: Seconds that a body may pause before the request is given up.
    pause: float = 30.0
    #: Seconds that the sender of a body may take in all, and bytes that earn it another one (64 kbit/s: a slow line in a
    #: village brings 375 MB within half a day).
    body_seconds: float = 30.0
    body_rate: int = 8_000
    #: Caps in bytes for single operations, by operationId; they win over the contract's.
    overrides: Mapping[str, int] = field(default_factory=dict)


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


def require_plain_path(scope: Scope, limits: RequestLimits) -> None:
    """Refuse a path that another program on the way could read differently (RFC 3986 sections 3.3 and 6)."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogateescape")
    if len(raw) > limits.path_bytes:
        raise uri_too_long(limits.path_bytes)
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


def read_query(query: bytes, limits: RequestLimits, repeatable: frozenset[str]) -> tuple[tuple[str, str], ...]:
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


def _parsed_query(query: bytes, limits: RequestLimits) -> list[tuple[str, str]]:
    if len(query) > limits.query_bytes:
        raise uri_too_long(limits.query_bytes)
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


_WITHOUT_BODY = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
#: Header fields of which a second one is an attempt to be read in two ways (RFC 9110 section 5.3).
_ONCE = frozenset(
    {
        b"authorization",
        b"callback-secret",
        b"callback-url",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"transfer-encoding",
    }
)
_MEDIA_TYPE = re.compile(r"\s*([!#$&^_.+\-a-z0-9]+/[!#$&^_.+\-a-z0-9]+)\s*(?:;(.*))?", re.DOTALL)
_TEXT = frozenset({"utf-8", "us-ascii"})
#: Spreadsheets write Windows-1252 (its old name is close enough); who reads CSV finds out which of them it is.
_CHARSETS = {"text/csv": _TEXT | {"windows-1252", "cp1252", "iso-8859-1"}}
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([a-z0-9_.:\-]*)\"?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cap:
    """The largest body, in bytes, of one operation and media type."""

    method: str
    path: re.Pattern[str]
    media_type: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Surface:
    """What the guards need to know of the contract.

    ``media_types`` are all that any operation takes. ``prefixed`` are operations that stand in the contract with their
    mount in front, as (method, path): they are not reachable without it. ``repeatable`` are query names of arrays.
    ``by_suffix`` are operations that take ``text/xml``, ``…+xml`` and ``…+json`` as what they are, as (method, path).
    ``bodies`` are the media types of each operation that takes a body, as (method, path, media types).
    """

    media_types: frozenset[str]
    caps: tuple[Cap, ...] = ()
    prefixed: Prefixed = ()
    repeatable: frozenset[str] = frozenset()
    by_suffix: tuple[tuple[str, re.Pattern[str]], ...] = ()
    bodies: tuple[tuple[str, re.Pattern[str], tuple[str, ...]], ...] = ()

    def taken(self, method: str, path: str) -> tuple[str, ...]:
        """Return the media types that an operation takes, none where there is no such operation."""
        return next((taken for known, way, taken in self.bodies if known == method and way.fullmatch(path)), ())


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestFacts:
    """How a request came in, for handlers.

    ``api`` is ``submission``, ``destination`` or ``routing`` where FIT-Connect is spoken, else ``hub``. ``path`` is
    what the client asked for, mount included. ``media_type`` is lower case, without parameters, empty without a body;
    ``content_type`` keeps the parameters (a multipart boundary). ``length`` is of the body in bytes, None where it is not
    told before it comes. ``query`` holds names and values as they came.
    """

    api: str
    path: str
    media_type: str
    content_type: str
    length: int | None = 0
    query: tuple[tuple[str, str], ...] = ()


def arrival(scope: Scope) -> RequestFacts:
    """Return how the request of ``scope`` came in."""
    found: RequestFacts = scope["extensions"]["hub"]
    return found


class Gate:
    """Makes a request plain, or refuses it."""

    def __init__(self, app: ASGIApp, *, limits: RequestLimits, surface: Surface) -> None:
        self._app = app
        self._limits = limits
        self._surface = surface

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        fields = _fields(scope["headers"], self._limits)
        require_plain_path(scope, self._limits)
        query = read_query(scope["query_string"], self._limits, self._surface.repeatable)
        api, path = unmounted(scope["method"], scope["path"], self._surface.prefixed)
        length = _declared_length(fields)
        by_suffix = any(
            method == scope["method"] and known.fullmatch(path) for method, known in self._surface.by_suffix
        )
        if by_suffix:
            _named_plainly(fields)
        content_type = _content_type(fields, scope["method"], path, length, self._surface, by_suffix=by_suffix)
        media_type = content_type.partition(";")[0]
        cap = self._cap(scope["method"], path, media_type)
        if length is not None and length > cap:
            raise _too_large(cap)
        plain = _plain_scope(scope, path, content_type)
        plain.setdefault("extensions", {})["hub"] = RequestFacts(
            api=api,
            path=scope["path"],
            media_type=media_type,
            content_type=content_type,
            length=None if b"transfer-encoding" in fields else length or 0,
            query=query,
        )
        await self._app(plain, _counted(receive, cap, self._limits), send)

    def _cap(self, method: str, path: str, media_type: str) -> int:
        for cap in self._surface.caps:
            if cap.method == method and cap.media_type == media_type and cap.path.fullmatch(path):
                return cap.size
        return self._limits.json


def _fields(headers: list[tuple[bytes, bytes]], limits: RequestLimits) -> dict[bytes, bytes]:
    """Return the header fields that may stand only once; refuse a second one, and header sections over the caps."""
    size = 0
    once: dict[bytes, bytes] = {}
    for name, value in headers:
        size += len(name) + len(value)
        if name in _ONCE:
            if name in once:
                raise _malformed(
                    f"Die Kopfzeile {name.decode()} steht mehrfach in der Anfrage; sie darf nur einmal stehen.",
                    f"The header {name.decode()} stands in the request more than once; it may stand only once.",
                )
            once[name] = value
    if size > limits.header_bytes or len(headers) > limits.header_fields:
        raise headers_too_large(limits.header_bytes, limits.header_fields)
    return once


def _declared_length(fields: dict[bytes, bytes]) -> int | None:
    """Return ``Content-Length`` as a number, or None without one (RFC 9110 section 8.6: digits only)."""
    value = fields.get(b"content-length")
    if value is None:
        return None
    if not re.fullmatch(rb"[0-9]{1,19}", value):
        raise _malformed("Content-Length ist keine Zahl.", "Content-Length is not a number.")
    return int(value)


def _named_plainly(fields: dict[bytes, bytes]) -> None:
    """Call XML and JSON by the names that the contract has for them, whatever parameters follow."""
    kind, semicolon, parameters = fields.get(b"content-type", b"").decode("latin-1").partition(";")
    meant = MediaType.meant_by(kind)
    if meant is not None:
        fields[b"content-type"] = f"{meant}{semicolon}{parameters}".encode("latin-1")


def not_taken(taken: tuple[str, ...], *, by_suffix: bool = False) -> UnsupportedMedia:
    """Return the refusal of a Content-Type that an operation does not take; ``taken`` are those that it does.

    ``by_suffix``: it takes the other names of XML and JSON, too.
    """
    if not taken:
        return UnsupportedMedia(
            Text(
                "Den Content-Type kennt keine Operation dieser Schnittstelle, oder er fehlt. /openapi.json nennt, was gilt.",
                "No operation of this interface knows the Content-Type, or it is missing. /openapi.json tells what holds.",
            )
        )
    named, also = ", ".join(taken), (" (auch text/xml, …+xml und …+json)", " (also text/xml, …+xml and …+json)")
    return UnsupportedMedia(
        Text(
            f"Der Content-Type fehlt oder gilt hier nicht. Diese Operation nimmt {named}{also[0] if by_suffix else ''} an; "
            "Zeichensatz ist UTF-8.",
            f"The Content-Type is missing or not taken. This operation takes {named}{also[1] if by_suffix else ''}; the "
            "character set is UTF-8.",
        ),
        taken=list(taken),
    )


def _content_type(
    fields: dict[bytes, bytes], method: str, path: str, length: int | None, surface: Surface, *, by_suffix: bool
) -> str:
    """Return the Content-Type in plain form, or "" where no body comes.

    Raises:
        Malformed: a body where the method takes none.
        UnsupportedMedia: none given, unreadable, unknown to the contract, not UTF-8, or compressed.
    """
    if not length and b"transfer-encoding" not in fields:
        return _tolerated(fields, surface.media_types)
    if method in _WITHOUT_BODY:
        raise _bodiless(method)
    if fields.get(b"content-encoding", b"identity").lower() != b"identity":
        raise _unsupported("Komprimierte Inhalte nimmt der Hub nicht an.", "The hub does not take compressed bodies.")
    plain = _plain_content_type(fields.get(b"content-type", b"").decode("latin-1"))
    if plain is None or plain.partition(";")[0] not in surface.media_types:
        raise not_taken(surface.taken(method, path), by_suffix=by_suffix)
    return plain


def _bodiless(method: str) -> Malformed:
    return _malformed(
        f"Zu {method} gehört kein Inhalt. Senden Sie die Anfrage ohne Body.",
        f"{method} takes no body. Send the request without one.",
    )


def _tolerated(fields: dict[bytes, bytes], media_types: frozenset[str]) -> str:
    """Return the plain Content-Type of a request without a body: many clients send one always, so it is no error."""
    plain = _plain_content_type(fields.get(b"content-type", b"").decode("latin-1"))
    return plain if plain is not None and plain.partition(";")[0] in media_types else ""


def _plain_content_type(value: str) -> str | None:
    lowered = value.split(";", 1)
    lowered[0] = lowered[0].lower()
    match = _MEDIA_TYPE.fullmatch(";".join(lowered))
    if match is None:
        return None
    media_type, parameters = match[1], match[2]
    if parameters is None:
        return media_type
    charset = _CHARSET.search(f";{parameters}")
    if charset is not None and charset[1].lower() not in _CHARSETS.get(media_type, _TEXT):
        return None
    return f"{media_type};{parameters}" if media_type.startswith("multipart/") else media_type


def _plain_scope(scope: Scope, path: str, content_type: str) -> Scope:
    headers = [header for header in scope["headers"] if header[0] != b"content-type"]
    if content_type:
        headers.append((b"content-type", content_type.encode("latin-1")))
    plain: dict[str, Any] = {**scope, "headers": headers}
    if path != scope["path"]:
        plain |= {"path": path, "raw_path": path.encode()}
    return plain


class Unhurried:
    """An ASGI layer for an application with caps of its own on sizes: ends bodies that take too long."""

    def __init__(self, app: ASGIApp, *, limits: RequestLimits) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        await self._app(scope, _counted(receive, self._limits.total, self._limits), send)


def _counted(receive: Receive, cap: int, limits: RequestLimits) -> Receive:
    """Wrap ``receive`` so that a body over ``cap`` bytes, or one that comes too slowly, ends the request.

    Only waiting counts as time: what the hub takes to store a piece is not the sender's.
    """
    seen = 0
    waited = 0.0
    more = True

    async def counted() -> Message:
        nonlocal seen, waited, more
        if not more:
            return await receive()
        began = time.monotonic()
        patience = min(limits.pause, limits.body_seconds + seen / limits.body_rate - waited)
        try:
            async with asyncio.timeout(patience):
                message = await receive()
        except TimeoutError as error:
            raise _came_too_slowly(limits) from error
        waited += time.monotonic() - began
        seen += len(message.get("body", b""))
        more = message.get("more_body", False)
        if seen > cap:
            # Keep saying so, should a caller have swallowed it: what was counted stays counted.
            more = True
            raise _too_large(cap)
        return message

    return counted


def _came_too_slowly(limits: RequestLimits) -> HubError:
    return too_slow(
        Text(
            f"Der Inhalt kam {limits.pause:.0f} Sekunden lang nicht weiter, oder langsamer als {limits.body_rate} Byte "
            "in der Sekunde.",
            f"The body did not continue for {limits.pause:.0f} seconds, or came at less than {limits.body_rate} bytes "
            "a second.",
        )
    )


def _too_large(cap: int) -> TooLarge:
    return TooLarge(
        Text(
            f"Der Inhalt ist zu groß: erlaubt sind hier {cap} Byte.",
            f"The body is too large: {cap} bytes are allowed here.",
        ),
        limit=cap,
    )


def _unsupported(de: str, en: str) -> UnsupportedMedia:
    return UnsupportedMedia(Text(de, en))


__all__ = ["Cap", "Gate", "RequestFacts", "RequestLimits", "Surface", "Unhurried", "arrival"]
