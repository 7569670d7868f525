"""What commands share: options, the hub opened for one command, who acts, how a report is said.

Options that several commands share, and opening the hub for one command.

Who does it on the command line: a person who logs in, or the machine's user where nobody has to be named.

What a receipt says of the check of its application, in words for people.

How the interpreter of a serving process is set: for many short requests, a few threads, and much that lives to the end.
"""

from __future__ import annotations

import difflib
import gc
import getpass
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hub.config import Settings, load_settings
from hub.errors import ConfigurationError, Text
from hub.files import vault

if TYPE_CHECKING:
    from hub.app import Context
    from hub.identity import Accounts, Person


F = TypeVar("F", bound=Callable[..., Any])


#: How options are written; the thumbprint of a key (43 characters of base64url) is not.
_LIKE_AN_OPTION = re.compile(r"--?[a-z][a-z-]{0,30}(=.*)?")


class KeyCommand(click.Command):
    """A command that takes names of keys: one in 64 begins with a hyphen, and is no option for that.

    What is written as an option before ``--`` and is none is told apart from a name.
    """

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **{**named, "context_settings": {"ignore_unknown_options": True}})

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; raise ``NoSuchOption`` for one that is meant as an option."""
        options = {
            name: option for option in self.get_params(ctx) if isinstance(option, click.Option) for name in option.opts
        }
        end = args.index("--") if "--" in args else len(args)
        given: list[str] = []
        names: list[str] = []
        before = ""
        for each in args[:end]:
            name = each.partition("=")[0]
            is_value = before in options and not options[before].is_flag
            if not is_value and name not in options and _LIKE_AN_OPTION.fullmatch(each):
                near = difflib.get_close_matches(name, options)
                raise click.NoSuchOption(name, possibilities=near, ctx=ctx)
            (given if is_value or name in options else names).append(each)
            before = "" if is_value else each
        # Behind the double hyphen no letter of a name is taken for an option: an h within one would ask for help.
        return super().parse_args(ctx, [*given, "--", *names, *args[end + 1 :]])


def data_option(command: F) -> F:
    """Add ``--data DIR`` (default ``./data``, or ``HUB_DATA``)."""
    option = click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("data"),
        envvar="HUB_DATA",
        show_default=True,
        show_envvar=True,
        help="Folder of database, blobs, keys and imported schemas.",
    )
    return option(command)


def settings_for(data: Path, **overrides: Any) -> Settings:
    """Read the settings of the data folder."""
    return load_settings(data, os.environ, **overrides)


@contextmanager
def opened(data: Path, *, serves: bool = False) -> Iterator[Context]:
    """Build the hub for one command and close it afterwards; what a command that ``serves`` does besides, ``build`` says."""
    from hub import app  # the whole hub: commands that do not open it need not load it

    hub = app.build(settings_for(data), serves=serves)
    try:
        with nullcontext() if serves else unreadable_said():
            yield hub
    finally:
        hub.close()


@contextmanager
def unreadable_said() -> Iterator[None]:
    """Say at the end of the block how many stored rows it could not read, and so left out."""
    from hub.store import met_unreadable

    with met_unreadable() as met:
        yield
    if met:
        click.echo(
            "Gespeicherte Datensätze, die nicht lesbar sind und hier fehlen / "
            f"stored rows that cannot be read and are missing here: {len(met)}",
            err=True,
        )


#: Bytes of a file with a password; nobody's is longer.
_LONGEST_PASSWORD = 4096


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """What was said of a person; ``name`` is None where nobody was named."""

    name: str | None
    password_file: Path | None
    code: str = field(repr=False)


def person_options(command: F) -> F:
    """Add ``--as NAME``, ``--password-file FILE`` and ``--code DIGITS``, which the command gets as ``login``."""
    return _login_options(command, required=True, text="Account of the person who does this.")


def may_name_person(command: F) -> F:
    """Add the options of :func:`person_options` to a command that the machine's user may do as well."""
    return _login_options(
        command, required=False, text="Account of the person who does this.  [default: the machine's user]"
    )


def _login_options(command: F, *, required: bool, text: str) -> F:
    @wraps(command)
    def logging_in(*given: Any, name_: str | None, password_file: Path | None, code: str, **named: Any) -> Any:
        return command(*given, login=Login(name=name_, password_file=password_file, code=code), **named)

    options = (
        click.option("--code", default="", help="Six digits of the second factor, if the account has one."),
        click.option(
            "--password-file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="File with the password; without it the password is asked for.",
        ),
        click.option("--as", "name_", required=required, help=text),
    )
    changed: Any = logging_in
    for option in options:
        changed = option(changed)
    found: F = changed
    return found


def accounts_of(hub: Context) -> Accounts:
    """Return the accounts of a hub."""
    return hub.accounts


def operating_user() -> Person:
    """Return the machine's user as an operator: whoever may write the data folder may do what operators may."""
    from hub.identity import Person
    from hub.model import Role

    user = getpass.getuser()
    return Person(name=f"cli:{user}", full_name=user, roles=(Role.OPERATOR,), is_named=False)


def password_in(path: Path) -> str:
    """Return the password in a file, which may end in a line break.

    Raises:
        ConfigurationError: other accounts can read the file, or it holds no password.
    """
    try:
        content = vault.read(path, most=_LONGEST_PASSWORD + 1)
        text = content.decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise _no_password(path) from exc
    if not text or len(content) > _LONGEST_PASSWORD:
        raise _no_password(path)
    return text


def _no_password(path: Path) -> ConfigurationError:
    return ConfigurationError(
        Text(
            f"Die Datei {path.name} enthält kein Passwort: eine Zeile in UTF-8, höchstens {_LONGEST_PASSWORD} Byte.",
            f"The file {path.name} holds no password: one line of UTF-8, at most {_LONGEST_PASSWORD} bytes.",
        ),
        file=path.name,
    )


def acting(hub: Context, login: Login) -> Person:
    """Return the person who is named, or the machine's user; errors as :func:`logged_in`."""
    return operating_user() if login.name is None else logged_in(hub, login)


def logged_in(hub: Context, login: Login) -> Person:
    """Return the person behind the options of :func:`person_options`; raise ``Unauthenticated`` or ``TooMany``."""
    name = login.name or ""
    if login.password_file is not None:
        password = password_in(login.password_file)
    else:
        password = click.prompt(f"Passwort / password ({name})", hide_input=True, err=True)
    return accounts_of(hub).check(name, password, login.code, now=hub.clock())


def verdict(claims: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines on what was accepted although it is invalid, lacks attachments or was not checked completely."""
    if "environment" in claims:
        yield f"Testumgebung, kein echter Eingang / test environment, nothing was really received: {claims['environment']}"
    said = claims.get("validation")
    if said is None:
        return
    if not said["valid"]:
        yield f"ungültig / invalid: {said['violations']} ({said['onInvalid']})"
    missing = said.get("missingAttachments", 0)
    if missing:
        yield f"genannte Anlagen, die fehlen / attachments named that are missing: {missing}"
    unchecked = said.get("unchecked", ())  # Receipts of earlier versions do not have it.
    if unchecked:
        yield "nicht vollständig geprüft / not completely checked:"
    for each in unchecked:
        yield f"  {each['text']['de']}\n  {each['text']['en']}"


#: Seconds after which a thread must let another one run. At the default of 5 ms, an event loop that shares the interpreter
#: with threads that hash or validate stands still for longer than a request takes; at a quarter of this, a tenth of all CPU
#: goes into taking turns.
_TURN = 0.002
#: Objects that are made before the collector looks for cycles. By default it looks several times a request, and on its
#: larger rounds at every schema and route that was loaded at the start.
_COLLECT_AFTER = (50_000, 20, 20)


def tune_interpreter() -> None:
    """Set this process's interpreter for serving, once all is built: what is there now is no garbage, and not looked at again.

    For a process that serves and does nothing else. Whoever embeds the application sets its own.
    """
    from hub.admission import allocator

    sys.setswitchinterval(_TURN)
    gc.collect()
    give_back = allocator()
    if give_back is not None:
        give_back()  # What starting took besides.
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
