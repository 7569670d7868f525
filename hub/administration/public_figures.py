"""Figures for everybody: a finished month by service and by municipality, so that nobody is found in them.

No number below :data:`LEAST` stands there, and none follows from what does. Cells that are too small go into one group with
others; its sum and the total are published, so differences give the sum of the group and no more. Three things would tell a
member of the group all the same, and are avoided by taking further cells into it, in an order that their numbers do not decide:

1. the group's sum is itself too small;
2. its sum is all or nothing of what its members can be, for each of them is then;
3. the cells taken in besides are as small as those may be, so the rest of the sum is nothing.

Who knows the rules and sees that a further cell was taken in learns that one of these held, but not which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: As many submissions at least are behind each published number.
LEAST = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicTable:
    """Cells that are shown by name, and the sum of all others (None: there are none). ``total`` is the sum of both."""

    shown: Mapping[str, int]
    others: int | None
    total: int


def published(cells: Mapping[str, int], *, least: int = LEAST) -> PublicTable | None:
    """Return what may be published of a table whose cells are all that there could be, empty ones included.

    None where nothing may: not even the total.
    """
    small = [key for key, number in cells.items() if number < least]
    total = sum(cells.values())
    if not small:
        return PublicTable(shown=dict(sorted(cells.items())), others=None, total=total) if cells else None
    taken_in = [key for key in sorted(cells) if cells[key] >= least]
    for further in range(len(taken_in) + 1):
        hidden = {*small, *taken_in[:further]}
        others = sum(cells[key] for key in hidden)
        if _is_safe(others, small=len(small), further=further, least=least):
            shown = {key: number for key, number in sorted(cells.items()) if key not in hidden}
            return PublicTable(shown=shown, others=others, total=total)
    return None


def _is_safe(others: int, *, small: int, further: int, least: int) -> bool:
    if further == 0:
        return least <= others < (least - 1) * small
    return others >= least * (further + 1)
