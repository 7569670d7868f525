"""Vendors of software: who they are, their clients, for whom they act, and their keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "vendors",
        sa.Column("vendor_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=True),
        sa.Column("admitted_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("vendor_id", name=op.f("pk_vendors")),
    )
    op.create_index(op.f("ix_vendors_tenant_id"), "vendors", ["tenant_id"], unique=False)
    op.create_table(
        "client_software",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("vendor_id", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["client_id"], ["clients.client_id"], name=op.f("fk_client_software_client_id")),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.vendor_id"], name=op.f("fk_client_software_vendor_id")),
        sa.PrimaryKeyConstraint("client_id", "since", name=op.f("pk_client_software")),
    )
    op.create_index(op.f("ix_client_software_vendor_id"), "client_software", ["vendor_id"], unique=False)
    still = sa.text("until IS NULL")
    op.create_index(
        "ix_client_software_now",
        "client_software",
        ["client_id"],
        unique=True,
        postgresql_where=still,
        sqlite_where=still,
    )
    op.create_table(
        "delegations",
        sa.Column("delegation_id", sa.Text(), nullable=False),
        sa.Column("vendor_id", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("withdrawn_by", sa.Text(), nullable=True),
        sa.Column("withdrawn_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.vendor_id"], name=op.f("fk_delegations_vendor_id")),
        sa.PrimaryKeyConstraint("delegation_id", name=op.f("pk_delegations")),
    )
    op.create_index(op.f("ix_delegations_tenant_id"), "delegations", ["tenant_id"], unique=False)
    op.create_index(op.f("ix_delegations_vendor_id"), "delegations", ["vendor_id"], unique=False)
    op.create_table(
        "vendor_keys",
        sa.Column("vendor_id", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("jwk", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("retired_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.vendor_id"], name=op.f("fk_vendor_keys_vendor_id")),
        sa.PrimaryKeyConstraint("vendor_id", "kid", name=op.f("pk_vendor_keys")),
    )


def downgrade() -> None:
    """Drop them: clients and what they sent stay; whose software they were, and for whom vendors act, is lost."""
    op.drop_table("vendor_keys")
    op.drop_table("delegations")
    op.drop_table("client_software")
    op.drop_table("vendors")
