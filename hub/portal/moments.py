"""Days and times as people here read them: of Germany's time zone, in the order of their language."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

_ZONE = ZoneInfo("Europe/Berlin")


def day(moment: datetime, language: str) -> str:
    """Return the day of an aware time: 24.12.2026, in English 2026-12-24, which nobody reads as another."""
    return moment.astimezone(_ZONE).strftime("%Y-%m-%d" if language == "en" else "%d.%m.%Y")


def day_and_time(moment: datetime, language: str) -> str:
    """Return day and minute of an aware time."""
    clock = moment.astimezone(_ZONE).strftime("%H:%M")
    return f"{day(moment, language)}, {clock}" + ("" if language == "en" else " Uhr")
