"""Bearer tokens of persons for the API: short-lived, random, and gone with the account, its password or its log-out.

A token is a log-in without a browser. It lies beside the sessions of the pages, so that what ends those ends it too, but
under another fingerprint: a cookie's value is no bearer token, and a bearer token opens no page.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta

from hub.errors import Text, Unauthenticated
from hub.identity.accounts import IDLE, Accounts
from hub.identity.persons import Person, person_of
from hub.store import AuditEntry, Store
from hub.store.accounts import AccountRecords, StoredSession

#: What every such token begins with: it tells them from clients' tokens, and secret scanners know it.
PREFIX = "rhp_"
#: A token lives so long, used or not.
LIFE = IDLE


class Bearers:
    """Issues tokens to persons and recognises persons by them."""

    def __init__(self, *, store: Store, accounts: Accounts) -> None:
        self._store = store
        self._records = AccountRecords(store)
        self._accounts = accounts

    def issue(
        self, name: str, password: str, code: str = "", *, address: str = "", now: datetime
    ) -> tuple[str, Person, timedelta]:
        """Return a new token, whose it is and how long it lives.

        Raises:
            Unauthenticated: some part is wrong; which one is not said.
            TooMany: too many failures of this name or from this address, those at the pages included.
        """
        person = self._accounts.check(name, password, code, address=address, now=now)
        token = PREFIX + secrets.token_urlsafe(32)
        stored = StoredSession(
            token_hash=_fingerprint(token), account=person.name, csrf="", created_at=now, seen_at=now
        )
        self._records.begin_session(stored, audit=_audit("token.issue", person, now))
        return token, person, LIFE

    def recognise(self, token: str, *, now: datetime) -> Person:
        """Return whose token this is; raise ``Unauthenticated`` for one that is forged, over or revoked."""
        found = self._records.session(_fingerprint(token))
        if found is None or found[1].disabled_at is not None or not now - LIFE < found[0].created_at <= now:
            raise _bad_token()
        return person_of(found[1])

    def revoke(self, token: str, *, now: datetime) -> None:
        """End a token before its time."""
        person = self.recognise(token, now=now)
        self._records.end_session(_fingerprint(token))
        self._store.append_audit(_audit("token.revoke", person, now))


def _fingerprint(token: str) -> str:
    return hashlib.blake2b(token.encode(), person=b"bearer", digest_size=32).hexdigest()


def _audit(action: str, person: Person, now: datetime) -> AuditEntry:
    return AuditEntry(at=now, actor=person.name, action=action, target=f"account:{person.name}")


def _bad_token() -> Unauthenticated:
    return Unauthenticated(
        Text(
            "Das Zugriffstoken ist ungültig oder abgelaufen. Holen Sie unter /hub/v1/persons/token ein neues.",
            "The access token is invalid or expired. Get a new one at /hub/v1/persons/token.",
        )
    )
