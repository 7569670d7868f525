"""OAuth clients: list, create, rotate, disable. A secret is shown once, on the page that answers the click."""

from __future__ import annotations

from dataclasses import replace
from secrets import token_urlsafe

from starlette.responses import Response

from hub.admin.visit import ROWS, Visit
from hub.areas import Area
from hub.clients import hash_secret, new_client, right_of, rights_of
from hub.errors import Forbidden, HubError, Invalid, Refused, Text
from hub.parties import Client, ClientKind

_FIELDS = ("name", "kind", "tenant", "region", "manage")


def index(visit: Visit) -> Response:
    """List the clients."""
    return _list(visit)


def create(visit: Visit) -> Response:
    """Create a client within the person's scope; what cannot be created comes back with what was entered."""
    entered = {name: visit.form.text(name, longest=200) for name in _FIELDS}
    try:
        client, secret = _made(visit, entered)
    except Refused as refused:
        return _list(visit, entered=entered, error=refused)
    audit = visit.audit(
        "client.add",
        f"client:{client.client_id}",
        name=client.name,
        kind=client.kind.value,
        tenant=client.tenant,
        scopes=list(client.scopes),
    )
    visit.tools.store.add_client(client, audit=audit)
    return _list(visit, client=client, secret=secret)


def rotate(visit: Visit) -> Response:
    """Give a client a new secret; the old one stops working at once."""
    client = visit.scope.client(visit.parts["id"])
    secret = token_urlsafe(32)
    audit = visit.audit("client.rotate", f"client:{client.client_id}")
    visit.tools.store.set_client_secret(client.client_id, hash_secret(secret), audit=audit)
    return _list(visit, client=client, secret=secret)


def disable(visit: Visit) -> Response:
    """Lock a client out; its tokens stop working within a second."""
    client = visit.scope.client(visit.parts["id"])
    audit = replace(
        visit.audit("client.disable", f"client:{client.client_id}", disabled=True), before={"disabled": False}
    )
    visit.tools.store.disable_client(client.client_id, visit.now, audit=audit)
    return visit.to("/clients", note="disabled")


def _made(visit: Visit, entered: dict[str, str]) -> tuple[Client, str]:
    tenant = entered["tenant"] or visit.person.tenant
    named = entered["name"] and entered["kind"] in set(ClientKind)
    if not named or not (tenant == "" or (tenant.isascii() and tenant.isdigit())):
        raise Invalid(
            Text(
                "Ein Client braucht eine Art, einen Namen und als Mandant ein ARS-Präfix (oder keinen).",
                "A client needs a kind, a name and an ARS prefix as its tenant (or none).",
            )
        )
    region = Area.from_ars(entered["region"].removeprefix("DE")).ars if entered["region"] else ""
    if not visit.person.covers(tenant) or (region and not visit.person.covers(region)):
        raise Forbidden(
            Text(
                f"Ihr Konto ist auf {visit.person.tenant} beschränkt.",
                f"Your account is bound to {visit.person.tenant}.",
            ),
            slug="outside-tenant",
        )
    kind = ClientKind(entered["kind"])
    manage = entered["manage"] == "yes"
    client, secret = new_client(kind, entered["name"], now=visit.now, tenant=tenant, manage=manage)
    if region and kind is ClientKind.SENDER:
        bound = tuple(scope for scope in client.scopes if right_of(scope) != right_of("send:region:"))
        client = replace(client, scopes=(f"send:region:DE{region}", *bound))
    return client, secret


def _list(
    visit: Visit,
    *,
    client: Client | None = None,
    secret: str = "",
    entered: dict[str, str] | None = None,
    error: HubError | None = None,
) -> Response:
    words = visit.query.text("q", longest=100).casefold().split()
    found = [
        each
        for each in visit.scope.clients()
        if all(word in f"{each.name} {each.client_id} {each.tenant}".casefold() for word in words)
    ]
    start = visit.offset()
    return visit.page(
        "clients.html",
        status=200 if error is None else 403 if isinstance(error, Forbidden) else 422,
        clients=[(each, rights_of(each.scopes)) for each in found[start : start + ROWS]],
        total=len(found),
        rows=ROWS,
        searched=bool(words),
        kinds=list(ClientKind),
        fresh=client,
        secret=secret,
        entered=entered or {**dict.fromkeys(_FIELDS, ""), "tenant": visit.person.tenant},
        error=error,
    )
