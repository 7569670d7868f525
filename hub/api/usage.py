"""Usage and cost over the API, for administrators; and what everybody may know of it, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape
from typing import Any

from connexion.lifecycle import ConnexionResponse

from hub.administration.public_figures import LEAST, PublicTable
from hub.administration.usage import PublicReport, UsageReports, UsageSheet, UsageView, as_csv, as_document
from hub.api import FRESH, in_thread, json_answer
from hub.api.pages import page
from hub.errors import Text
from hub.identity import Person
from hub.model.usage import Month

#: For so long others may keep what everybody may know; a finished month changes no more.
_KEPT = {"Cache-Control": "public, max-age=3600"}


class UsageDesk:
    """Handler of ``/hub/v1/usage``."""

    def __init__(self, *, reports: UsageReports, person: Callable[[], Person]) -> None:
        self._reports = reports
        self._person = person

    async def show(
        self,
        month: str | None = None,
        by: str = "area",
        format: str = "json",  # noqa: A002  # the contract's name
        sheet: str = "figures",
    ) -> ConnexionResponse:
        """Show a month of the person's tenant, as JSON or as CSV."""
        wanted = self._reports.this_month if month is None else Month.parse(month)
        report = await in_thread(self._reports.report, wanted, UsageView(by), scope=self._person().scope)
        if format == "json":
            return json_answer(as_document(report), headers=FRESH)
        name = f"usage-{wanted}-{sheet}.csv"
        return ConnexionResponse(
            status_code=200,
            body=as_csv(report, UsageSheet(sheet)),
            content_type="text/csv; charset=utf-8",
            headers={**FRESH, "Content-Disposition": f'attachment; filename="{name}"'},
        )


class PublicFigures:
    """Handlers of ``/hub/v1/figures`` and ``/figures``."""

    def __init__(self, reports: UsageReports) -> None:
        self._reports = reports

    async def show(self, month: str | None = None) -> ConnexionResponse:
        """Show a finished month, the last one where none is named."""
        months, report = await in_thread(self._look, month)
        document: dict[str, Any] = {"months": [str(each) for each in months], "least": LEAST, "figures": None}
        if report is not None:
            document["figures"] = {
                "month": str(report.month),
                "services": _table_json(report.services, report.service_names),
                "areas": _table_json(report.areas, report.area_names),
                "total": report.services.total,
                "medianHoursToDelivery": report.delivery_median,
            }
        return json_answer(document, headers=_KEPT)

    async def page(self, month: str | None = None, lang: str = "de") -> ConnexionResponse:
        """Show the same to people."""
        months, report = await in_thread(self._look, month)
        title = _say(Text("Zahlen – Rathaus-Hub", "Figures – Rathaus-Hub"), lang)
        return page(title, "\n".join(_page(months, report, month, lang)), lang)

    def _look(self, month: str | None) -> tuple[list[Month], PublicReport | None]:
        months = self._reports.public_months()
        wanted = Month.parse(month) if month is not None else next(iter(months), None)
        return months, None if wanted is None else self._reports.public(wanted)


def _table_json(table: PublicTable, names: Mapping[str, str]) -> dict[str, Any]:
    shown = [{"key": key, "name": names[key], "count": number} for key, number in table.shown.items()]
    return {"shown": shown, "others": table.others}


_COUNTED = Text("Angenommene Anträge", "Applications accepted")


def _page(months: list[Month], report: PublicReport | None, wanted: str | None, lang: str) -> Iterator[str]:
    yield f"<h1>{_say(Text('Zahlen', 'Figures'), lang)}</h1>"
    query = f"month={report.month}&amp;" if report is not None else ""
    other = "de" if lang == "en" else "en"
    yield (
        f'<p><a href="/figures?{query}lang={other}" lang="{other}">{"Deutsch" if other == "de" else "English"}</a> · '
        f'<a href="/hub/v1/figures{f"?month={report.month}" if report is not None else ""}">JSON</a></p>'
    )
    if months:
        links = [
            f'<li><a href="/figures?month={each}&amp;lang={lang}"{_current(each, report)}>{each}</a></li>'
            for each in months
        ]
        yield f'<nav aria-label="{_say(Text("Monate", "Months"), lang)}"><ul class="menu">{"".join(links)}</ul></nav>'
    if report is None:
        yield f"<p>{_say(_NOTHING if months or wanted else _NOT_YET, lang)}</p>"
        return
    yield f"<p>{_say(_WHY, lang)}</p>"
    yield f"<p><strong>{_say(_COUNTED, lang)} ({report.month}): {report.services.total}</strong></p>"
    yield from _table(Text("Nach Leistung", "By service"), report.services, report.service_names, lang)
    yield from _table(Text("Nach Kommune", "By municipality"), report.areas, report.area_names, lang)


_NOT_YET = Text("Noch ist kein Monat vorbei und gezählt.", "No month is over and counted yet.")
_NOTHING = Text(
    f"In diesem Monat waren es zu wenige Anträge: unter {LEAST} wird nichts veröffentlicht, und keine Summe, die es verrät.",
    f"There were too few applications in this month: below {LEAST} nothing is published, nor a sum that tells it.",
)
_WHY = Text(
    f"Was weniger als {LEAST} Anträge hat, steht mit anderem zusammen unter „Übrige“, damit niemand zu erkennen ist.",
    f"What has fewer than {LEAST} applications stands together with others under 'Others', so that nobody can be recognised.",
)


def _current(month: Month, report: PublicReport | None) -> str:
    return ' aria-current="page"' if report is not None and report.month == month else ""


def _table(title: Text, table: PublicTable, names: Mapping[str, str], lang: str) -> Iterator[str]:
    yield f'<section><h2>{_say(title, lang)}</h2><table><thead><tr><th scope="col">{_say(title, lang)}</th>'
    yield f'<th scope="col">{_say(_COUNTED, lang)}</th></tr></thead><tbody>'
    for key, number in sorted(table.shown.items(), key=lambda each: (-each[1], names[each[0]])):
        yield f'<tr><th scope="row">{escape(names[key])}</th><td>{number}</td></tr>'
    if table.others is not None:
        yield f'<tr><th scope="row">{_say(Text("Übrige", "Others"), lang)}</th><td>{table.others}</td></tr>'
    yield "</tbody></table></section>"


def _say(text: Text, lang: str) -> str:
    return text.en if lang == "en" else text.de
