"""Tenants over the API: the tree, what a change would touch, the change, and rights given and taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

from connexion.lifecycle import ConnexionResponse

from hub.administration.tenants import Holder, TenantImpact, TenantService
from hub.api import FRESH, etag, in_thread, json_answer, known_state, listed, nothing
from hub.errors import Malformed, Text
from hub.identity import Person, Right, require_a_say
from hub.model import Tenant, TenantGrant
from hub.store import Holdings


class TenantAdmin:
    """Handlers of ``/hub/v1/tenants``."""

    def __init__(self, *, service: TenantService, person: Callable[[], Person], clock: Callable[[], datetime]) -> None:
        self._service = service
        self._person = person
        self._clock = clock

    async def list(
        self, q: str = "", parent: str | None = None, offset: int = 0, limit: int = 100
    ) -> ConnexionResponse:
        """List the tenants in the person's scope, by name."""
        page = await in_thread(self._service.list, self._person(), text=q, parent=parent, offset=offset, limit=limit)
        return json_answer(listed("tenants", page, [_json(each) for each in page.items]), headers=FRESH)

    async def show(self, tenantId: str) -> ConnexionResponse:  # noqa: N803  # the contract's names
        """Show one tenant: what is above and below it, what it has, and who may what there, and why."""
        standing = await in_thread(self._service.show, tenantId, self._person())
        answer = _json(standing.tenant) | {
            "above": [_named(each) for each in standing.above],
            "below": [_named(each) for each in standing.below],
            "holdings": _held(standing.held),
            "holders": [_holder(each) for each in standing.holders],
        }
        return json_answer(answer, headers={**FRESH, **etag(standing.tenant.revision)})

    async def create(self, body: dict[str, Any]) -> ConnexionResponse:
        """Create a tenant below another one: 201."""
        person, since = self._person(), body.get("validFrom")
        person.require(Right.OPERATE)
        made = await in_thread(
            self._service.create,
            person,
            kind=body["kind"],
            name=body["name"],
            parent=body["parent"],
            areas=body.get("areas", ()),
            valid_from=None if since is None else _day(since),
            now=self._clock(),
        )
        headers = {"Location": f"/hub/v1/tenants/{made.tenant_id}", **FRESH, **etag(made.revision)}
        return json_answer(_json(made), 201, headers)

    async def rename(self, tenantId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Give a tenant another name, in the state that ``If-Match`` names."""
        return await self._changed(self._service.rename, tenantId, name=body["name"], expected=known_state())

    async def preview(
        self,
        tenantId: str,  # noqa: N803
        *,
        target: str,
        step: str = "move",
        keepRights: bool = False,  # noqa: N803
    ) -> ConnexionResponse:
        """Tell what a move below ``target``, or a dissolution into it, would touch; nothing changes."""
        person = self._person()
        person.require(Right.OPERATE)
        impact: TenantImpact = await in_thread(
            self._service.preview,
            tenantId,
            person,
            target=target,
            dissolve=step == "dissolve",
            keep_rights=keepRights,
            now=self._clock(),
        )
        answer = _impact_json(impact)
        return json_answer(answer, headers={**FRESH, **etag(impact.tenant.revision)})

    async def move(self, tenantId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Put a tenant, with all below it, below another one."""
        return await self._changed(
            self._service.move, tenantId, parent=body["parent"], areas=body.get("areas"), expected=known_state()
        )

    async def dissolve(self, tenantId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Dissolve a tenant into another one, which gets all that it has: so two are merged."""
        person, expected, until = self._person(), known_state(), body.get("until")
        person.require(Right.OPERATE)
        held: Holdings = await in_thread(
            self._service.dissolve,
            tenantId,
            person,
            successor=body["into"],
            keep_rights=body.get("keepRights", False),
            until=None if until is None else _day(until),
            expected=expected,
            now=self._clock(),
        )
        return json_answer({"tenantId": tenantId, "successor": body["into"], "holdings": _held(held)}, headers=FRESH)

    async def grant(self, tenantId: str, body: dict[str, Any]) -> ConnexionResponse:  # noqa: N803
        """Give an account a role at a tenant and all below it: 201."""
        person = self._person()
        require_a_say(person)
        given: TenantGrant = await in_thread(
            self._service.grant,
            person,
            account=body["account"],
            role=body["role"],
            tenant_id=tenantId,
            now=self._clock(),
        )
        answer = {
            "account": given.account,
            "role": given.role.value,
            "tenantId": given.tenant_id,
            "grantedBy": given.granted_by,
            "grantedAt": _moment(given.granted_at),
        }
        return json_answer(answer, 201, FRESH)

    async def revoke(self, tenantId: str, accountName: str, role: str) -> ConnexionResponse:  # noqa: N803
        """Take a granted role away: 204."""
        person = self._person()
        require_a_say(person)
        await in_thread(
            self._service.revoke, person, account=accountName, role=role, tenant_id=tenantId, now=self._clock()
        )
        return nothing(headers={"Cache-Control": "no-store"})

    async def _changed(self, change: Callable[..., Tenant], tenant_id: str, **said: Any) -> ConnexionResponse:
        person = self._person()
        person.require(Right.OPERATE)
        changed: Tenant = await in_thread(change, tenant_id, person, now=self._clock(), **said)
        return json_answer(_json(changed), headers={**FRESH, **etag(changed.revision)})


def _impact_json(impact: TenantImpact) -> dict[str, Any]:
    return {
        "tenant": _named(impact.tenant),
        "target": _named(impact.target),
        "tenants": impact.tenants,
        "holdings": _held(impact.held),
        "rules": list(impact.rules),
        "losing": [_named(each) for each in impact.losing],
        "gaining": [_named(each) for each in impact.gaining],
        "ending": [_holder(each) for each in impact.ending],
    }


def _json(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenantId": tenant.tenant_id,
        "name": tenant.name,
        "kind": tenant.kind.value,
        "parent": tenant.parent,
        "areas": list(tenant.areas),
        "validFrom": None if tenant.valid_from is None else tenant.valid_from.isoformat(),
        "validUntil": None if tenant.valid_until is None else tenant.valid_until.isoformat(),
        "successor": tenant.successor,
    }


def _named(tenant: Tenant) -> dict[str, str]:
    return {"tenantId": tenant.tenant_id, "name": tenant.name}


def _held(held: Holdings) -> dict[str, Any]:
    return {
        "destinations": _ids(held.destinations),
        "clients": _ids(held.clients),
        "accounts": _ids(held.accounts),
        "grants": len(held.grants),
        "openDeliveries": held.open_deliveries,
    }


def _ids(found: Sequence[str]) -> dict[str, Any]:
    """Return how many there are, and the first of them."""
    return {"totalCount": len(found), "first": list(found[:_MOST_NAMED])}


#: Ids that an answer names; it counts all.
_MOST_NAMED = 100


def _holder(holder: Holder) -> dict[str, Any]:
    return {
        "account": holder.account,
        "role": holder.role.value,
        "at": _named(holder.at),
        "grantedBy": holder.granted_by or None,
        "grantedAt": None if holder.granted_at is None else _moment(holder.granted_at),
    }


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise Malformed(Text("Diesen Tag gibt es nicht.", "There is no such day.")) from exc


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
