"""Clients, for administrators: list, create, rotate, disable. A secret stands in one answer and never again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from connexion.lifecycle import ConnexionResponse

from hub.administration.clients import Registry
from hub.api.answers import FRESH, etag, json_answer, known_state, listed
from hub.api.threads import in_thread
from hub.identity.accounts import Person
from hub.identity.clients import rights_of
from hub.model.parties import Client

_NEVER_KEPT = {"Cache-Control": "no-store"}


class ClientAdmin:
    """Handlers of ``/hub/v1/clients``."""

    def __init__(self, *, registry: Registry, person: Callable[[], Person], clock: Callable[[], datetime]) -> None:
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
        "rights": rights_of(client.scopes),
        "createdAt": client.created_at.isoformat(timespec="milliseconds"),
        "disabledAt": None if disabled is None else disabled.isoformat(timespec="milliseconds"),
    }
