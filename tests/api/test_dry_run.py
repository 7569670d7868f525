"""The page on which a vendor tries a message."""

from __future__ import annotations

import base64
import json
import re
from datetime import date

import anyio
import pytest
import requests
from stage import BAUANTRAG, NOW, SCHEMAS

from hub.api.validation_page import REQUESTS, ValidationPage
from hub.config import load_settings
from hub.errors import ConfigurationError, NotFound, TooMany
from hub.validation.catalog import SchemaCatalog

BAD = (SCHEMAS / "bauantrag/1.0/examples/bad-ohne-flurstueck.xml.element-missing.xml").read_bytes()
HUND = SCHEMAS / "fim-hundesteuer/1.0"


def page(**more) -> ValidationPage:
    catalog = SchemaCatalog.load(SCHEMAS)
    return ValidationPage(catalog=lambda: catalog, memory_budget=10**8, clock=lambda: NOW, **{"allowed": True, **more})


def tried(served, **fields) -> requests.Response:
    return requests.post(
        f"{served.base_url}/validate", files={name: (None, value) for name, value in fields.items()}, timeout=20
    )


def test_the_page_is_not_there_where_it_is_not_allowed():
    with pytest.raises(NotFound):
        anyio.run(page(allowed=False).form)


def test_production_keeps_it_off_unless_told(tmp_path):
    strict = {"HUB_ENVIRONMENT": "production", "HUB_BASE_URL": "https://hub.example"}
    assert load_settings(tmp_path, {}).validates_publicly
    assert not load_settings(tmp_path, {"HUB_PUBLIC_VALIDATION": "off"}).validates_publicly
    assert not load_settings(tmp_path, strict).validates_publicly
    assert load_settings(tmp_path, {**strict, "HUB_PUBLIC_VALIDATION": "on"}).validates_publicly
    with pytest.raises(ConfigurationError):
        load_settings(tmp_path, {"HUB_PUBLIC_VALIDATION": "perhaps"})


def test_one_address_cannot_check_without_end_and_may_again_later():
    moment = [0.0]
    tries = page(monotonic=lambda: moment[0])
    for _ in range(REQUESTS):
        tries.count("192.0.2.1")
    with pytest.raises(TooMany):
        tries.count("192.0.2.1")
    tries.count("192.0.2.2")
    moment[0] += 61
    tries.count("192.0.2.1")


def test_an_empty_form_is_told_what_to_do(served):
    assert "fügen Sie einen Text ein" in tried(served, text="").text


def test_an_unknown_schema_is_told_on_the_page(served):
    answer = tried(served, text="<x/>")
    assert (answer.status_code, "Nicht geprüft" in answer.text) == (200, True)


def test_a_broken_document_is_marked_at_its_line(served):
    answer = tried(served, text="<a>\n<b></a>")
    assert re.search(r'<li value="2" id="z2" class="has error">', answer.text)
    assert 'href="#z2"' in answer.text


def test_a_violation_stands_beside_its_line_and_the_report_can_be_downloaded(served):
    answer = tried(served, text=BAD)
    lines = answer.text.partition("<h2>Nachricht /")[2]
    row = re.search(
        r'<li value="(\d+)" id="z\1" class="has error"><div><code>(.*?)</code><div>(.*?)</div></div></li>', lines
    )
    assert "xml.element-missing" in row[3]
    assert 'lang="en"' in row[3]
    assert f'<a href="#z{row[1]}">' in answer.text
    embedded = re.search(r'download="report.json" href="data:application/json;base64,([^"]+)"', answer.text)[1]
    report = json.loads(base64.b64decode(embedded))
    assert (report["valid"], report["violations"][0]["line"]) == (False, int(row[1]))
    xml = re.search(r'download="report.xml" href="data:application/xml;base64,([^"]+)"', answer.text)[1]
    assert b"<assessment>reject" in base64.b64decode(xml)


def test_what_was_pasted_stands_in_the_form_again_to_be_corrected(served):
    answer = tried(served, text="\n<a>&amp;</a>", schema="urn:x")
    assert re.search(r"<textarea[^>]*>\n\r?\n&lt;a&gt;&amp;amp;&lt;/a&gt;</textarea>", answer.text)
    assert 'value="urn:x"' in answer.text


def test_of_a_long_document_the_lines_near_its_findings_are_shown_and_the_rest_is_counted(served):
    answer = tried(served, text="<a>" + "\n" * 5_000 + "<b></a>")
    assert "… 4998 Zeilen / lines …" in answer.text
    assert answer.text.count("<li value=") == 3


def test_an_uploaded_file_wins_over_the_text(served):
    answer = requests.post(
        f"{served.base_url}/validate",
        files={"file": ("a.xml", BAUANTRAG, "text/xml"), "text": (None, "<x/>")},
        timeout=20,
    )
    assert "Das Dokument erfüllt sein Schema." in answer.text


def test_json_is_checked_by_the_schema_that_is_named(served):
    schema = next(one for one in served.stage.hub.catalog.uris() if "/fim-hundesteuer/1.0/" in one)
    answer = tried(served, text=(HUND / "examples/good-ein-hund.json").read_bytes(), schema=schema)
    assert "Das Dokument erfüllt sein Schema." in answer.text


def test_the_page_is_german_first_has_no_script_and_fits_small_screens(served):
    answer = requests.get(f"{served.base_url}/validate", timeout=20)
    assert "✗" not in answer.text
    assert answer.text.startswith('<!doctype html><html lang="de">')
    assert "width=device-width" in answer.text
    assert "<script" not in answer.text
    assert "http" not in re.sub(r"<option[^>]*>", "", answer.text)
    for name in re.findall(r'<label for="(\w+)"', answer.text):
        assert f'id="{name}"' in answer.text


def test_schemas_tell_their_status_and_can_be_filtered(served):
    everything = served.get("/hub/v1/schemas").json()["schemas"]
    listed = served.get("/hub/v1/schemas?standard=bauantrag").json()["schemas"]
    assert 0 < len(listed) < len(everything)
    assert {(one["standard"], one["status"], one["inForce"]) for one in listed} == {("bauantrag", "valid", True)}
    assert all(one["messages"] > 0 and one["licence"] and one["provenance"] for one in listed)
    assert date.fromisoformat(listed[0]["validFrom"] or "2026-01-01")


def test_versions_are_compared_over_the_interface(served):
    same = served.get("/hub/v1/schemas/diff?standard=bauantrag&old=1.0&new=1.0").json()
    assert (same["total"], same["changes"]) == (0, [])
    missing = served.get("/hub/v1/schemas/diff?standard=bauantrag&old=1.0&new=9.9")
    assert (missing.status_code, missing.json()["type"]) == (422, "urn:rathaus-hub:problem:unknown-schema")
