"""Cases that were handed on to another authority; the log knows two further kinds of events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create their table; nothing that exists is touched."""
    op.create_table(
        "forwardings",
        sa.Column("submission_id", sa.Text(), nullable=False),
        sa.Column("case_id", sa.Text(), nullable=False),
        sa.Column("destination_id", sa.Text(), nullable=False),
        sa.Column("from_submission_id", sa.Text(), nullable=False),
        sa.Column("from_case_id", sa.Text(), nullable=False),
        sa.Column("from_destination_id", sa.Text(), nullable=False),
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("begun_at", sa.BigInteger(), nullable=False),
        sa.Column("completed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("submission_id", name=op.f("pk_forwardings")),
        sa.UniqueConstraint("case_id", name=op.f("uq_forwardings_case_id")),
    )
    for column in ("from_submission_id", "from_case_id"):
        op.create_index(op.f(f"ix_forwardings_{column}"), "forwardings", [column], unique=False)
    op.create_index("ix_forwardings_request_id", "forwardings", ["client_id", "request_id"], unique=True)


def downgrade() -> None:
    """Drop it: the logs still say what was handed on, to programs that can read those events."""
    op.drop_table("forwardings")
