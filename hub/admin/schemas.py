"""Schemas: versions, validity, where they are used."""

from __future__ import annotations

from starlette.responses import Response

from hub.admin.visit import Visit


def index(visit: Visit) -> Response:
    """List every schema of the catalogue and who offers it."""
    used: dict[str, list[str]] = {}
    for each in visit.scope.destinations():
        for uri in {uri for service in each.services for uri, _ in service.schemas}:
            used.setdefault(uri, []).append(each.name)
    entries = visit.tools.catalog().entries()
    day = visit.now.date()
    return visit.page("schemas.html", entries=entries, used=used, day=day)
