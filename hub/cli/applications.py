"""``hub submit``, ``hub status``, ``hub validate``, ``hub dead``: applications, and what could not be delivered.

``hub submit``, ``hub status``, ``hub validate``.

``hub dead``: what could not be delivered, and sending it again.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import mimetypes
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from hub.cli.options import data_option, opened, settings_for, verdict
from hub.errors import Conflict, InvalidPayload, NotFound, Text
from hub.model import (
    Application,
    ClientKind,
    Cover,
    DeadCause,
    MediaType,
    Subject,
    canonical_service,
    reason_for_people,
    reason_of,
    utc_now,
)
from hub.resources import shipped

# Who checks a file, or asks for help, waits for nothing else than that.
if TYPE_CHECKING:
    from hub.administration.dead_letters import RedrivenBy
    from hub.app import Context
    from hub.intake import Reception, Replay
    from hub.intake.status import Progress
    from hub.validation.report import Report

#: The sender that stands in the records for what was submitted on the command line.
_SENDER = "command-line"
_CHUNK = 1024 * 1024


@click.command(short_help="Antrag einreichen / submit an application.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--service", required=True, help="Service identifier, e.g. urn:de:fim:leika:leistung:99012008001000.")
@click.option("--ars", required=True, help="Area: ARS with 2, 3, 5, 9 or 12 digits.")
@click.option("--schema", help="Schema URI; found from the document itself if left out.")
@click.option(
    "--attachment", "attachments", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--idempotency-key", help="Makes a repeat of the same command harmless.")
@click.option(
    "--receipt", "receipt_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the receipt here."
)
@data_option
def submit(
    file: Path,
    service: str,
    ars: str,
    schema: str | None,
    attachments: tuple[Path, ...],
    idempotency_key: str | None,
    receipt_file: Path | None,
    data: Path,
) -> None:
    """Submit FILE (XML or JSON) by the same way as the plain door; a running hub delivers it."""
    from hub.areas import Area

    with opened(data) as hub:
        cover = Cover(
            sender=_SENDER,
            service=canonical_service(service),
            area=Area.from_ars(ars).ars,
            schema=schema,
            idempotency_key=idempotency_key,
        )
        application = Application(cover=cover, media_type=media_type_of(file), data=file.read_bytes())
        with hub.intake.open(cover, now=hub.clock()) as reception:
            for attachment in attachments:
                _attach(reception, attachment)
            accepted = reception.accept(application, now=hub.clock()).result()
    claims = accepted.claims
    if receipt_file is not None:
        receipt_file.write_text(accepted.receipt + "\n", encoding="ascii")
    click.echo(f"submissionId  {claims['sub'].removeprefix('submission:')}")
    click.echo(f"caseId        {claims['txn'].removeprefix('case:')}")
    click.echo(f"an / to       {claims['destination']['name']} ({claims['destination']['destinationId']})")
    click.echo(f"Schema        {claims['schema']['uri']} {claims['schema']['version']}")
    for line in verdict(claims):
        click.echo(line, err=True)


@click.command(short_help="Stand und Verlauf / state and history.")
@click.argument("submission_id", type=click.UUID)
@data_option
def status(submission_id: UUID, data: Path) -> None:
    """Show state and history of a submission."""
    with opened(data) as hub:
        _print(_progress(hub, submission_id))


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--schema", help="Schema URI; found from the document itself if left out.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "xml", "html"]),
    help="How the report is printed; text by default.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@data_option
def validate(file: Path, schema: str | None, form: str | None, as_json: bool, data: Path) -> None:
    """Prüfen, ohne einzureichen / validate FILE: exit 0 if it is valid, 1 if not."""
    from hub.validation.catalog import SchemaCatalog

    catalog = SchemaCatalog.load(shipped("schemas"), settings_for(data).data / "schemas")
    content, now = file.read_bytes(), utc_now()
    report = catalog.check(media_type=media_type_of(file), data=content, schema=schema, service=None, on=now.date())
    if form is None and not as_json:
        _tell(report)
        return
    click.echo(_rendered(report, form or "json", content, now))
    if not report.valid:
        raise SystemExit(1)


def _tell(report: Report) -> None:
    if not report.valid:
        raise _invalid(report)
    incomplete = "" if report.complete else ", nicht vollständig geprüft / not completely checked"
    click.secho(f"gültig / valid{incomplete}: {report.schema.uri} {report.schema.version}", fg="green")
    for note in report.notes:
        click.echo(f"  {note.de}\n  {note.en}")


def _rendered(report: Report, form: str, content: bytes, now: datetime) -> str:
    if form == "json":
        return json.dumps(report.as_json(), ensure_ascii=False, indent=2)
    from hub.validation.rendering import as_html, as_text, as_xml

    if form == "xml":
        return as_xml(report, document_sha256=hashlib.sha256(content).hexdigest(), now=now).decode("utf-8").rstrip()
    return as_html(report) if form == "html" else as_text(report)


def _attach(reception: Reception | Replay, attachment: Path) -> None:
    sealer = reception.attach(
        name=attachment.name,
        filename=attachment.name,
        media_type=mimetypes.guess_type(attachment.name)[0] or "application/octet-stream",
    )
    size = attachment.stat().st_size
    with attachment.open("rb") as source, click.progressbar(length=size, label=attachment.name) as bar:
        while chunk := source.read(_CHUNK):
            sealer.write(chunk)
            bar.update(len(chunk))
    sealer.finish()


def media_type_of(file: Path) -> MediaType:
    """Tell XML from JSON by the first character that is neither blank nor a byte order mark."""
    with file.open("rb") as source:
        start = source.read(512).lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")
    return MediaType.XML if start.startswith(b"<") else MediaType.JSON


def _progress(hub: Context, submission_id: UUID) -> Progress:
    from hub.identity import Caller

    message = hub.store.submissions.message(submission_id, Subject.SUBMISSION)
    if message is None:
        raise NotFound(Text(f"Es gibt keine Einreichung {submission_id}.", f"There is no submission {submission_id}."))
    owner = Caller(client_id=message.sender, kind=ClientKind.SENDER, scopes=(), expires_at=hub.clock())
    return hub.desk.progress(submission_id, caller=owner)


def _print(progress: Progress) -> None:
    click.echo(f"Zustand / state       {progress.state.value}")
    click.echo(f"Zustellung / delivery {progress.delivery}")
    for step in progress.history:
        click.echo(f"  {step.at:%Y-%m-%d %H:%M:%S}  {step.text.de} / {step.text.en}")
        if step.note:
            reason = reason_of(step.note)
            click.echo(f"{'':23}{reason.code}: {reason.text.de} / {reason.text.en} [{step.note}]")


def _invalid(report: Report) -> InvalidPayload:
    return InvalidPayload(
        Text(
            f"{report.total} Verstoß/Verstöße gegen {report.schema.uri} {report.schema.version}.",
            f"{report.total} violation(s) of {report.schema.uri} {report.schema.version}.",
        ),
        violations=[violation.as_json() for violation in report.violations],
    )


_PAGE = 500
_CAUSES = click.Choice([cause.value for cause in DeadCause])


@click.group()
def dead() -> None:
    """Unzustellbares / dead letters."""


@dead.command("list")
@click.option("--cause", type=_CAUSES, help="Only those of this cause.")
@click.option("--destination", "destination_id", type=click.UUID, help="Only those to this destination.")
@data_option
def list_(cause: str | None, destination_id: UUID | None, data: Path) -> None:
    """List dead letters, the oldest first: delivery, cause, destination, since when, and what the last attempt came to."""
    from hub.store import all_pages

    with opened(data) as hub:
        within, number = _within(hub, destination_id), 0
        dead_letters = hub.dead_letters
        for page in all_pages(lambda start: dead_letters.list(_cause(cause), within=within, offset=start, limit=_PAGE)):
            reasons = dead_letters.reasons(page)
            for each in page.items:
                why = each.cause.value if each.cause is not None else "-"
                since, note = f"{each.accepted_at:%Y-%m-%d %H:%M}", reasons.get(each.delivery_id)
                click.echo(f"{each.delivery_id}  {why:<13}  {each.destination_id}  {since}  {_reason(note)}")
            number += len(page.items)
    click.echo(f"{number} unzustellbar / dead letters", err=True)


@dead.command()
@click.argument("delivery_ids", metavar="[DELIVERY_ID]...", nargs=-1, type=click.UUID)
@click.option("--all", "everything", is_flag=True, help="All dead letters of a cause.")
@click.option("--cause", type=_CAUSES, help="With --all: only those of this cause.")
@click.option("--destination", "destination_id", type=click.UUID, help="With --all: only those to this destination.")
@data_option
def redrive(
    delivery_ids: tuple[UUID, ...], everything: bool, cause: str | None, destination_id: UUID | None, data: Path
) -> None:
    """Send dead letters again, singly or in bulk; what is not dead any more is left alone.

    In bulk the cause must be named: of cause payload are also the invalid applications that are kept in quarantine.
    """
    if everything == bool(delivery_ids) or everything != bool(cause) or (destination_id and not everything):
        raise click.UsageError("name deliveries, or --all with --cause (and --destination as wanted)")
    with opened(data) as hub:
        if everything:
            again, left = _redrive_all(hub, _cause(cause), destination_id), 0
        else:
            again, left = _redrive_each(hub, delivery_ids)
    click.echo(f"{again} wieder in Zustellung / redriven, {left} unverändert / left alone")


def _reason(note: str | None) -> str:
    """Return what a note says: its code, and its text in both languages."""
    if note is None:
        return "-"
    return f"{reason_of(note).code}: {reason_for_people(note, german=True)} / {reason_for_people(note, german=False)}"


def _redrive_all(hub: Context, cause: DeadCause | None, destination_id: UUID | None) -> int:
    within = _within(hub, destination_id)
    return hub.dead_letters.redrive_all(cause, within=within, by=_by(hub))


def _redrive_each(hub: Context, delivery_ids: tuple[UUID, ...]) -> tuple[int, int]:
    dead_letters, again = hub.dead_letters, 0
    for delivery_id in delivery_ids:
        try:
            again += dead_letters.redrive(delivery_id, within=None, by=_by(hub))
        except Conflict as error:
            click.echo(f"{delivery_id}: {error.detail.de} / {error.detail.en}", err=True)
    return again, len(delivery_ids) - again


def _within(hub: Context, destination_id: UUID | None) -> frozenset[UUID] | None:
    if destination_id is None:
        return None
    from hub.identity import existing_destination

    return frozenset({existing_destination(hub.store, destination_id).destination_id})


def _cause(text: str | None) -> DeadCause | None:
    return None if text is None else DeadCause(text)


def _by(hub: Context) -> RedrivenBy:
    from hub.administration.dead_letters import RedrivenBy

    return RedrivenBy(actor=f"cli:{getpass.getuser()}", now=hub.clock())


COMMANDS = (submit, status, validate, dead)
