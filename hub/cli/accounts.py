"""``hub accounts``, ``hub clients``: people and programs that may call the hub.

``hub accounts``: the people who administer the hub.

Whoever may write the data folder may make accounts; the audit log then names the user of the machine.

``hub clients``: who may call the hub.

A person may be named (``--as``), and then has the rights and the scope of the account; else the machine's user acts.
"""

from __future__ import annotations

import getpass
from pathlib import Path

import click

from hub.administration.clients import ClientService
from hub.app import Context
from hub.cli.options import (
    Login,
    accounts_of,
    acting,
    data_option,
    may_name_person,
    opened,
    operating_user,
    password_in,
)
from hub.errors import ConfigurationError, Text
from hub.identity.invitations import InvitationWish
from hub.identity.openid.login import link
from hub.model import EVERYTHING, ClientKind, Role
from hub.store import all_items

_PAGE = 500


@click.group()
def accounts() -> None:
    """Konten für die Verwaltungsseiten / accounts for the admin pages."""


@accounts.command()
@click.argument("name")
@click.option("--role", "roles", type=click.Choice([role.value for role in Role]), multiple=True, required=True)
@click.option("--full-name", default="", help="Name as people read it.")
@click.option("--tenant", default="", help="ARS prefix that bounds what the person sees; empty: everything.")
@click.option("--password-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_option
def add(name: str, roles: tuple[str, ...], full_name: str, tenant: str, password_file: Path | None, data: Path) -> None:
    """Add an account; the password is asked for, or read from a file."""
    password = _new_password(password_file)
    with opened(data) as hub:
        accounts_of(hub).add(
            name,
            password,
            full_name=full_name,
            roles=tuple(Role(role) for role in roles),
            tenant=tenant,
            actor=_actor(),
            now=hub.clock(),
        )
    click.echo(f"Konto angelegt / account added: {name.lower()}")


@accounts.command("list")
@data_option
def list_(data: Path) -> None:
    """List all accounts."""
    with opened(data) as hub:
        for each in all_items(lambda start: accounts_of(hub).list(scope=EVERYTHING, offset=start, limit=_PAGE)):
            state = "gesperrt / disabled" if each.disabled_at else "aktiv / active"
            key = "key" if accounts_of(hub).factors.has_one(each) else "-"
            factor = "OIDC" if not each.is_local else "TOTP" if each.totp else key
            roles = ",".join(each.roles)
            click.echo(f"{each.name:<20}  {state:<19}  {factor:<4}  {each.tenant or '*':<12}  {roles}")


@accounts.command()
@click.argument("name")
@data_option
def disable(name: str, data: Path) -> None:
    """Lock an account for good; its sessions end at once."""
    with opened(data) as hub:
        accounts_of(hub).disable(name, actor=_actor(), now=hub.clock())
    click.echo(f"Konto gesperrt / account disabled: {name.lower()}")


@accounts.command()
@click.argument("name")
@click.option("--password-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_option
def password(name: str, password_file: Path | None, data: Path) -> None:
    """Give an account a new password; its sessions end at once."""
    chosen = _new_password(password_file)
    with opened(data) as hub:
        accounts_of(hub).set_password(name, chosen, actor=_actor(), now=hub.clock())
    click.echo(f"Neues Passwort / new password: {name.lower()}")


@accounts.command()
@click.argument("name")
@click.option("--off", is_flag=True, help="Take the second factor away.")
@data_option
def totp(name: str, off: bool, data: Path) -> None:
    """Give an account a new second factor (RFC 6238) and print the address for the authenticator, once."""
    with opened(data) as hub:
        address = accounts_of(hub).set_totp(name, actor=_actor(), now=hub.clock(), on=not off)
    click.echo(address or f"Ohne zweiten Faktor / without second factor: {name.lower()}")


@accounts.command()
@click.argument("name")
@click.option("--role", "roles", type=click.Choice([role.value for role in Role]), multiple=True, required=True)
@click.option("--full-name", default="", help="Name as people read it.")
@click.option("--email", default="", help="Where the link goes by mail; without it the link is printed.")
@click.option("--tenant", default="", help="ARS prefix that bounds what the person sees; empty: everything.")
@may_name_person
@data_option
def invite(
    name: str, roles: tuple[str, ...], full_name: str, email: str, tenant: str, login: Login, data: Path
) -> None:
    """Invite somebody by a link that is good once: they choose password and second factor themselves."""
    with opened(data) as hub:
        wish = InvitationWish(
            name=name, full_name=full_name, email=email, roles=tuple(Role(role) for role in roles), tenant=tenant
        )
        sent = hub.account_service.invite(wish, acting(hub, login), now=hub.clock())
    click.echo(sent.link or f"Per Mail verschickt / sent by mail: {email}")
    click.echo(f"Gilt einmal, bis / good once, until {sent.invitation.expires_at:%Y-%m-%d %H:%M} UTC", err=True)


@accounts.command()
@data_option
def invitations(data: Path) -> None:
    """List the open invitations."""
    with opened(data) as hub:
        user = operating_user()
        for each in all_items(lambda start: hub.account_service.invitations(user, offset=start, limit=_PAGE)):
            until, roles = f"{each.expires_at:%Y-%m-%d %H:%M}", ",".join(each.roles)
            click.echo(f"{each.name:<20}  {until}  {each.tenant or '*':<12}  {roles}  {each.invited_by}")


@accounts.command()
@click.argument("name")
@may_name_person
@data_option
def withdraw(name: str, login: Login, data: Path) -> None:
    """Take the invitation of a name back."""
    with opened(data) as hub:
        hub.account_service.withdraw(name, acting(hub, login), now=hub.clock())
    click.echo(f"Einladung zurückgenommen / invitation taken back: {name}")


@accounts.command()
@click.argument("name")
@may_name_person
@data_option
def lock(name: str, login: Login, data: Path) -> None:
    """Lock an account; its sessions end at once."""
    with opened(data) as hub:
        hub.account_service.lock(name, acting(hub, login), now=hub.clock())
    click.echo(f"Konto gesperrt / account locked: {name.lower()}")


@accounts.command()
@click.argument("name")
@may_name_person
@data_option
def unlock(name: str, login: Login, data: Path) -> None:
    """Let a locked account in again, with its password and second factor."""
    with opened(data) as hub:
        hub.account_service.unlock(name, acting(hub, login), now=hub.clock())
    click.echo(f"Konto entsperrt / account unlocked: {name.lower()}")


@accounts.command("factor-reset")
@click.argument("name")
@may_name_person
@data_option
def reset_factors(name: str, login: Login, data: Path) -> None:
    """Take all second factors of an account away, for whoever lost them; its sessions end at once."""
    with opened(data) as hub:
        hub.account_service.reset_factors(name, acting(hub, login), now=hub.clock())
    click.echo(f"Zweite Faktoren entfernt / second factors removed: {name.lower()}")


@accounts.command()
@click.argument("name")
@may_name_person
@data_option
def vouch(name: str, login: Login, data: Path) -> None:
    """Say that an account is a human of its own: it counts for four eyes beside whoever invited it or reset its factor."""
    with opened(data) as hub:
        hub.account_service.vouch(name, acting(hub, login), now=hub.clock())
    click.echo(f"Als eigene Person bestätigt / vouched for: {name.lower()}")


@accounts.command()
@click.argument("name")
@click.option("--end", default="", metavar="ID", help="End this one; 'all' ends all of them.")
@may_name_person
@data_option
def sessions(name: str, end: str, login: Login, data: Path) -> None:
    """List the open sessions and tokens of an account, or end some."""
    with opened(data) as hub:
        desk, person, now = hub.account_service, acting(hub, login), hub.clock()
        if end == "all":
            desk.end_sessions(name, person, now=now)
        elif end:
            desk.end_session(name, end, person, now=now)
        for each in desk.sessions(name, person, now=now):
            kind = "token" if each.is_token else "page"
            times = f"{each.begun_at:%Y-%m-%d %H:%M}  {each.seen_at:%Y-%m-%d %H:%M}"
            click.echo(f"{each.session_id}  {kind:<5}  {times}  {each.address:<15}  {each.device}")


@accounts.command("link")
@click.argument("name")
@click.option("--subject", required=True, help="The person's 'sub' at the configured OpenID Connect provider.")
@data_option
def link_(name: str, subject: str, data: Path) -> None:
    """Hand a local account over to the provider: name and history stay, password and second factor go."""
    with opened(data) as hub:
        if hub.openid is None:
            raise ConfigurationError(Text("openid_issuer ist nicht gesetzt.", "openid_issuer is not set."))
        link(hub.store, name, issuer=hub.openid.issuer, subject=subject, actor=_actor(), now=hub.clock())
    click.echo(f"Konto verbunden / account linked: {name.lower()}")


def _new_password(source: Path | None) -> str:
    if source is not None:
        return password_in(source)
    chosen: str = click.prompt("Passwort / password", hide_input=True, confirmation_prompt=True, err=True)
    return chosen


def _actor() -> str:
    return f"cli:{getpass.getuser()}"


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
def add_client(name: str, kind: str, manage: bool, tenant: str, login: Login, data: Path) -> None:
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
def list_clients(data: Path) -> None:
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
def disable_client(client_id: str, login: Login, data: Path) -> None:
    """Lock a client out; its tokens stop working within a second."""
    with opened(data) as hub:
        _registry(hub).disable(client_id, acting(hub, login), now=hub.clock())


def _registry(hub: Context) -> ClientService:
    return ClientService(hub.store, machines=True)


COMMANDS = (accounts, clients)
