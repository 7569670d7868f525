"""Changes of destinations' keys that need a second person."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

# Its table joins the program's metadata when this module is read; a comparison of both sides needs all of them.
from hub.store import key_changes as _key_changes  # noqa: F401

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table; keys that are in use stay so."""
    op.create_table(
        "destination_key_changes",
        sa.Column("seq", _SERIAL, autoincrement=True, nullable=False),
        sa.Column("destination_id", sa.Text(), nullable=False),
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("proposed_by", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.BigInteger(), nullable=False),
        sa.Column("settled_by", sa.Text(), nullable=True),
        sa.Column("settled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["destination_id", "kid"],
            ["destination_keys.destination_id", "destination_keys.kid"],
            name=op.f("fk_destination_key_changes_key"),
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_destination_key_changes")),
    )
    op.create_index(
        "ix_destination_key_changes_key", "destination_key_changes", ["destination_id", "kid"], unique=False
    )


def downgrade() -> None:
    """Drop it: retired keys count as usable again (decommission what must not)."""
    op.drop_table("destination_key_changes")
