"""Tables that people keep in files: CSV with a header, in UTF-8; every refusal names file and row.

A spreadsheet saved in its own format, or another file altogether, is told by what it is.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

from hub.errors import ConfigurationError, Text


def sheet_rows(
    path: Path, *, columns: Collection[str], largest: int, strict: bool = True
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (row number, fields) of a file of at most ``largest`` bytes, separated by semicolons.

    ``strict``: it has these ``columns`` and no others. Else it has these at least, in upper or lower case, and commas may
    separate them, too; names come in lower case then.

    Raises:
        ConfigurationError: The file cannot be read, is too large, or its columns are others.
    """
    lines = _lines(path, largest)
    comma = not strict and lines and ";" not in lines[0]
    reader = csv.DictReader(lines, delimiter="," if comma else ";")
    try:
        yield from _fields(path, reader, columns, strict=strict)
    except csv.Error as exc:
        why = Text(
            "Ein Feld hört nicht auf. Prüfen Sie die Anführungszeichen in dieser und den Zeilen davor.",
            "A field does not end. Check the quotation marks in this row and those before it.",
        )
        raise bad_row(path, reader.line_num, why) from exc


def _fields(
    path: Path, reader: csv.DictReader[str], columns: Collection[str], *, strict: bool
) -> Iterator[tuple[int, dict[str, str]]]:
    if not strict and reader.fieldnames is not None:
        # Whoever writes such lists writes PLZ, plz or Plz.
        reader.fieldnames = [name.strip().casefold() for name in reader.fieldnames]
    found = sorted(reader.fieldnames or ())
    if not set(columns) <= set(found) or (strict and found != sorted(columns)):
        raise bad_row(path, 1, Text(f"Spalten: {', '.join(columns)}.", f"Columns: {', '.join(columns)}."))
    for row, fields in enumerate(reader, start=2):
        if None in fields or None in fields.values():
            raise bad_row(path, row, Text("Die Zahl der Spalten stimmt nicht.", "The number of columns is wrong."))
        yield row, fields


def bad_row(path: Path, row: int, why: Text) -> ConfigurationError:
    """Return the refusal of one row of a file."""
    return ConfigurationError(
        Text(f"{path.name}, Zeile {row}: {why.de}", f"{path.name}, row {row}: {why.en}"), file=path.name, row=row
    )


def foreign_format(content: bytes) -> Text | None:
    """Return what a file is that is no text (a workbook, a picture, an archive) and what to do, None for a text."""
    for name, marks in _FORMATS.items():
        if content.startswith(marks):
            return _instead(*_NAMES[name])
    if content.startswith(_ZIP):
        # The names of the members stand in clear, at least at the end.
        found = next(
            (kind for mark, kind in _ZIPPED.items() if mark in content[:4096] or mark in content[-65536:]), "zip"
        )
        return _instead(*_NAMES[found])
    if content.lstrip(b"\xef\xbb\xbf \t\r\n")[:14].lower().startswith((b"<!doctype html", b"<html", b"<?xml")):
        return _instead(*_NAMES["markup"])
    return None


_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_ZIPPED = {
    b"xl/": "xlsx",
    b"opendocument.spreadsheet": "ods",
    b"Index/Document.iwa": "numbers",
    b"word/": "docx",
}
_FORMATS: dict[str, tuple[bytes, ...]] = {
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",),
    "pdf": (b"%PDF-",),
    "gzip": (b"\x1f\x8b", b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"BZh"),
    "picture": (b"\x89PNG", b"\xff\xd8\xff", b"GIF8"),
    "utf-16": (b"\xff\xfe", b"\xfe\xff"),
}
_NAMES = {
    "xlsx": ("eine Excel-Arbeitsmappe (XLSX)", "an Excel workbook (XLSX)"),
    "xls": ("eine ältere Office-Datei, meist Excel (XLS)", "an old Office file, Excel as a rule (XLS)"),
    "ods": ("eine OpenDocument-Tabelle (ODS)", "an OpenDocument spreadsheet (ODS)"),
    "numbers": ("eine Numbers-Tabelle", "a Numbers spreadsheet"),
    "docx": ("ein Word-Dokument (DOCX)", "a Word document (DOCX)"),
    "zip": ("ein ZIP-Archiv", "a ZIP archive"),
    "gzip": ("ein gepacktes Archiv", "a packed archive"),
    "pdf": ("ein PDF", "a PDF"),
    "picture": ("ein Bild", "a picture"),
    "utf-16": ("ein Text in UTF-16, weder UTF-8 noch Windows-1252", "a text in UTF-16, neither UTF-8 nor Windows-1252"),
    "markup": ("eine Webseite oder XML-Datei", "a web page or an XML file"),
}  # fmt: skip


def _instead(german: str, english: str) -> Text:
    return Text(
        f"Das ist {german}. Speichern Sie die Tabelle als „CSV UTF-8“, und wählen Sie diese Datei.",
        f"This is {english}. Save the table as 'CSV UTF-8', and choose that file.",
    )


def _lines(path: Path, largest: int) -> list[str]:
    try:
        if path.stat().st_size > largest:
            raise bad_row(path, 1, Text("Die Datei ist zu groß.", "The file is too large."))
        content = path.read_bytes()
        foreign = foreign_format(content)
        if foreign is not None:
            raise bad_row(path, 1, foreign)
        return content.decode("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        why = Text("Die Datei fehlt oder ist nicht als UTF-8 lesbar.", "The file is missing or not readable as UTF-8.")
        raise bad_row(path, 1, why) from exc


#: A spreadsheet takes a cell that begins so for a formula (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "'")


def disarmed(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula: with an apostrophe before it where one would."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def rearmed(cell: str) -> str:
    """Return what :func:`disarmed` was given."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(_FORMULA) else cell
