"""What clerks do: take a case, accept, reject, write back, hand on, take everything along into their own records."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from starlette.responses import Response

from hub.connector.casebook import Deed
from hub.connector.clerk.absences import ClerkAbsence
from hub.connector.clerk.export import archive_of
from hub.connector.clerk.reading import saved, show_absences, show_case
from hub.connector.clerk.visit import ClerkForm, ClerkVisit
from hub.connector.desk import WantedForward, WantedReply
from hub.connector.journal import Entry
from hub.connector.refusals import no_such_case
from hub.errors import Conflict, Invalid, Malformed, Refused, Text, TooLarge, Unavailable
from hub.model import LONGEST_REPLY
from hub.web.responses import status_of

#: Characters that the form of a text may send; what is too long for a reply is said in its own words.
_LONGEST_TEXT = 2 * LONGEST_REPLY


def work(visit: ClerkVisit) -> Response:
    """Take a case, take it over from a colleague, or release it."""
    case_id, deed = visit.id("case"), visit.form.text("do")
    book = visit.desk.book
    if deed == "release":
        book.release(case_id, visit.who, visit.now)
        return visit.to(f"/cases/{case_id}", note="released")
    if deed not in {"take", "take-over"}:
        raise Malformed(Text("Das geht hier nicht.", "That cannot be done here."))
    try:
        book.take(case_id, visit.who, visit.now, from_colleague=deed == "take-over")
    except Conflict as error:
        return show_case(visit, case_id, error=error, status=status_of(error))
    return visit.to(f"/cases/{case_id}", note="taken")


def accept(visit: ClerkVisit) -> Response:
    """Accept a submission."""
    entry = visit.desk.submission(visit.id("submission"))
    try:
        visit.desk.accept(entry.submission_id, who=visit.who)
    except Refused as error:
        return show_case(visit, entry.case_id, error=error, status=status_of(error))
    return visit.to(f"/cases/{entry.case_id}", note="accepted")


def reject(visit: ClerkVisit) -> Response:
    """Reject a submission for a reason of the list, with a text for the sender where there is a way for it."""
    entry = visit.desk.submission(visit.id("submission"))
    text, reasons = visit.form.text("text", longest=_LONGEST_TEXT), visit.form.all("reason")
    try:
        visit.desk.reject(entry.submission_id, reasons, who=visit.who, text=text)
    except Refused as error:
        return show_case(
            visit, entry.case_id, error=error, status=status_of(error), rejection=text, reasons=frozenset(reasons)
        )
    return visit.to(f"/cases/{entry.case_id}", note="rejected")


def write(visit: ClerkVisit) -> Response:
    """Write back: a question, a notice, a decision; twice the same form is one reply."""
    case_id, form = visit.id("case"), visit.form
    typed = {
        "text": form.text("text", longest=_LONGEST_TEXT),
        "kind": form.text("kind"),
        "deadline": form.text("deadline"),
    }
    try:
        about = _in_case(visit, case_id)
        visit.desk.reply(
            WantedReply(
                request_id=form.id("once"),
                submission_id=about.submission_id,
                kind=typed["kind"],
                text=typed["text"],
                deadline=form.day("deadline"),
                files=form.files,
            ),
            who=visit.who,
        )
    except (Invalid, Conflict, TooLarge) as error:
        return show_case(visit, case_id, error=error, status=status_of(error), **typed)
    return visit.to(f"/cases/{case_id}", note="written")


def note_ai_step(visit: ClerkVisit) -> Response:
    """Note that an AI system took part; twice the same form is one step."""
    case_id, form = visit.id("case"), visit.form
    typed = {name: form.text(name).strip() for name in ("system", "version", "purpose", "output", "decided")}
    try:
        about = _in_case(visit, case_id)
        visit.desk.ai_step(about.submission_id, form.id("once"), typed, who=visit.who)
    except (Invalid, Conflict) as error:
        return show_case(visit, case_id, error=error, status=status_of(error), **typed)
    return visit.to(f"/cases/{case_id}", note="ai-step")


def forward(visit: ClerkVisit) -> Response:
    """Hand a case on: ask the hub whom it would go to, then have it go; twice the same form is one hand-on."""
    case_id, form = visit.id("case"), visit.form
    typed: dict[str, Any] = {
        "service": form.text("service"),
        "ars": form.text("ars").replace(" ", ""),
        "why": form.text("why"),
        "handing": form.text("handing", longest=_LONGEST_TEXT),
    }
    try:
        about = _in_case(visit, case_id)
        wish = WantedForward(
            request_id=form.id("once"),
            submission_id=about.submission_id,
            service=typed["service"],
            area=typed["ars"],
            reason=typed["why"],
            text=typed["handing"],
        )
        # Looked up each time: who is responsible is the hub's to say, not the form's.
        found = visit.desk.next_authority(wish)
        if form.text("do") == "check":
            return show_case(visit, case_id, found=found, wish=wish, **typed)
        visit.desk.forward(wish, who=visit.who)
    except (Refused, Unavailable) as error:
        return show_case(visit, case_id, error=error, status=status_of(error), **typed)
    return visit.to(f"/cases/{case_id}", note="handed-on")


def agree(visit: ClerkVisit) -> Response:
    """Agree to a hand-on that a colleague proposed, or take a proposal back."""
    case_id, request_id = visit.id("case"), visit.form.id("forward")
    wish = visit.desk.forwards.find(request_id)
    if wish is None or wish.case_id != case_id:
        raise no_such_case()
    deed = visit.form.text("do")
    if deed not in {"approve", "withdraw"}:
        raise Malformed(Text("Das geht hier nicht.", "That cannot be done here."))
    act = visit.desk.approve_forward if deed == "approve" else visit.desk.withdraw_forward
    try:
        act(request_id, who=visit.who)
    except Refused as error:
        return show_case(visit, case_id, error=error, status=status_of(error))
    return visit.to(f"/cases/{case_id}", note="handed-on" if deed == "approve" else "not-handed-on")


def say_absent(visit: ClerkVisit) -> Response:
    """Enter an absence, one's own or a colleague's."""
    form = visit.form
    typed = {name: form.text(name) for name in ("name", "deputy", "from", "until")}
    try:
        absence = ClerkAbsence(
            name=typed["name"],
            deputy=typed["deputy"],
            first_day=_day(form, "from"),
            last_day=_day(form, "until"),
            said_by=visit.who,
        )
        visit.tools.absences.enter(absence, visit.now)
    except Invalid as error:
        return show_absences(visit, error=error, **typed)
    return visit.to("/absences", note="absent")


def _day(form: ClerkForm, name: str) -> date:
    said = form.day(name)
    if said is None:
        raise Invalid(
            Text("Nennen Sie den ersten und den letzten Tag.", "Name the first and the last day."), field=name
        )
    return said


def say_back(visit: ClerkVisit) -> Response:
    """End an absence."""
    visit.tools.absences.end(visit.form.text("name"))
    return visit.to("/absences", note="back")


def _in_case(visit: ClerkVisit, case_id: UUID) -> Entry:
    """Return the submission that a reply is about; ``Invalid`` where it is of another case."""
    about = visit.desk.submission(visit.form.id("about"))
    if about.case_id != case_id:
        raise Invalid(
            Text("Die Einreichung gehört zu einem anderen Vorgang.", "The submission belongs to another case."),
            field="about",
        )
    return about


def export(visit: ClerkVisit) -> Response:
    """Hand out all of a case as an archive for a document management system."""
    found = visit.desk.book.find(visit.id("case"))
    visit.desk.book.note(found.case_id, Deed(at=visit.now, who=visit.who, what="exported", about=""))
    return saved(archive_of(visit.desk, found, now=visit.now), f"vorgang-{found.case_id}.zip")
