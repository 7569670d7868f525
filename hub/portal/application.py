"""The portal's web application: which pages there are, what every request has to pass, and what every answer carries.

In order, cheapest first: (1) the host is one of ours, (2) its address asks no more often than it may, (3) what changes
something comes from one of our pages, (4) its address sends no more at once than it may. Each room of pages lists its own
routes; they are put together here.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.errors import HubError, NotFound
from hub.portal import finding, following, notifying, saving, sending
from hub.portal.frame import Portal
from hub.portal.visits import BodiesAtOnce, VisitCounts, paced
from hub.resources import look_folder
from hub.web.responses import SafeHeaders, status_of

_FOLDER = Path(__file__).parent
#: Nothing inline, nothing from elsewhere, nothing around our pages.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()"
_NOT_MODIFYING = frozenset({"GET", "HEAD"})
_FAULT = 500
_HEALTH = "/healthz"
_log = logging.getLogger(__name__)

#: Rooms of pages; those of forms first: a request tries one address after the other, and most requests are for these.
ROOMS = (sending.routes, finding.routes, saving.routes, following.routes, notifying.routes)


def build(portal: Portal, *, lifespan: Callable[[Any], Any] | None = None) -> ASGIApp:
    """Return the ASGI application of a portal."""
    routes = [*_StaticFiles(portal).routes(), Route(_HEALTH, _healthy, methods=["GET"])]
    routes += [each for room in ROOMS for each in room(portal)]
    has_status = any(each.path == "/stand" for each in routes)
    login = portal.settings.login
    portal.pages.know(
        development=not portal.settings.production,
        has_status=has_status,
        login_name="" if login is None else login.name,
    )
    app = Starlette(
        routes=routes,
        exception_handlers=_handlers(portal),
        lifespan=lifespan or _nothing,
    )
    # A redirect would lead to wherever the Host header says, and take the form along.
    app.router.redirect_slashes = False
    return SafeHeaders(_Entrance(app, portal), https=portal.settings.secure)


def _handlers(portal: Portal) -> dict[Any, Any]:
    return {
        HubError: partial(_refused, portal),
        404: partial(_missing, portal),
        405: partial(_missing, portal),
        500: partial(_broken, portal),
    }


@asynccontextmanager
async def _nothing(_: Any) -> AsyncIterator[None]:
    yield


class _Entrance:
    """What every request passes before a page is looked for, and what every answer carries."""

    def __init__(self, app: ASGIApp, portal: Portal) -> None:
        self._app = app
        self._portal = portal
        self._counts = VisitCounts(portal.settings.limits.requests_per_minute)
        self._bodies = BodiesAtOnce(portal.settings.limits.bodies_at_once)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1000})
            return
        request = Request(scope, receive)
        try:
            self._require_entry(request)
        except _Elsewhere:
            await _MISDIRECTED(scope, receive, _carrying(send))
        except HubError as error:
            answer = await self._portal.work(self._portal.refusal, request, error)
            await answer(scope, receive, _carrying(send))
        else:
            await self._passed(request, scope, receive, _carrying(send))

    async def _passed(self, request: Request, scope: Scope, receive: Receive, send: Send) -> None:
        """Have a page answer; what brings a body is counted for as long as it lasts."""
        if request.method in _NOT_MODIFYING:
            await self._app(scope, receive, send)
            return
        with ExitStack() as stack:
            try:
                stack.enter_context(self._bodies.one(_address(request)))
            except HubError as error:
                answer = await self._portal.work(self._portal.refusal, request, error)
                await answer(scope, receive, send)
                return
            await self._app(scope, paced(receive), send)

    def _require_entry(self, request: Request) -> None:
        # Whoever looks whether the portal lives comes by its bare address.
        if request.scope["path"] == _HEALTH:
            return
        host = request.headers.get("host", "").lower()
        if host not in self._portal.settings.looks or len(request.headers.getlist("host")) != 1:
            raise _Elsewhere
        if not request.scope["path"].startswith("/static/"):
            self._counts.require_room(_address(request), self._portal.clock())
        if request.method not in _NOT_MODIFYING and not _is_from_here(request.headers, host):
            raise self._portal.foreign()


def _address(request: Request) -> str:
    return request.client.host if request.client is not None else ""


class _Elsewhere(Exception):
    """The request is for another host."""


#: Nothing of what was asked: the page would be shown under somebody else's name (RFC 9110 section 15.5.20).
_MISDIRECTED = PlainTextResponse(
    "421 Diese Adresse bedient das Portal nicht. / The portal does not serve this address.\n", status_code=421
)


def _is_from_here(headers: Headers, host: str) -> bool:
    """Tell whether a browser says that a form is from one of our pages (Fetch Metadata; Origin, RFC 6454)."""
    origin = headers.get("origin")
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    try:
        return origin is None or urlsplit(origin).netloc.lower() == host
    except ValueError:
        return False


def _carrying(send: Send) -> Send:
    """Return a ``send`` that adds what the portal's answers carry, unless they say otherwise themselves."""

    async def carrying(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            names = {name.lower() for name, _ in headers}
            is_page = any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in headers)
            if is_page and b"content-security-policy" not in names:
                headers.append((b"content-security-policy", _POLICY.encode()))
            if b"permissions-policy" not in names:
                headers.append((b"permissions-policy", _PERMISSIONS.encode()))
            message["headers"] = headers
        await send(message)

    return carrying


async def _refused(portal: Portal, request: Request, error: Exception) -> Response:
    """Answer what was refused, in words for people; what is an outage stands in the log, without what was sent."""
    assert isinstance(error, HubError)  # noqa: S101  # as it is registered
    if status_of(error) >= _FAULT:
        # The address may carry words of a person; the page's own name does not.
        _log.warning("%s %s: %s", request.method, _page_name(request), error.slug)
    return await portal.work(portal.refusal, request, error)


def _page_name(request: Request) -> str:
    found = request.scope.get("route")
    return str(getattr(found, "path", "-"))


async def _missing(portal: Portal, request: Request, _: Exception) -> Response:
    return await portal.work(portal.refusal, request, NotFound(portal.texts.text("page.unknown")))


async def _broken(portal: Portal, request: Request, _: Exception) -> Response:
    return await portal.work(portal.refusal, request, HubError(portal.texts.text("fault.detail")))


async def _healthy(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


class _StaticFiles:
    """The portal's style, icon and scripts: read once, told apart by their content, packed where the browser takes it."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        sheet = b"\n".join((_without_fonts(look_folder() / "hub.css"), (_FOLDER / "static/portal.css").read_bytes()))
        files = {"portal.css": sheet, "icon.svg": (look_folder() / "icon.svg").read_bytes()}
        files |= {path.name: path.read_bytes() for path in sorted((_FOLDER / "static").glob("*.js"))}
        self._files = {name: (content, gzip.compress(content, mtime=0)) for name, content in files.items()}
        portal.pages.know(version=hashlib.sha256(b"".join(files.values())).hexdigest()[:12])

    def routes(self) -> list[Route]:
        """Return their routes."""
        return [
            Route("/static/look.css", self._look, methods=["GET"]),
            Route("/static/logo", self._logo, methods=["GET"]),
            Route("/static/{name}", self._file, methods=["GET"]),
        ]

    async def _file(self, request: Request) -> Response:
        name = request.path_params["name"]
        found = self._files.get(name)
        if found is None:
            raise NotFound(self._portal.texts.text("page.unknown"))
        packed = "gzip" in request.headers.get("accept-encoding", "")
        headers = {"cache-control": "public, max-age=3600", "vary": "accept-encoding"}
        headers |= {"content-encoding": "gzip"} if packed else {}
        kind = {"css": "text/css", "svg": "image/svg+xml", "js": "text/javascript"}[name.rpartition(".")[2]]
        return Response(found[packed], media_type=kind, headers=headers)

    async def _look(self, request: Request) -> Response:
        style = self._portal.look(request).style()
        return Response(style, media_type="text/css", headers={"cache-control": "public, max-age=300"})

    async def _logo(self, request: Request) -> Response:
        image = await self._portal.work(self._portal.look(request).image)
        if image is None:
            raise NotFound(self._portal.texts.text("page.unknown"))
        # An SVG is a document: shown by itself it could act, so it may do nothing there.
        policy = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}
        return Response(image[0], media_type=image[1], headers={**policy, "cache-control": "public, max-age=300"})


def _without_fonts(path: Path) -> bytes:
    """Return the common sheet without its fonts: half a megabyte that somebody on a slow line would wait for."""
    lines = path.read_bytes().splitlines(keepends=True)
    return b"".join(line for line in lines if not line.startswith(b"@font-face"))
