"""The pages of an application that several people release: who they are, the ways to it, reading it, releasing it.

As on the status page nobody is logged in: the page that a right code opens carries that person's key in its forms.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from hub.errors import Invalid, NotFound
from hub.portal import releasing
from hub.portal.asking import AskedForms
from hub.portal.codes import Guesses, TypedKey, grouped, read_typed
from hub.portal.frame import Portal
from hub.portal.moments import day, day_and_time
from hub.portal.releasing import LINKS, PEOPLE, ReleaseRounds, ReleaseWay, Send, way_of
from hub.portal.review import sections_of
from hub.portal.session import FormSession
from hub.portal.storage import FormKey, Kept

RELEASE, PEOPLE_PAGE = "/freigabe", "/freigabe/personen"
_UNPROCESSABLE, _GONE = 422, 410
_REVIEW = "/antrag/pruefen"
_SANDBOX = "sandbox; default-src 'none'; frame-ancestors 'none'"


def routes(portal: Portal, forms: AskedForms, send: Send) -> list[Route]:
    """Return the addresses; ``send`` hands a frozen form to the hub."""
    pages = _ReleasePages(portal, forms, send)
    return [
        Route(RELEASE, pages.ask, methods=["GET"]),
        Route(RELEASE, pages.open, methods=["POST"]),
        Route(PEOPLE_PAGE, pages.people, methods=["GET"]),
        Route(PEOPLE_PAGE, pages.name, methods=["POST"]),
        Route(LINKS, pages.links, methods=["GET"]),
        Route(RELEASE + "/erteilen", pages.release, methods=["POST"]),
        Route(RELEASE + "/anlage", pages.file, methods=["POST"]),
        Route(RELEASE + "/{reference}", pages.ask, methods=["GET"]),
    ]


class _ReleasePages:
    def __init__(self, portal: Portal, forms: AskedForms, send: Send) -> None:
        self._portal = portal
        self._forms = forms
        self._guesses = Guesses(portal.storage.database)
        self._rounds = ReleaseRounds(portal, send)

    async def people(self, request: Request) -> Response:
        """Ask who has to release a form that somebody fills in."""
        session = await self._session(request)
        if session is None:
            return self._portal.to(request, "/", note="form-ended")
        return self._people(request, session, list(session.running.extra.get(PEOPLE, ())))

    async def name(self, request: Request) -> Response:
        """Take who has to release; nobody any more, where nobody is named."""
        fields = await self._portal.fields(request)
        session = await self._session(request)
        if session is None:
            return self._portal.to(request, "/", note="form-ended")
        if session.running.pending is not None:
            return self._portal.to(request, _REVIEW)  # What is on its way is not changed any more.
        roles = [value for name, value in fields if name == "role"]
        extra = {name: value for name, value in session.running.extra.items() if name != PEOPLE}
        if any(each.strip() for each in roles):
            try:
                extra[PEOPLE] = releasing.named(self._portal, roles)
            except Invalid:
                return self._people(request, session, roles, fault=True)
        changed = replace(session.running, extra=extra)
        await self._portal.work(self._portal.sessions.write, session, changed, self._portal.clock())
        return self._portal.to(request, _REVIEW)

    def _people(self, request: Request, session: FormSession, roles: list[str], *, fault: bool = False) -> Response:
        return self._portal.page(
            request,
            "freigabe-personen.html",
            status=_UNPROCESSABLE if fault else 200,
            running=session.running,
            roles=[*roles, *[""] * 3][: releasing.MOST_PEOPLE],
            fault=fault,
            most=releasing.MOST_PEOPLE,
            longest=releasing.LONGEST_NAME,
        )

    async def links(self, request: Request) -> Response:
        """Show the ways to an application, once it was frozen; only who holds the form's cookie gets here."""
        session = await self._session(request)
        begun = None if session is None else session.running.extra.get(releasing.BEGUN)
        if session is None or begun is None:
            return self._portal.to(request, "/", note="form-ended")
        until = day(datetime.fromisoformat(begun["until"]), self._portal.language(request))
        address = f"{self._portal.settings.public_url}{RELEASE}"
        return self._portal.page(
            request, "freigabe-links.html", running=session.running, begun=begun, until=until, address=address
        )

    async def ask(self, request: Request) -> Response:
        """Ask for reference and code; a link brings the reference."""
        reference = read_typed(str(request.path_params.get("reference", "")))
        return self._asked(request, grouped(reference) if reference else "")

    async def open(self, request: Request) -> Response:
        """Show the application and who has released it."""
        fields = dict(await self._portal.fields(request))
        typed = TypedKey.read(fields.get("reference", ""), fields.get("code", ""))
        address = request.client.host if request.client is not None else ""
        found = await self._portal.work(
            self._guesses.opened, self._portal.storage, typed, address=address, now=self._portal.clock()
        )
        way = None if found is None else way_of(*found)
        if found is None or way is None:
            return self._asked(request, fields.get("reference", ""), wrong=True)
        return await self._portal.work(self._shown, request, found[0], way)

    async def release(self, request: Request) -> Response:
        """Release, take back a release, or take the whole application back."""
        fields = dict(await self._portal.fields(request))
        key, way = await self._portal.work(self._way, fields)
        return await self._portal.work(self._decided, request, fields, key, way)

    async def file(self, request: Request) -> Response:
        """Hand out a file of the application to somebody who has to release it."""
        fields = dict(await self._portal.fields(request))
        _, way = await self._portal.work(self._way, fields)
        found = await self._portal.work(self._rounds.show, way, self._portal.clock())
        files = () if found is None else found.running.attachments
        file = next((each for each in files if each.id == fields.get("file")), None)
        if file is None:
            raise NotFound(self._portal.texts.text("follow.no-file"))
        chunks = await self._portal.work(self._portal.storage.attachment, way.key, file.id)
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
            "content-security-policy": _SANDBOX,
        }
        return StreamingResponse(chunks, headers=headers, media_type="application/octet-stream")

    def _way(self, fields: dict[str, str]) -> tuple[FormKey, ReleaseWay]:
        """Return the key that a page carries, and where it leads; NotFound where it leads nowhere."""
        key = FormKey.read(fields.get("key", ""))
        kept: Kept | None = None if key is None else self._portal.storage.read(key, now=self._portal.clock())
        way = None if key is None or kept is None else way_of(key, kept)
        if key is None or way is None:
            raise NotFound(self._portal.texts.text("release.gone"))
        return key, way

    def _decided(self, request: Request, fields: dict[str, str], key: FormKey, way: ReleaseWay) -> Response:
        wish, now = fields.get("do", ""), self._portal.clock()
        if wish == "end" and way.person is None:
            self._rounds.end(way, now)
            return self._portal.to(request, "/", note="release-ended")
        if wish == "back":
            self._rounds.take_back(way, now)
            return self._shown(request, key, way)
        if wish == "release":
            try:
                self._rounds.release(way, fields.get("name", ""), fields.get("sha512", ""), now)
            except Invalid:
                return self._shown(request, key, way, fault=True)
        return self._shown(request, key, way)

    def _shown(self, request: Request, key: FormKey, way: ReleaseWay, *, fault: bool = False) -> Response:
        now, language = self._portal.clock(), self._portal.language(request)
        found = self._rounds.show(way, now)
        if found is not None and found.complete and not found.fault:
            # All have released, and the hub could not be reached then: it is sent again as the same application.
            found = self._rounds.send_if_complete(way.key, found, now)
        common: dict[str, Any] = {"key": key.text(), "person": way.person, "fault": fault, "running": None}
        if found is None:
            sent = self._rounds.was_sent(way, now)
            return self._portal.page(request, "freigabe-ende.html", sent=sent, status=200 if sent else _GONE)
        asked = self._forms.of(found.running.schema.uri)
        steps = asked.open_steps(found.running.answers)
        return self._portal.page(
            request,
            "freigabe.html",
            status=_UNPROCESSABLE if fault else 200,
            round=found,
            sections=sections_of(steps, found.running.answers, language),
            files=found.running.attachments,
            longest=releasing.LONGEST_NAME,
            when=partial(_when, language=language),
            **common,
        )

    def _asked(self, request: Request, reference: str, *, wrong: bool = False) -> Response:
        status = _UNPROCESSABLE if wrong else 200
        return self._portal.page(request, "freigabe-fragen.html", status=status, reference=reference[:40], wrong=wrong)

    async def _session(self, request: Request) -> FormSession | None:
        found: Any = await self._portal.work(self._portal.sessions.of, request, self._portal.clock())
        return found if isinstance(found, FormSession) and found.running.sent is None else None


def _when(written: str, language: str) -> str:
    return day_and_time(datetime.fromisoformat(written), language)
