"""People: their accounts and their sessions."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    Index,
    Row,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from hub.errors import Conflict, UnreadableRow
from hub.model.parties import Role
from hub.store.annex import Annex
from hub.store.audit import write_audit
from hub.store.database import already_there, from_json, maybe_micros, maybe_moment, micros, moment, not_found, to_json
from hub.store.records import AuditEntry, Page
from hub.store.tables import SERIAL, metadata
from hub.store.unreadable import reads

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
    Column("created_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    #: Who vouches for the person (an OpenID Connect issuer), and by which name there; NULL: a local account.
    Column("issuer", Text),
    Column("subject", Text),
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
    Column("created_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
)

#: Where nodes of the version before count failed log-ins; see :mod:`hub.store.logins`.
login_failures = Table(
    "login_failures",
    metadata,
    Column("seq", SERIAL, primary_key=True, autoincrement=True),
    Column("subject", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
)
Index("ix_login_failures_subject", login_failures.c.subject, login_failures.c.at)


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A person's account. ``tenant`` is the ARS prefix that bounds what the person sees (empty: everything).

    A local account has a password; one of an OpenID Connect provider has ``issuer`` and ``subject`` and no password.
    """

    name: str
    full_name: str
    roles: tuple[Role, ...]
    tenant: str
    password_hash: str = field(repr=False)
    totp: str | None = field(repr=False, default=None)
    created_at: datetime
    disabled_at: datetime | None = None
    issuer: str | None = None
    subject: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether the hub itself knows the person, by a password."""
        return self.issuer is None


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSession:
    """A log-in that lasts; ``csrf`` is what its forms must repeat."""

    token_hash: str = field(repr=False)
    account: str
    csrf: str = field(repr=False)
    created_at: datetime
    seen_at: datetime


class AccountRecords(Annex):
    """Reads and writes accounts and sessions. Changes of accounts take their audit entry along."""

    def add(self, account: Account, *, audit: AuditEntry) -> None:
        """Store a new account; raise ``Conflict`` where its name is taken."""

        def write(connection: Connection) -> None:
            write_audit(connection, audit)
            try:
                connection.execute(insert(accounts), _row(account))
            except IntegrityError as exc:
                raise already_there("Das Konto", "Account", account.name) from exc

        self._write(write)

    def account(self, name: str) -> Account | None:
        """Return an account, disabled or not."""
        return self._one(select(accounts).where(accounts.c.name == name), _account)

    def by_identity(self, issuer: str, subject: str) -> Account | None:
        """Return the account of a provider's person, disabled or not."""
        wanted = select(accounts).where(accounts.c.issuer == issuer, accounts.c.subject == subject)
        return self._one(wanted, _account)

    def accounts(self, *, offset: int = 0, limit: int = 100) -> Page[Account]:
        """Return one page of accounts, by name."""
        return self._page(select(accounts).order_by(accounts.c.name), _account, offset=offset, limit=limit)

    def change(self, account: Account, *, audit: AuditEntry, end_sessions: bool = True) -> None:
        """Replace an account, and end its sessions unless told otherwise. Raise ``NotFound`` for an unknown one."""
        values = {name: value for name, value in _row(account).items() if name not in {"created_at", "totp_step"}}

        def write(connection: Connection) -> None:
            if connection.execute(update(accounts).where(accounts.c.name == account.name).values(values)).rowcount == 0:
                raise not_found("account-not-found", "Das Konto", "Account", account.name)
            if end_sessions:
                connection.execute(delete(sessions).where(sessions.c.account == account.name))
            write_audit(connection, audit)

        self._write(write)

    def use_code(self, name: str, step: int) -> bool:
        """Note that the TOTP code of a time step was used; return False if it, or a later one, was used before."""
        unused = (accounts.c.name == name) & (accounts.c.totp_step < step)
        statement = update(accounts).where(unused).values(totp_step=step)
        return self._write(lambda connection: connection.execute(statement).rowcount == 1)

    def use_answer(self, state_hash: str, now: datetime) -> bool:
        """Note that a provider's answer was used; return False if it was used before."""

        def write(connection: Connection) -> bool:
            seen = select(openid_answers.c.at).where(openid_answers.c.state_hash == state_hash)
            if connection.execute(seen).first() is not None:
                return False
            try:
                connection.execute(insert(openid_answers), {"state_hash": state_hash, "at": micros(now)})
            except IntegrityError as exc:
                raise already_there("Die Antwort", "Answer", state_hash[:8]) from exc
            return True

        try:
            return self._write(write)
        except Conflict:
            return False  # Another node was faster.

    def forget_answers(self, before: datetime) -> int:
        """Forget answers that are too old to be used anyway, and return how many."""
        statement = delete(openid_answers).where(openid_answers.c.at < micros(before))
        return self._write(lambda connection: connection.execute(statement).rowcount)

    def begin_session(self, session: StoredSession, *, audit: AuditEntry) -> None:
        """Store a new session."""
        row = {
            "token_hash": session.token_hash,
            "account": session.account,
            "csrf": session.csrf,
            "created_at": micros(session.created_at),
            "seen_at": micros(session.seen_at),
        }

        def write(connection: Connection) -> None:
            connection.execute(insert(sessions), row)
            write_audit(connection, audit)

        self._write(write)

    def session(self, token_hash: str) -> tuple[StoredSession, Account] | None:
        """Return a session and its account; None also where one of them cannot be read: that is counted, and lets nobody in."""

        def read(connection: Connection) -> tuple[StoredSession, Account] | None:
            row = connection.execute(select(sessions).where(sessions.c.token_hash == token_hash)).first()
            if row is None:
                return None
            session = _session(row)
            owner = connection.execute(select(accounts).where(accounts.c.name == session.account)).first()
            return None if owner is None else (session, _account(owner))

        try:
            return self._read(read)
        except UnreadableRow:
            return None

    def see_session(self, token_hash: str, now: datetime) -> None:
        """Note that a session was used."""
        statement = update(sessions).where(sessions.c.token_hash == token_hash).values(seen_at=micros(now))
        self._write(lambda connection: connection.execute(statement).rowcount)

    def end_session(self, token_hash: str) -> None:
        """Forget a session."""
        statement = delete(sessions).where(sessions.c.token_hash == token_hash)
        self._write(lambda connection: connection.execute(statement).rowcount)

    def forget_sessions(self, *, created_before: datetime, seen_before: datetime) -> int:
        """Forget sessions that are over and return how many."""
        over = (sessions.c.created_at < micros(created_before)) | (sessions.c.seen_at < micros(seen_before))
        return self._write(lambda connection: connection.execute(delete(sessions).where(over)).rowcount)

    def forget_failures(self, before: datetime) -> int:
        """Forget old failures that nodes of the version before noted, and return how many."""
        statement = delete(login_failures).where(login_failures.c.at < micros(before))
        return self._write(lambda connection: connection.execute(statement).rowcount)


def _row(account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "full_name": account.full_name,
        "roles": to_json(list(account.roles)),
        "tenant": account.tenant,
        "password_hash": account.password_hash,
        "totp": account.totp,
        "totp_step": 0,
        "created_at": micros(account.created_at),
        "disabled_at": maybe_micros(account.disabled_at),
        "issuer": account.issuer,
        "subject": account.subject,
    }


@reads(sessions)
def _session(row: Row[Any]) -> StoredSession:
    return StoredSession(
        token_hash=row.token_hash,
        account=row.account,
        csrf=row.csrf,
        created_at=moment(row.created_at),
        seen_at=moment(row.seen_at),
    )


@reads(accounts)
def _account(row: Row[Any]) -> Account:
    return Account(
        name=row.name,
        full_name=row.full_name,
        roles=tuple(map(Role, from_json(row.roles))),
        tenant=row.tenant,
        password_hash=row.password_hash,
        totp=row.totp,
        created_at=moment(row.created_at),
        disabled_at=maybe_moment(row.disabled_at),
        issuer=row.issuer,
        subject=row.subject,
    )


__all__ = ["Account", "AccountRecords", "StoredSession"]
