"""Dead letters by cause, and sending them again."""

from __future__ import annotations

from uuid import UUID

from starlette.responses import Response

from hub.admin.visit import ROWS, Visit
from hub.errors import Conflict, Invalid, Malformed, Text
from hub.submission import DeadCause

_MOST = 500


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
        rows=ROWS,
    )


def redrive(visit: Visit) -> Response:
    """Send one dead letter again, or all of a cause."""
    form, text = visit.form, visit.form.text("text", longest=500)
    one, cause = form.text("delivery", longest=36), _cause(form.text("cause", longest=20))
    if one:
        wanted = [visit.scope.delivery(_uuid(one)).delivery_id]
    elif cause is not None:
        wanted = [each.delivery_id for each in visit.scope.dead(cause, offset=0, limit=_MOST).items]
    else:
        raise Invalid(Text("Wählen Sie eine Zustellung oder eine Ursache.", "Choose a delivery or a cause."))
    for delivery_id in wanted:
        _redrive(visit, delivery_id, text, alone=bool(one))
    return visit.to("/dead", note="redriven")


def _redrive(visit: Visit, delivery_id: UUID, text: str, *, alone: bool) -> None:
    try:
        again = visit.tools.store.redrive(delivery_id, visit.now)
    except Conflict:
        if alone:
            raise
        return  # Answered meanwhile: among many there is nothing left to do for this one.
    if again:
        visit.tools.store.append_audit(visit.audit("delivery.redrive", f"delivery:{delivery_id}", text=text))


def _cause(text: str) -> DeadCause | None:
    return DeadCause(text) if text in set(DeadCause) else None


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as exc:
        raise Malformed(Text("Das ist keine Zustellung.", "This is no delivery.")) from exc
