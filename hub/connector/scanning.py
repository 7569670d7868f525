"""The scan for malware after opening: what the sealed door brings, nobody before the connector can look into.

Data and attachments are decrypted in memory, chunk by chunk, to the scanner, before anything is handed over or shown; of the
plaintext nothing is written anywhere. What a scan found, with the scanner's version, is noted in the journal, goes along in
``antrag.json`` (``scan``) and stands on the clerks' page.

What is kept back stays sealed where it lies, and is looked at again every hour, with the signatures of then: a false alarm may
heal by itself. Otherwise somebody decides (:func:`decide`).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from hub.client.verification import Problem
from hub.connector.journal import Entry, Journal, JournalState
from hub.connector.opening import OpenedSubmission
from hub.connector.settings import MalwareScan
from hub.errors import HubError, NotFound, Refused, Text, Unavailable
from hub.scanning import Consequence, Policy, Scanner, ScanResult, ScanVerdict, Times, open_scanner, summary

#: How long a scanner that does not answer is left alone.
_RETRY = timedelta(seconds=30)
DATA = "data"
#: What somebody decided about what is kept back.
RELEASED, TURNED_DOWN = "released", "turned-down"
_KEPT_BACK = "keptBack"


class ScanAfterOpening:
    """Scans what was opened, and says what is to become of it."""

    def __init__(self, settings: MalwareScan) -> None:
        self._settings = settings
        self.scanner: Scanner = open_scanner(
            settings.place, dial=_dial, times=Times(answer=settings.seconds), most=settings.largest
        )

    def look(self, opened: OpenedSubmission) -> ScannedParts:
        """Scan all parts.

        Raises:
            Unavailable: the scanner does not answer, and the settings say to wait for it.
        """
        found: dict[str, ScanResult] = {}
        for part, chunks in _parts(opened):
            with contextlib.closing(self.scanner.scan()) as scan:
                for chunk in chunks:
                    scan.write(chunk)
                found[part] = scan.finish()
            if found[part].is_trouble and self._settings.waits:
                raise _waiting()
        claim = summary(found, scanner=self.scanner.name, limits=self._settings.limits)
        return ScannedParts(results=found, claim=claim, policy=self._settings.policy)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedParts:
    """What came of the scan of one submission; ``claim`` is what reports say of it."""

    results: Mapping[str, ScanResult]
    claim: Mapping[str, Any]
    policy: Policy

    def decided(self, earlier: str | None) -> tuple[str, list[Problem]]:
        """Return what the journal notes, and the problems that the sender is told; ``earlier`` is what it noted before."""
        decision = None if earlier is None else orjson.loads(earlier).get("decision")
        what = None if decision is None else decision["what"]
        noted = dict(self.claim)
        if decision is not None:
            noted["decision"] = decision
        elif any(self.policy.on(each) is Consequence.QUARANTINE for each in self.results.values()):
            noted[_KEPT_BACK] = True
        text = orjson.dumps(noted).decode()
        if what == RELEASED:
            return text, []
        return text, [_problem(*each) for each in self._against(turned_down=what == TURNED_DOWN)]

    def _against(self, *, turned_down: bool) -> Iterator[tuple[str, ScanResult]]:
        for part, scanned in self.results.items():
            meant = self.policy.on(scanned)
            if meant is Consequence.REFUSE or (turned_down and meant is Consequence.QUARANTINE):
                yield part, scanned


def require_release(noted: str) -> None:
    """Raise ``Refused`` where somebody has to decide before a submission goes anywhere."""
    said = orjson.loads(noted)
    if _KEPT_BACK in said:
        raise Refused(
            Text(
                f"Prüfung auf Schadsoftware: {said['verdict']}. Bleibt versiegelt liegen: hub connector quarantine.",
                f"scan for malware: {said['verdict']}. It stays sealed until somebody decides: hub connector quarantine.",
            )
        )


def waits_for_somebody(entry: Entry) -> bool:
    """Whether a submission is kept back for what a scan found."""
    return entry.state is JournalState.SEEN and entry.scan is not None and _KEPT_BACK in orjson.loads(entry.scan)


def kept_back(journal: Journal) -> Iterable[Entry]:
    """Return what waits for somebody's decision, the oldest first."""
    found = (journal.find(one) for one in journal.open_ids())
    waiting = (each for each in found if each is not None and waits_for_somebody(each))
    return sorted(waiting, key=lambda each: each.seen_at)


def decide(journal: Journal, submission_id: UUID, what: str, *, who: str, now: datetime) -> None:
    """Note what somebody decided about a submission that is kept back; the next walk acts on it.

    Raises:
        NotFound: it is not kept back here.
    """
    entry = journal.find(submission_id)
    if entry is None or entry.scan is None or not waits_for_somebody(entry):
        raise NotFound(
            Text(
                "Diese Einreichung wird hier nicht zurückgehalten. hub connector quarantine list zeigt alle.",
                "This submission is not kept back here. hub connector quarantine list shows all.",
            )
        )
    said = {name: value for name, value in orjson.loads(entry.scan).items() if name != _KEPT_BACK}
    noted = said | {"decision": {"what": what, "who": who, "at": now.isoformat()}}
    journal.update(submission_id, now, scan=orjson.dumps(noted).decode(), due=now, tries=0, note="")


def shown(noted: str | None) -> tuple[str, Text] | None:
    """Return what clerks read of a scan, and how urgent it is; None where nobody scans."""
    if noted is None:
        return None
    said = orjson.loads(noted)
    by = said["version"] or said["scanner"]
    if said["verdict"] == ScanVerdict.CLEAN:
        return "info", Text(
            f"Auf Schadsoftware geprüft: nichts gefunden ({by}).", f"Scanned for malware: nothing found ({by})."
        )
    parts = ", ".join(each.get("signature") or each.get("limit") or each.get("reason", "") for each in said["notable"])
    if said["verdict"] == ScanVerdict.INFECTED:
        return "danger", Text(
            f"Schadsoftware gefunden: {parts} ({by}). Öffnen Sie die Anlagen nicht.",
            f"Malware found: {parts} ({by}). Do not open the attachments.",
        )
    return "warning", Text(
        f"Nicht vollständig auf Schadsoftware geprüft: {parts} ({by}).",
        f"Not scanned for malware completely: {parts} ({by}).",
    )


def report_of(noted: str | None) -> Mapping[str, Any] | None:
    """Return what ``antrag.json`` says of a scan."""
    found: Mapping[str, Any] | None = None if noted is None else orjson.loads(noted)
    return found


def _dial(host: str, port: int, seconds: float) -> socket.socket:
    """Connect to the scanner, which nobody but the municipality's own settings names."""
    return socket.create_connection((host, port), timeout=seconds)


def _parts(opened: OpenedSubmission) -> Iterator[tuple[str, Iterable[bytes]]]:
    if opened.data is not None:
        yield DATA, [opened.data]
    for each in opened.attachments:
        yield f"attachment:{each.attachment_id}", each.chunks()


def _problem(part: str, scanned: ScanResult) -> Problem:
    if scanned.verdict is ScanVerdict.INFECTED:
        return Problem(
            slug="malware-found",
            instance=part,
            detail=f"Malware was found ({scanned.signature}). Check the device that it comes from, and send a clean file.",
        )
    why = scanned.signature or (scanned.gap.value if scanned.gap is not None else "")
    return Problem(
        slug="not-scannable",
        instance=part,
        detail=f"It cannot be scanned for malware completely ({why}). Send it without encryption, not packed, or in parts.",
    )


def _waiting() -> HubError:
    return Unavailable(
        Text(
            "Der Scanner für Schadsoftware antwortet nicht; bis dahin wird nichts übergeben. Prüfen Sie, ob er läuft.",
            "The scanner for malware does not answer; until it does nothing is handed over. Check that it runs.",
        ),
        retry_after=_RETRY,
    )
