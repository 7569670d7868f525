"""``hub adapters``: which ways into receiving systems are installed, and whether one is any good."""

from __future__ import annotations

import sys
import tempfile
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import click

from hub.adapter_kit.check import check as check_all
from hub.adapter_kit.trial import find_trial
from hub.adapter_kit.workshop import Workshop
from hub.app import utc_now
from hub.errors import ConfigurationError, NotFound, Text
from hub.model.delivery import Adapter


@click.group()
def adapters() -> None:
    """Adapter / adapters."""


@adapters.command("list")
def list_() -> None:
    """List the installed adapters and where they come from."""
    for entry in sorted(entry_points(group="hub.adapters"), key=lambda entry: entry.name):
        source = entry.dist.name if entry.dist else "-"
        click.echo(f"{entry.name:<14}  {source:<20}  {entry.value}")


@adapters.command()
@click.argument("name")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Trial of the adapter (YAML); without it, trials/NAME.yaml beside the adapter's module.",
)
@click.option("--only", default="", help="Run only the sentences that hold this text.")
def check(name: str, config: Path | None, only: str) -> None:
    """Try an adapter on receiving systems that fail in every known way, on loopback; exit 1 if it errs."""
    adapter = _loaded(name)
    trial = find_trial(name, adapter, config)
    total = failed = 0
    with tempfile.TemporaryDirectory(prefix="hub-adapter-") as folder:
        for result in check_all(adapter, trial, Workshop(Path(folder), now=utc_now()), only=only):
            total += 1
            failed += bool(result.complaints)
            click.secho("FAIL" if result.complaints else "pass", fg="red" if result.complaints else "green", nl=False)
            click.echo(f"  {result.sentence}")
            for complaint in result.complaints:
                click.echo(f"      {complaint}")
    click.echo(f"{name}: {total - failed} / {total}")
    if failed or not total:
        sys.exit(1)


def _loaded(name: str) -> type[Adapter]:
    found: EntryPoint | None = next(iter(entry_points(group="hub.adapters", name=name)), None)
    if found is None:
        known = ", ".join(sorted(entry_points(group="hub.adapters").names))
        raise NotFound(
            Text(
                f"Es gibt keinen Adapter „{name}“. Bekannt sind: {known}.",
                f'There is no adapter "{name}". Known are: {known}.',
            )
        )
    try:
        adapter: type[Adapter] = found.load()
    except (ImportError, AttributeError) as exc:
        raise ConfigurationError(
            Text(
                f"Der Adapter {name} lässt sich nicht laden; vielleicht fehlt ein Paket, das er braucht.",
                f"The adapter {name} cannot be loaded; perhaps a package that it needs is missing.",
            )
        ) from exc
    return adapter


COMMANDS = (adapters,)
