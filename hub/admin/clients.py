"""OAuth clients: list, create, rotate, disable. A secret is shown once, on the page that answers the click."""

from __future__ import annotations

from secrets import token_urlsafe

from starlette.responses import Response

from hub.admin.visit import Visit
from hub.clients import FOR_PERSONS, hash_secret, insist_for_persons, new_client
from hub.errors import Forbidden, Invalid, Text
from hub.parties import Client, ClientKind


def index(visit: Visit) -> Response:
    """List the clients."""
    return _list(visit)


def create(visit: Visit) -> Response:
    """Create a client within the person's scope."""
    form = visit.form
    kind, name, tenant = form.text("kind"), form.text("name", longest=200), form.text("tenant", longest=12)
    tenant = tenant or visit.person.tenant
    if kind not in FOR_PERSONS or not name or not (tenant == "" or (tenant.isascii() and tenant.isdigit())):
        raise Invalid(
            Text(
                "Ein Client braucht eine Art, einen Namen und als Mandant ein ARS-Präfix (oder keinen).",
                "A client needs a kind, a name and an ARS prefix as its tenant (or none).",
            )
        )
    if not visit.person.covers(tenant):
        raise Forbidden(
            Text(
                f"Ihr Konto ist auf {visit.person.tenant} beschränkt.",
                f"Your account is bound to {visit.person.tenant}.",
            ),
            slug="outside-tenant",
        )
    manage = form.text("manage") == "yes"
    client, secret = new_client(ClientKind(kind), name, now=visit.now, tenant=tenant, manage=manage)
    audit = visit.audit("client.add", f"client:{client.client_id}", name=name, kind=kind, tenant=tenant, manage=manage)
    visit.tools.store.add_client(client, audit=audit)
    return _list(visit, client=client, secret=secret)


def rotate(visit: Visit) -> Response:
    """Give a client a new secret; the old one stops working at once."""
    client = visit.scope.client(visit.parts["id"])
    insist_for_persons(client.kind)
    secret = token_urlsafe(32)
    audit = visit.audit("client.rotate", f"client:{client.client_id}")
    visit.tools.store.set_client_secret(client.client_id, hash_secret(secret), audit=audit)
    return _list(visit, client=client, secret=secret)


def disable(visit: Visit) -> Response:
    """Lock a client out; its tokens stop working within a second."""
    client = visit.scope.client(visit.parts["id"])
    audit = visit.audit("client.disable", f"client:{client.client_id}")
    visit.tools.store.disable_client(client.client_id, visit.now, audit=audit)
    return visit.to("/clients", note="disabled")


def _list(visit: Visit, *, client: Client | None = None, secret: str = "") -> Response:
    return visit.page(
        "clients.html", clients=visit.scope.clients(), kinds=list(FOR_PERSONS), fresh=client, secret=secret
    )
