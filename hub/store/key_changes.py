"""Changes of destinations' keys that wait for a second person, and those that were carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKeyConstraint,
    Index,
    Integer,
    Row,
    Table,
    Text,
    insert,
    select,
    update,
)

from hub.errors import Conflict
from hub.errors import Text as Words
from hub.store import tables
from hub.store.annex import Annex
from hub.store.audit import write_audit
from hub.store.database import in_postgresql, maybe_moment, micros, moment
from hub.store.records import AuditEntry
from hub.store.tables import metadata

_SERIAL = BigInteger().with_variant(Integer, "sqlite")

key_changes = Table(
    "destination_key_changes",
    metadata,
    Column("seq", _SERIAL, primary_key=True, autoincrement=True),
    Column("destination_id", Text, nullable=False),
    Column("kid", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", BigInteger, nullable=False),
    Column("settled_by", Text),
    Column("settled_at", BigInteger),
    ForeignKeyConstraint(
        ["destination_id", "kid"],
        ["destination_keys.destination_id", "destination_keys.kid"],
        name="fk_destination_key_changes_key",
    ),
)
Index("ix_destination_key_changes_key", key_changes.c.destination_id, key_changes.c.kid)


class KeyAction(StrEnum):
    """What may be done to a key."""

    #: Seal to it from now on.
    ACTIVATE = "activate"
    #: Never seal to it again, and take no new event that it signed. It stays readable for old proof.
    RETIRE = "retire"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyChange:
    """What one person wants to do to a key; ``settled_by`` is the second person, None while it waits for one."""

    destination_id: UUID
    kid: str
    action: KeyAction
    proposed_by: str
    proposed_at: datetime
    settled_by: str | None = None
    settled_at: datetime | None = None


class KeyChanges(Annex):
    """Reads and writes changes of keys. Every step takes its audit entry into its transaction."""

    def of(self, destination_id: UUID) -> Sequence[KeyChange]:
        """Return all changes of a destination's keys, oldest first."""
        statement = (
            select(key_changes).where(key_changes.c.destination_id == str(destination_id)).order_by(key_changes.c.seq)
        )
        return [_change(row) for row in self._read(lambda connection: connection.execute(statement).all())]

    def is_retired(self, destination_id: UUID, kid: str) -> bool:
        """Tell whether a key was retired."""
        here = _here(destination_id, kid) & (key_changes.c.action == KeyAction.RETIRE.value)
        statement = select(key_changes.c.seq).where(here, key_changes.c.settled_at.is_not(None)).limit(1)
        return self._read(lambda connection: connection.execute(statement).first()) is not None

    def propose(self, change: KeyChange, *, audit: AuditEntry) -> None:
        """Note what one person wants; raise ``Conflict`` where the same waits already."""
        row = {
            "destination_id": str(change.destination_id),
            "kid": change.kid,
            "action": change.action.value,
            "proposed_by": change.proposed_by,
            "proposed_at": micros(change.proposed_at),
        }

        def write(connection: Connection) -> None:
            _lock(connection)
            waiting = select(key_changes.c.seq).where(_waiting(change))
            if connection.execute(waiting).first() is not None:
                raise _overtaken()
            connection.execute(insert(key_changes), row)
            write_audit(connection, audit)

        self._write(write)

    def settle(
        self, change: KeyChange, by: str, now: datetime, *, audit: AuditEntry, use_kid: str | None = None
    ) -> None:
        """Carry a waiting change out, and with ``use_kid`` make this the key that is sealed to, in one transaction.

        Raises ``Conflict`` where it does not wait any more.
        """
        values = {"settled_by": by, "settled_at": micros(now)}

        def write(connection: Connection) -> None:
            _lock(connection)
            if connection.execute(update(key_changes).where(_waiting(change)).values(values)).rowcount == 0:
                raise _overtaken()
            if change.action is KeyAction.RETIRE and _is_current(connection, change):
                raise _overtaken()
            if use_kid is not None:
                _use(connection, change.destination_id, use_kid, now)
            write_audit(connection, audit)

        self._write(write)


def _use(connection: Connection, destination_id: UUID, kid: str, now: datetime) -> None:
    table = tables.destinations
    values = {"encryption_kid": kid, "updated_at": micros(now)}
    connection.execute(update(table).where(table.c.destination_id == str(destination_id)).values(values))


def _is_current(connection: Connection, change: KeyChange) -> bool:
    table = tables.destinations
    same = (table.c.destination_id == str(change.destination_id)) & (table.c.encryption_kid == change.kid)
    return connection.execute(select(table.c.destination_id).where(same)).first() is not None


def _lock(connection: Connection) -> None:
    """Let one change of keys at a time be judged and written; a SQLite transaction that writes is alone anyway."""
    if in_postgresql(connection):
        connection.exec_driver_sql("LOCK TABLE destination_key_changes IN EXCLUSIVE MODE")


def _here(destination_id: UUID, kid: str) -> Any:
    return (key_changes.c.destination_id == str(destination_id)) & (key_changes.c.kid == kid)


def _waiting(change: KeyChange) -> Any:
    same = key_changes.c.action == change.action.value
    return _here(change.destination_id, change.kid) & same & key_changes.c.settled_at.is_(None)


def _change(row: Row[Any]) -> KeyChange:
    return KeyChange(
        destination_id=UUID(row.destination_id),
        kid=row.kid,
        action=KeyAction(row.action),
        proposed_by=row.proposed_by,
        proposed_at=moment(row.proposed_at),
        settled_by=row.settled_by,
        settled_at=maybe_moment(row.settled_at),
    )


def _overtaken() -> Conflict:
    return Conflict(
        Words(
            "Jemand war schneller. Sehen Sie sich den Zustellpunkt noch einmal an.",
            "Somebody was faster. Look at the destination again.",
        ),
        slug="overtaken",
    )


__all__ = ["KeyAction", "KeyChange", "KeyChanges"]
