"""What a released run asks for, made by those who own each part: tenants, clients, destinations, keys, ways of delivery.

In the name of who handed it in, and released in the name of who approved. Each step looks first whether its work is done, so
that a release that broke off goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.administration.adapters import AdapterApproval
from hub.administration.clients import ClientService
from hub.administration.destinations import DestinationService, Draft
from hub.administration.keys import By, KeyApproval
from hub.administration.offers import Offers
from hub.administration.onboarding_pack import SettingsFile
from hub.administration.onboarding_plans import Judges, Plan
from hub.administration.onboarding_templates import Templates
from hub.administration.routing_tables import RoutingTableVersions
from hub.administration.tenants import TenantService
from hub.administration.trials import TestDelivery
from hub.areas import Gazetteer
from hub.crypto import Jwk, KeyPolicy
from hub.identity import Person, Right
from hub.model import EVERYTHING, ROOT, Adapter, ClientKind, Destination, TenantKind
from hub.store import OnboardingRow, Store

_METADATA_VERSIONS = ("1.0.0", "1.3.0", "2.0.0", "2.1.0")
#: How many digits say the district.
_DISTRICT_DIGITS = 5
#: What stands behind a district's key in that of a city that is one.
CITY = "0000000"


@dataclass(frozen=True, kw_only=True, slots=True)
class Owners:
    """Who owns what is made here; onboarding writes nothing of theirs itself."""

    store: Store
    gazetteer: Callable[[], Gazetteer]
    templates: Callable[[], Templates]
    offers: Callable[[], Offers]
    policy: KeyPolicy
    adapters: Mapping[str, type[Adapter]]
    ways: AdapterApproval
    keys: KeyApproval
    tenants: TenantService
    clients: ClientService
    destinations: DestinationService
    book: RoutingTableVersions
    trials: TestDelivery
    certify: Callable[[Jwk, str], dict[str, Any]] | None
    #: Writes a connector's settings file.
    settings_file: SettingsFile
    base_url: str


class Making:
    """Makes what a released run asks for: in the name of who handed it in, released in the name of who approved."""

    def __init__(self, owners: Owners, judges: Judges, *, maker: Person, approver: Person, now: datetime) -> None:
        self._owners = owners
        self._judges = judges
        self._maker = maker
        self._approver = approver
        self._now = now
        self._served = owners.store.onboarding.destinations(scope=EVERYTHING)

    def make(self, row: OnboardingRow) -> None:
        """Make one authority, or what is left of it, and note that it is made."""
        plan = self._judges.certified(Plan.of(row.plan))
        tenant_id = self._tenant(plan)
        parties, served = self._owners.store.parties, self._served.get(plan.ars)
        before = None if served is None else parties.destination(served.destination_id)
        destination_id = None if before is None else before.destination_id
        client_id = self._client(plan, tenant_id) if before is None else before.owner
        if before is not None:
            self._maker.require(Right.OPERATE, before)
            self._approver.require(Right.APPROVE, before)
            self._change(before, plan)
        elif plan.is_certified and client_id is not None:
            destination_id = self._destination(plan, client_id, tenant_id).destination_id
        self._owners.store.onboarding.made(
            row.run_id,
            row.ars,
            tenant_id=None if tenant_id == ROOT else tenant_id,
            client_id=client_id,
            destination_id=destination_id,
            at=self._now,
        )

    def _tenant(self, plan: Plan) -> str:
        """Return the tenant that stands for the area, made below its district where there is none."""
        tenants = self._owners.store.tenants
        place = self._judges.place(plan)
        standing = tenants.standing_for(plan.ars)
        known = None if standing is None else tenants.tenant(standing, scope=EVERYTHING)
        is_city = plan.ars.endswith(CITY)
        wanted = {plan.ars, plan.ars[:_DISTRICT_DIGITS]} if is_city else {plan.ars}
        if known is not None and wanted & set(known.areas):
            return known.tenant_id
        kind = TenantKind.DISTRICT if place.is_district and not place.is_municipality else TenantKind.MUNICIPALITY
        parent = ROOT if known is None or known.kind not in {TenantKind.STATE, TenantKind.DISTRICT} else known.tenant_id
        made = self._owners.tenants.create(
            self._maker,
            kind=kind.value,
            name=plan.name,
            parent=ROOT if kind is TenantKind.DISTRICT else parent,
            areas=[plan.ars],
            now=self._now,
        )
        return made.tenant_id

    def _client(self, plan: Plan, tenant_id: str) -> str:
        """Return the authority's client, by which it collects; its secret is made when somebody fetches it."""
        store = self._owners.store
        for client_id in store.tenants.own_holdings(tenant_id).clients if tenant_id != ROOT else ():
            known = store.parties.client(client_id)
            fits = known is not None and known.kind is ClientKind.SUBSCRIBER and known.disabled_at is None
            if known is not None and fits and known.name == plan.name:
                return known.client_id
        made, _ = self._owners.clients.create(
            self._maker, kind=ClientKind.SUBSCRIBER.value, name=plan.name, tenant_id=tenant_id, now=self._now
        )
        return made.client_id

    def _destination(self, plan: Plan, client_id: str, tenant_id: str) -> Destination:
        listed = self._owners.store.parties.destinations(scope=EVERYTHING, owner=client_id, limit=1).items
        if listed:  # A release that broke off made it.
            mine = listed[0]
            self._release_way(mine)
            return mine
        draft = Draft(
            name=plan.name,
            contact={"legalName": plan.name, "email": plan.contact},
            services=self._judges.offered(plan),
            metadata_versions=_METADATA_VERSIONS,
            encryption_kid=str(plan.keys["encryption"]["kid"]),
            adapter=plan.adapter,
            adapter_config=plan.options,
        )
        made = self._owners.destinations.create(
            draft,
            self._maker,
            encryption_key=plan.keys["encryption"],
            signature_key=plan.keys["signing"],
            owner=client_id,
            tenant_id=tenant_id,
            now=self._now,
        )
        self._release_way(made)
        return made

    def _release_way(self, destination: Destination) -> None:
        waiting = self._owners.destinations.waiting_way(destination.destination_id, self._approver)
        if waiting is not None and waiting.proposed_by == self._maker.name:
            self._owners.destinations.decide_way(
                destination.destination_id, waiting.change_id, self._approver, approve=True, text="", now=self._now
            )

    def _change(self, before: Destination, plan: Plan) -> None:
        """Bring a destination that is there to what is wanted, each part by its owner."""
        here, offered = before.destination_id, self._judges.offered(plan)
        contact = {**before.contact, "email": plan.contact}
        said = Draft(
            name=plan.name if plan.name != before.name else None,
            contact=contact if contact != dict(before.contact) else None,
            services=offered if offered != tuple(before.services) else None,
        )
        if said.parts():
            self._owners.destinations.change(here, said, self._maker, now=self._now)
        if (plan.adapter, dict(plan.options)) != (before.adapter, dict(before.adapter_config)):
            self._owners.destinations.change(
                here, Draft(adapter=plan.adapter, adapter_config=plan.options), self._maker, now=self._now
            )
        self._release_way(before)
        self._keys(before, plan)

    def _keys(self, before: Destination, plan: Plan) -> None:
        known = {each.kid for each in self._owners.store.parties.keys(before.destination_id)}
        proposer = By(actor=self._maker.name, now=self._now)
        for use in ("signing", "encryption"):
            jwk = plan.keys.get(use)
            if jwk is not None and jwk["kid"] not in known:
                proposed = self._owners.keys.propose_new(before, jwk, activate=use == "encryption", by=proposer)
                self._owners.keys.approve(before, proposed.change_id, by=By(actor=self._approver.name, now=self._now))
