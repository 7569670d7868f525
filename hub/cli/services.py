"""``hub services``: the catalogue of public services, what of it is found by which words, what it lacks; its versions."""

from __future__ import annotations

from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.cli.options import Login, data_option, logged_in, opened, person_options, settings_for, unreadable_said
from hub.cli.versions import approve as approve_version
from hub.cli.versions import list_versions, output_option, version_option, write
from hub.cli.versions import publish as publish_version
from hub.cli.versions import rollback as rollback_version
from hub.errors import NotFound, Text
from hub.files import vault
from hub.model import LEIKA_PREFIX, utc_now
from hub.services import PublicService, ServiceCatalogue, complaints, read_services, to_yaml

if TYPE_CHECKING:
    from hub.administration.service_versions import ServiceVersions
    from hub.app import Context

_SOURCE = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(exists=True, path_type=Path)
#: Services that a search prints.
_MOST = 20
_LANGUAGE = click.option("--lang", type=click.Choice(["de", "en"]), default="de", show_default=True, help="Language.")


@click.group()
def services() -> None:
    """Leistungen für Bürger / public services for citizens."""


@services.command("list")
@data_option
def list_(data: Path) -> None:
    """List all services: LeiKa key, name, who is responsible."""
    for each in _catalogue(data):
        click.echo(_line(each, "de"))


@services.command()
@click.argument("words", nargs=-1, required=True)
@_LANGUAGE
@data_option
def search(words: tuple[str, ...], lang: str, data: Path) -> None:
    """Find services as citizens do, best first. Exit 1 if there is none."""
    hits = _catalogue(data).search(" ".join(words), lang)
    if not hits:
        raise NotFound(
            Text("Dazu findet sich keine Leistung. Nehmen Sie andere Worte.", "No service is found. Use other words.")
        )
    for hit in hits[:_MOST]:
        click.echo(f"{hit.score:>6.1f}  {_line(hit.service, lang)}")


@services.command()
@click.argument("folder", type=_SOURCE, required=False)
@data_option
def check(folder: Path | None, data: Path) -> None:
    """Check the files of FOLDER (with services/*.yaml; default: what is published): form, then what entries lack or is due."""
    catalogue = _catalogue(data) if folder is None else ServiceCatalogue.load(folder)
    due = complaints(catalogue, on=_today())
    for service, text in due:
        click.echo(f"{service.key.removeprefix(LEIKA_PREFIX)}  {service.name.de}: {text.de}")
    click.echo(f"{len(catalogue)} Leistungen / services, {len(due)} Hinweise / remarks")


@services.command()
@version_option("what is published")
@output_option
@data_option
def export(number: int | None, output: Path | None, data: Path) -> None:
    """Write all services as one YAML file, which can be read back."""
    if number is None:
        content = to_yaml(_catalogue(data))
    else:
        with opened(data) as hub:
            content = to_yaml(hub.service_book.content(number))
    write(content, output)


@services.command()
@data_option
def versions(data: Path) -> None:
    """List all versions, newest first; an asterisk marks the one that is published."""
    list_versions(data, _book)


@services.command("import")
@click.argument("source", type=_FILE)
@click.option("--title", default="", help="What the draft is for.")
@click.option(
    "--replace", is_flag=True, help="Services that SOURCE does not name go.  [default: they stay as they are]"
)
@person_options
@data_option
def import_(source: Path, title: str, replace: bool, login: Login, data: Path) -> None:  # a switch
    """Make a draft of what is published with the services of SOURCE: a YAML file, or a folder with services/*.yaml."""
    given = list(ServiceCatalogue.load(source)) if source.is_dir() else read_services(source.read_bytes(), source.name)
    with opened(data) as hub:
        person, now, book = logged_in(hub, login), hub.clock(), hub.service_book
        named = {each.key for each in given}
        kept = [] if replace else [each for each in book.at(now) if each.key not in named]
        draft = book.draft(person, title=title or source.name, now=now, services=[*kept, *given])
        click.echo(f"Entwurf / draft {draft.number}")
        for line in book.compare(draft.number, now=now):
            click.echo(f"  {line.de}")
        for service, text in book.fresh_complaints(book.content(draft.number), now=now):
            click.echo(f"Hinweis / remark  {service.name.de}: {text.de}")


@services.command()
@click.argument("number", type=int)
@click.option("--with", "other", type=int, default=None, help="Version to compare with.  [default: what is published]")
@data_option
def diff(number: int, other: int | None, data: Path) -> None:
    """Print what citizens would read otherwise by a version."""
    with opened(data) as hub:
        for line in hub.service_book.compare(number, now=hub.clock(), with_number=other):
            click.echo(line.de)


@services.command()
@click.argument("number", type=int)
@click.option("--text", default="", help="Why, where entries lack something.")
@person_options
@data_option
def approve(number: int, text: str, login: Login, data: Path) -> None:
    """Approve a draft; where citizens see a change, somebody who did not edit it has to."""
    approve_version(data, login, _book, number, text)


@services.command()
@click.argument("number", type=int)
@click.option("--text", default="", help="A remark.")
@person_options
@data_option
def publish(number: int, text: str, login: Login, data: Path) -> None:
    """Publish an approved version; all processes have it within seconds."""
    publish_version(data, login, _book, number, text)


@services.command()
@click.option("--to", "number", type=int, default=None, help="Version.  [default: the one that was published before]")
@click.option("--text", required=True, help="Why.")
@person_options
@data_option
def rollback(number: int | None, text: str, login: Login, data: Path) -> None:
    """Publish an earlier version again, at once."""
    begun = rollback_version(data, login, _book, number, text)
    click.echo(f"Veröffentlicht / published: {begun}")


def _book(hub: Context) -> ServiceVersions:
    return hub.service_book


def _catalogue(data: Path) -> ServiceCatalogue:
    """Return what is published, with nothing else of the hub; before a first start what its files hold."""
    from hub.administration.service_versions import ServiceVersions
    from hub.store import Store

    settings = settings_for(data)
    vault.make_folder(settings.data)
    with closing(Store(settings.database)) as store, unreadable_said():
        if store.schema_revision() is not None:
            store.require_tables()
            book = ServiceVersions(store=store, ruled=lambda _: ())
            if book.versions(limit=1).total:
                return book.at(utc_now())
    return ServiceCatalogue.load(settings.rules)


def _today() -> date:
    return utc_now().date()


def _line(service: PublicService, lang: str) -> str:
    key, name = service.key.removeprefix(LEIKA_PREFIX), service.name.en if lang == "en" else service.name.de
    who = ", ".join(each.label.en if lang == "en" else each.label.de for each in service.responsible)
    return f"{key}  {name:<60}  {who}"


COMMANDS = (services,)
