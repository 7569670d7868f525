"""``hub schemas``: what the catalogue holds, bringing official packages in, and what a new version changes."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from hub.cli.applications import media_type_of
from hub.cli.options import data_option, opened, settings_for
from hub.errors import ConfigurationError, NotFound, Text, handed_in
from hub.forms.fim_form import FimImport, import_xdatenfelder
from hub.forms.xdatenfelder import is_xdatenfelder
from hub.model import EVERYTHING, utc_now
from hub.resources import shipped
from hub.validation.calendar import calendar
from hub.validation.catalog import SchemaCatalog
from hub.validation.editions import SchemaEntry, load_version
from hub.validation.importing import import_standard
from hub.validation.json.documents import JsonSchema
from hub.validation.manifest import NAME, Kind, Manifest, Status
from hub.validation.rendering import as_text

if TYPE_CHECKING:
    from hub.app import Context

_LEFT_OUT = "Ohne Codeliste, nicht übernommen / no code list, left out"
_GERMAN_ALONE = (
    "Das Formular spricht nur Deutsch / the form speaks German alone: translated in form.yaml; hub forms check"
)
#: Bytes at the beginning of a file that are looked at for what it is.
_HEAD = 4096
#: Roots that ``show`` lists.
_ROOTS = 200


@click.group()
def schemas() -> None:
    """Schemata des Katalogs / schemas of the catalogue."""


@schemas.command("calendar")
@data_option
def calendar_(data: Path) -> None:
    """Tell which version of which standard becomes binding when, and until when."""
    for each in calendar(_catalog(data), utc_now().date()):
        span = f"{each.valid_from or '…'} – {each.valid_until or '…'}"
        after = f" → {each.successor}" if each.successor else ""
        click.echo(f"{each.standard:<22} {each.version:<8} {each.phase.value:<10} {span}{after}")


@schemas.command()
@click.argument("standard")
@click.argument("version")
@data_option
def readiness(standard: str, version: str, data: Path) -> None:
    """Tell how much of a month's traffic VERSION of STANDARD would refuse, by rule, destination and sender."""
    with opened(data) as hub:
        report = hub.readiness_desk.report(standard, version, scope=EVERYTHING, now=hub.clock())
    click.echo(f"{report.refused} von/of {report.judged} würden abgelehnt / would be refused")
    for rule, number in report.rules.items():
        click.echo(f"  {number:>8}  {rule}")
    for each in report.rows:
        click.echo(f"{each.area:<12} {each.line.refused:>8} / {each.line.judged:<8} {each.line.sender}  {each.name}")


@schemas.command("list")
@data_option
def list_(data: Path) -> None:
    """List all schemas: standard, version, status, URI."""
    for entry in _catalog(data).entries():
        manifest = entry.manifest
        click.echo(f"{manifest.standard:<22} {manifest.version:<8} {manifest.status.value:<10} {entry.uri}")


@schemas.command()
@click.argument("uri")
@data_option
def show(uri: str, data: Path) -> None:
    """Show the schema URI: validity, provenance, pinned hash, messages."""
    entry = _catalog(data).entry(uri)
    item, manifest = entry.item, entry.manifest
    for name, fact in _facts(entry).items():
        click.echo(f"{name:<24}{fact}")
    for place in item.attachments:
        click.echo(f"{'Anlagen / attachments':<24}{place.at}{' (nötig / required)' if place.required else ''}")
    for remark in manifest.remarks:
        click.echo(f"{'Nicht übernommen / not':<24}{remark.at}: {remark.text.de} / {remark.text.en}")
    for root in item.roots[:_ROOTS]:
        click.echo(f"  {root}")


def _facts(entry: SchemaEntry) -> dict[str, str]:
    item, manifest = entry.item, entry.manifest
    return {
        "URI": item.uri,
        "Standard": f"{manifest.standard} {manifest.version} ({manifest.kind.value})",
        "Titel / title": item.title or "–",
        "Status": manifest.status.value,
        "Gültig / valid": f"{manifest.valid_from or '…'} – {manifest.valid_until or '…'}",
        "Leistungen / services": "alle / any" if item.services is None else ", ".join(item.services) or "–",
        "SHA-256": item.sha256,
        "im Beleg / recorded": entry.ref.sha256 if entry.ref.sha256 != item.sha256 else "–",
        "Herkunft / provenance": manifest.provenance,
        "Lizenz / licence": manifest.licence,
        "Dateien / files": str(len(item.closure)),
        "Regeln / rules": ", ".join(manifest.rules) or "–",
        "Nachrichten / messages": str(len(item.roots)),
        "Codelisten / code lists": str(len(manifest.code_lists)),
        "Fehlend / missing": ", ".join(manifest.left_out) or "–",
    }


@schemas.command()
@click.argument("standard")
@click.argument("old")
@click.argument("new")
@click.option("--all", "everything", is_flag=True, help="Also what a sender may, but need not change.")
@data_option
def diff(standard: str, old: str, new: str, everything: bool, data: Path) -> None:
    """Tell what a sender of STANDARD must change between versions OLD and NEW; exit 1 if there is anything."""
    changes = _catalog(data).diff(standard, old, new)
    due = [change for change in changes if change.must]
    for change in changes if everything else due:
        click.echo(f"{'!' if change.must else ' '} {change.place}: {change.text.de} / {change.text.en}")
    click.echo(
        f"{standard} {old} → {new}: {len(due)} nötig / required, {len(changes) - len(due)} möglich / optional", err=True
    )
    if due:
        raise SystemExit(1)


@schemas.command()
@click.argument("folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@data_option
def check(folder: Path | None, data: Path) -> None:
    """Check every version below FOLDER (default: the whole catalogue): hashes, references, compilation, rules."""
    roots = [folder] if folder is not None else [shipped("schemas"), settings_for(data).data / "schemas"]
    found = [path.parent for root in roots for path in sorted(root.glob(f"**/{NAME}"))]
    if not found:
        raise NotFound(Text("Hier liegt kein Schemakatalog.", "There is no schema catalogue here."))
    broken = sum(not _holds(version) for version in found)
    if broken:
        raise SystemExit(1)
    # Two versions that are well on their own may still claim the same URI.
    SchemaCatalog.load(*{version.parents[1] for version in found})


@schemas.command("try")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_option
def try_(file: Path, data: Path) -> None:
    """Tell which schema would judge FILE today, and show its report; exit 1 if FILE is not valid."""
    catalog, content, kind = _catalog(data), file.read_bytes(), media_type_of(file)
    today = utc_now().date()
    entry = catalog.find(media_type=kind, data=content, schema=None, service=None, on=today)
    manifest = entry.manifest
    click.echo(f"{manifest.standard} {manifest.version} ({manifest.status.value}): {entry.uri}")
    report = catalog.check(media_type=kind, data=content, schema=None, service=None, on=today)
    click.echo(as_text(report))
    if not report.valid:
        raise SystemExit(1)


@schemas.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--standard", help="Short name, e.g. xbau. XDatenfelder: by default its id, as fim-s00000121.")
@click.option("--version", "version", help="Version, e.g. 2.6. XDatenfelder: by default its own.")
@click.option(
    "--catalog",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Location list, relative to itself: an OASIS catalog.xml, or JSON that maps remote schemaLocations to local files.",
)
@click.option("--valid-from", type=click.DateTime(["%Y-%m-%d"]), help="First day on which the version is valid.")
@click.option("--valid-until", type=click.DateTime(["%Y-%m-%d"]), help="Last day on which the version is valid.")
@click.option(
    "--status", type=click.Choice([one.value for one in Status]), default=Status.VALID.value, show_default=True
)
@click.option("--provenance", default="", help="Where the package comes from.")
@click.option("--licence", default="", help="Under which licence it may be used.")
@click.option("--messages", default="*", show_default=True, help="File name pattern of the message schemas.")
@click.option(
    "--service", "services", multiple=True, help="LeiKa URN of a service that it serves; repeatable. Default: any."
)
@click.option(
    "--rules",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Schematron file of your own that judges beside the package's; repeatable.",
)
@click.option(
    "--attachments",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML or JSON file that says, by schema file, where documents name attachments: {FILE: [{at, required}]}.",
)
@click.option(
    "--open-list",
    "open_lists",
    multiple=True,
    help="URI or file name, or a pattern of these, of a code list that allows other codes than its own: they are warnings. "
    "Repeatable; '*' means all. Default: none.",
)
@click.option(
    "--code-list",
    "code_lists",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="XDatenfelder: a list that the file names, as Genericode or the XRepository's JSON; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON.")
@data_option
def import_(
    source: Path,
    standard: str | None,
    version: str | None,
    catalog: Path | None,
    valid_from: datetime | None,
    valid_until: datetime | None,
    status: str,
    provenance: str,
    licence: str,
    messages: str,
    services: tuple[str, ...],
    rules: tuple[Path, ...],
    attachments: Path | None,
    open_lists: tuple[str, ...],
    code_lists: tuple[Path, ...],
    as_json: bool,
    data: Path,
) -> None:
    """Bring an official package (folder or ZIP) into the data folder: copied, hashed, compiled offline.

    Of an XDatenfelder file (FIM, versions 2 and 3.0.0) a JSON Schema and a form file are made; what they cannot say is listed.
    """
    target = settings_for(data).data / "schemas"
    edition: dict[str, Any] = {
        "valid_from": valid_from.date() if valid_from else None,
        "valid_until": valid_until.date() if valid_until else None,
        "status": Status(status),
        "provenance": provenance,
        "licence": licence,
        "services": services or None,
        "attachments": attachments,
    }
    if _is_fim(source):
        if catalog or rules or open_lists or messages != "*":
            raise click.UsageError("An XDatenfelder file takes no --catalog, --rules, --open-list or --messages.")
        with _audited(data) as audit, handed_in():
            brought = import_xdatenfelder(
                source, target, standard=standard, version=version, code_lists=code_lists, **edition
            )
            audit(brought.manifest)
        _say_fim(brought, as_json=as_json)
        return
    if not standard or not version or code_lists:
        raise click.UsageError("A package needs --standard and --version, and takes no --code-list.")
    click.echo(f"Übersetze / compiling {standard} {version} …", err=True)
    more: dict[str, Any] = {"catalog": catalog, "messages": messages, "rules": rules, "open_lists": open_lists}
    with _audited(data) as audit, handed_in():
        manifest = import_standard(source, target, standard=standard, version=version, **edition, **more)
        audit(manifest)
    _say_imported(manifest, as_json=as_json)


def _say_imported(manifest: Manifest, *, as_json: bool) -> None:
    if as_json:
        click.echo(_as_json(manifest))
        return
    roots = sum(len(item.roots) for item in manifest.schemas)
    click.echo(
        f"{manifest.standard} {manifest.version}: {len(manifest.schemas)} Schemata / schemas, {roots} Nachrichten / messages, "
        f"{len(manifest.files)} Dateien / files"
    )
    lists = manifest.code_lists or (manifest.schemas if manifest.kind is Kind.CODE_LISTS else ())
    if lists:
        still_open = sum(not each.closed for each in lists)
        click.echo(f"{len(lists)} Codelisten / code lists, davon offen / of them open: {still_open}", err=True)
    if manifest.left_out:
        click.echo(f"{_LEFT_OUT}: {', '.join(manifest.left_out)}", err=True)
    for remark in manifest.remarks:
        click.echo(f"{remark.at}\n  {remark.text.de}\n  {remark.text.en}", err=True)


@contextmanager
def _audited(data: Path) -> Iterator[Callable[[Manifest], None]]:
    """Lend what writes an import into the audit log: whoever may write the data folder acts without a second person.

    Before the hub has a database there is no log yet. One that cannot be opened stops the import before it begins.
    """
    settings = settings_for(data)
    if not settings.database_url and not (settings.data / "hub.sqlite").exists():
        yield lambda _: None
        return
    # Most of these commands need no database, and loading what speaks to one costs more than they do.

    with opened(data) as hub:

        def audit(manifest: Manifest) -> None:
            _append_import(hub, manifest)

        yield audit


def _append_import(hub: Context, manifest: Manifest) -> None:
    from hub.store import AuditEntry

    facts = {"schemas": len(manifest.schemas), "files": len(manifest.files), "status": manifest.status.value}
    hub.store.audit.append(
        AuditEntry(
            at=hub.clock(),
            actor=f"cli:{getpass.getuser()}",
            action="schema.import",
            target=f"schema:{manifest.standard}/{manifest.version}",
            after=facts,
        )
    )


def _is_fim(source: Path) -> bool:
    if not source.is_file():
        return False
    with source.open("rb") as stream:
        return is_xdatenfelder(stream.read(_HEAD))


def _say_fim(brought: FimImport, *, as_json: bool) -> None:
    manifest = brought.manifest
    if as_json:
        click.echo(_as_json(manifest, elements=brought.elements))
        return
    click.echo(f"{manifest.standard} {manifest.version}: {brought.elements} Felder und Gruppen / fields and groups")
    click.echo(f"  {manifest.schemas[0].uri}")
    if manifest.remarks:
        click.echo(f"Nicht übernommen / not taken over: {len(manifest.remarks)}")
    for remark in manifest.remarks:
        click.echo(f"  {remark.at}\n    {remark.text.de}\n    {remark.text.en}")
    click.echo(_GERMAN_ALONE, err=True)


def _as_json(manifest: Manifest, **more: Any) -> str:
    document = {
        "standard": manifest.standard,
        "version": manifest.version,
        "schemas": [item.uri for item in manifest.schemas],
        "files": len(manifest.files),
        "leftOut": manifest.left_out,
        "remarks": [{"at": each.at, "de": each.text.de, "en": each.text.en} for each in manifest.remarks],
        **more,
    }
    return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()


def _catalog(data: Path) -> SchemaCatalog:
    return SchemaCatalog.load(shipped("schemas"), settings_for(data).data / "schemas")


def _holds(folder: Path) -> bool:
    """Say on one line whether a version can be used. Loops of includes are legal in XSD and end in the pinned closure."""
    try:
        version = load_version(folder)
        for entry in version.entries:
            _compile(entry)
    except ConfigurationError as error:
        click.secho(f"FEHLER / BROKEN  {folder.parent.name} {folder.name}", fg="red")
        click.echo(f"  {error.detail.de}\n  {error.detail.en}")
        return False
    messages = sum(len(entry.item.roots) for entry in version.entries)
    click.echo(
        f"gut / good       {folder.parent.name} {folder.name}: {len(version.entries)} Schemata / schemas, "
        f"{messages} Nachrichten / messages"
    )
    return True


def _compile(entry: SchemaEntry) -> None:
    entry.judge.compile()
    if entry.rules is not None and not isinstance(entry.judge, JsonSchema):
        entry.rules.compile()


COMMANDS = (schemas,)
