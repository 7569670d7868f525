"""Notices to people, and callbacks found by their case and, once given up, by whom they were for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

# Its table joins the program's metadata when this module is read; a comparison of both sides needs all of them.
from hub.store import outboxes as _notices  # noqa: F401

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; nothing that was told before is told again, since messages remember their notices."""
    op.create_table(
        "notices",
        sa.Column("notice_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_attempt_at", sa.BigInteger(), nullable=True),
        sa.Column("fencing", sa.Integer(), nullable=False),
        sa.Column("leased_by", sa.Text(), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("notice_id", name=op.f("pk_notices")),
    )
    due = sa.text("next_attempt_at IS NOT NULL")
    op.create_index("ix_notices_due", "notices", ["next_attempt_at"], sqlite_where=due, postgresql_where=due)
    op.create_index("ix_notices_about", "notices", ["about", "created_at"], unique=False)
    op.create_index("ix_notices_finished_at", "notices", ["finished_at"], unique=False)
    op.create_index("ix_callbacks_case_id", "callbacks", ["case_id"], unique=False)
    dead = sa.text("state = 'dead'")
    columns = ["party", "created_at"]
    op.create_index("ix_callbacks_dead", "callbacks", columns, sqlite_where=dead, postgresql_where=dead)


def downgrade() -> None:
    """Drop them: notices that wait to be mailed are not mailed; the audit log keeps what was decided."""
    op.drop_index("ix_callbacks_dead", table_name="callbacks")
    op.drop_index("ix_callbacks_case_id", table_name="callbacks")
    op.drop_table("notices")
