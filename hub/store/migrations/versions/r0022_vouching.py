"""Through whose hands an account went, and who vouched for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0027"
branch_labels = None
depends_on = None

_COLUMNS = (("invited_by", sa.Text), ("reset_by", sa.Text), ("reset_until", sa.BigInteger), ("vouched_by", sa.Text))


def upgrade() -> None:
    """Add columns that the version before need not know; accounts of before came from nobody's hands."""
    for name, kind in _COLUMNS:
        op.add_column("accounts", sa.Column(name, kind(), nullable=True))


def downgrade() -> None:
    """Forget it: every account counts as a human of its own again."""
    for name, _ in _COLUMNS:
        op.drop_column("accounts", name)
