"""Readiness: how much of what came announced versions would refuse, by rule and without contents; and who uses what will end.

Counts alone, by day; they are added up, so any number of processes and nodes may note theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, delete, func, select, true

from hub.model import Scope
from hub.store import tables
from hub.store.database import Database
from hub.store.scopes import destination_within, within
from hub.store.statements import Insert

_READINESS = tables.readiness
_USES = tables.ending_uses
#: What counts all that were judged, and those of them that would be refused.
JUDGED, REFUSED = "", "*"
_ADD = Insert(
    _READINESS,
    "ON CONFLICT (standard, version, day, destination_id, sender, rule) "
    "DO UPDATE SET number = readiness.number + excluded.number",
)
_ADD_USE = Insert(_USES, "ON CONFLICT (day, what, client) DO UPDATE SET number = ending_uses.number + excluded.number")


class ReadinessKey(NamedTuple):
    """What a payload counts under."""

    standard: str
    version: str
    day: str
    destination_id: str
    sender: str
    rule: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadinessLine:
    """What came to a destination from a sender: how many were judged, would be refused, and break each rule."""

    destination_id: UUID
    sender: str
    judged: int
    refused: int
    rules: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class EndingUse:
    """How often a client used something that will end, and on which day last."""

    what: str
    client: str
    number: int
    first: date
    last: date


class ReadinessCounts:
    """Adds counts, and reads them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, counts: Mapping[ReadinessKey, int]) -> Future[int]:
        """Begin to add counts, without waiting."""
        rows = [{**key._asdict(), "number": number} for key, number in sorted(counts.items())]

        def write(connection: Connection) -> int:
            for row in rows:
                _ADD(connection, row)
            return len(rows)

        return self._database.begin(write)

    def note_uses(self, counts: Mapping[tuple[str, str, str], int]) -> Future[int]:
        """Begin to add uses by (day, client, what), without waiting."""
        rows = [
            {"day": day, "client": client, "what": what, "number": number}
            for (day, client, what), number in sorted(counts.items())
        ]

        def write(connection: Connection) -> int:
            for row in rows:
                _ADD_USE(connection, row)
            return len(rows)

        return self._database.begin(write)

    def lines(self, standard: str, version: str, *, since: date, scope: Scope) -> list[ReadinessLine]:
        """Return what came since a day to destinations within a scope, what most would be refused of first."""
        columns = _READINESS.c
        statement = (
            select(columns.destination_id, columns.sender, columns.rule, func.sum(columns.number).label("number"))
            .where(
                columns.standard == standard,
                columns.version == version,
                columns.day >= since.isoformat(),
                destination_within(columns.destination_id, scope),
            )
            .group_by(columns.destination_id, columns.sender, columns.rule)
        )
        found: dict[tuple[str, str], dict[str, int]] = {}
        for row in self._database.read(lambda connection: connection.execute(statement).all()):
            found.setdefault((row.destination_id, row.sender), {})[row.rule] = int(row.number)
        made = [_line(here, sender, counts) for (here, sender), counts in found.items()]
        return sorted(made, key=lambda each: (-each.refused, -each.judged, str(each.destination_id), each.sender))

    def uses(self, *, since: date, scope: Scope) -> list[EndingUse]:
        """Return who within a scope used what will end, since a day: the most uses first."""
        columns = _USES.c
        theirs = select(tables.clients.c.client_id).where(within(tables.clients, scope))
        statement = (
            select(
                columns.what,
                columns.client,
                func.sum(columns.number).label("number"),
                func.min(columns.day).label("first"),
                func.max(columns.day).label("last"),
            )
            .where(columns.day >= since.isoformat(), true() if scope.is_everything else columns.client.in_(theirs))
            .group_by(columns.what, columns.client)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return sorted(map(_use, rows), key=lambda each: (-each.number, each.what, each.client))

    def forget(self, before: date) -> int:
        """Delete what was counted before a day; return of how many rows."""

        def write(connection: Connection) -> int:
            return sum(
                connection.execute(delete(table).where(table.c.day < before.isoformat())).rowcount
                for table in (_READINESS, _USES)
            )

        return self._database.write(write)


def _line(here: str, sender: str, counts: Mapping[str, int]) -> ReadinessLine:
    rules = {rule: number for rule, number in counts.items() if rule not in {JUDGED, REFUSED}}
    return ReadinessLine(
        destination_id=UUID(here),
        sender=sender,
        judged=counts.get(JUDGED, 0),
        refused=counts.get(REFUSED, 0),
        rules=dict(sorted(rules.items(), key=lambda each: (-each[1], each[0]))),
    )


def _use(row: Any) -> EndingUse:
    return EndingUse(
        what=row.what,
        client=row.client,
        number=int(row.number),
        first=date.fromisoformat(row.first),
        last=date.fromisoformat(row.last),
    )
