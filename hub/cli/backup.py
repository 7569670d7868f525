"""``hub backup`` and ``hub restore``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from hub import app
from hub.administration.backup import BackupSource, back_up, read_backup, restore_database, restore_files, staged
from hub.cli.options import data_option, settings_for
from hub.errors import ConfigurationError, StoreUnavailable, Text
from hub.model import utc_now
from hub.store import Store
from hub.store.engine import sqlite_file


@click.command(short_help="Sichern, auch im Betrieb / back up, also while it runs.")
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@data_option
def backup(target: Path, data: Path) -> None:
    """Copy database, blobs, keys and schemas into the empty folder TARGET, while the hub runs.

    With PostgreSQL run pg_dump before it; contents in a bucket are left to the bucket's versions or copies.
    """
    settings = settings_for(data)
    if not (settings.data / "pki").is_dir():
        raise ConfigurationError(
            Text(f"In {settings.data} liegt kein Hub.", f"There is no hub in {settings.data}."),
        )
    store = Store(settings.database)
    try:
        with closing(app.open_blobs(settings)) as blobs:
            source = BackupSource(data=settings.data, database=sqlite_file(settings.database), store=store, blobs=blobs)
            report = back_up(source, target.absolute(), now=utc_now())
    finally:
        store.close()
    click.echo(f"{report.files} Dateien / files, {report.blobs or 0} davon Inhalte / of them contents")
    if not report.database:
        click.echo("ohne Datenbank: pg_dump davor / without database: pg_dump before it")
    if report.blobs is None:
        click.echo("ohne Inhalte: Eimer selbst sichern / without contents: back up the bucket itself")
    click.secho("Enthält private Schlüssel / holds private keys", fg="yellow")


@click.command(short_help="Wiederherstellen / build the data folder anew from a backup.")
@click.argument("source", type=click.Path(exists=True, file_okay=False, path_type=Path))
@data_option
def restore(source: Path, data: Path) -> None:
    """Build the data folder anew, which must be empty, from the backup in SOURCE.

    With PostgreSQL run pg_restore before it. Every open delivery is flagged as a possible repeat afterwards: what was
    delivered after the backup is open again.
    """
    manifest = read_backup(source)
    with staged(data) as folder:
        restore_files(source, folder, manifest)
        settings = settings_for(folder)
        database = sqlite_file(settings.database)
        if (database is not None) != manifest["database"]:
            raise ConfigurationError(
                Text(
                    "Sicherung und database_url nennen verschiedene Datenbanken (SQLite, PostgreSQL).",
                    "Backup and database_url name different databases (SQLite, PostgreSQL).",
                )
            )
        if database is not None:
            restore_database(source, database)
        try:
            flagged = _checked(settings.database)
        except BaseException:
            if database is not None:
                database.unlink(missing_ok=True)
            raise
    click.echo(f"{len(manifest['files'])} Dateien / files, Stand / as of {manifest['createdAt']}")
    click.echo(f"{flagged} offene Zustellungen als mögliche Wiederholung markiert / open deliveries flagged")
    click.echo("Jetzt prüfen / now check: hub log verify")


def _checked(url: str) -> int:
    """Flag the open deliveries of a database that was put back; refuse one that is damaged, or none at all."""
    store = Store(url)
    try:
        if wrong := store.integrity():
            raise _damaged(wrong[0])
        return store.recovery.suspect_open_deliveries()
    except StoreUnavailable as exc:
        if sqlite_file(url) is None:
            raise
        raise _damaged(str(getattr(exc.__cause__, "orig", exc))) from exc
    finally:
        store.close()


def _damaged(why: str) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Datenbank der Sicherung ist beschädigt ({why}). Nichts wurde wiederhergestellt; nehmen "
            "Sie eine andere Sicherung.",
            f"The database of the backup is damaged ({why}). Nothing was restored; take another backup.",
        )
    )


COMMANDS = (backup, restore)
