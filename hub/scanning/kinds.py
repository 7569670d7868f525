"""What kind of file something is, by its content alone: what it is called decides nothing.

Two have to agree: the library's guess by the first bytes, and a strict look of ours at beginning and end, for each kind that
is taken. What passes as two things at once is refused: a ZIP behind a picture, a page behind a text, anything after a PDF's
end. An office document is what its directory says, and one with macros is none of these kinds. Nothing is unpacked; how deep
an archive goes is bounded by the scanner.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from hub.errors import ConfigurationError, Text, UnsupportedMedia

PDF = "application/pdf"
JPEG = "image/jpeg"
PNG = "image/png"
TIFF = "image/tiff"
PLAIN = "text/plain"
JSON = "application/json"
XML = "application/xml"
ZIP = "application/zip"
_OOXML = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."
DOCX, XLSX, PPTX = (
    f"{_OOXML}{each}" for each in ("wordprocessingml.document", "spreadsheetml.sheet", "presentationml.presentation")
)
ODT, ODS, ODP = (f"{_ODF}{each}" for each in ("text", "spreadsheet", "presentation"))
#: What ``standard`` stands for in settings.
STANDARD: Final = frozenset({PDF, JPEG, PNG, TIFF, PLAIN, JSON, XML, DOCX, XLSX, PPTX, ODT, ODS, ODP})
#: Every kind that can be told for certain, and so be allowed.
KNOWN: Final = STANDARD | {ZIP}
#: Says nothing of the content (RFC 2046, section 4.5.1).
UNSPECIFIC: Final = frozenset({"application/octet-stream", "binary/octet-stream", ""})
_SAME: Mapping[str, str] = {
    "application/x-pdf": PDF,
    "image/jpg": JPEG,
    "image/pjpeg": JPEG,
    "image/x-png": PNG,
    "image/tif": TIFF,
    "text/xml": XML,
    "text/json": JSON,
    "application/x-zip-compressed": ZIP,
}
_NAMES: Mapping[str, Text] = {
    PDF: Text("PDF", "PDF"),
    JPEG: Text("JPEG", "JPEG"),
    PNG: Text("PNG", "PNG"),
    TIFF: Text("TIFF", "TIFF"),
    PLAIN: Text("reiner Text", "plain text"),
    JSON: Text("JSON", "JSON"),
    XML: Text("XML", "XML"),
    ZIP: Text("ZIP", "ZIP"),
    DOCX: Text("DOCX", "DOCX"),
    XLSX: Text("XLSX", "XLSX"),
    PPTX: Text("PPTX", "PPTX"),
    ODT: Text("ODT", "ODT"),
    ODS: Text("ODS", "ODS"),
    ODP: Text("ODP", "ODP"),
}
#: Bytes of a beginning and an end that are looked at; a ZIP's directory has to fit into its end.
_HEAD, _TAIL = 8_192, 262_144
_CONTROLS = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
#: What a browser would take for a page or a drawing that runs programs, in what says it is text or XML.
_PAGE = re.compile(rb"<(?:!doctype\s+html|(?:[a-z0-9]+:)?(?:html|svg|script|iframe|body)\b)|<\?php", re.IGNORECASE)
_PDF_HEAD = re.compile(rb"%PDF-[12]\.[0-9]")
_PDF_END = re.compile(rb"%%EOF[\x00\t\n\x0c\r ]*\Z")
_PNG_END = b"IEND\xaeB`\x82"
_ZIP_END = b"PK\x05\x06"
_LOCAL = b"PK\x03\x04"
_MIMETYPE = re.compile(rb"PK\x03\x04.{22}\x08\x00(?:\x00\x00|..)mimetype([\x20-\x7e]{10,90}?)(?=PK|\Z)", re.DOTALL)
_MACROS = re.compile(r"(?:^|/)(?:vbaproject|vbadata|activex|scripts/|basic/)|\.bin$", re.IGNORECASE)
_PARTS = {"word/": DOCX, "xl/": XLSX, "ppt/": PPTX}
#: Entries of a directory that are read.
_MOST_ENTRIES = 4_000


def allow_list(text: str) -> frozenset[str] | None:
    """Read what settings allow: ``any`` (None: nothing is judged), ``standard``, or media types separated by blanks.

    Raises:
        ConfigurationError: one of them is no kind that can be told by its content.
    """
    if text == "any":
        return None
    words = frozenset().union(*(STANDARD if word == "standard" else {word} for word in text.split()))
    unknown = sorted(words - KNOWN)
    if unknown or not words:
        known = ", ".join(sorted(KNOWN))
        raise ConfigurationError(
            Text(
                f"erwartet wird any, standard oder Medientypen aus: {known}",
                f"expected is any, standard, or media types out of: {known}",
            )
        )
    return words


def kind_of(head: bytes, tail: bytes, *, is_text: bool) -> str | None:
    """Return the media type of a file; None where it is of none that is known, or could pass as two.

    ``head`` are its first bytes, ``tail`` its last; ``is_text`` says that no byte of it is a control character.
    """
    import filetype  # Takes its time to load, and few programs judge files.

    guess = filetype.guess_mime(head)
    for kind, looks in _LOOKS.items():
        if looks(head, tail):
            # What the library takes for something else is at least two things.
            return kind if guess in {None, kind} and not _has_zip(tail) else None
    if head.startswith(_LOCAL):
        return _archive(head, tail)
    return _text(head, tail) if is_text and guess in {None, XML, "text/xml", PLAIN} else None


def _is_pdf(head: bytes, tail: bytes) -> bool:
    return _PDF_HEAD.match(head) is not None and _PDF_END.search(tail) is not None


def _is_tiff(head: bytes, tail: bytes) -> bool:  # noqa: ARG001  # its end says nothing
    return head.startswith((b"II*\0", b"MM\0*"))


def _is_jpeg(head: bytes, tail: bytes) -> bool:  # noqa: ARG001  # cameras write behind its end
    return head.startswith(b"\xff\xd8\xff")


def _is_png(head: bytes, tail: bytes) -> bool:
    return head.startswith(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR") and tail.endswith(_PNG_END)


_LOOKS = {PDF: _is_pdf, JPEG: _is_jpeg, PNG: _is_png, TIFF: _is_tiff}


def _has_zip(tail: bytes) -> bool:
    """Whether what reads archives from their end would find one (APPNOTE.TXT, 4.3.16)."""
    at = tail.rfind(_ZIP_END)
    return at >= 0 and len(tail) - at >= 22  # noqa: PLR2004  # bytes of that record


def _text(head: bytes, tail: bytes) -> str | None:
    begin = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not begin or _PAGE.search(head) or b"%PDF-" in head or _has_zip(tail):
        return None
    if begin.startswith(b"<?xml") or re.match(rb"<[A-Za-z_][\w.:-]*[\s/>]", begin):
        return XML
    return JSON if begin[:1] in {b"{", b"["} and tail.rstrip()[-1:] in {b"}", b"]"} else PLAIN


def _archive(head: bytes, tail: bytes) -> str | None:
    """Return what an archive is by its directory: an office document, or an archive of files."""
    names = list(_entries(tail))
    if not names:
        return None
    said = _MIMETYPE.match(head)
    if said is not None:
        kind = said[1].decode("ascii")
        return kind if kind in {ODT, ODS, ODP} and names[0] == "mimetype" and not _macros(names) else None
    if "[Content_Types].xml" not in names:
        return ZIP
    kinds = {kind for part, kind in _PARTS.items() if any(name.startswith(part) for name in names)}
    return kinds.pop() if len(kinds) == 1 and not _macros(names) else None


def _macros(names: Collection[str]) -> bool:
    return any(
        _MACROS.search(name) and not name.startswith(("word/media/", "xl/media/", "ppt/media/")) for name in names
    )


def _entries(tail: bytes) -> Iterator[str]:
    """Yield the names in a ZIP's directory; nothing where it is not whole within ``tail`` or the file does not end with it."""
    end = tail.rfind(_ZIP_END)
    if end < 0 or len(tail) - end < 22:  # noqa: PLR2004  # bytes of that record
        return
    count, size, _offset, comment = struct.unpack_from("<HIIH", tail, end + 10)
    at = end - size
    if at < 0 or len(tail) - end - 22 != comment or count > _MOST_ENTRIES:
        return
    found = []
    for _ in range(count):
        if tail[at : at + 4] != b"PK\x01\x02" or at + 46 > end:
            return
        name, extra, remark = struct.unpack_from("<HHH", tail, at + 28)
        found.append(tail[at + 46 : at + 46 + name].decode("utf-8", errors="replace"))
        at += 46 + name + extra + remark
    if at == end:
        yield from found


class KindJudge:
    """Judges one file while it streams past; keeps its beginning and its end, at most 264 KiB."""

    def __init__(self, *, declared: str, allowed: frozenset[str], part: Text) -> None:
        """``declared`` is what its sender says it is; ``part`` names it in a refusal."""
        self._declared = essence(declared)
        self._allowed = allowed
        self._part = part
        self._head = b""
        self._tail = b""
        self._is_text = True

    def write(self, chunk: bytes) -> None:
        """Look at a further chunk.

        Raises:
            UnsupportedMedia: it begins as a program, and need not be read any further.
        """
        if len(self._head) < _HEAD:
            self._head += chunk[: _HEAD - len(self._head)]
            if self._head.startswith((b"MZ", b"\x7fELF", b"\xca\xfe\xba\xbe", b"#!")):
                raise self._refused(None)
        self._tail = (self._tail + chunk)[-_TAIL:] if len(chunk) < _TAIL else chunk[-_TAIL:]
        self._is_text = self._is_text and _CONTROLS.search(chunk) is None

    def finish(self) -> str:
        """Return the file's media type.

        Raises:
            UnsupportedMedia: its kind is not allowed or cannot be told, or it is not what it is declared to be.
        """
        kind = kind_of(self._head, self._tail, is_text=self._is_text)
        if kind is None or kind not in self._allowed:
            raise self._refused(kind)
        if not agrees(self._declared, kind):
            raise _contradicted(self._part, kind)
        return kind

    def _refused(self, kind: str | None) -> UnsupportedMedia:
        allowed = [_NAMES[each] for each in KNOWN_ORDER if each in self._allowed]
        is_de = (
            "von keiner Art, die sich sicher erkennen lässt" if kind is None else f"ihrem Inhalt nach {_NAMES[kind].de}"
        )
        is_en = "of no kind that can be told for certain" if kind is None else f"by its content {_NAMES[kind].en}"
        return UnsupportedMedia(
            Text(
                f"{self._part.de} ist {is_de} und wird nicht angenommen. Möglich sind: "
                f"{', '.join(each.de for each in allowed)}. Wandeln Sie die Datei um; ihr Name ändert daran nichts.",
                f"{self._part.en} is {is_en} and is not taken. Possible are: "
                f"{', '.join(each.en for each in allowed)}. Convert the file; its name makes no difference.",
            ),
            slug="attachment-kind-refused",
            allowed=sorted(self._allowed),
        )


#: In the order in which people are told of them.
KNOWN_ORDER = tuple(_NAMES)


def essence(declared: str) -> str:
    """Return type and subtype of a declared media type, in lower case (RFC 9110, section 8.3.1)."""
    return declared.partition(";")[0].strip(" \t").lower()


def agrees(declared: str, kind: str) -> bool:
    """Whether a declared type, as :func:`essence` gives it, is one for files of a kind."""
    meant = _SAME.get(declared, declared)
    if meant in UNSPECIFIC or meant == kind:
        return True
    text = {PLAIN, JSON, XML}
    if kind == XML:
        return meant.endswith("+xml") or meant == PLAIN
    if kind == JSON:
        return meant.endswith("+json") or meant == PLAIN
    return kind in text and meant.startswith("text/") and meant not in {"text/html", "text/javascript"}


def _contradicted(part: Text, kind: str) -> UnsupportedMedia:
    return UnsupportedMedia(
        Text(
            f"{part.de} ist ihrem Inhalt nach {_NAMES[kind].de}, wurde aber als etwas anderes angegeben. Geben Sie als "
            f"Content-Type {kind} an, oder senden Sie die richtige Datei.",
            f"{part.en} is by its content {_NAMES[kind].en}, but was declared to be something else. Declare it as "
            f"{kind} in its Content-Type, or send the right file.",
        ),
        slug="attachment-kind-contradicted",
        content=kind,
    )
