"""Postal codes: a list of the operator's own, judged once when it is imported, and kept in the data folder.

No list is shipped: there is none of the authorities, and what others collect has licences of its own.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from hub.areas.area import AGS_LENGTH
from hub.areas.files import read_postal_codes
from hub.areas.gazetteer import Gazetteer
from hub.errors import Text
from hub.files.sheets import bad_row

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

    Rows of lands that the gazetteer does not hold are left out and counted.

    Raises:
        ConfigurationError: a code that is not five digits, an unknown municipality, or nothing to keep; names file and row.
    """
    owners: dict[str, set[str]] = {}
    foreign = 0
    for row, code, key in read_postal_codes(source):
        if not _CODE.fullmatch(code):
            raise bad_row(source, row, Text("Eine Postleitzahl hat fünf Ziffern.", "A postal code has five digits."))
        if gazetteer.find(key[:2]) is None and key[:2].isdigit():
            foreign += 1
            continue
        place = gazetteer.by_ags(key) if len(key) == AGS_LENGTH else gazetteer.find(key)
        if place is None:
            why = Text(
                "Diesen ARS oder AGS gibt es nicht. Prüfen Sie führende Nullen.",
                "There is no such ARS or AGS. Check for lost leading zeros.",
            )
            raise bad_row(source, row, why)
        owners.setdefault(code, set()).add(place.area.ars)
    if not owners:
        raise bad_row(
            source, 1, Text("Die Liste nennt keine bekannte Gemeinde.", "The list names no known municipality.")
        )
    _write(target, owners)
    return Imported(
        codes=len(owners),
        municipalities=len(set().union(*owners.values())),
        shared=sum(len(each) > 1 for each in owners.values()),
        foreign=foreign,
    )


def _write(target: Path, owners: dict[str, set[str]]) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = target.with_suffix(".new")
    with fresh.open("w", encoding="utf-8", newline="\n") as file:
        file.write("plz;ars\n")
        file.writelines(f"{code};{ars}\n" for code in sorted(owners) for ars in sorted(owners[code]))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(target)
