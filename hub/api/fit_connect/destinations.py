"""FIT-Connect's destinations: public look-ups, routing by area and service, and the administration by their owners.

Sections 4.2, 5.3 and 13 of its wire: destinations and keys, areas by name, the responsible destination.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol
from uuid import UUID

import orjson
from connexion import context
from connexion.lifecycle import ConnexionResponse

from hub.administration.destinations import Destinations, Draft
from hub.api import FRESH, area_of, in_thread, json_answer, nothing, paged, schema_violation, violation, visitor
from hub.api.fit_connect.versions import WireVersion
from hub.areas import Area, Gazetteer, Place
from hub.crypto import HubKeys
from hub.errors import Invalid, Malformed, NoRoute, RatePolicy, Text, destination_state
from hub.fit_connect.addressing import AddressBook
from hub.identity import Caller, owns
from hub.model import Callback, Destination, OfferedService
from hub.notifications.callbacks import at_rest
from hub.routing import RoutingTable, service_urn
from hub.transport.connection import Outbound
from hub.web.responses import rate_limit

#: Parts that a destination may do without, and their names in a body.
_OPTIONAL = {"callback": "callback", "reply_channels": "replyChannels"}


class DestinationDesk:
    """Handlers of ``/v1/destinations`` or ``/v2/destinations``. ``tenant_of`` tells a client's ARS prefix."""

    def __init__(
        self,
        *,
        destinations: Destinations,
        dialect: WireVersion,
        keys: HubKeys,
        outbound: Outbound,
        tenant_of: Callable[[str], str],
        caller: Callable[[], Caller],
        clock: Callable[[], datetime],
    ) -> None:
        self._destinations = destinations
        self._dialect = dialect
        self._keys = keys
        self._outbound = outbound
        self._tenant_of = tenant_of
        self._caller = caller
        self._clock = clock

    async def list(self, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List the caller's destinations."""
        page = await in_thread(self._destinations.of_owner, caller=self._caller(), offset=offset, limit=limit)
        rows = [self._dialect.destination(destination, private=True) for destination in page.items]
        return json_answer(paged("destinations", page, rows), headers=FRESH)

    async def show(self, destinationId: str) -> ConnexionResponse:  # noqa: N803  # the contract's names
        """Show a destination to anybody; its owner sees more."""
        destination = await in_thread(self._destinations.show, UUID(destinationId))
        caller = visitor()
        private = caller is not None and owns(caller, destination)
        return json_answer(self._dialect.destination(destination, private=private), headers=FRESH)

    async def key(self, destinationId: str, keyId: str) -> ConnexionResponse:  # noqa: N803
        """Show one public key to anybody."""
        jwk = await in_thread(self._destinations.key, UUID(destinationId), keyId)
        return json_answer(dict(jwk), headers=FRESH)

    async def keys(self, destinationId: str) -> ConnexionResponse:  # noqa: N803
        """Show all public keys to anybody, the current encryption key first: a public client takes the first."""
        stored = await in_thread(self._destinations.keys, UUID(destinationId))
        return json_answer({"keys": [dict(each.jwk) for each in stored]}, headers=FRESH)

    async def create(self, body: dict[str, Any]) -> ConnexionResponse:
        """Create a destination: 201, status ``created``, adapter ``mailbox``."""
        caller = self._caller()
        destination = await in_thread(
            self._destinations.create,
            self._draft(body),
            encryption_key=body["encryptionPublicKey"],
            signature_key=body["signingPublicKey"],
            owner=caller.client_id,
            tenant=await in_thread(self._tenant_of, caller.client_id),
            now=self._clock(),
        )
        headers = {"Location": f"/destinations/{destination.destination_id}", **FRESH}
        return json_answer(self._dialect.destination(destination, private=True), 201, headers)

    async def replace(self, destinationId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Replace what an owner may say of a destination; what may be absent and is, is taken away."""
        absent = {name for name, part in _OPTIONAL.items() if body.get(part) is None}
        return await self._change(destinationId, body, without=absent)

    async def patch(self, destinationId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Replace the members that are given, each as a whole."""
        if body.get("status") == "created":
            raise destination_state(
                Malformed,
                Text(
                    "Der Status created lässt sich nicht setzen. Möglich sind active, inactive und decommissioned.",
                    "Status created cannot be set. Possible are active, inactive and decommissioned.",
                ),
            )
        nulls = {name for name, part in _OPTIONAL.items() if part in body and body[part] is None}
        return await self._change(destinationId, body, without=nulls)

    async def delete(self, destinationId: str) -> ConnexionResponse:  # noqa: N803
        """Take a destination out of service for good: 204."""
        await in_thread(self._destinations.delete, UUID(destinationId), caller=self._caller(), now=self._clock())
        return nothing(headers=FRESH)

    async def add_key(self, destinationId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Add a public key: 201, also where it is there already."""
        await in_thread(self._destinations.add_key, UUID(destinationId), body, caller=self._caller(), now=self._clock())
        location = f"/destinations/{UUID(destinationId)}/keys/{body['kid']}"
        return nothing(201, {"Location": location, **FRESH})

    async def _change(self, destination_id: str, body: Mapping[str, Any], *, without: set[str]) -> ConnexionResponse:
        destination = await in_thread(
            self._destinations.change,
            UUID(destination_id),
            replace(self._draft(body), without=frozenset(without)),
            caller=self._caller(),
            now=self._clock(),
        )
        return json_answer(self._dialect.destination(destination, private=True), headers=FRESH)

    def _draft(self, body: Mapping[str, Any]) -> Draft:
        """Read what a body says; either name of the services is understood in either version."""
        services = body.get("publicServices") or body.get("services")
        versions = body.get("metadataVersions")
        return Draft(
            name=body.get("name"),
            status=body.get("status"),
            services=None if services is None else tuple(_offered(each) for each in services),
            metadata_versions=None if versions is None else tuple(versions),
            encryption_kid=body.get("encryptionKid"),
            contact=_plain(body.get("contactInformation")),
            reply_channels=_plain(body.get("replyChannels")),
            callback=self._callback(body.get("callback")),
        )

    def _callback(self, given: Mapping[str, Any] | None) -> Callback | None:
        if given is None:
            return None
        self._outbound.require_url(given["url"])
        return at_rest(Callback(url=given["url"], secret=given["secret"]), self._keys)


def _plain(document: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return a free document as it is, if the store can keep it: JSON knows longer numbers than anybody else."""
    try:
        orjson.dumps(document)
    except TypeError as exc:
        raise schema_violation(violation("maximum", "", "json-pointer", str(2**64 - 1))) from exc
    return document


def _offered(service: Mapping[str, Any]) -> OfferedService:
    return OfferedService(
        identifier=service["identifier"],
        regions=tuple(service["regions"]),
        schemas=tuple((each["schemaUri"], each["mimeType"]) for each in service["submissionSchemas"]),
    )


#: Callers that are counted one by one in a window, and the count of all beyond.
MOST_CALLERS = 20_000
_ALL_OTHERS = "*"
#: Blocks in which processes lease a caller's quota, and callers that may be counted in the store at once.
_BLOCKS = 50
_MOST_ROWS = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION = {"v1": {"major": 1, "minor": 1, "patch": 0}, "v2": {"major": 2, "minor": 0, "patch": 0}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Allowance:
    """What one request leaves of a caller's quota: figures of the ``RateLimit-*`` header fields."""

    limit: int
    remaining: int
    resets_in: timedelta
    window: timedelta

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
        policy = RatePolicy("look-ups", self.limit, self.window)
        fields |= rate_limit(policy, remaining=self.remaining, resets_in=self.resets_in)
        return fields | ({"Retry-After": seconds} if self.spent else {})


class SharedCounts(Protocol):
    """Where all processes and nodes count together what they use."""

    def lease(
        self, counter: str, *, kind: str, wanted: int, until: datetime, most_rows: int, now: datetime
    ) -> Future[int]:
        """Take ``wanted`` until then; the future tells how much was taken before."""


@dataclass(kw_only=True, slots=True)
class _Use:
    """A caller's requests in this window: those ``counted`` here, those ``leased`` for here, and what ``others`` leased."""

    counted: int = 0
    leased: int = 0
    others: int = 0
    asks: bool = False


class Quota:
    """Counts requests per caller in fixed windows; what it knows is dropped with each window.

    With ``leases`` a caller's quota is one for all processes: each takes a block of it before it is used up, off the
    request's path, so that few requests cost a commit. Whoever asks seldom is counted here alone: a process may let a block
    more pass than the limit says. Callers beyond a number in one window share one count: anybody has as many addresses as
    they like.
    """

    def __init__(
        self, *, limit: int = 6000, window: timedelta = timedelta(minutes=1), leases: SharedCounts | None = None
    ) -> None:
        self._limit = limit
        self._window = window
        self._leases = leases
        self._block = max(1, limit // _BLOCKS)
        # A lease that is refused at once is told within the call that asked for it.
        self._lock = threading.RLock()
        self.counts: dict[str, _Use] = {}
        self._ends: datetime | None = None

    def take(self, caller: str, now: datetime) -> Allowance:
        """Count one request of ``caller``."""
        with self._lock:
            if self._ends is None or now >= self._ends or now < self._ends - self._window:
                self.counts.clear()
                # The same windows for all processes.
                self._ends = now + self._window - (now - _EPOCH) % self._window
            if caller not in self.counts and len(self.counts) >= MOST_CALLERS:
                caller = _ALL_OTHERS
            use = self.counts.setdefault(caller, _Use())
            use.counted += 1
            self._lease(caller, use, self._ends, now)
            left = self._limit - use.others - use.counted
            return Allowance(limit=self._limit, remaining=left, resets_in=self._ends - now, window=self._window)

    def _lease(self, caller: str, use: _Use, ends: datetime, now: datetime) -> None:
        """Ask for another block when half of one is left; there is none to be had where all is taken."""
        half = self._block // 2
        if self._leases is None or use.asks or use.counted + half < max(use.leased, self._block):
            return
        if use.leased + use.others >= self._limit:
            return
        use.asks = True
        wanted = max(0, use.counted - use.leased) + self._block
        counter = hashlib.blake2b(f"routing\0{caller}".encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()
        asked = self._leases.lease(counter, kind="routing", wanted=wanted, until=ends, most_rows=_MOST_ROWS, now=now)
        asked.add_done_callback(partial(self._leased, use, wanted))

    def _leased(self, use: _Use, wanted: int, asked: Future[int]) -> None:
        with self._lock:
            use.asks = False
            if asked.cancelled() or asked.exception() is not None:
                return  # Counted here alone, until the store can say more.
            before = asked.result()
            use.others = max(0, min(before, self._limit) - use.leased)
            use.leased += min(wanted, max(0, self._limit - before))


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
