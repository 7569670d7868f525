"""Destinations: services, keys with their end, adapter settings, circuit breaker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from starlette.responses import Response

from hub.admin.visit import Visit
from hub.crypto.keys import expires_at
from hub.parties import Destination
from hub.store import Circuit, DeliveryState
from hub.tables import key_valid_until

#: The rungs of the ladder: fewer days than this left, and the colour that says so.
_RUNGS = ((14, "danger"), (30, "warning"), (90, "info"))
#: Notices that the page shows; the audit log has them all.
_NOTICES = 20
#: Options whose value is never shown, should somebody put a secret where a file's name belongs.
_SECRET = ("secret", "password", "token", "passphrase")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ladder:
    """How long a destination's encryption key is good: days left (None: no usable key), and the colour of that."""

    until: datetime | None
    days: int | None
    colour: str


def ladder(visit: Visit, destination: Destination) -> Ladder:
    """Return how urgent a destination's key is."""
    until = key_valid_until(visit.tools.store, visit.tools.policy, destination, visit.now)
    if until is None:
        return Ladder(until=None, days=None, colour="danger")
    days = (until - visit.now) // timedelta(days=1)
    colour = next((colour for limit, colour in _RUNGS if days < limit), "success")
    return Ladder(until=until, days=days, colour=colour)


def index(visit: Visit) -> Response:
    """List the destinations."""
    rows = [(each, ladder(visit, each)) for each in visit.scope.destinations()]
    return visit.page("destinations.html", rows=rows)


def show(visit: Visit) -> Response:
    """Show one destination."""
    scope = visit.scope
    destination = scope.destination(visit.id("id"))
    backlog = [one for one in scope.waiting() if one.destination_id == destination.destination_id]
    table = visit.tools.tables.active(visit.now)
    return visit.page(
        "destination.html",
        destination=destination,
        ladder=ladder(visit, destination),
        keys=[(key, expires_at(key.jwk)) for key in scope.keys(destination)],
        circuit=scope.circuit(destination),
        callbacks=scope.dead_callbacks(destination),
        notices=scope.notices(destination, limit=_NOTICES),
        settings=_shown(destination.adapter_config),
        backlog={one.state.value: one.count for one in backlog},
        dead=DeliveryState.DEAD.value,
        services=table.services,
        rules=[rule for rule in table if rule.destination == destination.destination_id],
    )


def close_circuit(visit: Visit) -> Response:
    """Close a circuit breaker, so that deliveries are attempted at once."""
    destination = visit.scope.destination(visit.id("id"))
    closed = Circuit(destination_id=destination.destination_id)
    visit.tools.store.change_circuit(destination.destination_id, lambda _: closed, visit.now)
    target = f"destination:{destination.destination_id}"
    visit.tools.store.append_audit(visit.audit("circuit.close", target, text=visit.form.text("text", longest=500)))
    return visit.to(f"/destinations/{destination.destination_id}", note="closed")


def redrive_callback(visit: Visit) -> Response:
    """Send the callbacks of a destination that were given up again."""
    destination = visit.scope.destination(visit.id("id"))
    for each in visit.scope.dead_callbacks(destination):
        if visit.tools.store.redrive_callback(each.callback_id, visit.now):
            target = f"callback:{each.callback_id}"
            visit.tools.store.append_audit(visit.audit("callback.redrive", target))
    return visit.to(f"/destinations/{destination.destination_id}", note="redriven")


def _shown(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the adapter's options as texts; a secret is a file's name, and anything else by that name is hidden."""
    return {
        name: "•••" if any(word in name for word in _SECRET) and not name.endswith("_file") else str(value)
        for name, value in sorted(config.items())
    }
