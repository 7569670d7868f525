"""The ASGI application of the pages: which page answers what, and what every request has to pass.

In order: (1) same origin for everything that changes, (2) session, (3) right, and only then (4) the form, up to the page's
size and as far as the memory budget goes, (5) CSRF token, (6) the page. A page is a plain function from a visit to a response
and runs in a thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route, Router
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.admin import (
    accounts,
    adapters,
    ai,
    clients,
    dashboard,
    destinations,
    login,
    onboarding,
    open_points,
    own_account,
    registration,
    routing,
    runbooks,
    schemas,
    services,
    submissions,
    tenants,
    usage,
    vendors,
)
from hub.admin.filters import FILTERS
from hub.admin.request import CALLBACK, ROOT, Language, SentForm, Tools, Visit
from hub.admission import Reservation
from hub.errors import (
    ConfigurationError,
    Forbidden,
    HubError,
    Malformed,
    NotFound,
    Text,
    TooLarge,
)
from hub.identity import PersonSession, Right, same_csrf
from hub.identity.accounts import factor_missing
from hub.identity.sessions import address_of, device_of
from hub.store import met_unreadable
from hub.web.responses import TEST_INSTANCE, SafeHeaders, retry_after, status_of
from hub.web.templates import environment

_FOLDER = Path(__file__).parent
#: A table of the whole country as CSV has less; everything else is small.
_LARGEST_BODY = 16 * 1024 * 1024
#: The form of somebody who is not logged in.
_SMALLEST_BODY = 16 * 1024
_MOST_FILES = 3
_MAX_FIELDS = 200
_log = logging.getLogger(__name__)

Answer = Callable[[Visit], Response]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Page:
    """One page: how it is reached, which right it takes (None: none, not even a session), and who answers.

    ``largest``: bytes of a body; ``files``: how many may come with it. ``before_factor``: also for whoever must set up a second
    factor first, and sees nothing else until then.
    """

    method: str
    path: str
    right: Right | None
    answer: Answer
    largest: int = _LARGEST_BODY
    files: int = _MOST_FILES
    before_factor: bool = False


def _page(method: str, path: str, right: Right | None, answer: Answer) -> _Page:
    return _Page(method=method, path=path, right=right, answer=answer)


def _small(path: str, right: Right | None, answer: Answer) -> _Page:
    return _Page(method="POST", path=path, right=right, answer=answer, largest=_SMALLEST_BODY, files=0)


def _early(method: str, path: str, answer: Answer) -> _Page:
    return replace(_page(method, path, Right.SEE, answer), before_factor=True)


PAGES = (
    _page("GET", "/login", None, login.show),
    _small("/login", None, login.log_in),
    _page("GET", "/oidc/login", None, login.depart),
    _page("GET", CALLBACK, None, login.arrive),
    _page("GET", "/oidc/logout", None, login.leave),
    _small("/login/factor", None, login.finish),
    _small("/login/key", None, login.finish_with_key),
    _page("GET", "/invitation", None, accounts.invited),
    _small("/invitation", None, accounts.hand_in),
    _small("/invitation/accept", None, accounts.accept),
    _page("GET", "/register", None, registration.show),
    _small("/register", None, registration.begin),
    _small("/register/complete", None, registration.complete),
    _early("POST", "/logout", login.log_out),
    _early("GET", "/account", own_account.show),
    _page("POST", "/account/password", Right.SEE, own_account.change_password),
    _early("POST", "/account/factor", own_account.offer_totp),
    _early("POST", "/account/factor/confirm", own_account.confirm_totp),
    _page("POST", "/account/factor/drop", Right.SEE, own_account.drop_totp),
    _early("POST", "/account/keys", own_account.offer_key),
    _early("POST", "/account/keys/confirm", own_account.confirm_key),
    _page("POST", "/account/keys/remove", Right.SEE, own_account.remove_key),
    _page("POST", "/account/codes", Right.SEE, own_account.renew_codes),
    _page("POST", "/account/sessions", Right.SEE, own_account.end_sessions),
    _page("GET", "/", Right.SEE, dashboard.overview),
    _page("GET", "/health", Right.SEE, dashboard.health),
    _page("GET", "/runbooks", Right.SEE, runbooks.index),
    _page("GET", "/submissions", Right.SEE, submissions.search),
    _page("GET", "/submissions/{id}", Right.SEE, submissions.trace),
    _page("POST", "/submissions/{id}/callbacks", Right.OPERATE, submissions.resend_callbacks),
    _page("GET", "/routing", Right.SEE, routing.active),
    _page("GET", "/routing/areas", Right.SEE, routing.index),
    _page("GET", "/routing/explain", Right.SEE, routing.explain),
    _page("GET", "/routing/versions", Right.SEE, routing.pages.versions),
    _page("POST", "/routing/versions", Right.EDIT, routing.draft),
    _page("POST", "/routing/rollback", Right.APPROVE, routing.pages.rollback),
    _page("POST", "/routing/cancel", Right.APPROVE, routing.cancel),
    _page("GET", "/routing/versions/{number}", Right.SEE, routing.version),
    _page("GET", "/routing/versions/{number}/export", Right.SEE, routing.export),
    _page("GET", "/routing/versions/{number}/rule", Right.EDIT, routing.edit_rule),
    _page("POST", "/routing/versions/{number}/rule", Right.EDIT, routing.put_rule),
    _page("POST", "/routing/versions/{number}/drop", Right.EDIT, routing.drop_rule),
    _page("POST", "/routing/versions/{number}/discard", Right.EDIT, routing.pages.discard),
    _page("POST", "/routing/versions/{number}/refresh", Right.EDIT, routing.pages.refresh),
    _page("POST", "/routing/versions/{number}/approve", Right.APPROVE, routing.pages.approve),
    _page("POST", "/routing/versions/{number}/activate", Right.APPROVE, routing.activate),
    _page("GET", "/services", Right.SEE, services.index),
    _page("GET", "/services/versions", Right.SEE, services.pages.versions),
    _page("POST", "/services/versions", Right.EDIT, services.draft),
    _page("POST", "/services/rollback", Right.APPROVE, services.pages.rollback),
    _page("GET", "/services/versions/{number}", Right.SEE, services.version),
    _page("GET", "/services/versions/{number}/export", Right.SEE, services.pages.export),
    _page("GET", "/services/versions/{number}/entry", Right.EDIT, services.pages.edit),
    _page("POST", "/services/versions/{number}/entry", Right.EDIT, services.pages.put),
    _page("POST", "/services/versions/{number}/drop", Right.EDIT, services.drop),
    _page("POST", "/services/versions/{number}/discard", Right.EDIT, services.pages.discard),
    _page("POST", "/services/versions/{number}/refresh", Right.EDIT, services.pages.refresh),
    _page("POST", "/services/versions/{number}/approve", Right.APPROVE, services.pages.approve),
    _page("POST", "/services/versions/{number}/publish", Right.APPROVE, services.pages.publish),
    _page("GET", "/ai", Right.SEE, ai.index),
    _page("POST", "/ai/links", Right.EDIT, ai.check_links),
    _page("GET", "/ai/versions", Right.SEE, ai.pages.versions),
    _page("POST", "/ai/versions", Right.EDIT, ai.draft),
    _page("POST", "/ai/rollback", Right.APPROVE, ai.pages.rollback),
    _page("GET", "/ai/versions/{number}", Right.SEE, ai.version),
    _page("GET", "/ai/versions/{number}/export", Right.SEE, ai.pages.export),
    _page("GET", "/ai/versions/{number}/entry", Right.EDIT, ai.pages.edit),
    _page("POST", "/ai/versions/{number}/entry", Right.EDIT, ai.pages.put),
    _page("POST", "/ai/versions/{number}/withdraw", Right.EDIT, ai.withdraw),
    _page("POST", "/ai/versions/{number}/discard", Right.EDIT, ai.pages.discard),
    _page("POST", "/ai/versions/{number}/refresh", Right.EDIT, ai.pages.refresh),
    _page("POST", "/ai/versions/{number}/approve", Right.APPROVE, ai.pages.approve),
    _page("POST", "/ai/versions/{number}/publish", Right.APPROVE, ai.pages.publish),
    _page("GET", "/destinations", Right.SEE, destinations.index),
    _page("GET", "/destinations/keys", Right.SEE, destinations.list_keys),
    _page("GET", "/destinations/new", Right.OPERATE, destinations.new),
    _page("POST", "/destinations/new", Right.OPERATE, destinations.create),
    _page("GET", "/destinations/{id}", Right.SEE, destinations.show),
    _page("GET", "/destinations/{id}/edit", Right.OPERATE, destinations.edit),
    _page("POST", "/destinations/{id}/edit", Right.OPERATE, destinations.change),
    _page("POST", "/destinations/{id}/status", Right.OPERATE, destinations.set_status),
    _page("GET", "/destinations/{id}/service", Right.OPERATE, destinations.edit_offer),
    _page("POST", "/destinations/{id}/service", Right.OPERATE, destinations.put),
    _page("POST", "/destinations/{id}/service/drop", Right.OPERATE, destinations.drop),
    _page("GET", "/destinations/{id}/adapter", Right.OPERATE, adapters.edit),
    _page("POST", "/destinations/{id}/adapter", Right.OPERATE, adapters.put),
    _page("POST", "/destinations/{id}/adapter/approve", Right.SEE, adapters.approve),
    _page("POST", "/destinations/{id}/adapter/refuse", Right.SEE, adapters.refuse),
    _page("GET", "/destinations/{id}/key", Right.SEE, destinations.new_key),
    _page("POST", "/destinations/{id}/key", Right.SEE, destinations.propose_new_key),
    _page("POST", "/destinations/{id}/key/propose", Right.SEE, destinations.propose_key),
    _page("POST", "/destinations/{id}/key/approve", Right.SEE, destinations.approve_key),
    _page("POST", "/destinations/{id}/key/refuse", Right.SEE, destinations.refuse_key),
    _page("POST", "/destinations/{id}/trial", Right.OPERATE, destinations.run),
    _page("POST", "/destinations/{id}/circuit", Right.OPERATE, destinations.close_circuit),
    _page("POST", "/destinations/{id}/callback", Right.OPERATE, destinations.redrive_callback),
    _page("GET", "/schemas", Right.SEE, schemas.index),
    _page("GET", "/schemas/calendar", Right.SEE, schemas.calendar),
    _page("GET", "/schemas/diff", Right.SEE, schemas.difference),
    _page("GET", "/schemas/import", Right.OPERATE, schemas.form),
    _Page(
        method="POST",
        path="/schemas/import",
        right=Right.OPERATE,
        answer=schemas.receive,
        largest=schemas.LARGEST,
        files=schemas.MOST_FILES,
    ),
    _page("GET", "/schemas/import/{id}", Right.SEE, schemas.show_arrival),
    _page("POST", "/schemas/import/{id}/admit", Right.APPROVE, schemas.admit),
    _page("POST", "/schemas/import/{id}/discard", Right.SEE, schemas.discard),
    _page("GET", "/schemas/{standard}/{version}", Right.SEE, schemas.show),
    _page("POST", "/schemas/{standard}/{version}/standing", Right.OPERATE, schemas.propose),
    _page("POST", "/schemas/{standard}/{version}/standing/approve", Right.APPROVE, schemas.approve),
    _page("POST", "/schemas/{standard}/{version}/standing/refuse", Right.SEE, schemas.refuse),
    _page("POST", "/schemas/{standard}/{version}/standing/rollback", Right.APPROVE, schemas.roll_back),
    _page("GET", "/tenants", Right.SEE, tenants.index),
    _page("POST", "/tenants", Right.OPERATE, tenants.create),
    _page("GET", "/tenants/{id}", Right.SEE, tenants.show),
    _page("POST", "/tenants/{id}/rename", Right.OPERATE, tenants.rename),
    _page("POST", "/tenants/{id}/move", Right.OPERATE, tenants.move),
    _page("POST", "/tenants/{id}/dissolve", Right.OPERATE, tenants.dissolve),
    _page("POST", "/tenants/{id}/grant", Right.SEE, tenants.grant),
    _page("POST", "/tenants/{id}/revoke", Right.SEE, tenants.revoke),
    _page("GET", "/vendors", Right.SEE, vendors.index),
    _page("POST", "/vendors", Right.OPERATE, vendors.create),
    _page("GET", "/vendors/{id}", Right.SEE, vendors.show),
    _page("POST", "/vendors/{id}/delegate", Right.OPERATE, vendors.delegate),
    _page("POST", "/vendors/{id}/withdraw", Right.OPERATE, vendors.withdraw),
    _page("POST", "/vendors/{id}/client", Right.OPERATE, vendors.put_client),
    _page("POST", "/vendors/{id}/key", Right.OPERATE, vendors.propose_key),
    _page("POST", "/vendors/{id}/key/decide", Right.SEE, vendors.decide_key),
    _page("GET", "/onboarding", Right.SEE, onboarding.index),
    _page("GET", "/onboarding/sample", Right.SEE, onboarding.sample),
    _page("GET", "/onboarding/new", Right.SEE, onboarding.new),
    _page("POST", "/onboarding/new", Right.OPERATE, onboarding.step),
    _Page(
        method="POST",
        path="/onboarding/table",
        right=Right.OPERATE,
        answer=onboarding.table,
        largest=onboarding.LARGEST_TABLE,
        files=onboarding.MOST_FILES,
    ),
    _page("GET", "/onboarding/runs/{number}", Right.SEE, onboarding.run),
    _page("POST", "/onboarding/runs/{number}/release", Right.APPROVE, onboarding.release),
    _page("POST", "/onboarding/runs/{number}/refuse", Right.SEE, onboarding.refuse),
    _page("POST", "/onboarding/runs/{number}/live", Right.OPERATE, onboarding.live),
    _page("GET", "/onboarding/{id}", Right.SEE, onboarding.show),
    _page("POST", "/onboarding/{id}/test", Right.OPERATE, onboarding.test),
    _page("GET", "/onboarding/{id}/pack", Right.OPERATE, onboarding.pack),
    _page("GET", "/clients", Right.SEE, clients.index),
    _page("POST", "/clients", Right.OPERATE, clients.create),
    _page("POST", "/clients/{id}/rotate", Right.OPERATE, clients.rotate),
    _page("POST", "/clients/{id}/disable", Right.OPERATE, clients.disable),
    _page("GET", "/accounts", Right.OPERATE, accounts.index),
    _page("POST", "/accounts", Right.OPERATE, accounts.invite),
    _page("POST", "/accounts/withdraw", Right.OPERATE, accounts.withdraw),
    _page("GET", "/accounts/{name}", Right.OPERATE, accounts.show),
    _page("POST", "/accounts/{name}/roles", Right.OPERATE, accounts.set_roles),
    _page("POST", "/accounts/{name}/lock", Right.OPERATE, accounts.lock),
    _page("POST", "/accounts/{name}/unlock", Right.OPERATE, accounts.unlock),
    _page("POST", "/accounts/{name}/factor-reset", Right.OPERATE, accounts.reset_factors),
    _page("POST", "/accounts/{name}/vouch", Right.OPERATE, accounts.vouch),
    _page("POST", "/accounts/{name}/sessions", Right.OPERATE, accounts.end_sessions),
    _page("GET", "/dead", Right.SEE, submissions.index),
    _page("POST", "/dead", Right.OPERATE, submissions.redrive),
    _page("GET", "/open", Right.SEE, open_points.show),
    _page("GET", "/usage", Right.SEE, usage.show),
    _page("GET", "/usage/export", Right.SEE, usage.export),
    _page("GET", "/audit", Right.SEE, dashboard.index),
)


def build(tools: Tools) -> ASGIApp:
    """Return the ASGI application of the pages; it answers paths that begin with ``/admin``."""
    vendor = (_FOLDER / "static" / "vendor" / "kern.min.css").is_file()
    pages = environment(_FOLDER / "templates")
    pages.globals.update(root=ROOT, vendor=vendor, hub_version=tools.version, is_test=tools.is_test)
    pages.filters.update(FILTERS)
    routes: list[Route | Mount] = [
        Route(each.path, _endpoint(each, tools, pages), methods=[each.method], include_in_schema=False)
        for each in PAGES
    ]
    routes.insert(0, Mount("/static", _Assets(directory=_FOLDER / "static")))
    missing = partial(_missing, tools=tools, pages=pages)
    # A redirect would lead to wherever the Host header says, and take the form along.
    mounted = Mount(ROOT, app=Router(routes, redirect_slashes=False))
    app = Starlette(routes=[mounted], exception_handlers={404: missing, 405: missing})
    app.router.redirect_slashes = False
    said = TEST_INSTANCE if tools.is_test else None
    return SafeHeaders(app, https=tools.hub.base_url.startswith("https://"), said=said)


class _Assets(StaticFiles):
    """Files of the pages, which a browser may keep for an hour."""

    def file_response(self, *arguments: Any, **named: Any) -> Response:
        """Return a file."""
        response = super().file_response(*arguments, **named)
        response.headers["cache-control"] = "public, max-age=3600"
        return response


class Mounted:
    """Sends ``/admin`` to the pages and everything else, the life of the application included, to the interfaces."""

    def __init__(self, pages: ASGIApp, app: ASGIApp) -> None:
        self._pages = pages
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        path = scope.get("path", "")
        mine = scope["type"] == "http" and (path == ROOT or path.startswith(f"{ROOT}/"))
        if mine and path == ROOT:
            scope = {**scope, "path": f"{ROOT}/", "raw_path": f"{ROOT}/".encode()}
        await (self._pages if mine else self._app)(scope, receive, send)


def _endpoint(page: _Page, tools: Tools, pages: Environment) -> Callable[[Request], Any]:
    async def answer(request: Request) -> Response:
        visit = _visit(request, tools, pages)
        try:
            if page.method == "POST":
                return await _taken(request, page, visit)
            return await run_in_threadpool(_answered, page, visit)
        except ConfigurationError as error:
            # Counted by who measures, like every other answer that is the hub's own fault.
            request.scope.setdefault("extensions", {})["problem"] = error.slug
            _log.error("page %s: %s", page.path, error.detail.en)
            return await run_in_threadpool(_fault, visit, error)
        except HubError as error:
            return _refusal(visit, error)

    return answer


async def _taken(request: Request, page: _Page, visit: Visit) -> Response:
    """Read a form and answer it, if it comes from somebody who may send it."""
    _require_same_origin(request)
    if not await run_in_threadpool(_is_expected, page, visit):
        return _to_log_in(page, visit)
    held = visit.hub.admission.reserve()
    try:
        visit = replace(visit, form=await _form(request, page, held))
        return await run_in_threadpool(_answered, page, visit)
    finally:
        held.release()


async def _missing(request: Request, _: Exception, *, tools: Tools, pages: Environment) -> Response:
    """Answer an address that no page has, or that takes no such request, in the look of the others."""

    def answered() -> Response:
        visit = _visit(request, tools, pages)
        try:
            session = _session(visit)
        except HubError:  # Who is there decides on the navigation alone.
            session = None
        return _with_language(visit, _refusal(replace(visit, session=session), NotFound(_NO_PAGE)))

    return await run_in_threadpool(answered)


def _session(visit: Visit) -> PersonSession | None:
    return visit.hub.accounts.session(visit.token, now=visit.now) if visit.token else None


def _is_expected(page: _Page, visit: Visit) -> bool:
    """Tell whether a form is worth reading; False where nobody is logged in.

    Raises:
        Forbidden: whoever is has no right to the page.
    """
    session = None if page.right is None else _session(visit)
    if page.right is not None and session is not None:
        session.person.require(page.right)
        if session.lacks_factor and not page.before_factor:
            raise factor_missing()
    return page.right is None or session is not None


def _answered(page: _Page, visit: Visit) -> Response:
    with met_unreadable() as met:
        return _answered_by(page, replace(visit, unreadable=met))


def _answered_by(page: _Page, visit: Visit) -> Response:
    try:
        if page.right is None:
            return _with_language(visit, page.answer(visit))
        # Once more for a form: its session may have ended while it came.
        session = _session(visit)
        if session is None:
            return _to_log_in(page, visit)
        visit = replace(visit, session=session)
        if session.lacks_factor and not page.before_factor:
            if page.method == "POST":
                raise factor_missing()
            return RedirectResponse(f"{ROOT}/account", status_code=303)
        if page.method == "POST" and not same_csrf(session, visit.form.text("csrf")):
            raise _foreign()
        # Whoever acts sees what they may act on: another tenant's things are not there, whatever else they may see.
        acting = session.person.acting(page.right)
        visit = replace(visit, session=replace(session, person=acting))
        return _with_language(visit, page.answer(visit))
    except ConfigurationError:
        raise
    except HubError as error:
        return _refusal(visit, error)


def _visit(request: Request, tools: Tools, pages: Environment) -> Visit:
    secure = _is_secure(tools)
    fields = dict(list(request.query_params.items())[:_MAX_FIELDS])
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return Visit(
        tools=tools,
        pages=pages,
        path=path,
        parts={name: str(value) for name, value in request.path_params.items()},
        query=SentForm(fields=fields),
        form=SentForm(),
        language=_language(request),
        now=tools.hub.clock(),
        address=address_of(request.client.host) if request.client is not None else "",
        device=device_of(request.headers.get("user-agent", "")),
        secure=secure,
        partial=request.headers.get("hx-request") == "true",
        token=request.cookies.get(login.cookie_name(secure=secure), ""),
        step=request.cookies.get(login.step_cookie_name(secure=secure), ""),
        invitation=request.cookies.get(login.invitation_cookie_name(secure=secure), ""),
        ticket=request.cookies.get(login.openid_cookie_name(secure=secure), ""),
    )


def _is_secure(tools: Tools) -> bool:
    """Cookies travel over https alone, save in development on this very machine."""
    local = urlsplit(tools.hub.base_url).hostname in {"127.0.0.1", "localhost", "::1"}
    return tools.production or not (local and tools.hub.base_url.startswith("http://"))


def _language(request: Request) -> Language:
    wanted = request.query_params.get("lang") or request.cookies.get("hub-language")
    return "en" if wanted == "en" else "de"


def _with_language(visit: Visit, response: Response) -> Response:
    if visit.query.fields.get("lang") in {"de", "en"}:
        response.set_cookie(
            "hub-language",
            visit.language,
            max_age=31_536_000,
            path=ROOT,
            httponly=True,
            samesite="strict",
            secure=visit.secure,
        )
    return response


def _require_same_origin(request: Request) -> None:
    """Refuse what a browser says comes from another site (Fetch Metadata; Origin, RFC 6454)."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    foreign = origin is not None and _server_of(origin) != request.headers.get("host", "")
    if site not in {"same-origin", "none"} or foreign:
        raise _foreign()


def _foreign() -> Forbidden:
    return Forbidden(
        Text(
            "Das Formular ist abgelaufen oder stammt von einer anderen Seite. Laden Sie die Seite neu.",
            "The form is out of date or comes from another site. Load the page again.",
        ),
        slug="csrf",
    )


def _server_of(origin: str) -> str | None:
    """Return host and port of an origin; None of what is none (``null``, or nothing that a browser sends)."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _limited(request: Request, page: _Page, held: Reservation) -> Receive:
    """Return a ``receive`` that counts a form against the page's cap and the memory budget, its announced length first."""
    seen = 0

    def count(size: int) -> None:
        if size > page.largest:
            largest = f"{page.largest // 1024} KiB"
            raise TooLarge(Text(f"Das Formular ist zu groß ({largest}).", f"The form is too large ({largest})."))

    announced = request.headers.get("content-length", "0")
    expected = int(announced) if announced.isdecimal() else 0
    count(expected)
    held.require_room(expected)

    async def limited() -> Message:
        nonlocal seen
        message = await request.receive()
        size = len(message.get("body", b""))
        seen += size
        count(seen)
        held.grow(size)
        return message

    return limited


async def _form(request: Request, page: _Page, held: Reservation) -> SentForm:
    """Read a form while it comes; what of it is large lies in a temporary file until the page has it."""
    receive = _limited(request, page, held)
    fields: dict[str, str] = {}
    files: dict[str, tuple[str, bytes]] = {}
    uploads: dict[str, tuple[tuple[str, bytes], ...]] = {}
    try:
        async with Request(request.scope, receive).form(max_files=page.files, max_fields=_MAX_FIELDS) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    files[name] = (value.filename or "", await value.read())
                    uploads[name] = (*uploads.get(name, ()), files[name])
                else:
                    fields[name] = value
    except HTTPException as exc:
        raise _unreadable(page) from exc
    return SentForm(fields=fields, files=files, uploads=uploads)


def _unreadable(page: _Page) -> Malformed:
    return Malformed(
        Text(
            f"Das Formular ist nicht lesbar, oder es hat mehr als {page.files} Dateien oder {_MAX_FIELDS} Felder.",
            f"The form cannot be read, or it has more than {page.files} files or {_MAX_FIELDS} fields.",
        )
    )


def _to_log_in(page: _Page, visit: Visit) -> Response:
    query = f"?next={visit.path.split('?', maxsplit=1)[0]}" if page.method == "GET" and visit.path != f"{ROOT}/" else ""
    return RedirectResponse(f"{ROOT}/login{query}", status_code=303)


_NO_PAGE = Text(
    "Diese Seite gibt es nicht. Prüfen Sie die Adresse, oder gehen Sie über die Übersicht.",
    "There is no such page. Check the address, or go by the overview.",
)


def _refusal(visit: Visit, error: HubError) -> Response:
    return _error_page(visit, error, error.detail)


def _fault(visit: Visit, error: ConfigurationError) -> Response:
    """Return the page for a fault of the hub's own, to whoever is logged in: what it is, and not where."""
    with suppress(HubError):
        visit = replace(visit, session=_session(visit))
    return _error_page(visit, error, error.outside)


def _error_page(visit: Visit, error: HubError, detail: Text) -> Response:
    response = visit.page("error.html", status=status_of(error), title=error.title, detail=detail)
    wait = retry_after(error)
    if wait is not None:
        response.headers["retry-after"] = str(wait)
    return response
