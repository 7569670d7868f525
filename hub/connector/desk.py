"""The desk: what people and the local system may do with what came in, and what they may see of it.

Whoever acts, the same holds, in this order: what is asked for is well-formed; it is sealed on this disk where it says
something; then it is written down (:mod:`hub.connector.casebook`), in one transaction with what follows from it. Only then
does it count, and the connector's walk carries it to the hub, now or once the hub is there again.

A rejection's *reason* stands in the case's log, which the hub can read, so it is one of a list. What is said besides is a
reply, sealed for the sender. Without a key of the sender's there is no such way, and nothing is said another way.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from uuid import UUID, uuid5

import orjson

from hub.client.forwarding import Destined, ForwardRequest
from hub.connector.ai_steps import AiStepBook, WrittenStep
from hub.connector.casebook import (
    CaseDecision,
    CaseFile,
    OutgoingReply,
)
from hub.connector.deadlines import CaseDeadlines
from hub.connector.declarations import Decider
from hub.connector.forwards import ForwardState, HandOn
from hub.connector.handing_on import Casework, digest_of_wish, seal_text
from hub.connector.journal import Entry, JournalState
from hub.connector.opening import OpenedSubmission, Verdict
from hub.connector.refusals import case_is_closed, forward_refused, no_such_case
from hub.connector.replies import ReplyFile, WrittenReply, digest_of, named_safely
from hub.connector.settings import ConnectorSettings
from hub.crypto import EncryptionKey, KeyPolicy, judge_encryption_key
from hub.errors import Conflict, HubError, Invalid, KeyRefused, Refused, Text, TooLarge, Unavailable
from hub.model import FORWARD_REASONS_BY_NAME, LONGEST_REPLY, REPLY_KINDS_BY_NAME, ReplyKind, ReplyMessage

#: Files of one reply.
MOST_FILES = 20
_ARS = re.compile(r"[0-9]{2,12}")
_REASON = "urn:rathaus-hub:rejection:"


@dataclass(frozen=True, kw_only=True, slots=True)
class RejectionReason:
    """Why a submission is not taken; ``says`` stands in the case's log for the sender."""

    name: str
    title: Text
    says: str

    def as_problem(self) -> dict[str, str]:
        """Return it as it stands in a reject event (FIT-Connect, section 9.6)."""
        return {
            "type": _REASON + self.name,
            "title": self.title.en,
            "detail": self.says,
            "instance": "submission",
        }


#: What may be chosen, in this order. The list is data: whoever adds one adds both languages.
REASONS = (
    RejectionReason(
        name="not-responsible",
        title=Text("Nicht zuständig", "Not responsible"),
        says="This authority is not responsible for the application.",
    ),
    RejectionReason(
        name="wrong-service",
        title=Text("Falsche Leistung gewählt", "Wrong service chosen"),
        says="The application belongs to another service.",
    ),
    RejectionReason(
        name="incomplete",
        title=Text("Unvollständig, nicht bearbeitbar", "Incomplete, cannot be worked on"),
        says="The application is too incomplete to be worked on.",
    ),
    RejectionReason(
        name="unreadable",
        title=Text("Anlagen nicht lesbar", "Attachments cannot be read"),
        says="Attachments of the application cannot be read.",
    ),
    RejectionReason(
        name="duplicate",
        title=Text("Doppelt eingegangen", "Received twice"),
        says="The same application was received already.",
    ),
    RejectionReason(
        name="withdrawn",
        title=Text("Zurückgenommen", "Withdrawn"),
        says="The application was withdrawn.",
    ),
    RejectionReason(
        name="other",
        title=Text("Anderer Grund", "Another reason"),
        says="The authority does not take the application; it says why in a message, where it can.",
    ),
)
REASONS_BY_NAME: Mapping[str, RejectionReason] = {each.name: each for each in REASONS}


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedForward:
    """A hand-on as somebody wants it; ``area`` is an ARS, ``text`` for the next authority and the sender."""

    request_id: UUID
    submission_id: UUID
    service: str
    area: str
    reason: str
    text: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class WantedReply:
    """A reply as somebody wants it written; ``request_id`` is the author's, by which a repeat is known."""

    request_id: UUID
    submission_id: UUID
    kind: str
    text: str
    deadline: date | None = None
    files: tuple[ReplyFile, ...] = ()


class Desk:
    """What can be done. Thread-safe. ``drawn`` draws a page for people; ``wake`` has the walk look at once."""

    def __init__(
        self,
        work: Casework,
        settings: ConnectorSettings,
        *,
        steps: AiStepBook,
        deadlines: CaseDeadlines,
        drawn: Callable[[OpenedSubmission], bytes | None],
        wake: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        self._work, self._steps = work, steps
        self.journal, self.book, self.forwards, self.deadlines = work.journal, work.book, work.forwards, deadlines
        self.clock, self.largest_reply = clock, settings.largest_reply
        self._drawn, self._wake = drawn, wake
        self._people = settings.decider is Decider.CLERK
        self._two_for_forwards = settings.two_for_forwards and self._people
        hands_over = settings.handover is not None
        self._accepted_state = JournalState.OPENED if self._people and hands_over else JournalState.HANDED
        #: One reply is sealed at a time: two presses of one button would write into one folder.
        self._writing = threading.Lock()

    # ---------------------------------------------------------------------------------------------- reading

    def submission(self, submission_id: UUID) -> Entry:
        """Return what is known of a submission that somebody may act on; ``NotFound``."""
        entry = self.journal.find(submission_id)
        if entry is None:
            raise no_such_case()
        return entry

    def open(self, entry: Entry) -> OpenedSubmission:
        """Open what lies here sealed, for who reads it now; ``Unavailable`` where it does not lie here any more."""
        return self._work.reopen(entry)

    def readable(self, opened: OpenedSubmission) -> bytes | None:
        """Return the page for people of a submission, None where none can be drawn."""
        return self._drawn(opened)

    def written(self, reply: OutgoingReply) -> WrittenReply | None:
        """Return what was written, None where it does not lie here any more."""
        keys = self._work.keys.get(reply.destination_id)
        return None if keys is None else self._work.sealed.read(reply.request_id, keys.decryption)

    def file_of(self, reply: OutgoingReply, attachment_id: UUID) -> Iterator[bytes]:
        """Yield a file of a reply."""
        return self._work.sealed.file(reply.request_id, attachment_id, self._work.keys[reply.destination_id].decryption)

    def can_reply(self, case: CaseFile) -> bool:
        """Tell whether the sender named a key that replies can be sealed for."""
        return case.reply_key is not None

    # ---------------------------------------------------------------------------------------------- acting

    def accept(self, submission_id: UUID, *, who: str) -> Entry:
        """Take a submission; errors as :meth:`hub.connector.casebook.CaseBook.decide`."""
        return self._decided(submission_id, CaseDecision(accept=True, who=who, at=self.clock()))

    def reject(self, submission_id: UUID, reasons: Sequence[str], *, who: str, text: str = "") -> Entry:
        """Turn a submission down, for reasons of the list; ``text`` goes to the sender sealed.

        Raises:
            Invalid: no reason, or one that is not in the list; a text too long. Conflict: there is no way for a text; or as
            :meth:`accept`.
        """
        chosen = tuple(dict.fromkeys(reasons))
        if not chosen or any(each not in REASONS_BY_NAME for each in chosen):
            raise _no_reason()
        entry, now = self.submission(submission_id), self.clock()
        decision = CaseDecision(accept=False, who=who, at=now, reasons=chosen)
        if not text.strip():
            return self._decided(submission_id, decision)
        _require_decidable(entry)
        # Of one submission there is one rejection, however often it is said.
        request_id = uuid5(submission_id, "rejection")
        message = ReplyMessage(kind="rejection", about=submission_id, text=_text(text))
        with self._writing:
            # Sealed only where the book will take it: a decision that stands already keeps its own reply.
            reply = self._prepared(entry, request_id, message, (), who=who, now=now)
            return self._decided(submission_id, decision, with_reply=reply)

    def reply(self, wish: WantedReply, *, who: str) -> OutgoingReply:
        """Write back into a case; the same id with the same content again is the reply that there is.

        Raises:
            Invalid: an unknown kind, no text, a deadline that is past or of no use. TooLarge: too many files, or too large.
            Conflict: the case is closed, a colleague works on it, or the sender named no key.
        """
        entry, now = self.submission(wish.submission_id), self.clock()
        kind = self._kind(wish)
        known = self.book.reply(wish.request_id)
        message = ReplyMessage(
            kind=kind.name,
            about=wish.submission_id,
            text=_text(wish.text),
            # What was in time when it was written is a repeat later.
            deadline=wish.deadline if known is not None else _deadline(wish.deadline, kind, now.date()),
        )
        files = named_safely(wish.files)
        self._require_size(files)
        with self._writing:
            reply = self._prepared(entry, wish.request_id, message, files, who=who, now=now)
            written = self.book.write(reply, closes=kind.closes, works=self._people)
        self._wake()
        return written

    def ai_step(self, submission_id: UUID, request_id: UUID, said: Mapping[str, Any], *, who: str) -> WrittenStep:
        """Write down that an AI system took part; errors as :meth:`hub.connector.ai_steps.AiStepBook.write`."""
        written = self._steps.write(submission_id, request_id, said, who=who, now=self.clock())
        self._wake()
        return written

    def ai_steps(self, case_id: UUID) -> list[WrittenStep]:
        """Return the steps of AI systems that were written here in a case."""
        return self._steps.of_case(case_id)

    def next_authority(self, wish: WantedForward) -> Destined:
        """Ask the hub whom a case would go to.

        Raises:
            Invalid, Conflict: as :meth:`forward`, and what the hub's rules refuse. Unavailable: the hub cannot be asked now.
        """
        try:
            return self._work.door.check(self._request(wish, self._fit_to_forward(wish)))
        except Refused as error:
            raise forward_refused(error) from error

    def forward(self, wish: WantedForward, *, who: str) -> HandOn:
        """Hand a case on, or propose it where that takes two; the same id with the same wish again is the one that there is.

        Raises:
            NotFound: no such submission, or its contents no longer lie here.
            Invalid: an unknown reason, a text too long, no ARS.
            Conflict: the case is closed, handed on, or a colleague's.
        """
        entry = self._fit_to_forward(wish)
        if self.forwards.find(wish.request_id) is None:
            self._work.reopen(entry)
        text = _text(wish.text) if wish.text.strip() else ""
        request = self._request(wish, entry)
        now = self.clock()
        written = self.forwards.want(
            HandOn(
                request_id=wish.request_id,
                case_id=entry.case_id,
                submission_id=entry.submission_id,
                destination_id=entry.destination_id,
                service=request.service,
                area=request.ars,
                reason=request.reason,
                sealed_text=seal_text(text, self._work.keys[entry.destination_id]),
                digest=digest_of_wish(request, text),
                author=who,
                at=now,
                state=ForwardState.PROPOSED if self._two_for_forwards else ForwardState.WANTED,
            ),
            works=self._people,
        )
        self._wake()
        return written

    def approve_forward(self, request_id: UUID, *, who: str) -> HandOn:
        """Have a hand-on go that a colleague proposed; errors as :meth:`hub.connector.forwards.ForwardBook.approve`."""
        approved = self.forwards.approve(request_id, who, self.clock())
        self._wake()
        return approved

    def withdraw_forward(self, request_id: UUID, *, who: str) -> HandOn:
        """Take back what is only proposed; errors as :meth:`hub.connector.forwards.ForwardBook.withdraw`."""
        return self.forwards.withdraw(request_id, who, self.clock())

    def _fit_to_forward(self, wish: WantedForward) -> Entry:
        if wish.reason not in FORWARD_REASONS_BY_NAME:
            names = ", ".join(FORWARD_REASONS_BY_NAME)
            raise Invalid(
                Text(f"Wählen Sie einen Grund. Es gibt: {names}.", f"Choose a reason. There are: {names}."),
                field="reason",
            )
        if wish.area and not _ARS.fullmatch(wish.area):
            raise Invalid(
                Text(
                    "Nennen Sie das Gebiet mit seinem Regionalschlüssel (ARS), bei einer Gemeinde 12 Ziffern, oder keines.",
                    "Name the area by its key (ARS), of a municipality 12 digits, or none.",
                ),
                field="area",
            )
        return self.submission(wish.submission_id)

    @staticmethod
    def _request(wish: WantedForward, entry: Entry) -> ForwardRequest:
        return ForwardRequest(
            request_id=wish.request_id,
            case_id=entry.case_id,
            submission_id=entry.submission_id,
            service=wish.service.strip(),
            ars=wish.area,
            reason=wish.reason,
        )

    def _decided(self, submission_id: UUID, decision: CaseDecision, with_reply: OutgoingReply | None = None) -> Entry:
        _require_decidable(self.submission(submission_id))
        next_state = self._accepted_state if decision.accept else JournalState.HANDED
        entry = self.book.decide(
            submission_id, decision, next_state=next_state, works=self._people, with_reply=with_reply
        )
        self._wake()
        return entry

    def _prepared(  # what a reply is, in its order
        self,
        entry: Entry,
        request_id: UUID,
        message: ReplyMessage,
        files: Sequence[ReplyFile],
        *,
        who: str,
        now: datetime,
    ) -> OutgoingReply:
        """Return a reply that lies sealed on this disk; one that the book knows already is not sealed again."""
        case = self.book.find(entry.case_id)
        reply = OutgoingReply(
            request_id=request_id,
            case_id=entry.case_id,
            submission_id=entry.submission_id,
            destination_id=entry.destination_id,
            kind=message.kind,
            deadline=message.deadline,
            author=who,
            digest=digest_of(request_id, message, files),
            at=now,
        )
        if self.book.reply(request_id) is None:
            if case.closed_at is not None:
                raise case_is_closed()
            own = self._work.keys[entry.destination_id].decryption[0].sealing_half()
            self._work.sealed.write(request_id, message, files, key=sender_key(case, now), own=own)
        return reply

    def _kind(self, wish: WantedReply) -> ReplyKind:
        kind = REPLY_KINDS_BY_NAME.get(wish.kind)
        if kind is None or kind.follows:
            names = ", ".join(each.name for each in REPLY_KINDS_BY_NAME.values() if not each.follows)
            raise Invalid(
                Text(
                    f"Diese Art von Antwort gibt es nicht. Es gibt: {names}.",
                    f"No such kind of reply. There are: {names}.",
                ),
                field="kind",
            )
        return kind

    def _require_size(self, files: Sequence[ReplyFile]) -> None:
        if len(files) > MOST_FILES or sum(len(each.content) for each in files) > self.largest_reply:
            mib = self.largest_reply // (1024 * 1024)
            raise TooLarge(
                Text(
                    f"Eine Antwort hat höchstens {MOST_FILES} Dateien und zusammen {mib} MiB. Verteilen Sie sie auf mehrere.",
                    f"A reply has at most {MOST_FILES} files and {mib} MiB together. Spread them over several.",
                ),
                limit=self.largest_reply,
            )


def reply_key_of(opened: OpenedSubmission, now: datetime) -> str | None:
    """Return the key that the sender wants replies sealed for, as JSON; None where it names none that is good enough."""
    try:
        jwk = orjson.loads(opened.metadata)["replyChannel"]["fitConnect"]["encryptionPublicKey"]
        judge_encryption_key(jwk, now=now, policy=KeyPolicy(), require_x5c=False)
    except (KeyError, TypeError, AttributeError, KeyRefused):
        return None
    return orjson.dumps(jwk).decode()


def sender_key(case: CaseFile, now: datetime) -> EncryptionKey:
    """Return the key that replies in a case are sealed for; ``Conflict`` where the sender named none."""
    if case.reply_key is None:
        raise Conflict(
            Text(
                "Der Absender hat keinen Schlüssel für Antworten genannt. Erreichen Sie ihn auf anderem Weg.",
                "The sender named no key for replies. Reach it another way.",
            ),
            slug="no-reply-channel",
        )
    jwk = orjson.loads(case.reply_key)
    try:
        return judge_encryption_key(jwk, now=now, policy=KeyPolicy(), require_x5c=False)
    except KeyRefused as exc:
        raise Conflict(exc.detail, slug="no-reply-channel") from exc


def problems_of(decision: CaseDecision) -> list[dict[str, str]]:
    """Return the reasons of a rejection as they stand in its event."""
    return [REASONS_BY_NAME[each].as_problem() for each in decision.reasons if each in REASONS_BY_NAME]


def complaints_of(entry: Entry) -> Sequence[str]:
    """Return what opening a submission found, in FIT-Connect's words."""
    if entry.verdict is None:
        return ()
    return [problem.detail for problem in Verdict.loads(entry.verdict).problems]


def _require_decidable(entry: Entry) -> None:
    if entry.state is JournalState.SEEN or (entry.state is JournalState.OPENED and entry.decision is None):
        raise not_yet()


def _no_reason() -> Invalid:
    names = ", ".join(REASONS_BY_NAME)
    return Invalid(
        Text(f"Wählen Sie einen Grund. Es gibt: {names}.", f"Choose a reason. There are: {names}."), field="reasons"
    )


def not_yet() -> HubError:
    """Return what to say of a decision before the hand-over has ended."""
    return Unavailable(
        Text(
            "Die Übergabe ist noch nicht abgeschlossen. Versuchen Sie es in einigen Sekunden wieder.",
            "The hand-over has not ended yet. Try again in some seconds.",
        )
    )


def _text(text: str) -> str:
    said = text.strip().replace("\r\n", "\n")
    if not said or len(said) > LONGEST_REPLY:
        raise Invalid(
            Text(
                f"Schreiben Sie einen Text von höchstens {LONGEST_REPLY} Zeichen.",
                f"Write a text of at most {LONGEST_REPLY} characters.",
            ),
            field="text",
        )
    return said


def _deadline(deadline: date | None, kind: ReplyKind, today: date) -> date | None:
    """Return a deadline of a kind that asks for something; ``Invalid`` where it is past, or the kind has none."""
    if deadline is None:
        return None
    if not kind.asks:
        raise _no_deadline_for(kind)
    if deadline <= today:
        raise Invalid(
            Text(
                "Die Frist ist schon vorbei oder endet heute. Nennen Sie einen späteren Tag.",
                "The deadline is past or ends today. Name a later day.",
            ),
            field="deadline",
        )
    if (deadline - today).days > _LONGEST_DEADLINE:
        raise Invalid(
            Text("Die Frist liegt mehr als zwei Jahre in der Zukunft.", "The deadline is more than two years ahead."),
            field="deadline",
        )
    return deadline


def _no_deadline_for(kind: ReplyKind) -> Invalid:
    return Invalid(
        Text(f"Eine Frist passt nicht zu „{kind.title.de}“.", f"A deadline does not go with '{kind.title.en}'."),
        field="deadline",
    )


_LONGEST_DEADLINE = 730  # Days.
