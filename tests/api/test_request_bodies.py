"""Who sends a body, whether there is room for it and whether there is one at all is asked before it is read: of every
operation in the contract that takes one."""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote_plus

import pytest
from api_people import open_office
from stage import BAUEN, TAUNUSSTEIN, Served
from stand_in import Answer

from hub import app as composition
from hub.admission import Admission
from hub.api import application
from hub.api.guards import RequestLimits
from hub.identity import Right
from hub.identity.clients import ScopeRight, new_client
from hub.model.parties import ClientKind
from hub.resources import shipped

SPECIFICATION = shipped("openapi.yaml")
CONTRACT = application.load(SPECIFICATION)
MB, PIECE = 1_000_000, 64 * 1024
EVERYTHING = [right.value for right in ScopeRight] + [right.value for right in Right]
FIT_CONNECT = re.compile(r"/(?:v[12]|(?:submission|destination|routing)-api)/")


@dataclass(frozen=True)
class Operation:
    """One operation with a body, and a request that gets as far as the body."""

    id: str
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    media_types: tuple[str, ...]
    required: bool
    open: bool

    def kind(self) -> str:
        kind = self.media_types[0]
        return f"{kind}; boundary=b" if kind.startswith("multipart/") else kind


def parameters(path: str, operation: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for given in (*CONTRACT["paths"][path].get("parameters", ()), *operation.get("parameters", ())):
        yield application.resolved(CONTRACT, given)


def value_of(path: str, parameter: Mapping[str, Any]) -> str:
    state = '"1-draft"' if "/routes/" in path or "/ai-register/" in path else '"0000000000000000"'
    known = {"service": BAUEN, "ars": TAUNUSSTEIN, "If-Match": state, "ruleId": "r1", "upload": "A" * 43}
    kind = application.resolved(CONTRACT, parameter["schema"])
    if parameter["in"] == "path" and parameter["name"] not in known and kind.get("type") != "integer":
        return "ce75a6b8-d72f-4b94-b09e-af6be35bc2ae"
    return known.get(parameter["name"], "1")


def operations() -> Iterator[Operation]:
    for method, path, operation in application.operations(CONTRACT):
        body = application.resolved(CONTRACT, operation.get("requestBody", {}))
        if not body:
            continue
        filled, query, headers = path, [], []
        for each in parameters(path, operation):
            if each["in"] == "path":
                filled = filled.replace("{" + each["name"] + "}", value_of(path, each))
            elif each["in"] == "query" and (each.get("required") or each["name"] == "ars"):
                query.append(f"{each['name']}={value_of(path, each)}")
            elif each["in"] == "header" and each.get("required"):
                headers.append((each["name"], value_of(path, each)))
        yield Operation(
            id=operation["operationId"],
            method=method,
            path=filled,
            query="&".join(query),
            headers=tuple(headers),
            media_types=tuple(body["content"]),
            required=body.get("required", False),
            open=operation.get("security", CONTRACT.get("security", [])) == [],
        )


#: Each once, and FIT-Connect's also under the prefix of its own base address.
OPERATIONS = list(operations())
PREFIXED = [
    Operation(
        **{name: getattr(each, name) for name in Operation.__annotations__ if name != "path"},
        path=f"{prefix}{each.path}",
    )
    for each in OPERATIONS
    for prefix in ("/submission-api", "/destination-api")
    if each.path.startswith(("/v1/", "/v2/")) and (prefix == "/destination-api") == ("/destinations" in each.path)
]
EVERY = OPERATIONS + PREFIXED


def guarded(budget: int) -> Any:
    """The real contract, and handlers of which none is reached."""

    async def nothing() -> None: ...

    return application.build(
        {operation["operationId"]: nothing for _, _, operation in application.operations(CONTRACT)},
        specification=SPECIFICATION,
        base_url="http://hub.test",
        token_info=lambda _: {"sub": "a", "scope": EVERYTHING},
        production=True,
        limits=RequestLimits(),
        admission=Admission(memory_budget=budget, free_bytes=lambda: 0, disk_watermark=0),
    )


def ask(
    app: Any, operation: Operation, *headers: tuple[str, str], size: int, announced: bool = True
) -> tuple[Answer, int]:
    """Make a request with a body of ``size`` bytes; return the answer, and how many bytes were read before it."""
    read = 0
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        nonlocal read
        piece = min(PIECE, size - read)
        read += piece
        return {"type": "http.request", "body": b"a" * piece, "more_body": read < size}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    framing = ("Content-Length", str(size)) if announced else ("Transfer-Encoding", "chunked")
    fields = [*operation.headers, *headers, *([framing] if size or not announced else [])]
    scope = {
        "type": "http",
        "http_version": "1.1",
        "scheme": "http",
        "method": operation.method,
        "path": operation.path,
        "raw_path": operation.path.encode(),
        "query_string": operation.query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in fields],
        "client": ("127.0.0.1", 1),
        "server": ("hub.test", 80),
    }
    asyncio.run(app(scope, receive, send))
    heads = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], heads, b"".join(part.get("body", b"") for part in sent[1:])), read


@pytest.fixture(scope="module")
def tight() -> Any:
    return guarded(10_000)


CLOSED = pytest.mark.parametrize(
    "operation", [each for each in EVERY if not each.open], ids=lambda each: each.method + each.path
)
TOKEN = ("Authorization", "Bearer x")


@CLOSED
@pytest.mark.parametrize("announced", [True, False])
def test_who_has_no_token_has_no_byte_read(tight: Any, operation: Operation, *, announced: bool):
    answer, read = ask(tight, operation, ("Content-Type", operation.kind()), size=MB, announced=announced)
    assert (answer.status, read) == (401, 0)


@CLOSED
def test_a_body_that_there_is_no_room_for_is_not_read(tight: Any, operation: Operation):
    answer, read = ask(tight, operation, TOKEN, ("Content-Type", operation.kind()), size=MB)
    assert (answer.status, answer.slug, read) == (503, "overloaded", 0)
    assert int(answer.headers["retry-after"]) > 0


def test_there_are_operations_of_each_kind_in_these_tests():
    assert len([each for each in OPERATIONS if each.open]) == 3
    assert len([each for each in EVERY if not each.open]) > 50
    assert {each.method for each in EVERY} == {"POST", "PUT", "PATCH"}


#: How a body can be missing: header fields, bytes, whether their number is announced.
MISSING: Mapping[str, tuple[str | None, bool, bool]] = {
    "no body, no type": (None, False, True),
    "no body, its type": ("right", False, True),
    "no body, a foreign type": ("text/x-foreign", False, True),
    "Content-Length: 0": ("right", True, True),
    "Content-Length: 0, no type": (None, True, True),
    "chunked and empty": ("right", False, False),
    "chunked and empty, no type": (None, False, False),
}


def without_body(app: Any, operation: Operation, how: str, *headers: tuple[str, str]) -> Answer:
    kind, tells_nought, announced = MISSING[how]
    fields = [("Content-Type", operation.kind() if kind == "right" else kind)] if kind else []
    fields += [("Content-Length", "0")] if tells_nought else []
    return ask(app, operation, *fields, *headers, size=0, announced=announced)[0]


@pytest.mark.parametrize(
    "operation", [each for each in EVERY if each.required], ids=lambda each: each.method + each.path
)
@pytest.mark.parametrize("how", MISSING)
def test_a_missing_body_is_told(tight: Any, operation: Operation, how: str):
    answer = without_body(tight, operation, how, TOKEN, ("Accept-Language", "en"))
    if how == "chunked and empty, no type":
        assert answer.status == 415
    elif operation.path == "/token":
        assert (answer.status, answer.json["error"]) == (400, "invalid_request")
    else:
        assert (answer.status, answer.slug) == (400, "body-required")
        assert "Inhalt" in answer.json["detailDe"]
        assert "body" in answer.json["detailEn"]


@pytest.mark.parametrize("operation", EVERY, ids=lambda each: each.method + each.path)
def test_a_body_without_a_type_or_of_a_foreign_one_is_unsupported(tight: Any, operation: Operation):
    for fields in (
        [],
        [("Content-Type", "text/x-foreign")],
        [("Content-Type", "application/x-www-form-urlencoded, a/b")],
    ):
        answer, read = ask(tight, operation, TOKEN, *fields, size=2)
        assert (answer.status, read) == (415, 0)


def test_no_missing_or_strange_body_is_a_fault_of_the_hub(served: Served):
    """The same against the hub itself, as everybody who may call."""
    application = composition.asgi(served.stage.hub, work=False)
    operator = open_office(served).log_in("berta").json()["access_token"]
    tokens = [served.token("sender"), served.token("subscriber"), operator, ""]
    seen = set()
    for operation in EVERY:
        for token in tokens:
            bearer = [("Authorization", f"Bearer {token}")] if token else []
            answers = [without_body(application, operation, how, *bearer) for how in MISSING]
            kinds = [("Content-Type", kind) for kind in (operation.kind(), *operation.media_types, "text/x-foreign")]
            answers += [ask(application, operation, *bearer, kind, size=2)[0] for kind in kinds]
            assert not [answer for answer in answers if answer.status >= 500], operation
            seen |= {answer.status for answer in answers}
    assert {400, 401, 403, 415} <= seen


@pytest.mark.parametrize("name", ["oauth.token", "persons.token"])
def test_a_form_of_somebody_unknown_is_small(served: Served, name: str):
    operation = next(each for each in OPERATIONS if each.id == name)
    application = composition.asgi(served.stage.hub, work=False)
    for announced in (True, False):
        answer, read = ask(application, operation, ("Content-Type", operation.kind()), size=MB, announced=announced)
        assert answer.status == 413
        assert read <= PIECE


def basic(client_id: str, secret: str) -> tuple[str, str]:
    """RFC 6749 section 2.3.1: both are encoded as in a form first."""
    pair = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return "Authorization", f"Basic {b64encode(pair.encode()).decode()}"


TOKEN_FORM = next(each for each in OPERATIONS if each.id == "oauth.token")
WRONG = {
    "an unknown client": basic("ce75a6b8-d72f-4b94-b09e-af6be35bc2ae", "wrong"),
    "nobody": basic("", ""),
    "no Base64": ("Authorization", "Basic !!!="),
    "no colon": ("Authorization", "basic YWJj"),
    "no UTF-8": ("Authorization", "BASIC /zr/"),
    "nothing": ("Authorization", "Basic"),
}


def by_basic(application: Any, field: tuple[str, str], **more: Any) -> tuple[Answer, int]:
    form = ("Content-Type", TOKEN_FORM.kind())
    return ask(application, replace(TOKEN_FORM, path=more.pop("path", "/token")), field, form, size=10_000, **more)


def test_who_is_wrong_by_basic_has_no_byte_of_the_form_read(served: Served):
    application = composition.asgi(served.stage.hub, work=False)
    for how, field in WRONG.items():
        for more in ({"path": "/token"}, {"path": "/oauth/token"}, {"announced": False}):
            answer, read = by_basic(application, field, **more)
            assert (answer.status, answer.json["error"], read) == (401, "invalid_client", 0), how
            assert answer.headers["www-authenticate"].startswith("Basic ")


def test_who_is_throttled_by_basic_has_no_byte_of_the_form_read(served: Served):
    """The throttle counts both ways of logging in together."""
    application = composition.asgi(served.stage.hub, work=False)
    client, secret = new_client(ClientKind.SENDER, "New", now=served.stage.clock())
    served.stage.hub.store.parties.add_client(client)
    form = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": "wrong"}
    wrong = basic(client.client_id, "wrong")
    for _ in range(5):
        assert by_basic(application, wrong)[0].status == 401
        assert served.post("/token", data=form, headers={"Authorization": ""}).status_code == 401
    for field in (wrong, basic(client.client_id, secret)):
        answer, read = by_basic(application, field)
        assert (answer.status, read) == (429, 0)
        assert int(answer.headers["retry-after"]) > 0
    assert served.post("/token", data=form).status_code == 429


def test_who_is_right_by_basic_has_the_form_read_and_gets_a_token(served: Served):
    sender = served.stage.cast["sender"]
    form = {"grant_type": "client_credentials"}
    for more, status in (
        ({}, 200),
        ({"client_id": sender["client_id"]}, 200),
        ({"client_id": served.stage.cast["subscriber"]["client_id"]}, 400),
        ({"scope": "root"}, 400),
        ({"grant_type": "password"}, 400),
    ):
        answer = served.post("/token", data=form | more, auth=(sender["client_id"], sender["client_secret"]))
        assert answer.status_code == status, answer.text
    application = composition.asgi(served.stage.hub, work=False)
    answer, read = by_basic(application, basic(sender["client_id"], sender["client_secret"]))
    assert (answer.status, read) == (400, 10_000)
