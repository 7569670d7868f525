"""All public services that the hub knows: read from files, told apart by their content, found by citizens' words.

``services/*.yaml``, one file a topic, strict YAML; a folder of an earlier release has ``services.csv`` instead, with keys and
names alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path

import yaml

from hub.errors import ConfigurationError, Invalid, Malformed, Text, TooLarge, not_found
from hub.files.sheets import bad_row, sheet_rows
from hub.files.strict_yaml import load_yaml
from hub.model import canonical_service
from hub.services.entry import Members, PublicService, service_from, wrong
from hub.services.search import ServiceIndex

#: A file with all services of the country has 10,000; beyond these bytes it is a mistake.
_LARGEST = 32 * 1024 * 1024
_COLUMNS = ("key", "name", "source")
_MOST = 20_000
#: Characters of a search.
_LONGEST = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Hit:
    """A service that was found, and how well it fits (higher is better, comparable within one search)."""

    service: PublicService
    score: float


class ServiceCatalogue:
    """The services by URN, in order. Immutable; two are equal if their versions are."""

    def __init__(self, services: Iterable[PublicService]) -> None:
        self._services = {each.key: each for each in sorted(services, key=lambda each: each.key)}
        self.version = _version(self)
        self._index: ServiceIndex | None = None

    @classmethod
    def of(cls, services: Iterable[PublicService]) -> ServiceCatalogue:
        """Return a catalogue of services that people hand in; raise ``Invalid`` where one stands twice, or for too many."""
        listed = list(services)
        keys: set[str] = set()
        for each in listed:
            if each.key in keys:
                raise wrong(each.key, "die Leistung steht doppelt", "the service stands twice")
            keys.add(each.key)
        if len(listed) > _MOST:
            raise TooLarge(Text(f"Höchstens {_MOST} Leistungen.", f"At most {_MOST} services."))
        return cls(listed)

    @classmethod
    def load(cls, folder: Path) -> ServiceCatalogue:
        """Read ``folder/services/*.yaml``, or ``services.csv`` of an earlier release where there is no such folder.

        Raises :class:`ConfigurationError` naming the file and the place in it.
        """
        files = sorted((folder / "services").glob("*.yaml"))
        if not files:
            return cls(_short_list(folder / "services.csv"))
        read = [each for path in files for each in _read(path)]
        try:
            return cls.of(read)
        except (Invalid, TooLarge) as exc:
            raise ConfigurationError(exc.detail, file="services") from exc

    def __len__(self) -> int:
        return len(self._services)

    def __iter__(self) -> Iterator[PublicService]:
        return iter(self._services.values())

    def __contains__(self, key: object) -> bool:
        return key in self._services

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ServiceCatalogue) and other.version == self.version

    def __hash__(self) -> int:
        return hash(self.version)

    def decisions(self) -> dict[str, timedelta]:
        """Return of services (URN) how long a decision may take, where their entries say so."""
        return {each.key: timedelta(weeks=each.decision_weeks) for each in self if each.decision_weeks is not None}

    def find(self, key: str) -> PublicService | None:
        """Return a service by its URN or LeiKa key; None where there is none."""
        return self._services.get(_urn(key))

    def service(self, key: str) -> PublicService:
        """Return a service by its URN or LeiKa key; raise ``NotFound``."""
        found = self.find(key)
        if found is None:
            raise not_found("service-not-found")
        return found

    def search(self, text: str, language: str = "de") -> list[Hit]:
        """Return the services that citizens' words fit, best first; all by name for no words at all.

        Case, umlauts and their spellings do not matter; beginnings, parts of words and one wrong letter are found.
        Raises ``TooLarge`` beyond 200 characters.
        """
        if len(text) > _LONGEST:
            raise TooLarge(Text(f"Höchstens {_LONGEST} Zeichen.", f"At most {_LONGEST} characters."))
        if not text.strip():
            return [Hit(service=each, score=0.0) for each in sorted(self, key=lambda each: _named(each, language))]
        if self._index is None:
            self._index = ServiceIndex(self)
        return [Hit(service=self._services[key], score=score) for key, score in self._index.search(text, language)]


def read_services(content: bytes, name: str) -> list[PublicService]:
    """Read the services of one file. Raises :class:`Malformed` (no YAML), :class:`Invalid` or :class:`TooLarge`."""
    if len(content) > _LARGEST:
        raise TooLarge(Text(f"Höchstens {_LARGEST // 2**20} MiB.", f"At most {_LARGEST // 2**20} MiB."))
    try:
        document = load_yaml(content)
    except (yaml.YAMLError, UnicodeError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise Malformed(
            Text(f"{name}, Zeile {line} ist kein gültiges YAML.", f"{name}, line {line} is not valid YAML."), line=line
        ) from exc
    take = Members(document, "")
    topic, facts, listed = take.pair("topic"), take.pair("facts"), take.member("services")
    take.finish()
    if not isinstance(listed, list) or not listed:
        raise wrong("services", "die Liste der Leistungen fehlt", "the list of services is missing")
    return [service_from(each, topic=topic, facts=facts) for each in listed]


def to_yaml(catalogue: ServiceCatalogue) -> bytes:
    """Return a catalogue as one file that :func:`read_services` reads back to the same services."""
    document = {"services": [each.as_document() for each in catalogue]}
    written: str = yaml.safe_dump(document, allow_unicode=True, sort_keys=False, width=120)
    return written.encode()


@lru_cache(maxsize=32)
def _read_once(content: bytes, name: str) -> tuple[PublicService, ...]:
    """A start reads the same files for the first version and for what they say now; what is read is frozen."""
    return tuple(read_services(content, name))


def _read(path: Path) -> tuple[PublicService, ...]:
    try:
        return _read_once(path.read_bytes(), path.name)
    except OSError as exc:
        raise ConfigurationError(Text(f"{path} ist nicht lesbar.", f"{path} cannot be read."), file=path.name) from exc
    except (Invalid, Malformed, TooLarge) as exc:
        raise ConfigurationError(
            Text(f"{path.name}: {exc.detail.de}", f"{path.name}: {exc.detail.en}"), file=path.name
        ) from exc


def _short_list(path: Path) -> Iterator[PublicService]:
    seen: set[str] = set()
    for row, fields in sheet_rows(path, columns=_COLUMNS, largest=_LARGEST):
        try:
            name = fields["name"]
            said = {"key": fields["key"], "official": name, "name": {"de": name, "en": name}}
            service = service_from(said | ({"source": fields["source"]} if fields["source"] else {}))
        except Invalid as exc:
            raise bad_row(path, row, exc.detail) from exc
        if service.key in seen:
            raise bad_row(path, row, Text("Der Schlüssel steht doppelt.", "The key stands twice."))
        seen.add(service.key)
        yield service


def _urn(key: str) -> str:
    return canonical_service(key) if ":" in key else f"urn:de:fim:leika:leistung:{key}"


def _named(service: PublicService, language: str) -> tuple[str, str]:
    return (service.name.en if language == "en" else service.name.de).casefold(), service.key


def _version(services: Iterable[PublicService]) -> str:
    digest = hashlib.sha256()
    for each in services:
        digest.update(json.dumps(each.as_document(), ensure_ascii=False, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()
