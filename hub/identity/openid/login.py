"""The walk of one log-in: out to the provider, back with its answer, into a session.

Out: a browser gets a sealed cookie with state, nonce, verifier and the wanted page, and the provider's address.
Back, checked in this order: (1) throttle of the network address, (2) the cookie is ours and young, (3) its state is the
answer's, (4) the answer was not used before, (5) code and ID token (``hub.openid``), (6) roles, (7) account.
Every failure counts for the throttle.

The accounts of a provider's people: found by issuer and subject, never by name or e-mail address.

What a provider's claim is worth here: a TOML file maps its values to roles and a tenant. What is not mapped is nothing.

["rathaus-hub-betrieb"]
roles = ["viewer", "operator"]
tenant = "*"

["rtk-zustaendigkeiten"]
roles = ["editor"]
tenant = "06439"
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from hub.errors import (
    ConfigurationError,
    Conflict,
    Forbidden,
    Malformed,
    NotFound,
    Refused,
    SealBroken,
    Text,
    already_exists,
)
from hub.files import vault
from hub.identity.accounts import BOUNDS, Accounts
from hub.identity.persons import Person, person_of
from hub.identity.second_factors import SecretBox
from hub.identity.throttle import Throttle
from hub.model import Role
from hub.openid.provider import AuthorizationRequest, Provider, refused
from hub.store import Account, AuditEntry, Store

_EVERYTHING = "*"
_LONGEST_TENANT = 12
#: A person in more groups than these is cut off; nobody's rights may depend on the rest.
_MOST_VALUES = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """What a person may do: roles, and the ARS prefix that bounds them (empty: everything)."""

    roles: tuple[Role, ...]
    tenant: str


class Grants:
    """The mapping from a claim's values to grants. ``claim`` is a name or, beginning with a slash, a JSON Pointer."""

    def __init__(self, claim: str, by_value: Mapping[str, Grant]) -> None:
        self._claim = claim
        self._by_value = by_value

    @classmethod
    def load(cls, path: Path, claim: str) -> Grants:
        """Read the file.

        Raises:
            ConfigurationError: it is empty, something in it is not understood, or other accounts may change it.
        """
        try:
            vault.require_integrity(path)
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
            raise _bad(path, "Die Datei fehlt oder ist kein TOML", "The file is missing or no TOML") from exc
        if not document:
            raise _bad(path, "Die Datei nennt keinen Wert", "The file names no value")
        return cls(claim, {value: _grant(path, value, entry) for value, entry in document.items()})

    def of(self, claims: Mapping[str, Any]) -> Grant:
        """Return what the claims of an ID token are worth.

        Raises:
            Forbidden: no value is mapped (``no-role``), or their tenants differ (``tenants-differ``).
        """
        granted = [self._by_value[value] for value in self._values(claims) if value in self._by_value]
        tenants = {each.tenant for each in granted}
        if not granted:
            raise _without_role()
        if len(tenants) > 1:
            raise _several_areas()
        roles = {role for each in granted for role in each.roles}
        return Grant(roles=tuple(sorted(roles)), tenant=tenants.pop())

    def _values(self, claims: Mapping[str, Any]) -> Iterator[str]:
        found: Any = claims
        parts = self._claim[1:].split("/") if self._claim.startswith("/") else [self._claim]
        for part in parts:
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
        values = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return (value for value in values[:_MOST_VALUES] if isinstance(value, str))


def _without_role() -> Forbidden:
    return Forbidden(
        Text(
            "Der Anmeldedienst kennt Sie, aber keine Ihrer Gruppen hat hier eine Rolle. Bitten Sie die "
            "Administration des Hubs darum.",
            "The provider knows you, but none of your groups has a role here. Ask the hub's administrators for one.",
        ),
        slug="no-role",
    )


def _several_areas() -> Forbidden:
    return Forbidden(
        Text(
            "Ihre Gruppen gelten für verschiedene Gebiete; ein Konto hat genau eines. Bitten Sie die "
            "Administration des Hubs, sie zu trennen.",
            "Your groups are for different areas; an account has exactly one. Ask the hub's administrators to "
            "part them.",
        ),
        slug="tenants-differ",
    )


def _grant(path: Path, value: str, entry: Any) -> Grant:
    if not isinstance(entry, dict) or set(entry) != {"roles", "tenant"}:
        raise _bad(path, f"„{value}“ braucht genau roles und tenant", f"'{value}' needs exactly roles and tenant")
    roles, tenant = entry["roles"], entry["tenant"]
    known = {role.value for role in Role}
    if not isinstance(roles, list) or not roles or not all(isinstance(each, str) and each in known for each in roles):
        names = ", ".join(sorted(known))
        raise _bad(path, f"„{value}“: roles ist eine Liste aus {names}", f"'{value}': roles is a list of {names}")
    is_prefix = isinstance(tenant, str) and tenant.isascii() and tenant.isdigit() and len(tenant) <= _LONGEST_TENANT
    if not is_prefix and tenant != _EVERYTHING:
        raise _bad(
            path,
            f"„{value}“: tenant ist ein ARS-Präfix aus Ziffern, oder * für alles",
            f"'{value}': tenant is an ARS prefix of digits, or * for everything",
        )
    return Grant(roles=tuple(Role(role) for role in roles), tenant="" if tenant == _EVERYTHING else tenant)


def _bad(path: Path, de: str, en: str) -> ConfigurationError:
    return ConfigurationError(Text(f"openid_roles_file {path.name}: {de}.", f"openid_roles_file {path.name}: {en}."))


_STRANGE = re.compile(r"[^a-z0-9._@-]+")
_LONGEST_NAME = 40
_LONGEST_FULL_NAME = 200
_ACTOR = "openid"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """Somebody as the provider knows them; the subject alone never changes (OpenID Connect Core section 2)."""

    issuer: str
    subject: str
    user_name: str
    full_name: str

    @classmethod
    def of(cls, claims: Mapping[str, Any]) -> Identity:
        """Read the identity from verified claims."""
        user_name, full_name = (claims.get(name) for name in ("preferred_username", "name"))
        return cls(
            issuer=claims["iss"],
            subject=claims["sub"],
            user_name=user_name if isinstance(user_name, str) else "",
            full_name=full_name[:_LONGEST_FULL_NAME].strip() if isinstance(full_name, str) else "",
        )

    def account_name(self) -> str:
        """Return a name that people recognise and nobody can choose: local names hold no tilde, the rest is a hash."""
        digest = hashlib.sha256(f"{self.issuer}\n{self.subject}".encode()).digest()
        base = _STRANGE.sub("-", self.user_name.lower())[:_LONGEST_NAME].strip("-.") or "person"
        return f"{base}~{base64.b32encode(digest)[:8].decode().lower()}"


class OpenIdPeople:
    """Keeps an account for each of the provider's people."""

    def __init__(self, store: Store) -> None:
        self._records = store.accounts
        self._tenants = store.tenants

    def admit(self, identity: Identity, grant: Grant, *, now: datetime) -> Person:
        """Return who this is, with exactly the roles and the tenant that the provider gives them now.

        Raises ``Forbidden`` for an account that was disabled here.
        """
        account = self._records.by_identity(identity.issuer, identity.subject)
        if account is None:
            return person_of(self._new(identity, grant, now), self._tenants)
        if account.disabled_at is not None:
            raise Forbidden(
                Text(
                    "Ihr Konto ist hier gesperrt. Fragen Sie die Administration des Hubs.",
                    "Your account is disabled here. Ask the hub's administrators.",
                ),
                slug="account-disabled",
            )
        name = identity.full_name or account.full_name
        return person_of(self._changed(account, grant.roles, grant.tenant, name, now), self._tenants)

    def demote(self, identity: Identity, *, now: datetime) -> None:
        """Take all roles from somebody whom the provider gives none any more, and end their sessions."""
        account = self._records.by_identity(identity.issuer, identity.subject)
        if account is not None:
            self._changed(account, (), account.tenant, account.full_name, now)

    def _new(self, identity: Identity, grant: Grant, now: datetime) -> Account:
        name = identity.account_name()
        account = Account(
            name=name,
            full_name=identity.full_name or name,
            roles=grant.roles,
            tenant=grant.tenant,
            password_hash="",
            created_at=now,
            issuer=identity.issuer,
            subject=identity.subject,
        )
        try:
            self._records.add(account, audit=_audit("account.add", name, now, after=_public(account)))
        except Conflict:
            # The same person logged in twice at once, on another node perhaps.
            found = self._records.by_identity(identity.issuer, identity.subject)
            if found is None:
                raise
            return found
        return account

    def _changed(
        self, account: Account, roles: tuple[Role, ...], tenant: str, full_name: str, now: datetime
    ) -> Account:
        changed = replace(account, roles=roles, tenant=tenant, full_name=full_name)
        if tenant != account.tenant:
            changed = replace(changed, tenant_id=None)
        if changed != account:
            audit = _audit("account.roles", account.name, now, before=_public(account), after=_public(changed))
            less = not set(account.roles) <= set(roles) or tenant != account.tenant
            try:
                self._records.change(changed, before=account, audit=audit, end_sessions=less)
            except Conflict:
                # Somebody else changed it meanwhile, or another log-in of the same person did: once more, as it is now.
                found = self._records.by_identity(account.issuer or "", account.subject or "")
                if found is None or found == account or found.disabled_at is not None:
                    raise
                return self._changed(found, roles, tenant, full_name, now)
        return changed


def link(store: Store, name: str, *, issuer: str, subject: str, actor: str, now: datetime) -> None:
    """Hand a local account over to the provider's person: it keeps its name and history and loses password and factor.

    Raises:
        NotFound: there is no such account.
        Conflict: the account, or the person, is linked already.
    """
    records = store.accounts
    account = records.account(name.lower())
    if account is None:
        raise NotFound(Text(f"Es gibt kein Konto {name}.", f"There is no account {name}."))
    if not account.is_local or records.by_identity(issuer, subject) is not None:
        raise _linked_already()
    linked = replace(account, password_hash="", totp=None, issuer=issuer, subject=subject)
    audit = AuditEntry(
        at=now, actor=actor, action="account.link", target=f"account:{account.name}", after=_public(linked)
    )
    records.change(linked, before=account, audit=audit)


def _linked_already() -> Conflict:
    return already_exists(
        Text(
            "Die Verbindung des Kontos oder dieser Person mit dem Anmeldedienst",
            "The link of the account, or of this person, with the OpenID Connect provider",
        )
    )


def _public(account: Account) -> dict[str, object]:
    return {
        "full_name": account.full_name,
        "roles": list(account.roles),
        "tenant": account.tenant,
        "issuer": account.issuer or "",
        "subject": account.subject or "",
    }


def _audit(
    action: str,
    name: str,
    now: datetime,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object],
) -> AuditEntry:
    return AuditEntry(at=now, actor=_ACTOR, action=action, target=f"account:{name}", before=before or {}, after=after)


_log = logging.getLogger(__name__)
#: Where the pages take the provider's answer; registered with it under the hub's canonical address.
CALLBACK_PATH = "/admin/oidc/callback"
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
class LoginReturn:
    """A session that began: its token, for the cookie alone, and the page that was wanted."""

    token: str = field(repr=False)
    person: Person
    next_page: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Ticket:
    """What the cookie holds."""

    request: AuthorizationRequest
    next_page: str
    made_at: datetime


class OpenIdLogin:
    """Logs people in by a provider."""

    def __init__(
        self,
        *,
        store: Store,
        accounts: Accounts,
        box: SecretBox,
        provider: Provider,
        grants: Grants,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """``failed`` is told of each log-in that fails."""
        self._store = store
        self._accounts = accounts
        self._throttle = Throttle(store=store, bounds=BOUNDS, failed=failed)
        self._records = store.accounts
        self._people = OpenIdPeople(store)
        self._box = box
        self.provider = provider
        self._grants = grants

    @property
    def issuer(self) -> str:
        """Who vouches for people here."""
        return self.provider.registration.issuer

    def depart(self, next_page: str, *, address: str, now: datetime) -> Departure:
        """Begin a log-in; raise ``TooMany`` after too many failures, ``Unavailable`` without the provider."""
        self._throttle.refuse(address=address, now=now)
        request = AuthorizationRequest.new()
        content = {
            "state": request.state,
            "nonce": request.nonce,
            "verifier": request.verifier,
            "next": next_page,
            "at": int(now.timestamp()),
        }
        cookie = self._box.seal_secret(orjson.dumps(content), context=_CONTEXT)
        return Departure(address=self.provider.address(request, now=now), cookie=cookie)

    def arrive(
        self, answer: Mapping[str, str], cookie: str, *, address: str, device: str = "", now: datetime
    ) -> LoginReturn:
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
            claims = self.provider.claims(answer, ticket.request, now=now)
            person = self._admitted(claims, now)
        except Refused as error:
            self._throttle.note(address=address, now=now)
            _log.warning("openid log-in refused: %s %s", error.slug, error.members.get("check", ""))
            raise
        token, _ = self._accounts.begin_session(person, by="openid", address=address, device=device, now=now)
        return LoginReturn(token=token, person=person, next_page=ticket.next_page)

    def way_out(self, back: str, *, now: datetime) -> str | None:
        """Return where to log out at the provider too; None if it does not offer that."""
        return self.provider.way_out(back, now=now)

    def _redeemed(self, answer: Mapping[str, str], cookie: str, now: datetime) -> _Ticket:
        """Return the cookie's content for the answer that belongs to it, once."""
        ticket = self._opened(cookie)
        if not timedelta(0) <= now - ticket.made_at <= COOKIE_LIFE:
            raise refused("too-late")
        ticket.request.require_own(answer)
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
        request = AuthorizationRequest(state=content["state"], nonce=content["nonce"], verifier=content["verifier"])
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
            self._store.audit.append(
                AuditEntry(at=now, actor="openid", action="session.refused", target=target, after={"why": error.slug})
            )
            raise
