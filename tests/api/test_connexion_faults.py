"""The ten faults of connexion 3.3 that guards close: regression tests, by the fault's number."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import uvicorn
from stand_in import CONTRACT, GOOD, NOTE, WEAK, Client, StandIn, contract_without, edge_app

from hub.api.guards import RequestLimits
from hub.api.problems import server_options
from hub.errors import ConfigurationError
from hub.web.protocol import ConnectionBounds


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def client(folder: Path) -> Client:
    return Client(edge_app(folder))


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    """A real server on a free port."""
    options = {**server_options(ConnectionBounds()), "log_config": None}
    config = uvicorn.Config(edge_app(folder), host="127.0.0.1", port=0, lifespan="on", **options)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join(5)


def speak(port: int, request: bytes) -> tuple[int, bytes]:
    """Send raw bytes; return the status and everything that came back."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        connection.settimeout(10)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(65536)
        head, _, body = answer.partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        while len(body) < length:
            body += connection.recv(65536)
    return int(head.split()[1]), head + b"\r\n\r\n" + body


def test_fault_1_a_media_type_in_capitals_does_not_bypass_validation(client: Client):
    for spelling in ("Application/JSON", "APPLICATION/JSON; charset=UTF-8", "application/json ;charset=utf-8"):
        refused = client.post("/hub/v1/notes", b'{"text": 1}', spelling)
        assert (refused.status, refused.slug) == (400, "schema-violation"), spelling
        accepted = client.post("/hub/v1/notes", b'{"text": "a"}', spelling)
        assert accepted.json["arguments"] == {"body": {"text": "a"}}, spelling


def test_fault_1_an_unknown_missing_or_double_media_type_is_refused(client: Client):
    for media_type in ("text/plain", "application/json, application/xml", "json", "application/json; charset=utf-16"):
        assert client.post("/hub/v1/notes", b"{}", media_type).status == 415, media_type
    assert client.ask("POST", "/hub/v1/notes", body=[b"{}"]).status == 415
    double = [("Content-Type", "application/json"), ("Content-Type", "application/xml")]
    assert client.ask("POST", "/hub/v1/notes", *double, body=[b"{}"]).status == 400


def test_fault_2_chunked_json_without_content_length_is_a_body(client: Client, port: int):
    chunked = client.ask("POST", "/hub/v1/notes", ("Content-Type", "application/json"), body=[b'{"text":', b'"a"}'])
    assert chunked.json["arguments"] == {"body": {"text": "a"}}
    head = b"POST /hub/v1/notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    status, answer = speak(
        port, head + b"Transfer-Encoding: chunked\r\n\r\n" + b'8\r\n{"text":\r\n4\r\n"a"}\r\n0\r\n\r\n'
    )
    assert status == 200
    assert b'"body":{"text":"a"}' in answer


def test_fault_2_an_empty_body_is_still_missing(client: Client):
    for body in ([b""], [b"", b""]):
        answer = client.ask("POST", "/hub/v1/notes", ("Content-Type", "application/json"), body=body)
        assert (answer.status, answer.slug) == (400, "body-required")


@pytest.mark.parametrize(
    "body",
    [
        b'{"text": "\xff\xfe"}',
        b'{"text": "\xc0\xaf"}',
        b'\xef\xbb\xbf{"text": "a"}',
        '{"text": "a"}'.encode("utf-16"),
        b'{"text": "\\ud800"}',
        b"[" * 5000 + b"]" * 5000,
        b'{"a":' * 200 + b"1" + b"}" * 200,
        b"[" * 65 + b"]" * 65,
        b'{"count": ' + b"9" * 5000 + b"}",
        b'{"count": NaN, "text": "a"}',
        b'{"count": -Infinity, "text": "a"}',
        b'{"count": 1e999, "text": "a"}',
        b'{"text": "a", "text": "b"}',
        b'{"text": "a", "t\\u0065xt": "b"}',
        b'{"text": "a"',
        b'{"text": "a"} x',
    ],
)
def test_fault_3_ambiguous_json_is_refused_not_a_crash(client: Client, body: bytes):
    answer = client.post("/hub/v1/notes", body)
    assert (answer.status, answer.slug) == (400, "invalid-json")


def test_fault_3_a_content_length_that_is_no_number_is_refused(client: Client, port: int):
    for value in ("abc", "-1", "+5", "5, 5", "0x5", "", "9" * 40):
        headers = [("Content-Type", "application/json"), ("Content-Length", value)]
        assert client.ask("POST", "/hub/v1/notes", *headers, body=[b"{}"]).status == 400, value
    head = b"POST /hub/v1/notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: abc\r\n\r\n{}"
    assert speak(port, head)[0] == 400


def test_fault_4_scopes_are_enforced(client: Client):
    target = f"/hub/v1/notes/{NOTE['id']}"
    refused = client.with_token(WEAK).get(target)
    assert (refused.status, refused.slug) == (403, "forbidden")
    assert refused.headers["www-authenticate"] == 'Bearer error="insufficient_scope", scope="send"'
    assert client.with_token().get(target).json["arguments"]["user"] == "client-1"


def test_fault_4_a_scheme_that_would_ignore_scopes_does_not_stand_in_the_contract():
    real = (Path(__file__).parents[2] / "openapi.yaml").read_text()
    assert "scheme: bearer" not in real.lower()


def test_fault_5_a_401_says_how_to_authenticate(client: Client):
    target = f"/hub/v1/notes/{NOTE['id']}"
    assert client.get(target).headers["www-authenticate"] == "Bearer"
    forged = client.with_token("forged").get(target)
    assert (forged.status, forged.headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    basic = client.get(target, ("Authorization", "Basic YTpi"))
    assert (basic.status, basic.headers["www-authenticate"]) == (401, "Bearer")


def test_fault_6_a_recursive_contract_stops_the_start(folder: Path):
    contract = json.loads(json.dumps(CONTRACT))
    contract["components"]["schemas"] = {
        "Node": {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Node"}}}
    }
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    contract["paths"]["/hub/v1/mine"]["post"]["requestBody"] = body
    with pytest.raises(ConfigurationError):
        edge_app(folder, contract=contract)


def test_fault_7_a_uuid_is_checked_wherever_it_stands(client: Client):
    assert client.with_token().get("/hub/v1/notes/not-a-uuid").status == 400
    assert client.get("/hub/v1/notes", ("X-Key", "not-a-uuid")).status == 400
    refused = client.post("/hub/v1/notes", b'{"text": "a", "id": "not-a-uuid"}')
    assert [(v["rule"], v["path"]) for v in refused.json["violations"]] == [("format", "/id")]
    assert client.post("/hub/v1/notes", json.dumps(NOTE).encode()).status == 200


def test_fault_8_an_answer_that_breaks_the_contract_tells_nothing(client: Client, caplog: pytest.LogCaptureFixture):
    answer = client.get("/hub/v1/broken")
    assert (answer.status, answer.slug) == (500, "internal")
    assert b"Geheimnis" not in answer.body
    assert "violations" not in answer.json
    assert "type at /a" in caplog.text
    assert "Geheimnis" not in caplog.text


def test_fault_9_nothing_of_a_request_can_pose_as_the_security_context(client: Client):
    target = f"/hub/v1/notes/{NOTE['id']}"
    for name in ("user", "token_info", "user[]", "token[info]", "us%65r", "context_", "body"):
        answer = client.with_token().get(f"{target}?{name}=client-2")
        assert (answer.status, answer.slug) == (400, "malformed"), name
    assert client.with_token().get(target).json["arguments"]["user"] == "client-1"


def test_fault_10_a_body_over_the_cap_is_refused_by_its_length_and_by_counting(folder: Path, port: int):
    client = Client(edge_app(folder, limits=RequestLimits(json=100, attachment=1000)))
    media = ("Content-Type", "application/json")
    declared = client.ask("POST", "/hub/v1/notes", media, ("Content-Length", "101"), body=[b""])
    assert (declared.status, declared.slug, declared.json["limit"]) == (413, "payload-too-large", 100)
    counted = client.ask("POST", "/hub/v1/notes", media, body=[b'{"text":"', b"a" * 100, b'"}'])
    assert (counted.status, counted.slug) == (413, "payload-too-large")
    lied = client.ask("POST", "/hub/v1/notes", media, ("Content-Length", "10"), body=[b'{"text":"', b"a" * 100, b'"}'])
    assert lied.status == 413
    jose = ("Content-Type", "application/jose")
    assert client.ask("PUT", "/v1/attachments/a", jose, body=[b"x" * 600, b"x" * 400]).json["size"] == 1000
    assert client.ask("PUT", "/v1/attachments/a", jose, body=[b"x" * 600, b"x" * 401]).status == 413
    # The real server: the refusal comes while the client still waits with its body.
    head = b"POST /hub/v1/notes HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000001\r\n"
    status, answer = speak(port, head + b"Expect: 100-continue\r\n\r\n")
    assert status == 413
    assert b"100 Continue" not in answer


def test_fault_10_a_stream_is_not_held_back_until_it_is_complete(client: Client):
    pieces = [b"x" * 65536] * 40
    answer = client.ask("PUT", "/v1/attachments/a", ("Content-Type", "application/jose"), body=pieces)
    assert answer.json == {"id": "a", "pieces": 40, "size": 40 * 65536}


def test_multipart_reaches_the_handler_without_a_temporary_file(client: Client, monkeypatch: pytest.MonkeyPatch):
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a temporary file was opened")

    for name in ("SpooledTemporaryFile", "TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, forbidden)
    monkeypatch.setattr("starlette.formparsers.SpooledTemporaryFile", forbidden)
    content = b"x" * 3_000_000
    body = (
        b'--b\r\nContent-Disposition: form-data; name="data"; filename="a.xml"\r\nContent-Type: application/xml\r\n\r\n'
        + content
        + b"\r\n--b--\r\n"
    )
    answer = client.post("/hub/v1/parts", body, "Multipart/Form-Data; boundary=b")
    assert answer.json["parts"] == [
        {"name": "data", "filename": "a.xml", "type": "application/xml", "size": len(content)}
    ]
    # An operation that takes no form must not have it parsed, either.
    body = body.replace(content, b"x")
    assert client.post("/hub/v1/notes", body, "multipart/form-data; boundary=b").status == 415
    for method in ("GET", "DELETE"):
        sent = client.ask(method, "/hub/v1/notes", ("Content-Type", "multipart/form-data; boundary=b"), body=[body])
        assert sent.status == 400


def test_operations_and_handlers_must_match_or_the_start_stops(folder: Path):
    handlers = StandIn().handlers()
    with pytest.raises(ConfigurationError, match=r"fit\.info"):
        edge_app(folder, handlers={name: handler for name, handler in handlers.items() if name != "fit.info"})
    with pytest.raises(ConfigurationError, match=r"fit\.info"):
        edge_app(folder, contract=contract_without("/v1/info"))


def test_security_comes_before_the_body_is_read(client: Client):
    refused = client.post("/hub/v1/mine", b"{broken")
    assert refused.status == 401
    assert client.with_token(GOOD).post("/hub/v1/mine", b"{broken").status == 400


def test_fault_10_an_ordinary_client_sees_the_413_and_goes_on_with_its_connection(port: int):
    session = requests.Session()
    url = f"http://127.0.0.1:{port}/hub/v1/notes"
    for body in (b"x" * 3_000_000, iter([b"x" * 65536] * 50)):
        refused = session.post(url, data=body, headers={"Content-Type": "application/json"}, timeout=10)
        assert (refused.status_code, refused.json()["limit"]) == (413, 1_000_000)
    assert session.get(url, timeout=10).status_code == 200
