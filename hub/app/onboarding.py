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
from hub.administration.routing_tables import RoutingTableVersions
from hub.administration.tenants import TenantService
from hub.administration.trials import TestDelivery
from hub.app.opening import development_authority
from hub.areas import Gazetteer
from hub.config import Settings
from hub.crypto import Jwk, KeyPolicy
from hub.delivery.attempt import InstalledAdapters
from hub.resources import shipped
from hub.services import ServiceCatalogue
from hub.store import Store


class OnboardingParts(Protocol):
    """What of the hub is needed for it."""

    settings: Settings
    store: Store
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
