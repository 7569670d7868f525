"""Tables that people keep in files: CSV with a header, in UTF-8; every refusal names file and row."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from pathlib import Path

from hub.errors import ConfigurationError, Text


def sheet_rows(
    path: Path, *, columns: Collection[str], largest: int, strict: bool = True
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (row number, fields) of a file of at most ``largest`` bytes, separated by semicolons.

    ``strict``: it has these ``columns`` and no others. Else it has these at least, and commas may separate them, too.

    Raises:
        ConfigurationError: The file cannot be read, is too large, or its columns are others.
    """
    lines = _lines(path, largest)
    comma = not strict and lines and ";" not in lines[0]
    reader = csv.DictReader(lines, delimiter="," if comma else ";")
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


def _lines(path: Path, largest: int) -> list[str]:
    try:
        if path.stat().st_size > largest:
            raise bad_row(path, 1, Text("Die Datei ist zu groß.", "The file is too large."))
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        why = Text("Die Datei fehlt oder ist nicht als UTF-8 lesbar.", "The file is missing or not readable as UTF-8.")
        raise bad_row(path, 1, why) from exc
