"""The accounts of a provider's people: found by issuer and subject, never by name or e-mail address."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from hub.errors import Conflict, Forbidden, NotFound, Text
from hub.identity.openid.grants import Grant
from hub.identity.persons import Person, Role, person_of
from hub.store import AuditEntry, Store
from hub.store.accounts import Account, AccountRecords

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


class People:
    """Keeps an account for each of the provider's people."""

    def __init__(self, store: Store) -> None:
        self._records = AccountRecords(store)

    def admit(self, identity: Identity, grant: Grant, *, now: datetime) -> Person:
        """Return who this is, with exactly the roles and the tenant that the provider gives them now.

        Raises ``Forbidden`` for an account that was disabled here.
        """
        account = self._records.by_identity(identity.issuer, identity.subject)
        if account is None:
            return person_of(self._new(identity, grant, now))
        if account.disabled_at is not None:
            raise Forbidden(
                Text(
                    "Ihr Konto ist hier gesperrt. Fragen Sie die Administration des Hubs.",
                    "Your account is disabled here. Ask the hub's administrators.",
                ),
                slug="account-disabled",
            )
        return person_of(
            self._changed(account, grant.roles, grant.tenant, identity.full_name or account.full_name, now)
        )

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
        if changed != account:
            audit = _audit("account.roles", account.name, now, before=_public(account), after=_public(changed))
            less = not set(account.roles) <= set(roles) or tenant != account.tenant
            self._records.change(changed, audit=audit, end_sessions=less)
        return changed


def link(store: Store, name: str, *, issuer: str, subject: str, actor: str, now: datetime) -> None:
    """Hand a local account over to the provider's person: it keeps its name and history and loses password and factor.

    Raises:
        NotFound: there is no such account.
        Conflict: the account, or the person, is linked already.
    """
    records = AccountRecords(store)
    account = records.account(name.lower())
    if account is None:
        raise NotFound(Text(f"Es gibt kein Konto {name}.", f"There is no account {name}."))
    if not account.is_local or records.by_identity(issuer, subject) is not None:
        raise Conflict(
            Text(
                "Das Konto gehört schon zum Anmeldedienst, oder diese Person hat dort schon ein Konto hier.",
                "The account belongs to the provider already, or its person has an account here already.",
            ),
            slug="already-exists",
        )
    linked = replace(account, password_hash="", totp=None, issuer=issuer, subject=subject)
    audit = AuditEntry(
        at=now, actor=actor, action="account.link", target=f"account:{account.name}", after=_public(linked)
    )
    records.change(linked, audit=audit)


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
