"""What every part of the store stands on: a writer, readers, and the translation of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, TypeVar, cast
from uuid import UUID

import orjson
from sqlalchemy import Connection, Engine, Select, Table, func, select

from hub.errors import Conflict, NotFound, Text
from hub.store.engine import translated, unavailable
from hub.store.records import Page
from hub.store.writer import Writer

T = TypeVar("T")
R = TypeVar("R")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: No list returns more items than this at once.
MOST_ITEMS = 500
#: Beyond any list's end, and within what every engine takes as a number.
_FARTHEST = 1 << 31
#: How each driver marks a value in a statement: SQLite's and PostgreSQL's.
_MARKS = (("qmark", "?"), ("pyformat", "%s"))


class Database:
    """Two engines and the writer; the parts of the store inherit it and add one noun each."""

    def __init__(self, *, writing: Engine, reading: Engine) -> None:
        self._writing = writing
        self._reading = reading
        self._wake: Callable[[], None] = _nobody
        self._writer = Writer(writing, wake=self._wake_up)

    def on_delivery_due(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` (from the writer's thread: return at once) after every commit that made a delivery due."""
        self._wake = wake

    def close(self) -> None:
        """Finish waiting writes and close all connections."""
        self._writer.close()
        self._writing.dispose()
        self._reading.dispose()

    def _begin(self, write: Callable[[Connection], T], *, wakes: bool = False) -> Future[T]:
        return self._writer.run(write, wakes=wakes)

    def _write(self, write: Callable[[Connection], T]) -> T:
        return self._writer.run(write).result()

    def _read(self, read: Callable[[Connection], T]) -> T:
        """Run ``read`` in one snapshot."""
        with translated(), self._reading.connect() as connection:
            return read(connection)

    def _glance(self, lookup: Lookup, *values: Any) -> Any:
        """Return the one row of ``lookup``, or None: a look on the accept path, where a transaction costs four times more."""
        try:
            with translated(), closing(self._reading.raw_connection()) as connection:
                cursor = connection.cursor()
                cursor.execute(lookup.sql[self._reading.dialect.paramstyle], values)
                return cursor.fetchone()
        except self._reading.dialect.loaded_dbapi.Error as exc:
            # Nothing wraps the driver's errors here, not even those of a connection that turns out to be dead.
            raise unavailable() from exc

    def _wake_up(self) -> None:
        self._wake()

    def _page(
        self,
        statement: Select[Any],
        convert: Callable[[Any], R],
        *,
        offset: int,
        limit: int,
    ) -> Page[R]:
        """Return one page of an ordered ``statement``, counted and read in the same snapshot."""

        def read(connection: Connection) -> Page[R]:
            count = select(func.count()).select_from(statement.order_by(None).subquery())
            total = connection.execute(count).scalar_one()
            rows = connection.execute(statement.offset(max(0, min(offset, _FARTHEST))).limit(clamp(limit)))
            return Page(items=tuple(convert(row) for row in rows), offset=offset, total=total)

        return self._read(read)


class Lookup:
    """A SELECT of rows by equal columns, written once for each driver's way of marking values.

    Put together by SQLAlchemy on each call, it would cost several times more. ``lock`` holds the rows to the
    transaction's end; SQLite's writer, which is alone, needs none.
    """

    def __init__(self, table: Table, columns: Sequence[str], by: Sequence[str], *, lock: bool = False) -> None:
        self.sql = {
            style: f"SELECT {', '.join(columns)} FROM {table.name}"  # noqa: S608  # names of our own tables
            f" WHERE {' AND '.join(f'{name} = {mark}' for name in by)}{suffix}"
            for style, mark, suffix in (("qmark", "?", ""), ("pyformat", "%s", " FOR UPDATE" if lock else ""))
        }

    def rows(self, connection: Connection, *values: Any) -> Sequence[Any]:
        """Return the rows whose columns have ``values``, in no order."""
        return connection.exec_driver_sql(self.sql[connection.dialect.paramstyle], values).all()

    def row(self, connection: Connection, *values: Any) -> Any:
        """Return one such row, or None."""
        return connection.exec_driver_sql(self.sql[connection.dialect.paramstyle], values).first()


class Insert:
    """An INSERT of all columns of a table, compiled once: the accept path runs it thousands of times a second.

    Rows are mappings with every column (a missing one is a KeyError, not a silent NULL).
    """

    def __init__(self, table: Table, suffix: str = "") -> None:
        columns = [column.name for column in table.columns if column.autoincrement is not True]
        self._pick = cast("Callable[[Mapping[str, Any]], tuple[Any, ...]]", itemgetter(*columns))
        self._sql = {
            style: f"INSERT INTO {table.name} ({', '.join(columns)})"  # noqa: S608  # names of our own tables
            f" VALUES ({', '.join([mark] * len(columns))}) {suffix}"
            for style, mark in _MARKS
        }

    def __call__(self, connection: Connection, *rows: Mapping[str, Any]) -> int:
        """Insert ``rows`` and return how many were written."""
        return self.raw(connection, [self._pick(row) for row in rows])

    def row(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """Put ``row`` in column order, for :meth:`raw`; done by the caller, it spares the writer's time."""
        return self._pick(row)

    def raw(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert rows that :meth:`row` prepared."""
        if not rows:
            return 0
        sql = self._sql[connection.dialect.paramstyle]
        return connection.exec_driver_sql(sql, rows[0] if len(rows) == 1 else list(rows)).rowcount


class Update:
    """An UPDATE of the columns ``changed`` where the columns ``by`` have given values, written once; for many rows at once.

    ``filled`` are changed besides, unless the new value is None.
    """

    def __init__(self, table: Table, changed: Sequence[str], by: Sequence[str], *, filled: Sequence[str] = ()) -> None:
        self._sql = {}
        for style, mark in _MARKS:
            new = [f"{name} = {mark}" for name in changed] + [f"{name} = COALESCE({mark}, {name})" for name in filled]
            here = " AND ".join(f"{name} = {mark}" for name in by)
            self._sql[style] = f"UPDATE {table.name} SET {', '.join(new)} WHERE {here}"  # noqa: S608  # our own names

    def raw(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Change rows: each tuple holds the new values, then those to look for."""
        if rows:
            connection.exec_driver_sql(self._sql[connection.dialect.paramstyle], list(rows))


def clamp(limit: int) -> int:
    """Bound a page size to 1 .. :data:`MOST_ITEMS`."""
    return max(1, min(limit, MOST_ITEMS))


def micros(moment: datetime) -> int:
    """Return an aware time as whole microseconds since 1970 UTC."""
    if moment.tzinfo is None:
        raise ValueError("a time without a zone names no instant")
    return round(moment.timestamp() * 1_000_000)


def maybe_micros(moment: datetime | None) -> int | None:
    """Return :func:`micros` of a time that may be absent."""
    return None if moment is None else micros(moment)


def moment(value: int) -> datetime:
    """Return the aware UTC time of :func:`micros`."""
    return _EPOCH + timedelta(microseconds=value)


def maybe_moment(value: int | None) -> datetime | None:
    """Return the time of a column that may be NULL."""
    return None if value is None else moment(value)


def to_json(value: Any) -> str:
    """Write a value as JSON text."""
    return orjson.dumps(value).decode()


def maybe_json(value: Any | None) -> str | None:
    """Write a value that may be absent."""
    return None if value is None else to_json(value)


def from_json(text: str | None) -> Any:
    """Read what :func:`to_json` wrote; NULL gives None."""
    return None if text is None else orjson.loads(text)


def in_postgresql(connection: Connection) -> bool:
    """Say whether several nodes may write at the same time, so that rows have to be locked."""
    return connection.dialect.name == "postgresql"


def not_found(slug: str, what_de: str, what_en: str, key: UUID | str) -> NotFound:
    """Return the error for a thing that is not there."""
    return NotFound(
        Text(
            f"{what_de} {key} gibt es nicht. Prüfen Sie die Kennung.",
            f"{what_en} {key} does not exist. Check the identifier.",
        ),
        slug=slug,
    )


def already_there(what_de: str, what_en: str, key: UUID | str) -> Conflict:
    """Return the error for an identifier that is taken."""
    return Conflict(
        Text(
            f"{what_de} {key} gibt es schon. Verwenden Sie eine andere Kennung.",
            f"{what_en} {key} exists already. Use another identifier.",
        ),
        slug="already-exists",
    )


def _nobody() -> None:
    """Wake nobody: until a dispatcher registers, deliveries wait for its tick."""
