"""Safe file names from what a sender wrote: one path component, harmless on every file system, unique in its folder."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

#: Longest name in bytes; common file systems allow 255, some archives less.
_LONGEST = 120
_LONGEST_SUFFIX = 20
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
#: What a file without a name may be called by, RFC 2046 and IANA's registry of media types: nothing that runs where it is
#: opened, HTML and SVG included.
_SUFFIXES = {
    "application/json": ".json",
    "application/pdf": ".pdf",
    "application/xml": ".xml",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/tiff": ".tif",
    "text/csv": ".csv",
    "text/plain": ".txt",
    "text/xml": ".xml",
}
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")


def safe_name(wish: str | None, fallback: str) -> str:
    """Return a safe form of ``wish``, or ``fallback`` where nothing usable is left."""
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", wish or ""))[-1]
    # Category C holds controls, direction marks and surrogates: names that look other than they are.
    shown = "".join(letter for letter in last if unicodedata.category(letter)[0] != "C")
    name = _FORBIDDEN.sub("_", shown).strip(" .")
    if not name or _RESERVED.fullmatch(name):
        return fallback
    return _shortened(name)


def suffix_for(media_type: str) -> str:
    """Return the suffix of a file that has no name of its own; ``.bin`` for what is not well known."""
    return _SUFFIXES.get(media_type.partition(";")[0].strip().lower(), ".bin")


def unique_names(names: Iterable[str]) -> Iterator[str]:
    """Yield each name, numbered where an earlier one is the same on some file system."""
    taken: set[str] = set()
    for name in names:
        candidate, number = name, 1
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{number}-{name}"
        taken.add(candidate.casefold())
        yield candidate


def _shortened(name: str) -> str:
    if len(name.encode()) <= _LONGEST:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > _LONGEST_SUFFIX:
        stem, dot, suffix = name, "", ""
    room = _LONGEST - len((dot + suffix).encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") + dot + suffix
