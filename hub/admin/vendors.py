"""Vendors of software on pages: who they are, for whom they act, which clients are theirs, and their keys."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from hub.admin.destinations import read_key
from hub.admin.request import ROWS, Visit
from hub.errors import Forbidden, HubError, NotFound, Refused
from hub.identity import Right, require_a_say
from hub.model import ROOT

_FIELDS = ("name", "contact", "tenant")


def index(visit: Visit) -> Response:
    """List the vendors that may be delegated to here."""
    return _all(visit)


def create(visit: Visit) -> Response:
    """Admit a vendor; what cannot be admitted comes back with what was entered."""
    entered = {name: visit.form.text(name, longest=400) for name in _FIELDS}
    try:
        made = visit.hub.vendor_service.create(
            visit.person,
            name=entered["name"],
            contact=entered["contact"],
            tenant_id=entered["tenant"] or None,
            now=visit.now,
        )
    except Refused as refused:
        return _all(visit, entered=entered, error=refused)
    return visit.to(f"/vendors/{made.vendor_id}", note="created")


def show(visit: Visit) -> Response:
    """Show one vendor."""
    return _one(visit)


def delegate(visit: Visit) -> Response:
    """Let the vendor act for a tenant."""
    tenant, service = visit.form.text("tenant", longest=64), visit.form.text("service", longest=300)
    return _done(
        visit,
        lambda here: visit.hub.vendor_service.delegate(
            here, visit.person, tenant_id=tenant, service=service, now=visit.now
        ),
    )


def withdraw(visit: Visit) -> Response:
    """Withdraw a delegation."""
    delegation = visit.form.text("delegation", longest=64)
    return _done(visit, lambda here: visit.hub.vendor_service.withdraw(here, delegation, visit.person, now=visit.now))


def put_client(visit: Visit) -> Response:
    """Say that a client is the vendor's software, or no more."""
    client, product = visit.form.text("client", longest=100), visit.form.text("product", longest=200)
    service = visit.hub.vendor_service
    if visit.form.text("step") == "drop":
        return _done(visit, lambda here: service.end_software(here, client, visit.person, now=visit.now))
    return _done(visit, lambda here: service.set_software(here, client, visit.person, product=product, now=visit.now))


def propose_key(visit: Visit) -> Response:
    """Propose a key."""
    return _done(
        visit,
        lambda here: visit.hub.vendor_service.propose_key(
            here, read_key(visit, "key", operation="verify"), visit.person, now=visit.now
        ),
    )


def decide_key(visit: Visit) -> Response:
    """Approve, refuse or retire a key."""
    require_a_say(visit.person)
    kid, step, service = visit.form.text("kid", longest=200), visit.form.text("step"), visit.hub.vendor_service
    decide = {"approve": service.approve_key, "retire": service.retire_key}.get(step, service.refuse_key)
    return _done(visit, lambda here: decide(here, kid, visit.person, now=visit.now))


def _done(visit: Visit, change: Callable[[str], object]) -> Response:
    here = visit.parts["id"]
    try:
        change(here)
    except NotFound:
        raise
    except Refused as refused:
        return _one(visit, error=refused)
    return visit.to(f"/vendors/{here}", note="saved")


def _tenants(visit: Visit) -> list[tuple[str, str]]:
    return [(each.tenant_id, each.name) for each in visit.scope.tenants() if not each.is_dissolved]


def _all(visit: Visit, *, entered: dict[str, str] | None = None, error: HubError | None = None) -> Response:
    text = visit.query.text("q", longest=100)
    page = visit.hub.vendor_service.list(visit.person, text=text, offset=visit.offset(), limit=ROWS)
    return visit.page(
        "vendors.html",
        status=200 if error is None else 422,
        vendors=page.items,
        total=page.total,
        rows=ROWS,
        searched=bool(text),
        tenants=_tenants(visit),
        names=dict(_tenants(visit)),
        root_tenant=ROOT,
        entered=entered or dict.fromkeys(_FIELDS, ""),
        error=error,
    )


def _one(visit: Visit, *, error: HubError | None = None) -> Response:
    standing = visit.hub.vendor_service.show(visit.parts["id"], visit.person)
    taken = {software.client_id for software, _ in standing.software}
    return visit.page(
        "vendor.html",
        status=200 if error is None else 403 if isinstance(error, Forbidden) else 422,
        standing=standing,
        vendor=standing.vendor,
        tenants=_tenants(visit),
        clients=[(each.client_id, each.name) for each in visit.scope.clients() if each.client_id not in taken],
        services=[(key, visit.hub.book.services.name(key)) for key in visit.hub.book.services],
        may=visit.person.may(Right.OPERATE),
        root_tenant=ROOT,
        error=error,
    )
