"""Tenants: a tree of state, districts, municipalities and offices; who belongs where, and what somebody may see of it.

The tree is data. Its root is the state, which is there from the first start on; what names no tenant is the root's. Rights
are roles at tenants and hold for the whole subtree below.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from hub.model.parties import Role

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: The id of the tree's root.
ROOT: Final = "root"


class TenantKind(StrEnum):
    """What a tenant is."""

    STATE = "state"
    DISTRICT = "district"
    MUNICIPALITY = "municipality"
    OFFICE = "office"


#: What may stand directly below what: a municipality below the state is an independent city.
BELOW: Mapping[TenantKind, frozenset[TenantKind]] = {
    TenantKind.STATE: frozenset({TenantKind.DISTRICT, TenantKind.MUNICIPALITY, TenantKind.OFFICE}),
    TenantKind.DISTRICT: frozenset({TenantKind.MUNICIPALITY, TenantKind.OFFICE}),
    TenantKind.MUNICIPALITY: frozenset({TenantKind.OFFICE}),
    TenantKind.OFFICE: frozenset({TenantKind.OFFICE}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Tenant:
    """One node of the tree. ``parent`` is None for the root alone.

    ``areas`` are the ARS (or their beginnings) that it stands for; none for most offices. ``valid_from`` and ``valid_until``
    are days of which the first counts and the last does not. ``successor`` took over what a dissolved tenant had.
    """

    tenant_id: str
    parent: str | None
    kind: TenantKind
    name: str
    areas: tuple[str, ...] = ()
    contact: Mapping[str, Any] = field(default_factory=dict)
    valid_from: date | None = None
    valid_until: date | None = None
    successor: str | None = None
    created_at: datetime
    updated_at: datetime

    @property
    def is_dissolved(self) -> bool:
        """Whether somebody else took its place: it takes nothing new, and nobody has rights at it."""
        return self.successor is not None

    @property
    def revision(self) -> str:
        """Return a mark of this state (digits): every change moves ``updated_at`` on by a microsecond at least."""
        return str((self.updated_at - _EPOCH) // timedelta(microseconds=1))


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantGrant:
    """A role of an account at a tenant, and all below it: who gave it, and when."""

    account: str
    role: Role
    tenant_id: str
    granted_by: str
    granted_at: datetime


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody may see: everything (:data:`EVERYTHING`), or what belongs to some tenants.

    The store's methods that people's pages, operations and commands list, search, count and read with require one as the
    keyword ``scope``, so that none can be forgotten.

    ``tenants``: the ids of all tenants within, the whole subtrees; None: everything. A destination, client or account is
    within where its ``tenant_id`` is among them.
    ``areas``: beginnings of ARS; what names such an area (``tenant``) is within, too. So sees whoever is bound to an area
    that no tenant stands for.
    ``regions``: beginnings of ARS that these tenants stand for: rules of responsibility are theirs by area.
    """

    tenants: frozenset[str] | None
    areas: frozenset[str] = frozenset()
    regions: frozenset[str] = frozenset()

    @property
    def is_everything(self) -> bool:
        """Whether nothing is outside."""
        return self.tenants is None

    @classmethod
    def of_area(cls, ars: str) -> Scope:
        """Return what is within an area (the beginning of an ARS); empty: everything."""
        return cls(frozenset(), frozenset({ars}), frozenset({ars})) if ars else EVERYTHING

    @classmethod
    def union(cls, scopes: Iterable[Scope]) -> Scope:
        """Return what is within any of ``scopes``; nothing where there are none."""
        tenants: set[str] = set()
        areas: set[str] = set()
        regions: set[str] = set()
        for each in scopes:
            if each.tenants is None:
                return EVERYTHING
            tenants |= each.tenants
            areas |= each.areas
            regions |= each.regions
        return cls(frozenset(tenants), frozenset(areas), frozenset(regions))

    def holds(self, tenant_id: str | None, area: str) -> bool:
        """Tell whether what belongs to a tenant, and names an area, is within."""
        if self.tenants is None:
            return True
        return tenant_id in self.tenants or area.startswith(tuple(self.areas))

    def includes(self, other: Scope) -> bool:
        """Tell whether all that is within another scope is within this one."""
        if self.tenants is None or other.tenants is None:
            return self.tenants is None
        return other.tenants <= self.tenants and all(map(self.covers, other.areas | other.regions))

    def covers(self, ars: str) -> bool:
        """Tell whether an area lies within the regions."""
        return self.tenants is None or ars.startswith(tuple(self.regions))

    def prefixes(self) -> list[str]:
        """Return beginnings of the ARS of all areas within the regions, none of them within another; all begin with ``""``."""
        if self.tenants is None:
            return [""]
        return [
            each
            for each in sorted(self.regions)
            if not any(each != wider and each.startswith(wider) for wider in self.regions)
        ]

    def touches(self, ars: str) -> bool:
        """Tell whether an area lies within the regions or around one of them."""
        return self.covers(ars) or any(region.startswith(ars) for region in self.regions)


#: The scope of whoever is bound to nothing, and of the hub itself.
EVERYTHING: Final = Scope(None)
#: The scope in which there is nothing.
NOTHING: Final = Scope(frozenset())
