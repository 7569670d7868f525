"""Answers of FIT-Connect's operations: JSON, and pages of lists.

The area that a request names: by ARS or by AGS, exactly one of both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
from connexion import context
from connexion.lifecycle import ConnexionResponse

from hub.api.contract import schema_violation, violation
from hub.api.operations import visit
from hub.areas import Area, Gazetteer
from hub.errors import Malformed, NoRoute, Text
from hub.identity import Caller
from hub.store import Page

#: Destinations and keys change; nobody may keep them (FIT-Connect, section 3).
FRESH = {"Cache-Control": "no-cache"}


def json_answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> ConnexionResponse:
    """Return ``body`` as JSON."""
    return ConnexionResponse(
        status_code=status, body=orjson.dumps(body), content_type="application/json", headers=dict(headers or {})
    )


def nothing(status: int = 204, headers: Mapping[str, str] | None = None) -> ConnexionResponse:
    """Return an answer without a body."""
    return ConnexionResponse(status_code=status, body=b"", headers=dict(headers or {}))


def etag(state: str) -> dict[str, str]:
    """Return the header that marks the state of what is shown (RFC 9110 section 8.8.3); a change has to repeat it."""
    return {"ETag": f'"{state}"'}


def known_state() -> str:
    """Return the state that a change was made on; the contract requires ``If-Match`` and has checked its form."""
    header: str = visit().headers["if-match"]
    return header.strip().strip('"')


def known_states() -> frozenset[str]:
    """Return the states that the request names as known (``If-None-Match``), none where it names none."""
    header = visit().headers.get("if-none-match", "")
    return frozenset(one.strip().removeprefix("W/").strip('"') for one in header.split(",") if one.strip())


def paged(name: str, page: Page[Any], items: Sequence[Any]) -> dict[str, Any]:
    """Return a list in FIT-Connect's envelope: ``count`` of this page, ``totalCount`` of all."""
    return {"count": len(items), "offset": page.offset, "totalCount": page.total, name: list(items)}


def listed(name: str, page: Page[Any], items: Sequence[Any]) -> dict[str, Any]:
    """Return a list of the hub's own: as :func:`paged`, and how many rows of this page cannot be read, if any.

    FIT-Connect's lists take no further member: there ``count`` is smaller than what ``totalCount`` promises.
    """
    left_out = {"unreadableCount": len(page.unreadable)} if page.unreadable else {}
    return paged(name, page, items) | left_out


def ids(values: Sequence[UUID]) -> list[str]:
    """Return ids in their canonical text form."""
    return [str(value) for value in values]


def visitor() -> Caller | None:
    """Return who makes the request that is being handled, None for somebody without a token."""
    found: Caller | None = (context.context.get("token_info") or {}).get("caller")
    return found


def moment_of(text: str) -> datetime:
    """Read a moment with its offset (RFC 3339); raise ``Malformed``."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise schema_violation(violation("format", "at", "parameter", "2026-12-01T00:00:00+01:00"))


def area_of(ars: str | None, ags: str | None, gazetteer: Gazetteer) -> Area:
    """Return the area.

    Raises:
        Malformed: both keys are given, or none, or the ARS is none.
        NoRoute: there is no area with this AGS.
    """
    if ars is not None and ags is None:
        return Area.from_ars(ars)
    if ags is None or ars is not None:
        raise Malformed(
            Text(
                "Geben Sie genau einen der Parameter ars und ags an.", "Give exactly one of the parameters ars and ags."
            )
        )
    place = gazetteer.by_ags(ags)
    if place is None:
        raise NoRoute(
            gazetteer.meant(ags)
            or Text(
                "Diesen AGS gibt es im Gebietsverzeichnis nicht. Prüfen Sie die 8 Ziffern.",
                "The gazetteer has no such AGS. Check its 8 digits.",
            ),
            nearest=[],
        )
    return place.area
