"""Vendors of software as administrators see and change them: admitted once, delegated to by each authority.

Whoever operates a tenant admits vendors there, and delegates to those that were admitted there, above or below: for the tenant
and all below it. A vendor sees nothing by that; its clients send and collect where somebody delegated, and nowhere else.

A vendor's key is proposed by one person and approved by a second one, as authorities' keys are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from hub.administration.keys import judged
from hub.crypto import KeyPolicy
from hub.errors import Invalid, Malformed, Text, not_found
from hub.identity import Person, Right, place_for, require_a_say, require_approver
from hub.model import ROOT, Client, ClientSoftware, Delegation, Tenant, Vendor, canonical_service
from hub.store import AuditEntry, ChangeState, ConformanceScore, Page, Store, VendorKey

_LONGEST_NAME, _LONGEST_CONTACT = 100, 200
#: A product as RFC 9110 section 10.1.5 writes it, in fewer signs, with its version: ``Antragsnetz/4.2.1``.
_PRODUCT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+-]{0,59})/([A-Za-z0-9][A-Za-z0-9._+-]{0,39})")
_SERVICE = re.compile(r"urn:[\x21-\x7e]{1,200}")


@dataclass(frozen=True, kw_only=True, slots=True)
class VendorStanding:
    """A vendor as a person sees it: its clients with their names, and for whom it acts, with tenants' names by id."""

    vendor: Vendor
    software: Sequence[tuple[ClientSoftware, str]]
    delegations: Sequence[Delegation]
    keys: Sequence[VendorKey]
    scores: Sequence[ConformanceScore]
    tenants: Mapping[str, str]


class VendorService:
    """Reads and changes vendors for a person."""

    def __init__(self, *, store: Store, policy: KeyPolicy) -> None:
        self._store = store
        self._vendors = store.vendors
        self._policy = policy

    def list(self, person: Person, *, text: str = "", offset: int = 0, limit: int = 100) -> Page[Vendor]:
        """Return one page of the vendors that a person may delegate to, or that were admitted in the person's scope."""
        person.require(Right.SEE)
        above = self._above(person)
        return self._vendors.vendors(scope=person.scope, above=above, text=text, offset=offset, limit=limit)

    def show(self, vendor_id: str, person: Person) -> VendorStanding:
        """Return how a vendor stands; raise ``NotFound`` for one that the person does not see."""
        person.require(Right.SEE)
        above = self._above(person)
        vendor = self._seen(vendor_id, person)
        delegations = self._vendors.delegations(vendor_id, scope=person.scope, above=above)
        known = {each.tenant_id: each.name for each in self._store.tenants.tree(scope=person.scope)}
        return VendorStanding(
            vendor=vendor,
            software=self._vendors.software_of(vendor_id, scope=person.scope),
            delegations=delegations,
            keys=self._vendors.keys(vendor_id),
            scores=self._vendors.scores(vendor_id),
            tenants=known,
        )

    def create(
        self, person: Person, *, name: str, contact: str = "", tenant_id: str | None = None, now: datetime
    ) -> Vendor:
        """Admit a vendor: at a tenant, else where the person is at home.

        Raises:
            Forbidden: the right is missing. NotFound: no such tenant in scope. Invalid: no name, or a contact that is none.
            Conflict: one of that name was admitted there.
        """
        person = person.acting(Right.OPERATE)
        name, contact = name.strip(), contact.strip()
        if not _is_line(name, _LONGEST_NAME) or (contact and not _is_line(contact, _LONGEST_CONTACT)):
            raise _no_vendor()
        place = place_for(self._store, person, tenant_id=tenant_id)
        made = Vendor(
            vendor_id=str(uuid4()),
            name=name,
            contact=contact,
            tenant_id=place.tenant_id,
            admitted_by=person.name,
            created_at=now,
        )
        said = {"name": name, "tenant": place.tenant_id or ROOT}
        self._vendors.add(made, audit=_audit(person, "vendor.add", f"vendor:{made.vendor_id}", now, said))
        return made

    def delegate(
        self, vendor_id: str, person: Person, *, tenant_id: str, service: str = "", now: datetime
    ) -> Delegation:
        """Let a vendor act for a tenant and all below it, for one service or for all.

        Raises:
            Forbidden: the person does not operate that tenant. NotFound: no such vendor or tenant in scope.
            Invalid: the service is no URN. Conflict: that is so already.
        """
        person = person.acting(Right.OPERATE)
        vendor, tenant = self._seen(vendor_id, person), self._tenant(tenant_id, person)
        service = canonical_service(service.strip())
        if service and not _SERVICE.fullmatch(service):
            raise _no_service()
        given = Delegation(
            delegation_id=str(uuid4()),
            vendor_id=vendor_id,
            tenant_id=tenant.tenant_id,
            service=service,
            granted_by=person.name,
            granted_at=now,
        )
        self._vendors.delegate(given, audit=_delegated(person, "vendor.delegate", vendor, given, now))
        return given

    def withdraw(self, vendor_id: str, delegation_id: str, person: Person, *, now: datetime) -> Delegation:
        """Withdraw a delegation: the vendor's next call is refused, what was accepted stays.

        Raises:
            Forbidden: the person does not operate that tenant.
            NotFound: no such delegation that holds, by a tenant in the person's scope.
        """
        person = person.acting(Right.OPERATE)
        vendor = self._seen(vendor_id, person)
        held = self._vendors.delegations(vendor_id, scope=person.scope)
        found = next((each for each in held if each.delegation_id == delegation_id), None)
        if found is None or found.withdrawn_at is not None:
            raise not_found("delegation-not-found", delegation_id)
        audit = _delegated(person, "vendor.withdraw", vendor, found, now)
        if not self._vendors.withdraw(found, by=person.name, now=now, audit=audit):
            raise not_found("delegation-not-found", delegation_id)
        return replace(found, withdrawn_by=person.name, withdrawn_at=now)

    def set_software(
        self, vendor_id: str, client_id: str, person: Person, *, product: str, now: datetime
    ) -> ClientSoftware:
        """Say that a client is a vendor's software from now on; ``product`` as in ``Antragsnetz/4.2.1``.

        From then on it acts for those alone who delegated to the vendor.

        Raises:
            Forbidden: the right is missing. NotFound: no such vendor or client in scope. Invalid: no product with its version.
        """
        person = person.acting(Right.OPERATE)
        vendor, client = self._seen(vendor_id, person), self._client(client_id, person)
        written = _PRODUCT.fullmatch(product.strip())
        if written is None:
            raise _no_product()
        software = ClientSoftware(
            client_id=client.client_id, vendor_id=vendor_id, product=written[1], version=written[2], since=now
        )
        said = {"vendor": vendor.name, "vendorId": vendor_id, "product": written[1], "version": written[2]}
        self._vendors.set_software(software, audit=_audit(person, "client.vendor", f"client:{client_id}", now, said))
        return software

    def end_software(self, vendor_id: str, client_id: str, person: Person, *, now: datetime) -> None:
        """Say that a client is the vendor's no more; it then needs no delegation. Errors as :meth:`set_software`."""
        person = person.acting(Right.OPERATE)
        self._seen(vendor_id, person)
        client = self._client(client_id, person)
        software = self._vendors.software(client.client_id)
        if software is None or software.vendor_id != vendor_id:
            raise not_found("client-not-found", client_id)
        entry = _audit(person, "client.vendor", f"client:{client_id}", now, {})
        before = {"vendorId": vendor_id, "product": software.product, "version": software.version}
        self._vendors.end_software(client_id, now, audit=replace(entry, before=before))

    def record_score(self, score: ConformanceScore, person: Person) -> None:
        """Keep what came of a package that a vendor's software was tried with.

        Raises:
            Forbidden: the right is missing. NotFound: no such vendor in scope.
        """
        person = person.acting(Right.OPERATE)
        self._seen(score.vendor_id, person)
        what = f"{score.product}/{score.version} {score.standard}/{score.standard_version}"
        said = {"what": what, "good": score.good, "cases": score.cases}
        entry = _audit(person, "vendor.score", f"vendor:{score.vendor_id}", score.at, said)
        self._vendors.record_score(score, audit=entry)

    def propose_key(self, vendor_id: str, jwk: Mapping[str, Any], person: Person, *, now: datetime) -> VendorKey:
        """Propose a key (public JWK for PS512) by which the vendor's clients show who they are.

        Raises:
            Forbidden: the right is missing where the vendor was admitted. NotFound: no such vendor in scope.
            Malformed: the key policy refuses it. Conflict: the vendor has a key of that ``kid``.
        """
        vendor = self._own(vendor_id, person, Right.OPERATE)
        if jwk.get("key_ops") != ["verify"]:
            raise _no_vendor_key()
        key = judged(jwk, use="verify", now=now, policy=self._policy)
        made = VendorKey(
            vendor_id=vendor.vendor_id, kid=str(key["kid"]), jwk=key, proposed_by=person.name, proposed_at=now
        )
        self._vendors.propose_key(made, audit=_keyed(person, "vendor.key.propose", made, now))
        return made

    def approve_key(self, vendor_id: str, kid: str, person: Person, *, now: datetime) -> VendorKey:
        """Approve a key as a second person: it is good from then on.

        Raises:
            Forbidden: the right is missing, or one may be the human who proposed (``second-person``).
            NotFound: no such key that waits. Malformed: the key policy refuses it by now.
        """
        key = self._waiting(self._own(vendor_id, person, Right.APPROVE), kid)
        require_approver(self._store, person, key.proposed_by, now=now)
        judged(key.jwk, use="verify", now=now, policy=self._policy)
        return self._decided(key, ChangeState.APPROVED, "vendor.key.approve", person, now)

    def refuse_key(self, vendor_id: str, kid: str, person: Person, *, now: datetime) -> VendorKey:
        """Turn a key down, or take one's own back; raise ``NotFound`` where none waits."""
        require_a_say(person)
        right = Right.APPROVE if person.may(Right.APPROVE) else Right.OPERATE
        key = self._waiting(self._own(vendor_id, person, right), kid)
        state = ChangeState.WITHDRAWN if key.proposed_by == person.name else ChangeState.REFUSED
        return self._decided(key, state, "vendor.key.refuse", person, now)

    def retire_key(self, vendor_id: str, kid: str, person: Person, *, now: datetime) -> VendorKey:
        """Let a key be good for nothing any more, at once: that takes one person, for it may be stolen."""
        vendor = self._own(vendor_id, person, Right.OPERATE)
        key = self._vendors.key(vendor.vendor_id, kid)
        if key is None or not key.is_good:
            raise not_found("vendor-key-not-found", kid)
        entry = _keyed(person, "vendor.key.retire", key, now)
        changed = self._vendors.change_key(key, lambda before: replace(before, retired_at=now), audit=entry)
        if changed is None:
            raise not_found("vendor-key-not-found", kid)
        return changed

    def _decided(self, key: VendorKey, state: ChangeState, action: str, person: Person, now: datetime) -> VendorKey:
        changed = self._vendors.change_key(
            key,
            lambda before: replace(before, state=state, decided_by=person.name, decided_at=now),
            audit=_keyed(person, action, key, now),
        )
        if changed is None:
            raise not_found("vendor-key-not-found", key.kid)
        return changed

    def _waiting(self, vendor: Vendor, kid: str) -> VendorKey:
        key = self._vendors.key(vendor.vendor_id, kid)
        if key is None or key.state is not ChangeState.OPEN:
            raise not_found("vendor-key-not-found", kid)
        return key

    def _above(self, person: Person) -> frozenset[str]:
        """Return the tenants above those that a person has a role at: who was admitted there may be delegated to here."""
        above = {ROOT}
        for each in person.held:
            if each.tenant_id is not None:
                above.update(self._store.tenants.above(each.tenant_id))
        return frozenset(above)

    def _seen(self, vendor_id: str, person: Person) -> Vendor:
        found = self._vendors.vendor(vendor_id, scope=person.scope, above=self._above(person))
        if found is None:
            raise not_found("vendor-not-found", vendor_id)
        return found

    def _own(self, vendor_id: str, person: Person, right: Right) -> Vendor:
        """Return a vendor that was admitted where the person has a right."""
        acting = person.acting(right)
        found = self._vendors.vendor(vendor_id, scope=acting.scope)
        if found is None:
            raise not_found("vendor-not-found", vendor_id)
        return found

    def _tenant(self, tenant_id: str, person: Person) -> Tenant:
        found = self._store.tenants.tenant(tenant_id, scope=person.scope)
        if found is None or found.is_dissolved:
            raise not_found("tenant-not-found", tenant_id)
        return found

    def _client(self, client_id: str, person: Person) -> Client:
        found = self._store.parties.visible_client(client_id, scope=person.scope)
        if found is None:
            raise not_found("client-not-found", client_id)
        return found


def _no_vendor_key() -> Malformed:
    return Malformed(
        Text(
            'Der Schlüssel eines Herstellers prüft Unterschriften: key_ops ist ["verify"], alg PS512.',
            'A vendor\'s key verifies signatures: key_ops is ["verify"], alg PS512.',
        ),
        slug="key-refused",
    )


def _no_product() -> Invalid:
    return Invalid(
        Text(
            "Das Produkt steht mit seiner Version, etwa Antragsnetz/4.2.1 (Buchstaben, Ziffern, Punkt, _, +, -).",
            "The product stands with its version, as in Antragsnetz/4.2.1 (letters, digits, dot, _, +, -).",
        )
    )


def _no_service() -> Invalid:
    return Invalid(
        Text(
            "Eine Leistung ist ein URN, etwa urn:de:fim:leika:leistung:99012008001000; leer heißt: alle.",
            "A service is a URN, such as urn:de:fim:leika:leistung:99012008001000; empty stands for all.",
        )
    )


def _no_vendor() -> Invalid:
    return Invalid(
        Text(
            f"Ein Hersteller braucht einen Namen (eine Zeile, höchstens {_LONGEST_NAME} Zeichen); ein Kontakt hat "
            f"höchstens {_LONGEST_CONTACT}.",
            f"A vendor needs a name (one line, at most {_LONGEST_NAME} characters); a contact has "
            f"{_LONGEST_CONTACT} at most.",
        )
    )


def _is_line(text: str, longest: int) -> bool:
    return 0 < len(text) <= longest and text.isprintable()


def _audit(person: Person, action: str, target: str, now: datetime, after: Mapping[str, object]) -> AuditEntry:
    return AuditEntry(at=now, actor=person.name, action=action, target=target, after=dict(after))


def _delegated(person: Person, action: str, vendor: Vendor, given: Delegation, now: datetime) -> AuditEntry:
    """Return the entry of what a tenant delegated: it speaks of the tenant, whose people and those above read it."""
    said: dict[str, object] = {"vendor": vendor.name, "vendorId": vendor.vendor_id, "service": given.service}
    before, after = (said, {}) if action.endswith("withdraw") else ({}, said)
    target = f"tenant:{given.tenant_id}"
    return AuditEntry(at=now, actor=person.name, action=action, target=target, before=before, after=after)


def _keyed(person: Person, action: str, key: VendorKey, now: datetime) -> AuditEntry:
    return _audit(person, action, f"vendor:{key.vendor_id}", now, {"kid": key.kid})
