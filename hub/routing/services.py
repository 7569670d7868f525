"""The register of services: which keys exist, what they are called, and which one was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from hub.errors import HubError, Text
from hub.files.sheets import bad_row, sheet_rows
from hub.model.submission import LEIKA_PREFIX, Service
from hub.routing.rules import service_urn

#: A register of all services has 10,000 rows; a file beyond this is a mistake.
_LARGEST = 4 * 1024 * 1024
_COLUMNS = ("key", "name", "source")
#: Longer wishes are cut before they are compared: difflib's time grows with the square.
_MAX_COMPARED = 120
#: Below this likeness (0 to 1) a suggestion confuses more than it helps.
_LIKE_ENOUGH = 0.72
#: Of a large choice only so many are compared by name, those whose keys are closest.
_MAX_CHOICE = 60
#: The first digits of a LeiKa key: its kind (99) and group; keys of one group are kin.
_GROUP_DIGITS = 5


class ServiceRegister:
    """The services that may stand in rules. Immutable; iterates over URNs in order."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._names = {service.identifier: service.name for service in sorted(services, key=lambda s: s.identifier)}

    @classmethod
    def load(cls, path: Path) -> ServiceRegister:
        """Read a CSV (semicolon, UTF-8) with the columns ``key;name;source``. Raises :class:`ConfigurationError`."""
        return cls(_read(path))

    def __contains__(self, service: object) -> bool:
        return service in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def name(self, service: str) -> str:
        """Return the service's name, or its key where the register does not know it."""
        return self._names.get(service) or service.removeprefix(LEIKA_PREFIX)

    def nearest(self, text: str, among: Iterable[str] | None = None, count: int = 3) -> tuple[str, ...]:
        """Return the URNs closest to a key or a name, best first; ``among`` narrows the choice."""
        wanted = text.removeprefix(LEIKA_PREFIX).casefold()[:_MAX_COMPARED]
        choice = self._names if among is None else among
        scored = sorted((-self._likeness(wanted, urn), urn) for urn in choice)
        return tuple(urn for score, urn in scored[:count] if -score >= _LIKE_ENOUGH)

    def akin(self, service: str, among: Iterable[str], count: int = 3) -> tuple[str, ...]:
        """Return the URNs among the given whose key or name is closest to a known service's."""
        key = service.removeprefix(LEIKA_PREFIX)
        choice = sorted(among, key=lambda urn: (-_shared(key, urn.removeprefix(LEIKA_PREFIX)), urn))[:_MAX_CHOICE]
        by_key = self.nearest(service, choice, count)
        by_name = self.nearest(self.name(service), choice, count)
        return tuple(dict.fromkeys((*by_name, *by_key)))[:count]

    def _likeness(self, wanted: str, urn: str) -> float:
        if wanted.isdigit():
            return _shared_digits(wanted, urn.removeprefix(LEIKA_PREFIX))
        name = self._names.get(urn, urn).casefold()
        words = [name, *re.findall(r"\w{4,}", name)]
        return max(_ratio(wanted, word[:_MAX_COMPARED]) for word in words)


def _shared_digits(wanted: str, key: str) -> float:
    """Compare LeiKa keys from the left: 99, group (3), service (3), action (3), detail (3)."""
    shared = _shared(wanted, key)
    kinship = _LIKE_ENOUGH + 0.02 * shared if shared >= _GROUP_DIGITS else 0.0
    return max(kinship, _ratio(wanted, key) - 0.1)


def _shared(one: str, other: str) -> int:
    both = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in both if a != b), min(len(one), len(other)))


def _ratio(one: str, other: str) -> float:
    """Return difflib's likeness, or 0 where its cheap upper bounds already rule it out."""
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    if matcher.real_quick_ratio() < _LIKE_ENOUGH or matcher.quick_ratio() < _LIKE_ENOUGH:
        return 0.0
    return matcher.ratio()


def _read(path: Path) -> Iterator[Service]:
    seen: set[str] = set()
    for row, fields in sheet_rows(path, columns=_COLUMNS, largest=_LARGEST):
        if not fields["name"]:
            raise bad_row(path, row, Text("Der Name fehlt.", "The name is missing."))
        try:
            urn = service_urn(fields["key"])
        except HubError as exc:
            raise bad_row(path, row, exc.detail) from exc
        if urn in seen:
            why = Text("Der Schlüssel steht schon weiter oben.", "The key stands further up already.")
            raise bad_row(path, row, why)
        seen.add(urn)
        yield Service(identifier=urn, name=fields["name"])
