"""Readiness: what announced versions would refuse, as counts by rule; and who uses what will end."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "readiness",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("standard", "version", "day")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("destination_id", "sender", "rule")),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "standard", "version", "day", "destination_id", "sender", "rule", name=op.f("pk_readiness")
        ),
    )
    op.create_table(
        "ending_uses",
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("day", "what", "client")),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "what", "client", name=op.f("pk_ending_uses")),
    )


def downgrade() -> None:
    """Drop them: they are counted anew."""
    op.drop_table("ending_uses")
    op.drop_table("readiness")
