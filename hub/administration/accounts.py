"""Accounts as administrators see and change them: within their area, never more than they hold themselves, all audited.

Nobody locks, resets or promotes themselves: a second person does. And of two administrators who lock each other at once, one
stays: the store looks for another one in the transaction that locks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hub.errors import Conflict, Forbidden, Text, needs_second_person, not_found, state_forbids
from hub.identity import Accounts, Person, Right, may_be_one_human
from hub.identity.accounts import public_account, require_account, require_local
from hub.identity.invitations import INVITATION_PATH, Invitations, InvitationWish, require_grantable, require_over
from hub.identity.persons import person_of
from hub.identity.second_factors import Factors
from hub.identity.sessions import AccountSessions, ListedSession
from hub.model import Role
from hub.notifications.mail import MailedLinks
from hub.store import Account, AuditEntry, Invitation, Page, Store

_PAGE = 500
#: Long enough that the owner of an account has noticed by then that somebody else logs in with it.
RESET_COUNTS = timedelta(days=14)


@dataclass(frozen=True, kw_only=True, slots=True)
class SentInvitation:
    """An invitation that was made. ``link`` is for the inviter to hand on; empty where the mail server took it."""

    invitation: Invitation
    link: str = field(repr=False)

    @property
    def mailed(self) -> bool:
        """Whether the link went out by mail."""
        return not self.link


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountView:
    """An account, what it has as second factor, and whether it lacks one that it must have."""

    account: Account
    person: Person
    factors: Factors
    lacks_factor: bool
    #: Through whose hands it went; it counts as one human with them until somebody vouches for it.
    handed_by: tuple[str, ...] = ()


class AccountService:
    """Lists, invites, locks and unlocks accounts for a person, and ends their sessions."""

    def __init__(
        self,
        *,
        store: Store,
        accounts: Accounts,
        invitations: Invitations,
        base_url: str,
        links: Callable[[], MailedLinks | None] = lambda: None,
        reset_counts: timedelta = RESET_COUNTS,
    ) -> None:
        """``links`` mails them; None where no mail server is set up.

        Whose second factors were reset counts as one human with who did so for ``reset_counts``.
        """
        self._store = store
        self._reset_counts = reset_counts
        self._records = store.accounts
        self._tenants = store.tenants
        self._accounts = accounts
        self._invitations = invitations
        self._sessions = AccountSessions(store)
        self._base_url = base_url
        self._links = links

    def show(self, name: str, person: Person, *, now: datetime) -> AccountView:
        """Return an account in the person's scope; raise ``NotFound`` for any other."""
        person.require(Right.OPERATE)
        return self.view(self._existing(name, person), now=now)

    def view(self, account: Account, *, now: datetime) -> AccountView:
        """Return what is shown of an account."""
        factors = self._accounts.factors
        return AccountView(
            account=account,
            person=person_of(account, self._tenants),
            factors=factors.of(account),
            lacks_factor=factors.missing(account),
            handed_by=account.handed_by(now),
        )

    def invite(self, wish: InvitationWish, person: Person, *, now: datetime) -> SentInvitation:
        """Invite somebody: the link is mailed, or else returned, once. Errors as ``Invitations.invite``."""
        invited = self._invitations.invite(wish, person, now=now)
        invitation = invited.invitation
        link = f"{self._base_url}{INVITATION_PATH}{invited.token}"
        links = self._links() if invitation.email else None
        if links is not None and links.invite(invitation.email, link, until=invitation.expires_at, now=now):
            link = ""
        return SentInvitation(invitation=invitation, link=link)

    def invitations(self, person: Person, *, offset: int = 0, limit: int = 100) -> Page[Invitation]:
        """Return one page of the open invitations in a person's scope."""
        person.require(Right.OPERATE)
        return self._invitations.open_ones(scope=person.reach(Right.OPERATE), offset=offset, limit=limit)

    def withdraw(self, name: str, person: Person, *, now: datetime) -> None:
        """Take back the invitation of a name; raise ``NotFound`` if there is none in the person's scope."""
        start = 0
        while (page := self.invitations(person, offset=start, limit=_PAGE)).end > start:
            start = page.end
            for each in page.items:
                if each.name == name:
                    self._invitations.withdraw(each, actor=person.name, now=now)
                    return
        raise not_found("invitation-not-found")

    def set_roles(self, name: str, roles: Sequence[Role], person: Person, *, now: datetime) -> Account:
        """Give an account other roles; with fewer of them its sessions end.

        Raises:
            Forbidden: own account (``second-person``), or roles, old or new, that the person does not hold.
            Invalid: no role, or an account whose roles come from the identity provider.
            Conflict: nobody else could administer its area then (``invalid-state-transition``).
        """
        account = self._others(name, person)
        require_local(account)
        chosen = tuple(sorted(set(roles)))
        require_account(account.name, account.tenant, chosen)
        changed = replace(account, roles=chosen)
        for each in (account, changed):
            require_grantable(person, person_of(each, self._tenants))
        if changed != account:
            less = not set(account.roles) <= set(chosen)
            self._change(account, changed, "account.roles", person, now, end_sessions=less)
        return changed

    def lock(self, name: str, person: Person, *, now: datetime) -> Account:
        """Lock an account and end its sessions; a second time changes nothing. Errors as :meth:`set_roles`."""
        account = self._others(name, person)
        if account.disabled_at is not None:
            return account
        changed = replace(account, disabled_at=now)
        self._change(account, changed, "account.disable", person, now)
        return changed

    def unlock(self, name: str, person: Person, *, now: datetime) -> Account:
        """Let a locked account in again, with the password and second factor that it had."""
        account = self._others(name, person)
        require_grantable(person, person_of(account, self._tenants))
        if account.disabled_at is None:
            return account
        changed = replace(account, disabled_at=None)
        self._change(account, changed, "account.enable", person, now)
        return changed

    def reset_factors(self, name: str, person: Person, *, now: datetime) -> Account:
        """Take all second factors of somebody else away, for whoever lost them; its sessions end.

        Raises:
            Forbidden: own account (``second-person``), or roles that the person does not hold.
            Invalid: an account whose factors are at the identity provider.
        """
        account = self._others(name, person)
        require_local(account)
        require_grantable(person, person_of(account, self._tenants))
        # Whoever did so before may have a factor or a password of the account, and goes on counting.
        before = account.reset_lately_by(now)
        by = dict.fromkeys((*before, person.name)) if person.is_named else before
        until = now + self._reset_counts if person.is_named else account.reset_until if before else None
        changed = replace(account, totp=None, reset_by=tuple(by), reset_until=until)
        audit = _audit(person, "account.factor-reset", account, changed, now)
        self._records.change(changed, before=account, audit=audit, drops_factors=True)
        return changed

    def vouch(self, name: str, person: Person, *, now: datetime) -> Account:
        """Say that an account belongs to a human of its own: from now on it counts beside whoever invited or reset it.

        Whoever runs the machine may always say so, for they make accounts anyway.

        Raises:
            Forbidden: own account, or the person may be the account's owner, or one of those through whose hands it went
                (``second-person``).
        """
        account = self._others(name, person)
        if not account.handed_by(now):
            return account
        if person.is_named and may_be_one_human(self._store, person.name, [account.name], now=now):
            raise _own_hands()
        changed = replace(account, vouched_by=person.name, reset_by=(), reset_until=None)
        audit = _audit(person, "account.vouch", account, changed, now)
        self._records.change(changed, before=account, audit=audit, end_sessions=False)
        return changed

    def sessions(self, name: str, person: Person, *, token: str = "", now: datetime) -> list[ListedSession]:
        """Return the live sessions of an account in the person's scope; ``token`` is the one that asks."""
        return self._sessions.of(self._seen(name, person).name, token=token, now=now)

    def end_session(self, name: str, session_id: str, person: Person, *, now: datetime) -> None:
        """End one session of an account; raise ``NotFound`` if it has none of that id."""
        self._sessions.end(self._seen(name, person).name, session_id, actor=person.name, now=now)

    def end_sessions(self, name: str, person: Person, *, but: str = "", now: datetime) -> int:
        """End all sessions of an account, ``but`` that of a token; return how many."""
        return self._sessions.end_all(self._seen(name, person).name, but=but, actor=person.name, now=now)

    def list(self, person: Person, *, search: str = "", offset: int = 0, limit: int = 100) -> Page[Account]:
        """Return one page of the accounts in a person's scope whose names have all words of ``search``."""
        person.require(Right.OPERATE)
        return self._accounts.list(scope=person.reach(Right.OPERATE), words=search.split(), offset=offset, limit=limit)

    def _seen(self, name: str, person: Person) -> Account:
        """Return one's own account, or one within which the person may operate."""
        account = self._existing(name, person)
        if account.name != person.name:
            require_over(person, person_of(account, self._tenants))
        return account

    def _existing(self, name: str, person: Person) -> Account:
        if name == person.name:
            account = self._records.account(name)
        else:
            person.require(Right.OPERATE)
            account = self._records.visible_account(name.lower(), scope=person.reach(Right.OPERATE))
        if account is None:
            raise not_found("account-not-found")
        return account

    def _others(self, name: str, person: Person) -> Account:
        """Return an account that the person may change, which their own is not."""
        person.require(Right.OPERATE)
        account = self._existing(name, person)
        if account.name == person.name:
            raise needs_second_person(
                Forbidden,
                Text(
                    "Das geht beim eigenen Konto nicht. Bitten Sie eine zweite Person mit der Rolle „Betrieb“.",
                    "This cannot be done to your own account. Ask a second person with the right 'operate'.",
                ),
            )
        require_over(person, person_of(account, self._tenants))
        return account

    def _change(
        self,
        account: Account,
        changed: Account,
        action: str,
        person: Person,
        now: datetime,
        *,
        end_sessions: bool = True,
    ) -> None:
        home = person_of(account, self._tenants).at_home

        def administers(each: Account) -> bool:
            over = person_of(each, self._tenants).reach(Right.OPERATE)
            return each.disabled_at is None and over.includes(home)

        loses = administers(account) and not administers(changed)

        def unless(others: Sequence[Account]) -> None:
            if loses and not any(map(administers, others)):
                raise _last()

        self._records.change(
            changed,
            before=account,
            audit=_audit(person, action, account, changed, now),
            end_sessions=end_sessions,
            unless=unless if person.is_named else None,
        )


def _own_hands() -> Forbidden:
    return needs_second_person(
        Forbidden,
        Text(
            "Dieses Konto kommt aus Ihrer Hand, oder beide aus derselben. Bestätigen muss es eine dritte Person mit "
            "der Rolle „Betrieb“, oder der Betrieb mit „hub accounts vouch“.",
            "This account came from your hands, or both from the same. A third person with the right 'operate' has to "
            "vouch for it, or whoever runs the machine, by 'hub accounts vouch'.",
        ),
    )


def _last() -> Conflict:
    return state_forbids(
        Text(
            "Danach könnte niemand mehr die Konten dieses Gebiets verwalten.",
            "Nobody could administer the accounts of this area after that.",
        ),
        Text(
            "Laden Sie erst jemanden mit der Rolle „Betrieb“ ein.",
            "Invite somebody with the right 'operate' first.",
        ),
    )


def _audit(person: Person, action: str, before: Account, after: Account, now: datetime) -> AuditEntry:
    return AuditEntry(
        at=now,
        actor=person.name,
        action=action,
        target=f"account:{before.name}",
        before=public_account(before),
        after=public_account(after),
    )
