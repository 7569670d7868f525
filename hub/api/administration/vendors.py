"""Vendors of software over the API: who they are, for whom they act, which clients are theirs, and their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from connexion.lifecycle import ConnexionResponse

from hub.administration.vendors import VendorService
from hub.api import FRESH, in_thread, json_answer, listed, nothing
from hub.identity import Person, Right, require_a_say
from hub.model import ROOT, ClientSoftware, Delegation, Vendor
from hub.store import VendorKey


class VendorAdmin:
    """Handlers of ``/hub/v1/vendors``."""

    def __init__(self, *, service: VendorService, person: Callable[[], Person], clock: Callable[[], datetime]) -> None:
        self._service = service
        self._person = person
        self._clock = clock

    async def list(self, q: str = "", offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List the vendors that the person may delegate to, by name."""
        page = await in_thread(self._service.list, self._person(), text=q, offset=offset, limit=limit)
        return json_answer(listed("vendors", page, [_json(each) for each in page.items]), headers=FRESH)

    async def show(self, vendorId: str) -> ConnexionResponse:  # noqa: N803  # the contract's names
        """Show one vendor: its clients, for whom it acts, and its keys."""
        standing = await in_thread(self._service.show, vendorId, self._person())
        answer = _json(standing.vendor) | {
            "clients": [_software(each, name) for each, name in standing.software],
            "delegations": [_delegation(each, standing.tenants) for each in standing.delegations],
            "keys": [_key(each) for each in standing.keys],
        }
        return json_answer(answer, headers=FRESH)

    async def create(self, body: dict[str, Any]) -> ConnexionResponse:
        """Admit a vendor: 201."""
        made = await in_thread(
            self._service.create,
            self._operating(),
            name=body["name"],
            contact=body.get("contact", ""),
            tenant_id=body.get("tenantId"),
            now=self._clock(),
        )
        return json_answer(_json(made), 201, {"Location": f"/hub/v1/vendors/{made.vendor_id}", **FRESH})

    async def delegate(self, vendorId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Let a vendor act for a tenant and all below it: 201."""
        given = await in_thread(
            self._service.delegate,
            vendorId,
            self._operating(),
            tenant_id=body["tenantId"],
            service=body.get("serviceIdentifier", ""),
            now=self._clock(),
        )
        return json_answer(_delegation(given, {}), 201, FRESH)

    async def withdraw(self, vendorId: str, delegationId: str) -> ConnexionResponse:  # noqa: N803
        """Withdraw a delegation: 204."""
        await in_thread(self._service.withdraw, vendorId, delegationId, self._operating(), now=self._clock())
        return nothing(headers={"Cache-Control": "no-store"})

    async def set_client(self, vendorId: str, clientId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Say that a client is a vendor's software."""
        software = await in_thread(
            self._service.set_software,
            vendorId,
            clientId,
            self._operating(),
            product=f"{body['product']}/{body['version']}",
            now=self._clock(),
        )
        return json_answer(_software(software, ""), headers=FRESH)

    async def drop_client(self, vendorId: str, clientId: str) -> ConnexionResponse:  # noqa: N803
        """Say that a client is the vendor's no more: 204."""
        await in_thread(self._service.end_software, vendorId, clientId, self._operating(), now=self._clock())
        return nothing(headers={"Cache-Control": "no-store"})

    async def propose_key(self, vendorId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Propose a key: 202, a second person approves it."""
        key = await in_thread(self._service.propose_key, vendorId, body, self._operating(), now=self._clock())
        return json_answer(_key(key), 202, FRESH)

    async def decide_key(self, vendorId: str, keyId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Approve, refuse or retire a key."""
        person = self._person()
        require_a_say(person)
        decide = {
            "approve": self._service.approve_key,
            "refuse": self._service.refuse_key,
            "retire": self._service.retire_key,
        }[body["decision"]]
        key = await in_thread(decide, vendorId, keyId, person, now=self._clock())
        return json_answer(_key(key), headers=FRESH)

    def _operating(self) -> Person:
        person = self._person()
        person.require(Right.OPERATE)
        return person


def _json(vendor: Vendor) -> dict[str, Any]:
    return {
        "vendorId": vendor.vendor_id,
        "name": vendor.name,
        "contact": vendor.contact,
        "tenantId": vendor.tenant_id or ROOT,
        "admittedBy": vendor.admitted_by,
        "createdAt": _moment(vendor.created_at),
    }


def _software(software: ClientSoftware, name: str) -> dict[str, Any]:
    return {
        "clientId": software.client_id,
        "name": name,
        "product": software.product,
        "version": software.version,
        "since": _moment(software.since),
    }


def _delegation(given: Delegation, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "delegationId": given.delegation_id,
        "tenantId": given.tenant_id,
        "tenantName": names.get(given.tenant_id, ""),
        "serviceIdentifier": given.service,
        "grantedBy": given.granted_by,
        "grantedAt": _moment(given.granted_at),
        "withdrawnBy": given.withdrawn_by,
        "withdrawnAt": None if given.withdrawn_at is None else _moment(given.withdrawn_at),
    }


def _key(key: VendorKey) -> dict[str, Any]:
    return {
        "kid": key.kid,
        "state": "retired" if key.retired_at is not None else key.state.value,
        "proposedBy": key.proposed_by,
        "proposedAt": _moment(key.proposed_at),
        "settledBy": key.decided_by,
        "settledAt": None if key.decided_at is None else _moment(key.decided_at),
    }


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
