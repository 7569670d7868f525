"""``hub destinations``, ``hub circuits``, ``hub adapters``, ``hub keys``: receivers, and the ways to them.

``hub destinations``: who receives, with which keys, by which adapter.

A person may be named (``--as``), and then has the rights and the scope of the account; else the machine's user acts, and the
audit log says so. Where two persons count, both are named.

``hub circuits``: which receivers are being spared, and trying one again at once.

``hub adapters``: which ways into receiving systems are installed, and whether one is any good.

``hub keys``: the hub's own keys, and key pairs for authorities.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from hub import app
from hub.adapter_kit.cases import Workshop
from hub.adapter_kit.check import check as check_all
from hub.adapter_kit.check import find_trial
from hub.administration.destinations import DestinationService, Draft, KeyChange, KeyStep, unseen_from
from hub.administration.offers import NamedSchema, Offers, dropped
from hub.app import Context, unconfined
from hub.cli.options import (
    KeyCommand,
    Login,
    acting,
    data_option,
    logged_in,
    may_name_person,
    opened,
    operating_user,
    password_in,
    person_options,
    settings_for,
)
from hub.crypto import make_rsa_pair
from hub.crypto.certificates import as_jwk, read_file
from hub.crypto.key_file import chain_in, read_private
from hub.errors import ConfigurationError, NotFound, Text
from hub.files import vault
from hub.identity import existing_destination
from hub.model import EVERYTHING, Adapter, Destination, OfferedService, is_uri, utc_now
from hub.store import AuditEntry, Circuit, DeliveryState, all_items

_PAGE = 500
#: Notices that are shown, the newest.
_NOTICES = 5
_NOTED = "vorgemerkt, eine zweite Person muss bestätigen / noted, a second person has to confirm"
_VERSIONS = ("1.0.0", "1.3.0", "2.0.0", "2.1.0")
_SCHEMA_HELP = (
    "URI of a schema or of a standard's version, =MEDIA-TYPE behind it if you like; repeatable. "
    "Without: what the catalogue holds for the service."
)


@click.group()
def destinations() -> None:
    """Zustellpunkte / destinations."""


@destinations.command("list")
@click.option("--tenant", default=None, help="Only those below this ARS prefix.")
@data_option
def list_(tenant: str | None, data: Path) -> None:
    """List all destinations."""
    with opened(data) as hub:
        for each in all_items(
            lambda start: hub.store.parties.destinations(scope=EVERYTHING, tenant=tenant, offset=start, limit=_PAGE)
        ):
            click.echo(f"{each.destination_id}  {each.status:<14}  {each.adapter:<10}  {each.name}")


@destinations.command()
@click.argument("destination_id", type=click.UUID)
@data_option
def show(destination_id: UUID, data: Path) -> None:
    """Show one destination, its services and its keys."""
    with opened(data) as hub:
        standing = _destination_service(hub).show(destination_id, operating_user())
        destination = standing.destination
        for name, value in _facts(destination):
            click.echo(f"{name:<12}  {value}")
        for service in destination.services:
            click.echo(f"service       {service.identifier}  {' '.join(service.regions)}")
            for uri, media_type in service.schemas:
                click.echo(f"              {uri}  ({media_type})")
        for key in standing.keys:
            current = "  *" if key.kid == destination.encryption_kid else ""
            click.echo(f"key           {key.use:<8} {key.kid}{current}")
        for change in standing.changes:
            second = change.decided_by or "?"
            click.echo(f"change        {change.step:<8} {change.kid}  {change.proposed_by} + {second}")
        for way in standing.ways:
            click.echo(f"change        {'adapter':<8} {way.adapter}  {way.proposed_by} + {way.decided_by or '?'}")
        _say_notices(hub, destination_id)


def _say_notices(hub: Context, destination_id: UUID) -> None:
    for view in hub.store.notices.given(about=f"destination:{destination_id}", limit=_NOTICES).items:
        mailed = "-" if view.state is DeliveryState.WAITING else view.state.value
        click.echo(f"notice        {view.notice.created_at:%Y-%m-%d}  {view.notice.kind}  mail: {mailed} {view.note}")


@destinations.command()
@click.argument("name")
@click.option("--owner", required=True, help="client_id of the subscriber that collects from it.")
@click.option("--tenant", default="", help="ARS prefix whose administrators may see it.")
@click.option("--email", required=True, help="Where the authority is reached, e.g. by reminders.")
@click.option("--service", "services", multiple=True, required=True, help="Service it takes (URN); repeatable.")
@click.option("--region", "regions", multiple=True, required=True, help="Region it takes (DE + ARS); repeatable.")
@click.option("--schema", "schemas", multiple=True, help=_SCHEMA_HELP)
@click.option("--encryption-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--signing-key", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@may_name_person
@data_option
def add(
    name: str,
    owner: str,
    tenant: str,
    email: str,
    services: tuple[str, ...],
    regions: tuple[str, ...],
    schemas: tuple[str, ...],
    encryption_key: Path,
    signing_key: Path,
    login: Login,
    data: Path,
) -> None:
    """Add a destination from its two public keys; it stays in status created until 'activate'."""
    sealing = _jwk(encryption_key)
    named = [_schema(each) for each in schemas]
    with opened(data) as hub:
        shares = hub.offers.split(services, named)
        draft = Draft(
            name=name,
            contact={"legalName": name, "email": email},
            services=tuple(hub.offers.offer(each, regions, share) for each, share in shares.items()),
            metadata_versions=_VERSIONS,
            encryption_kid=sealing.get("kid"),
        )
        made = _destination_service(hub).create(
            draft,
            acting(hub, login),
            encryption_key=sealing,
            signature_key=_jwk(signing_key),
            owner=owner,
            tenant=tenant,
            now=hub.clock(),
        )
    click.echo(f"destination   {made.destination_id}")
    _warn_unseen(made)


def _warn_unseen(made: Destination) -> None:
    warning = unseen_from(made)
    if warning is not None:
        click.echo(f"{warning.de} / {warning.en}", err=True)


@destinations.command()
@click.argument("destination_id", type=click.UUID)
@may_name_person
@data_option
def activate(destination_id: UUID, login: Login, data: Path) -> None:
    """Let a destination take submissions; the first time a second person has to, once there are operators."""
    _set_status(destination_id, "active", login, data)


@destinations.command()
@click.argument("destination_id", type=click.UUID)
@may_name_person
@data_option
def deactivate(destination_id: UUID, login: Login, data: Path) -> None:
    """Let a destination take no more submissions for now; what waits there stays."""
    _set_status(destination_id, "inactive", login, data)


@destinations.command()
@click.argument("destination_id", type=click.UUID)
@click.confirmation_option(prompt="Für immer außer Dienst? / Out of service for good?")
@may_name_person
@data_option
def decommission(destination_id: UUID, login: Login, data: Path) -> None:
    """Take a destination out of service for good; its keys stay, so that old proof can be verified."""
    _set_status(destination_id, "decommissioned", login, data)


@destinations.command()
@click.argument("destination_id", type=click.UUID)
@click.argument("name")
@may_name_person
@data_option
def rename(destination_id: UUID, name: str, login: Login, data: Path) -> None:
    """Give a destination another name."""
    with opened(data) as hub:
        _destination_service(hub).change(destination_id, Draft(name=name), acting(hub, login), now=hub.clock())
    click.echo(f"{destination_id}  {name}")


@destinations.command()
@click.argument("destination_id", type=click.UUID)
@click.option("--service", "identifiers", multiple=True, required=True, help="Service (URN); repeatable.")
@click.option("--region", "regions", multiple=True, help="Region it takes (DE + ARS); repeatable. Without: as before.")
@click.option("--schema", "schemas", multiple=True, help=_SCHEMA_HELP)
@click.option("--replace", "how", flag_value="replace", help="Drop all services that are not named.")
@click.option("--drop", "how", flag_value="drop", help="Drop the services that are named.")
@may_name_person
@data_option
def services(
    destination_id: UUID,
    identifiers: tuple[str, ...],
    regions: tuple[str, ...],
    schemas: tuple[str, ...],
    how: str | None,
    login: Login,
    data: Path,
) -> None:
    """Add services that a destination takes, or change those named; all others stay as they are.

    What is not said of a service (regions, schemas) stays too.
    """
    named = [_schema(each) for each in schemas]
    with opened(data) as hub:
        desk, person, offers = _destination_service(hub), acting(hub, login), hub.offers
        destination = desk.show(destination_id, person).destination
        taken = _taken(offers, destination, how, offers.split(identifiers, named), regions)
        desk.change(destination_id, Draft(services=taken), person, now=hub.clock(), expected=destination.revision)
    click.echo(f"{destination_id}  {len(taken)}")


def _taken(
    offers: Offers,
    destination: Destination,
    how: str | None,
    shares: Mapping[str, Sequence[NamedSchema]],
    regions: Sequence[str],
) -> tuple[OfferedService, ...]:
    taken = () if how == "replace" else destination.services
    for identifier, share in shares.items():
        if how == "drop":
            taken = dropped(taken, identifier)
        else:
            taken = offers.with_one(taken, identifier, regions=regions, schemas=share)
    return taken


@destinations.command()
@click.argument("destination_id", type=click.UUID)
@click.argument("name")
@click.option("--options", default="{}", help="The adapter's options, as JSON; secrets as names of files.")
@may_name_person
@data_option
def adapter(destination_id: UUID, name: str, options: str, login: Login, data: Path) -> None:
    """Choose by which adapter a destination gets its submissions; options are checked before they are kept.

    The machine's user does it at once and so confirms that the secrets named may go to the address named. Of two persons
    (--as), an operator's word is noted, and the same command by an approver carries it out. The circuit is closed then:
    what failed before says nothing of the new way.
    """
    draft = Draft(adapter=name, adapter_config=_options(options))
    with opened(data) as hub:
        desk, person = _destination_service(hub), acting(hub, login)
        desk.change(destination_id, draft, person, now=hub.clock())
        waits = person.is_named and desk.waiting_way(destination_id, person) is not None
    click.echo(f"{destination_id}  {name}" + (f"  {_NOTED}" if waits else ""))


@destinations.group("key")
def key() -> None:
    """Schlüssel eines Zustellpunkts / keys of a destination."""


@key.command("add")
@click.argument("destination_id", type=click.UUID)
@click.argument("jwk", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@may_name_person
@data_option
def key_add(destination_id: UUID, jwk: Path, login: Login, data: Path) -> None:
    """Add a public key (JWK with x5c) after judging it; 'key use' makes it the current one.

    A key for signatures counts at once, so it takes two persons: an operator's word is noted, the same command by an
    approver carries it out.
    """
    with opened(data) as hub:
        document = _jwk(jwk)
        made = _destination_service(hub).add_key(destination_id, document, acting(hub, login), now=hub.clock())
    if made.change is not None:
        _say(made.change)
    else:
        click.echo(f"{document['kid']}  {'hinterlegt / added' if made.added else 'war schon da / was there'}")


@key.command("use", cls=KeyCommand)
@click.argument("destination_id", type=click.UUID)
@click.argument("kid")
@person_options
@data_option
def key_use(destination_id: UUID, kid: str, login: Login, data: Path) -> None:
    """Seal to this key from now on; it must have been added before.

    Two persons: an operator's word is noted, the same command by an approver carries it out.
    """
    with opened(data) as hub:
        person = logged_in(hub, login)
        _say(_destination_service(hub).change_key(destination_id, kid, KeyStep.ACTIVATE, person, now=hub.clock()))


@key.command("retire", cls=KeyCommand)
@click.argument("destination_id", type=click.UUID)
@click.argument("kid")
@person_options
@data_option
def key_retire(destination_id: UUID, kid: str, login: Login, data: Path) -> None:
    """Use a key for nothing new; it stays readable for old proof. Two persons, as for 'key use'."""
    with opened(data) as hub:
        person = logged_in(hub, login)
        _say(_destination_service(hub).change_key(destination_id, kid, KeyStep.RETIRE, person, now=hub.clock()))


def _say(change: KeyChange) -> None:
    if change.decided_at is None:
        click.echo(f"{change.kid}  {_NOTED}")
    else:
        click.echo(f"{change.kid}  {change.step.value}: {change.proposed_by} + {change.decided_by}")


def _set_status(destination_id: UUID, status: str, login: Login, data: Path) -> None:
    with opened(data) as hub:
        _destination_service(hub).change(destination_id, Draft(status=status), acting(hub, login), now=hub.clock())
    click.echo(f"{destination_id}  {status}")


def _destination_service(hub: Context) -> DestinationService:
    return unconfined(hub)


def _facts(destination: Destination) -> list[tuple[str, str]]:
    callback = destination.callback.url if destination.callback is not None else "-"
    return [
        ("destination", str(destination.destination_id)),
        ("name", destination.name),
        ("status", destination.status),
        ("owner", destination.owner or "-"),
        ("tenant", destination.tenant or "-"),
        ("adapter", destination.adapter),
        ("options", " ".join(sorted(destination.adapter_config)) or "-"),
        ("callback", callback),
        ("metadata", " ".join(destination.metadata_versions)),
    ]


def _schema(text: str) -> NamedSchema:
    """Return a schema's URI, and its media type if one stands behind it: URIs may hold equal signs themselves."""
    uri, equals, media_type = text.rpartition("=")
    typed = bool(equals) and media_type in {"application/json", "application/xml"}
    uri = uri if typed else text
    if not is_uri(uri):
        raise click.BadParameter(
            f"{uri}: no URI (RFC 3986); 'hub schemas list' shows those known", param_hint="--schema"
        )
    return uri, media_type if typed else None


def _jwk(path: Path) -> dict[str, Any]:
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ConfigurationError(Text(f"{path} ist kein JWK in JSON.", f"{path} is no JWK in JSON."))
    return document


def _options(text: str) -> dict[str, Any]:
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise click.BadParameter("a JSON object is wanted", param_hint="--options")
    return document


_MOST = 500


@click.group()
def circuits() -> None:
    """Sicherungen / circuit breakers."""


@circuits.command("list")
@data_option
def list_circuits(data: Path) -> None:
    """List destinations whose deliveries fail or pause: destination, failures in a row, until when nothing is sent."""
    with opened(data) as hub:
        now = hub.clock()
        for each in hub.store.figures.troubled(scope=EVERYTHING, limit=_MOST):
            until = f"{each.open_until:%Y-%m-%d %H:%M:%S}" if each.standing.is_open(now) else "-"
            click.echo(f"{each.destination_id}  {each.failures:>5}  {until}")


@circuits.command()
@click.argument("destination_id", type=click.UUID)
@data_option
def close(destination_id: UUID, data: Path) -> None:
    """Let deliveries to a destination be attempted at once, also after it said that it is gone."""
    with opened(data) as hub:
        destination = existing_destination(hub.store, destination_id)
        closed = Circuit(destination_id=destination.destination_id)
        hub.store.circuits.change(destination.destination_id, lambda _: closed, hub.clock())
        hub.store.audit.append(
            AuditEntry(
                at=hub.clock(),
                actor=f"cli:{getpass.getuser()}",
                action="circuit.close",
                target=f"destination:{destination_id}",
            )
        )
    click.echo(f"{destination_id}  geschlossen / closed")


@click.group()
def adapters() -> None:
    """Adapter / adapters."""


@adapters.command("list")
def list_adapters() -> None:
    """List the installed adapters and where they come from."""
    for entry in sorted(entry_points(group="hub.adapters"), key=lambda entry: entry.name):
        source = entry.dist.name if entry.dist else "-"
        click.echo(f"{entry.name:<14}  {source:<20}  {entry.value}")


@adapters.command()
@click.argument("name")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trial of the adapter (YAML); without it, trials/NAME.yaml beside the adapter's module.",
)
@click.option("--only", default="", help="Run only the sentences that hold this text.")
def check(name: str, config: Path | None, only: str) -> None:
    """Try an adapter on receiving systems that fail in every known way, on loopback; exit 1 if it errs."""
    adapter = _loaded(name)
    trial = find_trial(name, adapter, config)
    total = failed = 0
    with tempfile.TemporaryDirectory(prefix="hub-adapter-") as folder:
        for result in check_all(adapter, trial, Workshop(Path(folder), now=utc_now()), only=only):
            total += 1
            failed += bool(result.complaints)
            click.secho("FAIL" if result.complaints else "pass", fg="red" if result.complaints else "green", nl=False)
            click.echo(f"  {result.sentence}")
            for complaint in result.complaints:
                click.echo(f"      {complaint}")
    click.echo(f"{name}: {total - failed} / {total}")
    if failed or not total:
        sys.exit(1)


def _loaded(name: str) -> type[Adapter]:
    found: EntryPoint | None = next(iter(entry_points(group="hub.adapters", name=name)), None)
    if found is None:
        known = ", ".join(sorted(entry_points(group="hub.adapters").names))
        raise NotFound(
            Text(
                f"Es gibt keinen Adapter „{name}“. Bekannt sind: {known}.",
                f'There is no adapter "{name}". Known are: {known}.',
            )
        )
    try:
        adapter: type[Adapter] = found.load()
    except (ImportError, AttributeError) as exc:
        raise ConfigurationError(
            Text(
                f"Der Adapter {name} lässt sich nicht laden; vielleicht fehlt ein Paket, das er braucht.",
                f"The adapter {name} cannot be loaded; perhaps a package that it needs is missing.",
            )
        ) from exc
    return adapter


@click.group()
def keys() -> None:
    """Schlüssel / keys."""


@keys.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--subject", required=True, help="Organisation in the certificates, e.g. the authority's name.")
@click.option("--days", default=730, show_default=True, help="Validity of the certificates.")
@data_option
def make(folder: Path, subject: str, days: int, data: Path) -> None:
    """Make an encryption and a signing key pair for a destination, certified by the development authority.

    Not for production: there the certificates come from the administration's PKI.
    """
    settings = settings_for(data)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = app.development_authority(settings, now=utc_now())
    for use in ("encryption", "signing"):
        public, private = make_rsa_pair(use)
        certified = authority.issue(public, subject=subject, now=utc_now(), days=days)
        _write(folder / f"{use}-public.json", certified, mode=0o644)
        _write(folder / f"{use}-private.json", private, mode=0o600)
        click.echo(f"{use:<10} kid {certified['kid']}  {folder / f'{use}-public.json'}")


@keys.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--use", type=click.Choice(["encryption", "signing"]), default="encryption", show_default=True)
@click.option("--private", is_flag=True, help="FILE is a private key (PEM or PKCS#12): write it as a private JWK.")
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the password of a private key.",
)
def jwk(file: Path, use: str, private: bool, password_file: Path | None) -> None:
    """Write an authority's certificate (PEM with its chain, own one first; or DER) as the JWK that 'destinations' takes.

    With it a mail program's S/MIME certificate becomes a destination's key; 'destinations key add' judges it. With --private
    what comes out opens or signs: it belongs into a file of the connector's (chmod 0600), and never to the hub.
    """
    password = None if password_file is None else password_in(password_file).encode("utf-8")
    if private:
        click.echo(json.dumps(read_private(vault.read(file), use=use, password=password), indent=1))
        return
    content = file.read_bytes()
    chain = chain_in(vault.read(file), password=password) if _holds_private_key(content) else read_file(file)
    click.echo(json.dumps(as_jwk(chain, use=use), indent=1))


def _holds_private_key(content: bytes) -> bool:
    """Tell a file with a private key from a certificate: PEM says so, PKCS#12 begins with version 3 (RFC 7292 section 4)."""
    return b"PRIVATE KEY-----" in content or (content[:1] == b"\x30" and b"\x02\x01\x03" in content[:16])


@keys.command("show")
@data_option
def show_key(data: Path) -> None:
    """Show the hub's published keys."""
    with opened(data) as hub:
        for name, jwks in (
            ("/hub/v1/jwks.json", hub.keys.hub_jwks()),
            ("/.well-known/jwks.json", hub.keys.fit_connect_jwks()),
            ("/portal/.well-known/jwks.json", hub.keys.portal_jwks()),
        ):
            click.echo(name)
            for jwk in jwks["keys"]:
                click.echo(f"  {jwk['alg']:<6} {jwk['kid']}")


@keys.command()
@click.argument("kind", type=click.Choice(["signing", "receipt", "portal"]))
@data_option
def announce(kind: str, data: Path) -> None:
    """Publish the next hub key of this kind, which 'keys rotate' will use: for whoever keeps a list of the hub's keys."""
    with opened(data) as hub:
        kid = hub.keys.announce(kind, hub.clock())
        _audit_key(hub, "announce", kind, kid)
    click.echo(f"Angekündigt / announced: {kind}  {kid}")


@keys.command()
@click.argument("kind", type=click.Choice(["signing", "receipt", "portal", "secrets"]))
@data_option
def rotate(kind: str, data: Path) -> None:
    """Make the announced hub key of this kind, or a new one, the current one; the retired one stays published.

    Running hubs follow by themselves.
    """
    with opened(data) as hub:
        kid = hub.keys.rotate(kind, hub.clock())
        _audit_key(hub, "rotate", kind, kid)
    click.echo(f"Neuer Schlüssel / new key: {kind}  {kid}")


def _audit_key(hub: Context, what: str, kind: str, kid: str) -> None:
    actor = f"cli:{getpass.getuser()}"
    hub.store.audit.append(
        AuditEntry(at=hub.clock(), actor=actor, action=f"hub-key.{what}", target=f"hub-key:{kind}", after={"kid": kid})
    )


@keys.command(cls=KeyCommand)
@click.argument("destination_id", type=click.UUID)
@click.argument("kids", nargs=-1, required=True)
@person_options
@data_option
def lost(destination_id: UUID, kids: tuple[str, ...], login: Login, data: Path) -> None:
    """Say that an authority has lost the private halves of keys: end what nobody can open, and ask its senders to send again.

    Two persons: an operator's word is noted and tells what it would end; the same command by an approver carries it out.
    """
    with opened(data) as hub:
        person = logged_in(hub, login)
        result = hub.lost_keys.declare(destination_id, kids, person, now=hub.clock())
    for each in result.submissions:
        click.echo(f"{each}")
    for each in result.elsewhere:
        click.echo(f"{each}  liegt bei der Stelle, fragen Sie dort / lies with the authority: ask there")
    if result.unread:
        click.echo(f"Schlüssel nicht feststellbar / key cannot be told: {result.unread}", err=True)
    if result.done:
        click.echo(f"{len(result.submissions)} beendet, Absender benachrichtigt / ended, senders told")
    else:
        click.echo(f"{len(result.submissions)} betroffen / concerned.  {_NOTED}")


def _write(path: Path, document: object, *, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.fchmod(descriptor, mode)  # One that was there before may be open to others.
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        json.dump(document, target, indent=1)


COMMANDS = (destinations, circuits, adapters, keys)
