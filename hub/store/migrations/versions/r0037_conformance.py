"""Conformance of vendors' software: what came of the packages that it was tried with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "conformance_scores",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("vendor_id", sa.Text(), nullable=False),
        sa.Column("product", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("standard", sa.Text(), nullable=False),
        sa.Column("standard_version", sa.Text(), nullable=False),
        sa.Column("good", sa.Integer(), nullable=False),
        sa.Column("cases", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["vendor_id"], ["vendors.vendor_id"], name=op.f("fk_conformance_scores_vendor_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_conformance_scores")),
    )
    op.create_index(op.f("ix_conformance_scores_vendor_id"), "conformance_scores", ["vendor_id"], unique=False)


def downgrade() -> None:
    """Drop it: reports that were written as files stay good."""
    op.drop_table("conformance_scores")
