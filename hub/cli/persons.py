"""Logging in as a person on the command line, where a second person counts."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hub.accounts import Accounts, Person, Role
from hub.app import Hub

F = TypeVar("F", bound=Callable[..., Any])


def person_options(command: F) -> F:
    """Add ``--as NAME``, ``--password-file FILE`` and ``--code DIGITS``."""
    for option in (
        click.option("--code", default="", help="Six digits of the second factor, if the account has one."),
        click.option(
            "--password-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File with the password; without it the password is asked for.",
        ),
        click.option("--as", "name", required=True, help="Account of the person who does this."),
    ):
        command = option(command)
    return command


def accounts_of(hub: Hub) -> Accounts:
    """Return the accounts of a hub."""
    return hub.accounts


def operating_user() -> Person:
    """Return the machine's user as an operator: whoever may write the data folder may do what operators may."""
    user = getpass.getuser()
    return Person(name=f"cli:{user}", full_name=user, roles=(Role.OPERATOR,))


def logged_in(hub: Hub, name: str, password_file: Path | None, code: str) -> Person:
    """Return the person behind the options of :func:`person_options`; raise ``Unauthenticated`` or ``TooMany``."""
    if password_file is not None:
        password = password_file.read_text(encoding="utf-8").rstrip("\r\n")
    else:
        password = click.prompt(f"Passwort / password ({name})", hide_input=True, err=True)
    return accounts_of(hub).check(name, password, code, now=hub.clock())
