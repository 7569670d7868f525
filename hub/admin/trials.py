"""Test delivery: one click, and what came of each step."""

from __future__ import annotations

from starlette.responses import Response

from hub.admin import destinations
from hub.admin.request import Visit
from hub.errors import TooMany


def run(visit: Visit) -> Response:
    """Make a test delivery and show its steps on the destination's page."""
    destination = visit.scope.destination(visit.id("id"))
    try:
        report = visit.tools.trials.run(destination, actor=visit.person.name, now=visit.now)
    except TooMany as error:
        return destinations.show(visit, error=error)
    return destinations.show(visit, report=report)
