# ruff: noqa: F401, F811  # Fixtures are imported and used by name.
from __future__ import annotations

import hashlib
import hmac
import socketserver
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import orjson
import pytest
import requests
from partner import FakeHub
from stage import NOW
from test_connector_town import (
    CANARY,
    LATER,
    SECRET,
    catalog,
    good_data,
    town,
    town_keys,
)

from adapters.https import Https
from hub.connector.demo_system import SpecialistSystem
from hub.connector.listener import Listener
from hub.model import Contents, Door, OutcomeKind, Package, Sealed, Service, Submission

LISTEN = {"mode": "listen", "listen": {"secret_file": "secret"}}


def push(listener, envelope: dict, *, secret: str = SECRET, at=NOW, path: str = "/deliveries", body=None):
    body = orjson.dumps(envelope) if body is None else body
    stamp = str(int(at.timestamp()))
    signature = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha512).hexdigest()
    headers = {"Callback-Timestamp": stamp, "Callback-Authentication": signature}
    return requests.post(f"http://127.0.0.1:{listener.port}{path}", data=body, headers=headers, timeout=5)


@pytest.fixture
def listening(town):
    connector = town.start(**LISTEN)
    listener = connector.listen()
    yield connector, listener
    listener.close()


def test_a_forged_push_is_refused(town, listening):
    connector, listener = listening
    envelope = town.hub.envelope(town.submit())
    assert push(listener, envelope, secret="f" * 32).status_code == 401
    assert push(listener, envelope, at=NOW - timedelta(minutes=6)).status_code == 401
    assert connector.run_once(NOW).open == 0


def test_a_push_for_another_town_is_refused(town, listening):
    envelope = {**town.hub.envelope(town.submit()), "destinationId": str(uuid4())}
    assert push(listening[1], envelope).status_code == 403


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"version": 2},
        {"version": 2, "receipt": "a.b.c"},
        {"version": 2, "receipt": 7, "log": {"previous": "0" * 64, "entries": []}},
        {"version": 2, "receipt": "a.b.c", "log": {"previous": 0, "entries": []}},
        {"version": 2, "receipt": "a.b.c", "log": {"previous": "0" * 64, "entries": [{}]}},
        {"submissionId": "../../etc"},
        {"encryptedMetadata": "plain text"},
        {"encryptedData": {"a": 1}},
        {"eventLog": "none"},
        {"attachments": {}},
        {"attachments": [{"attachmentId": "x"}]},
        {"attachments": [{"attachmentId": str(uuid4()), "jwe": "a.b.c.d.e", "sha512": "0"}]},
        {"attachments": [{"attachmentId": str(UUID(int=one))} for one in range(101)]},
    ],
)
def test_an_envelope_out_of_form_is_refused(change, town, listening):
    answer = push(listening[1], {**town.hub.envelope(town.submit()), **change})
    assert answer.status_code == 400
    assert CANARY not in answer.text


def test_not_json_or_too_large_or_elsewhere_is_refused(town, listening):
    listener = listening[1]
    assert push(listener, {}, body=b"not json").status_code == 400
    assert push(listener, {}, path="/elsewhere").status_code == 404
    huge = {"Content-Length": str(10**9)}
    assert requests.post(f"http://127.0.0.1:{listener.port}/deliveries", headers=huge, timeout=5).status_code == 413


def test_a_push_is_durable_before_it_is_answered(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    assert push(listener, town.hub.envelope(submission_id)).status_code == 202
    assert town.start(**LISTEN).run_once(NOW).accepted == 1
    assert town.handed() == [str(submission_id)]
    del connector


def test_a_repeated_push_is_handled_once(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    assert push(listener, town.hub.envelope(submission_id)).status_code == 202
    assert push(listener, town.hub.envelope(submission_id, repeat=True)).status_code == 200
    connector.run_once(NOW)
    assert push(listener, town.hub.envelope(submission_id, repeat=True)).status_code == 200
    assert connector.run_once(LATER).handed == 0
    assert len(town.hub.posted) == 1


def test_pushes_at_once_make_one_case(town, listening):
    connector, listener = listening
    envelope = town.hub.envelope(town.submit())
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(push(listener, envelope).status_code)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 200, 200, 202]
    assert connector.run_once(NOW).handed == 1


def test_large_attachments_are_collected(town, listening):
    connector, listener = listening
    submission_id = town.submit()
    assert push(listener, town.hub.envelope(submission_id, inline=False)).status_code == 202
    assert connector.run_once(NOW).accepted == 1
    assert (town.inbox / str(submission_id) / "attachments" / f"{CANARY}.pdf").exists()


def test_a_push_with_a_short_log_fetches_the_whole_one(town, listening):
    connector, listener = listening
    envelope = {**town.hub.envelope(town.submit()), "eventLog": []}
    assert push(listener, envelope).status_code == 202
    assert connector.run_once(NOW).accepted == 1


def test_a_listener_whose_loop_dies_takes_pushes_again(town, monkeypatch):
    died = threading.Event()

    def dying(server):
        if not died.is_set():
            died.set()
            raise MemoryError

    monkeypatch.setattr(socketserver.BaseServer, "handle_timeout", dying)
    connector = town.start(**LISTEN)
    listener = connector.listen()
    assert died.wait(30)
    submission_id = town.submit()
    answer = push(listener, town.hub.envelope(submission_id))
    listener.close()
    assert answer.status_code == 202
    assert connector.run_once(NOW).accepted == 1


def test_pushed_and_collected_is_one(town):
    connector = town.start(**{**LISTEN, "mode": "both"})
    listener = connector.listen()
    submission_id = town.submit()
    push(listener, town.hub.envelope(submission_id))
    counts = connector.run_once(NOW)
    listener.close()
    assert (counts.handed, counts.accepted) == (1, 1)


@pytest.mark.parametrize("version", [1, 2])
def test_what_the_https_adapter_pushes_is_what_the_connector_takes(version, town):
    connector = town.start(**LISTEN)
    # The adapter signs with the real time.
    listener = Listener(connector.settings.listen, connector.take, lambda: datetime.now(UTC))
    submission_id = town.submit()
    package = package_of(town.hub, submission_id)
    options = {"url": f"http://127.0.0.1:{listener.port}/deliveries", "secret_file": str(town.folder / "secret")}
    adapter = Https({**options, "envelope": version, "allow_http": True, "allow_private_addresses": True})
    adapter.open()
    kinds = [adapter.deliver(package).kind for _ in range(2)]
    adapter.close()
    listener.close()
    assert kinds == [OutcomeKind.DELIVERED] * 2
    counts = connector.run_once(NOW)
    assert (counts.handed, counts.accepted) == (1, 1)


def package_of(hub: FakeHub, submission_id: UUID) -> Package:
    """What the dispatcher would give an adapter."""
    held = hub.submissions[str(submission_id)]

    def seal(jwe: bytes) -> Sealed:
        return Sealed(tag=jwe.decode()[-22:], sha512=hashlib.sha512(jwe).hexdigest(), size=len(jwe), jwe=jwe)

    contents = Contents(
        metadata=seal(held["encryptedMetadata"].encode()),
        data=seal(held["encryptedData"].encode()),
        attachments={UUID(one): seal(hub.attachments[str(submission_id), one]) for one in held["attachments"]},
    )
    submission = Submission(
        submission_id=submission_id,
        case_id=UUID(held["caseId"]),
        destination_id=hub.destination_id,
        sender="sender",
        door=Door.PLAIN,
        service=Service(**held["publicService"]),
        area=None,
        contents=contents,
        submitted_at=NOW,
    )
    return Package(
        delivery_id=uuid4(),
        attempt=1,
        repeat=False,
        submission=submission,
        destination=None,
        event_log=hub.logs[held["caseId"]],
        evidence=lambda: hub.evidence(submission_id, now=NOW),
        read=lambda sealed: iter([sealed.jwe]),
        base_url=hub.url,
    )


# --- the specialist system ------------------------------------------------------------------------------------------


def test_the_demo_runs_from_push_to_specialist_system(town):
    system = SpecialistSystem(port=0, folder=town.folder / "cases", secret=SECRET, now=lambda: NOW)
    handover = {"kind": "http", "url": f"http://127.0.0.1:{system.port}/cases", "secret_file": "secret"}
    connector = town.start(**LISTEN, handover=handover)
    listener = connector.listen()
    submission_id = town.submit()
    push(listener, town.hub.envelope(submission_id))
    assert connector.run_once(NOW).accepted == 1
    listener.close()
    base = f"http://127.0.0.1:{system.port}"
    (case,) = requests.get(base + "/cases.json", timeout=5).json()["cases"]
    page = requests.get(base + "/", timeout=5)
    system.close()
    assert case["submissionId"] == str(submission_id)
    assert case["repeat"] is False
    assert "Eingegangene Anträge: 1" in page.text
    assert CANARY not in page.text
    stored = town.folder / "cases" / str(submission_id)
    assert (stored / "data.json").read_bytes() == good_data()
    assert (stored / "attachments" / f"{CANARY}.pdf").read_bytes() == f"%PDF {CANARY}".encode()


def test_a_push_that_the_connector_stumbles_over_is_answered_and_told_in_the_log(town, caplog):
    def stumbling(_push):
        raise KeyError("what nobody foresaw")

    listener = Listener(town.start(**LISTEN).settings.listen, stumbling, lambda: NOW)
    try:
        assert push(listener, town.hub.envelope(town.submit())).status_code == 500
        assert push(listener, {}, path="/elsewhere").status_code == 404, "and it goes on"
    finally:
        listener.close()
    assert "a delivery could not be taken" in caplog.text
