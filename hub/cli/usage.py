"""``hub usage``: a month's figures and costs, to look at, to take along, and to be counted again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hub.cli.options import data_option, opened
from hub.model import Scope

if TYPE_CHECKING:
    from hub.administration.usage import UsageFigures

_VIEWS = ("area", "service", "sender", "vendor", "all")


@click.group()
def usage() -> None:
    """Nutzung und Kosten / usage and cost."""


_month = click.argument("month", metavar="YYYY-MM")
_by = click.option("--by", type=click.Choice(_VIEWS), default="area", show_default=True, help="What is told apart.")
_tenant = click.option("--tenant", default="", metavar="ARS", help="Only destinations of this tenant.")


@usage.command("show")
@_month
@_by
@_tenant
@data_option
def show_usage(month: str, by: str, tenant: str, data: Path) -> None:
    """Print the figures of a month: accepted, delivered, taken over, rejected, given up, and the times."""
    from hub.administration.usage import UsageView, euros
    from hub.model.usage import Month

    with opened(data) as hub:
        report = hub.usage_reports.report(Month.parse(month), UsageView(by), scope=Scope.of_area(tenant))
    for row in report.rows:
        what = ", ".join(row.names[name] or "-" for name in row.keys)
        click.echo(f"{_line(row.figures)}  {what}")
    click.echo(f"{_line(report.total)}  Alle / all")
    for refusal in report.refusals:
        click.echo(f"An der Tür abgelehnt / refused at the door: {refusal.sender} {refusal.slug} {refusal.number}")
    for share in report.costs:
        click.echo(f"EUR {euros(share.cents):>14}  {share.name}: {share.item}")
    if not report.complete:
        click.echo("Der Monat ist noch nicht abgeschlossen. / The month is not over yet.")


def _line(figures: UsageFigures) -> str:
    numbers = [
        f"{getattr(figures, name):>9}" for name in ("accepted", "delivered", "taken_over", "rejected", "given_up")
    ]
    times = [
        getattr(figures, name) for name in ("delivery_median", "delivery_p90", "acceptance_median", "acceptance_p90")
    ]
    return "".join(numbers) + "".join(f"{'-' if each is None else f'{each:.2f} h':>12}" for each in times)


@usage.command("export")
@_month
@_by
@_tenant
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@click.option("--sheet", type=click.Choice(["figures", "refused", "costs"]), default="figures", show_default=True)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="File to write; else standard output.")
@data_option
def export_usage(month: str, by: str, tenant: str, kind: str, sheet: str, out: Path | None, data: Path) -> None:
    """Write a month as CSV for spreadsheets, or as JSON."""
    from hub.administration.usage import UsageSheet, UsageView, as_csv, as_document
    from hub.model.usage import Month

    with opened(data) as hub:
        report = hub.usage_reports.report(Month.parse(month), UsageView(by), scope=Scope.of_area(tenant))
    is_json = kind == "json"
    document = json.dumps(as_document(report), ensure_ascii=False, indent=2) + "\n" if is_json else ""
    content = document.encode() if is_json else as_csv(report, UsageSheet(sheet))
    if out is None:
        click.echo(content, nl=False)
    else:
        out.write_bytes(content)


@usage.command("roll-up")
@click.option("--month", "text", metavar="YYYY-MM", help="Count all days of this month anew.")
@data_option
def roll_up_usage(text: str | None, data: Path) -> None:
    """Count now what changed, as the hub does every hour; days whose submissions are deleted stay as they were."""
    from hub.model.usage import Month

    with opened(data) as hub:
        if text is not None:
            number = hub.roll_up.month(Month.parse(text), hub.clock())
            click.echo(f"Gezählt / counted: {number}")
            return
        days = hub.roll_up.run(hub.clock())
        click.echo(f"Tage gezählt / days counted: {days}")


COMMANDS = (usage,)
