"""Changes of adapters that wait for a second person, and the addresses that secrets were entered for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

# Their tables join the program's metadata when this module is read; a comparison of both sides needs all of them.
from hub.store import proposals as _proposals  # noqa: F401

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create them; nothing that exists is touched."""
    op.create_table(
        "adapter_changes",
        sa.Column("change_id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("destination_id", sa.Text(), nullable=False),
        sa.Column("adapter", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["destination_id"], ["destinations.destination_id"], name=op.f("fk_adapter_changes_destination_id")
        ),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_adapter_changes")),
    )
    op.create_index(
        "ix_adapter_changes_destination_id", "adapter_changes", ["destination_id", "change_id"], unique=False
    )
    op.create_table(
        "adapter_secrets",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("bound_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("file", "address", name=op.f("pk_adapter_secrets")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("adapter_secrets")
    op.drop_table("adapter_changes")
