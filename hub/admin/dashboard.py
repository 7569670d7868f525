"""The overview of what happens, the system's health, and the audit log with its verification."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum
from uuid import UUID

from starlette.responses import Response

from hub.admin.charts import PLOT_HEIGHT, PLOT_WIDTH, STRIP, Activities, Plot
from hub.admin.destinations import Ladder, ladder
from hub.admin.request import ROWS, Visit
from hub.errors import Unavailable
from hub.identity import Right
from hub.model import Destination
from hub.proof.checkpoints import verify_audit
from hub.store import Backlog, DeliveryState

#: Destinations on one page: each has two plots.
_ROWS = 20
#: What is tried for longer than this has a problem, whatever its attempts say.
_STUCK = timedelta(hours=1)
_KEY_SOON = 30


class OverviewTrouble(IntEnum):
    """How a destination does; the worst comes first."""

    #: Gives up, is spared by its circuit, or is tried in vain.
    FAILING = 0
    #: Works, but its key ends soon, or is no good.
    KEY = 1
    NONE = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class OverviewPlace:
    """One destination of the overview before it is drawn."""

    destination: Destination
    trouble: OverviewTrouble
    key: Ladder
    open_until: datetime | None
    backlog: list[Backlog] = field(default_factory=list)

    def count(self, *states: DeliveryState) -> int:
        """Return how many deliveries are in these states."""
        return sum(one.count for one in self.backlog if one.state in states)

    @property
    def oldest(self) -> datetime | None:
        """Since when the oldest open delivery waits."""
        return min((one.oldest_at for one in self.backlog if one.state is not DeliveryState.DEAD), default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A destination of the overview with its two plots."""

    place: OverviewPlace
    day: Plot
    month: Plot


def overview(visit: Visit) -> Response:
    """Show what was accepted, delivered, waits and fails: in all, and per destination, the failing ones first."""
    activities = Activities(visit)
    places = _places(visit, activities)
    words = visit.query.text("q", longest=100).casefold().split()
    found = [each for each in places if all(word in each.destination.name.casefold() for word in words)]
    start = visit.offset()
    open_now = sum(each.count(DeliveryState.QUEUED, DeliveryState.WAITING) for each in places)
    return visit.page(
        "overview.html",
        cards=[_card(each, activities) for each in found[start : start + _ROWS]],
        total=len(found),
        rows=_ROWS,
        searched=bool(words),
        day=activities.day(open_now),
        month=activities.month(open_now),
        totals={state.value: sum(each.count(state) for each in places) for state in DeliveryState},
        failing=sum(each.trouble is OverviewTrouble.FAILING for each in places),
        waiting_changes=len(visit.hub.key_approval.open(scope=visit.person.scope))
        + len(visit.hub.adapter_approval.open(scope=visit.person.scope)),
        waiting_schemas=_waiting_schemas(visit),
        width=PLOT_WIDTH,
        height=PLOT_HEIGHT,
        strip=STRIP,
    )


def _waiting_schemas(visit: Visit) -> int:
    """Return how many packages of schemas and changes of a version wait for one who may approve everywhere."""
    if not visit.person.may_everywhere(Right.APPROVE):
        return 0
    return len(visit.tools.arrivals.waiting()) + len(visit.tools.standings.waiting())


def health(visit: Visit) -> Response:
    """Show whether the parts of the hub work."""
    visit.scope.require_no_tenant()
    tools = visit.tools
    try:
        tools.hub.store.ready()
        database = True
    except Unavailable:
        database = False
    backlog = visit.scope.waiting()
    queued = [one for one in backlog if one.state is DeliveryState.QUEUED]
    keys = [(each, ladder(visit, each)) for each in visit.scope.destinations() if each.status == "active"]
    names = {each.destination_id: each.name for each in visit.scope.destinations()}
    activation, table = tools.hub.book.in_force(visit.now) or (None, None)
    return visit.page(
        "health.html",
        database=database,
        revision=tools.hub.store.schema_revision(),
        free=tools.hub.blobs.free_bytes(),
        watermark=tools.disk_watermark,
        queued=sum(one.count for one in queued),
        oldest=min((one.oldest_at for one in queued), default=None),
        stuck=_STUCK,
        dead=sum(one.count for one in backlog if one.state is DeliveryState.DEAD),
        sums=visit.scope.sums(),
        circuits=[each for each in visit.scope.troubled() if each.standing.is_open(visit.now)],
        names=names,
        activation=activation,
        table=table,
        schemas=len(tools.hub.catalogs().uris()),
        keys=sorted(
            ((each, rung) for each, rung in keys if rung.days is None or rung.days < _KEY_SOON),
            key=lambda row: row[1].days or 0,
        ),
    )


def _places(visit: Visit, activities: Activities) -> list[OverviewPlace]:
    backlog: Mapping[UUID, list[Backlog]] = _by_destination(visit.scope.waiting())
    circuits = {each.destination_id: each for each in visit.scope.troubled()}
    failing = activities.failing()
    places = []
    for each in visit.scope.destinations():
        here = each.destination_id
        key, circuit = ladder(visit, each), circuits.get(here)
        open_until = circuit.open_until if circuit is not None and circuit.standing.is_open(visit.now) else None
        mine = backlog.get(here, [])
        queued = any(one.state is DeliveryState.QUEUED for one in mine)
        in_vain = open_until is not None or (queued and here in failing)
        trouble = _trouble(visit.now, each, key, mine, in_vain=in_vain)
        places.append(OverviewPlace(destination=each, trouble=trouble, key=key, open_until=open_until, backlog=mine))
    return sorted(places, key=lambda place: (place.trouble, place.destination.name))


def _trouble(
    now: datetime, destination: Destination, key: Ladder, backlog: Iterable[Backlog], *, in_vain: bool
) -> OverviewTrouble:
    stuck = any(one.state is DeliveryState.QUEUED and one.oldest_at < now - _STUCK for one in backlog)
    if in_vain or stuck or any(one.state is DeliveryState.DEAD for one in backlog):
        return OverviewTrouble.FAILING
    soon = key.days is None or key.days < _KEY_SOON
    return OverviewTrouble.KEY if soon and destination.status == "active" else OverviewTrouble.NONE


def _card(place: OverviewPlace, activities: Activities) -> Card:
    here = place.destination.destination_id
    open_now = place.count(DeliveryState.QUEUED, DeliveryState.WAITING)
    return Card(place=place, day=activities.day(open_now, here), month=activities.month(open_now, here))


def _by_destination(backlog: Iterable[Backlog]) -> Mapping[UUID, list[Backlog]]:
    found: dict[UUID, list[Backlog]] = defaultdict(list)
    for one in backlog:
        found[one.destination_id].append(one)
    return found


def index(visit: Visit) -> Response:
    """List the audit log, newest first; with ``verify`` all of it is verified, against the signed checkpoints, too."""
    query = visit.query
    wanted = {name: query.text(name, longest=200) for name in ("actor", "action", "target")}
    page = visit.scope.audit(offset=visit.offset(), limit=ROWS, **wanted)
    verdict = verify_audit(visit.hub.store) if query.text("verify") == "1" else None
    return visit.page("audit.html", page=page, wanted=wanted, verdict=verdict, rows=ROWS)
