"""Tables of vendors: who they are, which clients are their software, for whom they act, and their keys."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Integer, PrimaryKeyConstraint, Table, Text

from hub.store.tables.columns import SERIAL, instant, metadata, partial_index

vendors = Table(
    "vendors",
    metadata,
    Column("vendor_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("contact", Text, nullable=False),
    #: Where it was admitted; NULL: at the root.
    Column("tenant_id", Text, index=True),
    Column("admitted_by", Text, nullable=False),
    instant("created_at"),
)

#: Whose software a client is, from when to when; ``until`` is NULL where it still is.
client_software = Table(
    "client_software",
    metadata,
    Column("client_id", Text, ForeignKey("clients.client_id"), nullable=False),
    Column("vendor_id", Text, ForeignKey("vendors.vendor_id"), nullable=False, index=True),
    Column("product", Text, nullable=False),
    Column("version", Text, nullable=False),
    instant("since"),
    instant("until", optional=True),
    PrimaryKeyConstraint("client_id", "since"),
)
partial_index("ix_client_software_now", "until IS NULL", client_software.c.client_id, unique=True)

#: For whom a vendor acts, one service or all (empty), until it is withdrawn.
delegations = Table(
    "delegations",
    metadata,
    Column("delegation_id", Text, primary_key=True),
    Column("vendor_id", Text, ForeignKey("vendors.vendor_id"), nullable=False, index=True),
    Column("tenant_id", Text, nullable=False, index=True),
    Column("service", Text, nullable=False),
    Column("granted_by", Text, nullable=False),
    instant("granted_at"),
    Column("withdrawn_by", Text),
    instant("withdrawn_at", optional=True),
)

#: Public keys by which a vendor's clients show who they are.
vendor_keys = Table(
    "vendor_keys",
    metadata,
    Column("vendor_id", Text, ForeignKey("vendors.vendor_id"), nullable=False),
    Column("kid", Text, nullable=False),
    Column("jwk", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    instant("proposed_at"),
    Column("decided_by", Text),
    instant("decided_at", optional=True),
    instant("retired_at", optional=True),
    PrimaryKeyConstraint("vendor_id", "kid"),
)

#: What came of packages that a vendor's software was tried with; ``token`` is the signed report.
conformance_scores = Table(
    "conformance_scores",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    Column("vendor_id", Text, ForeignKey("vendors.vendor_id"), nullable=False, index=True),
    Column("product", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("standard", Text, nullable=False),
    Column("standard_version", Text, nullable=False),
    Column("good", Integer, nullable=False),
    Column("cases", Integer, nullable=False),
    instant("at"),
    Column("token", Text, nullable=False),
)
