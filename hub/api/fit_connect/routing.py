"""FIT-Connect's Routing API (section 13 of its wire): areas by name, and the responsible destination for service and area."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from connexion import context
from connexion.lifecycle import ConnexionResponse

from hub.administration.destinations import Destinations
from hub.api import area_of, in_thread, json_answer
from hub.areas import Area, Gazetteer, Place
from hub.errors import Invalid, Malformed, NoRoute, Text
from hub.fit_connect.addressing import AddressBook
from hub.model import Destination
from hub.routing import RoutingTable, service_urn

#: Callers that are counted one by one in a window, and the count of all beyond.
MOST_CALLERS = 20_000
_ALL_OTHERS = "*"
_VERSION = {"v1": {"major": 1, "minor": 1, "patch": 0}, "v2": {"major": 2, "minor": 0, "patch": 0}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """What one request leaves of a caller's quota: figures of the ``RateLimit-*`` header fields."""

    limit: int
    remaining: int
    resets_in: timedelta

    @property
    def spent(self) -> bool:
        """Whether the request is one too many."""
        return self.remaining < 0

    def headers(self) -> dict[str, str]:
        """Return the header fields; with ``Retry-After`` once the quota is spent."""
        seconds = str(max(1, math.ceil(self.resets_in.total_seconds())))
        fields = {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(max(0, self.remaining)),
            "RateLimit-Reset": seconds,
        }
        return fields | ({"Retry-After": seconds} if self.spent else {})


class Quota:
    """Counts requests per caller in fixed windows; what it knows is dropped with each window.

    Callers beyond a number in one window share one count: anybody has as many addresses as they like.
    """

    def __init__(self, *, limit: int = 6000, window: timedelta = timedelta(minutes=1)) -> None:
        self._limit = limit
        self._window = window
        self._lock = threading.Lock()
        self.counts: dict[str, int] = {}
        self._ends: datetime | None = None

    def take(self, caller: str, now: datetime) -> Allowance:
        """Count one request of ``caller``."""
        with self._lock:
            if self._ends is None or now >= self._ends:
                self.counts.clear()
                self._ends = now + self._window
            if caller not in self.counts and len(self.counts) >= MOST_CALLERS:
                caller = _ALL_OTHERS
            count = self.counts.get(caller, 0) + 1
            self.counts[caller] = count
            return Allowance(limit=self._limit, remaining=self._limit - count, resets_in=self._ends - now)


class RoutingService:
    """Handlers of ``/v1/areas`` and ``/v1/routes``, or version 2's."""

    def __init__(
        self,
        *,
        version: str,
        gazetteer: Callable[[], Gazetteer],
        table: Callable[[], RoutingTable],
        destinations: Destinations,
        book: AddressBook,
        quota: Quota,
        clock: Callable[[], datetime],
    ) -> None:
        self._version = version
        self._gazetteer = gazetteer
        self._table = table
        self._destinations = destinations
        self._book = book
        self._quota = quota
        self._clock = clock

    async def areas(
        self,
        areaSearchexpression: Sequence[str],  # noqa: N803  # the contract's names
        offset: int = 0,
        limit: int = 100,
    ) -> ConnexionResponse:
        """Find areas by name or postal code; all expressions must match, a blank parts words."""
        allowance = self._allowance()
        if allowance.spent:
            return _too_many(allowance)
        gazetteer = await in_thread(self._gazetteer)
        found = await in_thread(gazetteer.search, list(areaSearchexpression), offset, limit)
        body = {
            "count": len(found.places),
            "offset": offset,
            "totalCount": found.total,
            "areas": [_area(place) for place in found.places],
        }
        return json_answer(body, headers=allowance.headers())

    async def routes(  # noqa: PLR0917  # parameters of the contract, passed by name
        self,
        leikaKey: str,  # noqa: N803
        ars: str | None = None,
        ags: str | None = None,
        areaId: str | None = None,  # noqa: N803
        offset: int = 0,
        limit: int = 100,
    ) -> ConnexionResponse:
        """Find the responsible destination: a list of one, or an empty one."""
        allowance = self._allowance()
        if allowance.spent:
            return _too_many(allowance)
        destination = await in_thread(self._responsible, leikaKey, ars, ags, areaId)
        routes = [] if destination is None else [await in_thread(self._route, destination)]
        shown = routes[offset : offset + limit]
        body = {"count": len(shown), "offset": offset, "totalCount": len(routes), "routes": shown}
        return json_answer(body, headers=allowance.headers())

    async def info(self) -> ConnexionResponse:
        """Tell the version of the API."""
        return json_answer({"version": _VERSION[self._version]})

    def _responsible(self, leika_key: str, ars: str | None, ags: str | None, area_id: str | None) -> Destination | None:
        given = [key for key in (ars, ags, area_id) if key is not None]
        if len(given) != 1:
            raise Malformed(
                Text(
                    "Geben Sie genau einen der Parameter ars, ags und areaId an.",
                    "Give exactly one of the parameters ars, ags and areaId.",
                )
            )
        try:
            area = self._area_of(ars or area_id, ags)
            route = self._table().route(area, service_urn(leika_key), self._clock())
        except (NoRoute, Invalid):
            # Nobody is responsible, or more than one: no answer is the answer, and /hub/v1/routes/explain says why.
            return None
        destination = self._destinations.find(route.destination_id)
        return destination if destination is not None and destination.status == "active" else None

    def _area_of(self, ars: str | None, ags: str | None) -> Area:
        """Read a key; ids of areas are their ARS, as this API gives them out."""
        short = ags is not None and len(ags) < len("06414000")
        return Area.from_ags(ags) if short and ags is not None else area_of(ars, ags, self._table().gazetteer)

    def _route(self, destination: Destination) -> dict[str, Any]:
        entry = self._book.entry(destination, now=self._clock(), parameters=self._version == "v1")
        contact = destination.contact
        route: dict[str, Any] = {
            "destinationId": str(destination.destination_id),
            "destinationSignature": entry.signature,
            "destinationName": destination.name,
            "contactPersons": [_person(contact)] if contact else [],
        }
        if entry.parameters is not None:
            route["destinationParameters"] = dict(entry.parameters)
            route["destinationParametersSignature"] = entry.parameters_signature
        return route

    def _allowance(self) -> Allowance:
        client = context.request.client
        return self._quota.take(client.host if client is not None else "", self._clock())


def _area(place: Place) -> dict[str, str]:
    return {"id": place.area.ars, "name": place.name, "type": place.kind.label.de}


def _person(contact: Any) -> dict[str, str]:
    names = {"name": "legalName", "tel": "phone", "email": "email"}
    return {name: str(contact[source]) for name, source in names.items() if contact.get(source)}


def _too_many(allowance: Allowance) -> ConnexionResponse:
    """Return FIT-Connect's answer to one request too many: an empty object, no problem document."""
    return json_answer({}, 429, allowance.headers())
