"""Submissions on the pages, and what could not be delivered.

Submissions: the search, and everything that happened to one. Never a payload.

Dead letters by cause, and sending them again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.responses import Response

from hub.admin.request import ROWS, Trace, Visit
from hub.administration.dead_letters import RedrivenBy, RedriveWindow
from hub.crypto import claims_of
from hub.errors import Invalid, Malformed, SealBroken, Text, UnreadableRow
from hub.model import Beside, DeadCause, Event, State, history, reason_for_people
from hub.notifications.callbacks import MOST_RESENT, Resending
from hub.store import CallbackView, Wanted

_MAX_DAYS = 3_650


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceStep:
    """One line of a trace."""

    at: datetime
    kind: str
    what: str
    who: str
    note: str = ""


def search(visit: Visit) -> Response:
    """Find submissions."""
    days = min(visit.query.number("days"), _MAX_DAYS)
    wanted = _wanted(visit, days)
    page = visit.scope.submissions(wanted, offset=visit.offset(), limit=ROWS)
    destinations = {each.destination_id: each for each in visit.scope.destinations()}
    return visit.page(
        "submissions.html",
        page=page,
        wanted=wanted,
        days=days,
        destinations=destinations,
        states=list(State),
        rows=ROWS,
    )


def _wanted(visit: Visit, days: int) -> Wanted:
    query = visit.query
    return Wanted(
        text=query.text("q", longest=36),
        service=query.text("service", longest=200),
        area=_digits(query.text("area", longest=12)),
        destination_id=_uuid(query.text("destination", longest=36)),
        state=_state(query.text("state", longest=20)),
        since=visit.now - timedelta(days=days) if days else None,
    )


def trace(visit: Visit) -> Response:
    """Show what happened to one submission, in order."""
    found = visit.scope.trace(visit.id("id"))
    book = visit.hub.book
    table = book.version_of(found.message.table_version) if found.message.table_version else None
    return visit.page(
        "submission.html",
        trace=found,
        steps=_steps(visit, found),
        checked=_checked(visit, found),
        table=table,
        service=book.services.name(found.message.service.identifier),
        area=visit.hub.gazetteers().name(found.message.area) if found.message.area else "",
    )


def resend_callbacks(visit: Visit) -> Response:
    """Send the last callbacks about one submission again, whoever they are to."""
    message = visit.scope.trace(visit.id("id")).message
    actor, now = visit.person.name, visit.now
    resent = Resending(visit.hub.store).again(message, party=None, last=MOST_RESENT, actor=actor, now=now)
    return visit.to(f"/submissions/{message.id}", note="resent" if resent else "unsent")


def _checked(visit: Visit, found: Trace) -> Any:
    """Return what the receipt says of the check on arrival, None where there is none or it cannot be read."""
    if not found.message.receipt:
        return None
    try:
        return claims_of(found.message.receipt).get("validation")
    except SealBroken:
        visit.hub.store.note_unreadable(UnreadableRow("messages", str(found.message.id), "receipt"))
        return None


def _steps(visit: Visit, found: Trace) -> list[TraceStep]:
    beside: list[Beside[TraceStep]] = []
    for attempt in found.delivery.attempts if found.delivery is not None else ():
        said = _said(visit, attempt.note)
        note = f"{said} ({visit.say(Text('Wiederholung', 'repeat'))})" if attempt.repeat else said
        kind = f"{visit.say(Text('Versuch', 'Attempt'))} {attempt.n}"
        step = TraceStep(at=attempt.ended_at, kind=kind, what=attempt.outcome.value, who=attempt.node, note=note)
        beside.append(Beside(at=step.at, step=step, attempt=True))
    read_word = visit.say(Text("Gelesen", "Read"))
    steps = [TraceStep(at=read.at, kind=read_word, what=read.what, who=read.client) for read in found.reads]
    steps += [_callback_step(visit, each) for each in found.callbacks]
    beside += [Beside(at=step.at, step=step) for step in steps]
    return history([(event, _event_step(visit, event)) for event in found.events], beside)


def _callback_step(visit: Visit, each: CallbackView) -> TraceStep:
    return TraceStep(
        at=each.finished_at or each.callback.created_at,
        kind=visit.say(Text("Rückruf", "Callback")),
        what=each.state.value,
        who=each.callback.party,
        note=f"{each.attempts} {visit.say(Text('Versuche', 'attempts'))}; {_said(visit, each.note)}"
        if each.attempts
        else "",
    )


def _event_step(visit: Visit, event: Event) -> TraceStep:
    return TraceStep(
        at=event.issued_at,
        kind=visit.say(Text("Ereignis", "Event")),
        what=event.kind.name.lower(),
        who="Hub" if event.by_hub else event.issuer,
        note=f"#{event.seq} {event.hash[:16]}…",
    )


def _said(visit: Visit, note: str) -> str:
    return reason_for_people(note, german=visit.language == "de")


def _uuid(text: str) -> UUID | None:
    with suppress(ValueError):
        return UUID(text) if text else None
    raise Malformed(Text("Der Zustellpunkt ist keine UUID.", "The destination is no UUID."))


def _state(text: str) -> State | None:
    return State(text) if text in set(State) else None


def _digits(text: str) -> str:
    return text if text.isascii() and text.isdigit() else ""


def index(visit: Visit) -> Response:
    """List dead letters, by cause if asked."""
    cause = _cause(visit.query.text("cause", longest=20))
    page = visit.scope.dead(cause, offset=visit.offset(), limit=ROWS)
    destinations = {each.destination_id: each for each in visit.scope.destinations()}
    return visit.page(
        "dead.html",
        page=page,
        cause=cause,
        causes=visit.scope.dead_causes(),
        all_causes=list(DeadCause),
        destinations=destinations,
        reasons=visit.hub.dead_letters.reasons(page),
        rows=ROWS,
    )


def redrive(visit: Visit) -> Response:
    """Send one dead letter again, or all of a cause, of one destination or of all that the person sees."""
    form = visit.form
    one, cause = form.text("delivery", longest=36), _cause(form.text("cause", longest=20))
    if cause is not None and not one and form.text("since", longest=20):
        return _redrive_window(visit, cause)
    dead = visit.hub.dead_letters
    by = RedrivenBy(actor=visit.person.name, now=visit.now, reason=form.text("text", longest=500))
    if one:
        delivery = visit.scope.delivery(_letter_id(one))
        dead.redrive(delivery.delivery_id, scope=visit.person.scope, within={delivery.destination_id}, by=by)
    elif cause is not None:
        within = _within(visit, form.text("destination", longest=36))
        dead.redrive_all(cause, scope=visit.person.scope, within=within, by=by)
    else:
        raise Invalid(Text("Wählen Sie eine Zustellung oder eine Ursache.", "Choose a delivery or a cause."))
    return visit.to("/dead", note="redriven")


def _redrive_window(visit: Visit, cause: DeadCause) -> Response:
    """Show how many were given up in a span of time; send them again once that number is confirmed."""
    form, dead = visit.form, visit.hub.dead_letters
    since, until, destination = (form.text(name, longest=36) for name in ("since", "until", "destination"))
    wanted = RedriveWindow(cause=cause, since=_utc(since), until=_utc(until) if until else visit.now)
    within = _within(visit, destination)
    if not form.text("expected"):
        number = dead.found(wanted, scope=visit.person.scope, within=within, now=visit.now)
        kept = {"cause": cause.value, "since": since, "until": f"{wanted.until:%Y-%m-%dT%H:%M:%S}"}
        kept |= {"destination": destination, "text": form.text("text", longest=500), "expected": str(number)}
        return visit.page("dead_confirm.html", number=number, wanted=wanted, kept=kept)
    by = RedrivenBy(actor=visit.person.name, now=visit.now, reason=form.text("text", longest=500))
    dead.redrive_window(wanted, expected=form.number("expected"), scope=visit.person.scope, within=within, by=by)
    return visit.to("/dead", note="redriven")


def _utc(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError as exc:
        raise Malformed(Text("Das ist kein Zeitpunkt.", "This is no moment.")) from exc


def _within(visit: Visit, destination: str) -> set[UUID] | None:
    """Return the destinations that are meant; None is everything, for people who see everything."""
    if destination:
        return {visit.scope.destination(_letter_id(destination)).destination_id}
    return {each.destination_id for each in visit.scope.destinations()} if visit.person.is_bound else None


def _cause(text: str) -> DeadCause | None:
    return DeadCause(text) if text in set(DeadCause) else None


def _letter_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as exc:
        raise Malformed(Text("Das ist keine Kennung.", "This is no id.")) from exc
