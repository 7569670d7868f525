"""Who may do what, and what takes a second person.

Who may do what: rights come from who owns a thing; a token's scopes are an upper bound (FIT-Connect, section 2.1).

The one rule of four eyes, for keys and for ways of delivery, on pages, API and command line.

An *operator* proposes, an *approver* approves, and the two are never one human, whatever roles and accounts they have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from hub.errors import Forbidden, Text, needs_second_person, not_found, outside_scope
from hub.identity.clients import Caller, Directory
from hub.identity.persons import HOW_TO_VOUCH, Belonging, OneHuman, Person, Right, one_human
from hub.model import ROOT, Destination, canonical_service
from hub.store import Case, Store, StoredMessage

_SEND = "send:region:DE"
_SERVICE = "+send:service:"
#: Beginnings of scope tokens that are bound to one destination.
_BOUND = ("subscribe:destination:", "manage:destination:")


def existing_destination(store: Store, destination_id: UUID) -> Destination:
    """Return a destination in any status.

    Raises:
        NotFound: there is none.
    """
    destination = store.parties.destination(destination_id)
    if destination is None:
        raise not_found("destination-not-found", destination_id)
    return destination


def own_destination(store: Store, destination_id: UUID, caller: Caller) -> Destination:
    """Return a destination that belongs to the caller.

    Raises:
        NotFound: there is none.
        Forbidden: it is somebody else's, the token is bound to other destinations, or the client is software of a vendor who
            may not act for it (``delegation-missing``).
    """
    destination = existing_destination(store, destination_id)
    if not owns(caller, destination):
        raise Forbidden(
            Text(
                "Dieser Zustellpunkt gehört nicht zu Ihrem Client. Lassen Sie ihn Ihrem Client zuordnen.",
                "This destination does not belong to your client. Have it linked to your client.",
            )
        )
    require_delegated(store, caller.client_id, destination)
    return destination


def owns(caller: Caller, destination: Destination) -> bool:
    """Tell whether a destination is the caller's, as far as its token reaches."""
    within = reach(caller)
    return destination.owner == caller.client_id and (within is None or destination.destination_id in within)


def require_sending(caller: Caller, *, service: str, areas: Sequence[str]) -> None:
    """Check the older scopes ``send:region:DE…``, which bind a token to a region or a service.

    ``areas`` are the ARS (or their beginnings) that a submission may be for; one of them within the token's reach is enough.

    Raises:
        Forbidden: all of the token's send scopes are bound, and none to such a region and this service.
    """
    bound = [scope for scope in caller.scopes if scope.startswith(_SEND)]
    if not bound or any(_covers(scope, service, area) for scope in bound for area in areas):
        return
    raise Forbidden(
        Text(
            "Das Zugriffstoken gilt nicht für diese Region oder Leistung. Fordern Sie eines ohne scope oder mit passendem an.",
            "The access token does not hold for this region or service. Request it without scope or with a fitting one.",
        )
    )


def require_delegation(
    directory: Directory, client_id: str, destination: Destination, *, service: str, now: datetime
) -> None:
    """Check that a vendor's client may send to a destination, by what is known of a second ago at most.

    ``service`` is canonical; empty: what belongs to a case, for which any delegation there is enough. Who is no vendor's client
    needs none.

    Raises:
        Forbidden: nobody who the destination belongs to delegated that to the vendor, or not any more (``delegation-missing``).
    """
    software = directory.software(client_id, now=now)
    if software is not None:
        granted = directory.grants(software.vendor_id, now=now)
        _require_granted(granted, directory.lineage(destination, now=now), {service} - {""}, destination)


def require_delegated(store: Store, client_id: str, destination: Destination) -> None:
    """Check that a vendor's client may collect and answer what came to a destination, by what the store says now.

    The delegation has to hold for all services that the destination offers: what waits there is of any of them.

    Raises:
        Forbidden: as :func:`require_delegation`.
    """
    software = store.vendors.software(client_id)
    if software is not None:
        granted, lineage = store.vendors.grants(software.vendor_id), store.vendors.lineage(destination.tenant_id)
        offered = {canonical_service(each.identifier) for each in destination.services}
        _require_granted(granted, lineage, offered, destination)


def delegated_among(store: Store, client_id: str, destination_ids: frozenset[UUID]) -> frozenset[UUID]:
    """Return for which of its destinations a vendor's client may act; all of them for who is no vendor's client.

    Raises:
        Forbidden: it has some, and may act for none (``delegation-missing``).
    """
    if not destination_ids or store.vendors.software(client_id) is None:
        return destination_ids
    found, refusal = set(), None
    for each in sorted(destination_ids):
        try:
            require_delegated(store, client_id, existing_destination(store, each))
        except Forbidden as refused:
            refusal = refused
        else:
            found.add(each)
    if not found and refusal is not None:
        raise refusal
    return frozenset(found)


def _require_granted(
    granted: frozenset[tuple[str, str]], lineage: frozenset[str], wanted: set[str], destination: Destination
) -> None:
    there = {service for tenant, service in granted if tenant in lineage}
    if there and ("" in there or wanted <= there):
        return
    raise Forbidden(
        Text(
            f"Der Hersteller dieser Software darf für {destination.name} nicht, oder nicht mehr, oder nicht für diese Leistung "
            "handeln. Bitten Sie die Behörde um eine Vollmacht; was schon angenommen ist, bleibt angenommen.",
            f"This software's vendor may not act for {destination.name}, or not any more, or not for this service. Ask the "
            "authority for a delegation; what was accepted stays accepted.",
        ),
        slug="delegation-missing",
        destinationId=str(destination.destination_id),
    )


def own_message(message: StoredMessage | None, caller: Caller) -> StoredMessage:
    """Return a message that the caller wrote.

    Raises:
        NotFound: there is none.
        Forbidden: it is somebody else's.
    """
    if message is None:
        raise not_found("submission-not-found")
    if message.sender != caller.client_id:
        raise _not_a_party()
    return message


def require_party(store: Store, case: Case, caller: Caller) -> None:
    """Require that the caller opened the case or owns its destination.

    Raises:
        Forbidden: neither.
    """
    if case.sender == caller.client_id:
        return
    destination = store.parties.destination(case.destination_id)
    if destination is None or not owns(caller, destination):
        raise _not_a_party()


def reach(caller: Caller) -> frozenset[UUID] | None:
    """Return the destinations that the token's scopes name; None where they bind it to none, so that it reaches all of its own.

    A list is narrowed by this before it is counted and cut into pages.
    """
    bound = [scope for scope in caller.scopes if scope.startswith(_BOUND)]
    free = any(scope.endswith(("/subscribe-destinations", "/manage-destinations")) for scope in caller.scopes)
    return None if free or not bound else frozenset(filter(None, map(_named, bound)))


def _named(scope: str) -> UUID | None:
    try:
        return UUID(scope.rpartition(":")[2])
    except ValueError:
        return None


def _covers(scope: str, service: str, area: str) -> bool:
    region, _, bound_service = scope.removeprefix(_SEND).partition(_SERVICE)
    names = {"", canonical_service(service)}
    return area.startswith(region) and canonical_service(bound_service) in names


def _not_a_party() -> Forbidden:
    return Forbidden(
        Text(
            "Ihr Client ist an diesem Vorgang nicht beteiligt. Verwenden Sie das Token des Clients, der sendet oder empfängt.",
            "Your client is no party of this case. Use the token of the client that sends or receives.",
        )
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Home:
    """Where something new belongs: to whom (None: the root), and for which area (the beginning of an ARS; empty: all)."""

    area: str
    tenant_id: str | None


def place_for(store: Store, person: Person, *, area: str = "", tenant_id: str | None = None) -> Home:
    """Return where something that a person makes belongs.

    Where neither a tenant nor an area is named, that is where the person is at home; where only an area is, to whoever stands
    for it; where only a tenant is, its area is the nearest one above.

    Raises:
        Forbidden: it would be outside the person's scope, or the area is none (slug ``outside-tenant``).
        NotFound: no such tenant in the person's scope.
    """
    scope = person.scope
    if not area and tenant_id is None and not scope.is_everything:
        area, tenant_id = person.tenant, _home(person)
    if tenant_id is not None:
        found = store.tenants.tenant(tenant_id, scope=scope)
        if found is None or found.is_dissolved:
            raise not_found("tenant-not-found", tenant_id)
        area = area or store.tenants.area_of(tenant_id)
    elif area:
        tenant_id = store.tenants.standing_for(area)
    is_ars = area == "" or (area.isascii() and area.isdigit())
    if not is_ars or not scope.holds(tenant_id, area) or (scope.tenants is not None and not area and tenant_id is None):
        raise outside_scope(
            Text(f"Der Mandant „{area}“ ist kein ARS-Präfix, oder liegt", f"Tenant '{area}' is no ARS prefix, or lies")
        )
    return Home(area=area, tenant_id=None if tenant_id == ROOT else tenant_id)


def _home(person: Person) -> str | None:
    """Return the tenant that all of a person's roles count at, if it is one."""
    tops = {each.tenant_id for each in person.held}
    return tops.pop() if len(tops) == 1 else None


def require_region(person: Person, area: str) -> None:
    """Raise ``Forbidden`` for an area outside the regions that a person acts for."""
    if not person.covers(area):
        raise outside_scope(Text(f"Das Gebiet „{area}“ liegt", f"Area '{area}' lies"))


def require_proposer(person: Person, at: Belonging | None = None) -> None:
    """Raise ``Forbidden`` for somebody who may not propose, there where ``at`` is named."""
    person.require(Right.OPERATE, at)


def require_a_say(person: Person, at: Belonging | None = None) -> None:
    """Raise ``Forbidden`` for a person who can neither propose nor approve, whatever it is about."""
    if not person.may(Right.APPROVE, at):
        person.require(Right.OPERATE, at)


def require_approver(
    store: Store, person: Person, proposed_by: str, at: Belonging | None = None, *, now: datetime
) -> None:
    """Raise ``Forbidden`` for whoever may be the human who proposed (slug ``second-person``), or may not approve there."""
    require_second_human(store, person.name, [proposed_by], now=now)
    person.require(Right.APPROVE, at)


def require_second_human(store: Store, name: str, others: Iterable[str], *, now: datetime) -> None:
    """Raise ``Forbidden`` (slug ``second-person``) where the person of an account may be one of ``others``, who proposed."""
    reason = one_human(store, name, others, now=now)
    if reason is not None:
        raise needs_second_person(Forbidden, _SAME_HUMAN[reason])


#: What somebody is told who approves what may be their own proposal. No name: who asks need not know who else is meant.
_SAME_HUMAN = {
    OneHuman.SAME: Text(
        "Diese Änderung haben Sie selbst vorgeschlagen. Freigeben muss sie jemand anderes.",
        "You proposed this change yourself. Somebody else has to approve it.",
    ),
    OneHuman.KINDS: Text(
        "Ihr Konto und das vorschlagende können derselben Person gehören: Eines ist lokal, das andere vom Anmeldedienst. "
        "Freigeben muss, wer auf dieselbe Art angemeldet ist („hub accounts link“ verbindet ein lokales Konto mit dem "
        "Anmeldedienst).",
        "Your account and the one that proposed may belong to one person: one is local, the other the OpenID Connect "
        "provider's. Somebody has to approve who logs in the same way ('hub accounts link' binds a local account to the "
        "provider).",
    ),
    OneHuman.INVITED: Text(
        "Ihr Konto und das vorschlagende zählen noch als eine Person: Eines hat das andere eingeladen oder dessen zweiten "
        f"Faktor zurückgesetzt, oder beide kommen aus derselben Hand. {HOW_TO_VOUCH.de}",
        "Your account and the one that proposed still count as one person: one invited the other or reset its second "
        f"factor, or both come from the same hands. {HOW_TO_VOUCH.en}",
    ),
}
