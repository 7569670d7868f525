"""The one mapping from errors to answers: RFC 9457 problems, and RFC 6749 errors at the token endpoint.

Texts are always the hub's own. What a library says about an error quotes values of the request, so its message is
never shown and never logged; the exception's class picks the text instead.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

import orjson
from connexion.exceptions import OAuthProblem, OAuthResponseProblem, OAuthScopeProblem
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub import errors
from hub.api.contract import BrokenContractError
from hub.errors import HubError, Text
from hub.web.protocol import FULL, ConnectionBounds, LastWords
from hub.web.protocol import server_options as options_within
from hub.web.responses import SAFE, rate_limit, retry_after, status_of

MEDIA_TYPE = "application/problem+json"
#: What a scope's extensions are noted under where the client hung up: no answer is due, and none is a failure.
ABORTED = "aborted"
#: … and the ids of what a request is about, as members of a log line.
ABOUT = "about"
#: Types of problems: on the hub's own paths, and where FIT-Connect's API is spoken (its section 12).
OWN_TYPES = "urn:rathaus-hub:problem:"
FIT_CONNECT_TYPES = "https://schema.fitko.de/fit-connect/submission-api/problems/"
#: Where each kind of problem has its page.
PAGES = "/problems"
#: Where RFC 6749 decides the shape of errors; the aliases are those of ``hub.api.guards``.
TOKEN_PATHS = frozenset({"/token", "/auth", "/auth/token", "/oauth/token"})

_FIT_CONNECT_PATH = re.compile(r"(?:/(?:submission|destination|routing)-api(?:/|$)|/v[12](?:/|$))")
_INTERNAL = Text(
    "Im Hub ist ein Fehler aufgetreten. Nennen Sie dem Betrieb bitte die Kennung aus „instance“.",
    "Something went wrong inside the hub. Please tell its operators the identifier in 'instance'.",
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProblemDetails:
    """One answer that is not a success; ``members`` and ``headers`` hold no payload values."""

    status: int
    slug: str
    title: Text
    detail: Text
    members: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    instance: UUID = field(default_factory=uuid4)

    def document(self, path: str, language: str) -> dict[str, Any]:
        """Return the problem as the body of an answer from ``path``, in ``language`` (``de`` or ``en``)."""
        foreign = _FIT_CONNECT_PATH.match(path) is not None
        return {
            "type": f"{FIT_CONNECT_TYPES if foreign else OWN_TYPES}{self.slug}",
            "title": getattr(self.title, language),
            "status": self.status,
            "detail": getattr(self.detail, language),
            "instance": f"urn:uuid:{self.instance}",
            "detailDe": self.detail.de,
            "detailEn": self.detail.en,
            **({} if foreign else {"help": f"{PAGES}/{self.slug}"}),
            **self.members,
        }

    def oauth_document(self) -> dict[str, Any]:
        """Return the same as an error of RFC 6749 section 5.2 (its texts are ASCII without quotes and backslashes)."""
        text = self.detail.en.encode("ascii", "replace").decode().replace('"', "'").replace("\\", "/")
        return {"error": self._oauth_error(), "error_description": text}

    def _oauth_error(self) -> str:
        if self.slug in _OAUTH_ERRORS:
            return self.slug
        return _OAUTH_ERROR_BY_STATUS.get(self.status, "invalid_request")


_OAUTH_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)
_OAUTH_ERROR_BY_STATUS = {
    401: "invalid_client",
    403: "unauthorized_client",
    429: "temporarily_unavailable",
    500: "server_error",
    503: "temporarily_unavailable",
}
#: What connexion and starlette report by a bare status, in our words: slug, title, detail.
_HTTP: Mapping[int, tuple[str, Text, Text]] = {
    400: (
        "malformed",
        errors.Malformed.title,
        Text(
            "Die Anfrage entspricht nicht der Schnittstelle. Vergleichen Sie sie mit /openapi.json.",
            "The request does not fit the interface. Compare it with /openapi.json.",
        ),
    ),
    401: (
        "unauthorized",
        errors.Unauthenticated.title,
        Text(
            "Es fehlt ein gültiges Zugriffstoken. Holen Sie eines unter /token; Kopfzeile „Authorization: Bearer …“.",
            "A valid access token is missing. Get one at /token; send it in the header 'Authorization: Bearer …'.",
        ),
    ),
    403: (
        "forbidden",
        errors.Forbidden.title,
        Text(
            "Dem Zugriffstoken fehlt die nötige Berechtigung. Welche, steht in /openapi.json bei dieser Operation.",
            "The access token lacks the necessary right. /openapi.json names it at this operation.",
        ),
    ),
    404: (
        "not-found",
        errors.NotFound.title,
        Text(
            "Diese Adresse gibt es nicht. Alle Adressen stehen in /openapi.json.",
            "There is no such address. All of them stand in /openapi.json.",
        ),
    ),
    405: (
        "method-not-allowed",
        errors.TITLES["method-not-allowed"],
        Text(
            "Diese Adresse kennt die Methode nicht. Die Kopfzeile „Allow“ nennt die erlaubten.",
            "This address does not know the method. The header 'Allow' names those that it does.",
        ),
    ),
    413: (
        "payload-too-large",
        errors.TooLarge.title,
        Text(
            "Der Inhalt ist zu groß. Die Grenzen stehen in /openapi.json.",
            "The body is too large. /openapi.json tells the limits.",
        ),
    ),
    415: (
        "unsupported-media-type",
        errors.UnsupportedMedia.title,
        Text(
            "Diese Operation nimmt den Medientyp nicht an. Die erlaubten stehen in /openapi.json.",
            "This operation does not take the media type. /openapi.json lists those that it does.",
        ),
    ),
}


def titles() -> Mapping[str, Text]:
    """Return the title of every kind of problem by its slug."""
    found = {kind.slug: kind.title for kind in _kinds(HubError)}
    found |= dict.fromkeys(errors.NOT_FOUND, errors.NotFound.title) | dict(errors.TITLES)
    found |= dict.fromkeys(_OAUTH_SLUGS, errors.Unauthenticated.title)
    return found | dict.fromkeys(_DECIDED_SLUGS, errors.Conflict.title)


def _kinds(kind: type[HubError]) -> Iterator[type[HubError]]:
    # Of classes that share a slug the first one has its title: what is told outside comes before the hub's own trouble.
    for below in reversed(kind.__subclasses__()):
        if below.__module__ == kind.__module__:
            yield from _kinds(below)
    yield kind


#: What RFC 6749 calls some problems, and what proposals are called that somebody decided on before.
_OAUTH_SLUGS = ("invalid_client", "invalid_request", "invalid_scope", "unsupported_grant_type")
_DECIDED_SLUGS = ("key-change-decided", "adapter-change-decided")


def problem_of(error: Exception) -> ProblemDetails:
    """Return the problem that ``error`` becomes; whatever the hub did not raise on purpose is a 500 without a text."""
    if isinstance(error, HubError):
        return _of_hub_error(error)
    if isinstance(error, HTTPException) and error.status_code in _HTTP:
        return _of_http_exception(error)
    return ProblemDetails(status=500, slug="internal", title=HubError.title, detail=_INTERNAL)


def _of_hub_error(error: HubError) -> ProblemDetails:
    status, wait = status_of(error), retry_after(error)
    headers: dict[str, str] = {}
    if status == 401:  # noqa: PLR2004  # HTTP's own number
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'
    if wait is not None:
        headers["Retry-After"] = str(wait)
    if error.slug == "range-not-satisfiable":
        headers["Content-Range"] = f"bytes */{error.members['size']}"
    if isinstance(error, errors.TooMany) and error.policy is not None:
        headers |= rate_limit(error.policy, remaining=0, resets_in=error.retry_after)
    if isinstance(error, errors.ConfigurationError):
        return ProblemDetails(status=status, slug=error.slug, title=error.title, detail=error.outside, headers=headers)
    return ProblemDetails(
        status=status,
        slug=error.slug,
        title=error.title,
        detail=error.detail,
        members=error.members,
        headers=headers,
    )


def _of_http_exception(error: HTTPException) -> ProblemDetails:
    slug, title, detail = _HTTP[error.status_code]
    headers: dict[str, str] = {}
    allow = (error.headers or {}).get("Allow")
    if allow is not None:
        headers["Allow"] = allow
    challenge = _challenge(error)
    if challenge is not None:
        headers["WWW-Authenticate"] = challenge
    return ProblemDetails(status=error.status_code, slug=slug, title=title, detail=detail, headers=headers)


def _challenge(error: HTTPException) -> str | None:
    """Return the ``WWW-Authenticate`` of RFC 6750 section 3: no error code where no token came."""
    if isinstance(error, OAuthScopeProblem):
        return f'Bearer error="insufficient_scope", scope="{" ".join(sorted(error.required_scopes))}"'
    if isinstance(error, OAuthResponseProblem):
        return 'Bearer error="invalid_token"'
    if isinstance(error, OAuthProblem) or error.status_code == 401:  # noqa: PLR2004  # HTTP's own number
        return "Bearer"
    return None


def preferred_language(headers: list[tuple[bytes, bytes]]) -> str:
    """Return ``de`` or ``en``, whichever ``Accept-Language`` (RFC 9110 section 12.5.4) prefers; German without one."""
    ranges = next((value for name, value in headers if name == b"accept-language"), b"")
    weights = {"de": 0.0, "en": 0.0}
    for entry in ranges.decode("latin-1").lower().split(",")[:20]:
        tag, _, parameter = entry.partition(";")
        language = tag.strip().partition("-")[0]
        if language in weights:
            weights[language] = max(weights[language], _quality(parameter))
    return "en" if weights["en"] > weights["de"] else "de"


def _quality(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name != "q":
        return 1.0
    return float(value) if re.fullmatch(r"[01](?:\.\d{0,3})?", value) else 0.0


class ProblemNet:
    """Outermost ASGI layer but one: whatever is raised below becomes a problem, once, here."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Routing copies the scope; the dictionary below is shared, so the operation's id is seen here, too.
        scope.setdefault("extensions", {})
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            try:
                await send(message)
            except OSError as error:  # How a server says that nobody is there to be answered (ASGI, HTTP 2.4).
                raise ClientDisconnect from error

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            _gone(scope)
        except Exception as error:  # noqa: BLE001  # the one place where a bug becomes a 500 instead of a crash
            problem = problem_of(error)
            scope["extensions"]["problem"] = problem.slug
            _note(problem, error, scope)
            if not started:
                # Otherwise half an answer is out: ending here makes the server cut the connection, which tells it.
                try:
                    await _answer(problem, scope, watched)
                except ClientDisconnect:
                    _gone(scope)


def _gone(scope: Scope) -> None:
    scope["extensions"][ABORTED] = True
    _log.info("client left before the end of its request")


def _note(problem: ProblemDetails, error: Exception, scope: Scope) -> None:
    """Log what happened by identifiers, classes and places; messages of exceptions may quote a payload."""
    operation = scope["extensions"].get("connexion_routing", {}).get("operation_id")
    ours = problem.status >= 500  # noqa: PLR2004  # HTTP's own number
    about = scope["extensions"].get(ABOUT, {}) | {
        "operation": operation or "",
        "status": problem.status,
        "instance": f"urn:uuid:{problem.instance}",
        "outcome": "failed" if ours else "refused",
        "cause": problem.slug,
    }
    facts = f"{problem.instance} {problem.status} {problem.slug} {operation or '-'} {type(error).__name__}"
    if not ours:
        _log.info(facts, extra=about)
        return
    # These are ours and speak of rules, files and places alone.
    reason = str(error) if isinstance(error, (BrokenContractError, errors.ConfigurationError)) else ""
    cause = error.__cause__ or error.__context__
    places = " < ".join(
        f"{frame.filename}:{frame.lineno}" for frame in reversed(traceback.extract_tb(error.__traceback__)[-8:])
    )
    _log.error(f"{facts} {reason} cause={type(cause).__name__ if cause else '-'} at {places}", extra=about)


async def _answer(problem: ProblemDetails, scope: Scope, send: Send) -> None:
    status, headers, body = _rendered(problem, scope["path"], scope["headers"])
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def spoken(error: HubError, path: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Return what ``error`` becomes as an answer for the wire (RFC 9112), the last one of its connection.

    For what is refused before it is a request; ``path`` and ``headers`` are as far as they came.
    """
    status, fields, body = _rendered(problem_of(error), path.partition("?")[0], headers)
    fields += [(b"connection", b"close"), *((name.encode(), value.encode()) for name, value in SAFE.items())]
    line = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode()
    return b"\r\n".join([line, *(name + b": " + value for name, value in fields), b"", body])


async def _full(scope: Scope, receive: Receive, send: Send) -> None:
    del scope, receive, send
    raise FULL


def server_options(bounds: ConnectionBounds) -> dict[str, Any]:
    """Return what uvicorn is told where the hub serves: what is refused before it is a request becomes a problem, too."""
    return options_within(bounds, words=LastWords(spoken=spoken, full=ProblemNet(_full)))


def _rendered(
    problem: ProblemDetails, path: str, asked: list[tuple[bytes, bytes]]
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return status, header fields and body."""
    headers = dict(problem.headers)
    status = problem.status
    if path in TOKEN_PATHS:
        body = orjson.dumps(problem.oauth_document())
        status = 400 if status == 422 else status  # noqa: PLR2004  # RFC 6749 section 5.2 knows 400 and 401
        headers["Content-Type"] = "application/json"
        if status == 401:  # noqa: PLR2004  # HTTP's own number
            headers["WWW-Authenticate"] = 'Basic realm="token"'
    else:
        language = preferred_language(asked)
        body = orjson.dumps(problem.document(path, language), default=str)
        headers |= {"Content-Type": MEDIA_TYPE, "Content-Language": language, "Vary": "Accept-Language"}
    headers["Content-Length"] = str(len(body))
    return status, [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()], body
