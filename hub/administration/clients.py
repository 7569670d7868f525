"""Clients as administrators see and change them: within their tenant, with a secret that is shown once, all audited."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from secrets import token_urlsafe

from hub.areas import Area
from hub.errors import Conflict, Invalid, Text, not_found, state_forbids
from hub.identity import (
    Person,
    Right,
    bound_to,
    hash_secret,
    new_client,
    place_for,
    require_for_persons,
    require_region,
)
from hub.model import Client, ClientKind
from hub.store import AuditEntry, Page, Store

_LONGEST_NAME = 200
_TENANT = re.compile(r"[0-9]{0,12}")


class ClientService:
    """Reads and changes clients for a person. ``machines``: also those that persons may not create (command line)."""

    def __init__(self, store: Store, *, machines: bool = False) -> None:
        self._store = store
        self._machines = machines

    def list(self, person: Person, *, offset: int = 0, limit: int = 100) -> Page[Client]:
        """Return one page of the clients in a person's scope, by id."""
        person.require(Right.SEE)
        return self._store.parties.clients(scope=person.scope, offset=offset, limit=limit)

    def show(self, client_id: str, person: Person) -> Client:
        """Return a client in the person's scope; raise ``NotFound`` for any other."""
        person.require(Right.SEE)
        client = self._store.parties.visible_client(client_id, scope=person.scope)
        if client is None:
            raise not_found("client-not-found", client_id)
        return client

    def create(
        self,
        person: Person,
        *,
        kind: str,
        name: str,
        tenant: str = "",
        tenant_id: str | None = None,
        region: str = "",
        manage: bool = False,
        now: datetime,
    ) -> tuple[Client, str]:
        """Create a client and return it with its secret, which is never shown again.

        A sender may be bound to a ``region`` (ARS): its tokens then serve for that area alone.

        Raises:
            Forbidden: the right is missing, tenant or region are another's, or the kind is not for persons to create.
            Invalid: no name, or a tenant that is no ARS prefix.
            Malformed: a region that is no ARS.
        """
        person = person.acting(Right.OPERATE)
        if not self._machines:
            require_for_persons(kind)
        name = name.strip()
        if not name or len(name) > _LONGEST_NAME or not name.isprintable() or not _TENANT.fullmatch(tenant):
            raise _no_client()
        place = place_for(self._store, person, area=tenant, tenant_id=tenant_id)
        client, secret = new_client(ClientKind(kind), name, now=now, tenant=place.area, manage=manage)
        client = replace(client, tenant_id=place.tenant_id)
        if region and client.kind is ClientKind.SENDER:
            require_region(person, region)
            client = bound_to(client, Area.from_ars(region).ars)
        self._store.parties.add_client(client, audit=_audit(person, "client.add", client, now, after=_public(client)))
        return client, secret

    def rotate(
        self, client_id: str, person: Person, *, now: datetime, expected: str | None = None
    ) -> tuple[Client, str]:
        """Give a client a new secret and return it, once; the old one stops working at once.

        ``expected`` is the revision that the person saw.

        Raises:
            Forbidden: the right is missing, or the kind is not for persons.
            NotFound: no such client in the person's scope.
            Conflict: it is disabled, or somebody else gave it a new secret meanwhile (slug ``overtaken``).
        """
        person = person.acting(Right.OPERATE)
        client = self.show(client_id, person)
        if not self._machines:
            require_for_persons(client.kind)
        if client.disabled_at is not None:
            raise _disabled_for_good()
        secret = token_urlsafe(32)
        after = replace(client, secret_hash=hash_secret(secret))
        audit = _audit(person, "client.rotate", client, now)
        expected = client.revision if expected is None else expected
        self._store.parties.set_client_secret(client_id, after.secret_hash, expected=expected, audit=audit)
        return after, secret

    def disable(self, client_id: str, person: Person, *, now: datetime) -> Client:
        """Lock a client out for good; its tokens stop working within a second. A second time changes nothing."""
        person = person.acting(Right.OPERATE)
        before = self.show(client_id, person)
        if before.disabled_at is not None:
            return before
        after = replace(before, disabled_at=now)
        audit = _audit(person, "client.disable", before, now, after={"disabled": True})
        self._store.parties.disable_client(client_id, now, audit=replace(audit, before={"disabled": False}))
        return after


def _no_client() -> Invalid:
    return Invalid(
        Text(
            f"Ein Client braucht einen Namen (höchstens {_LONGEST_NAME} Zeichen) und als Mandant ein ARS-Präfix.",
            f"A client needs a name (at most {_LONGEST_NAME} characters) and an ARS prefix as its tenant.",
        )
    )


def _disabled_for_good() -> Conflict:
    return state_forbids(
        Text("Der Client ist gesperrt und bleibt es.", "The client is disabled and stays so."),
        Text("Legen Sie einen neuen an.", "Create a new one."),
    )


def _public(client: Client) -> dict[str, object]:
    return {
        "name": client.name,
        "kind": client.kind.value,
        "tenant": client.tenant,
        "tenant_id": client.tenant_id,
        "scopes": list(client.scopes),
    }


def _audit(
    person: Person, action: str, client: Client, now: datetime, *, after: dict[str, object] | None = None
) -> AuditEntry:
    return AuditEntry(at=now, actor=person.name, action=action, target=f"client:{client.client_id}", after=after or {})
