"""Tables of parties: clients, destinations with their keys and ways of delivery, tenants and what they have."""

from __future__ import annotations

from sqlalchemy import (
    Column,
    ForeignKey,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from hub.store.tables.columns import SERIAL, instant, metadata

clients = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    instant("created_at"),
    instant("disabled_at", optional=True),
    #: Whose it is; NULL: the root's, or a program of before wrote the row.
    Column("tenant_id", Text, index=True),
)

destinations = Table(
    "destinations",
    metadata,
    Column("destination_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("owner", Text, index=True),
    Column("tenant", Text, nullable=False, index=True),
    Column("services", Text, nullable=False),
    Column("metadata_versions", Text, nullable=False),
    Column("encryption_kid", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("adapter", Text, nullable=False),
    Column("adapter_config", Text, nullable=False),
    Column("reply_channels", Text),
    Column("callback_url", Text),
    Column("callback_secret", Text),
    instant("created_at"),
    instant("updated_at"),
    #: Whose it is; NULL: the root's, or a program of before wrote the row.
    Column("tenant_id", Text, index=True),
)

destination_keys = Table(
    "destination_keys",
    metadata,
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("kid", Text, nullable=False),
    Column("use", Text, nullable=False),
    Column("jwk", Text, nullable=False),
    instant("added_at"),
    #: Since when it is used for nothing new; it stays readable, so that old seals and signatures can be checked.
    instant("retired_at", optional=True),
    PrimaryKeyConstraint("destination_id", "kid"),
)

key_changes = Table(
    "key_changes",
    metadata,
    Column("change_id", SERIAL, primary_key=True, autoincrement=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("step", Text, nullable=False),
    Column("kid", Text, nullable=False),
    Column("jwk", Text),
    Column("reason", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    instant("proposed_at"),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    instant("decided_at", optional=True),
    Column("remark", Text, nullable=False),
)

Index("ix_key_changes_destination_id", key_changes.c.destination_id, key_changes.c.change_id)

adapter_changes = Table(
    "adapter_changes",
    metadata,
    Column("change_id", SERIAL, primary_key=True, autoincrement=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("adapter", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    instant("proposed_at"),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    instant("decided_at", optional=True),
    Column("remark", Text, nullable=False),
)

Index("ix_adapter_changes_destination_id", adapter_changes.c.destination_id, adapter_changes.c.change_id)

adapter_secrets = Table(
    "adapter_secrets",
    metadata,
    Column("file", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    instant("bound_at"),
)

tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("parent", Text, ForeignKey("tenants.tenant_id"), index=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("contact", Text, nullable=False),
    #: ISO days: the first on which it is there, and the first on which it is not any more.
    Column("valid_from", Text),
    Column("valid_until", Text),
    #: Who took over what a dissolved one had.
    Column("successor", Text, ForeignKey("tenants.tenant_id")),
    instant("created_at"),
    instant("updated_at"),
)

#: No area has two tenants.
tenant_areas = Table(
    "tenant_areas",
    metadata,
    Column("ars", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False, index=True),
)

#: Roles that people have besides those of their accounts.
tenant_grants = Table(
    "tenant_grants",
    metadata,
    Column("account", Text, ForeignKey("accounts.name"), nullable=False),
    Column("role", Text, nullable=False),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False, index=True),
    Column("granted_by", Text, nullable=False),
    instant("granted_at"),
    PrimaryKeyConstraint("account", "tenant_id", "role"),
)

#: Keyed hashes of the secret that each client logged in with last: they need no slow hash the next time, in any process.
proven_secrets = Table(
    "proven_secrets",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("mac", Text, nullable=False),
)
