"""Days and times as people here read them: of Germany's time zone, in the order of their language."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import date, datetime
from zoneinfo import ZoneInfo

_ZONE = ZoneInfo("Europe/Berlin")
#: A day, or day and time with their offset, as programs write them (RFC 3339 section 5.6).
_WRITTEN = re.compile(r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d))?", re.ASCII)


def as_read(value: str, language: str) -> str:
    """Return a day or a time that a program wrote as people read it; whatever else it is stays as it is."""
    if _WRITTEN.fullmatch(value):
        with suppress(ValueError, OverflowError):  # No day of any calendar, or beyond ours.
            if "T" in value:
                return day_and_time(datetime.fromisoformat(value), language)
            return date.fromisoformat(value).strftime("%Y-%m-%d" if language == "en" else "%d.%m.%Y")
    return value


def day(moment: datetime, language: str) -> str:
    """Return the day of an aware time: 24.12.2026, in English 2026-12-24, which nobody reads as another."""
    return moment.astimezone(_ZONE).strftime("%Y-%m-%d" if language == "en" else "%d.%m.%Y")


def day_and_time(moment: datetime, language: str) -> str:
    """Return day and minute of an aware time."""
    clock = moment.astimezone(_ZONE).strftime("%H:%M")
    return f"{day(moment, language)}, {clock}" + ("" if language == "en" else " Uhr")
