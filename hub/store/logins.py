"""What log-ins leave behind: counters of those that failed, and which secrets of clients were proven."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, Table, Text, delete, func, select, text

from hub.store.annex import Annex
from hub.store.database import micros, moment
from hub.store.tables import metadata
from hub.store.unreadable import reads

throttle = Table(
    "throttle",
    metadata,
    Column("counter", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Index("ix_throttle_kind", "kind", "expires_at"),
)

#: Keyed hashes of the secret that each client logged in with last: they need no slow hash the next time, in any process.
proven_secrets = Table(
    "proven_secrets",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("mac", Text, nullable=False),
)

#: What began so far ahead was written before the clock stepped back, and counts no more.
_AHEAD = timedelta(hours=1)

#: A window that is over, or that began so far ahead that the clock must have stepped back, begins anew.
_COUNT = text("""
INSERT INTO throttle (counter, kind, failures, began_at, expires_at) VALUES (:counter, :kind, 1, :now, :until)
ON CONFLICT (counter) DO UPDATE SET
    failures = CASE WHEN throttle.expires_at <= :now OR throttle.began_at > :until THEN 1 ELSE throttle.failures + 1 END,
    began_at = CASE WHEN throttle.expires_at <= :now OR throttle.began_at > :until THEN :now ELSE throttle.began_at END,
    expires_at = CASE WHEN throttle.expires_at <= :now OR throttle.began_at > :until THEN :until
                      ELSE throttle.expires_at END
""")
_REMEMBER = text("""
INSERT INTO throttle (counter, kind, failures, began_at, expires_at) VALUES (:counter, :kind, 0, :now, :until)
ON CONFLICT (counter) DO UPDATE SET began_at = :now, expires_at = :until
""")
_PROVE = text("""
INSERT INTO proven_secrets (client_id, mac) VALUES (:client_id, :mac)
ON CONFLICT (client_id) DO UPDATE SET mac = :mac
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """How many log-ins failed since ``began_at``; it counts until ``expires_at``."""

    failures: int
    began_at: datetime
    expires_at: datetime

    def counts(self, now: datetime, *, window: timedelta) -> bool:
        """Whether it counts now: its window is not over, and did not begin in a future that the clock stepped back from."""
        return self.expires_at > now and self.began_at <= now + window


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One counter to raise: its own row, or the shared one where there is no room for another row."""

    own: str
    shared: str


class Logins(Annex):
    """Reads and writes what log-ins leave behind."""

    def counted(self, counters: Sequence[str]) -> dict[str, Counted]:
        """Return the rows that there are."""
        statement = select(throttle).where(throttle.c.counter.in_(counters))
        return dict(self._all(statement, throttle, _counted))

    def note(self, failures: Sequence[Failure], *, kind: str, window: timedelta, most_rows: int, now: datetime) -> None:
        """Raise counters of a ``kind`` by one. There are ``most_rows`` rows of a kind at most, and as many shared ones."""
        values = {"now": micros(now), "until": micros(now + window)}

        def write(connection: Connection) -> None:
            # In one order, so that no two nodes wait for each other.
            for one in sorted(failures, key=lambda one: one.own):
                if _has_room(connection, one.own, kind, most_rows, now):
                    row = {"counter": one.own, "kind": kind}
                else:
                    row = {"counter": one.shared, "kind": f"{kind}-shared"}
                connection.execute(_COUNT, {**row, **values})

        self._write(write)

    def remember(self, counter: str, *, kind: str, until: datetime, now: datetime) -> None:
        """Write a row that counts nothing and is there until then."""
        values = {"counter": counter, "kind": kind, "now": micros(now), "until": micros(until)}
        self._write(lambda connection: connection.execute(_REMEMBER, values).rowcount)

    def forget(self, now: datetime) -> int:
        """Forget what counts no more and return how many rows."""
        return self._write(lambda connection: _forget(connection, now))

    def proven(self, client_id: str) -> str | None:
        """Return the keyed hash of the secret that a client logged in with last."""
        statement = select(proven_secrets.c.mac).where(proven_secrets.c.client_id == client_id)

        def read(connection: Connection) -> str | None:
            mac: str | None = connection.execute(statement).scalar()
            return mac

        return self._read(read)

    def prove(self, client_id: str, mac: str) -> None:
        """Keep the keyed hash of a secret that was proven. Nobody waits for it: what is lost costs one slow hash again."""
        values = {"client_id": client_id, "mac": mac}
        self._begin(lambda connection: connection.execute(_PROVE, values).rowcount)


def _has_room(connection: Connection, counter: str, kind: str, most_rows: int, now: datetime) -> bool:
    """Say whether a counter has its row, or may have one; rows that count no more make room first."""
    there = select(throttle.c.counter).where(throttle.c.counter == counter)
    if connection.execute(there).first() is not None:
        return True
    held = select(func.count()).select_from(throttle).where(throttle.c.kind == kind)
    if connection.execute(held).scalar_one() < most_rows:
        return True
    return _forget(connection, now) > 0 and connection.execute(held).scalar_one() < most_rows


def _forget(connection: Connection, now: datetime) -> int:
    over = (throttle.c.expires_at <= micros(now)) | (throttle.c.began_at > micros(now + _AHEAD))
    return connection.execute(delete(throttle).where(over)).rowcount


@reads(throttle)
def _counted(row: Any) -> tuple[str, Counted]:
    began_at, expires_at = moment(row.began_at), moment(row.expires_at)
    return row.counter, Counted(failures=row.failures, began_at=began_at, expires_at=expires_at)


__all__ = ["Counted", "Failure", "Logins"]
