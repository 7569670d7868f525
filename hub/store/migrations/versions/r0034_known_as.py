"""Deliveries: how the receiver knows them, where it makes the ids."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column: older programs leave it empty, and have no adapter that fills it."""
    op.add_column("deliveries", sa.Column("known_as", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it: deliveries under way to such receivers may arrive twice."""
    op.drop_column("deliveries", "known_as")
