"""Kinds of files by their content: each that is taken, each lie, and what passes as two things at once."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import pytest

from hub.errors import ConfigurationError, Text, UnsupportedMedia
from hub.scanning.kinds import (
    DOCX,
    JPEG,
    JSON,
    ODT,
    PDF,
    PLAIN,
    PNG,
    PPTX,
    STANDARD,
    TIFF,
    XLSX,
    XML,
    ZIP,
    KindJudge,
    allow_list,
)

PART = Text("Anlage 1", "Attachment 1")


def judged(content: bytes, declared: str = "application/octet-stream", *, allowed=STANDARD, cut: int = 1000) -> str:
    judge = KindJudge(declared=declared, allowed=allowed, part=PART)
    for at in range(0, len(content), cut):
        judge.write(content[at : at + cut])
    return judge.finish()


def archive(*names: str, first: tuple[str, bytes] | None = None) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        if first is not None:
            made.writestr(zipfile.ZipInfo(first[0]), first[1])
        for name in names:
            made.writestr(name, b"content")
    return file.getvalue()


def png() -> bytes:
    def piece(kind: bytes, content: bytes) -> bytes:
        return struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content))

    head = struct.pack("!IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + piece(b"IHDR", head) + piece(b"IDAT", zlib.compress(b"\0\0")) + piece(b"IEND", b"")


PDF_FILE = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj<<>>endobj\n" + b"0" * 5_000 + b"\n%%EOF\n"
TYPES = "[Content_Types].xml"
MIMETYPE = ("mimetype", b"application/vnd.oasis.opendocument.text")
JPEG_FILE = b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\0" * 100 + b"\xff\xd9"
FILES = {
    PDF: PDF_FILE,
    JPEG: JPEG_FILE,
    PNG: png(),
    TIFF: b"II*\0\x08\0\0\0" + b"\0" * 50,
    PLAIN: "Grüß Gott,\r\nÄpfel\n".encode(),
    JSON: b'{"a": 1}\n',
    XML: b"\xef\xbb\xbf<?xml version='1.0'?><a/>",
    DOCX: archive(TYPES, "_rels/.rels", "word/document.xml"),
    XLSX: archive(TYPES, "_rels/.rels", "xl/workbook.xml"),
    PPTX: archive(TYPES, "_rels/.rels", "ppt/presentation.xml"),
    ODT: archive("content.xml", first=MIMETYPE),
}


@pytest.mark.parametrize("cut", [1, 7_000], ids=["byte by byte", "at once"])
@pytest.mark.parametrize("kind", FILES)
def test_each_kind_is_told_however_it_arrives(kind, cut):
    assert judged(FILES[kind], cut=cut) == kind
    assert judged(FILES[kind], kind, cut=cut) == kind


REFUSED = {
    "nothing": b"",
    "a program": b"MZ\x90\0" + b"\0" * 600,
    "a program for Linux": b"\x7fELF" + b"\0" * 600,
    "a script": b"#!/bin/sh\nrm -rf /\n",
    "a page": b"<!DOCTYPE html><html></html>",
    "a page behind blanks and a mark": b"\xef\xbb\xbf  \n<HTML>",
    "a drawing that can run programs": b"<?xml version='1.0'?><svg:svg xmlns:svg='x'/>",
    "a text that holds a page": b"Guten Tag\n<script>alert(1)</script>",
    "a text with control characters": b"Guten\x00Tag",
    "a PDF with a file behind it": PDF_FILE + b"MZ" * 500,
    "a PDF with an archive behind it": PDF_FILE + archive("a.exe"),
    "a PDF that does not begin as one": b"\n\n" + PDF_FILE,
    "a PDF without an end": PDF_FILE[:-7],
    "a picture with an archive behind it": JPEG_FILE + archive("a.class"),
    "a picture with anything behind its end": png() + b"x",
    "a document with macros": archive(TYPES, "word/document.xml", "word/vbaProject.bin"),
    "a document with a control": archive(TYPES, "word/document.xml", "word/activeX/activeX1.xml"),
    "a document of another office with macros": archive("Basic/script-lc.xml", first=MIMETYPE),
    "two documents in one": archive(TYPES, "word/document.xml", "xl/workbook.xml"),
    "an archive without a directory": archive("a")[:-22],
    "an archive with something behind it": archive(TYPES, "word/document.xml") + b"x",
    "an old office document": bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600,
    "an archive of files": archive("a.txt"),
}


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_what_is_none_of_them_or_two_at_once_is_refused_whatever_it_is_declared(content):
    for declared in ("application/octet-stream", PDF, PLAIN):
        with pytest.raises(UnsupportedMedia) as caught:
            judged(content, declared)
        assert caught.value.slug == "attachment-kind-refused"


LIES = [
    (PDF, "image/png"),
    (PNG, PDF),
    (DOCX, "application/zip"),
    (PLAIN, "text/html"),
    (XML, "image/svg"),
    (PDF, PLAIN),
]


@pytest.mark.parametrize(("kind", "declared"), LIES)
def test_a_declared_type_that_contradicts_the_content_is_refused(kind, declared):
    with pytest.raises(UnsupportedMedia) as caught:
        judged(FILES[kind], declared)
    assert (caught.value.slug, caught.value.members["content"]) == ("attachment-kind-contradicted", kind)


SAME = [
    (JPEG, "image/jpg"),
    (XML, "text/xml"),
    (XML, "application/gml+xml"),
    (JSON, "text/plain"),
    (PLAIN, "text/csv;a=b"),
]


@pytest.mark.parametrize(
    ("kind", "declared"), [*SAME, (PDF, "Application/PDF; name=x"), (JSON, "application/geo+json")]
)
def test_other_words_for_the_same_are_no_lie(kind, declared):
    assert judged(FILES[kind], declared) == kind


def test_an_archive_of_files_is_taken_where_that_is_allowed():
    assert judged(archive("a.txt"), ZIP, allowed=frozenset({ZIP})) == ZIP


def test_a_program_is_refused_by_its_first_bytes():
    judge = KindJudge(declared=PDF, allowed=STANDARD, part=PART)
    with pytest.raises(UnsupportedMedia):
        judge.write(b"MZ" + b"\0" * 10)


def test_a_refusal_names_the_place_and_what_is_possible():
    with pytest.raises(UnsupportedMedia) as caught:
        judged(FILES[PNG], allowed=frozenset({PDF, JPEG}))
    assert "Anlage 1 ist ihrem Inhalt nach PNG" in caught.value.detail.de
    assert "PDF, JPEG" in caught.value.detail.de


def test_an_allow_list_is_read_and_says_what_it_does_not_know():
    assert allow_list("any") is None
    assert allow_list("standard") == STANDARD
    assert allow_list("application/pdf application/zip") == {PDF, ZIP}
    for wrong in ("", "application/x-msdownload", "any standard"):
        with pytest.raises(ConfigurationError):
            allow_list(wrong)
