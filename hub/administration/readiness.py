"""Readiness for what is announced: the calendar of standards, what of real traffic would be refused, who uses what ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from hub.errors import NotFound, Text
from hub.model import Scope
from hub.store import Store, all_items
from hub.store.readiness import EndingUse, ReadinessLine
from hub.validation.calendar import CalendarEntry, calendar
from hub.validation.catalog import SchemaCatalog

#: How far back a report looks, and how long counts are kept.
SINCE = timedelta(days=30)
KEPT = timedelta(days=180)
_PAGE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Readier:
    """What came to one municipality's destination from one sender."""

    name: str
    area: str
    line: ReadinessLine


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadinessReport:
    """How much of what came within a month an announced version would refuse, by destination and sender, and by rule.

    ``judged`` says of how many payloads it speaks: a share of what came by the plain door; what comes sealed nobody can judge.
    """

    entry: CalendarEntry
    rows: Sequence[Readier]
    judged: int
    refused: int
    rules: Mapping[str, int]


class ReadinessDesk:
    """Says what becomes binding when, and what that will mean."""

    def __init__(self, *, store: Store, catalogs: Callable[[], SchemaCatalog]) -> None:
        self._store = store
        self._catalogs = catalogs

    def calendar(self, now: datetime) -> list[CalendarEntry]:
        """Return all versions of all standards, as they stand today."""
        return calendar(self._catalogs(), now.date())

    def report(self, standard: str, version: str, *, scope: Scope, now: datetime) -> ReadinessReport:
        """Return what of a month's traffic within a scope a version would refuse; raise ``NotFound`` for an unknown one."""
        entry = next(
            (each for each in self.calendar(now) if (each.standard, each.version) == (standard, version)), None
        )
        if entry is None:
            raise NotFound(Text("Diese Version steht nicht im Katalog.", "This version is not in the catalogue."))
        lines = self._store.readiness.lines(standard, version, since=(now - SINCE).date(), scope=scope)
        parties = self._store.parties
        known = {
            each.destination_id: each
            for each in all_items(lambda start: parties.destinations(scope=scope, offset=start, limit=_PAGE))
        }
        rules: dict[str, int] = {}
        for line in lines:
            for rule, number in line.rules.items():
                rules[rule] = rules.get(rule, 0) + number
        return ReadinessReport(
            entry=entry,
            rows=[
                Readier(name=here.name, area=here.tenant, line=line)
                for line in lines
                if (here := known.get(line.destination_id)) is not None
            ],
            judged=sum(line.judged for line in lines),
            refused=sum(line.refused for line in lines),
            rules=dict(sorted(rules.items(), key=lambda each: (-each[1], each[0]))),
        )

    def uses(self, *, scope: Scope, now: datetime) -> list[EndingUse]:
        """Return who within a scope used what will end, within a month."""
        return self._store.readiness.uses(since=(now - SINCE).date(), scope=scope)

    def old_metadata(self, *, scope: Scope) -> list[tuple[str, str]]:
        """Return destinations (id, name) within a scope that take metadata of version 1 alone."""
        parties = self._store.parties
        return [
            (str(each.destination_id), each.name)
            for each in all_items(lambda start: parties.destinations(scope=scope, offset=start, limit=_PAGE))
            if each.status == "active" and not any(version.startswith("2.") for version in each.metadata_versions)
        ]

    def forget(self, now: datetime) -> int:
        """Delete counts that are old; return of how many rows."""
        return self._store.readiness.forget((now - KEPT).date())


def report_document(report: ReadinessReport) -> dict[str, Any]:
    """Return a readiness report as JSON has it."""
    return {
        "standard": report.entry.standard,
        "version": report.entry.version,
        "phase": report.entry.phase.value,
        "validFrom": None if report.entry.valid_from is None else report.entry.valid_from.isoformat(),
        "judged": report.judged,
        "refused": report.refused,
        "rules": dict(report.rules),
        "rows": [
            {
                "destinationId": str(each.line.destination_id),
                "name": each.name,
                "area": each.area,
                "sender": each.line.sender,
                "judged": each.line.judged,
                "refused": each.line.refused,
                "rules": dict(each.line.rules),
            }
            for each in report.rows
        ],
    }


def uses_document(uses: Sequence[EndingUse], destinations: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return who uses what will end as JSON has it."""
    return {
        "uses": [
            {
                "what": each.what,
                "client": each.client,
                "number": each.number,
                "first": each.first.isoformat(),
                "last": each.last.isoformat(),
            }
            for each in uses
        ],
        "metadataVersion1": [{"destinationId": here, "name": name} for here, name in destinations],
    }
