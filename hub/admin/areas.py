"""Areas: looking one up, and the map and tree that show where nobody is responsible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from string import ascii_uppercase
from typing import Any
from uuid import UUID

from starlette.responses import Response

from hub.admin.request import Visit
from hub.admin.tiles import HEIGHT, WIDTH, tile_map
from hub.areas import Found, Place, look_up
from hub.errors import HubError, Refused
from hub.routing import CoverState, DistrictCover, RoutingTable, Survey, service_urn, survey

_MOST_FOUND = 100
_REGION_DIGITS = 3
_LONGEST_ARS = 12


def index(visit: Visit) -> Response:
    """Look areas up, and show who is responsible where; a partial answer for the search field."""
    wanted = visit.query.text("q", longest=200)
    found, error = _found(visit, wanted)
    common: dict[str, Any] = {"found": found, "wanted": wanted, "most": _MOST_FOUND, "error": error}
    if visit.partial:
        return visit.page("areas_list.html", **common)
    table = visit.tools.tables.active(visit.now)
    service, below = _service(visit, table), visit.query.text("below", longest=_LONGEST_ARS)
    looked = survey(table, visit.now, service=service, prefix=visit.person.tenant)
    return visit.page(
        "areas.html",
        **common,
        service=service,
        register=table.services,
        routed=table.routed_services,
        unruled=[each for each in table.services if each not in set(table.routed_services)],
        looked=looked,
        open=sum(district.open for district in looked.districts),
        map=tile_map(looked.districts),
        tile_width=WIDTH,
        tile_height=HEIGHT,
        regions=_by_region(looked),
        most_in_tree=visit.tools.most_in_tree,
        letters=_letters(looked) if service is not None else {},
        names={each.destination_id: each.name for each in visit.scope.destinations()},
        below=below,
        place=_place(visit, below),
        missing=sorted(looked.missing.items(), key=lambda each: (-each[1], table.services.name(each[0]))),
        CoverState=CoverState,
    )


def _found(visit: Visit, wanted: str) -> tuple[Found, HubError | None]:
    try:
        return look_up(visit.tools.gazetteer(), wanted), None
    except Refused as error:
        return Found(places=()), error


def _service(visit: Visit, table: RoutingTable) -> str | None:
    """Return the service that is asked for; None for all, also where nobody knows the one that was named."""
    wanted = visit.query.text("service", longest=200)
    urn = service_urn(wanted) if wanted else ""
    return urn if urn in table.services or urn in table.routed_services else None


def _place(visit: Visit, below: str) -> Place | None:
    return visit.tools.gazetteer().find(below) if below else None


def _by_region(looked: Survey) -> list[tuple[str, Sequence[DistrictCover]]]:
    return [
        (ars, tuple(inside)) for ars, inside in groupby(looked.districts, key=lambda each: each.ars[:_REGION_DIGITS])
    ]


def _letters(looked: Survey) -> Mapping[UUID, str]:
    """Give each authority a letter, the one with the most municipalities first: the map has no room for names."""
    towns: dict[UUID, int] = {}
    for cover in looked.covers:
        for destination in cover.destinations:
            towns[destination] = towns.get(destination, 0) + 1
    ordered = sorted(towns, key=lambda each: (-towns[each], str(each)))
    size = len(ascii_uppercase)
    return {
        each: (ascii_uppercase[at // size - 1] if at >= size else "") + ascii_uppercase[at % size]
        for at, each in enumerate(ordered[: size * size])
    }
