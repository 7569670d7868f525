"""Values behind their spelling (XML Schema 1.0 part 2): which spellings mean the same, and which are none at all.

libxml2 compares the text of an element with its fixed value where the values count (part 1, 3.3.4), and takes spellings of
binary data, floating-point numbers and durations that part 2 does not know.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from calendar import monthrange
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from hub.validation.xml.linear import linear

#: White space as XML Schema knows it; no other blank counts.
SPACES = " \t\r\n"
_BLANKS = re.compile(f"[{SPACES}]+")
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
#: The last character before no, one or two ``=``: the bits that encode nothing are 0 (part 2, 3.2.16).
_LAST = {0: _ALPHABET, 1: b"AEIMQUYcgkosw048", 2: b"AQgw"}
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_DOUBLE = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[Ee][+-]?[0-9]+)?|-?INF|NaN")
_DURATION = re.compile(
    r"(-?)P(?=.)(?:([0-9]+)Y)?(?:([0-9]+)M)?(?:([0-9]+)D)?"
    r"(?:T(?=.)(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+(?:\.[0-9]+)?)S)?)?"
)
_ZONE = r"(Z|[+-][0-9]{2}:[0-9]{2})?"
_DATE = r"(?P<year>-?[0-9]{4,})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}(?:\.[0-9]+)?)"
_MOMENTS = {
    "dateTime": f"{_DATE}T{_TIME}",
    "date": _DATE,
    "time": _TIME,
    "gYearMonth": "(?P<year>-?[0-9]{4,})-(?P<month>[0-9]{2})",
    "gYear": "(?P<year>-?[0-9]{4,})",
    "gMonthDay": "--(?P<month>[0-9]{2})-(?P<day>[0-9]{2})",
    "gDay": "---(?P<day>[0-9]{2})",
    "gMonth": "--(?P<month>[0-9]{2})",
}
#: The types of points in time, and of what returns.
MOMENTS = frozenset(_MOMENTS)
_FORMS = {name: re.compile(form + _ZONE) for name, form in _MOMENTS.items()}
#: What a moment without a date or a year lies in: a leap year, so that every month and day exists.
_DEFAULTS = {"year": "2000", "month": "1", "day": "1", "hour": "0", "minute": "0", "second": "0"}


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueKind:
    """What a simple type makes of a text: ``name`` is a primitive or integer type, ``list`` or ``union``.

    ``space`` is the facet whiteSpace; ``parts`` are the item type of a list or the member types of a union. ``faceted`` says
    that facets of its own decide whether a text belongs to it; ``bounds`` are those of them, by name, that libxml2 misjudges.
    ``facets`` are all of a member of a union, by name with the values given; ``identifier`` is ID or IDREF.
    """

    name: str
    space: str = "collapse"
    parts: tuple[ValueKind, ...] = ()
    faceted: bool = False
    bounds: tuple[tuple[str, str], ...] = ()
    facets: Facets = ()
    identifier: str | None = None

    def as_json(self) -> list[Any]:
        """Return it as plain values."""
        own = [self.name, self.space, self.faceted, list(self.bounds), list(self.facets), self.identifier]
        return [*own, *(part.as_json() for part in self.parts)]

    @classmethod
    def from_json(cls, document: list[Any]) -> ValueKind:
        """Read it as :meth:`as_json` writes it."""
        name, space, faceted, bounds, facets, identifier, *parts = document
        return cls(
            name=str(name),
            space=str(space),
            faceted=bool(faceted),
            parts=tuple(cls.from_json(part) for part in parts),
            bounds=tuple((str(facet), str(value)) for facet, value in bounds),
            facets=tuple((str(facet), tuple(map(str, given))) for facet, given in facets),
            identifier=None if identifier is None else str(identifier),
        )

    @property
    def misjudged(self) -> bool:
        """Whether libxml2 takes texts for values that are none: beyond bounds, in a union, in a list that may not be empty."""
        if self.bounds:
            return True
        if self.name == "union":
            return any(part.misjudged or part.name in _SPELLINGS for part in self.parts)
        return self.name == "list" and self.parts[0].misjudged

    @property
    def chooses_identifiers(self) -> bool:
        """Whether words of a list are ids, or a member of a union, which the text chooses: libxml2 sees none of these."""
        if self.name == "union":
            return any(part.identifier is not None or _lists_identifiers(part) for part in self.parts) or any(
                part.chooses_identifiers for part in self.parts
            )
        return self.name == "list" and (self.parts[0].identifier == "ID" or self.parts[0].chooses_identifiers)

    @property
    def may_be_list(self) -> bool:
        """Whether a text can be a list."""
        return self.name == "list" or (self.name == "union" and any(part.may_be_list for part in self.parts))


#: Facets by name, each with the values of one step of derivation: those of patterns and enumerations are alternatives.
Facets = tuple[tuple[str, tuple[str, ...]], ...]


def _lists_identifiers(kind: ValueKind) -> bool:
    return kind.name == "list" and kind.parts[0].identifier is not None


def identifiers(kind: ValueKind, text: str) -> list[tuple[str, str]] | None:
    """Return the identifiers (ID or IDREF, and the word) that a text is by the members of unions which take it first.

    None where that cannot be told here.
    """
    if kind.name == "union":
        for part in kind.parts:
            fit = _fits(part, spaced(text, part.space))
            if fit is None:
                return None if kind.chooses_identifiers else []
            if fit:
                return identifiers(part, text)
        return []
    if kind.name == "list":
        found = [identifiers(kind.parts[0], word) for word in text.split()]
        return None if None in found else [each for words in found if words is not None for each in words]
    return [] if kind.identifier is None else [(kind.identifier, text.strip(SPACES))]


def spaced(text: str, space: str) -> str:
    """Return a text after the facet whiteSpace (part 2, 4.3.6)."""
    if space == "collapse":
        return _BLANKS.sub(" ", text).strip(" ")
    return text.translate({ord(blank): " " for blank in SPACES}) if space == "replace" else text


def equal(kind: ValueKind, one: str, other: str) -> bool | None:
    """Whether two texts mean the same value; None if that cannot be told here."""
    if kind.name == "union" and any(part.faceted for part in kind.parts):
        return True if spaced(one, kind.space) == spaced(other, kind.space) else None
    value = _value(kind, one)
    return value is not None and value == _value(kind, other)


class Breach(NamedTuple):
    """Why a text is no value of its type: the rule, and what the schema expects."""

    rule: str
    expected: str | None


#: The name of a bound that is a pattern.
PATTERN = "pattern"
#: Facets that bound values from below, and all with what they say of an order; NaN and what cannot be compared keep none.
_MINIMA = frozenset({"minInclusive", "minExclusive"})
_ORDERS: Mapping[str, Callable[[int], bool]] = {
    "minInclusive": lambda order: order >= 0,
    "minExclusive": lambda order: order > 0,
    "maxInclusive": lambda order: order <= 0,
    "maxExclusive": lambda order: order < 0,
}


def breach(kind: ValueKind, text: str) -> Breach | None:
    """Return why a text that libxml2 takes is no value of a type, None if it is one or libxml2 is right to say."""
    for facet, bound in kind.bounds:
        if facet == PATTERN and not linear(bound).matches(spaced(text, kind.space)):
            return Breach("xml.pattern", bound)
    if kind.name == "list":
        words = text.split()
        if not words and (least := dict(kind.bounds).get("minLength")) is not None:
            return Breach("xml.min-length", least)
        return next((found for word in words if (found := breach(kind.parts[0], word))), None)
    if kind.name == "union":
        spaced_text = spaced(text, kind.space)
        fits = [_fits(part, spaced(spaced_text, part.space)) for part in kind.parts]
        return Breach("xml.datatype", None) if not any(fit is not False for fit in fits) else None
    value = _value(kind, text)
    for facet, bound in kind.bounds if value is not None else ():
        if facet not in _ORDERS:
            continue
        order = _order(kind, value, _value(kind, bound))
        if order is None or not _ORDERS[facet](order):
            return Breach("xml.minimum" if facet in _MINIMA else "xml.maximum", bound)
    return None


def is_uncertain(kind: ValueKind, text: str) -> bool:
    """Whether a text is one of a union by libxml2's word alone, which takes it for a member to which it does not belong."""
    if kind.name == "list":
        return any(is_uncertain(kind.parts[0], word) for word in text.split())
    if kind.name != "union":
        return False
    found = [(_fits(part, spaced(text, part.space)), part) for part in kind.parts]
    misled = any(fit is False and (part.misjudged or part.name in _SPELLINGS) for fit, part in found)
    return misled and not any(fit for fit, _ in found) and any(fit is None for fit, _ in found)


def _fits(kind: ValueKind, text: str) -> bool | None:
    """Whether a text belongs to a member of a union; None where that is not told here."""
    if kind.name == "union":
        found = [_fits(part, spaced(text, part.space)) for part in kind.parts]
        fit = True if True in found else None if None in found else False
    elif breach(kind, text) is not None:
        return False
    elif kind.name == "list":
        found = [_fits(kind.parts[0], word) for word in text.split()]
        fit = False if False in found else None if None in found else True
    else:
        fit = _is_value(kind, text)
    kept = [_keeps(kind, facet, given, text) for facet, given in kind.facets]
    if fit is False or False in kept:
        return False
    return None if fit is None or None in kept or (kind.faceted and not kind.facets) else True


def _is_value(kind: ValueKind, text: str) -> bool | None:
    """Whether a text is one of a built-in type that is no list; None for names, whose prefixes are not known here."""
    if kind.name in ("string", "anyURI"):
        return True
    if kind.name not in _MAKERS:
        return None
    value = _value(kind, text)
    if value is None:
        return False
    if kind.name in MOMENTS:
        return _is_moment(kind.name, spaced(text, kind.space))
    low, high = _RANGES.get(kind.name, (None, None))
    number = Decimal(spaced(text, kind.space)) if kind.name in _RANGES else 0
    return (low is None or number >= low) and (high is None or number <= high)


def _is_moment(form: str, text: str) -> bool:
    """Whether the parts of a moment are within their ranges (part 2, appendix D and 5.4)."""
    match = _FORMS[form].fullmatch(text)
    if match is None:
        return False
    parts = {**_DEFAULTS, **match.groupdict()}
    year, month, day = (int(parts[name]) for name in ("year", "month", "day"))
    hour, minute, second = int(parts["hour"]), int(parts["minute"]), Decimal(parts["second"])
    zone = match[match.lastindex or 0] if match.lastindex == _FORMS[form].groups else "Z"
    digits = parts["year"].lstrip("-")
    usual = hour < _DAY // _HOUR or (hour == _DAY // _HOUR and minute == 0 and second == 0)
    # Years repeat after 400; the calendar's own year 2000 stands for one of them.
    return (
        (year != 0 and (len(digits) == len(_DEFAULTS["year"]) or not digits.startswith("0")))
        and 0 < month <= _MONTHS
        and 0 < day <= monthrange(2000 + year % 400, month)[1]
        and usual
        and minute < _HOUR
        and second < _HOUR
        and abs(_offset(zone)) <= _FURTHEST
        and (zone == "Z" or int(zone[4:6]) < _HOUR)
    )


def _keeps(kind: ValueKind, facet: str, given: tuple[str, ...], text: str) -> bool | None:
    """Whether a text keeps one facet (part 2, 4.3); None where that is not told here."""
    text = spaced(text, kind.space)
    if facet == PATTERN:
        return any(linear(each).matches(text) for each in given)
    if facet == "enumeration":
        value = _value(kind, text)
        return None if kind.name in ("QName", "NOTATION") else any(_value(kind, each) == value for each in given)
    if facet in _ORDERS:
        order = _order(kind, _value(kind, text), _value(kind, given[0]))
        return None if kind.name == "duration" else order is not None and _ORDERS[facet](order)
    if facet in _LENGTHS:
        length = _length(kind, text)
        return None if length is None else _LENGTHS[facet](length - int(given[0]))
    if facet in ("totalDigits", "fractionDigits"):
        digits, fraction = _digits(text)
        return (digits if facet == "totalDigits" else fraction) <= int(given[0])
    return None


_LENGTHS: Mapping[str, Callable[[int], bool]] = {
    "length": lambda more: more == 0,
    "minLength": lambda more: more >= 0,
    "maxLength": lambda more: more <= 0,
}


def _length(kind: ValueKind, text: str) -> int | None:
    """Return the length of a value, in the unit of its type (part 2, 4.3.1); None where it has none."""
    if kind.name == "list":
        return len(text.split())
    if kind.name in ("hexBinary", "base64Binary"):
        value = _value(kind, text)
        return len(value[1]) if isinstance(value, tuple) and isinstance(value[1], bytes) else None
    return len(text) if kind.name in ("string", "anyURI") else None


def _digits(text: str) -> tuple[int, int]:
    """Return how many digits a decimal number has, and how many of them behind the point, zeros that say nothing left out."""
    whole, _, fraction = text.lstrip("+-").partition(".")
    fraction = fraction.rstrip("0")
    digits = (whole + fraction).lstrip("0") if whole.strip("0") else fraction
    return max(len(digits), 1), len(fraction)


def _order(kind: ValueKind, one: Hashable, other: Hashable) -> int | None:
    """Return how two values of a number or a moment stand to each other; None where that is not said (part 2, 3.2.7.4)."""
    if not (isinstance(one, tuple) and isinstance(other, tuple)):
        return None
    first, second = one[1], other[1]
    if kind.name not in MOMENTS:
        if "NaN" in (first, second):
            return 0 if first == second else None
        return int(first > second) - int(first < second)
    (zone, minutes, seconds), (other_zone, other_minutes, other_seconds) = first, second
    one, other = (minutes, seconds), (other_minutes, other_seconds)
    order = int(one > other) - int(one < other)
    if zone == other_zone or abs(minutes - other_minutes) > _FURTHEST:
        return order
    # Exactly fourteen hours apart the seconds decide.
    apart = (minutes - other_minutes, seconds - other_seconds)
    far = apart > (_FURTHEST, 0) or apart < (-_FURTHEST, 0)
    return order if far else None


#: Minutes by which a moment without a zone may lie elsewhere than one with a zone.
_FURTHEST = 14 * 60


def usual_moment(form: str, text: str) -> str:
    """Return a time or date with time in the spelling that libxml2 compares rightly: no hour 24, times in UTC."""
    match = _FORMS[form].fullmatch(text) if form in _WITH_HOURS else None
    if match is None:
        return text
    parts, zone = match.groupdict(), match[match.lastindex or 0] if match.lastindex == _FORMS[form].groups else ""
    minutes = 60 * int(parts["hour"]) + int(parts["minute"])
    seconds = Decimal(parts["second"])
    far = bool(zone) and (abs(_offset(zone)) > _FURTHEST or int(zone[4:6] or 0) >= _HOUR)
    if minutes > _DAY or (minutes == _DAY and seconds) or int(parts["minute"]) >= _HOUR or seconds >= _HOUR or far:
        return text
    if form == "time":
        minutes -= _offset(zone) if zone else 0
        minutes %= 1440
        return f"{minutes // 60:02}:{minutes % 60:02}:{parts['second']}{'Z' if zone else ''}"
    if minutes < _DAY or not 0 < int(parts["year"]) < _LAST_YEAR:
        return text
    try:
        day = date(int(parts["year"]), int(parts["month"]), int(parts["day"])) + timedelta(days=1)
    except ValueError:
        return text
    return f"{day.isoformat()}T00:00:{parts['second']}{zone}"


_WITH_HOURS = frozenset({"time", "dateTime"})
_DAY, _HOUR, _MONTHS, _LAST_YEAR = 1440, 60, 12, 9999


def is_spelt(form: str, text: str) -> bool:
    """Whether a text has a form: ``base64Binary``, ``double``, ``float``, ``duration``, or that of a list (``form*``).

    Of other forms libxml2 tells.
    """
    if form.endswith("*"):
        return all(is_spelt(form[:-1], word) for word in text.split())
    judge = _SPELLINGS.get(form)
    return judge is None or judge(text)


def is_negative_zero(text: str) -> bool:
    """Whether a floating-point number is the negative zero, which equals the positive one."""
    word = text.strip(SPACES)
    return word.startswith("-") and _DOUBLE.fullmatch(word) is not None and word != "-INF" and float(word) == 0


def _is_base64(text: str) -> bool:
    try:
        data = text.encode("ascii").translate(None, b" \t\r\n")
    except UnicodeEncodeError:
        return False
    body = data.rstrip(b"=")
    last = _LAST.get(len(data) - len(body))
    if len(data) % 4 or last is None or body.translate(None, _ALPHABET):
        return False
    return not data or (bool(body) and body[-1:] in last)


def _is_double(text: str) -> bool:
    return _DOUBLE.fullmatch(text.strip(SPACES)) is not None


def _is_duration(text: str) -> bool:
    return _DURATION.fullmatch(text.strip(SPACES)) is not None


_SPELLINGS: dict[str, Callable[[str], bool]] = {
    "base64Binary": _is_base64,
    "double": _is_double,
    "float": _is_double,
    "duration": _is_duration,
}


def _value(kind: ValueKind, text: str) -> Hashable:
    """Return what stands for a value, None for what is none."""
    text = spaced(text, kind.space)
    if kind.name == "list":
        values = [_value(kind.parts[0], word) for word in text.split()]
        return None if None in values else ("list", *values)
    if kind.name == "union":
        return next((value for part in kind.parts if (value := _value(part, text)) is not None), None)
    make = _MAKERS.get(kind.name)
    value = (make or str)(text)
    return None if value is None else (_FAMILIES.get(kind.name, kind.name), value)


def _boolean(text: str) -> Hashable:
    return {"true": True, "1": True, "false": False, "0": False}.get(text)


def _decimal(text: str) -> Hashable:
    return Decimal(text) if _DECIMAL.fullmatch(text) else None


def _integer(text: str) -> Hashable:
    return Decimal(text) if _INTEGER.fullmatch(text) else None


def _double(text: str) -> Hashable:
    if not _DOUBLE.fullmatch(text):
        return None
    # A number that is none equals itself here (part 2, 3.2.4).
    return "NaN" if text == "NaN" else float(text)


def _float(text: str) -> Hashable:
    value = _double(text)
    if not isinstance(value, float):
        return value
    try:
        return struct.unpack("f", struct.pack("f", value))[0]  # type: ignore[no-any-return]
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _duration(text: str) -> Hashable:
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    years, months, days, hours, minutes = (int(part or 0) for part in match.groups()[1:6])
    seconds = Decimal(match[7] or 0) + 60 * (minutes + 60 * (hours + 24 * days))
    sign = -1 if match[1] else 1
    return sign * (12 * years + months), sign * seconds


def _moment(name: str) -> Callable[[str], Hashable]:
    def read(text: str) -> Hashable:
        match = _FORMS[name].fullmatch(text)
        if match is None:
            return None
        parts = {**_DEFAULTS, **match.groupdict()}
        days = _days(int(parts["year"]), int(parts["month"]), int(parts["day"]))
        minutes = 1440 * days + 60 * int(parts["hour"]) + int(parts["minute"])
        zone = match[match.lastindex or 0] if match.lastindex == _FORMS[name].groups else None
        if zone is None:
            return "local", minutes, Decimal(parts["second"])
        return "utc", minutes - _offset(zone), Decimal(parts["second"])

    return read


def _days(year: int, month: int, day: int) -> int:
    """Return the number of a day; the calendar repeats every 400 years."""
    year -= month <= 2  # noqa: PLR2004  # Years begin in March here, so that a leap day is a year's last.
    era, of_era = divmod(year, 400)
    of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year


def _offset(zone: str) -> int:
    if zone == "Z":
        return 0
    minutes = 60 * int(zone[1:3]) + int(zone[4:6])
    return -minutes if zone[0] == "-" else minutes


def _hex(text: str) -> Hashable:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _base64(text: str) -> Hashable:
    try:
        return base64.b64decode(text.translate({32: None}), validate=True) if _is_base64(text) else None
    except (binascii.Error, ValueError):
        return None


#: The integer types; all are decimal numbers.
INTEGERS = frozenset(
    (
        *("integer", "nonPositiveInteger", "negativeInteger", "nonNegativeInteger", "positiveInteger"),
        *("long", "int", "short", "byte", "unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte"),
    )
)
_FAMILIES = dict.fromkeys(INTEGERS, "decimal")
#: The least and the greatest of the integer types that have one.
_RANGES: Mapping[str, tuple[int | None, int | None]] = {
    "nonPositiveInteger": (None, 0),
    "negativeInteger": (None, -1),
    "nonNegativeInteger": (0, None),
    "positiveInteger": (1, None),
    **{name: (-(2**bits), 2**bits - 1) for name, bits in (("long", 63), ("int", 31), ("short", 15), ("byte", 7))},
    **{f"unsigned{name}": (0, 2**bits - 1) for name, bits in (("Long", 64), ("Int", 32), ("Short", 16), ("Byte", 8))},
}
_MAKERS: dict[str, Callable[[str], Hashable]] = {
    "boolean": _boolean,
    "decimal": _decimal,
    **dict.fromkeys(INTEGERS, _integer),
    "double": _double,
    "float": _float,
    "duration": _duration,
    "hexBinary": _hex,
    "base64Binary": _base64,
    **{name: _moment(name) for name in _MOMENTS},
}
