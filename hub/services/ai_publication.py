"""The register as the publication standard for algorithms 1.0 has it, so that what reads such registers reads this one.

Names, lengths, required members and values are the standard's (github.com/MinBZK/Algoritmeregister, configuration 1.0). It
knows one language, ``nld``: here ``lang`` is ``deu`` or ``eng`` (ISO 639-3), the one place where this is not the standard. What
the AI Act asks besides stands under ``ai_act``, which the standard does not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hub.services.ai_systems import AiSystem, PublicationCategory, SystemStatus, as_json

STANDARD = "1.0"
_LANGUAGES = {"de": "deu", "en": "eng"}
_STATUS = {
    SystemStatus.IN_DEVELOPMENT: "In ontwikkeling",
    SystemStatus.IN_USE: "In gebruik",
    SystemStatus.OUT_OF_USE: "Buiten gebruik",
}
_CATEGORIES = {
    PublicationCategory.HIGH_RISK: "Hoog-risico AI-systeem",
    PublicationCategory.IMPACTFUL: "Impactvolle algoritmes",
    PublicationCategory.OTHER: "Overige algoritmes",
}
#: Members that are carried over as they are, and those that hold lists of titles with links.
_SAME = (
    *("name", "description_short", "organization", "begin_date", "end_date", "contact_email", "website", "url"),
    *("process_index_url", "goal", "proportionality", "human_intervention", "risks", "lawful_basis", "source_data"),
    *("methods_and_models", "provider", "publiccode", "tags"),
)
_ACT = ("kind", "role", "riskClass", "notice", "versions", "services")


def as_publication(systems: Iterable[AiSystem], lang: str, *, contact: str) -> list[dict[str, Any]]:
    """Return systems as algorithms of the standard, without members that nobody wrote.

    ``contact`` is for what names none of its own: the standard requires one.
    """
    return [_algorithm(each, lang, contact) for each in systems]


def _algorithm(system: AiSystem, lang: str, contact: str) -> dict[str, Any]:
    said = as_json(system, lang)
    kept = {name: said[name] for name in _SAME if said[name]} | {"contact_email": said["contact_email"] or contact}
    # The standard has no link without a target in these two; of assessments it has titles without one.
    for name in ("lawful_basis_grouping", "source_data_grouping"):
        linked = [each for each in said[name] if each["link"]]
        kept |= {name: linked} if linked else {}
    assessed = [{key: value for key, value in each.items() if value} for each in said["impacttoetsen_grouping"]]
    kept |= {"impacttoetsen_grouping": assessed} if assessed else {}
    return {
        **kept,
        "status": _STATUS[system.status],
        "publication_category": _CATEGORIES[system.category],
        "lang": _LANGUAGES[lang],
        "standard_version": STANDARD,
        "source_id": system.id,
        "ai_act": {name: said[name] for name in _ACT},
    }
