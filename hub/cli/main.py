"""The command group, and how errors become one line and an exit code."""

from __future__ import annotations

import logging
import sys

import click

from hub import __version__, logs
from hub.cli import (
    accounts,
    adapters,
    applications,
    areas,
    backup,
    circuits,
    clients,
    conformance,
    connector,
    dead,
    destinations,
    keys,
    proof,
    routes,
    schemas,
    servers,
)
from hub.errors import HubError, InvalidPayload, Unavailable

#: Exit codes: 0 done, 1 refused (or invalid), 2 wrong usage, 3 try again later.
_REFUSED, _LATER = 1, 3


class _HubGroup(click.Group):
    """Turns the hub's own errors into one line each; anything else is a bug and keeps its traceback."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except HubError as error:
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
    logs.set_up(as_json=False, level=logging.INFO if verbose else logging.WARNING)


_MODULES = (
    servers,
    applications,
    schemas,
    conformance,
    routes,
    areas,
    destinations,
    adapters,
    dead,
    circuits,
    clients,
    accounts,
    keys,
    proof,
    backup,
    connector,
)
for module in _MODULES:
    for command in module.COMMANDS:
        main.add_command(command)
