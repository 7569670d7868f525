"""Reading the gazetteer's CSV files: semicolon, UTF-8, strict columns; every refusal names file and row."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date, timedelta
from pathlib import Path

from hub.areas.area import Area
from hub.areas.place import AreaKind, Place, Succession
from hub.errors import Invalid, Malformed, Text
from hub.files.sheets import bad_row, sheet_rows

#: A gazetteer of the whole country has 11,000 rows and 1.5 MB; a file beyond this is a mistake.
_LARGEST = 16 * 1024 * 1024
_PLACES = ("ars", "name", "kind", "inhabitants", "valid_from")
_SUCCESSIONS = ("old_ars", "old_name", "old_kind", "new_ars", "on")


def read_places(path: Path) -> Iterator[Place]:
    """Yield the places of a file. Raises :class:`ConfigurationError`."""
    for row, fields in _rows(path, _PLACES):
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
    for row, fields in _rows(path, _SUCCESSIONS):
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
    for row, fields in _rows(path, ["plz"], strict=False):
        key = fields.get("ars") or fields.get("ags")
        if not key:
            raise bad_row(path, row, Text("Es fehlt ars oder ags.", "There is no ars or ags."))
        yield row, fields["plz"], key


def _rows(path: Path, columns: Collection[str], *, strict: bool = True) -> Iterator[tuple[int, dict[str, str]]]:
    return sheet_rows(path, columns=columns, largest=_LARGEST, strict=strict)
