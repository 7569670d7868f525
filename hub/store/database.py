"""What every noun of the store is given: a writer, readers, and the translation of rows.

Rows that this version cannot read were written by a newer one, or are damaged. They are found one by one, and stop nothing:
what cannot be read is told by table, id and column, never by value; each once in the log, and counted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar
from uuid import UUID

import orjson
from sqlalchemy import Boolean, Connection, Engine, LargeBinary, Select, Table, func, select

from hub.errors import DatabaseDamaged, HubError, UnreadableRow
from hub.store.engine import corrupt, is_damage, translated, unavailable
from hub.store.statements import Lookup, Query
from hub.store.tables import metadata
from hub.store.writer import Turns, Writer
from hub.supervision import Supervisor

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

_log = logging.getLogger(__name__)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: No list returns more items than this at once.
MOST_ITEMS = 500
#: Beyond any list's end, and within what every engine takes as a number.
_FARTHEST = 1 << 31
_ABSENT = object()
_MET: ContextVar[set[tuple[str, str]] | None] = ContextVar("unreadable rows met", default=None)
#: Unreadable rows that are remembered as told of; beyond it all are told of anew.
_MOST_NOTED = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Page(Generic[T]):
    """One page of a list: ``items`` from ``offset`` on, of ``total`` in all; ``unreadable`` stand for rows left out of it."""

    items: Sequence[T]
    offset: int
    total: int
    unreadable: Sequence[UnreadableRow] = ()

    @property
    def end(self) -> int:
        """Where the next page begins: behind what was left out, too."""
        return self.offset + len(self.items) + len(self.unreadable)


def all_pages(read: Callable[[int], Page[T]]) -> Iterator[Page[T]]:
    """Yield the pages of a list, however much of it cannot be read; ``read`` is given where its page begins."""
    offset = 0
    while (page := read(offset)).end > offset:
        yield page
        offset = page.end
        if offset >= page.total:
            return


def all_items(read: Callable[[int], Page[T]]) -> Iterator[T]:
    """Yield what can be read of a list, page by page, as :func:`all_pages`."""
    for page in all_pages(read):
        yield from page.items


class Database:
    """Two engines and the one writer of a process. Each noun of the store is given it and keeps nothing else of the kind.

    Whatever reads or writes raises ``StoreUnavailable`` when the database cannot be reached, is locked or full.
    """

    def __init__(
        self, *, writing: Engine, reading: Engine, supervisor: Supervisor | None = None, turns: Turns | None = None
    ) -> None:
        self._writing = writing
        self._reading = reading
        self._wake: Callable[[], None] = _nobody
        self._party_listeners: list[Callable[[UUID | str], None]] = []
        #: Counts and logs rows that cannot be read, and knows whether the database is damaged.
        self.unreadables = Unreadables()
        self._writer = Writer(writing, wake=self._wake_up, supervisor=supervisor, turns=turns)

    def on_delivery_due(self, wake: Callable[[], None]) -> None:
        """Call ``wake`` (from the writer's thread: return at once) after every commit that made a delivery due."""
        self._wake = wake

    def on_unreadable(self, count: Callable[[str], None]) -> None:
        """Call ``count`` with the table of each row that turns out not to be readable by this version, once a row."""
        self.unreadables.count = count

    def on_party_changed(self, tell: Callable[[UUID | str], None]) -> None:
        """Call ``tell`` with the id of every destination and client that this process changed, before the changer goes on."""
        self._party_listeners.append(tell)

    def close(self) -> None:
        """Finish waiting writes and close all connections."""
        self._writer.close()
        self._writing.dispose()
        self._reading.dispose()

    def begin(self, write: Callable[[Connection], T], *, wakes: bool = False) -> Future[T]:
        """Run ``write`` in a transaction of the writer, without waiting; with ``wakes`` a delivery may be due after it.

        The future holds its result after the durable commit, or its error: see :meth:`hub.store.writer.Writer.run`.
        """
        future = self._writer.run(write, wakes=wakes)
        future.add_done_callback(self._heard)
        return future

    def _heard(self, done: Future[Any]) -> None:
        error = None if done.cancelled() else done.exception()
        if isinstance(error, DatabaseDamaged):
            self.unreadables.damage = error

    def write(self, write: Callable[[Connection], T]) -> T:
        """Run ``write`` in a transaction of the writer; return its result after the durable commit, or raise its error."""
        with self._noting():
            return self._writer.run(write).result()

    def write_party(self, party: UUID | str, write: Callable[[Connection], T]) -> T:
        """Run ``write``, which changes a party or its keys, and tell of it: also where nobody knows whether it was stored."""
        try:
            return self.write(write)
        finally:
            for tell in self._party_listeners:
                tell(party)

    def read(self, read: Callable[[Connection], T]) -> T:
        """Run ``read`` in one snapshot."""
        with self._noting(), translated(), self._reading.connect() as connection:
            return read(connection)

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Count and log a row that turns out not to be readable; remember that the database is damaged."""
        try:
            yield
        except DatabaseDamaged as error:
            self.unreadables.damage = error
            raise
        except UnreadableRow as error:
            self.unreadables.note(*error.place)
            raise

    def one(self, statement: Select[Any], convert: Callable[[Any], R]) -> R | None:
        """Return the first row of ``statement``, None where there is none."""

        def read(connection: Connection) -> R | None:
            row = connection.execute(statement).first()
            return None if row is None else convert(row)

        return self.read(read)

    def all(self, statement: Select[Any], table: Table, convert: Callable[[Any], R]) -> list[R]:
        """Return all rows of ``statement`` that can be read; the others are counted and logged."""
        return self.read(lambda connection: self.unreadables.each(table, connection.execute(statement), convert))

    def readable(
        self, statement: Select[Any], table: Table, convert: Callable[[Any], R], *, limit: int, skip: int = 0
    ) -> list[R]:
        """Return the first ``limit`` rows behind ``skip`` readable ones; what cannot be read is passed, however much it is."""
        wanted = skip + clamp(limit)
        found: list[R] = []
        offset = 0
        while len(found) < wanted:
            rows = self.read(lambda connection: connection.execute(statement.offset(offset).limit(MOST_ITEMS)).all())  # noqa: B023
            found += self.unreadables.each(table, rows, convert)
            offset += len(rows)
            if len(rows) < MOST_ITEMS:
                break
        return found[skip:wanted]

    def glance(self, lookup: Lookup | Query, *values: Any) -> Any:
        """Return the one row of ``lookup``, or None: where looks are many, on the accept path or at an empty queue.

        A transaction would cost four times more.
        """
        try:
            with translated(), closing(self._reading.raw_connection()) as connection:
                return lookup.one(connection.cursor(), self._reading.dialect.paramstyle, values)
        except self._reading.dialect.loaded_dbapi.Error as exc:
            # Nothing wraps the driver's errors here, not even those of a connection that turns out to be dead.
            if not is_damage(exc):
                raise unavailable() from exc
            self.unreadables.damage = corrupt()
            raise self.unreadables.damage from exc

    def _wake_up(self) -> None:
        self._wake()

    def page(
        self,
        statement: Select[Any],
        convert: Callable[[Any], R],
        *,
        offset: int,
        limit: int,
        whole: tuple[Select[Any], Select[Any]] | None = None,
    ) -> Page[R]:
        """Return one page of an ordered ``statement``, counted and read in the same snapshot.

        What cannot be read is counted, logged, and left out; the page names it. ``whole`` is what selects something that a
        filter of the statement leaves out, and the statement without that filter: it is read where there is nothing.
        """

        def read(connection: Connection) -> Page[R]:
            start, most = max(0, min(offset, _FARTHEST)), clamp(limit)
            asked = statement
            if whole is not None and connection.execute(whole[0]).first() is None:
                asked = whole[1]
            rows = connection.execute(asked.offset(start).limit(most)).all()
            # A page that is begun and not full ends the list: nothing is left to be counted.
            if len(rows) == most or (start and not rows):
                count = select(func.count()).select_from(asked.order_by(None).subquery())
                total = connection.execute(count).scalar_one()
            else:
                total = start + len(rows)
            # Not what the whole statement selects from: to say that it would be compiled anew each time.
            table = statement.columns_clause_froms[0]
            named = table if isinstance(table, Table) else "row"
            items, left_out = self.unreadables.parted(named, rows, convert)
            return Page(items=tuple(items), offset=offset, total=total, unreadable=tuple(left_out))

        return self.read(read)


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
            if len(self._logged) >= _MOST_NOTED:
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


def a_moment(value: Any) -> datetime | None:
    """Return the time of a column that may be NULL, and None for what is no time: sums and hints go on without it."""
    try:
        return maybe_moment(value)
    except (TypeError, OverflowError):
        return None


def to_json(value: Any) -> str:
    """Write a value as JSON text."""
    return orjson.dumps(value).decode()


def maybe_json(value: Any | None) -> str | None:
    """Write a value that may be absent."""
    return None if value is None else to_json(value)


def from_json(text: str | None) -> Any:
    """Read what :func:`to_json` wrote; NULL gives None."""
    return None if text is None else orjson.loads(text)


def json_object(text: str) -> dict[str, Any]:
    """Read an object that :func:`to_json` wrote; raise ``TypeError`` for any other value."""
    found = from_json(text)
    if not isinstance(found, dict):
        raise TypeError("no object")
    return found


def in_postgresql(connection: Connection) -> bool:
    """Say whether several nodes may write at the same time, so that rows have to be locked."""
    return connection.dialect.name == "postgresql"


def _nobody() -> None:
    """Wake nobody: until a dispatcher registers, deliveries wait for its tick."""
