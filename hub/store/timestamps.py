"""Checkpoints that a time-stamping authority stamped: by number, with its answer byte for byte."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from hub.store import tables
from hub.store.database import Database, micros, moment, reads
from hub.store.statements import Insert

_STAMPS = tables.timestamps
#: Two nodes whose lease changed hands may stamp one checkpoint: the first answer counts.
_PUT = Insert(_STAMPS, "ON CONFLICT (number) DO NOTHING")


@dataclass(frozen=True, kw_only=True, slots=True)
class StampedCheckpoint:
    """The checkpoint ``number`` was stamped; ``token`` is the authority's answer (RFC 3161, TimeStampResp, DER)."""

    number: int
    stamped_at: datetime
    token: bytes = field(repr=False)


class Timestamps:
    """Keeps stamps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, stamp: StampedCheckpoint) -> None:
        """Keep a stamp; one that is there already stays."""
        row = {"number": stamp.number, "stamped_at": micros(stamp.stamped_at), "token": stamp.token}

        def write(connection: Connection) -> None:
            _PUT(connection, row)

        self._database.write(write)

    def last(self) -> StampedCheckpoint | None:
        """Return the stamp of the highest checkpoint that has one."""
        return self._database.one(select(_STAMPS).order_by(_STAMPS.c.number.desc()).limit(1), _stamp)

    def covering(self, number: int) -> StampedCheckpoint | None:
        """Return the first stamp at or behind a checkpoint: what it holds, it holds of all before."""
        statement = select(_STAMPS).where(_STAMPS.c.number >= number).order_by(_STAMPS.c.number).limit(1)
        return self._database.one(statement, _stamp)


@reads(_STAMPS)
def _stamp(row: Any) -> StampedCheckpoint:
    return StampedCheckpoint(number=row.number, stamped_at=moment(row.stamped_at), token=bytes(row.token))
