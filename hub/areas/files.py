"""Reading the gazetteer's CSV files: semicolon, UTF-8, strict columns; every refusal names file and row."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from hub.areas.area import Area
from hub.areas.place import AreaKind, Place, Succession
from hub.errors import ConfigurationError, Invalid, Malformed, Text

#: A gazetteer of the whole country has 11,000 rows and 1.5 MB; a file beyond this is a mistake.
_MAX_FILE_BYTES = 16 * 1024 * 1024


def read_places(path: Path) -> Iterator[Place]:
    """Yield the places of a file. Raises :class:`ConfigurationError`."""
    for row, fields in _rows(path, required={"ars", "name", "kind", "inhabitants", "valid_from"}):
        try:
            yield Place(
                area=Area.from_ars(fields["ars"]),
                name=fields["name"],
                kind=AreaKind(fields["kind"]),
                inhabitants=int(fields["inhabitants"]) if fields["inhabitants"] else None,
                valid_from=date.fromisoformat(fields["valid_from"]) if fields["valid_from"] else None,
            )
        except (ValueError, Invalid, Malformed) as exc:
            raise bad_row(path, row, Text("Die Angaben sind ungültig.", "Its values are invalid.")) from exc


def read_successions(path: Path) -> Iterator[Succession]:
    """Yield the successions of a file. Raises :class:`ConfigurationError`."""
    for row, fields in _rows(path, required={"old_ars", "old_name", "old_kind", "new_ars", "on"}):
        try:
            on = date.fromisoformat(fields["on"])
            old = Place(
                area=Area.from_ars(fields["old_ars"]),
                name=fields["old_name"],
                kind=AreaKind(fields["old_kind"]),
                valid_until=on - timedelta(days=1),
            )
            yield Succession(old=old, new=Area.from_ars(fields["new_ars"]), on=on)
        except (ValueError, Invalid, Malformed) as exc:
            raise bad_row(path, row, Text("Die Angaben sind ungültig.", "Its values are invalid.")) from exc


def read_postal_codes(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (row, postal code, ARS or AGS) of a CSV with the columns ``plz`` and ``ars`` or ``ags``; others are ignored."""
    for row, fields in _rows(path, required={"plz"}, strict=False):
        key = fields.get("ars") or fields.get("ags")
        if not key:
            raise bad_row(path, row, Text("Es fehlt ars oder ags.", "There is no ars or ags."))
        yield row, fields["plz"], key


def _rows(path: Path, *, required: set[str], strict: bool = True) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (row number, fields) of a CSV with a header; the separator is a semicolon or, not ``strict``, a comma."""
    lines = _lines(path)
    comma = not strict and lines and ";" not in lines[0]
    reader = csv.DictReader(lines, delimiter="," if comma else ";")
    columns = set(reader.fieldnames or ())
    if not required <= columns or (strict and columns != required):
        raise bad_row(
            path, 1, Text(f"Spalten: {', '.join(sorted(required))}.", f"Columns: {', '.join(sorted(required))}.")
        )
    for row, fields in enumerate(reader, start=2):
        if None in fields or None in fields.values():
            raise bad_row(path, row, Text("Die Zahl der Spalten stimmt nicht.", "The number of columns is wrong."))
        yield row, fields


def _lines(path: Path) -> list[str]:
    try:
        if path.stat().st_size > _MAX_FILE_BYTES:
            raise bad_row(path, 1, Text("Die Datei ist zu groß.", "The file is too large."))
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        why = Text("Die Datei fehlt oder ist nicht als UTF-8 lesbar.", "The file is missing or not readable as UTF-8.")
        raise bad_row(path, 1, why) from exc


def bad_row(path: Path, row: int, why: Text) -> ConfigurationError:
    """Return the refusal of one row of a file."""
    return ConfigurationError(
        Text(f"{path.name}, Zeile {row}: {why.de}", f"{path.name}, row {row}: {why.en}"), file=path.name, row=row
    )
