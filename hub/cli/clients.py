"""``hub clients``: who may call the hub.

A person may be named (``--as``), and then has the rights and the scope of the account; else the machine's user acts.
"""

from __future__ import annotations

from pathlib import Path

import click

from hub.administration.clients import Registry
from hub.app import Hub
from hub.cli.options import data_option, opened
from hub.cli.persons import Login, acting, may_name_person, operating_user
from hub.model.parties import ClientKind
from hub.store import all_items


@click.group()
def clients() -> None:
    """OAuth-Clients / OAuth clients."""


@clients.command("add")
@click.argument("name")
@click.option("--kind", type=click.Choice([kind.value for kind in ClientKind]), required=True)
@click.option("--manage", is_flag=True, help="May create and change its own destinations.")
@click.option("--tenant", default="", help="ARS prefix whose administrators may see it.")
@may_name_person
@data_option
def add(name: str, kind: str, manage: bool, tenant: str, login: Login, data: Path) -> None:
    """Add a client and print its secret, once.

    KIND machine is the automation of administrators: it drafts and checks routing tables over the API and approves nothing.
    """
    with opened(data) as hub:
        client, secret = _registry(hub).create(
            acting(hub, login), kind=kind, name=name, tenant=tenant, manage=manage, now=hub.clock()
        )
    click.echo(f"client_id      {client.client_id}")
    click.echo(f"client_secret  {secret}")
    click.echo(
        "Das Secret wird nicht gespeichert und nicht wieder gezeigt. / The secret is not kept nor shown again.",
        err=True,
    )


@clients.command("list")
@data_option
def list_(data: Path) -> None:
    """List all clients."""
    with opened(data) as hub:
        for client in all_items(lambda start: _registry(hub).list(operating_user(), offset=start, limit=500)):
            state = "gesperrt / disabled" if client.disabled_at else "aktiv / active"
            click.echo(f"{client.client_id}  {client.kind.value:<10}  {state:<20}  {client.name}")


@clients.command()
@click.argument("client_id")
@may_name_person
@data_option
def rotate(client_id: str, login: Login, data: Path) -> None:
    """Give a client a new secret; the old one stops working at once."""
    with opened(data) as hub:
        _, secret = _registry(hub).rotate(client_id, acting(hub, login), now=hub.clock())
    click.echo(f"client_secret  {secret}")


@clients.command("disable")
@click.argument("client_id")
@may_name_person
@data_option
def disable(client_id: str, login: Login, data: Path) -> None:
    """Lock a client out; its tokens stop working within a second."""
    with opened(data) as hub:
        _registry(hub).disable(client_id, acting(hub, login), now=hub.clock())


def _registry(hub: Hub) -> Registry:
    return Registry(hub.store, machines=True)


COMMANDS = (clients,)
