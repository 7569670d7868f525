"""Turns of those who are called back, and what of a destination's settings has to be mended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_INDEXES = {"ix_callbacks_turns": "next_attempt_at IS NOT NULL", "ix_callbacks_leased": "leased_by IS NOT NULL"}


def upgrade() -> None:
    """Create indexes and columns; a circuit that is open stays so, for no reason that is known."""
    for name, condition in _INDEXES.items():
        where = sa.text(condition)
        op.create_index(
            name, "callbacks", ["party", "next_attempt_at"], unique=False, sqlite_where=where, postgresql_where=where
        )
    op.add_column("circuits", sa.Column("fault", sa.Text(), nullable=True))
    op.add_column("circuits", sa.Column("fault_since", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Drop them: deliveries behind an open circuit are given up by the schedule of all others then."""
    op.drop_column("circuits", "fault_since")
    op.drop_column("circuits", "fault")
    for name in _INDEXES:
        op.drop_index(name, table_name="callbacks")
