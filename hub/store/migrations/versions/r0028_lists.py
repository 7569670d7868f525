"""Indexes of lists of submissions: the newest first, and how many a destination has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0022"
branch_labels = None
depends_on = None

_SUBMISSIONS = sa.text("kind = 'submission'")
_INDEXES = {"ix_messages_newest": "created_at", "ix_messages_destination": "destination_id"}


def upgrade() -> None:
    """Create them: a list read all submissions before, whoever asked."""
    for name, column in _INDEXES.items():
        op.create_index(
            name, "messages", [column], unique=False, sqlite_where=_SUBMISSIONS, postgresql_where=_SUBMISSIONS
        )


def downgrade() -> None:
    """Drop them."""
    for name in _INDEXES:
        op.drop_index(name, "messages")
