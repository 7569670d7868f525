"""Tokens are signed when somebody reads them: nothing looks for unsigned events any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_UNSIGNED = sa.text("jws IS NULL")


def upgrade() -> None:
    """Drop the index that each event was entered into, and taken out of again."""
    op.drop_index("ix_events_unsigned", "events")


def downgrade() -> None:
    """Make it again."""
    op.create_index(
        "ix_events_unsigned", "events", ["issued_at"], unique=False, sqlite_where=_UNSIGNED, postgresql_where=_UNSIGNED
    )
