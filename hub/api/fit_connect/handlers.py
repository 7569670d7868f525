"""FIT-Connect's APIs, put together: every operation of ``openapi.yaml`` that speaks FIT-Connect, by operationId."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from hub.administration.destinations import Destinations
from hub.api import json_answer
from hub.api.fit_connect.destinations import DestinationDesk, Quota, RoutingService
from hub.api.fit_connect.messages import CaseFiles, Counter, Exchange, Replies, SubmissionHandlers
from hub.api.fit_connect.versions import V1, V2, WireVersion
from hub.areas import Gazetteer
from hub.fit_connect.addressing import AddressBook
from hub.fit_connect.messages import Acknowledgement
from hub.identity import Caller
from hub.routing import RoutingTable
from hub.store import Store

Handler = Callable[..., Any]
_INFO = {"v1": {"major": 1, "minor": 1, "patch": 3}, "v2": {"major": 2, "minor": 0, "patch": 0}}


class Parts(Exchange, Protocol):
    """What FIT-Connect's APIs need of the hub. Table and gazetteer are asked for anew each time: a reload drops no request."""

    destinations: Destinations

    def gazetteers(self) -> Gazetteer:
        """Return the areas, with the postal codes of the moment."""

    def table(self) -> RoutingTable:
        """Return the routing table in force."""


def handlers(hub: Parts, *, caller: Callable[[], Caller], quota: Quota | None = None) -> dict[str, Handler]:
    """Return the handlers of both versions, by operationId; ``caller`` says who makes the request that is being handled."""
    counter = Counter(hub, caller=caller)
    acknowledgement = Acknowledgement(store=hub.store, callback_writer=hub.callback_writer)
    book = AddressBook(store=hub.store, keys=hub.keys, base_url=hub.base_url)
    quota = quota or Quota(leases=hub.store.logins)
    found: dict[str, Handler] = {}
    for version, dialect in (("v1", V1()), ("v2", V2())):
        of_version = {
            **_messages(counter, dialect),
            **_cases(counter, acknowledgement, dialect),
            **_destinations(counter, hub.destinations, dialect),
            **_routing(hub, book, quota, version),
            "info": Info(version).show,
        }
        found |= {f"fit_connect.{version}.{name}": handler for name, handler in of_version.items()}
    return found


def _messages(counter: Counter, dialect: WireVersion) -> Mapping[str, Handler]:
    found: dict[str, Handler] = {}
    for name, messages in (
        ("submissions", SubmissionHandlers(counter, dialect)),
        ("replies", Replies(counter, dialect)),
    ):
        found |= {
            f"{name}.announce": messages.announce,
            f"{name}.upload": messages.upload,
            f"{name}.submit": messages.submit,
            f"{name}.waiting": messages.waiting,
            f"{name}.show": messages.show,
            f"{name}.attachment": messages.attachment,
            f"{name}.attachment_facts": messages.attachment_facts,
            f"{name}.events": messages.events,
        }
    return found


def _cases(counter: Counter, acknowledgement: Acknowledgement, dialect: WireVersion) -> Mapping[str, Handler]:
    files = CaseFiles(
        cases=counter.hub.cases,
        acknowledgement=acknowledgement,
        dialect=dialect,
        caller=counter.caller,
        clock=counter.hub.clock,
    )
    return {
        "cases.list": files.list,
        "cases.show": files.show,
        "cases.events": files.events,
        "cases.post_event": files.post_event,
    }


def _destinations(counter: Counter, destinations: Destinations, dialect: WireVersion) -> Mapping[str, Handler]:
    hub = counter.hub
    desk = DestinationDesk(
        destinations=destinations,
        dialect=dialect,
        keys=hub.keys,
        outbound=hub.outbound,
        tenant_of=lambda client_id: _tenant(hub.store, client_id),
        caller=counter.caller,
        clock=hub.clock,
    )
    return {
        "destinations.list": desk.list,
        "destinations.create": desk.create,
        "destinations.show": desk.show,
        "destinations.replace": desk.replace,
        "destinations.patch": desk.patch,
        "destinations.delete": desk.delete,
        "destinations.keys": desk.keys,
        "destinations.add_key": desk.add_key,
        "destinations.key": desk.key,
    }


def _routing(hub: Parts, book: AddressBook, quota: Quota, version: str) -> Mapping[str, Handler]:
    service = RoutingService(
        version=version,
        gazetteer=hub.gazetteers,
        table=hub.table,
        destinations=hub.destinations,
        book=book,
        quota=quota,
        clock=hub.clock,
    )
    return {"routing.areas": service.areas, "routing.routes": service.routes, "routing.info": service.info}


class Info:
    """The version of the Submission API."""

    def __init__(self, version: str) -> None:
        self._version = version

    async def show(self) -> Any:
        """Tell the version."""
        return json_answer({"version": _INFO[self._version]})


def _tenant(store: Store, client_id: str) -> str:
    client = store.parties.client(client_id)
    return "" if client is None else client.tenant
