"""People: their accounts and sessions. And what log-ins leave: counters of those that failed, secrets that were proven."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, text, update
from sqlalchemy.exc import IntegrityError

from hub.errors import Conflict, Text, UnreadableRow, already_exists, not_found, state_forbids
from hub.model import Role, Scope
from hub.store import tables
from hub.store.audit import AuditEntry, write_audit
from hub.store.credentials import drop_factors, drop_steps, take_invitation
from hub.store.database import (
    Database,
    Page,
    from_json,
    maybe_micros,
    maybe_moment,
    micros,
    moment,
    reads,
    to_json,
)
from hub.store.scopes import account_within, placed

_ACCOUNTS = tables.accounts
_OPENID_ANSWERS = tables.openid_answers
_SESSIONS = tables.sessions
_LOGIN_FAILURES = tables.login_failures
_THROTTLE = tables.throttle
_PROVEN_SECRETS = tables.proven_secrets
#: Digits of a session's id.
SESSION_ID = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """A person's account. Its roles count at the tenant ``tenant_id``, where it names one, and all below.

    Else in the area of the ARS prefix ``tenant`` (empty: everywhere). Roles at other tenants are granted besides
    (:class:`hub.store.tenants.Tenants`).

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
    tenant_id: str | None = None
    #: The account that invited it, and those that took its second factors away, which count until ``reset_until``.
    invited_by: str | None = None
    reset_by: tuple[str, ...] = ()
    reset_until: datetime | None = None
    #: Who said, as a third person, that it is a human of its own.
    vouched_by: str | None = None

    @property
    def is_local(self) -> bool:
        """Whether the hub itself knows the person, by a password."""
        return self.issuer is None

    def handed_by(self, now: datetime) -> tuple[str, ...]:
        """Return the accounts whose owners may log in with this one, for it went through their hands."""
        invited = (self.invited_by,) if self.invited_by is not None and self.vouched_by is None else ()
        return (*invited, *self.reset_lately_by(now))

    def reset_lately_by(self, now: datetime) -> tuple[str, ...]:
        """Return the accounts that took its second factors away and still count."""
        return self.reset_by if self.reset_until is not None and now < self.reset_until else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredSession:
    """A log-in that lasts; ``csrf`` is what its forms must repeat."""

    token_hash: str = field(repr=False)
    account: str
    csrf: str = field(repr=False)
    created_at: datetime
    seen_at: datetime
    #: Where it was begun: network address, and what the browser said of itself, shortened.
    address: str = ""
    device: str = ""

    @property
    def session_id(self) -> str:
        """By what it is named where it is listed and ended; nobody logs in with it."""
        return self.token_hash[:SESSION_ID]

    @property
    def is_token(self) -> bool:
        """Whether it is a bearer token for the API, which has no forms."""
        return not self.csrf


class AccountRecords:
    """Reads and writes accounts and sessions. Changes of accounts take their audit entry along."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, account: Account, *, audit: AuditEntry, invitation: str | None = None) -> None:
        """Store a new account, and use up the ``invitation`` (its hash) that it is made by.

        Raises:
            Conflict: the name is taken.
            NotFound: the invitation is not there any more (``invitation-not-found``).
        """

        def write(connection: Connection) -> None:
            if invitation is not None and not take_invitation(connection, invitation):
                raise not_found("invitation-not-found")
            write_audit(connection, audit)
            placed(connection, [row := _row(account)])
            try:
                connection.execute(insert(_ACCOUNTS), row)
            except IntegrityError as exc:
                raise already_exists(Text(f"Das Konto {account.name}", f"Account {account.name}")) from exc

        self._database.write(write)

    def account(self, name: str) -> Account | None:
        """Return an account, disabled or not."""
        return self._database.one(select(_ACCOUNTS).where(_ACCOUNTS.c.name == name), _account)

    def by_identity(self, issuer: str, subject: str) -> Account | None:
        """Return the account of a provider's person, disabled or not."""
        wanted = select(_ACCOUNTS).where(_ACCOUNTS.c.issuer == issuer, _ACCOUNTS.c.subject == subject)
        return self._database.one(wanted, _account)

    def visible_account(self, name: str, *, scope: Scope) -> Account | None:
        """Return an account, disabled or not; None also for one that is not within the scope."""
        return self._database.one(select(_ACCOUNTS).where(_ACCOUNTS.c.name == name, account_within(scope)), _account)

    def accounts(self, *, scope: Scope, words: Sequence[str] = (), offset: int = 0, limit: int = 100) -> Page[Account]:
        """Return one page of the accounts that belong into a scope or have a role at a tenant within, by name.

        ``words``: only those whose name and full name have all of them.
        """
        wanted = select(_ACCOUNTS).where(account_within(scope))
        for word in words:
            said = func.lower(_ACCOUNTS.c.name + " " + _ACCOUNTS.c.full_name)
            wanted = wanted.where(said.contains(word.lower(), autoescape=True))
        return self._database.page(wanted.order_by(_ACCOUNTS.c.name), _account, offset=offset, limit=limit)

    def change(
        self,
        account: Account,
        *,
        before: Account,
        audit: AuditEntry,
        end_sessions: bool = True,
        drops_factors: bool = False,
        unless: Callable[[Sequence[Account]], None] | None = None,
    ) -> None:
        """Replace an account that is still as it was ``before``, and end its sessions unless told otherwise.

        ``drops_factors``: its keys and recovery codes go, too. ``unless`` is shown all other accounts that are not disabled
        and may raise; while it looks, nobody changes them.

        Raises:
            NotFound: there is no such account.
            Conflict: somebody changed it since ``before`` was read (``invalid-state-transition``).
        """
        values = {name: value for name, value in _row(account).items() if name not in {"created_at", "totp_step"}}

        def write(connection: Connection) -> None:
            if unless is not None:
                unless(self._others(connection, account.name))
            self._require_unchanged(connection, before)
            placed(connection, [values])
            connection.execute(update(_ACCOUNTS).where(_ACCOUNTS.c.name == account.name).values(values))
            if end_sessions:
                connection.execute(delete(_SESSIONS).where(_SESSIONS.c.account == account.name))
                drop_steps(connection, account.name)
            if drops_factors:
                drop_factors(connection, account.name)
            write_audit(connection, audit)

        self._database.write(write)

    def _require_unchanged(self, connection: Connection, before: Account) -> None:
        """Lock an account until the transaction ends; raise unless all of it is as it was when it was judged."""
        row = connection.execute(select(_ACCOUNTS).where(_ACCOUNTS.c.name == before.name).with_for_update()).first()
        if row is None:
            raise not_found("account-not-found", before.name)
        if _account(row) != before:
            raise state_forbids(
                Text(
                    "Dieses Konto hat inzwischen jemand anderes geändert.",
                    "Somebody else changed this account in the meantime.",
                ),
                Text(
                    "Sehen Sie es sich neu an, und ändern Sie es dann.",
                    "Look at it anew, and change it then.",
                ),
            )

    def _others(self, connection: Connection, name: str) -> list[Account]:
        """Return the other accounts that are not disabled, all of them locked in one order until the transaction ends."""
        enabled = select(_ACCOUNTS).where(_ACCOUNTS.c.disabled_at.is_(None))
        rows = connection.execute(enabled.order_by(_ACCOUNTS.c.name).with_for_update()).all()
        found = self._database.unreadables.each(_ACCOUNTS, rows, _account)
        return [each for each in found if each.name != name]

    def use_code(self, name: str, step: int) -> bool:
        """Note that the TOTP code of a time step was used; return False if it, or a later one, was used before."""
        unused = (_ACCOUNTS.c.name == name) & (_ACCOUNTS.c.totp_step < step)
        statement = update(_ACCOUNTS).where(unused).values(totp_step=step)
        return self._database.write(lambda connection: connection.execute(statement).rowcount == 1)

    def use_answer(self, state_hash: str, now: datetime) -> bool:
        """Note that a provider's answer was used; return False if it was used before."""

        def write(connection: Connection) -> bool:
            seen = select(_OPENID_ANSWERS.c.at).where(_OPENID_ANSWERS.c.state_hash == state_hash)
            if connection.execute(seen).first() is not None:
                return False
            try:
                connection.execute(insert(_OPENID_ANSWERS), {"state_hash": state_hash, "at": micros(now)})
            except IntegrityError as exc:
                raise already_exists(Text(f"Die Antwort {state_hash[:8]}", f"Answer {state_hash[:8]}")) from exc
            return True

        try:
            return self._database.write(write)
        except Conflict:
            return False  # Another node was faster.

    def forget_answers(self, before: datetime) -> int:
        """Forget answers that are too old to be used anyway, and return how many."""
        statement = delete(_OPENID_ANSWERS).where(_OPENID_ANSWERS.c.at < micros(before))
        return self._database.write(lambda connection: connection.execute(statement).rowcount)

    def begin_session(self, session: StoredSession, *, audit: AuditEntry) -> None:
        """Store a new session."""
        row = {
            "token_hash": session.token_hash,
            "account": session.account,
            "csrf": session.csrf,
            "created_at": micros(session.created_at),
            "seen_at": micros(session.seen_at),
            "address": session.address,
            "device": session.device,
        }

        def write(connection: Connection) -> None:
            connection.execute(insert(_SESSIONS), row)
            write_audit(connection, audit)

        self._database.write(write)

    def session(self, token_hash: str) -> tuple[StoredSession, Account] | None:
        """Return a session and its account; None also where one of them cannot be read: that is counted, and lets nobody in."""

        def read(connection: Connection) -> tuple[StoredSession, Account] | None:
            row = connection.execute(select(_SESSIONS).where(_SESSIONS.c.token_hash == token_hash)).first()
            if row is None:
                return None
            session = _session(row)
            owner = connection.execute(select(_ACCOUNTS).where(_ACCOUNTS.c.name == session.account)).first()
            return None if owner is None else (session, _account(owner))

        try:
            return self._database.read(read)
        except UnreadableRow:
            return None

    def see_session(self, token_hash: str, now: datetime) -> None:
        """Note that a session was used."""
        statement = update(_SESSIONS).where(_SESSIONS.c.token_hash == token_hash).values(seen_at=micros(now))
        self._database.write(lambda connection: connection.execute(statement).rowcount)

    def end_session(self, token_hash: str) -> None:
        """Forget a session."""
        statement = delete(_SESSIONS).where(_SESSIONS.c.token_hash == token_hash)
        self._database.write(lambda connection: connection.execute(statement).rowcount)

    def sessions(self, account: str) -> list[StoredSession]:
        """Return an account's sessions and tokens, the last used first."""
        mine = select(_SESSIONS).where(_SESSIONS.c.account == account).order_by(_SESSIONS.c.seen_at.desc())
        return self._database.all(mine, _SESSIONS, _session)

    def end_one_session(self, account: str, session_id: str, *, audit: AuditEntry) -> bool:
        """End the session of an account that has this id; return False if there is none."""
        named = func.substr(_SESSIONS.c.token_hash, 1, SESSION_ID) == session_id
        statement = delete(_SESSIONS).where(_SESSIONS.c.account == account, named)

        def write(connection: Connection) -> bool:
            gone = connection.execute(statement).rowcount > 0
            if gone:
                write_audit(connection, audit)
            return gone

        return self._database.write(write)

    def end_sessions(self, account: str, *, but: str = "", audit: AuditEntry) -> int:
        """End all sessions and tokens of an account ``but`` one (its hash), and what it has begun; return how many."""
        statement = delete(_SESSIONS).where(_SESSIONS.c.account == account, _SESSIONS.c.token_hash != but)

        def write(connection: Connection) -> int:
            drop_steps(connection, account)
            write_audit(connection, audit)
            return connection.execute(statement).rowcount

        return self._database.write(write)

    def forget_sessions(self, *, created_before: datetime, seen_before: datetime) -> int:
        """Forget sessions that are over and return how many."""
        over = (_SESSIONS.c.created_at < micros(created_before)) | (_SESSIONS.c.seen_at < micros(seen_before))
        return self._database.write(lambda connection: connection.execute(delete(_SESSIONS).where(over)).rowcount)

    def forget_failures(self, before: datetime) -> int:
        """Forget old failures that nodes of the version before noted, and return how many."""
        statement = delete(_LOGIN_FAILURES).where(_LOGIN_FAILURES.c.at < micros(before))
        return self._database.write(lambda connection: connection.execute(statement).rowcount)


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
        "tenant_id": account.tenant_id,
        "invited_by": account.invited_by,
        "reset_by": " ".join(account.reset_by) or None,  # No name holds a blank.
        "reset_until": maybe_micros(account.reset_until),
        "vouched_by": account.vouched_by,
    }


@reads(_SESSIONS)
def _session(row: Row[Any]) -> StoredSession:
    return StoredSession(
        token_hash=row.token_hash,
        account=row.account,
        csrf=row.csrf,
        created_at=moment(row.created_at),
        seen_at=moment(row.seen_at),
        address=row.address or "",
        device=row.device or "",
    )


@reads(_ACCOUNTS)
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
        tenant_id=row.tenant_id,
        invited_by=row.invited_by,
        reset_by=tuple((row.reset_by or "").split()),
        reset_until=maybe_moment(row.reset_until),
        vouched_by=row.vouched_by,
    )


#: What began so far ahead was written before the clock stepped back, and counts no more.
_AHEAD = timedelta(hours=1)

#: A window that is over, or that began so far ahead that the clock must have stepped back, begins anew.
_COUNT = text("""
INSERT INTO throttle (counter, kind, failures, began_at, expires_at) VALUES (:counter, :kind, 1, :now, :until)
ON CONFLICT (counter) DO UPDATE SET
    failures = CASE WHEN throttle.expires_at <= :now OR throttle.began_at > :until THEN 1 ELSE throttle.failures + 1 END,
    began_at = CASE WHEN throttle.expires_at <= :now OR throttle.began_at > :until THEN :now ELSE throttle.began_at END,
    expires_at = CASE WHEN throttle.expires_at <= :now OR throttle.began_at > :until THEN :until
                      ELSE throttle.expires_at END
""")
#: Adds to a counter of a window that ends then, and tells what it is now; one of an earlier window begins anew.
_LEASE = text("""
INSERT INTO throttle (counter, kind, failures, began_at, expires_at) VALUES (:counter, :kind, :wanted, :now, :until)
ON CONFLICT (counter) DO UPDATE SET
    failures = CASE WHEN throttle.expires_at = :until THEN throttle.failures ELSE 0 END + :wanted,
    began_at = :now,
    expires_at = :until
RETURNING failures
""")
_REMEMBER = text("""
INSERT INTO throttle (counter, kind, failures, began_at, expires_at) VALUES (:counter, :kind, 0, :now, :until)
ON CONFLICT (counter) DO UPDATE SET began_at = :now, expires_at = :until
""")
_PROVE = text("""
INSERT INTO proven_secrets (client_id, mac) VALUES (:client_id, :mac)
ON CONFLICT (client_id) DO UPDATE SET mac = :mac
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """How many log-ins failed since ``began_at``; it counts until ``expires_at``."""

    failures: int
    began_at: datetime
    expires_at: datetime

    def counts(self, now: datetime, *, window: timedelta) -> bool:
        """Whether it counts now: its window is not over, and did not begin in a future that the clock stepped back from."""
        return self.expires_at > now and self.began_at <= now + window


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """One counter to raise: its own row, or the shared one where there is no room for another row."""

    own: str
    shared: str


class Logins:
    """Reads and writes what log-ins leave behind."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counted(self, counters: Sequence[str]) -> dict[str, Counted]:
        """Return the rows that there are."""
        statement = select(_THROTTLE).where(_THROTTLE.c.counter.in_(counters))
        return dict(self._database.all(statement, _THROTTLE, _counted))

    def note(self, failures: Sequence[Failure], *, kind: str, window: timedelta, most_rows: int, now: datetime) -> None:
        """Raise counters of a ``kind`` by one. There are ``most_rows`` rows of a kind at most, and as many shared ones."""
        values = {"now": micros(now), "until": micros(now + window)}

        def write(connection: Connection) -> None:
            # In one order, so that no two nodes wait for each other.
            for one in sorted(failures, key=lambda one: one.own):
                if _has_room(connection, one.own, kind, most_rows, now):
                    row = {"counter": one.own, "kind": kind}
                else:
                    row = {"counter": one.shared, "kind": f"{kind}-shared"}
                connection.execute(_COUNT, {**row, **values})

        self._database.write(write)

    def lease(
        self, counter: str, *, kind: str, wanted: int, until: datetime, most_rows: int, now: datetime
    ) -> Future[int]:
        """Take ``wanted`` of what all processes may use of something until then; tell how much was taken before.

        There are ``most_rows`` rows of a kind at most; beyond, nothing is counted, and nothing was taken before.
        """
        values = {"counter": counter, "kind": kind, "wanted": wanted, "now": micros(now), "until": micros(until)}

        def write(connection: Connection) -> int:
            if not _has_room(connection, counter, kind, most_rows, now):
                return 0
            taken: int = connection.execute(_LEASE, values).scalar_one()
            return taken - wanted

        return self._database.begin(write)

    def remember(self, counter: str, *, kind: str, until: datetime, now: datetime) -> None:
        """Write a row that counts nothing and is there until then."""
        values = {"counter": counter, "kind": kind, "now": micros(now), "until": micros(until)}
        self._database.write(lambda connection: connection.execute(_REMEMBER, values).rowcount)

    def forget(self, now: datetime) -> int:
        """Forget what counts no more and return how many rows."""
        return self._database.write(lambda connection: _forget(connection, now))

    def proven(self, client_id: str) -> str | None:
        """Return the keyed hash of the secret that a client logged in with last."""
        statement = select(_PROVEN_SECRETS.c.mac).where(_PROVEN_SECRETS.c.client_id == client_id)

        def read(connection: Connection) -> str | None:
            mac: str | None = connection.execute(statement).scalar()
            return mac

        return self._database.read(read)

    def prove(self, client_id: str, mac: str) -> None:
        """Keep the keyed hash of a secret that was proven. Nobody waits for it: what is lost costs one slow hash again."""
        values = {"client_id": client_id, "mac": mac}
        self._database.begin(lambda connection: connection.execute(_PROVE, values).rowcount)


def _has_room(connection: Connection, counter: str, kind: str, most_rows: int, now: datetime) -> bool:
    """Say whether a counter has its row, or may have one; rows that count no more make room first."""
    there = select(_THROTTLE.c.counter).where(_THROTTLE.c.counter == counter)
    if connection.execute(there).first() is not None:
        return True
    held = select(func.count()).select_from(_THROTTLE).where(_THROTTLE.c.kind == kind)
    if connection.execute(held).scalar_one() < most_rows:
        return True
    return _forget(connection, now) > 0 and connection.execute(held).scalar_one() < most_rows


def _forget(connection: Connection, now: datetime) -> int:
    over = (_THROTTLE.c.expires_at <= micros(now)) | (_THROTTLE.c.began_at > micros(now + _AHEAD))
    return connection.execute(delete(_THROTTLE).where(over)).rowcount


@reads(_THROTTLE)
def _counted(row: Any) -> tuple[str, Counted]:
    began_at, expires_at = moment(row.began_at), moment(row.expires_at)
    return row.counter, Counted(failures=row.failures, began_at=began_at, expires_at=expires_at)


__all__ = ["Account", "AccountRecords", "Counted", "Failure", "Logins", "StoredSession"]
