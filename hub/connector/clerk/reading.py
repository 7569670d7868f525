"""What clerks read: the list, a case with all that came and went, files, and a page for print.

What a stranger wrote is shown as text, or in a frame that may do nothing (a sandbox without scripts, forms or an origin). Files
are downloaded; only images are shown, and by their own kind alone. PDFs are downloaded too: browsers run their viewers in no
sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

from starlette.responses import Response, StreamingResponse

from hub.connector.casebook import (
    CaseDecision,
    CaseFile,
    CaseQuery,
    CaseStage,
    Deed,
    OutgoingReply,
    ReplyState,
)
from hub.connector.clerk.visit import ROWS, ClerkVisit
from hub.connector.desk import REASONS, REASONS_BY_NAME, complaints_of
from hub.connector.forwards import ForwardState, HandOn
from hub.connector.handover import in_case
from hub.connector.journal import Entry, JournalState
from hub.connector.opening import DecryptedAttachment, OpenedSubmission
from hub.connector.refusals import forward_text, no_such_case
from hub.connector.replies import WrittenReply
from hub.connector.scanning import shown
from hub.crypto import claims_of
from hub.errors import HubError, Invalid, NotFound, Text
from hub.forms.readable import STYLE_HASH
from hub.model import FORWARD_REASONS, FORWARD_REASONS_BY_NAME, NOT_FREED, REPLY_KINDS, REPLY_KINDS_BY_NAME

_ID_PART = re.compile(r"[0-9A-Fa-f-]{4,36}")
#: Images that browsers show without doing anything else; an SVG is a document and could act.
_IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
_SANDBOX = "sandbox; default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
_FRAMED = {"x-frame-options": "SAMEORIGIN"}
#: What a later message is called.
_MESSAGES = {
    "application": Text("Weiterer Antrag", "Further application"),
    "correction": Text("Berichtigung", "Correction"),
    "withdrawal": Text("Rücknahme", "Withdrawal"),
    "answer": Text("Antwort", "Answer"),
}
_STAGES = {
    CaseStage.NEW: (Text("neu", "new"), "info"),
    CaseStage.OPEN: (Text("in Arbeit", "under way"), "warning"),
    CaseStage.CLOSED: (Text("abgeschlossen", "closed"), "success"),
}
_DEEDS = {
    "taken": Text("hat den Vorgang übernommen", "took the case"),
    "released": Text("hat den Vorgang freigegeben", "released the case"),
    "accepted": Text("hat angenommen", "accepted"),
    "rejected": Text("hat abgelehnt", "rejected"),
    "exported": Text("hat den Vorgang exportiert", "exported the case"),
    "forward-proposed": Text("hat vorgeschlagen, den Vorgang abzugeben", "proposed to hand the case on"),
    "forward-approved": Text("hat der Abgabe zugestimmt", "agreed to the hand-on"),
    "forward-withdrawn": Text("hat die Abgabe zurückgenommen", "withdrew the hand-on"),
    "forward-wanted": Text("gibt den Vorgang ab", "hands the case on"),
    "forwarded": Text("hat den Vorgang abgegeben", "handed the case on"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ReceivedView:
    """One submission as it is shown; ``trouble`` says why its contents are not."""

    entry: Entry
    title: Text
    text: str = field(repr=False)
    about: str
    files: Sequence[DecryptedAttachment]
    readable: bool
    complaints: Sequence[str]
    decision: CaseDecision | None
    reasons: Sequence[Text]
    trouble: Text | None
    scan: tuple[str, Text] | None
    #: Whose clock says when it was received, where the hub's receipt lies here.
    clock: Text | None

    @property
    def waits(self) -> bool:
        """Whether somebody has to decide on it."""
        return self.entry.state is JournalState.WAITING

    @property
    def pending(self) -> bool:
        """Whether the hub is yet to hear what was decided."""
        return self.entry.decision is not None and self.entry.state in {JournalState.OPENED, JournalState.HANDED}

    @property
    def overruled(self) -> bool:
        """Whether the hub had closed the case before it heard of the decision."""
        return self.entry.state is JournalState.OVERRULED


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenView:
    """One reply as it is shown; ``content`` is None where it does not lie here any more."""

    reply: OutgoingReply
    title: Text
    content: WrittenReply | None

    @property
    def pending(self) -> bool:
        """Whether the hub is yet to have it."""
        return self.reply.state in {ReplyState.WRITTEN, ReplyState.ANNOUNCED}

    @property
    def refused(self) -> bool:
        """Whether the hub will not have it."""
        return self.reply.state is ReplyState.REFUSED


@dataclass(frozen=True, kw_only=True, slots=True)
class HandOnView:
    """One hand-on as it is shown; ``mine``: whoever looks proposed it. ``trouble`` says why it did not go."""

    wish: HandOn
    why: Text
    stage: tuple[Text, str]
    mine: bool
    trouble: Text | None

    @classmethod
    def of(cls, visit: ClerkVisit, wish: HandOn) -> HandOnView:
        """Return what a clerk sees of it."""
        refused = wish.state is ForwardState.REFUSED
        return cls(
            wish=wish,
            why=_why(wish.reason),
            stage=_HANDINGS[wish.state],
            mine=wish.author == visit.who,
            trouble=forward_text(wish.note) if refused else None,
        )


_HOLDING = frozenset({ForwardState.PROPOSED, ForwardState.WANTED, ForwardState.BEGUN, ForwardState.GONE})
_HANDINGS = {
    ForwardState.PROPOSED: (Text("wartet auf Zustimmung", "waits for a colleague"), "warning"),
    ForwardState.WANTED: (Text("wird abgegeben", "being handed on"), "warning"),
    ForwardState.BEGUN: (Text("wird abgegeben", "being handed on"), "warning"),
    ForwardState.GONE: (Text("abgegeben", "handed on"), "success"),
    ForwardState.REFUSED: (Text("nicht abgegeben", "not handed on"), "danger"),
    ForwardState.WITHDRAWN: (Text("zurückgenommen", "withdrawn"), "info"),
}


def _why(reason: str) -> Text:
    found = FORWARD_REASONS_BY_NAME.get(reason)
    return Text(reason, reason) if found is None else found.title


def cases(visit: ClerkVisit) -> Response:
    """List cases."""
    text, stage = visit.query.text("q"), visit.word("stage")
    wrong = bool(text) and not _ID_PART.fullmatch(text)
    query = _query(visit, stage, "" if wrong else text.lower())
    rows, total = visit.desk.book.cases(query, offset=visit.offset(), limit=ROWS)
    return visit.page(
        "cases.html",
        status=422 if wrong else 200,
        wrong=Text("Mindestens vier Zeichen einer Kennung.", "At least four characters of an id.") if wrong else None,
        rows=rows,
        total=total,
        limit=ROWS,
        typed=text,
        query=query,
        whose=visit.word("whose"),
        stages=_STAGES,
        services=visit.desk.book.services(),
        today=visit.now.date(),
        deputised=visit.tools.absences.deputised(visit.who, visit.now.date()),
        away={each.name: each for each in visit.tools.absences.all(visit.now.date()) if each.holds(visit.now.date())},
        names=visit.tools.accounts.names(),
    )


def _query(visit: ClerkVisit, stage: str, text: str) -> CaseQuery:
    return CaseQuery(
        stage=CaseStage(stage) if stage in set(CaseStage) else None,
        service=visit.query.text("service"),
        text=text,
        workers=_workers(visit),
    )


def _workers(visit: ClerkVisit) -> tuple[str, ...] | None:
    """Return the names whose cases are asked for; None: everybody's, ``-``: nobody's."""
    if visit.word("whose") == "deputised":
        return tuple(each.name for each in visit.tools.absences.deputised(visit.who, visit.now.date()))
    return {"mine": (visit.who,), "nobody": ("-",)}.get(visit.word("whose"))


def absences(visit: ClerkVisit) -> Response:
    """Show who is away and who stands in."""
    return show_absences(visit)


def show_absences(visit: ClerkVisit, *, error: HubError | None = None, **typed: Any) -> Response:
    """Show absences, with an error above them and what was ``typed`` where something was refused."""
    today = visit.now.date()
    return visit.page(
        "absences.html",
        status=422 if error is not None else 200,
        error=error,
        typed=typed,
        today=today,
        absences=visit.tools.absences.all(today),
        names=visit.tools.accounts.names(),
    )


def case(visit: ClerkVisit) -> Response:
    """Show a case."""
    return show_case(visit, visit.id("case"))


def show_case(
    visit: ClerkVisit, case_id: UUID, *, error: HubError | None = None, status: int = 200, **typed: Any
) -> Response:
    """Show a case, with an error above it and what was ``typed`` in its forms where something was refused."""
    found = visit.desk.book.find(case_id)
    return visit.page(
        "case.html",
        status=status,
        error=error,
        typed=typed,
        today=visit.now.date(),
        tomorrow=_tomorrow(visit),
        **case_values(visit, found),
    )


def case_values(visit: ClerkVisit, found: CaseFile) -> dict[str, Any]:
    """Return what pages of a case are drawn of."""
    book = visit.desk.book
    received = [_received(visit, entry) for entry in book.submissions(found.case_id)]
    if not received:
        raise no_such_case()
    written = [_written(visit, reply) for reply in book.replies(found.case_id)]
    waits = any(each.waits for each in received)
    stage = CaseStage.NEW if waits else CaseStage.CLOSED if found.closed_at is not None else CaseStage.OPEN
    handings, origin = visit.desk.forwards.of_case(found.case_id), visit.desk.forwards.origin(found.case_id)
    steps = [*((each.entry.seen_at, each) for each in received), *((each.reply.at, each) for each in written)]
    return {
        "case": found,
        "first": received[0],
        "steps": [each for _, each in sorted(steps, key=lambda step: step[0])],
        "latest": received[-1].entry.submission_id,
        "stage": _STAGES[stage],
        "colleague": found.worker if found.worker not in {None, visit.who} else None,
        "mine": found.worker == visit.who,
        "away": visit.tools.absences.of(found.worker, visit.now.date()),
        "can_reply": visit.desk.can_reply(found) and found.closed_at is None,
        "has_channel": visit.desk.can_reply(found),
        "reasons": REASONS,
        "kinds": [each for each in REPLY_KINDS if not each.follows],
        "case_deadlines": visit.desk.deadlines.of_case(found.case_id),
        "origin": None if origin is None else (origin, _why(origin.reason)),
        "handings": [HandOnView.of(visit, each) for each in handings],
        "forward_reasons": FORWARD_REASONS,
        "onward": visit.desk.deadlines.onward(found.case_id),
        "not_freed": NOT_FREED,
        "can_forward": found.closed_at is None and not any(each.state in _HOLDING for each in handings),
        "deeds": [(deed, _deed(deed)) for deed in book.deeds(found.case_id)],
        "images": _IMAGES,
        "ai_steps": visit.desk.ai_steps(found.case_id),
        "ai_outputs": _AI_OUTPUTS,
        "ai_decided": _AI_DECIDED,
        "once": uuid4,
    }


#: What a step of an AI system made, and who decided by it, in words.
_AI_OUTPUTS = {
    "text": Text("Text", "text"),
    "extraction": Text("ausgelesene Angaben", "extracted data"),
    "classification": Text("Einordnung", "classification"),
    "translation": Text("Übersetzung", "translation"),
    "recommendation": Text("Empfehlung", "recommendation"),
    "decision": Text("Entscheidung", "decision"),
    "other": Text("anderes", "other"),
}
_AI_DECIDED = {
    "person": Text("ein Mensch hat entschieden", "a person decided"),
    "nobody": Text("damit wurde nichts entschieden", "nothing was decided by it"),
    "system": Text("das System hat entschieden", "the system decided"),
}


def _tomorrow(visit: ClerkVisit) -> date:
    return date.fromordinal(visit.now.date().toordinal() + 1)


def _received(visit: ClerkVisit, entry: Entry) -> ReceivedView:
    opened, trouble = _lying(visit, entry)
    said = None if opened is None else in_case(opened)
    decision = None if entry.decision is None else CaseDecision.loads(entry.decision)
    return ReceivedView(
        entry=entry,
        title=Text("Antrag", "Application") if said is None else _MESSAGES.get(said["kind"], _MESSAGES["application"]),
        text="" if said is None else said["text"],
        about="" if said is None else said["about"],
        files=() if opened is None else opened.attachments,
        readable=opened is not None and opened.data is not None,
        complaints=complaints_of(entry),
        decision=decision,
        reasons=[] if decision is None else [REASONS_BY_NAME[each].title for each in decision.reasons],
        trouble=trouble,
        scan=shown(entry.scan),
        clock=None if opened is None else _clock_of(opened),
    )


def _lying(visit: ClerkVisit, entry: Entry) -> tuple[OpenedSubmission | None, Text | None]:
    """Return what came, or why it cannot be opened; neither before it was judged."""
    opened: OpenedSubmission | None = None
    trouble: Text | None = None
    try:
        if entry.verdict is not None:
            opened = visit.desk.open(entry)
    except HubError as error:
        trouble = error.detail
    return opened, trouble


def _clock_of(opened: OpenedSubmission) -> Text | None:
    """Say whose clock the time of receipt is by, as the receipt says that proved the submission; None without one."""
    evidence = opened.envelope.evidence
    if evidence is None:
        return None
    clock = claims_of(evidence.receipt).get("clock")
    said = clock if isinstance(clock, dict) else {}
    words = _CLOCKS.get(str(said.get("state")), _CLOCKS["not-known"])
    error = said.get("maxErrorMs")
    if not isinstance(error, int | float):
        return words
    return Text(f"{words.de}, auf höchstens {error:g} ms genau", f"{words.en}, to {error:g} ms at most")


_CLOCKS = {
    "synchronised": Text("Uhr des Hubs, nachgeführt", "the hub's clock, synchronised"),
    "unsynchronised": Text("Uhr des Hubs, nicht nachgeführt", "the hub's clock, not synchronised"),
    "not-known": Text("Uhr des Hubs, Stand nicht bekannt", "the hub's clock, state not known"),
}


def _written(visit: ClerkVisit, reply: OutgoingReply) -> WrittenView:
    return WrittenView(reply=reply, title=REPLY_KINDS_BY_NAME[reply.kind].title, content=visit.desk.written(reply))


def _deed(deed: Deed) -> Text:
    if deed.what.startswith("wrote:"):
        title = REPLY_KINDS_BY_NAME[deed.what.removeprefix("wrote:")].title
        return Text(f"hat geschrieben: {title.de}", f"wrote: {title.en}")
    return _DEEDS.get(deed.what, Text(deed.what, deed.what))


def print_view(visit: ClerkVisit) -> Response:
    """Show all of a case on one plain page."""
    return visit.page("print.html", **case_values(visit, visit.desk.book.find(visit.id("case"))))


def read(visit: ClerkVisit) -> Response:
    """Show a submission as people read it, in a frame that may do nothing; without its schema, as the text that it is."""
    opened = _opened(visit)
    policy = f"{_SANDBOX}; style-src '{STYLE_HASH}'"
    page = visit.desk.readable(opened)
    if page is not None:
        return _framed(page, "text/html; charset=utf-8", policy)
    return _framed(opened.data or b"", "text/plain; charset=utf-8", policy)


def _framed(content: bytes, media_type: str, policy: str) -> Response:
    return Response(content, media_type=media_type, headers={**_FRAMED, "content-security-policy": policy})


def look_at(visit: ClerkVisit) -> Response:
    """Show an image in a sandbox; anything else is not shown."""
    file = _file(visit)
    if file.mime_type.lower() not in _IMAGES:
        raise Invalid(
            Text("Gezeigt werden nur Bilder. Laden Sie die Datei herunter.", "Only images are shown. Download it.")
        )
    headers = {**_FRAMED, "content-security-policy": _SANDBOX}
    return StreamingResponse(file.chunks(), media_type=file.mime_type.lower(), headers=headers)


def download(visit: ClerkVisit) -> Response:
    """Hand out a file that came in, to be saved: never to be shown, whatever its kind."""
    file = _file(visit)
    return saved(file.chunks(), file.file_name)


def download_written(visit: ClerkVisit) -> Response:
    """Hand out a file that was sent with a reply."""
    reply = visit.desk.book.reply(visit.id("reply"))
    content = None if reply is None else visit.desk.written(reply)
    wanted = visit.id("file")
    found = [] if content is None else [each for each in content.files if each.attachment_id == wanted]
    if reply is None or not found:
        raise NotFound(_NO_FILE)
    return saved(visit.desk.file_of(reply, wanted), found[0].name)


def saved(chunks: Iterable[bytes], name: str) -> Response:
    """Return bytes as a file to be saved; ``name`` is safe."""
    headers = {
        # RFC 5987's form holds every name; nothing in it can end the line or the quotes.
        "content-disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "content-security-policy": "sandbox; default-src 'none'",
    }
    return StreamingResponse(chunks, media_type="application/octet-stream", headers=headers)


def _opened(visit: ClerkVisit) -> OpenedSubmission:
    entry = visit.desk.submission(visit.id("submission"))
    visit.desk.book.find(entry.case_id)
    return visit.desk.open(entry)


def _file(visit: ClerkVisit) -> DecryptedAttachment:
    wanted = visit.id("file")
    found = [each for each in _opened(visit).attachments if each.attachment_id == wanted]
    if not found:
        raise NotFound(_NO_FILE)
    return found[0]


_NO_FILE = Text("Diese Datei gibt es nicht.", "There is no such file.")
