"""Names of files that strangers chose: what may be shown of them, and what may be a name on a disk. One judge for all rooms.

By allow-list: a character counts if Unicode calls it a letter, a mark, a number, punctuation, a symbol or a blank, and draws
something for it. Controls, marks of direction, soft hyphens, line separators, private and unassigned characters are in no such
class; the letters and marks that draw nothing are named below (Unicode 15, ``Default_Ignorable_Code_Point`` and the blank of
Braille). So a name looks like what it is, and two that look alike for what cannot be seen are the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

#: Classes of what can be seen (Unicode chapter 4.5): letters, marks, numbers, punctuation, symbols; blanks become one of ours.
_SEEN = frozenset("LMNPS")
_BLANK = "Zs"
#: Letters, marks and symbols by their class, and yet nothing to see.
_EMPTY = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
#: What some file system, shell or header takes for something else than a character of a name.
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
#: Longest name in bytes; common file systems allow 255, some archives less.
_LONGEST = 120
_LONGEST_SUFFIX = 20
#: Characters that are looked at: a name is at most 255 anywhere.
_LONGEST_WISH = 4096


def is_seen(text: str) -> bool:
    """Tell whether every character of a text can be seen; a plain blank can."""
    return all(_shown(character) == character for character in text)


def seen(text: str) -> str:
    """Return what of a text can be seen, composed (NFC); every blank is the plain one."""
    return "".join(map(_shown, unicodedata.normalize("NFC", text[:_LONGEST_WISH])))


def last_part(path: str) -> str:
    """Return what stands behind the last slash of either kind."""
    return re.split(r"[/\\]", path)[-1]


def safe_name(wish: str | None, fallback: str) -> str:
    """Return a safe form of ``wish``, or ``fallback`` where nothing usable is left.

    It leads into no folder, is hidden and reserved nowhere, deceives nobody who reads it, and has 120 bytes at most; a usual
    suffix stays.
    """
    name = _FORBIDDEN.sub("_", seen(last_part(wish or ""))).strip(" .")
    if not name or _RESERVED.fullmatch(name):
        return fallback
    return _shortened(name)


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


def _shown(character: str) -> str:
    kind = unicodedata.category(character)
    if kind == _BLANK:
        return " "
    return character if kind[0] in _SEEN and not _EMPTY.match(character) else ""


def _shortened(name: str) -> str:
    if len(name.encode()) <= _LONGEST:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > _LONGEST_SUFFIX:
        stem, dot, suffix = name, "", ""
    room = _LONGEST - len((dot + suffix).encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip(" .") + dot + suffix
