"""Sealed contents on their way out: whole, or from where a download broke off, with the digest of the whole.

One range of bytes (RFC 9110, section 14) of the ciphertext as it is served; what asks for several, or for other units, gets the
whole. ``Repr-Digest`` (RFC 9530, section 3) is the SHA-512 of all of it, so that who fetched pieces can tell that they fit.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse

from hub.errors import Invalid, Text
from hub.model import Sealed

_JOSE = "application/jose"
_RANGE = re.compile(r"bytes=[ \t]*(?:([0-9]{1,15})-([0-9]{1,15})?|-([0-9]{1,15}))[ \t]*", re.IGNORECASE)
_WHOLE, _PART = 200, 206


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Which bytes of a content are served: from ``start`` up to ``end``, which is not among them."""

    start: int
    end: int


class Download:
    """One answer with a sealed content, as the header fields of its request ask for it."""

    def __init__(self, headers: Headers) -> None:
        self._range = headers.get("range")
        self._if_range = headers.get("if-range")
        self._stretch: Stretch | None = None

    def begin(self, sealed: Sealed) -> int:
        """Return the byte from which on the content is to be read.

        Raises:
            Invalid: the range that was asked for lies behind its end (slug ``range-not-satisfiable``).
        """
        self._stretch = self._wanted(sealed)
        return 0 if self._stretch is None else self._stretch.start

    def answer(self, sealed: Sealed, chunks: Iterator[bytes]) -> Response:
        """Return the answer; ``chunks`` begin where :meth:`begin` said."""
        stretch = self._stretch
        if stretch is None:
            return StreamingResponse(chunks, _WHOLE, media_type=_JOSE, headers=facts_of(sealed))
        length = stretch.end - stretch.start
        here = {
            "Content-Length": str(length),
            "Content-Range": f"bytes {stretch.start}-{stretch.end - 1}/{sealed.size}",
        }
        return StreamingResponse(_first(chunks, length), _PART, media_type=_JOSE, headers=facts_of(sealed) | here)

    def _wanted(self, sealed: Sealed) -> Stretch | None:
        """Return the range that is asked for, None for the whole; ``If-Range`` must name this very content."""
        found = None if self._range is None else _RANGE.fullmatch(self._range)
        if found is None or (self._if_range is not None and self._if_range.strip() != _etag(sealed)):
            return None
        first, last, final = (None if each is None else int(each) for each in found.groups())
        if first is None:
            start, end = max(0, sealed.size - (final or 0)), sealed.size
        else:
            start, end = first, sealed.size if last is None else min(last + 1, sealed.size)
            if last is not None and last < first:
                return None  # No range at all, and to be passed over (RFC 9110, section 14.1.1).
        if start >= end:
            raise _not_satisfiable(sealed.size)
        return Stretch(start=start, end=end)


def facts_of(sealed: Sealed) -> dict[str, str]:
    """Return the header fields of a content that is served whole."""
    return {
        "Content-Length": str(sealed.size),
        "Cache-Control": "no-store",
        "Accept-Ranges": "bytes",
        "ETag": _etag(sealed),
        "Repr-Digest": f"sha-512=:{b64encode(bytes.fromhex(sealed.sha512)).decode('ascii')}:",
    }


def _etag(sealed: Sealed) -> str:
    return f'"{sealed.sha512[:64]}"'


def _first(chunks: Iterator[bytes], length: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[:length]
        length -= len(chunk)
        if length <= 0:
            return


def _not_satisfiable(size: int) -> Invalid:
    return Invalid(
        Text(
            f"Der verlangte Bereich liegt hinter dem Ende: Der Inhalt hat {size} Byte.",
            f"The range that was asked for lies behind the end: the content has {size} bytes.",
        ),
        slug="range-not-satisfiable",
        size=size,
    )
