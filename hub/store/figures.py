"""Numbers for gauges: how much waits, how much lies here. Each is one query over an index that holds only what waits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, literal_column, select

from hub.store import tables
from hub.store.annex import Annex
from hub.store.database import a_moment, clamp
from hub.store.deliveries import to_circuit
from hub.store.notices import notices
from hub.store.records import Circuit, DeliveryState

_CALLBACKS = tables.callbacks.c
_NOTICES = notices.c
_CONTENTS = tables.contents.c
_EVENTS = tables.events.c
_CASES = tables.cases.c
_CIRCUITS = tables.circuits
_DESTINATIONS = tables.destinations


@dataclass(frozen=True, kw_only=True, slots=True)
class Sums:
    """Callbacks and mails to send and given up, events that nobody has signed yet, bytes of contents in the blob store."""

    callbacks_pending: int
    callbacks_dead: int
    notices_pending: int
    notices_dead: int
    events_unsigned: int
    blob_bytes: int


class Figures(Annex):
    """Counts and sums over the whole store."""

    def sums(self) -> Sums:
        """Return the sums of this moment, read in one snapshot."""
        statements = {
            "callbacks_pending": select(func.count()).where(_CALLBACKS.next_attempt_at.is_not(None)),
            "callbacks_dead": select(func.count()).where(
                _CALLBACKS.finished_at.is_not(None), _CALLBACKS.state == DeliveryState.DEAD.value
            ),
            "notices_pending": select(func.count()).where(_NOTICES.next_attempt_at.is_not(None)),
            "notices_dead": select(func.count()).where(
                _NOTICES.finished_at.is_not(None), _NOTICES.state == DeliveryState.DEAD.value
            ),
            "events_unsigned": select(func.count()).where(_EVENTS.jws.is_(None)),
            "blob_bytes": select(func.coalesce(func.sum(_CONTENTS.size), 0)).where(_CONTENTS.blob.is_not(None)),
        }

        def read(connection: Connection) -> dict[str, Any]:
            return {name: int(connection.execute(one).scalar_one()) for name, one in statements.items()}

        return Sums(**self._read(read))

    def uncovered_since(self) -> datetime | None:
        """Return when the event was written that waits longest for a checkpoint; None if none waits."""
        statement = select(func.min(_CASES.last_event_at)).where(literal_column("covered < seq"))
        return self._read(lambda connection: a_moment(connection.execute(statement).scalar()))

    def troubled(self, *, limit: int, tenant: str = "") -> list[Circuit]:
        """Return circuits of a tenant's destinations that are not closed or have counted failures, the longest open first."""
        columns = _CIRCUITS.c
        statement = (
            select(_CIRCUITS)
            .where((columns.failures > 0) | columns.open_until.is_not(None), *_of_tenant(tenant))
            .order_by(columns.open_until.desc(), columns.destination_id)
            .limit(clamp(limit))
        )
        return self._all(statement, _CIRCUITS, to_circuit)


def _of_tenant(tenant: str) -> list[ColumnElement[bool]]:
    if not tenant:
        return []
    inside = _DESTINATIONS.c.tenant.startswith(tenant, autoescape=True)
    return [_CIRCUITS.c.destination_id.in_(select(_DESTINATIONS.c.destination_id).where(inside))]
