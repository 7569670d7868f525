"""Pictures as numbers: plots and a map that a template draws as inline SVG.

Activity as numbers that a template draws as inline SVG: bars of what happened, and a step line of what waits.

A map without geodata: one tile for each district, where it lies among its neighbours, more or less.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from hub.admin.request import Visit
from hub.routing import DistrictCover
from hub.store import Activity, Tally

#: Units of the drawing; the sheet stretches it to the width there is.
PLOT_WIDTH, PLOT_HEIGHT, STRIP = 480, 72, 28
_HOURS, _DAYS = 24, 30
_SERIES = ("accepted", "delivered", "failed")


@dataclass(frozen=True, kw_only=True, slots=True)
class Bar:
    """One bar, in the plot's own units from the top left."""

    series: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One span of time in numbers; ``waiting`` is how many were open at its end."""

    since: datetime
    accepted: int
    delivered: int
    failed: int
    waiting: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """Bars and their largest count, the outline of what waits (SVG points) and its largest, sums, and every number."""

    bars: tuple[Bar, ...]
    top: int
    outline: str
    most_waiting: int
    sums: Mapping[str, int]
    rows: tuple[Row, ...]
    since: datetime
    until: datetime
    span: timedelta

    @property
    def empty(self) -> bool:
        """Tell whether there is nothing to draw."""
        return not self.bars and not self.most_waiting


def by_destination(activity: Activity) -> Mapping[UUID, Activity]:
    """Return the activity of each destination that did anything."""
    found: dict[UUID, dict[str, list[Tally]]] = defaultdict(lambda: defaultdict(list))
    for name in (*_SERIES, "ended"):
        for tally in getattr(activity, name):
            found[tally.destination_id][name].append(tally)
    return {
        here: replace(
            activity,
            accepted=tuple(series["accepted"]),
            delivered=tuple(series["delivered"]),
            ended=tuple(series["ended"]),
            failed=tuple(series["failed"]),
        )
        for here, series in found.items()
    }


def plot_of(activity: Activity, *, buckets: int, open_now: int) -> Plot:
    """Return the plot of all destinations of an activity together over ``buckets`` spans, the last of which is now's.

    ``open_now`` is how many of their deliveries are queued or wait in a mailbox.
    """
    counts = {name: _counts(getattr(activity, name), buckets) for name in (*_SERIES, "ended")}
    waiting = _backwards(counts["accepted"], counts["ended"], open_now)
    top = max(1, *(number for name in _SERIES for number in counts[name]))
    rows = _rows(activity, counts, waiting)
    return Plot(
        bars=tuple(bars_of(counts, top, buckets)),
        top=top,
        outline=_outline(waiting),
        most_waiting=max(waiting),
        sums={name: sum(counts[name]) for name in _SERIES},
        rows=rows,
        since=activity.since,
        until=activity.since + buckets * activity.span,
        span=activity.span,
    )


def _rows(activity: Activity, counts: Mapping[str, Sequence[int]], waiting: Sequence[int]) -> tuple[Row, ...]:
    return tuple(
        Row(
            since=activity.since + bucket * activity.span,
            accepted=counts["accepted"][bucket],
            delivered=counts["delivered"][bucket],
            failed=counts["failed"][bucket],
            waiting=waiting[bucket],
        )
        for bucket in range(len(waiting))
    )


def whole_spans(now: datetime, span: timedelta, buckets: int) -> datetime:
    """Return where ``buckets`` whole spans begin of which the last one holds ``now``."""
    seconds = span.total_seconds()
    end = (now.timestamp() // seconds + 1) * seconds
    return datetime.fromtimestamp(end, now.tzinfo) - buckets * span


class Activities:
    """The last 24 hours and 30 days of everything in a person's scope, as plots of one destination or of all."""

    def __init__(self, visit: Visit) -> None:
        hour, day = timedelta(hours=1), timedelta(days=1)
        self._hours = visit.scope.activity(since=whole_spans(visit.now, hour, _HOURS), span=hour)
        self._days = visit.scope.activity(since=whole_spans(visit.now, day, _DAYS), span=day)
        self._by_hour = by_destination(self._hours)
        self._by_day = by_destination(self._days)

    def day(self, open_now: int, here: UUID | None = None) -> Plot:
        """Return the plot of the last 24 hours, of all destinations or of one."""
        return plot_of(_part(self._hours, self._by_hour, here), buckets=_HOURS, open_now=open_now)

    def month(self, open_now: int, here: UUID | None = None) -> Plot:
        """Return the plot of the last 30 days, of all destinations or of one."""
        return plot_of(_part(self._days, self._by_day, here), buckets=_DAYS, open_now=open_now)

    def failing(self) -> set[UUID]:
        """Return the destinations with attempts in vain within the last 24 hours."""
        return {tally.destination_id for tally in self._hours.failed}


def _part(whole: Activity, parts: Mapping[UUID, Activity], here: UUID | None) -> Activity:
    if here is None:
        return whole
    return parts.get(here, replace(whole, accepted=(), delivered=(), ended=(), failed=()))


def bars_of(counts: Mapping[str, Sequence[int]], top: int, buckets: int) -> Iterable[Bar]:
    """Yield the bars of the series ``accepted``, ``delivered`` and ``failed``; ``top`` is what the highest counts."""
    slot = PLOT_WIDTH / buckets
    width = slot * 0.8 / len(_SERIES)
    for at, name in enumerate(_SERIES):
        for bucket, number in enumerate(counts[name]):
            if number:
                # Beside a thousand a single one would be too low to see, and one failure is what people look for.
                height = max(2.0, PLOT_HEIGHT * number / top)
                yield Bar(
                    series=name,
                    x=round(bucket * slot + at * width + slot * 0.1, 2),
                    y=round(PLOT_HEIGHT - height, 2),
                    width=round(width, 2),
                    height=round(height, 2),
                )


def _backwards(came: Sequence[int], ended: Sequence[int], open_now: int) -> list[int]:
    """Return how many were open at the end of each span: known for now, and reckoned back from there."""
    found = [open_now]
    for bucket in range(len(came) - 1, 0, -1):
        found.append(max(0, found[-1] - came[bucket] + ended[bucket]))
    return found[::-1]


def _outline(waiting: Sequence[int]) -> str:
    most = max(waiting)
    if not most:
        return ""
    slot = PLOT_WIDTH / len(waiting)
    points = [(0.0, float(STRIP))]
    for bucket, number in enumerate(waiting):
        y = round(STRIP * (1 - number / most), 2)
        points += [(round(bucket * slot, 2), y), (round((bucket + 1) * slot, 2), y)]
    points.append((float(PLOT_WIDTH), float(STRIP)))
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _counts(tallies: Iterable[Tally], buckets: int) -> list[int]:
    counts = [0] * buckets
    for tally in tallies:
        if 0 <= tally.bucket < buckets:
            counts[tally.bucket] += tally.count
    return counts


#: In units of the drawing.
TILE_WIDTH, TILE_HEIGHT, GUTTER = 92, 64, 6
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
            x=placed[each.ars][0] * (TILE_WIDTH + GUTTER) + GUTTER,
            y=placed[each.ars][1] * (TILE_HEIGHT + GUTTER) + GUTTER,
            label=placed[each.ars][2],
            district=each,
        )
        for each in districts
    ]
    rows = max((row for _, row, _ in placed.values()), default=0) + 1
    return TileMap(
        tiles=tuple(sorted(tiles, key=lambda tile: (tile.y, tile.x))),
        width=_COLUMNS * (TILE_WIDTH + GUTTER) + GUTTER,
        height=rows * (TILE_HEIGHT + GUTTER) + GUTTER,
    )
