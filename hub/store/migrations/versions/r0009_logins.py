"""Counters of failed log-ins, one row for each thing that is counted, and keyed hashes of clients' proven secrets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

# Its tables join the program's metadata when this module is read; a comparison of both sides needs all of them.
from hub.store import accounts as _logins  # noqa: F401

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create both; failures that nodes of the version before counted are counted by those alone, for their window."""
    op.create_table(
        "throttle",
        sa.Column("counter", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("counter", name=op.f("pk_throttle")),
    )
    op.create_index("ix_throttle_kind", "throttle", ["kind", "expires_at"], unique=False)
    op.create_index("ix_throttle_expires_at", "throttle", ["expires_at"], unique=False)
    op.create_table(
        "proven_secrets",
        sa.Column("client_id", sa.Text(), nullable=False),
        sa.Column("mac", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("client_id", name=op.f("pk_proven_secrets")),
    )


def downgrade() -> None:
    """Drop them: each client's next token costs one slow hash, and failures count anew."""
    op.drop_table("proven_secrets")
    op.drop_table("throttle")
