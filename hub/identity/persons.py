"""Persons who administer the hub: what each is trusted with, where, and whether two accounts may be one human.

A right is a role at a place, and a place is a tenant with all below it. An account has its roles at home: at its tenant, or in
the area that it is bound to, or everywhere. Roles at other tenants are granted to it besides. Both are asked in one way: which
scope a right gives (:meth:`Person.reach`), and who acts by it within that (:meth:`Person.acting`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from hub.errors import Forbidden, Text
from hub.model import EVERYTHING, Client, Role, Scope
from hub.store import Account, Store, Tenants, all_items


class Right(StrEnum):
    """What a page or command needs."""

    SEE = "see"
    EDIT = "edit"
    APPROVE = "approve"
    OPERATE = "operate"


_RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.SEE}),
    Role.EDITOR: frozenset({Right.SEE, Right.EDIT}),
    Role.APPROVER: frozenset({Right.SEE, Right.APPROVE}),
    Role.OPERATOR: frozenset({Right.SEE, Right.OPERATE}),
}


#: The role that gives each right, as German pages call it.
_GERMAN: Mapping[Right, str] = {
    Right.SEE: "Einsicht",
    Right.EDIT: "Bearbeitung",
    Right.APPROVE: "Freigabe",
    Right.OPERATE: "Betrieb",
}


def rights_of_role(role: Role) -> frozenset[Right]:
    """Return the rights that a role gives."""
    return _RIGHTS[role]


class Belonging(Protocol):
    """What belongs to a tenant and names an area: a destination, a client, an account."""

    @property
    def tenant_id(self) -> str | None:
        """Whose it is."""

    @property
    def tenant(self) -> str:
        """The beginning of an ARS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldRole:
    """A role and where it counts."""

    role: Role
    scope: Scope
    tenant_id: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody who is logged in.

    ``roles`` count within ``home``; where that is None, within the area that ``tenant`` (an ARS prefix; empty: everywhere)
    says. ``granted`` are roles elsewhere.
    ``is_local`` says that the hub knows the person by a password; else an OpenID Connect provider vouches for them.
    ``is_named`` is False for the machine's user on the command line, who may be anybody that works there.
    """

    name: str
    full_name: str
    roles: tuple[Role, ...]
    tenant: str = ""
    is_local: bool = True
    is_named: bool = True
    tenant_id: str | None = None
    home: Scope | None = None
    granted: tuple[HeldRole, ...] = ()

    @property
    def held(self) -> tuple[HeldRole, ...]:
        """All roles, each with where it counts."""
        return (
            *(HeldRole(role=role, scope=self.at_home, tenant_id=self.tenant_id) for role in self.roles),
            *self.granted,
        )

    @property
    def at_home(self) -> Scope:
        """Where the roles of the account itself count."""
        return Scope.of_area(self.tenant) if self.home is None else self.home

    @property
    def scope(self) -> Scope:
        """What the person sees."""
        return self.reach(Right.SEE)

    @property
    def is_bound(self) -> bool:
        """Whether the person sees less than everything."""
        return not self.scope.is_everything

    def reach(self, right: Right) -> Scope:
        """Return where the person has a right; nowhere is :data:`hub.model.NOTHING`."""
        return Scope.union(each.scope for each in self.held if right in _RIGHTS[each.role])

    def may(self, right: Right, at: Belonging | None = None) -> bool:
        """Tell whether the person has a right, where ``at`` is named: there, else anywhere."""
        return any(
            right in _RIGHTS[each.role] and (at is None or each.scope.holds(at.tenant_id, at.tenant))
            for each in self.held
        )

    def may_everywhere(self, right: Right) -> bool:
        """Tell whether the person has a right without a bound."""
        return self.reach(right).is_everything

    def require(self, right: Right, at: Belonging | None = None) -> None:
        """Raise ``Forbidden`` unless the person has the right, there where ``at`` is named."""
        if not self.may(right, at):
            raise Forbidden(
                Text(
                    f"Ihr Konto darf das nicht. Nötig ist die Rolle „{_GERMAN[right]}“; fragen Sie die Administration.",
                    f"Your account may not do this. It takes the right '{right}'; ask the hub's administrators.",
                )
            )

    def holds(self, role: Role, within: Scope | None = None) -> bool:
        """Tell whether the person has all rights that a role gives: within all of a scope, or where none is named anywhere."""
        if within is None:
            return all(map(self.may, _RIGHTS[role]))
        return all(self.reach(right).includes(within) for right in _RIGHTS[role])

    def given_by(self, right: Right) -> tuple[HeldRole, ...]:
        """Return which of the person's roles give a right, and where."""
        return tuple(each for each in self.held if right in _RIGHTS[each.role])

    def acting(self, right: Right) -> Person:
        """Return the person as far as they have a right: what they see then is where they have it.

        Raises:
            Forbidden: nowhere.
        """
        self.require(right)
        if not self.granted:
            return self  # All roles count at one place.
        return replace(self, granted=tuple(each for each in self.held if right in _RIGHTS[each.role]), roles=())

    def covers(self, ars: str) -> bool:
        """Tell whether an area lies within the regions that the person sees."""
        return self.scope.covers(ars)


#: What those can do whose accounts came from one hand.
HOW_TO_VOUCH = Text(
    "Eine dritte Person mit der Rolle „Betrieb“ muss das Konto erst bestätigen (Verwaltung, „Konten“), oder der Betrieb mit "
    "„hub accounts vouch“.",
    "A third person with the right 'operate' has to vouch for the account first (admin pages, 'Accounts'), or whoever runs "
    "the machine, by 'hub accounts vouch'.",
)


class OneHuman(StrEnum):
    """Why two accounts may belong to one human."""

    #: It is the same account.
    SAME = "same"
    #: A provider vouches for one, and the other has a password alone: nobody can tell these apart.
    KINDS = "kinds"
    #: One invited the other or reset its second factor, or one account did so to both, and nobody else vouched for them.
    INVITED = "invited"


def one_human(store: Store, name: str, others: Iterable[str], *, now: datetime) -> OneHuman | None:
    """Return why the person of account ``name`` may be one of ``others``; None: they are two humans."""
    records = store.accounts

    def is_local(each: str) -> bool:
        account = records.account(each)
        return account is None or account.is_local

    others = list(others)
    if name in others:
        return OneHuman.SAME
    mine = is_local(name)
    if any(is_local(each) != mine for each in others):
        return OneHuman.KINDS
    behind = _behind(store, name, now) if others else frozenset()
    return OneHuman.INVITED if any(behind & _behind(store, each, now) for each in others) else None


def may_be_one_human(store: Store, name: str, others: Iterable[str], *, now: datetime) -> bool:
    """Tell whether the person of account ``name`` may be one of ``others``, so that both count as one."""
    return one_human(store, name, others, now=now) is not None


def _behind(store: Store, name: str, now: datetime) -> frozenset[str]:
    """Return an account and all through whose hands it went, one after the other; locked ones and lost ones count."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        each = waiting.pop()
        account = None if each in found else store.accounts.account(each)
        found.add(each)
        waiting += () if account is None else account.handed_by(now)
    return frozenset(found)


def is_account(store: Store, name: str) -> bool:
    """Tell whether somebody who acted was a person with an account, not a client or the machine's user."""
    return store.accounts.account(name) is not None


def anybody_may(store: Store, right: Right) -> bool:
    """Tell whether there is a person with a right: an account that has it and is not disabled."""
    return any(True for _ in _all_who_may(store, right))


def people_who_may(store: Store, right: Right, *, within: Scope = EVERYTHING) -> list[str]:
    """Return the full names of those who have a right everywhere within a scope."""
    return [
        person.full_name or person.name for person in _all_who_may(store, right) if person.reach(right).includes(within)
    ]


def _all_who_may(store: Store, right: Right) -> Iterator[Person]:
    records = store.accounts
    for each in all_items(lambda start: records.accounts(scope=EVERYTHING, offset=start, limit=500)):
        if each.disabled_at is None:
            person = person_of(each, store.tenants)
            if person.may(right):
                yield person


def person_of(account: Account, tenants: Tenants) -> Person:
    """Return who an account belongs to, with what it was granted."""
    home = None if account.tenant_id is None else tenants.scope_of([account.tenant_id])
    granted = tuple(
        HeldRole(role=each.role, scope=tenants.scope_of([each.tenant_id]), tenant_id=each.tenant_id)
        for each in tenants.grants_of(account.name)
    )
    return Person(
        name=account.name,
        full_name=account.full_name,
        roles=account.roles,
        tenant=account.tenant,
        is_local=account.is_local,
        tenant_id=account.tenant_id,
        home=home,
        granted=granted,
    )


def scope_of_client(client: Client | None, tenants: Tenants) -> Scope:
    """Return what a client's own administration sees: its tenant's subtree, or the area that it is bound to."""
    if client is None or client.tenant_id is None:
        return Scope.of_area("" if client is None else client.tenant)
    return tenants.scope_of([client.tenant_id])
