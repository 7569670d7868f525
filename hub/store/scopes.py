"""The one filter of what somebody may see, as conditions in SQL; and whose a row is that names an area alone.

Whoever is written without a tenant but with an area (ARS) belongs to the tenant that stands for the longest beginning of it:
so nobody who makes destinations or clients has to know the tree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, false, func, or_, select, true

from hub.model import ROOT, Scope
from hub.store import tables

_AREAS = tables.tenant_areas
_GRANTS = tables.tenant_grants
_ACCOUNTS = tables.accounts
_DESTINATIONS = tables.destinations


def within(table: Table, scope: Scope) -> ColumnElement[bool]:
    """Return the condition that a row of destinations, clients or accounts is within a scope: the one place that decides."""
    if scope.tenants is None:
        return true()
    conditions: list[ColumnElement[bool]] = []
    if scope.tenants:
        conditions.append(table.c.tenant_id.in_(sorted(scope.tenants)))
    conditions += [table.c.tenant.startswith(area, autoescape=True) for area in sorted(scope.areas)]
    return or_(*conditions) if conditions else false()


def destination_within(destination_id: Any, scope: Scope) -> ColumnElement[bool]:
    """Return the condition that a row's destination, of which it has the id, is within a scope."""
    if scope.tenants is None:
        return true()
    inside = select(_DESTINATIONS.c.destination_id).where(within(_DESTINATIONS, scope))
    return destination_id.in_(inside)  # type: ignore[no-any-return]


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
    granted = select(_GRANTS.c.account).where(_GRANTS.c.tenant_id.in_(sorted(scope.tenants)))
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
