"""Onboarding: what of a run is being put into service, so that what breaks off is finished."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the note of a run that is being put into service; older programs leave it empty."""
    op.add_column("onboarding_runs", sa.Column("going_live", sa.Text(), nullable=True))


def downgrade() -> None:
    """Drop it: what broke off is finished by whoever repeats it."""
    op.drop_column("onboarding_runs", "going_live")
