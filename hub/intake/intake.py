"""The door: opens a reception for each application."""

from __future__ import annotations

from concurrent.futures import Future
from datetime import datetime

from hub.areas import Area
from hub.errors import HubError, NoRoute, Text
from hub.intake.reception import Reception, Replay
from hub.intake.repetition import Accepted
from hub.intake.tools import Tools
from hub.model.parties import Destination
from hub.model.submission import Application, Cover, MediaType, canonical_service
from hub.routing import Route
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
        return self._replay(cover) or self._reception(cover, now)

    def accept(self, application: Application, *, now: datetime) -> Future[Accepted]:
        """Open and accept in one go what lies in memory whole; errors as :meth:`open` and ``Reception.accept``.

        The store's own gate recognises a repeat, so a new application, which nearly all are, is spared the look-up. One
        that is refused may still be a repeat: then the earlier answer holds, whatever was refused now.
        """
        try:
            with self._reception(application.cover, now) as reception:
                return self._taken(reception, application, now)
        except HubError:
            replay = self._replay(application.cover)
            if replay is None:
                raise
            with replay:
                return self._taken(replay, application, now)

    def _taken(self, opened: Reception | Replay, application: Application, now: datetime) -> Future[Accepted]:
        opened.take(len(application.data))
        return opened.accept(application, now=now)

    def _replay(self, cover: Cover) -> Replay | None:
        if cover.idempotency_key is None:
            return None
        known = self._tools.store.remembered(cover.sender, cover.idempotency_key)
        return None if known is None else Replay(self._tools, cover, known)

    def _reception(self, cover: Cover, now: datetime) -> Reception:
        tools = self._tools
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
        if not any(canonical_service(offered.identifier) == cover.service for offered in destination.services):
            raise NoRoute(
                Text(
                    f"{destination.name} ist zuständig, bietet die Leistung {cover.service} aber nicht über den Hub an.",
                    f"{destination.name} is responsible, but does not offer service {cover.service} through the hub.",
                ),
                destinationId=str(route.destination_id),
                nearest=[],
            )
        return destination
