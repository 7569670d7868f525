"""What commands do with a content that is kept in versions and changed by two people: tables, services, AI systems."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hub.cli.options import Login, logged_in, opened

if TYPE_CHECKING:
    from hub.administration.versions import VersionBook
    from hub.app import Context

F = TypeVar("F", bound=Callable[..., Any])
#: How a command finds its book in the opened hub.
Book = Callable[["Context"], "VersionBook[Any]"]

#: ``--output FILE``, for whatever is written as a file.
output_option = click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="File.  [default: standard output]"
)


def version_option(default: str) -> Callable[[F], F]:
    """Return ``--version NUMBER``; ``default`` says in words which one is meant without it."""
    return click.option(
        "--version", "number", type=int, default=None, help=f"Number of the version.  [default: {default}]"
    )


def write(content: bytes, output: Path | None) -> None:
    """Write a file, or to standard output."""
    if output is None:
        click.echo(content, nl=False)
    else:
        output.write_bytes(content)


def list_versions(data: Path, book_of: Book) -> None:
    """Print all versions, newest first; an asterisk marks the one in force."""
    with opened(data) as hub:
        book = book_of(hub)
        active = book.number(hub.clock())
        for each in book.versions(limit=500).items:
            mark = "*" if each.number == active else " "
            people = f"{', '.join(each.editors)} -> {each.approved_by or '?'}"
            click.echo(f"{mark}{each.number:>4}  {each.state:<9}  {each.size:>6}  {people:<30}  {each.title}")


def approve(data: Path, login: Login, book_of: Book, number: int, text: str) -> None:
    """Approve a draft as it is now."""
    with opened(data) as hub:
        person, book = logged_in(hub, login), book_of(hub)
        book.approve(number, person, revision=book.version(number).revision, now=hub.clock(), text=text)
    click.echo(f"Freigegeben / approved: {number}")


def publish(data: Path, login: Login, book_of: Book, number: int, text: str) -> None:
    """Publish an approved version."""
    with opened(data) as hub:
        book_of(hub).activate(number, logged_in(hub, login), now=hub.clock(), text=text)
    click.echo(f"Veröffentlicht / published: {number}")


def rollback(data: Path, login: Login, book_of: Book, number: int | None, text: str) -> int:
    """Bring an earlier version into force again, the one before unless told otherwise; return its number."""
    with opened(data) as hub:
        return book_of(hub).rollback(logged_in(hub, login), now=hub.clock(), text=text, number=number).number
