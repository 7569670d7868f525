"""What a destination offers: a service, where, and with which schemas; judged by register, gazetteer and catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from hub.areas import Area, Gazetteer
from hub.errors import Invalid, Text
from hub.model import OfferedService
from hub.routing import ServiceRegister, service_urn
from hub.validation.catalog import SchemaCatalog


def offer(
    service: str,
    regions: Iterable[str],
    schemas: Iterable[str],
    *,
    register: ServiceRegister,
    gazetteer: Gazetteer,
    catalog: SchemaCatalog,
    on: date,
) -> OfferedService:
    """Return an offer of ``service`` (LeiKa key or URN) in ``regions`` (ARS, ``DE`` before it or not).

    Without ``schemas`` (URIs) all that the catalogue holds in force for the service are offered.

    Raises:
        Malformed: no service or area key. Invalid: unknown service, area or schema, or nothing to offer.
        UnknownSchema: a schema that the catalogue does not know.
    """
    urn = service_urn(service)
    if urn not in register:
        raise _unknown_service(urn, register)
    return OfferedService(
        identifier=urn,
        regions=_regions(regions, gazetteer),
        schemas=_schemas(urn, list(schemas), catalog, on),
    )


def _regions(regions: Iterable[str], gazetteer: Gazetteer) -> tuple[str, ...]:
    areas = [Area.from_ars(region.removeprefix("DE")) for region in regions]
    if not areas:
        raise Invalid(
            Text("Nennen Sie mindestens ein Gebiet (ARS).", "Name at least one area (ARS)."), slug="region-missing"
        )
    unknown = [area.ars for area in areas if gazetteer.find(area) is None]
    if unknown:
        names = ", ".join(unknown)
        raise Invalid(
            Text(
                f"Diese Gebiete kennt das Verzeichnis nicht: {names}. „Gebiete“ unter Zuständigkeiten sucht nach Namen.",
                f"The gazetteer does not know these areas: {names}. 'Areas' below routing finds them by name.",
            ),
            slug="area-unknown",
        )
    return tuple(dict.fromkeys(area.as_region() for area in areas))


def _schemas(urn: str, uris: list[str], catalog: SchemaCatalog, on: date) -> tuple[tuple[str, str], ...]:
    if uris:
        refs = [catalog.ref(uri) for uri in uris]
    else:
        refs = [
            entry.ref
            for entry in catalog.entries()
            if urn in (entry.item.services or ()) and entry.manifest.in_force(on)
        ]
    if not refs:
        raise Invalid(
            Text(
                "Der Katalog führt für diese Leistung kein gültiges Schema. Nennen Sie eines mit seiner URI.",
                "The catalogue holds no schema in force for this service. Name one by its URI.",
            ),
            slug="schema-missing",
        )
    return tuple(dict.fromkeys((ref.uri, ref.media_type.value) for ref in refs))


def _unknown_service(urn: str, register: ServiceRegister) -> Invalid:
    near = "; ".join(f"{each} ({register.name(each)})" for each in register.nearest(urn))
    return Invalid(
        Text(
            f"Die Leistung {urn} steht nicht im Verzeichnis." + (f" Ähnlich: {near}." if near else ""),
            f"The register does not hold service {urn}." + (f" Similar: {near}." if near else ""),
        ),
        slug="service-unknown",
    )
