"""An index of the deliveries that workers may have died of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_SUSPECT = sa.text("lapses > 0 AND next_attempt_at IS NOT NULL")


def upgrade() -> None:
    """Create it; open deliveries stay as they are."""
    op.create_index(
        "ix_deliveries_suspect",
        "deliveries",
        ["next_attempt_at"],
        unique=False,
        sqlite_where=_SUSPECT,
        postgresql_where=_SUSPECT,
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_deliveries_suspect", table_name="deliveries")
