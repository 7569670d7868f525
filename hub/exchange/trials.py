"""Test deliveries: a harmless content, marked as a test, sealed to a destination's key and sent by its real adapter.

In order: (1) the key is judged, (2) the content is sealed, (3) the adapter is built from its settings, (4) it opens what it
needs, (5) it makes one attempt. The first step that fails ends the test. Nothing is stored but the audit entry, no retry
follows, and the circuit breaker does not hear of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from hub import __version__
from hub.crypto import jwe
from hub.crypto.keys import EncryptionKey, KeyPolicy, judge_encryption_key
from hub.delivery import Adapter
from hub.errors import ConfigurationError, KeyRefused, Text, TooMany
from hub.exchange.adapter_settings import AdapterSettings
from hub.parties import Destination
from hub.store import AuditEntry, Store
from hub.submission import (
    Contents,
    DeadCause,
    Door,
    Outcome,
    OutcomeKind,
    Package,
    Sealed,
    Service,
    Submission,
    new_id,
)

_log = logging.getLogger(__name__)
#: One test for each destination within this time, over all nodes: a receiver is nobody's toy.
PAUSE = timedelta(minutes=1)
#: How long somebody waits for an attempt; an adapter's own timeout may be longer.
_PATIENCE = timedelta(seconds=45)
#: Tests under way at once in this process: each holds a thread.
_AT_ONCE = 2
#: No service of any authority: a receiver that decides by services leaves it alone.
SERVICE = Service(
    identifier="urn:de:rathaus-hub:testzustellung", name="TESTZUSTELLUNG – keine echte Einreichung, bitte verwerfen"
)
SCHEMA = "https://schema.rathaus-hub.example/testzustellung/1.0/testzustellung.schema.json"
_SENDER = "Rathaus-Hub (Testzustellung)"
#: All that a test says: no data of any person.
CONTENT = {
    "testzustellung": True,
    "hinweis": "Dies ist eine Testzustellung des Rathaus-Hubs und keine Einreichung. Bitte verwerfen.",
    "note": "This is a test delivery of Rathaus-Hub and no submission. Please discard.",
}


class TrialStage(StrEnum):
    """The steps of a test, in their order."""

    KEY = "key"
    SEAL = "seal"
    SETTINGS = "settings"
    OPEN = "opened"
    DELIVER = "deliver"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialStep:
    """One step: whether it went well, and what is to be said of it."""

    stage: TrialStage
    good: bool
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialReport:
    """What came of a test. ``outcome`` is None where no attempt was made; ``meaning`` says what follows from it."""

    trial_id: UUID
    at: datetime
    steps: tuple[TrialStep, ...]
    outcome: Outcome | None
    meaning: Text

    @property
    def good(self) -> bool:
        """Tell whether every step went well."""
        return all(step.good for step in self.steps)


class Trials:
    """Makes test deliveries."""

    def __init__(
        self,
        *,
        store: Store,
        policy: KeyPolicy,
        adapters: AdapterSettings,
        base_url: str,
        patience: timedelta = _PATIENCE,
    ) -> None:
        self._store = store
        self._policy = policy
        self._adapters = adapters
        self._base_url = base_url
        self._patience = patience
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    def run(self, destination: Destination, *, actor: str, now: datetime) -> TrialReport:
        """Make one test delivery and audit it.

        Raises:
            TooMany: this destination was tested within the last minute, or others are being tested.
        """
        trial_id = new_id(now)
        if not self._slots.acquire(blocking=False):
            raise _busy()
        try:
            name = f"trial:{destination.destination_id}"
            if self._store.hold_duty(name, node=str(trial_id), now=now, lease=PAUSE) is None:
                raise _too_soon()
            run = _Run(destination, trial_id, now, self._base_url, self._patience)
            report = run.report(self._adapters, self._judged(destination, now))
        finally:
            self._slots.release()
        self._store.append_audit(_entry(destination, report, actor))
        return report

    def _judged(self, destination: Destination, now: datetime) -> EncryptionKey | KeyRefused:
        jwk = self._store.usable_key(destination.destination_id, destination.encryption_kid)
        if jwk is None:
            return KeyRefused(Text("Er ist nicht hinterlegt oder zurückgezogen.", "It is not on record, or retired."))
        try:
            return judge_encryption_key(jwk, now=now, policy=self._policy)
        except KeyRefused as error:
            return error


class _Run:
    """One test, step by step."""

    def __init__(
        self, destination: Destination, trial_id: UUID, now: datetime, base_url: str, patience: timedelta
    ) -> None:
        self._destination = destination
        self._trial_id = trial_id
        self._now = now
        self._base_url = base_url
        self._patience = patience
        self._steps: list[TrialStep] = []

    def report(self, adapters: AdapterSettings, key: EncryptionKey | KeyRefused) -> TrialReport:
        outcome = self._walk(adapters, key)
        return TrialReport(
            trial_id=self._trial_id,
            at=self._now,
            steps=tuple(self._steps),
            outcome=outcome,
            meaning=_meaning(outcome),
        )

    def _walk(self, adapters: AdapterSettings, key: EncryptionKey | KeyRefused) -> Outcome | None:
        if isinstance(key, KeyRefused):
            self._note(TrialStage.KEY, key.detail, good=False)
            return None
        self._note(TrialStage.KEY, Text(f"kid {key.kid}", f"kid {key.kid}"))
        package = self._package(key)
        try:
            adapter = adapters.kind(self._destination.adapter)(self._destination.adapter_config)
        except ConfigurationError as error:
            self._note(TrialStage.SETTINGS, error.detail, good=False)
            return None
        name = self._destination.adapter
        self._note(TrialStage.SETTINGS, Text(f"Adapter {name}", f"adapter {name}"))
        return self._attempt(adapter, package)

    def _attempt(self, adapter: Adapter, package: Package) -> Outcome | None:
        found: list[Outcome | ConfigurationError] = []
        worker = threading.Thread(target=lambda: found.append(_delivered(adapter, package)), daemon=True)
        worker.start()
        worker.join(self._patience.total_seconds())
        if not found:
            seconds = self._patience.total_seconds()
            found.append(Outcome(kind=OutcomeKind.UNKNOWN, note=f"no answer within {seconds:.0f} s"))
        end = found[0]
        if isinstance(end, ConfigurationError):
            self._note(TrialStage.OPEN, end.detail, good=False)
            return None
        self._note(TrialStage.OPEN, Text("Dateien und Geheimnisse sind lesbar.", "Files and secrets are readable."))
        good = end.kind in {OutcomeKind.DELIVERED, OutcomeKind.WAITING}
        self._note(TrialStage.DELIVER, Text(end.note, end.note), good=good)
        return end

    def _note(self, stage: TrialStage, text: Text, *, good: bool = True) -> None:
        self._steps.append(TrialStep(stage=stage, good=good, text=text))

    def _package(self, key: EncryptionKey) -> Package:
        data, seal = jwe.encrypt(key, _encoded(CONTENT), "application/json")
        metadata, _ = jwe.encrypt(key, _encoded(_metadata(seal.plaintext_sha512)), "application/json")
        contents = Contents(metadata=_sealed(metadata), data=_sealed(data))
        size, digest = contents.metadata.size + seal.size, seal.sha512[:16]
        self._note(
            TrialStage.SEAL,
            Text(f"{size} Byte, SHA-512 der Daten {digest}…", f"{size} bytes, data's SHA-512 {digest}…"),
        )
        submission = Submission(
            submission_id=self._trial_id,
            case_id=new_id(self._now),
            destination_id=self._destination.destination_id,
            sender=_SENDER,
            door=Door.PLAIN,
            service=SERVICE,
            area=None,
            contents=contents,
            submitted_at=self._now,
        )
        return Package(
            delivery_id=self._trial_id,
            attempt=1,
            repeat=False,
            submission=submission,
            destination=self._destination,
            event_log=(),
            read=_read,
            base_url=self._base_url,
        )


def _delivered(adapter: Adapter, package: Package) -> Outcome | ConfigurationError:
    try:
        adapter.open()
        try:
            return adapter.deliver(package)
        finally:
            adapter.close()
    except ConfigurationError as error:
        return error
    except Exception as error:  # noqa: BLE001  # as in the dispatcher: an adapter's bug is a result here, not ours
        _log.exception("test delivery %s: the adapter failed", package.delivery_id)
        return Outcome(kind=OutcomeKind.UNKNOWN, note=f"adapter failed: {type(error).__name__}", cause=DeadCause.HUB)


def _metadata(data_sha512: str) -> dict[str, Any]:
    return {
        "$schema": "https://schema.fitko.de/fit-connect/metadata/2.1.0/metadata.schema.json",
        "contentStructure": {
            "data": {
                "hash": {"type": "sha512", "content": data_sha512},
                "submissionSchema": {"schemaUri": SCHEMA, "mimeType": "application/json"},
            },
            "attachments": [],
        },
        "author": {
            "name": _SENDER,
            "product": {"name": "Rathaus-Hub", "version": __version__, "manufacturer": "Rathaus-Hub"},
        },
    }


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8")


def _sealed(content: bytes) -> Sealed:
    tag = content.rpartition(b".")[2].decode("ascii")
    return Sealed(tag=tag, sha512=hashlib.sha512(content).hexdigest(), size=len(content), jwe=content)


def _read(sealed: Sealed) -> Iterator[bytes]:
    return iter([sealed.jwe or b""])


def _entry(destination: Destination, report: TrialReport, actor: str) -> AuditEntry:
    after: dict[str, Any] = {
        "trial": str(report.trial_id),
        "adapter": destination.adapter,
        "steps": {step.stage.value: "good" if step.good else "failed" for step in report.steps},
    }
    if report.outcome is not None:
        after |= {"outcome": report.outcome.kind.value, "note": report.outcome.note}
    target = f"destination:{destination.destination_id}"
    return AuditEntry(at=report.at, actor=actor, action="destination.trial", target=target, after=after)


_MEANINGS = {
    OutcomeKind.DELIVERED: Text(
        "Das empfangende System hat die Testzustellung bestätigt. Bitten Sie die Behörde, sie zu öffnen und zu verwerfen: "
        "Erst das zeigt, dass sie den privaten Schlüssel hat.",
        "The receiving system confirmed the test delivery. Ask the authority to open and discard it: only that shows that "
        "it holds the private key.",
    ),
    OutcomeKind.WAITING: Text(
        "Bei einem Postfach schickt der Hub nichts: Das Fachverfahren holt ab. Geprüft sind Schlüssel, Versiegelung und "
        "Einstellungen; ins Postfach wurde nichts gelegt. Ob abgeholt wird, zeigt „zuletzt abgeholt“.",
        "With a mailbox the hub sends nothing: the specialist system collects. Key, sealing and settings are checked; "
        "nothing was put into the mailbox. 'Last collected' tells whether somebody collects.",
    ),
    OutcomeKind.REFUSED: Text(
        "Das empfangende System ist erreichbar und hat abgelehnt. Lehnt es nur den Test ab (unbekannte Leistung), ist der "
        "Weg in Ordnung; sonst prüfen Sie Adresse und Anmeldung.",
        "The receiving system can be reached and refused. If it refuses the test alone (unknown service), the way is "
        "fine; else check address and credentials.",
    ),
    OutcomeKind.UNREACHABLE: Text(
        "Das empfangende System war nicht zu erreichen. Prüfen Sie Adresse, Netz und Freigaben; fragen Sie die Behörde.",
        "The receiving system could not be reached. Check address, network and firewalls; ask the authority.",
    ),
    OutcomeKind.UNKNOWN: Text(
        "Es kam keine Antwort. Ob die Testzustellung angekommen ist, weiß nur die Behörde.",
        "No answer came. Only the authority knows whether the test delivery arrived.",
    ),
}


def _meaning(outcome: Outcome | None) -> Text:
    if outcome is not None:
        return _MEANINGS[outcome.kind]
    return Text(
        "Es wurde nichts versandt. Beheben Sie, was der letzte Schritt nennt, und testen Sie in einer Minute noch einmal.",
        "Nothing was sent. Mend what the last step names, and test again in a minute.",
    )


def _too_soon() -> TooMany:
    return TooMany(
        Text(
            "Dieser Zustellpunkt wurde gerade getestet. Warten Sie eine Minute.",
            "This destination has just been tested. Wait a minute.",
        ),
        retry_after=PAUSE,
    )


def _busy() -> TooMany:
    return TooMany(
        Text(
            "Es laufen schon andere Tests. Versuchen Sie es gleich noch einmal.",
            "Other tests are under way. Try again in a moment.",
        ),
        retry_after=timedelta(seconds=10),
    )


__all__ = ["CONTENT", "PAUSE", "SERVICE", "TrialReport", "TrialStage", "TrialStep", "Trials"]
