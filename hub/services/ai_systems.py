"""The register of AI systems: which ones take part in public services, and what people are told of them.

Files name them (``ai_systems/*.yaml``, strict YAML). Members have the names of the Dutch publication standard for algorithms
1.0 where they fit, so that what reads one register reads the other; beside them stands what the AI Act (Regulation (EU)
2024/1689) asks: role, risk class with its reason, the text of Article 50, versions. What is no AI system may be listed, too,
as a rule engine: it says so, and has no text for Article 50.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from hub.errors import ConfigurationError, Invalid, Text
from hub.files.strict_yaml import load_yaml
from hub.model import LEIKA_PREFIX, canonical_service
from hub.services.entry import Members, wrong

_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
_MONTH = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])")
_SERVICE = re.compile(r"99[0-9]{12}|urn:[a-z0-9][a-z0-9-]{0,31}(?::[a-z0-9._-]{1,100}){1,10}")
_CONTACT = re.compile(r"https://[!-~]{1,400}|[^@\s]{1,100}@[^@\s]{1,100}")
_LARGEST = 4 * 1024 * 1024
#: Characters that the publication standard leaves for two of its texts.
_CAPS = {"name": 100, "description_short": 400}


class SystemKind(StrEnum):
    """What a listed system is."""

    #: An AI system within Article 3(1) of the AI Act.
    AI_SYSTEM = "ai-system"
    #: Decides by fixed rules that people wrote.
    RULE_ENGINE = "rule-engine"


class SystemStatus(StrEnum):
    """Whether a system is used."""

    IN_DEVELOPMENT = "in-development"
    IN_USE = "in-use"
    OUT_OF_USE = "out-of-use"


class PublicationCategory(StrEnum):
    """Why a system is published."""

    HIGH_RISK = "high-risk-ai-system"
    IMPACTFUL = "impactful-algorithm"
    OTHER = "other-algorithm"


class ActRole(StrEnum):
    """What the organisation is under the AI Act (Article 3(3) and (4))."""

    PROVIDER = "provider"
    DEPLOYER = "deployer"
    #: Both at once.
    BOTH = "provider-and-deployer"
    #: The system is none of the Act's.
    NONE = "none"


class RiskClass(StrEnum):
    """The class of a system under the AI Act."""

    #: Annex III, or a safety component (Article 6).
    HIGH = "high"
    #: Duties of transparency (Article 50).
    LIMITED = "limited"
    MINIMAL = "minimal"
    #: No AI system.
    NONE = "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class SystemVersion:
    """One version of a system, and the days on which it was in use (``until`` inclusive, None for yet)."""

    version: str
    since: date
    until: date | None


@dataclass(frozen=True, kw_only=True, slots=True)
class AiSystem:
    """One system. ``texts`` hold what the publication standard calls so, in both languages; what nobody wrote is not in it.

    ``notice`` is what people are told before they deal with it (Article 50), None for a rule engine. ``services`` are URNs; an
    empty list of a rule engine means all.
    """

    id: str
    kind: SystemKind
    status: SystemStatus
    category: PublicationCategory
    texts: dict[str, Text]
    contact: str
    website: str
    begins: str
    ends: str
    role: ActRole
    risk: RiskClass
    reason: Text
    notice: Text | None
    assessments: tuple[Text, ...]
    versions: tuple[SystemVersion, ...]
    services: tuple[str, ...]


#: Texts that every system has, and those that it may have.
_NEEDED = ("name", "description_short", "organization", "goal", "human_intervention", "provider")
_OPTIONAL = ("proportionality", "risks", "lawful_basis", "source_data", "methods_and_models")


class AiRegister:
    """All systems, in the order of their ids. ``version`` changes with whatever is said of any."""

    def __init__(self, systems: Iterable[AiSystem]) -> None:
        self._systems = {each.id: each for each in sorted(systems, key=lambda each: each.id)}
        said = [as_json(each, lang) for each in self for lang in ("de", "en")]
        self.version = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @classmethod
    def load(cls, *folders: Path) -> AiRegister:
        """Read ``*.yaml`` of each folder that there is; raise ``ConfigurationError`` naming the file and the place in it."""
        found: dict[str, AiSystem] = {}
        for path in dict.fromkeys(each for folder in folders for each in sorted(folder.glob("*.yaml"))):
            try:
                for system in read_systems(path.read_bytes()):
                    if system.id in found:
                        raise wrong(system.id, "das System steht doppelt", "the system stands twice")
                    found[system.id] = system
            except OSError as exc:
                raise _unusable(path, Text("nicht lesbar", "cannot be read")) from exc
            except (yaml.YAMLError, UnicodeError) as exc:
                raise _unusable(path, Text("kein gültiges YAML", "not valid YAML")) from exc
            except Invalid as exc:
                raise _unusable(path, exc.detail) from exc
        return cls(found.values())

    def __iter__(self) -> Iterator[AiSystem]:
        return iter(self._systems.values())

    def taking_part(self, service: str | None) -> list[AiSystem]:
        """Return the systems that take part in a service (URN or LeiKa key), the rule engines of all too; all for None."""
        if service is None:
            return list(self)
        named = urn_of(service)
        return [each for each in self if named in each.services or _for_all(each)]


def read_systems(content: bytes) -> list[AiSystem]:
    """Read the systems of one file; raise :class:`Invalid` with the place in it."""
    if len(content) > _LARGEST:
        raise wrong("", f"höchstens {_LARGEST // 2**20} MiB", f"at most {_LARGEST // 2**20} MiB")
    take = Members(load_yaml(content), "")
    listed = take.several("systems")
    take.finish()
    return [_system(each) for each in listed]


def as_json(system: AiSystem, lang: str) -> dict[str, Any]:
    """Return a system in one language, under the publication standard's names where they fit."""

    def said(text: Text | None) -> str | None:
        return None if text is None else text.en if lang == "en" else text.de

    return {
        "id": system.id,
        "kind": system.kind.value,
        **{name: said(system.texts.get(name)) for name in (*_NEEDED, *_OPTIONAL)},
        "status": system.status.value,
        "begin_date": system.begins or None,
        "end_date": system.ends or None,
        "contact_email": system.contact or None,
        "website": system.website or None,
        "publication_category": system.category.value,
        "impacttoetsen": [said(each) for each in system.assessments],
        "role": system.role.value,
        "riskClass": {"class": system.risk.value, "reason": said(system.reason)},
        "notice": said(system.notice),
        "versions": [
            {
                "version": each.version,
                "since": each.since.isoformat(),
                "until": None if each.until is None else each.until.isoformat(),
            }
            for each in system.versions
        ],
        "services": list(system.services),
    }


def urn_of(service: str) -> str:
    """Return the URN of a service that is named by it or by its LeiKa key."""
    return canonical_service(service) if ":" in service else LEIKA_PREFIX + service


def _for_all(system: AiSystem) -> bool:
    return system.kind is SystemKind.RULE_ENGINE and not system.services


def _system(document: Any) -> AiSystem:
    take = Members(document, "")
    name = take.text("id")
    if not _ID.fullmatch(name):
        raise wrong("id", "2 bis 63 Zeichen a-z, 0-9 und -", "2 to 63 characters a-z, 0-9 and -")
    take.where = f"{name}: "
    risk = Members(take.member("risk"), f"{take.where}risk ")
    system = AiSystem(
        id=name,
        kind=take.choice(SystemKind, take.member("kind"), "kind"),
        status=take.choice(SystemStatus, take.member("status"), "status"),
        category=take.choice(PublicationCategory, take.member("publication_category"), "publication_category"),
        texts=dict(_texts(take)),
        contact=_matching(take, "contact_email", _CONTACT, "ki@example.org, https://…", optional=True),
        website=_matching(take, "website", _CONTACT, "https://…", optional=True),
        begins=_matching(take, "begin_date", _MONTH, "2026-11", optional=True),
        ends=_matching(take, "end_date", _MONTH, "2026-11", optional=True),
        role=take.choice(ActRole, take.member("role"), "role"),
        risk=risk.choice(RiskClass, risk.member("class"), "class"),
        reason=_needed(risk.pair("reason"), f"{risk.where}reason"),
        notice=take.pair("notice"),
        assessments=tuple(_pair(each, f"{take.where}impacttoetsen ") for each in take.several("impacttoetsen")),
        versions=tuple(_version(each, f"{take.where}versions ") for each in take.several("versions")),
        services=tuple(_service(each, take.where) for each in take.several("services")),
    )
    risk.finish()
    take.finish()
    _require_consistent(system, take.where)
    return system


def _require_consistent(system: AiSystem, where: str) -> None:
    """Require of an AI system what people are told, versions and services; of a rule engine that it claims to be none."""
    is_ai = system.kind is SystemKind.AI_SYSTEM
    if is_ai != (system.notice is not None):
        raise wrong(
            f"{where}notice",
            "der Hinweis nach Artikel 50 gehört zu jedem ai-system, und nur dazu",
            "the notice of Article 50 belongs to every ai-system, and to those alone",
        )
    if is_ai != (system.role is not ActRole.NONE) or is_ai != (system.risk is not RiskClass.NONE):
        raise wrong(
            f"{where}risk",
            "none bei role und risk heißt, dass es kein KI-System ist",
            "none for role and risk means that it is no AI system",
        )
    if is_ai and not (system.contact and system.versions and system.services):
        raise wrong(
            where,
            "contact_email, versions oder services fehlt oder ist leer",
            "contact_email, versions or services is missing or empty",
        )
    if (system.risk is RiskClass.HIGH) != (system.category is PublicationCategory.HIGH_RISK):
        raise wrong(
            f"{where}publication_category",
            "high-risk-ai-system und die Risikoklasse high gehören zusammen",
            "high-risk-ai-system and the risk class high belong together",
        )
    if (system.status is SystemStatus.OUT_OF_USE) != bool(system.ends):
        raise wrong(
            f"{where}end_date", "gehört zu out-of-use, und nur dazu", "it belongs to out-of-use, and to that alone"
        )


def _texts(take: Members) -> Iterator[tuple[str, Text]]:
    for name in (*_NEEDED, *_OPTIONAL):
        text = take.pair(name)
        if text is None and name in _OPTIONAL:
            continue
        text, most = _needed(text, f"{take.where}{name}"), _CAPS.get(name)
        if most is not None and max(len(text.de), len(text.en)) > most:
            raise wrong(f"{take.where}{name}", f"höchstens {most} Zeichen", f"at most {most} characters")
        yield name, text


def _needed(text: Text | None, where: str) -> Text:
    if text is None:
        raise wrong(where, "die Angabe fehlt", "it is missing")
    return text


def _pair(document: Any, where: str) -> Text:
    take = Members(document, where)
    text = Text(take.text("de"), take.text("en"))
    take.finish()
    return text


def _version(document: Any, where: str) -> SystemVersion:
    take = Members(document, where)
    version = SystemVersion(
        version=take.text("version"),
        since=_needed_day(take.member("since"), f"{where}since"),
        until=_day(take.member("until"), f"{where}until"),
    )
    take.finish()
    if version.until is not None and version.until < version.since:
        raise wrong(f"{where}until", "endet vor ihrem Beginn", "it ends before it begins")
    return version


def _day(found: Any, where: str) -> date | None:
    if found is not None and type(found) is not date:
        raise wrong(where, "ein Tag: 2026-11-30", "a day: 2026-11-30")
    return found


def _needed_day(found: Any, where: str) -> date:
    day = _day(found, where)
    if day is None:
        raise wrong(where, "die Angabe fehlt", "it is missing")
    return day


def _service(found: Any, where: str) -> str:
    if not isinstance(found, str) or not _SERVICE.fullmatch(found):
        raise wrong(
            f"{where}services",
            "LeiKa-Schlüssel mit 14 Ziffern (99…) oder URNs, als Text",
            "LeiKa keys of 14 digits (99…) or URNs, as text",
        )
    return urn_of(found)


def _matching(take: Members, name: str, form: re.Pattern[str], example: str, *, optional: bool = False) -> str:
    said = take.text(name, optional=optional)
    if said and not form.fullmatch(said):
        raise wrong(f"{take.where}{name}", f"zum Beispiel {example}", f"for example {example}")
    return said


def _unusable(path: Path, why: Text) -> ConfigurationError:
    return ConfigurationError(Text(f"{path.name}: {why.de}", f"{path.name}: {why.en}"), file=path.name)
