"""Versions of the routing table as they stand: each, and the one that is active now, was or will be.

A version's table is put together from its rows when it is first asked for; what decides now is at most a second old.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from hub.areas import Gazetteer
from hub.errors import ConfigurationError, NotFound, Refused, Text, Unavailable
from hub.routing import DestinationFacts, RoutingTable, Rule, ServiceRegister, rule_from_row
from hub.store import Page, Store
from hub.store.routing_versions import Activation, TableVersion, TableVersions

#: How old an answer of :meth:`TableShelf.active` may be.
FRESH = timedelta(seconds=1)
#: Tables kept in memory; a pass over history must not fill it.
_KEPT = 8
#: The number of the table that a hub has for which nobody has activated one yet: it is empty.
NOTHING = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Sources:
    """What tables are read and judged with."""

    gazetteer: Gazetteer
    services: ServiceRegister
    #: The destinations as a check needs them.
    facts: Callable[[datetime], Mapping[UUID, DestinationFacts]]
    #: The URIs of all known schemas.
    schemas: Callable[[], Collection[str]]


class TableShelf:
    """All versions of the routing table, to be read; the book changes them."""

    def __init__(self, *, store: Store, sources: Sources) -> None:
        self._store = store
        self._versions = TableVersions(store)
        self._sources = sources
        self._lock = threading.Lock()
        self._current: tuple[datetime, int, RoutingTable] | None = None
        self._kept: dict[tuple[int, int], RoutingTable] = {}

    def active(self, now: datetime) -> RoutingTable:
        """Return the active table, at most :data:`FRESH` old; nobody waits while another thread reads a new one.

        A hub for which nobody has activated a version yet has an empty table: there is no default. Raises ``Unavailable``
        where versions are active at other times, but none now.
        """
        current = self._current
        if current is not None and now - FRESH < current[0] <= now:
            return current[2]
        if current is not None and not self._lock.acquire(blocking=False):
            return current[2]
        if current is None:
            self._lock.acquire()
        try:
            return self._renewed(now)
        finally:
            self._lock.release()

    def activation(self, on: datetime) -> Activation:
        """Return the activation that holds at a moment, also in the past; raise ``NotFound`` before the first."""
        found = self._versions.active(on)
        if found is None:
            raise NotFound(
                Text(
                    "Es ist keine Zuständigkeitstabelle aktiv. Aktivieren Sie eine.",
                    "No routing table is active. Activate one.",
                ),
                slug="table-not-found",
            )
        return found

    def begun(self, on: datetime) -> Activation | None:
        """Return the activation that holds at a moment; None where there is none."""
        return self._versions.active(on)

    def base(self, on: datetime) -> int:
        """Return the number of the version that holds at a moment, :data:`NOTHING` where nobody ever activated one.

        Raises ``NotFound`` before the first activation.
        """
        found = self.begun(on)
        if found is None and not self._versions.activations(limit=1).total:
            return NOTHING
        return self.activation(on).number if found is None else found.number

    def table(self, number: int) -> RoutingTable:
        """Return a version's table, and the empty one for :data:`NOTHING`; raise ``NotFound``."""
        if number == NOTHING:
            return self._table_of(())
        version = self.version(number)
        key = (number, version.revision)
        found = self._kept.get(key)
        if found is None:
            found = self._stored(number)
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = found
        return found

    def at(self, moment: datetime) -> RoutingTable:
        """Return the table that was, or will be, active at a moment."""
        return self.table(self.base(moment))

    def version(self, number: int) -> TableVersion:
        """Return a version; raise ``NotFound``."""
        return self._versions.version(number)

    def versions(self, *, offset: int = 0, limit: int = 100) -> Page[TableVersion]:
        """Return one page of versions, newest first."""
        return self._versions.versions(offset=offset, limit=limit)

    def version_of(self, content_version: str) -> TableVersion | None:
        """Return the newest version with these rules, None where there is none."""
        return next(iter(self._versions.versions(content_version=content_version, limit=1).items), None)

    def history(self, *, offset: int = 0, limit: int = 100) -> Page[Activation]:
        """Return one page of activations, latest first; coming and cancelled ones included."""
        return self._versions.activations(offset=offset, limit=limit)

    def _renewed(self, now: datetime) -> RoutingTable:
        known = self._current
        found = self._versions.active(now)
        if found is None:
            # A clock that went back undoes no activation: what held goes on, and before that nobody is turned away.
            if known is not None and known[1] != NOTHING:
                self._current = (now, known[1], known[2])
                return known[2]
            if self._versions.activations(limit=1).total:
                raise _not_yet()
            self._current = (now, NOTHING, self._table_of(()))
            return self._current[2]
        number = found.number
        # An approved version never changes, so its number says it all.
        table = known[2] if known is not None and known[1] == number else self._activated(number)
        self._current = (now, number, table)
        return table

    def _activated(self, number: int) -> RoutingTable:
        try:
            return self.table(number)
        except NotFound as exc:
            # Somebody activated it, so that it is not there is the hub's fault and not the asker's.
            raise ConfigurationError(
                Text(
                    f"Die aktivierte Zuständigkeitstabelle {number} gibt es nicht. Aktivieren Sie eine andere.",
                    f"The activated routing table {number} does not exist. Activate another one.",
                )
            ) from exc

    def _stored(self, number: int) -> RoutingTable:
        try:
            return self._table_of(rule_from_row(row) for row in self._versions.rows(number))
        except Refused as exc:
            # It was judged when it was made, so what cannot be read now is the hub's fault and nobody else's.
            raise ConfigurationError(
                Text(
                    f"Die Zuständigkeitstabelle {number} ist nicht lesbar: {exc.detail.de}",
                    f"Routing table {number} cannot be read: {exc.detail.en}",
                )
            ) from exc

    def _table_of(self, rules: Iterable[Rule]) -> RoutingTable:
        return RoutingTable(rules, gazetteer=self._sources.gazetteer, services=self._sources.services)


def _not_yet() -> Unavailable:
    return Unavailable(
        Text(
            "Die Zuständigkeitstabelle gilt noch nicht, oder die Uhr des Hubs geht nach. Versuchen Sie es später erneut.",
            "The routing table does not hold yet, or the hub's clock is slow. Try again later.",
        ),
        slug="table-not-active",
    )
