"""Vendors in the store: who makes software, which clients are theirs, for whom they act, and their keys.

What a client's software was at any moment stays known, so that past days can be counted anew: a change ends one row and begins
another. A delegation that was withdrawn stays to be read, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, true, update

from hub.errors import Text, already_exists, not_found
from hub.model import ROOT, ClientSoftware, Delegation, Scope, Vendor
from hub.store import tables
from hub.store.audit import AuditEntry, write_audit
from hub.store.database import (
    Database,
    Page,
    in_postgresql,
    json_object,
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    reads,
    to_json,
)
from hub.store.proposals import ChangeState
from hub.store.scopes import one_of, within
from hub.store.tenants import above_tenant

_VENDORS = tables.vendors
_SOFTWARE = tables.client_software
_DELEGATIONS = tables.delegations
_KEYS = tables.vendor_keys
_CLIENTS = tables.clients
_SCORES = tables.conformance_scores
#: Scores of a vendor that are looked at for the latest of each product.
_SCORES_READ = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class VendorKey:
    """A vendor's public key, by which its clients show who they are, and what a second person said of it."""

    vendor_id: str
    kid: str
    jwk: Mapping[str, Any] = field(repr=False)
    state: ChangeState = ChangeState.OPEN
    proposed_by: str
    proposed_at: datetime
    decided_by: str | None = None
    decided_at: datetime | None = None
    #: Since when it is good for nothing any more.
    retired_at: datetime | None = None

    @property
    def is_good(self) -> bool:
        """Whether clients show who they are by it."""
        return self.state is ChangeState.APPROVED and self.retired_at is None


@dataclass(frozen=True, kw_only=True, slots=True)
class ConformanceScore:
    """Of how many cases of a package a vendor's software answered how many as expected; ``token`` is the signed report."""

    vendor_id: str
    product: str
    version: str
    standard: str
    standard_version: str
    good: int
    cases: int
    at: datetime
    token: str = field(repr=False)


class Vendors:
    """Reads and writes vendors. Every change takes its audit entry into its transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, vendor: Vendor, *, audit: AuditEntry) -> None:
        """Store a vendor; raise ``Conflict`` where one of that name was admitted there."""
        same = and_(func.lower(_VENDORS.c.name) == vendor.name.lower(), _same_home(vendor.tenant_id))

        def write(connection: Connection) -> None:
            if in_postgresql(connection):
                connection.exec_driver_sql("LOCK TABLE vendors IN EXCLUSIVE MODE")
            if connection.execute(select(_VENDORS.c.vendor_id).where(same)).first() is not None:
                raise already_exists(Text(f"Den Hersteller {vendor.name}", f"Vendor {vendor.name}"))
            connection.execute(insert(_VENDORS), _vendor_row(vendor))
            write_audit(connection, audit)

        self._database.write(write)

    def vendor(self, vendor_id: str, *, scope: Scope, above: Collection[str] = ()) -> Vendor | None:
        """Return a vendor that was admitted within a scope, or at one of the tenants ``above``."""
        statement = select(_VENDORS).where(_VENDORS.c.vendor_id == vendor_id, _admitted(scope, above))
        return self._database.one(statement, _vendor)

    def vendors(
        self, *, scope: Scope, above: Collection[str] = (), text: str = "", offset: int = 0, limit: int = 100
    ) -> Page[Vendor]:
        """Return one page of the vendors that were admitted within a scope, or at one of the tenants ``above``, by name."""
        statement = select(_VENDORS).where(_admitted(scope, above))
        for word in text.lower().split():
            statement = statement.where(func.lower(_VENDORS.c.name).contains(word, autoescape=True))
        ordered = statement.order_by(func.lower(_VENDORS.c.name), _VENDORS.c.vendor_id)
        return self._database.page(ordered, _vendor, offset=offset, limit=limit)

    def names(self) -> dict[str, str]:
        """Return the name of each vendor, by its id."""
        statement = select(_VENDORS.c.vendor_id, _VENDORS.c.name)
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return {row.vendor_id: row.name for row in rows}

    def software(self, client_id: str) -> ClientSoftware | None:
        """Return whose software a client is now; None where no vendor was named."""
        statement = select(_SOFTWARE).where(_SOFTWARE.c.client_id == client_id, _SOFTWARE.c.until.is_(None))
        return self._database.one(statement, _software)

    def software_of(self, vendor_id: str, *, scope: Scope) -> list[tuple[ClientSoftware, str]]:
        """Return a vendor's clients within a scope, each with its name, by that."""
        statement = (
            select(_SOFTWARE, _CLIENTS.c.name)
            .join(_CLIENTS, _CLIENTS.c.client_id == _SOFTWARE.c.client_id)
            .where(_SOFTWARE.c.vendor_id == vendor_id, _SOFTWARE.c.until.is_(None), within(_CLIENTS, scope))
            .order_by(_CLIENTS.c.name, _SOFTWARE.c.client_id)
        )
        return self._database.all(statement, _SOFTWARE, lambda row: (_software(row), str(row.name)))

    def set_software(self, software: ClientSoftware, *, audit: AuditEntry) -> None:
        """Say whose software a client is from ``since`` on; raise ``NotFound`` for no such client."""
        here = and_(_SOFTWARE.c.client_id == software.client_id, _SOFTWARE.c.until.is_(None))
        known = select(_CLIENTS.c.client_id).where(_CLIENTS.c.client_id == software.client_id).with_for_update()

        def write(connection: Connection) -> None:
            if connection.execute(known).first() is None:
                raise not_found("client-not-found", software.client_id)
            _end(connection, here, software.since)
            connection.execute(insert(_SOFTWARE), _software_row(software))
            write_audit(connection, audit)

        self._database.write_party(software.client_id, write)

    def end_software(self, client_id: str, now: datetime, *, audit: AuditEntry) -> bool:
        """Say that a client is no vendor's any more; return False where it was none's."""
        here = and_(_SOFTWARE.c.client_id == client_id, _SOFTWARE.c.until.is_(None))

        def write(connection: Connection) -> bool:
            ended = _end(connection, here, now)
            if ended:
                write_audit(connection, audit)
            return ended

        return self._database.write_party(client_id, write)

    def grants(self, vendor_id: str) -> frozenset[tuple[str, str]]:
        """Return for whom a vendor acts now, as (tenant, service); an empty service stands for all."""
        columns = _DELEGATIONS.c
        statement = select(columns.tenant_id, columns.service).where(
            columns.vendor_id == vendor_id, columns.withdrawn_at.is_(None)
        )
        rows = self._database.read(lambda connection: connection.execute(statement).all())
        return frozenset((row.tenant_id, row.service) for row in rows)

    def lineage(self, tenant_id: str | None) -> frozenset[str]:
        """Return the ids of a tenant and all above it, the root included; None is the root."""
        if tenant_id is None or tenant_id == ROOT:
            return frozenset({ROOT})
        above = self._database.read(lambda connection: above_tenant(connection, tenant_id))
        return frozenset({tenant_id, *above, ROOT})

    def delegations(self, vendor_id: str, *, scope: Scope, above: Collection[str] = ()) -> list[Delegation]:
        """Return a vendor's delegations by tenants within a scope, or ``above``: what holds first, then the newest first."""
        columns = _DELEGATIONS.c
        inside = true() if scope.tenants is None else one_of(columns.tenant_id, {*scope.tenants, *above})
        statement = (
            select(_DELEGATIONS)
            .where(columns.vendor_id == vendor_id, inside)
            .order_by(columns.withdrawn_at.is_not(None), columns.granted_at.desc(), columns.delegation_id)
        )
        return self._database.all(statement, _DELEGATIONS, _delegation)

    def at_tenant(self, tenant_id: str) -> list[tuple[Delegation, str]]:
        """Return what a tenant itself delegated and did not withdraw, each with the vendor's name, by that."""
        statement = (
            select(_DELEGATIONS, _VENDORS.c.name)
            .join(_VENDORS, _VENDORS.c.vendor_id == _DELEGATIONS.c.vendor_id)
            .where(_DELEGATIONS.c.tenant_id == tenant_id, _DELEGATIONS.c.withdrawn_at.is_(None))
            .order_by(_VENDORS.c.name, _DELEGATIONS.c.service)
        )
        return self._database.all(statement, _DELEGATIONS, lambda row: (_delegation(row), str(row.name)))

    def delegate(self, given: Delegation, *, audit: AuditEntry) -> None:
        """Store a delegation; raise ``Conflict`` where the same one holds already."""
        columns = _DELEGATIONS.c
        same = and_(
            *(columns[name] == getattr(given, name) for name in ("vendor_id", "tenant_id", "service")),
            columns.withdrawn_at.is_(None),
        )

        def write(connection: Connection) -> None:
            if in_postgresql(connection):
                connection.exec_driver_sql("LOCK TABLE delegations IN EXCLUSIVE MODE")
            if connection.execute(select(columns.delegation_id).where(same)).first() is not None:
                raise already_exists(Text("Diese Vollmacht", "This delegation"))
            connection.execute(insert(_DELEGATIONS), _delegation_row(given))
            write_audit(connection, audit)

        self._database.write_party(given.vendor_id, write)

    def withdraw(self, given: Delegation, *, by: str, now: datetime, audit: AuditEntry) -> bool:
        """Withdraw a delegation; return False where it was withdrawn before."""
        here = and_(
            _DELEGATIONS.c.delegation_id == given.delegation_id,
            _DELEGATIONS.c.withdrawn_at.is_(None),
        )

        def write(connection: Connection) -> bool:
            ended = update(_DELEGATIONS).where(here).values(withdrawn_by=by, withdrawn_at=micros(now))
            if connection.execute(ended).rowcount == 0:
                return False
            write_audit(connection, audit)
            return True

        return self._database.write_party(given.vendor_id, write)

    def keys(self, vendor_id: str) -> list[VendorKey]:
        """Return a vendor's keys: what waits first, then the newest first."""
        statement = (
            select(_KEYS)
            .where(_KEYS.c.vendor_id == vendor_id)
            .order_by(_KEYS.c.state != ChangeState.OPEN.value, _KEYS.c.proposed_at.desc(), _KEYS.c.kid)
        )
        return self._database.all(statement, _KEYS, _key)

    def key(self, vendor_id: str, kid: str) -> VendorKey | None:
        """Return a vendor's key, in any state."""
        return self._database.one(select(_KEYS).where(_KEYS.c.vendor_id == vendor_id, _KEYS.c.kid == kid), _key)

    def propose_key(self, key: VendorKey, *, audit: AuditEntry) -> None:
        """Store a key that waits for a second person; raise ``Conflict`` where the vendor has one of that ``kid``."""
        same = and_(_KEYS.c.vendor_id == key.vendor_id, _KEYS.c.kid == key.kid)

        def write(connection: Connection) -> None:
            if in_postgresql(connection):
                connection.exec_driver_sql("LOCK TABLE vendor_keys IN EXCLUSIVE MODE")
            if connection.execute(select(_KEYS.c.kid).where(same)).first() is not None:
                raise already_exists(Text(f"Den Schlüssel {key.kid}", f"Key {key.kid}"))
            connection.execute(insert(_KEYS), _key_row(key))
            write_audit(connection, audit)

        self._database.write(write)

    def change_key(
        self, key: VendorKey, change: Callable[[VendorKey], VendorKey], *, audit: AuditEntry
    ) -> VendorKey | None:
        """Replace a key's state by ``change(key)`` (pure); None where it is not as it was read any more."""
        here = and_(
            _KEYS.c.vendor_id == key.vendor_id,
            _KEYS.c.kid == key.kid,
            _KEYS.c.state == key.state.value,
            _KEYS.c.retired_at.is_(None),
        )
        changed = change(key)

        def write(connection: Connection) -> VendorKey | None:
            if connection.execute(update(_KEYS).where(here).values(_key_row(changed))).rowcount == 0:
                return None
            write_audit(connection, audit)
            return changed

        return self._database.write(write)

    def record_score(self, score: ConformanceScore, *, audit: AuditEntry) -> None:
        """Keep a score beside those of before; raise ``NotFound`` for no such vendor."""
        known = select(_VENDORS.c.vendor_id).where(_VENDORS.c.vendor_id == score.vendor_id)

        def write(connection: Connection) -> None:
            if connection.execute(known).first() is None:
                raise not_found("vendor-not-found", score.vendor_id)
            connection.execute(insert(_SCORES), _score_row(score))
            write_audit(connection, audit)

        self._database.write(write)

    def scores(self, vendor_id: str) -> list[ConformanceScore]:
        """Return the latest score of each product, version and standard of a vendor, the newest first."""
        statement = (
            select(_SCORES).where(_SCORES.c.vendor_id == vendor_id).order_by(_SCORES.c.seq.desc()).limit(_SCORES_READ)
        )
        latest: dict[tuple[str, ...], ConformanceScore] = {}
        for each in self._database.all(statement, _SCORES, _score):
            latest.setdefault((each.product, each.version, each.standard, each.standard_version), each)
        return list(latest.values())


def _admitted(scope: Scope, above: Collection[str]) -> ColumnElement[bool]:
    if scope.tenants is None:
        return true()
    home = _VENDORS.c.tenant_id
    inside: ColumnElement[bool] = one_of(home, {*scope.tenants, *above})
    return or_(home.is_(None), inside) if ROOT in above else inside


def _same_home(tenant_id: str | None) -> ColumnElement[bool]:
    return _VENDORS.c.tenant_id.is_(None) if tenant_id is None else _VENDORS.c.tenant_id == tenant_id


def _end(connection: Connection, here: ColumnElement[bool], now: datetime) -> bool:
    ended = connection.execute(update(_SOFTWARE).where(here).values(until=micros(now))).rowcount > 0
    # What never held for a moment is no past.
    connection.execute(delete(_SOFTWARE).where(_SOFTWARE.c.until <= _SOFTWARE.c.since))
    return ended


def _vendor_row(vendor: Vendor) -> dict[str, Any]:
    return {
        "vendor_id": vendor.vendor_id,
        "name": vendor.name,
        "contact": vendor.contact,
        "tenant_id": vendor.tenant_id,
        "admitted_by": vendor.admitted_by,
        "created_at": micros(vendor.created_at),
    }


@reads(_VENDORS)
def _vendor(row: Any) -> Vendor:
    return Vendor(
        vendor_id=row.vendor_id,
        name=row.name,
        contact=row.contact,
        tenant_id=row.tenant_id,
        admitted_by=row.admitted_by,
        created_at=moment(row.created_at),
    )


def _software_row(software: ClientSoftware) -> dict[str, Any]:
    return {
        "client_id": software.client_id,
        "vendor_id": software.vendor_id,
        "product": software.product,
        "version": software.version,
        "since": micros(software.since),
        "until": maybe_micros(software.until),
    }


@reads(_SOFTWARE)
def _software(row: Any) -> ClientSoftware:
    return ClientSoftware(
        client_id=row.client_id,
        vendor_id=row.vendor_id,
        product=row.product,
        version=row.version,
        since=moment(row.since),
        until=maybe_moment(row.until),
    )


def _delegation_row(given: Delegation) -> dict[str, Any]:
    return {
        "delegation_id": given.delegation_id,
        "vendor_id": given.vendor_id,
        "tenant_id": given.tenant_id,
        "service": given.service,
        "granted_by": given.granted_by,
        "granted_at": micros(given.granted_at),
        "withdrawn_by": given.withdrawn_by,
        "withdrawn_at": maybe_micros(given.withdrawn_at),
    }


@reads(_DELEGATIONS)
def _delegation(row: Any) -> Delegation:
    return Delegation(
        delegation_id=row.delegation_id,
        vendor_id=row.vendor_id,
        tenant_id=row.tenant_id,
        service=row.service,
        granted_by=row.granted_by,
        granted_at=moment(row.granted_at),
        withdrawn_by=row.withdrawn_by,
        withdrawn_at=maybe_moment(row.withdrawn_at),
    )


def _key_row(key: VendorKey) -> dict[str, Any]:
    return {
        "vendor_id": key.vendor_id,
        "kid": key.kid,
        "jwk": to_json(dict(key.jwk)),
        "state": key.state.value,
        "proposed_by": key.proposed_by,
        "proposed_at": micros(key.proposed_at),
        "decided_by": key.decided_by,
        "decided_at": maybe_micros(key.decided_at),
        "retired_at": maybe_micros(key.retired_at),
    }


@reads(_KEYS)
def _key(row: Any) -> VendorKey:
    return VendorKey(
        vendor_id=row.vendor_id,
        kid=row.kid,
        jwk=json_object(row.jwk),
        state=ChangeState(row.state),
        proposed_by=row.proposed_by,
        proposed_at=moment(row.proposed_at),
        decided_by=row.decided_by,
        decided_at=maybe_moment(row.decided_at),
        retired_at=maybe_moment(row.retired_at),
    )


def _score_row(score: ConformanceScore) -> dict[str, Any]:
    names = ("vendor_id", "product", "version", "standard", "standard_version", "good", "cases", "token")
    return {name: getattr(score, name) for name in names} | {"at": micros(score.at)}


@reads(_SCORES)
def _score(row: Any) -> ConformanceScore:
    return ConformanceScore(
        vendor_id=row.vendor_id,
        product=row.product,
        version=row.version,
        standard=row.standard,
        standard_version=row.standard_version,
        good=row.good,
        cases=row.cases,
        at=moment(row.at),
        token=row.token,
    )
