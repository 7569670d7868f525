"""Files that people enclose: what is taken, judged while it streams past, and what their names become.

A file is what its first bytes say, whatever it is called. Nothing here opens, unpacks or draws one; what cannot be shown
without running something of it is not taken.
"""

from __future__ import annotations

import hashlib
import io
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from typing import IO, Any

from hub.errors import Malformed, TooLarge, UnsupportedMedia
from hub.forms.form_file import EasyText
from hub.web.filenames import last_part

#: Media types that are taken: how their files begin, and how their names end; the first ending is given to names without one.
KINDS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "application/pdf": (b"%PDF-", (".pdf",)),
    "image/jpeg": (b"\xff\xd8\xff", (".jpg", ".jpeg")),
    "image/png": (b"\x89PNG\r\n\x1a\n", (".png",)),
}
_HEAD = max(len(begin) for begin, _ in KINDS.values())
#: Characters of a name, its ending included; schemas allow 200.
_LONGEST_NAME = 120
#: Of what can be seen, what schemas take in the name of a file: letters as far as German forms know them, digits, and
#: some punctuation.
_STRANGE = re.compile(r"[^A-Za-z0-9À-ÖØ-öø-ž ._()+,=-]")
_MIB = 1024 * 1024


class Inspection:
    """A file's chunks, passed on as they are judged; afterwards ``kind``, ``size`` and ``sha512`` tell what passed.

    Iterating raises ``UnsupportedMedia`` (its beginning is of no kind that is taken), ``Malformed`` (it is empty) or
    ``TooLarge`` (more than ``limit`` bytes).
    """

    def __init__(self, chunks: Iterable[bytes], *, limit: int) -> None:
        self._chunks = chunks
        self._limit = limit
        self._digest = hashlib.sha512()
        self.kind = ""
        self.size = 0

    @property
    def sha512(self) -> str:
        """The hash of what passed, in lower-case hex."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        head = b""
        for chunk in self._chunks:
            if self.kind:
                yield self._passed(chunk)
                continue
            head += chunk
            if len(head) >= _HEAD:
                self.kind = kind_of(head)
                yield self._passed(head)
        if not self.kind:
            if not head:
                raise Malformed(_EMPTY)
            self.kind = kind_of(head)
            yield self._passed(head)

    def _passed(self, chunk: bytes) -> bytes:
        self.size += len(chunk)
        if self.size > self._limit:
            raise too_large(self._limit)
        self._digest.update(chunk)
        return chunk


def kind_of(head: bytes) -> str:
    """Return the media type of a file by its first bytes; raise ``UnsupportedMedia`` where it is none that is taken."""
    for media_type, (begin, _) in KINDS.items():
        if head.startswith(begin):
            return media_type
    raise UnsupportedMedia(_OTHER_KIND)


def name_for(given: str, media_type: str, taken: Collection[str]) -> str:
    """Return what a file is called from now on: plain letters, the ending of its kind, and no name that is ``taken``."""
    plain = _STRANGE.sub("_", unicodedata.normalize("NFC", last_part(given))).strip(". ")
    endings = KINDS[media_type][1]
    stem, ending = plain, endings[0]
    for each in endings:
        if plain.lower().endswith(each):
            stem, ending = plain[: -len(each)], plain[-len(each) :]
    stem = stem[: _LONGEST_NAME - 10].strip(". ") or "datei"
    name, number = f"{stem}{ending}", 2
    while name in taken:
        name, number = f"{stem} ({number}){ending}", number + 1
    return name


class ChunkStream(io.RawIOBase):
    """Chunks as a file that can be read once, from its beginning."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the chunks; 0 at their end."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def opened(chunks: Iterable[bytes]) -> IO[bytes]:
    """Return chunks as a file."""
    return io.BufferedReader(ChunkStream(chunks), buffer_size=_MIB)


def too_large(limit: int) -> TooLarge:
    """Return the refusal of a file, or of all files of a form together, beyond so many bytes."""
    most = f"{limit // _MIB} MB"
    return TooLarge(
        EasyText(
            f"Die Datei ist zu groß. Möglich sind {most}. Verkleinern Sie sie, oder teilen Sie sie auf.",
            f"The file is too large. {most} are possible. Make it smaller, or divide it.",
            easy=f"Die Datei ist zu groß. Sie darf {most} groß sein. Wählen Sie eine kleinere Datei.",
        ),
        limit=limit,
    )


def too_many(most: int) -> TooLarge:
    """Return the refusal of one file more than a form takes."""
    return TooLarge(
        EasyText(
            f"Das sind zu viele Dateien. Möglich sind {most}. Fassen Sie mehrere Seiten in einer PDF-Datei zusammen.",
            f"These are too many files. {most} are possible. Put several pages into one PDF file.",
            easy=f"Das sind zu viele Dateien. Es gehen {most}. Machen Sie aus mehreren Seiten eine PDF-Datei.",
        ),
        limit=most,
    )


_OTHER_KIND = EasyText(
    "Diese Art von Datei wird nicht angenommen. Bitte nehmen Sie PDF, JPEG oder PNG.",
    "This kind of file is not taken. Please take PDF, JPEG or PNG.",
    easy="Diese Datei geht nicht. Nehmen Sie eine PDF-Datei oder ein Bild (JPEG, PNG).",
)
_EMPTY = EasyText(
    "Die Datei ist leer. Bitte wählen Sie eine andere.",
    "The file is empty. Please choose another.",
    easy="In der Datei ist nichts. Wählen Sie eine andere.",
)
