"""Finding what one needs: where one lives, which service, what it takes, who does it; and the beginning of an application.

Nobody is sent away without a way to go: what is not online here says who does it and what to bring, and what is not found
offers other words, all services and all places.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from hub.errors import Conflict, Invalid, NotFound, Unavailable
from hub.model import LEIKA_PREFIX
from hub.portal.doors import AreaStanding, FoundArea, FoundAreas, Responsibility, no_service, responsibility
from hub.portal.frame import Portal, asked
from hub.portal.invitations import PortalInvitations
from hub.portal.login import DEMANDED, LOGIN
from hub.portal.session import FormArea, FormSchema, Running
from hub.portal.texts import Language
from hub.portal.visits import BegunForms

#: A LeiKa key or another URN, as it stands in an address.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._-]{2,199}")
_ARS = re.compile(r"[0-9]{12}")
#: Services on one page.
_ROWS = 20
_MOST = 50
_NOTES = frozenset(
    {"form-ended", "form-deleted", "form-saved", "form-left", "saved-deleted", "status-deleted", "release-ended"}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceRow:
    """A service in a list: ``key`` as it stands in addresses, ``way`` how it can be had where one lives."""

    key: str
    name: str
    teaser: str
    way: str


def routes(portal: Portal) -> list[Route]:
    """Return the routes of these pages."""
    pages = _FindingPages(portal)
    return [
        Route("/", pages.start, methods=["GET"]),
        Route("/orte", pages.places, methods=["GET"]),
        Route("/leistungen", pages.services, methods=["GET"]),
        Route("/leistung/{key}", pages.service, methods=["GET"]),
        Route("/antrag", pages.begin, methods=["POST"]),
        *(Route(f"/{path}", pages.legal, methods=["GET"], name=name) for path, name in LEGAL.items()),
    ]


#: Pages that the law asks for, by address.
LEGAL: Mapping[str, str] = {"impressum": "imprint", "datenschutz": "privacy", "barrierefreiheit": "accessibility"}


class _FindingPages:
    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._invitations = PortalInvitations(portal.storage.database)
        self._begun_forms = BegunForms(portal.storage.database, portal.settings.limits.begun_per_address)

    async def start(self, request: Request) -> Response:
        """Ask where somebody lives and what they need."""
        portal = self._portal
        note = asked(request, "note")
        session = await portal.work(portal.sessions.of, request, portal.clock())
        return portal.page(
            request,
            "start.html",
            running=None if session is None else session.running,
            note=f"note.{note}" if note in _NOTES else "",
        )

    async def places(self, request: Request) -> Response:
        """Find a municipality; one that alone is meant is gone on with at once."""
        words, need = asked(request, "q"), asked(request, "was")
        found = await self._found(request, words)
        only = _only(found)
        if only is not None:
            return self._portal.to(request, "/leistungen", ars=only.ars, q=need)
        return self._portal.page(
            request, "orte.html", words=words, need=need, found=found, dissolved=AreaStanding.DISSOLVED
        )

    async def services(self, request: Request) -> Response:
        """Find services; with a place also how each can be had there."""
        portal, where, words = self._portal, asked(request, "ort"), asked(request, "q")
        if where:
            return portal.to(request, "/orte", q=where, was=words)
        place = await self._place(request)
        offset = _number(asked(request, "ab"))
        language = portal.language(request)
        limit = _ROWS if words else _MOST
        found = await portal.work(
            portal.doors.services, words, place.ars if place else "", language, offset=offset, limit=limit
        )
        listed = [each for each in found.get("services", []) if isinstance(each, dict)]
        return portal.page(
            request,
            "leistungen.html",
            words=words,
            place=place,
            total=int(found.get("total", 0)),
            topics=_by_topic(listed, place, ranked=bool(words)),
            before=max(0, offset - limit) if offset else None,
            behind=offset + limit if offset + limit < int(found.get("total", 0)) else None,
            first=offset + 1,
            last=offset + len(listed),
        )

    async def service(self, request: Request) -> Response:
        """Say what a service takes, and who does it where one lives."""
        portal, key = self._portal, _service_key(request.path_params["key"])
        where = asked(request, "ort")
        place = await self._place(request)
        found = None
        if place is None and where:
            found = await self._found(request, where)
            only = _only(found)
            if only is not None:
                return portal.to(request, f"/leistung/{_shown(key)}", ars=only.ars)
        return await self._shown(request, key, place, where=where, found=found)

    async def _shown(  # what it says depends on all of it
        self,
        request: Request,
        key: str,
        place: FoundArea | None,
        *,
        where: str = "",
        found: FoundAreas | None = None,
        wrong: bool = False,
    ) -> Response:
        """Show a service; ``wrong``: the code of an invitation was."""
        portal, language = self._portal, self._portal.language(request)
        service = await portal.work(portal.doors.service, key, place.ars if place else "", language)
        notice = await portal.work(self._notice, str(service["key"]), language)
        session = await portal.work(portal.sessions.of, request, portal.clock())
        return portal.page(
            request,
            "leistung.html",
            running=None if session is None else session.running,
            service=service,
            reviewed=_day(service.get("reviewed"), language),
            key=_shown(key),
            place=place,
            where=where,
            found=found,
            dissolved=AreaStanding.DISSOLVED,
            who=None if place is None else responsibility(service),
            can_log_in=portal.login is not None and portal.login.offers(service.get("assurance")),
            notice=notice,
            wrong=wrong,
            status=422 if wrong else 200,
        )

    def _notice(self, key: str, language: str) -> str:
        """Say whether artificial intelligence takes part; where the register does not answer, that nobody knows now."""
        texts = self._portal.texts
        try:
            return self._portal.doors.ai_notice(key, language) or texts.say("ai.none", language)
        except Unavailable:
            return texts.say("ai.unknown", language)

    async def begin(self, request: Request) -> Response:
        """Begin an application: a new form under a new key, whatever ran before."""
        portal = self._portal
        fields = dict(await portal.fields(request, largest=16 * 1024))
        key, ars = _service_key(fields.get("service", "")), fields.get("ars", "")
        code = fields.get("einladung", "")
        begun = await portal.work(self._begun, request, key, ars, code, replaces=fields.get("ersetzen") == "ja")
        if begun is not None:
            return begun
        return await self._shown(request, key, await self._place(request, ars), wrong=True)

    def _begun(self, request: Request, key: str, ars: str, code: str, *, replaces: bool) -> Response | None:
        """Begin; None where the service is on trial, and the code is none that lets somebody in."""
        portal, language, now = self._portal, self._portal.language(request), self._portal.clock()
        before = portal.sessions.of(request, now)
        if before is not None and before.running.sent is None and not replaces:
            raise Conflict(portal.texts.text("begin.another"))
        address = request.client.host if request.client is not None else ""
        self._begun_forms.require_room(address, now)
        area = portal.doors.place(ars, language)
        service = portal.doors.service(key, ars, language)
        who = responsibility(service)
        if who.invites and not self._invitations.admits(
            code, service=str(service["key"]), area=area.ars, address=address, now=now
        ):
            return None
        demanded = service.get("assurance")
        if demanded and (portal.login is None or not portal.login.offers(demanded)):
            raise Invalid(portal.texts.text("login.not-here"))
        running = self._running(area, service, language=language, demanded=demanded, now=now)
        response = portal.to(request, LOGIN if portal.login is not None else "/antrag")
        if before is not None:
            portal.sessions.forget(before)
        portal.sessions.begin(response, running, now)
        return response

    def _running(
        self, area: FoundArea, service: Mapping[str, Any], *, language: Language, demanded: str | None, now: datetime
    ) -> Running:
        who = responsibility(service)
        return Running(
            place=FormArea(ars=area.ars, name=area.name),
            service=str(service["key"]),
            service_name=str(service["name"]),
            authority=who.name,
            schema=self._schema(who),
            language=language,
            begun=now.isoformat(),
            extra={DEMANDED: demanded} if demanded else {},
        )

    def _schema(self, who: Responsibility) -> FormSchema:
        """Return the newest schema in force that who is responsible takes."""
        for uri in reversed(who.schemas):
            facts = self._portal.doors.schema_facts(uri)
            if facts.get("inForce"):
                return FormSchema(uri=uri, sha256=str(facts.get("sha256", "")))
        raise Invalid(self._portal.texts.text("begin.offline"), slug="no-route")

    async def legal(self, request: Request) -> Response:
        """Show a page that the law asks for, as the operator wrote it, or that nobody did."""
        name = LEGAL[request.url.path.strip("/")]
        text = await self._portal.work(self._portal.look(request).page, name)
        return self._portal.page(request, "rechtliches.html", name=name, text=text)

    async def _found(self, request: Request, words: str) -> FoundAreas | None:
        """Return what a search for places finds; None for no words."""
        if not words:
            return None
        portal = self._portal
        return await portal.work(portal.doors.places, words, portal.language(request))

    async def _place(self, request: Request, ars: str = "") -> FoundArea | None:
        """Return the municipality that is named, by the address where nothing else is; None where nothing names one."""
        ars = ars or asked(request, "ars")
        if not ars:
            return None
        if not _ARS.fullmatch(ars):
            raise NotFound(self._portal.texts.text("place.unknown"))
        return await self._portal.work(self._portal.doors.place, ars, self._portal.language(request))


def _only(found: FoundAreas | None) -> FoundArea | None:
    """Return the one municipality that a search means; None where somebody has to choose."""
    if found is None or len(found.areas) != 1 or found.choice:
        return None
    return found.areas[0] if found.areas[0].standing is AreaStanding.CURRENT else None


def _by_topic(
    services: Sequence[Mapping[str, Any]], place: FoundArea | None, *, ranked: bool
) -> list[tuple[str, list[ServiceRow]]]:
    """Return services below their topics; in the order of a search, which is one list, where they are ``ranked``."""
    topics: dict[str, list[ServiceRow]] = defaultdict(list)
    for each in services:
        row = ServiceRow(
            key=_shown(str(each["key"])),
            name=str(each["name"]),
            teaser=str(each.get("situation") or each.get("summary") or ""),
            way="" if place is None else _way(responsibility(each)),
        )
        topics["" if ranked else str(each.get("topic") or "")].append(row)
    return sorted(topics.items())


def _way(who: Responsibility) -> str:
    if who.online:
        return "online"
    return "elsewhere" if who.elsewhere else "offline"


def _service_key(said: str) -> str:
    if not _KEY.fullmatch(said):
        raise no_service()
    return said


def _day(said: Any, language: str) -> str:
    """Return a day as people write it (30.11.2026, 30/11/2026), empty where there is none."""
    try:
        return date.fromisoformat(said).strftime("%d/%m/%Y" if language == "en" else "%d.%m.%Y")
    except (TypeError, ValueError):
        return ""


def _shown(key: str) -> str:
    return key.removeprefix(LEIKA_PREFIX)


def _number(said: str) -> int:
    return min(int(said), 10_000) if said.isascii() and said.isdigit() and len(said) < 6 else 0  # noqa: PLR2004
