"""Signed checkpoints over the ends of case logs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

# Its tables join the program's metadata when this module is read; a comparison of both sides needs all of them.
from hub.store import event_log as _event_log  # noqa: F401

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables; every log that exists counts as not covered yet, so the first checkpoints take them all."""
    op.add_column("cases", sa.Column("covered", sa.Integer(), server_default="0", nullable=False))
    condition = sa.text("covered < seq")
    op.create_index("ix_cases_uncovered", "cases", ["case_id"], sqlite_where=condition, postgresql_where=condition)
    op.create_table(
        "checkpoints",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "checkpoint_leaves",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["number"], ["checkpoints.number"], name=op.f("fk_checkpoint_leaves_number")),
        sa.PrimaryKeyConstraint("number", "position", name=op.f("pk_checkpoint_leaves")),
    )
    op.create_index("ix_checkpoint_leaves_case_id", "checkpoint_leaves", ["case_id", "seq"], unique=False)


def downgrade() -> None:
    """Drop them: the signed statements are lost (save them before), logs and deliveries stay."""
    op.drop_table("checkpoint_leaves")
    op.drop_table("checkpoints")
    op.drop_index("ix_cases_uncovered", table_name="cases")
    op.drop_column("cases", "covered")
