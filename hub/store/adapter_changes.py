"""Changes of adapters that people propose and a second person decides, and the addresses that secrets were entered for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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
    Table,
    Text,
    and_,
    case,
    insert,
    select,
    update,
)

from hub.errors import Conflict
from hub.errors import Text as Words
from hub.store import tables
from hub.store.annex import Annex
from hub.store.audit import write_audit
from hub.store.database import (
    clamp,
    from_json,
    in_postgresql,
    json_object,
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    not_found,
    to_json,
)
from hub.store.key_changes import ChangeState
from hub.store.records import AuditEntry
from hub.store.unreadable import reads

_CHANGES = Table(
    "adapter_changes",
    tables.metadata,
    Column("change_id", tables.SERIAL, primary_key=True, autoincrement=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("adapter", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    Column("remark", Text, nullable=False),
)
Index("ix_adapter_changes_destination_id", _CHANGES.c.destination_id, _CHANGES.c.change_id)
_SECRETS = Table(
    "adapter_secrets",
    tables.metadata,
    Column("file", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    Column("bound_at", BigInteger, nullable=False),
)
_DESTINATIONS = tables.destinations


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterChange:
    """A proposal and its end: by which adapter, with which options, a destination is to get its submissions."""

    change_id: int = 0
    destination_id: UUID
    adapter: str
    options: Mapping[str, Any]
    reason: str
    proposed_by: str
    proposed_at: datetime
    state: ChangeState = ChangeState.OPEN
    decided_by: str | None = None
    decided_at: datetime | None = None
    remark: str = ""


class AdapterChanges(Annex):
    """Keeps proposals, and to which addresses the files of secrets are bound. Every step takes its audit entry along."""

    def propose(self, change: AdapterChange, *, audit: AuditEntry) -> AdapterChange:
        """Store a proposal; raise ``Conflict`` where one for this destination is open already."""

        def write(connection: Connection) -> AdapterChange:
            if in_postgresql(connection):
                connection.exec_driver_sql("LOCK TABLE adapter_changes IN EXCLUSIVE MODE")
            here = _CHANGES.c.destination_id == str(change.destination_id)
            if connection.execute(select(_CHANGES.c.change_id).where(here, _open())).first() is not None:
                raise already_open()
            made = connection.execute(insert(_CHANGES).returning(_CHANGES.c.change_id), _row(change)).scalar_one()
            write_audit(connection, audit)
            return _one(connection, made)

        return self._write(write)

    def decide(
        self, decided: AdapterChange, *, before: tuple[str, Mapping[str, Any]], audit: AuditEntry
    ) -> AdapterChange:
        """Store the end of a proposal; an approved one gives the destination its adapter and options.

        ``before`` are the adapter and the options that the approval was given on.

        Raises:
            Conflict: somebody decided it before, or changed the adapter since.
        """

        def write(connection: Connection) -> AdapterChange:
            here = and_(_CHANGES.c.change_id == decided.change_id, _open())
            if connection.execute(update(_CHANGES).where(here).values(_row(decided))).rowcount == 0:
                raise _decided_before()
            if decided.state is ChangeState.APPROVED:
                _apply(connection, decided, before)
            write_audit(connection, audit)
            return _one(connection, decided.change_id)

        return self._write_party(decided.destination_id, write)

    def change(self, change_id: int) -> AdapterChange:
        """Return a proposal; raise ``NotFound``."""
        return self._read(lambda connection: _one(connection, change_id))

    def of(self, destination_id: UUID, *, limit: int = 20) -> list[AdapterChange]:
        """Return a destination's proposals: the open one, then those decided, the newest first."""
        here = _CHANGES.c.destination_id == str(destination_id)
        decided = case((_open(), 0), else_=1)
        statement = select(_CHANGES).where(here).order_by(decided, _CHANGES.c.change_id.desc()).limit(clamp(limit))
        return self._all(statement, _CHANGES, _change)

    def open(self, *, tenant: str = "", limit: int = 500) -> list[AdapterChange]:
        """Return all open proposals for destinations of a tenant, the oldest first."""
        statement = (
            select(_CHANGES)
            .join(_DESTINATIONS, _DESTINATIONS.c.destination_id == _CHANGES.c.destination_id)
            .where(_open(), _DESTINATIONS.c.tenant.startswith(tenant, autoescape=True))
            .order_by(_CHANGES.c.change_id)
            .limit(clamp(limit))
        )
        return self._all(statement, _CHANGES, _change)

    def bind(self, files: Collection[str], address: str, now: datetime) -> None:
        """Note that files hold secrets that were entered for an address; a second time changes nothing."""

        def write(connection: Connection) -> None:
            there = _SECRETS.c.file.in_(sorted(files)), _SECRETS.c.address == address
            known = set(connection.execute(select(_SECRETS.c.file).where(*there)).scalars())
            new = [{"file": file, "address": address, "bound_at": micros(now)} for file in sorted({*files} - known)]
            if new:
                connection.execute(insert(_SECRETS), new)

        if files:
            self._write(write)

    def bound(self, file: str) -> frozenset[str]:
        """Return the addresses that a file was entered for; empty where none was noted yet."""
        statement = select(_SECRETS.c.address).where(_SECRETS.c.file == file)
        return frozenset(self._read(lambda connection: connection.execute(statement).scalars().all()))


def _apply(connection: Connection, change: AdapterChange, before: tuple[str, Mapping[str, Any]]) -> None:
    at = micros(change.decided_at or change.proposed_at)
    here = _DESTINATIONS.c.destination_id == str(change.destination_id)
    columns = (_DESTINATIONS.c.adapter, _DESTINATIONS.c.adapter_config)
    row = connection.execute(select(*columns).where(here).with_for_update()).first()
    if row is None or (row.adapter, from_json(row.adapter_config)) != (before[0], dict(before[1])):
        raise _overtaken()
    updated = _DESTINATIONS.c.updated_at
    later = case((updated >= at, updated + 1), else_=at)
    values = {"adapter": change.adapter, "adapter_config": to_json(dict(change.options)), "updated_at": later}
    connection.execute(update(_DESTINATIONS).where(here).values(values))


def _open() -> Any:
    return _CHANGES.c.state == ChangeState.OPEN.value


def _one(connection: Connection, change_id: int) -> AdapterChange:
    row = connection.execute(select(_CHANGES).where(_CHANGES.c.change_id == change_id)).first()
    if row is None:
        raise not_found("adapter-change-not-found", "Die Änderung des Zustellwegs", "Adapter change", str(change_id))
    return _change(row)


def _row(change: AdapterChange) -> dict[str, Any]:
    return {
        "destination_id": str(change.destination_id),
        "adapter": change.adapter,
        "options": to_json(dict(change.options)),
        "reason": change.reason,
        "proposed_by": change.proposed_by,
        "proposed_at": micros(change.proposed_at),
        "state": change.state.value,
        "decided_by": change.decided_by,
        "decided_at": maybe_micros(change.decided_at),
        "remark": change.remark,
    }


@reads(_CHANGES)
def _change(row: Any) -> AdapterChange:
    return AdapterChange(
        change_id=row.change_id,
        destination_id=UUID(row.destination_id),
        adapter=row.adapter,
        options=json_object(row.options),
        reason=row.reason,
        proposed_by=row.proposed_by,
        proposed_at=moment(row.proposed_at),
        state=ChangeState(row.state),
        decided_by=row.decided_by,
        decided_at=maybe_moment(row.decided_at),
        remark=row.remark,
    )


def already_open() -> Conflict:
    """Return the refusal of a second proposal for one destination."""
    return Conflict(
        Words(
            "Für diesen Zustellpunkt wartet schon eine Änderung des Zustellwegs auf eine zweite Person. Entscheiden Sie "
            "zuerst über sie.",
            "A change of this destination's way of delivery waits for a second person already. Decide on that one first.",
        ),
        slug="adapter-change-open",
    )


def _decided_before() -> Conflict:
    return Conflict(
        Words(
            "Über diese Änderung ist schon entschieden. Laden Sie die Seite neu.",
            "This change has been decided already. Load the page again.",
        ),
        slug="adapter-change-decided",
    )


def _overtaken() -> Conflict:
    return Conflict(
        Words(
            "Den Zustellweg hat inzwischen jemand geändert. Lehnen Sie diese Änderung ab, und schlagen Sie sie neu vor.",
            "Somebody has changed the way of delivery meanwhile. Refuse this change, and propose it anew.",
        ),
        slug="overtaken",
    )
