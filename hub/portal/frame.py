"""The one value that every page works with, and what pages have in common: language, forms that were sent, answers, refusals.

What every request passes, cheapest first: (1) its host is ours, (2) its address asks no more often than it may, (3) what
changes something comes from one of our pages, as the browser says (all three in ``application``); then, for a form, (4) the
page's size and (5) its CSRF token (:meth:`Portal.fields`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlencode

import anyio
import anyio.to_thread
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Message, Receive

from hub.errors import Forbidden, HubError, Malformed, Text, TooLarge, Unavailable
from hub.portal.drawing import PageTemplates
from hub.portal.login import LoginWay
from hub.portal.look import TenantLook
from hub.portal.session import Running, Sessions
from hub.portal.settings import PortalSettings
from hub.portal.storage import FormStorage
from hub.portal.texts import LANGUAGES, Language, PortalTexts
from hub.portal.visits import StoredShares
from hub.web.responses import retry_after, status_of

if TYPE_CHECKING:
    from hub.portal.doors import Doors

R = TypeVar("R")
#: Bytes of a form without files: a page of the largest building application has some hundred fields.
LARGEST_FORM = 256 * 1024
_MAX_FIELDS = 2_000
#: Files that come in at once: fewer than connections, more than the pool that hands files out.
_RECEIVING = 400
#: Characters of a query's value that are looked at, and values.
_LONGEST_QUERY, _MOST_QUERY = 200, 30
#: Under which a request keeps its language.
_LANGUAGE = "portal.language"
_PATH = re.compile(r"/(?!/)[A-Za-z0-9_./-]*")


@dataclass(frozen=True, kw_only=True, slots=True)
class Portal:
    """All that pages work with. ``working`` bounds how many of them compute or wait at once."""

    settings: PortalSettings
    doors: Doors
    sessions: Sessions
    storage: FormStorage
    texts: PortalTexts
    pages: PageTemplates
    clock: Callable[[], datetime]
    working: anyio.CapacityLimiter
    #: Threads that wait for files of people with slow lines; nobody who reads or sends waits for one of these.
    receiving: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(_RECEIVING))
    #: Key pairs for replies, made ahead.
    keys: Any = field(default=None)
    #: The way to the provider at which people may log in, None where there is none.
    login: LoginWay | None = None
    #: What each address may have the portal keep.
    shares: StoredShares

    def require_share(self, request: Request, size: int) -> None:
        """Count bytes that the address of a request has the portal keep; ``TooMany`` beyond its share."""
        address = request.client.host if request.client is not None else ""
        self.shares.require_room(address, size, self.clock())

    def language(self, request: Request) -> Language:
        """Return the language of a request: the one that its address says, else the first that its browser wants."""
        found: Language | None = request.scope.get(_LANGUAGE)
        if found is None:  # Every part of a page asks.
            found = request.scope[_LANGUAGE] = _asked(request) or _preferred(request)
        return found

    def say(self, request: Request, key: str, **values: Any) -> str:
        """Return a text in the language of a request."""
        return self.texts.say(key, self.language(request), **values)

    def link(self, request: Request, path: str, **query: Any) -> str:
        """Return the address of one of the portal's pages; it goes on saying the language where this one's address does."""
        language = _asked(request)
        if not query:
            return path if language is None else f"{path}?lang={language}"
        wanted = {name: value for name, value in query.items() if value not in ("", None)}
        if language is not None:
            wanted["lang"] = language
        return path + (f"?{urlencode(wanted)}" if wanted else "")

    def to(self, request: Request, path: str, **query: Any) -> Response:
        """Return a redirect to one of the portal's own pages; an address that somebody sent is none."""
        if not _PATH.fullmatch(path):
            raise ValueError(path)
        return RedirectResponse(self.link(request, path, **query), status_code=303)

    def look(self, request: Request) -> TenantLook:
        """Return the look under the domain that was asked."""
        looks = self.settings.looks
        return looks.get(request.headers.get("host", "").lower()) or next(iter(looks.values()))

    def page(
        self, request: Request, template: str, *, running: Running | None = None, status: int = 200, **values: Any
    ) -> HTMLResponse:
        """Return a rendered page; addresses by ``link(path)``, forms with ``csrf``.

        ``goes_on`` is what an address without a query has behind it, so that the next page says its language, too.
        """
        language, chosen = self.language(request), _asked(request)
        common = {
            "languages": self._other_languages(request, language),
            "chosen": chosen or "",
            "goes_on": f"?lang={chosen}" if chosen else "",
            "csrf": self.sessions.csrf(request),
            "look": self.look(request),
            "link": partial(self.link, request),
            "running": running,
            # Its attributes are found at once; a dictionary is asked for an attribute of that name first.
            "values": SimpleNamespace(**values),
        }
        body = self.pages.draw(template, language, common | values)
        return HTMLResponse(body, status_code=status)

    def _other_languages(self, request: Request, language: str) -> list[tuple[str, str, str]]:
        return [
            (each, self.texts.escaped(f"language.{each}", language), self._switched(request, each))
            for each in LANGUAGES
            if each != language
        ]

    async def fields(self, request: Request, *, largest: int = LARGEST_FORM) -> list[tuple[str, str]]:
        """Return what a form sent, in its order and without its CSRF token, which has to be right.

        Raises:
            TooLarge: it has more than ``largest`` bytes. Malformed: it cannot be read. Forbidden: it is not from our page.
        """
        body = await Request(request.scope, limited(request, largest)).body()
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and kind != "application/x-www-form-urlencoded":
            raise Malformed(self.texts.text("form.unreadable"))
        try:
            # Cut at its ampersands at once, and counted before: parsers that look at each byte take a second for many.
            pairs = parse_qsl(
                body.decode("latin-1"), keep_blank_values=True, errors="replace", max_num_fields=_MAX_FIELDS
            )
        except ValueError as exc:
            raise Malformed(self.texts.text("form.unreadable")) from exc
        self.require_csrf(request, next((value for name, value in pairs if name == "csrf"), ""))
        return [(name, value) for name, value in pairs if name != "csrf"]

    def require_csrf(self, request: Request, token: str) -> None:
        """Refuse a form that does not come from a page of this session."""
        if not self.sessions.has_csrf(request, token):
            raise self.foreign()

    def foreign(self) -> Forbidden:
        """Return the refusal of a form that comes from elsewhere."""
        return Forbidden(self.texts.text("csrf.foreign"))

    async def work(self, function: Callable[..., R], *arguments: Any, **named: Any) -> R:
        """Run what computes or waits in one of a bounded number of threads."""
        return await anyio.to_thread.run_sync(partial(function, *arguments, **named), limiter=self.working)

    def refusal(self, request: Request, error: HubError) -> Response:
        """Return the page that says why something was not done, in words for the person, and what can be done now."""
        status, title, detail = status_of(error), error.title, error.detail
        if isinstance(error, Unavailable) and not error.members.get("for_people"):
            # What another machine says of itself is for operators; the person needs to know that nothing is lost.
            said_here = ("busy.title", "busy.detail") if status == _TOO_MANY else ("away.title", "away.detail")
            title, detail = (self.texts.text(key) for key in said_here)
        elif status >= _FAULT and not isinstance(error, Unavailable):
            title, detail = self.texts.text("fault.title"), self.texts.text("fault.detail")
        elif (key := f"error.title-{status}") in self.texts:
            # Errors are called by what happened to a program; people are told what it means for them.
            title = self.texts.text(key)
        again = (
            self._switched(request, self.language(request)) if request.method == "GET" and status >= _TOO_MANY else ""
        )
        response = self.page(request, "fehler.html", status=status, title=title, detail=detail, again=again)
        wait = retry_after(error)
        if wait is not None:
            response.headers["retry-after"] = str(wait)
        return response

    def _switched(self, request: Request, language: str) -> str:
        pairs = [each for each in asked_for(request) if each[0] != "lang"]
        # Two slashes at its beginning would make a path another host's address (RFC 3986 section 4.2).
        path = "/" + request.scope["path"].lstrip("/")
        return f"{path}?{urlencode([*pairs, ('lang', language)])}" if pairs else f"{path}?lang={language}"


_TOO_MANY, _FAULT = 429, 500


def asked_for(request: Request) -> list[tuple[str, str]]:
    """Return names and values of a request's query, cut to what a page can mean."""
    if not request.scope["query_string"]:
        return []
    pairs = request.query_params.multi_items()[:_MOST_QUERY]
    return [(_plain(name), _plain(value)) for name, value in pairs]


def _plain(value: str) -> str:
    return "".join(each for each in value[:_LONGEST_QUERY] if each.isprintable())


def asked(request: Request, name: str) -> str:
    """Return the value of a name in a request's query, without blanks at its ends; empty where there is none."""
    return next((value for key, value in asked_for(request) if key == name), "").strip()


def _asked(request: Request) -> Language | None:
    if not request.scope["query_string"]:
        return None
    said_there = request.query_params.get("lang")
    return next((each for each in LANGUAGES if each == said_there), None)


def _preferred(request: Request) -> Language:
    """Return the language of somebody who chose none: the first of the browser's that the portal speaks."""
    for each in request.headers.get("accept-language", "")[:_LONGEST_QUERY].split(","):
        primary = each.partition(";")[0].strip().lower().partition("-")[0]
        if primary in {"de", "en"}:
            return "en" if primary == "en" else "de"
    return "de"


def limited(request: Request, largest: int) -> Receive:
    """Return a ``receive`` that ends a body over ``largest`` bytes (``TooLarge``), its announced length first."""
    announced = request.headers.get("content-length", "0")
    seen = 0

    def require(size: int) -> None:
        if size > largest:
            raise _too_large(largest)

    require(int(announced) if announced.isdecimal() else 0)

    async def receive() -> Message:
        nonlocal seen
        message = await request.receive()
        seen += len(message.get("body", b""))
        require(seen)
        return message

    return receive


def _too_large(largest: int) -> TooLarge:
    shown = f"{largest // 1024} KiB"
    return TooLarge(
        Text(f"Das ist zu groß: erlaubt sind {shown}.", f"That is too large: {shown} are allowed."),
        limit=largest,
    )
