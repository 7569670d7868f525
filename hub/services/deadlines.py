"""Deadlines of a procedure: what a service says, and the day on which each ends.

How days are counted: the day of the event does not count (BGB § 187 (1)); a period of days ends with its last day (§ 188
(1)), one of weeks or months with the day of the same name or number (§ 188 (2)), or the last of the month where there is none
(§ 188 (3)). Where that is a Saturday, a Sunday or a public holiday it ends with the next working day (§ 193). In administrative
procedures the same holds (VwVfG § 31 (1) and (3)). Holidays are those of the package ``holidays``, of Hesse.

How long a deadline is stands in the service's entry, with its law: whoever runs the hub writes it there; nothing is assumed.
"""

from __future__ import annotations

import calendar
import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from hub.errors import Invalid, Text

_MONTHS = 12
_SATURDAY = 5
#: No holiday runs so long; only a broken table of holidays would.
_MOST_MOVED = 14
#: The longest deadline of each unit: ten years.
_LONGEST = {"days": 3_650, "weeks": 520, "months": 120}


class DeadlineUnit(StrEnum):
    """What a deadline is counted in."""

    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadlineRule:
    """How long something may take from the receipt on; ``law`` says where that stands. Raises :class:`Invalid`."""

    name: str
    title: Text
    amount: int
    unit: DeadlineUnit
    law: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        longest = _LONGEST[self.unit]
        if not 1 <= self.amount <= longest:
            raise Invalid(
                Text(
                    f"deadlines: Eine Frist dauert 1 bis {longest} {self.unit}.",
                    f"deadlines: A deadline takes 1 to {longest} {self.unit}.",
                )
            )

    def last_day(self, received: date, *, is_holiday: Callable[[date], bool] | None = None) -> date:
        """Return the day with whose end it is over; ``received`` is the day of receipt in German legal time."""
        return next_working_day(_counted(received, self.amount, self.unit), is_holiday or is_holiday_in_hesse)


def _counted(received: date, amount: int, unit: DeadlineUnit) -> date:
    """Return the day by number alone (BGB § 187 (1), § 188)."""
    if unit is DeadlineUnit.MONTHS:
        years, month = divmod(received.month - 1 + amount, _MONTHS)
        year = received.year + years
        last = calendar.monthrange(year, month + 1)[1]
        return date(year, month + 1, min(received.day, last))
    return received + timedelta(days=amount * (7 if unit is DeadlineUnit.WEEKS else 1))


def next_working_day(day: date, is_holiday: Callable[[date], bool]) -> date:
    """Return a day, or the next working day where it is a Saturday, Sunday or holiday (BGB § 193)."""
    for _ in range(_MOST_MOVED):
        if day.weekday() < _SATURDAY and not is_holiday(day):
            break
        day += timedelta(days=1)
    return day


def is_holiday_in_hesse(day: date) -> bool:
    """Tell whether a day is a public holiday in Hesse (HFeiertagsG, German Unity Day included)."""
    return day in _holidays(day.year)


@functools.lru_cache(maxsize=16)
def _holidays(year: int) -> frozenset[date]:
    # Loaded with the first deadline: the package knows the holidays of the whole world.
    from holidays.countries.germany import Germany

    return frozenset(Germany(subdiv="HE", years=year))
