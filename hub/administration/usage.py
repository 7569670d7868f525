"""UsageFigures of usage and cost for people: a month by municipality, service, sender or vendor, as table, CSV and JSON."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from hub.administration.costs import Costs, CostShare
from hub.administration.public_figures import PublicTable, published
from hub.areas import Gazetteer
from hub.errors import not_found
from hub.files.sheets import disarmed
from hub.model import EVERYTHING, Scope
from hub.model.usage import ARRIVED, Month, UsageOutcome, day_of, percentile
from hub.store import RefusalLine, Store, UsageDay, UsageLine

_MEDIAN, _NINE_OF_TEN = 0.5, 0.9


class UsageView(StrEnum):
    """What a table of figures tells apart."""

    AREA = "area"
    SERVICE = "service"
    SENDER = "sender"
    VENDOR = "vendor"
    #: All of them at once: what the download is for.
    ALL = "all"

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The dimensions of the roll-up that it takes."""
        return ("area", "service", "sender", "vendor") if self is UsageView.ALL else (self.value,)


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageFigures:
    """What a month's submissions came to. Hours are None where there were none; shares lie between 0 and 1.

    ``delivered`` counts what the authority has, answered or not; ``causes`` are those of what it, or the hub in its place,
    turned down, and of what the hub gave up. ``unattended`` is the share of what was delivered without a person at the hub.
    """

    accepted: int
    delivered: int
    taken_over: int
    rejected: int
    given_up: int
    open: int
    bytes: int
    causes: Mapping[str, int]
    delivery_median: float | None
    delivery_p90: float | None
    acceptance_median: float | None
    acceptance_p90: float | None
    unattended: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FiguresRow:
    """One line of a table: what it is of, by dimension, with its names for people, and its figures."""

    keys: Mapping[str, str]
    names: Mapping[str, str]
    figures: UsageFigures


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageReport:
    """A month. ``complete``: it is over and counted, only late events of its submissions can change it."""

    month: Month
    view: UsageView
    rows: Sequence[FiguresRow]
    total: UsageFigures
    refusals: Sequence[RefusalLine]
    costs: Sequence[CostShare]
    complete: bool
    counted_at: datetime | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicReport:
    """A finished month for everybody."""

    month: Month
    services: PublicTable
    areas: PublicTable
    service_names: Mapping[str, str]
    area_names: Mapping[str, str]
    delivery_median: float | None


#: Months that everybody can look at.
_PUBLIC_MONTHS = 24


class UsageReports:
    """Makes the reports; ``services`` are all there are, ``service_name`` tells what one is called."""

    def __init__(
        self,
        *,
        store: Store,
        gazetteer: Callable[[], Gazetteer],
        service_name: Callable[[str], str],
        services: Callable[[], Iterable[str]],
        costs: Costs,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._gazetteer = gazetteer
        self._service_name = service_name
        self._services = services
        self._costs = costs
        self._clock = clock

    @property
    def has_costs(self) -> bool:
        """Whether an allocation key is configured."""
        return bool(self._costs.items)

    def months(self) -> list[Month]:
        """Return the months that have figures, newest first; this month in any case."""
        return sorted({*self._store.usage.months(), self.this_month}, reverse=True)

    @property
    def this_month(self) -> Month:
        """The month that is not over."""
        return Month.of(day_of(self._clock()))

    def report(self, month: Month, view: UsageView = UsageView.AREA, *, scope: Scope) -> UsageReport:
        """Return a month within a scope.

        Raises:
            NotFound: a month that has not begun.
        """
        if month > self.this_month:
            raise not_found("month-not-found", str(month))
        usage = self._store.usage
        lines, days = usage.lines(month, by=view.dimensions, scope=scope), usage.days(month)
        return UsageReport(
            month=month,
            view=view,
            rows=self._rows(lines, view),
            total=figures_of(lines),
            refusals=usage.refused(month, scope=scope),
            costs=self.costs(month, scope=scope),
            complete=self.is_complete(month, days),
            counted_at=max((day.counted_at for day in days if day.counted_at is not None), default=None),
        )

    def by_day(self, month: Month, *, scope: Scope) -> Mapping[str, UsageFigures]:
        """Return the figures of each day of a month (``YYYY-MM-DD``) that has any."""
        found: dict[str, list[UsageLine]] = defaultdict(list)
        for line in self._store.usage.lines(month, by=("day",), scope=scope):
            found[line.day].append(line)
        return {day: figures_of(lines) for day, lines in sorted(found.items())}

    def costs(self, month: Month, *, scope: Scope) -> list[CostShare]:
        """Return what a month's central costs come to for each member within a scope, as the allocation key has it."""
        if not self._costs.items:
            return []
        accepted: Counter[str] = Counter()
        # The key divides among all members, whoever asks.
        for line in self._store.usage.lines(month, scope=EVERYTHING, by=("area",)):
            accepted[line.area] += line.number
        shares = self._costs.allocate(month, accepted)
        return [share for share in shares if scope.covers(share.ars)]

    def is_complete(self, month: Month, days: Sequence[UsageDay] | None = None) -> bool:
        """Tell whether a month is over and all its days are counted."""
        known = self._store.usage.days(month) if days is None else days
        over = span_over(month, self._clock())
        return over and all(day.counted_at is not None and day_of(day.counted_at) > day.day for day in known)

    def public(self, month: Month) -> PublicReport | None:
        """Return what everybody may know of a month; None where its submissions are too few.

        Raises:
            NotFound: a month that is not over and counted: from one day to the next its numbers tell of single submissions.
        """
        if not self.is_complete(month):
            raise not_found("month-not-found", str(month))
        lines, gazetteer = self._store.usage.lines(month, scope=EVERYTHING, by=("area", "service")), self._gazetteer()
        services = Counter(dict.fromkeys(self._services(), 0))
        areas = Counter({place.area.ars: 0 for place in gazetteer.municipalities()})
        for line in lines:
            services[line.service] += line.number
            areas[line.area] += line.number
        by_service, by_area = published(services), published(areas)
        if by_service is None or by_area is None:
            return None
        total = figures_of(lines)
        return PublicReport(
            month=month,
            services=by_service,
            areas=by_area,
            service_names={key: self._service_name(key) for key in by_service.shown},
            area_names={key: gazetteer.name(key) for key in by_area.shown},
            delivery_median=total.delivery_median,
        )

    def public_months(self) -> list[Month]:
        """Return the months that are over and counted, newest first, two years of them."""
        return [month for month in self.months()[:_PUBLIC_MONTHS] if self.is_complete(month)]

    def _rows(self, lines: Iterable[UsageLine], view: UsageView) -> list[FiguresRow]:
        found: dict[tuple[str, ...], list[UsageLine]] = defaultdict(list)
        for line in lines:
            found[tuple(getattr(line, name) for name in view.dimensions)].append(line)
        gazetteer, vendors = self._gazetteer(), self._store.vendors.names() if "vendor" in view.dimensions else {}
        rows = []
        for key, mine in found.items():
            keys = dict(zip(view.dimensions, key, strict=True))
            names = {name: self._name(name, value, gazetteer, vendors) for name, value in keys.items()}
            rows.append(FiguresRow(keys=keys, names=names, figures=figures_of(mine)))
        return sorted(rows, key=lambda row: (-row.figures.accepted, *row.keys.values()))

    def _name(self, dimension: str, value: str, gazetteer: Gazetteer, vendors: Mapping[str, str]) -> str:
        if dimension == UsageView.AREA:
            return gazetteer.name(value) if value else ""
        if dimension == UsageView.VENDOR and value:
            vendor_id, _, product = value.partition(" ")
            return f"{vendors.get(vendor_id, vendor_id)}, {product.replace('/', ' ')}"
        return self._service_name(value) if dimension == UsageView.SERVICE else value


def span_over(month: Month, now: datetime) -> bool:
    """Tell whether a month has been over for a whole day: what came in its last seconds is counted by then."""
    today = day_of(now)
    return Month.of(today) > month and today > month.after.first


def figures_of(lines: Iterable[UsageLine]) -> UsageFigures:
    """Sum lines up."""
    outcomes: Counter[UsageOutcome] = Counter()
    causes: Counter[str] = Counter()
    delivery: Counter[int] = Counter()
    acceptance: Counter[int] = Counter()
    size = by_hand = 0
    for line in lines:
        outcomes[line.outcome] += line.number
        delivery[line.delivery] += line.number
        acceptance[line.acceptance] += line.number
        size += line.bytes
        if line.cause:
            causes[line.cause] += line.number
        by_hand += line.number if line.by_hand and line.outcome in ARRIVED else 0
    delivered = sum(number for bucket, number in delivery.items() if bucket >= 0)
    return UsageFigures(
        accepted=sum(outcomes.values()),
        delivered=delivered,
        taken_over=outcomes[UsageOutcome.ACCEPTED],
        rejected=outcomes[UsageOutcome.REJECTED],
        given_up=outcomes[UsageOutcome.GIVEN_UP],
        open=outcomes[UsageOutcome.OPEN],
        bytes=size,
        causes=dict(sorted(causes.items())),
        delivery_median=percentile(delivery, _MEDIAN),
        delivery_p90=percentile(delivery, _NINE_OF_TEN),
        acceptance_median=percentile(acceptance, _MEDIAN),
        acceptance_p90=percentile(acceptance, _NINE_OF_TEN),
        unattended=(delivered - min(by_hand, delivered)) / delivered if delivered else None,
    )


#: Columns of the CSV besides the dimensions and their names.
_NUMBERS = ("accepted", "delivered", "taken_over", "rejected", "given_up", "open", "bytes")
_MEASURES = ("delivery_median", "delivery_p90", "acceptance_median", "acceptance_p90", "unattended")


class UsageSheet(StrEnum):
    """What a CSV holds."""

    FIGURES = "figures"
    REFUSED = "refused"
    COSTS = "costs"


def as_csv(report: UsageReport, sheet: UsageSheet = UsageSheet.FIGURES) -> bytes:
    """Return a part of a report as CSV for spreadsheets: UTF-8 with a mark, semicolon, CRLF; no cell is taken for a formula.

    Hours, shares and euros have a point; areas are written as regions (``DE06439``).
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=";", lineterminator="\r\n")
    writer.writerows(_SHEETS[sheet](report))
    return out.getvalue().encode("utf-8-sig")


def _figures_sheet(report: UsageReport) -> Iterator[Sequence[str]]:
    named = [name for each in report.view.dimensions for name in (each, f"{each}_name")]
    yield ["month", *named, *_NUMBERS, *_MEASURES, "causes"]
    for row in report.rows:
        yield [str(report.month), *_cells(row), *_measured(row.figures)]
    yield [str(report.month), *(["total"] + [""] * len(named))[: len(named)], *_measured(report.total)]


def _refused_sheet(report: UsageReport) -> Iterator[Sequence[str]]:
    yield ["month", "sender", "problem", "count"]
    for line in report.refusals:
        yield [str(report.month), disarmed(line.sender), disarmed(line.slug), str(line.number)]


def _costs_sheet(report: UsageReport) -> Iterator[Sequence[str]]:
    yield ["month", "area", "area_name", "cost", "euros"]
    for share in report.costs:
        yield [str(report.month), f"DE{share.ars}", disarmed(share.name), disarmed(share.item), euros(share.cents)]


def euros(cents: int) -> str:
    """Write an amount exactly."""
    return f"{cents // 100}.{cents % 100:02}"


_SHEETS = {
    UsageSheet.FIGURES: _figures_sheet,
    UsageSheet.REFUSED: _refused_sheet,
    UsageSheet.COSTS: _costs_sheet,
}


def _cells(row: FiguresRow) -> list[str]:
    # A spreadsheet takes bare digits for a number and drops a leading zero.
    keys = {name: f"DE{value}" if name == "area" and value else value for name, value in row.keys.items()}
    return [disarmed(cell) for name, key in keys.items() for cell in (key, row.names[name])]


def _measured(figures: UsageFigures) -> list[str]:
    numbers = [str(getattr(figures, name)) for name in _NUMBERS]
    measures = ["" if value is None else f"{value:.3f}" for value in (getattr(figures, name) for name in _MEASURES)]
    return [*numbers, *measures, disarmed(", ".join(f"{cause}: {number}" for cause, number in figures.causes.items()))]


def as_document(report: UsageReport) -> dict[str, Any]:
    """Return a report as the JSON of the API."""
    return {
        "month": str(report.month),
        "by": report.view.value,
        "complete": report.complete,
        "countedAt": None if report.counted_at is None else report.counted_at.isoformat(timespec="seconds"),
        "rows": [
            {name: {"key": key, "name": row.names[name]} for name, key in row.keys.items()} | _figures_json(row.figures)
            for row in report.rows
        ],
        "total": _figures_json(report.total),
        "refused": [{"sender": each.sender, "problem": each.slug, "count": each.number} for each in report.refusals],
        "costs": [
            {"area": each.ars, "name": each.name, "item": each.item, "cents": each.cents} for each in report.costs
        ],
    }


def _figures_json(figures: UsageFigures) -> dict[str, Any]:
    return {
        "accepted": figures.accepted,
        "delivered": figures.delivered,
        "takenOver": figures.taken_over,
        "rejected": figures.rejected,
        "givenUp": figures.given_up,
        "open": figures.open,
        "bytes": figures.bytes,
        "causes": dict(figures.causes),
        "hoursToDelivery": {"median": figures.delivery_median, "p90": figures.delivery_p90},
        "hoursToAcceptance": {"median": figures.acceptance_median, "p90": figures.acceptance_p90},
        "unattended": figures.unattended,
    }
