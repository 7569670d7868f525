"""``hub config`` and ``hub doctor``: what is set and where it comes from, and whether all that it takes is there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hub.cli.options import data_option
from hub.config import DECLARED, SOURCE, read_settings
from hub.errors import ConfigurationError, Text
from hub.files.settings import Setting, ValueForm, as_markdown, as_toml
from hub.model import utc_now

if TYPE_CHECKING:
    from hub.observability.diagnosis import Diagnosis

F = TypeVar("F", bound=Callable[..., Any])

_DEFAULT = "Vorgabe / default"
_UNUSABLE = "unbrauchbar / unusable"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Places:
    """Where settings lie: the hub's data folder, and the file of another program, if one is named."""

    data: Path
    named: Path | None

    @property
    def connector(self) -> Path:
        """The connector's settings file."""
        return self.named or Path("connector.toml")

    @property
    def portal(self) -> Path:
        """The portal's settings file."""
        return self.named or Path("portal.toml")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Program:
    """One program with settings, and how each question is answered for it; whatever it takes is loaded when it is asked."""

    title: Text
    intro: Text
    declared: Callable[[], Sequence[Setting]]
    #: Yields each setting, its value for people, and its origin.
    in_force: Callable[[_Places], Iterator[tuple[Setting, str, str]]]
    faults: Callable[[_Places], Sequence[Text]]
    diagnoses: Callable[[_Places], Iterable[Diagnosis]]
    where: Callable[[_Places], str]


def _hub_in_force(places: _Places) -> Iterator[tuple[Setting, str, str]]:
    read = read_settings(places.data, os.environ)
    for each in DECLARED:
        # An address that is wrong may hold a secret.
        wrong = any(fault.de.startswith(f"{each.name}:") for fault in read.faults)
        value = _UNUSABLE if wrong else _shown(each, getattr(read.settings, each.name))
        yield each, value, read.origins.get(each.name, _DEFAULT)


def _hub_faults(places: _Places) -> Sequence[Text]:
    read = read_settings(places.data, os.environ)
    if read.faults:
        return read.faults
    from hub.app.starting import file_faults

    return tuple(file_faults(read.settings))


def _hub_diagnoses(places: _Places) -> Iterable[Diagnosis]:
    from hub.app.doctor import Doctor
    from hub.observability.diagnosis import faulty

    read = read_settings(places.data, os.environ)
    if read.faults:
        return [faulty("settings", fault) for fault in read.faults]
    return Doctor(read.settings, now=utc_now).examine()


def _connector_declared() -> Sequence[Setting]:
    from hub.connector.declarations import DECLARED as CONNECTORS

    return CONNECTORS


def _connector_in_force(places: _Places) -> Iterator[tuple[Setting, str, str]]:
    from hub.connector.settings import ConnectorSettings, in_force

    ConnectorSettings.read(places.connector)  # What is wrong is said, and not shown as if it were in force.
    for each, value, given in in_force(places.connector):
        yield each, _shown(each, value), str(places.connector) if given else _DEFAULT


def _connector_faults(places: _Places) -> Sequence[Text]:
    from hub.connector.opening import load_keys
    from hub.connector.settings import ConnectorSettings

    load_keys(ConnectorSettings.read(places.connector).destinations)
    return ()


def _connector_diagnoses(places: _Places) -> Iterable[Diagnosis]:
    from hub.connector.commissioning import examine

    return examine(places.connector, now=utc_now)


def _portal_declared() -> Sequence[Setting]:
    from hub.portal.settings import DECLARED as PORTALS

    return PORTALS


def _portal_in_force(places: _Places) -> Iterator[tuple[Setting, str, str]]:
    from hub.portal.settings import PortalSettings, in_force

    PortalSettings.read(places.portal)  # What is wrong is said, and not shown as if it were in force.
    for each, value, given in in_force(places.portal):
        yield each, _shown(each, value), str(places.portal) if given else _DEFAULT


def _portal_faults(places: _Places) -> Sequence[Text]:
    from hub.portal.settings import PortalSettings

    PortalSettings.read(places.portal)
    return ()


def _portal_diagnoses(places: _Places) -> Iterable[Diagnosis]:
    from hub.observability.diagnosis import faulty
    from hub.portal.composition import examine
    from hub.portal.settings import PortalSettings

    try:
        settings = PortalSettings.read(places.portal)
    except ConfigurationError as error:
        return [faulty("settings", fault) for fault in error.members.get("faults", (error.detail,))]
    return examine(settings, clock=utc_now)


#: Every program that ``--for`` takes.
_PROGRAMS = {
    "hub": _Program(
        title=Text("Einstellungen des Hubs", "Settings of the hub"),
        intro=Text(
            "In `hub.toml` im Datenordner, oder in der Umgebung; die Umgebung gilt vor der Datei. Geheimnisse stehen nur in "
            "Dateien, die eine Einstellung auf `_file` nennt (chmod 0600). `hub config show` zeigt, was gilt und woher es "
            "kommt, `hub config check` nennt alle Fehler auf einmal.",
            "In `hub.toml` in the data folder, or in the environment, which wins. Secrets stand only in files that a setting "
            "ending in `_file` names (chmod 0600). `hub config show` says what is in force and where it comes from, "
            "`hub config check` names all faults at once.",
        ),
        declared=lambda: DECLARED,
        in_force=_hub_in_force,
        faults=_hub_faults,
        diagnoses=_hub_diagnoses,
        where=lambda places: f"{places.data / SOURCE}, HUB_*",
    ),
    "connector": _Program(
        title=Text("Einstellungen des Konnektors", "Settings of the connector"),
        intro=Text(
            "In der Datei, die `hub connector init` schreibt; Pfade zählen von ihrem Ordner. Namen mit Punkt stehen in der "
            "Tabelle davor: `hub.base_url` ist `base_url` unter `[hub]`; `destinations` ist eine Liste: `[[destinations]]`. "
            "`hub connector check --config DATEI` nennt alle Fehler auf einmal und versucht Token, Weg und Übergabe.",
            "In the file that `hub connector init` writes; paths count from its folder. A name with a dot stands in the table "
            "before it: `hub.base_url` is `base_url` below `[hub]`; `destinations` is a list: `[[destinations]]`. "
            "`hub connector check --config FILE` names all faults at once and tries token, route and hand-over.",
        ),
        declared=_connector_declared,
        in_force=_connector_in_force,
        faults=_connector_faults,
        diagnoses=_connector_diagnoses,
        where=lambda places: str(places.connector),
    ),
    "portal": _Program(
        title=Text("Einstellungen des Bürgerportals", "Settings of the citizens' portal"),
        intro=Text(
            "In der Datei, die `hub portal --config DATEI` liest; Pfade zählen von ihrem Ordner. Namen mit Punkt stehen in der "
            "Tabelle davor: `hub.base_url` ist `base_url` unter `[hub]`; `tenants` ist eine Liste: `[[tenants]]`. "
            "`hub config check --for portal --config DATEI` nennt alle Fehler auf einmal, `hub doctor --for portal` versucht "
            "auch den Hub.",
            "In the file that `hub portal --config FILE` reads; paths count from its folder. A name with a dot stands in the "
            "table before it: `hub.base_url` is `base_url` below `[hub]`; `tenants` is a list: `[[tenants]]`. "
            "`hub config check --for portal --config FILE` names all faults at once, `hub doctor --for portal` tries the hub, "
            "too.",
        ),
        declared=_portal_declared,
        in_force=_portal_in_force,
        faults=_portal_faults,
        diagnoses=_portal_diagnoses,
        where=lambda places: str(places.portal),
    ),
}
_for_option = click.option("--for", "whose", type=click.Choice(sorted(_PROGRAMS)), default="hub", show_default=True)


def _whose_options(command: F) -> F:
    """Add ``--for`` and the places where settings lie."""
    options = (
        _for_option,
        click.option(
            "--config",
            "file",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Settings file of the connector or the portal.  [default: connector.toml, portal.toml]",
        ),
        data_option,
    )
    for option in options:
        command = option(command)
    return command


def _english_option(command: F) -> F:
    """Add ``--english``: else German, unless the environment asks for English (LC_ALL, LC_MESSAGES, LANG)."""
    wanted = next((os.environ[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if os.environ.get(name)), "")
    option = click.option(
        "--english/--deutsch", default=wanted.startswith("en"), help="Language.  [default: German, or by LANG]"
    )
    return option(command)


@click.group()
def config() -> None:
    """Einstellungen zeigen, prüfen, nachschlagen / show, check and look up settings."""


@config.command()
@_whose_options
def show(whose: str, file: Path | None, data: Path) -> None:
    """Show what is in force and where it comes from; of secrets only the file that holds them."""
    unusable = False
    for each, value, origin in _PROGRAMS[whose].in_force(_Places(data=data, named=file)):
        unusable |= value == _UNUSABLE
        click.echo(f"{each.name:<32}  {value:<44}  {origin}")
    if unusable:
        sys.exit(1)


def _shown(each: Setting, value: Any) -> str:
    if each.form is ValueForm.SECRET_FILE:
        return f"gesetzt, aus / set, from {value}" if value else "nicht gesetzt / not set"
    if value in (None, "") and each.shown is not None:
        return f"{each.shown.de} / {each.shown.en}"
    return "–" if value is None else as_toml(value)


@config.command()
@_whose_options
@_english_option
def check(whose: str, file: Path | None, data: Path, english: bool) -> None:
    """Say everything that is wrong at once, with what is allowed; exit 0 if nothing is, else 1."""
    program, places = _PROGRAMS[whose], _Places(data=data, named=file)
    try:
        faults = program.faults(places)
    except ConfigurationError as error:
        faults = error.members.get("faults", (error.detail,))
    for fault in faults:
        click.secho(fault.en if english else fault.de, fg="red", err=True)
    if faults:
        sys.exit(1)
    click.echo(f"{program.where(places)}: {'all is well' if english else 'in Ordnung'}")


@config.command()
@_for_option
@click.option("--format", "form", type=click.Choice(["markdown", "json"]), default="markdown", show_default=True)
def reference(whose: str, form: str) -> None:
    """Write down every setting: type, default, unit, what is allowed, environment, since when, what for."""
    program = _PROGRAMS[whose]
    declared = program.declared()
    if form == "json":
        click.echo(json.dumps([each.as_json() for each in declared], ensure_ascii=False, indent=1))
    else:
        click.echo(as_markdown(declared, program=whose, title=program.title, intro=program.intro), nl=False)


@click.command(short_help="Selbstprüfung von Hub, Konnektor oder Portal / self-check of hub, connector or portal.")
@_whose_options
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_english_option
def doctor(whose: str, file: Path | None, data: Path, as_json: bool, english: bool) -> None:
    """Check clock, disk, keys, database, tables, TLS, proxy, mail, bucket, adapters and libraries, each within a time limit.

    Changes nothing and says no secret. Exit codes: 0 well (or warnings), 1 something is wrong, 3 not reachable now.
    """
    from hub.observability.diagnosis import exit_code

    found: list[Diagnosis] = []
    for diagnosis in _PROGRAMS[whose].diagnoses(_Places(data=data, named=file)):
        found.append(diagnosis)
        if not as_json:
            click.echo(diagnosis.line(english=english))
    if as_json:
        click.echo(json.dumps([each.as_json() for each in found], ensure_ascii=False, indent=1))
    sys.exit(exit_code(found))


COMMANDS = (config, doctor)
