"""The audit log: append-only, hash-chained, one chain for the whole store; and who read which message."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    Table,
    insert,
    literal,
    select,
    text,
    union_all,
)

from hub.errors import UnreadableRow
from hub.model import GENESIS, Scope, hash_of
from hub.store import tables
from hub.store.database import Database, Page, from_json, in_postgresql, micros, moment, reads, to_json
from hub.store.scopes import one_of, within

_AUDIT = tables.audit
_READS = tables.reads


_RECORDED = text("""
SELECT 1 FROM reads WHERE message_id = :message_id AND client = :client AND what = :what AND day = :day
""")
#: Of two nodes that read at once, one records it.
_RECORD_READ = text("""
INSERT INTO reads (at, client, message_id, what, day) VALUES (:at, :client, :message_id, :what, :day)
ON CONFLICT (message_id, client, what, day) DO NOTHING
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Read:
    """Who read what of a message, and when."""

    at: datetime
    client: str
    message_id: UUID
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """One administrative action: who did what to which object, and its value before and after (no secrets)."""

    at: datetime
    actor: str
    action: str
    target: str
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditRecord:
    """An audit entry in its chain; ``hash`` = SHA-256 over the previous record's hash and this one (lower-case hex)."""

    seq: int
    entry: AuditEntry
    previous: str
    hash: str

    def record_hash(self) -> str:
        """Compute what ``hash`` must be: SHA-256(previous || canonical JSON of the record).

        Raises ``ValueError`` where ``previous`` is no hash; in a chain that holds up to here it is one.
        """
        entry = self.entry
        said = [self.seq, entry.at.isoformat(), entry.actor, entry.action, entry.target]
        canonical = orjson.dumps([*said, dict(entry.before), dict(entry.after)], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(bytes.fromhex(self.previous) + canonical).hexdigest()


class Audit:
    """Who did what; who read what."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, entry: AuditEntry) -> AuditRecord:
        """Append ``entry`` to the chain and return it as recorded."""
        return self._database.write(lambda connection: write_audit(connection, entry))

    def entries(
        self,
        *,
        scope: Scope,
        actor: str = "",
        action: str = "",
        target: str = "",
        offset: int = 0,
        limit: int = 100,
        newest_first: bool = False,
    ) -> Page[AuditRecord]:
        """Return one page of what the audit log says within a scope, oldest first unless asked otherwise.

        Within are actions on destinations, clients, accounts, tenants and vendors that are.

        ``actor`` is whole, ``action`` a beginning (``destination.``), ``target`` any part; empty ones do not narrow it.
        """
        statement = select(_AUDIT).order_by(_AUDIT.c.seq.desc() if newest_first else _AUDIT.c.seq)
        if not scope.is_everything:
            statement = statement.where(_AUDIT.c.target.in_(_targets(scope)))
        if actor:
            statement = statement.where(_AUDIT.c.actor == actor)
        if action:
            statement = statement.where(_AUDIT.c.action.startswith(action, autoescape=True))
        if target:
            statement = statement.where(_AUDIT.c.target.contains(target, autoescape=True))
        return self._database.page(statement, record_of, offset=offset, limit=limit)

    def record_read(self, *, client: str, message_id: UUID, what: str, now: datetime) -> None:
        """Record durably that ``client`` read ``what`` (``contents``, ``attachment:<uuid>``) of a message.

        Who reads the same again on the same day (UTC) leaves one row, that of the first time, and costs no commit.
        """
        row = {"at": micros(now), "client": client, "message_id": str(message_id), "what": what, "day": _day(now)}
        if self._database.read(lambda connection: connection.execute(_RECORDED, row).first()) is None:
            self._database.write(lambda connection: connection.execute(_RECORD_READ, row).rowcount)

    def reads(self, message_id: UUID, *, offset: int = 0, limit: int = 100) -> Page[Read]:
        """Return one page of a message's reads, oldest first."""
        statement = select(_READS).where(_READS.c.message_id == str(message_id)).order_by(_READS.c.seq)
        return self._database.page(statement, _read, offset=offset, limit=limit)


def _targets(scope: Scope) -> CompoundSelect[Any]:
    """Return what entries about things within a scope call them."""

    def named(kind: str, table: Table, column: str, condition: ColumnElement[bool]) -> Select[Any]:
        return select(literal(f"{kind}:") + table.c[column]).where(condition)

    inside = one_of(tables.tenants.c.tenant_id, scope.tenants or ())
    return union_all(
        named("destination", tables.destinations, "destination_id", within(tables.destinations, scope)),
        named("client", tables.clients, "client_id", within(tables.clients, scope)),
        named("account", tables.accounts, "name", within(tables.accounts, scope)),
        named("tenant", tables.tenants, "tenant_id", inside),
        named("vendor", tables.vendors, "vendor_id", one_of(tables.vendors.c.tenant_id, scope.tenants or ())),
    )


def write_audit(connection: Connection, entry: AuditEntry) -> AuditRecord:
    """Chain ``entry`` on; within the transaction of what it speaks of, so that neither stands without the other."""
    if in_postgresql(connection):
        # The chain has one end for all nodes; administrative actions are rare enough to queue for it.
        connection.execute(text("LOCK TABLE audit IN EXCLUSIVE MODE"))
    last = connection.execute(select(_AUDIT).order_by(_AUDIT.c.seq.desc()).limit(1)).first()
    seq, head = (0, GENESIS) if last is None else (last.seq, _head(last))
    record = AuditRecord(seq=seq + 1, entry=entry, previous=head, hash="")
    record = replace(record, hash=record.record_hash())
    connection.execute(insert(_AUDIT), record_row(record))
    return record


def _head(last: Any) -> str:
    """Return what the next record goes on from: the end's hash, or what that must be where a spoiled one is none.

    So actions are recorded beside a spoiled end, which verification names, and the chain holds again once it is mended.
    """
    with suppress(ValueError):
        return hash_of(last.hash)
    try:
        return record_of(last).record_hash()
    except (UnreadableRow, ValueError):
        return hashlib.sha256(repr(last.hash).encode("utf-8", "surrogatepass")).hexdigest()


def record_row(record: AuditRecord) -> Mapping[str, Any]:
    """Return a record as it is written."""
    entry = record.entry
    return {
        "seq": record.seq,
        "at": micros(entry.at),
        "actor": entry.actor,
        "action": entry.action,
        "target": entry.target,
        "value_before": to_json(dict(entry.before)),
        "value_after": to_json(dict(entry.after)),
        "previous": record.previous,
        "hash": record.hash,
    }


@reads(_AUDIT)
def record_of(row: Any) -> AuditRecord:
    """Return a record as it was read."""
    entry = AuditEntry(
        at=moment(row.at),
        actor=row.actor,
        action=row.action,
        target=row.target,
        before=from_json(row.value_before),
        after=from_json(row.value_after),
    )
    return AuditRecord(seq=row.seq, entry=entry, previous=row.previous, hash=row.hash)


def _day(now: datetime) -> int:
    return int(now.timestamp()) // 86_400


@reads(_READS)
def _read(row: Any) -> Read:
    return Read(at=moment(row.at), client=row.client, message_id=UUID(row.message_id), what=row.what)
