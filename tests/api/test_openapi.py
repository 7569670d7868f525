"""The contract itself: complete, exemplified, understood by connexion, and free of what its guards cannot make safe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from stand_in import Client

from hub.admission import Admission
from hub.api import application
from hub.api.contract import compiled, violations
from hub.api.guards import RequestLimits, _folded
from hub.identity import accounts
from hub.identity.clients import ScopeRight

SPECIFICATION = Path(__file__).parents[2] / "openapi.yaml"
CONTRACT = application.load(SPECIFICATION)
OPERATIONS = [
    pytest.param(method, path, operation, id=operation["operationId"])
    for method, path, operation in application.operations(CONTRACT)
]
every_operation = pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS)


def whole(node: Any) -> Any:
    """Return ``node`` with every reference followed."""
    if isinstance(node, list):
        return [whole(child) for child in node]
    if isinstance(node, Mapping):
        return {name: whole(child) for name, child in application.resolved(CONTRACT, node).items()}
    return node


def parameters(path: str, operation: Mapping[str, Any]) -> list[dict[str, Any]]:
    return whole([*CONTRACT["paths"][path].get("parameters", []), *operation.get("parameters", [])])


def examples(content: Mapping[str, Any]) -> list[Any]:
    return (
        [content["example"]]
        if "example" in content
        else [each["value"] for each in content.get("examples", {}).values()]
    )


def contents(operation: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield (direction, media type, content) of the request and every answer."""
    for media_type, content in whole(operation.get("requestBody", {})).get("content", {}).items():
        yield "request", media_type, content
    for response in operation["responses"].values():
        for media_type, content in whole(response).get("content", {}).items():
            yield "response", media_type, content


def real_app(*, production: bool) -> Client:
    async def nothing() -> None: ...

    return Client(
        application.build(
            {operation["operationId"]: nothing for _, _, operation in application.operations(CONTRACT)},
            specification=SPECIFICATION,
            base_url="http://hub.test",
            token_info=lambda _: None,
            production=production,
            limits=RequestLimits(),
            admission=Admission(memory_budget=10**9, free_bytes=lambda: 0, disk_watermark=0),
        )
    )


def test_it_speaks_openapi_3_0_which_is_all_that_connexion_understands():
    assert re.fullmatch(r"3\.0\.\d", CONTRACT["openapi"])


def test_no_reference_leads_back_to_itself():
    followed: set[str] = set()
    application.refuse_recursion(CONTRACT, CONTRACT, (), followed)
    assert {"#/components/schemas/Progress", "#/components/schemas/Text"} <= followed


def test_operation_ids_are_unique_and_name_a_handler():
    names = [operation["operationId"] for _, _, operation in application.operations(CONTRACT)]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z_]+(\.[a-z0-9_]+)+", name)] == []


def test_every_limit_is_one_that_the_edge_knows():
    found = {schema["x-limit"] for schema in CONTRACT["components"]["schemas"].values() if "x-limit" in schema}
    assert found <= application.LIMITS.keys()


def test_scopes_are_the_rights_of_clients_and_persons():
    schemes = CONTRACT["components"]["securitySchemes"]
    assert [scheme["type"] for scheme in schemes.values()] == ["oauth2"]
    flows = schemes["oauth2"]["flows"]
    assert set(flows["clientCredentials"]["scopes"]) == {right.value for right in ScopeRight}
    assert set(flows["password"]["scopes"]) == {right.value for right in accounts.Right}


@every_operation
def test_every_operation_is_told_in_german_and_english(method: str, path: str, operation: dict):
    assert " / " in operation["summary"] or operation["summary"].count("?") == 2
    assert operation["tags"]


@every_operation
def test_every_operation_has_examples(method: str, path: str, operation: dict):
    for direction, media_type, content in contents(operation):
        assert examples(content), f"{direction} {media_type}"
    for parameter in parameters(path, operation):
        assert "example" in parameter, parameter["name"]


@every_operation
def test_every_example_keeps_its_schema(method: str, path: str, operation: dict):
    for direction, media_type, content in contents(operation):
        if "json" in media_type or "urlencoded" in media_type:
            validator = compiled(whole(content.get("schema", {})), direction)
            for example in examples(content):
                assert violations(validator, example) == [], f"{direction} {media_type}"
    for parameter in parameters(path, operation):
        assert violations(compiled(parameter["schema"], "request"), parameter["example"]) == [], parameter["name"]


@every_operation
def test_every_operation_declares_its_errors(method: str, path: str, operation: dict):
    statuses = set(operation["responses"])
    wanted = {"400", "500"}
    wanted |= {"401", "403"} if operation.get("security") else set()
    wanted |= {"408", "413", "415"} if "requestBody" in operation else set()
    wanted |= {"404"} if "{" in path else set()
    assert wanted <= statuses
    assert any(status.startswith("2") for status in statuses)


@every_operation
def test_errors_are_problems_except_at_the_token_endpoint(method: str, path: str, operation: dict):
    for status, response in operation["responses"].items():
        media_types = set(whole(response).get("content", {}))
        if path == "/token" or operation["operationId"] == "health.ready":
            continue
        if status == "429" and operation["tags"] == ["routing"]:
            continue  # FIT-Connect's Routing API answers with an empty object.
        if status.startswith(("4", "5")):
            assert media_types == {"application/problem+json"}, status


@every_operation
def test_an_operation_that_may_carry_a_body_says_which(method: str, path: str, operation: dict):
    if method in {"POST", "PUT", "PATCH"}:
        assert whole(operation["requestBody"])["required"] in {True, False}
        assert whole(operation["requestBody"])["content"]
    else:
        assert "requestBody" not in operation


@every_operation
def test_no_parameter_has_a_name_that_the_security_context_would_overwrite(method: str, path: str, operation: dict):
    for parameter in parameters(path, operation):
        assert _folded(parameter["name"]) not in {"user", "token_info", "context_", "body"}


@every_operation
def test_no_secret_stands_in_an_address(method: str, path: str, operation: dict):
    for parameter in parameters(path, operation):
        # The LeiKa key is the public number of a service.
        if parameter["in"] in {"query", "path"} and parameter["name"] != "leikaKey":
            assert not re.search(r"secret|token|password|key$", parameter["name"], re.IGNORECASE)


@every_operation
def test_every_text_parameter_is_bounded(method: str, path: str, operation: dict):
    for parameter in parameters(path, operation):
        schema = parameter["schema"]
        bounded = {"maxLength", "enum", "format"} & schema.keys() or "{" in schema.get("pattern", "")
        assert schema["type"] != "string" or bounded, parameter["name"]


def test_connexion_serves_it_and_an_operation_without_a_handler_stops_the_start():
    assert real_app(production=True).get("/openapi.json").json["paths"].keys() == CONTRACT["paths"].keys()


def test_no_other_path_fits_what_the_paths_that_are_tried_first_fit():
    first = [path.split("/") for path in CONTRACT["paths"] if path.startswith(application.ASKED_MOST)]
    others = [path.split("/") for path in CONTRACT["paths"] if not path.startswith(application.ASKED_MOST)]
    assert first
    assert not [(one, other) for one in first for other in others if _fit(one, other)]


def _fit(one: list[str], other: list[str]) -> bool:
    """Whether some address fits both paths."""
    return len(one) == len(other) and all(
        left == right or left.startswith("{") or right.startswith("{") for left, right in zip(one, other, strict=True)
    )


def test_swagger_ui_loads_from_the_hub_alone():
    client = real_app(production=False)
    page = client.get("/docs/").body.decode()
    links = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert len(links) >= 3
    for link in links:
        assert link.startswith("./"), link
        assert client.get(f"/docs/{link[2:]}").status == 200, link
    assert "http://" not in page
    assert "https://" not in page
    assert 'url: "/openapi.json"' in page


def test_swagger_ui_is_off_in_production():
    client = real_app(production=True)
    for path in ("/docs", "/docs/", "/docs/swagger-ui-bundle.js", "/ui/", "/docs/index.html"):
        assert client.get(path).status == 404, path
