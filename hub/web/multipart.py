"""Multipart bodies (RFC 7578, RFC 2387) as a stream of parts: nothing is ever written to disk, and little is held in memory.

python-multipart finds the boundaries; this module turns its callbacks into an async iterator, puts caps on everything
that a sender decides, and refuses bodies that two readers could understand in two ways.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import unquote

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from hub.errors import Malformed, Text, TooLarge
from hub.web.filenames import is_seen, last_part, seen

#: RFC 2046 section 5.1.1: 1 to 70 of these characters, the last no blank.
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_PARAMETER = re.compile(r";\s*([!#$&+\-.^_`|~0-9A-Za-z*]+)\s*=\s*(?:\"((?:[^\"\\\r\n]|\\.)*)\"|([^;\"\s]*))\s*")
_FILENAME = re.compile(rb"filename=\"(?:[^\"\\\r\n]|\\.)*\"", re.IGNORECASE)
_MAX_HEADERS = 8
_MAX_HEADER_BYTES = 4096
_MAX_FILENAME = 255
_MAX_SUFFIX = 16
#: The parser is fed slices of at most this size, so that what waits between it and the reader stays small.
_SLICE = 64 * 1024


@dataclass(kw_only=True, slots=True, eq=False)
class Part:
    """One part. ``chunks()`` must be read before the next part is asked for; what is left is skipped.

    ``name`` is the form field, of a related part its content id, "" without one; ``filename`` is without any path, or None;
    ``content_type`` is as given, "" without one; ``headers`` have lower-case names.
    """

    name: str
    filename: str | None
    content_type: str
    headers: Mapping[str, str] = field(repr=False)
    _source: _Reader = field(repr=False)
    #: Whether the part names a file without a name: a form's file field that nobody filled, if it has no bytes either.
    is_empty_field: bool = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the content, piece by piece, once."""
        while (chunk := await self._source.chunk(self)) is not None:
            yield chunk


async def parts(stream: AsyncIterator[bytes], content_type: str, *, cap: int = 102) -> AsyncIterator[Part]:
    """Yield the parts of a multipart/form-data body.

    Args:
        stream: the body, in pieces of any size.
        content_type: the request's Content-Type, for the boundary.
        cap: how many parts there may be; by default data, metadata and 100 attachments.

    Raises:
        Malformed: no boundary, no final boundary, a part without a name, a broken or ambiguous header.
        TooLarge: too many parts.
    """
    reader = _Reader(stream, _boundary(content_type), cap, _part)
    while (part := await reader.next_part()) is not None:
        yield part


async def related_parts(stream: AsyncIterator[bytes], content_type: str, *, cap: int) -> AsyncIterator[Part]:
    """Yield the parts of a multipart/related body, the first of which is its root; errors as :func:`parts`."""
    reader = _Reader(stream, _boundary(content_type, "multipart/related"), cap, _related)
    while (part := await reader.next_part()) is not None:
        yield part


class _Reader:
    """Feeds the parser from the stream and hands out what its callbacks saw, in order.

    What is found is the headers of a part, then pieces of its content, then None for its end.
    """

    def __init__(
        self,
        stream: AsyncIterator[bytes],
        boundary: str,
        cap: int,
        make: Callable[[dict[str, str], _Reader], Part],
    ) -> None:
        self._stream = stream
        self._make = make
        self._cap = cap
        self._count = 0
        self._found: deque[dict[str, str] | bytes | None] = deque()
        self._waiting = b""
        self._offset = 0
        self._current: Part | None = None
        self._complete = False
        self._final = f"\r\n--{boundary}--".encode()
        self._tail = b"\r\n"  # A body may begin with a boundary.
        self._name = b""
        self._value = b""
        self._headers: dict[str, str] = {}
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_end": self._on_end,
            },
            max_header_count=_MAX_HEADERS,
            max_header_size=_MAX_HEADER_BYTES,
        )

    async def next_part(self) -> Part | None:
        """Skip what is left of the part before, and return the next one; None at the end of the body."""
        while self._current is not None:
            await self.chunk(self._current)
        while not self._found:
            if not await self._feed():
                return None
        headers = self._found.popleft()
        if not isinstance(headers, dict):  # pragma: no cover  # the parser reports headers before content
            raise _broken()
        self._count += 1
        if self._count > self._cap:
            raise _too_many(self._cap)
        self._current = self._make(headers, self)
        return self._current

    async def chunk(self, part: Part) -> bytes | None:
        """Return the next piece of ``part``, or None at its end."""
        while self._current is part:
            if not self._found:
                await self._feed()
                continue
            found = self._found.popleft()
            if isinstance(found, bytes):
                return found
            self._current = None
        return None

    async def _feed(self) -> bool:
        """Give the parser one slice more; False at the end of a complete body."""
        while self._offset >= len(self._waiting):
            chunk = await anext(self._stream, None)
            if chunk is None:
                if not self._complete:
                    raise _cut_off()
                return False
            self._waiting, self._offset = chunk, 0
        piece = self._waiting[self._offset : self._offset + _SLICE]
        self._offset += _SLICE
        if self._is_complete():
            _require_nothing(piece)
            return True
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _broken() from error
        # The parser does not tell where the final boundary stood; it may have begun in the piece before.
        seen = self._tail + piece
        if self._is_complete():
            _require_nothing(seen.partition(self._final)[2])
        self._tail = seen[-len(self._final) :]
        return True

    def _is_complete(self) -> bool:
        return self._complete

    def _on_part_begin(self) -> None:
        self._headers = {}

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        name = self._name.decode("ascii").lower()
        if name in self._headers:
            raise _broken()
        self._headers[name] = _text_of(self._value, is_name=name == "content-disposition").strip()
        self._name = self._value = b""

    def _on_headers_finished(self) -> None:
        self._found.append(self._headers)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self._found.append(data[start:end])

    def _on_part_end(self) -> None:
        self._found.append(None)

    def _on_end(self) -> None:
        self._complete = True


def _text_of(value: bytes, *, is_name: bool) -> str:
    """Return a header's text: UTF-8 (HTML, section 4.10.22.8), for names of files also Windows-1252, as older clients write.

    Windows-1252 is all of ISO 8859-1 that can be shown. The name of a part decides what it is, so nobody guesses there.
    """
    with suppress(UnicodeDecodeError):
        return value.decode()
    if not is_name or not _FILENAME.sub(b"", value).isascii():
        raise _broken()
    try:
        return value.decode("windows-1252")
    except UnicodeDecodeError as error:
        raise _unreadable_name() from error


def _require_nothing(rest: bytes) -> None:
    """Refuse what follows the final boundary, blanks and line ends apart: one reader takes it for parts, another does not."""
    if rest.strip(b" \t\r\n"):
        raise Malformed(
            Text(
                "Hinter der letzten Trennlinie steht noch etwas. Alle Teile gehören davor.",
                "Something stands behind the final boundary. All parts belong before it.",
            )
        )


def _boundary(content_type: str, wanted: str = "multipart/form-data") -> str:
    media_type, _, parameters = content_type.partition(";")
    boundary = _parameters(f";{parameters}").get("boundary", "")
    if media_type.strip().lower() != wanted or not _BOUNDARY.fullmatch(boundary):
        raise Malformed(
            Text(
                "Dem Content-Type fehlt eine gültige „boundary“ (1 bis 70 Zeichen nach RFC 2046).",
                "The Content-Type lacks a valid 'boundary' (1 to 70 characters, RFC 2046).",
            )
        )
    return boundary


def _part(headers: dict[str, str], source: _Reader) -> Part:
    kind, _, rest = headers.get("content-disposition", "").partition(";")
    parameters = _parameters(f";{rest}") if rest else {}
    name = parameters.get("name", "")
    content_type = headers.get("content-type", "")
    encoding = headers.get("content-transfer-encoding", "binary").lower()
    if kind.strip().lower() != "form-data" or not name or len(name) > _MAX_FILENAME or not is_seen(name):
        raise _broken()
    if content_type.lower().startswith("multipart/") or encoding not in {"7bit", "8bit", "binary"}:
        raise _multipart_part()
    filename = _filename(parameters)
    return Part(
        name=name,
        filename=filename,
        content_type=content_type,
        headers=headers,
        is_empty_field=parameters.get("filename") == "",
        _source=source,
    )


def _related(headers: dict[str, str], source: _Reader) -> Part:
    content_id = headers.get("content-id", "").strip()
    inner = content_id[1:-1] if content_id[:1] == "<" and content_id[-1:] == ">" else ""
    encoding = headers.get("content-transfer-encoding", "binary").lower()
    if (content_id and not inner) or encoding not in {"7bit", "8bit", "binary"}:
        raise _multipart_part()
    return Part(
        name=inner, filename=None, content_type=headers.get("content-type", ""), headers=headers, _source=source
    )


def _multipart_part() -> Malformed:
    return Malformed(
        Text(
            "Ein Teil ist selbst mehrteilig oder kodiert. Senden Sie jede Datei als eigenen Teil, unverändert.",
            "A part is multipart itself or transfer-encoded. Send each file as a part of its own, as it is.",
        )
    )


def _parameters(text: str) -> dict[str, str]:
    """Return header parameters by lower-case name; refuse what is left over, repeated, or continued (RFC 2231)."""
    found: dict[str, str] = {}
    position = 0
    while position < len(text) and text[position:].strip("; \t"):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise _broken()
        name = match[1].lower()
        if name in found or "*" in name.rstrip("*"):
            raise _broken()
        quoted = match[2]
        found[name] = match[3] if quoted is None else re.sub(r'\\(["\\])', r"\1", quoted)
        position = match.end()
    return found


def _filename(parameters: Mapping[str, str]) -> str | None:
    """Return the file's own name, made safe.

    ``filename*`` (RFC 5987) wins over ``filename``, as RFC 6266 section 4.3 has it.
    """
    given = parameters.get("filename")
    extended = parameters.get("filename*")
    if extended is not None:
        charset, _, tail = extended.partition("'")
        given = _decoded(tail.partition("'")[2], charset)
    if given is None:
        return None
    return safe_filename(given)


def safe_filename(given: str) -> str | None:
    """Return a file's own name, safe to show and to store: no path, no control or direction characters, not hidden."""
    safe = seen(last_part(given)).strip(". ")
    stem, dot, suffix = safe.rpartition(".")
    if len(safe) > _MAX_FILENAME and dot and len(suffix) < _MAX_SUFFIX:
        return f"{stem[: _MAX_FILENAME - len(suffix) - 1]}.{suffix}"
    return safe[:_MAX_FILENAME] or None


def _decoded(value: str, charset: str) -> str:
    """Return an extended value's text; RFC 5987, section 3.2.1: UTF-8 or ISO-8859-1, and nothing else."""
    if charset.lower() not in {"utf-8", "iso-8859-1"}:
        raise _unreadable_name()
    try:
        return unquote(value, encoding=charset, errors="strict")
    except UnicodeDecodeError as error:
        raise _unreadable_name() from error


def _unreadable_name() -> Malformed:
    return Malformed(
        Text(
            "Der Name einer Datei ist in keiner bekannten Kodierung. Senden Sie ihn in UTF-8, als filename*=UTF-8''… oder, "
            "ebenfalls erlaubt, als filename*=ISO-8859-1''….",
            "The name of a file is in no known encoding. Send it in UTF-8, as filename*=UTF-8''… or, allowed as well, as "
            "filename*=ISO-8859-1''….",
        )
    )


def _broken() -> Malformed:
    return Malformed(
        Text(
            "Der Multipart-Inhalt ist nicht wohlgeformt. Jeder Teil braucht „Content-Disposition: form-data; name=…“.",
            "The multipart body is not well-formed. Each part needs 'Content-Disposition: form-data; name=…'.",
        )
    )


def _cut_off() -> Malformed:
    return Malformed(
        Text(
            "Der Multipart-Inhalt bricht ab: Die letzte Trennlinie fehlt. Senden Sie die Anfrage noch einmal ganz.",
            "The multipart body breaks off: the final boundary is missing. Send the whole request again.",
        )
    )


def _too_many(cap: int) -> TooLarge:
    return TooLarge(
        Text(f"Zu viele Teile: erlaubt sind {cap}.", f"Too many parts: {cap} are allowed."),
        slug="too-many-parts",
        limit=cap,
    )
