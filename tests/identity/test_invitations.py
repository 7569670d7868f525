"""Who comes in by an invitation: the one it is for, once, and with no more than its inviter has."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import pytest
from admin_pages import PASSWORD
from argon2 import PasswordHasher
from mail_server import MailServer
from routing_book import NOW

from hub.administration.accounts import AccountService
from hub.errors import Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated
from hub.identity import Person
from hub.identity.accounts import Accounts
from hub.identity.invitations import INVITATION_LIFE, INVITATION_PATH, Invitations, InvitationWish
from hub.identity.persons import person_of
from hub.identity.sessions import device_of
from hub.model import EVERYTHING, Role
from hub.notifications import mail as notices
from hub.notifications.mail import MailedLinks

BASE = "https://hub.example"
WISH = InvitationWish(name="Ida", full_name="Ida Muster", roles=(Role.OPERATOR,))
HOUR = timedelta(hours=1)


class Box:
    """Seals nothing: what these claims are about needs no secret."""

    def seal_secret(self, secret: bytes, *, context: str) -> str:
        return f"{context}|{secret.hex()}"

    def open_secret(self, sealed: str, *, context: str) -> bytes:
        return bytes.fromhex(sealed.removeprefix(f"{context}|"))


class House:
    """Accounts, invitations, and the people who administer them."""

    def __init__(self, store) -> None:
        quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        self.store = store
        self.accounts = Accounts(store=store, box=Box(), hasher=quick)
        self.invitations = Invitations(store=store, accounts=self.accounts)
        self.desk = AccountService(store=store, accounts=self.accounts, invitations=self.invitations, base_url=BASE)
        self.otto = self.add("otto", Role.OPERATOR)

    def add(self, name: str, *roles: Role, tenant: str = "") -> Person:
        return self.accounts.add(name, PASSWORD, roles=roles, tenant=tenant, actor="cli:root", now=NOW)

    def invite(self, wish: InvitationWish = WISH, person: Person | None = None) -> str:
        """Return the link's secret."""
        sent = self.desk.invite(wish, person or self.otto, now=NOW)
        assert not sent.mailed
        return sent.link.removeprefix(BASE + INVITATION_PATH)

    def audited(self) -> list[tuple[str, str]]:
        return [
            (each.entry.action, each.entry.actor)
            for each in self.store.audit.entries(scope=EVERYTHING, limit=500).items
        ]


@pytest.fixture
def house(store) -> House:
    return House(store)


def test_whoever_is_invited_chooses_the_password_and_has_the_roles(house):
    token = house.invite()
    person = house.invitations.accept(token, PASSWORD, now=NOW + HOUR)
    assert (person.name, person.full_name, person.roles) == ("ida", "Ida Muster", (Role.OPERATOR,))
    house.accounts.log_in("ida", PASSWORD, now=NOW + HOUR)
    assert house.audited()[-3:] == [("account.invite", "otto"), ("account.add", "ida"), ("session.begin", "ida")]


def test_a_link_is_good_once(house):
    token = house.invite()
    house.invitations.accept(token, PASSWORD, now=NOW)
    house.accounts.disable("ida", actor="cli:root", now=NOW)
    for _ in range(2):
        with pytest.raises(NotFound):
            house.invitations.accept(token, "ein anderes passwort", now=NOW)
    with pytest.raises(Unauthenticated):
        house.accounts.log_in("ida", "ein anderes passwort", now=NOW)


def test_of_two_who_take_a_link_at_once_one_gets_the_account(house):
    """Both have looked before either writes; the one that comes second finds nothing."""
    token = house.invite()
    found = house.invitations.look(token, now=NOW)
    house.invitations.accept(token, PASSWORD, now=NOW)
    with pytest.raises(NotFound):
        house.accounts.add(
            "ida", "ein anderes passwort", roles=found.roles, actor="ida", now=NOW, invitation=found.token_hash
        )
    house.accounts.log_in("ida", PASSWORD, now=NOW)


def test_looking_at_a_link_does_not_use_it_up(house):
    token = house.invite()
    assert [house.invitations.look(token, now=NOW).name for _ in range(3)] == ["ida"] * 3
    house.invitations.accept(token, PASSWORD, now=NOW)


def test_a_password_of_no_use_leaves_the_link_good(house):
    token = house.invite()
    with pytest.raises(Invalid):
        house.invitations.accept(token, "ida ist da, ja da", now=NOW)
    house.invitations.accept(token, PASSWORD, now=NOW)


def test_expired_foreign_and_withdrawn_links_sound_the_same(house):
    token = house.invite()
    said = set()
    for tried, at in ((token, NOW + INVITATION_LIFE), ("x" * 43, NOW), (token[:-1], NOW)):
        with pytest.raises(NotFound) as refused:
            house.invitations.accept(tried, PASSWORD, now=at)
        said.add(refused.value.detail)
    house.desk.withdraw("ida", house.otto, now=NOW)
    with pytest.raises(NotFound) as refused:
        house.invitations.look(token, now=NOW)
    assert said == {refused.value.detail}
    assert "ida" not in refused.value.detail.de.lower().replace("einladung", "")


def test_guessing_links_is_turned_away(house):
    token = house.invite()
    for number in range(30):
        with pytest.raises(NotFound):
            house.invitations.look(f"{number}", address="192.0.2.9", now=NOW)
    with pytest.raises(TooMany):
        house.invitations.look(token, address="192.0.2.9", now=NOW)
    house.invitations.look(token, address="192.0.2.10", now=NOW)


def test_the_store_knows_the_hash_of_a_link_and_not_the_link(house):
    token = house.invite()
    (kept,) = house.desk.invitations(house.otto).items
    assert token not in repr(kept)
    assert token not in kept.token_hash
    assert house.store.credentials.invitation(token) is None


@pytest.mark.parametrize(
    ("roles", "tenant", "inviter"),
    [
        ((Role.APPROVER,), "", "otto"),
        ((Role.OPERATOR, Role.EDITOR), "", "otto"),
        ((Role.VIEWER,), "06414", "doris"),
        ((Role.VIEWER,), "", "anton"),
    ],
)
def test_nobody_invites_to_more_than_they_have(house, roles, tenant, inviter):
    people = {
        "otto": house.otto,
        "doris": house.add("doris", *Role, tenant="06439"),
        "anton": house.add("anton", Role.APPROVER),
    }
    with pytest.raises(Forbidden):
        house.invite(InvitationWish(name="ida", roles=roles, tenant=tenant), people[inviter])
    assert house.desk.invitations(house.otto).total == 0


def test_whoever_is_bound_to_an_area_invites_into_it(house):
    doris = house.add("doris", *Role, tenant="06439")
    token = house.invite(replace(WISH, roles=(Role.VIEWER,)), doris)
    assert [each.tenant for each in house.desk.invitations(doris).items] == ["06439"]
    assert house.invitations.accept(token, PASSWORD, now=NOW).tenant == "06439"
    assert house.desk.list(doris, search="ida").total == 1


def test_a_link_of_somebody_who_was_locked_meanwhile_is_worth_nothing(house):
    token = house.invite()
    olga = house.add("olga", Role.OPERATOR)
    house.desk.lock("otto", olga, now=NOW)
    with pytest.raises(NotFound):
        house.invitations.accept(token, PASSWORD, now=NOW)
    house.desk.unlock("otto", olga, now=NOW)
    house.desk.set_roles("otto", [Role.VIEWER], olga, now=NOW)
    with pytest.raises(NotFound):
        house.invitations.accept(token, PASSWORD, now=NOW)


def test_a_name_is_kept_for_whom_it_was_invited_until_that_expires(house):
    first = house.invite()
    with pytest.raises(Conflict):
        house.invite(replace(WISH, full_name="Igor"))
    later = NOW + INVITATION_LIFE
    house.desk.invite(WISH, house.otto, now=later)
    with pytest.raises(NotFound):
        house.invitations.accept(first, PASSWORD, now=later)
    with pytest.raises(Conflict):
        house.invite(replace(WISH, name="otto"))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a b"},
        {"roles": ()},
        {"email": "kein at"},
        {"email": "a@b.example\r\nBcc: c@d.example"},
        {"full_name": "x\ny"},
        {"full_name": "x" * 201},
        {"tenant": "06%"},
    ],
)
def test_what_is_no_account_is_not_invited(house, changes):
    with pytest.raises(Invalid):
        house.invite(replace(WISH, **changes))


# Lock, roles, sessions


def test_nobody_locks_promotes_or_resets_themselves(house):
    berta = house.add("berta", *Role)
    for change in (
        lambda: house.desk.lock("berta", berta, now=NOW),
        lambda: house.desk.unlock("berta", berta, now=NOW),
        lambda: house.desk.set_roles("berta", [Role.OPERATOR], berta, now=NOW),
        lambda: house.desk.reset_factors("berta", berta, now=NOW),
    ):
        with pytest.raises(Forbidden) as refused:
            change()
        assert refused.value.slug == "second-person"


def test_of_two_administrators_who_lock_each_other_one_stays(house):
    """Each acts on what was true when they logged in; the second finds that nobody would be left."""
    olga = house.add("olga", Role.OPERATOR)
    house.desk.lock("olga", house.otto, now=NOW)
    with pytest.raises(Conflict):
        house.desk.lock("otto", olga, now=NOW)
    with pytest.raises(Conflict):
        house.desk.set_roles("otto", [Role.VIEWER], olga, now=NOW)
    assert house.store.accounts.account("otto").disabled_at is None


def test_an_administrator_of_one_area_is_no_successor_of_the_last_one_of_all(house):
    house.add("doris", Role.OPERATOR, tenant="06439")
    gone = house.add("gone", Role.OPERATOR)
    house.accounts.disable("gone", actor="cli:root", now=NOW)
    with pytest.raises(Conflict):
        house.desk.lock("otto", gone, now=NOW)


def test_a_lower_role_manages_no_higher_one_but_may_lock_it(house):
    house.add("berta", *Role)
    for change in (
        lambda: house.desk.set_roles("berta", [Role.OPERATOR], house.otto, now=NOW),
        lambda: house.desk.reset_factors("berta", house.otto, now=NOW),
    ):
        with pytest.raises(Forbidden) as refused:
            change()
        assert refused.value.slug == "rights-of-others"
    house.desk.lock("berta", house.otto, now=NOW)
    with pytest.raises(Forbidden):
        house.desk.unlock("berta", house.otto, now=NOW)


def test_accounts_of_another_area_do_not_exist(house):
    doris = house.add("doris", *Role, tenant="06439")
    house.add("walter", Role.VIEWER, tenant="06414")
    for change in (house.desk.lock, house.desk.unlock, house.desk.reset_factors, house.desk.end_sessions):
        with pytest.raises(NotFound):
            change("walter", doris, now=NOW)
    assert [each.name for each in house.desk.list(doris).items] == ["doris"]
    assert [each.name for each in house.desk.list(house.otto, search="WALT").items] == ["walter"]


def test_sessions_are_listed_and_end_at_once_on_every_node(house):
    """A second ``Accounts`` on the same store is what another node is."""
    elsewhere = Accounts(store=house.store, box=Box(), hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    ida = house.add("ida", Role.VIEWER)
    one, _ = house.accounts.begin_session(ida, by="password", address="192.0.2.7", device="Firefox, Linux", now=NOW)
    two, _ = house.accounts.begin_session(ida, by="password", now=NOW + HOUR / 4)
    listed = house.desk.sessions("ida", ida, token=one, now=NOW + HOUR / 4)
    assert [(each.address, each.device, each.is_this) for each in listed] == [
        ("", "", False),
        ("192.0.2.7", "Firefox, Linux", True),
    ]
    assert one not in repr(listed)
    house.desk.end_session("ida", listed[1].session_id, house.otto, now=NOW)
    assert elsewhere.session(one, now=NOW + HOUR / 4) is None
    assert elsewhere.session(two, now=NOW + HOUR / 4) is not None
    with pytest.raises(NotFound):
        house.desk.end_session("ida", listed[1].session_id, house.otto, now=NOW)
    house.desk.lock("ida", house.otto, now=NOW)
    house.desk.unlock("ida", house.otto, now=NOW)
    assert elsewhere.session(two, now=NOW + HOUR / 4) is None


def test_nobody_ends_anothers_session_without_the_right(house):
    ida, anton = house.add("ida", Role.VIEWER), house.add("anton", Role.APPROVER)
    token, _ = house.accounts.begin_session(ida, by="password", now=NOW)
    (session,) = house.desk.sessions("ida", ida, now=NOW)
    for wrong in (
        lambda: house.desk.end_session("ida", session.session_id, anton, now=NOW),
        lambda: house.desk.end_sessions("ida", anton, now=NOW),
        lambda: house.desk.sessions("ida", anton, now=NOW),
    ):
        with pytest.raises(Forbidden):
            wrong()
    # An id is no key to other accounts' sessions.
    with pytest.raises(NotFound):
        house.desk.end_session("anton", session.session_id, anton, now=NOW)
    assert house.accounts.session(token, now=NOW) is not None


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/140.0 Safari/537.36 Edg/140.0", "Edge, Windows"),
        ("python-requests/2.34.0", "python-requests"),
        ("<script>alert(1)</script>", ""),
        ("x" * 5_000, "x" * 60),
        ("", ""),
    ],
)
def test_a_device_is_named_in_few_words(said, shown):
    assert device_of(said) == shown


def test_what_a_person_may_is_what_the_roles_give(house):
    person = person_of(house.store.accounts.account("otto"), house.store.tenants)
    assert person.holds(Role.VIEWER)
    assert not person.holds(Role.EDITOR)


# The link by mail


def test_a_link_goes_out_by_mail_and_is_shown_where_it_cannot(store):
    def links(port: int) -> MailedLinks:
        server = notices.MailServer(host="127.0.0.1", port=port, sender="hub@hub.example", tls=None, login=None)
        return MailedLinks(server=server, base_url=BASE)

    house = House(store)
    with MailServer(None) as post_office:
        house.desk = AccountService(
            store=store,
            accounts=house.accounts,
            invitations=house.invitations,
            base_url=BASE,
            links=lambda: links(post_office.port),
        )
        sent = house.desk.invite(replace(WISH, email="ida@amt.example"), house.otto, now=NOW)
        assert (sent.mailed, sent.link) == (True, "")
        (mail,) = post_office.read()
    assert mail["To"] == "ida@amt.example"
    (token,) = set(re.findall(rf"{BASE}{INVITATION_PATH}(\S+)", mail.get_content()))
    house.invitations.accept(token, PASSWORD, now=NOW)
    # The server is gone: the inviter gets the link and hands it on.
    kept = house.desk.invite(replace(WISH, name="ivo", email="ivo@amt.example"), house.otto, now=NOW)
    assert kept.link.startswith(BASE + INVITATION_PATH)
