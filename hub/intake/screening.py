"""The plain door's look at what arrives, before it is sealed: for malware, and what kind of file it is.

A part is passed to the scanner while it is sealed; the commit waits for the verdicts on all of them. Nothing is kept for it:
memory holds what it held before. What is looked at are the data and each attachment as they were sent. What stands in the data
as base64 is scanned as the text that it is, and not decoded; what the hub itself encloses is not scanned.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from hub.errors import HubError, Invalid, Text, Unavailable
from hub.model import ROOT
from hub.observability.metrics import Meters
from hub.scanning import Consequence, PartPolicies, Policies, Scan, Scanner, ScanResult, ScanVerdict, summary
from hub.scanning.kinds import KindJudge
from hub.services import ServiceCatalogue
from hub.validation.report import Cause, Check, Report, Unchecked

#: How long senders are asked to wait for a scanner that does not answer.
_RETRY = timedelta(seconds=30)
DATA = "data"


@dataclass(frozen=True, kw_only=True, slots=True)
class Screening:
    """What is looked for, and what is done about it. ``scanner`` None: nobody scans; ``kinds`` None: any kind is taken.

    ``limits`` are the scanner's own, in the operator's words: *clean* means clean within them.
    """

    scanner: Scanner | None
    policies: Policies
    kinds: frozenset[str] | None
    limits: str
    services: Callable[[], ServiceCatalogue]
    meters: Meters
    #: The tenants above one, the nearest first.
    above: Callable[[str], Sequence[str]]

    def open(self, service: str, tenant: str) -> Screen | None:
        """Return what screens one application for a service to a destination of a tenant; None where nothing is looked for."""
        declared = self.services().find(service)
        kinds = frozenset(declared.kinds) if declared is not None and declared.kinds else self.kinds
        if self.scanner is None and kinds is None:
            return None
        # What belongs to a tenant that is not in the tree is the root's all the same.
        tenants = (tenant, *self.above(tenant), ROOT) if self.policies.by_tenant else ()
        return Screen(self, self.policies.of(service, tenants), kinds)


@dataclass(slots=True)
class Screen:
    """Screens one application. A part that policy refuses raises; of the others it says what is to be reported."""

    _screening: Screening
    _policies: PartPolicies
    _kinds: frozenset[str] | None
    _parts: dict[str, ScanResult] = field(default_factory=dict)
    _meant: set[Consequence | None] = field(default_factory=set)
    _begun: int = 0
    _open: list[Scan] = field(default_factory=list)

    def attachment(self, media_type: str) -> PartScreen:
        """Begin the next attachment, in the order in which they were sent; ``media_type`` as its sender declares it."""
        self._begun += 1
        part = f"attachment-{self._begun}"
        judge = None
        if self._kinds is not None:
            judge = KindJudge(declared=media_type, allowed=self._kinds, part=named(part))
        return PartScreen(self, part, self._scan(), judge)

    def data(self, content: bytes) -> PartScreen:
        """Begin the data, and hand them to the scanner: its verdict may be waited for later."""
        begun = PartScreen(self, DATA, self._scan(), None)
        begun.write(content)
        return begun

    @property
    def quarantined(self) -> bool:
        """Whether an operator has to decide what becomes of the application."""
        return Consequence.QUARANTINE in self._meant

    def claim(self) -> dict[str, Any] | None:
        """Return what the receipt says (``scan``); None where nobody scans."""
        scanner = self._screening.scanner
        if scanner is None:
            return None
        return summary(self._parts, scanner=scanner.name, limits=self._screening.limits)

    def reported(self, report: Report) -> Report:
        """Return a report that says of each part that is not known to be clean what that means."""
        notable = {part: each for part, each in self._parts.items() if each.verdict is not ScanVerdict.CLEAN}
        if not notable:
            return report
        return replace(report, unchecked=(*report.unchecked, *(_unchecked(*each) for each in notable.items())))

    def close(self) -> None:
        """Let go of the scanner: what is not ended by now never will be."""
        for scan in self._open:
            scan.close()

    def ended(self, part: str, scanned: ScanResult, *, size: int, took: float) -> None:
        """Note the verdict on a part of ``size`` bytes; raise the refusal that policy demands."""
        self._screening.meters.scanned(scanned.verdict.value, took=timedelta(seconds=took))
        self._parts[part] = scanned
        meant = self._policies.at(size).on(scanned)
        self._meant.add(meant)
        if meant is Consequence.REFUSE:
            raise refusal(part, scanned)

    def _scan(self) -> Scan | None:
        if self._screening.scanner is None:
            return None
        scan = self._screening.scanner.scan()
        self._open.append(scan)
        return scan


class PartScreen:
    """One part while it passes."""

    def __init__(self, screen: Screen, part: str, scan: Scan | None, judge: KindJudge | None) -> None:
        self._screen = screen
        self._part = part
        self._scan = scan
        self._judge = judge
        self._size = 0

    def write(self, chunk: bytes) -> None:
        """Look at a further chunk; raises ``UnsupportedMedia`` as soon as no kind that is allowed begins so."""
        self._size += len(chunk)
        if self._judge is not None:
            self._judge.write(chunk)
        if self._scan is not None:
            self._scan.write(chunk)

    def finish(self) -> None:
        """Wait for the verdict.

        Raises:
            UnsupportedMedia: its kind is not allowed, or not what it is declared to be.
            Invalid: malware, or what could not be scanned wholly, where policy refuses that.
            Unavailable: the scanner does not answer, where policy does not let anything pass meanwhile.
        """
        if self._judge is not None:
            self._judge.finish()
        if self._scan is not None:
            begun = time.perf_counter()
            scanned = self._scan.finish()
            self._screen.ended(self._part, scanned, size=self._size, took=time.perf_counter() - begun)


def named(part: str) -> Text:
    """Return what a part is called in a refusal: by its place, for its name may be a person's."""
    if part == DATA:
        return Text("Der Datenteil", "The data part")
    number = part.rpartition("-")[2]
    return Text(f"Anlage {number}", f"Attachment {number}")


def refusal(part: str, scanned: ScanResult) -> HubError:
    """Return the refusal of a part for what came of scanning it."""
    where, members = named(part), {"part": part, **scanned.as_json()}
    if scanned.verdict is ScanVerdict.INFECTED:
        return Invalid(
            Text(
                f"{where.de} enthält Schadsoftware ({scanned.signature}). Der Antrag wurde nicht angenommen. Prüfen Sie das "
                "Gerät, von dem die Datei stammt, und senden Sie den Antrag mit einer sauberen Datei neu.",
                f"{where.en} contains malware ({scanned.signature}). The application was not taken. Check the device that "
                "the file comes from, and send the application again with a clean file.",
            ),
            slug="malware-found",
            **members,
        )
    if scanned.is_trouble:
        return Unavailable(
            Text(
                "Die Prüfung auf Schadsoftware ist zurzeit gestört, und ungeprüft wird nichts angenommen. Senden Sie den "
                "Antrag später noch einmal; mit demselben Idempotency-Key ist das ungefährlich.",
                "The scan for malware is out of order at present, and nothing is taken unscanned. Send the application "
                "again later; with the same Idempotency-Key that is harmless.",
            ),
            retry_after=_RETRY,
            slug="scan-unavailable",
        )
    return Invalid(
        Text(
            f"{where.de} lässt sich nicht vollständig auf Schadsoftware prüfen: {_why(scanned).de}. Senden Sie die Datei "
            "unverschlüsselt, ungepackt oder in kleineren Teilen.",
            f"{where.en} cannot be scanned for malware completely: {_why(scanned).en}. Send the file without encryption, "
            "not packed, or in smaller parts.",
        ),
        slug="not-scannable",
        **members,
    )


_GAPS: Mapping[str, Text] = {
    "encrypted": Text("sie ist verschlüsselt", "it is encrypted"),
    "skipped": Text("der Scanner sah sie sich nicht ganz an", "the scanner did not look at all of it"),
}
_TROUBLE = Text("der Scanner antwortete nicht", "the scanner did not answer")


def _why(scanned: ScanResult) -> Text:
    if scanned.verdict is ScanVerdict.LIMITED:
        return Text(
            f"sie überschreitet die Grenze {scanned.signature}", f"it goes beyond the limit {scanned.signature}"
        )
    return _GAPS.get(scanned.gap.value if scanned.gap is not None else "", _TROUBLE)


def _unchecked(part: str, scanned: ScanResult) -> Unchecked:
    where = named(part)
    if scanned.verdict is ScanVerdict.INFECTED:
        return Unchecked(
            check=Check.MALWARE,
            cause=Cause.INFECTED,
            text=Text(
                f"{where.de}: Schadsoftware gefunden ({scanned.signature}). Nicht öffnen.",
                f"{where.en}: malware found ({scanned.signature}). Do not open it.",
            ),
        )
    return Unchecked(
        check=Check.MALWARE,
        cause=Cause.NOT_SCANNED,
        text=Text(
            f"{where.de}: nicht oder nicht vollständig auf Schadsoftware geprüft, {_why(scanned).de}.",
            f"{where.en}: not scanned for malware, or not completely; {_why(scanned).en}.",
        ),
    )
