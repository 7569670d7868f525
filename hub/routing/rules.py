"""What a routing table is made of: rules, and the services that they are for.

A routing rule as a value, and how its service keys and moments are written.

A rule's days are days of German legal time. In files ``valid_until`` is the last day of validity, as people read
"gültig bis"; in the value it is the first moment after it.

The register of services: which keys exist, what they are called, and which one was probably meant.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from hub.areas import Area
from hub.errors import ConfigurationError, Invalid, Malformed, Text
from hub.model import LEIKA_PREFIX, Service, canonical_service
from hub.services import ServiceCatalogue

_LEIKA_KEY = re.compile(r"99[0-9]{12}")
#: FIT-Connect service identifiers: a lower-case URN, LeiKa (14 digits) or the newer FIM form.
_SERVICE = re.compile(r"urn:[a-z0-9][a-z0-9-]{0,31}(:[a-z0-9._-]{1,100}){1,10}")
_RULE_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
_GERMAN_DAY = re.compile(r"([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})")
_MAX_NOTE = 500
MAX_SERVICES = 5_000
#: Stands alone for what no other rule holds for: a catch-all (Auffangstelle).
ANY_SERVICE = "*"
_MOST_INVITED = 200
_CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class OnInvalid(StrEnum):
    """What becomes of an application that breaks its schema."""

    #: The sender gets the report and mends it.
    REJECT = "reject"
    #: Accepted and kept back: a person decides whether the receiver gets it.
    QUARANTINE = "quarantine"
    #: Delivered, with the report as an attachment.
    DELIVER_WITH_REPORT = "deliver_with_report"


class RuleAccess(StrEnum):
    """Who may apply for a rule's services at its authority: the state of a procedure there."""

    #: Everybody.
    OPEN = "open"
    #: Senders that are invited, while it is being tried.
    PILOT = "pilot"
    #: Nobody yet, or nobody any more; who is responsible is told all the same.
    CLOSED = "closed"

    @property
    def label(self) -> Text:
        """The state in words."""
        return _ACCESS_LABELS[self]


_ACCESS_LABELS = {
    RuleAccess.OPEN: Text("offen", "open"),
    RuleAccess.PILOT: Text("Erprobung, nur auf Einladung", "on trial, by invitation only"),
    RuleAccess.CLOSED: Text("noch nicht online", "not online yet"),
}


@functools.cache
def _german_time() -> ZoneInfo:
    try:
        return ZoneInfo("Europe/Berlin")
    except ZoneInfoNotFoundError as exc:
        raise ConfigurationError(
            Text(
                "Die Zeitzonendaten fehlen (Europe/Berlin). Installieren Sie das Paket tzdata.",
                "Time zone data are missing (Europe/Berlin). Install the package tzdata.",
            )
        ) from exc


def legal_day(moment: datetime) -> date:
    """Return the day of German legal time at an aware moment; at the calendar's ends, which zones would cross, its own."""
    try:
        return moment.astimezone(_german_time()).date()
    except OverflowError:
        return moment.date()


def day_start(day: date) -> datetime:
    """Return the moment (UTC) at which a day of German legal time begins."""
    return datetime.combine(day, time.min, tzinfo=_german_time()).astimezone(UTC)


def service_urn(text: str) -> str:
    """Return the service's URN; a bare LeiKa key of 14 digits becomes one. Raises :class:`Malformed`."""
    if _LEIKA_KEY.fullmatch(text):
        return LEIKA_PREFIX + text
    text = canonical_service(text)
    is_leika = text.startswith(LEIKA_PREFIX)
    key = text.removeprefix(LEIKA_PREFIX)
    if not _SERVICE.fullmatch(text) or (is_leika and not _LEIKA_KEY.fullmatch(key)):
        raise Malformed(
            Text(
                "Eine Leistung ist ein LeiKa-Schlüssel mit 14 Ziffern (99…) oder eine URN in Kleinbuchstaben.",
                "A service is a LeiKa key of 14 digits (99…) or a URN in lower case.",
            )
        )
    return text


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """For ``area`` and all areas in it, ``services`` (sorted URNs) are the business of ``destination``.

    A catch-all names :data:`ANY_SERVICE` alone: it takes the known services that no other rule has for an area, wider ones
    included. It holds from ``valid_from`` (included) until ``valid_until`` (excluded), both aware UTC or None for unbounded.
    ``on_invalid`` is the policy for payloads that break their schema. ``access`` says who may apply; ``invited`` are the ids
    of the senders that may while it is a pilot.
    Raises :class:`Invalid` when its parts break a rule.
    """

    id: str
    area: Area
    services: tuple[str, ...]
    destination: UUID
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    note: str = ""
    on_invalid: OnInvalid = OnInvalid.REJECT
    access: RuleAccess = RuleAccess.OPEN
    invited: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "services", tuple(sorted(set(self.services))))
        _require_id(self.id)
        _require_services(self.services)
        _require_note(self.note)
        _require_span(self.valid_from, self.valid_until)
        object.__setattr__(self, "invited", tuple(sorted(set(self.invited))))
        _require_invited(self.access, self.invited)
        for bound in ("valid_from", "valid_until"):
            moment = getattr(self, bound)
            if moment is not None:
                object.__setattr__(self, bound, moment.astimezone(UTC))

    def holds(self, on: datetime) -> bool:
        """Tell whether the rule is valid at the moment ``on``."""
        return (self.valid_from is None or self.valid_from <= on) and (
            self.valid_until is None or on < self.valid_until
        )

    def admits(self, sender: str | None) -> bool:
        """Tell whether a sender may apply; None is one that nobody knows."""
        return self.access is RuleAccess.OPEN or (self.access is RuleAccess.PILOT and sender in self.invited)

    def meets(self, other: Rule) -> bool:
        """Tell whether there is a moment at which both rules hold."""
        return _starts_before(self.valid_from, other.valid_until) and _starts_before(other.valid_from, self.valid_until)

    @property
    def is_catch_all(self) -> bool:
        """Whether this is a catch-all: it takes what no other rule of an area does, and names no service."""
        return self.services == (ANY_SERVICE,)

    @property
    def is_unbounded(self) -> bool:
        """Whether the rule holds at every moment."""
        return self.valid_from is None and self.valid_until is None

    def as_row(self) -> dict[str, str]:
        """Return the rule as the texts that files hold; equal rules give equal rows."""
        return {
            "id": self.id,
            "area": self.area.ars,
            "services": " ".join(self.services),
            "destination": str(self.destination),
            "valid_from": _written(self.valid_from, last_day=False),
            "valid_until": _written(self.valid_until, last_day=True),
            "note": self.note,
            "on_invalid": "" if self.on_invalid is OnInvalid.REJECT else self.on_invalid.value,
            "access": "" if self.access is RuleAccess.OPEN else self.access.value,
            "invited": " ".join(self.invited),
        }


def rule_from_row(row: dict[str, str]) -> Rule:
    """Read what :meth:`Rule.as_row` writes, and what people write: bare LeiKa keys, ``DE06439``, ``31.12.2026``.

    Raises :class:`Malformed` or :class:`Invalid`; the texts name the field.
    """
    area = row.get("area", "").strip()
    return Rule(
        id=row.get("id", "").strip(),
        area=Area.from_region(area) if area.startswith("DE") else Area.from_ars(area),
        services=tuple(_service_or_any(text) for text in row.get("services", "").split()),
        destination=_read_destination(row.get("destination", "").strip()),
        valid_from=_read_moment(row.get("valid_from", "").strip(), last_day=False),
        valid_until=_read_moment(row.get("valid_until", "").strip(), last_day=True),
        note=row.get("note", ""),
        on_invalid=_read_policy(row.get("on_invalid", "").strip()),
        access=_read_access(row.get("access", "").strip()),
        invited=tuple(row.get("invited", "").split()),
    )


def _service_or_any(text: str) -> str:
    return text if text == ANY_SERVICE else service_urn(text)


def _starts_before(start: datetime | None, end: datetime | None) -> bool:
    return start is None or end is None or start < end


def _require_id(rule_id: str) -> None:
    if not _RULE_ID.fullmatch(rule_id):
        raise Invalid(
            Text(
                "id: Eine Regel braucht einen Namen aus a-z, 0-9, Punkt, Strich, Unterstrich (höchstens 100 Zeichen).",
                "id: A rule needs a name of a-z, 0-9, dot, dash, underscore (at most 100 characters).",
            )
        )


def _require_services(services: tuple[str, ...]) -> None:
    if not services or len(services) > MAX_SERVICES:
        raise Invalid(
            Text(
                f"services: Eine Regel nennt mindestens eine und höchstens {MAX_SERVICES} Leistungen.",
                f"services: A rule names at least one and at most {MAX_SERVICES} services.",
            )
        )

    if ANY_SERVICE in services and len(services) > 1:
        raise Invalid(
            Text(
                f"services: {ANY_SERVICE} (Auffangstelle) steht allein: Sie nimmt an, wofür sonst keine Regel gilt.",
                f"services: {ANY_SERVICE} (catch-all) stands alone: it takes what no other rule holds for.",
            )
        )


def _require_note(note: str) -> None:
    if len(note) > _MAX_NOTE or note != note.strip() or _UNPRINTABLE.search(note):
        raise Invalid(
            Text(
                f"note: Höchstens {_MAX_NOTE} Zeichen in einer Zeile, ohne Steuerzeichen und ohne Leerzeichen am Rand.",
                f"note: At most {_MAX_NOTE} characters on one line, without control characters or blanks at its ends.",
            )
        )


def _require_span(start: datetime | None, end: datetime | None) -> None:
    if any(moment is not None and moment.utcoffset() is None for moment in (start, end)):
        raise Invalid(Text("Zeitangaben brauchen eine Zeitzone.", "Moments need a time zone."))
    if not _starts_before(start, end):
        raise Invalid(
            Text("valid_until: Das Ende liegt nicht nach dem Anfang.", "valid_until: The end is not after the start.")
        )


def _read_destination(text: str) -> UUID:
    try:
        destination = UUID(text)
    except ValueError:
        destination = None
    if destination is None or str(destination) != text.lower():
        raise Malformed(
            Text(
                "destination: Ein Zustellpunkt ist eine UUID mit Strichen.",
                "destination: A destination is a UUID with dashes.",
            )
        )
    return destination


def _read_policy(text: str) -> OnInvalid:
    try:
        return OnInvalid(text or OnInvalid.REJECT)
    except ValueError as exc:
        known = ", ".join(OnInvalid)
        raise Malformed(
            Text(
                f"on_invalid: Bekannt sind {known}; leer heißt reject.",
                f"on_invalid: Known are {known}; empty: reject.",
            )
        ) from exc


def _read_access(text: str) -> RuleAccess:
    try:
        return RuleAccess(text or RuleAccess.OPEN)
    except ValueError as exc:
        known = ", ".join(RuleAccess)
        raise Malformed(
            Text(f"access: Bekannt sind {known}; leer heißt open.", f"access: Known are {known}; empty: open.")
        ) from exc


def _require_invited(access: RuleAccess, invited: tuple[str, ...]) -> None:
    if len(invited) > _MOST_INVITED or not all(_CLIENT.fullmatch(each) for each in invited):
        raise Invalid(
            Text(
                f"invited: Kennungen von höchstens {_MOST_INVITED} Absendern, durch Leerzeichen getrennt.",
                f"invited: Ids of at most {_MOST_INVITED} senders, separated by blanks.",
            )
        )
    if (access is RuleAccess.PILOT) is not bool(invited):
        raise Invalid(
            Text(
                "invited: Eingeladen wird mit access = pilot, und dann mindestens ein Absender.",
                "invited: Senders are invited with access = pilot, and then at least one.",
            )
        )


def _read_moment(text: str, *, last_day: bool) -> datetime | None:
    """Read a day (ISO or German) or an ISO moment with offset; a last day ends with the next day's beginning.

    The calendar's last day, by which many systems mean that there is no end, says nothing as a last day.
    """
    if not text:
        return None
    try:
        german = _GERMAN_DAY.fullmatch(text)
        if german:
            text = f"{german[3]}-{int(german[2]):02d}-{int(german[1]):02d}"
        if last_day and text.startswith(date.max.isoformat()) and datetime.fromisoformat(text):
            return None
        if len(text) == len("2026-01-01"):
            return day_start(date.fromisoformat(text) + timedelta(days=1 if last_day else 0))
        moment = datetime.fromisoformat(text)
        if moment.utcoffset() is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _no_moment()


def _no_moment() -> Malformed:
    return Malformed(
        Text(
            "valid_from, valid_until: ein Tag (2026-01-31) oder ein Zeitpunkt (2026-01-31T12:00:00+01:00).",
            "valid_from, valid_until: a day (2026-01-31) or a moment (2026-01-31T12:00:00+01:00).",
        )
    )


def _written(moment: datetime | None, *, last_day: bool) -> str:
    if moment is None:
        return ""
    day = legal_day(moment)
    if day_start(day) == moment:
        return (day - timedelta(days=1 if last_day else 0)).isoformat()
    return moment.astimezone(UTC).isoformat()


#: Longer wishes are cut before they are compared: difflib's time grows with the square.
_MAX_COMPARED = 120
#: Below this likeness (0 to 1) a suggestion confuses more than it helps.
_LIKE_ENOUGH = 0.72
#: Of a large choice only so many are compared by name, those whose keys are closest.
_MAX_CHOICE = 60
#: The first digits of a LeiKa key: its kind (99) and group; keys of one group are kin.
_GROUP_DIGITS = 5


class ServiceRegister:
    """The services that may stand in rules. Immutable; iterates over URNs in order."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._known = {service.identifier: service.name for service in sorted(services, key=lambda s: s.identifier)}

    @property
    def _names(self) -> Mapping[str, str]:
        return self._known

    @classmethod
    def of(cls, catalogue: ServiceCatalogue) -> ServiceRegister:
        """Return the register of a catalogue's services, by their official names."""
        return cls(Service(identifier=each.key, name=each.official) for each in catalogue)

    @classmethod
    def load(cls, folder: Path) -> ServiceRegister:
        """Read the services of a folder of rules (:class:`ServiceCatalogue`). Raises :class:`ConfigurationError`."""
        return cls.of(ServiceCatalogue.load(folder))

    def __contains__(self, service: object) -> bool:
        return service in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, service: str) -> str:
        """Return the service's name, or its key where the register does not know it; of a catch-all what it takes."""
        if service == ANY_SERVICE:
            return "Auffangstelle / catch-all"
        return self._names.get(service) or service.removeprefix(LEIKA_PREFIX)

    def nearest(self, text: str, among: Iterable[str] | None = None, count: int = 3) -> tuple[str, ...]:
        """Return the URNs closest to a key or a name, best first; ``among`` narrows the choice."""
        wanted = text.removeprefix(LEIKA_PREFIX).casefold()[:_MAX_COMPARED]
        choice = self._names if among is None else among
        scored = sorted((-self._likeness(wanted, urn), urn) for urn in choice)
        return tuple(urn for score, urn in scored[:count] if -score >= _LIKE_ENOUGH)

    def akin(self, service: str, among: Iterable[str], count: int = 3) -> tuple[str, ...]:
        """Return the URNs among the given whose key or name is closest to a known service's."""
        key = service.removeprefix(LEIKA_PREFIX)
        choice = sorted(among, key=lambda urn: (-_shared(key, urn.removeprefix(LEIKA_PREFIX)), urn))[:_MAX_CHOICE]
        by_key = self.nearest(service, choice, count)
        by_name = self.nearest(self.name(service), choice, count)
        return tuple(dict.fromkeys((*by_name, *by_key)))[:count]

    def _likeness(self, wanted: str, urn: str) -> float:
        if wanted.isdigit():
            return _shared_digits(wanted, urn.removeprefix(LEIKA_PREFIX))
        name = self._names.get(urn, urn).casefold()
        words = [name, *re.findall(r"\w{4,}", name)]
        return max(_ratio(wanted, word[:_MAX_COMPARED]) for word in words)


class CurrentServices(ServiceRegister):
    """The register of the services of the moment: tables that hold it follow what is published."""

    def __init__(self, catalogue: Callable[[], ServiceCatalogue]) -> None:
        self._catalogue = catalogue
        self._read: tuple[ServiceCatalogue | None, Mapping[str, str]] = (None, {})

    @property
    def _names(self) -> Mapping[str, str]:
        catalogue = self._catalogue()
        if self._read[0] is not catalogue:
            self._read = (catalogue, {each.key: each.official for each in catalogue})
        return self._read[1]


def _shared_digits(wanted: str, key: str) -> float:
    """Compare LeiKa keys from the left: 99, group (3), service (3), action (3), detail (3)."""
    shared = _shared(wanted, key)
    kinship = _LIKE_ENOUGH + 0.02 * shared if shared >= _GROUP_DIGITS else 0.0
    return max(kinship, _ratio(wanted, key) - 0.1)


def _shared(one: str, other: str) -> int:
    both = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in both if a != b), min(len(one), len(other)))


def _ratio(one: str, other: str) -> float:
    """Return difflib's likeness, or 0 where its cheap upper bounds already rule it out."""
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    if matcher.real_quick_ratio() < _LIKE_ENOUGH or matcher.quick_ratio() < _LIKE_ENOUGH:
        return 0.0
    return matcher.ratio()
