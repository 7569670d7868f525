"""The clerks' site as an ASGI application, and the server that runs it in a loop of the connector.

What every request passes, cheapest first: (1) its host is one of ours, once, (2) what changes something comes from one of our
pages, as the browser says, (3) a session, (4) the form, up to its size, (5) its CSRF token, (6) the page. A page is a plain
function from a visit to an answer and runs in a thread.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from hub.client.transport import is_loopback
from hub.connector.clerk import acting, login, reading
from hub.connector.clerk.absences import ClerkAbsences
from hub.connector.clerk.accounts import ClerkAccounts
from hub.connector.clerk.sessions import ClerkSessions, has_csrf
from hub.connector.clerk.visit import FILTERS, ClerkForm, ClerkLanguage, ClerkTools, ClerkVisit, read_form
from hub.connector.desk import Desk
from hub.connector.settings import ClerkSite, unusable
from hub.errors import Forbidden, HubError, NotFound, Text
from hub.files import vault
from hub.resources import look_folder
from hub.supervision import Supervisor
from hub.web.listening import bound
from hub.web.protocol import ConnectionBounds, SteadyServer, server_options
from hub.web.responses import SafeHeaders, retry_after, status_of
from hub.web.templates import environment

_log = logging.getLogger(__name__)
_FOLDER = Path(__file__).parent
#: No script at all; nothing inline, nothing from elsewhere; frames of our own, which are sandboxes.
_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; frame-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)
_SMALL = 256 * 1024
_HEADROOM = 256 * 1024
_FAULT = 500

ClerkAnswer = Callable[[ClerkVisit], Response]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Page:
    """One page; ``open`` to who is not logged in, ``files`` where files come with its form."""

    method: str
    path: str
    answer: ClerkAnswer
    open: bool = False
    files: bool = False


_PAGES = (
    _Page(method="GET", path="/login", answer=login.show, open=True),
    _Page(method="POST", path="/login", answer=login.log_in, open=True),
    _Page(method="POST", path="/logout", answer=login.log_out),
    _Page(method="GET", path="/", answer=reading.cases),
    _Page(method="GET", path="/absences", answer=reading.absences),
    _Page(method="POST", path="/absences", answer=acting.say_absent),
    _Page(method="POST", path="/absences/end", answer=acting.say_back),
    _Page(method="GET", path="/cases/{case}", answer=reading.case),
    _Page(method="GET", path="/cases/{case}/print", answer=reading.print_view),
    _Page(method="GET", path="/submissions/{submission}/read", answer=reading.read),
    _Page(method="GET", path="/submissions/{submission}/files/{file}", answer=reading.download),
    _Page(method="GET", path="/submissions/{submission}/files/{file}/view", answer=reading.look_at),
    _Page(method="GET", path="/replies/{reply}/files/{file}", answer=reading.download_written),
    _Page(method="POST", path="/cases/{case}/worker", answer=acting.work),
    _Page(method="POST", path="/submissions/{submission}/accept", answer=acting.accept),
    _Page(method="POST", path="/submissions/{submission}/reject", answer=acting.reject),
    _Page(method="POST", path="/cases/{case}/replies", answer=acting.write, files=True),
    _Page(method="POST", path="/cases/{case}/ai-steps", answer=acting.note_ai_step),
    _Page(method="POST", path="/cases/{case}/forward", answer=acting.forward),
    _Page(method="POST", path="/cases/{case}/forward/agreement", answer=acting.agree),
    _Page(method="POST", path="/cases/{case}/export", answer=acting.export),
)


def build(settings: ClerkSite, desk: Desk, port: int) -> ASGIApp:
    """Return the application; it answers under the hosts that the settings name alone.

    Raises:
        ConfigurationError: the file of accounts cannot be used.
    """
    accounts = ClerkAccounts(settings.accounts_file)
    pages = environment(_FOLDER / "templates")
    pages.filters.update(FILTERS)
    pages.globals["vendor"] = (look_folder() / "vendor" / "kern.min.css").is_file()
    secure = settings.certificate_file is not None
    tools = ClerkTools(
        desk=desk,
        accounts=accounts,
        sessions=ClerkSessions(desk.journal, accounts),
        absences=ClerkAbsences(desk.journal, accounts),
        pages=pages,
        secure=secure,
    )
    routes = _routes(tools)
    missing = partial(_missing, tools)
    app = Starlette(routes=routes, exception_handlers={404: missing, 405: missing})
    # A redirect would lead to wherever the Host header says, and take the form along.
    app.router.redirect_slashes = False
    return SafeHeaders(_Entrance(app, _hosts(settings, port)), https=secure)


def _routes(tools: ClerkTools) -> list[Route | Mount]:
    return [
        Mount("/static/clerk", _Files(directory=_FOLDER / "static")),
        Mount("/static", _Files(directory=look_folder())),
        *(Route(each.path, _endpoint(each, tools), methods=[each.method]) for each in _PAGES),
    ]


class _Files(StaticFiles):
    """Files of the pages, which a browser may keep for an hour."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        response.headers["cache-control"] = "public, max-age=3600"
        return response


def _hosts(settings: ClerkSite, port: int) -> frozenset[str]:
    """Return what may stand in the Host header: a page elsewhere that lies about a name (DNS rebinding) says another one."""
    names = {settings.address if ":" not in settings.address else f"[{settings.address}]", *settings.hosts}
    if is_loopback(settings.address):
        names |= {"localhost", "127.0.0.1", "[::1]"}
    standard = 80 if settings.certificate_file is None else 443
    return frozenset({f"{name}:{port}" for name in names} | (names if port == standard else set()))


class _Entrance:
    """What every request passes before a page is looked for."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1000})
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) != 1 or hosts[0].decode("latin-1").lower() not in self._hosts:
            await _MISDIRECTED(scope, receive, send)
            return
        await self._app(scope, receive, send)


#: Nothing of what was asked: the page would be shown under somebody else's name (RFC 9110 section 15.5.20).
_MISDIRECTED = PlainTextResponse(
    "421 Unter diesem Namen gibt es hier nichts (clerk.hosts). / There is nothing here under this name (clerk.hosts).\n",
    status_code=421,
)


def _endpoint(page: _Page, tools: ClerkTools) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        visit = _visit(request, tools)
        try:
            if page.method == "POST":
                _require_same_origin(request)
            visit = await run_in_threadpool(_with_session, visit)
            if visit.session is None and not page.open:
                return visit.to("/login") if page.method == "GET" else _gone(visit)
            if page.method == "POST":
                visit = await _with_form(request, visit, page)
            return _carrying(await run_in_threadpool(page.answer, visit))
        except HubError as error:
            return _carrying(await run_in_threadpool(_refusal, visit, error))
        except Exception as exc:  # noqa: BLE001  # A bug of ours; its text could hold what was read or written.
            _log.error("page %s: %s", page.path, type(exc).__name__)  # No traceback: it could, too.
            return _carrying(await run_in_threadpool(_refusal, visit, HubError(_BUG)))

    return answer


def _visit(request: Request, tools: ClerkTools) -> ClerkVisit:
    query = ClerkForm(fields=request.query_params.multi_items()[:20])
    said, wished = query.text("lang"), request.headers.get("accept-language", "")[:2].lower()
    language: ClerkLanguage = "en" if said == "en" or (said != "de" and wished == "en") else "de"
    return ClerkVisit(
        tools=tools,
        path=request.url.path,
        parts=request.path_params,
        query=query,
        language=language,
        now=tools.desk.clock(),
        address=request.client.host if request.client is not None else "",
        token=request.cookies.get(login.cookie_name(secure=tools.secure), ""),
    )


def _with_session(visit: ClerkVisit) -> ClerkVisit:
    return replace(visit, session=visit.tools.sessions.find(visit.token, now=visit.now))


async def _with_form(request: Request, visit: ClerkVisit, page: _Page) -> ClerkVisit:
    largest = visit.desk.largest_reply + _HEADROOM if page.files else _SMALL
    form = await read_form(request.stream(), request.headers.get("content-type", ""), largest=largest)
    if visit.session is not None and not page.open and not has_csrf(visit.session, form.text("csrf")):
        raise Forbidden(_FOREIGN)
    return replace(visit, form=form)


def _require_same_origin(request: Request) -> None:
    """Refuse a form that a browser says is of another site (Fetch Metadata; Origin, RFC 6454)."""
    origin = request.headers.get("origin")
    try:
        elsewhere = origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    except ValueError:
        elsewhere = True
    if elsewhere or request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Forbidden(_FOREIGN)


def _gone(visit: ClerkVisit) -> Response:
    """Say that the session is over: what was sent is not done, and a redirect would hide that."""
    return _carrying(
        visit.page(
            "error.html",
            status=401,
            title=Text("Ihre Sitzung ist beendet", "Your session has ended"),
            detail=Text(
                "Nichts wurde getan. Melden Sie sich an, gehen Sie im Browser zurück und senden Sie noch einmal.",
                "Nothing was done. Log in, go back in the browser and send once more.",
            ),
        )
    )


def _refusal(visit: ClerkVisit, error: HubError) -> Response:
    status = status_of(error)
    if status >= _FAULT:
        _log.warning("clerk page: %s", error.slug)
    response = visit.page("error.html", status=status, title=error.title, detail=error.detail)
    wait = retry_after(error)
    if wait is not None:
        response.headers["retry-after"] = str(wait)
    return response


def _carrying(response: Response) -> Response:
    """Give a page the policy of pages, unless it has one of its own."""
    if response.headers.get("content-type", "").startswith("text/html"):
        response.headers.setdefault("content-security-policy", _POLICY)
    return response


async def _missing(tools: ClerkTools, request: Request, _: Exception) -> Response:
    visit = await run_in_threadpool(_with_session, _visit(request, tools))
    return _carrying(await run_in_threadpool(_refusal, visit, NotFound(_NO_PAGE)))


_FOREIGN = Text(
    "Das Formular kommt nicht von einer Seite Ihrer Sitzung. Laden Sie die Seite neu, und senden Sie noch einmal.",
    "The form is not from a page of your session. Reload the page, and send once more.",
)
_NO_PAGE = Text("Diese Seite gibt es nicht.", "There is no such page.")
_BUG = Text(
    "Das ist ein Fehler des Konnektors; sein Protokoll nennt ihn.", "That is the connector's fault; its log names it."
)


#: What clients in the house may take up before anybody has looked at what they send.
_BOUNDS = ConnectionBounds(head_bytes=32 * 1024, head_seconds=15.0, connections=64, unread_seconds=60.0)


class _Server(SteadyServer):
    """A server that leaves no connection open and unanswered where its loop dies."""

    async def main_loop(self) -> None:
        try:
            await super().main_loop()
        except BaseException:
            self.force_exit = True
            await self.shutdown()
            raise


class ClerkServer:
    """The site behind a server, in a loop of its own that is kept up; answers from construction until ``close``."""

    def __init__(self, settings: ClerkSite, desk: Desk, *, supervisor: Supervisor | None = None) -> None:
        try:
            self._socket = bound(settings.address, settings.port)
        except HubError as exc:
            raise unusable("clerk.port", exc.detail.de.rstrip("."), exc.detail.en.rstrip(".")) from exc
        self.port = int(self._socket.getsockname()[1])
        secure = settings.certificate_file is not None
        self._config = _configured(build(settings, desk, self.port), _tls(settings) if secure else None)
        self._server = _Server(self._config)
        self._loop = (supervisor or Supervisor()).begin("clerk-pages", self._answer, daemon=True)
        while not self._server.started and not self._loop.down:
            time.sleep(0.005)
        if not self._server.started:
            self.close()
            raise unusable("clerk", "lässt sich nicht öffnen", "cannot be opened")
        scheme = "https" if secure else "http"
        self.address = f"{scheme}://{settings.address if secure else 'localhost'}:{self.port}/"
        _log.info("Seite für die Sachbearbeitung / page for clerks: %s", self.address)

    def close(self) -> None:
        """Stop; requests that are being answered are finished."""
        self._loop.stop.set()
        self._server.should_exit = True
        self._loop.end()
        self._socket.close()

    def _answer(self, stop: threading.Event) -> None:
        # A server lives once, and closes the socket that it was given.
        self._server = server = _Server(self._config)
        if not stop.is_set():
            server.run(sockets=[self._socket.dup()])


def _configured(site: ASGIApp, tls: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        site,
        **server_options(_BOUNDS),
        loop="asyncio",
        lifespan="off",
        proxy_headers=False,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=5,
        ssl_context_factory=(lambda _config, _default: tls) if tls is not None else None,
    )


def _tls(settings: ClerkSite) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate = settings.certificate_file
    assert certificate is not None  # noqa: S101  # as whoever calls has looked
    private = settings.key_file or certificate
    vault.require_privacy(private)
    vault.require_place(private.parent)
    try:
        context.load_cert_chain(certificate, settings.key_file)
    except OSError as exc:
        raise unusable(
            "clerk.certificate_file", "ist kein Paar mit clerk.key_file", "is no pair with clerk.key_file"
        ) from exc
    return context
