"""What is refused at the plain door says what is wrong, where, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stage import ANMELDEN, SCHEMAS, WIESBADEN, Served, serving, staged

from hub.api.contract import compiled, violations

DOG_TAX = "urn:de:fim:leika:leistung:99102013002000"
DOG = (SCHEMAS / "fim-hundesteuer/1.0/examples/good-ein-hund.json").read_bytes()
WHERE = {"service": DOG_TAX, "ars": WIESBADEN}


@pytest.fixture(scope="module")
def hub(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One hub for all of them: nothing that is refused stays."""
    with staged(made_once, tmp_path_factory.mktemp("refusals")) as stage, serving(stage) as hub:
        yield hub


def refused(hub: Served, data: bytes = DOG, kind: str = "application/json", **where: str) -> dict[str, Any]:
    headers = {"Content-Type": kind}
    answer = hub.post("/hub/v1/applications", params={**WHERE, **where}, data=data, headers=headers)
    assert answer.status_code in {400, 409, 415, 422}, answer.text
    problem: dict[str, Any] = answer.json()
    assert hub.get(problem["help"]).status_code == 200
    return problem


def test_an_unknown_json_key_is_told_with_its_object_and_the_keys_that_there_are(hub: Served):
    document = json.loads(DOG)
    document["halter"]["anschrift"]["hausnr"] = "1"
    (violation,) = refused(hub, json.dumps(document).encode())["violations"]
    assert violation["path"] == "/halter/anschrift"
    assert "hausnummer" in violation["expected"]
    assert "hausnummer" in violation["text"]["de"] + violation["expected"]


def test_an_unknown_key_of_the_interface_is_told_with_those_that_there_are():
    schema = {
        "type": "object",
        "properties": {
            "rules": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"area": {"type": "string"}, "note": {"type": "string"}},
                    "additionalProperties": False,
                },
            }
        },
    }
    (violation,) = violations(compiled(schema, "request"), {"rules": [{}, {"arae": "06"}]})
    assert (violation["rule"], violation["path"]) == ("additionalProperties", "/rules/1")
    assert violation["expected"] == "area, note"
    assert "arae" not in json.dumps(violation)


def test_a_schema_with_a_wrong_service_is_told_what_the_service_takes(hub: Served):
    problem = refused(hub, service=ANMELDEN)
    assert problem["known"]
    assert all("/fim-wohnsitz/" in uri for uri in problem["known"])
    assert "known" in problem["detailDe"]


def test_a_leika_number_alone_is_told_what_to_put_before_it(hub: Served):
    problem = refused(hub, service="99102013002000")
    (violation,) = problem["violations"]
    assert violation["path"] == "query/service"
    assert "urn:de:fim:leika:leistung:" in violation["text"]["de"]
    assert "urn:de:fim:leika:leistung:" in violation["text"]["en"]
    assert problem["title"] == "Anfrage passt nicht zur Schnittstelle"


def test_a_wrong_length_is_told_in_words_and_not_as_a_pattern(hub: Served):
    (violation,) = refused(hub, ars="0643")["violations"]
    assert violation["expected"] == "2, 3, 5, 9 oder 12 Ziffern / 2, 3, 5, 9 or 12 digits"
    assert violation["text"]["en"].endswith("2, 3, 5, 9 or 12 digits.")
    both = refused(hub, ags="06414000")
    assert both["title"] != "Nicht lesbar"
    assert "ars" in both["detailDe"]


@pytest.mark.parametrize("path", ["/hub/v1/applications", "/v2/submissions"])
def test_a_key_that_stands_twice_is_told_with_line_and_path(hub: Served, path: str):
    document = b'{\n "halter": {\n  "ort": "a",\n  "ort": "b"\n }\n}'
    params = WHERE if path.endswith("applications") else {}
    answer = hub.post(path, params=params, data=document, headers={"Content-Type": "application/json"})
    problem = answer.json()
    assert (answer.status_code, problem["line"], problem["path"]) == (400, 4, "/halter")
    assert "4" in problem["detailDe"]


def test_a_wrong_media_type_is_told_those_that_the_operation_takes(hub: Served):
    assert {"application/json", "application/xml", "multipart/form-data"} == set(
        refused(hub, kind="text/html")["taken"]
    )
    for kind in ("text/html", "application/xml"):
        answer = hub.post("/v2/submissions", data=b"{}", headers={"Content-Type": kind})
        assert (answer.status_code, answer.json()["taken"]) == (415, ["application/json"])
        assert "application/json" in answer.json()["detailDe"]


def test_an_unknown_service_without_a_neighbour_is_told_without_a_gap(hub: Served):
    problem = refused(hub, service="urn:x:y")
    assert problem["type"].endswith(":no-route")
    assert "-." not in problem["detailDe"] + problem["detailEn"]
    assert "Ähnlich" not in problem["detailDe"]


def test_members_of_answers_are_in_camel_case_and_the_old_ones_stay(hub: Served):
    problem = refused(hub, ars="064390015015")
    (first, *_) = [each for each in problem["nearest"] if "rule" in each]
    assert first["areaName"] == first["area_name"]
    assert first["serviceName"] == first["service_name"]


def submitted(hub: Served, key: str, **changes: Any) -> Any:
    headers = {"Content-Type": "application/json", "Idempotency-Key": key, **changes.pop("headers", {})}
    data = changes.pop("data", DOG)
    return hub.post("/hub/v1/applications", params={**WHERE, **changes}, data=data, headers=headers)


def test_a_reused_key_is_told_what_differs(hub: Served):
    assert submitted(hub, "once").status_code == 202
    callback = {"Callback-Url": f"{hub.base_url}/x", "Callback-Secret": "s" * 32}
    of_dogs = "urn:de:fim:leika:leistung:99102013000000"
    schema = json.loads(DOG)["$schema"]
    wanted = {
        ("ars",): {"ars": "064150000000"},
        ("service",): {"service": of_dogs},
        ("service", "ars"): {"ars": "064150000000", "service": of_dogs},
        ("schema",): {"schema": schema},
        ("Callback-Url",): {"headers": callback},
        ("body",): {"data": DOG + b"\n"},
        ("ars", "body"): {"ars": "064150000000", "data": DOG + b"\n"},
    }
    for names, changes in wanted.items():
        answer = submitted(hub, "once", **changes)
        assert (answer.status_code, answer.json()["differs"]) == (409, list(names))
        assert all(name in answer.json()["detailEn"] for name in names)
    assert submitted(hub, "once").status_code == 202


def test_the_event_keys_say_where_those_of_receipts_are_and_all_stand_there(hub: Served):
    events, everything = hub.get("/.well-known/jwks.json"), hub.get("/hub/v1/jwks.json")
    assert events.headers["Link"] == '</hub/v1/jwks.json>; rel="related"'
    kids = [{key["kid"] for key in answer.json()["keys"]} for answer in (events, everything)]
    assert kids[0] < kids[1]
