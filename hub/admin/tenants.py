"""Tenants: the tree, who may what where and why, and changes of it, each with what it would touch."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from hub.admin.request import ROWS, Visit
from hub.administration.tenants import TenantImpact
from hub.errors import HubError, Invalid, NotFound, Refused, Text
from hub.identity import Right, require_a_say
from hub.model import BELOW, ROOT, Role, Tenant, TenantKind

_FIELDS = ("name", "kind", "parent", "areas")


def index(visit: Visit) -> Response:
    """Show the tree, or what the search leaves of it."""
    return _tree(visit)


def create(visit: Visit) -> Response:
    """Create a tenant; what cannot be created comes back with what was entered."""
    entered = {name: visit.form.text(name, longest=400) for name in _FIELDS}
    try:
        made = visit.hub.tenant_service.create(
            visit.person,
            kind=entered["kind"],
            name=entered["name"],
            parent=entered["parent"],
            areas=entered["areas"].split(),
            now=visit.now,
        )
    except Refused as refused:
        return _tree(visit, entered=entered, error=refused)
    return visit.to(f"/tenants/{made.tenant_id}", note="created")


def show(visit: Visit) -> Response:
    """Show one tenant."""
    return _one(visit)


def move(visit: Visit) -> Response:
    """Show what a move would touch, and do it once that was seen."""
    target, areas = visit.form.text("target", longest=64), visit.form.text("areas", longest=400).split()
    service, here = visit.hub.tenant_service, visit.parts["id"]
    try:
        if visit.form.text("sure") != "yes":
            impact = service.preview(here, visit.person, target=target, now=visit.now)
            return _one(visit, impact=impact, step="move", areas=areas)
        service.move(
            here,
            visit.person,
            parent=target,
            areas=areas or None,
            expected=visit.form.text("revision", longest=30),
            now=visit.now,
        )
    except NotFound:
        raise
    except Refused as refused:
        return _one(visit, error=refused)
    return visit.to(f"/tenants/{here}", note="saved")


def rename(visit: Visit) -> Response:
    """Give a tenant another name."""
    here, name = visit.parts["id"], visit.form.text("name", longest=400)
    try:
        visit.hub.tenant_service.rename(
            here, visit.person, name=name, expected=visit.form.text("revision", longest=30), now=visit.now
        )
    except NotFound:
        raise
    except Refused as refused:
        return _one(visit, error=refused)
    return visit.to(f"/tenants/{here}", note="saved")


def dissolve(visit: Visit) -> Response:
    """Show what a dissolution would touch, and do it once that was seen."""
    target, keep = visit.form.text("target", longest=64), visit.form.text("keep") == "yes"
    service, here = visit.hub.tenant_service, visit.parts["id"]
    try:
        if visit.form.text("sure") != "yes":
            impact = service.preview(here, visit.person, target=target, dissolve=True, keep_rights=keep, now=visit.now)
            return _one(visit, impact=impact, step="dissolve", keep=keep)
        service.dissolve(
            here,
            visit.person,
            successor=target,
            keep_rights=keep,
            expected=visit.form.text("revision", longest=30),
            now=visit.now,
        )
    except NotFound:
        raise
    except Refused as refused:
        return _one(visit, error=refused)
    return visit.to(f"/tenants/{target}", note="saved")


def grant(visit: Visit) -> Response:
    """Give an account a role here."""
    require_a_say(visit.person)
    account, role = visit.form.text("account", longest=64), visit.form.text("role", longest=20)
    try:
        visit.hub.tenant_service.grant(
            visit.person, account=account, role=role, tenant_id=visit.parts["id"], now=visit.now
        )
    except Refused as refused:
        return _one(visit, error=refused)
    return visit.to(f"/tenants/{visit.parts['id']}", note="saved")


def revoke(visit: Visit) -> Response:
    """Take a granted role away."""
    require_a_say(visit.person)
    account, role = visit.form.text("account", longest=64), visit.form.text("role", longest=20)
    visit.hub.tenant_service.revoke(
        visit.person, account=account, role=role, tenant_id=visit.parts["id"], now=visit.now
    )
    return visit.to(f"/tenants/{visit.parts['id']}", note="saved")


def _tree(visit: Visit, *, entered: dict[str, str] | None = None, error: HubError | None = None) -> Response:
    text = visit.query.text("q", longest=100)
    everybody = visit.scope.tenants()
    rows = [(each, 0) for each in visit.hub.tenant_service.list(visit.person, text=text, limit=500).items]
    rows = rows if text else _indented(everybody)
    start = visit.offset()
    return visit.page(
        "tenants.html",
        status=200 if error is None else 422,
        rows_shown=rows[start : start + ROWS],
        total=len(rows),
        rows=ROWS,
        searched=bool(text),
        parents=[(each.tenant_id, each.name) for each in everybody if not each.is_dissolved],
        kinds=_kinds(),
        entered=entered or {**dict.fromkeys(_FIELDS, ""), "parent": ROOT},
        error=error,
        kind_words=_KINDS,
    )


def _one(
    visit: Visit,
    *,
    impact: TenantImpact | None = None,
    step: str = "",
    areas: Sequence[str] = (),
    keep: bool = False,
    error: HubError | None = None,
) -> Response:
    standing = visit.hub.tenant_service.show(visit.parts["id"], visit.person)
    tenant = standing.tenant
    targets = [
        (each.tenant_id, each.name)
        for each in visit.scope.tenants()
        if not each.is_dissolved and each.tenant_id != tenant.tenant_id
    ]
    names = {str(each.destination_id): each.name for each in visit.scope.destinations()}
    return visit.page(
        "tenant.html",
        status=200 if error is None else 422,
        standing=standing,
        tenant=tenant,
        targets=[each for each in targets if tenant.kind in BELOW[_kind_of(visit, each[0])]],
        successors=targets,
        names=names,
        roles=[(each.value, visit.say(_ROLES[each])) for each in Role],
        role_words=_ROLES,
        kind_words=_KINDS,
        may=visit.person.may(Right.OPERATE),
        impact=impact,
        step=step,
        areas=areas,
        keep=keep,
        error=error,
    )


def _kind_of(visit: Visit, tenant_id: str) -> TenantKind:
    found = visit.hub.store.tenants.tenant(tenant_id, scope=visit.person.scope)
    if found is None:
        raise Invalid(Text("Diesen Mandanten gibt es nicht mehr.", "This tenant is there no more."))
    return found.kind


def _kinds() -> list[TenantKind]:
    return [each for each in TenantKind if each is not TenantKind.STATE]


def _indented(tree: Sequence[Tenant]) -> list[tuple[Tenant, int]]:
    """Return all tenants in the order of the tree, each with how deep it stands."""
    known = {each.tenant_id for each in tree}
    below: dict[str | None, list[Tenant]] = {}
    for each in tree:
        below.setdefault(each.parent if each.parent in known else None, []).append(each)
    found: list[tuple[Tenant, int]] = []
    stack = [(each, 0) for each in reversed(below.get(None, []))]
    while stack:
        here, depth = stack.pop()
        found.append((here, depth))
        stack += [(each, depth + 1) for each in reversed(below.get(here.tenant_id, []))]
    return found


_KINDS = {
    TenantKind.STATE: Text("Land", "State"),
    TenantKind.DISTRICT: Text("Landkreis", "District"),
    TenantKind.MUNICIPALITY: Text("Gemeinde, Stadt", "Municipality"),
    TenantKind.OFFICE: Text("Amt", "Office"),
}
_ROLES = {
    Role.VIEWER: Text("Einsicht", "Viewer"),
    Role.EDITOR: Text("Redaktion", "Editor"),
    Role.APPROVER: Text("Freigabe", "Approver"),
    Role.OPERATOR: Text("Betrieb", "Operator"),
}
