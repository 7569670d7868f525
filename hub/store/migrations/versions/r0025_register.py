"""Versions of the register of AI systems, what came of looks at its links, and checkpoints under a stamped time.

From this revision on a case's log may hold events of the hub's own kinds (``ai-step``), which older programs cannot read.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0021"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "ai_versions",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("systems", sa.Text(), nullable=False),
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
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ai_versions")),
    )
    op.create_index(op.f("ix_ai_versions_content_version"), "ai_versions", ["content_version"], unique=False)
    op.create_table(
        "ai_activations",
        sa.Column("seq", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cancelled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["number"], ["ai_versions.number"], name=op.f("fk_ai_activations_number")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_ai_activations")),
    )
    op.create_index("ix_ai_activations_since", "ai_activations", ["since"], unique=False)
    op.create_table(
        "ai_links",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("checked_at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_ai_links")),
    )
    op.create_table(
        "timestamps",
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stamped_at", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_timestamps")),
    )


def downgrade() -> None:
    """Drop them."""
    for name in ("timestamps", "ai_links", "ai_activations", "ai_versions"):
        op.drop_table(name)
