"""Lists of the operator's own: postal codes, and parts of municipalities; judged once when they are imported.

None is shipped: there is none of the authorities, and what others collect has licences of its own. They are kept in the data
folder, and the gazetteer of the moment holds what they say.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hub.areas.area import AGS_LENGTH, Area, Place
from hub.areas.gazetteer import Gazetteer, read_parts, read_postal_codes
from hub.errors import Invalid, Malformed, Text
from hub.files import vault
from hub.files.sheets import bad_row
from hub.files.watched import WatchedFile, stamp_of

_CODE = re.compile(r"[0-9]{5}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Imported:
    """What an import brought: codes, municipalities, codes of several municipalities, and rows of unknown lands."""

    codes: int
    municipalities: int
    shared: int
    foreign: int


def import_postal_codes(gazetteer: Gazetteer, source: Path, target: Path) -> Imported:
    """Judge the list ``source`` (CSV with the columns plz and ars, or ags) and keep it as ``target``, whole or not at all.

    Of rows of lands that the gazetteer does not hold only the land is kept, and they are counted.

    Raises:
        ConfigurationError: a code that is not five digits, a key that is none (a leading zero is lost), an unknown
            municipality, or nothing to keep; names file and row.
    """
    owners: dict[str, set[str]] = {}
    elsewhere: dict[str, set[str]] = {}
    foreign = 0
    for row, code, key in read_postal_codes(source):
        if not _CODE.fullmatch(code):
            why = Text(
                "Eine Postleitzahl hat fünf Ziffern. Prüfen Sie führende Nullen.",
                "A postal code has five digits. Check for a lost leading zero.",
            )
            raise bad_row(source, row, why)
        owner = _owner(gazetteer, source, row, key)
        if owner is None:
            foreign += 1
            elsewhere.setdefault(code, set()).add(key[:2])
        else:
            owners.setdefault(code, set()).add(owner)
    _require_some(source, owners)
    kept = owners | {code: lands for code, lands in elsewhere.items() if code not in owners}
    _write(target, "plz;ars", ((code, ars) for code in sorted(kept) for ars in sorted(kept[code])))
    return Imported(
        codes=len(owners),
        municipalities=len(set().union(*owners.values())),
        shared=sum(len(each) > 1 for each in owners.values()),
        foreign=foreign,
    )


#: Characters of a part's name; the longest of a municipality has 50.
_LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportedParts:
    """What an import brought: names, municipalities that have some, names of several, and rows of unknown lands."""

    parts: int
    municipalities: int
    shared: int
    foreign: int


def import_parts(gazetteer: Gazetteer, source: Path, target: Path) -> ImportedParts:
    """Judge the list ``source`` (CSV with the columns name and ars, or ags) and keep it as ``target``, whole or not at all.

    Rows of lands that the gazetteer does not hold are counted and left out.

    Raises:
        ConfigurationError: a name that is none, a key that is none, an unknown municipality, or nothing to keep; names file
            and row.
    """
    owners: dict[str, set[str]] = {}
    foreign = 0
    for row, name, key in read_parts(source):
        if not 1 < len(name) <= _LONGEST_NAME or ";" in name or not name.isprintable():
            why = Text(
                f"Ein Name hat 2 bis {_LONGEST_NAME} Zeichen, ohne Semikolon und Steuerzeichen.",
                f"A name has 2 to {_LONGEST_NAME} characters, without semicolons and control characters.",
            )
            raise bad_row(source, row, why)
        owner = _owner(gazetteer, source, row, key)
        if owner is None:
            foreign += 1
        else:
            owners.setdefault(name, set()).add(owner)
    _require_some(source, owners)
    _write(target, "name;ars", ((name, ars) for name in sorted(owners) for ars in sorted(owners[name])))
    return ImportedParts(
        parts=len(owners),
        municipalities=len(set().union(*owners.values())),
        shared=sum(len(each) > 1 for each in owners.values()),
        foreign=foreign,
    )


def _owner(gazetteer: Gazetteer, source: Path, row: int, key: str) -> str | None:
    """Return the ARS of the municipality that a row names by a key; None where it is of a land that is not held."""
    _require_key(source, row, key)
    return _named(gazetteer, source, row, key).area.ars if key[:2] in gazetteer.lands else None


def _require_some(source: Path, owners: Mapping[str, set[str]]) -> None:
    if not owners:
        raise bad_row(
            source, 1, Text("Die Liste nennt keine bekannte Gemeinde.", "The list names no known municipality.")
        )


def _named(gazetteer: Gazetteer, source: Path, row: int, key: str) -> Place:
    place = gazetteer.by_ags(key) if len(key) == AGS_LENGTH else gazetteer.find(key)
    if place is None:
        why = gazetteer.meant(key) or Text(
            "Diesen ARS oder AGS gibt es nicht. Prüfen Sie führende Nullen.",
            "There is no such ARS or AGS. Check for lost leading zeros.",
        )
        raise bad_row(source, row, why)
    return place


def _require_key(source: Path, row: int, key: str) -> None:
    """Refuse what is no ARS or AGS, most often for a spreadsheet has taken its leading zero."""
    try:
        if len(key) == AGS_LENGTH:
            Area.from_ars(key[:2])
        else:
            Area.from_ars(key)
    except (Malformed, Invalid) as exc:
        raise bad_row(source, row, exc.detail) from exc


def _write(target: Path, head: str, rows: Iterable[tuple[str, str]]) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lines = [head, *(";".join(row) for row in rows)]
    vault.write(target, "".join(f"{line}\n" for line in lines).encode())


class GazetteerBook(WatchedFile[Gazetteer]):
    """Gives the areas with the operator's lists, where there are any; areas never change while the hub runs.

    Lists that do not fit the areas do not stop the start: then there are none.
    """

    def __init__(
        self,
        areas: Gazetteer,
        codes: Path,
        parts: Path | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        lists = [codes] if parts is None else [codes, parts]

        def read() -> Gazetteer:
            known = areas.with_parts(parts) if parts is not None and parts.is_file() else areas
            return known.with_postal_codes(codes) if codes.is_file() else known

        def look() -> tuple[tuple[int, int, int] | None, ...]:
            return tuple(stamp_of(each) for each in lists)

        what = "postal codes and parts (hub areas import-postal-codes, import-parts)"
        super().__init__(look, read, what=what, otherwise=areas, monotonic=monotonic)
