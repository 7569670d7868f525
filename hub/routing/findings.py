"""What a check says about a table: findings as values."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from hub.areas import LENGTHS
from hub.errors import Text


class Severity(StrEnum):
    """How much a finding weighs."""

    #: The table must not become active.
    ERROR = "error"
    #: The table may become active if somebody says so.
    WARNING = "warning"


class Code(StrEnum):
    """What was found."""

    #: Two rules give the same area, service and time to different destinations.
    CONTRADICTION = "contradiction"
    #: Two rules say the same twice.
    OVERLAP = "overlap"
    #: A service that some municipalities have an authority for, and others not.
    GAP = "gap"
    #: A service of the register that no rule names.
    UNRULED = "unruled"
    #: The gazetteer has never known the area.
    UNKNOWN_AREA = "unknown-area"
    #: The area does not exist any more, or will not while the rule still holds.
    DISSOLVED_AREA = "dissolved-area"
    #: The service is not in the register.
    UNKNOWN_SERVICE = "unknown-service"
    #: There is no such destination.
    DESTINATION_MISSING = "destination-missing"
    #: The destination takes no submissions.
    DESTINATION_INACTIVE = "destination-inactive"
    #: The destination has no valid key.
    DESTINATION_KEY = "destination-key"
    #: The destination's key ends soon.
    KEY_ENDING = "key-ending"
    #: The destination does not offer the service.
    SERVICE_NOT_OFFERED = "service-not-offered"
    #: The destination offers the service, but not for the rule's whole area.
    REGION_NOT_OFFERED = "region-not-offered"
    #: The destination offers the service without a schema, or with none that the hub knows.
    SCHEMA_NOT_OFFERED = "schema-not-offered"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One finding: ``rows`` are the rule ids it is about, ``areas`` ARS prefixes, ``services`` URNs; all may be empty."""

    severity: Severity
    code: Code
    rows: tuple[str, ...]
    text: Text
    remedy: Text
    areas: tuple[str, ...] = ()
    services: tuple[str, ...] = ()


def weight(finding: Finding) -> tuple[bool, str, tuple[str, ...]]:
    """Return the key by which findings are sorted: errors first, then by code and rows."""
    return finding.severity is not Severity.ERROR, finding.code, finding.rows


def summarised(ars: Iterable[str], everything: Collection[str]) -> tuple[str, ...]:
    """Return the shortest prefixes that stand for exactly the given areas among ``everything``, in order."""
    wanted = set(ars)
    totals: dict[str, int] = {}
    for one in everything:
        step = 1 if one in wanted else -len(everything)
        for length in LENGTHS:
            totals[one[:length]] = totals.get(one[:length], 0) + step
    chosen = {next(one[:n] for n in reversed(LENGTHS) if n == len(one) or totals.get(one[:n], 0) > 0) for one in wanted}
    return tuple(sorted(chosen))
