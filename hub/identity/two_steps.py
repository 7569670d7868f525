"""Logging in at the pages: name and password, then the second factor of whoever has one.

Between the two nobody is logged in: the browser holds the secret of a step, which lies in the store, opens no page, ends
after a few minutes and is used up by the log-in that it becomes. The session that follows has a token that no browser held
before. Failures of both steps count on the same throttle, and only the second one's success counts as a log-in.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from hub.errors import Text, Unauthenticated
from hub.identity.accounts import STEP_LIFE, Accounts, PersonSession, fingerprint
from hub.identity.persons import person_of
from hub.store import Account, LoginStep, StepPurpose, Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Admitted:
    """A session that began; its token is for the cookie alone."""

    token: str = field(repr=False)
    session: PersonSession


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A log-in that waits for the second factor; its token is for a cookie, too, and opens nothing."""

    token: str = field(repr=False)
    account: Account


class TwoSteps:
    """Logs people in by password and second factor."""

    def __init__(self, *, store: Store, accounts: Accounts) -> None:
        self._records = store.accounts
        self._credentials = store.credentials
        self._tenants = store.tenants
        self._accounts = accounts

    def begin(
        self, name: str, password: str, code: str = "", *, address: str, device: str = "", now: datetime
    ) -> Admitted | Waiting:
        """Take name and password, and the code where it comes along.

        Raises:
            Forbidden: this hub takes no passwords.
            Unauthenticated: some part is wrong; which one is not said.
            TooMany: too many failures of this name or from this address.
        """
        factors = self._accounts.factors
        account = self._accounts.prove(
            name,
            password,
            lambda found: not code or factors.fits(found, code, now=now),
            address=address,
            now=now,
        )
        if code or not factors.has_one(account):
            return self._admitted(account, address=address, device=device, now=now)
        return self._waiting(account, now)

    def _waiting(self, account: Account, now: datetime) -> Waiting:
        token = secrets.token_urlsafe(32)
        self._credentials.begin_step(
            LoginStep(
                token_hash=fingerprint(token),
                account=account.name,
                purpose=StepPurpose.LOG_IN,
                challenge=None,
                made_at=now,
            )
        )
        return Waiting(token=token, account=account)

    def waiting(self, token: str, *, now: datetime) -> Waiting:
        """Return the log-in that waits; raise ``Unauthenticated`` where there is none, or not any more."""
        return Waiting(token=token, account=self._found(token, now)[1])

    def finish(self, token: str, code: str, *, address: str, device: str = "", now: datetime) -> Admitted:
        """Take the code; errors as :meth:`begin`."""
        factors = self._accounts.factors
        return self._finished(
            token, lambda _, found: factors.fits(found, code, now=now), address=address, device=device, now=now
        )

    def finish_with_key(
        self,
        token: str,
        signed: Callable[[LoginStep, Account], bool],
        *,
        address: str,
        device: str = "",
        now: datetime,
    ) -> Admitted:
        """Take what a key signed (``Passkeys.signed``); errors as :meth:`begin`."""
        return self._finished(token, signed, address=address, device=device, now=now)

    def _finished(
        self,
        token: str,
        fits: Callable[[LoginStep, Account], bool],
        *,
        address: str,
        device: str,
        now: datetime,
    ) -> Admitted:
        step, account = self._found(token, now)
        self._accounts.prove(account.name, None, lambda found: fits(step, found), address=address, now=now)
        if not self._credentials.end_step(step.token_hash):
            raise _over()
        return self._admitted(account, address=address, device=device, now=now)

    def _admitted(self, account: Account, *, address: str, device: str, now: datetime) -> Admitted:
        self._accounts.passed(account, address=address, now=now)
        token, session = self._accounts.begin_session(
            person_of(account, self._tenants), by="password", address=address, device=device, now=now
        )
        return Admitted(token=token, session=session)

    def _found(self, token: str, now: datetime) -> tuple[LoginStep, Account]:
        step = self._credentials.step(fingerprint(token)) if token else None
        if step is None or step.purpose is not StepPurpose.LOG_IN or not step.made_at <= now < step.made_at + STEP_LIFE:
            raise _over()
        account = self._records.account(step.account)
        if account is None:
            raise _over()
        return step, account


def _over() -> Unauthenticated:
    return Unauthenticated(
        Text(
            "Diese Anmeldung ist abgelaufen. Beginnen Sie noch einmal mit Name und Passwort.",
            "This log-in is over. Begin once more with name and password.",
        )
    )
