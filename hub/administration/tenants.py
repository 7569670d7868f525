"""Tenants as administrators see and change them: the tree, who may what where and why, and what a change would touch.

Whoever operates a tenant makes, moves and dissolves what is below it. A role is given, and taken away, by whoever has that
very role above: so nobody gives what is not theirs, and nobody's rights are decided by those beside them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from uuid import uuid4

from hub.administration.routing_tables import RoutingTableVersions
from hub.areas import LENGTHS, Gazetteer
from hub.areas.area import LANDS
from hub.errors import Forbidden, Invalid, NotFound, Text, not_found, outside_scope
from hub.identity import Person, Right, require_a_say
from hub.model import BELOW, EVERYTHING, ROOT, Role, Scope, Tenant, TenantGrant, TenantKind
from hub.store import AuditEntry, Holdings, Page, Store

_LONGEST_NAME = 200
#: Rules, tenants and accounts that a preview names; it counts all.
_MOST_NAMED = 20
_ARS = re.compile(r"[0-9]{2,12}")
#: What stands behind a district's key in that of a city that is one.
_CITY = "0000000"
_DISTRICT_DIGITS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Why an account has a role at a tenant: where it counts from, and who gave it (empty: it is the account's own)."""

    account: str
    role: Role
    at: Tenant
    granted_by: str = ""
    granted_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantStanding:
    """A tenant, what is above (nearest first, as far as the person sees) and directly below it, what it has, who may what."""

    tenant: Tenant
    above: Sequence[Tenant]
    below: Sequence[Tenant]
    held: Holdings
    holders: Sequence[Holder]


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantImpact:
    """What a move or a dissolution touches: nothing of it is lost.

    ``held`` is all that changes hands, or who sees it; ``rules`` are ids of rules of the table in force that speak of it.
    ``losing`` and ``gaining`` are the tenants whose people cease, and begin, to see it. ``ending`` are roles that end.
    """

    tenant: Tenant
    target: Tenant
    tenants: int
    held: Holdings
    rules: Sequence[str]
    losing: Sequence[Tenant]
    gaining: Sequence[Tenant]
    ending: Sequence[Holder]


class TenantService:
    """Reads and changes the tree for a person."""

    def __init__(self, *, store: Store, gazetteer: Callable[[], Gazetteer], book: RoutingTableVersions) -> None:
        self._store = store
        self._tenants = store.tenants
        self._gazetteer = gazetteer
        self._book = book

    def list(
        self, person: Person, *, text: str = "", parent: str | None = None, offset: int = 0, limit: int = 100
    ) -> Page[Tenant]:
        """Return one page of the tenants in a person's scope, by name."""
        person.require(Right.SEE)
        return self._tenants.tenants(scope=person.scope, text=text, parent=parent, offset=offset, limit=limit)

    def show(self, tenant_id: str, person: Person) -> TenantStanding:
        """Return how a tenant stands; raise ``NotFound`` for one that is not in the person's scope."""
        person.require(Right.SEE)
        tenant = self._seen(tenant_id, person.scope)
        known = {each.tenant_id: each for each in self._tenants.tree(scope=person.scope)}
        above = [known[each] for each in self._tenants.above(tenant_id) if each in known]
        return TenantStanding(
            tenant=tenant,
            above=above,
            below=[each for each in known.values() if each.parent == tenant_id],
            held=self._tenants.own_holdings(tenant_id),
            holders=self._holders([tenant, *above], person.scope),
        )

    def create(
        self,
        person: Person,
        *,
        kind: str,
        name: str,
        parent: str,
        areas: Sequence[str] = (),
        valid_from: date | None = None,
        now: datetime,
    ) -> Tenant:
        """Create a tenant below another one that the person operates.

        Raises:
            Forbidden: the right is missing, or an area is outside the person's regions. NotFound: no such parent in scope.
            Invalid: no name, an area that is none, or a kind that does not stand below the parent's.
            Conflict: another tenant stands for one of the areas.
        """
        person = person.acting(Right.OPERATE)
        above = self._seen(parent, person.scope)
        made = Tenant(
            tenant_id=str(uuid4()),
            parent=parent,
            kind=_kind(kind),
            name=name.strip(),
            areas=_areas(areas),
            valid_from=valid_from,
            created_at=now,
            updated_at=now,
        )
        _require_sense(made, above)
        _require_regions(person, made.areas)
        self._tenants.add([made], audit=_audit(person, "tenant.add", made, now, after=_public(made)))
        return made

    def preview(
        self,
        tenant_id: str,
        person: Person,
        *,
        target: str,
        dissolve: bool = False,
        keep_rights: bool = False,
        now: datetime,
    ) -> TenantImpact:
        """Return what it would touch to put a tenant below ``target``, or to dissolve it into that. Raises as those do."""
        tenant, place = self._both(tenant_id, target, person.acting(Right.OPERATE))
        known = {each.tenant_id: each for each in self._tenants.tree(scope=person.scope)}
        before = self._tenants.above(tenant_id)
        after = [target, *self._tenants.above(target)]
        held = self._tenants.own_holdings(tenant_id) if dissolve else self._tenants.holdings(tenant_id)
        ending = self._holders([tenant], EVERYTHING) if dissolve and not keep_rights else []
        return TenantImpact(
            tenant=tenant,
            target=place,
            tenants=len(self._tenants.scope_of([tenant_id]).tenants or ()),
            held=held,
            rules=self._rules(tenant, held, now),
            losing=[known[each] for each in before if each in known and each not in after],
            gaining=[known[each] for each in after if each in known and each not in before],
            ending=ending,
        )

    def move(
        self,
        tenant_id: str,
        person: Person,
        *,
        parent: str,
        areas: Sequence[str] | None = None,
        expected: str | None = None,
        now: datetime,
    ) -> Tenant:
        """Put a tenant, with all that is below it and belongs to it, below another one; with new ``areas`` if it gets such.

        Raises:
            Forbidden: the right is missing at one of the two. NotFound: one of them is not in the person's scope.
            Invalid, Conflict: as :meth:`create`; it would stand below itself; changed since ``expected``.
        """
        person = person.acting(Right.OPERATE)
        tenant, place = self._both(tenant_id, parent, person)
        changed = replace(tenant, parent=parent, areas=tenant.areas if areas is None else _areas(areas))
        _require_sense(changed, place)
        _require_regions(person, set(changed.areas) - set(tenant.areas))
        return self._tenants.change(
            tenant_id,
            lambda before: replace(before, parent=parent, areas=changed.areas, updated_at=now),
            audit=lambda before, after: _audit(
                person, "tenant.move", after, now, before=_public(before), after=_public(after)
            ),
            expected=expected,
        )

    def rename(
        self, tenant_id: str, person: Person, *, name: str, expected: str | None = None, now: datetime
    ) -> Tenant:
        """Give a tenant another name; all that it has and may stays.

        Raises:
            Forbidden: the right is missing. NotFound: not in the person's scope, or dissolved. Invalid: no name.
            Conflict: changed since ``expected``.
        """
        tenant = self._seen(tenant_id, person.acting(Right.OPERATE).scope)
        if tenant.is_dissolved:
            raise not_found("tenant-not-found", tenant_id)
        _require_name(name.strip())
        return self._tenants.change(
            tenant_id,
            lambda before: replace(before, name=name.strip(), updated_at=now),
            audit=lambda before, after: _audit(
                person, "tenant.rename", after, now, before=_public(before), after=_public(after)
            ),
            expected=expected,
        )

    def dissolve(
        self,
        tenant_id: str,
        person: Person,
        *,
        successor: str,
        keep_rights: bool = False,
        until: date | None = None,
        expected: str | None = None,
        now: datetime,
    ) -> Holdings:
        """Dissolve a tenant into another one, which gets all that it has; return what that was.

        Raises:
            Forbidden, NotFound: as :meth:`move`. Conflict: the successor stands below it; changed since ``expected``.
            Invalid: it is the root, or its rights would count for the whole state.
        """
        person = person.acting(Right.OPERATE)
        tenant, place = self._both(tenant_id, successor, person)
        if keep_rights and place.tenant_id == ROOT:
            raise Invalid(
                Text(
                    "Rechte des Aufgelösten gälten dann im ganzen Land. Lassen Sie sie enden und vergeben Sie neue.",
                    "Rights of a dissolved tenant would count in the whole state then. Let them end, and grant new ones.",
                )
            )

        def said(held: Holdings) -> AuditEntry:
            after: dict[str, object] = {
                "successor": successor,
                "rights": "kept" if keep_rights else "ended",
                "destinations": len(held.destinations),
                "clients": len(held.clients),
                "accounts": list(held.accounts[:_MOST_NAMED]),
                "openDeliveries": held.open_deliveries,
            }
            return _audit(person, "tenant.dissolve", tenant, now, before=_public(tenant), after=after)

        return self._tenants.dissolve(
            tenant_id,
            successor=successor,
            keep_rights=keep_rights,
            until=until or now.date(),
            audit=said,
            now=now,
            expected=expected,
        )

    def grant(self, person: Person, *, account: str, role: str, tenant_id: str, now: datetime) -> TenantGrant:
        """Give an account a role at a tenant and all below it.

        Raises:
            Forbidden: the person does not have that role above the tenant. NotFound: tenant or account is not in scope.
            Invalid: no such role, or the account's roles come from the provider. Conflict: the account has it there.
        """
        given = self._given(person, account, role, tenant_id, now)
        found = self._store.accounts.visible_account(given.account, scope=person.scope)
        if found is None or found.disabled_at is not None:
            raise not_found("account-not-found", given.account)
        if not found.is_local:
            raise Invalid(
                Text(
                    "Die Rollen dieses Kontos kommen vom Anmeldedienst (OpenID Connect); vergeben Sie sie dort.",
                    "This account's roles come from the OpenID Connect provider; give them there.",
                )
            )
        self._tenants.grant(given, audit=_granted(person, "tenant.grant", given, now))
        return given

    def revoke(self, person: Person, *, account: str, role: str, tenant_id: str, now: datetime) -> None:
        """Take a granted role away; its account is logged out. Errors as :meth:`grant`; ``NotFound`` where it has none."""
        given = self._given(person, account, role, tenant_id, now)
        if not self._tenants.revoke(given, audit=_granted(person, "tenant.revoke", given, now)):
            raise NotFound(
                Text(
                    "Diese Rolle wurde dort nicht vergeben. Rollen, die ein Konto von sich aus hat, ändert „hub accounts“.",
                    "This role was not granted there. Roles that an account has of its own are changed by 'hub accounts'.",
                )
            )

    def import_land(self, person: Person, land: str, *, now: datetime) -> Sequence[Tenant]:
        """Make the tree of a land from the list of areas, as of today; what is there stays. Return what was made.

        Raises:
            Forbidden: the person does not operate the whole state. Invalid: the hub knows no areas of that land.
        """
        if not person.acting(Right.OPERATE).may_everywhere(Right.OPERATE):
            raise outside_scope(Text("Das ganze Land liegt", "The whole state lies"))
        gazetteer, today = self._gazetteer(), now.date()
        towns = gazetteer.municipalities(land, on=today) if land in LANDS else ()
        if not towns:
            raise Invalid(Text(f"Zu „{land}“ kennt der Hub keine Gebiete.", f"The hub knows no areas of '{land}'."))
        taken = {ars: each for each in self._tenants.tree(scope=EVERYTHING) for ars in each.areas}
        made: dict[str, Tenant] = {}

        def parent_of(district: str) -> str:
            there = taken.get(district) or made.get(district)
            return ROOT if there is None else there.tenant_id

        def add(kind: TenantKind, ars: str, name: str, parent: str) -> None:
            if ars not in taken:
                made[ars] = Tenant(
                    tenant_id=f"ars-{ars}",
                    parent=parent,
                    kind=kind,
                    name=name,
                    areas=(ars,),
                    created_at=now,
                    updated_at=now,
                )

        cities = {town.area.ars[:_DISTRICT_DIGITS] for town in towns if town.area.ars.endswith(_CITY)}
        for district in gazetteer.districts(land, on=today):
            if district.area.ars not in cities:
                add(TenantKind.DISTRICT, district.area.ars, district.name, ROOT)
        for town in towns:
            key, is_city = town.area.ars[:_DISTRICT_DIGITS], town.area.ars.endswith(_CITY)
            ars = key if is_city else town.area.ars
            add(TenantKind.MUNICIPALITY, ars, town.name, ROOT if is_city else parent_of(key))
        if made:
            entry = AuditEntry(
                at=now,
                actor=person.name,
                action="tenant.import",
                target="tenants",
                after={"land": land, "made": len(made)},
            )
            self._tenants.add([*made.values()], audit=entry)
        return [*made.values()]

    def _given(self, person: Person, account: str, role: str, tenant_id: str, now: datetime) -> TenantGrant:
        require_a_say(person)
        tenant = self._seen(tenant_id, person.scope)
        if role not in set(Role):
            raise Invalid(Text("Diese Rolle gibt es nicht.", "There is no such role."))
        if person.is_named and not self._has_above(person, Role(role), tenant):
            raise Forbidden(
                Text(
                    f"Die Rolle „{role}“ vergibt und entzieht hier nur, wer sie selbst bei einem übergeordneten Mandanten hat.",
                    f"The role '{role}' is given and taken away here only by who has it at a tenant above.",
                ),
                slug="role-not-yours",
            )
        return TenantGrant(
            account=account.lower(),
            role=Role(role),
            tenant_id=tenant.tenant_id,
            granted_by=person.name,
            granted_at=now,
        )

    def _has_above(self, person: Person, role: Role, tenant: Tenant) -> bool:
        held = [each for each in person.held if each.role is role]
        area = self._tenants.area_of(tenant.tenant_id)
        return any(
            each.scope.is_everything
            or (each.tenant_id != tenant.tenant_id and each.scope.holds(tenant.tenant_id, area))
            for each in held
        )

    def _seen(self, tenant_id: str, scope: Scope) -> Tenant:
        found = self._tenants.tenant(tenant_id, scope=scope)
        if found is None:
            raise not_found("tenant-not-found", tenant_id)
        return found

    def _both(self, tenant_id: str, target: str, person: Person) -> tuple[Tenant, Tenant]:
        tenant, place = self._seen(tenant_id, person.scope), self._seen(target, person.scope)
        if tenant.is_dissolved or place.is_dissolved:
            raise not_found("tenant-not-found", tenant_id if tenant.is_dissolved else target)
        if tenant.tenant_id == ROOT:
            raise Invalid(Text("Die Wurzel des Baums bleibt, wo sie ist.", "The root of the tree stays where it is."))
        return tenant, place

    def _holders(self, places: Sequence[Tenant], scope: Scope) -> Sequence[Holder]:
        at = {each.tenant_id: each for each in places}
        found = [
            Holder(account=name, role=role, at=place)
            for place in places
            for name in self._tenants.own_holdings(place.tenant_id).accounts
            for role in self._roles_of(name)
        ]
        found += [
            Holder(
                account=each.account,
                role=each.role,
                at=at[each.tenant_id],
                granted_by=each.granted_by,
                granted_at=each.granted_at,
            )
            for each in self._tenants.grants_at(list(at), scope=scope)
        ]
        return found

    def _roles_of(self, name: str) -> Sequence[Role]:
        account = self._store.accounts.account(name)
        return () if account is None or account.disabled_at is not None else account.roles

    def _rules(self, tenant: Tenant, held: Holdings, now: datetime) -> Sequence[str]:
        in_force = self._book.in_force(now)
        theirs = set(held.destinations)
        return [
            rule.id
            for rule in (in_force[1] if in_force is not None else ())
            if str(rule.destination) in theirs or rule.area.ars.startswith(tuple(tenant.areas))
        ]


def _kind(text: str) -> TenantKind:
    if text not in set(TenantKind):
        raise Invalid(Text("Diese Art von Mandant gibt es nicht.", "There is no such kind of tenant."))
    return TenantKind(text)


def _areas(given: Sequence[str]) -> tuple[str, ...]:
    areas = tuple(dict.fromkeys(each.removeprefix("DE") for each in given))
    wrong = next((each for each in areas if not _ARS.fullmatch(each) or each[:2] not in LANDS), None)
    if wrong is not None:
        raise Invalid(
            Text(
                f"„{wrong}“ ist kein Amtlicher Regionalschlüssel ({', '.join(map(str, LENGTHS[::-1]))} Stellen).",
                f"'{wrong}' is no Amtlicher Regionalschlüssel ({', '.join(map(str, LENGTHS[::-1]))} digits).",
            )
        )
    return areas


def _require_name(name: str) -> None:
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise Invalid(
            Text(
                f"Ein Mandant braucht einen Namen (höchstens {_LONGEST_NAME} Zeichen).",
                f"A tenant needs a name (at most {_LONGEST_NAME} characters).",
            )
        )


def _require_sense(tenant: Tenant, parent: Tenant) -> None:
    _require_name(tenant.name)
    if tenant.kind not in BELOW[parent.kind] or parent.is_dissolved:
        raise Invalid(
            Text(
                f"Das steht nicht unter {parent.name}: Die Reihenfolge ist Land, Landkreis, Gemeinde, Amt.",
                f"That does not stand below {parent.name}: the order is state, district, municipality, office.",
            )
        )


def _require_regions(person: Person, areas: Sequence[str] | set[str]) -> None:
    outside = next((each for each in sorted(areas) if not person.covers(each)), None)
    if outside is not None:
        raise outside_scope(Text(f"Das Gebiet „{outside}“ liegt", f"Area '{outside}' lies"))


def _public(tenant: Tenant) -> dict[str, object]:
    return {"name": tenant.name, "kind": tenant.kind.value, "parent": tenant.parent, "areas": list(tenant.areas)}


def _audit(
    person: Person,
    action: str,
    tenant: Tenant,
    now: datetime,
    *,
    before: dict[str, object] | None = None,
    after: dict[str, object],
) -> AuditEntry:
    target = f"tenant:{tenant.tenant_id}"
    return AuditEntry(at=now, actor=person.name, action=action, target=target, before=before or {}, after=after)


def _granted(person: Person, action: str, given: TenantGrant, now: datetime) -> AuditEntry:
    said = {"account": given.account, "role": given.role.value}
    target = f"tenant:{given.tenant_id}"
    before, after = ({}, said) if action.endswith("grant") else (said, {})
    return AuditEntry(at=now, actor=person.name, action=action, target=target, before=before, after=after)
