"""FIT-Connect's destinations and keys: public look-ups, and the administration by their owners (sections 4.2 and 5.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from connexion.lifecycle import ConnexionResponse

from hub.administration.destinations import Destinations, Draft
from hub.api import FRESH, in_thread, json_answer, nothing, paged, schema_violation, violation, visitor
from hub.api.fit_connect.versions import WireVersion
from hub.crypto import HubKeys
from hub.errors import Malformed, Text, destination_state
from hub.identity import Caller, owns
from hub.model import Callback, OfferedService
from hub.notifications.callbacks import at_rest
from hub.transport.connection import Outbound

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
