"""The table of authorities that are to be taken in: what a spreadsheet saves, read row by row, every fault by its cell.

Columns have a German and an English name. Text is UTF-8, with or without a mark, or Windows-1252 as spreadsheets write it;
semicolons separate. Keys and passwords are files that a cell names, and never stand in the table.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hub.errors import Invalid, Text
from hub.files.sheets import disarmed, foreign_format, rearmed

#: Bytes; 2,000 rows have less.
LARGEST = 2 * 1024 * 1024
#: The authorities of a whole land are some hundreds.
MOST_ROWS = 2_000
_LONGEST_CELL = 1_000
#: Faults that are told at once; more are counted.
MOST_FAULTS = 500
#: Every column by its English name: the German one, and whether a row may leave it empty.
COLUMNS: Mapping[str, tuple[str, bool]] = {
    "name": ("name", False),
    "ars": ("ars", False),
    "contact": ("kontakt", False),
    "template": ("vorlage", True),
    "adapter": ("adapter", True),
    "address": ("adresse", True),
    "options": ("optionen", True),
    "encryption_key": ("schluessel_verschluesselung", False),
    "signing_key": ("schluessel_signatur", False),
    "password_file": ("passwortdatei", True),
}
_GERMAN = ", ".join(german for german, _ in COLUMNS.values())
_MUST = ("name", "ars", "contact", "encryption_key", "signing_key")
_BY_WORD = {word: english for english, (german, _) in COLUMNS.items() for word in (english, german)}


@dataclass(frozen=True, kw_only=True, slots=True)
class CellFault:
    """What is wrong in one cell: its row as spreadsheets count (the header is row 1), and its column as the table calls it."""

    row: int
    column: str
    text: Text

    def as_json(self) -> dict[str, object]:
        """Return it for programs."""
        return {"row": self.row, "column": self.column, "text": {"de": self.text.de, "en": self.text.en}}


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetRow:
    """One row: its cells by the English names of columns; what is not there is empty."""

    number: int
    cells: Mapping[str, str] = field(repr=False)

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """All rows of a table, and how it calls its columns, by their English names."""

    rows: Sequence[SheetRow]
    words: Mapping[str, str]

    def fault(self, row: SheetRow, column: str, text: Text) -> CellFault:
        """Return a fault of one cell."""
        return CellFault(row=row.number, column=self.words.get(column, column), text=text)


def refused(faults: Sequence[CellFault]) -> Invalid:
    """Return the refusal of a table with all its faults (slug ``onboarding-faults``)."""
    shown = sorted(faults, key=lambda each: (each.row, each.column))[:MOST_FAULTS]
    return Invalid(
        Text(
            f"Die Tabelle hat {len(faults)} Fehler; aufgenommen wurde nichts.",
            f"The table has {len(faults)} faults; nothing was taken in.",
        ),
        slug="onboarding-faults",
        faults=[each.as_json() for each in shown],
        count=len(faults),
    )


def read_sheet(content: bytes) -> Sheet:
    """Return the rows of a table.

    Raises:
        Invalid: it is too large or no such table, or rows of it have too many cells or too long ones (``onboarding-faults``).
    """
    text = _decoded(content)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True)
    try:
        lines = [(row, cells) for row, cells in enumerate(reader, start=1) if any(cell.strip() for cell in cells)]
    except csv.Error as exc:
        raise _endless(reader.line_num) from exc
    if not lines:
        raise refused([_whole(1, "Die Tabelle ist leer.", "The table is empty.")])
    if len(lines) - 1 > MOST_ROWS:
        raise refused([_whole(1, f"Mehr als {MOST_ROWS} Zeilen.", f"More than {MOST_ROWS} rows.")])
    words = _header(lines[0][1])
    return Sheet(rows=_rows(lines[1:], list(words)), words=words)


def _endless(number: int) -> Invalid:
    return refused(
        [
            _whole(
                number,
                "Ein Feld hört nicht auf: Prüfen Sie die Anführungszeichen.",
                "A field does not end.",
            )
        ]
    )


def write_sheet(rows: Sequence[Mapping[str, str]]) -> bytes:
    """Return a table of rows as spreadsheets open it: UTF-8 with a mark, no cell a formula."""
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, delimiter=";", lineterminator="\r\n")
    writer.writerow([german for german, _ in COLUMNS.values()])
    for each in rows:
        writer.writerow([disarmed(each.get(column, "")) for column in COLUMNS])
    return sink.getvalue().encode("utf-8-sig")


def _decoded(content: bytes) -> str:
    if len(content) > LARGEST:
        size = LARGEST // (1024 * 1024)
        raise refused([_whole(1, f"Die Datei ist größer als {size} MiB.", f"The file is larger than {size} MiB.")])
    foreign = foreign_format(content)
    if foreign is not None:
        raise refused([CellFault(row=1, column="", text=foreign)])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            return content.decode("cp1252")
        except UnicodeDecodeError as exc:
            raise refused(
                [_whole(1, "Das ist weder UTF-8 noch Windows-1252.", "This is neither UTF-8 nor Windows-1252.")]
            ) from exc


def _header(cells: Sequence[str]) -> dict[str, str]:
    """Return the columns by their English names, in the order of the table, each with the word that the table has."""
    found: dict[str, str] = {}
    faults = []
    for cell in cells:
        word = cell.strip().casefold()
        column = _BY_WORD.get(word)
        if column is None or column in found:
            shown = disarmed(cell.strip()[:40])
            faults.append(
                _whole(
                    1,
                    f"Diese Spalte gibt es nicht oder zweimal: „{shown}“. Es gibt: {_GERMAN}.",
                    f"There is no such column, or it stands twice: '{shown}'. Columns: {', '.join(COLUMNS)}.",
                )
            )
            continue
        found[column] = cell.strip()
    missing = [COLUMNS[each][0] for each in _MUST if each not in found]
    if missing:
        named = ", ".join(missing)
        faults.append(_whole(1, f"Es fehlen Spalten: {named}.", f"Columns are missing: {named}."))
    if faults:
        raise refused(faults)
    return found


def _rows(lines: Sequence[tuple[int, list[str]]], columns: Sequence[str]) -> list[SheetRow]:
    found, faults = [], []
    for number, cells in lines:
        if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
            faults.append(_whole(number, "Die Zeile hat zu viele Felder.", "The row has too many fields."))
            continue
        named = {column: rearmed(cell.strip()) for column, cell in zip(columns, cells, strict=False)}
        faults += [
            CellFault(row=number, column=column, text=_TOO_LONG)
            for column, cell in named.items()
            if len(cell) > _LONGEST_CELL
        ]
        faults += [
            CellFault(row=number, column=column, text=_UNPRINTABLE)
            for column, cell in named.items()
            if len(cell) <= _LONGEST_CELL and not cell.isprintable()
        ]
        found.append(SheetRow(number=number, cells=named))
    if faults:
        raise refused(faults)
    return found


def _whole(row: int, de: str, en: str) -> CellFault:
    return CellFault(row=row, column="", text=Text(de, en))


_TOO_LONG = Text(f"Länger als {_LONGEST_CELL} Zeichen.", f"Longer than {_LONGEST_CELL} characters.")
_UNPRINTABLE = Text("Das Feld enthält Steuerzeichen.", "The field holds control characters.")
