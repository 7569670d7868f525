"""Keys that are retired, changes of keys that wait for a second person, histories of circuits, indexes for the pages."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

# Their tables join the program's metadata when these modules are read; a comparison of both sides needs all of them.
from hub.store import deliveries as _circuits  # noqa: F401
from hub.store import proposals as _proposals  # noqa: F401

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create them; nothing that exists is touched."""
    op.add_column("destination_keys", sa.Column("retired_at", sa.BigInteger(), nullable=True))
    op.create_index("ix_deliveries_finished_at", "deliveries", ["finished_at"], unique=False)
    op.create_index("ix_attempts_ended_at", "attempts", ["ended_at"], unique=False)
    op.create_index("ix_callbacks_party", "callbacks", ["party", "created_at"], unique=False)
    op.create_table(
        "circuit_changes",
        sa.Column("seq", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("destination_id", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("open_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["destination_id"], ["destinations.destination_id"], name=op.f("fk_circuit_changes_destination_id")
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_circuit_changes")),
    )
    op.create_index("ix_circuit_changes_destination_id", "circuit_changes", ["destination_id", "seq"], unique=False)
    _create_key_changes()


def _create_key_changes() -> None:
    op.create_table(
        "key_changes",
        sa.Column("change_id", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("destination_id", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("jwk", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("remark", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["destination_id"], ["destinations.destination_id"], name=op.f("fk_key_changes_destination_id")
        ),
        sa.PrimaryKeyConstraint("change_id", name=op.f("pk_key_changes")),
    )
    op.create_index("ix_key_changes_destination_id", "key_changes", ["destination_id", "change_id"], unique=False)


def downgrade() -> None:
    """Drop them: retired keys count as usable again, and open proposals are lost."""
    op.drop_table("key_changes")
    op.drop_table("circuit_changes")
    op.drop_index("ix_callbacks_party", table_name="callbacks")
    op.drop_index("ix_attempts_ended_at", table_name="attempts")
    op.drop_index("ix_deliveries_finished_at", table_name="deliveries")
    op.drop_column("destination_keys", "retired_at")
