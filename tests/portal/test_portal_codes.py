"""References and codes that people type: read as they come, of use together alone, and not to be guessed."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.event import listen
from stage import NOW

from hub.crypto import symmetric
from hub.errors import TooMany
from hub.portal.codes import GuessBounds, Guesses, TypedKey, grouped, read_typed
from hub.portal.database import PortalDatabase, failures
from hub.portal.storage import FormPurpose, FormStorage

HERE, THERE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def database(tmp_path):
    with closing(PortalDatabase(f"sqlite:///{tmp_path}/forms.sqlite")) as opened:
        yield opened


def test_a_code_is_read_however_people_type_it():
    made = TypedKey.new()
    assert TypedKey.read(made.shown_reference.lower(), f" {made.shown_code.replace('-', ' ')}\n") == made
    assert len(made.shown_code) == 14
    assert made.code not in repr(made)
    assert read_typed("oil0-o1lI-AbcD") == "011001114BCD".replace("4BCD", "ABCD")
    for typed in ("", "ABCD-EFGH-JKM", "ABCD-EFGH-JKMU", "ABCD-EFGH-JKMNP", "ÄBCD-EFGH-JKMN", "A" * 100_000):
        assert read_typed(typed) is None
    assert grouped("ABCDEFGHJKMN") == "ABCD-EFGH-JKMN"


def test_reference_and_code_make_one_key_together_and_none_alone():
    made = TypedKey(reference="ABCDEFGHJKMN", code="0123456789AB")
    key = made.form_key()
    assert made.form_key() == key
    for other in (
        TypedKey(reference="ABCDEFGHJKMN", code="0123456789AC"),
        TypedKey(reference="ABCDEFGHJKMP", code="0123456789AB"),
    ):
        found = other.form_key()
        assert found.identifier != key.identifier
        assert found.key != key.key


def guess(guesses, *, reference="ABCDEFGHJKMN", address=HERE, now=NOW, right=False):
    with guesses.trying(reference, address=address, now=now) as made:
        made.right = right


def test_who_guesses_is_turned_away_and_a_stranger_elsewhere_keeps_nobody_out(database):
    guesses, other = Guesses(database), Guesses(database)
    for number in range(5):
        guess((guesses, other)[number % 2])
    with pytest.raises(TooMany) as refused:
        guess(other)
    assert timedelta() < refused.value.retry_after <= timedelta(minutes=15)
    guess(guesses, address=THERE, right=True)
    guess(guesses, reference="other", right=True)
    guess(guesses, now=NOW + timedelta(minutes=15))


def test_right_codes_do_not_count_and_many_references_from_one_address_do(database):
    guesses = Guesses(database)
    for _ in range(30):
        guess(guesses, right=True)
    for number in range(20):
        guess(guesses, reference=f"reference {number}")
    with pytest.raises(TooMany):
        guess(guesses, reference="one more")
    with pytest.raises(TooMany):
        guess(guesses, reference="and of the network", address="::ffff:192.0.2.1")


def test_what_is_counted_is_bounded_hashed_and_forgotten(database):
    guesses = Guesses(database, GuessBounds(rows=10))
    for number in range(200):
        guess(guesses, reference=f"R{number}", address=f"2001:db8:{number:x}::1")
    with database.reading() as connection:
        rows = connection.execute(select(failures)).all()
    assert len(rows) <= 10 + 256
    assert not any("2001" in row.name or "R1" in row.name for row in rows)
    assert guesses.forget(NOW) == 0
    assert guesses.forget(NOW + timedelta(minutes=15)) == len(rows)
    guess(guesses, now=NOW + timedelta(days=9))
    assert guesses.forget(NOW) == 2  # The clock was set back: its two counts would keep somebody out for nine days.


def test_a_wrong_code_costs_the_same_work_whether_its_reference_exists_or_not(database, monkeypatch):
    """No clock: what is done is counted, and it is the same for what is there, what is not, and what has ended.

    Nothing typed is compared with anything kept: it is stretched into a name, and a row of that name is there or is not.
    """
    storage, guesses = FormStorage(database), Guesses(database, GuessBounds(by_pair=99, by_address=99))
    known, ended = TypedKey.new(), TypedKey.new()
    for typed, life in ((known, timedelta(days=9)), (ended, timedelta(hours=1))):
        storage.create(typed.form_key(), b"x" * 9_000, purpose=FormPurpose.SAVED, now=NOW, ends=NOW + life)
    done: list[str] = []
    for owner, name in ((symmetric, "stretch"), (symmetric, "unseal")):
        monkeypatch.setattr(owner, name, _counting(getattr(owner, name), name, done))
    listen(database._engine, "before_cursor_execute", lambda *said: done.append(said[2]))

    def work(typed: TypedKey, address: str) -> list[str]:
        done.clear()
        found = guesses.opened(storage, typed, address=address, now=NOW + timedelta(hours=2))
        assert (found is not None) == (typed is known)
        return list(done)

    wrong = [
        work(TypedKey(reference=known.reference, code=TypedKey.new().code), "192.0.2.1"),
        work(TypedKey(reference=TypedKey.new().reference, code=known.code), "192.0.2.2"),
        work(TypedKey.new(), "192.0.2.3"),
        work(ended, "192.0.2.4"),
    ]
    assert wrong[0].count("stretch") == 1
    assert "unseal" not in wrong[0]
    assert all(each == wrong[0] for each in wrong)
    assert "unseal" in work(known, "192.0.2.5")


def _counting(function, name, done):
    def counted(*arguments, **named):
        done.append(name)
        return function(*arguments, **named)

    return counted
