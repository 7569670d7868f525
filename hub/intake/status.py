"""What a sender may know of an application: its state, its history in plain words, its receipt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hub.errors import Text, not_found
from hub.identity import Caller
from hub.model import Beside, Event, EventKind, OutcomeKind, State, Subject, history, reason_for_senders
from hub.proof.evidence import Evidences
from hub.store import Attempt, CallbackView, DeliveryState, DeliveryView, Store, StoredMessage

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
}
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


class StatusDesk:
    """Answers senders about their own applications."""

    def __init__(self, *, store: Store, evidences: Evidences, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._evidences = evidences
        self._clock = clock

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
        return Progress(
            submission_id=message.id,
            case_id=message.case_id,
            destination_id=message.destination_id,
            state=message.state,
            delivery=view.state if view is not None else "queued",
            accepted_at=message.submitted_at or message.created_at,
            history=tuple(history([(event, _event_step(event)) for event in events], beside)),
        )

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


def _attempts(view: DeliveryView | None) -> tuple[Attempt, ...]:
    return view.attempts if view is not None else ()


def _event_step(event: Event) -> HistoryStep:
    return HistoryStep(at=event.issued_at, step=f"{event.kind.value}-submission", text=_EVENT_TEXTS[event.kind])


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


def _callback_step(lost: CallbackView) -> Beside[HistoryStep]:
    step = HistoryStep(
        at=lost.finished_at or lost.callback.created_at, step="callback-unreachable", text=_CALLBACK_LOST
    )
    return Beside(at=step.at, step=step)
