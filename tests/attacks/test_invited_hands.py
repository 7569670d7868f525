"""Four eyes cannot be passed alone: accounts that came from one hand count as one human until a third person vouches."""

from __future__ import annotations

from datetime import timedelta

import pytest
from admin_pages import PASSWORD
from argon2 import PasswordHasher
from routing_book import NOW

from hub.administration.accounts import RESET_COUNTS, AccountService
from hub.errors import Forbidden
from hub.identity import Accounts, OneHuman, one_human
from hub.identity.access import require_approver
from hub.identity.invitations import INVITATION_PATH, Invitations, InvitationWish
from hub.identity.persons import Person, person_of
from hub.identity.second_factors import SecondFactors
from hub.model import EVERYTHING, Role
from hub.store import tables

#: Whose account came from where is the same question to every database.
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
BOTH = (Role.APPROVER, Role.OPERATOR)
#: Whoever runs the machine, as the command line acts without ``--as``.
MACHINE = Person(name="cli:root", full_name="root", roles=(Role.OPERATOR,), is_named=False)


class Box:
    """Seals nothing: no claim here is about secrets."""

    def seal_secret(self, secret: bytes, *, context: str) -> str:
        return f"{context}|{secret.hex()}"

    def open_secret(self, sealed: str, *, context: str) -> bytes:
        return bytes.fromhex(sealed.removeprefix(f"{context}|"))


class House:
    """A hub's people. ``anna`` was made on the machine and has all rights, as a first administrator has."""

    def __init__(self, store) -> None:
        self.store = store
        quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.accounts = Accounts(store=store, box=Box(), hasher=quick, factors=SecondFactors(store=store, box=Box()))
        self.invitations = Invitations(store=store, accounts=self.accounts)
        self.desk = AccountService(
            store=store, accounts=self.accounts, invitations=self.invitations, base_url="https://hub.example"
        )
        self.make("anna")

    def make(self, name: str) -> Person:
        return self.accounts.add(name, PASSWORD, roles=BOTH, actor="cli:root", now=NOW)

    def invite(self, name: str, by: Person | str, roles: tuple[Role, ...] = BOTH) -> Person:
        inviter = self.person(by) if isinstance(by, str) else by
        sent = self.desk.invite(InvitationWish(name=name, roles=roles), inviter, now=NOW)
        token = sent.link.partition(INVITATION_PATH)[2]
        return self.invitations.accept(token, PASSWORD, now=NOW)

    def person(self, name: str) -> Person:
        return person_of(self.store.accounts.account(name), self.store.tenants)

    def vouch(self, name: str, by: Person | str) -> None:
        self.desk.vouch(name, self.person(by) if isinstance(by, str) else by, now=NOW)

    def why(self, one: str, other: str, *, now=NOW) -> OneHuman | None:
        ways = {one_human(self.store, *pair, now=now) for pair in ((one, [other]), (other, [one]))}
        assert len(ways) == 1, "it does not matter who proposed"
        return ways.pop()


@pytest.fixture
def house(store):
    return House(store)


def test_whoever_invites_a_second_account_of_her_own_does_not_approve_with_it(house):
    mine = house.invite("anna.zwei", "anna")
    with pytest.raises(Forbidden) as refusal:
        require_approver(house.store, mine, "anna", now=NOW)
    assert refusal.value.slug == "second-person"
    assert "dritte Person" in refusal.value.detail.de
    assert "anna" not in refusal.value.detail.de, "whoever is refused learns of nobody"


def test_waiting_makes_no_second_human(house):
    house.invite("anna.zwei", "anna")
    assert house.why("anna", "anna.zwei", now=NOW + timedelta(days=3650)) is OneHuman.INVITED


def test_a_chain_of_invitations_is_one_hand(house):
    house.invite("zwei", "anna")
    house.invite("drei", "zwei")
    assert house.why("anna", "drei") is OneHuman.INVITED
    # Of two who were invited by one, each may be the other.
    house.invite("vier", "anna")
    assert house.why("drei", "vier") is OneHuman.INVITED


def test_nobody_vouches_for_what_came_from_the_own_hands(house):
    house.invite("zwei", "anna")
    house.invite("drei", "zwei")
    for name, by in (("zwei", "anna"), ("zwei", "drei"), ("drei", "anna"), ("drei", "zwei"), ("zwei", "zwei")):
        with pytest.raises(Forbidden) as refusal:
            house.vouch(name, by)
        assert refusal.value.slug == "second-person", (name, by)
    assert house.why("anna", "zwei") is OneHuman.INVITED


def test_a_third_person_ends_it_for_that_account_alone(house):
    house.make("carla")
    house.invite("zwei", "anna")
    house.invite("drei", "zwei")
    house.vouch("zwei", "carla")
    assert house.why("anna", "zwei") is None
    assert house.why("zwei", "drei") is OneHuman.INVITED
    assert house.why("anna", "drei") is None, "the chain ends at whom somebody vouched for"
    entry = house.store.audit.entries(scope=EVERYTHING, action="account.vouch").items[-1].entry
    assert (entry.actor, entry.target) == ("carla", "account:zwei")
    assert (entry.after["invited_by"], entry.after["vouched_by"]) == ("anna", "carla")


def test_whoever_only_sees_vouches_for_nobody(house):
    house.accounts.add("vera", PASSWORD, roles=(Role.VIEWER,), actor="cli:root", now=NOW)
    house.invite("zwei", "anna")
    with pytest.raises(Forbidden):
        house.vouch("zwei", "vera")
    assert house.why("anna", "zwei") is OneHuman.INVITED


def test_a_locked_or_lost_inviter_is_still_the_hand(house):
    carla = house.make("carla")
    house.invite("zwei", "anna")
    house.invite("drei", "anna")
    house.desk.lock("anna", carla, now=NOW)
    assert house.why("zwei", "drei") is OneHuman.INVITED
    gone = tables.accounts.delete().where(tables.accounts.c.name == "anna")
    house.store.database.write(
        lambda connection: (
            connection.execute(tables.sessions.delete()),
            connection.execute(gone).rowcount,
        )
    )
    assert house.why("zwei", "drei") is OneHuman.INVITED


def test_another_spelling_is_no_other_account(house):
    anna = house.person("anna")
    zwei = house.invite("ANNA.Zwei", anna)
    assert zwei.name == "anna.zwei"
    assert house.why("anna", zwei.name) is OneHuman.INVITED


def test_two_hands_that_go_round_come_to_an_end(house):
    house.invite("zwei", "anna")
    row = tables.accounts.update().where(tables.accounts.c.name == "anna").values(invited_by="zwei")
    house.store.database.write(lambda connection: connection.execute(row).rowcount)
    assert house.why("anna", "zwei") is OneHuman.INVITED


def test_a_young_hub_of_two_goes_to_work_by_the_word_of_whoever_runs_the_machine(house):
    """Where there is no third person, the machine's user says so; accounts that were made there need no word at all."""
    house.invite("zwei", "anna")
    house.vouch("zwei", MACHINE)
    assert house.why("anna", "zwei") is None
    house.make("drei")
    house.invite("vier", MACHINE)
    assert [house.why("anna", name) for name in ("drei", "vier")] == [None, None]
    assert house.why("drei", "vier") is None


def test_whose_second_factor_was_reset_counts_as_who_did_so_for_a_while(house):
    house.make("carla")
    house.make("bruno")
    house.desk.reset_factors("bruno", house.person("anna"), now=NOW)
    assert house.why("anna", "bruno") is OneHuman.INVITED
    assert house.why("carla", "bruno") is None
    assert house.why("anna", "bruno", now=NOW + RESET_COUNTS - timedelta(seconds=1)) is OneHuman.INVITED
    assert house.why("anna", "bruno", now=NOW + RESET_COUNTS) is None
    house.vouch("bruno", "carla")
    assert house.why("anna", "bruno") is None, "somebody vouched before the time was over"


def test_attack_a_second_reset_does_not_make_the_first_hand_forgotten(house):
    """Of two who reset one account after each other, or whoever runs the machine after one, each counts."""
    for name in ("carla", "bruno"):
        house.make(name)
    house.desk.reset_factors("bruno", house.person("anna"), now=NOW)
    house.desk.reset_factors("bruno", house.person("carla"), now=NOW + timedelta(hours=1))
    later = NOW + timedelta(hours=2)
    assert [house.why(name, "bruno", now=later) for name in ("anna", "carla")] == [OneHuman.INVITED] * 2
    house.desk.reset_factors("bruno", MACHINE, now=later)
    assert [house.why(name, "bruno", now=later) for name in ("anna", "carla")] == [OneHuman.INVITED] * 2
    after = NOW + RESET_COUNTS + timedelta(hours=1)
    assert [house.why(name, "bruno", now=after) for name in ("anna", "carla")] == [None, None]
    house.desk.reset_factors("bruno", house.person("carla"), now=after)
    assert house.why("anna", "bruno", now=after) is None, "what was over does not come back"


def test_how_long_a_reset_counts_is_the_operators_to_say(house, store):
    desk = AccountService(
        store=store,
        accounts=house.accounts,
        invitations=house.invitations,
        base_url="https://hub.example",
        reset_counts=timedelta(days=90),
    )
    house.make("bruno")
    desk.reset_factors("bruno", house.person("anna"), now=NOW)
    assert house.why("anna", "bruno", now=NOW + timedelta(days=89)) is OneHuman.INVITED
    assert house.why("anna", "bruno", now=NOW + timedelta(days=90)) is None


def test_a_reset_after_a_word_counts_again(house):
    house.make("carla")
    house.invite("zwei", "anna")
    house.vouch("zwei", "carla")
    house.desk.reset_factors("zwei", house.person("anna"), now=NOW)
    assert house.why("anna", "zwei") is OneHuman.INVITED
    # And through an account of one's own it is the same hand.
    house.make("bruno")
    house.invite("drei", "anna")
    house.desk.reset_factors("bruno", house.person("drei"), now=NOW)
    assert house.why("anna", "bruno") is OneHuman.INVITED
