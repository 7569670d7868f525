"""Persons who administer the hub: what each is trusted with, how far, and whether two accounts may be one human."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hub.errors import Forbidden, Text
from hub.model.parties import Role
from hub.store import Store, all_items
from hub.store.accounts import Account, AccountRecords


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody who is logged in. ``tenant`` is the ARS prefix that bounds what the person sees (empty: everything).

    ``is_local`` says that the hub knows the person by a password; else an OpenID Connect provider vouches for them.
    ``is_named`` is False for the machine's user on the command line, who may be anybody that works there.
    """

    name: str
    full_name: str
    roles: tuple[Role, ...]
    tenant: str = ""
    is_local: bool = True
    is_named: bool = True

    def may(self, right: Right) -> bool:
        """Tell whether one of the person's roles gives the right."""
        return any(right in _RIGHTS[role] for role in self.roles)

    def insist(self, right: Right) -> None:
        """Raise ``Forbidden`` unless the person has the right."""
        if not self.may(right):
            raise Forbidden(
                Text(
                    f"Ihr Konto darf das nicht. Nötig ist das Recht „{right}“; fragen Sie die Administration des Hubs.",
                    f"Your account may not do this. It takes the right '{right}'; ask the hub's administrators.",
                )
            )

    def covers(self, ars: str) -> bool:
        """Tell whether an area lies within the person's scope."""
        return ars.startswith(self.tenant)


def may_be_one_human(store: Store, name: str, others: Iterable[str]) -> bool:
    """Tell whether the person of account ``name`` may be one of ``others``, so that both count as one.

    They are one if it is the same account. And nobody can tell two accounts apart of which a provider vouches for one, and
    the other has a password alone: these may belong to one human, too.
    """
    records = AccountRecords(store)

    def is_local(each: str) -> bool:
        account = records.account(each)
        return account is None or account.is_local

    mine = is_local(name)
    return any(each == name or is_local(each) != mine for each in others)


def is_account(store: Store, name: str) -> bool:
    """Tell whether somebody who acted was a person with an account, not a client or the machine's user."""
    return AccountRecords(store).account(name) is not None


def anybody_may(store: Store, right: Right) -> bool:
    """Tell whether there is a person with a right: an account that has it and is not disabled."""
    return any(True for _ in _all_who_may(store, right))


def people_who_may(store: Store, right: Right, *, within: str = "") -> list[str]:
    """Return the full names of those who have a right and whose scope holds all of ``within`` (an ARS prefix)."""
    return [person.full_name or person.name for person in _all_who_may(store, right) if person.covers(within)]


def _all_who_may(store: Store, right: Right) -> Iterator[Person]:
    records = AccountRecords(store)
    for each in all_items(lambda start: records.accounts(offset=start, limit=500)):
        person = person_of(each)
        if each.disabled_at is None and person.may(right):
            yield person


def person_of(account: Account) -> Person:
    """Return who an account belongs to."""
    return Person(
        name=account.name,
        full_name=account.full_name,
        roles=account.roles,
        tenant=account.tenant,
        is_local=account.is_local,
    )


__all__ = [
    "Person",
    "Right",
    "Role",
    "anybody_may",
    "is_account",
    "may_be_one_human",
    "people_who_may",
    "person_of",
]
