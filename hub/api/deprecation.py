"""What still works and will end: told with every answer that comes of it, and counted by who still uses it.

``Deprecation`` (RFC 9745) says since when there is something better, ``Sunset`` (RFC 8594) when the old goes, and a link of
the relation ``deprecation`` (RFC 9745 section 3) what to do. What may end when is policy, see docs/upgrade.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from hub.api.operations import visit
from hub.errors import UnknownSchema
from hub.validation.catalog import SchemaCatalog, Superseded


@dataclass(frozen=True, kw_only=True, slots=True)
class Deprecated:
    """One thing that ends: ``name`` in metrics, since when there is something better, when it ends, and what to read."""

    name: str
    since: datetime
    ends: datetime
    about: str

    def fields(self) -> dict[str, str]:
        """Return the header fields that say so."""
        return {
            # A Date of structured fields (RFC 9651 section 3.3.7), and an HTTP-date.
            "Deprecation": f"@{int(self.since.timestamp())}",
            "Sunset": format_datetime(self.ends, usegmt=True),
            "Link": f'<{self.about}>; rel="deprecation"',
        }


#: What ends as a whole, by the beginning of its operations' ids: the one table of it.
DEPRECATED: Mapping[str, Deprecated] = {
    # Version 2 has been FIT-Connect's own for years, and says more. Clients of version 1 are still about: two years.
    "fit_connect.v1.": Deprecated(
        name="fit-connect-v1",
        since=datetime(2026, 12, 1, tzinfo=UTC),
        ends=datetime(2028, 12, 1, tzinfo=UTC),
        about="/docs",
    ),
}
#: Where the name of what a request used is noted, for whoever counts.
USED = "hub.deprecated"
#: Where a handler puts down what its answer shall say.
_DECLARED = "hub.deprecated.declared"


class Endings:
    """Which schemas end, by the catalogue that is in force."""

    def __init__(self, catalog: Callable[[], SchemaCatalog]) -> None:
        self._catalog = catalog

    def tell(self, uri: str, on: date) -> None:
        """Have the answer to the request that is handled say that its schema ends, if it does and there is a newer one."""
        try:
            found = self._catalog().superseded(uri, on)
        except UnknownSchema:  # It was there a moment ago: the catalogue moved on.
            return
        if found is not None:
            visit().scope["extensions"][_DECLARED] = _of_schema(found)


class Deprecations:
    """ASGI layer that adds the fields to answers. What was refused before it was known what is asked for says nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: D102  # ASGI's own interface
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # Routing copies the scope; this dictionary is shared.
        noted: dict[str, Any] = scope.setdefault("extensions", {})

        async def complemented(message: Message) -> None:
            if message["type"] == "http.response.start" and (found := _deprecated(noted)) is not None:
                noted[USED] = found.name
                fields = [(name.lower().encode(), value.encode()) for name, value in found.fields().items()]
                message["headers"] = [*message.get("headers", ()), *fields]
            await send(message)

        await self._app(scope, receive, complemented)


def _deprecated(noted: Mapping[str, Any]) -> Deprecated | None:
    declared: Deprecated | None = noted.get(_DECLARED)
    if declared is not None:
        return declared
    operation = noted.get("connexion_routing", {}).get("operation_id") or ""
    return next((found for beginning, found in DEPRECATED.items() if operation.startswith(beginning)), None)


def _of_schema(found: Superseded) -> Deprecated:
    query = urlencode({"standard": found.standard, "old": found.version, "new": found.successor})
    return Deprecated(
        name=f"{found.standard} {found.version}",
        since=datetime.combine(found.since, time(tzinfo=UTC)),
        ends=datetime.combine(found.until + timedelta(days=1), time(tzinfo=UTC)),
        about=f"/hub/v1/schemas/diff?{query}",
    )
