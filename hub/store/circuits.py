"""The history of circuit breakers: each opening and closing, the latest few of each destination."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Table,
    delete,
    insert,
    select,
)
from sqlalchemy import (
    Text as Words,
)

from hub.store.annex import Annex
from hub.store.database import clamp, maybe_micros, maybe_moment, micros, moment
from hub.store.records import Circuit
from hub.store.tables import SERIAL, metadata
from hub.store.unreadable import reads

_CHANGES = Table(
    "circuit_changes",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    Column("destination_id", Words, ForeignKey("destinations.destination_id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("open_until", BigInteger),
)
Index("ix_circuit_changes_destination_id", _CHANGES.c.destination_id, _CHANGES.c.seq)
#: Changes that are kept of each destination: a receiver may wish for pauses all day long.
_KEPT = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class CircuitChange:
    """A circuit opened until ``open_until``, after so many failures in a row, or (None) closed."""

    at: datetime
    failures: int
    open_until: datetime | None


class CircuitHistory(Annex):
    """Reads the histories of circuits."""

    def of(self, destination_id: UUID, *, limit: int = 20) -> list[CircuitChange]:
        """Return the latest changes of a destination's circuit, the newest first."""
        here = _CHANGES.c.destination_id == str(destination_id)
        statement = select(_CHANGES).where(here).order_by(_CHANGES.c.seq.desc()).limit(clamp(limit))
        return self._all(statement, _CHANGES, _change)


@reads(_CHANGES)
def _change(row: Any) -> CircuitChange:
    return CircuitChange(at=moment(row.at), failures=row.failures, open_until=maybe_moment(row.open_until))


def write_circuit_change(connection: Connection, circuit: Circuit, now: datetime) -> None:
    """Note that a circuit opened or closed, within the transaction that changes it; forget the oldest changes."""
    here = _CHANGES.c.destination_id == str(circuit.destination_id)
    row = {
        "destination_id": str(circuit.destination_id),
        "at": micros(now),
        "failures": circuit.failures,
        "open_until": maybe_micros(circuit.open_until),
    }
    connection.execute(insert(_CHANGES), row)
    oldest_kept = select(_CHANGES.c.seq).where(here).order_by(_CHANGES.c.seq.desc()).offset(_KEPT).limit(1)
    last_dropped = connection.execute(oldest_kept).scalar()
    if last_dropped is not None:
        connection.execute(delete(_CHANGES).where(here, _CHANGES.c.seq <= last_dropped))
