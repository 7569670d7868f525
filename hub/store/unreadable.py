"""Rows that this version cannot read: written by a newer one, or damaged. They are found one by one, and stop nothing.

What cannot be read is told by table, id and column, never by value; each once in the log, and counted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Boolean, LargeBinary, Table

from hub.errors import DatabaseDamaged, HubError, UnreadableRow
from hub.store.tables import metadata

P = ParamSpec("P")
R = TypeVar("R")
_ABSENT = object()
_log = logging.getLogger(__name__)
_MET: ContextVar[set[tuple[str, str]] | None] = ContextVar("unreadable rows met", default=None)
#: Rows that are remembered as told of; beyond it all are told of anew.
_MOST = 10_000


class _Watched:
    """A row that notes which column was looked at last: the one that its reader stumbled over."""

    def __init__(self, row: Any, table: str, seen: list[str]) -> None:
        self._row, self._table, self._seen = row, table, seen

    def __getattr__(self, name: str) -> Any:
        self._seen[:] = [self._table, name]
        return getattr(self._row, name)

    @property
    def _fields(self) -> tuple[str, ...]:
        return tuple(self._row._fields)


def stumble(read: Callable[..., Any], rows: Iterable[tuple[str, Any]]) -> tuple[str, str]:
    """Return (table, column) that ``read`` of these rows fails at, given that it does."""
    pairs = list(rows)
    seen = [pairs[0][0] if pairs else "", ""]
    try:
        read(*(_Watched(row, table, seen) for table, row in pairs))
    except Exception:  # noqa: BLE001  # it is known to fail, and where is all that counts
        return seen[0], seen[1]
    return seen[0], seen[1]


@contextmanager
def met_unreadable() -> Iterator[set[tuple[str, str]]]:
    """Yield what fills with (table, key) of the unreadable rows that this thread meets within: who is shown lists is told.

    Neither where lists are read nor how often matters; what other threads meet, does not count.
    """
    met: set[tuple[str, str]] = set()
    token = _MET.set(met)
    try:
        yield met
    finally:
        _MET.reset(token)


def require_types(row: Any, table: Table) -> None:
    """Raise ``TypeError`` unless each column holds what the table says: SQLite takes anything for anything."""
    for name, kinds in _kinds(table.name):
        value = getattr(row, name, _ABSENT)
        if value is not _ABSENT and not isinstance(value, kinds):
            raise TypeError(name)


def reads(
    table: Table, *, strictly: bool = True
) -> Callable[[Callable[Concatenate[Any, P], R]], Callable[Concatenate[Any, P], R]]:
    """Have what reads a row of ``table`` (its key comes first) raise ``UnreadableRow``, whatever it stumbles over.

    ``strictly``: over ill-typed columns, too, also where nothing is made of them.
    """

    def decorate(read: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
        def typed(row: Any, /, *args: P.args, **named: P.kwargs) -> R:
            if strictly:
                require_types(row, table)
            return read(row, *args, **named)

        @wraps(read)
        def reading(row: Any, /, *args: P.args, **named: P.kwargs) -> R:
            try:
                return typed(row, *args, **named)
            except HubError:
                raise
            except Exception as exc:
                if isinstance(row, _Watched):
                    raise
                _, column = stumble(lambda watched: typed(watched, *args, **named), [(table.name, row)])
                raise UnreadableRow(table.name, _key(table, row), column) from exc

        return reading

    return decorate


def _key(table: Table, row: Any) -> str:
    """Return what names a row: its key, the columns of it joined; of a sum over rows the first column."""
    parts = [getattr(row, column.name, None) for column in table.primary_key.columns]
    return str(row[0]) if None in parts else "/".join(map(str, parts))


@cache
def _kinds(table: str) -> tuple[tuple[str, tuple[type, ...]], ...]:
    found = []
    for column in metadata.tables[table].columns:
        kinds: tuple[type, ...] = (column.type.python_type,)
        if isinstance(column.type, Boolean):
            kinds = (bool, int)
        elif isinstance(column.type, LargeBinary):
            kinds = (bytes, memoryview)
        found.append((column.name, (*kinds, type(None)) if column.nullable else kinds))
    return tuple(found)


class Unreadables:
    """Tells of rows that cannot be read, and of a damaged database. ``count`` is given the table of each row, once."""

    def __init__(self) -> None:
        self.count: Callable[[str], None] | None = None
        #: What the database said when it found itself damaged: it stays so until it is restored, and this process ends.
        self.damage: DatabaseDamaged | None = None
        self._lock = threading.Lock()
        self._logged: set[tuple[str, str]] = set()

    def note(self, table: str, key: object, column: str) -> None:
        """Log and count a row, if that has not been done."""
        known = (table, str(key))
        met = _MET.get()
        if met is not None:
            met.add(known)
        with self._lock:
            if known in self._logged:
                return
            if len(self._logged) >= _MOST:
                self._logged.clear()
            self._logged.add(known)
        _log.error("%s %s cannot be read by this version: column %s", table, key, column)
        if self.count is not None:
            self.count(table)

    def each(self, table: Table | str, rows: Iterable[Any], read: Callable[[Any], R]) -> list[R]:
        """Return what ``read`` makes of the rows that it can read."""
        return self.parted(table, rows, read)[0]

    def parted(
        self, table: Table | str, rows: Iterable[Any], read: Callable[[Any], R]
    ) -> tuple[list[R], list[UnreadableRow]]:
        """Return what ``read`` makes of the rows that it can read, and an error for each of the others."""
        found, left_out = [], []
        for row in rows:
            try:
                found.append(read(row))
            except Exception:  # noqa: BLE001  # whatever it is, it is one row's
                name = table if isinstance(table, str) else table.name
                _, column = stumble(read, [(name, row)])
                error = UnreadableRow(name, str(row[0]) if isinstance(table, str) else _key(table, row), column)
                self.note(*error.place)
                left_out.append(error)
        return found, left_out
