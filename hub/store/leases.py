"""Periodic duties, one expiring lease each: of any number of nodes one does the work. And values that all nodes share."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, and_, select, text, update

from hub.store import tables
from hub.store.database import Database, micros

_DUTIES = tables.duties
_SETTINGS = tables.settings

#: The fencing number rises with every change of hands and with every lapse; a holder that renews in time keeps its own.
_HOLD = text("""
INSERT INTO duties (name, holder, until, fencing) VALUES (:name, :holder, :until, 1)
ON CONFLICT (name) DO UPDATE SET
    fencing = duties.fencing + CASE WHEN duties.holder = :holder AND duties.until > :now THEN 0 ELSE 1 END,
    holder = :holder,
    until = :until
WHERE duties.until <= :now OR duties.holder = :holder OR duties.until > :latest
RETURNING fencing
""")

_SET = text("""
INSERT INTO settings (name, value) VALUES (:name, :value) ON CONFLICT (name) DO UPDATE SET value = :value
""")


class Duties:
    """Who does what periodically."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def hold(self, name: str, *, node: str, now: datetime, lease: timedelta) -> int | None:
        """Take or renew a duty for ``lease``; return the fencing number, None while another node holds it.

        A lease that ends later than any could, a holder's clock that is ahead by another one included, holds nobody up: it
        is of a time from which the clock was set back, or spoiled.
        """
        values = {"name": name, "holder": node, "now": micros(now), "until": micros(now + lease)}
        values["latest"] = micros(now + 2 * lease)

        def write(connection: Connection) -> int | None:
            fencing: int | None = connection.execute(_HOLD, values).scalar()
            return fencing

        return self._database.write(write)

    def release(self, name: str, *, node: str, fencing: int) -> bool:
        """Give a duty back before its lease ends; False if it is not ours any more."""
        ours = and_(_DUTIES.c.name == name, _DUTIES.c.holder == node, _DUTIES.c.fencing == fencing)
        free = update(_DUTIES).where(ours).values(until=0)
        return self._database.write(lambda connection: connection.execute(free).rowcount == 1)


class SharedSettings:
    """Named values that all nodes share."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def value(self, name: str) -> str | None:
        """Return a named value."""
        statement = select(_SETTINGS.c.value).where(_SETTINGS.c.name == name)

        def read(connection: Connection) -> str | None:
            value: str | None = connection.execute(statement).scalar()
            return value

        return self._database.read(read)

    def set(self, name: str, value: str) -> None:
        """Store a named value."""
        self._database.write(lambda connection: connection.execute(_SET, {"name": name, "value": value}).rowcount)
