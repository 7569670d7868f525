"""A map without geodata: one tile for each district, where it lies among its neighbours, more or less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hub.routing import DistrictCover

#: In units of the drawing.
WIDTH, HEIGHT, GUTTER = 92, 64, 6
_COLUMNS = 5
#: District -> (column, row, what people call it), Hessen as its number plates have it. New districts go below the map.
_PLACES: Mapping[str, tuple[int, int, str]] = {
    "06635": (1, 0, "KB"),
    "06633": (2, 0, "KS Land"),
    "06611": (3, 0, "KS Stadt"),
    "06636": (4, 0, "ESW"),
    "06534": (1, 1, "MR"),
    "06634": (2, 1, "HR"),
    "06632": (3, 1, "HEF"),
    "06532": (0, 2, "LDK"),
    "06531": (1, 2, "GI"),
    "06535": (2, 2, "VB"),
    "06631": (3, 2, "FD"),
    "06533": (0, 3, "LM"),
    "06434": (1, 3, "HG"),
    "06440": (2, 3, "FB"),
    "06435": (3, 3, "MKK"),
    "06439": (0, 4, "RÜD"),
    "06436": (1, 4, "MTK"),
    "06412": (2, 4, "F"),
    "06413": (3, 4, "OF Stadt"),
    "06415": (4, 4, "HU"),
    "06414": (0, 5, "WI"),
    "06433": (1, 5, "GG"),
    "06438": (2, 5, "OF Land"),
    "06411": (1, 6, "DA Stadt"),
    "06432": (2, 6, "DA Land"),
    "06431": (1, 7, "HP"),
    "06437": (2, 7, "ERB"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One district on the map: its upper left corner, its short name, and what is said of it."""

    x: int
    y: int
    label: str
    district: DistrictCover


@dataclass(frozen=True, kw_only=True, slots=True)
class TileMap:
    """All tiles, and the size of the drawing."""

    tiles: tuple[Tile, ...]
    width: int
    height: int


def tile_map(districts: Sequence[DistrictCover]) -> TileMap:
    """Lay the districts out, in the order in which one reads: the keyboard goes the same way."""
    known = {each.ars: _PLACES[each.ars] for each in districts if each.ars in _PLACES}
    first_free = max((row for _, row, _ in known.values()), default=-1) + 1
    strange = [each.ars for each in districts if each.ars not in known]
    placed = known | {ars: (at % _COLUMNS, first_free + at // _COLUMNS, ars) for at, ars in enumerate(strange)}
    tiles = [
        Tile(
            x=placed[each.ars][0] * (WIDTH + GUTTER) + GUTTER,
            y=placed[each.ars][1] * (HEIGHT + GUTTER) + GUTTER,
            label=placed[each.ars][2],
            district=each,
        )
        for each in districts
    ]
    rows = max((row for _, row, _ in placed.values()), default=0) + 1
    return TileMap(
        tiles=tuple(sorted(tiles, key=lambda tile: (tile.y, tile.x))),
        width=_COLUMNS * (WIDTH + GUTTER) + GUTTER,
        height=rows * (HEIGHT + GUTTER) + GUTTER,
    )
