"""The register of AI systems is changed over the API as on the pages: a draft, somebody else's word, publication."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ai_room import SYSTEM

from hub.services.ai_systems import AiSystem

ROOT = "/ai-register/versions"


def written(system: AiSystem = SYSTEM, **changes: Any) -> dict[str, Any]:
    return {**system.as_document(), **changes}


def drafted(party: Any, *systems: dict[str, Any]) -> Any:
    answer = party.post(ROOT, json={"title": "Planprüfung", "systems": list(systems or [written()])})
    assert answer.status_code == 201, answer.text
    return answer


def test_a_system_is_drafted_approved_by_somebody_else_and_published(office):
    erika, anton = office.as_("erika"), office.as_("anton")
    made = drafted(erika)
    number, place = made.json()["number"], made.headers["Location"].removeprefix("/hub/v1")
    shown = erika.get(f"{place}/systems").json()
    assert SYSTEM.id in {each["id"] for each in shown["systems"]}
    assert any(SYSTEM.texts["name"].de in each["de"] for each in shown["changes"])
    public = office.base + "/hub/v1/ai-systems"
    assert SYSTEM.id not in erika.http.get(public, timeout=30).text

    other = replace(SYSTEM, id="plan-check-2")
    put = erika.change("PUT", f"{place}/systems", made.headers["ETag"], json={"systems": [written(other)]})
    assert (put.status_code, put.json()["revision"] > made.json()["revision"]) == (200, True), put.text
    stale = anton.change("POST", f"{place}/approve", made.headers["ETag"], json={})
    assert stale.status_code == 409
    own = erika.change("POST", f"{place}/approve", put.headers["ETag"], json={})
    assert own.status_code == 403
    early = anton.post(f"{place}/publish", json={})
    assert early.status_code == 422
    approved = anton.change("POST", f"{place}/approve", put.headers["ETag"], json={"text": "geprüft"})
    assert (approved.status_code, approved.json()["state"]) == (200, "approved"), approved.text
    begun = anton.post(f"{place}/publish", json={"text": "ab heute"})
    assert (begun.status_code, begun.json()["number"]) == (200, number), begun.text
    assert {SYSTEM.id, other.id} <= {each["id"] for each in erika.http.get(public, timeout=30).json()["systems"]}
    assert number in {each["number"] for each in erika.get(ROOT).json()["versions"]}

    gone = drafted(erika, written(replace(SYSTEM, id="plan-check-3")))
    there = gone.headers["Location"].removeprefix("/hub/v1")
    withdrawn = erika.change("DELETE", f"{there}/systems/{SYSTEM.id}", gone.headers["ETag"])
    assert withdrawn.status_code == 200, withdrawn.text
    kept = {each["id"]: each["status"] for each in erika.get(f"{there}/systems").json()["systems"]}
    assert kept[SYSTEM.id] == "out-of-use"
    twice = erika.change("DELETE", f"{there}/systems/{SYSTEM.id}", withdrawn.headers["ETag"])
    assert twice.status_code == 409


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "oracle"},
        {"risk": None},
        {"notice": None},
        {"versions": []},
        {"versions": 5},
        {"services": ["<script>"]},
        {"unknown": 1},
        {"id": "X"},
    ],
)
def test_a_system_that_breaks_the_rules_is_refused_and_makes_no_draft(office, change):
    erika = office.as_("erika")
    before = erika.get(ROOT).json()["totalCount"]
    refused = erika.post(ROOT, json={"systems": [written(**change)]})
    assert refused.status_code == 422, refused.text
    assert "<script>" not in refused.text
    assert erika.get(ROOT).json()["totalCount"] == before


def test_who_only_looks_changes_nothing_and_the_same_system_twice_is_refused(office):
    erika, viktor = office.as_("erika"), office.as_("viktor")
    assert viktor.get(ROOT).status_code == 200
    assert viktor.post(ROOT, json={}).status_code == 403
    assert erika.post(ROOT, json={"systems": [written(), written()]}).status_code == 422
    assert erika.post(ROOT, json={"system": []}).status_code in {400, 422}
    assert erika.get(f"{ROOT}/999").status_code == 404
