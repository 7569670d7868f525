"""Usage and cost on a page: a month's figures with plots, and downloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import quote

import orjson
from starlette.responses import Response

from hub.admin.charts import PLOT_HEIGHT, PLOT_WIDTH, Bar, bars_of
from hub.admin.request import Visit
from hub.administration.usage import UsageFigures, UsageReport, UsageSheet, UsageView, as_csv, as_document, euros
from hub.errors import Malformed, Text
from hub.model.usage import Month

T = TypeVar("T", UsageView, UsageSheet)
#: Rows of the table that a page shows; the download has all.
_ROWS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class MonthPlot:
    """A month day by day: bars of what was accepted, delivered, and came to nothing, and the numbers of each day."""

    bars: tuple[Bar, ...]
    top: int
    days: tuple[tuple[str, UsageFigures | None], ...]


def show(visit: Visit) -> Response:
    """Show a month."""
    report = _report(visit)
    names = {view: visit.say(text) for view, text in _VIEWS.items()}
    return visit.page(
        "usage.html",
        report=report,
        rows=report.rows[:_ROWS],
        months=visit.hub.usage_reports.months(),
        views=names,
        plot=_plot(visit, report.month),
        has_costs=visit.hub.usage_reports.has_costs,
        euros=euros,
        width=PLOT_WIDTH,
        height=PLOT_HEIGHT,
    )


def export(visit: Visit) -> Response:
    """Download a month as CSV or JSON."""
    report, sheet = _report(visit), _chosen(UsageSheet, visit.query.text("sheet", longest=20), UsageSheet.FIGURES)
    is_json = visit.query.text("format", longest=10) == "json"
    content = orjson.dumps(as_document(report)) if is_json else as_csv(report, sheet)
    kind, ending = ("application/json", "json") if is_json else ("text/csv; charset=utf-8", "csv")
    name = quote(f"usage-{report.month}-{report.view if is_json else sheet}.{ending}")
    return Response(content, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})


_VIEWS = {
    UsageView.AREA: Text("Kommune", "Municipality"),
    UsageView.SERVICE: Text("Leistung", "Service"),
    UsageView.SENDER: Text("Absender", "Sender"),
    UsageView.VENDOR: Text("Hersteller", "Vendor"),
}


def _report(visit: Visit) -> UsageReport:
    reports = visit.hub.usage_reports
    text = visit.query.text("month", longest=7)
    month = Month.parse(text) if text else reports.this_month
    view = _chosen(UsageView, visit.query.text("by", longest=20), UsageView.AREA)
    return reports.report(month, view, scope=visit.person.scope)


def _chosen(kind: type[T], text: str, default: T) -> T:
    try:
        return kind(text) if text else default
    except ValueError as exc:
        raise Malformed(Text("Diese Auswahl gibt es nicht.", "There is no such choice.")) from exc


def _plot(visit: Visit, month: Month) -> MonthPlot:
    by_day = visit.hub.usage_reports.by_day(month, scope=visit.person.scope)
    days = [day.isoformat() for day in month.days()]
    found = [by_day.get(day) for day in days]
    counts = {
        "accepted": [each.accepted if each else 0 for each in found],
        "delivered": [each.delivered if each else 0 for each in found],
        "failed": [each.given_up + each.rejected if each else 0 for each in found],
    }
    top = max(1, *(max(each) for each in counts.values()))
    return MonthPlot(bars=tuple(bars_of(counts, top, len(days))), top=top, days=tuple(zip(days, found, strict=True)))
