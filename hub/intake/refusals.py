"""What the plain door says where the responsible authority does not take an application: it names the authority and the way."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from hub.errors import Invalid, NoRoute, Text
from hub.model import Destination


def schema_not_offered(name: str, uri: str, offered: Collection[str]) -> Invalid:
    """Return the refusal of a schema that an authority does not take for a service; ``offered`` are those that it does."""
    taken = sorted(offered)
    return Invalid(
        Text(
            f"{name} nimmt für diese Leistung das Schema {uri} nicht an. Angenommen werden: {', '.join(taken)}.",
            f"{name} does not take schema {uri} for this service. Taken are: {', '.join(taken)}.",
        ),
        slug="schema-not-offered",
        offered=taken,
    )


def takes_nothing(destination_id: UUID) -> NoRoute:
    """Return the refusal of what a destination is responsible for that takes nothing at present."""
    return NoRoute(
        Text(
            "Die zuständige Stelle nimmt zurzeit keine Anträge über den Hub an. "
            "Wenden Sie sich an den Betrieb des Hubs.",
            "The responsible authority does not take applications through the hub at present. Ask the hub's operators.",
        ),
        destinationId=str(destination_id),
        nearest=[],
    )


def service_not_offered(destination: Destination, service: str) -> NoRoute:
    """Return the refusal of a service that the responsible authority does not offer."""
    return NoRoute(
        Text(
            f"{destination.name} ist zuständig, bietet die Leistung {service} aber nicht über den Hub an.",
            f"{destination.name} is responsible, but does not offer service {service} through the hub.",
        ),
        destinationId=str(destination.destination_id),
        nearest=[],
    )
