"""Who may log in, for how long, and what a wrong attempt learns: nothing."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pyotp
import pytest
from argon2 import PasswordHasher
from routing_book import NOW

from hub.errors import Conflict, Forbidden, Invalid, NotFound, TooMany, Unauthenticated
from hub.identity.accounts import IDLE, LONGEST_SESSION, Accounts, same_csrf
from hub.identity.persons import Person, Right, may_be_one_human
from hub.model import EVERYTHING, Role
from hub.store import AuditEntry, tables
from hub.store.tables import accounts as account_table
from hub.store.tables import sessions as session_table

PASSWORD = "korrekt pferd batterie"
MINUTE = timedelta(minutes=1)


class Box:
    """Seals by turning bytes round; what matters here is that the account's name is bound in."""

    def seal_secret(self, secret: bytes, *, context: str) -> str:
        return context + "|" + base64.b64encode(secret[::-1]).decode()

    def open_secret(self, sealed: str, *, context: str) -> bytes:
        bound, _, text = sealed.partition("|")
        assert bound == context
        return base64.b64decode(text)[::-1]


@pytest.fixture
def accounts(store) -> Accounts:
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    made = Accounts(store=store, box=Box(), hasher=quick)
    made.add("Erika", PASSWORD, roles=(Role.EDITOR,), tenant="06439", actor="cli:root", now=NOW)
    return made


def _failing(accounts, name="erika", password="falsch geraten!!", times=1, now=NOW, **more):
    for _ in range(times):
        with pytest.raises(Unauthenticated):
            accounts.log_in(name, password, now=now, **more)


@pytest.mark.parametrize(
    ("name", "password", "roles", "tenant"),
    [
        ("a b", PASSWORD, (Role.VIEWER,), ""),
        ("hub", PASSWORD, (Role.VIEWER,), ""),
        ("anton", "zu kurz", (Role.VIEWER,), ""),
        ("anton", "anton ist mein passwort", (Role.VIEWER,), ""),
        ("anton", "x" * 257, (Role.VIEWER,), ""),
        ("anton", PASSWORD, (), ""),
        ("anton", PASSWORD, (Role.VIEWER,), "06%"),
    ],
)
def test_accounts_that_break_a_rule_are_refused(accounts, name, password, roles, tenant):
    with pytest.raises(Invalid):
        accounts.add(name, password, roles=roles, tenant=tenant, actor="cli", now=NOW)


def test_a_name_is_given_once_whatever_its_case(accounts):
    with pytest.raises(Conflict):
        accounts.add("ERIKA", PASSWORD, roles=(Role.VIEWER,), actor="cli", now=NOW)


def test_wrong_name_wrong_password_and_disabled_sound_the_same(accounts):
    answers = []
    for name, password in (("niemand", PASSWORD), ("erika", "falsch geraten!!")):
        with pytest.raises(Unauthenticated) as refused:
            accounts.log_in(name, password, now=NOW)
        answers.append(refused.value.detail)
    accounts.disable("erika", actor="cli", now=NOW)
    with pytest.raises(Unauthenticated) as refused:
        accounts.log_in("erika", PASSWORD, now=NOW)
    assert {*answers, refused.value.detail} == {refused.value.detail}


def test_five_failures_lock_a_name_for_a_quarter_of_an_hour(accounts):
    _failing(accounts, times=5)
    with pytest.raises(TooMany):
        accounts.log_in("erika", PASSWORD, now=NOW + MINUTE)
    accounts.log_in("erika", PASSWORD, now=NOW + timedelta(minutes=16))


def test_many_failures_lock_an_address_whatever_the_names(accounts):
    for number in range(30):
        _failing(accounts, name=f"n{number}", address="192.0.2.1")
    with pytest.raises(TooMany):
        accounts.log_in("erika", PASSWORD, address="192.0.2.1", now=NOW)
    accounts.log_in("erika", PASSWORD, address="192.0.2.2", now=NOW)


def test_a_second_factor_is_needed_once_it_is_set_and_each_code_is_good_once(accounts):
    address = accounts.set_totp("erika", actor="cli", now=NOW)
    code = pyotp.parse_uri(address).at(NOW)
    _failing(accounts, password=PASSWORD)
    _failing(accounts, password=PASSWORD, code="000000" if code != "000000" else "111111")
    accounts.log_in("erika", PASSWORD, code, now=NOW)
    _failing(accounts, password=PASSWORD, code=code, now=NOW + timedelta(seconds=5))
    later = NOW + timedelta(seconds=45)
    accounts.log_in("erika", PASSWORD, pyotp.parse_uri(address).at(later), now=later)


def test_a_second_factor_can_be_taken_away(accounts):
    accounts.set_totp("erika", actor="cli", now=NOW)
    assert accounts.set_totp("erika", actor="cli", now=NOW, on=False) is None
    accounts.log_in("erika", PASSWORD, now=NOW)


def test_a_session_ends_when_idle_and_at_the_latest_after_ten_hours(accounts):
    token, _ = accounts.log_in("erika", PASSWORD, now=NOW)
    assert accounts.session(token, now=NOW + IDLE) is not None
    assert accounts.session(token, now=NOW + IDLE + IDLE + MINUTE) is None
    token, _ = accounts.log_in("erika", PASSWORD, now=NOW)
    at = NOW
    while at - NOW <= LONGEST_SESSION:
        assert accounts.session(token, now=at) is not None
        at += IDLE - MINUTE
    assert accounts.session(token, now=at) is None


def test_a_session_ends_with_log_out_new_password_and_lock(accounts):
    for end in (
        accounts.log_out,
        lambda _: accounts.set_password("erika", PASSWORD, actor="cli", now=NOW),
        lambda _: accounts.disable("erika", actor="cli", now=NOW),
    ):
        token, _ = accounts.log_in("erika", PASSWORD, now=NOW)
        end(token)
        assert accounts.session(token, now=NOW) is None


def test_the_store_holds_neither_password_nor_token(accounts, store):
    token, session = accounts.log_in("erika", PASSWORD, now=NOW)
    dump = str(
        [
            store.database.read(lambda c, t=table: c.execute(t.select()).all())
            for table in (account_table, session_table, tables.audit)
        ]
    )
    assert token not in dump
    assert PASSWORD not in dump
    assert "$argon2id$" in dump
    assert same_csrf(session, session.csrf)
    assert not same_csrf(session, session.csrf + "x")


def test_a_foreign_token_is_no_session(accounts):
    assert accounts.session("", now=NOW) is None
    assert accounts.session("x" * 4000, now=NOW) is None


def test_what_is_over_is_swept(accounts):
    accounts.log_in("erika", PASSWORD, now=NOW)
    _failing(accounts)
    assert accounts.sweep(NOW) == 0
    # The session, and the failure of the name here, of the name, and of the address.
    assert accounts.sweep(NOW + timedelta(hours=1)) == 4


def test_an_identity_has_one_account(accounts, store):
    records = store.accounts
    before = records.account("erika")
    known = replace(before, issuer="https://id.example.org", subject="p-1", password_hash="")
    entry = AuditEntry(at=NOW, actor="cli", action="account.link", target="account:erika")
    records.change(known, before=before, audit=entry)
    assert records.by_identity("https://id.example.org", "p-1") == known
    for issuer, subject in (("https://id.example.org", "p-2"), ("https://other.example.org", "p-1")):
        assert records.by_identity(issuer, subject) is None
    entry = AuditEntry(at=NOW, actor="cli", action="account.add", target="account:zwei")
    with pytest.raises(Conflict):
        records.add(replace(known, name="zwei"), audit=entry)
    assert "account.add" not in [each.entry.action for each in store.audit.entries(scope=EVERYTHING).items][1:]


def test_a_providers_answer_is_used_once_and_forgotten_when_it_is_too_old_anyway(accounts, store):
    records = store.accounts
    assert [records.use_answer(state, NOW) for state in ("a", "b", "a")] == [True, True, False]
    assert accounts.sweep(NOW + timedelta(minutes=14)) == 0
    assert accounts.sweep(NOW + timedelta(minutes=16)) == 2


def test_a_local_and_a_providers_account_may_be_one_human_and_two_of_a_kind_are_not(accounts, store):
    records = store.accounts
    for name, subject in (("vera", "p-1"), ("udo", "p-2")):
        accounts.add(name, PASSWORD, roles=(Role.VIEWER,), actor="cli", now=NOW)
        entry = AuditEntry(at=NOW, actor="cli", action="account.link", target=f"account:{name}")
        before = records.account(name)
        records.change(replace(before, issuer="https://i", subject=subject), before=before, audit=entry)
    accounts.add("anton", PASSWORD, roles=(Role.VIEWER,), actor="cli", now=NOW)
    for one, others, expected in (
        ("erika", ["erika"], True),
        ("erika", ["anton"], False),
        ("erika", ["vera"], True),
        ("vera", ["anton", "udo"], True),
        ("vera", ["udo"], False),
        ("vera", [], False),
    ):
        assert may_be_one_human(store, one, others, now=NOW) is expected, (one, others)


def test_unknown_accounts_cannot_be_changed(accounts):
    with pytest.raises(NotFound):
        accounts.disable("niemand", actor="cli", now=NOW)


def test_every_change_of_an_account_is_audited_without_secrets(accounts, store):
    accounts.set_totp("erika", actor="cli:root", now=NOW)
    accounts.set_password("erika", "ein ganz neues passwort", actor="cli:root", now=NOW)
    accounts.disable("erika", actor="cli:root", now=NOW)
    entries = [record.entry for record in store.audit.entries(scope=EVERYTHING).items]
    assert [entry.action for entry in entries] == [
        "account.add",
        "account.totp",
        "account.password",
        "account.disable",
    ]
    assert entries[1].before["second_factor"] is False
    assert entries[1].after["second_factor"] is True
    assert "passwort" not in str(entries)


def test_roles_give_rights_and_nothing_more():
    given = {
        Role.VIEWER: {Right.SEE},
        Role.EDITOR: {Right.SEE, Right.EDIT},
        Role.APPROVER: {Right.SEE, Right.APPROVE},
        Role.OPERATOR: {Right.SEE, Right.OPERATE},
    }
    for role, rights in given.items():
        person = Person(name="x", full_name="x", roles=(role,))
        assert {right for right in Right if person.may(right)} == rights
        for right in set(Right) - rights:
            with pytest.raises(Forbidden):
                person.require(right)


def test_a_tenant_covers_what_lies_below_its_prefix():
    person = Person(name="x", full_name="x", roles=(Role.VIEWER,), tenant="06439")
    assert person.covers("064390015015")
    assert not person.covers("06")
    assert not person.covers("064140000000")


def test_wrong_passwords_from_elsewhere_keep_nobody_out(accounts):
    _failing(accounts, times=5, address="198.51.100.7")
    with pytest.raises(TooMany):
        accounts.log_in("erika", PASSWORD, address="198.51.100.7", now=NOW)
    accounts.log_in("erika", PASSWORD, address="192.0.2.1", now=NOW)


def test_guessing_one_name_from_many_addresses_ends_and_spares_where_its_owner_logged_in(accounts):
    accounts.log_in("erika", PASSWORD, address="192.0.2.1", now=NOW)
    for number in range(100):
        _failing(accounts, address=f"198.51.100.{number}")
    with pytest.raises(TooMany):
        accounts.log_in("erika", PASSWORD, address="203.0.113.1", now=NOW)
    accounts.log_in("erika", PASSWORD, address="192.0.2.1", now=NOW)


def test_of_two_changes_at_once_the_second_undoes_nothing_of_the_first(accounts, store):
    """Both read the account before either writes: one locks it, the other gives it other roles."""
    records = store.accounts
    before, together = records.account("erika"), threading.Barrier(2)

    def change(**values: object) -> str:
        together.wait(timeout=60)
        entry = AuditEntry(at=NOW, actor="cli", action="account.change", target="account:erika")
        try:
            records.change(replace(before, **values), before=before, audit=entry)
        except Conflict as refusal:
            return refusal.slug
        return "done"

    with ThreadPoolExecutor(2) as pool:
        ways = [pool.submit(change, disabled_at=NOW), pool.submit(change, roles=(Role.VIEWER,))]
        said = [each.result(timeout=60) for each in ways]
    assert sorted(said) == ["done", "invalid-state-transition"]
    after = records.account("erika")
    expected = {"disabled_at": NOW} if said[0] == "done" else {"roles": (Role.VIEWER,)}
    assert after == replace(before, **expected)
    written = store.audit.entries(scope=EVERYTHING, action="account.change")
    assert written.total == 1, "what was refused is not in the log"


def test_a_lock_between_looking_and_writing_is_not_undone_by_whoever_looked_before(accounts, store, monkeypatch):
    records = store.accounts
    change = records.change

    def overtaken(*given, **named):
        monkeypatch.setattr(records, "change", change)
        accounts.disable("erika", actor="cli:root", now=NOW)
        return change(*given, **named)

    monkeypatch.setattr(records, "change", overtaken)
    with pytest.raises(Conflict):
        accounts.set_password("erika", "ein ganz neues passwort", actor="cli:root", now=NOW)
    assert records.account("erika").disabled_at == NOW
