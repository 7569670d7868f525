"""``hub dead``: what could not be delivered, and sending it again."""

from __future__ import annotations

import getpass
from pathlib import Path
from uuid import UUID

import click

from hub.administration.dead_letters import By, DeadLetters
from hub.app import Hub
from hub.cli.options import data_option, opened
from hub.errors import Conflict
from hub.identity.access import existing_destination
from hub.model.reasons import for_people, reason_of
from hub.model.submission import DeadCause
from hub.store import all_pages

_PAGE = 500
_CAUSES = click.Choice([cause.value for cause in DeadCause])


@click.group()
def dead() -> None:
    """Unzustellbares / dead letters."""


@dead.command("list")
@click.option("--cause", type=_CAUSES, help="Only those of this cause.")
@click.option("--destination", "destination_id", type=click.UUID, help="Only those to this destination.")
@data_option
def list_(cause: str | None, destination_id: UUID | None, data: Path) -> None:
    """List dead letters, the oldest first: delivery, cause, destination, since when, and what the last attempt came to."""
    with opened(data) as hub:
        within, number = _within(hub, destination_id), 0
        letters = DeadLetters(store=hub.store)
        for page in all_pages(lambda start: letters.list(_cause(cause), within=within, offset=start, limit=_PAGE)):
            reasons = letters.reasons(page)
            for each in page.items:
                why = each.cause.value if each.cause is not None else "-"
                since, note = f"{each.accepted_at:%Y-%m-%d %H:%M}", reasons.get(each.delivery_id)
                click.echo(f"{each.delivery_id}  {why:<13}  {each.destination_id}  {since}  {_told(note)}")
            number += len(page.items)
    click.echo(f"{number} unzustellbar / dead letters", err=True)


@dead.command()
@click.argument("delivery_ids", metavar="[DELIVERY_ID]...", nargs=-1, type=click.UUID)
@click.option("--all", "everything", is_flag=True, help="All dead letters of a cause.")
@click.option("--cause", type=_CAUSES, help="With --all: only those of this cause.")
@click.option("--destination", "destination_id", type=click.UUID, help="With --all: only those to this destination.")
@data_option
def redrive(
    delivery_ids: tuple[UUID, ...], everything: bool, cause: str | None, destination_id: UUID | None, data: Path
) -> None:
    """Send dead letters again, singly or in bulk; what is not dead any more is left alone.

    In bulk the cause must be named: of cause payload are also the invalid applications that are kept in quarantine.
    """
    if everything == bool(delivery_ids) or everything != bool(cause) or (destination_id and not everything):
        raise click.UsageError("name deliveries, or --all with --cause (and --destination as wanted)")
    with opened(data) as hub:
        if everything:
            again, left = _redrive_all(hub, _cause(cause), destination_id), 0
        else:
            again, left = _redrive_each(hub, delivery_ids)
    click.echo(f"{again} wieder in Zustellung / redriven, {left} unverändert / left alone")


def _told(note: str | None) -> str:
    """Return what a note says: its code, and its text in both languages."""
    if note is None:
        return "-"
    return f"{reason_of(note).code}: {for_people(note, german=True)} / {for_people(note, german=False)}"


def _redrive_all(hub: Hub, cause: DeadCause | None, destination_id: UUID | None) -> int:
    within = _within(hub, destination_id)
    return DeadLetters(store=hub.store).redrive_all(cause, within=within, by=_by(hub))


def _redrive_each(hub: Hub, delivery_ids: tuple[UUID, ...]) -> tuple[int, int]:
    letters, again = DeadLetters(store=hub.store), 0
    for delivery_id in delivery_ids:
        try:
            again += letters.redrive(delivery_id, within=None, by=_by(hub))
        except Conflict as error:
            click.echo(f"{delivery_id}: {error.detail.de} / {error.detail.en}", err=True)
    return again, len(delivery_ids) - again


def _within(hub: Hub, destination_id: UUID | None) -> frozenset[UUID] | None:
    if destination_id is None:
        return None
    return frozenset({existing_destination(hub.store, destination_id).destination_id})


def _cause(text: str | None) -> DeadCause | None:
    return None if text is None else DeadCause(text)


def _by(hub: Hub) -> By:
    return By(actor=f"cli:{getpass.getuser()}", now=hub.clock())


COMMANDS = (dead,)
