"""How the contents of a message are sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; whatever lies here already is sealed as JWE."""
    op.add_column("messages", sa.Column("form", sa.Text(), server_default="jose", nullable=False))


def downgrade() -> None:
    """Drop it: what is sealed as CMS and not delivered yet is taken for JWEs then, so let that queue run empty before."""
    op.drop_column("messages", "form")
