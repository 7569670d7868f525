"""Calls to one API in the name of one client: the address, the token and the answer's judgement in one place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import orjson

from hub.client.answers import read_json, require_success, unreadable
from hub.client.tokens import Tokens, TokenSource
from hub.client.transport import Content, Direct, Request, Response, Retrying, Transport

JSON = "application/json"
_PAGE = 100
_MOST_PAGES = 100
_UNAUTHORIZED = 401
#: Methods that do the same however often (RFC 9110 section 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})


class Session:
    """One client at one API below ``base_url``; usable from several threads if ``transport`` is.

    Every call raises what the answer's status means (:mod:`hub.client.answers`), ``Unavailable`` where none came, and what
    ``tokens`` raises. Without ``tokens`` nobody is named: for what is public.
    """

    def __init__(self, base_url: str, *, transport: Transport, tokens: TokenSource | None = None) -> None:
        self._base_url = base_url.rstrip("/")
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
            url=f"{self._base_url}{path}" + (f"?{urlencode(query)}" if query else ""),
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
