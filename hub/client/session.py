"""Calls to one API in the name of one client: the address, the token and the answer's judgement in one place.

Tokens are OAuth 2.0's client credentials, the secret in the form (RFC 6749, sections 4.4 and 2.3.1). Of answers the bodies are
read within a cap, and what is no success becomes an error of :mod:`hub.errors`: the status chooses the class, the problem's
type (RFC 9457) a more particular one. Every such error carries in ``members`` the ``status`` and, where the answer held one,
the ``problem`` document as it came; ``slug`` is the last part of its type, and ``detail`` its text in both languages, as far as
the other side gave it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode

import orjson

from hub import errors
from hub.client.transport import PASSING, Content, Direct, Request, Response, Retrying, Transport, retry_after
from hub.errors import HubError, InvalidPayload, Refused, Text, TooLarge, Unavailable
from hub.model import utc_now

JSON = "application/json"
_PAGE = 100
_MOST_PAGES = 100
_UNAUTHORIZED = 401
#: Methods that do the same however often (RFC 9110 section 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
#: The slug of an answer that is none of the protocol's.
UNREADABLE = "unreadable-answer"
#: Bytes: metadata and data as JWE of 100 MB plaintext, with room.
LARGEST_ANSWER = 256 * 1024 * 1024
_LARGEST_PROBLEM = 1024 * 1024
_LONGEST_TEXT = 2000
_SLUG = re.compile(r"(?:.*[/:])?([a-z0-9][a-z0-9-]{0,63})")
_DEFAULT_WAIT = timedelta(seconds=30)
_BY_STATUS: Mapping[int, type[Refused]] = {
    400: errors.Malformed,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    413: errors.TooLarge,
    415: errors.UnsupportedMedia,
    422: errors.Invalid,
}
#: Kinds that the status alone does not tell.
_BY_SLUG: Mapping[str, type[Refused]] = {
    kind.slug: kind
    for kind in (errors.IdempotencyConflict, errors.UnknownSchema, errors.NoRoute, errors.KeyRefused, errors.SealBroken)
}
_PASSING_BY_SLUG: Mapping[str, type[Unavailable]] = {
    kind.slug: kind for kind in (errors.StoreUnavailable, errors.Overloaded, errors.KeyUnavailable)
}
_TOO_MANY = 429
#: How long before its end a token is not used any more, and how long one lives that does not say.
_MARGIN = timedelta(seconds=30)
_UNSAID = timedelta(seconds=300)
_LONGEST_LIFE = 86_400


class Session:
    """One client at one API below ``base_url``; usable from several threads if ``transport`` is.

    Every call raises what the answer's status means (see above), ``Unavailable`` where none came, and what
    ``tokens`` raises. Without ``tokens`` nobody is named: for what is public.
    """

    def __init__(self, base_url: str, *, transport: Transport, tokens: TokenSource | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._transport = transport
        self._tokens = tokens

    @contextmanager
    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        content: Content = b"",
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> Iterator[Response]:
        """Send one request and hand out the answer, a success; ``repeatable`` if it says so, else by its method."""
        request = Request(
            method=method,
            url=f"{self.base_url}{path}" + (f"?{urlencode(query)}" if query else ""),
            headers={"Accept": JSON, **(headers or {})},
            content=content,
            length=length,
            repeatable=method in _IDEMPOTENT if repeatable is None else repeatable,
        )
        with ExitStack() as stack:
            response = self._answer(request, stack)
            require_success(response)
            yield response

    def json(self, method: str, path: str, *, body: Any = None, **more: Any) -> Mapping[str, Any]:
        """Send ``body`` as JSON, if there is one; return the JSON object that is the answer. ``more`` as in :meth:`call`."""
        if body is not None:
            headers = {"Content-Type": JSON, **more.pop("headers", {})}
            more |= {"content": orjson.dumps(body), "headers": headers}
        with self.call(method, path, **more) as response:
            document = read_json(response)
        if not isinstance(document, dict):
            raise unreadable()
        return document

    def send(self, method: str, path: str, **more: Any) -> None:
        """Make a call whose answer says nothing but yes."""
        with self.call(method, path, **more):
            return

    def pages(self, path: str, name: str, **query: str) -> Iterator[Any]:
        """Yield the entries of a list, page by page; a service may make its pages shorter than asked."""
        offset = 0
        for _page in range(_MOST_PAGES):
            answer = self.json("GET", path, query={**query, "limit": str(_PAGE), "offset": str(offset)})
            entries = listed(answer, name)
            yield from entries
            offset += len(entries)
            total = answer.get("totalCount")
            last = offset >= total if isinstance(total, int) else len(entries) < _PAGE
            if last or not entries:
                return

    def _answer(self, request: Request, stack: ExitStack) -> Response:
        """Send a request; once more with a fresh token where an old one was not taken, which did nothing yet."""
        if self._tokens is None:
            return stack.enter_context(self._transport.exchange(request))
        token = self._tokens.get(self._transport)
        with ExitStack() as first:
            response = first.enter_context(self._transport.exchange(_bearing(request, token)))
            if response.status != _UNAUTHORIZED:
                stack.push(first.pop_all())
                return response
        self._tokens.forget()
        fresh = self._tokens.get(self._transport)
        return stack.enter_context(self._transport.exchange(_bearing(request, fresh)))


def log_in(
    base_url: str, *, client_id: str, client_secret: str, api: str = "", transport: Transport | None = None
) -> Session:
    """Return a session of a client at a hub: its token server stands at ``/token``, the API below ``api``.

    ``transport`` is by default :class:`Direct`, patient (:class:`Retrying`). Nothing is asked before the first call.
    """
    base_url = base_url.rstrip("/")
    tokens = Tokens(f"{base_url}/token", client_id=client_id, client_secret=client_secret)
    return Session(base_url + api, transport=transport or Retrying(Direct()), tokens=tokens)


def listed(document: Mapping[str, Any], name: str) -> list[Any]:
    """Return the list that stands in an answer under ``name``; ``Unavailable`` if there is none."""
    value = document.get(name)
    if not isinstance(value, list):
        raise unreadable()
    return value


def _bearing(request: Request, token: str) -> Request:
    return replace(request, headers={**request.headers, "Authorization": f"Bearer {token}"})


class TokenSource(Protocol):
    """Where a session gets its token."""

    def get(self, transport: Transport) -> str:
        """Return a token that is good for a while; may ask for one by ``transport``."""
        ...

    def forget(self) -> None:
        """Drop the token: the other side did not take it."""
        ...


class Tokens:
    """Fetches and keeps the token of one client; thread-safe. ``clock`` gives aware times.

    Raises:
        Unauthenticated: (from :meth:`get`) the client's name or secret is wrong.
        Unavailable: the server cannot be reached, has no time, or its answer cannot be read.
    """

    def __init__(
        self, token_url: str, *, client_id: str, client_secret: str, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._url = token_url
        self._form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: tuple[str, datetime] | None = None

    def get(self, transport: Transport) -> str:
        """Return a token that is good for a while."""
        with self._lock:
            now = self._clock()
            if self._kept is None or self._kept[1] <= now:
                self._kept = self._fetch(transport, now)
            return self._kept[0]

    def forget(self) -> None:
        """Drop the token: the other side did not take it."""
        with self._lock:
            self._kept = None

    def _fetch(self, transport: Transport, now: datetime) -> tuple[str, datetime]:
        # Asking twice gives two tokens and harms nobody.
        request = Request(
            method="POST",
            url=self._url,
            headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
            content=urlencode(self._form).encode("ascii"),
            repeatable=True,
        )
        with transport.exchange(request) as response:
            require_success(response)
            document = read_json(response)
        token = document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise unreadable()
        return token, now + max(timedelta(0), _life(document.get("expires_in")) - _MARGIN)


def _life(said: Any) -> timedelta:
    known = isinstance(said, int) and 0 < said <= _LONGEST_LIFE
    return timedelta(seconds=said) if known else _UNSAID


def read(response: Response, *, most: int = LARGEST_ANSWER) -> bytes:
    """Return a body whole; ``TooLarge`` beyond ``most`` bytes."""
    body = bytearray()
    for chunk in response.chunks:
        body += chunk
        if len(body) > most:
            raise TooLarge(Text("Die Antwort des Hubs ist zu groß.", "The hub's answer is too large."))
    return bytes(body)


def read_json(response: Response) -> Any:
    """Return a body as JSON; ``TooLarge``, or ``Unavailable`` (slug :data:`UNREADABLE`) if it is none."""
    try:
        return orjson.loads(read(response))
    except orjson.JSONDecodeError as exc:
        raise unreadable() from exc


def unreadable() -> Unavailable:
    """Say that an answer is none of the protocol's: the address leads elsewhere, or the other side is broken."""
    return Unavailable(
        Text(
            "Die Antwort des Hubs ist nicht lesbar. Prüfen Sie seine Adresse.",
            "The hub's answer cannot be read. Check its address.",
        ),
        slug=UNREADABLE,
    )


def require_success(response: Response) -> None:
    """Raise what a status outside 200 to 299 means."""
    if 200 <= response.status < 300:  # noqa: PLR2004  # The success class of RFC 9110.
        return
    raise _error(response, _problem(response))


def bare_text(status: int) -> Text:
    """Say that an answer had this status, and nothing that the other side wrote."""
    return Text(f"Der Hub antwortet mit HTTP {status}.", f"The hub answers HTTP {status}.")


def _problem(response: Response) -> Mapping[str, Any]:
    """Return the problem that came with an answer, {} where there is none; it explains the status and decides nothing."""
    if "json" not in response.headers.get("content-type", ""):
        return {}
    try:
        document = orjson.loads(read(response, most=_LARGEST_PROBLEM))
    except (orjson.JSONDecodeError, TooLarge, Unavailable):
        return {}
    return document if isinstance(document, dict) else {}


def _error(response: Response, problem: Mapping[str, Any]) -> HubError:
    status = response.status
    said = _SLUG.fullmatch(str(problem.get("type", "")))
    slug = said[1] if said else None
    members: dict[str, Any] = {"status": status, "problem": dict(problem)}
    text = _text(status, problem)
    if 400 <= status < 500 and status not in PASSING:  # noqa: PLR2004  # The class of the asker's errors, RFC 9110.
        violations = problem.get("violations")
        if slug == InvalidPayload.slug and isinstance(violations, list):
            return InvalidPayload(text, violations=violations, **members)
        kind = _BY_STATUS.get(status, Refused)
        particular = _BY_SLUG.get(slug or "", kind)
        return (particular if issubclass(particular, kind) else kind)(text, slug=slug, **members)
    passing = errors.TooMany if status == _TOO_MANY else _PASSING_BY_SLUG.get(slug or "", Unavailable)
    wait = retry_after(response.headers, utc_now())
    return passing(text, retry_after=_DEFAULT_WAIT if wait is None else wait, slug=slug, **members)


def _text(status: int, problem: Mapping[str, Any]) -> Text:
    bare, detail = bare_text(status), problem.get("detail")
    return Text(_said(problem.get("detailDe"), detail, bare.de), _said(problem.get("detailEn"), detail, bare.en))


def _said(*wishes: Any) -> str:
    """Return the first that is a text for people; what another machine wrote is cut and freed of control characters."""
    text = next(wish for wish in wishes if isinstance(wish, str) and wish.strip())
    return "".join(character for character in text[:_LONGEST_TEXT] if character.isprintable())
