"""The pages of logging in at a form, by the provider, and of logging out.

Nowhere is there an address to come back to that anybody could choose: who logs in goes on with the form that they left. The way
out is a link, since no form may lead elsewhere (``form-action``), and it counts for who brings the form's strict cookie alone,
which no foreign page can have sent. The way back ends on a page that leads on by itself: to a navigation that began at another
site browsers give no strict cookie.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from hub.errors import Conflict, NotFound, Unauthenticated, Unavailable
from hub.forms.known import with_known, without_known
from hub.portal.asking import AskedForm, AskedForms
from hub.portal.filling import FORM, STEPS, fillings
from hub.portal.frame import Portal
from hub.portal.login import (
    DEMANDED,
    DEPART,
    LOGIN,
    LOGOUT,
    RETURN,
    TICKET_LIFE,
    LoggedIn,
    LoginWay,
    lacks_login,
    logged_out,
)
from hub.portal.receiving import FormVisit, visit_of
from hub.portal.session import FormSession, Running
from hub.web.responses import status_of

_COOKIE, _COOKIE_IN_DEVELOPMENT = "__Host-anmeldung", "anmeldung-development"
_LONGEST_COOKIE = 200
#: Members of a provider's answer (OpenID Connect Core 3.1.2.5 and 3.1.2.6, RFC 9207).
_ANSWER = ("code", "state", "iss", "error")
_LONGEST = 2_000
#: The address of what answers the provider holds a code; it stands in no link of the page.
_ONCE: dict[str, Any] = {"languages": ()}


def routes(portal: Portal, forms: AskedForms) -> list[Route]:
    """Return the addresses; none where nobody can log in."""
    if portal.login is None:
        return []
    pages = _LoginPages(portal, portal.login, forms)
    return [
        Route(LOGIN, pages.choose, methods=["GET"]),
        Route(DEPART, pages.depart, methods=["GET"]),
        Route(RETURN, pages.arrive, methods=["GET"]),
        Route(LOGOUT, pages.log_out, methods=["POST"]),
    ]


class _LoginPages:
    def __init__(self, portal: Portal, way: LoginWay, forms: AskedForms) -> None:
        self._portal = portal
        self._way = way
        self._forms = forms

    async def choose(self, request: Request) -> Response:
        """Say what logging in is for, and whether it has to be."""
        return await self._portal.work(self._chosen, request)

    def _chosen(self, request: Request) -> Response:
        visit = self._open_visit(request)
        demanded = visit.running.extra.get(DEMANDED)
        return visit.page(
            "anmelden.html",
            demanded=demanded,
            lacking=lacks_login(visit.running, demanded),
            depart_at=DEPART,
            form_at=FORM,
        )

    async def depart(self, request: Request) -> Response:
        """Send the browser to the provider."""
        return await self._portal.work(self._departed, request)

    def _departed(self, request: Request) -> Response:
        if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            raise self._portal.foreign()
        visit = self._open_visit(request)
        try:
            departure = self._way.depart(_host(request), visit.session, self._portal.clock())
        except Unavailable as error:
            return self._ended(request, status_of(error), away=True)
        response = RedirectResponse(departure.address, status_code=303)
        response.set_cookie(
            self._cookie,
            departure.ticket.text(),
            max_age=int(TICKET_LIFE.total_seconds()),
            path="/",
            httponly=True,
            # The provider's redirect comes from another site; "strict" would withhold the cookie then.
            samesite="lax",
            secure=self._portal.settings.secure,
        )
        return response

    async def arrive(self, request: Request) -> Response:
        """Take the provider's answer; the page that follows leads on by itself."""
        return await self._portal.work(self._arrived, request)

    def _arrived(self, request: Request) -> Response:
        answer = {
            name: request.query_params.get(name, "")[:_LONGEST] for name in _ANSWER if name in request.query_params
        }
        cookie, now = request.cookies.get(self._cookie, "")[:_LONGEST_COOKIE], self._portal.clock()
        try:
            found = self._way.arrive(_host(request), answer, cookie, now)
            session = self._with_person(found.session, found.who)
        except (Unauthenticated, Conflict, NotFound) as error:
            return self._ended(request, status_of(error), away=False)
        except Unavailable as error:
            return self._ended(request, status_of(error), away=True)
        onward = self._portal.link(request, self._onward(found.session.running))
        response = self._portal.page(request, "angemeldet.html", next=onward, **_ONCE)
        self._portal.sessions.move(session, response, now)
        return self._forgetting(response)

    def _onward(self, before: Running) -> str:
        """Return where a form goes on: who had answered nothing sees first what stands there now."""
        first = self._forms.of(before.schema.uri).open_steps(before.answers)
        return FORM if before.answers or not first else f"{STEPS}/{first[0].id}"

    def _with_person(self, session: FormSession, who: LoggedIn) -> FormSession:
        """Return a form with what is known of who is logged in; what its schema does not take is not locked."""
        running = session.running
        asked = self._forms.of(running.schema.uri)
        known = who.known(asked.form)
        answers = with_known(asked.form, running.answers, known)
        wrong = {fault.at for fault in asked.faults(answers, fillings(asked, running, self._portal))}
        who = replace(who, open=tuple(each.at for each in known if each.locked and each.at in wrong))
        return replace(session, running=who.within(replace(running, answers=answers)))

    async def log_out(self, request: Request) -> Response:
        """Forget who is logged in, and what was known of them."""
        await self._portal.fields(request)
        return await self._portal.work(self._logged_out, request)

    def _logged_out(self, request: Request) -> Response:
        visit, portal = self._open_visit(request), self._portal
        who = LoggedIn.of(visit.running)
        if who is not None:
            answers = without_known(self._asked(visit).form, visit.running.answers, who.known(self._asked(visit).form))
            portal.sessions.write(visit.session, replace(logged_out(visit.running), answers=answers), portal.clock())
        host = _host(request)
        back = f"{'https' if portal.settings.secure else 'http'}://{host}/"
        return portal.page(
            request, "abgemeldet.html", provider_at=self._way.way_out(host, back, portal.clock()), form_at=FORM
        )

    def _asked(self, visit: FormVisit) -> AskedForm:
        return self._forms.of(visit.running.schema.uri)

    def _open_visit(self, request: Request) -> FormVisit:
        visit = visit_of(self._portal, request)
        if visit.running.sent is not None or visit.running.pending is not None:
            raise Conflict(self._portal.texts.text("form.on-its-way"))
        return visit

    def _ended(self, request: Request, status: int, *, away: bool) -> Response:
        response = self._portal.page(
            request, "anmelden-ende.html", status=status, away=away, login_at=LOGIN, form_at=FORM, **_ONCE
        )
        return self._forgetting(response)

    @property
    def _cookie(self) -> str:
        return _COOKIE if self._portal.settings.secure else _COOKIE_IN_DEVELOPMENT

    def _forgetting(self, response: Response) -> Response:
        response.delete_cookie(
            self._cookie, path="/", httponly=True, samesite="lax", secure=self._portal.settings.secure
        )
        return response


def _host(request: Request) -> str:
    """Return the host of a request, which the entrance has judged."""
    return request.headers.get("host", "").lower()
