# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
"""Steps of AI systems from the authority: written down and signed first, sent until the hub has them, once."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import orjson
import pytest
from partner import Answer, Partner, always
from say import CLERK, apply, local, office, system
from stage import NOW
from test_connector_system import follows, put
from test_connector_town import LATER, catalog, town, town_keys
from test_connector_walk import Killed, kill_at

from hub.connector.ai_steps import AiStepBook, StepState
from hub.errors import IdempotencyConflict, Invalid, NotFound

STEP = {
    "system": "plan-check",
    "version": "2.1",
    "purpose": "Vollständigkeit der Anlagen",
    "output": "classification",
    "decided": "person",
}
MUCH_LATER = LATER + timedelta(hours=2)


@pytest.fixture
def waiting(town, rsa_pair):
    """A submission that waits for the local system's word, by the folder."""
    (town.folder / "out").mkdir()
    town.application = apply(town, rsa_pair[0])
    town.start(**system(town.folder)).run_once(NOW)
    return town


def steps(town):
    return town.connector.say.desk.ai_steps(town.connector.say.desk.submission(town.application).case_id)


def states(town):
    return [each.state for each in steps(town)]


def test_a_step_goes_out_once_whatever_is_lost_on_the_way(waiting):
    desk, request_id = waiting.connector.say.desk, uuid4()
    for _ in range(2):
        desk.ai_step(waiting.application, request_id, STEP, who="Fachverfahren")
    waiting.hub.lose = True
    waiting.connector.run_once(LATER)
    assert (states(waiting), len(waiting.hub.ai_steps)) == ([StepState.WRITTEN], 1)
    waiting.connector.run_once(MUCH_LATER)
    assert (states(waiting), len(waiting.hub.ai_steps)) == ([StepState.SENT], 1)
    (claims,) = waiting.hub.ai_steps.values()
    assert claims["events"] == {"urn:rathaus-hub:events:ai-step": STEP}
    assert claims["iss"] == str(waiting.hub.destination_id)
    with pytest.raises(IdempotencyConflict):
        desk.ai_step(waiting.application, request_id, STEP | {"purpose": "anderes"}, who="Fachverfahren")


def test_killed_after_the_hub_has_it_a_step_is_not_there_twice(waiting, monkeypatch):
    waiting.connector.say.desk.ai_step(waiting.application, uuid4(), STEP, who="Fachverfahren")
    kill_at(monkeypatch, AiStepBook, "_update", after=False)
    with pytest.raises(Killed):
        waiting.connector.run_once(LATER)
    waiting.start(**system(waiting.folder)).run_once(MUCH_LATER)
    assert (states(waiting), len(waiting.hub.ai_steps)) == ([StepState.SENT], 1)


def test_a_hub_that_is_away_holds_nothing_up_and_what_it_refuses_is_said(waiting):
    desk = waiting.connector.say.desk
    waiting.hub.down = True
    desk.ai_step(waiting.application, uuid4(), STEP, who="Fachverfahren")
    waiting.connector.run_once(LATER)
    assert states(waiting) == [StepState.WRITTEN]
    waiting.hub.down = False
    desk.ai_step(waiting.application, uuid4(), STEP | {"system": "unknown-check"}, who="Fachverfahren")
    waiting.connector.run_once(MUCH_LATER)
    assert sorted(states(waiting)) == [StepState.REFUSED, StepState.SENT]
    (refused,) = (each for each in steps(waiting) if each.state is StepState.REFUSED)
    assert refused.note
    assert len(waiting.hub.ai_steps) == 1


def test_what_is_no_step_is_not_written_down(waiting):
    desk = waiting.connector.say.desk
    for wrong in ({}, STEP | {"output": "magic"}, STEP | {"purpose": "a\nb"}, STEP | {"name": "Maria"}):
        with pytest.raises(Invalid):
            desk.ai_step(waiting.application, uuid4(), wrong, who="Fachverfahren")
    with pytest.raises(NotFound):
        desk.ai_step(uuid4(), uuid4(), STEP, who="Fachverfahren")
    assert steps(waiting) == []


def test_interface_and_outbox_say_the_same(town, rsa_pair, waiting):
    place = put(waiting.folder / "out", "1", submissionId=str(waiting.application), action="ai-step", step=STEP)
    assert follows(orjson.loads((place / "reply.json").read_bytes()), "statement")
    waiting.connector.run_once(LATER)
    said = local(waiting, waiting.connector.say.desk)
    try:
        path = f"/v2/submissions/{waiting.application}"
        answer = said.post(f"{path}/ai-steps", STEP, key=uuid4())
        assert (answer.status_code, follows(answer.json(), "aiStepStanding")) == (202, True), answer.text
        assert follows(STEP, "aiStep")
        assert said.post(f"{path}/ai-steps", STEP | {"decided": "god"}, key=uuid4()).status_code == 422
        assert said.post(f"{path}/ai-steps", STEP).status_code == 400
        standing = said.get(path).json()
        assert (follows(standing, "standing"), len(standing["aiSteps"])) == (True, 2)
    finally:
        said.api.close()
    waiting.connector.run_once(MUCH_LATER)
    assert len(waiting.hub.ai_steps) == 2


def test_a_clerk_records_a_step_and_a_script_in_it_is_text(town, rsa_pair):
    town.application = apply(town, rsa_pair[0])
    town.start(**CLERK).run_once(NOW)
    desk = town.connector.say.desk
    opened = office(town, desk)
    try:
        anna, case = opened.browser("anna"), desk.submission(town.application).case_id
        at = f"/cases/{case}"
        assert "Kein KI-Schritt aufgezeichnet" in anna.get(at).text
        script = STEP | {"purpose": "<script>alert(1)</script>"}
        done = anna.post(f"{at}/ai-steps", at=at, about=str(town.application), **script)
        assert (done.status_code, "KI-Schritt aufgezeichnet." in done.text) == (200, True), done.text
        assert "&lt;script&gt;alert(1)" in done.text
        assert "<script>alert" not in done.text
        wrong = anna.post(f"{at}/ai-steps", at=at, about=str(town.application), **(STEP | {"version": ""}))
        assert wrong.status_code == 422
        assert anna.post(f"{at}/ai-steps", at=at, csrf="x", about=str(town.application), **STEP).status_code == 403
        assert len(desk.ai_steps(UUID(str(case)))) == 1
    finally:
        opened.server.close()
