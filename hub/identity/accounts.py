"""People who administer the hub: persons, their accounts, sessions and tokens.

Accounts of those who administer the hub: passwords, the second factor, sessions, and the throttle on failed log-ins.

A log-in is checked in this order: (1) throttle of name and address (:mod:`hub.identity.throttle`), (2) account there and
not disabled, (3) password, (4) time-based code where the account has a second factor, each code once. Whatever fails, the
answer is the same; an account whose row cannot be read is locked, alone.

Bearer tokens of persons for the API: short-lived, random, and gone with the account, its password or its log-out.

A token is a log-in without a browser. It lies beside the sessions of the pages, so that what ends those ends it too, but
under another fingerprint: a cookie's value is no bearer token, and a bearer token opens no page.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from hub.errors import Forbidden, Invalid, NotFound, Text, Unauthenticated, UnreadableRow
from hub.identity.persons import Person, person_of
from hub.identity.second_factors import ISSUER, SecondFactors, SecretBox
from hub.identity.throttle import Throttle, ThrottleBounds
from hub.model import Role, Scope
from hub.store import Account, AuditEntry, Page, Store, StoredSession

#: A session ends after this time without use, and at the latest after this time.
IDLE = timedelta(minutes=30)
LONGEST_SESSION = timedelta(hours=10)
#: How long a log-in waits for its second factor.
STEP_LIFE = timedelta(minutes=10)
#: How exactly the last use is noted; each note is a write.
_SEEN_EVERY = timedelta(minutes=1)
#: How many failed log-ins turn people away. People choose their passwords, so a name has a bound over all addresses, too
#: (NIST SP 800-63B, section 5.2.2), from which those are exempt where the person logged in of late.
BOUNDS = ThrottleBounds(kind="person", window=timedelta(minutes=15), by_pair=5, by_address=30, by_subject=100)
_SHORTEST_PASSWORD = 12
#: argon2 would hash a novel; nobody's password is one.
_LONGEST_PASSWORD = 256
_HASHES_AT_ONCE = 2
_NAME = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_TENANT = re.compile(r"[0-9]{0,12}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonSession:
    """A live session: ``csrf`` is what every form of it must repeat.

    ``lacks_factor``: the person must have a second factor and has none, so that nothing but setting it up is for them.
    """

    person: Person
    csrf: str = field(repr=False)
    lacks_factor: bool = False


class Accounts:
    """Makes accounts, checks log-ins and keeps sessions; without ``passwords`` nobody logs in by one."""

    def __init__(
        self,
        *,
        store: Store,
        box: SecretBox,
        hasher: PasswordHasher | None = None,
        passwords: bool = True,
        factors: SecondFactors | None = None,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """``failed`` is told of each log-in that fails; without ``factors`` nobody must have a second one."""
        self.factors = factors or SecondFactors(store=store, box=box)
        self._records = store.accounts
        self._tenants = store.tenants
        self._credentials = store.credentials
        self._note_unreadable = store.note_unreadable
        self._throttle = Throttle(store=store, bounds=BOUNDS, failed=failed)
        self._passwords = passwords
        self._hasher = hasher or PasswordHasher()
        # Each hash takes 64 MiB by design: a storm of log-ins must not take the whole memory.
        self._hashing = threading.BoundedSemaphore(_HASHES_AT_ONCE)
        # An unknown name must take as long as a wrong password.
        self._nobody = self._hasher.hash(secrets.token_urlsafe(16))

    def add(
        self,
        name: str,
        password: str,
        *,
        full_name: str = "",
        roles: tuple[Role, ...],
        tenant: str = "",
        tenant_id: str | None = None,
        actor: str,
        now: datetime,
        invitation: str | None = None,
        invited_by: str | None = None,
    ) -> Person:
        """Make an account; with it the ``invitation`` (its hash) is used up. ``invited_by`` is an account.

        Raises:
            Invalid: a name, tenant or password that breaks the rules, or no role.
            Conflict: the name is taken.
            NotFound: the invitation is not there any more.
        """
        name = name.lower()
        require_account(name, tenant, roles)
        require_password(password, name)
        account = Account(
            name=name,
            full_name=full_name or name,
            roles=tuple(sorted(roles)),
            tenant=tenant,
            tenant_id=tenant_id,
            invited_by=invited_by,
            password_hash=self._hasher.hash(password),
            created_at=now,
        )
        audit = _audit(actor, "account.add", name, now, after=public_account(account))
        self._records.add(account, audit=audit, invitation=invitation)
        return person_of(account, self._tenants)

    def list(self, *, scope: Scope, words: Sequence[str] = (), offset: int = 0, limit: int = 100) -> Page[Account]:
        """Return one page of the accounts within a scope whose names have all of ``words``, by name."""
        return self._records.accounts(scope=scope, words=words, offset=offset, limit=limit)

    def disable(self, name: str, *, actor: str, now: datetime) -> None:
        """Lock an account for good and end its sessions."""
        account = self._existing(name)
        changed = replace(account, disabled_at=account.disabled_at or now)
        self._records.change(changed, before=account, audit=_changed(actor, "account.disable", account, changed, now))

    def set_password(self, name: str, password: str, *, actor: str, now: datetime) -> None:
        """Replace the password and end the account's sessions."""
        account = self._existing(name)
        require_local(account)
        require_password(password, account.name)
        changed = replace(account, password_hash=self._hasher.hash(password))
        self._records.change(changed, before=account, audit=_changed(actor, "account.password", account, changed, now))

    def set_totp(self, name: str, *, actor: str, now: datetime, on: bool = True) -> str | None:
        """Give the account a new second factor, or take it away; return the ``otpauth://`` address to scan, once."""
        account = self._existing(name)
        require_local(account)
        secret = pyotp.random_base32()
        changed = replace(account, totp=self.factors.seal(account.name, secret) if on else None)
        self._records.change(changed, before=account, audit=_changed(actor, "account.totp", account, changed, now))
        return pyotp.TOTP(secret).provisioning_uri(name=account.name, issuer_name=ISSUER) if on else None

    def confirm_totp(self, name: str, sealed: str, code: str, *, actor: str, now: datetime) -> None:
        """Put an offered secret in force by its first code, and end the account's sessions; errors as ``confirmed``."""
        account = self._existing(name)
        require_local(account)
        changed = self.factors.confirmed(account, sealed, code, now=now)
        self._records.change(changed, before=account, audit=_changed(actor, "account.totp", account, changed, now))

    def drop_totp(self, name: str, *, actor: str, now: datetime) -> None:
        """Take an account's time-based codes away and end its sessions; raise ``Forbidden`` where it must keep them."""
        account = self._existing(name)
        require_local(account)
        changed = replace(account, totp=None)
        if self.factors.missing(changed):
            raise factor_missing()
        self._records.change(changed, before=account, audit=_changed(actor, "account.totp", account, changed, now))

    def require_owner(self, name: str, password: str, code: str, *, address: str, now: datetime) -> None:
        """Require of somebody in a session that it is still them. Errors as :meth:`check`.

        Where a key is the only second factor, the session was begun with it, and the password is enough.
        """

        def fits(account: Account) -> bool:
            return account.totp is None or self.factors.fits(account, code, now=now)

        self.passed(self.prove(name, password, fits, address=address, now=now), address=address, now=now)

    def check(self, name: str, password: str, code: str = "", *, address: str = "", now: datetime) -> Person:
        """Return who has these credentials; ``code`` is a time-based one or a recovery code.

        Raises:
            Forbidden: this hub takes no passwords, or the account must have a second factor and has none
                (``second-factor-missing``).
            Unauthenticated: some part is wrong; which one is not said.
            TooMany: too many failures of this name or from this address.
        """
        account = self.prove(
            name, password, lambda found: self.factors.fits(found, code, now=now), address=address, now=now
        )
        if self.factors.missing(account):
            raise factor_missing()
        self.passed(account, address=address, now=now)
        return person_of(account, self._tenants)

    def prove(
        self,
        name: str,
        password: str | None,
        fits: Callable[[Account], bool],
        *,
        address: str = "",
        now: datetime,
    ) -> Account:
        """Return the account of that name if its password is right (None: it was before) and ``fits`` says so, too.

        Whatever fails counts. Whoever proved all that it takes is to be told of to :meth:`passed`. Errors as :meth:`check`.
        """
        if not self._passwords:
            raise _no_passwords()
        name = name.lower()[:100]
        self._throttle.refuse(subject=name, address=address, now=now)
        with self._hashing:
            # Once more: who waited here must count the failures of those before, or a burst would be as many free guesses.
            self._throttle.refuse(subject=name, address=address, now=now)
            account = self._readable(name)
            known = password is None or self._fits(account, password)
            if account is None or not known or account.disabled_at is not None or not fits(account):
                self._throttle.note(subject=name, address=address, now=now)
                raise _wrong()
        return account

    def passed(self, account: Account, *, address: str, now: datetime) -> None:
        """Note that somebody proved everything: bounds that others fill do not hold there for a while."""
        self._throttle.passed(subject=account.name, address=address, now=now)

    def log_in(
        self, name: str, password: str, code: str = "", *, address: str = "", now: datetime
    ) -> tuple[str, PersonSession]:
        """Check credentials as :meth:`check` does and begin a session; return its token, for the cookie alone."""
        return self.begin_session(self.check(name, password, code, address=address, now=now), by="password", now=now)

    def begin_session(
        self, person: Person, *, by: str, address: str = "", device: str = "", now: datetime
    ) -> tuple[str, PersonSession]:
        """Begin a session of somebody whose identity was proven ``by`` password or openid; a new token each time."""
        token, csrf = secrets.token_urlsafe(32), secrets.token_urlsafe(24)
        stored = StoredSession(
            token_hash=fingerprint(token),
            account=person.name,
            csrf=csrf,
            created_at=now,
            seen_at=now,
            address=address,
            device=device,
        )
        audit = _audit(person.name, "session.begin", person.name, now, after={"by": by})
        self._records.begin_session(stored, audit=audit)
        return token, PersonSession(person=person, csrf=csrf)

    def session(self, token: str, *, now: datetime) -> PersonSession | None:
        """Return the live session of a cookie's token; None if there is none, or it is over."""
        token_hash = fingerprint(token)
        found = self._records.session(token_hash)
        if found is None:
            return None
        stored, account = found
        if account.disabled_at is not None or now - stored.seen_at > IDLE or now - stored.created_at > LONGEST_SESSION:
            self._records.end_session(token_hash)
            return None
        if now - stored.seen_at >= _SEEN_EVERY:
            self._records.see_session(token_hash, now)
        return PersonSession(
            person=person_of(account, self._tenants), csrf=stored.csrf, lacks_factor=self.factors.missing(account)
        )

    def log_out(self, token: str) -> None:
        """End a session."""
        self._records.end_session(fingerprint(token))

    def sweep(self, now: datetime) -> int:
        """Forget sessions that are over and failures that no longer count (a periodic duty); return how many."""
        gone = self._records.forget_sessions(created_before=now - LONGEST_SESSION, seen_before=now - IDLE)
        gone += self._records.forget_answers(now - BOUNDS.window)
        gone += self._credentials.forget(steps_before=now - STEP_LIFE, now=now)
        return gone + self._records.forget_failures(now - BOUNDS.window) + self._throttle.sweep(now)

    def _existing(self, name: str) -> Account:
        account = self._records.account(name.lower())
        if account is None:
            raise NotFound(
                Text(
                    f"Es gibt kein Konto {name}. „hub accounts list“ zeigt alle.",
                    f"There is no account {name}. 'hub accounts list' shows all.",
                )
            )
        return account

    def _readable(self, name: str) -> Account | None:
        """Return an account; None also for one that cannot be read: whoever guesses names learns of neither."""
        try:
            return self._records.account(name)
        except UnreadableRow:
            return None

    def _fits(self, account: Account | None, password: str) -> bool:
        # Neither an unknown name nor one without a password may answer faster than a wrong password.
        stored = account.password_hash if account is not None and account.is_local else self._nobody
        password = password[:_LONGEST_PASSWORD]
        try:
            self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError, UnicodeEncodeError):
            # No hash at all; neither may this answer faster.
            self._tell_spoiled(account, "password_hash")
            return self._fits(None, password)
        return account is not None and account.is_local

    def _tell_spoiled(self, account: Account | None, column: str) -> None:
        if account is not None:
            self._note_unreadable(UnreadableRow("accounts", account.name, column))


def same_csrf(session: PersonSession, given: str) -> bool:
    """Compare a form's token with the session's, in constant time."""
    return hmac.compare_digest(session.csrf.encode(), given.encode())


def fingerprint(token: str) -> str:
    """Return what is stored of a token that somebody holds."""
    return hashlib.sha256(token.encode()).hexdigest()


def public_account(account: Account) -> dict[str, object]:
    """Return what the audit log may say of an account: no secrets."""
    return {
        "full_name": account.full_name,
        "roles": list(account.roles),
        "tenant": account.tenant,
        "second_factor": account.totp is not None,
        "disabled": account.disabled_at is not None,
        "invited_by": account.invited_by,
        "vouched_by": account.vouched_by,
    }


def _audit(
    actor: str, action: str, name: str, now: datetime, *, after: Mapping[str, object] | None = None
) -> AuditEntry:
    return AuditEntry(at=now, actor=actor, action=action, target=f"account:{name}", after=after or {})


def _changed(actor: str, action: str, before: Account, after: Account, now: datetime) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor=actor,
        action=action,
        target=f"account:{before.name}",
        before=public_account(before),
        after=public_account(after),
    )


def require_account(name: str, tenant: str, roles: tuple[Role, ...]) -> None:
    """Refuse a name, a tenant or roles that no account has."""
    if not _NAME.fullmatch(name) or name in {"hub", "cli"}:
        raise Invalid(
            Text(
                "Ein Kontoname besteht aus a-z, 0-9, Punkt, Strich, @ (höchstens 64 Zeichen); „hub“ und „cli“ sind vergeben.",
                "An account's name consists of a-z, 0-9, dot, dash, @ (at most 64 characters); 'hub' and 'cli' are taken.",
            )
        )
    if not _TENANT.fullmatch(tenant) or not roles:
        raise Invalid(
            Text(
                "Ein Konto braucht mindestens eine Rolle; sein Mandant ist ein ARS-Präfix aus Ziffern oder leer.",
                "An account needs at least one role; its tenant is an ARS prefix of digits, or empty.",
            )
        )


def require_password(password: str, name: str) -> None:
    """Refuse what is short, endless, or the name itself (NIST SP 800-63B asks for length, not for character classes)."""
    if not _SHORTEST_PASSWORD <= len(password) <= _LONGEST_PASSWORD or name in password.lower():
        raise Invalid(
            Text(
                f"Ein Passwort hat mindestens {_SHORTEST_PASSWORD} Zeichen und enthält nicht den Kontonamen.",
                f"A password has at least {_SHORTEST_PASSWORD} characters and does not contain the account's name.",
            )
        )


def require_local(account: Account) -> None:
    """Refuse to give a password or second factor to an account that a provider vouches for."""
    if not account.is_local:
        raise Invalid(
            Text(
                "Dieses Konto gehört zum Anmeldedienst (OpenID Connect): Passwort und zweiter Faktor liegen dort.",
                "This account belongs to the OpenID Connect provider: password and second factor are kept there.",
            )
        )


def _no_passwords() -> Forbidden:
    return Forbidden(
        Text(
            "Die Anmeldung mit Passwort ist abgeschaltet (passwords = off). Melden Sie sich über den Anmeldedienst an.",
            "Logging in by password is turned off (passwords = off). Log in by the OpenID Connect provider.",
        ),
        slug="passwords-off",
    )


def factor_missing() -> Forbidden:
    """Return the refusal of whoever must have a second factor and has none."""
    return Forbidden(
        Text(
            "Ihr Konto braucht einen zweiten Faktor und hat noch keinen. Richten Sie ihn an der Verwaltungsseite "
            "unter „Mein Konto“ ein.",
            "Your account needs a second factor and has none yet. Set it up at the admin pages, at 'My account'.",
        ),
        slug="second-factor-missing",
    )


def _wrong() -> Unauthenticated:
    return Unauthenticated(
        Text(
            "Kontoname, Passwort oder Code stimmt nicht, oder das Konto ist gesperrt.",
            "Account name, password or code is wrong, or the account is disabled.",
        )
    )


#: What every such token begins with: it tells them from clients' tokens, and secret scanners know it.
PERSONS_PREFIX = "rhp_"
#: A token lives so long, used or not.
LIFE = IDLE


class PersonTokens:
    """Issues tokens to persons and recognises persons by them."""

    def __init__(self, *, store: Store, accounts: Accounts) -> None:
        self._store = store
        self._records = store.accounts
        self._accounts = accounts

    def issue(
        self, name: str, password: str, code: str = "", *, address: str = "", device: str = "", now: datetime
    ) -> tuple[str, Person, timedelta]:
        """Return a new token, whose it is and how long it lives.

        Raises:
            Unauthenticated: some part is wrong; which one is not said.
            TooMany: too many failures of this name or from this address, those at the pages included.
        """
        person = self._accounts.check(name, password, code, address=address, now=now)
        token = PERSONS_PREFIX + secrets.token_urlsafe(32)
        stored = StoredSession(
            token_hash=_token_fingerprint(token),
            account=person.name,
            csrf="",
            created_at=now,
            seen_at=now,
            address=address,
            device=device,
        )
        self._records.begin_session(stored, audit=_token_audit("token.issue", person, now))
        return token, person, LIFE

    def recognise(self, token: str, *, now: datetime) -> Person:
        """Return whose token this is; raise ``Unauthenticated`` for one that is forged, over or revoked."""
        found = self._records.session(_token_fingerprint(token))
        if found is None or found[1].disabled_at is not None or not now - LIFE < found[0].created_at <= now:
            raise _bad_token()
        if self._accounts.factors.missing(found[1]):
            raise factor_missing()
        return person_of(found[1], self._store.tenants)

    def revoke(self, token: str, *, now: datetime) -> None:
        """End a token before its time."""
        person = self.recognise(token, now=now)
        self._records.end_session(_token_fingerprint(token))
        self._store.audit.append(_token_audit("token.revoke", person, now))


def _token_fingerprint(token: str) -> str:
    return hashlib.blake2b(token.encode(), person=b"bearer", digest_size=32).hexdigest()


def _token_audit(action: str, person: Person, now: datetime) -> AuditEntry:
    return AuditEntry(at=now, actor=person.name, action=action, target=f"account:{person.name}")


def _bad_token() -> Unauthenticated:
    return Unauthenticated(
        Text(
            "Das Zugriffstoken ist ungültig oder abgelaufen. Holen Sie unter /hub/v1/persons/token ein neues.",
            "The access token is invalid or expired. Get a new one at /hub/v1/persons/token.",
        )
    )
