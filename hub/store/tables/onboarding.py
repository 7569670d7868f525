"""The tables of onboarding, what was handed in at once, and each authority of it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, PrimaryKeyConstraint, Table, Text

from hub.store.tables.columns import SERIAL, metadata

#: What somebody handed in, and what a second person said of it.
onboarding_runs = Table(
    "onboarding_runs",
    metadata,
    Column("run_id", SERIAL, primary_key=True, autoincrement=True),
    Column("title", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    Column("proposed_at", BigInteger, nullable=False),
    Column("decided_by", Text),
    Column("decided_at", BigInteger),
    Column("remark", Text, nullable=False),
    #: What of it is being put into service, as JSON; empty before and after.
    Column("going_live", Text),
)

#: Each authority of a run: what is wanted (public keys only), and what came of it.
onboarding_rows = Table(
    "onboarding_rows",
    metadata,
    Column("run_id", SERIAL, ForeignKey("onboarding_runs.run_id"), nullable=False),
    Column("ars", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("plan", Text, nullable=False),
    #: Whose it is, as the tables of parties say it.
    Column("tenant", Text, nullable=False),
    Column("tenant_id", Text),
    Column("client_id", Text),
    Column("destination_id", Text),
    Column("made_at", BigInteger),
    #: The last test delivery that was made for it, and whether all went well.
    Column("tested_at", BigInteger),
    Column("tested_well", Boolean, nullable=False),
    PrimaryKeyConstraint("run_id", "ars"),
)
Index("ix_onboarding_rows_ars", onboarding_rows.c.ars)
