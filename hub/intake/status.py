"""What is said of an accepted application: in its proof, of its flaws, and to its sender who asks what became of it.

The proof holds the first events of the case and the claims of the receipt; a sender is told state, history in plain words, and
receipt. Applications that break their schema are refused unless the rule that routes them says otherwise (``OnInvalid``). Those
that were not checked completely or lack attachments they name are accepted, since nothing speaks against them; receipt, answer
and authority are told which checks were not done, and how many attachments are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from hub.crypto import CONTENT_ALGORITHM, HubKeys, base64url, claims_of, content_proof
from hub.errors import InvalidPayload, SealBroken, Text, not_found
from hub.identity import Caller
from hub.intake.sealing import OwnAttachment, Sealer, own_attachment
from hub.model import (
    RECEIVER_LOST_KEY,
    Beside,
    CaseMessageKind,
    Destination,
    Event,
    EventKind,
    InCase,
    OutcomeKind,
    State,
    Subject,
    Submission,
    chain,
    history,
    own_event,
    reason_for_senders,
)
from hub.model.ai_step import AiDecider, AiStep
from hub.notifications.callbacks import Resending
from hub.observability.legal_time import NOT_KNOWN, ClockReading
from hub.proof.evidence import Evidences, receipt_claims
from hub.routing import OnInvalid, Route, legal_day
from hub.services import DeadlineRule, ServiceCatalogue
from hub.store import (
    Attempt,
    Beginning,
    CallbackView,
    CaseHead,
    DeliveryState,
    DeliveryView,
    SentFilter,
    Store,
    StoredMessage,
)
from hub.validation.report import Report


def first_events(submission: Submission, *, issuer: str, head: CaseHead | None = None) -> list[Event]:
    """Return the create and submit events of a submission, chained on from ``head``, the end of the log of a case there is."""

    def event(kind: EventKind, **more: Any) -> Event:
        return own_event(
            kind,
            case_id=submission.case_id,
            subject=(Subject.SUBMISSION, submission.submission_id),
            issuer=issuer,
            now=submission.submitted_at,
            **more,
        )

    submitted = event(
        EventKind.SUBMIT,
        payload={"authenticationTags": submission.contents.authentication_tags()},
        digests={part: sealed.sha512 for part, sealed in submission.contents.parts()},
    )
    events = [event(EventKind.CREATE), submitted]
    return chain(events) if head is None else chain(events, head=head.hash, seq=head.seq)


def content_claim(keys: HubKeys, submission_id: UUID, digests: Mapping[str, str]) -> dict[str, Any]:
    """Return what a receipt says of contents (``contentProof``); ``digests`` are the SHA-512 (hex) of what the sender sent.

    The hub keeps no fingerprint that anybody could guess at: what stands in the receipt needs the salt, which follows from a
    key of the hub's and goes to the sender with the answer.
    """
    kid, salt = keys.content_salt(str(submission_id))
    return {"alg": CONTENT_ALGORITHM, "kid": kid, "parts": content_proof(salt, digests)}


def content_salt_of(keys: HubKeys, claims: Mapping[str, Any]) -> str | None:
    """Return the salt of a receipt's proof of contents (base64url), the same each time; None where it has none."""
    proof = claims.get("contentProof")
    if proof is None:
        return None
    _, salt = keys.content_salt(claims["sub"].removeprefix("submission:"), proof["kid"])
    return base64url.encode(salt).decode("ascii")


def receipt_of(
    submission: Submission,
    events: Sequence[Event],
    *,
    issuer: str,
    route: Route,
    destination: Destination,
    kid: str,
    validation: Mapping[str, Any] | None = None,
    external_reference: str | None = None,
    in_case: InCase | None = None,
    scan: Mapping[str, Any] | None = None,
    content: Mapping[str, Any] | None = None,
    clock: ClockReading = NOT_KNOWN,
) -> dict[str, Any]:
    """Return what the receipt says: what that of either door does, and by which rule and for which key.

    ``validation`` is the verdict on what was accepted although it breaks its schema or was not checked completely; ``scan``
    is what came of scanning its parts for malware, ``content`` the proof of what the sender sent,
    ``clock`` what was known of the hub's clock.
    """
    claims = receipt_claims(
        submission,
        events[-1],
        issuer=issuer,
        destination=destination.name,
        issued_at=submission.submitted_at,
        clock=clock,
    )
    claims |= {"route": {"table": route.table_version, "rule": route.rule.id}, "encryptionKid": kid}
    if external_reference is not None:
        claims["externalReference"] = external_reference
    if in_case is not None:
        claims["inCase"] = in_case.as_claim()
    if scan is not None:
        claims["scan"] = dict(scan)
    if content is not None:
        claims["contentProof"] = dict(content)
    return claims if validation is None else claims | {"validation": dict(validation)}


def reference_in(receipt: str | None) -> str | None:
    """Return what the sender called an application, as its receipt says; None where it said nothing, or is unreadable."""
    try:
        said = None if receipt is None else claims_of(receipt).get("externalReference")
    except SealBroken:  # A state is told all the same; what became of proofs is for ``hub log verify`` to say.
        return None
    return said if isinstance(said, str) else None


def in_case_of(receipt: str | None) -> dict[str, Any] | None:
    """Return what a later message in a case is (``kind``, ``about``), as its receipt says; None of a case's first one."""
    try:
        said = None if receipt is None else claims_of(receipt).get("inCase")
    except SealBroken:
        return None
    return said if isinstance(said, dict) else None


#: The name under which a receiver finds the report.
REPORT_FILENAME = "validierungsbericht.json"
#: The name under which a receiver finds the page for people.
PAGE_FILENAME = "antrag.html"
_MEDIA_TYPE = "application/json"


def refusal(report: Report) -> InvalidPayload:
    """Return the refusal of an invalid application: every violation, no value."""
    missing = report.missing_attachments
    detail = Text(
        f"Der Antrag verletzt sein Schema an {report.total} Stelle(n). "
        "Beheben Sie die genannten Verstöße und senden Sie ihn neu.",
        f"The application violates its schema in {report.total} place(s). Mend what is listed and send it again.",
    )
    if missing == report.total:
        detail = Text(
            f"Der Antrag nennt an {missing} Stelle(n) Anlagen, die fehlen. Senden Sie ihn mit diesen Anlagen neu.",
            f"The application names attachments in {missing} place(s) that are missing. Send it again with them.",
        )
    return InvalidPayload(
        detail,
        violations=[violation.as_json() for violation in report.violations],
        total=report.total,
        schema={"uri": report.schema.uri, "version": report.schema.version},
    )


def sealed_report(report: Report, *, sealer: Sealer, blobs: Beginning) -> OwnAttachment:
    """Return the report as an attachment for the authority alone."""
    return own_json(orjson.dumps(report.as_json()), REPORT_FILENAME, sealer=sealer, blobs=blobs)


def own_json(content: bytes, filename: str, *, sealer: Sealer, blobs: Beginning) -> OwnAttachment:
    """Return JSON of the hub's own as an attachment for the authority alone."""
    return own_attachment(
        content, filename=filename, media_type=_MEDIA_TYPE, purpose="report", sealer=sealer, blobs=blobs
    )


def sealed_page(page: bytes, *, sealer: Sealer, blobs: Beginning) -> OwnAttachment:
    """Return a page that people can read (HTML in UTF-8) as an attachment for the authority alone."""
    return own_attachment(
        page,
        filename=PAGE_FILENAME,
        media_type="text/html; charset=utf-8",
        purpose="form",
        sealer=sealer,
        blobs=blobs,
    )


def verdict(report: Report, policy: OnInvalid) -> dict[str, Any] | None:
    """Return what the receipt says of a check: None if it was complete, found no error, and every attachment named came.

    Its size is bounded: counts, and of each check that was not done the hub's own words.
    """
    if report.valid and report.complete and not report.missing_attachments:
        return None
    invalid = {} if report.valid else {"violations": report.total, "onInvalid": policy.value}
    unchecked = [each.as_json() for each in report.unchecked]
    missing = {"missingAttachments": report.missing_attachments} if report.missing_attachments else {}
    return {"valid": report.valid, "complete": report.complete, **invalid, **missing, "unchecked": unchecked}


_EVENT_TEXTS = {
    EventKind.CREATE: Text("Vorgang angelegt", "Case created"),
    EventKind.SUBMIT: Text("Verschlüsselt gespeichert und eingereiht", "Stored sealed and queued"),
    EventKind.NOTIFY: Text(
        "Empfänger hat die Einreichung oder weiß von ihr", "Receiver has the submission or knows of it"
    ),
    EventKind.FORWARD: Text("Von einem Zwischensystem übernommen", "Taken over by an intermediate system"),
    EventKind.ACCEPT: Text("Vom Fachverfahren angenommen", "Accepted by the specialist system"),
    EventKind.REJECT: Text("Zurückgewiesen", "Rejected"),
    EventKind.DELETE: Text("Inhalte gelöscht, Protokoll bleibt", "Contents deleted, log stays"),
    EventKind.FORWARDED_TO: Text("An eine andere Stelle abgegeben", "Handed on to another authority"),
    EventKind.FORWARDED_FROM: Text("Von einer anderen Stelle übernommen", "Taken over from another authority"),
}
_AI_DECIDED = {
    AiDecider.PERSON: Text("entschieden hat ein Mensch", "a person decided"),
    AiDecider.SYSTEM: Text("entschieden hat das System", "the system decided"),
    AiDecider.NOBODY: Text("entschieden wurde damit nichts", "nothing was decided by it"),
}
_RECEIVER_LOST_KEY = Text(
    "Zurückgewiesen: Die Stelle kann die Einreichung nicht mehr öffnen. Bitte neu einreichen, mit neuem Idempotency-Key",
    "Rejected: the authority cannot open the submission any more. Submit it anew, with a new Idempotency-Key",
)
_OUTCOME_TEXTS = {
    OutcomeKind.DELIVERED: Text("Zustellversuch: zugestellt", "Delivery attempt: delivered"),
    OutcomeKind.WAITING: Text(
        "Zustellversuch: liegt im Postfach zur Abholung", "Delivery attempt: waits in the mailbox"
    ),
    OutcomeKind.REFUSED: Text("Zustellversuch: abgelehnt", "Delivery attempt: refused"),
    OutcomeKind.UNREACHABLE: Text(
        "Zustellversuch: Empfänger nicht erreichbar", "Delivery attempt: receiver unreachable"
    ),
    OutcomeKind.UNKNOWN: Text("Zustellversuch: keine Antwort", "Delivery attempt: no answer"),
}
_ARRIVED = frozenset({OutcomeKind.DELIVERED, OutcomeKind.WAITING})

_CALLBACK_LOST = Text(
    "Ihre Rückrufadresse antwortet nicht: Benachrichtigung aufgegeben, der Antrag ist davon nicht betroffen",
    "Your callback address does not answer: the news was given up, the application is not affected",
)


_REPLIED = Text("Antwort der Behörde liegt bereit", "A reply of the authority is ready")
_ABOUT_IT = {
    CaseMessageKind.WITHDRAWAL: Text("Rücknahme gesendet", "Withdrawal sent"),
    CaseMessageKind.CORRECTION: Text("Durch einen neuen Antrag berichtigt", "Corrected by a new application"),
}
#: Messages of a case that a history looks at.
_MOST_IN_CASE = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryStep:
    """One line of the history; ``step`` is stable for machines. ``note`` is for operators alone."""

    at: datetime
    step: str
    text: Text
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """Where an application stands.

    ``state`` is FIT-Connect's; ``delivery`` the hub's own: queued, delivered, waiting or dead.
    """

    submission_id: UUID
    case_id: UUID
    destination_id: UUID
    state: State
    delivery: str
    accepted_at: datetime
    history: tuple[HistoryStep, ...]
    external_reference: str | None = None
    #: Since when it is delivered, where the authority's system has not acknowledged it for too long.
    not_acknowledged_since: datetime | None = None
    #: Steps of AI systems that the case's log holds about it.
    ai_steps: int = 0
    #: The case that it went on with, or came from, as the log says it: ``caseId``, ``submissionId``, ``name`` and so on.
    forwarded_to: Mapping[str, Any] | None = None
    forwarded_from: Mapping[str, Any] | None = None
    #: What the service says has to happen by when, counted from the receipt of the first case.
    deadlines: tuple[tuple[DeadlineRule, date], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class SentPage:
    """One page of a sender's own applications, newest first. ``follows``: where the next page begins, None on the last."""

    messages: tuple[StoredMessage, ...]
    follows: tuple[datetime, UUID] | None


#: Where an application stands among a sender's own, newest first: when its case began, and its id.
_Position = tuple[datetime, UUID]
#: Applications that programs of before took in, and that one request looks through for a reference: no index knows it.
_LOOKED_THROUGH = 5_000
#: … and how many of them at once.
_AT_ONCE = 250


class StatusDesk:
    """Answers senders about their own applications."""

    def __init__(
        self,
        *,
        store: Store,
        evidences: Evidences,
        clock: Callable[[], datetime],
        silent: timedelta = timedelta(days=7),
        services: Callable[[], ServiceCatalogue] | None = None,
    ) -> None:
        """``silent``: how long a delivery may go without an acknowledgement before its sender is told; zero: never.

        ``services`` returns the services of the moment, by whose deadlines senders are told.
        """
        self._silent = silent
        self._services = services
        self._store = store
        self._evidences = evidences
        self._clock = clock
        self._resending = Resending(store)

    def progress(self, submission_id: UUID, *, caller: Caller) -> Progress:
        """Return state and history.

        Raises:
            NotFound: no such submission, or another sender's.
        """
        message = self._own(submission_id, caller)
        view = self._store.deliveries.of(submission_id)
        events = self._store.event_log.events(message.case_id, subject_id=submission_id, offset=0, limit=500).items
        beside = [_attempt_step(attempt) for attempt in _attempts(view)]
        beside += [_callback_step(each) for each in self._lost_callbacks(message)]
        beside += self._around(message)
        silent_since = self._silent_since(message, view)
        if silent_since is not None:
            beside.append(_silent_step(silent_since, silent_since + self._silent))
        return Progress(
            submission_id=message.id,
            case_id=message.case_id,
            destination_id=message.destination_id,
            state=message.state,
            delivery=view.state if view is not None else "queued",
            accepted_at=message.submitted_at or message.created_at,
            history=tuple(history([(event, _event_step(event)) for event in events], beside)),
            external_reference=reference_in(message.receipt),
            not_acknowledged_since=silent_since,
            ai_steps=sum(event.kind is EventKind.AI_STEP for event in events),
            forwarded_to=_last_said(events, EventKind.FORWARDED_TO),
            forwarded_from=_last_said(events, EventKind.FORWARDED_FROM),
            deadlines=self._deadlines(message, _last_said(events, EventKind.FORWARDED_FROM)),
        )

    def _deadlines(
        self, message: StoredMessage, came: Mapping[str, Any] | None
    ) -> tuple[tuple[DeadlineRule, date], ...]:
        """Return what the service says, with its last day: from the signed time of receipt, of the first case of a chain."""
        service = None if self._services is None else self._services().find(message.service.identifier)
        if service is None or not service.deadlines or message.submitted_at is None:
            return ()
        received = message.submitted_at if came is None else datetime.fromisoformat(str(came["receivedAt"]))
        day = legal_day(received)
        return tuple((rule, rule.last_day(day)) for rule in service.deadlines)

    def _silent_since(self, message: StoredMessage, view: DeliveryView | None) -> datetime | None:
        """Return since when the authority's system has said nothing of what it got, where that is too long."""
        arrived = None if view is None or view.state is not DeliveryState.DELIVERED else view.finished_at
        open_ = message.state in (State.SUBMITTED, State.FORWARDED)
        if arrived is None or not open_ or not self._silent or self._clock() - arrived < self._silent:
            return None
        return arrived

    def sent(self, wanted: SentFilter, *, caller: Caller, before: _Position | None, limit: int) -> SentPage:
        """Return what the caller submitted by either door, and nobody else's, ``limit`` (at most 250) of them.

        Of what programs of before took in, a bounded number is looked through for a reference: the page may hold fewer, even
        none, and yet be followed.
        """
        sender = caller.client_id
        read = self._store.submissions.sent(sender, wanted, before=before, limit=limit + 1)
        end = None
        if wanted.reference is not None:
            untold, end = self._look_through(sender, wanted, before, limit + 1)
            read = sorted([*read, *untold], key=_position, reverse=True)
        found = [each for each in read if end is None or _position(each) >= end]
        messages = tuple(message for _, message in found[:limit])
        return SentPage(messages=messages, follows=_position(found[limit - 1]) if len(found) > limit else end)

    def _look_through(
        self, sender: str, wanted: SentFilter, before: _Position | None, limit: int
    ) -> tuple[list[tuple[datetime, StoredMessage]], _Position | None]:
        """Return whose receipts say the wanted reference, and up to which one was looked; None: up to the last."""
        found: list[tuple[datetime, StoredMessage]] = []
        for _ in range(_LOOKED_THROUGH // _AT_ONCE):
            read = self._store.submissions.untold(sender, wanted, before=before, limit=_AT_ONCE)
            for each in read:
                before = _position(each)
                if reference_in(each[1].receipt) == wanted.reference:
                    found.append(each)
                if len(found) == limit:
                    return found, before
            if len(read) < _AT_ONCE:
                return found, None
        return found, before

    def receipt(self, submission_id: UUID, *, caller: Caller) -> str:
        """Return the signed receipt of an application, made now where it came by the sealed door and nobody needed one yet.

        Raises:
            NotFound: no such submission, another sender's, or one that is not complete, or whose contents are deleted.
            Unavailable: its log and its contents contradict each other.
        """
        message = self._own(submission_id, caller)
        if message.receipt is not None:
            return message.receipt
        submission, destination = message.submission(), self._store.parties.destination(message.destination_id)
        if submission is None or destination is None:
            raise not_found("submission-not-found")
        return self._evidences.receipt(submission, destination=destination.name, now=self._clock())

    def call_back(self, submission_id: UUID, *, last: int, caller: Caller) -> int:
        """Have the ``last`` callbacks to the sender about its application sent again; return how many there were.

        Raises:
            NotFound: no such submission, or another sender's.
        """
        message, sender = self._own(submission_id, caller), caller.client_id
        return self._resending.again(message, party=sender, last=last, actor=f"client:{sender}", now=self._clock())

    def _around(self, message: StoredMessage) -> list[Beside[HistoryStep]]:
        """Return what else happened in the case and concerns a submission: replies to its sender, and messages about it."""
        sent, found = self._store.submissions, []
        replies = sent.messages(
            Subject.REPLY, case_id=message.case_id, addressee=message.sender, complete=True, limit=_MOST_IN_CASE
        )
        found += [_step_at(each, "submit-reply", _REPLIED) for each in replies.items]
        own = sent.messages(
            Subject.SUBMISSION, case_id=message.case_id, sender=message.sender, complete=True, limit=_MOST_IN_CASE
        )
        for each in own.items:
            said = in_case_of(each.receipt) or {}
            text = _ABOUT_IT.get(said.get("kind", ""))
            if text is not None and said.get("about") == str(message.id):
                found.append(_step_at(each, said["kind"], text))
        return found

    def _lost_callbacks(self, message: StoredMessage) -> list[CallbackView]:
        """Return what was to tell the sender of this case and was given up."""
        callbacks = self._store.callbacks.of_case(message.case_id)
        return [
            each for each in callbacks if each.callback.party == message.sender and each.state is DeliveryState.DEAD
        ]

    def _own(self, submission_id: UUID, caller: Caller) -> StoredMessage:
        message = self._store.submissions.message(submission_id, Subject.SUBMISSION)
        if message is None or message.sender != caller.client_id:
            raise not_found("submission-not-found")
        return message


def _position(listed: tuple[datetime, StoredMessage]) -> _Position:
    return listed[0], listed[1].id


def _attempts(view: DeliveryView | None) -> tuple[Attempt, ...]:
    return view.attempts if view is not None else ()


def _last_said(events: Sequence[Event], kind: EventKind) -> Mapping[str, Any] | None:
    return next((event.payload for event in reversed(events) if event.kind is kind), None)


def _event_step(event: Event) -> HistoryStep:
    if event.kind is EventKind.AI_STEP:
        return _ai_step(event)
    text = _RECEIVER_LOST_KEY if _lost_its_key(event) else _EVENT_TEXTS[event.kind]
    if event.kind in {EventKind.FORWARDED_TO, EventKind.FORWARDED_FROM} and "name" in event.payload:
        text = Text(f"{text.de}: {event.payload['name']}", f"{text.en}: {event.payload['name']}")
    return HistoryStep(at=event.issued_at, step=f"{event.kind.value}-submission", text=text)


def _ai_step(event: Event) -> HistoryStep:
    step = AiStep.read(event.payload)
    decided = _AI_DECIDED[step.decided]
    text = Text(
        f"KI-Schritt: {step.purpose} ({step.system} {step.version}); {decided.de}",
        f"AI step: {step.purpose} ({step.system} {step.version}); {decided.en}",
    )
    return HistoryStep(at=event.issued_at, step=EventKind.AI_STEP.value, text=text)


def _lost_its_key(event: Event) -> bool:
    return event.by_hub and event.kind is EventKind.REJECT and event.payload.get("problems") == [RECEIVER_LOST_KEY]


def _attempt_step(attempt: Attempt) -> Beside[HistoryStep]:
    step = HistoryStep(
        at=attempt.ended_at, step=f"attempt-{attempt.outcome.value}", text=_attempt_text(attempt), note=attempt.note
    )
    return Beside(at=step.at, step=step, attempt=True)


def _attempt_text(attempt: Attempt) -> Text:
    """Say what came of an attempt, and of why it failed as much as a sender may know."""
    text = _OUTCOME_TEXTS[attempt.outcome]
    why = None if attempt.outcome in _ARRIVED else reason_for_senders(attempt.note)
    return text if why is None else Text(f"{text.de} ({why.de})", f"{text.en} ({why.en})")


def _step_at(message: StoredMessage, step: str, text: Text) -> Beside[HistoryStep]:
    at = message.submitted_at or message.created_at
    return Beside(at=at, step=HistoryStep(at=at, step=step, text=text))


def _silent_step(arrived: datetime, at: datetime) -> Beside[HistoryStep]:
    day = legal_day(arrived)
    text = Text(
        f"Zugestellt, aber vom Fachverfahren seit dem {day:%d.%m.%Y} nicht bestätigt",
        f"Delivered, but not acknowledged by the specialist system since {day.isoformat()}",
    )
    return Beside(at=at, step=HistoryStep(at=at, step="not-acknowledged", text=text))


def _callback_step(lost: CallbackView) -> Beside[HistoryStep]:
    step = HistoryStep(
        at=lost.finished_at or lost.callback.created_at, step="callback-unreachable", text=_CALLBACK_LOST
    )
    return Beside(at=step.at, step=step)
