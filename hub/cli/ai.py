"""``hub ai``: the register of AI systems, its links, its versions."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.cli.options import Login, data_option, logged_in, opened, person_options
from hub.cli.versions import approve as approve_version
from hub.cli.versions import list_versions, output_option, version_option, write
from hub.cli.versions import publish as publish_version
from hub.services.ai_systems import AiRegister, read_systems, to_yaml

if TYPE_CHECKING:
    from hub.administration.ai_versions import AiVersions
    from hub.app import Context

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NUMBER = version_option("what is published")


@click.group()
def ai() -> None:
    """KI-Register / register of AI systems."""


@ai.command("list")
@_NUMBER
@data_option
def list_(number: int | None, data: Path) -> None:
    """List all systems: id, kind, status, risk class, name; what was withdrawn, too."""
    with opened(data) as hub:
        for each in _register(hub.ai_book, number, hub.clock()):
            click.echo(f"{each.id:<30}  {each.kind:<11}  {each.status:<14}  {each.risk:<8}  {each.texts['name'].de}")


@ai.command()
@click.argument("system_id")
@_NUMBER
@data_option
def show(system_id: str, number: int | None, data: Path) -> None:
    """Print one system as YAML."""
    with opened(data) as hub:
        click.echo(to_yaml([_register(hub.ai_book, number, hub.clock()).system(system_id)]), nl=False)


@ai.command()
@output_option
@_NUMBER
@data_option
def export(output: Path | None, number: int | None, data: Path) -> None:
    """Write all systems as one YAML file, which can be read back."""
    with opened(data) as hub:
        content = to_yaml(_register(hub.ai_book, number, hub.clock()))
    write(content, output)


@ai.command()
@click.argument("source", type=_FILE, required=False)
@data_option
def check(source: Path | None, data: Path) -> None:
    """Check a YAML file of systems, or look at all links of what is published now. Exit 1 where one leads nowhere."""
    if source is not None:
        click.echo(f"{len(AiRegister.of(read_systems(source.read_bytes())))} Systeme / systems")
        return
    with opened(data) as hub:
        failed = hub.link_watch.check(hub.clock())
        for each in failed:
            click.echo(f"{each.url}  {each.note}")
        links = len(hub.store.ai_links.all())
    click.echo(f"{links} Verweise / links, {len(failed)} ins Leere / lead nowhere")
    if failed:
        raise SystemExit(1)


@ai.command("import")
@click.argument("source", type=_FILE)
@click.option("--title", default="", help="What the draft is for.")
@person_options
@data_option
def import_(source: Path, title: str, login: Login, data: Path) -> None:
    """Make a draft of what is published with the systems of SOURCE put in, a YAML file."""
    given = read_systems(source.read_bytes())
    with opened(data) as hub:
        person, now, book = logged_in(hub, login), hub.clock(), hub.ai_book
        _drafted(book, book.draft(person, title=title or source.name, now=now, systems=given).number, now)


@ai.command()
@click.argument("system_id")
@person_options
@data_option
def withdraw(system_id: str, login: Login, data: Path) -> None:
    """Make a draft in which a system is withdrawn from today on; it stays to be read."""
    with opened(data) as hub:
        person, now, book = logged_in(hub, login), hub.clock(), hub.ai_book
        draft = book.draft(person, title=f"- {system_id}", now=now)
        book.withdraw(draft.number, system_id, person, revision=draft.revision, now=now)
        _drafted(book, draft.number, now)


@ai.command()
@data_option
def versions(data: Path) -> None:
    """List all versions, newest first; an asterisk marks the one that is published."""
    list_versions(data, _book)


@ai.command()
@click.argument("number", type=int)
@click.option("--text", default="", help="Why, where links lead nowhere.")
@person_options
@data_option
def approve(number: int, text: str, login: Login, data: Path) -> None:
    """Approve a draft; somebody who did not edit it has to."""
    approve_version(data, login, _book, number, text)


@ai.command()
@click.argument("number", type=int)
@click.option("--text", default="", help="A remark.")
@person_options
@data_option
def publish(number: int, text: str, login: Login, data: Path) -> None:
    """Publish an approved version; all processes have it within seconds."""
    publish_version(data, login, _book, number, text)


def _book(hub: Context) -> AiVersions:
    return hub.ai_book


def _register(book: AiVersions, number: int | None, now: datetime) -> AiRegister:
    """Return what is published, or another version."""
    return book.at(now) if number is None else book.content(number)


def _drafted(book: AiVersions, number: int, now: datetime) -> None:
    """Say what a new draft changes."""
    click.echo(f"Entwurf / draft {number}")
    for line in book.compare(number, now=now):
        click.echo(f"  {line.de}")


COMMANDS = (ai,)
