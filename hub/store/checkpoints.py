"""Signed checkpoints over the ends of all case logs: which ends are new, and which stood in which checkpoint.

Each checkpoint holds the cases that moved since the one before, so its cost follows the traffic and not the archive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Text, and_, cast, func, literal_column, select, update
from sqlalchemy.exc import IntegrityError

from hub.errors import Conflict
from hub.errors import Text as Words
from hub.model import hash_of
from hub.store import tables
from hub.store.database import Database, in_postgresql, micros, moment, reads
from hub.store.records import CaseHead
from hub.store.statements import Insert, Query

_CHECKPOINTS = tables.checkpoints
_LEAVES = tables.checkpoint_leaves

#: Stands in the place of a case's id for the leaf of the audit log, which is no case; no case has it.
AUDIT_LOG = UUID(int=0)

_CASES = tables.cases
_AUDIT = tables.audit
_EVENTS = tables.events
_INSERT = Insert(_CHECKPOINTS)
_INSERT_LEAF = Insert(_LEAVES)
_UNCOVERED: ColumnElement[bool] = literal_column("covered < seq")
#: The end of a log as one text; ids are of one length, so the texts are in the ids' order.
_BETWEEN, _BESIDE = ":", ","
_END = _CASES.c.case_id + _BETWEEN + cast(_CASES.c.seq, Text) + _BETWEEN + _CASES.c.head

#: A log moved since the last checkpoint, or the audit log did.
_MOVED = f"""
SELECT 1 AS moved WHERE EXISTS (SELECT 1 FROM {_CASES.name} WHERE covered < seq)
    OR COALESCE((SELECT max(seq) FROM {_AUDIT.name}), 0)
        > COALESCE((SELECT max(seq) FROM {_LEAVES.name} WHERE case_id = '{AUDIT_LOG}'), 0)
"""  # noqa: S608  # names of our own tables
_PENDING = Query(sqlite=_MOVED, postgresql=_MOVED, columns=["moved"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A signed statement (``token``) about the ends of some logs. Numbers begin at 1 and have no gaps."""

    number: int
    made_at: datetime
    token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class LeafStanding:
    """A leaf beside what the store holds today: ``stored`` is the hash of the event that the leaf names.

    ``stored`` is None if there is no such event, ``case_seq`` is None if there is no such case; ``dropped`` says that the
    log reached the end of its retention and left a tombstone.
    """

    leaf: CaseHead
    stored: str | None
    case_seq: int | None
    dropped: bool


class CheckpointLog:
    """Reads and writes checkpoints."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pending(self) -> bool:
        """Whether any log has an end that no checkpoint covers."""
        return self._database.glance(_PENDING) is not None

    def uncovered(self, limit: int) -> list[CaseHead]:
        """Return up to ``limit`` ends of logs that no checkpoint covers yet, in the order of their case ids."""
        first = select(_END.label("end")).where(_UNCOVERED).order_by(_CASES.c.case_id).limit(limit).subquery()
        # As one value: fetching row by row would let others take the interpreter at each, and wait for it again.
        statement = select(func.aggregate_strings(first.c.end, _BESIDE))
        ends = self._database.read(lambda connection: connection.execute(statement).scalar())
        if not ends:
            return []
        rows = [end.split(_BETWEEN) for end in sorted(ends.split(_BESIDE))]
        return self._database.unreadables.each("cases", rows, _end)

    def audit_head(self) -> CaseHead | None:
        """Return the end of the audit log as a leaf; None while it is empty, or its hash is none: that is never signed."""
        statement = select(_AUDIT.c.seq, _AUDIT.c.hash).order_by(_AUDIT.c.seq.desc()).limit(1)
        row = self._database.read(lambda connection: connection.execute(statement).first())
        if row is None:
            return None
        try:
            return CaseHead(case_id=AUDIT_LOG, seq=row.seq, hash=hash_of(row.hash))
        except ValueError:
            self._database.unreadables.note(_AUDIT.name, row.seq, "hash")
            return None

    def audit_heads(self) -> dict[int, set[str]]:
        """Return what the checkpoints hold of the audit log: hashes by the number of the record, one each if all is well.

        A leaf that cannot be read is noted and left out: that its checkpoint is damaged, the verification of those says.
        """
        statement = select(_LEAVES).where(_LEAVES.c.case_id == str(AUDIT_LOG))
        found: dict[int, set[str]] = {}
        for leaf in self._database.all(statement, _LEAVES, _leaf):
            found.setdefault(leaf.seq, set()).add(leaf.hash)
        return found

    def newest_head(self, case_id: UUID) -> CaseHead | None:
        """Return the newest leaf of a log; None if no checkpoint covers it yet."""
        statement = (
            select(_LEAVES.c.seq, _LEAVES.c.head)
            .where(_LEAVES.c.case_id == str(case_id))
            .order_by(_LEAVES.c.seq.desc())
            .limit(1)
        )
        row = self._database.read(lambda connection: connection.execute(statement).first())
        return None if row is None else CaseHead(case_id=case_id, seq=row.seq, hash=row.head)

    def last(self) -> Checkpoint | None:
        """Return the newest checkpoint."""
        statement = select(_CHECKPOINTS).order_by(_CHECKPOINTS.c.number.desc()).limit(1)
        return self._database.one(statement, _checkpoint)

    def get(self, number: int) -> Checkpoint | None:
        """Return a checkpoint."""
        statement = select(_CHECKPOINTS).where(_CHECKPOINTS.c.number == number)
        return self._database.one(statement, _checkpoint)

    def add(self, checkpoint: Checkpoint, heads: Sequence[CaseHead]) -> None:
        """Store a checkpoint with its leaves in order, in one transaction.

        Raises:
            Conflict: another node made the checkpoint of that number first.
        """
        row = _INSERT.row(
            {"number": checkpoint.number, "made_at": micros(checkpoint.made_at), "token": checkpoint.token}
        )
        leaves = [
            _INSERT_LEAF.row(
                {
                    "number": checkpoint.number,
                    "position": position,
                    "case_id": str(head.case_id),
                    "seq": head.seq,
                    "head": head.hash,
                }
            )
            for position, head in enumerate(heads)
        ]

        def write(connection: Connection) -> None:
            try:
                _INSERT.raw(connection, [row])
            except IntegrityError as exc:
                raise _too_late(checkpoint.number) from exc
            _INSERT_LEAF.raw(connection, leaves)
            _cover(connection, checkpoint.number)

        self._database.write(write)

    def leaves(self, number: int) -> list[CaseHead]:
        """Return a checkpoint's leaves in order."""
        statement = select(_LEAVES).where(_LEAVES.c.number == number).order_by(_LEAVES.c.position)
        return self._database.read(lambda connection: [_leaf(row) for row in connection.execute(statement)])

    def newest_of(self, case_id: UUID) -> tuple[int, int] | None:
        """Return (number, position) of the newest leaf of a case; None if no checkpoint covers it yet."""
        statement = (
            select(_LEAVES.c.number, _LEAVES.c.position)
            .where(_LEAVES.c.case_id == str(case_id))
            .order_by(_LEAVES.c.seq.desc())
            .limit(1)
        )
        row = self._database.read(lambda connection: connection.execute(statement).first())
        return None if row is None else (row.number, row.position)

    def standing(self, number: int) -> list[LeafStanding]:
        """Return a checkpoint's leaves in order, each beside what is stored of its case today."""
        event = and_(_EVENTS.c.case_id == _LEAVES.c.case_id, _EVENTS.c.seq == _LEAVES.c.seq)
        statement = (
            select(
                _LEAVES,
                _EVENTS.c.hash.label("stored"),
                _CASES.c.seq.label("case_seq"),
                _CASES.c.head.label("case_head"),
                _CASES.c.tombstone,
            )
            .outerjoin(_EVENTS, event)
            .outerjoin(_CASES, _CASES.c.case_id == _LEAVES.c.case_id)
            .where(_LEAVES.c.number == number)
            .order_by(_LEAVES.c.position)
        )
        return self._database.read(lambda connection: [_standing(row) for row in connection.execute(statement)])

    def without_leaf(self, limit: int = 100) -> list[CaseHead]:
        """Return up to ``limit`` cases that say to be covered further than any leaf of theirs reaches."""
        reached = select(func.coalesce(func.max(_LEAVES.c.seq), 0)).where(_LEAVES.c.case_id == _CASES.c.case_id)
        statement = (
            select(_CASES.c.case_id, _CASES.c.seq, _CASES.c.head)
            .where(_CASES.c.covered > reached.scalar_subquery())
            .limit(limit)
        )
        return self._database.read(lambda connection: [_head(row) for row in connection.execute(statement)])


def _cover(connection: Connection, number: int) -> None:
    """Note at the cases of a checkpoint how far it covers them: one statement, however many there are."""
    leaf = and_(_LEAVES.c.number == number, _LEAVES.c.case_id == _CASES.c.case_id)
    if in_postgresql(connection):
        # Always in the same order, so that nobody waits in a circle with those who append.
        held = select(_CASES.c.case_id).join(_LEAVES, leaf).order_by(_CASES.c.case_id).with_for_update(of=_CASES)
        connection.execute(held)
    connection.execute(update(_CASES).where(leaf, _CASES.c.covered < _LEAVES.c.seq).values(covered=_LEAVES.c.seq))


def _end(row: Sequence[str]) -> CaseHead:
    case_id, seq, head = row
    return CaseHead(case_id=UUID(case_id), seq=int(seq), hash=hash_of(head))


def _head(row: Any) -> CaseHead:
    return CaseHead(case_id=UUID(row.case_id), seq=row.seq, hash=row.head)


@reads(_CHECKPOINTS)
def _checkpoint(row: Any) -> Checkpoint:
    return Checkpoint(number=row.number, made_at=moment(row.made_at), token=row.token)


@reads(_LEAVES)
def _leaf(row: Any) -> CaseHead:
    return CaseHead(case_id=UUID(row.case_id), seq=row.seq, hash=row.head)


def _standing(row: Any) -> LeafStanding:
    dropped = row.tombstone is not None
    # Of a dropped log only its end is left, at the case.
    stored = row.case_head if dropped and row.case_seq == row.seq else row.stored
    return LeafStanding(
        leaf=_leaf(row),
        stored=stored,
        case_seq=row.case_seq,
        dropped=dropped,
    )


def _too_late(number: int) -> Conflict:
    return Conflict(
        Words(
            f"Den Prüfpunkt {number} hat ein anderer Knoten schon gesetzt.",
            f"Checkpoint {number} was made by another node already.",
        ),
        slug="checkpoint-exists",
    )
