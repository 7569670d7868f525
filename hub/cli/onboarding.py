"""``hub onboard``, ``hub onboarding``: authorities taken in from a table, released, tested and put into service.

A person hands in and another one releases, so both are named (``--as``). Files that the table names lie in its folder.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hub.administration.onboarding_plans import LARGEST_FILE
from hub.administration.onboarding_sheet import LARGEST, read_sheet
from hub.administration.onboarding_standing import Stage
from hub.app import unconfined_onboarding
from hub.cli.options import Login, data_option, logged_in, opened, person_options
from hub.errors import Invalid, Text
from hub.files import vault

if TYPE_CHECKING:
    from hub.administration.onboarding_plans import ReadFile
    from hub.administration.onboarding_standing import RowChange
    from hub.store import OnboardingRun

_run = click.argument("run_id", metavar="RUN", type=click.IntRange(min=1))
_area = click.argument("ars")
_text = click.option("--text", default="", help="The reason, for the record.")


@click.command(short_help="Behörden aus einer Tabelle aufnehmen / take authorities in from a table.")
@click.argument("table", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--title", default="", help="What this onboarding is called.")
@click.option("--check", "only_check", is_flag=True, help="Say what would change, and hand nothing in.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@person_options
@data_option
def onboard(table: Path, title: str, only_check: bool, as_json: bool, login: Login, data: Path) -> None:
    """Hand in all authorities of a CSV table; a second person releases them by 'hub onboarding release'.

    Columns: name, ars, kontakt, vorlage, adapter, adresse, optionen, schluessel_verschluesselung, schluessel_signatur,
    passwortdatei. Where one cell is wrong, nothing is handed in. The same table a second time changes nothing.
    """
    with opened(data) as hub:
        desk, person = unconfined_onboarding(hub), logged_in(hub, login)
        try:
            sheet = read_sheet(_content(table))
            if only_check:
                changes, run = desk.check(sheet, files_of(table.parent), person, now=hub.clock()), None
            else:
                done = desk.hand_in(sheet, files_of(table.parent), person, title=title, now=hub.clock())
                changes, run = done.changes, done.run
        except Invalid as error:
            _say_faults(error.members.get("faults", []), as_json=as_json)
            raise
    _say_handed_in(changes, run, as_json=as_json)


def _say_handed_in(changes: Sequence[RowChange], run: OnboardingRun | None, *, as_json: bool) -> None:
    if as_json:
        said = {"run": None if run is None else run.run_id, "rows": [_change_json(each) for each in changes]}
        click.echo(json.dumps(said, ensure_ascii=False, indent=1))
        return
    _tell(changes)
    if run is not None:
        click.echo(
            f"Aufnahme / onboarding {run.run_id}: wartet auf eine zweite Person / waits for a second person: "
            f"hub onboarding release {run.run_id} --as NAME"
        )


def _say_faults(faults: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"faults": faults}, ensure_ascii=False, indent=1))
        return
    for fault in faults:
        click.echo(_fault(fault), err=True)


@click.group()
def onboarding() -> None:
    """Aufnahmen freigeben, testen, in Betrieb nehmen / release and test onboardings."""


@onboarding.command("list")
@click.option("--search", default="", help="Parts of the name, or how the ARS begins.")
@click.option("--stage", type=click.Choice([each.value for each in Stage]), default=None, help="Only at this stage.")
@person_options
@data_option
def list_standings(search: str, stage: str | None, login: Login, data: Path) -> None:
    """List all authorities with what is to be done next; the last line counts."""
    with opened(data) as hub:
        desk, person, now = unconfined_onboarding(hub), logged_in(hub, login), hub.clock()
        wanted = None if stage is None else Stage(stage)
        page = desk.standings(person, text=search, stage=wanted, limit=100_000, now=now)
        counts = desk.counts(person, now=now)
    for each in page.items:
        click.echo(f"{each.place.area.ars:<12}  {each.stage.value:<11}  {each.name}")
    click.echo("  ".join(f"{name.value}: {number}" for name, number in counts.items() if number))


@onboarding.command("show")
@_run
@person_options
@data_option
def show_run(run_id: int, login: Login, data: Path) -> None:
    """Show a run: who handed it in and released it, and what each row changes as things are now."""
    with opened(data) as hub:
        desk, person = unconfined_onboarding(hub), logged_in(hub, login)
        run, rows = desk.show(run_id, person)
        changes = desk.changes_of(run_id, person, now=hub.clock())
    click.echo(f"{run.run_id}  {run.state.value}  {run.title}  {run.proposed_by} + {run.decided_by or '?'}")
    click.echo(f"{len(rows)} Zeilen / rows, {run.made} angelegt / made")
    _tell(changes)


@onboarding.command("release")
@_run
@_text
@person_options
@data_option
def release_run(run_id: int, text: str, login: Login, data: Path) -> None:
    """Release a run as a second person, and make what is in it; a second time goes on with what is left."""
    with opened(data) as hub:
        run = unconfined_onboarding(hub).release(run_id, logged_in(hub, login), text=text, now=hub.clock())
    click.echo(f"{run.made} von / of {run.rows} angelegt / made")


@onboarding.command("refuse")
@_run
@_text
@person_options
@data_option
def refuse_run(run_id: int, text: str, login: Login, data: Path) -> None:
    """Turn a run down, or take one's own back."""
    with opened(data) as hub:
        run = unconfined_onboarding(hub).refuse(run_id, logged_in(hub, login), text=text, now=hub.clock())
    click.echo(run.state.value)


@onboarding.command("test")
@_area
@person_options
@data_option
def test_area(ars: str, login: Login, data: Path) -> None:
    """Send an authority a marked test delivery by its real adapter; exit 1 where it does not arrive."""
    with opened(data) as hub:
        report = unconfined_onboarding(hub).test(ars, logged_in(hub, login), now=hub.clock())
    for step in report.steps:
        click.echo(f"{'ok' if step.good else '!!'}  {step.stage.value:<9}  {step.text.de} / {step.text.en}")
    click.echo(f"{report.meaning.de} / {report.meaning.en}")
    if not report.good:
        raise SystemExit(1)


@onboarding.command("live")
@_run
@click.option(
    "--area", "areas", multiple=True, metavar="ARS", help="Only this one; may be repeated.  [default: all ready]"
)
@_text
@person_options
@data_option
def go_live(run_id: int, areas: tuple[str, ...], text: str, login: Login, data: Path) -> None:
    """Put those that are ready into service: they take submissions, and their rules come into force."""
    with opened(data) as hub:
        desk, person = unconfined_onboarding(hub), logged_in(hub, login)
        done = desk.go_live(run_id, person, areas=areas, text=text, now=hub.clock())
    click.echo(f"{len(done)} in Betrieb / in service: {' '.join(done)}")


@onboarding.command("pack")
@_area
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@person_options
@data_option
def write_pack(ars: str, target: Path, login: Login, data: Path) -> None:
    """Write what an authority gets to begin with (ZIP): its connector's settings file, and the way in words; no secret."""
    with opened(data) as hub:
        content = unconfined_onboarding(hub).pack(ars, logged_in(hub, login), now=hub.clock())
    vault.write(target, content)
    click.echo(str(target))


@onboarding.command("secrets")
@_run
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--recipient",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the public keys (age1… or SSH) of those who may open TARGET.",
)
@person_options
@data_option
def write_secrets(run_id: int, target: Path, recipient: Path, login: Login, data: Path) -> None:
    """Give all clients of a run that never logged in new secrets, and write them as CSV, encrypted (age), into TARGET."""
    from hub.administration.client_secrets import new_secrets
    from hub.files import age

    recipients = age.read_recipients(recipient)
    with opened(data) as hub:
        person = logged_in(hub, login)
        _, rows = unconfined_onboarding(hub).show(run_id, person)
        sealed = new_secrets(
            rows, person, clients=hub.client_service, store=hub.store, recipients=recipients, now=hub.clock()
        )
    vault.write(target, sealed.content)
    click.echo(f"{sealed.number} Secrets: {target}")
    if sealed.in_use:
        click.echo(f"schon in Gebrauch / in use already: {' '.join(sealed.in_use)}")


def _content(table: Path) -> bytes:
    with table.open("rb") as stream:
        return stream.read(LARGEST + 1)  # What is larger is refused by its size.


def files_of(folder: Path) -> ReadFile:
    """Return what reads the files of a folder, and of it alone, whoever wrote the table: what is larger is read no further.

    Names lead out of it neither by ``..`` nor by a link, and to a pipe or a device nobody waits.
    """
    within = folder.resolve()

    def read(name: str) -> bytes:
        with suppress(OSError, ValueError):
            path = (within / name).resolve()
            if path.is_relative_to(within) and path.is_file():
                with path.open("rb") as stream:
                    return stream.read(LARGEST_FILE + 1)
        raise Invalid(
            Text(
                "Diese Datei fehlt im Ordner der Tabelle, oder sie ist nicht lesbar. Legen Sie sie neben die Tabelle.",
                "This file is missing in the table's folder, or cannot be read. Put it beside the table.",
            )
        )

    return read


def _fault(fault: dict[str, Any]) -> str:
    column = f", {fault['column']}" if fault["column"] else ""
    return f"Zeile / row {fault['row']}{column}: {fault['text']['de']} / {fault['text']['en']}"


def _tell(changes: Sequence[RowChange]) -> None:
    new = [each for each in changes if each.is_new]
    changed = [each for each in changes if each.differences]
    for each in changed:
        for one in each.differences:
            click.echo(f"{each.plan.ars}  {one.part.de} / {one.part.en}: {one.before} -> {one.after}")
    same = len(changes) - len(new) - len(changed)
    click.echo(f"neu / new: {len(new)}, geändert / changed: {len(changed)}, unverändert / unchanged: {same}")


def _change_json(each: RowChange) -> dict[str, Any]:
    return {
        "ars": each.plan.ars,
        "name": each.plan.name,
        "new": each.is_new,
        "differences": [one.as_json() for one in each.differences],
    }


COMMANDS = (onboard, onboarding)
