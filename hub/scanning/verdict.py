"""What a scan for malware found, as a value, and what an operator wants done about it.

What scanners write is foreign text: a signature's name goes no further than its plain characters (:func:`plain`), whatever it
holds. A scan that saw less than all of a part is never *clean*: a limit that was reached and an encrypted archive are
verdicts of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from hub.errors import ConfigurationError, Text


class ScanVerdict(StrEnum):
    """What came of scanning one part."""

    #: The scanner saw all of it, within its own limits, and knows nothing in it.
    CLEAN = "clean"
    #: Larger, deeper or more than the scanner takes: what it saw was clean.
    LIMITED = "limits-exceeded"
    #: Nobody looked, or not to the end; :class:`Gap` says why.
    NOT_SCANNED = "not-scanned"
    INFECTED = "infected"


class Gap(StrEnum):
    """Why a part was not scanned."""

    #: Nobody listens at the scanner's address.
    UNREACHABLE = "unreachable"
    #: The scanner took longer than it may.
    LATE = "timed-out"
    #: The scanner hung up, or refused, before it answered.
    BROKEN_OFF = "broken-off"
    #: The scanner's answer is none that its protocol knows, or is none to this part.
    GARBLED = "garbled"
    #: The part is encrypted, so the scanner cannot look into it.
    ENCRYPTED = "encrypted"
    #: The scanner let it pass without having seen all of it.
    SKIPPED = "skipped"
    #: The hub has ciphertext alone: it came by the sealed door.
    SEALED = "sealed"


#: Gaps that are the scanner's trouble and not the part's: they may be gone in a minute.
TROUBLES = frozenset({Gap.UNREACHABLE, Gap.LATE, Gap.BROKEN_OFF, Gap.GARBLED})
_SEVERITY = tuple(ScanVerdict)
_STRANGE = re.compile(r"[^A-Za-z0-9._:@()+/ -]+")
_LONGEST_NAME = 120
UNNAMED = "unnamed"
_MOST_DIGITS = 16
_LIMITS = "Heuristics.Limits.Exceeded"
_ENCRYPTED = "Heuristics.Encrypted"


def plain(text: str) -> str:
    """Return what may be shown of a scanner's own words: at most 120 plain characters, and never none."""
    return _STRANGE.sub("_", text).strip()[:_LONGEST_NAME] or UNNAMED


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanResult:
    """The verdict on one part.

    ``signature`` is the name of what was found (infected) or of the limit that was reached (limits exceeded), in plain
    characters. ``version`` is what the scanner says of itself and of its signatures; None where it said nothing readable.
    """

    verdict: ScanVerdict
    signature: str | None = None
    gap: Gap | None = None
    version: str | None = None

    @property
    def is_trouble(self) -> bool:
        """Whether the scanner, and not the part, is why nobody looked."""
        return self.gap in TROUBLES

    def as_json(self) -> dict[str, str]:
        """Return it as receipts and reports say it."""
        said = {"verdict": self.verdict.value}
        if self.signature is not None:
            said["limit" if self.verdict is ScanVerdict.LIMITED else "signature"] = self.signature
        if self.gap is not None:
            said["reason"] = self.gap.value
        return said


def infected(name: str) -> ScanResult:
    """Return the verdict on a part in which the scanner found ``name``."""
    return ScanResult(verdict=ScanVerdict.INFECTED, signature=plain(name))


def limited(name: str) -> ScanResult:
    """Return the verdict on a part that goes beyond the limit ``name``."""
    return ScanResult(verdict=ScanVerdict.LIMITED, signature=plain(name))


def named(name: str) -> ScanResult:
    """Return the verdict on a part in which ``name`` was found; in ClamAV's words limits and encryption have names, too."""
    if name.startswith(_LIMITS):
        return limited(name.removeprefix(_LIMITS).strip(".") or "MaxScanSize")
    return unscanned(Gap.ENCRYPTED) if name.startswith(_ENCRYPTED) else infected(name)


def unscanned(gap: Gap) -> ScanResult:
    """Return the verdict on a part that nobody looked at to its end."""
    return ScanResult(verdict=ScanVerdict.NOT_SCANNED, gap=gap)


CLEAN = ScanResult(verdict=ScanVerdict.CLEAN)


def worst(verdicts: Iterable[ScanVerdict]) -> ScanVerdict:
    """Return the verdict that stands for several parts; of none, clean."""
    return max(verdicts, key=_SEVERITY.index, default=ScanVerdict.CLEAN)


def summary(parts: Mapping[str, ScanResult], *, scanner: str, limits: str) -> dict[str, Any]:
    """Return what the receipt says of the scan of all parts (``scan``); ``limits`` are the scanner's, as settings name them.

    Of parts that are clean only their number is said.
    """
    versions = sorted({each.version for each in parts.values() if each.version is not None})
    notable = [
        {"part": part, **scanned.as_json()}
        for part, scanned in parts.items()
        if scanned.verdict is not ScanVerdict.CLEAN
    ]
    return {
        "verdict": worst(each.verdict for each in parts.values()).value,
        "scanner": scanner,
        "version": versions[-1] if versions else None,
        "parts": len(parts),
        **({"notable": notable} if notable else {}),
        **({"limits": limits} if limits else {}),
    }


class Consequence(StrEnum):
    """What is done about a verdict."""

    #: The sender is told to change something, or to try again later.
    REFUSE = "refuse"
    #: Kept sealed; an operator decides.
    QUARANTINE = "quarantine"
    #: Delivered, and everybody is told.
    MARK = "mark"


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What is done about parts that are infected, that could not be scanned wholly, and while the scanner is down."""

    infected: Consequence = Consequence.REFUSE
    down: Consequence = Consequence.REFUSE
    unscannable: Consequence = Consequence.MARK

    def on(self, scanned: ScanResult) -> Consequence | None:
        """Return what is done about a verdict; None of a clean one."""
        if scanned.verdict is ScanVerdict.CLEAN:
            return None
        if scanned.verdict is ScanVerdict.INFECTED:
            return self.infected
        return self.down if scanned.is_trouble else self.unscannable


#: Policies by the bytes from which on they count.
SizeClasses = Mapping[int, Policy]


@dataclass(frozen=True, kw_only=True, slots=True)
class Policies:
    """Who has policies of their own, each by classes of size: services (canonical URN), tenants (id), and everybody else."""

    general: Policy = field(default_factory=Policy)
    by_service: Mapping[str, SizeClasses] = field(default_factory=dict)
    by_tenant: Mapping[str, SizeClasses] = field(default_factory=dict)
    by_size: SizeClasses = field(default_factory=dict)

    def of(self, service: str, tenants: Iterable[str] = ()) -> PartPolicies:
        """Return what counts for a service's applications to a tenant; ``tenants`` are it and those above it, itself first."""
        own = (self.by_service.get(service), *(self.by_tenant.get(each) for each in tenants))
        return PartPolicies(classes=(*(each for each in own if each), self.by_size, {0: self.general}))


@dataclass(frozen=True, kw_only=True, slots=True)
class PartPolicies:
    """What counts for the parts of one application; of ``classes`` the first that has one for a part's size."""

    classes: tuple[SizeClasses, ...]

    def at(self, size: int) -> Policy:
        """Return the policy for a part of ``size`` bytes."""
        found = ((max((each for each in sizes if each <= size), default=None), sizes) for sizes in self.classes)
        return next(sizes[least] for least, sizes in found if least is not None)


def policy_from(text: str) -> Policy:
    """Read ``INFECTED/DOWN/UNSCANNABLE``, as settings write the policy of one service.

    Raises:
        ConfigurationError: it is none. While the scanner is down nothing can be kept in quarantine.
    """
    words = text.split("/")
    try:
        infected_, down, unscannable = map(Consequence, words)
    except ValueError as error:
        raise _no_policy() from error
    if down is Consequence.QUARANTINE:
        raise _no_policy()
    return Policy(infected=infected_, down=down, unscannable=unscannable)


def policies_by_owner(text: str) -> Mapping[str, SizeClasses]:
    """Read ``OWNER=INFECTED/DOWN/UNSCANNABLE`` and ``OWNER@BYTES=…``, separated by blanks.

    Raises:
        ConfigurationError: one of them is none, or stands there twice.
    """
    found: dict[str, dict[int, Policy]] = {}
    for entry in text.split():
        named_, _, said = entry.rpartition("=")
        owner, _, size = named_.partition("@")
        least = int(size) if size.isascii() and size.isdigit() and len(size) < _MOST_DIGITS else -1 if size else 0
        classes = found.setdefault(owner, {})
        if not owner or least < 0 or least in classes:
            raise _no_policy()
        classes[least] = policy_from(said)
    return found


def policies_by_size(text: str) -> SizeClasses:
    """Read ``BYTES=INFECTED/DOWN/UNSCANNABLE``, separated by blanks; ``ConfigurationError`` as :func:`policies_by_owner`."""
    return policies_by_owner(" ".join(f"*@{each}" for each in text.split())).get("*", {})


def _no_policy() -> ConfigurationError:
    return ConfigurationError(
        Text(
            "erwartet wird BEFALLEN/GESTÖRT/UNPRÜFBAR, je refuse, quarantine oder mark (GESTÖRT: refuse oder mark)",
            "expected is INFECTED/DOWN/UNSCANNABLE, each refuse, quarantine or mark (DOWN: refuse or mark)",
        )
    )
