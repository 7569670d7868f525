"""``hub tenants``: the tree of tenants, who may what at each, and what a change would touch."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.cli.options import Login, acting, data_option, may_name_person, opened
from hub.model import ROOT, Role, Tenant, TenantKind

if TYPE_CHECKING:
    from hub.administration.tenants import Holder, TenantImpact

_tenant = click.argument("tenant_id", metavar="TENANT")
_role = click.argument("role", type=click.Choice([each.value for each in Role]))
_revision = click.option("--revision", default=None, help="Only where it is still in this state (as 'show' says).")


@click.group()
def tenants() -> None:
    """Mandanten und ihre Rechte / tenants and their rights."""


@tenants.command("list")
@click.option("--search", default="", help="A part of the name, or how the ARS begins.")
@may_name_person
@data_option
def list_tenants(search: str, login: Login, data: Path) -> None:
    """List tenants: id, kind, areas, name; what stands below another one is indented."""
    with opened(data) as hub:
        person = acting(hub, login)
        tree = hub.store.tenants.tree(scope=person.scope)
        found = {each.tenant_id for each in hub.tenant_service.list(person, text=search, limit=500).items}
    by_parent: dict[str | None, list[Tenant]] = {}
    known = {each.tenant_id for each in tree}
    for each in tree:
        by_parent.setdefault(each.parent if each.parent in known else None, []).append(each)
    stack = [(each, 0) for each in reversed(by_parent.get(None, []))]
    while stack:
        each, depth = stack.pop()
        if not search or each.tenant_id in found:
            gone = "  aufgelöst / dissolved" if each.is_dissolved else ""
            areas = ",".join(each.areas) or "-"
            click.echo(f"{each.tenant_id:<36}  {each.kind.value:<12}  {areas:<12}  {'  ' * depth}{each.name}{gone}")
        stack += [(below, depth + 1) for below in reversed(by_parent.get(each.tenant_id, []))]


@tenants.command("show")
@_tenant
@may_name_person
@data_option
def show_tenant(tenant_id: str, login: Login, data: Path) -> None:
    """Show a tenant: what belongs to it, and who may what there, and why."""
    with opened(data) as hub:
        standing = hub.tenant_service.show(tenant_id, acting(hub, login))
    tenant, held = standing.tenant, standing.held
    click.echo(f"{tenant.name} ({tenant.kind.value}), {', '.join(tenant.areas) or '-'}, revision {tenant.revision}")
    click.echo(f"unter / below: {' < '.join(each.name for each in standing.above) or '-'}")
    click.echo(
        f"Zustellpunkte / destinations: {len(held.destinations)}, Clients: {len(held.clients)}, "
        f"offene Zustellungen / open deliveries: {held.open_deliveries}"
    )
    for each in standing.holders:
        click.echo(_holder(each))


@tenants.command("create")
@click.argument("name")
@click.option("--kind", type=click.Choice([each.value for each in TenantKind][1:]), required=True, help="What it is.")
@click.option("--below", "parent", default=ROOT, show_default=True, help="The tenant that it stands below.")
@click.option("--area", "areas", multiple=True, metavar="ARS", help="An area that it stands for; may be repeated.")
@may_name_person
@data_option
def create_tenant(name: str, kind: str, parent: str, areas: tuple[str, ...], login: Login, data: Path) -> None:
    """Create a tenant; what names its areas already is its own from then on."""
    with opened(data) as hub:
        made = hub.tenant_service.create(
            acting(hub, login), kind=kind, name=name, parent=parent, areas=areas, now=hub.clock()
        )
    click.echo(made.tenant_id)


@tenants.command("rename")
@_tenant
@click.argument("name")
@_revision
@may_name_person
@data_option
def rename_tenant(tenant_id: str, name: str, revision: str | None, login: Login, data: Path) -> None:
    """Give a tenant another name; all that it has and may stays."""
    with opened(data) as hub:
        person = acting(hub, login)
        changed = hub.tenant_service.rename(tenant_id, person, name=name, expected=revision, now=hub.clock())
    click.echo(f"{changed.tenant_id}  {changed.name}")


@tenants.command("move")
@_tenant
@click.option("--below", "parent", required=True, help="The tenant that it is to stand below.")
@click.option("--area", "areas", multiple=True, metavar="ARS", help="New areas in the place of the old ones.")
@click.option("--yes", is_flag=True, help="Do it; without, only say what it would touch.")
@_revision
@may_name_person
@data_option
def move_tenant(
    tenant_id: str, parent: str, areas: tuple[str, ...], yes: bool, revision: str | None, login: Login, data: Path
) -> None:
    """Put a tenant, with all below it, below another one. Says first what that touches."""
    with opened(data) as hub:
        person, service, now = acting(hub, login), hub.tenant_service, hub.clock()
        _tell(service.preview(tenant_id, person, target=parent, now=now))
        if yes:
            service.move(tenant_id, person, parent=parent, areas=areas or None, expected=revision, now=now)
    click.echo(
        "verschoben / moved" if yes else "Nichts geändert; mit --yes geschieht es. / Nothing changed; --yes does it."
    )


@tenants.command("dissolve")
@_tenant
@click.option("--into", "successor", required=True, help="The tenant that gets all that it has.")
@click.option("--keep-rights", is_flag=True, help="Let its roles count at the other one; else they end.")
@click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), default=None, help="The first day without it.  [default: today]"
)
@click.option("--yes", is_flag=True, help="Do it; without, only say what it would touch.")
@_revision
@may_name_person
@data_option
def dissolve_tenant(
    tenant_id: str,
    successor: str,
    keep_rights: bool,
    until: datetime | None,
    yes: bool,
    revision: str | None,
    login: Login,
    data: Path,
) -> None:
    """Dissolve a tenant into another one. Says first what that touches."""
    with opened(data) as hub:
        person, service, now = acting(hub, login), hub.tenant_service, hub.clock()
        _tell(service.preview(tenant_id, person, target=successor, dissolve=True, keep_rights=keep_rights, now=now))
        if yes:
            service.dissolve(
                tenant_id,
                person,
                successor=successor,
                keep_rights=keep_rights,
                until=None if until is None else until.date(),
                expected=revision,
                now=now,
            )
    click.echo(
        "aufgelöst / dissolved" if yes else "Nichts geändert; mit --yes geschieht es. / Nothing changed; --yes does it."
    )


@tenants.command("grant")
@click.argument("account")
@_role
@_tenant
@may_name_person
@data_option
def grant_role(account: str, role: str, tenant_id: str, login: Login, data: Path) -> None:
    """Give an account a role at a tenant and all below it."""
    with opened(data) as hub:
        hub.tenant_service.grant(acting(hub, login), account=account, role=role, tenant_id=tenant_id, now=hub.clock())
    click.echo("erteilt / granted")


@tenants.command("revoke")
@click.argument("account")
@_role
@_tenant
@may_name_person
@data_option
def revoke_role(account: str, role: str, tenant_id: str, login: Login, data: Path) -> None:
    """Take a granted role away; the account is logged out."""
    with opened(data) as hub:
        hub.tenant_service.revoke(acting(hub, login), account=account, role=role, tenant_id=tenant_id, now=hub.clock())
    click.echo("entzogen / revoked")


@tenants.command("import")
@click.argument("land", default="06")
@may_name_person
@data_option
def import_land(land: str, login: Login, data: Path) -> None:
    """Make the tree of a land (two digits) from the list of areas; what is there stays."""
    with opened(data) as hub:
        made = hub.tenant_service.import_land(acting(hub, login), land, now=hub.clock())
    click.echo(f"{len(made)} Mandanten angelegt / tenants made")


def _holder(each: Holder) -> str:
    why = f"erteilt von / granted by {each.granted_by}" if each.granted_by else "Rolle des Kontos / the account's role"
    return f"{each.account:<20}  {each.role.value:<9}  {each.at.name}: {why}"


def _tell(impact: TenantImpact) -> None:
    held = impact.held
    click.echo(
        f"{impact.tenant.name} -> {impact.target.name}: {impact.tenants} Mandanten / tenants, {len(held.destinations)} "
        f"Zustellpunkte / destinations, {len(held.clients)} Clients, {len(held.accounts)} Konten / accounts, "
        f"{len(impact.rules)} Regeln / rules, {held.open_deliveries} offene Zustellungen / open deliveries"
    )
    click.echo(f"sieht es nicht mehr / cease to see it: {', '.join(each.name for each in impact.losing) or '-'}")
    click.echo(f"sieht es dann / begin to see it: {', '.join(each.name for each in impact.gaining) or '-'}")
    for each in impact.ending:
        click.echo(f"endet / ends: {_holder(each)}")


COMMANDS = (tenants,)
