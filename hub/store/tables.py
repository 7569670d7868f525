"""Every table of the store, as SQLAlchemy Core metadata; the migrations bring a database to this shape.

Conventions: ids are canonical lower-case UUID texts; times are whole microseconds since 1970 in UTC, so that they sort and
compare alike on both engines; JSON is text written by this package. No column holds plaintext of an application: contents are
compact JWEs, CMS, or names of blobs that hold them.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    and_,
    literal_column,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateIndex
from sqlalchemy.sql.compiler import DDLCompiler

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

#: SQLite gives rising row numbers to INTEGER PRIMARY KEY alone.
SERIAL = BigInteger().with_variant(Integer, "sqlite")


def _time(name: str, *, optional: bool = False) -> Column[int]:
    """Return a column for one instant, in microseconds since 1970 UTC."""
    return Column(name, BigInteger, nullable=optional)


def partial_index(name: str, condition: str, *columns: Column[Any], unique: bool = False) -> Index:
    """Index only the rows that ``condition`` (SQL) names: a row is in few such indexes at a time, so writes stay cheap.

    Both engines write it alike. SQLAlchemy's own arguments for it load the dialects of both into every process.
    """
    return Index(name, *columns, unique=unique, info={_CONDITION: condition})


_CONDITION = "condition"


@compiles(CreateIndex)
def _create_index(created: CreateIndex, compiler: DDLCompiler, **named: Any) -> str:
    statement = compiler.visit_create_index(created, **named)  # type: ignore[no-untyped-call]  # the library types it not
    condition = created.element.info.get(_CONDITION)
    return f"{statement} WHERE {condition}" if condition else statement


clients = Table(
    "clients",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("secret_hash", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    _time("created_at"),
    _time("disabled_at", optional=True),
    #: Whose it is; NULL: the root's, or a program of before wrote the row.
    Column("tenant_id", Text, index=True),
)

destinations = Table(
    "destinations",
    metadata,
    Column("destination_id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("owner", Text, index=True),
    Column("tenant", Text, nullable=False, index=True),
    Column("services", Text, nullable=False),
    Column("metadata_versions", Text, nullable=False),
    Column("encryption_kid", Text, nullable=False),
    Column("contact", Text, nullable=False),
    Column("adapter", Text, nullable=False),
    Column("adapter_config", Text, nullable=False),
    Column("reply_channels", Text),
    Column("callback_url", Text),
    Column("callback_secret", Text),
    _time("created_at"),
    _time("updated_at"),
    #: Whose it is; NULL: the root's, or a program of before wrote the row.
    Column("tenant_id", Text, index=True),
)

destination_keys = Table(
    "destination_keys",
    metadata,
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("kid", Text, nullable=False),
    Column("use", Text, nullable=False),
    Column("jwk", Text, nullable=False),
    _time("added_at"),
    #: Since when it is used for nothing new; it stays readable, so that old seals and signatures can be checked.
    _time("retired_at", optional=True),
    PrimaryKeyConstraint("destination_id", "kid"),
)

cases = Table(
    "cases",
    metadata,
    Column("case_id", Text, primary_key=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("sender", Text, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("head", Text, nullable=False),
    _time("created_at"),
    _time("last_event_at"),
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
    _time("created_at"),
    _time("submitted_at", optional=True),
    _time("collected_at", optional=True),
    _time("finished_at", optional=True),
    _time("deleted_at", optional=True),
    Column("form", Text, nullable=False, server_default="jose"),  # The default is for nodes of the version before.
    #: What the sender calls it; empty: nothing. NULL: a program of before wrote the row, and its receipt alone says.
    Column("reference", Text),
)

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

#: No foreign key to messages: the row is the gate of its transaction and must be the first one written.
idempotency = Table(
    "idempotency",
    metadata,
    Column("sender", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("mac", Text, nullable=False),
    Column("submission_id", Text, nullable=False),
    _time("created_at"),
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
    _time("issued_at"),
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
    _time("made_at"),
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

deliveries = Table(
    "deliveries",
    metadata,
    Column("delivery_id", Text, primary_key=True),
    Column("submission_id", Text, ForeignKey("messages.message_id"), nullable=False, unique=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("state", Text, nullable=False),
    #: Due, leased (pushed forward at claim) or finished (NULL): the one column that runs the queue.
    _time("next_attempt_at", optional=True),
    Column("fencing", Integer, nullable=False),
    Column("leased_by", Text),
    _time("claimed_at", optional=True),
    #: Who held the lease that ran out last, and since when; RETURNING can only speak of the updated row.
    Column("lapsed_by", Text),
    _time("lapsed_at", optional=True),
    Column("lapses", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("repeat", Boolean, nullable=False),
    Column("cause", Text),
    _time("accepted_at"),
    _time("finished_at", optional=True),
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
    _time("started_at"),
    _time("ended_at"),
    Column("outcome", Text, nullable=False),
    Column("note", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("repeat", Boolean, nullable=False),
    PrimaryKeyConstraint("delivery_id", "n"),
)
Index("ix_attempts_ended_at", attempts.c.ended_at)

circuits = Table(
    "circuits",
    metadata,
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), primary_key=True),
    Column("failures", Integer, nullable=False),
    _time("open_until", optional=True),
    _time("changed_at"),
    # What only settings can mend, as a reason's code, and since when: for as long as the circuit is not closed.
    Column("fault", Text),
    _time("fault_since", optional=True),
)

circuit_changes = Table(
    "circuit_changes",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    _time("at"),
    Column("failures", Integer, nullable=False),
    _time("open_until", optional=True),
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
    _time("next_attempt_at", optional=True),
    Column("fencing", Integer, nullable=False),
    Column("leased_by", Text),
    Column("attempts", Integer, nullable=False),
    Column("note", Text, nullable=False),
    _time("created_at"),
    _time("finished_at", optional=True),
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
    _time("next_attempt_at", optional=True),
    Column("fencing", Integer, nullable=False),
    Column("leased_by", Text),
    Column("attempts", Integer, nullable=False),
    Column("note", Text, nullable=False),
    _time("created_at"),
    _time("finished_at", optional=True),
)
partial_index("ix_notices_due", "next_attempt_at IS NOT NULL", notices.c.next_attempt_at)
Index("ix_notices_about", notices.c.about, notices.c.created_at)
Index("ix_notices_finished_at", notices.c.finished_at)

duties = Table(
    "duties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    _time("until"),
    Column("fencing", Integer, nullable=False),
)

reads = Table(
    "reads",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    _time("at"),
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
    _time("at"),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("value_before", Text, nullable=False),
    Column("value_after", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("hash", Text, nullable=False),
)

settings = Table(
    "settings",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

key_changes = Table(
    "key_changes",
    metadata,
    Column("change_id", SERIAL, primary_key=True, autoincrement=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("step", Text, nullable=False),
    Column("kid", Text, nullable=False),
    Column("jwk", Text),
    Column("reason", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    _time("proposed_at"),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    _time("decided_at", optional=True),
    Column("remark", Text, nullable=False),
)
Index("ix_key_changes_destination_id", key_changes.c.destination_id, key_changes.c.change_id)

adapter_changes = Table(
    "adapter_changes",
    metadata,
    Column("change_id", SERIAL, primary_key=True, autoincrement=True),
    Column("destination_id", Text, ForeignKey("destinations.destination_id"), nullable=False),
    Column("adapter", Text, nullable=False),
    Column("options", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("proposed_by", Text, nullable=False),
    _time("proposed_at"),
    Column("state", Text, nullable=False),
    Column("decided_by", Text),
    _time("decided_at", optional=True),
    Column("remark", Text, nullable=False),
)
Index("ix_adapter_changes_destination_id", adapter_changes.c.destination_id, adapter_changes.c.change_id)

adapter_secrets = Table(
    "adapter_secrets",
    metadata,
    Column("file", Text, primary_key=True),
    Column("address", Text, primary_key=True),
    _time("bound_at"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("full_name", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    #: The TOTP secret, encrypted under the hub's key for secrets; NULL: no second factor.
    Column("totp", Text),
    #: The last time step that was used, so that no code is good twice (RFC 6238 section 5.2).
    Column("totp_step", BigInteger, nullable=False),
    _time("created_at"),
    _time("disabled_at", optional=True),
    #: Who vouches for the person (an OpenID Connect issuer), and by which name there; NULL: a local account.
    Column("issuer", Text),
    Column("subject", Text),
    #: Where its roles count, with all below; NULL: in the area that ``tenant`` says.
    Column("tenant_id", Text, index=True),
    Index("ix_accounts_identity", "issuer", "subject", unique=True),
)

tenants = Table(
    "tenants",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("parent", Text, ForeignKey("tenants.tenant_id"), index=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("contact", Text, nullable=False),
    #: ISO days: the first on which it is there, and the first on which it is not any more.
    Column("valid_from", Text),
    Column("valid_until", Text),
    #: Who took over what a dissolved one had.
    Column("successor", Text, ForeignKey("tenants.tenant_id")),
    _time("created_at"),
    _time("updated_at"),
)

#: No area has two tenants.
tenant_areas = Table(
    "tenant_areas",
    metadata,
    Column("ars", Text, primary_key=True),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False, index=True),
)

#: Roles that people have besides those of their accounts.
tenant_grants = Table(
    "tenant_grants",
    metadata,
    Column("account", Text, ForeignKey("accounts.name"), nullable=False),
    Column("role", Text, nullable=False),
    Column("tenant_id", Text, ForeignKey("tenants.tenant_id"), nullable=False, index=True),
    Column("granted_by", Text, nullable=False),
    _time("granted_at"),
    PrimaryKeyConstraint("account", "tenant_id", "role"),
)

#: Answers of the provider that were used, by their state's SHA-256: none is good twice, on any node.
openid_answers = Table(
    "openid_answers",
    metadata,
    Column("state_hash", Text, primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
)

sessions = Table(
    "sessions",
    metadata,
    #: SHA-256 of the cookie's value: who reads the table cannot log in with it.
    Column("token_hash", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.name"), nullable=False, index=True),
    Column("csrf", Text, nullable=False),
    _time("created_at"),
    _time("seen_at"),
    #: For the person's own list: network address and shortened device text at the log-in; NULL: begun by a version before.
    Column("address", Text),
    Column("device", Text),
)

#: Who is invited to make an account, by the SHA-256 of the link's secret; the row goes with its first use.
invitations = Table(
    "invitations",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("full_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("roles", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("tenant_id", Text),
    Column("invited_by", Text, nullable=False),
    _time("created_at"),
    _time("expires_at"),
)

#: The hashes of an account's unused recovery codes, encrypted under the hub's key for secrets.
recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("account", Text, ForeignKey("accounts.name"), primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("remaining", Integer, nullable=False),
    _time("made_at"),
)

#: Keys of a WebAuthn authenticator that are an account's second factor (W3C WebAuthn level 2).
passkeys = Table(
    "passkeys",
    metadata,
    #: base64url, as browsers write it.
    Column("credential_id", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.name"), nullable=False, index=True),
    Column("label", Text, nullable=False),
    #: The COSE key, base64url.
    Column("public_key", Text, nullable=False),
    Column("sign_count", BigInteger, nullable=False),
    _time("created_at"),
    _time("used_at", optional=True),
)

#: What waits for its second half: a log-in for its second factor, a new key for its authenticator's answer.
login_steps = Table(
    "login_steps",
    metadata,
    #: SHA-256 of what the browser holds.
    Column("token_hash", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.name"), nullable=False, index=True),
    Column("purpose", Text, nullable=False),
    #: base64url; NULL once it was answered: none is good twice.
    Column("challenge", Text),
    Column("made_at", BigInteger, nullable=False, index=True),
)

#: Where nodes of the version before count failed log-ins; see :mod:`hub.store.accounts`.
login_failures = Table(
    "login_failures",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    Column("subject", Text, nullable=False),
    _time("at"),
)
Index("ix_login_failures_subject", login_failures.c.subject, login_failures.c.at)

throttle = Table(
    "throttle",
    metadata,
    Column("counter", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    _time("began_at"),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Index("ix_throttle_kind", "kind", "expires_at"),
)

#: Keyed hashes of the secret that each client logged in with last: they need no slow hash the next time, in any process.
proven_secrets = Table(
    "proven_secrets",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("mac", Text, nullable=False),
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
        _time("created_at"),
        Column("changed_by", Text, nullable=False),
        _time("changed_at"),
        Column("approved_by", Text),
        _time("approved_at", optional=True),
        Column("approval_text", Text, nullable=False),
    )
    activations = Table(
        f"{what}_activations",
        metadata,
        Column("seq", SERIAL, primary_key=True, autoincrement=True),
        Column("number", Integer, ForeignKey(f"{what}_versions.number"), nullable=False),
        _time("since"),
        Column("made_by", Text, nullable=False),
        _time("made_at"),
        Column("reason", Text, nullable=False),
        _time("cancelled_at", optional=True),
    )
    Index(f"ix_{what}_activations_since", activations.c.since)
    return versions, activations


routing_versions, routing_activations = _versions_of("routing", "rules")
service_versions, service_activations = _versions_of("service", "services")

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
    _time("held_until", optional=True),
    _time("created_at"),
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


def quarantined() -> ColumnElement[bool]:
    """The condition of deliveries of invalid submissions that nobody has released to their receiver."""
    dead = and_(deliveries.c.state == "dead", deliveries.c.cause == "payload")
    return and_(dead, deliveries.c.attempts == 0)


def undelivered() -> ColumnElement[bool]:
    """The condition of the index of deliveries that somebody may want to see."""
    return deliveries.c.state != literal_column("'delivered'")
