"""Statements of the hot paths, written once for each driver and handed to it directly.

SQLAlchemy still owns connections, transactions and the schema. What it does around a statement (result metadata, value
processors, events) costs as much again as SQLite itself, and most of what PostgreSQL's driver costs; these statements
need none of it: every column is text, a number or bytes. A driver's errors come out as SQLAlchemy's, so that callers
catch one kind.
"""

from __future__ import annotations

import json
import re
from collections import namedtuple
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

#: How each driver marks a value in a statement, by SQLAlchemy's names of the ways: SQLite's and PostgreSQL's.
_SQLITE, _POSTGRESQL = "qmark", "pyformat"
_MARKS = ((_SQLITE, "?"), (_POSTGRESQL, "%s"))
#: Rows that one statement of SQLite's inserts: few forms, each prepared once, make up every number.
_TOGETHER = (64, 16, 4, 2, 1)
#: A value's name in the text of a :class:`Query`.
_NAMED = re.compile(r"(?<![:\w]):([a-z_]+)\b")
_NOTHING: Mapping[str, Any] = {}


@contextmanager
def driver_errors(connection: Connection) -> Iterator[None]:
    """Raise the driver's errors as SQLAlchemy would have; no bound value stands in them."""
    dialect = connection.dialect
    try:
        yield
    except dialect.loaded_dbapi.Error as exc:
        wrapped: Any = DBAPIError.instance(
            None, None, exc, dialect.loaded_dbapi.Error, hide_parameters=True, dialect=dialect
        )
        raise wrapped from exc


@contextmanager
def driver_cursor(connection: Connection) -> Iterator[Any]:
    """Lend the driver's own cursor, within the connection's transaction, which is begun if need be."""
    if not connection.in_transaction():
        connection.begin()
    cursor = connection.connection.cursor()
    try:
        with driver_errors(connection):
            yield cursor
    finally:
        cursor.close()


class Lookup:
    """A SELECT of rows by equal columns. ``lock`` holds the rows to the transaction's end, in the order of the first column.

    SQLite's writer, which is alone, needs no lock.
    """

    def __init__(self, table: Table, columns: Sequence[str], by: Sequence[str], *, lock: bool = False) -> None:
        self._row = _row_of(columns)
        start = f"SELECT {', '.join(columns)} FROM {table.name} WHERE "  # noqa: S608  # names of our own tables
        locking = " FOR UPDATE" if lock else ""
        self.sql = {
            style: start + " AND ".join(f"{name} = {mark}" for name in by) + (locking if style == _POSTGRESQL else "")
            for style, mark in _MARKS
        }
        self._among = {
            style: f"{start}{by[0]} {_among(mark, style)}"
            + (f" ORDER BY {by[0]}{locking}" if lock and style == _POSTGRESQL else "")
            for style, mark in _MARKS
        }

    def rows(self, connection: Connection, *values: Any) -> list[Any]:
        """Return the rows whose columns have ``values``, in no order."""
        with driver_cursor(connection) as cursor:
            cursor.execute(self.sql[connection.dialect.paramstyle], values)
            return [self._row(found) for found in cursor.fetchall()]

    def row(self, connection: Connection, *values: Any) -> Any:
        """Return one such row, or None."""
        with driver_cursor(connection) as cursor:
            return self.one(cursor, connection.dialect.paramstyle, values)

    def one(self, cursor: Any, style: str, values: tuple[Any, ...]) -> Any:
        """Return one such row, or None, by a ``cursor`` of the caller's."""
        found = cursor.execute(self.sql[style], values).fetchone()
        return None if found is None else self._row(found)

    def among(self, connection: Connection, values: Collection[str]) -> list[Any]:
        """Return the rows whose first column is one of ``values``; locked, they come in its order."""
        if not values:
            return []
        style = connection.dialect.paramstyle
        with driver_cursor(connection) as cursor:
            cursor.execute(self._among[style], [several(values, style)])
            return [self._row(found) for found in cursor.fetchall()]


class Insert:
    """An INSERT of all columns of a table: the accept path runs it thousands of times a second.

    Rows are mappings with every column (a missing one is a KeyError, not a silent NULL).
    """

    def __init__(self, table: Table, suffix: str = "") -> None:
        columns = [column.name for column in table.columns if column.autoincrement is not True]
        self._pick = cast("Callable[[Mapping[str, Any]], tuple[Any, ...]]", itemgetter(*columns))
        start = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES "  # noqa: S608  # names of our own tables
        self._sql = {style: f"{start}({', '.join([mark] * len(columns))}) {suffix}" for style, mark in _MARKS}
        row = f"({', '.join(['?'] * len(columns))})"
        self._together = {number: f"{start}{', '.join([row] * number)} {suffix}" for number in _TOGETHER}

    def __call__(self, connection: Connection, *rows: Mapping[str, Any]) -> int:
        """Insert ``rows`` and return how many were written."""
        return self.raw(connection, [self._pick(row) for row in rows])

    def row(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """Put ``row`` in column order, for :meth:`raw`; done by the caller, it spares the writer's time."""
        return self._pick(row)

    def raw(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Insert rows that :meth:`row` prepared."""
        if len(rows) < 2 or connection.dialect.paramstyle != _SQLITE:  # noqa: PLR2004  # one row is not several
            return _run(connection, self._sql, rows)
        with driver_cursor(connection) as cursor:
            return sum(self._several(cursor, rows))

    def _several(self, cursor: Any, rows: Sequence[tuple[Any, ...]]) -> Iterator[int]:
        """Insert several rows at once: SQLite's driver lets go of the interpreter at each run of a statement, also of many."""
        done = 0
        for number in _TOGETHER:
            while len(rows) - done >= number:
                values = tuple(chain.from_iterable(rows[done : done + number]))
                yield int(cursor.execute(self._together[number], values).rowcount)
                done += number


class Update:
    """An UPDATE of the columns ``changed`` where the columns ``by`` have given values, for many rows at once.

    ``filled`` are changed besides, unless the new value is None. Rows in which one of ``unset`` has a value are left alone.
    """

    def __init__(
        self,
        table: Table,
        changed: Sequence[str],
        by: Sequence[str],
        *,
        filled: Sequence[str] = (),
        unset: Sequence[str] = (),
    ) -> None:
        self._sql = {}
        for style, mark in _MARKS:
            new = [f"{name} = {mark}" for name in changed] + [f"{name} = COALESCE({mark}, {name})" for name in filled]
            here = [f"{name} = {mark}" for name in by] + [f"{name} IS NULL" for name in unset]
            self._sql[style] = f"UPDATE {table.name} SET {', '.join(new)} WHERE {' AND '.join(here)}"  # noqa: S608  # our own names

    def raw(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Change rows: each tuple holds the new values, then those to look for; return how many were changed."""
        return _run(connection, self._sql, rows)


class Query:
    """A statement with named values (``:name``) that returns ``columns``, in its own words for each engine.

    Where a column is to be one of ``several`` texts, the statement says ``column {name}``.
    """

    def __init__(self, *, sqlite: str, postgresql: str, columns: Sequence[str], several: Collection[str] = ()) -> None:
        self._row = _row_of(columns)
        self._several = frozenset(several)
        self.sql = {
            _SQLITE: sqlite.format(**{name: _among(f":{name}", _SQLITE) for name in several}),
            _POSTGRESQL: _NAMED.sub(
                r"%(\1)s",
                postgresql.replace("%", "%%").format(**{name: _among(f":{name}", _POSTGRESQL) for name in several}),
            ),
        }

    def __call__(self, connection: Connection, values: Mapping[str, Any] = _NOTHING) -> list[Any]:
        """Run it and return its rows."""
        style = connection.dialect.paramstyle
        bound = {name: several(value, style) if name in self._several else value for name, value in values.items()}
        with driver_cursor(connection) as cursor:
            cursor.execute(self.sql[style], bound)
            return [self._row(found) for found in cursor.fetchall()]

    def one(self, cursor: Any, style: str, values: tuple[Any, ...]) -> Any:
        """Return the first row, or None, by a ``cursor`` of the caller's; ``values`` are one mapping of names, or none."""
        found = cursor.execute(self.sql[style], values[0] if values else _NOTHING).fetchone()
        return None if found is None else self._row(found)


def several(values: Collection[str], style: str) -> Any:
    """Return texts as the one value that stands for them."""
    return list(values) if style == _POSTGRESQL else json.dumps(list(values))


def _among(mark: str, style: str) -> str:
    """One value for many: the statement stays the same however many there are, and is prepared once."""
    if style == _POSTGRESQL:
        return f"= ANY({mark})"
    return f"IN (SELECT value FROM json_each({mark}))"  # noqa: S608  # a mark, no value


def _row_of(columns: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    """Return a maker of rows whose columns have names."""
    made: Any = namedtuple("Row", list(columns))  # type: ignore[misc]  # noqa: PYI024  # the columns are the caller's
    return cast("Callable[[Sequence[Any]], Any]", made._make)


def _run(connection: Connection, sql: Mapping[str, str], rows: Sequence[tuple[Any, ...]]) -> int:
    """Run a statement for each of ``rows``; return how many rows of the table it touched."""
    if not rows:
        return 0
    with driver_cursor(connection) as cursor:
        if len(rows) == 1:
            cursor.execute(sql[connection.dialect.paramstyle], rows[0])
        else:
            cursor.executemany(sql[connection.dialect.paramstyle], rows)
        return int(cursor.rowcount)
