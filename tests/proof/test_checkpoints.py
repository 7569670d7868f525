"""Checkpoints: one signature over all case logs, proofs that need no network, and no change that stays hidden."""

from __future__ import annotations

import json
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from store_values import FINISHED, HUB, NOW, RECEIVED, Instead, accepted, claim, known_destination, record

from hub.crypto.keyring import HubKeys
from hub.errors import NotFound, SealBroken
from hub.model.events import EventKind
from hub.proof import checkpoints as module
from hub.proof.checkpoints import Checkpoints, require_receipt, verify_proof

LATER = NOW + timedelta(seconds=5)


@pytest.fixture(scope="session")
def ring(tmp_path_factory) -> HubKeys:
    return HubKeys.load_or_create(tmp_path_factory.mktemp("ring"), NOW, create=True)


@pytest.fixture
def checkpoints(store, ring) -> Checkpoints:
    return Checkpoints(store=store, keys=ring, issuer=HUB)


@pytest.fixture
def there(store):
    return known_destination(store).destination_id


def _change(store, statement: str, **values) -> None:
    assert store.database.write(lambda connection: connection.execute(text(statement), values).rowcount)


def _texts(checkpoints, **options) -> str:
    return " ".join(finding.text.en for finding in checkpoints.verify(**options).findings)


def _cases(store, there, number: int) -> list[UUID]:
    return [accepted(store, there).case_id for _ in range(number)]


def test_without_cases_there_is_nothing_to_sign(checkpoints):
    assert checkpoints.make(NOW) == 0
    assert checkpoints.newest() is None
    assert checkpoints.verify().findings == ()


def test_a_case_that_no_checkpoint_holds_yet_has_no_proof(checkpoints, store, there):
    (case,) = _cases(store, there, 1)
    with pytest.raises(NotFound) as caught:
        checkpoints.proof(case)
    assert caught.value.slug == "checkpoint-not-found"


def test_every_case_gets_a_proof_that_verifies_with_the_published_keys_alone(checkpoints, store, there, ring):
    cases = _cases(store, there, 7)
    assert checkpoints.make(NOW) == 7
    assert checkpoints.make(LATER) == 0
    for case in cases:
        document = json.loads(json.dumps(checkpoints.proof(case)))
        proven = verify_proof(document, ring.hub_jwks())
        stored = store.submissions.case(case)
        assert (proven.case_id, proven.seq, proven.head) == (case, stored.seq, stored.head)
        assert proven.number == 1
        assert proven.hashes == {event.seq: event.hash for event in store.event_log.events(case).items}


def test_only_what_moved_stands_in_the_next_checkpoint(checkpoints, store, there):
    cases = _cases(store, there, 3)
    checkpoints.make(NOW)
    (claimed,) = [one for one in claim(store) if one.submission.case_id == cases[1]]
    from store_values import event

    notified = event(cases[1], claimed.submission.submission_id, EventKind.NOTIFY)
    assert record(store, claimed, RECEIVED, FINISHED, events=[notified])
    assert checkpoints.make(LATER) == 1
    assert [head.case_id for head in store.checkpoints.leaves(2)] == [cases[1]]
    assert checkpoints.proof(cases[1])["seq"] == 3
    assert checkpoints.proof(cases[0])["seq"] == 2
    assert checkpoints.verify().findings == ()


def test_a_large_backlog_is_covered_in_bounded_steps(checkpoints, store, there, monkeypatch):
    monkeypatch.setattr(module, "_LEAVES", 4)
    cases = _cases(store, there, 10)
    assert checkpoints.make(NOW) == 10
    report = checkpoints.verify()
    assert (report.checkpoints, report.leaves, report.findings) == (3, 10, ())
    assert all(checkpoints.proof(case) for case in cases)


def test_two_nodes_never_make_the_same_number(checkpoints, store, there, open_store, ring):
    _cases(store, there, 2)
    log, other = store.checkpoints, open_store()
    heads = log.uncovered(10)
    assert Checkpoints(store=other, keys=ring, issuer=HUB).make(NOW) == 2
    # What this node looked up before the other one was done.
    stale = Instead(store, checkpoints=Instead(log, last=lambda: None, uncovered=lambda _most: heads))
    assert Checkpoints(store=stale, keys=ring, issuer=HUB).make(NOW) == 0
    assert checkpoints.make(LATER) == 0
    assert checkpoints.verify().findings == ()
    assert log.last().number == 1


# Each way to change history, and what is said of it.

TAMPERED = {
    "a case's log was written anew": (
        "UPDATE events SET hash = :hash WHERE case_id = :case AND seq = 2",
        "something else than when",
    ),
    "an event at the end was removed": ("DELETE FROM events WHERE case_id = :case AND seq = 2", "something else"),
    "the case was set back": ("UPDATE cases SET seq = 1 WHERE case_id = :case", "at the end of the case are missing"),
    "a leaf was changed": ("UPDATE checkpoint_leaves SET head = :hash WHERE case_id = :case", "not those that were"),
    "a leaf was removed": ("DELETE FROM checkpoint_leaves WHERE case_id = :case", "not those that were signed"),
    "a token was changed": ("UPDATE checkpoints SET token = token || 'x' WHERE number = 1", "signature"),
}


@pytest.mark.parametrize(("statement", "said"), TAMPERED.values(), ids=TAMPERED)
def test_a_change_is_found(checkpoints, store, there, statement, said):
    cases = _cases(store, there, 5)
    checkpoints.make(NOW)
    _cases(store, there, 2)
    checkpoints.make(LATER)
    assert checkpoints.verify().findings == ()
    given = {"case": str(cases[3]), "hash": "ab" * 32}
    _change(store, statement, **{name: value for name, value in given.items() if f":{name}" in statement})
    assert said in _texts(checkpoints)


def test_a_removed_case_is_found(checkpoints, store, there):
    cases = _cases(store, there, 3)
    checkpoints.make(NOW)

    def remove(connection):
        of_case = {"case": str(cases[0])}
        for statement in (
            "DELETE FROM deliveries WHERE submission_id IN (SELECT message_id FROM messages WHERE case_id = :case)",
            "DELETE FROM contents WHERE message_id IN (SELECT message_id FROM messages WHERE case_id = :case)",
            "DELETE FROM events WHERE case_id = :case",
            "DELETE FROM messages WHERE case_id = :case",
            "DELETE FROM cases WHERE case_id = :case",
        ):
            connection.execute(text(statement), of_case)

    store.database.write(remove)
    (finding,) = checkpoints.verify().findings
    assert (finding.case_id, finding.text.en) == (cases[0], "The case was removed.")


def test_a_checkpoint_cut_out_of_the_middle_or_off_the_end_is_found(checkpoints, store, there):
    for at in range(3):
        _cases(store, there, 1)
        checkpoints.make(NOW + timedelta(seconds=at))
    _change(store, "DELETE FROM checkpoint_leaves WHERE number = 3")
    _change(store, "DELETE FROM checkpoints WHERE number = 3")
    assert "checkpoints at the end are missing" in _texts(checkpoints)
    _change(store, "DELETE FROM checkpoint_leaves WHERE number = 1")
    _change(store, "DELETE FROM checkpoints WHERE number = 1")
    assert "The checkpoint is missing" in _texts(checkpoints)


def test_a_history_that_was_signed_anew_contradicts_what_was_kept_elsewhere(checkpoints, store, there):
    _cases(store, there, 2)
    checkpoints.make(NOW)
    kept = checkpoints.newest().token
    assert checkpoints.verify(anchor=kept).findings == ()
    for statement in ("DELETE FROM checkpoint_leaves", "DELETE FROM checkpoints", "UPDATE cases SET covered = 0"):
        _change(store, statement)
    checkpoints.make(LATER)
    assert checkpoints.verify().findings == ()
    assert "rewritten or set back" in _texts(checkpoints, anchor=kept)


def test_a_log_dropped_at_the_end_of_its_retention_is_no_finding(checkpoints, store, there):
    from store_values import answer

    made = accepted(store, there)
    store.event_log.append(
        made.case_id, made.submission_id, answer(EventKind.ACCEPT, made.case_id, made.submission_id, there)
    )
    checkpoints.make(NOW)
    store.retention.delete_contents(made.submission_id, NOW)
    assert store.retention.drop_case(made.case_id, "tombstone")
    assert checkpoints.verify().findings == ()
    assert checkpoints.proof(made.case_id)["log"] == []
    _change(store, "UPDATE cases SET head = :hash", hash="ab" * 32)
    assert "something else" in _texts(checkpoints)


# Proofs as documents of strangers.


@pytest.fixture
def proof(checkpoints, store, there) -> dict:
    cases = _cases(store, there, 5)
    checkpoints.make(NOW)
    return checkpoints.proof(cases[2])


BENT = {
    "another head": lambda proof: proof | {"head": "ab" * 32},
    "another case": lambda proof: proof | {"caseId": str(uuid4())},
    "another place": lambda proof: proof | {"index": proof["index"] ^ 1},
    "a place that is none": lambda proof: proof | {"index": "first"},
    "a shorter path": lambda proof: proof | {"path": proof["path"][:-1]},
    "a path of no hashes": lambda proof: proof | {"path": ["x"]},
    "a changed entry": lambda proof: proof | {"log": [proof["log"][0] | {"digests": {"data": "0"}}, proof["log"][1]]},
    "a missing entry": lambda proof: proof | {"log": proof["log"][1:]},
    "an unsigned checkpoint": lambda proof: proof | {"checkpoint": "a.b.c"},
    "no checkpoint": lambda proof: {name: proof[name] for name in proof if name != "checkpoint"},
    "no document": lambda _: None,
    "a list": lambda _: [],
}


@pytest.mark.parametrize("bend", BENT.values(), ids=BENT)
def test_a_bent_proof_is_refused(proof, ring, bend):
    verify_proof(proof, ring.hub_jwks())
    with pytest.raises(SealBroken):
        verify_proof(bend(proof), ring.hub_jwks())


def test_a_receipt_of_another_case_or_log_is_refused(proof, ring):
    proven = verify_proof(proof, ring.hub_jwks())
    ours = {"txn": f"case:{proven.case_id}", "eventLog": {"seq": 2, "hash": proven.hashes[2]}}
    require_receipt(proven, ours)
    for other in ({"txn": f"case:{uuid4()}"}, {"eventLog": {"seq": 2, "hash": "ab" * 32}}, {"eventLog": None}):
        with pytest.raises(SealBroken):
            require_receipt(proven, ours | other)
