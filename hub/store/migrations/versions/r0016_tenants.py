"""Tenants as a tree, who belongs where in it, and roles at them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

#: What belongs to a tenant.
_BELONGING = ("clients", "destinations", "accounts")


def upgrade() -> None:
    """Create the tree, and a column that programs of before neither read nor write; what is there is the root's."""
    op.create_table(
        "tenants",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("contact", sa.Text(), nullable=False),
        sa.Column("valid_from", sa.Text(), nullable=True),
        sa.Column("valid_until", sa.Text(), nullable=True),
        sa.Column("successor", sa.Text(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["parent"], ["tenants.tenant_id"], name=op.f("fk_tenants_parent")),
        sa.ForeignKeyConstraint(["successor"], ["tenants.tenant_id"], name=op.f("fk_tenants_successor")),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_tenants")),
    )
    op.create_index(op.f("ix_tenants_parent"), "tenants", ["parent"], unique=False)
    op.create_table(
        "tenant_areas",
        sa.Column("ars", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_tenant_areas_tenant_id")),
        sa.PrimaryKeyConstraint("ars", name=op.f("pk_tenant_areas")),
    )
    op.create_index(op.f("ix_tenant_areas_tenant_id"), "tenant_areas", ["tenant_id"], unique=False)
    op.create_table(
        "tenant_grants",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("granted_by", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["accounts.name"], name=op.f("fk_tenant_grants_account")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.tenant_id"], name=op.f("fk_tenant_grants_tenant_id")),
        sa.PrimaryKeyConstraint("account", "tenant_id", "role", name=op.f("pk_tenant_grants")),
    )
    op.create_index(op.f("ix_tenant_grants_tenant_id"), "tenant_grants", ["tenant_id"], unique=False)
    for table in _BELONGING:
        op.add_column(table, sa.Column("tenant_id", sa.Text(), nullable=True))
        op.create_index(op.f(f"ix_{table}_tenant_id"), table, ["tenant_id"], unique=False)


def downgrade() -> None:
    """Drop it; what belonged to a tenant keeps its area."""
    for table in reversed(_BELONGING):
        op.drop_index(op.f(f"ix_{table}_tenant_id"), table)
        op.drop_column(table, "tenant_id")
    op.drop_table("tenant_grants")
    op.drop_table("tenant_areas")
    op.drop_table("tenants")
