"""Tables of what goes out: deliveries and their attempts, receivers that fail, callbacks, notices."""

from __future__ import annotations

from sqlalchemy import (
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

from hub.store.tables.columns import SERIAL, instant, metadata, partial_index

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("submission_id", Text, ForeignKey("messages.message_id"), nullable=False, unique=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("state", Text, nullable=False),
    #: Due, leased (pushed forward at claim) or finished (NULL): the one column that runs the queue.
    instant("next_attempt_at", optional=True),
    Column("fencing", Integer, nullable=False),
    Column("leased_by", Text),
    instant("claimed_at", optional=True),
    #: Who held the lease that ran out last, and since when; RETURNING can only speak of the updated row.
    Column("lapsed_by", Text),
    instant("lapsed_at", optional=True),
    Column("lapses", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("repeat", Boolean, nullable=False),
    Column("cause", Text),
    instant("accepted_at"),
    instant("finished_at", optional=True),
    #: How the receiver knows the delivery, where an adapter had that kept.
    Column("known_as", Text),
)

partial_index(
    "ix_deliveries_due", "next_attempt_at IS NOT NULL", deliveries.c.destination_id, deliveries.c.next_attempt_at
)

partial_index("ix_deliveries_leased", "leased_by IS NOT NULL", deliveries.c.destination_id)

partial_index("ix_deliveries_open", "state <> 'delivered'", deliveries.c.state, deliveries.c.destination_id)

#: What workers may have died of; most of the time there is none.
partial_index("ix_deliveries_suspect", "lapses > 0 AND next_attempt_at IS NOT NULL", deliveries.c.next_attempt_at)

#: What was delivered lately, for the pages; written when a delivery ends, never on the way in.
Index("ix_deliveries_finished_at", deliveries.c.finished_at)

attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", Text, ForeignKey("deliveries.delivery_id"), nullable=False),
    Column("n", Integer, nullable=False),
    instant("started_at"),
    instant("ended_at"),
    Column("outcome", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("repeat", Boolean, nullable=False),
    Column("proof", LargeBinary),
    PrimaryKeyConstraint("delivery_id", "n"),
)

Index("ix_attempts_ended_at", attempts.c.ended_at)

circuits = Table(
    "circuits",
    metadata,
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), primary_key=True),
    Column("failures", Integer, nullable=False),
    instant("open_until", optional=True),
    instant("changed_at"),
    # What only settings can mend, as a reason's code, and since when: for as long as the circuit is not closed.
    Column("fault", Text),
    instant("fault_since", optional=True),
)

circuit_changes = Table(
    "circuit_changes",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    instant("at"),
    Column("failures", Integer, nullable=False),
    instant("open_until", optional=True),
)

Index("ix_circuit_changes_destination_id", circuit_changes.c.destination_id, circuit_changes.c.seq)

callbacks = Table(
    "callbacks",
    metadata,
    Column("callback_id", Text, primary_key=True),
    Column("party", Text, nullable=False),
    Column("case_id", Text),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("state", Text, nullable=False),
    instant("next_attempt_at", optional=True),
    Column("fencing", Integer, nullable=False),
    Column("leased_by", Text),
    Column("attempts", Integer, nullable=False),
    Column("note", Text, nullable=False),
    instant("created_at"),
    instant("finished_at", optional=True),
)

partial_index("ix_callbacks_due", "next_attempt_at IS NOT NULL", callbacks.c.next_attempt_at)

partial_index("ix_callbacks_turns", "next_attempt_at IS NOT NULL", callbacks.c.party, callbacks.c.next_attempt_at)

partial_index("ix_callbacks_leased", "leased_by IS NOT NULL", callbacks.c.party, callbacks.c.next_attempt_at)

Index("ix_callbacks_finished_at", callbacks.c.finished_at)

Index("ix_callbacks_party", callbacks.c.party, callbacks.c.created_at)

partial_index("ix_callbacks_dead", "state = 'dead'", callbacks.c.party, callbacks.c.created_at)

Index("ix_callbacks_case_id", callbacks.c.case_id)

notices = Table(
    "notices",
    metadata,
    Column("notice_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("state", Text, nullable=False),
    instant("next_attempt_at", optional=True),
    Column("fencing", Integer, nullable=False),
    Column("leased_by", Text),
    Column("attempts", Integer, nullable=False),
    Column("note", Text, nullable=False),
    instant("created_at"),
    instant("finished_at", optional=True),
)

partial_index("ix_notices_due", "next_attempt_at IS NOT NULL", notices.c.next_attempt_at)

Index("ix_notices_about", notices.c.about, notices.c.created_at)

Index("ix_notices_finished_at", notices.c.finished_at)


def quarantined() -> ColumnElement[bool]:
    """The condition of deliveries of invalid submissions that nobody has released to their receiver."""
    dead = and_(deliveries.c.state == "dead", deliveries.c.cause == "payload")
    return and_(dead, deliveries.c.attempts == 0)


def undelivered() -> ColumnElement[bool]:
    """The condition of the index of deliveries that somebody may want to see."""
    return deliveries.c.state != literal_column("'delivered'")
