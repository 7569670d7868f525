"""The contract itself: complete, exemplified, understood by connexion, and free of what its guards cannot make safe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import yaml
from stand_in import Client

from hub.admission import Admission
from hub.api import application
from hub.api.contract import compiled, violations
from hub.api.guards import RequestLimits, read_query
from hub.api.problems import titles
from hub.files.strict_yaml import load_yaml
from hub.identity import persons
from hub.identity.clients import ScopeRight

SPECIFICATION = Path(__file__).parents[2] / "openapi.yaml"
SHIPPED = SPECIFICATION.with_name("schemas")
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


def parameter_examples(parameter: Mapping[str, Any]) -> list[Any]:
    """What a form is filled with beforehand; the first one is what it shows."""
    if "example" in parameter:
        return [parameter["example"]]
    return [each["value"] for each in parameter.get("examples", {}).values()]


def written_examples(parameter: Mapping[str, Any]) -> list[Any]:
    """What stands as an example in the description alone, so that no form is filled with it."""
    return re.findall(r"Beispiel / example: `([^`]+)`", parameter["description"])


#: What is filled in by whoever needs it: in the place of another parameter, anew each time, or a secret.
BY_HAND = {
    *{"ags", "areaId", "Idempotency-Key", "Callback-Url", "Callback-Secret"},
    *{"externalReference", "cursor", "until", "caseId", "replaces"},
    *{"Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat", "Upload-Checksum"},
}


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
    assert set(flows["password"]["scopes"]) == {right.value for right in persons.Right}


@every_operation
def test_every_operation_is_told_in_german_and_english(method: str, path: str, operation: dict):
    assert " / " in operation["summary"] or operation["summary"].count("?") == 2
    assert operation["tags"]


@every_operation
def test_every_operation_has_examples(method: str, path: str, operation: dict):
    for direction, media_type, content in contents(operation):
        assert examples(content), f"{direction} {media_type}"
    for parameter in parameters(path, operation):
        filled, written = parameter_examples(parameter), written_examples(parameter)
        assert bool(filled) != bool(written), parameter["name"]
        by_hand = parameter["name"] in BY_HAND and not parameter.get("required")
        assert bool(written) == by_hand, parameter["name"]


@every_operation
def test_every_example_keeps_its_schema(method: str, path: str, operation: dict):
    for direction, media_type, content in contents(operation):
        if "json" in media_type or "urlencoded" in media_type:
            validator = compiled(whole(content.get("schema", {})), direction)
            for example in examples(content):
                assert violations(validator, example) == [], f"{direction} {media_type}"
    for parameter in parameters(path, operation):
        for example in parameter_examples(parameter) + written_examples(parameter):
            assert violations(compiled(parameter["schema"], "request"), example) == [], parameter["name"]


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
        name = parameter["name"]
        assert read_query(f"{quote(name)}=x".encode(), RequestLimits(), frozenset()) == ((name, "x"),)


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


@pytest.mark.parametrize("production", [False, True])
def test_people_browse_it_from_the_hub_alone_without_inline_scripts(production: bool):
    client = real_app(production=production)
    answer = client.get("/docs/")
    page = answer.body.decode()
    links = re.findall(r"(?:src|href)=\"([^\"]+)\"", page)
    assert len(links) >= 3
    for link in links:
        assert link.startswith(("/docs/", "/admin/static/")), link
        assert link.startswith("/admin/") or client.get(link).status == 200, link
    assert "http" not in page
    assert not re.search(r"<script>|<style|style=|onload=", page)
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert client.get("/docs").body == answer.body
    start = client.get("/docs/start.js").body.decode()
    assert '"url": "/openapi.json"' in start
    # In production nothing is tried out: it would be an application to an authority.
    assert ('"supportedSubmitMethods": []' in start) == production
    for path in ("/docs/index.html", "/docs/swagger-ui.js.map", "/docs/../openapi.json", "/ui/"):
        assert client.get(path).status in {400, 404}, path


def test_it_is_served_as_yaml_too_as_it_was_written():
    answer = real_app(production=True).get("/openapi.yaml")
    assert answer.headers["content-type"] == "application/yaml"
    assert load_yaml(answer.body) == {**CONTRACT, "servers": [{"url": "http://hub.test"}]}
    assert b"# ---" in answer.body


def test_no_reader_of_yaml_can_read_it_in_two_ways():
    text = SPECIFICATION.read_text(encoding="utf-8")
    assert load_yaml(text) == CONTRACT
    with pytest.raises(yaml.YAMLError):
        load_yaml(text + "\npaths: {}\n")


def patterns(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, list):
        for child in node:
            yield from patterns(child)
    elif isinstance(node, Mapping):
        if isinstance(node.get("pattern"), str):
            yield node
        for child in node.values():
            yield from patterns(child)


def test_no_pattern_is_shown_to_people_where_a_request_may_break_it():
    found = 0
    for _, path, operation in application.operations(CONTRACT):
        asked = [whole(operation.get("requestBody", {}))] + [each["schema"] for each in parameters(path, operation)]
        for schema in patterns(asked):
            german, _, english = schema["x-expected"].partition(" / ")
            assert german != english != "", schema
            assert not re.search(r"[\[\]^$\\]", german + english)
            found += 1
    assert found > 100


def test_the_plain_doors_examples_are_documents_that_ship():
    body = whole(CONTRACT["paths"]["/hub/v1/applications"]["post"]["requestBody"])["content"]
    dog = body["application/json"]["examples"]["hundesteuer"]["value"]
    assert dog == json.loads((SHIPPED / "fim-hundesteuer/1.2/examples/good-ein-hund.json").read_bytes())
    house = (SHIPPED / "bauantrag/1.2/examples/good-einfamilienhaus.xml").read_text(encoding="utf-8")
    assert body["application/xml"]["examples"]["bauantrag"]["value"] == house
    assert body["multipart/form-data"]["examples"]["bauantrag"]["value"]["data"] == house


def test_bodies_are_typed_and_parts_have_names():
    body = whole(CONTRACT["paths"]["/hub/v1/applications"]["post"]["requestBody"])["content"]
    assert body["application/json"]["schema"]["type"] == "object"
    assert (body["application/xml"]["schema"]["type"], body["application/xml"]["schema"]["format"]) == (
        "string",
        "binary",
    )
    named = whole(CONTRACT["paths"]["/hub/v1/applications/multipart"]["post"]["requestBody"])["content"]
    assert {"data", "metadata", "attachment"} == named["multipart/form-data"]["schema"]["properties"].keys()


def test_examples_of_problems_bear_the_title_of_their_kind():
    for response in CONTRACT["components"]["responses"].values():
        for example in examples(whole(response).get("content", {}).get("application/problem+json", {})):
            slug = example["type"].rpartition(":")[2].rpartition("/")[2]
            assert example["title"] == titles()[slug].de, slug
