"""``hub migrate``: bring the database's tables to what this program knows, before or without a start."""

from __future__ import annotations

from pathlib import Path

import click

from hub.cli.options import data_option, settings_for
from hub.store import Store


@click.command(short_help="Tabellen auf diesen Stand bringen / bring the tables up to this version.")
@data_option
def migrate(data: Path) -> None:
    """Bring the tables to this version. ``serve``, ``work`` and ``run`` do so at their start; no other command does.

    Nodes of the version before go on working on the new tables. Back up first.
    """
    store = Store(settings_for(data).database)
    try:
        before = store.schema_revision()
        store.migrate()
        after = store.schema_revision()
    finally:
        store.close()
    if before == after:
        click.echo(f"Stand {after}, nichts zu tun / {after}, nothing to do.")
    else:
        click.echo(f"{before or '–'} → {after}")


COMMANDS = (migrate,)
