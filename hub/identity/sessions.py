"""Sessions and bearer tokens of people as they are listed and ended: by whom, from where, since when.

They lie in the store, and every request looks there; so what is ended is over with the next request, on every node.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from hub.errors import not_found
from hub.identity.accounts import IDLE, LIFE, LONGEST_SESSION, fingerprint
from hub.store import AuditEntry, Store, StoredSession

_LONGEST_DEVICE = 60
_LONGEST_ADDRESS = 64
#: What a browser says of itself, and how people call it; the first that is found counts, for most name others besides.
_PROGRAMS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Firefox/", "Firefox"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)
_PRODUCT = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedSession:
    """One session of an account; ``is_this`` is the one that asks, ``is_token`` says that it is a token for the API."""

    session_id: str
    is_this: bool
    is_token: bool
    address: str
    device: str
    begun_at: datetime
    seen_at: datetime


class AccountSessions:
    """Lists and ends sessions. Who may is for the caller to judge."""

    def __init__(self, store: Store) -> None:
        self._records = store.accounts

    def of(self, account: str, *, token: str = "", now: datetime) -> list[ListedSession]:
        """Return an account's live sessions, the last used first; ``token`` is the one that asks."""
        mine = fingerprint(token) if token else ""
        return [
            ListedSession(
                session_id=each.session_id,
                is_this=each.token_hash == mine,
                is_token=each.is_token,
                address=each.address,
                device=each.device,
                begun_at=each.created_at,
                seen_at=each.seen_at,
            )
            for each in self._records.sessions(account)
            if _is_live(each, now)
        ]

    def end(self, account: str, session_id: str, *, actor: str, now: datetime) -> None:
        """End one session of an account; raise ``NotFound`` if it has none of that id."""
        audit = AuditEntry(
            at=now,
            actor=actor,
            action="session.end",
            target=f"account:{account}",
            after={"session": session_id[:4]},
        )
        if not self._records.end_one_session(account, session_id, audit=audit):
            raise not_found("session-not-found")

    def end_all(self, account: str, *, but: str = "", actor: str, now: datetime) -> int:
        """End all sessions of an account, ``but`` that of a token; return how many."""
        audit = AuditEntry(
            at=now,
            actor=actor,
            action="session.end-all",
            target=f"account:{account}",
            after={"but_this": bool(but)},
        )
        return self._records.end_sessions(account, but=fingerprint(but) if but else "", audit=audit)


def device_of(user_agent: str) -> str:
    """Shorten what a browser or program says of itself: enough to know it again, too little to tell people apart by."""
    program = next((name for mark, name in _PROGRAMS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if not program:
        named = _PRODUCT.match(user_agent)
        program = named[0] if named is not None else ""
    return ", ".join(each for each in (program, system) if each)[:_LONGEST_DEVICE]


def address_of(address: str) -> str:
    """Return a network address as it is kept with a session."""
    return address[:_LONGEST_ADDRESS]


def _is_live(session: StoredSession, now: datetime) -> bool:
    if session.is_token:
        return now - session.created_at < LIFE
    return now - session.seen_at <= IDLE and now - session.created_at <= LONGEST_SESSION
