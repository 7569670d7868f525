"""Versions of the catalogue of services, as those of the routing table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create them; nothing that exists is touched."""
    op.create_table(
        "service_versions",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("services", sa.Text(), nullable=False),
        sa.Column("content_version", sa.Text(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("based_on", sa.Integer(), nullable=True),
        sa.Column("editors", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=True),
        sa.Column("approved_at", sa.BigInteger(), nullable=True),
        sa.Column("approval_text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_service_versions")),
    )
    op.create_index(op.f("ix_service_versions_content_version"), "service_versions", ["content_version"], unique=False)
    op.create_table(
        "service_activations",
        sa.Column("seq", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["number"], ["service_versions.number"], name=op.f("fk_service_activations_number")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_service_activations")),
    )
    op.create_index("ix_service_activations_since", "service_activations", ["since"], unique=False)


def downgrade() -> None:
    """Drop them."""
    op.drop_table("service_activations")
    op.drop_table("service_versions")
