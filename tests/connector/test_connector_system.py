# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
"""The local system's say, over the loopback interface and by the outbox: what it means, and what nobody gets past it."""

from __future__ import annotations

import os
import socketserver
import threading
from pathlib import Path
from uuid import uuid4

import jsonschema_rs
import orjson
import pytest
import requests
from partner import Answer, Partner, always
from raw_http import Wire
from say import DEADLINE, TOKEN, Local, apply, local, system
from stage import NOW
from test_connector_town import CANARY, LATER, Town, catalog, town, town_keys
from test_connector_walk import Killed, kill_at

from hub.connector.casebook import CaseBook
from hub.connector.demo_system import SpecialistSystem
from hub.connector.journal import JournalState
from hub.connector.outbox import Outbox
from hub.errors import ConfigurationError
from hub.model import ReplyMessage
from hub.supervision import Supervisor

CONTRACT = Path(__file__).parents[2] / "docs/reference/handover-2.schema.json"
QUESTION = {"kind": "question", "text": "Wo ist der Plan?", "deadline": DEADLINE.isoformat()}


def follows(document: object, name: str) -> bool:
    """Whether a message is what the published schema says of it."""
    schema = orjson.loads(CONTRACT.read_bytes())
    return jsonschema_rs.is_valid({**schema, "$ref": f"#/$defs/{name}"}, document)


@pytest.fixture
def fach(town, rsa_pair):
    """A loopback interface, and a submission that waits for the local system's word."""
    with Partner(play=always(Answer(status=202))) as taker:
        town.application = apply(town, rsa_pair[0])
        town.start(**system(town.folder, taker.url + "/in")).run_once(NOW)
    said = local(town, town.connector.say.desk)
    yield said
    said.api.close()


# --- the interface --------------------------------------------------------------------------------------------------


def test_what_is_said_and_answered_follows_the_published_contract(town, fach):
    path = f"/v2/submissions/{town.application}"
    key = uuid4()
    assert follows(fach.get(path).json(), "standing")
    assert follows(QUESTION, "reply")
    assert follows(fach.post(f"{path}/replies", QUESTION, key=key).json(), "replyStanding")
    assert follows(fach.get("/v2/kinds").json(), "kinds")
    refusal = {"reasons": ["not-responsible"], "text": "Zuständig ist der Kreis."}
    assert follows(refusal, "rejection")
    assert not follows({"reasons": []}, "rejection")
    assert follows(fach.post(f"{path}/reject", refusal).json(), "standing")
    assert follows(fach.post(f"{path}/accept").json(), "problem")


def test_the_interface_answers_again_when_its_loop_died(town, fach, monkeypatch):
    died = threading.Event()

    def dying(server):
        if not died.is_set():
            died.set()
            raise MemoryError

    monkeypatch.setattr(socketserver.BaseServer, "handle_timeout", dying)
    assert died.wait(30)
    assert fach.post(f"/v2/submissions/{town.application}/accept").status_code == 202
    assert town.connector.run_once(LATER).accepted == 1


def test_a_reply_with_files_comes_in_parts(town, fach):
    path, key = f"{fach.base}/v2/submissions/{town.application}/replies", str(uuid4())
    parts = [
        ("reply", (None, orjson.dumps({"kind": "decision", "text": "Genehmigt."}), "application/json")),
        ("attachment", ("../../Bescheid.pdf", b"%PDF", "application/pdf")),
    ]
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key}
    for _ in range(2):
        taken = requests.post(path, files=parts, headers=headers, timeout=10)
        assert taken.status_code == 202, taken.text
    town.connector.run_once(LATER)
    (reply,) = town.hub.sent_replies()
    assert len(reply["attachments"]) == 1
    late = fach.post(f"/v2/submissions/{town.application}/replies", QUESTION, key=uuid4())
    assert (late.status_code, late.json()["type"]) == (409, "urn:rathaus-hub:problem:case-file-closed")
    large = [parts[0], ("attachment", ("x.bin", bytes(52 * 1024 * 1024), "application/pdf"))]
    answer = requests.post(path, files=large, headers={**headers, "Idempotency-Key": str(uuid4())}, timeout=30)
    assert answer.status_code == 413


def test_the_demonstration_system_takes_and_decides_by_version_2(town, rsa_pair, tmp_path):
    desk = SpecialistSystem(port=0, folder=tmp_path / "cases", secret=None, now=lambda: NOW)
    try:
        submission_id = apply(town, rsa_pair[0])
        connector = town.start(**system(town.folder, f"http://127.0.0.1:{desk.port}/cases"))
        connector.run_once(NOW)
        assert connector.status() == {JournalState.WAITING: 1}
        said = local(town, connector.say.desk)
        try:
            for deed, document in (("accept", {}), ("replies", QUESTION), ("replies", QUESTION)):
                assert desk.decide(said.base, TOKEN, submission_id, deed, document) == 202
        finally:
            said.api.close()
        assert connector.run_once(LATER).accepted == 1
        assert len(town.hub.sent_replies()) == 1
    finally:
        desk.close()


HOST, KEY = b"Host: 127.0.0.1:%d\r\n", b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
JSON = b"Content-Type: application/json\r\nContent-Length: 2\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HOST + JSON, 401),
        (HOST + JSON + b"Authorization: Bearer guess\r\n", 401),
        (HOST + JSON + KEY + b"Authorization: Bearer guess\r\n", 400),
        (HOST + JSON + b"Authorization: Bearer guess\r\n" + KEY, 400),
        (b"Host: evil.example\r\n" + HOST + JSON + KEY, 400),
        (b"Host: evil.example\r\n" + JSON + KEY, 403),
        (b"Host: evil.example:%d\r\n" + JSON + KEY, 403),
        (b"Host: 127.0.0.1\r\n" + JSON + KEY, 403),
        (JSON + KEY, 403),
        (HOST + JSON + KEY + b"Origin: http://127.0.0.1\r\n", 403),
        (HOST + JSON + KEY + b"Sec-Fetch-Site: cross-site\r\n", 403),
        (HOST + KEY + b"Content-Type: text/plain\r\nContent-Length: 2\r\n", 415),
        (HOST + KEY + JSON + b"Content-Length: 3\r\n", 400),
        (HOST + KEY + JSON + b"Transfer-Encoding: chunked\r\n", 400),
        (HOST + KEY + b"Content-Type: application/json\r\nContent-Length: 999999999\r\n", 413),
    ],
    ids=[
        *("no token", "wrong token", "a second token", "a token before", "a second host", "another host", "rebinding"),
        *("no port", "no host", "a page", "a page elsewhere", "a form", "two lengths", "two framings", "large"),
    ],
)
def test_the_loopback_interface_lets_in_nobody_but_the_local_system(head, status, town, fach):
    port = fach.api.port
    with Wire(port) as wire:
        filled = head.replace(b"%d", str(port).encode())
        wire.send(b"POST /v2/submissions/%s/accept HTTP/1.1\r\n" % str(town.application).encode(), filled, b"\r\n{}")
        assert wire.reply().status == status
    assert town.connector.status() == {JournalState.WAITING: 1}


@pytest.mark.parametrize(
    ("path", "document", "status"),
    [
        ("accept", {"acept": 1}, 400),
        ("reject", {}, 400),
        ("reject", {"reasons": []}, 422),
        ("reject", {"reasons": ["<b>"]}, 422),
        ("reject", {"reasons": "other"}, 400),
        ("reject", {"reasons": ["other"], "text": 1}, 400),
        ("forward", {"destination": "x"}, 400),
        ("replies", QUESTION, 400),
        ("../../etc", {}, 404),
    ],
)
def test_what_the_contract_does_not_know_is_refused_and_decides_nothing(path, document, status, town, fach):
    assert fach.post(f"/v2/submissions/{town.application}/{path}", document).status_code == status
    assert fach.post(f"/v2/submissions/{uuid4()}/accept").status_code == 404
    assert town.connector.status() == {JournalState.WAITING: 1}


def test_a_token_that_others_may_read_or_that_is_empty_stops_the_start(town, fach):
    (town.folder / "token").chmod(0o644)
    with pytest.raises(ConfigurationError):
        town.connector.say.services(Supervisor())
    (town.folder / "token").chmod(0o600)
    (town.folder / "token").write_text("")
    with pytest.raises(ConfigurationError):
        town.connector.say.services(Supervisor())


# What kills a process here ends a thread, which the test would be told of.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("step", ["decide", "write"])
def test_killed_while_it_is_told_something_the_same_id_said_again_is_done_once(step, after, town, fach, monkeypatch):
    path, key = f"/v2/submissions/{town.application}", uuid4()
    say = {
        "decide": lambda to: to.post(f"{path}/accept"),
        "write": lambda to: to.post(f"{path}/replies", QUESTION, key=key),
    }[step]
    kill_at(monkeypatch, CaseBook, step, after=after)
    with pytest.raises(requests.ConnectionError):
        say(fach)
    fach.api.close()
    again = local(town, town.start(**system(town.folder, "http://127.0.0.1:9/in")).say.desk)
    try:
        standing = again.get(path).json()
        assert (standing["decision"] is not None) is (after and step == "decide")
        if step == "write":
            assert again.get(f"/v2/replies/{key}").status_code == (200 if after else 404)
        for _ in range(2):
            assert say(again).status_code == 202
    finally:
        again.api.close()
    town.connector.run_once(LATER)
    assert (len(town.hub.posted), len(town.hub.sent_replies())) == ((1, 0) if step == "decide" else (0, 1))


# --- the outbox -----------------------------------------------------------------------------------------------------


@pytest.fixture
def outbox(town, rsa_pair):
    """An outbox, and a submission that lies in the folder of the hand-over."""
    (town.folder / "out").mkdir()
    town.application = apply(town, rsa_pair[0])
    town.start(**system(town.folder)).run_once(NOW)
    assert town.handed() == [str(town.application)]
    return town.folder / "out"


def put(outbox: Path, name: str, files: dict[str, bytes] | None = None, **said: object) -> Path:
    """Put a statement whole into the outbox, as the contract has it."""
    hidden, files = outbox / f".{name}", files or {}
    hidden.mkdir()
    for file, content in files.items():
        (hidden / file).write_bytes(content)
    listed = {"files": [{"file": file, "mimeType": "application/pdf"} for file in files]} if files else {}
    listed |= {"files": said.pop("files_named")} if "files_named" in said else {}
    (hidden / "reply.json").write_bytes(orjson.dumps({"version": 2, "id": str(uuid4()), **listed, **said}))
    return hidden.rename(outbox / name)


def test_the_outbox_says_the_same_as_the_interface(town, outbox):
    mine = str(town.application)
    put(outbox, "1", submissionId=mine, action="accept")
    put(outbox, "2", {"Bescheid.pdf": b"%PDF"}, submissionId=mine, action="reply", kind="decision", text="Genehmigt.")
    assert follows(orjson.loads((outbox / "2/reply.json").read_bytes()), "statement")
    (outbox / ".3").mkdir()
    (outbox / "half").mkdir()
    assert town.connector.run_once(LATER).accepted == 1
    assert len(town.hub.sent_replies()) == 1
    assert sorted(path.name for path in (outbox / "done").iterdir()) == ["1", "2"]
    assert (outbox / "half").is_dir()
    put(outbox, "4", submissionId=mine, action="reject", reasons=["other"])
    town.connector.run_once(LATER)
    assert orjson.loads((outbox / "failed/4.reason.json").read_bytes())["type"] == "decided-already"


def test_killed_between_doing_and_moving_the_outbox_does_nothing_twice(town, outbox, monkeypatch):
    put(outbox, "1", submissionId=str(town.application), action="reply", **QUESTION)
    kill_at(monkeypatch, Outbox, "_move", after=False)
    with pytest.raises(Killed):
        town.connector.run_once(LATER)
    town.start(**system(town.folder)).run_once(LATER)
    assert len(town.hub.sent_replies()) == 1
    assert [path.name for path in (outbox / "done").iterdir()] == ["1"]


@pytest.mark.parametrize("attack", ["folder", "reply.json", "file", "hard link", "up", "absolute", "pipe"])
def test_the_outbox_reads_nothing_outside_of_a_statements_own_folder(attack, town, outbox):
    secret = town.folder / "secret-of-others"
    secret.write_bytes(CANARY.encode())
    names = {"up": "../../secret-of-others", "absolute": str(secret)}
    said = {"submissionId": str(town.application), "action": "reply", "kind": "status", "text": "Siehe Anlage."}
    listed = [{"file": names.get(attack, "x.pdf"), "mimeType": "application/pdf"}]
    place = put(outbox, ".making", **said, files_named=listed)
    if attack == "file":
        (place / "x.pdf").symlink_to(secret)
    elif attack == "hard link":
        os.link(secret, place / "x.pdf")
    elif attack == "pipe":
        os.mkfifo(place / "x.pdf")
    elif attack == "reply.json":
        (place / "reply.json").rename(town.folder / "elsewhere.json")
        (place / "reply.json").symlink_to(town.folder / "elsewhere.json")
    if attack == "folder":
        place.rename(town.folder / "elsewhere")
        (outbox / "1").symlink_to(town.folder / "elsewhere")
    else:
        place.rename(outbox / "1")
    town.connector.run_once(LATER)
    assert town.hub.replies == {}
    assert (outbox / "failed/1.reason.json").is_file()
    assert not os.path.lexists(outbox / "1")
    assert secret.read_bytes() == CANARY.encode()


def test_what_is_no_statement_fails_with_its_reason_and_stops_nothing(town, outbox):
    mine = {"submissionId": str(town.application)}
    put(outbox, "1", action="accept")
    put(outbox, "2", **mine, action="forward")
    put(outbox, "3", **mine, action="accept", extra=1)
    put(outbox, "4", **mine, action="reply", **{**QUESTION, "deadline": "2020-01-01"})
    put(outbox, "5", submissionId=str(uuid4()), action="accept")
    (put(outbox, ".6", **mine, action="accept") / "reply.json").write_bytes(b"{")
    (outbox / ".6").rename(outbox / "6")
    put(outbox, "7", **mine, action="accept")
    assert town.connector.run_once(LATER).accepted == 1
    assert sorted(path.name for path in (outbox / "failed").iterdir() if path.is_dir()) == list("123456")
