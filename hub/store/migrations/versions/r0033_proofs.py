"""Attempts: what the receiver signed about what it took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0031"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: older programs leave it empty."""
    op.add_column("attempts", sa.Column("proof", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    """Drop it: receivers' receipts are lost, deliveries stay."""
    op.drop_column("attempts", "proof")
