"""OAuth clients: list, create, rotate, disable. A secret is shown once, on the page that answers the click."""

from __future__ import annotations

from starlette.responses import Response

from hub.admin.request import ROWS, Visit
from hub.errors import Forbidden, HubError, Refused
from hub.identity import FOR_PERSONS, rights_of
from hub.model import Client

_FIELDS = ("name", "kind", "tenant", "region", "manage")


def index(visit: Visit) -> Response:
    """List the clients."""
    return _list(visit)


def create(visit: Visit) -> Response:
    """Create a client within the person's scope; what cannot be created comes back with what was entered."""
    entered = {name: visit.form.text(name, longest=200) for name in _FIELDS}
    try:
        client, secret = visit.hub.client_service.create(
            visit.person,
            kind=entered["kind"],
            name=entered["name"],
            tenant=entered["tenant"],
            region=entered["region"].removeprefix("DE"),
            manage=entered["manage"] == "yes",
            now=visit.now,
        )
    except Refused as refused:
        return _list(visit, entered=entered, error=refused)
    return _list(visit, client=client, secret=secret)


def rotate(visit: Visit) -> Response:
    """Give a client a new secret; the old one stops working at once."""
    client, secret = visit.hub.client_service.rotate(visit.parts["id"], visit.person, now=visit.now)
    return _list(visit, client=client, secret=secret)


def disable(visit: Visit) -> Response:
    """Lock a client out; its tokens stop working within a second."""
    visit.hub.client_service.disable(visit.parts["id"], visit.person, now=visit.now)
    return visit.to("/clients", note="disabled")


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
        kinds=list(FOR_PERSONS),
        fresh=client,
        secret=secret,
        entered=entered or {**dict.fromkeys(_FIELDS, ""), "tenant": visit.person.tenant},
        error=error,
    )
