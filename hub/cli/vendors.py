"""``hub vendors``: who makes software, which clients are theirs, and for whom they act."""

from __future__ import annotations

from pathlib import Path

import click

from hub.cli.options import Login, acting, data_option, may_name_person, opened
from hub.crypto import read_deposit
from hub.store import all_items

_vendor = click.argument("vendor_id", metavar="VENDOR")


@click.group()
def vendors() -> None:
    """Softwarehersteller und Vollmachten / software vendors and delegations."""


@vendors.command("list")
@click.option("--search", default="", help="A part of the name.")
@may_name_person
@data_option
def list_vendors(search: str, login: Login, data: Path) -> None:
    """List the vendors that may be delegated to: id, name, contact."""
    with opened(data) as hub:
        person, service = acting(hub, login), hub.vendor_service
        for each in all_items(lambda start: service.list(person, text=search, offset=start, limit=500)):
            click.echo(f"{each.vendor_id}  {each.name}  {each.contact or '-'}")


@vendors.command("show")
@_vendor
@may_name_person
@data_option
def show_vendor(vendor_id: str, login: Login, data: Path) -> None:
    """Show a vendor: for whom it acts, which clients are its software, and its keys."""
    with opened(data) as hub:
        standing = hub.vendor_service.show(vendor_id, acting(hub, login))
    click.echo(f"{standing.vendor.name}  {standing.vendor.contact or '-'}")
    for given in standing.delegations:
        name = standing.tenants.get(given.tenant_id, given.tenant_id)
        gone = f"entzogen / withdrawn {given.withdrawn_at:%Y-%m-%d}" if given.withdrawn_at else "gilt / holds"
        click.echo(f"  {given.delegation_id}  {name}  {given.service or '*'}  {given.granted_by}  {gone}")
    for software, name in standing.software:
        click.echo(f"  {software.client_id}  {software.product}/{software.version}  {name}")
    for key in standing.keys:
        click.echo(f"  {key.kid}  {'retired' if key.retired_at else key.state.value}  {key.proposed_by}")


@vendors.command("create")
@click.argument("name")
@click.option("--contact", default="", help="How it is reached: an office, not a person.")
@click.option("--tenant", default=None, help="Where it is admitted; else where who acts is at home.")
@may_name_person
@data_option
def create_vendor(name: str, contact: str, tenant: str | None, login: Login, data: Path) -> None:
    """Admit a vendor and print its id."""
    with opened(data) as hub:
        made = hub.vendor_service.create(
            acting(hub, login), name=name, contact=contact, tenant_id=tenant, now=hub.clock()
        )
    click.echo(made.vendor_id)


@vendors.command("delegate")
@_vendor
@click.argument("tenant_id", metavar="TENANT")
@click.option("--service", default="", metavar="URN", help="This service only; else all.")
@may_name_person
@data_option
def delegate(vendor_id: str, tenant_id: str, service: str, login: Login, data: Path) -> None:
    """Let a vendor act for a tenant and all below it, and print the delegation's id."""
    with opened(data) as hub:
        given = hub.vendor_service.delegate(
            vendor_id, acting(hub, login), tenant_id=tenant_id, service=service, now=hub.clock()
        )
    click.echo(given.delegation_id)


@vendors.command("withdraw")
@_vendor
@click.argument("delegation_id", metavar="DELEGATION")
@may_name_person
@data_option
def withdraw(vendor_id: str, delegation_id: str, login: Login, data: Path) -> None:
    """Withdraw a delegation: the vendor's next call is refused, what was accepted stays."""
    with opened(data) as hub:
        hub.vendor_service.withdraw(vendor_id, delegation_id, acting(hub, login), now=hub.clock())
    click.echo("entzogen / withdrawn")


@vendors.command("client")
@_vendor
@click.argument("client_id", metavar="CLIENT")
@click.option("--product", default="", metavar="NAME/VERSION", help="As in Antragsnetz/4.2.1.")
@click.option("--none", "none", is_flag=True, help="The client is the vendor's no more.")
@may_name_person
@data_option
def put_client(vendor_id: str, client_id: str, product: str, none: bool, login: Login, data: Path) -> None:
    """Say that a client is a vendor's software, of which product and version."""
    with opened(data) as hub:
        service, person, now = hub.vendor_service, acting(hub, login), hub.clock()
        if none:
            service.end_software(vendor_id, client_id, person, now=now)
        else:
            service.set_software(vendor_id, client_id, person, product=product, now=now)
    click.echo("geändert / changed")


@vendors.command("key")
@_vendor
@click.argument("action", type=click.Choice(["propose", "approve", "refuse", "retire"]))
@click.argument("key", metavar="FILE|KID")
@may_name_person
@data_option
def key_step(vendor_id: str, action: str, key: str, login: Login, data: Path) -> None:
    """Propose a public key (a file: JWK or certificate), or approve, refuse or retire one (its kid)."""
    with opened(data) as hub:
        service, person, now = hub.vendor_service, acting(hub, login), hub.clock()
        if action == "propose":
            content = read_deposit(Path(key).read_bytes(), operation="verify")
            made = service.propose_key(vendor_id, content, person, now=now)
        else:
            steps = {"approve": service.approve_key, "refuse": service.refuse_key, "retire": service.retire_key}
            made = steps[action](vendor_id, key, person, now=now)
    click.echo(f"{made.kid}  {'retired' if made.retired_at else made.state.value}")


COMMANDS = (vendors,)
