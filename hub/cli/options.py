"""Options that several commands share, and opening the hub for one command."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hub.config import Settings, load_settings

if TYPE_CHECKING:
    from hub import app

F = TypeVar("F", bound=Callable[..., Any])


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
def opened(data: Path, *, serves: bool = False) -> Iterator[app.Hub]:
    """Build the hub for one command and close it afterwards; what a command that ``serves`` does besides, ``build`` says."""
    from hub import app  # the whole hub: commands that do not open it need not load it
    from hub.store import met_unreadable

    hub = app.build(settings_for(data), serves=serves)
    try:
        if serves:
            yield hub
            return
        with met_unreadable() as met:
            yield hub
        if met:
            click.echo(
                "Gespeicherte Datensätze, die nicht lesbar sind und hier fehlen / "
                f"stored rows that cannot be read and are missing here: {len(met)}",
                err=True,
            )
    finally:
        hub.close()
