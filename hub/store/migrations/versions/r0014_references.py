"""What senders call their applications is a column with an index, not only a word in their receipts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_CALLED, _UNTOLD = sa.text("reference <> ''"), sa.text("reference IS NULL")


def upgrade() -> None:
    """Add the column; rows that are here, and those of programs of before, say nothing of it: their receipts do."""
    op.add_column("messages", sa.Column("reference", sa.Text(), nullable=True))
    op.create_index(
        "ix_messages_reference",
        "messages",
        ["sender", "reference", "created_at"],
        unique=False,
        sqlite_where=_CALLED,
        postgresql_where=_CALLED,
    )
    op.create_index(
        "ix_messages_untold",
        "messages",
        ["sender", "created_at"],
        unique=False,
        sqlite_where=_UNTOLD,
        postgresql_where=_UNTOLD,
    )


def downgrade() -> None:
    """Drop it: receipts say the same."""
    op.drop_index("ix_messages_untold", "messages")
    op.drop_index("ix_messages_reference", "messages")
    op.drop_column("messages", "reference")
