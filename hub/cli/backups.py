"""``hub backup|restore|restore-drill|migrate``: the hub's files and tables, kept, brought back, tried and moved."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import click

from hub import app
from hub.administration.backup import (
    DUMP,
    BackupReport,
    BackupSource,
    back_up,
    forget_older,
    place_in_series,
    put_back,
    read_backup,
    settle_database,
    staged,
)
from hub.administration.drill import Drill, DrillReport
from hub.cli.options import data_option, settings_for
from hub.config import Settings
from hub.errors import ConfigurationError, HubError, StoreUnavailable, Text
from hub.files import age
from hub.model import EVERYTHING, utc_now
from hub.store import AuditEntry, Store, all_items, dump
from hub.store.engine import sqlite_file
from hub.store.migration import head_revision, is_newer, pending, revisions

_PREFIX = "HUB_"
_PAGE = 500


@click.command(short_help="Tabellen auf diesen Stand bringen / bring the tables up to this version.")
@click.option(
    "--check", is_flag=True, help="Only say what is to be done: exit 0 nothing, 1 something, 3 not reachable."
)
@click.option(
    "--to", "revision", help="Bring the tables to this revision, forward or back (the way back of an update)."
)
@click.option("--with-loss", is_flag=True, help="On the way back, let go what only the newer tables hold.")
@data_option
def migrate(check: bool, revision: str | None, with_loss: bool, data: Path) -> None:
    """Bring the tables to this version. ``serve``, ``work`` and ``run`` do so at their start; no other command does.

    Nodes of the version before go on working on the new tables. Back up first. With --to the tables go to another
    revision; nothing that would be lost is, unless --with-loss says so, and the audit log tells of it.
    """
    url = settings_for(data).database
    if check:
        raise SystemExit(_check(url))
    store = Store(url)
    try:
        before = store.schema_revision()
        lost = {} if revision is None and before is None else _moved(store, revision, with_loss=with_loss)
        if revision is None:
            store.migrate()
        after = store.schema_revision()
    finally:
        store.close()
    _say_moved(before, after, lost)


def _say_moved(before: str | None, after: str | None, lost: Mapping[str, int]) -> None:
    if before == after:
        click.echo(f"Stand {after}, nichts zu tun / {after}, nothing to do.")
    else:
        click.echo(f"{before or '–'} → {after}")
    for name, number in lost.items():
        click.secho(f"{name}: {number} verloren / lost", fg="yellow")


def _moved(store: Store, revision: str | None, *, with_loss: bool) -> dict[str, int]:
    """Move tables that are there, and record who did; newer ones that carry this program stay where nothing else was said."""
    if revision is None and is_newer(store.schema_revision()):
        return {}
    entry = AuditEntry(at=utc_now(), actor=f"cli:{getpass.getuser()}", action="tables.move", target="tables")
    return dict(store.move_tables(revision or str(head_revision()), entry, with_loss=with_loss))


def _check(url: str) -> int:
    """Say what ``hub migrate`` would do; return the exit code. Makes nothing, not even an empty database."""
    file = sqlite_file(url)
    if file is not None and not file.exists():
        click.echo("Noch keine Tabellen / no tables yet: hub migrate")
        return 1
    store = Store(url)
    try:
        current = store.schema_revision()
        works = store.carries_this_version()
    finally:
        store.close()
    if is_newer(current):
        click.echo(f"Stand {current}, neuer als dieses Programm / newer than this program ({head_revision()}).")
        may = "Es kann damit arbeiten / it can work on them."
        may_not = "Es kann damit nicht arbeiten / it cannot work on them."
        click.echo(may if works else may_not)
        return 1
    return _say_missing(current)


def _say_missing(current: str | None) -> int:
    missing = pending(current)
    if not missing:
        click.echo(f"Stand {current}, nichts zu tun / {current}, nothing to do.")
        return 0
    click.echo(f"Stand {current or '–'}, es fehlen / missing:")
    for each in missing:
        click.echo(f"  {each}  {revisions()[each]}")
    return 1


_identity_option = click.option(
    "--identity",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the private key (age) that opens an encrypted backup.",
)


@click.command(short_help="Sichern, auch im Betrieb / back up, also while it runs.")
@click.argument("target", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--recipient",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with public keys (age1…, ssh-…): encrypt to them, into a new file in TARGET.",
)
@click.option("--without-keys", is_flag=True, help="Leave out private keys and secrets; keep them elsewhere then.")
@click.option(
    "--without-database",
    is_flag=True,
    help="Leave a PostgreSQL database to its own backups, as if there were no pg_dump.",
)
@click.option(
    "--keep", type=click.IntRange(1), help="TARGET holds a series: remove its older backups but the newest so many."
)
@data_option
def backup(
    target: Path, recipient: Path | None, without_keys: bool, without_database: bool, keep: int | None, data: Path
) -> None:
    """Copy database, blobs, keys, schemas and the secrets that settings and destinations name, while the hub runs.

    Into the empty folder TARGET; with --recipient or --keep into a new backup within TARGET, named by its moment (UTC).
    A PostgreSQL database is in it where this machine has pg_dump; contents in a bucket are left to the bucket's versions
    or copies. What is left out is named.
    """
    settings = _settings_of_hub(data)
    recipients = [] if recipient is None else age.read_recipients(recipient)
    now = utc_now()
    in_series = bool(recipients) or keep is not None
    place = place_in_series(target.absolute(), now=now, sealed=bool(recipients)) if in_series else target.absolute()
    with _source(settings, without_keys=without_keys, dumps=not without_database and dump.has_tools()) as source:
        report = back_up(source, place, now=now, recipients=recipients)
    _say_backed_up(settings, place, report, private=not without_keys and not recipients)
    for gone in forget_older(target.absolute(), keep=keep) if keep is not None else ():
        click.echo(f"entfernt / removed: {gone.name}")


def _settings_of_hub(data: Path) -> Settings:
    settings = settings_for(data)
    if not (settings.data / "pki").is_dir():
        raise ConfigurationError(
            Text(f"In {settings.data} liegt kein Hub.", f"There is no hub in {settings.data}."),
        )
    return settings


def _say_backed_up(settings: Settings, place: Path, report: BackupReport, *, private: bool) -> None:
    click.echo(f"{place}: {report.files} Dateien / files, {report.blobs or 0} davon Inhalte / of them contents")
    _say_left_out(settings, report)
    if private:
        click.secho("Enthält private Schlüssel / holds private keys", fg="yellow")


def _say_left_out(settings: Settings, report: BackupReport) -> None:
    if not report.database:
        click.echo("ohne Datenbank: pg_dump davor / without database: pg_dump before it")
    if report.blobs is None:
        click.echo(
            f"ohne Inhalte in {settings.blobs}: Eimer selbst sichern / without contents: back up the bucket itself"
        )
    for each in report.left_out:
        click.echo(f"nicht enthalten / not in it: {each}")
    named = sorted(name for name in os.environ if name.startswith(_PREFIX))
    if named:
        click.echo(f"nicht enthalten, aus der Umgebung / not in it, from the environment: {' '.join(named)}")


@contextmanager
def _source(settings: Settings, *, without_keys: bool, dumps: bool) -> Iterator[BackupSource]:
    store = Store(settings.database)
    try:
        store.schema_revision()  # One that does not answer is named before anything is made.
        with closing(app.open_blobs(settings)) as blobs:
            database = sqlite_file(settings.database)
            yield BackupSource(
                data=settings.data,
                database=database,
                store=store,
                blobs=blobs,
                dump_url=settings.database if database is None and dumps else None,
                outside=[Path(settings.routing_rules)] if settings.routing_rules else [],
                secrets=[*settings.named_files, *_named_by_destinations(store)],
                without_keys=without_keys,
            )
    finally:
        store.close()


def _named_by_destinations(store: Store) -> Sequence[Path]:
    """Return the files that destinations' adapters are told to read: their secrets, certificates and authorities."""
    there = all_items(lambda start: store.parties.destinations(scope=EVERYTHING, offset=start, limit=_PAGE))
    return [
        Path(value)
        for each in there
        for name, value in each.adapter_config.items()
        if name.endswith("_file") and isinstance(value, str)
    ]


@click.command(short_help="Wiederherstellen / build the data folder anew from a backup.")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@_identity_option
@data_option
def restore(source: Path, identity: Path | None, data: Path) -> None:
    """Build the data folder anew, which must be empty, from the backup SOURCE (a folder, or an encrypted file).

    A PostgreSQL database that is in it goes into the empty one that database_url names; without one in it, run pg_restore
    before. Every open delivery is flagged as a possible repeat afterwards: what was delivered after the backup is open again.
    """
    identities = _identities(identity)
    manifest = read_backup(source, identities)
    with staged(data) as folder:
        put_back(source, folder, manifest, identities)
        flagged = _database_put_back(folder, manifest)
    _say_restored(manifest, flagged)


def _database_put_back(folder: Path, manifest: Mapping[str, Any]) -> int:
    """Put the database where the settings in ``folder`` say, and check it; return how many deliveries were flagged."""
    settings = settings_for(folder)
    database = sqlite_file(settings.database)
    if (database is not None) != manifest["database"]:
        raise _another_kind()
    if database is not None:
        settle_database(folder, database)
    elif manifest.get("dump"):
        dump.load(settings.database, folder / DUMP)
        (folder / DUMP).unlink()
    try:
        return _checked(settings.database)
    except BaseException:
        if database is not None:
            database.unlink(missing_ok=True)
        raise


def _another_kind() -> ConfigurationError:
    return ConfigurationError(
        Text(
            "Sicherung und database_url nennen verschiedene Datenbanken (SQLite, PostgreSQL).",
            "Backup and database_url name different databases (SQLite, PostgreSQL).",
        )
    )


def _say_restored(manifest: Mapping[str, Any], flagged: int) -> None:
    click.echo(f"{len(manifest['files'])} Dateien / files, Stand / as of {manifest['createdAt']}")
    click.echo(f"{flagged} offene Zustellungen als mögliche Wiederholung markiert / open deliveries flagged")
    for name, origin in manifest.get("outside", {}).items():
        click.echo(f"{name} gehört nach / belongs to {origin}")
    if not manifest.get("keys", True):
        click.secho(
            "Ohne private Schlüssel: pki/*.json aus dem Tresor dazulegen / without private keys: add pki/*.json from the safe",
            fg="yellow",
        )
    click.echo("Jetzt prüfen / now check: hub log verify")


def _identities(identity: Path | None) -> Sequence[Any]:
    return [] if identity is None else age.read_identities(identity)


def _checked(url: str) -> int:
    """Flag the open deliveries of a database that was put back; refuse one that is damaged, or none at all."""
    store = Store(url)
    try:
        if wrong := store.integrity():
            raise _damaged(wrong[0])
        store.recovery.forget_uploads()
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


@click.command("restore-drill", short_help="Sicherung beweisen / prove what a backup is worth.")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@_identity_option
@click.option(
    "--scratch-url", help="An empty PostgreSQL database for it.  [default: one is made beside the hub's, and dropped]"
)
@click.option(
    "--sample", type=click.IntRange(1, 500), default=200, show_default=True, help="Submissions looked at one by one."
)
@click.option("--json", "as_json", is_flag=True, help="Write the report as JSON.")
@data_option
def restore_drill(
    source: Path, identity: Path | None, scratch_url: str | None, sample: int, as_json: bool, data: Path
) -> None:
    """Put the backup SOURCE back into a place of its own, and prove there what it is worth; exit 1 if anything is wrong.

    Files, database, every log and checkpoint, the audit log, receipts and sealed contents are verified. Nothing is opened,
    sent or signed, the hub in --data is not touched, and nothing is left behind. Exit 3: a database cannot be reached.
    """
    settings = settings_for(data)
    scratch = _scratch(settings, scratch_url)
    drill = Drill(source=source, identities=_identities(identity), sample=sample, scratch=scratch)
    if settings.blobs == "local":
        report = drill.run(utc_now())
    else:
        with closing(app.open_blobs(settings)) as bucket:
            report = replace(drill, bucket=bucket).run(utc_now())
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False, indent=1))
    else:
        _say(report)
    sys.exit(0 if report.holds else 1)


def _scratch(settings: Settings, scratch_url: str | None) -> Callable[[], AbstractContextManager[str]] | None:
    scratch = None
    if scratch_url is not None or sqlite_file(settings.database) is None:
        scratch = (
            partial(_emptied, scratch_url) if scratch_url is not None else partial(dump.scratch, settings.database)
        )
    return scratch


@contextmanager
def _emptied(url: str) -> Iterator[str]:
    """Yield the URL of a database for a trial, and leave it as empty as it was."""
    yield url
    store = Store(url)
    try:
        store.migrate("base")
    except HubError:
        click.echo(f"Nicht geleert / not emptied: {url.rpartition('/')[2]}", err=True)
    finally:
        store.close()


def _say(report: DrillReport) -> None:
    click.echo(f"Stand / as of {report.created_at}, Version {report.version}")
    for step in report.steps:
        number = "–" if step.number is None else str(step.number)
        left = "" if step.number is not None else "  nicht in der Sicherung / not in the backup"
        click.echo(f"{number:>8}  {step.what.de} / {step.what.en}{left}")
        for wrong in step.wrong:
            click.secho(f"          {wrong}", fg="red", err=True)
    if report.holds:
        click.secho("bewiesen / proved", fg="green")


COMMANDS = (migrate, backup, restore, restore_drill)
