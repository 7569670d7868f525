"""Requests made to be read in two ways, to exhaust, or to make the hub repeat what they say."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stand_in import NOTE, Client, edge_app

MARK = "Mustermann"


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with tempfile.TemporaryDirectory() as folder:
        yield Client(edge_app(Path(folder)))


@pytest.mark.parametrize(
    "path",
    [
        "/hub/v1/../v1/notes",
        "/hub/v1/./notes",
        "/hub/v1/notes/..",
        "/hub/v1/%2e%2e/notes",
        "/hub/v1/%2E./notes",
        "//hub/v1/notes",
        "/hub//v1/notes",
        "/hub/v1/notes//",
        "/hub/v1%2fnotes",
        "/hub%2Fv1/notes",
        "/hub/v1/notes%5c..",
        "/hub/v1/notes\\..",
        "/hub/v1/notes%00",
        "/hub/v1/notes%0d%0aX: y",
        "/hub/v1/notes%7f",
        "/hub/v1/notes/%252e%252e",
        "/hub/v1/notes/%ff",
        "/hub/v1/notes/%c0%af",
        "/hub/v1/notes/%zz",
        "/hub/v1/notes/%",
        "/hub/v1/notes/\xe4",
        "/hub/v1/notes/a b",
        "/hub/v1/notes/<script>",
        "hub/v1/notes",
        "",
        "/submission-api/../hub/v1/notes",
        "/submission-api/v1/..%2f..%2fhub/v1/notes",
        "/destination-api//v1/info",
    ],
)
def test_a_path_with_two_readings_is_refused(client: Client, path: str):
    answer = client.get(path)
    assert answer.status in {400, 404}
    assert "script" not in answer.body.decode()


def test_an_address_that_is_too_long_is_refused(client: Client):
    assert client.get("/" + "a" * 2048).status == 414
    assert client.get("/hub/v1/notes?area=" + "1" * 8192).status == 414


@pytest.mark.parametrize(
    "query",
    [
        "area=%ff",
        "area=\xe4",
        "area=%00",
        "area=1%0d%0aX-Injected:%20y",
        "&".join(f"n{number}=1" for number in range(101)),
        "limit=1&limit=2",
        "limit=1&l%69mit=2",
    ],
)
def test_a_query_with_two_readings_is_refused(client: Client, query: str):
    assert client.get(f"/v1/info?{query}").status == 400


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Content-Type", "Content-Length", "Host", "Idempotency-Key", "Transfer-Encoding", "Callback-Url"],
)
def test_a_header_that_may_stand_once_stands_once(client: Client, name: str):
    assert client.get("/hub/v1/notes", (name, "1"), (name, "1")).status == 400


def test_header_sections_over_the_caps_are_refused(client: Client):
    assert client.get("/hub/v1/notes", ("X-Long", "x" * 33_000)).status == 431
    assert client.get("/hub/v1/notes", *[(f"X-{number}", "1") for number in range(101)]).status == 431


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE"])
def test_methods_without_a_body_have_none(client: Client, method: str):
    headers = ("Content-Type", "application/json")
    assert client.ask(method, "/hub/v1/notes", headers, body=[b"{}"]).status == 400
    assert client.ask(method, "/hub/v1/notes", headers, body=[b"{", b"}"]).status == 400


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "GZIP"])
def test_a_compressed_body_is_no_way_around_the_cap(client: Client, encoding: str):
    headers = [("Content-Type", "application/json"), ("Content-Encoding", encoding)]
    assert client.ask("POST", "/hub/v1/notes", *headers, body=[b"{}"]).status == 415


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json; charset=utf-7",
        "application/json; charset=utf-16le",
        'application/json; charset="iso-8859-1"',
        "application/json; x=1; CHARSET = utf-16",
        "application/x-json",
        "text/json",
        "application/json+x",
        "multipart/form-data",
        "application/*",
        "*/*",
        "application/json\x00",
        "application/json/x",
    ],
)
def test_a_media_type_that_means_something_else_is_refused(client: Client, media_type: str):
    assert client.post("/hub/v1/notes", b'{"text": "a"}', media_type).status == 415


def test_a_multipart_body_never_reaches_an_operation_that_takes_none(client: Client):
    for path in ("/hub/v1/notes", "/token", "/v2/destinations/a/keys", "/v1/info"):
        answer = client.post(path, b"--b--\r\n", "multipart/form-data; boundary=b")
        assert answer.status in {405, 415}, path


@pytest.mark.parametrize(
    "target",
    [
        f"/hub/v1/{MARK}",
        f"/hub/v1/notes/{MARK}",
        f"/hub/v1/notes?area={MARK}",
        f"/hub/v1/notes?{MARK}=1",
        f"/{MARK}-api/v1",
    ],
)
def test_no_answer_and_no_log_line_repeats_what_a_request_says(
    client: Client, target: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    answer = client.with_token().ask("GET", target, ("X-Key", MARK), ("Accept-Language", MARK))
    assert answer.status in {400, 404}
    assert MARK not in answer.body.decode()
    assert MARK not in str(answer.headers)
    assert MARK not in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        f'{{"text": "{MARK}{MARK}{MARK}"}}',
        f'{{"{MARK}": 1}}',
        f'{{"text": {{"{MARK}": 1}}}}',
        f'{{"text": "a", "id": "{MARK}"}}',
        f'{{"text": "{MARK}',
        f'{{"{MARK}": 1, "{MARK}": 2}}',
        f'["{MARK}"]',
    ],
)
def test_no_answer_and_no_log_line_repeats_a_body(client: Client, body: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    answer = client.post("/hub/v1/notes", body.encode())
    assert answer.status == 400
    assert MARK not in answer.body.decode()
    assert MARK not in caplog.text


def test_a_flood_of_violations_is_cut(client: Client):
    body = json.dumps({"text": "a", "count": [[[[1]]]] * 1000, **{f"m{number}": 1 for number in range(5000)}})
    answer = client.post("/hub/v1/notes", body.encode())
    assert answer.status == 400
    assert len(answer.json["violations"]) <= 50
    assert len(answer.body) < 20_000


@pytest.mark.parametrize(
    "value", ["Bearer", "Bearer ", "Bearer a b", "bearer\tgood-token", "Basic x", "\xff", "Bearer \xff"]
)
def test_a_strange_authorization_is_401(client: Client, value: str):
    answer = client.get(f"/hub/v1/notes/{NOTE['id']}", ("Authorization", value))
    assert answer.status == 401 or value == "bearer\tgood-token"
    assert answer.status in {200, 401}


def test_a_token_in_the_query_is_no_token(client: Client):
    assert client.get(f"/hub/v1/notes/{NOTE['id']}?access_token=good-token").status == 401


@settings(max_examples=150, deadline=None)
@given(
    path=st.text(st.characters(max_codepoint=255), max_size=60),
    query=st.text(st.characters(max_codepoint=255), max_size=60).map(lambda text: text.replace("?", "")),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "X"]),
    media_type=st.sampled_from(["application/json", "multipart/form-data; boundary=b", "a/b", ""])
    | st.text(st.characters(max_codepoint=255), max_size=30),
    body=st.lists(st.binary(max_size=40), max_size=3),
)
def test_no_request_whatever_is_a_server_error(
    *, client: Client, path: str, query: str, method: str, media_type: str, body: list[bytes]
):
    for target in (f"/{path}?{query}", f"/hub/v1/notes?{query}", "/hub/v1/parts", "/token"):
        answer = client.ask(
            method, target.replace("?", "", max(0, target.count("?") - 1)), ("Content-Type", media_type), body=body
        )
        assert answer.status < 500


@pytest.mark.parametrize(
    "target", ["/token/", "/hub/v1/notes/", "/v1/info/", "/openapi.json/", "/openapi.yaml/", "/v1"]
)
def test_a_slash_too_many_or_too_few_leads_nowhere(client: Client, target: str):
    for method in ("GET", "POST"):
        headers = [("Host", "evil.example"), ("Content-Type", "application/json")]
        answer = client.ask(method, target, *headers, body=[b"{}"] if method == "POST" else None)
        assert (answer.status, answer.slug) == (404, "not-found"), target
        assert "location" not in answer.headers
