"""Values as people write them, and as documents have them: numbers, dates, yes and no, and texts in Unicode's form NFC.

German and ISO forms are both taken. What cannot be read stays the text that it is, so that it stands in the field again and the
judge refuses it there.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import ZoneInfo

from hub.forms.outline import Field, FieldKind

_GERMAN_DATE = re.compile(r"(\d{1,2})\.\s*(\d{1,2})\.\s*(\d{4})")
_CLOCK = re.compile(r"(\d{1,2})[:.](\d{2})(?::(\d{2}))?(?:\s*Uhr)?")
_BLANKS = re.compile(r"[ \u00a0\u202f]")
_YES = frozenset(("true", "on", "ja", "yes", "1"))
_NO = frozenset(("false", "nein", "no", "0"))
#: Where dates with a time are meant.
_ZONE = ZoneInfo("Europe/Berlin")
#: Digits of a number; more say nothing that a form asks for.
_MOST_DIGITS = 40


def typed(field: Field, text: str, *, is_xml: bool) -> Any:
    """Return what a person wrote as the value that a document has; None for nothing."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if not text:
        return None
    kind = field.kind
    if kind in (FieldKind.INTEGER, FieldKind.NUMBER):
        return _number(text, whole=kind is FieldKind.INTEGER, is_xml=is_xml)
    if kind is FieldKind.CHOICE:
        return next((one.value for one in field.choices if str(one.value) == text), text)
    reader = _READERS.get(kind, _compact if field.widget == "code" else str)
    return reader(text)


def _compact(text: str) -> str:
    return _BLANKS.sub("", text).upper()


def _boolean(text: str) -> Any:
    folded = text.casefold()
    return True if folded in _YES else False if folded in _NO else text


def _number(text: str, *, whole: bool, is_xml: bool) -> Any:
    plain = _BLANKS.sub("", text)
    if "," in plain:
        plain = plain.replace(".", "").replace(",", ".")
    elif re.fullmatch(r"[+-]?\d{1,3}(?:\.\d{3})+", plain) and whole:
        plain = plain.replace(".", "")
    if len(plain) > _MOST_DIGITS or not re.fullmatch(r"[+-]?\d+(?:\.\d+)?", plain):
        return text
    try:
        value = Decimal(plain)
    except InvalidOperation:
        return text
    if is_xml:
        return format(value, "f")
    if value == value.to_integral_value() and (whole or "." not in plain):
        return int(value)
    return float(value)


def _date(text: str) -> str | None:
    german = _GERMAN_DATE.fullmatch(text)
    try:
        if german is not None:
            day, month, year = map(int, german.groups())
            return date(year, month, day).isoformat()
        return date.fromisoformat(text).isoformat() if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else None
    except ValueError:
        return None


def _date_time(text: str) -> str | None:
    day, _, clock = text.replace("T", " ").replace(",", " ").rpartition(" ")
    found, on = _CLOCK.fullmatch(clock.strip()), _date(day.strip())
    if found is None or on is None:
        return None
    hours, minutes, seconds = (int(each or 0) for each in found.groups())
    try:
        moment = datetime.fromisoformat(on).replace(hour=hours, minute=minutes, second=seconds, tzinfo=_ZONE)
    except ValueError:
        return None
    return moment.isoformat()


_READERS: Mapping[FieldKind, Callable[[str], Any]] = {
    FieldKind.BOOLEAN: _boolean,
    FieldKind.DATE: lambda text: _date(text) or text,
    FieldKind.DATE_TIME: lambda text: _date_time(text) or text,
}


def shown_value(field: Field, value: Any, language: str) -> str:
    """Return a value as a person reads it in a language."""
    if field.kind is FieldKind.BOOLEAN and value in ("true", "1", "false", "0"):
        value = value in ("true", "1")  # As XML spells it.
    if isinstance(value, bool):
        return ("Yes" if value else "No") if language == "en" else ("Ja" if value else "Nein")
    if field.kind is FieldKind.DATE and isinstance(value, str):
        return _shown_date(value, language)
    if field.kind is FieldKind.DATE_TIME and isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return value
        on = _shown_date(moment.date().isoformat(), language)
        return f"{on} {moment:%H:%M}" if not moment.second else f"{on} {moment:%H:%M:%S}"
    if field.kind is FieldKind.NUMBER and language != "en":
        return str(value).replace(".", ",") if re.fullmatch(r"-?\d+\.\d+", str(value)) else str(value)
    return str(value)


def _shown_date(value: str, language: str) -> str:
    parts = re.fullmatch(r"(\d{4})-(\d{2})-(\d{2})", value)
    if parts is None or language == "en":
        return value
    return f"{parts[3]}.{parts[2]}.{parts[1]}"
