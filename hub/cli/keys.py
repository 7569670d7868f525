"""``hub keys``: the hub's own keys, and key pairs for authorities."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from hub import app
from hub.cli.options import data_option, opened, settings_for
from hub.crypto.certificates import as_jwk, read_file
from hub.crypto.keys import make_rsa_pair


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
    authority = app.development_authority(settings, now=app.utc_now())
    for use in ("encryption", "signing"):
        public, private = make_rsa_pair(use)
        certified = authority.issue(public, subject=subject, now=app.utc_now(), days=days)
        _write(folder / f"{use}-public.json", certified, mode=0o644)
        _write(folder / f"{use}-private.json", private, mode=0o600)
        click.echo(f"{use:<10} kid {certified['kid']}  {folder / f'{use}-public.json'}")


@keys.command()
@click.argument("certificate", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--use", type=click.Choice(["encryption", "signing"]), default="encryption", show_default=True)
def jwk(certificate: Path, use: str) -> None:
    """Write an authority's certificate (PEM with its chain, own one first; or DER) as the JWK that 'destinations' takes.

    With it a mail program's S/MIME certificate becomes a destination's key; 'destinations key add' judges it.
    """
    click.echo(json.dumps(as_jwk(read_file(certificate), use=use), indent=1))


@keys.command("show")
@data_option
def show(data: Path) -> None:
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
@click.argument("kind", type=click.Choice(["signing", "receipt", "portal", "secrets"]))
@data_option
def rotate(kind: str, data: Path) -> None:
    """Make a new hub key of this kind; the retired one stays published. Running hubs follow by themselves."""
    with opened(data) as hub:
        hub.keys.rotate(kind, hub.clock())
    click.echo(f"Neuer Schlüssel / new key: {kind}")


def _write(path: Path, document: object, *, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.fchmod(descriptor, mode)  # One that was there before may be open to others.
    with os.fdopen(descriptor, "w", encoding="utf-8") as target:
        json.dump(document, target, indent=1)


COMMANDS = (keys,)
