"""An index of what audit entries are about: whoever sees a part of the tree reads entries about it, not all."""

from __future__ import annotations

from alembic import op

revision = "0036"
down_revision = "0034"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create it."""
    op.create_index("ix_audit_target", "audit", ["target"])


def downgrade() -> None:
    """Drop it."""
    op.drop_index("ix_audit_target", "audit")
