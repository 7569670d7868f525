"""Test deliveries: what an authority's destination does with a content that means nothing.

The content is harmless, marked as a test, sealed as a real one is and sent by the destination's real adapter.
In order: (1) the key is judged, (2) the adapter is built from its settings, (3) the content is sealed in the form that the
plain door would make for it, and in every other that the adapter takes, so that a key that cannot be sealed to is found here;
(4) the adapter opens what it needs, (5) it makes one attempt, with the first form. The first step that fails ends the test.
Nothing is stored but the audit entry, no retry follows, and the circuit breaker does not hear of it.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from typing import Any
from uuid import UUID

from hub import __version__
from hub.administration.adapters import AdapterSettings
from hub.crypto import EncryptionKey, KeyPolicy, cms, encrypt, judge_encryption_key
from hub.delivery.attempt import as_reported
from hub.errors import ConfigurationError, KeyRefused, RatePolicy, Text, TooMany
from hub.model import (
    GENESIS,
    Adapter,
    Contents,
    DeadCause,
    Destination,
    Door,
    Evidence,
    Form,
    Outcome,
    OutcomeKind,
    Package,
    Sealed,
    Sealing,
    Service,
    Submission,
    new_id,
    sealing_of,
)
from hub.store import AuditEntry, Store

_JSON = "application/json"
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


def trial_package(
    destination: Destination, contents: Contents, *, trial_id: UUID, now: datetime, base_url: str
) -> Package:
    """Return what an adapter is given: a first attempt at a submission that was never made."""
    submission = Submission(
        submission_id=trial_id,
        case_id=new_id(now),
        destination_id=destination.destination_id,
        sender=_SENDER,
        door=Door.PLAIN,
        service=SERVICE,
        area=None,
        contents=contents,
        submitted_at=now,
    )
    return Package(
        delivery_id=trial_id,
        attempt=1,
        repeat=False,
        submission=submission,
        destination=destination,
        event_log=(),
        evidence=_no_evidence,
        read=_read,
        base_url=base_url,
    )


def _no_evidence() -> Evidence:
    """Return what proves nothing: the hub gives no receipt for what nobody sent."""
    return Evidence(receipt="", previous=GENESIS, entries=())


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


def trial_contents(key: EncryptionKey, form: Form) -> Contents:
    """Seal the test in one form; raise ``KeyRefused`` for a key that cannot be sealed to in it."""
    data, plaintext_sha512 = _sealed(key, form, _encoded(CONTENT), "testzustellung.json")
    metadata, _ = _sealed(key, form, _encoded(_metadata(plaintext_sha512)), "metadata.json")
    return Contents(form=form, metadata=metadata, data=data)


def _sealed(key: EncryptionKey, form: Form, plaintext: bytes, filename: str) -> tuple[Sealed, str]:
    """Return one part and the SHA-512 of its plaintext."""
    if form is Form.JOSE:
        content, seal = encrypt(key, plaintext, _JSON)
    else:
        pieces: list[bytes] = []
        try:
            writer = cms.CmsWriter(key, content_type=_JSON, filename=filename, sink=pieces.append)
            writer.write(plaintext)
            seal = writer.finish()
        except (TypeError, ValueError) as error:  # What the library says of a certificate that it cannot seal to.
            raise _no_cms() from error
        content = b"".join(pieces)
    return Sealed(tag=seal.tag, sha512=seal.sha512, size=seal.size, jwe=content), seal.plaintext_sha512


def _read(sealed: Sealed) -> Iterator[bytes]:
    return iter([sealed.jwe or b""])


def _no_cms() -> KeyRefused:
    return KeyRefused(
        Text(
            "Mit dem Zertifikat dieses Schlüssels lässt sich nicht als CMS versiegeln. Hinterlegen Sie ein S/MIME-Zertifikat "
            "mit RSA-Schlüssel.",
            "The certificate of this key cannot be sealed to as CMS. Deposit an S/MIME certificate with an RSA key.",
        )
    )


_log = logging.getLogger(__name__)
#: One test for each destination within this time, over all nodes: a receiver is nobody's toy.
PAUSE = timedelta(minutes=1)
#: How long somebody waits for an attempt; an adapter's own timeout may be longer.
_PATIENCE = timedelta(seconds=45)
#: Tests under way at once in this process, one for each destination. Each holds a thread and its place among these until
#: its adapter comes back, however long ago whoever asked for it was answered.
_AT_ONCE = 4


class TrialStage(StrEnum):
    """The steps of a test, in their order."""

    KEY = "key"
    SETTINGS = "settings"
    SEAL = "seal"
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


class TestDelivery:
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
        self._slots = _Slots(_AT_ONCE)

    def run(self, destination: Destination, *, actor: str, now: datetime) -> TrialReport:
        """Make one test delivery and audit it.

        Raises:
            TooMany: this destination was tested within the last minute, an attempt of an earlier test still runs, or too
                many others are being tested.
        """
        trial_id = new_id(now)
        with self._slots.taken(destination.destination_id) as slot:
            name = f"trial:{destination.destination_id}"
            if self._store.duties.hold(name, node=str(trial_id), now=now, lease=PAUSE) is None:
                raise _too_soon()
            run = _Run(
                destination, trial_id=trial_id, now=now, base_url=self._base_url, patience=self._patience, slot=slot
            )
            report = run.report(self._adapters, self._judged(destination, now))
        self._store.audit.append(_tested(destination, report, actor))
        return report

    def _judged(self, destination: Destination, now: datetime) -> EncryptionKey | KeyRefused:
        jwk = self._store.parties.usable_key(destination.destination_id, destination.encryption_kid)
        if jwk is None:
            return KeyRefused(Text("Er ist nicht hinterlegt oder zurückgezogen.", "It is not on record, or retired."))
        try:
            return judge_encryption_key(jwk, now=now, policy=self._policy)
        except KeyRefused as error:
            return error


class _Slots:
    """Places for tests under way: one for each destination, and ``most`` in all."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: set[UUID] = set()

    @contextmanager
    def taken(self, destination_id: UUID) -> Iterator[_Slot]:
        """Hold a place for as long as the block runs, and a thread that it was given to; raise ``TooMany`` without one."""
        with self._lock:
            if destination_id in self._held:
                raise _still_running()
            if len(self._held) >= self._most:
                raise _busy()
            self._held.add(destination_id)
        slot = _Slot(partial(self._let_go, destination_id))
        try:
            yield slot
        finally:
            slot.leave()

    def _let_go(self, destination_id: UUID) -> None:
        with self._lock:
            self._held.discard(destination_id)


class _Slot:
    """A place among the tests under way, which is free once the last of those who share it has left."""

    def __init__(self, let_go: Callable[[], None]) -> None:
        self._let_go = let_go
        self._lock = threading.Lock()
        self._holders = 1

    def share(self) -> None:
        """Let one holder more stay in it."""
        with self._lock:
            self._holders += 1

    def leave(self) -> None:
        """Let one holder leave."""
        with self._lock:
            self._holders -= 1
            last = not self._holders
        if last:
            self._let_go()


class _Run:
    """One test, step by step."""

    def __init__(
        self,
        destination: Destination,
        *,
        trial_id: UUID,
        now: datetime,
        base_url: str,
        patience: timedelta,
        slot: _Slot,
    ) -> None:
        self._destination = destination
        self._trial_id = trial_id
        self._now = now
        self._base_url = base_url
        self._patience = patience
        self._slot = slot
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
        name = self._destination.adapter
        try:
            kind = adapters.kind(name)
            adapter = kind(self._destination.adapter_config)
            sealing = sealing_of(kind, self._destination.adapter_config)
        except ConfigurationError as error:
            self._note(TrialStage.SETTINGS, error.detail, good=False)
            return None
        except Exception as error:  # noqa: BLE001  # anybody may have written it; that it cannot be built is a result
            _log.exception("test delivery %s: the adapter cannot be built", self._trial_id)
            self._note(TrialStage.SETTINGS, _not_built(name, error), good=False)
            return None
        self._note(TrialStage.SETTINGS, Text(f"Adapter {name}", f"adapter {name}"))
        try:
            package = self._package(key, sealing)
        except KeyRefused as error:
            self._note(TrialStage.SEAL, error.detail, good=False)
            return None
        return self._attempt(adapter, package)

    def _attempt(self, adapter: Adapter, package: Package) -> Outcome | None:
        found: list[Outcome | ConfigurationError] = []

        def attempt() -> None:
            try:
                found.append(_delivered(adapter, package))
            finally:
                self._slot.leave()

        worker = threading.Thread(target=attempt, name=f"trial {self._destination.destination_id}", daemon=True)
        self._slot.share()
        try:
            worker.start()
        except RuntimeError:  # The machine gives no thread more.
            self._slot.leave()
            raise
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

    def _package(self, key: EncryptionKey, sealing: Sealing) -> Package:
        forms = [sealing.form, *sorted(sealing.takes - {sealing.form})]
        contents, *_others = [trial_contents(key, form) for form in forms]
        size = sum(sealed.size for _part, sealed in contents.parts())
        how = ", ".join(form.value for form in forms)
        self._note(TrialStage.SEAL, Text(f"{how}: {size} Byte versiegelt", f"{how}: {size} bytes sealed"))
        return trial_package(
            self._destination, contents, trial_id=self._trial_id, now=self._now, base_url=self._base_url
        )


def _delivered(adapter: Adapter, package: Package) -> Outcome | ConfigurationError:
    try:
        adapter.open()
        try:
            return as_reported(adapter.deliver(package))
        finally:
            adapter.close()
    except ConfigurationError as error:
        return error
    except BaseException as error:  # noqa: BLE001  # as in the dispatcher: an adapter's bug is a result here, not ours
        _log.exception("test delivery %s: the adapter failed", package.delivery_id)
        return Outcome(kind=OutcomeKind.UNKNOWN, note=f"adapter failed: {type(error).__name__}", cause=DeadCause.HUB)


def _not_built(name: str, error: Exception) -> Text:
    kind = type(error).__name__
    return Text(
        f"Der Adapter {name} lässt sich mit diesen Optionen nicht anlegen ({kind}); das Protokoll des Hubs nennt die Stelle.",
        f"The adapter {name} cannot be made with these options ({kind}); the hub's log tells where.",
    )


def _tested(destination: Destination, report: TrialReport, actor: str) -> AuditEntry:
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
        policy=RatePolicy("test-deliveries", 1, PAUSE),
    )


def _still_running() -> TooMany:
    return TooMany(
        Text(
            "Der Versuch eines früheren Tests dieses Zustellpunkts läuft noch: Das empfangende System hält ihn offen. "
            "Prüfen Sie dort, und versuchen Sie es später noch einmal.",
            "The attempt of an earlier test of this destination still runs: the receiving system keeps it open. Look "
            "there, and try again later.",
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


__all__ = ["CONTENT", "PAUSE", "SERVICE", "TestDelivery", "TrialReport", "TrialStage", "TrialStep"]
