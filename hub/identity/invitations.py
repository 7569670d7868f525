"""Invitations: an account is made by whom it is for, on a link that is good once and for a while.

The link's secret has 256 bits and stands nowhere but in the link; the store has its hash. Looking at the link changes
nothing, for mail servers look, too: the form that sets the password uses it up, in the transaction that makes the account.
An invitation is worth no more than its inviter is when it is taken: whoever was locked or lost a right invites nobody.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hub.errors import Forbidden, Invalid, Text, already_exists, not_found, outside_scope
from hub.identity.accounts import (
    BOUNDS,
    Accounts,
    fingerprint,
    require_account,
    require_password,
)
from hub.identity.persons import Person, Right, person_of
from hub.identity.throttle import Throttle
from hub.model import Role, Scope
from hub.store import AuditEntry, Invitation, Page, Store
from hub.transport.smtp import is_address

#: How long a link is good.
INVITATION_LIFE = timedelta(days=3)
#: What comes behind the hub's address. A browser sends nothing of what stands behind the #, so no proxy on the way notes it.
INVITATION_PATH = "/admin/invitation#"
#: How long a browser keeps the secret once it was handed in.
INVITATION_STEP = timedelta(minutes=30)
#: What names of the command line's users begin with; no account's name does, for it has no colon.
_MACHINE = "cli:"
_LONGEST_FULL_NAME = 200
_LONGEST_EMAIL = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Invited:
    """An invitation with its link's secret, which is shown once."""

    invitation: Invitation
    token: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class InvitationWish:
    """Who is to be invited as what. ``email`` may be empty; ``tenant`` is the ARS prefix that bounds the account.

    Whoever names neither an area nor a tenant invites to where they are at home.
    """

    name: str
    full_name: str = ""
    email: str = ""
    roles: tuple[Role, ...]
    tenant: str = ""
    tenant_id: str | None = None


class Invitations:
    """Makes invitations and takes them."""

    def __init__(self, *, store: Store, accounts: Accounts) -> None:
        self._records = store.accounts
        self._credentials = store.credentials
        self._tenants = store.tenants
        self._accounts = accounts
        self._throttle = Throttle(store=store, bounds=BOUNDS)

    def invite(self, wish: InvitationWish, person: Person, *, now: datetime) -> Invited:
        """Invite somebody on behalf of a person; the account's name is kept for them.

        Raises:
            Forbidden: the person may not give these roles, or not for that area.
            Invalid: a name, mail address, tenant or roles that no account has.
            Conflict: the name is taken, or invited already.
        """
        person.require(Right.OPERATE)
        wish = _at_home(wish, person)
        name = wish.name.strip().lower()
        require_account(name, wish.tenant, wish.roles)
        require_grantable(person, self._invited(name, wish))
        _require_words(wish)
        if self._records.account(name) is not None:
            raise already_exists(Text(f"Das Konto {name}", f"Account {name}"))
        token = secrets.token_urlsafe(32)
        invitation = _new_invitation(wish, name, token, person, now)
        after = _audited(invitation)
        self._credentials.invite(invitation, audit=_audit(person.name, "account.invite", name, now, after))
        return Invited(invitation=invitation, token=token)

    def open_ones(self, *, scope: Scope, offset: int = 0, limit: int = 100) -> Page[Invitation]:
        """Return one page of the open invitations within a scope, by name."""
        return self._credentials.invitations(scope=scope, offset=offset, limit=limit)

    def withdraw(self, invitation: Invitation, *, actor: str, now: datetime) -> None:
        """Take an invitation back; raise ``NotFound`` if it was used meanwhile."""
        audit = _audit(actor, "account.uninvite", invitation.name, now, {})
        if not self._credentials.withdraw(invitation.token_hash, audit=audit):
            raise not_found("invitation-not-found")

    def look(self, token: str, *, address: str = "", now: datetime) -> Invitation:
        """Return what a link invites to.

        Raises:
            NotFound: unknown, used, withdrawn, expired, or of somebody who may not invite so any more: one answer for all.
            TooMany: too many wrong links from this address.
        """
        self._throttle.refuse(address=address, now=now)
        found = self._credentials.invitation(fingerprint(token))
        if found is None or found.expires_at <= now or not self._still_holds(found):
            self._throttle.note(address=address, now=now)
            raise not_found("invitation-not-found")
        return found

    def accept(self, token: str, password: str, *, address: str = "", now: datetime) -> Person:
        """Make the account with the password that its owner chose, and use the invitation up; errors as :meth:`look`.

        Raises:
            Invalid: a password that breaks the rules; the invitation stays.
            Conflict: an account of that name was made otherwise meanwhile.
        """
        invitation = self.look(token, address=address, now=now)
        require_password(password, invitation.name)
        return self._accounts.add(
            invitation.name,
            password,
            full_name=invitation.full_name,
            roles=invitation.roles,
            tenant=invitation.tenant,
            tenant_id=invitation.tenant_id,
            actor=invitation.name,
            now=now,
            invitation=invitation.token_hash,
            # Whoever runs the machine has no account that could be a second one of theirs.
            invited_by=None if invitation.invited_by.startswith(_MACHINE) else invitation.invited_by,
        )

    def _still_holds(self, invitation: Invitation) -> bool:
        """Tell whether the inviter could invite so today; the command line's users have no account and always could."""
        inviter = self._records.account(invitation.invited_by)
        if inviter is None:
            return invitation.invited_by.startswith(_MACHINE)
        try:
            require_grantable(person_of(inviter, self._tenants), self._invited(invitation.name, invitation))
        except Forbidden:
            return False
        return inviter.disabled_at is None

    def _invited(self, name: str, as_: InvitationWish | Invitation) -> Person:
        """Return who somebody would be with the account that they are invited to."""
        home = None if as_.tenant_id is None else self._tenants.scope_of([as_.tenant_id])
        return Person(
            name=name, full_name=as_.full_name, roles=as_.roles, tenant=as_.tenant, tenant_id=as_.tenant_id, home=home
        )


def _new_invitation(wish: InvitationWish, name: str, token: str, person: Person, now: datetime) -> Invitation:
    return Invitation(
        token_hash=fingerprint(token),
        name=name,
        full_name=wish.full_name.strip() or name,
        email=wish.email.strip(),
        roles=tuple(sorted(wish.roles)),
        tenant=wish.tenant,
        tenant_id=wish.tenant_id,
        invited_by=person.name,
        created_at=now,
        expires_at=now + INVITATION_LIFE,
    )


def _audited(invitation: Invitation) -> dict[str, object]:
    return {
        "roles": list(invitation.roles),
        "tenant": invitation.tenant,
        "full_name": invitation.full_name,
    }


def _at_home(wish: InvitationWish, person: Person) -> InvitationWish:
    if wish.tenant or wish.tenant_id is not None:
        return wish
    return replace(wish, tenant=person.tenant, tenant_id=person.tenant_id)


def require_grantable(person: Person, other: Person) -> None:
    """Require that a person may give another one the roles that they have, each where it counts: nobody gives more than theirs.

    Raises:
        Forbidden: the right to operate is missing there, or a role gives more (``rights-of-others``).
    """
    require_over(person, other)
    if not person.is_named:  # Whoever may write the data folder.
        return
    more = sorted({each.role for each in other.held if not person.holds(each.role, each.scope)})
    if more:
        named = ", ".join(more)
        raise Forbidden(
            Text(
                f"Sie können nur Rollen geben oder verwalten, deren Rechte Sie selbst haben; diese nicht: {named}. Bitten Sie "
                "jemanden, der sie hat.",
                f"You can give or manage only roles whose rights you have yourself; not these: {named}. Ask somebody who has "
                "them.",
            ),
            slug="rights-of-others",
        )


def require_over(person: Person, other: Person) -> None:
    """Raise ``Forbidden`` unless a person may operate wherever another one is at home."""
    person.require(Right.OPERATE)
    if not person.reach(Right.OPERATE).includes(other.at_home):
        raise outside_scope(Text("Dieses Konto liegt", "This account lies"))


def _require_words(wish: InvitationWish) -> None:
    full_name, email = wish.full_name.strip(), wish.email.strip()
    if len(full_name) > _LONGEST_FULL_NAME or (full_name and not full_name.isprintable()):
        raise Invalid(
            Text(
                f"Ein Name hat höchstens {_LONGEST_FULL_NAME} Zeichen, alle druckbar.",
                f"A name has at most {_LONGEST_FULL_NAME} characters, all of them printable.",
            )
        )
    if email and (len(email) > _LONGEST_EMAIL or not is_address(email)):
        raise Invalid(
            Text(
                "Die Mailadresse ist keine. Prüfen Sie sie, oder lassen Sie sie leer und geben Sie den Link selbst weiter.",
                "The mail address is none. Check it, or leave it empty and hand the link on yourself.",
            )
        )


def _audit(actor: str, action: str, name: str, now: datetime, after: dict[str, object]) -> AuditEntry:
    return AuditEntry(at=now, actor=actor, action=action, target=f"account:{name}", after=after)
