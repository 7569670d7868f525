"""Destinations as the routing table sees them: planned in a file, or as facts to check rules against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from uuid import UUID

import yaml

from hub.areas import Area
from hub.errors import ConfigurationError, Malformed, Refused, Text
from hub.model.parties import Destination, OfferedService
from hub.routing.documents import compose, malformed_at, mapping, text_of, texts
from hub.routing.rules import service_urn

_KEYS = frozenset({"destination_id", "name", "ars", "services", "schema_uris", "adapter", "contact"})


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedDestination:
    """One entry of a ``destinations.yaml``: what a destination is to be before it has keys and an owner."""

    destination_id: UUID
    name: str
    area: Area
    services: tuple[str, ...]
    schema_uris: tuple[str, ...]
    adapter: str
    contact: Mapping[str, str] = field(default_factory=dict)

    @property
    def ars(self) -> str:
        """The ARS of the area it is responsible for."""
        return self.area.ars


@dataclass(frozen=True, kw_only=True, slots=True)
class DestinationFacts:
    """What the check has to know of a destination.

    ``key_valid_until`` is the end of its encryption key's validity, None if it has no usable key. ``offers`` are the
    services with their regions and schemas.
    """

    name: str
    status: str
    key_valid_until: datetime | None
    offers: tuple[OfferedService, ...]

    @classmethod
    def of(cls, destination: Destination, *, key_valid_until: datetime | None) -> DestinationFacts:
        """Return the facts of a stored destination; the key's validity comes from the key policy."""
        return cls(
            name=destination.name,
            status=destination.status,
            key_valid_until=key_valid_until,
            offers=destination.services,
        )


def load_destinations(path: Path) -> tuple[PlannedDestination, ...]:
    """Read a ``destinations.yaml`` (strict keys). Raises :class:`ConfigurationError` naming file and line."""
    try:
        entries = mapping(compose(path.read_bytes()))
        if set(entries) != {"destinations"} or not isinstance(entries["destinations"], yaml.SequenceNode):
            raise Malformed(Text("Erwartet wird eine Liste: destinations.", "Expected one list: destinations."))
        planned = [_planned(node) for node in entries["destinations"].value]
    except OSError as exc:
        raise ConfigurationError(Text(f"{path} fehlt.", f"{path} is missing."), file=path.name) from exc
    except Refused as exc:
        text = Text(f"{path.name}: {exc.detail.de}", f"{path.name}: {exc.detail.en}")
        raise ConfigurationError(text, file=path.name) from exc
    if len({one.destination_id for one in planned}) != len(planned):
        raise ConfigurationError(
            Text(f"{path.name}: Eine destination_id steht doppelt.", f"{path.name}: A destination_id stands twice."),
            file=path.name,
        )
    return tuple(planned)


def _planned(node: yaml.Node) -> PlannedDestination:
    entries = mapping(node)
    if set(entries) != _KEYS:
        wanted = ", ".join(sorted(_KEYS))
        raise malformed_at(node, Text(f"Genau diese Schlüssel: {wanted}.", f"Exactly these keys: {wanted}."))
    try:
        return PlannedDestination(
            destination_id=UUID(text_of(entries["destination_id"])),
            name=text_of(entries["name"]),
            area=Area.from_ars(text_of(entries["ars"])),
            services=tuple(sorted(service_urn(text) for text in texts(entries["services"]))),
            schema_uris=tuple(texts(entries["schema_uris"])),
            adapter=text_of(entries["adapter"]),
            contact={key: text_of(value) for key, value in mapping(entries["contact"]).items()},
        )
    except ValueError as exc:
        raise malformed_at(
            entries["destination_id"], Text("destination_id ist keine UUID.", "destination_id is not a UUID.")
        ) from exc
    except Refused as exc:
        raise malformed_at(node, exc.detail) from exc
