"""Spoiled rows of people and of what waits for them: an account is locked alone, a session is none, a proposal is passed."""

from __future__ import annotations

import pytest
from argon2 import PasswordHasher
from sqlalchemy import update
from store_values import NOW, known_destination
from test_accounts import PASSWORD, Box

from hub.errors import Conflict, SealBroken, Text, Unauthenticated, UnreadableRow
from hub.identity.accounts import Accounts
from hub.identity.persons import Right, people_who_may
from hub.model import EVERYTHING, Role
from hub.store import AuditEntry
from hub.store.proposals import AdapterChange, ChangeState, KeyChange, KeyStep
from hub.store.tables import accounts as account_table
from hub.store.tables import metadata
from hub.store.tables import sessions as session_table

#: Beyond any time that there is.
NEVER = 1 << 62
KEY_CHANGES = metadata.tables["key_changes"]
JWK = {"kid": "new-key-1", "kty": "RSA", "key_ops": ["wrapKey"], "n": "AQ", "e": "AQAB", "alg": "RSA-OAEP-256"}


@pytest.fixture
def counted(store):
    """The tables of the rows that were counted."""
    seen = []
    store.on_unreadable(seen.append)
    return seen


@pytest.fixture
def people(store):
    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    made = Accounts(store=store, box=Box(), hasher=quick)
    for name in ("anton", "berta"):
        made.add(name, PASSWORD, roles=(Role.APPROVER,), actor="cli", now=NOW)
    return made


def spoil(store, statement):
    store.database.write(lambda connection: connection.execute(statement).rowcount)


def spoil_anton(store, column, value):
    spoil(store, update(account_table).where(account_table.c.name == "anton").values({column: value}))


@pytest.mark.parametrize(
    ("column", "value"),
    [("roles", '["emperor"]'), ("roles", "5"), ("created_at", NEVER), ("password_hash", "$argon2id$broken")],
)
def test_an_account_that_cannot_be_read_locks_itself_alone(store, people, counted, column, value):
    token, _ = people.log_in("anton", PASSWORD, now=NOW)
    other, _ = people.log_in("berta", PASSWORD, now=NOW)
    spoil_anton(store, column, value)
    with pytest.raises(Unauthenticated) as caught:
        people.log_in("anton", PASSWORD, now=NOW)
    # In the very words of a wrong password: whoever guesses names learns nothing.
    with pytest.raises(Unauthenticated) as unknown:
        people.log_in("nobody", PASSWORD, now=NOW)
    assert caught.value.detail == unknown.value.detail
    assert counted == ["accounts"]
    assert people.session(other, now=NOW).person.name == "berta"
    people.log_in("berta", PASSWORD, now=NOW)
    if column != "password_hash":
        assert people.session(token, now=NOW) is None
        assert [each.name for each in people.list(scope=EVERYTHING).items] == ["berta"]
        assert people_who_may(store, Right.APPROVE) == ["berta"]
        with pytest.raises(UnreadableRow):
            people.disable("anton", actor="cli", now=NOW)


def test_a_second_factor_that_cannot_be_opened_locks_its_account_alone(store, counted):
    class Closed(Box):
        def open_secret(self, sealed, *, context):
            raise SealBroken(Text("zu", "closed"))

    quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    people = Accounts(store=store, box=Closed(), hasher=quick)
    people.add("anton", PASSWORD, roles=(Role.VIEWER,), actor="cli", now=NOW)
    people.set_totp("anton", actor="cli", now=NOW)
    with pytest.raises(Unauthenticated):
        people.log_in("anton", PASSWORD, "123456", now=NOW)
    assert counted == ["accounts"]


@pytest.mark.parametrize("column", ["created_at", "seen_at"])
def test_a_session_that_cannot_be_read_is_none_and_its_account_logs_in_anew(store, people, counted, column):
    token, _ = people.log_in("anton", PASSWORD, now=NOW)
    spoil(store, update(session_table).values({column: NEVER}))
    assert people.session(token, now=NOW) is None
    assert counted == ["sessions"]
    again, _ = people.log_in("anton", PASSWORD, now=NOW)
    assert people.session(again, now=NOW).person.name == "anton"


def audit():
    return AuditEntry(at=NOW, actor="otto", action="test", target="destination:x")


def proposed(store, place, kid):
    change = KeyChange(
        destination_id=place.destination_id,
        step=KeyStep.ACTIVATE,
        kid=kid,
        jwk=JWK | {"kid": kid},
        reason="",
        proposed_by="otto",
        proposed_at=NOW,
    )
    return store.key_changes.propose(change, audit=audit())


@pytest.mark.parametrize(
    ("column", "value"), [("step", "burn"), ("jwk", "5"), ("jwk", "{"), ("proposed_at", NEVER), ("decided_at", NEVER)]
)
def test_a_proposal_of_a_key_that_cannot_be_read_is_decided_by_nobody_and_hides_no_other(store, counted, column, value):
    place = known_destination(store)
    bad, good = proposed(store, place, "bad"), proposed(store, place, "good")
    spoil(store, update(KEY_CHANGES).where(KEY_CHANGES.c.change_id == bad.change_id).values({column: value}))
    changes = store.key_changes
    assert changes.open(scope=EVERYTHING) == changes.of(place.destination_id) == [good]
    with pytest.raises(UnreadableRow) as caught:
        changes.change(bad.change_id)
    assert caught.value.place == ("key_changes", str(bad.change_id), column)
    assert counted == ["key_changes"]
    # It still holds its place: nobody proposes the same key beside it.
    with pytest.raises(Conflict):
        proposed(store, place, "bad")


def test_a_proposal_of_an_adapter_whose_options_are_no_object_is_passed(store, counted):
    place = known_destination(store)
    made = store.adapter_changes.propose(
        AdapterChange(
            destination_id=place.destination_id,
            adapter="mailbox",
            options={},
            reason="",
            proposed_by="otto",
            proposed_at=NOW,
        ),
        audit=audit(),
    )
    assert made.state is ChangeState.OPEN
    spoil(store, update(metadata.tables["adapter_changes"]).values(options="[]"))
    assert store.adapter_changes.open(scope=EVERYTHING) == []
    assert counted == ["adapter_changes"]
