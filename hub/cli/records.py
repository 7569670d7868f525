"""``hub records``: the record of processing activities, and answers to requests for access (GDPR)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from hub.cli.options import Login, acting, data_option, may_name_person, opened


@click.group()
def records() -> None:
    """Verzeichnis und Auskünfte (DSGVO) / record of processing, requests for access."""


_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON document instead of text.")


@records.command("processing")
@_as_json
@data_option
def print_processing(as_json: bool, data: Path) -> None:
    """Print the record of processing activities (Article 30 GDPR), as settings, services and destinations are now.

    Who is responsible and on what legal ground is left for people to fill in.
    """
    from hub.administration.disclosure import processing

    with opened(data) as hub:
        names = {urn: hub.book.services.name(urn) for urn in hub.book.services}
        document = processing(hub.store, names, hub.operation, now=hub.clock())
    _print(document, as_json=as_json)


@records.command("access")
@click.argument("wanted", metavar="ID", type=click.UUID)
@click.option("--reference", default="", help="The office's own reference of the request, for the audit log.")
@_as_json
@may_name_person
@data_option
def print_access(wanted: UUID, reference: str, as_json: bool, login: Login, data: Path) -> None:
    """Print all that the hub holds about the submission, reply or case ID (Article 15 GDPR). Audited.

    Contents are sealed for their authority: of each part there is its size and its hash.
    """
    from hub.administration.disclosure import Access, Asked

    with opened(data) as hub:
        person = acting(hub, login)
        asked = Asked(actor=person.name, now=hub.clock(), reference=reference[:100])
        document = Access(hub.store, hub.operation.periods).about(wanted, asked)
    _print(document, as_json=as_json)


def _print(document: dict[str, Any], *, as_json: bool) -> None:
    from hub.administration.disclosure import as_text

    click.echo(json.dumps(document, ensure_ascii=False, indent=2) if as_json else as_text(document))


COMMANDS = (records,)
