"""Changes of destinations' keys that people propose and a second person decides; approving applies them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
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
    in_postgresql,
    json_object,
    maybe_json,
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    not_found,
)
from hub.store.parties import put_key
from hub.store.records import AuditEntry
from hub.store.unreadable import reads

_CHANGES = Table(
    "key_changes",
    tables.metadata,
    Column("change_id", tables.SERIAL, primary_key=True, autoincrement=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("step", Text, nullable=False),
    Column("kid", Text, nullable=False),
    Column("jwk", Text),
    Column("reason", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    Column("remark", Text, nullable=False),
)
Index("ix_key_changes_destination_id", _CHANGES.c.destination_id, _CHANGES.c.change_id)
_KEYS = tables.destination_keys
_DESTINATIONS = tables.destinations


class KeyStep(StrEnum):
    """What is to be done with a key."""

    #: Put it on record: a signature key counts from then on, an encryption key is there to be activated.
    ADD = "add"
    #: Seal to it from then on; a key that is not on record yet is added with it.
    ACTIVATE = "activate"
    #: Use it for nothing new; it stays readable.
    RETIRE = "retire"


class ChangeState(StrEnum):
    """What became of a proposal."""

    #: Waits for a second person.
    OPEN = "open"
    #: Approved by a second person, and done.
    APPROVED = "approved"
    #: Turned down by a second person.
    REFUSED = "refused"
    #: Taken back by whoever proposed it.
    WITHDRAWN = "taken-back"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyChange:
    """A proposal and its end. ``jwk`` is the public key where it is not on record yet."""

    change_id: int = 0
    destination_id: UUID
    step: KeyStep
    kid: str
    jwk: Mapping[str, Any] | None = None
    reason: str
    proposed_by: str
    proposed_at: datetime
    state: ChangeState = ChangeState.OPEN
    decided_by: str | None = None
    decided_at: datetime | None = None
    remark: str = ""


class KeyChanges(Annex):
    """Keeps proposals. Every step takes its audit entry into its transaction."""

    def propose(self, change: KeyChange, *, audit: AuditEntry) -> KeyChange:
        """Store a proposal; raise ``Conflict`` where one for this key is open already."""

        def write(connection: Connection) -> KeyChange:
            _lock(connection)
            twin = and_(
                _CHANGES.c.destination_id == str(change.destination_id),
                _CHANGES.c.kid == change.kid,
                _CHANGES.c.state == ChangeState.OPEN.value,
            )
            if connection.execute(select(_CHANGES.c.change_id).where(twin)).first() is not None:
                raise _already_open()
            made = connection.execute(insert(_CHANGES).returning(_CHANGES.c.change_id), _row(change)).scalar_one()
            write_audit(connection, audit)
            return _one(connection, made)

        return self._write(write)

    def decide(self, decided: KeyChange, *, audit: AuditEntry) -> KeyChange:
        """Store the end of a proposal, and do what an approved one asks for.

        Raises:
            Conflict: somebody decided it before.
            KeyRefused: meanwhile another key has its ``kid``.
        """

        def write(connection: Connection) -> KeyChange:
            still_open = and_(_CHANGES.c.change_id == decided.change_id, _CHANGES.c.state == ChangeState.OPEN.value)
            if connection.execute(update(_CHANGES).where(still_open).values(_row(decided))).rowcount == 0:
                raise _decided_before()
            if decided.state is ChangeState.APPROVED:
                _apply(connection, decided)
            write_audit(connection, audit)
            return _one(connection, decided.change_id)

        return self._write_party(decided.destination_id, write)

    def change(self, change_id: int) -> KeyChange:
        """Return a proposal; raise ``NotFound``."""
        return self._read(lambda connection: _one(connection, change_id))

    def of(self, destination_id: UUID, *, limit: int = 50) -> list[KeyChange]:
        """Return a destination's proposals: all that are open, then those decided, each the newest first."""
        here = _CHANGES.c.destination_id == str(destination_id)
        decided = case((_CHANGES.c.state == ChangeState.OPEN.value, 0), else_=1)
        statement = select(_CHANGES).where(here).order_by(decided, _CHANGES.c.change_id.desc()).limit(clamp(limit))
        return self._all(statement, _CHANGES, _change)

    def open(self, *, tenant: str = "", limit: int = 500) -> list[KeyChange]:
        """Return all open proposals for destinations of a tenant, the oldest first."""
        inside = _DESTINATIONS.c.tenant.startswith(tenant, autoescape=True)
        statement = (
            select(_CHANGES)
            .join(_DESTINATIONS, _DESTINATIONS.c.destination_id == _CHANGES.c.destination_id)
            .where(_CHANGES.c.state == ChangeState.OPEN.value, inside)
            .order_by(_CHANGES.c.change_id)
            .limit(clamp(limit))
        )
        return self._all(statement, _CHANGES, _change)


def _apply(connection: Connection, change: KeyChange) -> None:
    at = change.decided_at or change.proposed_at
    if change.jwk is not None:
        put_key(connection, change.destination_id, change.jwk["key_ops"][0], change.jwk, at)
    here = and_(_KEYS.c.destination_id == str(change.destination_id), _KEYS.c.kid == change.kid)
    if change.step is KeyStep.RETIRE:
        connection.execute(update(_KEYS).where(here).values(retired_at=micros(at)))
    if change.step is KeyStep.ACTIVATE:
        # Always later than before: the time of the last change is what a change has to name.
        updated = _DESTINATIONS.c.updated_at
        later = case((updated >= micros(at), updated + 1), else_=micros(at))
        values = {"encryption_kid": change.kid, "updated_at": later}
        where = _DESTINATIONS.c.destination_id == str(change.destination_id)
        connection.execute(update(_DESTINATIONS).where(where).values(values))


def _lock(connection: Connection) -> None:
    """Let one proposal be stored at a time; SQLite's writer is alone anyway."""
    if in_postgresql(connection):
        connection.exec_driver_sql("LOCK TABLE key_changes IN EXCLUSIVE MODE")


def _one(connection: Connection, change_id: int) -> KeyChange:
    row = connection.execute(select(_CHANGES).where(_CHANGES.c.change_id == change_id)).first()
    if row is None:
        raise not_found("key-change-not-found", "Die Schlüsseländerung", "Key change", str(change_id))
    return _change(row)


def _row(change: KeyChange) -> dict[str, Any]:
    return {
        "destination_id": str(change.destination_id),
        "step": change.step.value,
        "kid": change.kid,
        "jwk": maybe_json(None if change.jwk is None else dict(change.jwk)),
        "reason": change.reason,
        "proposed_by": change.proposed_by,
        "proposed_at": micros(change.proposed_at),
        "state": change.state.value,
        "decided_by": change.decided_by,
        "decided_at": maybe_micros(change.decided_at),
        "remark": change.remark,
    }


@reads(_CHANGES)
def _change(row: Any) -> KeyChange:
    return KeyChange(
        change_id=row.change_id,
        destination_id=UUID(row.destination_id),
        step=KeyStep(row.step),
        kid=row.kid,
        jwk=None if row.jwk is None else json_object(row.jwk),
        reason=row.reason,
        proposed_by=row.proposed_by,
        proposed_at=moment(row.proposed_at),
        state=ChangeState(row.state),
        decided_by=row.decided_by,
        decided_at=maybe_moment(row.decided_at),
        remark=row.remark,
    )


def _already_open() -> Conflict:
    return Conflict(
        Words(
            "Für diesen Schlüssel wartet schon eine Änderung auf eine zweite Person. Entscheiden Sie zuerst über sie.",
            "A change of this key waits for a second person already. Decide on that one first.",
        ),
        slug="key-change-open",
    )


def _decided_before() -> Conflict:
    return Conflict(
        Words(
            "Über diese Änderung ist schon entschieden. Laden Sie die Seite neu.",
            "This change has been decided already. Load the page again.",
        ),
        slug="key-change-decided",
    )
