"""Log-ins of clerks and the throttle on them, in the journal's own file: a restart ends no session and forgets no failure.

Of a session's token the file knows a digest alone. Failures are counted for a name from an address, for an address, and for a
name; who fails too often waits until the window has passed, whatever the password then is.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from hub.connector.clerk.accounts import ClerkAccount, ClerkAccounts
from hub.connector.journal import Journal
from hub.errors import Text, TooMany, Unauthenticated

_SCHEMA = """
CREATE TABLE IF NOT EXISTS clerk_session (
  token_hash TEXT PRIMARY KEY,
  name       TEXT NOT NULL,
  mark       TEXT NOT NULL,
  csrf       TEXT NOT NULL,
  created_at TEXT NOT NULL,
  seen_at    TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS clerk_failure (
  subject TEXT PRIMARY KEY,
  began   REAL NOT NULL,
  number  INTEGER NOT NULL
) STRICT;
"""
#: A session ends after this time without use, and at the latest after this time.
IDLE, LONGEST = timedelta(minutes=60), timedelta(hours=10)
#: How exactly the last use is noted; each note is a write.
_SEEN_EVERY = timedelta(minutes=1)
_WINDOW = timedelta(minutes=15)
#: Failures within the window: of a name from an address, of an address, of a name.
_BY_PAIR, _BY_ADDRESS, _BY_NAME = 5, 30, 50
_MOST_ROWS = 10_000
_LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ClerkSession:
    """A live session; ``csrf`` is what every form of it repeats."""

    account: ClerkAccount
    csrf: str = field(repr=False)


class ClerkSessions:
    """Begins, finds and ends sessions."""

    def __init__(self, journal: Journal, accounts: ClerkAccounts) -> None:
        self._journal = journal
        self._accounts = accounts
        journal.extend(_SCHEMA)

    def log_in(self, name: str, password: str, *, address: str, now: datetime) -> str:
        """Begin a session; return its token, for the cookie alone.

        Raises:
            Unauthenticated: name or password is wrong; which one is not said. TooMany: too many failures.
        """
        name = name.strip().lower()[:_LONGEST_NAME]
        counted = _subjects(name, address)
        self._count(counted, now)
        account = self._accounts.check(name, password)
        if account is None:
            raise Unauthenticated(
                Text("Name oder Passwort ist falsch.", "Name or password is wrong."), slug="wrong-credentials"
            )
        token = secrets.token_urlsafe(32)
        self._write(token, name, account, counted, now)
        return token

    def _write(self, token: str, name: str, account: ClerkAccount, counted: Mapping[str, int], now: datetime) -> None:
        with self._journal.writing() as connection:
            connection.execute("DELETE FROM clerk_failure WHERE subject = ?", (next(iter(counted)),))
            for subject in list(counted)[1:]:
                connection.execute("UPDATE clerk_failure SET number = number - 1 WHERE subject = ?", (subject,))
            connection.execute("DELETE FROM clerk_session WHERE created_at < ?", ((now - LONGEST).isoformat(),))
            connection.execute(
                "INSERT INTO clerk_session VALUES (?, ?, ?, ?, ?, ?)",
                (_digest(token), name, account.mark, secrets.token_urlsafe(24), now.isoformat(), now.isoformat()),
            )

    def _count(self, counted: dict[str, int], now: datetime) -> None:
        """Count an attempt as a failure before it is looked at: a burst has no free guesses. A success takes it back."""
        since = (now - _WINDOW).timestamp()
        with self._journal.writing() as connection:
            connection.execute("DELETE FROM clerk_failure WHERE began < ? OR began > ?", (since, now.timestamp() + 1))
            rows = connection.execute("SELECT count(*) FROM clerk_failure").fetchone()[0]
            for subject, most in counted.items():
                row = connection.execute(
                    "SELECT number, began FROM clerk_failure WHERE subject = ?", (subject,)
                ).fetchone()
                if (row is not None and row[0] >= most) or (row is None and rows >= _MOST_ROWS):
                    began = now.timestamp() if row is None else row[1]
                    raise _too_many(timedelta(seconds=max(1.0, began + _WINDOW.total_seconds() - now.timestamp())))
            for subject in counted:
                connection.execute(
                    "INSERT INTO clerk_failure VALUES (?, ?, 1) ON CONFLICT (subject) DO UPDATE SET number = number + 1",
                    (subject, now.timestamp()),
                )

    def find(self, token: str, *, now: datetime) -> ClerkSession | None:
        """Return the live session of a cookie's token; None if there is none, or it is over."""
        if not token:
            return None
        rows = self._journal.rows("SELECT * FROM clerk_session WHERE token_hash = ?", (_digest(token),))
        if not rows:
            return None
        row = rows[0]
        account = self._accounts.find(row["name"])
        seen, created = (datetime.fromisoformat(row[name]).astimezone(UTC) for name in ("seen_at", "created_at"))
        if account is None or account.mark != row["mark"] or now - seen > IDLE or now - created > LONGEST:
            self.end(token)
            return None
        if now - seen >= _SEEN_EVERY:
            with self._journal.writing() as connection:
                connection.execute(
                    "UPDATE clerk_session SET seen_at = ? WHERE token_hash = ?", (now.isoformat(), _digest(token))
                )
        return ClerkSession(account=account, csrf=row["csrf"])

    def end(self, token: str) -> None:
        """End a session."""
        with self._journal.writing() as connection:
            connection.execute("DELETE FROM clerk_session WHERE token_hash = ?", (_digest(token),))


def has_csrf(session: ClerkSession, sent: str) -> bool:
    """Tell whether a form repeats its session's word."""
    return hmac.compare_digest(session.csrf.encode(), sent.encode("utf-8", "replace"))


def _subjects(name: str, address: str) -> dict[str, int]:
    """Return what is counted, with its bound; the first is forgotten by a success."""
    return {
        _digest(f"pair\n{name}\n{address}"): _BY_PAIR,
        _digest(f"address\n{address}"): _BY_ADDRESS,
        _digest(f"name\n{name}"): _BY_NAME,
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _too_many(wait: timedelta) -> TooMany:
    minutes = -(-int(wait.total_seconds()) // 60)
    return TooMany(
        Text(
            f"Zu viele Fehlversuche. In {minutes} Minuten geht es wieder.",
            f"Too many failures. Try again in {minutes} minutes.",
        ),
        retry_after=wait,
    )
