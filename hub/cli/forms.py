"""``hub forms``: whether the form files beside schemas can be used."""

from __future__ import annotations

from pathlib import Path

import click

from hub.cli.options import data_option, settings_for
from hub.errors import ConfigurationError, NotFound, Text
from hub.forms.checking import FormFinding, check, concerns, refusal_of
from hub.forms.form_file import NAME, read_form_file
from hub.resources import shipped
from hub.validation.editions import load_version


@click.group()
def forms() -> None:
    """Formulare zu Schemata / forms of schemas."""


@forms.command("check")
@click.argument("folders", nargs=-1, type=click.Path(exists=True, file_okay=False, path_type=Path))
@data_option
def check_(folders: tuple[Path, ...], data: Path) -> None:
    """Check every form.yaml below FOLDERS (default: the whole catalogue) against its schema; exit 1 if one is unusable.

    Every required place must be reached, no place be unknown, both languages be complete, and every branch be one that can be
    finished: permitted answers make documents that keep the schema.
    """
    roots = folders or (shipped("schemas"), settings_for(data).data / "schemas")
    found = [path for root in roots for path in sorted(root.glob(f"**/{NAME}"))]
    if not found:
        raise NotFound(Text("Hier liegt kein Formular (form.yaml).", "There is no form file here (form.yaml)."))
    if sum(not _holds(path) for path in found):
        raise SystemExit(1)


def _holds(path: Path) -> bool:
    folder = path.parent
    name = f"{folder.parent.name} {folder.name}"
    findings: list[FormFinding] = []
    try:
        form = read_form_file(path.read_bytes(), str(path))
        entry = next((one for one in load_version(folder).entries if concerns(form, one)), None)
        findings += [_NO_MESSAGE] if entry is None else check(entry, form)
    except ConfigurationError as error:
        findings.append(refusal_of(error))
    broken = any(finding.broken for finding in findings)
    if broken:
        click.secho(f"FEHLER / BROKEN  {name}", fg="red")
    else:
        click.echo(f"gut / good       {name}: {len(form.steps)} Schritte / steps")
    for finding in findings:
        click.echo(f"  {finding.at}\n    {finding.text.de}\n    {finding.text.en}")
    return not broken


_NO_MESSAGE = FormFinding(
    at="/root",
    text=Text(
        "Keines der Schemata dieser Version hat diese Nachricht (root).",
        "No schema of this version has this message (root).",
    ),
)

COMMANDS = (forms,)
