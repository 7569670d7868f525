"""The connector's walk: one submission from "the hub has something" to "the hub has our answer".

(1) seen: its ids are written into the journal before anything else happens;
(2) fetched: collected over the Submission API or taken as a push; only ciphertext lands on disk;
(3) verified: the hub's receipt against what lies here, or the event log's signatures and order, and its authentication tags;
(4) opened: metadata, data and attachments are decrypted in memory, hashes and schemas checked, scanned for malware where a
    scanner is named, the verdict journaled;
(5) handed over: into the folder exactly once, or over HTTP at least once with repeats flagged;
(6) decided: by nobody (``auto``), by people before (5), or by the local system after it; the journal waits as long as they do;
(7) answered: accept or reject is signed, journaled, posted; a conflict whose log holds our event is success.

A crash anywhere resumes at the step the journal names. Only what the sender can change (tags, encryption, hashes, schema)
rejects; everything else waits and is tried again. What a bad line or disk could have done to the ciphertext rejects only
if a second, fresh copy is the same. Whatever may heal by itself (network, 5xx, 429, a token or a right that is missing) is
``Unavailable``, said in the words of the settings; it never turns into a rejection.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from hub.admission import allocator
from hub.client import verification
from hub.client.fit_connect import Named, attachment_ids, last_part, malformed, require_uuid, signed_answer
from hub.client.transport import UNREACHABLE
from hub.client.verification import Problem
from hub.connector.access import ReceiptKeys, forwarder, own_words, subscriber
from hub.connector.casebook import CaseDecision
from hub.connector.declarations import Decider, InvalidHandling, Mode, Polling
from hub.connector.demo_system import SpecialistSystem
from hub.connector.desk import problems_of
from hub.connector.envelope import Envelope, Envelopes, require_jwe
from hub.connector.handover import NO_ANSWER, FolderSystem, Http, as_pdf, require_pdf
from hub.connector.journal import FINAL, Entry, Journal, JournalState
from hub.connector.listener import Listener, Push
from hub.connector.municipal_say import MunicipalSay, casework
from hub.connector.opening import Catalog, Keys, OpenedSubmission, Opener, Verdict, load_keys
from hub.connector.scanning import ScanAfterOpening, report_of, require_release
from hub.connector.settings import ConnectorSettings, FolderHandover, HttpHandover
from hub.errors import Conflict, Forbidden, HubError, KeyRefused, NotFound, Refused, SealBroken, Text, Unavailable
from hub.model import EventKind, Evidence, Subject
from hub.supervision import Supervisor

if TYPE_CHECKING:
    from hub.forms.clerk_pages import ClerkPages

_log = logging.getLogger(__name__)

_FIRST_WAIT = timedelta(seconds=5)
_LONGEST_WAIT = timedelta(hours=1)
#: What does not heal by itself is looked at again after this, for somebody may have healed it.
_HELD_WAIT = timedelta(minutes=10)
#: What a sender may have done wrong, and a proxy or a disk too.
_COULD_BE_THE_LINE = frozenset({"encryption-issue", "incorrect-authentication-tag"})
_TRIM_EVERY = timedelta(seconds=30)
#: How answers are called in the log, by their name in the journal.
_SAID = {"accepted": "angenommen / accepted", "rejected": "abgelehnt / rejected"}
_CLOSING = frozenset({EventKind.ACCEPT, EventKind.REJECT, EventKind.DELETE})


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What one run did: ``seen`` (new), ``handed`` over, ``accepted``, ``rejected``, ``postponed``; ``open`` is left."""

    seen: int = 0
    handed: int = 0
    accepted: int = 0
    rejected: int = 0
    postponed: int = 0
    open: int = 0


class Connector:
    """One municipality's connector. ``run`` until told to stop, or ``run_once`` from a scheduler; then ``close``."""

    def __init__(
        self, settings: ConnectorSettings, *, keys: Mapping[UUID, Keys], catalog: Catalog, now: Callable[[], datetime]
    ) -> None:
        self.settings = settings
        self._keys = keys
        self._catalog = catalog
        self._now = now
        self.hub = subscriber(settings.hub, now)
        self._receipt_keys = ReceiptKeys(settings.hub, now)
        self._drawn: ClerkPages | None = None
        self._drawing = threading.Lock()
        self._handover = self._way_over(settings.handover)
        self._scanning = None if settings.scan is None else ScanAfterOpening(settings.scan)
        self._wake = threading.Event()
        self._tally: dict[str, int] = {}
        self._troubles: dict[UUID, HubError] = {}
        self._complaints: dict[UUID, str] = {}
        self._supervisor = Supervisor()
        self._trim, self._trimmed = allocator(), datetime.min.replace(tzinfo=UTC)
        self.journal = Journal(settings.journal)
        self._envelopes = Envelopes(settings.journal.with_suffix(".sealed"))
        self._envelopes.sweep(self.journal.lying_here())
        self.say = None if settings.decider is Decider.AUTO else self._municipal_say()

    def _way_over(self, handover: FolderHandover | HttpHandover | None) -> FolderSystem | Http | None:
        """Return how what is opened goes over, None where nobody but people shall have it."""
        self._pdf = isinstance(handover, FolderHandover) and handover.pdf
        if self._pdf:
            require_pdf()
        if isinstance(handover, HttpHandover):
            return Http(handover, decides_later=self.settings.decider is Decider.SYSTEM)
        return None if handover is None else FolderSystem(handover.path, drawn=self._readable)

    def _municipal_say(self) -> MunicipalSay:
        door = forwarder(self.settings.hub, self._now)
        work = casework(self.settings, self.journal, keys=self._keys, hub=self.hub, door=door, reopen=self._read_again)
        return MunicipalSay.of(
            self.settings,
            work,
            envelopes=self._envelopes,
            receipt_keys=self._receipt_keys.for_receipt,
            drawn=self._page,
            wake=self._wake.set,
            clock=self._now,
        )

    @classmethod
    def from_config(cls, path: Path, *, now: Callable[[], datetime] | None = None) -> Self:
        """Build a connector from a settings file; ``now`` is its clock (aware, UTC).

        Raises:
            ConfigurationError: settings, keys, schemas or the journal cannot be used.
        """
        from hub.validation.catalog import SchemaCatalog

        settings = ConnectorSettings.read(path)
        catalog = SchemaCatalog.load(*settings.schema_roots)
        return cls(
            settings, keys=load_keys(settings.destinations), catalog=catalog, now=now or partial(datetime.now, UTC)
        )

    def facts(self) -> Mapping[str, str]:
        """Return what whoever starts it wants to read: the mode, the hub's address, and where it hands over."""
        handover, listen = self.settings.handover, self.settings.listen
        return {
            "Modus / mode": self.settings.mode,
            "Adresse des Hubs / address of the hub": self.settings.hub.base_url,
            "lauscht / listens": f"{listen.address}:{listen.port}"
            if listen is not None and self.settings.mode is not Mode.COLLECT
            else "-",
            "Übergabe / hand-over": _place(handover),
            "Entscheidung / decides": self.settings.decider,
        }

    def close(self) -> None:
        """Release the journal."""
        self.journal.close()

    def listen(self) -> Listener | None:
        """Start taking pushes, if the settings say so."""
        if self.settings.listen is None or self.settings.mode is Mode.COLLECT:
            return None
        return Listener(self.settings.listen, self.take, self._now, supervisor=self._supervisor)

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set: look every ``poll_seconds``, and at once after a push; a walk that dies begins anew."""
        said = self.say.services(self._supervisor) if self.say is not None else []
        services = [*said, *(each for each in (SpecialistSystem.of(self.settings, self._now), self.listen()) if each)]
        try:
            self._supervisor.attend("connector", self._walk, stop)
        finally:
            for service in services:
                service.close()

    def _walk(self, stop: threading.Event) -> None:
        while not stop.is_set():
            self._wake.clear()
            self._run_safely()
            self._give_back(self._now())
            self._pause(stop)

    def _give_back(self, now: datetime) -> None:
        """Have memory that is free go back to the system: what started, and each page drawn first, leaves much of it."""
        if self._trim is not None and not self._trimmed <= now < self._trimmed + _TRIM_EVERY:
            self._trimmed = now
            self._trim()

    def _run_safely(self) -> None:
        try:
            self.run_once(self._now())
            self._complain()
        except HubError as exc:
            _log.warning("%s", exc.detail.en)

    def _pause(self, stop: threading.Event) -> None:
        waited, step = 0.0, 0.5
        while waited < self.settings.poll.total_seconds() and not stop.is_set() and not self._wake.wait(step):
            waited += step

    def run_once(self, now: datetime) -> Counts:
        """Look for news where the mode says so, then take every submission that is due as far as it goes.

        What kept it from the hub is in :meth:`trouble`; everything else is done all the same.
        """
        self._tally, self._troubles = {}, {}
        if self.settings.mode is not Mode.LISTEN:
            self.look(now)
        if self.say is not None:
            self.say.gather(now)
        for entry in self.journal.due(now):
            self._advance(entry, now)
        if self.say is not None:
            self.say.send(now)
        return Counts(**self._tally, open=len(self.journal.open_ids()))

    def trouble(self) -> HubError | None:
        """Return what kept the last run from the hub, each reason once: try again later if one of them wants that."""
        if not self._troubles:
            return None
        details = {trouble.detail.en: trouble.detail for trouble in self._troubles.values()}.values()
        text = Text(" ".join(each.de for each in details), " ".join(each.en for each in details))
        later = any(isinstance(trouble, Unavailable) for trouble in self._troubles.values())
        return Unavailable(text) if later else Refused(text)

    def take(self, push: Push) -> bool:
        """Make a push durable (the listener's way in); tell whether it is news.

        Raises:
            Forbidden: the destination is not served here.
            StoreUnavailable: the disk is full or gone.
        """
        if push.destination_id not in self._keys:
            raise Forbidden(
                Text("Dieser Zustellpunkt wird hier nicht bedient.", "This destination is not served here.")
            )
        known = self.journal.find(push.submission_id)
        if known is not None and known.state is not JournalState.GONE:
            return False
        if push.whole or push.proven:
            self._envelopes.save(push.submission_id, push.document, push.attachments)
        news = self.journal.see(push.submission_id, push.case_id, push.destination_id, self._now())
        self._wake.set()
        return news

    def status(self) -> Mapping[str, int]:
        """Return how many submissions are in each state."""
        return self.journal.counts()

    # Step 1.

    def look(self, now: datetime) -> None:
        """Note in the journal what waits at the hub for the destinations whose keys lie here."""
        if self.settings.polling is Polling.ALL:
            self._note(None, now)
            return
        for destination_id in self._keys:
            self._note(destination_id, now)

    def _note(self, destination_id: UUID | None, now: datetime) -> None:
        """Note what waits for a destination, or for all of them; what nobody serves here is left to others."""
        try:
            for item in self.hub.waiting(destination_id):
                meant = item.destination_id if destination_id is None else destination_id
                if meant is None or meant not in self._keys:
                    continue
                if self.journal.see(item.message_id, item.case_id, meant, now):
                    self._count("seen")
        except HubError as exc:
            # A list of all fails for all: the first one stands for them.
            self._troubles[destination_id or next(iter(self._keys))] = own_words(exc)
            self._count("postponed")

    def _complain(self) -> None:
        """Log what kept a look from the hub when it starts or changes, not at every look."""
        complaints = {one: self._troubles[one].detail.en for one in self._keys if one in self._troubles}
        for destination_id, text in complaints.items():
            if self._complaints.get(destination_id) != text:
                _log.warning("collecting for %s: %s", destination_id, text)
        self._complaints = complaints

    def _advance(self, entry: Entry, now: datetime) -> None:
        steps = {
            JournalState.SEEN: self._judge,
            JournalState.OPENED: self._hand_over,
            JournalState.HANDED: self._answer,
        }
        submission_id = entry.submission_id
        try:
            while entry.state not in FINAL and entry.state is not JournalState.WAITING:
                entry = steps[entry.state](entry, now)
        except HubError as exc:
            trouble = own_words(exc)
            if trouble.slug == UNREACHABLE:
                self._troubles[submission_id] = trouble
            wait = trouble.retry_after if isinstance(trouble, Unavailable) else _HELD_WAIT
            self._postpone(submission_id, trouble.detail.en, wait, now)
        except Exception as exc:  # noqa: BLE001  # One submission's bug must not stop the others.
            # The text of a foreign exception could hold payload, its type cannot.
            _log.error("submission %s: %s", submission_id, type(exc).__name__)  # No traceback: it could too.
            self._postpone(submission_id, f"internal error: {type(exc).__name__}", _HELD_WAIT, now)

    def _postpone(self, submission_id: UUID, note: str, wish: timedelta, now: datetime) -> None:
        entry = self.journal.find(submission_id)
        tries = entry.tries if entry else 0
        if entry is None or entry.note != note:
            # Said once for each reason, not at each try: a case that is held for good would fill the log.
            _log.warning("submission %s is held: %s", submission_id, note)
        wait = min(max(_FIRST_WAIT * 2 ** min(tries, 20), wish), _LONGEST_WAIT)
        self.journal.update(submission_id, now, tries=tries + 1, due=now + wait, note=note)
        self._count("postponed")

    # Steps 2 to 4.

    def _judge(self, entry: Entry, now: datetime) -> Entry:
        try:
            envelope, submitted, problems = self._received(entry)
        except NotFound:
            return self._finish(entry, JournalState.GONE, "not at the hub any more", now)
        tags, opened = _tags(envelope), None
        if not problems:
            opened, problems = self._open(envelope, submitted)
        if not entry.doubted and any(problem.slug in _COULD_BE_THE_LINE for problem in problems):
            self._envelopes.drop(entry.submission_id)
            self.journal.update(entry.submission_id, now, doubted=1)
            raise _broken_copy()
        verdict = Verdict(problems=tuple(problems), tags=tags)
        if opened is not None and self._scanning is not None and self._is_welcome(verdict):
            verdict = self._scanned(entry, opened, verdict, now)
        if self.say is not None and opened is not None and self._is_welcome(verdict):
            self.say.receive(entry, opened, now)
        return self.journal.update(
            entry.submission_id,
            now,
            state=JournalState.OPENED,
            verdict=verdict.dumps(),
            service=envelope.service.get("identifier", ""),
            service_name=envelope.service.get("name", ""),
            submitted_at=submitted.isoformat(),
            tries=0,
            note="",
        )

    def _scanned(self, entry: Entry, opened: OpenedSubmission, verdict: Verdict, now: datetime) -> Verdict:
        """Scan what was opened, note what was found, and return the verdict with what the sender is told of it.

        Raises:
            Refused: it is kept back until somebody decides. Unavailable: the scanner does not answer.
        """
        assert self._scanning is not None  # noqa: S101  # asked before
        scanned = self._scanning.look(opened)
        noted, against = scanned.decided(entry.scan)
        self.journal.update(entry.submission_id, now, scan=noted)
        require_release(noted)
        return replace(verdict, problems=(*verdict.problems, *against))

    def _received(self, entry: Entry) -> tuple[Envelope, datetime, list[Problem]]:
        """Return what was received, once all of it is on this disk and proven: when it was submitted, and how it differs.

        What a receipt does not prove is collected anew, with the log: that is the stronger proof, and never a weaker one.

        Raises:
            NotFound: the hub does not have it any more. SealBroken: the log does not prove it either.
        """
        if self._envelopes.has(entry.submission_id):
            envelope = self._envelopes.load(entry.submission_id)
            for attachment_id in envelope.lacking():
                stream = self.hub.attachment(entry.submission_id, attachment_id)
                self._envelopes.add(entry.submission_id, attachment_id, stream)
            if envelope.evidence is None:
                return envelope, *self._by_log(envelope)
            taken = self._by_receipt(envelope, envelope.evidence)
            if taken is not None:
                return envelope, taken, []
            _log.warning("submission %s: its receipt does not prove it; it is collected anew", entry.submission_id)
            self._envelopes.drop(entry.submission_id)
        self._fetch(entry)
        envelope = self._envelopes.load(entry.submission_id)
        return envelope, *self._by_log(envelope)

    def _by_receipt(self, envelope: Envelope, evidence: Evidence) -> datetime | None:
        """Return when the hub took a submission, if its receipt proves what lies here."""
        try:
            return verification.require_proof(
                evidence,
                envelope.received(),
                jwks=self._receipt_keys.for_receipt(evidence.receipt),
                issuers=frozenset({self.settings.hub.issuer}),
                now=self._now(),
            )
        except (SealBroken, KeyRefused):
            return None

    def _by_log(self, envelope: Envelope) -> tuple[datetime, list[Problem]]:
        """Return when a submission was submitted by its case's signed log, and how what lies here differs from that."""
        claims = self._submitted(envelope)
        return datetime.fromtimestamp(claims["iat"], UTC), verification.differences(claims, _tags(envelope))

    def _fetch(self, entry: Entry) -> None:
        found = self.hub.submission(entry.submission_id)
        service, data = found.get("publicService") or found.get("serviceType"), found.get("encryptedData")
        if not isinstance(service, dict):
            raise malformed("publicService")
        attachments = attachment_ids(found)
        for name, expected in (("caseId", entry.case_id), ("destinationId", entry.destination_id)):
            if require_uuid(found.get(name), name) != expected:
                raise malformed(name)
        document = {
            "submissionId": str(entry.submission_id),
            "caseId": str(entry.case_id),
            "destinationId": str(entry.destination_id),
            "publicService": {name: str(service.get(name, "")) for name in ("identifier", "name")},
            "encryptedMetadata": require_jwe(found.get("encryptedMetadata"), "encryptedMetadata"),
            "encryptedData": None if data is None else require_jwe(data, "encryptedData"),
            "attachments": [str(one) for one in attachments],
            "eventLog": self.hub.event_log(entry.case_id),
        }
        streams = {one: partial(self.hub.attachment, entry.submission_id, one) for one in attachments}
        self._envelopes.save(entry.submission_id, document, streams)

    def _submitted(self, envelope: Envelope) -> Mapping[str, Any]:
        """Verify the log and return the claims of the submit event; a log that came with a push may be too short."""
        message = Named(subject=Subject.SUBMISSION, message_id=envelope.submission_id, case_id=envelope.case_id)
        try:
            return self.hub.submit_event(message, envelope.event_log)
        except SealBroken:
            return self.hub.submit_event(message)

    def _open(self, envelope: Envelope, submitted: datetime) -> tuple[OpenedSubmission | None, list[Problem]]:
        keys = self._keys[envelope.destination_id].decryption
        opener = Opener(keys, self._catalog, self.settings.inflation)
        return opener.open(replace(envelope, submitted_at=submitted.isoformat()), submitted.date())

    # Step 5.

    def _hand_over(self, entry: Entry, now: datetime) -> Entry:
        decider, next_state = self.settings.decider, JournalState.HANDED
        if self._is_welcome(_verdict(entry)):
            if self._scanning is not None and entry.scan is None and entry.decision is None:
                # It was opened before anybody scanned.
                return self.journal.update(entry.submission_id, now, state=JournalState.SEEN, staged=0)
            undecided = decider is not Decider.AUTO and entry.decision is None
            if undecided:
                next_state = JournalState.WAITING
            if not (undecided and decider is Decider.CLERK):
                self._over(entry, now)
        return self.journal.update(entry.submission_id, now, state=next_state, tries=0, note="")

    def _over(self, entry: Entry, now: datetime) -> None:
        if isinstance(self._handover, FolderSystem):
            self._into_folder(self._handover, entry, now)
        elif self._handover is not None:
            self._over_http(self._handover, entry, now)
        self._count("handed")

    def _into_folder(self, folder: FolderSystem, entry: Entry, now: datetime) -> None:
        if not entry.staged:
            folder.stage(self._reopen(entry, now))
            self.journal.update(entry.submission_id, now, staged=1)
        folder.publish(entry.submission_id)

    def _over_http(self, http: Http, entry: Entry, now: datetime) -> None:
        opened = self._reopen(entry, now)
        self.journal.update(entry.submission_id, now, unsure=1)
        try:
            http.send(opened, repeat=entry.unsure)
        except HubError as exc:
            if exc.slug != NO_ANSWER and not entry.unsure:
                self.journal.update(entry.submission_id, now, unsure=0)
            raise

    def _reopen(self, entry: Entry, now: datetime) -> OpenedSubmission:
        """Open once more what was judged before: plaintext is never kept in between."""
        opened = None
        if self._envelopes.has(entry.submission_id):
            envelope = self._envelopes.load(entry.submission_id)
            if envelope.evidence is None:
                opened, _problems = self._open(envelope, self._by_log(envelope)[0])
            elif not envelope.lacking() and (taken := self._by_receipt(envelope, envelope.evidence)) is not None:
                opened, _problems = self._open(envelope, taken)
        if opened is None:
            # The disk lost or changed what was verified; the hub still has it.
            self._envelopes.drop(entry.submission_id)
            self.journal.update(entry.submission_id, now, state=JournalState.SEEN, scan=None)
            raise _broken_copy()
        return replace(opened, scan=report_of(entry.scan))

    def _read_again(self, entry: Entry) -> OpenedSubmission:
        """Open what lies here, for who reads it: without the hub, for its tags are those that were proven when it was judged.

        Raises:
            NotFound: it does not lie here any more. Unavailable: the disk changed it.
        """
        if not self._envelopes.has(entry.submission_id) or not entry.submitted_at:
            raise NotFound(
                Text(
                    "Der Inhalt liegt hier nicht mehr: Er wurde nach dem Abschluss gelöscht.",
                    "The contents no longer lie here: they were deleted after the case was closed.",
                )
            )
        envelope = self._envelopes.load(entry.submission_id)
        if envelope.lacking() or _tags(envelope) != dict(_verdict(entry).tags):
            raise _broken_copy()
        opened, _problems = self._open(envelope, datetime.fromisoformat(entry.submitted_at))
        if opened is None:
            raise _broken_copy()
        return replace(opened, scan=report_of(entry.scan))

    def _readable(self, opened: OpenedSubmission) -> Mapping[str, bytes]:
        """Return a submission as people can read it, by file name; nothing where its schema is not in the catalogue here."""
        page = self._page(opened)
        if page is None:
            return {}
        pdf = as_pdf(page, opened.envelope.submission_id, self._now()) if self._pdf else None
        return {"antrag.html": page} | ({} if pdf is None else {"antrag.pdf": pdf})

    def _page(self, opened: OpenedSubmission) -> bytes | None:
        """Return the page for people of a submission."""
        if opened.data is None or opened.report is None:
            return None
        with self._drawing:
            if self._drawn is None:
                from hub.forms.clerk_pages import ClerkPages

                self._drawn = ClerkPages()
        entry = self._catalog.entry(opened.report.schema.uri)
        names = [each.file_name for each in opened.attachments if each.purpose == "attachment"]
        return self._drawn.draw(entry, opened.data, attachments=names, strange=not opened.report.valid)

    def _is_welcome(self, verdict: Verdict) -> bool:
        if self.settings.on_invalid is InvalidHandling.REJECT:
            return verdict.acceptable
        return all((problem.slug, problem.instance) == ("schema-violation", "data") for problem in verdict.problems)

    # Step 7.

    def _answer(self, entry: Entry, now: datetime) -> Entry:
        verdict = _verdict(entry)
        decision = None if entry.decision is None else CaseDecision.loads(entry.decision)
        accept = self._is_welcome(verdict) if decision is None else decision.accept
        if entry.token is None:
            message = Named(subject=Subject.SUBMISSION, message_id=entry.submission_id, case_id=entry.case_id)
            kind = EventKind.ACCEPT if accept else EventKind.REJECT
            key = self._keys[entry.destination_id].signing
            payload = verdict.as_event(accept=accept)
            if decision is not None and not accept:
                payload = {"problems": problems_of(decision)}
            jti, token = signed_answer(message, entry.destination_id, key, kind, payload, now)
            entry = self.journal.update(entry.submission_id, now, jti=str(jti), token=token)
        if not self._post(entry):
            return self._finish(entry, JournalState.OVERRULED, "closed by another event before our answer", now)
        self._count("accepted" if accept else "rejected")
        return self._finish(entry, JournalState.ANSWERED, "accepted" if accept else "rejected", now)

    def _post(self, entry: Entry) -> bool:
        """Post the answer; tell whether the case now holds it. False: the case was closed by somebody else."""
        try:
            self.hub.post_event(entry.case_id, entry.token or "")
        except Conflict as exc:
            entries = self.hub.verified_log(entry.case_id)
            if any(claims["jti"] == entry.jti for claims in entries):
                return True
            if verification.find_event(entries, entry.submission_id, _CLOSING) is None:
                raise Unavailable(own_words(exc).detail) from exc
            return False
        return True

    def _finish(self, entry: Entry, state: JournalState, note: str, now: datetime) -> Entry:
        keeps = entry.decision is not None and self.settings.decider is Decider.CLERK
        done = self.journal.update(entry.submission_id, now, state=state, note=note, kept=int(keeps))
        if not keeps:
            self._envelopes.drop(entry.submission_id)
        level = logging.INFO if state is JournalState.ANSWERED else logging.WARNING
        _log.log(level, "submission %s of case %s: %s", entry.submission_id, entry.case_id, _SAID.get(note, note))
        return done

    def _count(self, name: str) -> None:
        self._tally[name] = self._tally.get(name, 0) + 1


def _tags(envelope: Envelope) -> dict[str, Any]:
    """Return the authentication tags of what was received."""
    attachments = {one: last_part(path) for one, path in envelope.attachments.items()}
    return verification.tags_of(envelope.metadata, envelope.data, attachments)


def _place(handover: FolderHandover | HttpHandover | None) -> str:
    if handover is None:
        return "-"
    return handover.url if isinstance(handover, HttpHandover) else str(handover.path)


def _broken_copy() -> Unavailable:
    return Unavailable(
        Text(
            "Der Chiffretext passt nicht zum Ereignisprotokoll oder lässt sich nicht öffnen. Er wird noch einmal geholt.",
            "The ciphertext does not fit the event log or cannot be opened. It will be fetched once more.",
        ),
        retry_after=_FIRST_WAIT,
    )


def _verdict(entry: Entry) -> Verdict:
    return Verdict.loads(entry.verdict or '{"problems":[],"tags":{}}')
