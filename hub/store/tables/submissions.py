"""Tables of cases: their messages, contents and events, and the checkpoints that cover them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    and_,
    literal_column,
)

from hub.store.tables.columns import instant, metadata, partial_index

cases = Table(
    "cases",
    metadata,
    Column("case_id", Text, primary_key=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("sender", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("head", Text, nullable=False),
    instant("created_at"),
    instant("last_event_at"),
    Column("tombstone", Text),
    #: Up to which event a signed checkpoint covers the log. The default is for nodes of the version before.
    Column("covered", Integer, nullable=False, server_default="0"),
)

partial_index("ix_cases_uncovered", "covered < seq", cases.c.case_id)

Index("ix_cases_sender", cases.c.sender, cases.c.created_at)

Index("ix_cases_destination_id", cases.c.destination_id, cases.c.created_at)

partial_index("ix_cases_last_event_at", "tombstone IS NULL", cases.c.last_event_at)

messages = Table(
    "messages",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False, index=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("sender", Text, nullable=False),
    Column("addressee", Text),
    Column("door", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("service_identifier", Text, nullable=False),
    Column("service_name", Text, nullable=False),
    Column("service_description", Text),
    Column("area", Text),
    Column("announced", Text, nullable=False),
    Column("schema_uri", Text),
    Column("schema_standard", Text),
    Column("schema_version", Text),
    Column("schema_sha256", Text),
    Column("schema_media_type", Text),
    Column("table_version", Text),
    Column("callback_url", Text),
    Column("callback_secret", Text),
    Column("receipt", Text),
    Column("notices", Integer, nullable=False),
    instant("created_at"),
    instant("submitted_at", optional=True),
    instant("collected_at", optional=True),
    instant("finished_at", optional=True),
    instant("deleted_at", optional=True),
    Column("form", Text, nullable=False, server_default="jose"),  # The default is for nodes of the version before.
    #: What the sender calls it; empty: nothing. NULL: a program of before wrote the row, and its receipt alone says.
    Column("reference", Text),
)


def is_submission() -> ColumnElement[bool]:
    """The condition of the indexes of lists of submissions; a literal, for SQLite matches no parameter with it."""
    return messages.c.kind == literal_column("'submission'")


#: The newest first, however many there are; and how many a destination has. Both are small: a time, and an id that repeats.
partial_index("ix_messages_newest", "kind = 'submission'", messages.c.created_at)

partial_index("ix_messages_destination", "kind = 'submission'", messages.c.destination_id)

partial_index(
    "ix_messages_waiting",
    "state IN ('submitted', 'forwarded')",
    messages.c.destination_id,
    messages.c.submitted_at,
)

partial_index(
    "ix_messages_addressee",
    "kind = 'reply' AND state = 'submitted'",
    messages.c.addressee,
    messages.c.submitted_at,
)

partial_index("ix_messages_incomplete", "state = 'incomplete'", messages.c.created_at)

partial_index(
    "ix_messages_finished", "state IN ('accepted', 'rejected') AND deleted_at IS NULL", messages.c.finished_at
)

partial_index(
    "ix_messages_reference", "reference <> ''", messages.c.sender, messages.c.reference, messages.c.created_at
)

#: Empty, once what programs of before wrote is gone.
partial_index("ix_messages_untold", "reference IS NULL", messages.c.sender, messages.c.created_at)

contents = Table(
    "contents",
    metadata,
    Column("message_id", Text, ForeignKey("messages.message_id"), nullable=False),
    Column("part", Text, nullable=False),
    Column("tag", Text, nullable=False),
    Column("sha512", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("jwe", LargeBinary),
    Column("blob", Text),
    PrimaryKeyConstraint("message_id", "part"),
)

partial_index("ix_contents_blob", "blob IS NOT NULL", contents.c.blob)

#: Cases that went on with another authority. No foreign keys: what was announced and never came is deleted without it.
forwardings = Table(
    "forwardings",
    metadata,
    Column("submission_id", Text, primary_key=True),
    Column("case_id", Text, nullable=False, unique=True),
    Column("destination_id", Text, nullable=False),
    Column("from_submission_id", Text, nullable=False, index=True),
    Column("from_case_id", Text, nullable=False, index=True),
    Column("from_destination_id", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("area", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("depth", Integer, nullable=False),
    instant("received_at"),
    instant("begun_at"),
    #: NULL: the next authority does not have all of it yet.
    instant("completed_at", optional=True),
    Index("ix_forwardings_request_id", "client_id", "request_id", unique=True),
)

#: No foreign key to messages: the row is the gate of its transaction and must be the first one written.
idempotency = Table(
    "idempotency",
    metadata,
    Column("sender", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("mac", Text, nullable=False),
    Column("submission_id", Text, nullable=False),
    instant("created_at"),
    PrimaryKeyConstraint("sender", "key"),
)

Index("ix_idempotency_created_at", idempotency.c.created_at)

events = Table(
    "events",
    metadata,
    Column("case_id", Text, ForeignKey("cases.case_id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("jti", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("subject_id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("issuer", Text, nullable=False),
    Column("by_hub", Boolean, nullable=False),
    instant("issued_at"),
    Column("payload", Text, nullable=False),
    Column("digests", Text, nullable=False),
    Column("jws", Text),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
    PrimaryKeyConstraint("case_id", "seq"),
)

#: Only others' tokens can be replayed; the hub's own ids are fresh, and their index would be the dearest of all.
partial_index("uq_events_jti", "NOT by_hub", events.c.jti, unique=True)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    instant("made_at"),
    Column("token", Text, nullable=False),
)

checkpoint_leaves = Table(
    "checkpoint_leaves",
    metadata,
    Column("number", Integer, ForeignKey("checkpoints.number"), nullable=False),
    Column("position", Integer, nullable=False),
    # No foreign key: a case that is removed must be missed here, not take its leaf along.
    Column("case_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("head", Text, nullable=False),
    PrimaryKeyConstraint("number", "position"),
)

Index("ix_checkpoint_leaves_case_id", checkpoint_leaves.c.case_id, checkpoint_leaves.c.seq)


def waiting() -> ColumnElement[bool]:
    """The condition of the index of messages that wait, in the literal form in which SQLite recognises it."""
    return messages.c.state.in_([literal_column("'submitted'"), literal_column("'forwarded'")])


def incomplete() -> ColumnElement[bool]:
    """The condition of the index of messages that are announced only."""
    return messages.c.state == literal_column("'incomplete'")


def finished() -> ColumnElement[bool]:
    """The condition of the index of messages that are answered and whose contents still lie here."""
    answered = messages.c.state.in_([literal_column("'accepted'"), literal_column("'rejected'")])
    return and_(answered, messages.c.deleted_at.is_(None))


def called() -> ColumnElement[bool]:
    """The condition of the index of messages that their senders call something."""
    return messages.c.reference != literal_column("''")


def untold() -> ColumnElement[bool]:
    """The condition of the index of messages of which only their receipts say what their senders call them."""
    return messages.c.reference.is_(None)


def replies_waiting() -> ColumnElement[bool]:
    """The condition of the index of replies that wait."""
    return and_(messages.c.kind == literal_column("'reply'"), messages.c.state == literal_column("'submitted'"))
