"""``hub circuits``: which receivers are being spared, and trying one again at once."""

from __future__ import annotations

import getpass
from pathlib import Path
from uuid import UUID

import click

from hub.cli.options import data_option, opened
from hub.identity.access import existing_destination
from hub.store import AuditEntry, Circuit
from hub.store.reports import Figures

_MOST = 500


@click.group()
def circuits() -> None:
    """Sicherungen / circuit breakers."""


@circuits.command("list")
@data_option
def list_(data: Path) -> None:
    """List destinations whose deliveries fail or pause: destination, failures in a row, until when nothing is sent."""
    with opened(data) as hub:
        now = hub.clock()
        for each in Figures(hub.store).troubled(limit=_MOST):
            until = f"{each.open_until:%Y-%m-%d %H:%M:%S}" if each.standing.is_open(now) else "-"
            click.echo(f"{each.destination_id}  {each.failures:>5}  {until}")


@circuits.command()
@click.argument("destination_id", type=click.UUID)
@data_option
def close(destination_id: UUID, data: Path) -> None:
    """Let deliveries to a destination be attempted at once, also after it said that it is gone."""
    with opened(data) as hub:
        destination = existing_destination(hub.store, destination_id)
        closed = Circuit(destination_id=destination.destination_id)
        hub.store.change_circuit(destination.destination_id, lambda _: closed, hub.clock())
        hub.store.append_audit(
            AuditEntry(
                at=hub.clock(),
                actor=f"cli:{getpass.getuser()}",
                action="circuit.close",
                target=f"destination:{destination_id}",
            )
        )
    click.echo(f"{destination_id}  geschlossen / closed")


COMMANDS = (circuits,)
