"""Log lines: JSON with known members, ids and no contents."""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from uuid import UUID

import pytest
import uvicorn
from sealed_door import Door, Sent
from stage import ANMELDUNG, BAUANTRAG, BAUEN, CANARY, WIESBADEN, serving

from hub.api.problems import server_options
from hub.jobs.retention import RetentionJob
from hub.observability import logs
from hub.web.protocol import ConnectionBounds


@pytest.fixture(autouse=True)
def as_before():
    """Leave the root logger, and who hears of what nobody caught, as they were."""
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook)
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    sys.excepthook, threading.excepthook = hooks
    logging.captureWarnings(False)


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_is_json_with_known_members(capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    logging.getLogger("hub.x").warning("delivery %s: late", "d-1", extra={"payload": CANARY})
    (line,) = lines(capsys)
    assert (line["level"], line["logger"], line["message"]) == ("warning", "hub.x", "delivery d-1: late")
    assert line["at"].endswith("Z")
    assert set(line) <= set(logs.MEMBERS)


def test_an_errors_own_message_is_not_written(capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    try:
        int(CANARY)
    except ValueError:
        logging.getLogger("hub.x").exception("delivery %s: the adapter failed", "d-1")
    (line,) = lines(capsys)
    assert line["error"] == "ValueError"
    assert line["places"][0].startswith(__file__)
    assert CANARY not in json.dumps(line)


def test_a_second_call_replaces_the_first(capsys):
    logs.set_up(as_json=False, level=logging.INFO)
    logs.set_up(as_json=True, level=logging.INFO)
    logging.getLogger("hub.x").info("once")
    assert len(lines(capsys)) == 1


def test_text_is_for_people(capsys):
    logs.set_up(as_json=False, level=logging.WARNING)
    logging.getLogger("hub.x").info("not this")
    logging.getLogger("hub.x").warning("this")
    assert capsys.readouterr().err.endswith("WARNING hub.x: this\n")


def test_a_line_over_several_lines_stays_one(capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    logging.getLogger("hub.x").warning("a\nb")
    assert lines(capsys)[0]["message"] == "a\nb"


def test_no_payload_is_in_any_line_of_a_whole_walk(stage, capsys):
    logs.set_up(as_json=True, level=logging.DEBUG)
    logging.getLogger("sqlalchemy").setLevel(logging.WARNING)
    with serving(stage) as served:
        assert served.submit(BAUANTRAG.replace(b"Einfamilienhaus", CANARY.encode())).status_code == 202
        served.submit(BAUANTRAG.replace(b"</bau:bauantrag", f"<bau:{CANARY}/></bau:bauantrag".encode()))
        served.get(f"/hub/v1/applications/{CANARY}")
        stage.hub.dispatcher.run_once()
    ours = [line for line in lines(capsys) if line["logger"].startswith("hub")]
    assert ours
    assert CANARY not in json.dumps(ours)


def test_whoever_speaks_a_json_log_parses_line_by_line(capsys, monkeypatch):
    logs.set_up(as_json=True, level=logging.INFO)
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "propagate", True)
    # As a server sets its library up, but for what it never says.
    uvicorn.Config("x", **server_options(ConnectionBounds()) | {"access_log": True, "log_level": "info"})
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    logging.getLogger("uvicorn.access").info('%s - "%s" %d', "192.0.2.7", "GET /v2/info HTTP/1.1", 200)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("a library is old\nand says so", UserWarning, stacklevel=1)
    try:
        int(CANARY)
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    died = threading.Thread(target=int, args=[CANARY])
    died.start()
    died.join()
    said = lines(capsys)
    assert [line["logger"] for line in said] == ["uvicorn.error", "uvicorn.access", "py.warnings", "hub", "hub"]
    assert [line.get("error") for line in said[-2:]] == ["ValueError", "ValueError"]
    assert CANARY not in json.dumps(said)


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("POST https://u:geheim@there.example/hooks/geheim?k=geheim 500", "POST https://there.example/… 500"),
        ('"GET /admin/oidc/callback?code=geheim&state=geheim HTTP/1.1"', '"GET /admin/oidc/callback?… HTTP/1.1"'),
        ("address https://hub.example, PostgreSQL", "address https://hub.example, PostgreSQL"),
        ("Warum? Weil es so ist.", "Warum? Weil es so ist."),
    ],
)
def test_of_an_address_only_the_host_is_written(capsys, as_json, said, written):
    logs.set_up(as_json=as_json, level=logging.INFO)
    logging.getLogger("hub.x").info("%s", said)
    line = capsys.readouterr().err
    assert (json.loads(line)["message"] if as_json else line.rstrip("\n")).endswith(written)
    assert "geheim" not in line


def test_a_line_for_people_names_the_failure_and_quotes_nothing(capsys):
    logs.set_up(as_json=False, level=logging.INFO)
    try:
        int(CANARY)
    except ValueError:
        logging.getLogger("hub.x").exception("delivery %s: failed", "d-1", extra={"submission": "s-1", "cause": ""})
    said = capsys.readouterr().err
    assert "ERROR hub.x: delivery d-1: failed [submission=s-1]\n" in said
    assert f"ValueError at {__file__}" in said
    assert CANARY not in said


#: What becomes of it, by alphabet: the line of an answer is written when the answer is out.
LIFE = ["accept", "accepted", "collected", "deleted", "waiting"]


def lived(stage):
    """Let an application live from its arrival to the deletion of its contents; return it."""
    door = Door(stage)
    with serving(stage) as served:
        accepted = served.submit(ars=WIESBADEN).json()
        stage.hub.dispatcher.run_once()
        headers = {"Authorization": f"Bearer {served.token('subscriber')}"}
        collected = served.get(f"/v2/submissions/{accepted['submissionId']}", headers=headers).json()
        parts = (collected["encryptedMetadata"], collected["encryptedData"])
        sent = Sent(accepted["submissionId"], accepted["caseId"], *parts)
        assert door.accept(sent).status == 204
        hub = stage.hub
        job = RetentionJob(
            store=hub.store, callback_writer=hub.callback_writer, board=hub.board, keys=hub.keys, base_url=hub.base_url
        )
        hub.checkpoints.make(stage.clock())
        stage.clock.pass_(days=8)
        job.run(stage.clock())
        message = hub.store.submissions.message(UUID(sent.submission_id))
        assert message.contents is None
    return message


def test_one_id_finds_the_whole_life_of_an_application(stage, capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    message = lived(stage)
    life = [line for line in lines(capsys) if line.get("submission") == str(message.id)]
    assert sorted(line["outcome"] for line in life) == LIFE
    for line in life:
        assert line["level"] == "info"
        assert line["case"] == str(message.case_id)
        assert line["destination"] == str(message.destination_id)
        assert line["service"] == BAUEN


def test_text_for_people_finds_the_same_life(stage, capsys):
    logs.set_up(as_json=False, level=logging.INFO)
    message = lived(stage)
    said = [line for line in capsys.readouterr().err.splitlines() if str(message.id) in line]
    assert sorted(line.partition("outcome=")[2].split()[0].rstrip("]") for line in said) == LIFE


def test_by_the_sealed_door_a_life_begins_with_its_announcement(stage, capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    door = Door(stage)
    sent = door.send()
    begun = [line for line in lines(capsys) if line.get("submission") == sent.submission_id]
    assert begun[0]["outcome"] == "announced"
    assert begun[0]["case"] == sent.case_id


def test_a_refused_application_has_one_line_with_the_id_of_its_answer(stage, capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    with serving(stage) as served:
        answers = [served.submit(b"<bau"), served.submit(ANMELDUNG, kind="application/json")]
    said = {line["instance"]: line for line in lines(capsys) if "instance" in line}
    assert len(said) == len(answers)
    for answer in answers:
        line = said[answer.json()["instance"]]
        assert (line["outcome"], line["status"], line["operation"]) == (
            *("refused", answer.status_code),
            "applications.create",
        )
        assert answer.json()["type"].endswith(line["cause"])
        assert line["service"] == BAUEN


def test_a_delivery_that_is_given_up_is_named(stage, capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    accepted = stage.accept()
    submission_id = accepted.claims["sub"].removeprefix("submission:")
    stage.hub.checkpoints.make(stage.clock())
    stage.clock.pass_(days=15)
    undelivered = next(duty for duty in stage.hub.duties.duties if duty.name == "undelivered")
    assert undelivered.run(stage.clock()) >= 1
    (line,) = [each for each in lines(capsys) if each.get("outcome") == "given-up"]
    assert line["submission"] == submission_id


def test_an_adapter_that_speaks_of_each_step_is_not_heard(capsys):
    logs.set_up(as_json=True, level=logging.INFO)
    logging.getLogger("asyncssh").info("[conn=0] Connected to SSH server at 192.0.2.9, port 22")
    logging.getLogger("asyncssh.sftp").info("[conn=0, chan=0] Sending file")
    assert lines(capsys) == []
