"""The tables of usage, in the form of :mod:`hub.store.tables`: what each day came to, and what is yet to be counted."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Integer, PrimaryKeyConstraint, Table, Text

from hub.store.tables import SERIAL, metadata

#: Of contents that were deleted: what became of their message, and how many sealed bytes they were. Usage counts them by it.
#: No foreign key: a program of before drops messages without it.
deletions = Table(
    "deletions",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)

#: What a day's submissions came to: each counts in one row, which a later count of the same day may replace.
usage = Table(
    "usage",
    metadata,
    Column("day", Text, nullable=False),
    Column("destination_id", Text, nullable=False),
    Column("area", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("sender", Text, nullable=False),
    #: Whose software sent it; empty until vendors are parties.
    Column("vendor", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("cause", Text, nullable=False),
    #: Buckets of the times to delivery and to the authority's acceptance (:data:`hub.model.usage.BOUNDS`); -1: none.
    Column("delivery", Integer, nullable=False),
    Column("acceptance", Integer, nullable=False),
    #: Whether a person had to send it again.
    Column("by_hand", Boolean, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    PrimaryKeyConstraint(
        *("day", "destination_id", "area", "service", "sender", "vendor"),
        *("outcome", "cause", "delivery", "acceptance", "by_hand"),
    ),
)

#: Which days are to be counted: ``asked`` rises with each change, ``counted`` is what it was when the last count began.
usage_days = Table(
    "usage_days",
    metadata,
    Column("day", Text, primary_key=True),
    Column("asked", BigInteger, nullable=False),
    Column("counted", BigInteger, nullable=False),
    Column("counted_at", BigInteger),
    #: Whose count may be written; who began later has taken it over.
    Column("claimant", Text, nullable=False),
    Column("total", BigInteger, nullable=False),
    #: Submissions of the day were dropped by retention: what was counted stays.
    Column("closed", Boolean, nullable=False),
)

#: Refusals of known senders as they come, until they are added to :data:`usage_refusals` and gone in the same commit.
refusals = Table(
    "refusals",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    Column("day", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
)

usage_refusals = Table(
    "usage_refusals",
    metadata,
    Column("day", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("slug", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "sender", "slug"),
)

#: What lies still and nobody was told of. ``about`` is the id of a destination, or of a client that sends.
findings = Table(
    "findings",
    metadata,
    Column("kind", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("oldest_at", BigInteger, nullable=False),
    Column("begun_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    PrimaryKeyConstraint("kind", "about"),
)
