"""Who calls, over the API: clients for administrators, persons and their tokens.

Clients, for administrators: list, create, rotate, disable. A secret stands in one answer and never again.

Persons at the API: their tokens, and who a request is made by where administrators act.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import datetime
from typing import Any

from connexion import context
from connexion.lifecycle import ConnexionResponse

from hub.administration.clients import ClientService
from hub.api import FRESH, caller_address, etag, in_thread, json_answer, known_state, listed, nothing, visit
from hub.identity import PERSONS_PREFIX, Caller, Directory, Person, PersonTokens, Right, rights_of, scope_of_client
from hub.identity import ScopeRight as ClientRight
from hub.identity.sessions import address_of, device_of
from hub.model import ROOT, Client, ClientKind, Role
from hub.store import Tenants

_NEVER_KEPT = {"Cache-Control": "no-store"}


class ClientAdmin:
    """Handlers of ``/hub/v1/clients``."""

    def __init__(self, *, registry: ClientService, person: Callable[[], Person], clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._person = person
        self._clock = clock

    async def list(self, offset: int = 0, limit: int = 100) -> ConnexionResponse:
        """List the clients in the person's scope."""
        page = await in_thread(self._registry.list, self._person(), offset=offset, limit=limit)
        return json_answer(listed("clients", page, [_json(each) for each in page.items]), headers=FRESH)

    async def show(self, clientId: str) -> ConnexionResponse:  # noqa: N803  # the contract's names
        """Show one client."""
        client = await in_thread(self._registry.show, clientId, self._person())
        return json_answer(_json(client), headers={**FRESH, **etag(client.revision)})

    async def create(self, body: dict[str, Any]) -> ConnexionResponse:
        """Create a client: 201 with its secret."""
        client, secret = await in_thread(
            self._registry.create,
            self._person(),
            kind=body["kind"],
            name=body["name"],
            tenant=body.get("tenant", ""),
            tenant_id=body.get("tenantId"),
            manage=body.get("manage", False),
            now=self._clock(),
        )
        headers = {"Location": f"/hub/v1/clients/{client.client_id}", **_NEVER_KEPT, **etag(client.revision)}
        return json_answer(_json(client) | {"clientSecret": secret}, 201, headers)

    async def rotate(self, clientId: str) -> ConnexionResponse:  # noqa: N803
        """Give a client a new secret."""
        client, secret = await in_thread(
            self._registry.rotate, clientId, self._person(), now=self._clock(), expected=known_state()
        )
        headers = {**_NEVER_KEPT, **etag(client.revision)}
        return json_answer(_json(client) | {"clientSecret": secret}, headers=headers)

    async def disable(self, clientId: str) -> ConnexionResponse:  # noqa: N803
        """Lock a client out."""
        client = await in_thread(self._registry.disable, clientId, self._person(), now=self._clock())
        return json_answer(_json(client), headers={**FRESH, **etag(client.revision)})


def _json(client: Client) -> dict[str, Any]:
    disabled = client.disabled_at
    return {
        "clientId": client.client_id,
        "kind": client.kind.value,
        "name": client.name,
        "tenant": client.tenant,
        "tenantId": client.tenant_id or ROOT,
        "rights": rights_of(client.scopes),
        "createdAt": client.created_at.isoformat(timespec="milliseconds"),
        "disabledAt": None if disabled is None else disabled.isoformat(timespec="milliseconds"),
    }


#: What a machine is trusted with at most: no machine approves, or operates.
_ROLES = {ClientRight.SEE: Role.VIEWER, ClientRight.EDIT: Role.EDITOR}


class People:
    """Handlers of ``/hub/v1/persons/token``, and the look-up of persons for the operations of administrators.

    ``of_client`` is the look-up of clients' tokens.
    """

    def __init__(
        self,
        *,
        person_tokens: PersonTokens,
        directory: Directory,
        tenants: Tenants,
        of_client: Callable[[str], dict[str, Any]],
        clock: Callable[[], datetime],
    ) -> None:
        self._person_tokens = person_tokens
        self._directory = directory
        self._tenants = tenants
        self._of_client = of_client
        self._clock = clock

    async def token(self, body: Mapping[str, str]) -> ConnexionResponse:
        """Exchange a person's credentials for a short-lived token."""
        token, person, life = await in_thread(
            self._person_tokens.issue,
            body["name"],
            body["password"],
            body.get("code", ""),
            address=address_of(caller_address()),
            device=device_of(visit().headers.get("user-agent", "")),
            now=self._clock(),
        )
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": int(life.total_seconds()),
            "scope": " ".join(_scopes(person)),
            "name": person.name,
            "tenant": person.tenant,
        }
        return json_answer(answer, headers=_NEVER_KEPT)

    async def revoke(self) -> ConnexionResponse:
        """End the token that the request carries: 204. A client's token ends by itself."""
        token = _bearer()
        if token.startswith(PERSONS_PREFIX):
            await in_thread(self._person_tokens.revoke, token, now=self._clock())
        return nothing(headers=_NEVER_KEPT)

    def token_info(self, token: str) -> dict[str, Any] | Coroutine[Any, Any, dict[str, Any]]:
        """Return who holds a token, for connexion's security check; raise ``Unauthenticated``."""
        if token.startswith(PERSONS_PREFIX):
            return self._of_person(token)
        info = self._of_client(token)
        caller: Caller = info["caller"]
        if caller.kind is ClientKind.MACHINE:
            info["person"] = self._machine(caller)
        return info

    async def _of_person(self, token: str) -> dict[str, Any]:
        person = await in_thread(self._person_tokens.recognise, token, now=self._clock())
        return {"sub": person.name, "scope": _scopes(person), "person": person}

    def _machine(self, caller: Caller) -> Person:
        """Return a machine as somebody who acts: it has a name that no person can have, and its client's tenant."""
        client = self._directory.client(caller.client_id, now=self._clock())
        roles = tuple(role for right, role in _ROLES.items() if right in caller.rights)
        name, tenant = f"client:{caller.client_id}", client.tenant if client is not None else ""
        home = scope_of_client(client, self._tenants)
        return Person(name=name, full_name=caller.client_id, roles=roles, tenant=tenant, home=home)


def person() -> Person:
    """Return who makes the request that is being handled."""
    found: Person = context.context["token_info"]["person"]
    return found


def _scopes(person: Person) -> list[str]:
    return [right.value for right in Right if person.may(right)]


def _bearer() -> str:
    return visit().headers.get("authorization", "").partition(" ")[2].strip()
