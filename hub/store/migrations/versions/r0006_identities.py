"""People known by an OpenID Connect provider, and which of its answers were used."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Accounts that exist are local ones: they belong to no provider."""
    op.add_column("accounts", sa.Column("issuer", sa.Text(), nullable=True))
    op.add_column("accounts", sa.Column("subject", sa.Text(), nullable=True))
    op.create_index("ix_accounts_identity", "accounts", ["issuer", "subject"], unique=True)
    op.create_table(
        "openid_answers",
        sa.Column("state_hash", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state_hash", name=op.f("pk_openid_answers")),
    )
    op.create_index(op.f("ix_openid_answers_at"), "openid_answers", ["at"], unique=False)


def downgrade() -> None:
    """Drop them: accounts of the provider stay, but nobody can log in to them any more."""
    op.drop_table("openid_answers")
    op.drop_index("ix_accounts_identity", table_name="accounts")
    op.drop_column("accounts", "subject")
    op.drop_column("accounts", "issuer")
