"""The assembled edge: mounts, problems, languages, headers, checks of parameters, bodies and answers."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Iterator
from contextlib import asynccontextmanager
from copy import deepcopy
from datetime import timedelta
from pathlib import Path

import pytest
from connexion import context
from connexion.lifecycle import ConnexionResponse
from hypothesis import given
from hypothesis import strategies as st
from stand_in import CONTRACT, NOTE, Client, StandIn, edge_app

from hub import errors
from hub.api import problems
from hub.api.contract import compiled, strict_json, violations
from hub.api.guards import Gate, RequestLimits, Surface
from hub.errors import HubError, Text
from hub.web.responses import PAGE_POLICY

TEXT = Text("Etwas ist falsch.", "Something is wrong.")


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def client(folder: Path) -> Client:
    return Client(edge_app(folder))


def failing(folder: Path, error: Exception) -> Client:
    return Client(edge_app(folder, error=error))


def every_error() -> Iterator[type[HubError]]:
    kinds = [HubError]
    while kinds:
        kind = kinds.pop()
        yield kind
        kinds += kind.__subclasses__()


# ---------------------------------------------------------------------------------------------------- problems


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Malformed(TEXT), 400),
        (errors.Unauthenticated(TEXT), 401),
        (errors.Forbidden(TEXT), 403),
        (errors.NotFound(TEXT), 404),
        (errors.Conflict(TEXT), 409),
        (errors.IdempotencyConflict(TEXT), 409),
        (errors.TooLarge(TEXT), 413),
        (errors.UnsupportedMedia(TEXT), 415),
        (errors.InvalidPayload(TEXT, violations=[]), 422),
        (errors.NoRoute(TEXT, nearest=[]), 422),
        (errors.TooMany(TEXT), 429),
        (errors.StoreUnavailable(TEXT), 503),
        (errors.KeyUnavailable(TEXT), 503),
    ],
)
def test_every_family_of_errors_has_its_status(folder: Path, error: HubError, status: int):
    answer = failing(folder, error).get("/hub/v1/notes")
    assert (answer.status, answer.json["status"]) == (status, status)
    assert answer.json["type"] == f"urn:rathaus-hub:problem:{error.slug}"
    assert answer.headers["content-type"] == "application/problem+json"


def test_no_error_of_the_tree_is_left_without_a_status_below_500():
    raised_on_purpose = {kind for kind in every_error() if kind is not HubError}
    for kind in raised_on_purpose:
        if issubclass(kind, errors.UnreadableRow):
            error = kind("cases", "1", "seq")
        else:
            error = kind(TEXT, violations=[]) if issubclass(kind, errors.InvalidPayload) else kind(TEXT)
        assert problems.problem_of(error).status in {400, 401, 403, 404, 409, 413, 415, 422, 429, 503}, kind


def test_an_unknown_exception_gives_a_500_without_its_text_and_the_log_knows_the_instance(
    folder: Path, caplog: pytest.LogCaptureFixture
):
    answer = failing(folder, ValueError("Erika Mustermann")).get("/hub/v1/notes")
    assert (answer.status, answer.slug) == (500, "internal")
    assert "Mustermann" not in answer.body.decode()
    assert "Mustermann" not in caplog.text
    assert answer.json["instance"].removeprefix("urn:uuid:") in caplog.text
    assert "notes.list" in caplog.text
    assert "ValueError" in caplog.text


def test_a_refusal_is_logged_by_its_instance_too(folder: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    answer = failing(folder, errors.Conflict(TEXT)).get("/hub/v1/notes")
    assert answer.json["instance"].removeprefix("urn:uuid:") in caplog.text


def test_facts_of_an_error_stand_in_the_problem(folder: Path):
    answer = failing(folder, errors.NoRoute(TEXT, nearest=[{"rule": "a"}])).get("/hub/v1/notes")
    assert answer.json["nearest"] == [{"rule": "a"}]


def test_unavailable_says_when_to_come_back(folder: Path):
    answer = failing(folder, errors.Overloaded(TEXT, retry_after=timedelta(seconds=4.2))).get("/hub/v1/notes")
    assert answer.headers["retry-after"] == "5"


@pytest.mark.parametrize(
    ("accept", "language"),
    [
        (None, "de"),
        ("de", "de"),
        ("en", "en"),
        ("en-GB,en;q=0.9", "en"),
        ("fr, en;q=0.5, de;q=0.4", "en"),
        ("en;q=0.4, de-AT;q=0.5", "de"),
        ("*", "de"),
        ("en;q=nan", "de"),
        ("\xff;;q==,", "de"),
    ],
)
def test_the_language_follows_the_client_and_both_are_always_there(folder: Path, accept: str | None, language: str):
    headers = [("Accept-Language", accept)] if accept else []
    answer = failing(folder, errors.Conflict(TEXT)).get("/hub/v1/notes", *headers)
    assert answer.json["detail"] == getattr(TEXT, language)
    assert (answer.json["detailDe"], answer.json["detailEn"]) == (TEXT.de, TEXT.en)
    assert answer.headers["content-language"] == language
    assert answer.headers["vary"] == "Accept-Language"


@given(st.binary(max_size=80))
def test_any_accept_language_is_readable(value: bytes):
    assert problems.preferred_language([(b"accept-language", value)]) in {"de", "en"}


def test_on_fit_connects_paths_the_type_is_fit_connects(client: Client):
    for target in ("/v1/info?user=1", "/submission-api/v1/info?user=1", "/v2/nothing", "/destination-api/nothing"):
        assert (
            client.get(target).json["type"].startswith("https://schema.fitko.de/fit-connect/submission-api/problems/")
        ), target
    assert client.get("/hub/v1/nothing").json["type"] == "urn:rathaus-hub:problem:not-found"


def test_an_unknown_address_is_404_and_a_wrong_method_405_with_allow(client: Client):
    assert (client.get("/nothing").status, client.get("/nothing").slug) == (404, "not-found")
    wrong = client.ask("DELETE", "/hub/v1/notes")
    assert (wrong.status, wrong.slug) == (405, "method-not-allowed")
    assert set(wrong.headers["allow"].split(", ")) <= {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    ("body", "media_type", "status", "error"),
    [
        (b"a=1&a=2", "application/x-www-form-urlencoded", 400, "invalid_request"),
        (b"a=%ff", "application/x-www-form-urlencoded", 400, "invalid_request"),
        (b"a=\xff", "application/x-www-form-urlencoded", 400, "invalid_request"),
        (b"{}", "application/json", 415, "invalid_request"),
        (b"x" * 1_000_001, "application/x-www-form-urlencoded", 413, "invalid_request"),
    ],
)
def test_at_the_token_endpoint_errors_have_the_shape_of_rfc_6749(
    client: Client, body: bytes, media_type: str, status: int, error: str
):
    for path in ("/token", "/auth/token", "/oauth/token", "/auth"):
        answer = client.post(path, body, media_type)
        assert (answer.status, answer.json["error"]) == (status, error)
        assert answer.json["error_description"].isascii()
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("raised", "status", "error"),
    [
        (errors.Unauthenticated(TEXT, slug="invalid_client"), 401, "invalid_client"),
        (errors.Invalid(TEXT, slug="invalid_scope"), 400, "invalid_scope"),
        (errors.TooMany(TEXT), 429, "temporarily_unavailable"),
        (errors.StoreUnavailable(TEXT), 503, "temporarily_unavailable"),
        (RuntimeError("x"), 500, "server_error"),
    ],
)
def test_what_the_token_handler_raises_has_that_shape_too(folder: Path, raised: Exception, status: int, error: str):
    async def token(body: object) -> None:
        raise raised

    app = edge_app(folder, handlers={**StandIn().handlers(), "oauth.token": token})
    answer = Client(app).post("/token", b"grant_type=x", "application/x-www-form-urlencoded")
    assert (answer.status, answer.json["error"]) == (status, error)
    assert ("www-authenticate" in answer.headers) == (status == 401)


# ------------------------------------------------------------------------------------------------------ mounts


@pytest.mark.parametrize(
    ("target", "api"),
    [
        ("/v1/info", "submission"),
        ("/submission-api/v1/info", "submission"),
        ("/destination-api/v1/info", "destination"),
        ("/routing-api/v1/info", "routing"),
    ],
)
def test_one_operation_is_reached_by_every_mount_and_knows_which(client: Client, target: str, api: str):
    assert client.get(target).json == {"api": api, "path": target}


@pytest.mark.parametrize(
    "target",
    [
        "/submission-api/hub/v1/notes",
        "/submission-api/token",
        "/submission-api/submission-api/v1/info",
        "/submission-api",
        "/submission-apix/v1/info",
        "/routing-api/",
        "/token/v1/info",
    ],
)
def test_a_mount_leads_nowhere_else(client: Client, target: str):
    assert client.get(target).status == 404


def test_an_operation_that_stands_with_its_mount_is_not_reached_without_it(client: Client):
    listed = client.get("/destination-api/v2/destinations/a/keys")
    assert listed.json == {"api": "destination", "path": "/destination-api/v2/destinations/a/keys"}
    for target in ("/v2/destinations/a/keys", "/submission-api/v2/destinations/a/keys"):
        assert client.get(target).status == 405
    for mount in ("", "/submission-api", "/destination-api"):
        assert client.post(f"{mount}/v2/destinations/a/keys", b"{}").status == 200


# --------------------------------------------------------------------------------------- parameters and bodies


def test_every_violation_of_a_request_is_named_and_no_value_is_repeated(client: Client):
    answer = client.get("/hub/v1/notes?limit=501&area=Mustermann&Geburtsname=Erika", ("X-Key", "Geheim"))
    assert answer.status == 400
    found = [(violation["rule"], violation["path"]) for violation in answer.json["violations"]]
    assert found == [
        ("maximum", "query/limit"),
        ("pattern", "query/area"),
        ("format", "header/X-Key"),
        ("unknown", "query"),
    ]
    for secret in (b"Mustermann", b"Geburtsname", b"Erika", b"Geheim", b"501"):
        assert secret not in answer.body


def test_a_body_is_judged_by_every_rule_and_points_at_what_the_contract_knows(client: Client):
    body = b'{"id": "Erika", "count": 3, "when": "gestern", "Mustermann": {"Erika": 1}}'
    answer = client.post("/hub/v1/notes", body)
    found = {(violation["rule"], violation["path"]) for violation in answer.json["violations"]}
    assert found == {
        ("format", "/id"),
        ("enum", "/count"),
        ("format", "/when"),
        ("required", ""),
        ("additionalProperties", ""),
    }
    assert b"Erika" not in answer.body
    assert b"Mustermann" not in answer.body


def test_nullable_members_may_be_null_and_others_not(client: Client):
    assert client.post("/hub/v1/notes", b'{"text": "a", "count": null}').status == 200
    assert client.post("/hub/v1/notes", b'{"text": null}').status == 400


def test_fit_connects_paths_ignore_unknown_query_names(client: Client):
    assert client.get("/v1/info?unknown=1").status == 200


def test_a_parameter_may_stand_twice_only_where_the_contract_has_a_list(client: Client):
    assert client.get("/hub/v1/notes?word=a&word=b").json["arguments"]["word"] == ["a", "b"]
    assert client.get("/hub/v1/notes?limit=1&limit=2").status == 400


def test_numbers_arrive_as_numbers_and_huge_ones_are_refused(client: Client):
    assert client.get("/hub/v1/notes?limit=7").json["arguments"]["limit"] == 7
    assert client.get(f"/hub/v1/notes?limit={'9' * 5000}").status == 400
    assert client.get("/hub/v1/notes?limit=1.5").status == 400


def test_a_form_reaches_the_handler_and_empty_fields_count_as_absent_for_the_check(client: Client):
    answer = client.post("/token", b"grant_type=client_credentials&x=", "application/x-www-form-urlencoded")
    assert answer.json["arguments"]["body"]["grant_type"] == "client_credentials"


def test_xml_is_left_to_the_handler_unread(client: Client):
    assert client.post("/hub/v1/notes", b"<a/>", "application/xml").json["mediaType"] == "application/xml"


def test_a_write_only_member_never_leaves(folder: Path):
    contract = {**CONTRACT, "paths": {"/hub/v1/notes": {"get": _answering(CONTRACT)}}}

    async def leaking() -> dict[str, str]:
        return {"text": "a", "secret": "Geheim"}

    async def proper() -> dict[str, str]:
        return {"text": "a"}

    leak = Client(edge_app(folder, contract=contract, handlers={"notes.list": leaking})).get("/hub/v1/notes")
    assert leak.status == 500
    assert b"Geheim" not in leak.body
    assert (
        Client(edge_app(folder, contract=contract, handlers={"notes.list": proper})).get("/hub/v1/notes").status == 200
    )


def _answering(contract: dict) -> dict:
    schema = contract["paths"]["/hub/v1/notes"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    content = {"application/json": {"schema": {**schema, "required": ["text", "secret"]}}}
    return {"operationId": "notes.list", "responses": {"200": {"description": "ok", "content": content}}}


def test_answers_may_go_unchecked_if_an_operator_wants_it_so(folder: Path):
    assert Client(edge_app(folder, check_answers=False)).get("/hub/v1/broken").status == 200


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=12,
    )
)
def test_whatever_is_plain_json_is_read_as_it_was_meant(document: object):
    import orjson

    try:
        encoded = orjson.dumps(document)
    except (TypeError, orjson.JSONEncodeError):
        return
    assert strict_json(encoded, RequestLimits()) == document


@pytest.mark.parametrize("text", ["9" * 41, "1e400", "-1e400", "[1e999]", "NaN", "[Infinity]", '{"a": 1, "a": 1}'])
def test_numbers_and_names_that_readers_take_differently_are_refused(text: str):
    with pytest.raises(errors.Malformed):
        strict_json(text.encode(), RequestLimits())


def test_ordinary_numbers_keep_their_value_and_type():
    found = strict_json(b"[1, -0.5, 1e3, 9007199254740993, 123456789012345678901234567890]", RequestLimits())
    assert found == [1, -0.5, 1000.0, 9007199254740993, 123456789012345678901234567890]


# --------------------------------------------------------------------------------------------------- contracts


def judged(schema: dict, document: object, direction: str = "request") -> list[tuple[str, str]]:
    return [(found["rule"], found["path"]) for found in violations(compiled(schema, direction), document)]


def test_json_that_an_operation_reads_itself_is_not_touched(folder: Path):
    contract = deepcopy(CONTRACT)
    body = contract["paths"]["/hub/v1/notes"]["post"]["requestBody"]["content"]["application/json"]
    body["schema"] = {"x-stream": True}

    async def create() -> dict[str, object]:
        return {"pieces": [piece.decode() async for piece in context.request.stream()]}

    app = edge_app(folder, contract=contract, handlers={**StandIn().handlers(), "notes.create": create})
    answer = Client(app).ask("POST", "/hub/v1/notes", ("Content-Type", "application/json"), body=[b"{no", b"json"])
    assert answer.json["pieces"] == ["{no", "json", ""]


def test_a_schema_is_never_fetched_and_a_bad_one_stops_the_start():
    for schema in ({"type": "nonsense"}, {"pattern": "("}, {"pattern": "(?=x)"}):
        with pytest.raises(errors.ConfigurationError):
            compiled(schema, "request")
    endless: dict = {"properties": {}}
    endless["properties"]["child"] = endless
    with pytest.raises(errors.ConfigurationError):
        compiled(endless, "request")


def test_schemas_that_are_alike_are_compiled_once():
    schema = {"type": "object", "properties": {"note": {"type": "string", "writeOnly": True}}}
    assert compiled(schema, "request") is compiled(deepcopy(schema), "request")
    assert compiled(schema, "response") is not compiled(schema, "request")


def test_a_pattern_takes_linear_time():
    assert judged({"type": "string", "pattern": "^(a+)+$"}, "a" * 50_000 + "b") == [("pattern", "")]


def test_null_is_allowed_where_the_contract_says_so_and_only_there():
    assert judged({"nullable": True, "allOf": [{"type": "string"}]}, None) == []
    assert judged({"allOf": [{"type": "string"}]}, None) == [("type", "")]
    assert judged({"type": "string", "nullable": True, "enum": ["a"]}, None) == []
    assert judged({"type": "string", "enum": ["a"]}, None) != []


def test_members_of_the_other_direction_are_no_duty():
    schema = {"type": "object", "required": ["id", "secret"]}
    schema["properties"] = {"id": {"readOnly": True}, "secret": {"writeOnly": True}}
    assert judged(schema, {"secret": "x"}) == []
    assert judged(schema, {"id": "x"}, "response") == []
    assert judged(schema, {"id": "x", "secret": "x"}, "response") == [("not", "/secret")]


def test_a_pointer_ends_before_the_first_name_that_the_sender_chose():
    free = {"type": "object", "additionalProperties": {"type": "object", "properties": {"a/b": {"type": "integer"}}}}
    schema = {"properties": {"known": {"type": "array", "items": free}}}
    assert judged(schema, {"known": [{"Mustermann": {"a/b": "x"}}]}) == [("type", "/known/0")]
    direct = {"properties": {"a/b": {"properties": {"~": {"type": "integer"}}}}}
    assert judged(direct, {"a/b": {"~": "x"}}) == [("type", "/a~1b/~0")]


def test_combined_schemas_and_closed_lists_are_judged():
    assert judged({"oneOf": [{"type": "string"}, {"maxLength": 1}]}, "a") == [("oneOf", "")]
    assert judged({"type": "array", "items": {"not": {"type": "null"}}}, [None]) == [("not", "/0")]
    assert judged({"type": "object", "additionalProperties": False}, {"a": 1}) == [("additionalProperties", "")]


def test_an_answer_that_is_no_json_is_a_bug_and_an_empty_one_is_not(folder: Path):
    async def no_json() -> ConnexionResponse:
        return ConnexionResponse(status_code=200, body="{Geheim", content_type="application/json")

    async def empty() -> ConnexionResponse:
        return ConnexionResponse(status_code=200, body="", content_type="application/json")

    for handler, status in ((no_json, 500), (empty, 200)):
        app = edge_app(folder, handlers={**StandIn().handlers(), "notes.broken": handler})
        assert Client(app).get("/hub/v1/broken").status == status


def test_a_required_parameter_must_be_there(folder: Path):
    contract = deepcopy(CONTRACT)
    for parameter in contract["paths"]["/hub/v1/notes"]["get"]["parameters"]:
        parameter["required"] = True
    cookie = {"name": "session", "in": "cookie", "required": True, "schema": {"type": "string"}}
    contract["paths"]["/hub/v1/notes"]["get"]["parameters"].append(cookie)
    answer = Client(edge_app(folder, contract=contract)).get("/hub/v1/notes")
    places = [violation["path"] for violation in answer.json["violations"]]
    assert places == ["query/limit", "query/area", "query/word", "header/X-Key", "cookie/session"]


# ----------------------------------------------------------------------------------------------------- headers


def test_every_answer_carries_the_safe_headers(client: Client):
    for answer in (client.get("/hub/v1/notes"), client.get("/nothing"), client.get("/openapi.json")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "strict-transport-security" not in answer.headers
    assert client.get("/hub/v1/notes").headers["cache-control"] == "no-store"
    assert client.get("/openapi.json").headers["cache-control"] == "public, max-age=300"


def test_behind_https_the_browser_is_told_to_stay_there(folder: Path):
    client = Client(edge_app(folder, base_url="https://hub.example"))
    assert client.get("/hub/v1/notes").headers["strict-transport-security"] == "max-age=31536000"


def test_the_contract_is_published_with_the_canonical_address_in_production_too(client: Client):
    published = client.get("/openapi.json").json
    assert published["servers"] == [{"url": "http://hub.test"}]
    assert published["paths"].keys() == CONTRACT["paths"].keys()


def test_a_reference_stands_at_docs_in_production_too(folder: Path, client: Client):
    for page in (client.get("/docs/"), Client(edge_app(folder, production=False)).get("/docs/")):
        assert page.status == 200
        assert page.headers["content-security-policy"] == PAGE_POLICY


def test_a_contract_that_is_json_is_served_as_the_yaml_that_it_is(client: Client):
    assert client.get("/openapi.yaml").json == client.get("/openapi.json").json


# ------------------------------------------------------------------------------------------------------ others


def test_the_lifespan_runs_around_the_application(folder: Path):
    happened = []

    @asynccontextmanager
    async def lifespan(_: object):
        happened.append("open")
        yield
        happened.append("close")

    app = edge_app(folder, lifespan=lifespan)

    async def live() -> list[str]:
        inbox = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        sent = []

        async def receive():
            return next(inbox)

        async def send(message):
            sent.append(message["type"])

        await app({"type": "lifespan", "asgi": {}, "state": {}}, receive, send)
        return sent

    assert asyncio.run(live()) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert happened == ["open", "close"]


def test_websockets_are_closed(client: Client):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(
        Gate(client.app, limits=RequestLimits(), surface=Surface(media_types=frozenset()))(
            {"type": "websocket"}, None, send
        )
    )
    assert sent == [{"type": "websocket.close", "code": 1000}]


def test_a_body_that_pauses_too_long_is_given_up(folder: Path):
    app = edge_app(folder, limits=RequestLimits(pause=0.02))

    async def ask() -> int:
        first = iter([{"type": "http.request", "body": b"{", "more_body": True}])
        statuses = []

        async def receive():
            message = next(first, None)
            await asyncio.sleep(0 if message else 5)
            return message

        async def send(message):
            statuses.append(message.get("status"))

        headers = [(b"content-type", b"application/json"), (b"content-length", b"20")]
        scope = {"type": "http", "method": "POST", "path": "/hub/v1/notes", "query_string": b"", "headers": headers}
        await app(scope | {"root_path": "", "http_version": "1.1", "scheme": "http"}, receive, send)
        return statuses[0]

    assert asyncio.run(ask()) == 408


def test_a_client_that_leaves_is_no_error(folder: Path, caplog: pytest.LogCaptureFixture):
    app = edge_app(folder)

    async def ask() -> list[object]:
        sent = []

        async def receive():
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        headers = [(b"content-type", b"application/jose"), (b"content-length", b"20")]
        scope = {"type": "http", "method": "PUT", "path": "/v1/attachments/a", "query_string": b"", "headers": headers}
        await app(scope | {"root_path": "", "http_version": "1.1", "scheme": "http"}, receive, send)
        return sent

    assert asyncio.run(ask()) == []
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def test_an_operation_may_have_a_cap_of_its_own(folder: Path):
    client = Client(edge_app(folder, limits=RequestLimits(overrides={"notes.create": 15})))
    assert client.post("/hub/v1/notes", b'{"text": "abc"}').status == 200
    assert client.post("/hub/v1/notes", b'{"text": "abcd"}').status == 413
    assert client.with_token().post("/hub/v1/mine", b'{"text": "abcd"}').status == 200


def test_several_media_types_do_not_fill_the_log(folder: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING)
    client = Client(edge_app(folder))
    assert client.post("/hub/v1/notes", b'{"text": "a"}').status == 200
    assert caplog.text == ""


def test_an_async_look_up_of_tokens_is_fine(folder: Path):
    async def look_up(token: str) -> dict[str, str] | None:
        return {"sub": "client-9", "scope": "send manage"} if token == "t" else None

    client = Client(edge_app(folder, token_info=look_up))
    shown = client.with_token("t").get(f"/hub/v1/notes/{NOTE['id']}")
    assert shown.json["arguments"]["user"] == "client-9"
    assert client.with_token("x").get(f"/hub/v1/notes/{NOTE['id']}").status == 401
