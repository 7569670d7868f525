"""The one filter of what somebody may see, as conditions in SQL; and whose a row is that names an area alone.

Whoever is written without a tenant but with an area (ARS) belongs to the tenant that stands for the longest beginning of it:
so nobody who makes destinations or clients has to know the tree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Select,
    Table,
    Text,
    bindparam,
    false,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean, TypeDecorator

from hub.model import ROOT, Scope
from hub.store import tables
from hub.store.database import to_json

_AREAS = tables.tenant_areas
_GRANTS = tables.tenant_grants
_ACCOUNTS = tables.accounts
_DESTINATIONS = tables.destinations


#: What stands between ids in one text; none holds it.
_BETWEEN = "\x1f"


class _Ids(TypeDecorator[Collection[str]]):
    """Ids as one parameter: a text that PostgreSQL takes apart, a list in JSON in SQLite.

    An array would do for PostgreSQL, but its driver writes one id by id, and for hundreds that takes longer than the query.
    """

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Collection[str] | None, dialect: Dialect) -> str:
        return _joined(frozenset(value or ()), dialect.name)


@lru_cache(maxsize=64)
def _joined(ids: frozenset[str], dialect: str) -> str:
    return _BETWEEN.join(sorted(ids)) if dialect == "postgresql" else to_json(sorted(ids))


class one_of(FunctionElement[bool]):  # noqa: N801  # a function in SQL
    """The condition that a column is one of some ids.

    All of them are one parameter: a scope names hundreds of tenants, and a list of as many parameters costs a compilation of
    the statement each time, and a plan.
    """

    type = Boolean()
    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], ids: Collection[str]) -> None:
        super().__init__(column, bindparam(None, ids, type_=_Ids(), unique=True))

    def self_group(self, against: Any = None) -> one_of:  # noqa: ARG002
        """Return it as it is: SQLite would compare it with 1, as a column that holds a number."""
        return self


@compiles(one_of)
def _one_of(element: one_of, compiler: Any, **named: Any) -> str:
    column, ids = (compiler.process(each, **named) for each in element.clauses)
    if compiler.dialect.name == "postgresql":
        # Both are constants to the planner, so the array is one that it looks up in a table of hashes.
        return f"({column} = ANY (string_to_array({ids}, chr(31))))"
    return f"({column} IN (SELECT value FROM json_each({ids})))"  # noqa: S608  # our own words


#: A scope that names so many tenants may hold every destination that there is. That is asked once for a statement, and then
#: no row pays for the filter; a join with all destinations would cost a list of a million rows a third more. A smaller scope
#: is better served by the join: its rows are found by their destination.
_MANY = 100


def within(table: Table, scope: Scope) -> ColumnElement[bool]:
    """Return the condition that a row of destinations, clients or accounts is within a scope: the one place that decides."""
    if scope.tenants is None:
        return true()
    conditions: list[ColumnElement[bool]] = []
    if scope.tenants:
        conditions.append(one_of(table.c.tenant_id, scope.tenants))
    conditions += [table.c.tenant.startswith(area, autoescape=True) for area in sorted(scope.areas)]
    return or_(*conditions) if conditions else false()


def destination_within(destination_id: Any, scope: Scope) -> ColumnElement[bool]:
    """Return the condition that a row's destination, of which it has the id, is within a scope."""
    if scope.tenants is None:
        return true()
    inside = select(_DESTINATIONS.c.destination_id).where(within(_DESTINATIONS, scope))
    left_out = beyond(scope)
    if left_out is None:
        return destination_id.in_(inside)  # type: ignore[no-any-return]
    return or_(~left_out.exists(), destination_id.in_(inside))


def beyond(scope: Scope) -> Select[Any] | None:
    """Return what selects a destination that a scope leaves out; None for a scope that is too small to hold all there are."""
    if scope.tenants is None or len(scope.tenants) < _MANY:
        return None
    outside = func.coalesce(within(_DESTINATIONS, scope), false()).is_(False)
    return select(_DESTINATIONS.c.destination_id).where(outside).limit(1)


def placed(connection: Connection, rows: Iterable[dict[str, Any]]) -> None:
    """Say in new rows of destinations, clients or accounts whose they are, where they name an area alone.

    An account (a row with ``roles``) belongs to whoever stands for exactly its area: it would see more otherwise.
    """
    known: dict[tuple[str, bool], str | None] = {}
    for row in rows:
        area, exactly = row["tenant"], "roles" in row
        if row["tenant_id"] is not None or not area:
            continue
        if (area, exactly) not in known:
            known[area, exactly] = standing_for(connection, area, exactly=exactly)
        row["tenant_id"] = known[area, exactly]


def account_within(scope: Scope) -> ColumnElement[bool]:
    """Return the condition that an account belongs into a scope, or has a role at a tenant within."""
    if scope.tenants is None:
        return true()
    granted = select(_GRANTS.c.account).where(one_of(_GRANTS.c.tenant_id, scope.tenants))
    return or_(within(_ACCOUNTS, scope), _ACCOUNTS.c.name.in_(granted))


def standing_for(connection: Connection, area: str, *, exactly: bool = False) -> str | None:
    """Return the id of the tenant that stands for the longest beginning of an area; None: the root alone does."""
    beginnings = [area] if exactly else [area[:length] for length in range(2, len(area) + 1)]
    statement = (
        select(_AREAS.c.tenant_id)
        .where(_AREAS.c.ars.in_(beginnings), _AREAS.c.tenant_id != ROOT)
        .order_by(func.length(_AREAS.c.ars).desc())
    )
    found: str | None = connection.execute(statement).scalars().first() if area else None
    return found
