"""The door: opens a reception for each application."""

from __future__ import annotations

from datetime import datetime

from hub.areas import Area
from hub.errors import NoRoute, Text
from hub.intake.reception import Reception, Replay
from hub.intake.tools import Tools
from hub.parties import Destination
from hub.routing import Route
from hub.submission import Cover, MediaType
from hub.validation.report import Report


class Intake:
    """Opens a reception for each application."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def open(self, cover: Cover, *, now: datetime) -> Reception | Replay:
        """Admit one application and find who is responsible; a repeat is recognised first.

        Raises:
            StoreUnavailable: the disk is nearly full.
            NoRoute: nobody, or more than one, is responsible.
            KeyUnavailable: the responsible authority has no usable key.
        """
        tools = self._tools
        if cover.idempotency_key is not None:
            known = tools.store.remembered(cover.sender, cover.idempotency_key)
            if known is not None:
                return Replay(tools, cover, known)
        tools.admission.check_disk()
        if cover.callback is not None:
            tools.outbound.check(cover.callback.url)
        route = tools.table().route(Area.from_ars(cover.area), cover.service, now)
        destination = self._destination(route, cover, now)
        return Reception(tools, cover, route, destination, tools.directory.encryption_key(destination, now=now))

    def check(
        self, data: bytes, *, media_type: MediaType, schema: str | None, service: str | None, now: datetime
    ) -> Report:
        """Validate only; nothing is stored."""
        catalog = self._tools.catalog()
        return catalog.check(media_type=media_type, data=data, schema=schema, service=service, on=now.date())

    def _destination(self, route: Route, cover: Cover, now: datetime) -> Destination:
        destination = self._tools.directory.destination(route.destination_id, now=now)
        if destination is None or destination.status != "active":
            raise NoRoute(
                Text(
                    "Die zuständige Stelle nimmt zurzeit keine Anträge über den Hub an. "
                    "Wenden Sie sich an den Betrieb des Hubs.",
                    "The responsible authority does not take applications through the hub at present. "
                    "Ask the hub's operators.",
                ),
                destinationId=str(route.destination_id),
                nearest=[],
            )
        if not any(offered.identifier == cover.service for offered in destination.services):
            raise NoRoute(
                Text(
                    f"{destination.name} ist zuständig, bietet die Leistung {cover.service} aber nicht über den Hub an.",
                    f"{destination.name} is responsible, but does not offer service {cover.service} through the hub.",
                ),
                destinationId=str(route.destination_id),
                nearest=[],
            )
        return destination
