"""FIT-Connect's APIs, put together: every operation of ``openapi.yaml`` that speaks FIT-Connect, by operationId."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hub.administration.destinations import Destinations
from hub.admission import Admission
from hub.api import RequestLimits, json_answer
from hub.api.fit_connect.destinations import DestinationDesk
from hub.api.fit_connect.messages import CaseFiles, Counter, Replies, SubmissionHandlers
from hub.api.fit_connect.routing import Quota, RoutingService
from hub.api.fit_connect.versions import V1, V2, WireVersion
from hub.areas import Gazetteer
from hub.crypto import HubKeys, KeyPolicy
from hub.fit_connect.addressing import AddressBook
from hub.fit_connect.collection import Cases, Collection
from hub.fit_connect.events import Acknowledgement
from hub.fit_connect.sending import ExchangeLimits, Receivers, RecentAnnouncements, SendingTools
from hub.fit_connect.submissions import Announcing, Submitting, Uploading
from hub.identity import Caller, Directory
from hub.model import Destination, Sealing
from hub.notifications.callbacks import CallbackWriter
from hub.routing import RoutingTable
from hub.store import Blobs, Store
from hub.transport.connection import Outbound

Handler = Callable[..., Any]
_INFO = {"v1": {"major": 1, "minor": 1, "patch": 3}, "v2": {"major": 2, "minor": 0, "patch": 0}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """What FIT-Connect's APIs are made of. ``table`` and ``gazetteer`` are asked anew each time: a reload drops no request."""

    store: Store
    blobs: Blobs
    keys: HubKeys
    cases: Cases
    callback_writer: CallbackWriter
    policy: KeyPolicy
    directory: Directory
    gazetteer: Callable[[], Gazetteer]
    table: Callable[[], RoutingTable]
    admission: Admission
    outbound: Outbound
    base_url: str
    caller: Callable[[], Caller]
    clock: Callable[[], datetime]
    limits: RequestLimits = field(default_factory=RequestLimits)
    quota: Quota = field(default_factory=Quota)
    #: How a destination's adapter wants contents sealed; some forms only the plain door can make.
    sealing: Callable[[Destination], Sealing] = lambda _: Sealing()


def handlers(parts: Parts) -> dict[str, Handler]:
    """Return the handlers of both versions, by operationId."""
    found: dict[str, Handler] = {}
    counter = counter_of(parts)
    for version, dialect in (("v1", V1()), ("v2", V2())):
        for name, handler in _of_version(parts, counter, version, dialect).items():
            found[f"fit_connect.{version}.{name}"] = handler
    return found


def _of_version(parts: Parts, counter: Counter, version: str, dialect: WireVersion) -> Mapping[str, Handler]:
    return {
        **_messages(counter, dialect),
        **_cases(parts, dialect),
        **_destinations(parts, dialect),
        **_routing(parts, version),
        "info": Info(version).show,
    }


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


def _cases(parts: Parts, dialect: WireVersion) -> Mapping[str, Handler]:
    files = CaseFiles(
        cases=parts.cases,
        acknowledgement=Acknowledgement(store=parts.store, callback_writer=parts.callback_writer),
        dialect=dialect,
        caller=parts.caller,
        clock=parts.clock,
    )
    return {
        "cases.list": files.list,
        "cases.show": files.show,
        "cases.events": files.events,
        "cases.post_event": files.post_event,
    }


def _destinations(parts: Parts, dialect: WireVersion) -> Mapping[str, Handler]:
    desk = DestinationDesk(
        destinations=Destinations(store=parts.store, policy=parts.policy),
        dialect=dialect,
        keys=parts.keys,
        outbound=parts.outbound,
        tenant_of=lambda client_id: _tenant(parts.store, client_id),
        caller=parts.caller,
        clock=parts.clock,
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


def _routing(parts: Parts, version: str) -> Mapping[str, Handler]:
    service = RoutingService(
        version=version,
        gazetteer=parts.gazetteer,
        table=parts.table,
        destinations=Destinations(store=parts.store, policy=parts.policy),
        book=AddressBook(store=parts.store, keys=parts.keys, base_url=parts.base_url),
        quota=parts.quota,
        clock=parts.clock,
    )
    return {"routing.areas": service.areas, "routing.routes": service.routes, "routing.info": service.info}


def counter_of(parts: Parts) -> Counter:
    """Return what the handlers of submissions and replies work with."""
    limits = ExchangeLimits(
        attachment=parts.limits.attachment,
        attachments=parts.limits.attachments,
        total=parts.limits.total,
        inline=parts.limits.sealed,
    )
    tools = SendingTools(
        store=parts.store,
        blobs=parts.blobs,
        receivers=Receivers(parts.directory),
        recent=RecentAnnouncements(parts.store),
        callback_writer=parts.callback_writer,
        admission=parts.admission,
        base_url=parts.base_url,
        limits=limits,
        sealing=parts.sealing,
    )
    return Counter(
        announcing=Announcing(tools),
        uploading=Uploading(tools),
        submitting=Submitting(tools),
        collection=Collection(store=parts.store, blobs=parts.blobs),
        cases=parts.cases,
        admission=parts.admission,
        keys=parts.keys,
        outbound=parts.outbound,
        caller=parts.caller,
        clock=parts.clock,
        limits=parts.limits,
    )


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
