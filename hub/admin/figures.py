"""The overview of what happens, and the system's health."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.responses import Response

from hub.admin.destinations import Ladder, ladder
from hub.admin.plots import HEIGHT, WIDTH, Plot, plot_of, whole_spans
from hub.admin.visit import Visit
from hub.errors import Unavailable
from hub.parties import Destination
from hub.store import Backlog, DeliveryState

_HOURS, _DAYS = 24, 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One destination of the overview."""

    destination: Destination
    day: Plot
    month: Plot
    waiting: dict[str, int]
    oldest: datetime | None
    key: Ladder


def overview(visit: Visit) -> Response:
    """Show per destination what was accepted, delivered, waits and fails."""
    scope = visit.scope
    hour, day = timedelta(hours=1), timedelta(days=1)
    by_hour = scope.activity(since=whole_spans(visit.now, hour, _HOURS), span=hour)
    by_day = scope.activity(since=whole_spans(visit.now, day, _DAYS), span=day)
    backlog = scope.waiting()
    rows = []
    for each in scope.destinations():
        mine = [one for one in backlog if one.destination_id == each.destination_id]
        rows.append(
            Row(
                destination=each,
                day=plot_of(by_hour, each.destination_id, buckets=_HOURS),
                month=plot_of(by_day, each.destination_id, buckets=_DAYS),
                waiting={one.state.value: one.count for one in mine},
                oldest=_oldest(mine),
                key=ladder(visit, each),
            )
        )
    totals = {state.value: sum(one.count for one in backlog if one.state is state) for state in DeliveryState}
    return visit.page("overview.html", rows=rows, totals=totals, width=WIDTH, height=HEIGHT)


def health(visit: Visit) -> Response:
    """Show whether the parts of the hub work."""
    visit.scope.insist_on_everything()
    tools = visit.tools
    try:
        tools.store.ready()
        database = True
    except Unavailable:
        database = False
    backlog = visit.scope.waiting()
    return visit.page(
        "health.html",
        database=database,
        revision=tools.store.schema_revision(),
        free=tools.free_bytes(),
        watermark=tools.disk_watermark,
        queued=sum(one.count for one in backlog if one.state is DeliveryState.QUEUED),
        oldest=_oldest([one for one in backlog if one.state is DeliveryState.QUEUED]),
        dead=sum(one.count for one in backlog if one.state is DeliveryState.DEAD),
        dead_callbacks=tools.store.dead_callbacks(limit=1).total,
        activation=tools.tables.activation(visit.now),
        table=tools.tables.active(visit.now),
        schemas=len(tools.catalog().uris()),
        keys=[(each, ladder(visit, each)) for each in visit.scope.destinations()],
    )


def _oldest(backlog: list[Backlog]) -> datetime | None:
    return min((one.oldest_at for one in backlog if one.state is not DeliveryState.DEAD), default=None)
