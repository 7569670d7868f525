"""The register of AI systems: which ones take part in public services, and what people are told of them.

Files seed them (``ai_systems/*.yaml``, strict YAML); from then on they have versions, as routing tables do. Members have the
names of the Dutch publication standard for algorithms 1.0 where they fit, so that what reads one register reads the other;
beside them stands what the AI Act (Regulation (EU) 2024/1689) asks: role, risk class with its reason, the text of Article 50,
versions. What is no AI system may be listed, too, as a rule engine: it says so, and has no text for Article 50.

Nothing vanishes: what is not used any more is withdrawn (``out-of-use``) and stays, with all its versions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from hub.errors import ConfigurationError, Invalid, Malformed, Text, TooLarge, not_found
from hub.files.strict_yaml import load_yaml
from hub.model import LEIKA_PREFIX, canonical_service
from hub.services.entry import Members, wrong

_ID = re.compile(r"[a-z0-9][a-z0-9-]{1,62}")
_MONTH = re.compile(r"[0-9]{4}-(?:0[1-9]|1[0-2])")
_SERVICE = re.compile(r"99[0-9]{12}|urn:[a-z0-9][a-z0-9-]{0,31}(?::[a-z0-9._-]{1,100}){1,10}")
_CONTACT = re.compile(r"https://[!-~]{1,400}|[^@\s]{1,100}@[^@\s]{1,100}")
_ADDRESS = re.compile(r"https://[!-~]{1,400}")
_LARGEST = 4 * 1024 * 1024
#: Systems of one register: the country's largest lists some hundreds.
_MOST = 1_000
#: Characters that the publication standard leaves for texts that are shorter than any line may be.
_CAPS = {"name": 100, "description_short": 400, "organization": 100, "provider": 200}


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
class AiReference:
    """Something that a system refers to: what it is called, and where it is to be read (empty: nowhere)."""

    title: Text
    link: str = ""


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
    #: Where more is to be read (``website``, ``url``, ``process_index_url``, ``publiccode``), as far as somebody wrote it.
    addresses: dict[str, str]
    begins: str
    ends: str
    role: ActRole
    risk: RiskClass
    reason: Text
    notice: Text | None
    assessments: tuple[AiReference, ...]
    laws: tuple[AiReference, ...]
    sources: tuple[AiReference, ...]
    versions: tuple[SystemVersion, ...]
    services: tuple[str, ...]

    def links(self) -> list[str]:
        """Return every address that the entry names, each once."""
        referred = [each.link for each in (*self.assessments, *self.laws, *self.sources)]
        named = [*self.addresses.values(), *referred, self.contact if self.contact.startswith("https:") else ""]
        return list(dict.fromkeys(each for each in named if each))

    def in_use(self, version: str, on: date) -> bool:
        """Whether a version of the system is in use on a day."""
        used = (each for each in self.versions if each.version == version)
        now = any(each.since <= on and (each.until is None or on <= each.until) for each in used)
        return now and self.status is SystemStatus.IN_USE

    def withdrawn(self, on: date) -> AiSystem:
        """Return the system as it stands in the register when it is not used from a day on."""
        ended = tuple(
            replace(each, until=max(each.since, on)) if each.until is None else each for each in self.versions
        )
        return replace(self, status=SystemStatus.OUT_OF_USE, ends=f"{on:%Y-%m}", versions=ended)

    def as_document(self) -> dict[str, Any]:
        """Return the system as files and rows write it; :func:`system_from` reads it back to the same."""
        texts = {name: _said_twice(text) for name, text in self.texts.items()}
        dates = {"begin_date": self.begins, "end_date": self.ends, "contact_email": self.contact, **self.addresses}
        grouped = {
            "impacttoetsen": self.assessments,
            "lawful_basis_grouping": self.laws,
            "source_data_grouping": self.sources,
        }
        return {
            "id": self.id,
            "kind": self.kind.value,
            "status": self.status.value,
            "publication_category": self.category.value,
            **texts,
            **{name: value for name, value in dates.items() if value},
            "role": self.role.value,
            "risk": {"class": self.risk.value, "reason": _said_twice(self.reason)},
            **({} if self.notice is None else {"notice": _said_twice(self.notice)}),
            **{name: [_reference_document(each) for each in several] for name, several in grouped.items() if several},
            "versions": [
                {"version": each.version, "since": each.since.isoformat()}
                | ({} if each.until is None else {"until": each.until.isoformat()})
                for each in self.versions
            ],
            "services": list(self.services),
        }


#: Texts that every system has, and those that it may have.
_NEEDED = ("name", "description_short", "organization", "goal", "human_intervention", "provider")
_OPTIONAL = ("proportionality", "risks", "lawful_basis", "source_data", "methods_and_models", "tags")
#: Members that are addresses.
ADDRESSES = ("website", "url", "process_index_url", "publiccode")


class AiRegister:
    """All systems, in the order of their ids. Immutable; ``version`` is the SHA-256 of what is said of all."""

    def __init__(self, systems: Iterable[AiSystem]) -> None:
        self._systems = {each.id: each for each in sorted(systems, key=lambda each: each.id)}
        said = json.dumps([each.as_document() for each in self], sort_keys=True)
        self.version = hashlib.sha256(said.encode()).hexdigest()

    @classmethod
    def of(cls, systems: Iterable[AiSystem]) -> AiRegister:
        """Return a register of systems that people hand in; raise ``Invalid`` where one stands twice, or for too many."""
        listed = list(systems)
        ids = set()
        for each in listed:
            if each.id in ids:
                raise wrong(each.id, "das System steht doppelt", "the system stands twice")
            ids.add(each.id)
        if len(listed) > _MOST:
            raise TooLarge(Text(f"Höchstens {_MOST} Systeme.", f"At most {_MOST} systems."))
        return cls(listed)

    @classmethod
    def load(cls, *folders: Path) -> AiRegister:
        """Read ``*.yaml`` of each folder that there is; raise ``ConfigurationError`` naming the file and the place in it."""
        found: list[AiSystem] = []
        for path in dict.fromkeys(each for folder in folders for each in sorted(folder.glob("*.yaml"))):
            try:
                found = list(cls.of([*found, *read_systems(path.read_bytes())]))
            except OSError as exc:
                raise _unusable(path, Text("nicht lesbar", "cannot be read")) from exc
            except (Invalid, Malformed, TooLarge) as exc:
                raise _unusable(path, exc.detail) from exc
        return cls(found)

    def __iter__(self) -> Iterator[AiSystem]:
        return iter(self._systems.values())

    def __len__(self) -> int:
        return len(self._systems)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AiRegister) and other.version == self.version

    def __hash__(self) -> int:
        return hash(self.version)

    def find(self, system_id: str) -> AiSystem | None:
        """Return a system by its id; None where there is none."""
        return self._systems.get(system_id)

    def system(self, system_id: str) -> AiSystem:
        """Return a system by its id; raise ``NotFound``."""
        found = self.find(system_id)
        if found is None:
            raise not_found("ai-system-not-found")
        return found

    def taking_part(self, service: str | None) -> list[AiSystem]:
        """Return the systems that take part in a service (URN or LeiKa key), the rule engines of all too; all for None.

        What was withdrawn, or is not used yet, takes part in none.
        """
        if service is None:
            return list(self)
        named = urn_of(service)
        used = (each for each in self if each.status is SystemStatus.IN_USE)
        return [each for each in used if named in each.services or _for_all(each)]

    def lost(self, after: AiRegister) -> list[str]:
        """Return what another register lacks of this one: ids of systems, and versions as ``id, version``."""
        gone = [each.id for each in self if each.id not in after._systems]
        for each in after:
            before = self.find(each.id)
            had = () if before is None else before.versions
            kept = {(version.version, version.since) for version in each.versions}
            gone += [f"{each.id}, {version.version}" for version in had if (version.version, version.since) not in kept]
        return gone


def read_systems(content: bytes) -> list[AiSystem]:
    """Read the systems of one file; raise :class:`Malformed` (no YAML), :class:`Invalid` with the place, or ``TooLarge``."""
    if len(content) > _LARGEST:
        raise TooLarge(Text(f"Höchstens {_LARGEST // 2**20} MiB.", f"At most {_LARGEST // 2**20} MiB."))
    try:
        document = load_yaml(content)
    except (yaml.YAMLError, UnicodeError) as exc:
        raise Malformed(Text("Das ist kein gültiges YAML.", "This is not valid YAML.")) from exc
    take = Members(document, "")
    listed = take.several("systems")
    take.finish()
    return [system_from(each) for each in listed]


def to_yaml(systems: Iterable[AiSystem]) -> bytes:
    """Return systems as one file that :func:`read_systems` reads back to the same."""
    document = {"systems": [each.as_document() for each in systems]}
    written: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=120)
    return written.encode()


def compared(before: AiRegister, after: AiRegister) -> list[Text]:
    """Return what differs between two registers, in words: what is new, withdrawn or changed, and each changed member."""
    ids = sorted({each.id for each in (*before, *after)})
    return [line for each in ids for line in _changes(before.find(each), after.find(each))]


def _changes(old: AiSystem | None, new: AiSystem | None) -> Iterator[Text]:
    if old is None and new is not None:
        yield Text(f"neu: {new.texts['name'].de} ({new.id})", f"new: {new.texts['name'].en} ({new.id})")
    elif new is None and old is not None:
        yield Text(f"fehlt: {old.texts['name'].de} ({old.id})", f"missing: {old.texts['name'].en} ({old.id})")
    elif old is not None and new is not None and old != new:
        was, becomes = old.as_document(), new.as_document()
        if old.status is not new.status and new.status is SystemStatus.OUT_OF_USE:
            yield Text(f"zurückgezogen: {new.texts['name'].de}", f"withdrawn: {new.texts['name'].en}")
        for name in dict.fromkeys((*was, *becomes)):
            if was.get(name) != becomes.get(name):
                yield Text(
                    f"{new.id}, {name}: {_shown(was.get(name), 'de')} → {_shown(becomes.get(name), 'de')}",
                    f"{new.id}, {name}: {_shown(was.get(name), 'en')} → {_shown(becomes.get(name), 'en')}",
                )


def _shown(value: Any, lang: str) -> str:
    """Return a member of a document in one line of one language."""
    if value is None:
        return "–"
    if isinstance(value, dict):
        if lang in value:
            return " ".join(str(each) for each in (value[lang], value.get("link")) if each)
        return ", ".join(_shown(each, lang) for each in value.values())
    if isinstance(value, list):
        return "; ".join(_shown(each, lang) for each in value)
    return str(value)


def as_json(system: AiSystem, lang: str) -> dict[str, Any]:
    """Return a system in one language, under the publication standard's names where they fit."""

    def said(text: Text | None) -> str | None:
        return None if text is None else text.en if lang == "en" else text.de

    def referred(several: Iterable[AiReference]) -> list[dict[str, Any]]:
        return [{"title": said(each.title), "link": each.link or None} for each in several]

    return {
        "id": system.id,
        "kind": system.kind.value,
        **{name: said(system.texts.get(name)) for name in (*_NEEDED, *_OPTIONAL)},
        "status": system.status.value,
        "begin_date": system.begins or None,
        "end_date": system.ends or None,
        "contact_email": system.contact or None,
        **{name: system.addresses.get(name) for name in ADDRESSES},
        "publication_category": system.category.value,
        "impacttoetsen": [said(each.title) for each in system.assessments],
        "impacttoetsen_grouping": referred(system.assessments),
        "lawful_basis_grouping": referred(system.laws),
        "source_data_grouping": referred(system.sources),
        "role": system.role.value,
        "riskClass": {"class": system.risk.value, "reason": said(system.reason)},
        "notice": said(system.notice),
        "versions": [_version_json(each) for each in system.versions],
        "services": list(system.services),
    }


def _version_json(each: SystemVersion) -> dict[str, Any]:
    return {
        "version": each.version,
        "since": each.since.isoformat(),
        "until": None if each.until is None else each.until.isoformat(),
    }


def urn_of(service: str) -> str:
    """Return the URN of a service that is named by it or by its LeiKa key."""
    return canonical_service(service) if ":" in service else LEIKA_PREFIX + service


def _for_all(system: AiSystem) -> bool:
    return system.kind is SystemKind.RULE_ENGINE and not system.services


def system_from(document: Any) -> AiSystem:
    """Return the system that a member of ``systems`` is; raise :class:`Invalid` naming the place."""
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
        addresses=dict(_addresses(take)),
        begins=_matching(take, "begin_date", _MONTH, "2026-11", optional=True),
        ends=_matching(take, "end_date", _MONTH, "2026-11", optional=True),
        role=take.choice(ActRole, take.member("role"), "role"),
        risk=risk.choice(RiskClass, risk.member("class"), "class"),
        reason=_needed(risk.pair("reason"), f"{risk.where}reason"),
        notice=take.pair("notice"),
        assessments=_references(take, "impacttoetsen"),
        laws=_references(take, "lawful_basis_grouping"),
        sources=_references(take, "source_data_grouping"),
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
        raise _notice_amiss(where)
    if is_ai != (system.role is not ActRole.NONE) or is_ai != (system.risk is not RiskClass.NONE):
        raise _no_ai_amiss(where)
    if is_ai and not (system.contact and system.versions and system.services):
        raise _contact_amiss(where)
    if (system.risk is RiskClass.HIGH) != (system.category is PublicationCategory.HIGH_RISK):
        raise _class_amiss(where)
    if (system.status is SystemStatus.OUT_OF_USE) != bool(system.ends):
        raise wrong(
            f"{where}end_date", "gehört zu out-of-use, und nur dazu", "it belongs to out-of-use, and to that alone"
        )


def _notice_amiss(where: str) -> Invalid:
    return wrong(
        f"{where}notice",
        "der Hinweis nach Artikel 50 gehört zu jedem ai-system, und nur dazu",
        "the notice of Article 50 belongs to every ai-system, and to those alone",
    )


def _no_ai_amiss(where: str) -> Invalid:
    return wrong(
        f"{where}risk",
        "none bei role und risk heißt, dass es kein KI-System ist",
        "none for role and risk means that it is no AI system",
    )


def _contact_amiss(where: str) -> Invalid:
    return wrong(
        where,
        "contact_email, versions oder services fehlt oder ist leer",
        "contact_email, versions or services is missing or empty",
    )


def _class_amiss(where: str) -> Invalid:
    return wrong(
        f"{where}publication_category",
        "high-risk-ai-system und die Risikoklasse high gehören zusammen",
        "high-risk-ai-system and the risk class high belong together",
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


def _addresses(take: Members) -> Iterator[tuple[str, str]]:
    for name in ADDRESSES:
        said = _matching(take, name, _ADDRESS, "https://…", optional=True)
        if said:
            yield name, said


def _references(take: Members, name: str) -> tuple[AiReference, ...]:
    where = f"{take.where}{name} "
    return tuple(_reference(Members(each, where)) for each in take.several(name))


def _reference(take: Members) -> AiReference:
    title = Text(take.text("de"), take.text("en"))
    link = _matching(take, "link", _ADDRESS, "https://…", optional=True)
    take.finish()
    return AiReference(title=title, link=link)


def _said_twice(text: Text) -> dict[str, str]:
    return {"de": text.de, "en": text.en}


def _reference_document(each: AiReference) -> dict[str, str]:
    return _said_twice(each.title) | ({"link": each.link} if each.link else {})


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
    if found is None or type(found) is date:
        return found
    try:
        return date.fromisoformat(found)
    except (TypeError, ValueError) as exc:
        raise wrong(where, "ein Tag: 2026-11-30", "a day: 2026-11-30") from exc


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
