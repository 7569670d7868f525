"""``hub route``: why an authority is responsible."""

from __future__ import annotations

from pathlib import Path

import click

from hub import app
from hub.areas import Area, Gazetteer
from hub.cli.options import data_option, settings_for
from hub.resources import shipped
from hub.routing import RoutingTable


@click.group()
def route() -> None:
    """Zuständigkeiten / responsibilities."""


@route.command()
@click.option("--service", required=True, help="Service identifier (LeiKa URN).")
@click.option("--ars", required=True, help="Area: ARS with 2, 3, 5, 9 or 12 digits.")
@data_option
def explain(service: str, ars: str, data: Path) -> None:
    """Print which rules were considered, prefix by prefix, and who is responsible. Exit 1 if nobody is."""
    settings = settings_for(data)
    rules = Path(settings.routing_rules) if settings.routing_rules else shipped("routing_rules")
    table = RoutingTable.load(rules, Gazetteer.load(rules / "areas"))
    area = Area.from_ars(ars)
    for line in table.explain(area, service, app.utc_now()).lines():
        click.echo(line)
    table.route(area, service, app.utc_now())


COMMANDS = (route,)
