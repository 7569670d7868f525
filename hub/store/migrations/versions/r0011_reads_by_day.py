"""One row a day for who reads the same thing again and again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the day; rows that are there, and those of nodes of the version before, have none and stay as they are."""
    op.add_column("reads", sa.Column("day", sa.Integer(), nullable=True))
    op.create_index("uq_reads_day", "reads", ["message_id", "client", "what", "day"], unique=True)


def downgrade() -> None:
    """Drop it."""
    op.drop_index("uq_reads_day", table_name="reads")
    op.drop_column("reads", "day")
