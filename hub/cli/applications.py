"""``hub submit``, ``hub status``, ``hub validate``, ``hub dead``: applications, and what could not be delivered.

``hub submit``, ``hub status``, ``hub validate``.

``hub dead``: what could not be delivered, and sending it again.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import mimetypes
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from uuid import UUID

import click

from hub.cli.options import data_option, opened, settings_for, verdict
from hub.errors import ConfigurationError, Conflict, InvalidPayload, NotFound, Text
from hub.model import (
    EVERYTHING,
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
    from hub.validation.batch import Judged
    from hub.validation.report import Report
    from hub.validation.xerces import Comparison

#: The sender that stands in the records for what was submitted on the command line.
_SENDER = "command-line"
_CHUNK = 1024 * 1024
#: Exit code where nothing is wrong, but not everything could be judged.
_LATER = 3
#: Exit code where a second implementation says something else of a file than the hub.
_DIFFERS = 4


@click.command(short_help="Antrag einreichen / submit an application.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--service", required=True, help="Service identifier (LeiKa URN, or its key alone).")
@click.option("--ars", required=True, help="Area: ARS with 2, 3, 5, 9 or 12 digits.")
@click.option("--schema", help="Schema URI; found from the document itself if left out.")
@click.option(
    "--attachment", "attachments", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--idempotency-key", help="Makes a repeat of the same command harmless.")
@click.option("--reference", help="What you call it, to find it again; no data of a person.")
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
    reference: str | None,
    receipt_file: Path | None,
    data: Path,
) -> None:
    """Submit FILE (XML or JSON) by the same way as the plain door; a running hub delivers it."""
    from hub.areas import Area
    from hub.routing import service_urn

    with opened(data) as hub:
        cover = Cover(
            sender=_SENDER,
            service=service_urn(service) if service.isdigit() else canonical_service(service),
            area=Area.from_ars(ars).ars,
            schema=schema,
            idempotency_key=idempotency_key,
            external_reference=reference,
        )
        application = Application(cover=cover, media_type=media_type_of(file), data=file.read_bytes())
        with hub.intake.open(cover, now=hub.clock()) as reception:
            for attachment in attachments:
                _attach(reception, attachment)
            accepted = reception.accept(application, now=hub.clock()).result()
    if receipt_file is not None:
        receipt_file.write_text(accepted.receipt + "\n", encoding="ascii")
    _say_accepted(accepted.claims)


def _say_accepted(claims: Mapping[str, Any]) -> None:
    click.echo(f"submissionId  {claims['sub'].removeprefix('submission:')}")
    click.echo(f"caseId        {claims['txn'].removeprefix('case:')}")
    click.echo(f"an / to       {claims['destination']['name']} ({claims['destination']['destinationId']})")
    click.echo(f"Schema        {claims['schema']['uri']} {claims['schema']['version']}")
    for line in verdict(claims):
        click.echo(line, err=True)


@click.command(short_help="Stand und Verlauf / state and history.")
@click.argument("submission_id", type=click.UUID, required=False)
@click.option("--list", "everything", is_flag=True, help="List what a sender submitted, the newest first.")
@click.option("--sender", default=_SENDER, show_default=True, help="With --list: the client id of the sender.")
@click.option("--reference", help="With --list: only what the sender calls so.")
@data_option
def status(submission_id: UUID | None, sender: str, reference: str | None, data: Path, *, everything: bool) -> None:
    """Show state and history of a submission, or with --list the submissions of a sender."""
    if everything == (submission_id is not None):
        raise click.UsageError("name a submission, or --list")
    with opened(data) as hub:
        if submission_id is not None:
            _print(_progress(hub, submission_id))
        else:
            _print_sent(hub, sender, reference)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, allow_dash=True, path_type=Path))
@click.option("--schema", help="Schema URI; found from each document itself if left out.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "junit", "xml", "html"]),
    help="How the report is printed; text by default, xml for one file alone.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the report here.")
@click.option(
    "--jobs", type=click.IntRange(1, 64), help="Processes that check many files; as many as cores by default."
)
@click.option(
    "--compare", type=click.Choice(["xerces"]), help="Put the verdict of Xerces (a JDK is needed) beside ours."
)
@click.option(
    "--jars",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="HUB_JARS",
    show_envvar=True,
    help="Folder with the archives of Xerces; DATA/jars and Maven's local repository otherwise.",
)
@data_option
def validate(
    paths: tuple[Path, ...],
    schema: str | None,
    form: str | None,
    as_json: bool,
    output: Path | None,
    jobs: int | None,
    compare: str | None,
    jars: Path | None,
    data: Path,
) -> None:
    """Prüfen, ohne einzureichen / validate files: exit 1 if one is invalid.

    PATHS are files, folders (all *.xml and *.json below, hidden ones left out), or - for standard input alone. Exit
    codes: 0 all are valid, 1 one is invalid or refused, 2 wrong usage, 3 nothing is wrong, but not all could be judged,
    4 with --compare: Xerces came to another verdict by the same schema.
    """
    form = form or ("json" if as_json else None)
    roots = (shipped("schemas"), settings_for(data).data / "schemas")
    if len(paths) == 1 and not paths[0].is_dir() and form != "junit" and compare is None:
        _validate_one(paths[0], schema, form, output, roots)
        return
    if form == "xml" or _STDIN in paths:
        raise click.UsageError(
            "--format xml und - gelten für eine einzige Datei, ohne --compare. / "
            "--format xml and - are for one file alone, without --compare."
        )
    folders: tuple[Path, ...] | None = None
    if compare is not None:
        from hub.validation.xerces import local_repository

        folders = (jars,) if jars is not None else (roots[1].parent / "jars", local_repository())
    _validate_many(paths, schema, form or "text", output, roots, jobs, folders)


#: What stands for standard input.
_STDIN = Path("-")


def _validate_one(
    file: Path, schema: str | None, form: str | None, output: Path | None, roots: tuple[Path, ...]
) -> None:
    from hub.validation.batch import content_of, media_type_of
    from hub.validation.catalog import SchemaCatalog

    catalog = SchemaCatalog.load(*roots)
    with click.open_file(str(file), "rb") as source:
        content, now = content_of(cast("BinaryIO", source)), utc_now()
    report = catalog.check(media_type=media_type_of(content), data=content, schema=schema, service=None, on=now.date())
    if form is None and output is None:
        _tell(report)
        return
    _write(_rendered(report, form or "text", content, now), output)
    if not report.valid:
        raise SystemExit(1)


def _validate_many(
    paths: tuple[Path, ...],
    schema: str | None,
    form: str,
    output: Path | None,
    roots: tuple[Path, ...],
    jobs: int | None,
    jars: tuple[Path, ...] | None,
) -> None:
    """Judge many files, and have Xerces judge them too where ``jars`` says where it lies."""
    from hub.admission import usable_cores
    from hub.validation.batch import Question, documents_in, judged

    files = documents_in(paths)
    if not files:
        raise _no_documents()
    question = Question(roots=roots, on=utc_now().date(), schema=schema)
    found: list[Judged] = []
    verdicts = judged(files, question, workers=jobs or usable_cores())
    with ExitStack() as stack:
        if jars is not None:
            verdicts = stack.enter_context(_comparison(roots, jars)).beside(verdicts)
        bar = stack.enter_context(_progress_bar(len(files)))
        for each in verdicts:
            found.append(each)
            bar.update(1)
    _say_found(found, form, output)


def _no_documents() -> click.UsageError:
    return click.UsageError(
        "In diesen Ordnern liegt keine Datei *.xml oder *.json. Nennen Sie einen anderen. / "
        "There is no file *.xml or *.json in these folders. Name another one."
    )


def _say_found(found: Sequence[Judged], form: str, output: Path | None) -> None:
    from hub.validation import summary

    forms = {"text": summary.as_text, "json": summary.as_json, "junit": summary.as_junit, "html": summary.as_html}
    _write(forms[form](found), output)
    if output is not None or form != "text":
        total = summary.summed_up(found)
        click.echo(f"{total.de} / {total.en}", err=True)
    if code := _exit_code(found):
        raise SystemExit(code)


def _exit_code(found: Sequence[Judged]) -> int:
    from hub.validation.batch import FileVerdict

    if any(each.differs for each in found):
        return _DIFFERS
    reached = {each.verdict for each in found}
    if reached & {FileVerdict.INVALID, FileVerdict.REFUSED}:
        return 1
    second = {each.second.verdict for each in found if each.second is not None}
    return _LATER if FileVerdict.NOT_JUDGED in reached | second else 0


def _comparison(roots: tuple[Path, ...], jars: tuple[Path, ...]) -> Comparison:
    from hub.validation.catalog import SchemaCatalog
    from hub.validation.xerces import Comparison

    catalog = SchemaCatalog.load(*roots)
    try:
        return Comparison(catalog, jars)
    except ConfigurationError as error:
        raise click.UsageError(f"{error.detail.de} / {error.detail.en}") from error


def _progress_bar(length: int) -> AbstractContextManager[Any]:
    return click.progressbar(
        length=length,
        label="prüfe / checking",
        file=sys.stderr,
        hidden=not sys.stderr.isatty(),
        update_min_steps=max(1, length // 200),
    )


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise click.UsageError(
            f"{output} lässt sich nicht schreiben. / {output} cannot be written. ({os.strerror(error.errno or 0)})"
        ) from error


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
    from hub.validation import batch

    with file.open("rb") as source:
        return batch.media_type_of(source.read(512))


def _progress(hub: Context, submission_id: UUID) -> Progress:
    from hub.identity import Caller

    message = hub.store.submissions.message(submission_id, Subject.SUBMISSION)
    if message is None:
        raise NotFound(Text(f"Es gibt keine Einreichung {submission_id}.", f"There is no submission {submission_id}."))
    owner = Caller(client_id=message.sender, kind=ClientKind.SENDER, scopes=(), expires_at=hub.clock())
    return hub.desk.progress(submission_id, caller=owner)


def _print_sent(hub: Context, sender: str, reference: str | None) -> None:
    from hub.identity import Caller
    from hub.intake.status import reference_in
    from hub.store import SentFilter

    before = None
    caller = Caller(client_id=sender, kind=ClientKind.SENDER, scopes=(), expires_at=hub.clock())
    while True:
        page = hub.desk.sent(SentFilter(reference=reference), caller=caller, before=before, limit=200)
        for each in page.messages:
            at = each.submitted_at or each.created_at
            named = reference_in(each.receipt) or "-"
            click.echo(f"{each.id}  {at:%Y-%m-%d %H:%M}  {each.state.value:<9}  {named}  {each.service.identifier}")
        if page.follows is None:
            return
        before = page.follows


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
        for page in all_pages(
            lambda start: dead_letters.list(_cause(cause), scope=EVERYTHING, within=within, offset=start, limit=_PAGE)
        ):
            reasons = dead_letters.reasons(page)
            for each in page.items:
                why = each.cause.value if each.cause is not None else "-"
                since, note = f"{each.accepted_at:%Y-%m-%d %H:%M}", reasons.get(each.delivery_id)
                click.echo(f"{each.delivery_id}  {why:<13}  {each.destination_id}  {since}  {_reason(note)}")
            number += len(page.items)
    click.echo(f"{number} unzustellbar / dead letters", err=True)


_MOMENT = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])


@dead.command()
@click.argument("delivery_ids", metavar="[DELIVERY_ID]...", nargs=-1, type=click.UUID)
@click.option("--all", "everything", is_flag=True, help="All dead letters of a cause.")
@click.option("--cause", type=_CAUSES, help="With --all: only those of this cause.")
@click.option("--destination", "destination_id", type=click.UUID, help="With --all: only those to this destination.")
@click.option("--since", type=_MOMENT, help="With --all: given up from then on (UTC).")
@click.option("--until", type=_MOMENT, help="With --all and --since: given up before then (UTC); now, if not named.")
@click.option("--yes", is_flag=True, help="Do not ask whether so many shall go out again.")
@data_option
def redrive(
    delivery_ids: tuple[UUID, ...],
    everything: bool,
    cause: str | None,
    destination_id: UUID | None,
    since: datetime | None,
    until: datetime | None,
    yes: bool,
    data: Path,
) -> None:
    """Send dead letters again, singly or in bulk; what is not dead any more is left alone.

    In bulk the cause must be named: of cause payload are also the invalid applications that are kept in quarantine.
    """
    if everything == bool(delivery_ids) or everything != bool(cause) or (destination_id and not everything):
        raise click.UsageError("name deliveries, or --all with --cause (and --destination as wanted)")
    if (since or until) and not (everything and since):
        raise click.UsageError("--since and --until go with --all and --cause")
    with opened(data) as hub:
        if everything and since is not None and cause is not None:
            again, left = _redrive_window(hub, DeadCause(cause), destination_id, (since, until), yes=yes), 0
        elif everything:
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
    return hub.dead_letters.redrive_all(cause, scope=EVERYTHING, within=within, by=_by(hub))


def _redrive_window(
    hub: Context,
    cause: DeadCause,
    destination_id: UUID | None,
    span: tuple[datetime, datetime | None],
    *,
    yes: bool,
) -> int:
    """Say how many were given up in a span of time, and send them again once that is confirmed."""
    from hub.administration.dead_letters import RedriveWindow

    by, within = _by(hub), _within(hub, destination_id)
    since, until = span[0].replace(tzinfo=UTC), by.now if span[1] is None else span[1].replace(tzinfo=UTC)
    wanted = RedriveWindow(cause=cause, since=since, until=until)
    found = hub.dead_letters.found(wanted, scope=EVERYTHING, within=within, now=by.now)
    if not yes:
        click.confirm(f"{found} Zustellungen noch einmal versuchen? / send {found} deliveries again?", abort=True)
    return hub.dead_letters.redrive_window(wanted, expected=found, scope=EVERYTHING, within=within, by=by)


def _redrive_each(hub: Context, delivery_ids: tuple[UUID, ...]) -> tuple[int, int]:
    dead_letters, again = hub.dead_letters, 0
    for delivery_id in delivery_ids:
        try:
            again += dead_letters.redrive(delivery_id, scope=EVERYTHING, by=_by(hub))
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
