"""The walk of one log-in: out to the provider, back with its answer, into a session.

Out: a browser gets a sealed cookie with state, nonce, verifier and the wanted page, and the provider's address.
Back, checked in this order: (1) throttle of the network address, (2) the cookie is ours and young, (3) its state is the
answer's, (4) the answer was not used before, (5) code and ID token (``provider``, ``id_token``), (6) roles, (7) account.
Every failure counts for the throttle.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from hub.errors import Forbidden, Malformed, Refused, SealBroken
from hub.identity.accounts import BOUNDS, Accounts, SecretBox
from hub.identity.openid.grants import Grants
from hub.identity.openid.id_token import refused
from hub.identity.openid.people import Identity, People
from hub.identity.openid.provider import Provider, Request
from hub.identity.persons import Person
from hub.identity.throttle import Throttle
from hub.store import AuditEntry, Store
from hub.store.accounts import AccountRecords

_log = logging.getLogger(__name__)
#: How long somebody may take at the provider.
COOKIE_LIFE = timedelta(minutes=10)
_CONTEXT = "openid-login"
_LONGEST_COOKIE = 4_096


@dataclass(frozen=True, kw_only=True, slots=True)
class Departure:
    """Where the browser goes, and what it must bring back."""

    address: str
    cookie: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    """A session that began: its token, for the cookie alone, and the page that was wanted."""

    token: str = field(repr=False)
    person: Person
    next_page: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ticket:
    """What the cookie holds."""

    request: Request
    next_page: str
    made_at: datetime


class OpenIdLogin:
    """Logs people in by a provider."""

    def __init__(self, *, store: Store, accounts: Accounts, box: SecretBox, provider: Provider, grants: Grants) -> None:
        self._store = store
        self._accounts = accounts
        self._throttle = Throttle(store=store, bounds=BOUNDS)
        self._records = AccountRecords(store)
        self._people = People(store)
        self._box = box
        self._provider = provider
        self._grants = grants

    @property
    def issuer(self) -> str:
        """Who vouches for people here."""
        return self._provider.registration.issuer

    def depart(self, next_page: str, *, address: str, now: datetime) -> Departure:
        """Begin a log-in; raise ``TooMany`` after too many failures, ``Unavailable`` without the provider."""
        self._throttle.refuse(address=address, now=now)
        request = Request(
            state=secrets.token_urlsafe(32), nonce=secrets.token_urlsafe(32), verifier=secrets.token_urlsafe(48)
        )
        content = {
            "state": request.state,
            "nonce": request.nonce,
            "verifier": request.verifier,
            "next": next_page,
            "at": int(now.timestamp()),
        }
        cookie = self._box.seal_secret(orjson.dumps(content), context=_CONTEXT)
        return Departure(address=self._provider.address(request, now=now), cookie=cookie)

    def arrive(self, answer: Mapping[str, str], cookie: str, *, address: str, now: datetime) -> Arrival:
        """Take the provider's answer and begin a session.

        Raises:
            TooMany: too many failures from this address.
            Unauthenticated: the answer does not hold (one answer for all reasons).
            Forbidden: the provider's person has no role here, or was disabled.
            Unavailable: the provider cannot be reached.
        """
        self._throttle.refuse(address=address, now=now)
        try:
            ticket = self._redeemed(answer, cookie, now)
            claims = self._provider.claims(answer, ticket.request, now=now)
            person = self._admitted(claims, now)
        except Refused as error:
            self._throttle.note(address=address, now=now)
            _log.warning("openid log-in refused: %s %s", error.slug, error.members.get("check", ""))
            raise
        token, _ = self._accounts.begin_session(person, by="openid", now=now)
        return Arrival(token=token, person=person, next_page=ticket.next_page)

    def way_out(self, back: str, *, now: datetime) -> str | None:
        """Return where to log out at the provider too; None if it does not offer that."""
        return self._provider.way_out(back, now=now)

    def _redeemed(self, answer: Mapping[str, str], cookie: str, now: datetime) -> _Ticket:
        """Return the cookie's content for the answer that belongs to it, once."""
        ticket = self._opened(cookie)
        if not timedelta(0) <= now - ticket.made_at <= COOKIE_LIFE:
            raise refused("too-late")
        if not hmac.compare_digest(answer.get("state", "").encode(), ticket.request.state.encode()):
            raise refused("state")
        if not self._records.use_answer(hashlib.sha256(ticket.request.state.encode()).hexdigest(), now):
            raise refused("used")
        return ticket

    def _opened(self, cookie: str) -> _Ticket:
        try:
            if not 0 < len(cookie) <= _LONGEST_COOKIE or not cookie.isascii():
                raise refused("no-cookie")
            content: dict[str, Any] = orjson.loads(self._box.open_secret(cookie, context=_CONTEXT))
        except (SealBroken, Malformed) as exc:
            raise refused("cookie") from exc
        request = Request(state=content["state"], nonce=content["nonce"], verifier=content["verifier"])
        made_at = datetime.fromtimestamp(content["at"], tz=UTC)
        return _Ticket(request=request, next_page=content["next"], made_at=made_at)

    def _admitted(self, claims: Mapping[str, Any], now: datetime) -> Person:
        identity = Identity.of(claims)
        try:
            return self._people.admit(identity, self._grants.of(claims), now=now)
        except Forbidden as error:
            if error.slug != "account-disabled":
                self._people.demote(identity, now=now)
            target = f"account:{identity.account_name()}"
            self._store.append_audit(
                AuditEntry(at=now, actor="openid", action="session.refused", target=target, after={"why": error.slug})
            )
            raise
