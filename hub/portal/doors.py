"""What the portal asks of the hub, at the doors that are open to any online service.

Look-ups are kept for a minute, bounded in number; while the hub is away, what was looked up within the hour still counts, so
that people can go on reading. What is sent is never kept. Where no answer can be had ``Unavailable`` is raised, which pages
tell people in words of their own.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast
from uuid import UUID

from hub.client.plain import Application, PlainDoor, Progress, Receipt, Report
from hub.client.session import Session, unreadable
from hub.errors import NotFound, Unavailable
from hub.forms.form_file import EasyText
from hub.model import MediaType
from hub.portal.schemas import FormSchemas
from hub.validation.editions import SchemaEntry

_FRESH = timedelta(minutes=1)
#: For so long an answer is still better than none.
_STALE = timedelta(hours=1)
#: Answers that are kept; the largest has some ten kilobytes.
_MOST = 2_000
#: Places that a search shows; more are asked for by more letters.
PLACES = 20
_LONGEST_WORDS = 200
_NO_PLACE = EasyText(
    "Diesen Ort kennt das Portal nicht. Suchen Sie ihn nach Namen oder Postleitzahl.",
    "The portal does not know this place. Look for it by name or postal code.",
    easy="Diesen Ort kennen wir nicht. Schreiben Sie den Namen vom Ort. Oder die Post-Leit-Zahl.",
)


class AreaStanding(StrEnum):
    """Whether a municipality can be chosen."""

    CURRENT = "current"
    #: It was dissolved; ``became`` names what it belongs to now.
    DISSOLVED = "dissolved"


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundArea:
    """A municipality that was found. ``distinction`` tells it from others of its name, ``parts`` are those looked for."""

    ars: str
    name: str
    distinction: str
    parts: tuple[str, ...]
    standing: AreaStanding
    became: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundAreas:
    """What a search for places found. ``choice``: one postal code, several municipalities; ``note``: why nothing was."""

    areas: tuple[FoundArea, ...]
    total: int
    choice: bool
    note: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Responsibility:
    """Who does a service in a place, and how one gets it there.

    ``schemas`` are the URIs of what can be sent, none where it is not online here. ``name`` is who will get it, or the kind of
    authority that does it; ``area`` is whose authority that is (ARS, name). ``why``: the hub's word where it is not online.
    ``invites``: it is on trial, and can be sent by whoever is invited.
    """

    online: bool
    schemas: tuple[str, ...]
    name: str
    area: tuple[str, str] | None
    why: str
    elsewhere: bool
    invites: bool


class Doors:
    """The hub's doors. Thread-safe. ``public`` asks for what is open to all, ``session`` in the portal's name."""

    def __init__(
        self, *, public: Session, session: Session, schemas: FormSchemas, clock: Callable[[], datetime]
    ) -> None:
        self._public = public
        #: In the portal's name; for replies, withdrawing and correcting.
        self.session = session
        self._door = PlainDoor(session)
        self._schemas = schemas
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[datetime, Any]] = OrderedDict()
        self._entries: dict[str, tuple[Mapping[str, Any], SchemaEntry]] = {}

    def places(self, words: str, language: str) -> FoundAreas:
        """Return the municipalities that people's words, a postal code or a key mean."""
        words = " ".join(words.split())[:_LONGEST_WORDS]
        found = self._once(("areas", words.casefold()), "/hub/v1/areas", {"q": words, "limit": str(PLACES * 2)})
        lang = "en" if language == "en" else "de"
        areas = tuple(_area(each, lang) for each in _several(found, "areas") if _is_municipality(each))
        note = found.get("note")
        return FoundAreas(
            areas=areas[:PLACES],
            total=int(found.get("total", 0)),
            choice=bool(found.get("choice")),
            note=str(note.get(lang, "")) if isinstance(note, dict) else "",
        )

    def place(self, ars: str, language: str) -> FoundArea:
        """Return one municipality by its key; ``NotFound``."""
        for each in self.places(ars, language).areas if len(ars) == len("064390015015") and ars.isdecimal() else ():
            if each.ars == ars:
                return each
        raise NotFound(_NO_PLACE)

    def services(self, words: str, ars: str, language: str, *, offset: int = 0, limit: int = 20) -> Mapping[str, Any]:
        """Return the services that words mean, as ``/hub/v1/services`` does; all of them for no words."""
        query = _given(q=words[:_LONGEST_WORDS], ars=ars, lang=_two(language), offset=str(offset), limit=str(limit))
        return self._once(("services", *sorted(query.items())), "/hub/v1/services", query)

    def service(self, key: str, ars: str, language: str) -> Mapping[str, Any]:
        """Return one service as ``/hub/v1/services/{key}`` does; ``NotFound``, or ``NoRoute`` for a place that is none."""
        query = _given(ars=ars, lang=_two(language))
        try:
            return self._once(("service", key, *sorted(query.items())), f"/hub/v1/services/{key}", query)
        except NotFound as exc:
            raise no_service() from exc

    def responsible(self, ars: str, key: str, language: str = "de") -> Responsibility:
        """Return who does a service in a place: online here, online elsewhere, or not online, and who then."""
        return responsibility(self.service(key, ars, language))

    def schema(self, uri: str) -> SchemaEntry:
        """Return a schema as the hub judges by it, with its form file, for :mod:`hub.forms`."""
        facts = self.schema_facts(uri)
        known = self._entries.get(uri)
        # The very same word of the hub's: nothing has to be compared with it again.
        if known is not None and known[0] is facts:
            return known[1]
        entry = self._schemas.entry(uri, facts)
        if len(self._entries) >= _MOST:
            self._entries.clear()
        self._entries[uri] = (facts, entry)
        return entry

    def schema_facts(self, uri: str) -> Mapping[str, Any]:
        """Return what the hub says of a schema (``/hub/v1/schemas/entry``); ``UnknownSchema``."""
        return self._once(("schema", uri), "/hub/v1/schemas/entry", {"uri": uri})

    def ai_notice(self, key: str, language: str) -> str | None:
        """Return what the hub's register says to people of machines that take part in a service; None where none does.

        A hub that keeps no register runs nothing of the kind.
        """
        lang = _two(language)
        asked = ("ai", key, lang)
        try:
            found = self._once(asked, "/hub/v1/ai-systems", {"service": key, "lang": lang})
        except NotFound:
            found = self._keep(asked, {"systems": []}, self._clock())
        notices = [
            str(each["notice"])
            for each in _several(found, "systems")
            if isinstance(each, dict) and each.get("kind") == "ai-system" and each.get("notice")
        ]
        return " ".join(notices) or None

    def validate(self, content: bytes, media_type: MediaType, schema: str) -> Report:
        """Have the hub judge a whole document; nothing is stored."""
        return self._door.validate(content, media_type=media_type, schema=schema)

    def submit(self, application: Application) -> Receipt:
        """Submit an application in the portal's name; the same value again is the same application."""
        return self._door.submit(application)

    def receipt(self, submission_id: UUID) -> Receipt:
        """Return a receipt once more."""
        return self._door.receipt(submission_id)

    def status(self, submission_id: UUID) -> Progress:
        """Return where an application stands."""
        return self._door.progress(submission_id)

    @property
    def plain(self) -> PlainDoor:
        """The plain door itself."""
        return self._door

    def is_there(self) -> bool:
        """Tell whether the hub answers; for the health page."""
        try:
            self._public.json("GET", "/health/live")
        except Unavailable:
            return False
        return True

    def _once(self, key: Hashable, path: str, query: Mapping[str, str]) -> Mapping[str, Any]:
        """Ask unless it was asked within the minute; what is known counts for an hour where the hub is away."""
        now = self._clock()
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and now - kept[0] < _FRESH:
            return cast("Mapping[str, Any]", kept[1])
        try:
            found = self._public.json("GET", path, query=query)
        except Unavailable:
            if kept is not None and now - kept[0] < _STALE:
                return cast("Mapping[str, Any]", kept[1])
            raise
        return self._keep(key, found, now)

    def _keep(self, key: Hashable, found: Mapping[str, Any], now: datetime) -> Mapping[str, Any]:
        with self._lock:
            self._kept[key] = (now, found)
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return found


def no_service() -> NotFound:
    """Return the refusal of a service that there is none of."""
    return NotFound(
        EasyText(
            "Diese Leistung kennt das Portal nicht. Suchen Sie sie mit eigenen Worten.",
            "The portal does not know this service. Look for it in your own words.",
            easy="Das kennen wir nicht. Suchen Sie mit eigenen Worten.",
        ),
    )


def responsibility(service: Mapping[str, Any]) -> Responsibility:
    """Return who does a service here, of what the hub says of it in a place."""
    office, ways = service.get("office") or {}, service.get("ways") or ()
    schemas = [each for each in office.get("schemas") or () if isinstance(each, str)]
    authority = office.get("authority")
    why = office.get("why") or {}
    return Responsibility(
        online=bool(office.get("online")) and bool(schemas),
        schemas=tuple(schemas) if office.get("online") or why.get("cause") == "by-invitation" else (),
        name=str(office.get("name") or service.get("authority") or ""),
        area=(str(authority["ars"]), str(authority["name"])) if isinstance(authority, dict) else None,
        why=str(why.get("text", "")),
        elsewhere=not office.get("online") and "online" in ways,
        invites=not office.get("online") and why.get("cause") == "by-invitation" and bool(schemas),
    )


def _area(document: Mapping[str, Any], lang: str) -> FoundArea:
    try:
        became = tuple((str(each["ars"]), str(each["name"])) for each in document["became"])
        return FoundArea(
            ars=str(document["ars"]),
            name=str(document["name"]),
            distinction=str(document.get("distinction", {}).get(lang, "")),
            parts=tuple(map(str, document.get("parts", ()))),
            standing=AreaStanding.DISSOLVED if document.get("validUntil") else AreaStanding.CURRENT,
            became=became,
        )
    except (KeyError, TypeError, AttributeError) as exc:
        raise unreadable() from exc


def _is_municipality(document: Any) -> bool:
    return isinstance(document, dict) and len(str(document.get("ars", ""))) == len("064390015015")


def _several(document: Mapping[str, Any], name: str) -> Sequence[Any]:
    found = document.get(name)
    if not isinstance(found, list):
        raise unreadable()
    return found


def _two(language: str) -> str:
    return "en" if language == "en" else "de"


def _given(**query: str) -> dict[str, str]:
    return {name: value for name, value in query.items() if value}
