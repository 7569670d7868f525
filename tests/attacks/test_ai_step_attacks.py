"""Steps of AI systems in a case: what its authority writes with its own key stands in the log, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from ai_room import DOGS, STEP, SYSTEM, publish
from sealed_door import JOSE, Door, Sent, kinds, shared_door  # noqa: F401  # shared_door is a fixture

from hub.client import event_tokens
from hub.model import ClientKind, EventKind
from hub.proof.checkpoints import verify_proof

EVENT = "urn:rathaus-hub:events:ai-step"


@pytest.fixture(name="room")
def case_room(door: Door) -> Door:
    """A hub whose register has an AI system for building applications."""
    book, now = door.hub.ai_book, door.hub.clock()
    if book.at(now).find(SYSTEM.id) is None:
        publish(door, SYSTEM, replace(SYSTEM, id="gone-check").withdrawn(now.date()), replace(DOGS, id="dog-check"))
    return door


def token(door: Door, sent: Sent, key=None, **said):
    claims = {name: said.pop(name) for name in ("iss", "txn", "sub", "jti", "iat", "events") if name in said}
    return door.sign(door.claims("ai-step", sent, {}, **{"events": {EVENT: STEP | said}, **claims}), key)


def write(door: Door, sent: Sent, event: str, client=None):
    path = f"/hub/v1/cases/{sent.case_id}/ai-steps"
    return (client or door.subscriber).ask("POST", path, ("Content-Type", JOSE), body=[event.encode()])


def steps(door: Door, sent: Sent, client=None):
    return (client or door.sender).get(f"/hub/v1/cases/{sent.case_id}/ai-steps").json


def test_a_step_stands_in_the_log_for_both_sides_and_in_none_of_fit_connects_lists(room: Door):
    sent = room.send()
    before = room.log(sent)
    assert steps(room, sent) == {"caseId": sent.case_id, "total": 0, "steps": []}
    assert write(room, sent, token(room, sent)).status == 204
    assert room.accept(sent).status == 204
    for client in (room.sender, room.subscriber):
        (step,) = steps(room, sent, client)["steps"]
        assert {name: step[name] for name in STEP} == STEP
    for version in ("v1", "v2"):
        seen = room.log(sent, version=version)
        assert kinds(seen) == [*kinds(before), "accept-submission"]
        listed = room.sender.get(f"/{version}/submissions/{sent.submission_id}/events").json
        assert "ai-step" not in str(listed)
    progress = room.sender.get(f"/hub/v1/applications/{sent.submission_id}").json
    assert progress["aiSteps"] == 1
    (said,) = (each["text"]["de"] for each in progress["history"] if each["step"] == "ai-step")
    assert "Vollständigkeit der Anlagen (plan-check 2.1); entschieden hat ein Mensch" in said


def test_a_step_is_proven_offline_with_the_rest_of_the_case(room: Door):
    sent = room.send()
    assert write(room, sent, token(room, sent)).status == 204
    room.hub.checkpoints.make(room.hub.clock())
    proof = room.sender.get(f"/hub/v1/cases/{sent.case_id}/proof").json
    proven = verify_proof(proof, room.hub.keys.hub_jwks())
    assert proven.ai_steps == 1
    assert room.hub.notary.verify([proven.case_id]).findings == ()
    entry = next(each for each in proof["log"] if EVENT in each["claims"]["events"])
    entry["claims"]["events"][EVENT]["decided"] = "system"
    with pytest.raises(Exception, match="proof"):
        verify_proof(proof, room.hub.keys.hub_jwks())


def test_the_same_token_again_changes_nothing_and_its_id_with_another_content_is_refused(room: Door):
    sent, jti = room.send(), str(uuid4())
    event = token(room, sent, jti=jti)
    assert [write(room, sent, event).status for _ in range(3)] == [204, 204, 204]
    assert steps(room, sent)["total"] == 1
    assert room.refused(write(room, sent, token(room, sent, jti=jti, purpose="anderes")), 409)


def test_a_replay_into_another_case_is_refused(room: Door):
    sent, other = room.send(), room.send()
    event = token(room, sent)
    assert write(room, sent, event).status == 204
    assert room.refused(write(room, other, event), 422)
    mixed = token(room, sent, txn=f"case:{other.case_id}")
    assert room.refused(write(room, other, mixed), 422), "the submission is of another case"
    assert steps(room, other)["total"] == 0


def test_a_foreign_case_is_nobodys_to_write_into_or_to_read(room: Door):
    sent, stranger = room.send(), room.another(ClientKind.SUBSCRIBER)
    for client in (stranger, room.sender):
        assert write(room, sent, token(room, sent), client).status == 403
    assert stranger.get(f"/hub/v1/cases/{sent.case_id}/ai-steps").status == 403
    assert room.refused(write(room, sent, token(room, sent, iss=str(uuid4()))), 403)
    own = room.give_destination(room.destination.owner)
    assert room.refused(write(room, sent, token(room, sent, iss=str(own.destination_id))), 403), "not this case's own"
    missing = replace(sent, case_id=str(uuid4()))
    assert write(room, missing, token(room, missing)).status == 404


def test_a_wrong_key_is_refused_whatever_it_is_called(room: Door, signing_key):
    sent = room.send()
    assert write(room, sent, token(room, sent, key=signing_key)).status == 422
    called_alike = replace(signing_key, kid=room.signing_key.kid)
    assert write(room, sent, token(room, sent, key=called_alike)).status == 422
    assert steps(room, sent)["total"] == 0


def test_a_closed_case_takes_no_step(room: Door):
    rejected, incomplete = room.send(), room.announce()
    assert room.post_event(rejected, room.token("reject-submission", rejected)).status == 204
    assert room.refused(write(room, rejected, token(room, rejected)), 409)
    half = Sent(incomplete["submissionId"], incomplete["caseId"], "", None)
    assert room.refused(write(room, half, token(room, half)), 409)


@pytest.mark.parametrize(
    "said",
    [
        {"system": "unknown-check"},
        {"system": "rathaus-hub", "version": "1"},
        {"system": "gone-check"},
        {"system": "dog-check"},
        {"version": "1.0"},
        {"version": "3"},
    ],
    ids=[
        "unregistered",
        "a rule engine",
        "withdrawn",
        "of another service",
        "a version that ended",
        "no version of it",
    ],
)
def test_a_system_that_the_register_does_not_have_so_is_refused(room: Door, said):
    sent = room.send()
    answer = write(room, sent, token(room, sent, **said))
    assert (answer.status, answer.json["type"].rpartition(":")[2]) == (422, "ai-system-not-registered"), answer.json
    assert steps(room, sent)["total"] == 0


@pytest.mark.parametrize(
    "said",
    [
        {"purpose": ""},
        {"purpose": "x" * 301},
        {"purpose": "eins\nzwei"},
        {"purpose": "umge\u202edreht"},
        {"purpose": ["Liste"]},
        {"output": "magic"},
        {"decided": None},
        {"version": "9" * 41},
        {"personName": "Maria Muster"},
        {"iat": 4_102_444_800},
        {"events": {EVENT: "text"}},
        {"events": {EVENT: STEP, f"{EVENT}-2": STEP}},
        {"events": {"urn:rathaus-hub:events:forward": STEP}},
        {"sub": f"reply:{UUID(int=7)}"},
    ],
    ids=str,
)
def test_what_is_no_step_is_refused_and_repeats_nothing(room: Door, said):
    sent = room.send()
    answer = write(room, sent, token(room, sent, **said))
    assert room.refused(answer, 422)
    assert b"Maria" not in answer.body
    assert steps(room, sent)["total"] == 0


def test_what_is_too_large_or_no_token_is_refused(room: Door):
    sent = room.send()
    large = room.sign(room.claims("ai-step", sent, {}, events={EVENT: STEP | {"purpose": "x" * 17_000}}))
    assert write(room, sent, large).status == 413
    assert write(room, sent, "a.b.c").status in {400, 422}
    unsigned = token(room, sent).rpartition(".")[0] + ".AAAA"
    assert write(room, sent, unsigned).status == 422


def test_fit_connects_door_takes_no_house_event_and_the_house_door_none_of_fit_connects(room: Door):
    sent = room.send()
    for version in ("v1", "v2"):
        assert room.refused(room.post_event(sent, token(room, sent), version), 422)
    assert room.refused(write(room, sent, room.token("accept-submission", sent)), 422)
    assert kinds(room.log(sent))[-1] != "accept-submission"


def test_a_script_in_a_purpose_is_text_wherever_it_is_shown(room: Door):
    sent, script = room.send(), "<script>alert(1)</script>"
    assert write(room, sent, token(room, sent, purpose=script)).status == 204
    answer = room.sender.get(f"/hub/v1/applications/{sent.submission_id}")
    assert answer.headers["content-type"] == "application/json"
    assert script in answer.json["history"][-1]["text"]["de"], "JSON says it as it is; pages escape"


def test_a_case_holds_a_bounded_number(room: Door, monkeypatch):
    monkeypatch.setattr("hub.fit_connect.ai_steps._MOST_STEPS", 2)
    sent = room.send()
    first = token(room, sent)
    assert write(room, sent, first).status == 204
    assert write(room, sent, token(room, sent)).status == 204
    assert write(room, sent, token(room, sent)).status == 413
    assert write(room, sent, first).status == 204, "what is there already is not one more"


def test_a_step_between_two_submissions_of_a_case_breaks_no_proof_of_a_push(room: Door):
    sent = room.send()
    announced = room.announce(caseId=sent.case_id)
    assert write(room, sent, token(room, sent)).status == 204
    answer = room.submit(announced["submissionId"], room.seal(b'{"contentStructure": {}}'), room.seal(b'{"antrag": 1}'))
    assert answer.status in {200, 202}
    store = room.hub.store
    run = store.event_log.run(UUID(sent.case_id), UUID(announced["submissionId"]))
    assert [each.kind for each in run] == [EventKind.CREATE, EventKind.AI_STEP, EventKind.SUBMIT]
    read = event_tokens.read(run[1].jws)
    assert next(iter(read.claims["events"])) == EVENT
    assert timedelta() <= room.clock() - run[1].issued_at < timedelta(seconds=2)
