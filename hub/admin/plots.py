"""Bars as numbers: what a template needs to draw one destination's activity as inline SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from hub.store.overview import Activity, Tally

WIDTH, HEIGHT = 480, 72
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
class Plot:
    """The bars of one destination, the largest count, and the sums by series."""

    bars: tuple[Bar, ...]
    top: int
    sums: Mapping[str, int]
    since: datetime
    until: datetime


def plot_of(activity: Activity, destination_id: UUID, *, buckets: int) -> Plot:
    """Return the plot of one destination over ``buckets`` spans."""
    counts = {name: _counts(getattr(activity, name), destination_id, buckets) for name in _SERIES}
    top = max(1, *(number for series in counts.values() for number in series))
    slot = WIDTH / buckets
    width = slot * 0.8 / len(_SERIES)
    bars = tuple(
        Bar(
            series=name,
            x=round(bucket * slot + at * width + slot * 0.1, 2),
            y=round(HEIGHT * (1 - number / top), 2),
            width=round(width, 2),
            height=round(HEIGHT * number / top, 2),
        )
        for at, name in enumerate(_SERIES)
        for bucket, number in enumerate(counts[name])
        if number
    )
    sums = {name: sum(series) for name, series in counts.items()}
    return Plot(bars=bars, top=top, sums=sums, since=activity.since, until=activity.since + buckets * activity.span)


def whole_spans(now: datetime, span: timedelta, buckets: int) -> datetime:
    """Return where ``buckets`` whole spans begin of which the last one holds ``now``."""
    seconds = span.total_seconds()
    end = (now.timestamp() // seconds + 1) * seconds
    return datetime.fromtimestamp(end, now.tzinfo) - buckets * span


def _counts(tallies: Iterable[Tally], destination_id: UUID, buckets: int) -> list[int]:
    counts = [0] * buckets
    for tally in tallies:
        if tally.destination_id == destination_id and 0 <= tally.bucket < buckets:
            counts[tally.bucket] += tally.count
    return counts
