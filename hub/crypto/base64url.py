"""Base64url without padding (RFC 7515 section 2), strict in both directions.

The standard library's decoder skips foreign characters, takes padding and ignores trailing bits, so that one content
would have many spellings. Here every content has exactly one.
"""

from __future__ import annotations

import binascii
import re

from hub.errors import SealBroken, Text

#: The 64 characters of RFC 4648 section 5.
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

_TO_URL = bytes.maketrans(b"+/", b"-_")
_TO_PLAIN = bytes.maketrans(b"-_", b"+/")
_SEGMENT = re.compile(rb"[A-Za-z0-9_-]*\Z")
#: Last characters whose unused bits are zero, by the length of the segment modulo 4 (RFC 4648 section 3.5).
_CANONICAL_END = {0: ALPHABET, 2: ALPHABET[::16], 3: ALPHABET[::4]}


def encode(content: bytes) -> bytes:
    """Return ``content`` as base64url without padding."""
    return binascii.b2a_base64(content, newline=False).translate(_TO_URL).rstrip(b"=")


def decode(segment: bytes, *, part: str) -> bytes:
    """Return what ``segment`` encodes; ``part`` names it in the error text.

    Raises:
        SealBroken: foreign characters, padding, white space, an impossible length, or trailing bits that are not zero.
    """
    if not _SEGMENT.match(segment):
        raise not_base64url(part)
    require_end(length=len(segment), end=segment[-1:], part=part)
    return decode_checked(segment)


def decode_checked(segment: bytes) -> bytes:
    """Return what ``segment`` encodes where alphabet and end are known to be good (a stream checks them itself)."""
    return binascii.a2b_base64(segment.translate(_TO_PLAIN) + b"=" * (-len(segment) % 4))


def require_end(*, length: int, end: bytes, part: str) -> None:
    """Judge a segment's length in characters and its last character.

    Raises:
        SealBroken: no content has that length, or the last character carries bits that belong to no byte.
    """
    if length % 4 == 1 or (length and end not in _CANONICAL_END[length % 4]):
        raise not_base64url(part)


def not_base64url(part: str) -> SealBroken:
    """Return the refusal of a part that is not canonical base64url."""
    return SealBroken(
        Text(
            f"Der Teil „{part}“ ist kein gültiges Base64url ohne Padding (RFC 7515, Abschnitt 2). "
            "Kodieren Sie ihn ohne „=“, Leerzeichen, Zeilenumbrüche und überzählige Bits.",
            f'Part "{part}" is not valid base64url without padding (RFC 7515, section 2). '
            'Encode it without "=", white space, line breaks and surplus bits.',
        )
    )


class Encoder:
    """Base64url over a stream: carries up to two bytes from one chunk to the next, so that no padding arises inside."""

    def __init__(self) -> None:
        self._carry = b""

    def update(self, content: bytes) -> bytes:
        """Return the characters of all complete groups of three bytes."""
        content = self._carry + content
        whole = len(content) - len(content) % 3
        self._carry = content[whole:]
        return encode(content[:whole])

    def finish(self) -> bytes:
        """Return the last group's characters (0, 2 or 3)."""
        return encode(self._carry)
