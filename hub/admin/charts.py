"""Activity as numbers that a template draws as inline SVG: bars of what happened, and a step line of what waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from hub.store.reports import Activity, Tally

#: Units of the drawing; the sheet stretches it to the width there is.
WIDTH, HEIGHT, STRIP = 480, 72, 28
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
    rows = tuple(
        Row(
            since=activity.since + bucket * activity.span,
            accepted=counts["accepted"][bucket],
            delivered=counts["delivered"][bucket],
            failed=counts["failed"][bucket],
            waiting=waiting[bucket],
        )
        for bucket in range(buckets)
    )
    return Plot(
        bars=tuple(_bars(counts, top, buckets)),
        top=top,
        outline=_outline(waiting),
        most_waiting=max(waiting),
        sums={name: sum(counts[name]) for name in _SERIES},
        rows=rows,
        since=activity.since,
        until=activity.since + buckets * activity.span,
        span=activity.span,
    )


def whole_spans(now: datetime, span: timedelta, buckets: int) -> datetime:
    """Return where ``buckets`` whole spans begin of which the last one holds ``now``."""
    seconds = span.total_seconds()
    end = (now.timestamp() // seconds + 1) * seconds
    return datetime.fromtimestamp(end, now.tzinfo) - buckets * span


def _bars(counts: Mapping[str, Sequence[int]], top: int, buckets: int) -> Iterable[Bar]:
    slot = WIDTH / buckets
    width = slot * 0.8 / len(_SERIES)
    for at, name in enumerate(_SERIES):
        for bucket, number in enumerate(counts[name]):
            if number:
                # Beside a thousand a single one would be too low to see, and one failure is what people look for.
                height = max(2.0, HEIGHT * number / top)
                yield Bar(
                    series=name,
                    x=round(bucket * slot + at * width + slot * 0.1, 2),
                    y=round(HEIGHT - height, 2),
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
    slot = WIDTH / len(waiting)
    points = [(0.0, float(STRIP))]
    for bucket, number in enumerate(waiting):
        y = round(STRIP * (1 - number / most), 2)
        points += [(round(bucket * slot, 2), y), (round((bucket + 1) * slot, 2), y)]
    points.append((float(WIDTH), float(STRIP)))
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _counts(tallies: Iterable[Tally], buckets: int) -> list[int]:
    counts = [0] * buckets
    for tally in tallies:
        if 0 <= tally.bucket < buckets:
            counts[tally.bucket] += tally.count
    return counts
