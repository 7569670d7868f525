"""Destinations over the API: what they are, how they stand, and what could not be delivered to them.

Destinations, for administrators: what they are, how they stand, and keys by two persons.

Dead letters over HTTP, for those who manage destinations: their own ones only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from connexion.lifecycle import ConnexionResponse

from hub.administration.dead_letters import DeadLetters, RedrivenBy, RedriveWindow
from hub.administration.destinations import (
    DestinationService,
    DestinationStanding,
    Draft,
    KeyAddition,
    KeyChange,
    KeyStep,
)
from hub.administration.offers import Offers, dropped
from hub.api import FRESH, etag, in_thread, json_answer, known_state, listed, moment_of
from hub.crypto import expires_at
from hub.errors import Invalid, Text, not_found
from hub.identity import Caller, Person, Right, reach, scope_of_client
from hub.model import EVERYTHING, ROOT, DeadCause, Destination, OfferedService, Scope, reason_for_people, reason_of
from hub.store import AdapterChange, ChangeState, Circuit, DeliveryView, OutgoingCallback, Store, StoredKey

#: What FIT-Connect's metadata versions are where nobody says anything.
_METADATA = ("1.0.0", "1.3.0", "2.0.0", "2.1.0")


class DestinationAdmin:
    """Handlers of ``/hub/v1/destinations``."""

    def __init__(
        self,
        *,
        destination_service: DestinationService,
        offers: Callable[[], Offers],
        person: Callable[[], Person],
        clock: Callable[[], datetime],
    ) -> None:
        self._destination_service = destination_service
        self._offers = offers
        self._person = person
        self._clock = clock

    async def list(self, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List the destinations in the person's scope."""
        page = await in_thread(self._destination_service.list, self._person(), offset=offset, limit=limit)
        return json_answer(listed("destinations", page, [_head(each) for each in page.items]), headers=FRESH)

    async def show(self, destinationId: str) -> ConnexionResponse:  # noqa: N803  # the contract's names
        """Show how a destination stands."""
        return await self._standing(UUID(destinationId))

    async def create(self, body: dict[str, Any]) -> ConnexionResponse:
        """Create a destination: 201, status ``created``, adapter ``mailbox`` unless another is named."""
        person = self._person()
        person.require(Right.OPERATE)
        draft = _draft({"metadataVersions": list(_METADATA), **body})
        made = await in_thread(
            self._destination_service.create,
            await in_thread(self._with_services, draft, body, ()),
            person,
            encryption_key=body["encryptionPublicKey"],
            signature_key=body["signingPublicKey"],
            owner=body["owner"],
            tenant=body.get("tenant", ""),
            tenant_id=body.get("tenantId"),
            now=self._clock(),
        )
        headers = {"Location": f"/hub/v1/destinations/{made.destination_id}", **FRESH, **etag(made.revision)}
        waiting = await self._waiting(made.destination_id) if "adapter" in body else None
        return json_answer(_head(made) | _way(waiting), 201, headers)

    async def change(self, destinationId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Replace the members that are given, each as a whole, in the state that ``If-Match`` names.

        An adapter is noted (202) and waits for a second person; the same adapter, said by an approver, is carried out.
        """
        changed = await in_thread(self._changed, UUID(destinationId), body, self._person(), known_state())
        waiting = await self._waiting(changed.destination_id) if "adapter" in body else None
        answer = _head(changed) | _way(waiting)
        return json_answer(answer, 200 if waiting is None else 202, {**FRESH, **etag(changed.revision)})

    def _changed(self, destination_id: UUID, body: dict[str, Any], person: Person, expected: str) -> Destination:
        draft = _draft(body)
        if "services" in body:
            person.require(Right.OPERATE)
            before = self._destination_service.show(destination_id, person).destination
            draft = self._with_services(draft, body, before.services)
        return self._destination_service.change(destination_id, draft, person, now=self._clock(), expected=expected)

    def _with_services(self, draft: Draft, body: Mapping[str, Any], before: Sequence[OfferedService]) -> Draft:
        wished = [_offered(each) for each in body["services"]]
        return replace(draft, services=tuple(self._offers().judged(wished, before)))

    async def put_service(
        self,
        destinationId: str,  # noqa: N803
        serviceIdentifier: str,  # noqa: N803
        body: dict[str, Any],
    ) -> ConnexionResponse:
        """Add one service, or change what is said of it; the others stay as they are."""

        def taken(before: Sequence[OfferedService]) -> tuple[OfferedService, ...]:
            schemas = [(each["schemaUri"], each.get("mimeType")) for each in body.get("schemas", ())]
            return self._offers().with_one(before, serviceIdentifier, regions=body.get("regions", ()), schemas=schemas)

        return await self._serve(UUID(destinationId), taken)

    async def drop_service(
        self,
        destinationId: str,  # noqa: N803
        serviceIdentifier: str,  # noqa: N803
    ) -> ConnexionResponse:
        """Take one service away; the others stay as they are."""
        return await self._serve(UUID(destinationId), lambda before: dropped(before, serviceIdentifier))

    async def _serve(
        self, destination_id: UUID, taken: Callable[[Sequence[OfferedService]], tuple[OfferedService, ...]]
    ) -> ConnexionResponse:
        person, expected, now = self._person(), known_state(), self._clock()
        person.require(Right.OPERATE)
        before = (await in_thread(self._destination_service.show, destination_id, person)).destination
        draft = Draft(services=await in_thread(taken, before.services))
        changed = await in_thread(
            self._destination_service.change, destination_id, draft, person, now=now, expected=expected
        )
        answer = _head(changed) | {"services": [_service(each) for each in changed.services]}
        return json_answer(answer, headers={**FRESH, **etag(changed.revision)})

    async def _waiting(self, destination_id: UUID) -> AdapterChange | None:
        waiting: AdapterChange | None = await in_thread(
            self._destination_service.waiting_way, destination_id, self._person()
        )
        return waiting

    async def add_key(self, destinationId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Add a public key: for sealing at once, but used for nothing until two persons activate it; for signatures by two."""
        made: KeyAddition = await in_thread(
            self._destination_service.add_key, UUID(destinationId), body, self._person(), now=self._clock()
        )
        answer = {"kid": body["kid"], "added": made.added}
        answer |= {} if made.change is None else {"keyChange": _change(made.change)}
        return json_answer(answer, 202 if made.waits else 201 if made.added else 200, FRESH)

    async def activate_key(
        self,
        destinationId: str,  # noqa: N803
        keyId: str,  # noqa: N803
        body: dict[str, Any] | None = None,
    ) -> ConnexionResponse:
        """Seal to this key from now on: 202 after the first person's word, 200 after the second's."""
        return await self._change_key(destinationId, keyId, KeyStep.ACTIVATE, body)

    async def retire_key(
        self,
        destinationId: str,  # noqa: N803
        keyId: str,  # noqa: N803
        body: dict[str, Any] | None = None,
    ) -> ConnexionResponse:
        """Use this key for nothing new: 202 after the first person's word, 200 after the second's."""
        return await self._change_key(destinationId, keyId, KeyStep.RETIRE, body)

    async def close_circuit(
        self,
        destinationId: str,  # noqa: N803
        body: dict[str, Any] | None = None,
    ) -> ConnexionResponse:
        """Let deliveries be attempted at once."""
        text = (body or {}).get("text", "")
        circuit = await in_thread(
            self._destination_service.close_circuit, UUID(destinationId), self._person(), text=text, now=self._clock()
        )
        return json_answer(self._circuit(circuit), headers=FRESH)

    async def _change_key(
        self, destination_id: str, kid: str, step: KeyStep, body: dict[str, Any] | None
    ) -> ConnexionResponse:
        change = await in_thread(
            self._destination_service.change_key,
            UUID(destination_id),
            kid,
            step,
            self._person(),
            now=self._clock(),
            text=(body or {}).get("text", ""),
        )
        return json_answer(_change(change), 202 if change.state is ChangeState.OPEN else 200, FRESH)

    async def _standing(self, destination_id: UUID) -> ConnexionResponse:
        standing: DestinationStanding = await in_thread(self._destination_service.show, destination_id, self._person())
        destination = standing.destination
        answer = _head(destination) | {
            "contact": dict(destination.contact),
            "metadataVersions": list(destination.metadata_versions),
            "services": [_service(each) for each in destination.services],
            "adapterOptions": _shown(destination.adapter_config),
            "keys": [_key(key, destination) for key in standing.keys],
            "keyChanges": [_change(each) for each in standing.changes],
            "adapterChanges": [_way_change(each) for each in standing.ways],
            "circuit": self._circuit(standing.circuit),
            "callback": None if destination.callback is None else {"url": destination.callback.url},
            "deadCallbacks": [_callback(each) for each in standing.dead_callbacks],
        }
        return json_answer(answer, headers={**FRESH, **etag(destination.revision)})

    def _circuit(self, circuit: Circuit) -> dict[str, Any]:
        until = circuit.open_until
        is_open = until is not None and until > self._clock()
        return {"open": is_open, "failures": circuit.failures, "openUntil": _moment(until)}


def _draft(body: Mapping[str, Any]) -> Draft:
    adapter = body.get("adapter")
    versions = body.get("metadataVersions")
    return Draft(
        name=body.get("name"),
        status=body.get("status"),
        metadata_versions=None if versions is None else tuple(versions),
        encryption_kid=body.get("encryptionPublicKey", {}).get("kid"),
        contact=body.get("contact"),
        adapter=None if adapter is None else adapter["name"],
        adapter_config=None if adapter is None else adapter.get("options", {}),
    )


def _offered(service: Mapping[str, Any]) -> OfferedService:
    return OfferedService(
        identifier=service["identifier"],
        regions=tuple(service["regions"]),
        schemas=tuple((each["schemaUri"], each.get("mimeType", "")) for each in service["schemas"]),
    )


def _head(destination: Destination) -> dict[str, Any]:
    return {
        "destinationId": str(destination.destination_id),
        "name": destination.name,
        "status": destination.status,
        "owner": destination.owner,
        "tenant": destination.tenant,
        "tenantId": destination.tenant_id or ROOT,
        "adapter": destination.adapter,
        "encryptionKid": destination.encryption_kid,
        "createdAt": _moment(destination.created_at),
        "updatedAt": _moment(destination.updated_at),
    }


def _service(service: OfferedService) -> dict[str, Any]:
    return {
        "identifier": service.identifier,
        "regions": list(service.regions),
        "schemas": [{"schemaUri": uri, "mimeType": media_type} for uri, media_type in service.schemas],
    }


def _shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return an adapter's options; of secrets only the names of their files can be options at all."""
    return {name: value for name, value in sorted(options.items()) if isinstance(value, str | int | float | bool)}


def _key(key: StoredKey, destination: Destination) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "use": "encryption" if key.use == "wrapKey" else "signature",
        "current": key.kid == destination.encryption_kid,
        "retired": key.retired_at is not None,
        "addedAt": _moment(key.added_at),
        "expiresAt": _moment(expires_at(key.jwk)),
    }


def _change(change: KeyChange) -> dict[str, Any]:
    return {
        "kid": change.kid,
        "action": change.step.value,
        "state": change.state.value,
        "proposedBy": change.proposed_by,
        "proposedAt": _moment(change.proposed_at),
        "settledBy": change.decided_by,
        "settledAt": _moment(change.decided_at),
    }


def _way(change: AdapterChange | None) -> dict[str, Any]:
    return {} if change is None else {"adapterChange": _way_change(change)}


def _way_change(change: AdapterChange) -> dict[str, Any]:
    return {
        "adapter": change.adapter,
        "options": _shown(change.options),
        "state": change.state.value,
        "proposedBy": change.proposed_by,
        "proposedAt": _moment(change.proposed_at),
        "settledBy": change.decided_by,
        "settledAt": _moment(change.decided_at),
    }


def _callback(callback: OutgoingCallback) -> dict[str, Any]:
    return {"callbackId": str(callback.callback_id), "createdAt": _moment(callback.created_at)}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")


class DeadLetterDesk:
    """Handlers of ``/hub/v1/dead-dead_letters``."""

    def __init__(
        self, *, dead_letters: DeadLetters, store: Store, caller: Callable[[], Caller], clock: Callable[[], datetime]
    ) -> None:
        self._dead_letters = dead_letters
        self._store = store
        self._caller = caller
        self._clock = clock

    async def list(
        self,
        cause: str | None = None,
        destinationId: str | None = None,  # noqa: N803  # the contract's name
        offset: int = 0,
        limit: int = 100,
    ) -> ConnexionResponse:
        """List dead letters of the caller's destinations."""
        within = await in_thread(self._within, self._caller(), destinationId)
        page = await in_thread(
            self._dead_letters.list, _cause(cause), scope=EVERYTHING, within=within, offset=offset, limit=limit
        )
        reasons = await in_thread(self._dead_letters.reasons, page)
        rows = [_row(each) | {"reason": _reason(reasons.get(each.delivery_id))} for each in page.items]
        return json_answer(listed("deadLetters", page, rows))

    async def redrive(self, deliveryId: str, body: dict[str, Any] | None = None) -> ConnexionResponse:  # noqa: N803
        """Send one dead letter again."""
        caller = self._caller()
        within = await in_thread(self._within, caller, None)
        again = await in_thread(
            self._dead_letters.redrive,
            UUID(deliveryId),
            scope=EVERYTHING,
            within=within,
            by=self._person(caller, body or {}),
        )
        return json_answer({"redriven": int(again)}, 202)

    async def redrive_all(self, body: dict[str, Any]) -> ConnexionResponse:
        """Send all dead letters of a cause again."""
        caller = self._caller()
        within = await in_thread(self._within, caller, body.get("destinationId"))
        if "since" in body or "until" in body or "expected" in body:
            return await self._redrive_window(body, caller, within)
        number = await in_thread(
            self._dead_letters.redrive_all,
            _cause(body["cause"]),
            scope=EVERYTHING,
            within=within,
            by=self._person(caller, body),
        )
        return json_answer({"redriven": number}, 202)

    async def _redrive_window(self, body: dict[str, Any], caller: Caller, within: frozenset[UUID]) -> ConnexionResponse:
        """Tell how many there are, or send them again where as many are expected."""
        by = self._person(caller, body)
        if "since" not in body or "until" not in body:
            raise Invalid(Text("Nötig sind „since“ und „until“.", "It takes 'since' and 'until'."))
        wanted = RedriveWindow(
            cause=DeadCause(body["cause"]),
            since=moment_of(body["since"], "since"),
            until=moment_of(body["until"], "until"),
        )
        if "expected" not in body:
            found = await in_thread(self._dead_letters.found, wanted, scope=EVERYTHING, within=within, now=by.now)
            return json_answer({"redriven": 0, "found": found}, 202)
        number = await in_thread(
            self._dead_letters.redrive_window,
            wanted,
            expected=body["expected"],
            scope=EVERYTHING,
            within=within,
            by=by,
        )
        return json_answer({"redriven": number, "found": number}, 202)

    def _person(self, caller: Caller, body: dict[str, Any]) -> RedrivenBy:
        return RedrivenBy(actor=f"client:{caller.client_id}", now=self._clock(), reason=body.get("reason", ""))

    def _within(self, caller: Caller, destination_id: str | None) -> frozenset[UUID]:
        """Return the caller's destinations inside its tenant, or the one that it names."""
        scope = self._scope(caller)
        own = self._store.parties.destination_ids(scope=scope, owner=caller.client_id, among=reach(caller))
        if destination_id is None:
            return own
        wanted = frozenset({UUID(destination_id)})
        if not wanted <= own:
            raise not_found("destination-not-found", destination_id)
        return wanted

    def _scope(self, caller: Caller) -> Scope:
        return scope_of_client(self._store.parties.client(caller.client_id), self._store.tenants)


def _cause(text: str | None) -> DeadCause | None:
    return None if text is None else DeadCause(text)


def _reason(note: str | None) -> dict[str, str] | None:
    """Return what a note says: a code that never changes, and its text in both languages."""
    if note is None:
        return None
    return {
        "code": reason_of(note).code,
        "de": reason_for_people(note, german=True),
        "en": reason_for_people(note, german=False),
    }


def _row(view: DeliveryView) -> dict[str, Any]:
    ended = view.finished_at
    return {
        "deliveryId": str(view.delivery_id),
        "submissionId": str(view.submission_id),
        "destinationId": str(view.destination_id),
        "cause": view.cause.value if view.cause is not None else DeadCause.HUB.value,
        "acceptedAt": view.accepted_at.isoformat(timespec="milliseconds"),
        "endedAt": None if ended is None else ended.isoformat(timespec="milliseconds"),
    }
