"""The register of AI systems: read strictly, told in both languages, the hub itself among them as no AI system."""

from __future__ import annotations

import shutil

import pytest

from hub.errors import ConfigurationError
from hub.resources import shipped
from hub.services.ai_systems import AiRegister, SystemKind, as_json

SHIPPED = shipped("routing_rules/ai_systems")
CHAT = """systems:
- id: dog-tax-check
  kind: ai-system
  name: {de: Hundesteuer-Vorprüfung, en: Dog tax pre-check}
  description_short: {de: "Liest Anlagen vor.", en: "Reads attachments."}
  organization: {de: Stadt Wiesbaden, en: City of Wiesbaden}
  status: in-use
  begin_date: 2026-10
  contact_email: ki@wiesbaden.example
  publication_category: impactful-algorithm
  goal: {de: Schneller, en: Faster}
  human_intervention: {de: "Ein Mensch entscheidet.", en: "A human decides."}
  provider: {de: Muster GmbH, en: Muster GmbH}
  role: deployer
  risk: {class: limited, reason: {de: "Erzeugt Text.", en: "Generates text."}}
  notice: {de: "Anlagen werden mit KI vorgelesen.", en: "Attachments are read by AI."}
  versions: [{version: "2.1", since: 2026-10-01}]
  services: ["99102013002000"]
"""


def register(tmp_path, text: str = CHAT) -> AiRegister:
    (tmp_path / "own.yaml").write_text(
        text.replace("begin_date: 2026-10\n", 'begin_date: "2026-10"\n'), encoding="utf-8"
    )
    return AiRegister.load(SHIPPED, tmp_path)


def test_the_hub_is_listed_as_a_rule_engine_that_is_no_ai_system():
    (hub,) = AiRegister.load(SHIPPED)
    said = as_json(hub, "de")
    assert (said["kind"], said["role"], said["riskClass"]["class"], said["notice"]) == (
        "rule-engine",
        "none",
        "none",
        None,
    )
    assert said["riskClass"]["reason"] != as_json(hub, "en")["riskClass"]["reason"]


def test_a_service_has_its_systems_and_the_rule_engine_of_all(tmp_path):
    found = register(tmp_path)
    dog = found.taking_part("99102013002000")
    assert [each.kind for each in dog] == [SystemKind.AI_SYSTEM, SystemKind.RULE_ENGINE]
    assert found.taking_part("urn:de:fim:leika:leistung:99102013002000") == dog
    assert [each.id for each in found.taking_part("99012008001000")] == ["rathaus-hub"]
    assert as_json(dog[0], "en")["notice"] == "Attachments are read by AI."
    assert found.version != AiRegister.load(SHIPPED).version


WRONG = {
    "an AI system without the notice of Article 50": ("  notice: {", "  risks: {", "notice"),
    "a high risk under another category": ("class: limited", "class: high", "publication_category"),
    "an AI system that claims none": ("role: deployer", "role: none", "risk"),
    "an unknown member": ("  goal:", "  gaol:", "goal"),
    "no service": ('services: ["99102013002000"]', "services: []", "services"),
    "a service that is none": ('"99102013002000"', '"dog"', "services"),
    "a version that ends before it begins": ("since: 2026-10-01", "since: 2026-10-01, until: 2026-09-01", "until"),
    "an end without being out of use": ("  status: in-use", '  status: in-use\n  end_date: "2026-11"', "end_date"),
    "a name beyond the standard's length": ("Dog tax pre-check", "x" * 101, "name"),
    "a contact that is none": ("ki@wiesbaden.example", "javascript:alert(1)", "contact_email"),
    "the hub once more": ("dog-tax-check", "rathaus-hub", "rathaus-hub"),
    "a tag": ("kind: ai-system", "kind: !!python/object:os.system x", "YAML"),
}


@pytest.mark.parametrize(("old", "new", "place"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_stops_the_start_and_names_its_place(tmp_path, old, new, place):
    assert old in CHAT
    with pytest.raises(ConfigurationError) as refused:
        register(tmp_path, CHAT.replace(old, new, 1))
    assert "own.yaml" in refused.value.detail.de
    assert place in refused.value.detail.de


def test_a_folder_that_is_not_there_names_nothing(tmp_path):
    shutil.rmtree(tmp_path)
    assert len(list(AiRegister.load(SHIPPED, tmp_path))) == 1
