"""The register of AI systems in public: JSON for portals, a page for people, no log-in."""

from __future__ import annotations

import pytest
from sealed_door import Door, shared_door  # noqa: F401  # shared_door is a fixture

from hub.resources import shipped
from hub.services.ai_systems import AiRegister

STRANGE = "Vorlese-KI <script>alert(1)</script>"


@pytest.fixture
def listed(door: Door, tmp_path):
    """A hub whose operator listed a system with a strange name."""
    from test_ai_systems import CHAT

    text = CHAT.replace("de: Hundesteuer-Vorprüfung", f'de: "{STRANGE}"').replace("2026-10\n", '"2026-10"\n')
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    before = door.hub.ai_register
    door.hub.ai_register = AiRegister.load(shipped("routing_rules/ai_systems"), tmp_path)
    yield door
    door.hub.ai_register = before


def test_anybody_reads_which_systems_take_part_in_a_service(listed: Door):
    answer = listed.anybody.get("/hub/v1/ai-systems?service=99102013002000&lang=en")
    assert [each["id"] for each in answer.json["systems"]] == ["dog-tax-check", "rathaus-hub"]
    assert answer.json["systems"][0]["notice"] == "Attachments are read by AI."
    assert listed.anybody.get("/hub/v1/ai-systems?service=99012008001000").json["total"] == 1
    target = "/hub/v1/ai-systems?service=99102013002000&lang=en"
    assert listed.anybody.ask("GET", target, ("If-None-Match", answer.headers["etag"])).status == 304
    assert listed.anybody.get("/hub/v1/ai-systems?service=dog").status == 400


def test_the_page_speaks_both_languages_and_repeats_no_markup(listed: Door):
    german, english = (listed.anybody.get(f"/ai?lang={lang}").body.decode() for lang in ("de", "en"))
    assert "KI-System" in german
    assert "AI system" in english
    assert '<html lang="en">' in english
    assert STRANGE not in german
    assert "&lt;script&gt;" in german
    assert "Artikel 50" in german


def test_a_hub_without_ai_systems_says_so(door: Door):
    assert "wirkt kein KI-System mit" in door.anybody.get("/ai").body.decode()
