"""Who takes authorities in, put together from those who own what is made."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from hub.administration.adapters import AdapterApproval
from hub.administration.clients import ClientService
from hub.administration.destinations import DestinationService
from hub.administration.keys import KeyApproval
from hub.administration.offers import Offers
from hub.administration.onboarding import OnboardingService
from hub.administration.onboarding_making import Owners
from hub.administration.onboarding_templates import Templates
from hub.administration.registration import SelfRegistration
from hub.administration.routing_tables import RoutingTableVersions
from hub.administration.tenants import TenantService
from hub.administration.trials import TestDelivery
from hub.administration.vendors import VendorService
from hub.app.opening import development_authority, open_links
from hub.areas import Gazetteer
from hub.config import Settings
from hub.crypto import HubKeys, Jwk, KeyPolicy
from hub.delivery.attempt import InstalledAdapters
from hub.model import MediaType, OfferedService
from hub.resources import shipped
from hub.services import ServiceCatalogue
from hub.store import Store
from hub.validation.catalog import SchemaCatalog


class OnboardingParts(Protocol):
    """What of the hub is needed for it."""

    settings: Settings
    store: Store
    keys: HubKeys
    base_url: str
    policy: KeyPolicy
    installed: InstalledAdapters
    gazetteer: Gazetteer
    book: RoutingTableVersions
    key_approval: KeyApproval
    tenant_service: TenantService
    client_service: ClientService
    trials: TestDelivery

    @property
    def gazetteers(self) -> Any:
        """The areas of the moment."""

    @property
    def catalog(self) -> SchemaCatalog:
        """The schema catalogue of the moment."""

    @property
    def offers(self) -> Offers:
        """The judge of offers."""

    def services(self) -> ServiceCatalogue:
        """Return the public services of the moment."""

    def clock(self) -> datetime:
        """Return the time."""


def onboarding(hub: OnboardingParts, destinations: DestinationService, ways: AdapterApproval) -> OnboardingService:
    """Return it; what adapters' options may name is for ``ways`` to say, and ``destinations`` has the same."""
    settings, shipped_folder = hub.settings, shipped("routing_rules/templates")
    seeded = settings.rules / "templates"
    folder = seeded if seeded.is_dir() else shipped_folder
    return OnboardingService(
        Owners(
            store=hub.store,
            gazetteer=hub.gazetteers,
            templates=lambda: Templates.load(folder, hub.services(), hub.gazetteer),
            offers=lambda: hub.offers,
            policy=hub.policy,
            adapters=hub.installed,
            ways=ways,
            keys=hub.key_approval,
            tenants=hub.tenant_service,
            clients=hub.client_service,
            destinations=destinations,
            book=hub.book,
            trials=hub.trials,
            certify=None if settings.production else partial(_certified, hub),
            settings_file=_connector_file,
            base_url=hub.base_url,
        )
    )


def _connector_file(answers: Mapping[str, Any]) -> str:
    from hub.connector.commissioning import settings_file  # seldom wanted, and the connector's

    return settings_file(answers)


def _certified(hub: OnboardingParts, jwk: Jwk, subject: str) -> dict[str, Any]:
    now = hub.clock()
    return development_authority(hub.settings, now=now).issue(jwk, subject=subject, now=now)


def open_registration(hub: OnboardingParts, vendors: VendorService) -> SelfRegistration:
    """Return how vendors register themselves at a test instance."""
    return SelfRegistration(
        store=hub.store,
        keys=hub.keys,
        vendors=vendors,
        base_url=hub.base_url,
        offers=partial(_all_offers, hub),
        certify=partial(_certified, hub),
        links=partial(open_links, hub.settings, hub.base_url),
    )


def _all_offers(hub: OnboardingParts) -> list[OfferedService]:
    """Return all services that the hub knows, everywhere, each with the schemas of the catalogue that are for it."""
    schemas: dict[str, list[tuple[str, str]]] = {}
    for entry in hub.catalog.entries():
        for service in entry.item.services or ():
            kind = MediaType.XML if entry.item.roots else MediaType.JSON
            schemas.setdefault(service, []).append((entry.uri, kind.value))
    return [
        OfferedService(identifier=service, regions=("DE",), schemas=tuple(found))
        for service, found in sorted(schemas.items())
    ]
