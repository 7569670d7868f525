"""What citizens look for: public services by their own words, what they need for them, and who does them where they live."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import anyio
import anyio.to_thread
import orjson
from connexion.lifecycle import ConnexionResponse

from hub.api import caller_address, etag, known_states, nothing
from hub.areas import Area, Gazetteer, Place
from hub.errors import NoRoute, Text, TooMany
from hub.model import Destination
from hub.routing import RoutingTable, legal_day, no_such_area
from hub.services import DeadlineRule, Fee, PublicService, Responsible, ServiceCatalogue, ServiceWay
from hub.validation.catalog import SchemaCatalog
from hub.validation.editions import SchemaEntry

#: Searches at once: each passes over the vocabulary of all services, and on its first time the index is made.
_SEARCHING = 2
#: For so long a browser may go on with an answer; the routing table may change at any second.
_FRESH = "public, max-age=60"
#: Kinds of areas by who does a service there.
_BY_LENGTH: Mapping[Responsible, int] = {
    Responsible.MUNICIPALITY: len("064390015015"),
    Responsible.DISTRICT: len("06439"),
    Responsible.INDEPENDENT_CITY: len("06439"),
    Responsible.STATE: len("06"),
}


class CallerAllowance(Protocol):
    """What one request leaves of a caller's quota."""

    @property
    def spent(self) -> bool:
        """Whether it is one too many."""
        ...

    @property
    def resets_in(self) -> Any:
        """When the next window begins."""
        ...

    def headers(self) -> dict[str, str]:
        """The header fields that tell of it."""
        ...


class CallerQuota(Protocol):
    """Counts requests by caller."""

    def take(self, caller: str, now: datetime) -> CallerAllowance:
        """Count one."""
        ...


class PublicServices:
    """Handlers of the services' public look-ups."""

    def __init__(
        self,
        *,
        services: Callable[[], ServiceCatalogue],
        table: Callable[[], RoutingTable],
        gazetteer: Callable[[], Gazetteer],
        destination: Callable[[Any], Destination | None],
        catalog: Callable[[], SchemaCatalog],
        quota: CallerQuota,
        clock: Callable[[], datetime],
    ) -> None:
        self._services = services
        self._table = table
        self._gazetteer = gazetteer
        self._destination = destination
        self._catalog = catalog
        self._quota = quota
        self._clock = clock
        self._searching = anyio.CapacityLimiter(_SEARCHING)

    async def search(
        self, q: str = "", ars: str | None = None, lang: str = "de", offset: int = 0, limit: int = 20
    ) -> ConnexionResponse:
        """Find services by citizens' words; with an area also who does them there."""
        return await self._answered(lambda: self.found(q, ars, lang, offset, limit))

    async def show(self, leikaKey: str, ars: str | None = None, lang: str = "de") -> ConnexionResponse:  # noqa: N803
        """Show one service, by its LeiKa key or URN."""
        return await self._answered(lambda: self._shown(leikaKey, ars, lang))

    async def _answered(self, answer: Callable[[], dict[str, Any]]) -> ConnexionResponse:
        allowance = self._quota.take(caller_address(), self._clock())
        if allowance.spent:
            raise TooMany(
                Text(
                    "Von Ihrer Adresse kamen in kurzer Zeit zu viele Anfragen. Warten Sie eine Minute.",
                    "Too many requests came from your address in a short time. Wait a minute.",
                ),
                retry_after=allowance.resets_in,
            )
        body = orjson.dumps(await anyio.to_thread.run_sync(answer, limiter=self._searching))
        state = hashlib.sha256(body).hexdigest()
        headers = {**allowance.headers(), **etag(state), "Cache-Control": _FRESH}
        if state in known_states():
            return nothing(304, headers)
        return ConnexionResponse(status_code=200, body=body, content_type="application/json", headers=headers)

    def found(self, q: str, ars: str | None, lang: str, offset: int, limit: int) -> dict[str, Any]:
        """Return what a search answers: a page of services, with who does them in the area if one is named."""
        catalogue, here = self._services(), self._here(ars)
        hits = catalogue.search(q, lang)
        shown = [self._service_json(hit.service, here, lang) for hit in hits[offset : offset + limit]]
        return {
            "total": len(hits),
            "lang": lang,
            "version": catalogue.version,
            "area": None if here is None else self._area_json(here, lang),
            "services": shown,
        }

    def _shown(self, key: str, ars: str | None, lang: str) -> dict[str, Any]:
        return self._service_json(self._services().service(key), self._here(ars), lang)

    def _here(self, ars: str | None) -> Place | None:
        """Return the area of a key; raise ``NoRoute`` where there is none today."""
        if ars is None:
            return None
        gazetteer, now, area = self._gazetteer(), self._clock(), Area.from_ars(ars)
        place = gazetteer.find(gazetteer.same_as(area))
        if place is None or not place.exists(legal_day(now)):
            raise no_such_area(self._table(), area, now)
        return place

    def _area_json(self, place: Place, lang: str) -> dict[str, str]:
        said = self._gazetteer().distinction(place)
        return {"ars": place.area.ars, "name": place.name, "distinction": _said(said, lang)}

    def _service_json(self, service: PublicService, here: Place | None, lang: str) -> dict[str, Any]:
        office = None if here is None else self._office(service, here, lang)
        ways = [each.value for each in service.ways]
        if office is not None and office["online"]:
            ways = ["online-here", *(each for each in ways if each != ServiceWay.ONLINE)]
        return {
            "key": service.key,
            "official": service.official,
            "name": _said(service.name, lang),
            "topic": _maybe(service.topic, lang),
            "synonyms": list(service.synonyms.get(lang, ())),
            "situation": _maybe(service.situation, lang),
            "summary": _maybe(service.summary, lang),
            "needs": [_said(each, lang) for each in service.needs],
            "attachments": self._attachments(service, office, lang),
            "fee": _fee_json(service.fee, lang),
            "duration": _maybe(service.duration, lang),
            "law": list(service.law),
            "responsible": [each.value for each in service.responsible],
            "authority": _maybe(service.authority, lang),
            "ways": ways,
            "withdraw": service.withdraw,
            "correct": service.correct,
            "assurance": None if service.assurance is None else service.assurance.value,
            "deadlines": [_deadline_json(each) for each in service.deadlines],
            "onward": service.onward,
            "reviewed": None if service.reviewed is None else service.reviewed.isoformat(),
            "facts": _maybe(service.facts, lang),
            "source": service.source,
            "office": office,
        }

    def _attachments(self, service: PublicService, office: Mapping[str, Any] | None, lang: str) -> list[dict[str, Any]]:
        """Return where applications name files: of the schemas that the office here takes, else of those made for it."""
        entries = self._catalog().serving(service.key, on=legal_day(self._clock()))
        taken = entries if office is None or not office["online"] else self._offered(office["schemas"])
        return [
            {
                "schema": entry.uri,
                "at": place.at,
                "required": place.required,
                "label": _maybe(place.label, lang),
            }
            for entry in taken
            for place in entry.item.attachments
        ]

    def _offered(self, uris: Sequence[str]) -> list[SchemaEntry]:
        catalog = self._catalog()
        known, today = catalog.names(), legal_day(self._clock())
        named = {entry.uri: entry for uri in uris if uri in known for entry in catalog.named(uri)}
        return [entry for entry in named.values() if entry.manifest.in_force(today)]

    def _office(self, service: PublicService, here: Place, lang: str) -> dict[str, Any]:
        """Return who does a service in an area: a destination of this hub, or why none, and the authority that does."""
        known, why = self._authority(service, here), None
        try:
            route = self._table().route(here.area, service.key, self._clock())
        except NoRoute as refused:
            cause = str(refused.members.get("cause", "no-rule"))
            # Where somebody is responsible and takes nothing online, or not from everybody, the table says it best.
            text = refused.detail if cause in {"closed", "by-invitation"} else _offline(service)
            why = {"cause": cause, "text": _said(text, lang)}
            if cause != "by-invitation":
                return _not_online(why, known)
            route = self._table().responsible(here.area, service.key, self._clock())
        found = self._destination(route.destination_id)
        if found is None or found.status != "active":
            return _not_online({"cause": "not-active", "text": _said(_offline(service), lang)}, known)
        schemas = [uri for each in found.services if each.identifier == service.key for uri, _ in each.schemas]
        # Whoever is invited to what is on trial has to know what can be sent there.
        return {
            "online": why is None,
            "destinationId": str(found.destination_id),
            "name": found.name,
            "schemas": sorted(set(schemas)),
            "why": why,
            "authority": known,
        }

    def _authority(self, service: PublicService, here: Place) -> dict[str, str] | None:
        """Return the area whose authority does a service here, None where nobody wrote it down or the area is too wide."""
        gazetteer = self._gazetteer()
        around = (here, *gazetteer.above(here.area))
        for kind in service.responsible:
            length = _BY_LENGTH.get(kind)
            if length == _BY_LENGTH[Responsible.DISTRICT]:
                # An independent city is its own district, and stands in the list as the municipality that it is.
                found = next((each for each in around if each.kind.value in {"district", "independent-city"}), None)
            else:
                found = next((each for each in around if len(each.area.ars) == length), None)
            if found is not None:
                return {"ars": found.area.ars, "name": found.name}
        return None


def _not_online(why: Mapping[str, str], authority: Mapping[str, str] | None) -> dict[str, Any]:
    said = {"why": dict(why), "authority": authority}
    return {"online": False, "destinationId": None, "name": None, "schemas": [], **said}


def _offline(service: PublicService) -> Text:
    """Say what to do where nobody takes a service online here."""
    where = service.authority or Text("die zuständige Stelle", "the responsible office")
    return Text(
        f"Hier geht das noch nicht online über diesen Hub. Wenden Sie sich an: {where.de}.",
        f"This cannot be done online through this hub here yet. Turn to: {where.en}.",
    )


def _deadline_json(rule: DeadlineRule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "title": {"de": rule.title.de, "en": rule.title.en},
        "amount": rule.amount,
        "unit": rule.unit.value,
        "law": list(rule.law),
    }


def _fee_json(fee: Fee | None, lang: str) -> dict[str, Any] | None:
    if fee is None:
        return None
    return {
        "kind": fee.kind.value,
        "text": _said(fee.text, lang),
        "from": None if fee.least is None else str(fee.least),
        "to": None if fee.most is None else str(fee.most),
        "law": list(fee.law),
    }


def _said(text: Text, lang: str) -> str:
    return text.en if lang == "en" else text.de


def _maybe(text: Text | None, lang: str) -> str | None:
    return None if text is None else _said(text, lang)
