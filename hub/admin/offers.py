"""One service that a destination takes: adding, changing and dropping it."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.responses import Response

from hub.admin.request import Visit
from hub.administration.destinations import Draft
from hub.administration.offers import offer
from hub.errors import Forbidden, HubError, NotFound, Refused, Text
from hub.model.parties import Destination, OfferedService
from hub.model.submission import canonical_service

_LONGEST = 20_000


def edit(visit: Visit) -> Response:
    """Show the form for one service, or for a new one."""
    destination = visit.scope.destination(visit.id("id"))
    wanted = visit.query.text("service", longest=200)
    row = {"service": wanted, "regions": f"DE{destination.tenant}" if destination.tenant else "", "schemas": ""}
    if wanted:
        found = _offered(destination, wanted)
        row["regions"] = " ".join(found.regions)
        row["schemas"] = "\n".join(uri for uri, _ in found.schemas)
    return _form(visit, destination, row, replaces=wanted)


def put(visit: Visit) -> Response:
    """Keep one service; what cannot be kept comes back with what was entered."""
    destination = visit.scope.destination(visit.id("id"))
    row = {name: visit.form.text(name, longest=_LONGEST) for name in ("service", "regions", "schemas")}
    replaces = visit.form.text("replaces", longest=200)
    tools = visit.tools
    try:
        made = offer(
            row["service"],
            row["regions"].replace(",", " ").split(),
            row["schemas"].split(),
            register=tools.tables.active(visit.now).services,
            gazetteer=tools.gazetteer(),
            catalog=tools.catalog(),
            on=visit.now.date(),
        )
        _insist_on_scope(visit, made)
        same = {canonical_service(name) for name in (made.identifier, replaces or "")}
        others = [each for each in destination.services if canonical_service(each.identifier) not in same]
        _keep(visit, destination, (*others, made))
    except Refused as refused:
        return _form(visit, destination, row, replaces=replaces, error=refused)
    return visit.to(f"/destinations/{destination.destination_id}", note="saved")


def drop(visit: Visit) -> Response:
    """Take one service away."""
    destination = visit.scope.destination(visit.id("id"))
    gone = _offered(destination, visit.form.text("service", longest=200))
    _keep(visit, destination, [each for each in destination.services if each is not gone])
    return visit.to(f"/destinations/{destination.destination_id}", note="saved")


def _keep(visit: Visit, destination: Destination, services: Iterable[OfferedService]) -> None:
    """Keep the services, in the state that the person saw: they are replaced as a whole."""
    draft = Draft(services=tuple(sorted(services, key=lambda each: each.identifier)))
    visit.tools.stewardship.change(
        destination.destination_id, draft, visit.person, now=visit.now, expected=visit.form.text("revision")
    )


def _offered(destination: Destination, identifier: str) -> OfferedService:
    found = next((each for each in destination.services if each.identifier == identifier), None)
    if found is None:
        raise NotFound(
            Text("Diese Leistung nimmt der Zustellpunkt nicht.", "The destination does not take this service.")
        )
    return found


def _insist_on_scope(visit: Visit, made: OfferedService) -> None:
    outside = [region for region in made.regions if not visit.person.covers(region.removeprefix("DE"))]
    if outside:
        raise Forbidden(
            Text(
                f"Diese Gebiete liegen außerhalb Ihres Zuständigkeitsbereichs: {', '.join(outside)}.",
                f"These areas lie outside your scope: {', '.join(outside)}.",
            ),
            slug="outside-tenant",
        )


def _form(
    visit: Visit, destination: Destination, row: dict[str, str], *, replaces: str, error: HubError | None = None
) -> Response:
    services = visit.tools.tables.active(visit.now).services
    return visit.page(
        "offer.html",
        status=200 if error is None else 422,
        destination=destination,
        revision=visit.form.text("revision") or destination.revision,
        row=row,
        replaces=replaces,
        services=[(urn, services.name(urn)) for urn in services],
        entries=visit.tools.catalog().entries(),
        day=visit.now.date(),
        error=error,
    )
