"""Proof: the hub's signed log and receipts, made when somebody first reads them, and verified offline.

Event tokens are PS512 (2 ms each), so none is made before somebody asks for it. PS512 is randomised: the first stored
signature wins (compare-and-set) and is what everybody gets from then on.

A receipt says what the hub took, when, for whom, and with which hashes. It is signed with Ed25519, which costs a fiftieth of an
event token's PS512, so it is what travels with a pushed delivery. Whoever has it and the log's entries from the submission's
create event to its submit event can check the chain without asking the hub.

The plain door signs a receipt before it answers. The sealed door's clients know nothing of receipts: theirs is made when
somebody first needs it, off the store's writer, and only once the entry has been computed anew from its row and compared
with the contents that are stored. The first stored receipt wins, whoever made it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from hub.client import event_tokens
from hub.crypto import HubKeys, VerificationKey, claims_of, make_receipt, verification_key, verify_receipt
from hub.errors import HubError, KeyRefused, SealBroken, Text, Unavailable, UnreadableRow
from hub.model import (
    GENESIS,
    HOUSE_KINDS,
    Door,
    Event,
    EventKind,
    Evidence,
    Form,
    Sealed,
    Submission,
    canonical_entry,
    random_id,
)
from hub.observability.legal_time import NOT_KNOWN, ClockReading
from hub.observability.metrics import Meters
from hub.proof.checkpoints import Checkpoints
from hub.scanning import Gap, ScanVerdict
from hub.store import CaseHead, Page, Store, all_items

#: Tokens that are stored with one statement: more would make a claim or an application wait behind them.
_TOGETHER = 25

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class LogFinding:
    """One thing that is wrong with a log: where, and what."""

    case_id: UUID
    seq: int
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class LogReport:
    """What a verification saw. ``unsigned`` counts hub events whose token nobody has asked for yet."""

    cases: int
    events: int
    signatures: int
    unsigned: int
    findings: tuple[LogFinding, ...]


class Notary:
    """Signs and verifies the event logs of all cases.

    A token is made when somebody reads the log, and only of what nobody can have changed meanwhile: an entry that a signed
    checkpoint or the case's receipt covers, or one so young that none can. ``interval`` is how often checkpoints are made.
    """

    def __init__(
        self,
        *,
        store: Store,
        keys: HubKeys,
        checkpoints: Checkpoints,
        clock: Callable[[], datetime],
        interval: timedelta,
        meters: Meters | None = None,
    ) -> None:
        self._store = store
        self._checkpoints = checkpoints
        self._keys = keys
        self._clock = clock
        self._young = 2 * interval
        self._meters = meters
        #: Cases whose log is not signed, until a restart or their repair.
        self._refused: set[UUID] = set()

    def tokens(self, case_id: UUID, *, subject_id: UUID | None = None, offset: int = 0, limit: int = 500) -> Page[str]:
        """Return the case's log as compact tokens, oldest first; what is unsigned yet gets signed now.

        What FIT-Connect does not know is left out: its clients judge a log by the kinds that they know.

        Raises:
            Unavailable: what is unsigned contradicts what was signed (``log-contradicted``), or nothing signed covers it
                (``log-not-covered``).
        """
        page = self._store.event_log.events(
            case_id, subject_id=subject_id, without=HOUSE_KINDS, offset=offset, limit=limit
        )
        tokens = tuple(self._tokens(page.items))
        return Page(items=tokens, offset=page.offset, total=page.total, unreadable=page.unreadable)

    def token(self, event: Event) -> str:
        """Return the event's token, signing it if it has none; errors as :meth:`tokens`."""
        return self._tokens([event])[0]

    def _tokens(self, events: Sequence[Event]) -> list[str]:
        """Return the events' tokens, signing those that have none; a commit is shared by all of them."""
        bare = [event for event in events if event.jws is None]
        for case_id in {event.case_id for event in bare}:
            self._require_covered(case_id, [event for event in bare if event.case_id == case_id])
        fresh = dict(zip(map(_place, bare), self._signed_and_kept(bare), strict=True))
        return [event.jws or fresh[_place(event)] for event in events]

    def _signed_and_kept(self, events: Sequence[Event]) -> list[str]:
        tokens: list[str] = []
        for first in range(0, len(events), _TOGETHER):
            some = events[first : first + _TOGETHER]
            tokens += self._store.event_log.keep_tokens([(one.case_id, one.seq, self._signed(one)) for one in some])
        return tokens

    def _require_covered(self, case_id: UUID, unsigned: Sequence[Event]) -> None:
        """Require a log's chain to hold, and each event that is to be signed to be covered by something signed.

        An event that nobody has signed yet could be changed, and the chain behind it computed anew, by whoever writes to the
        database; the hub's signature must not make that true.
        """
        log = list(self._whole_log(case_id))
        try:
            covered = self._checkpointed(case_id, log)
            if self._uncovered(unsigned, covered):
                covered = max(covered, self._receipted(case_id, log))
        except (SealBroken, KeyRefused) as error:
            self._refuse(case_id)
            raise contradicted(case_id) from error
        self._refused.discard(case_id)
        late = self._uncovered(unsigned, covered)
        if late:
            _log.error("case %s: nothing signed covers event %d; it is not signed", case_id, late[0].seq)
            raise _not_covered(case_id)

    def _checkpointed(self, case_id: UUID, log: Sequence[Event]) -> int:
        """Return up to which event a checkpoint covers a log; ``SealBroken`` where chain or checkpoint does not hold."""
        leaf = self._checkpoints.newest_leaf(case_id)
        if not _holds(log) or (leaf is not None and not _stands(leaf, log)):
            raise _broken()
        return 0 if leaf is None else leaf.seq

    def _uncovered(self, events: Sequence[Event], covered: int) -> list[Event]:
        """Return the events behind ``covered`` that are older than two checkpoints should have been."""
        since = self._clock() - self._young
        return [event for event in events if event.seq > covered and event.issued_at < since]

    def _receipted(self, case_id: UUID, log: Sequence[Event]) -> int:
        """Return up to which event the receipts of a case cover its log.

        Raises:
            SealBroken, KeyRefused: one is not the hub's, or names another log.
        """
        covered = 0
        for message in all_items(lambda start: self._store.submissions.messages(case_id=case_id, offset=start)):
            if message.receipt is None:
                continue
            named = verify_receipt(message.receipt, self._keys.hub_jwks())["eventLog"]
            end = CaseHead(case_id=case_id, seq=named["seq"], hash=named["hash"])
            if not _stands(end, log):
                raise _broken()
            covered = max(covered, end.seq)
        return covered

    def _refuse(self, case_id: UUID) -> None:
        if case_id not in self._refused:
            self._refused.add(case_id)
            _log.error("case %s: its log contradicts itself or what was signed of it; it is not signed", case_id)
            if self._meters is not None:
                self._meters.contradicted()

    def _signed(self, event: Event) -> str:
        return event_tokens.sign(self._keys.signing, event)

    def verify(self, case_ids: Iterable[UUID]) -> LogReport:
        """Verify chains, tokens and stored digests of the given cases, without any network."""
        cases = events = signatures = unsigned = 0
        findings: list[LogFinding] = []
        for case_id in case_ids:
            log = list(self._whole_log(case_id))
            cases += 1
            events += len(log)
            signatures += sum(1 for event in log if event.jws is not None)
            unsigned += sum(1 for event in log if event.jws is None)
            findings += self._verify_case(case_id, log)
        return LogReport(cases=cases, events=events, signatures=signatures, unsigned=unsigned, findings=tuple(findings))

    def _whole_log(self, case_id: UUID) -> Iterator[Event]:
        return all_items(lambda start: self._store.event_log.events(case_id, offset=start, limit=500))

    def _verify_case(self, case_id: UUID, log: list[Event]) -> Iterator[LogFinding]:
        head = GENESIS
        for seq, event in enumerate(log, start=1):
            for text in self._wrong_with(event, seq, head):
                yield LogFinding(case_id=case_id, seq=event.seq, text=text)
            head = event.hash
        try:
            case = self._store.submissions.case(case_id)
        except UnreadableRow as error:
            yield LogFinding(case_id=case_id, seq=len(log), text=error.detail)
            return
        if case is not None and (case.head != head or case.seq != len(log)):
            yield LogFinding(
                case_id=case_id,
                seq=len(log),
                text=Text(
                    "Das Ende der Kette passt nicht zum Vorgang: Ereignisse fehlen oder sind zu viel.",
                    "The chain's end does not fit the case: events are missing or too many.",
                ),
            )

    def _wrong_with(self, event: Event, seq: int, head: str) -> Iterator[Text]:
        if event.seq != seq or event.previous != head or event.entry_hash() != event.hash:
            yield Text(
                "Der Eintrag passt nicht in die Hash-Kette: Er wurde geändert, vertauscht oder gelöscht.",
                "The entry does not fit the hash chain: it was changed, moved or removed.",
            )
        if event.jws is not None:
            yield from self._wrong_with_token(event, event.jws)

    def _wrong_with_token(self, event: Event, token: str) -> Iterator[Text]:
        try:
            found = event_tokens.read(token)
            event_tokens.verify(token, self._key(event, found.kid))
        except HubError as error:
            yield Text(f"Die Signatur ist ungültig: {error.detail.de}", f"The signature is invalid: {error.detail.en}")
            return
        if event.by_hub and found.claims != event.claims():
            yield Text(
                "Das signierte Ereignis sagt etwas anderes als der Eintrag.",
                "The signed event says something else than the entry.",
            )

    def _key(self, event: Event, kid: str) -> VerificationKey:
        if event.by_hub:
            return self._keys.verification_key(kid)
        jwk = self._store.parties.key(UUID(event.issuer), kid)
        if jwk is None:
            raise SealBroken(
                Text(
                    f"Der Schlüssel {kid} des Ausstellers ist nicht hinterlegt.",
                    f"The issuer's key {kid} is not on record.",
                )
            )
        return verification_key(jwk)


def _holds(log: Sequence[Event], *, head: str = GENESIS, first: int = 1) -> bool:
    """Whether entries follow each other in number and hash on from ``head``, each as its row says it."""
    for seq, event in enumerate(log, start=first):
        if event.seq != seq or event.previous != head or event.entry_hash() != event.hash:
            return False
        head = event.hash
    return True


def _stands(end: CaseHead, log: Sequence[Event]) -> bool:
    """Whether an end that was signed stands in a whole log."""
    return 0 < end.seq <= len(log) and log[end.seq - 1].hash == end.hash


def _broken() -> SealBroken:
    return SealBroken(Text("Das Protokoll widerspricht sich.", "The log contradicts itself."))


def contradicted(case_id: UUID) -> Unavailable:
    """Say that a log contradicts itself, its receipt, its contents or what was signed of it."""
    return Unavailable(
        Text(
            f"Das Protokoll des Vorgangs {case_id} passt nicht zu dem, was davon unterschrieben oder gespeichert ist. Es wird "
            "nicht unterschrieben und nicht weitergegeben. Der Betrieb des Hubs ist benachrichtigt.",
            f"The log of case {case_id} does not fit what is signed or stored of it. It is neither signed nor passed on. The "
            "hub's operators are alerted.",
        ),
        retry_after=timedelta(hours=1),
        slug="log-contradicted",
    )


def _not_covered(case_id: UUID) -> Unavailable:
    return Unavailable(
        Text(
            f"Das Protokoll des Vorgangs {case_id} steht noch in keinem unterschriebenen Prüfpunkt. Versuchen Sie es gleich "
            "noch einmal; der Betrieb des Hubs ist benachrichtigt, wenn Prüfpunkte ausbleiben.",
            f"The log of case {case_id} stands in no signed checkpoint yet. Try again in a moment; the hub's operators are "
            "alerted where checkpoints fail to come.",
        ),
        retry_after=timedelta(seconds=10),
        slug="log-not-covered",
    )


def _place(event: Event) -> tuple[UUID, int]:
    return event.case_id, event.seq


#: What a receipt's claims are written in; those that name no version are of the first.
RECEIPT_VERSION = 2


def receipt_claims(
    submission: Submission,
    end: Event,
    *,
    issuer: str,
    destination: str,
    issued_at: datetime,
    clock: ClockReading = NOT_KNOWN,
) -> dict[str, Any]:
    """Return what a receipt of either door says; ``end`` is the submit event, ``destination`` the receiver's name.

    What was received, when, for whom, under which schema, its hashes, and where it stands in its case's log. ``iat`` is when
    the receipt was made, ``acceptedAt`` when the hub took the submission. Members that a reader does not know are to be passed
    over: ``scan`` says what came of a scan for malware, ``contentProof`` shows what was sent to who holds the salt, ``clock``
    whether the clock behind ``acceptedAt`` was held to a reference: of what came by the sealed door nobody noted it at that
    time. ``timestamp`` is kept free: checkpoints are stamped.
    """
    schema, contents = submission.schema, submission.contents
    claims = {
        "ver": RECEIPT_VERSION,
        "door": submission.door.value,
        "iss": issuer,
        "jti": str(random_id()),
        "iat": int(issued_at.timestamp()),
        "sub": f"submission:{submission.submission_id}",
        "txn": f"case:{submission.case_id}",
        "acceptedAt": submission.submitted_at.isoformat(timespec="milliseconds"),
        "clock": clock.claim(),
        "sender": submission.sender,
        "destination": {"destinationId": str(submission.destination_id), "name": destination},
        "publicService": submission.service.identifier,
        "area": submission.area,
        "schema": schema
        and {"uri": schema.uri, "standard": schema.standard, "version": schema.version, "sha256": schema.sha256},
        "contents": {part: _proven(sealed) for part, sealed in contents.parts()},
        "eventLog": {"seq": end.seq, "hash": end.hash},
    }
    return claims if contents.form is Form.JOSE else claims | {"sealedAs": contents.form.value}


def _proven(sealed: Sealed) -> dict[str, Any]:
    proven: dict[str, Any] = {"sha512": sealed.sha512, "size": sealed.size}
    if sealed.tag:
        proven["authenticationTag"] = sealed.tag
    return proven


class Evidences:
    """Brings the evidence of submissions, from several threads."""

    def __init__(
        self,
        *,
        store: Store,
        keys: HubKeys,
        issuer: str,
        meters: Meters | None = None,
        scans: bool = False,
        marks: Mapping[str, Any] | None = None,
    ) -> None:
        """Where the hub ``scans`` for malware, receipts say of ciphertext that it did not. ``marks`` stand in each of them."""
        self._marks = marks or {}
        self._scans = scans
        self._store = store
        self._keys = keys
        self._issuer = issuer
        self._meters = meters

    def of(
        self,
        submission: Submission,
        *,
        receipt: str | None,
        destination: str,
        now: datetime,
        run: Sequence[Event] | None = None,
    ) -> Evidence:
        """Return what proves a submission; ``receipt`` is the stored one, None where it has still to be made.

        ``run`` are its entries, where somebody has read them already; they are judged all the same.

        Raises:
            Unavailable: log, receipt and contents contradict each other (``log-contradicted``); that is never sent.
        """
        run = self._run(submission, run)
        if receipt is None:
            receipt = self._made(submission, run[-1], destination=destination, now=now)
        elif not _names(receipt, run[-1], submission):
            raise self._contradicted(submission)
        entries = tuple(canonical_entry(event.entry()).decode("utf-8") for event in run)
        return Evidence(receipt=receipt, previous=run[0].previous, entries=entries)

    def receipt(self, submission: Submission, *, destination: str, now: datetime) -> str:
        """Return the receipt of a submission that has none stored, made now; errors as :meth:`of`."""
        return self._made(submission, self._run(submission)[-1], destination=destination, now=now)

    def _made(self, submission: Submission, end: Event, *, destination: str, now: datetime) -> str:
        claims = receipt_claims(submission, end, issuer=self._issuer, destination=destination, issued_at=now)
        claims |= self._marks
        if self._scans and submission.door is Door.SEALED:
            claims["scan"] = {"verdict": ScanVerdict.NOT_SCANNED.value, "reason": Gap.SEALED.value}
        made = make_receipt(self._keys.receipt, claims)
        return self._store.submissions.keep_receipt(submission.submission_id, made)

    def _run(self, submission: Submission, run: Sequence[Event] | None = None) -> Sequence[Event]:
        """Return the entries from the submission's create event to its submit event, once they hold together.

        The rows are not what is believed: each entry is computed anew, hashed behind the one before, and the last one's
        digests are those of the contents that are about to be sent.
        """
        if run is None:
            run = self._store.event_log.run(submission.case_id, submission.submission_id)
        if not run or not _holds_from_create(run) or not _submits(run[-1], submission):
            raise self._contradicted(submission)
        return run

    def _contradicted(self, submission: Submission) -> Unavailable:
        _log.error(
            "submission %s: its log, its receipt and its contents contradict each other", submission.submission_id
        )
        if self._meters is not None:
            self._meters.contradicted()
        return contradicted(submission.case_id)


def _holds_from_create(run: Sequence[Event]) -> bool:
    return run[0].kind is EventKind.CREATE and _holds(run, head=run[0].previous, first=run[0].seq)


def _submits(end: Event, submission: Submission) -> bool:
    digests = {part: sealed.sha512 for part, sealed in submission.contents.parts()}
    ours = end.by_hub and end.kind is EventKind.SUBMIT and end.subject_id == submission.submission_id
    return ours and dict(end.digests) == digests


def _names(receipt: str, end: Event, submission: Submission) -> bool:
    """Whether a stored receipt is of this submission and of this end of its log."""
    try:
        claims: Mapping[str, Any] = claims_of(receipt)
    except SealBroken:
        return False
    named = claims.get("sub"), claims.get("eventLog")
    return named == (f"submission:{submission.submission_id}", {"seq": end.seq, "hash": end.hash})
