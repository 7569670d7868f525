"""Who takes part: people's roles, clients (sending and receiving systems) and destinations, as frozen values."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Callback:
    """Where a client wants to be told of news (FIT-Connect callback); the secret is write-only."""

    url: str
    secret: str = field(repr=False)


class Role(StrEnum):
    """What a person is trusted with; one person may have several."""

    #: Sees everything in scope, changes nothing.
    VIEWER = "viewer"
    #: Writes drafts of routing tables.
    EDITOR = "editor"
    #: Approves and activates what others drafted.
    APPROVER = "approver"
    #: Sends dead letters again, manages clients, closes circuits.
    OPERATOR = "operator"


class ClientKind(StrEnum):
    """OAuth client kinds of FIT-Connect."""

    #: An online service: submits applications, reads their state.
    SENDER = "sender"
    #: A specialist system: collects, accepts, rejects; may own destinations.
    SUBSCRIBER = "subscriber"
    #: Automation of the administrators (GitOps): drafts and checks routing tables, and approves nothing.
    MACHINE = "machine"


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """A registered OAuth client. ``secret_hash`` is argon2id; ``scopes`` bound what its tokens may do.

    ``tenant_id`` is whose it is (None: the root's); ``tenant`` the ARS prefix that it is for (empty: everywhere).
    """

    client_id: str
    kind: ClientKind
    name: str
    secret_hash: str = field(repr=False)
    scopes: tuple[str, ...]
    tenant: str = ""
    created_at: datetime
    disabled_at: datetime | None = None
    tenant_id: str | None = None

    @property
    def revision(self) -> str:
        """Return a mark of this state (16 hexadecimal digits), which another secret or a lock-out changes."""
        return hashlib.sha256(f"{self.secret_hash} {self.disabled_at}".encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Vendor:
    """Who makes software that sends or receives. ``tenant_id`` is where it was admitted (None: the root)."""

    vendor_id: str
    name: str
    contact: str = ""
    tenant_id: str | None = None
    admitted_by: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientSoftware:
    """Whose software a client is, which product and version, and from when to when (None: it still is)."""

    client_id: str
    vendor_id: str
    product: str
    version: str
    since: datetime
    until: datetime | None = None

    @property
    def mark(self) -> str:
        """Return what usage tells vendors apart by: the vendor's id, product and version."""
        return f"{self.vendor_id} {self.product}/{self.version}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delegation:
    """That a vendor acts for a tenant and all below it: for one service (canonical), or for all (empty)."""

    delegation_id: str
    vendor_id: str
    tenant_id: str
    service: str = ""
    granted_by: str
    granted_at: datetime
    withdrawn_by: str | None = None
    withdrawn_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferedService:
    """A service that a destination takes: identifier, regions (``DE`` + ARS prefix), schemas as (uri, media type)."""

    identifier: str
    regions: tuple[str, ...]
    schemas: tuple[tuple[str, str], ...]


#: What a destination's status may be.
STATUSES = ("created", "active", "inactive", "decommissioned")


@dataclass(frozen=True, kw_only=True, slots=True)
class Destination:
    """An addressable receiver (Zustellpunkt).

    ``status`` is created | active | inactive | decommissioned; ``owner`` the subscriber's client id; ``tenant_id``
    whose it is (None: the root's) and ``tenant`` the ARS prefix that it is for; ``adapter`` the name in the entry-point
    group ``hub.adapters`` and
    ``adapter_config`` its options (secrets only as file names).
    """

    destination_id: UUID
    name: str
    status: str
    owner: str | None
    tenant: str
    services: tuple[OfferedService, ...]
    metadata_versions: tuple[str, ...]
    encryption_kid: str
    contact: Mapping[str, Any]
    adapter: str
    adapter_config: Mapping[str, Any]
    reply_channels: Mapping[str, Any] | None = None
    callback: Callback | None = None
    created_at: datetime
    updated_at: datetime
    tenant_id: str | None = None

    @property
    def revision(self) -> str:
        """Return a mark of this state (digits): every change moves ``updated_at`` on by a microsecond at least."""
        return str((self.updated_at - _EPOCH) // timedelta(microseconds=1))
