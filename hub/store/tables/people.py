"""Tables of people: accounts, what they log in with, and their sessions."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
)

from hub.store.tables.columns import SERIAL, instant, metadata

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
    instant("created_at"),
    instant("disabled_at", optional=True),
    #: Who vouches for the person (an OpenID Connect issuer), and by which name there; NULL: a local account.
    Column("issuer", Text),
    Column("subject", Text),
    #: Where its roles count, with all below; NULL: in the area that ``tenant`` says.
    Column("tenant_id", Text, index=True),
    #: Whose hands it came from, and who said since that it is a human of its own: four eyes ask (:mod:`hub.identity.persons`).
    Column("invited_by", Text),
    Column("reset_by", Text),
    instant("reset_until", optional=True),
    Column("vouched_by", Text),
    Index("ix_accounts_identity", "issuer", "subject", unique=True),
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
    instant("created_at"),
    instant("seen_at"),
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
    instant("created_at"),
    instant("expires_at"),
)

#: The hashes of an account's unused recovery codes, encrypted under the hub's key for secrets.
recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("account", Text, ForeignKey("accounts.name"), primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("remaining", Integer, nullable=False),
    instant("made_at"),
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
    instant("created_at"),
    instant("used_at", optional=True),
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
    instant("at"),
)

Index("ix_login_failures_subject", login_failures.c.subject, login_failures.c.at)

throttle = Table(
    "throttle",
    metadata,
    Column("counter", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    instant("began_at"),
    Column("expires_at", BigInteger, nullable=False, index=True),
    Index("ix_throttle_kind", "kind", "expires_at"),
)
