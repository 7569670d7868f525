"""What usage is counted in: days and months as people have them, outcomes, and times as histograms of fixed bounds.

Percentiles do not add, histograms do: whoever sums days to months, or services to a municipality, sums buckets and takes the
percentile of the sum. A percentile is therefore as exact as its bucket is narrow; within it values count as spread evenly.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

from hub.errors import Malformed, Text

#: Days and months of figures are those of the authorities' calendars.
ZONE = ZoneInfo("Europe/Berlin")
_HOUR, _DAY = 3600, 86_400
#: Seconds at which buckets end; never changed, for rows of past months hold their numbers. The last bucket has no end.
BOUNDS: tuple[int, ...] = (
    *(1, 5, 15, 60, 300, 900, 1800),
    *(hours * _HOUR for hours in (1, 2, 4, 8, 12)),
    *(days * _DAY for days in (1, 2, 3, 5, 7, 10, 14, 21, 28, 42, 56, 91, 182, 365)),
)
#: The number of a bucket where there is no time, because nothing came to that point.
NO_BUCKET = -1
_MONTH = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])")
#: The kind of a problem, as the last part of its URI.
_CAUSE = re.compile(r"[a-z][a-z0-9-]{1,39}")
OTHER_CAUSE = "other"


class UsageOutcome(StrEnum):
    """How far a submission came; each counts in exactly one."""

    #: Accepted by the hub, not delivered yet.
    OPEN = "open"
    #: The authority has it and has not answered.
    DELIVERED = "delivered"
    #: The authority took it over.
    ACCEPTED = "accepted"
    #: The authority, or the hub in its place, turned it down; the cause says why.
    REJECTED = "rejected"
    #: The hub gave its delivery up; the cause says why.
    GIVEN_UP = "given-up"


#: Where the authority has the submission.
ARRIVED = frozenset({UsageOutcome.DELIVERED, UsageOutcome.ACCEPTED, UsageOutcome.REJECTED})


def bucket_of(took: timedelta) -> int:
    """Return the number of the bucket that a time falls into; one that seems negative, by two clocks, into the first."""
    return bisect_right(BOUNDS, took.total_seconds())


def percentile(histogram: Mapping[int, int], share: float) -> float | None:
    """Return below which hours ``share`` of the counted times lie; None where none was counted.

    Of the bucket without an end its beginning is told: it is at least as long.
    """
    counted = {bucket: number for bucket, number in histogram.items() if bucket != NO_BUCKET and number > 0}
    wanted = share * sum(counted.values())
    passed = 0
    for bucket in sorted(counted):
        if passed + counted[bucket] >= wanted:
            begin = 0 if bucket == 0 else BOUNDS[bucket - 1]
            end = BOUNDS[bucket] if bucket < len(BOUNDS) else begin
            return (begin + (end - begin) * (wanted - passed) / counted[bucket]) / _HOUR
        passed += counted[bucket]
    return None


@dataclass(frozen=True, order=True, slots=True)
class Month:
    """A month of the calendar."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Read ``YYYY-MM``; raise ``Malformed`` for anything else."""
        found = _MONTH.fullmatch(text)
        if found is None:
            raise Malformed(
                Text(
                    "Der Monat ist keiner. Schreiben Sie ihn als JJJJ-MM, zum Beispiel 2026-10.",
                    "This is no month. Write it as YYYY-MM, 2026-10 for example.",
                )
            )
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, day: date) -> Month:
        """Return the month of a day."""
        return cls(day.year, day.month)

    @property
    def first(self) -> date:
        """Its first day."""
        return date(self.year, self.number, 1)

    @property
    def after(self) -> Month:
        """The month after it."""
        return Month(self.year + self.number // 12, self.number % 12 + 1)

    @property
    def before(self) -> Month:
        """The month before it."""
        return Month.of(self.first - timedelta(days=1))

    def days(self) -> Iterator[date]:
        """Yield its days."""
        day = self.first
        while day < self.after.first:
            yield day
            day += timedelta(days=1)

    def __str__(self) -> str:
        """Write it as ``YYYY-MM``."""
        return f"{self.year:04}-{self.number:02}"


def day_of(at: datetime) -> date:
    """Return the day of an instant."""
    return at.astimezone(ZONE).date()


def span_of(day: date) -> tuple[datetime, datetime]:
    """Return when a day begins and when it is over (UTC): two days a year have other than 24 hours."""
    begin, end = (datetime.combine(one, time_of_day(), ZONE) for one in (day, day + timedelta(days=1)))
    return begin.astimezone(UTC), end.astimezone(UTC)


def cause_of(payload: Any) -> str:
    """Return the kind of the first problem that a reject event's payload names; ``other`` for none, or one in no form."""
    problems = payload.get("problems") if isinstance(payload, dict) else None
    first = problems[0] if isinstance(problems, list) and problems else None
    kind = first.get("type") if isinstance(first, dict) else None
    last = re.split(r"[/:#]", kind)[-1].lower() if isinstance(kind, str) else ""
    return last if _CAUSE.fullmatch(last) else OTHER_CAUSE
