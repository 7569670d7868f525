"""The register of AI systems in public: JSON for portals, a page for people, no log-in."""

from __future__ import annotations

import json

import pytest
from routing_book import APPROVER, EDITOR
from sealed_door import Door, shared_door  # noqa: F401  # shared_door is a fixture
from shared_data import SHARED

from hub.services.ai_systems import read_systems

STRANGE = "Vorlese-KI <script>alert(1)</script>"


@pytest.fixture
def listed(door: Door):
    """A hub whose operator listed a system with a strange name."""
    from test_ai_systems import CHAT

    text = CHAT.replace("de: Hundesteuer-Vorprüfung", f'de: "{STRANGE}"').replace("2026-10\n", '"2026-10"\n')
    book, now = door.hub.ai_book, door.hub.clock()
    if book.at(now).find("dog-tax-check") is None:
        publish(book, read_systems(text.encode()), now)
    return door


def publish(book, systems, now):
    draft = book.draft(EDITOR, title="KI", now=now, systems=systems)
    book.approve(draft.number, APPROVER, revision=draft.revision, now=now)
    book.activate(draft.number, APPROVER, now=now)
    return draft.number


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
    assert "wirkt kein KI-System mit" in door.anybody.get("/ai?register=1").body.decode()


STANDARD = SHARED / "ai/publication-standard-1.0.json"


@pytest.mark.skipif(not STANDARD.is_file(), reason="the publication standard is not beside the checkout")
@pytest.mark.parametrize("lang", ["de", "en"])
def test_the_publication_is_by_the_standard_but_for_its_language(listed: Door, lang):
    standard = json.loads(STANDARD.read_text(encoding="utf-8"))["properties"]
    answer = listed.anybody.get(f"/hub/v1/ai-systems/publication?lang={lang}")
    published = answer.json["algorithms"]
    assert {each["source_id"] for each in published} == {"dog-tax-check", "rathaus-hub"}
    for algorithm in published:
        act = algorithm.pop("ai_act")
        assert {"role", "riskClass", "notice", "versions"} <= act.keys()
        assert algorithm.pop("lang") == {"de": "deu", "en": "eng"}[lang]
        assert algorithm.keys() <= standard.keys()
        assert {name for name, rule in standard.items() if rule.get("required") is True} - {"lang"} <= algorithm.keys()
        for name, value in algorithm.items():
            rule = standard[name]
            assert value in rule.get("permitted_values", [value])
            assert len(value) <= rule.get("max_length", len(value))
            for each in value if isinstance(value, list) else ():
                assert (
                    {key for key, one in rule["items"].items() if one["required"]}
                    <= each.keys()
                    <= rule["items"].keys()
                )


def test_what_was_published_before_is_still_read_and_drafts_are_nobodys(listed: Door):
    past = listed.anybody.get("/hub/v1/ai-systems/versions").json["registers"]
    assert [each["register"] for each in past] == [2, 1]
    assert past[0]["changes"][0].startswith("neu: Vorlese-KI")
    assert listed.anybody.get("/hub/v1/ai-systems?register=1").json["total"] == 1
    earlier = listed.anybody.get("/ai?register=1").body.decode()
    assert "dog-tax-check" not in earlier.partition('id="versions"')[0]
    assert "Fassung 1" in earlier
    draft = listed.hub.ai_book.draft(EDITOR, title="geheim", now=listed.hub.clock())
    for unknown in (draft.number, 77):
        assert listed.anybody.get(f"/hub/v1/ai-systems?register={unknown}").status == 404
        assert listed.anybody.get(f"/ai?register={unknown}").status == 404
