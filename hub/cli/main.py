"""The command group, and how errors become one line and an exit code."""

from __future__ import annotations

import logging
import sys
from importlib import import_module

import click
from click.formatting import HelpFormatter

from hub import __version__
from hub.errors import HubError, InvalidPayload, Unavailable
from hub.observability import crashes, logs

_log = logging.getLogger(__name__)
#: Exit codes: 0 done, 1 refused (or invalid), 2 wrong usage, 3 try again later.
_REFUSED, _LATER = 1, 3


#: Every command: the module under ``hub.cli`` that holds it, and its line in ``hub --help``, so that neither the help nor
#: another command has to load what only this one needs.
COMMANDS_BY_NAME = {
    "accounts": ("accounts", "Konten für die Verwaltungsseiten / accounts for the admin pages."),
    "adapters": ("destinations", "Adapter / adapters."),
    "ai": ("ai", "KI-Register / register of AI systems."),
    "areas": ("routing", "Gebiete und Postleitzahlen / areas and postal codes."),
    "backup": ("backups", "Sichern, auch im Betrieb / back up, also while it runs."),
    "case": ("cases", "Eigene Vorgänge und Antworten / a sender's cases and replies."),
    "circuits": ("destinations", "Sicherungen / circuit breakers."),
    "clients": ("accounts", "OAuth-Clients / OAuth clients."),
    "conformance": ("conformance", "Konformität von Software / conformance of software."),
    "config": ("operation", "Einstellungen zeigen, prüfen, nachschlagen / show, check and look up settings."),
    "connector": ("connector", "Konnektor in der Kommune / the municipal side."),
    "dead": ("applications", "Unzustellbares / dead letters."),
    "destinations": ("destinations", "Zustellpunkte / destinations."),
    "doctor": ("operation", "Selbstprüfung von Hub, Konnektor oder Portal / self-check of hub, connector or portal."),
    "forms": ("forms", "Formulare zu Schemata / forms of schemas."),
    "keys": ("destinations", "Schlüssel / keys."),
    "log": ("proof", "Ereignisprotokolle / event logs."),
    "migrate": ("backups", "Tabellen auf diesen Stand bringen / bring the tables up to this version."),
    "onboard": ("onboarding", "Behörden aus einer Tabelle aufnehmen / take authorities in from a table."),
    "onboarding": ("onboarding", "Aufnahmen freigeben, testen, in Betrieb nehmen / release and test onboardings."),
    "portal": ("portal", "Bürgerportal bedienen / serve the citizens' portal."),
    "receipt": ("proof", "Eingangsbestätigungen / receipts."),
    "records": ("records", "Verzeichnis und Auskünfte (DSGVO) / record of processing, requests for access."),
    "restore": ("backups", "Wiederherstellen / build the data folder anew from a backup."),
    "restore-drill": ("backups", "Sicherung beweisen / prove what a backup is worth."),
    "route": ("routing", "Zuständigkeiten / responsibilities."),
    "routes": (
        "routing",
        "Zuständigkeitstabellen: Entwurf, Prüfung, Freigabe, Aktivierung / routing tables and versions.",
    ),
    "run": ("servers", "Vorführung: Hub, Fachverfahren, Anträge / the demo, all in one."),
    "schemas": ("schemas", "Schemata des Katalogs / schemas of the catalogue."),
    "serve": ("servers", "Schnittstellen bedienen / serve the interfaces."),
    "services": ("services", "Leistungen für Bürger / public services for citizens."),
    "status": ("applications", "Stand und Verlauf / state and history."),
    "submit": ("applications", "Antrag einreichen / submit an application."),
    "tenants": ("tenants", "Mandanten und ihre Rechte / tenants and their rights."),
    "usage": ("usage", "Nutzung und Kosten / usage and cost."),
    "vendors": ("vendors", "Softwarehersteller und Vollmachten / software vendors and delegations."),
    "validate": (
        "applications",
        "Prüfen, ohne einzureichen / validate files: exit 1 if one is invalid.",
    ),
    "work": ("servers", "Zustellen, ohne zu bedienen / deliver without serving."),
}


class _HubGroup(click.Group):
    """Loads a command when it is called, and turns the hub's own errors into one line each.

    Anything else that is raised is a bug and keeps its traceback.
    """

    def list_commands(self, _: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return sorted(COMMANDS_BY_NAME)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        """Load a command; None for a name that is none."""
        found = COMMANDS_BY_NAME.get(name)
        if found is None:
            return None
        module = import_module(f"hub.cli.{found[0]}")
        command: click.Command = next(each for each in module.COMMANDS if each.name == name)
        return command

    def format_commands(self, _: click.Context, formatter: HelpFormatter) -> None:
        """Write the commands with their lines, none of them loaded."""
        width = formatter.width - 6 - max(map(len, COMMANDS_BY_NAME))
        unloaded = {name: click.Command(name, short_help=line) for name, (_, line) in sorted(COMMANDS_BY_NAME.items())}
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.get_short_help_str(width)) for name, each in unloaded.items()])

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except HubError as error:
            if logs.is_json():
                _log.error("%s: %s", error.title.en, error.detail.en, extra={"cause": error.slug})
                sys.exit(_LATER if isinstance(error, Unavailable) else _REFUSED)
            click.secho(f"{error.title.de}: {error.detail.de}", fg="red", err=True)
            click.echo(f"{error.title.en}: {error.detail.en}", err=True)
            if isinstance(error, InvalidPayload):
                _print_violations(error)
            sys.exit(_LATER if isinstance(error, Unavailable) else _REFUSED)


def _print_violations(error: InvalidPayload) -> None:
    for violation in error.members["violations"]:
        place = violation["path"] + (f" (Zeile {violation['line']})" if violation.get("line") else "")
        click.echo(f"  {place}: [{violation['rule']}] {violation['text']['de']}", err=True)


@click.group(cls=_HubGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, package_name="rathaus-hub")
@click.option("--verbose", "-v", is_flag=True, help="Log what happens to standard error.")
def main(verbose: bool) -> None:
    """Rathaus-Hub: prüfen, zuordnen, versiegeln, beweisen, zustellen.

    Validates applications, finds the responsible authority, seals for it, keeps proof and delivers.
    Exit codes: 0 done, 1 refused or invalid, 2 wrong usage, 3 not available now.
    """
    crashes.forbid()
    logs.set_up(as_json=False, level=logging.INFO if verbose else logging.WARNING)
