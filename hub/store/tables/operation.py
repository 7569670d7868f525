"""Tables of the operation: duties, audit, versions of tables and services, uploads, and what usage came to."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from hub.store.tables.columns import SERIAL, instant, metadata

duties = Table(
    "duties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    instant("until"),
    Column("fencing", Integer, nullable=False),
)

reads = Table(
    "reads",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    instant("at"),
    Column("client", Text, nullable=False),
    Column("message_id", Text, nullable=False, index=True),
    Column("what", Text, nullable=False),
    #: Days since 1970 in UTC: a reader who looks again the same day leaves one row. NULL: a node of the version before.
    Column("day", Integer),
)

#: Rows without a day are equal to none.
Index("uq_reads_day", reads.c.message_id, reads.c.client, reads.c.what, reads.c.day, unique=True)

audit = Table(
    "audit",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=False),
    instant("at"),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("value_before", Text, nullable=False),
    Column("value_after", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

#: Whoever sees a part of the tree reads entries about it, not all.
Index("ix_audit_target", audit.c.target)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)


def _versions_of(what: str, content: str) -> tuple[Table, Table]:
    """Return the two tables of what has versions: each with its rows in ``content``, and which was activated when."""
    versions = Table(
        f"{what}_versions",
        metadata,
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("state", Text, nullable=False),
        Column("revision", Integer, nullable=False),
        Column("title", Text, nullable=False),
        Column(content, Text, nullable=False),
        Column("content_version", Text, nullable=False, index=True),
        Column("size", Integer, nullable=False),
        Column("based_on", Integer),
        Column("editors", Text, nullable=False),
        Column("created_by", Text, nullable=False),
        instant("created_at"),
        Column("changed_by", Text, nullable=False),
        instant("changed_at"),
        Column("approved_by", Text),
        instant("approved_at", optional=True),
        Column("approval_text", Text, nullable=False),
    )
    activations = Table(
        f"{what}_activations",
        metadata,
        Column("seq", SERIAL, primary_key=True, autoincrement=True),
        Column("number", Integer, ForeignKey(f"{what}_versions.number"), nullable=False),
        instant("since"),
        Column("made_by", Text, nullable=False),
        instant("made_at"),
        Column("reason", Text, nullable=False),
        instant("cancelled_at", optional=True),
    )
    Index(f"ix_{what}_activations_since", activations.c.since)
    return versions, activations


routing_versions, routing_activations = _versions_of("routing", "rules")

service_versions, service_activations = _versions_of("service", "services")

ai_versions, ai_activations = _versions_of("ai", "systems")

#: Links of the register of AI systems as they were looked at last: how often in a row they led nowhere, and why.
ai_links = Table(
    "ai_links",
    metadata,
    Column("url", Text, primary_key=True),
    instant("checked_at"),
    Column("failures", Integer, nullable=False),
    Column("note", Text, nullable=False),
)

#: Checkpoints that a time-stamping authority (RFC 3161) stamped, by their number.
timestamps = Table(
    "timestamps",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    instant("stamped_at"),
    Column("token", LargeBinary, nullable=False),
)

#: Uploads that may break off and go on, by the hash of the secret in their URL; ``facts`` are sealed under a key made of it.
uploads = Table(
    "uploads",
    metadata,
    Column("upload_id", Text, primary_key=True),
    Column("client_id", Text, nullable=False, index=True),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("length", BigInteger),
    Column("received", BigInteger, nullable=False),
    Column("facts", LargeBinary, nullable=False),
    Column("final_id", Text, index=True),
    Column("holder", Text),
    instant("held_until", optional=True),
    instant("created_at"),
    Column("expires_at", BigInteger, nullable=False, index=True),
)

upload_pieces = Table(
    "upload_pieces",
    metadata,
    Column("upload_id", Text, ForeignKey("uploads.upload_id"), nullable=False),
    Column("begins", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("blob", Text, index=True),
    Column("sealed", LargeBinary),
    PrimaryKeyConstraint("upload_id", "begins"),
)

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
    #: Whose software sent it: id, product and version as in ``ClientSoftware.mark``; empty: no vendor's.
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

#: What announced versions would refuse of what came, by rule and without contents. ``rule``: empty counts all that were judged,
#: ``*`` those that would be refused.
readiness = Table(
    "readiness",
    metadata,
    Column("standard", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("day", Text, nullable=False),
    Column("destination_id", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("standard", "version", "day", "destination_id", "sender", "rule"),
)

#: How often a client used what will end.
ending_uses = Table(
    "ending_uses",
    metadata,
    Column("day", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("number", BigInteger, nullable=False),
    PrimaryKeyConstraint("day", "what", "client"),
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
