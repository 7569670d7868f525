"""What answers say: their bodies read within a cap, and what is no success as an error of :mod:`hub.errors`.

The status chooses the class, the problem's type (RFC 9457) a more particular one. Every such error carries in ``members`` the
``status`` and, where the answer held one, the ``problem`` document as it came; ``slug`` is the last part of its type, and
``detail`` its text in both languages, as far as the other side gave it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import orjson

from hub import errors
from hub.client.transport import PASSING, Response, retry_after
from hub.errors import HubError, InvalidPayload, Refused, Text, TooLarge, Unavailable
from hub.model import utc_now

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
