"""What TUS 1.0.0 says in header fields (tus.io, "Resumable Upload Protocol 1.0.x"), read strictly and within caps."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from hub.errors import Malformed, Text, TooLarge
from hub.web.multipart import safe_filename

VERSION = "1.0.0"
EXTENSIONS = (
    "creation",
    "creation-with-upload",
    "creation-defer-length",
    "termination",
    "expiration",
    "checksum",
    "concatenation",
)
#: Names of ``Tus-Checksum-Algorithm``, each with its digest's bytes; hashlib knows them under the same names.
ALGORITHMS = {"sha1": 20, "sha256": 32, "sha512": 64}
#: The largest number that any of its fields may say: beyond it no engine counts.
LARGEST = (1 << 53) - 1
#: Bytes of ``Upload-Metadata``, and entries in it.
_LONGEST_METADATA = 4096
_MOST_ENTRIES = 32
#: Partial uploads that one final upload may be made of.
MOST_PARTS = 100

_NUMBER = re.compile(r"[0-9]{1,16}")
_KEY = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,64}")
#: Where the secret stands in the path of an upload's URL.
_PLACE = re.compile(r"(?:/[A-Za-z0-9._~-]+)*/hub/v1/uploads/([A-Za-z0-9_-]{43})")
#: Names under which clients send a file's name and media type: tus-js-client's examples, then those of Uppy.
_FILENAMES, _MEDIA_TYPES = ("filename", "name"), ("filetype", "type")
_LONGEST_TYPE = 255
_UNSPECIFIC = "application/octet-stream"


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """What a client says of a file: the field as it came, and what the hub makes of it."""

    said: str | None = field(default=None, repr=False)
    filename: str | None = field(default=None, repr=False)
    media_type: str = _UNSPECIFIC


@dataclass(frozen=True, kw_only=True, slots=True)
class Checksum:
    """What a chunk's digest must be."""

    algorithm: str
    digest: bytes


class ConcatKind(StrEnum):
    """What part an upload has in a concatenation."""

    #: Stands alone.
    WHOLE = "whole"
    #: Is to become a part of a final one.
    PARTIAL = "partial"
    #: Is made of partial ones.
    FINAL = "final"


@dataclass(frozen=True, kw_only=True, slots=True)
class Concat:
    """``Upload-Concat``; ``parts`` are the secrets of a final upload's partial ones, in their order."""

    kind: ConcatKind = ConcatKind.WHOLE
    parts: tuple[str, ...] = field(default=(), repr=False)


def read_number(name: str, value: str) -> int:
    """Return what a field says in digits; raise ``Malformed`` for a sign, anything else, or more than can be counted."""
    if not _NUMBER.fullmatch(value) or int(value) > LARGEST:
        raise _malformed(name, Text("eine Zahl ab 0, in Ziffern", "a number from 0 on, in digits"))
    return int(value)


def read_description(value: str | None) -> Description:
    """Read ``Upload-Metadata``: pairs of a key and a Base64 value, or a key alone.

    Raises:
        TooLarge: more than 4096 bytes or 32 entries. Malformed: a key twice, or something that is no Base64.
    """
    if value is None or not value.strip():
        return Description()
    entries = value.split(",")
    if len(value) > _LONGEST_METADATA or len(entries) > _MOST_ENTRIES:
        raise TooLarge(
            Text(
                f"Upload-Metadata ist zu groß: erlaubt sind {_LONGEST_METADATA} Byte und {_MOST_ENTRIES} Angaben.",
                f"Upload-Metadata is too large: {_LONGEST_METADATA} bytes and {_MOST_ENTRIES} entries are allowed.",
            ),
            limit=_LONGEST_METADATA,
        )
    said: dict[str, bytes] = {}
    for entry in entries:
        key, _, encoded = entry.strip(" ").partition(" ")
        if not _KEY.fullmatch(key) or key in said:
            raise _malformed_metadata()
        said[key] = _base64(encoded)
    filename = next((_text(said[name]) for name in _FILENAMES if name in said), None)
    kind = next((_text(said[name]) for name in _MEDIA_TYPES if said.get(name)), _UNSPECIFIC)
    return Description(
        said=value,
        filename=None if filename is None else safe_filename(filename),
        media_type=kind if len(kind) <= _LONGEST_TYPE else _UNSPECIFIC,
    )


def read_checksum(value: str | None) -> Checksum | None:
    """Read ``Upload-Checksum``: an algorithm and a digest in Base64.

    Raises:
        Malformed: an algorithm that is not announced, or no digest of it.
    """
    if value is None:
        return None
    algorithm, _, encoded = value.partition(" ")
    wanted = Text(
        f"eines von {', '.join(ALGORITHMS)}, ein Leerzeichen und der Hashwert in Base64",
        f"one of {', '.join(ALGORITHMS)}, a blank and the digest in Base64",
    )
    try:
        digest = binascii.a2b_base64(encoded, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed("Upload-Checksum", wanted) from error
    if ALGORITHMS.get(algorithm) != len(digest):
        raise _malformed("Upload-Checksum", wanted)
    return Checksum(algorithm=algorithm, digest=digest)


def read_concat(value: str | None) -> Concat:
    """Read ``Upload-Concat``: ``partial``, or ``final;`` and the URLs of partial uploads of this hub, absolute or not.

    Raises:
        Malformed: something else, a part twice, or none. TooLarge: more than 100 parts.
    """
    if value is None:
        return Concat()
    if value == "partial":
        return Concat(kind=ConcatKind.PARTIAL)
    word, _, urls = value.partition(";")
    named = urls.split()
    if word != "final" or not named:
        raise _malformed("Upload-Concat", Text("partial, oder final;URL URL …", "partial, or final;URL URL …"))
    if len(named) > MOST_PARTS:
        raise _too_many_parts()
    parts = tuple(secret_in(url) or "" for url in named)
    if not all(parts) or len(set(parts)) < len(parts):
        raise _no_uploads()
    return Concat(kind=ConcatKind.FINAL, parts=parts)


def _too_many_parts() -> TooLarge:
    return TooLarge(
        Text(f"Mehr als {MOST_PARTS} Teile sind nicht erlaubt.", f"More than {MOST_PARTS} parts are not allowed."),
        limit=MOST_PARTS,
    )


def _no_uploads() -> Malformed:
    return _malformed(
        "Upload-Concat",
        Text("Adressen von Uploads dieses Hubs, jede einmal", "addresses of uploads of this hub, each once"),
    )


def secret_in(url: str) -> str | None:
    """Return the secret that stands in the URL of an upload, None where it is none of this hub.

    A hub behind a proxy has several names, so that of the host decides nothing: the secret does.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    if parts.scheme not in {"", "http", "https"} or parts.query or parts.fragment:
        return None
    found = _PLACE.fullmatch(parts.path)
    return None if found is None else found[1]


def _base64(encoded: str) -> bytes:
    if not encoded:
        return b""
    try:
        return binascii.a2b_base64(encoded, strict_mode=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed_metadata() from error


def _text(value: bytes) -> str:
    """Return a value as text; what is no UTF-8 names no file."""
    return value.decode("utf-8", "replace")


def _malformed_metadata() -> Malformed:
    return _malformed(
        "Upload-Metadata",
        Text("Paare „Name Base64“, durch Komma getrennt, jeder Name einmal", "pairs 'name Base64', each name once"),
    )


def _malformed(name: str, wanted: Text, **members: Any) -> Malformed:
    return Malformed(
        Text(f"{name} ist nicht lesbar. Verlangt: {wanted.de}.", f"{name} cannot be read. Required: {wanted.en}."),
        field=name,
        **members,
    )
