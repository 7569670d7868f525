"""The contract's examples are sent to a hub as they stand: what a form is filled with beforehand is accepted."""

from __future__ import annotations

import json
from typing import Any

import pytest
from stage import Served
from test_openapi import CONTRACT, parameters, whole

PLAIN = ("/hub/v1/applications", "/hub/v1/applications/multipart", "/hub/v1/validations")


def asked(path: str, name: str | None) -> tuple[dict[str, Any], dict[str, str]]:
    """Return query and header fields as a form has them: the example of that name, else the first one."""
    query, headers = {}, {}
    for parameter in parameters(path, CONTRACT["paths"][path]["post"]):
        shown = {each: given["value"] for each, given in parameter.get("examples", {}).items()}
        if "example" in parameter:
            shown = {"": parameter["example"]}
        if shown:
            into = query if parameter["in"] == "query" else headers
            into[parameter["name"]] = shown.get(name, next(iter(shown.values())))
    return query, headers


def body_of(kind: str, value: Any) -> dict[str, Any]:
    if kind == "application/json":
        return {"data": json.dumps(value).encode(), "headers": {"Content-Type": kind}}
    if kind == "application/xml":
        return {"data": value.encode(), "headers": {"Content-Type": kind}}
    files = [("data", ("data.xml", value["data"].encode(), "application/xml"))]
    files += [("attachment", ("lageplan.pdf", each.encode(), "application/pdf")) for each in value["attachment"]]
    return {"files": files}


def sent(served: Served, path: str, kind: str, value: Any, name: str | None) -> Any:
    query, headers = asked(path, name)
    request = body_of(kind, value)
    return served.post(path, params=query, **request | {"headers": {**headers, **request.get("headers", {})}})


@pytest.mark.parametrize("path", PLAIN)
def test_every_request_of_the_plain_door_is_accepted_as_its_example_stands(served: Served, path: str):
    content = whole(CONTRACT["paths"][path]["post"]["requestBody"])["content"]
    tried = 0
    for kind, entry in content.items():
        for name, example in entry["examples"].items():
            answer = sent(served, path, kind, example["value"], name)
            wanted = 200 if path.endswith("validations") else 202
            assert answer.status_code == wanted, f"{kind} {name}: {answer.text}"
            assert wanted == 202 or answer.json()["valid"]
            tried += 1
    assert tried >= len(content)


@pytest.mark.parametrize("path", [path for path in PLAIN if not path.endswith("multipart")])
def test_what_a_form_shows_first_is_accepted(served: Served, path: str):
    kind, entry = next(iter(whole(CONTRACT["paths"][path]["post"]["requestBody"])["content"].items()))
    answer = sent(served, path, kind, next(iter(entry["examples"].values()))["value"], None)
    assert answer.status_code in {200, 202}, answer.text
