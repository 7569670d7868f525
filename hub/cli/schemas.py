"""``hub schemas``: what the catalogue holds, and bringing official packages in."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from hub.cli.options import data_option, settings_for
from hub.resources import shipped
from hub.validation.catalog import SchemaCatalog
from hub.validation.imports import import_standard


@click.group()
def schemas() -> None:
    """Schemata des Katalogs / schemas of the catalogue."""


@schemas.command("list")
@data_option
def list_(data: Path) -> None:
    """List all schemas: standard, version, status, URI."""
    catalog = SchemaCatalog.load(shipped("schemas"), settings_for(data).data / "schemas")
    for entry in catalog.entries():
        manifest = entry.manifest
        click.echo(f"{manifest.standard:<22} {manifest.version:<8} {manifest.status.value:<10} {entry.uri}")


@schemas.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--standard", required=True, help="Short name, e.g. xbau.")
@click.option("--version", "version", required=True, help="Version, e.g. 2.6.")
@click.option(
    "--catalog",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file that maps remote schemaLocations to local files.",
)
@click.option("--valid-from", type=click.DateTime(["%Y-%m-%d"]), help="First day on which the version is valid.")
@data_option
def import_(
    source: Path, standard: str, version: str, catalog: Path | None, valid_from: datetime | None, data: Path
) -> None:
    """Bring an official package (folder or ZIP) into the data folder: copied, hashed, compiled offline."""
    click.echo(f"Übersetze / compiling {standard} {version} …", err=True)
    manifest = import_standard(
        source,
        settings_for(data).data / "schemas",
        standard=standard,
        version=version,
        catalog=catalog,
        valid_from=valid_from.date() if valid_from else None,
    )
    roots = sum(len(item.roots) for item in manifest.schemas)
    click.echo(
        f"{standard} {version}: {len(manifest.schemas)} Schemata / schemas, {roots} Nachrichten / messages, "
        f"{len(manifest.files)} Dateien / files"
    )


COMMANDS = (schemas,)
