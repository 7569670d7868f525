"""Proposals: changes of a destination that one person proposes and a second one decides; approving applies them at once.

There are two kinds, of keys and of adapters, in a table each. Their way is the same: open, then approved, refused or taken
back, once, and each step takes its audit entry into its transaction.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Table, and_, case, insert, select, update

from hub.errors import Conflict, Text, delivery_overtaken, not_found
from hub.model import Scope
from hub.store import tables
from hub.store.audit import AuditEntry, write_audit
from hub.store.database import (
    Database,
    clamp,
    from_json,
    in_postgresql,
    json_object,
    maybe_json,
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    reads,
    to_json,
)
from hub.store.parties import put_key
from hub.store.scopes import destination_within

_KEY_CHANGES = tables.key_changes
_ADAPTER_CHANGES = tables.adapter_changes
_SECRETS = tables.adapter_secrets

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
class Proposal:
    """A proposal and its end."""

    change_id: int = 0
    destination_id: UUID
    reason: str
    proposed_by: str
    proposed_at: datetime
    state: ChangeState = ChangeState.OPEN
    decided_by: str | None = None
    decided_at: datetime | None = None
    remark: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyChange(Proposal):
    """What to do with which key. ``jwk`` is the public key where it is not on record yet."""

    step: KeyStep
    kid: str
    jwk: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AdapterChange(Proposal):
    """By which adapter, with which options, a destination is to get its submissions."""

    adapter: str
    options: Mapping[str, Any]


P = TypeVar("P", bound=Proposal)


class _Proposals(Generic[P]):
    """Keeps proposals of one kind."""

    def __init__(self, database: Database) -> None:
        self._database = database

    _table: ClassVar[Table]
    #: What a proposal is called in slugs.
    _called: ClassVar[str]

    def propose(self, change: P, *, audit: AuditEntry) -> P:
        """Store a proposal; raise ``Conflict`` where one for the same thing is open already."""

        def write(connection: Connection) -> P:
            if in_postgresql(connection):  # One proposal is stored at a time; SQLite's writer is alone anyway.
                connection.exec_driver_sql(f"LOCK TABLE {self._table.name} IN EXCLUSIVE MODE")
            here = self._table.c.destination_id == str(change.destination_id)
            twin = select(self._table.c.change_id).where(here, self._open(), *self._same(change))
            if connection.execute(twin).first() is not None:
                raise self._already_open()
            row = self._row(change)
            made = connection.execute(insert(self._table).returning(self._table.c.change_id), row).scalar_one()
            write_audit(connection, audit)
            return self._found(connection, made)

        return self._database.write(write)

    def change(self, change_id: int) -> P:
        """Return a proposal; raise ``NotFound``."""
        return self._database.read(lambda connection: self._found(connection, change_id))

    def of(self, destination_id: UUID, *, limit: int = 50) -> list[P]:
        """Return a destination's proposals: all that are open, then those decided, each the newest first."""
        here = self._table.c.destination_id == str(destination_id)
        order = case((self._open(), 0), else_=1), self._table.c.change_id.desc()
        return self._database.all(
            select(self._table).where(here).order_by(*order).limit(clamp(limit)), self._table, self._value
        )

    def open(self, *, scope: Scope, limit: int = 500) -> list[P]:
        """Return all open proposals for destinations within a scope, the oldest first."""
        statement = (
            select(self._table)
            .where(self._open(), destination_within(self._table.c.destination_id, scope))
            .order_by(self._table.c.change_id)
            .limit(clamp(limit))
        )
        return self._database.all(statement, self._table, self._value)

    def _decide(self, decided: P, apply: Callable[[Connection], None], audit: AuditEntry) -> P:
        def write(connection: Connection) -> P:
            here = and_(self._table.c.change_id == decided.change_id, self._open())
            if connection.execute(update(self._table).where(here).values(self._row(decided))).rowcount == 0:
                raise self._decided_before()
            if decided.state is ChangeState.APPROVED:
                apply(connection)
            write_audit(connection, audit)
            return self._found(connection, decided.change_id)

        return self._database.write_party(decided.destination_id, write)

    def _found(self, connection: Connection, change_id: int) -> P:
        row = connection.execute(select(self._table).where(self._table.c.change_id == change_id)).first()
        if row is None:
            raise not_found(f"{self._called}-not-found", str(change_id))
        return self._value(row)

    def _open(self) -> ColumnElement[bool]:
        return self._table.c.state == ChangeState.OPEN.value

    def _decided_before(self) -> Conflict:
        return Conflict(
            Text(
                "Über diese Änderung ist schon entschieden. Laden Sie die Seite neu.",
                "This change has been decided already. Load the page again.",
            ),
            slug=f"{self._called}-decided",
        )

    def _same(self, _: P) -> tuple[ColumnElement[bool], ...]:
        """Return what two proposals for one destination share if only one of them may be open."""
        return ()

    @abstractmethod
    def _row(self, change: P) -> dict[str, Any]: ...

    @abstractmethod
    def _value(self, row: Any) -> P: ...

    @abstractmethod
    def _already_open(self) -> Conflict: ...


class KeyChanges(_Proposals[KeyChange]):
    """Proposals for destinations' keys: one for each key may be open."""

    _table = _KEY_CHANGES
    _called = "key-change"

    def decide(self, decided: KeyChange, *, audit: AuditEntry) -> KeyChange:
        """Store the end of a proposal, and do what an approved one asks for.

        Raises:
            Conflict: somebody decided it before.
            KeyRefused: meanwhile another key has its ``kid``.
        """
        return self._decide(decided, lambda connection: _apply_key(connection, decided), audit)

    def _same(self, change: KeyChange) -> tuple[ColumnElement[bool], ...]:
        return (_KEY_CHANGES.c.kid == change.kid,)

    def _row(self, change: KeyChange) -> dict[str, Any]:
        jwk = maybe_json(None if change.jwk is None else dict(change.jwk))
        return _common(change) | {"step": change.step.value, "kid": change.kid, "jwk": jwk}

    def _value(self, row: Any) -> KeyChange:
        return _key_change(row)

    def _already_open(self) -> Conflict:
        return Conflict(
            Text(
                "Für diesen Schlüssel wartet schon eine Änderung auf eine zweite Person. Entscheiden Sie zuerst über sie.",
                "A change of this key waits for a second person already. Decide on that one first.",
            ),
            slug="key-change-open",
        )


class AdapterChanges(_Proposals[AdapterChange]):
    """Proposals for adapters, one for each destination may be open; and to which addresses the files of secrets are bound."""

    _table = _ADAPTER_CHANGES
    _called = "adapter-change"

    def decide(
        self, decided: AdapterChange, *, before: tuple[str, Mapping[str, Any]], audit: AuditEntry
    ) -> AdapterChange:
        """Store the end of a proposal; an approved one gives the destination its adapter and options.

        ``before`` are the adapter and the options that the approval was given on.

        Raises:
            Conflict: somebody decided it before, or changed the adapter since.
        """
        return self._decide(decided, lambda connection: _apply_adapter(connection, decided, before), audit)

    def bind(self, files: Collection[str], address: str, now: datetime) -> None:
        """Note that files hold secrets that were entered for an address; a second time changes nothing."""

        def write(connection: Connection) -> None:
            there = _SECRETS.c.file.in_(sorted(files)), _SECRETS.c.address == address
            known = set(connection.execute(select(_SECRETS.c.file).where(*there)).scalars())
            new = [{"file": file, "address": address, "bound_at": micros(now)} for file in sorted({*files} - known)]
            if new:
                connection.execute(insert(_SECRETS), new)

        if files:
            self._database.write(write)

    def bound(self, file: str) -> frozenset[str]:
        """Return the addresses that a file was entered for; empty where none was noted yet."""
        statement = select(_SECRETS.c.address).where(_SECRETS.c.file == file)
        return frozenset(self._database.read(lambda connection: connection.execute(statement).scalars().all()))

    def _row(self, change: AdapterChange) -> dict[str, Any]:
        return _common(change) | {"adapter": change.adapter, "options": to_json(dict(change.options))}

    def _value(self, row: Any) -> AdapterChange:
        return _adapter_change(row)

    def _already_open(self) -> Conflict:
        return adapter_change_open()


def _apply_key(connection: Connection, change: KeyChange) -> None:
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


def _apply_adapter(connection: Connection, change: AdapterChange, before: tuple[str, Mapping[str, Any]]) -> None:
    at = micros(change.decided_at or change.proposed_at)
    here = _DESTINATIONS.c.destination_id == str(change.destination_id)
    columns = (_DESTINATIONS.c.adapter, _DESTINATIONS.c.adapter_config)
    row = connection.execute(select(*columns).where(here).with_for_update()).first()
    if row is None or (row.adapter, from_json(row.adapter_config)) != (before[0], dict(before[1])):
        raise delivery_overtaken()
    updated = _DESTINATIONS.c.updated_at
    later = case((updated >= at, updated + 1), else_=at)
    values = {"adapter": change.adapter, "adapter_config": to_json(dict(change.options)), "updated_at": later}
    connection.execute(update(_DESTINATIONS).where(here).values(values))


def _common(change: Proposal) -> dict[str, Any]:
    return {
        "destination_id": str(change.destination_id),
        "reason": change.reason,
        "proposed_by": change.proposed_by,
        "proposed_at": micros(change.proposed_at),
        "state": change.state.value,
        "decided_by": change.decided_by,
        "decided_at": maybe_micros(change.decided_at),
        "remark": change.remark,
    }


@reads(_KEY_CHANGES)
def _key_change(row: Any) -> KeyChange:
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


@reads(_ADAPTER_CHANGES)
def _adapter_change(row: Any) -> AdapterChange:
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


def adapter_change_open() -> Conflict:
    """Return the refusal of a second proposal for one destination."""
    return Conflict(
        Text(
            "Für diesen Zustellpunkt wartet schon eine Änderung des Zustellwegs auf eine zweite Person. Entscheiden Sie "
            "zuerst über sie.",
            "A change of this destination's way of delivery waits for a second person already. Decide on that one first.",
        ),
        slug="adapter-change-open",
    )
