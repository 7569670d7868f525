"""What a destination offers: a service, where, and with which schemas; judged by register, gazetteer and catalogue.

Command line, API and pages ask the same judge. The authority's own system says what it offers through FIT-Connect's API
instead, and may name schemas there that the hub does not know: the sealed door never looks into what it carries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from hub.areas import Area, Gazetteer
from hub.errors import Invalid, NotFound, Text, UnknownSchema
from hub.model import OfferedService, canonical_service
from hub.routing import ServiceRegister, service_urn
from hub.validation.catalog import SchemaCatalog, SchemaEntry

#: A schema as somebody names it: its URI, or that of its standard's version, and the media type if it is said.
NamedSchema = tuple[str, str | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Offers:
    """Judges offers by what the hub knows on the day ``on``."""

    register: ServiceRegister
    gazetteer: Gazetteer
    catalog: SchemaCatalog
    on: date

    def offer(self, service: str, regions: Iterable[str], schemas: Iterable[NamedSchema]) -> OfferedService:
        """Return an offer of ``service`` (URN) in ``regions`` (``DE`` and an ARS).

        Without ``schemas`` all that the catalogue holds in force for the service are offered. A schema stays named as it
        was: by its own URI, or by that of its standard's version, which stands for every message of it.

        Raises:
            Malformed: no service or area key.
            Invalid: a bare key, a region without ``DE``, something unknown, a wrong media type, or nothing to offer.
        """
        urn = service_urn(service)
        if urn != canonical_service(service):
            raise _bare_key(service, urn)
        if urn not in self.register:
            raise self._unknown_service(urn)
        return OfferedService(
            identifier=urn, regions=self._regions(regions), schemas=self._schemas(urn, tuple(dict.fromkeys(schemas)))
        )

    def judged(self, wished: Sequence[OfferedService], before: Iterable[OfferedService] = ()) -> list[OfferedService]:
        """Return the offers of ``wished`` as :meth:`offer` does; what stood there ``before`` unchanged is not judged anew.

        An empty media type is one that is not said.
        """
        kept = list(before)
        return [
            each
            if each in kept
            else self.offer(each.identifier, each.regions, [(uri, named or None) for uri, named in each.schemas])
            for each in wished
        ]

    def with_one(
        self,
        before: Sequence[OfferedService],
        service: str,
        *,
        regions: Iterable[str] = (),
        schemas: Iterable[NamedSchema] = (),
    ) -> tuple[OfferedService, ...]:
        """Return ``before`` with one service added, or changed in what is said of it; errors as :meth:`offer`."""
        standing = [each for each in before if canonical_service(each.identifier) == canonical_service(service)]
        regions = tuple(regions) or tuple(dict.fromkeys(region for each in standing for region in each.regions))
        named = tuple(schemas) or tuple(dict.fromkeys(schema for each in standing for schema in each.schemas))
        return _sorted([*without(before, service), self.offer(service, regions, named)])

    def split(self, services: Sequence[str], schemas: Iterable[NamedSchema]) -> dict[str, list[NamedSchema]]:
        """Return for each service those of ``schemas`` that belong to it; one that belongs to none goes to the first.

        Raises:
            Invalid: an unknown schema.
        """
        shares: dict[str, list[NamedSchema]] = {service: [] for service in services}
        for uri, media_type in schemas:
            entries = self._entries(uri)
            fitting = [each for each in services if any(entry.serves(canonical_service(each)) for entry in entries)]
            for service in fitting or services[:1]:  # There it is refused, with the reason.
                shares[service].append((uri, media_type))
        return shares

    def _regions(self, regions: Iterable[str]) -> tuple[str, ...]:
        named = list(regions)
        if not named:
            raise _without_region()
        for region in named:
            if region.isascii() and region.isdigit():
                raise _region_without_de(region)
        areas = [Area.from_region(region) for region in named if region != "DE"]
        unknown = [area.ars for area in areas if self.gazetteer.find(area) is None]
        if unknown:
            raise self._unknown_areas(unknown)
        return tuple(dict.fromkeys(named))

    def _unknown_areas(self, unknown: Sequence[str]) -> Invalid:
        names = ", ".join(unknown)
        return Invalid(
            self.gazetteer.meant(unknown[0])
            or Text(
                f"Diese Gebiete kennt das Verzeichnis nicht: {names}. „Gebiete“ unter Zuständigkeiten sucht nach Namen, "
                "auf der Kommandozeile „hub areas search“.",
                f"The gazetteer does not know these areas: {names}. 'Areas' below routing finds them by name, on the "
                "command line 'hub areas search' does.",
            ),
            slug="area-unknown",
        )

    def _schemas(self, urn: str, named: Sequence[NamedSchema]) -> tuple[tuple[str, str], ...]:
        if named:
            return tuple(dict.fromkeys(self._schema(urn, uri, media_type) for uri, media_type in named))
        in_force = [entry for entry in self.catalog.entries() if entry.manifest.in_force(self.on)]
        made_for_it = {entry.manifest.standard for entry in in_force if urn in (entry.item.services or ())}
        # A newer version may be for whoever names it, and leave those who name none with the version before.
        found = [entry for entry in in_force if entry.manifest.standard in made_for_it and entry.serves(urn)]
        if not found:
            raise Invalid(
                Text(
                    "Der Katalog führt für diese Leistung kein gültiges Schema. Nennen Sie eines mit seiner URI.",
                    "The catalogue holds no schema in force for this service. Name one by its URI.",
                ),
                slug="schema-missing",
            )
        return tuple(dict.fromkeys((entry.ref.uri, entry.ref.media_type.value) for entry in found))

    def _schema(self, urn: str, uri: str, media_type: str | None) -> tuple[str, str]:
        entries = self._entries(uri)
        known = entries[0].ref.media_type.value
        if media_type not in (None, known):
            raise Invalid(
                Text(
                    f"{uri} beschreibt {known}, nicht {media_type}. Nennen Sie {uri} mit {known}.",
                    f"{uri} describes {known}, not {media_type}. Name {uri} with {known}.",
                ),
                slug="schema-media-type",
            )
        if not any(entry.serves(urn) for entry in entries):
            raise Invalid(
                Text(
                    f"Das Schema {uri} gehört im Katalog zu anderen Leistungen als {urn}. Prüfen Sie Leistung und Schema.",
                    f"In the catalogue the schema {uri} belongs to other services than {urn}. Check service and schema.",
                ),
                slug="schema-of-other-service",
            )
        return uri, known

    def _entries(self, uri: str) -> tuple[SchemaEntry, ...]:
        try:
            return self.catalog.named(uri)
        except UnknownSchema as exc:
            raise Invalid(
                Text(
                    f"Das Schema {uri} steht nicht im Katalog. „hub schemas list“ zeigt, was darin steht; was fehlt, bringen "
                    "Sie mit „hub schemas import“ oder auf der Seite Schemas ein.",
                    f"The schema {uri} is not in the catalogue. 'hub schemas list' shows what is; bring in what is missing "
                    "with 'hub schemas import' or on the page Schemas.",
                ),
                slug="schema-unknown",
            ) from exc

    def _unknown_service(self, urn: str) -> Invalid:
        near = "; ".join(f"{each} ({self.register.name(each)})" for each in self.register.nearest(urn))
        return Invalid(
            Text(
                f"Die Leistung {urn} steht nicht im Verzeichnis." + (f" Ähnlich: {near}." if near else ""),
                f"The register does not hold service {urn}." + (f" Similar: {near}." if near else ""),
            ),
            slug="service-unknown",
        )


def _without_region() -> Invalid:
    return Invalid(
        Text(
            "Nennen Sie mindestens ein Gebiet: DE und der ARS, zum Beispiel DE06439.",
            "Name at least one area: DE and the ARS, for example DE06439.",
        ),
        slug="region-missing",
    )


def _region_without_de(region: str) -> Invalid:
    return Invalid(
        Text(
            f"Eine Region beginnt mit DE. Schreiben Sie DE{region} statt {region}.",
            f"A region begins with DE. Write DE{region} instead of {region}.",
        ),
        slug="region-without-de",
    )


def without(before: Sequence[OfferedService], service: str) -> list[OfferedService]:
    """Return the offers of all services but one."""
    gone = canonical_service(service)
    return [each for each in before if canonical_service(each.identifier) != gone]


def dropped(before: Sequence[OfferedService], service: str) -> tuple[OfferedService, ...]:
    """Return the offers without one service.

    Raises:
        NotFound: it is not offered.
    """
    left = without(before, service)
    if len(left) == len(before):
        offered = ", ".join(each.identifier for each in before)
        raise NotFound(
            Text(
                f"Der Zustellpunkt bietet diese Leistung nicht an. Angeboten werden: {offered}.",
                f"The destination does not offer this service. Offered are: {offered}.",
            ),
            slug="service-not-offered",
        )
    return _sorted(left)


def _sorted(offers: Iterable[OfferedService]) -> tuple[OfferedService, ...]:
    return tuple(sorted(offers, key=lambda each: each.identifier))


def _bare_key(service: str, urn: str) -> Invalid:
    return Invalid(
        Text(
            f"Ein LeiKa-Schlüssel allein ist keine Leistung. Schreiben Sie {urn} statt {service}.",
            f"A LeiKa key alone is no service. Write {urn} instead of {service}.",
        ),
        slug="service-without-urn",
    )
