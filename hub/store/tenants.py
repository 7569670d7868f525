"""Tenants in the store: the tree, what belongs to whom, and roles at tenants.

The root needs no row before something stands below it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    and_,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)

from hub.errors import Conflict, Text, already_exists, not_found, overtaken
from hub.model import EVERYTHING, ROOT, Role, Scope, Tenant, TenantGrant, TenantKind
from hub.store import tables
from hub.store.audit import AuditEntry, write_audit
from hub.store.database import Database, Page, clamp, in_postgresql, json_object, micros, moment, reads, to_json
from hub.store.scopes import one_of, standing_for

_TENANTS = tables.tenants
_AREAS = tables.tenant_areas
_GRANTS = tables.tenant_grants
_ACCOUNTS = tables.accounts
_CLIENTS = tables.clients
_DESTINATIONS = tables.destinations
_DELIVERIES = tables.deliveries
_SESSIONS = tables.sessions
_DELEGATIONS = tables.delegations
_VENDORS = tables.vendors
#: A tree is not deeper, whatever the rows say.
_DEEPEST = 12
_BELONGING = (_DESTINATIONS, _CLIENTS, _ACCOUNTS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdings:
    """What belongs to tenants: ids of destinations and clients, names of accounts, roles at them, deliveries under way."""

    destinations: tuple[str, ...]
    clients: tuple[str, ...]
    accounts: tuple[str, ...]
    grants: tuple[TenantGrant, ...]
    #: Deliveries to these destinations that are queued, wait in a mailbox, or were given up.
    open_deliveries: int


class Tenants:
    """Reads and writes the tree. Every change takes its audit entry into its transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def tenant(self, tenant_id: str, *, scope: Scope) -> Tenant | None:
        """Return a tenant, dissolved or not; None also for one that is not within the scope."""
        if not (scope.tenants is None or tenant_id in scope.tenants):
            return None
        found = self._database.read(lambda connection: _read(connection, _TENANTS.c.tenant_id == tenant_id))
        return found[0] if found else (_root() if tenant_id == ROOT else None)

    def tenants(
        self, *, scope: Scope, text: str = "", parent: str | None = None, offset: int = 0, limit: int = 100
    ) -> Page[Tenant]:
        """Return one page of the tenants within a scope, by name; ``text`` is a part of the name, or how an area begins."""
        words = text.casefold().split()

        def fits(each: Tenant) -> bool:
            said = f"{each.name.casefold()} {each.tenant_id}"
            return parent in {None, each.parent} and all(
                word in said or any(area.startswith(word) for area in each.areas) for word in words
            )

        found = [each for each in self.tree(scope=scope) if fits(each)]
        first = max(0, offset)
        return Page(items=tuple(found[first : first + clamp(limit)]), offset=offset, total=len(found))

    def tree(self, *, scope: Scope) -> list[Tenant]:
        """Return all tenants within a scope, by name; the root first, where it is within."""
        inside = true() if scope.tenants is None else one_of(_TENANTS.c.tenant_id, scope.tenants)
        found = self._database.read(lambda connection: _read(connection, inside))
        if scope.is_everything and all(each.tenant_id != ROOT for each in found):
            found.insert(0, _root())
        return sorted(found, key=lambda each: (each.parent is not None, each.name, each.tenant_id))

    def above(self, tenant_id: str) -> list[str]:
        """Return the ids of the tenants above one, its parent first, the root last."""
        return self._database.read(lambda connection: above_tenant(connection, tenant_id))

    def scope_of(self, tenant_ids: Collection[str], *, areas: Collection[str] = ()) -> Scope:
        """Return what is within the subtrees of tenants, and within areas; dissolved tenants give nothing."""
        if ROOT in tenant_ids:
            return EVERYTHING
        if not tenant_ids:
            return Scope.union(Scope.of_area(area) for area in areas)

        def read(connection: Connection) -> Scope:
            standing = select(_TENANTS.c.tenant_id).where(
                _TENANTS.c.tenant_id.in_(sorted(tenant_ids)), _TENANTS.c.successor.is_(None)
            )
            ids = frozenset(_subtree(connection, connection.execute(standing).scalars().all()))
            served = select(_AREAS.c.ars).where(_AREAS.c.tenant_id.in_(sorted(ids)))
            return Scope(ids, frozenset(), frozenset(connection.execute(served).scalars()))

        return Scope.union([self._database.read(read), *map(Scope.of_area, areas)])

    def standing_for(self, area: str) -> str | None:
        """Return the id of the tenant that stands for the longest beginning of an area; None: the root alone does."""
        return self._database.read(lambda connection: standing_for(connection, area))

    def area_of(self, tenant_id: str) -> str:
        """Return the shortest area that a tenant stands for, or the nearest one above it that stands for any; empty: none."""

        def read(connection: Connection) -> str:
            for here in [tenant_id, *above_tenant(connection, tenant_id)]:
                served = select(_AREAS.c.ars).where(_AREAS.c.tenant_id == here)
                found: str | None = connection.execute(served.order_by(func.length(_AREAS.c.ars))).scalars().first()
                if found is not None and here != ROOT:
                    return found
            return ""

        return self._database.read(read)

    def add(self, made: Sequence[Tenant], *, audit: AuditEntry) -> None:
        """Store new tenants, parents first, and give them what names their areas and belongs to a wider one.

        Raises:
            Conflict: an id is taken, or one of the areas is another tenant's.
            NotFound: no such parent.
        """

        def write(connection: Connection) -> None:
            self._begin(connection, made[0].created_at)
            for each in made:
                _require_free(connection, each)
                _require_parent(connection, str(each.parent))
                connection.execute(insert(_TENANTS), _row(each))
                _put_areas(connection, each)
            _adopt(connection, [area for each in made for area in each.areas])
            write_audit(connection, audit)

        self._database.write(write)

    def change(
        self,
        tenant_id: str,
        change: Callable[[Tenant], Tenant],
        *,
        audit: Callable[[Tenant, Tenant], AuditEntry],
        expected: str | None = None,
    ) -> Tenant:
        """Replace a tenant by ``change(tenant)`` (pure): its name, areas, days, or its parent, which moves all below it along.

        Before an area goes, what names it is given to the tenant for good: nothing changes hands by that.

        Raises:
            NotFound: no such tenant or parent. Conflict: changed since ``expected`` (``overtaken``); an area is another's; it
                would stand below itself.
        """

        def write(connection: Connection) -> Tenant:
            before = self._held(connection, tenant_id, expected)
            changed = replace(change(before), tenant_id=tenant_id, created_at=before.created_at)
            changed = replace(changed, updated_at=max(changed.updated_at, before.updated_at + _TICK))
            if changed.parent != before.parent:
                _require_parent(connection, str(changed.parent))
                if tenant_id in {changed.parent, *above_tenant(connection, str(changed.parent))}:
                    raise _below_itself(before)
            _adopt(connection, before.areas)
            _require_free(connection, changed, but=tenant_id)
            connection.execute(update(_TENANTS).where(_TENANTS.c.tenant_id == tenant_id).values(_row(changed)))
            connection.execute(delete(_AREAS).where(_AREAS.c.tenant_id == tenant_id))
            _put_areas(connection, changed)
            _adopt(connection, changed.areas)
            write_audit(connection, audit(before, changed))
            return changed

        return self._database.write(write)

    def dissolve(
        self,
        tenant_id: str,
        *,
        successor: str,
        keep_rights: bool,
        until: date,
        audit: Callable[[Holdings], AuditEntry],
        now: datetime,
        expected: str | None = None,
    ) -> Holdings:
        """Give all that belongs to a tenant, what stands below it and its areas to another one; return what that was.

        Roles at it end, those of its own accounts and those granted, and so does what vendors do for it, unless
        ``keep_rights``: then they count at the successor. Whoever had any is logged out.

        Raises:
            NotFound: no such tenant or successor. Conflict: changed since ``expected``; the successor stands below it.
        """

        def write(connection: Connection) -> Holdings:
            before = self._held(connection, tenant_id, expected)
            _require_parent(connection, successor)
            if tenant_id in {successor, *above_tenant(connection, successor)}:
                raise _below_itself(before)
            _adopt(connection, before.areas)
            held = _holdings(connection, [tenant_id])
            there = None if successor == ROOT else successor
            for table in _BELONGING:
                connection.execute(update(table).where(table.c.tenant_id == tenant_id).values(tenant_id=there))
            if not keep_rights:
                theirs = _ACCOUNTS.c.name.in_(held.accounts)
                connection.execute(update(_ACCOUNTS).where(theirs).values(roles=to_json([])))
            _end_grants(connection, tenant_id, held.grants, successor if keep_rights else None)
            _end_delegations(connection, tenant_id, successor if keep_rights else None, now)
            connection.execute(update(_VENDORS).where(_VENDORS.c.tenant_id == tenant_id).values(tenant_id=there))
            lost = [*held.accounts, *(each.account for each in held.grants)]
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.account.in_(lost)))
            connection.execute(update(_TENANTS).where(_TENANTS.c.parent == tenant_id).values(parent=successor))
            connection.execute(update(_AREAS).where(_AREAS.c.tenant_id == tenant_id).values(tenant_id=successor))
            gone = {"successor": successor, "valid_until": until.isoformat(), "updated_at": micros(now)}
            connection.execute(update(_TENANTS).where(_TENANTS.c.tenant_id == tenant_id).values(gone))
            write_audit(connection, audit(held))
            return held

        return self._database.write(write)

    def place_strays(self) -> int:
        """Give what names an area and no tenant to whoever stands for that area (a periodic duty); return how many areas.

        Programs of the version before write it so. What the root stands for by name, and what nobody does, stays the root's.
        """
        if not self._database.read(_strays):
            return 0

        def write(connection: Connection) -> int:
            self._begin(connection, _EPOCH)
            found = _strays(connection)
            for table, area, tenant_id in found:
                there = table.c.tenant == area, table.c.tenant_id.is_(None)
                connection.execute(update(table).where(*there).values(tenant_id=tenant_id))
            return len(found)

        return self._database.write(write)

    def holdings(self, tenant_id: str) -> Holdings:
        """Return what belongs to a tenant and all below it."""

        def read(connection: Connection) -> Holdings:
            return _holdings(connection, sorted(_subtree(connection, [tenant_id])))

        return self._database.read(read)

    def own_holdings(self, tenant_id: str) -> Holdings:
        """Return what belongs to a tenant itself."""
        return self._database.read(lambda connection: _holdings(connection, [tenant_id]))

    def grants_of(self, account: str) -> list[TenantGrant]:
        """Return the roles that an account was granted at tenants."""
        statement = select(_GRANTS).where(_GRANTS.c.account == account).order_by(_GRANTS.c.tenant_id, _GRANTS.c.role)
        return self._database.all(statement, _GRANTS, _grant)

    def grants_at(self, tenant_ids: Collection[str], *, scope: Scope) -> list[TenantGrant]:
        """Return the roles that were granted at tenants within a scope, by account."""
        inside = sorted(each for each in tenant_ids if scope.tenants is None or each in scope.tenants)
        statement = select(_GRANTS).where(_GRANTS.c.tenant_id.in_(inside)).order_by(_GRANTS.c.account, _GRANTS.c.role)
        return self._database.all(statement, _GRANTS, _grant)

    def grant(self, given: TenantGrant, *, audit: AuditEntry) -> None:
        """Give a role; raise ``Conflict`` where the account has it there, ``NotFound`` for no such account or tenant."""

        def write(connection: Connection) -> None:
            self._begin(connection, given.granted_at)
            _require_parent(connection, given.tenant_id)
            if connection.execute(select(_ACCOUNTS.c.name).where(_ACCOUNTS.c.name == given.account)).first() is None:
                raise not_found("account-not-found", given.account)
            if connection.execute(select(_GRANTS.c.role).where(_same(given))).first() is not None:
                raise already_exists(Text(f"Die Rolle {given.role}", f"The role {given.role}"))
            connection.execute(insert(_GRANTS), _grant_row(given))
            write_audit(connection, audit)

        self._database.write(write)

    def revoke(self, given: TenantGrant, *, audit: AuditEntry) -> bool:
        """Take a granted role away, and log its account out; return False where it had none."""

        def write(connection: Connection) -> bool:
            if connection.execute(delete(_GRANTS).where(_same(given))).rowcount == 0:
                return False
            connection.execute(delete(_SESSIONS).where(_SESSIONS.c.account == given.account))
            write_audit(connection, audit)
            return True

        return self._database.write(write)

    def _begin(self, connection: Connection, now: datetime) -> None:
        """Let nobody else change the tree until the transaction's end, and write the root down."""
        if in_postgresql(connection):
            connection.exec_driver_sql("LOCK TABLE tenants IN EXCLUSIVE MODE")
        if connection.execute(select(_TENANTS.c.tenant_id).where(_TENANTS.c.tenant_id == ROOT)).first() is None:
            connection.execute(insert(_TENANTS), _row(replace(_root(), created_at=now, updated_at=now)))

    def _held(self, connection: Connection, tenant_id: str, expected: str | None) -> Tenant:
        self._begin(connection, _EPOCH)
        found = _read(connection, _TENANTS.c.tenant_id == tenant_id)
        if not found or found[0].is_dissolved:
            raise not_found("tenant-not-found", tenant_id)
        if expected is not None and expected != found[0].revision:
            raise overtaken(Text(f"Den Mandanten {found[0].name}", f"tenant {found[0].name}"))
        return found[0]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)


def _root() -> Tenant:
    return Tenant(tenant_id=ROOT, parent=None, kind=TenantKind.STATE, name="Land", created_at=_EPOCH, updated_at=_EPOCH)


def _subtree(connection: Connection, tops: Iterable[str]) -> set[str]:
    """Return the ids of tenants and all below them; a circle, which no change makes, ends by itself."""
    start = select(_TENANTS.c.tenant_id).where(_TENANTS.c.tenant_id.in_(sorted(tops)))
    below = start.cte("below", recursive=True)
    below = below.union(select(_TENANTS.c.tenant_id).join(below, _TENANTS.c.parent == below.c.tenant_id))
    return set(connection.execute(select(below.c.tenant_id)).scalars())


def above_tenant(connection: Connection, tenant_id: str) -> list[str]:
    """Return the ids of the tenants above one, its parent first, the root last."""
    found: list[str] = []
    here: str | None = tenant_id
    while len(found) < _DEEPEST:
        here = connection.execute(select(_TENANTS.c.parent).where(_TENANTS.c.tenant_id == here)).scalar()
        if here is None:
            break
        found.append(here)
    return found


def _strays(connection: Connection) -> list[tuple[Table, str, str]]:
    """Return which areas stand in which tables without a tenant, and whose they are; an account's where it is exactly so."""
    found = []
    for table in _BELONGING:
        lost = select(table.c.tenant).where(table.c.tenant_id.is_(None), table.c.tenant != "").distinct()
        for area in connection.execute(lost).scalars().all():
            shortest = len(area) if table is _ACCOUNTS else 2
            beginnings = [area[:length] for length in range(shortest, len(area) + 1)]
            nearest = (
                select(_AREAS.c.tenant_id)
                .where(_AREAS.c.ars.in_(beginnings))
                .order_by(func.length(_AREAS.c.ars).desc())
            )
            whose = connection.execute(nearest).scalars().first()
            if whose not in {None, ROOT}:
                found.append((table, area, str(whose)))
    return found


def _adopt(connection: Connection, areas: Collection[str]) -> None:
    """Give tenants what names an area of theirs and belongs to nobody, or to whoever stands for a wider area.

    An account only where it names exactly the area, for it would see more than before.
    """
    for area in sorted(areas, key=len):
        here = standing_for(connection, area)
        if here is None:
            continue
        wider = select(_AREAS.c.tenant_id).where(
            _AREAS.c.ars.in_([area[:length] for length in range(2, len(area))]), _AREAS.c.tenant_id != here
        )
        for table in _BELONGING:
            column = table.c.tenant_id
            named = table.c.tenant == area if table is _ACCOUNTS else table.c.tenant.startswith(area, autoescape=True)
            free = column.is_(None) if table is _ACCOUNTS else or_(column.is_(None), column.in_(wider))
            connection.execute(update(table).where(named, free).values(tenant_id=here))


def _holdings(connection: Connection, ids: Sequence[str]) -> Holdings:
    def of(table: Table, column: str) -> tuple[str, ...]:
        inside: ColumnElement[bool] = table.c.tenant_id.in_(ids)
        if ROOT in ids:
            inside = or_(inside, table.c.tenant_id.is_(None))
        return tuple(connection.execute(select(table.c[column]).where(inside).order_by(table.c[column])).scalars())

    destinations = of(_DESTINATIONS, "destination_id")
    waiting = (
        select(func.count())
        .select_from(_DELIVERIES)
        .where(tables.undelivered(), _DELIVERIES.c.destination_id.in_(destinations))
    )
    grants = select(_GRANTS).where(_GRANTS.c.tenant_id.in_(ids)).order_by(_GRANTS.c.account, _GRANTS.c.role)
    return Holdings(
        destinations=destinations,
        clients=of(_CLIENTS, "client_id"),
        accounts=of(_ACCOUNTS, "name"),
        grants=tuple(map(_grant, connection.execute(grants))),
        open_deliveries=int(connection.execute(waiting).scalar_one()),
    )


def _end_grants(connection: Connection, tenant_id: str, ended: Sequence[TenantGrant], successor: str | None) -> None:
    connection.execute(delete(_GRANTS).where(_GRANTS.c.tenant_id == tenant_id))
    for each in ended if successor is not None else ():
        there = replace(each, tenant_id=str(successor))
        if connection.execute(select(_GRANTS.c.role).where(_same(there))).first() is None:
            connection.execute(insert(_GRANTS), _grant_row(there))


def _end_delegations(connection: Connection, tenant_id: str, successor: str | None, now: datetime) -> None:
    """Withdraw what a tenant delegated to vendors, or let it count at the successor where that has not delegated the same."""
    columns = _DELEGATIONS.c
    here = and_(columns.tenant_id == tenant_id, columns.withdrawn_at.is_(None))
    if successor is not None:
        there = _DELEGATIONS.alias("there")
        same = exists().where(
            there.c.tenant_id == successor,
            there.c.withdrawn_at.is_(None),
            there.c.vendor_id == columns.vendor_id,
            there.c.service == columns.service,
        )
        connection.execute(update(_DELEGATIONS).where(here, ~same).values(tenant_id=successor))
    ended = {"withdrawn_by": "tenant.dissolve", "withdrawn_at": micros(now)}
    connection.execute(update(_DELEGATIONS).where(here).values(ended))


def _same(given: TenantGrant) -> ColumnElement[bool]:
    columns = _GRANTS.c
    return and_(
        columns.account == given.account, columns.role == given.role.value, columns.tenant_id == given.tenant_id
    )


def _require_parent(connection: Connection, parent: str) -> None:
    standing = _TENANTS.c.tenant_id == parent, _TENANTS.c.successor.is_(None)
    if not connection.execute(select(exists().where(*standing))).scalar():
        raise not_found("tenant-not-found", parent)


def _require_free(connection: Connection, tenant: Tenant, *, but: str = "") -> None:
    taken = _TENANTS.c.tenant_id == tenant.tenant_id
    if not but and connection.execute(select(exists().where(taken))).scalar():
        raise already_exists(Text(f"Den Mandanten {tenant.tenant_id}", f"Tenant {tenant.tenant_id}"))
    others = select(_AREAS.c.ars).where(_AREAS.c.ars.in_(tenant.areas), _AREAS.c.tenant_id != tenant.tenant_id)
    found = connection.execute(others).scalars().first()
    if found is not None:
        raise Conflict(
            Text(
                f"Für das Gebiet {found} steht schon ein anderer Mandant. Nehmen Sie es dort zuerst weg.",
                f"Another tenant stands for area {found} already. Take it away there first.",
            ),
            slug="tenant-area-taken",
        )


def _below_itself(tenant: Tenant) -> Conflict:
    return Conflict(
        Text(
            f"{tenant.name} stünde unter sich selbst. Wählen Sie einen Mandanten, der nicht darunter liegt.",
            f"{tenant.name} would stand below itself. Choose a tenant that is not below it.",
        ),
        slug="tenant-below-itself",
    )


def _put_areas(connection: Connection, tenant: Tenant) -> None:
    if tenant.areas:
        rows = [{"ars": ars, "tenant_id": tenant.tenant_id} for ars in tenant.areas]
        connection.execute(insert(_AREAS), rows)


def _all_areas(connection: Connection) -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for ars, tenant_id in connection.execute(select(_AREAS.c.ars, _AREAS.c.tenant_id).order_by(_AREAS.c.ars)):
        found.setdefault(tenant_id, []).append(ars)
    return {tenant_id: tuple(areas) for tenant_id, areas in found.items()}


def _read(connection: Connection, condition: ColumnElement[bool]) -> list[Tenant]:
    areas = _all_areas(connection)
    return [_tenant(row, areas) for row in connection.execute(select(_TENANTS).where(condition))]


def _row(tenant: Tenant) -> dict[str, Any]:
    return {
        "tenant_id": tenant.tenant_id,
        "parent": tenant.parent,
        "kind": tenant.kind.value,
        "name": tenant.name,
        "contact": to_json(dict(tenant.contact)),
        "valid_from": None if tenant.valid_from is None else tenant.valid_from.isoformat(),
        "valid_until": None if tenant.valid_until is None else tenant.valid_until.isoformat(),
        "successor": tenant.successor,
        "created_at": micros(tenant.created_at),
        "updated_at": micros(tenant.updated_at),
    }


@reads(_TENANTS)
def _tenant(row: Any, areas: Mapping[str, tuple[str, ...]]) -> Tenant:
    return Tenant(
        tenant_id=row.tenant_id,
        parent=row.parent,
        kind=TenantKind(row.kind),
        name=row.name,
        areas=areas.get(row.tenant_id, ()),
        contact=json_object(row.contact),
        valid_from=None if row.valid_from is None else date.fromisoformat(row.valid_from),
        valid_until=None if row.valid_until is None else date.fromisoformat(row.valid_until),
        successor=row.successor,
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
    )


def _grant_row(given: TenantGrant) -> dict[str, Any]:
    return {
        "account": given.account,
        "role": given.role.value,
        "tenant_id": given.tenant_id,
        "granted_by": given.granted_by,
        "granted_at": micros(given.granted_at),
    }


@reads(_GRANTS)
def _grant(row: Any) -> TenantGrant:
    return TenantGrant(
        account=row.account,
        role=Role(row.role),
        tenant_id=row.tenant_id,
        granted_by=row.granted_by,
        granted_at=moment(row.granted_at),
    )
