"""What a table would have done with the submissions that really came: ids and counts only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hub.areas import Area
from hub.errors import NoRoute
from hub.routing import RoutingTable
from hub.store.reports import Overview


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """A submission that a draft would have sent elsewhere; None: nowhere."""

    submission_id: UUID
    service: str
    area: str
    before: UUID | None
    after: UUID | None


@dataclass(frozen=True, kw_only=True, slots=True)
class DryRun:
    """What a draft would have done with the real submissions since ``since``: ids and counts only.

    ``total`` and ``changed`` count all of them; ``shifts`` are those of the latest submissions.
    """

    since: datetime
    total: int
    changed: int
    shifts: tuple[Shift, ...]


def rehearse(
    old: RoutingTable, new: RoutingTable, overview: Overview, *, since: datetime, now: datetime, tenant: str
) -> DryRun:
    """Route the submissions since then by both tables, as of now, and compare; with a tenant its own only."""
    counts = overview.routed_counts(since=since, tenant=tenant)
    answers = {pair: (_destination(old, *pair, now), _destination(new, *pair, now)) for pair in counts}
    changed = {pair: both for pair, both in answers.items() if both[0] != both[1]}
    latest = overview.routed(since=since, tenant=tenant) if changed else []
    shifts = tuple(
        Shift(submission_id=each.submission_id, service=each.service, area=each.area, before=before, after=after)
        for each in latest
        for before, after in [changed.get((each.area, each.service), (None, None))]
        if before != after
    )
    total, moved = sum(counts.values()), sum(counts[pair] for pair in changed)
    return DryRun(since=since, total=total, changed=moved, shifts=shifts)


def _destination(table: RoutingTable, area: str, service: str, on: datetime) -> UUID | None:
    try:
        return table.route(Area(area), service, on).destination_id
    except NoRoute:
        return None
