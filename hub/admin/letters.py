"""Dead letters by cause, and sending them again."""

from __future__ import annotations

from uuid import UUID

from starlette.responses import Response

from hub.admin.request import ROWS, Visit
from hub.administration.dead_letters import By, DeadLetters
from hub.errors import Invalid, Malformed, Text
from hub.model.submission import DeadCause


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
        reasons=DeadLetters(store=visit.tools.store).reasons(page),
        rows=ROWS,
    )


def redrive(visit: Visit) -> Response:
    """Send one dead letter again, or all of a cause, of one destination or of all that the person sees."""
    form = visit.form
    one, cause = form.text("delivery", longest=36), _cause(form.text("cause", longest=20))
    letters = DeadLetters(store=visit.tools.store)
    by = By(actor=visit.person.name, now=visit.now, reason=form.text("text", longest=500))
    if one:
        delivery = visit.scope.delivery(_uuid(one))
        letters.redrive(delivery.delivery_id, within={delivery.destination_id}, by=by)
    elif cause is not None:
        letters.redrive_all(cause, within=_within(visit, form.text("destination", longest=36)), by=by)
    else:
        raise Invalid(Text("Wählen Sie eine Zustellung oder eine Ursache.", "Choose a delivery or a cause."))
    return visit.to("/dead", note="redriven")


def _within(visit: Visit, destination: str) -> set[UUID] | None:
    """Return the destinations that are meant; None is everything, for people who see everything."""
    if destination:
        return {visit.scope.destination(_uuid(destination)).destination_id}
    return {each.destination_id for each in visit.scope.destinations()} if visit.person.tenant else None


def _cause(text: str) -> DeadCause | None:
    return DeadCause(text) if text in set(DeadCause) else None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as exc:
        raise Malformed(Text("Das ist keine Kennung.", "This is no id.")) from exc
