# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
"""An authority loses its private key: what nobody can open is ended by two persons, and its senders are told."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID

import pytest
from test_backup import run
from test_key_changes import certified, fresh_pair

from hub.administration.keys import By
from hub.crypto import claims_of
from hub.errors import Conflict, Forbidden, NotFound
from hub.identity import Caller, Person
from hub.model import EVERYTHING, ClientKind, Role, State

OTTO = Person(name="otto", full_name="Otto", roles=(Role.OPERATOR,))
ANTON = Person(name="anton", full_name="Anton", roles=(Role.APPROVER,))
OLGA = Person(name="olga", full_name="Olga", roles=(Role.OPERATOR, Role.APPROVER))


def accepted(stage) -> UUID:
    return UUID(claims_of(stage.accept().receipt)["sub"].removeprefix("submission:"))


@pytest.fixture
def place(stage, fresh_pair):
    """The building authority, with a new key in use; what was submitted before is sealed to the old one."""
    first = accepted(stage)
    message = stage.hub.store.submissions.message(first)
    there = stage.hub.store.parties.destination(message.destination_id)
    old = there.encryption_kid
    key = certified(stage, fresh_pair[0])
    change = stage.hub.key_approval.propose_new(there, key, activate=True, by=By(actor="otto", now=stage.clock()))
    stage.hub.key_approval.approve(there, change.change_id, by=By(actor="anton", now=stage.clock()))
    return there.destination_id, old, key["kid"], first


def state(stage, submission_id):
    return stage.hub.store.submissions.message(submission_id).state


def test_two_persons_end_what_nobody_can_open_and_senders_are_told(stage, place):
    destination_id, old, _, lost = place
    kept = accepted(stage)
    declare = stage.hub.lost_keys.declare
    noted = declare(destination_id, [old], OTTO, now=stage.clock())
    assert (noted.submissions, noted.done, noted.unread) == ((lost,), False, 0)
    assert state(stage, lost) is State.SUBMITTED
    with pytest.raises(Forbidden):
        declare(destination_id, [old], OTTO, now=stage.clock())
    done = declare(destination_id, [old], ANTON, now=stage.clock())
    assert (done.submissions, done.done) == ((lost,), True)
    assert (state(stage, lost), state(stage, kept)) == (State.REJECTED, State.SUBMITTED)

    event = stage.hub.store.event_log.events(stage.hub.store.submissions.message(lost).case_id).items[-1]
    assert event.by_hub
    assert event.payload["problems"][0]["type"].endswith("/problems/encryption-issue")
    progress = stage.hub.desk.progress(lost, caller=caller(stage))
    assert "Bitte neu einreichen" in progress.history[-1].text.de
    assert progress.delivery == "dead"
    entries = [each.entry for each in stage.hub.store.audit.entries(action="key.lost", scope=EVERYTHING).items]
    assert [(each.action, each.actor, each.after["submissions"]) for each in entries] == [
        ("key.lost.propose", "otto", 1),
        ("key.lost", "anton", 1),
    ]
    # Said once more, it goes on where it broke off: there is nothing left.
    assert declare(destination_id, [old], ANTON, now=stage.clock()).submissions == ()


def caller(stage) -> Caller:
    end = stage.clock() + timedelta(hours=1)
    return Caller(client_id=stage.sender, kind=ClientKind.SENDER, scopes=(), expires_at=end)


def test_the_command_line_notes_one_word_and_carries_out_the_second(stage, place, tmp_path):
    destination_id, old, _, lost = place
    people = json.loads((stage.data / "demo" / "accounts.json").read_text())

    def say(name: str) -> str:
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_text(people[name])
        return run(
            *("keys", "lost", destination_id, old, "--as", name, "--password-file", tmp_path / name),
            *("--data", stage.data),
        )

    assert "noted" in say("demo-anna")
    assert state(stage, lost) is State.SUBMITTED
    assert f"{lost}\n1 beendet" in say("demo-ben")
    assert state(stage, lost) is State.REJECTED


def test_one_person_alone_ends_nothing_whatever_rights_they_have(stage, place):
    destination_id, old, _, lost = place
    declare = stage.hub.lost_keys.declare
    declare(destination_id, [old], OLGA, now=stage.clock())
    with pytest.raises(Forbidden) as refusal:
        declare(destination_id, [old], OLGA, now=stage.clock())
    assert refusal.value.slug == "second-person"
    with pytest.raises(Forbidden):
        declare(destination_id, [old], Person(name="vera", full_name="Vera", roles=(Role.VIEWER,)), now=stage.clock())
    # A word of last week is no word any more.
    late = stage.clock() + timedelta(days=8)
    assert not declare(destination_id, [old], OLGA, now=late).done
    assert state(stage, lost) is State.SUBMITTED


def test_a_key_in_use_is_replaced_first_and_an_unknown_one_is_named(stage, place):
    destination_id, _, current, _ = place
    with pytest.raises(Conflict):
        stage.hub.lost_keys.declare(destination_id, [current], OTTO, now=stage.clock())
    with pytest.raises(NotFound):
        stage.hub.lost_keys.declare(destination_id, ["nobodys"], OTTO, now=stage.clock())


def test_what_the_authority_has_already_is_left_to_it(stage, place):
    destination_id, old, _, lost = place
    stage.hub.store.submissions.mark_collected(lost, stage.clock())
    stage.hub.lost_keys.declare(destination_id, [old], OTTO, now=stage.clock())
    done = stage.hub.lost_keys.declare(destination_id, [old], ANTON, now=stage.clock())
    assert (done.submissions, done.elsewhere) == ((), (lost,))
    assert state(stage, lost) is State.SUBMITTED
