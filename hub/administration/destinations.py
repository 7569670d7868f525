"""Destinations and their keys: reading them, and what their owners may change (FIT-Connect, sections 4.2 and 5.3).

Destinations as administrators change them: within their tenant, keys by two persons, adapters with strict options.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from hub.administration.adapters import AdapterApproval, AdapterWish, shown
from hub.administration.keys import By, KeyApproval, judged, use_of
from hub.crypto import KeyPolicy
from hub.errors import (
    Forbidden,
    KeyRefused,
    Malformed,
    Text,
    destination_state,
    needs_second_person,
    not_found,
    outside_scope,
    overtaken,
)
from hub.identity import (
    Caller,
    Person,
    Right,
    anybody_may,
    existing_destination,
    own_destination,
    place_for,
    reach,
    require_a_say,
    require_approver,
    require_proposer,
)
from hub.model import EVERYTHING, Callback, ClientKind, Destination, OfferedService, is_uri
from hub.store import (
    AdapterChange,
    AuditEntry,
    ChangeState,
    Circuit,
    KeyChange,
    KeyStep,
    OutgoingCallback,
    Page,
    Store,
    StoredKey,
    adapter_change_open,
)

#: Allowed changes of status: from -> to. A decommissioned destination stays that for good.
_STATUS: Mapping[str, frozenset[str]] = {
    "created": frozenset({"created", "active", "inactive", "decommissioned"}),
    "active": frozenset({"active", "inactive", "decommissioned"}),
    "inactive": frozenset({"active", "inactive", "decommissioned"}),
    "decommissioned": frozenset({"decommissioned"}),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Draft:
    """What is said of a destination; None leaves a part as it is, unless ``without`` names it. ``callback`` is sealed.

    The adapter is the operators' to choose, not the owner's: no handler of the API fills it.
    """

    name: str | None = None
    status: str | None = None
    services: tuple[OfferedService, ...] | None = None
    metadata_versions: tuple[str, ...] | None = None
    encryption_kid: str | None = None
    contact: Mapping[str, Any] | None = None
    reply_channels: Mapping[str, Any] | None = None
    callback: Callback | None = field(repr=False, default=None)
    adapter: str | None = None
    adapter_config: Mapping[str, Any] | None = None
    #: Parts to take away: ``callback``, ``reply_channels``.
    without: frozenset[str] = frozenset()

    def parts(self) -> dict[str, Any]:
        """Return the parts that are said."""
        named = {name: getattr(self, name) for name in self.__slots__ if name != "without"}
        said = {name: value for name, value in named.items() if value is not None}
        return said | dict.fromkeys(self.without)


class Destinations:
    """Reads and changes destinations. Every change is audited in the transaction that makes it."""

    def __init__(self, *, store: Store, policy: KeyPolicy) -> None:
        self._store = store
        self._policy = policy

    def show(self, destination_id: UUID) -> Destination:
        """Return a destination in any status; raise ``NotFound`` for an unknown one."""
        return existing_destination(self._store, destination_id)

    def find(self, destination_id: UUID) -> Destination | None:
        """Return a destination in any status, or None."""
        return self._store.parties.destination(destination_id)

    def of_owner(self, *, caller: Caller, offset: int, limit: int) -> Page[Destination]:
        """Return the caller's destinations, oldest first, as far as its token reaches."""
        return self._store.parties.destinations(
            scope=EVERYTHING, owner=caller.client_id, among=reach(caller), offset=offset, limit=limit
        )

    def key(self, destination_id: UUID, kid: str) -> Mapping[str, Any]:
        """Return a destination's public key, current or not, so that old seals and signatures can be checked.

        Raises:
            NotFound: no such destination or key.
        """
        existing_destination(self._store, destination_id)
        jwk = self._store.parties.key(destination_id, kid)
        if jwk is None:
            raise not_found("key-not-found", kid)
        return jwk

    def keys(self, destination_id: UUID) -> list[StoredKey]:
        """Return all keys, the current encryption key first; raise ``NotFound`` for an unknown destination."""
        existing_destination(self._store, destination_id)
        return self._store.parties.keys(destination_id)

    def create(
        self,
        draft: Draft,
        *,
        encryption_key: Mapping[str, Any],
        signature_key: Mapping[str, Any],
        owner: str,
        tenant: str,
        tenant_id: str | None = None,
        now: datetime,
        actor: str | None = None,
    ) -> Destination:
        """Create a destination, status ``created``, whose submissions wait in the mailbox.

        Raises:
            Malformed: ``encryptionKid`` is not the encryption key's, or a key is refused by the policy.
        """
        _require_uris(draft)
        if draft.encryption_kid != encryption_key.get("kid"):
            raise _malformed(
                "encryptionKid muss die kid von encryptionPublicKey sein.",
                "encryptionKid must be the kid of encryptionPublicKey.",
            )
        sealing = judged(encryption_key, use="wrapKey", now=now, policy=self._policy)
        signing = judged(signature_key, use="verify", now=now, policy=self._policy)
        contact = draft.contact or {}
        destination = Destination(
            destination_id=uuid4(),
            name=draft.name or str(contact.get("legalName", "")),
            status="created",
            owner=owner,
            tenant=tenant,
            tenant_id=tenant_id,
            services=draft.services or (),
            metadata_versions=draft.metadata_versions or (),
            encryption_kid=sealing["kid"],
            contact=contact,
            adapter=draft.adapter or "mailbox",
            adapter_config=draft.adapter_config or {},
            reply_channels=draft.reply_channels,
            callback=draft.callback,
            created_at=now,
            updated_at=now,
        )
        entry = AuditEntry(
            at=now, actor=actor or owner, action="destination.create", target=str(destination.destination_id)
        )
        keys = [("wrapKey", sealing), ("verify", signing)]
        self._store.parties.add_destination(destination, keys, audit=entry)
        return destination

    def change(self, destination_id: UUID, draft: Draft, *, caller: Caller, now: datetime) -> Destination:
        """Replace the parts that ``draft`` says, each as a whole.

        Raises:
            NotFound, Forbidden: unknown, or somebody else's.
            Malformed: a step of status that does not exist, or an ``encryptionKid`` without its key.
        """
        return self.amend(own_destination(self._store, destination_id, caller), draft, actor=caller.client_id, now=now)

    def amend(
        self, destination: Destination, draft: Draft, *, actor: str, now: datetime, expected: str | None = None
    ) -> Destination:
        """Change a destination on behalf of ``actor``, who may do so; errors as :meth:`change`.

        ``expected`` is the revision that the change was made on; ``Conflict`` where somebody changed it since.
        """
        _require_uris(draft)
        said = draft.parts()
        if draft.encryption_kid is not None:
            self._require_key(destination, draft.encryption_kid)

        def change(before: Destination) -> Destination:
            self._require_status(before, draft.status)
            return replace(before, **said, updated_at=now)

        def audit(before: Destination, after: Destination) -> AuditEntry:
            return AuditEntry(
                at=now,
                actor=actor,
                action="destination.change",
                target=str(before.destination_id),
                before=_audited(before, said),
                after=_audited(after, said),
            )

        return self._store.parties.change_destination(
            destination.destination_id, change, audit=audit, expected=expected
        )

    def delete(self, destination_id: UUID, *, caller: Caller, now: datetime) -> None:
        """Take a destination out of service for good; its record and keys stay, so that old proof can be verified.

        Raises:
            NotFound, Forbidden: unknown, or somebody else's.
        """
        self.change(destination_id, Draft(status="decommissioned"), caller=caller, now=now)

    def add_key(self, destination_id: UUID, jwk: Mapping[str, Any], *, caller: Caller, now: datetime) -> bool:
        """Add a key for sealing or for signatures; return False where it was there already.

        Raises:
            NotFound, Forbidden: unknown, or somebody else's.
            Malformed: the key policy refuses the key, or another key has its ``kid``.
        """
        destination = own_destination(self._store, destination_id, caller)
        return self.put_key(destination, jwk, actor=caller.client_id, now=now)

    def put_key(self, destination: Destination, jwk: Mapping[str, Any], *, actor: str, now: datetime) -> bool:
        """Add a key on behalf of ``actor``, who may do so; errors as :meth:`add_key`."""
        use = use_of(jwk)
        key = judged(jwk, use=use, now=now, policy=self._policy)
        entry = AuditEntry(
            at=now,
            actor=actor,
            action="destination.key",
            target=str(destination.destination_id),
            after={"kid": key["kid"], "use": use},
        )
        try:
            return self._store.parties.add_key(destination.destination_id, key, now, audit=entry)
        except KeyRefused as exc:
            raise Malformed(exc.detail, slug="key-refused") from exc

    def _require_key(self, destination: Destination, kid: str) -> None:
        jwk = self._store.parties.usable_key(destination.destination_id, kid)
        if jwk is None or jwk.get("key_ops") != ["wrapKey"]:
            raise _malformed(
                "Unter dieser encryptionKid ist kein Schlüssel zum Verschlüsseln hinterlegt. Laden Sie ihn zuerst hoch.",
                "No key for sealing is on record under this encryptionKid. Upload it first.",
            )

    @staticmethod
    def _require_status(destination: Destination, status: str | None) -> None:
        open_to = _STATUS.get(destination.status, frozenset())
        if status is not None and status not in open_to:
            possible = ", ".join(sorted(open_to))
            raise destination_state(
                Malformed,
                Text(
                    f"Von {destination.status} führt kein Weg zum verlangten Status. Möglich: {possible}.",
                    f"No step leads from {destination.status} to the status asked for. Possible: {possible}.",
                ),
            )


def _audited(destination: Destination, said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the named parts for the audit log, secrets left out."""
    values: dict[str, Any] = {name: getattr(destination, name) for name in said}
    if "adapter_config" in values:
        values["adapter_config"] = shown(destination.adapter_config)
    if "callback" in values:
        values["callback"] = None if destination.callback is None else destination.callback.url
    if "services" in values:
        values["services"] = [[one.identifier, one.regions, one.schemas] for one in destination.services]
    return values


def _require_uris(draft: Draft) -> None:
    """Refuse a schema that is named by no URI: it would stand in metadata that the authority turns down."""
    if not all(is_uri(uri) for service in draft.services or () for uri, _ in service.schemas):
        raise _malformed(
            "Ein Schema ist nicht durch eine URI benannt (RFC 3986; Leerzeichen und Umlaute als %20 und %C3…).",
            "A schema is not named by a URI (RFC 3986; blanks and umlauts as %20 and %C3…).",
        )


def _malformed(de: str, en: str) -> Malformed:
    return Malformed(Text(de, en))


#: How many digits the keys of areas have, from municipalities to states.
_LEVELS = (12, 9, 5, 3, 2)


def unseen_from(destination: Destination) -> Text | None:
    """Return a warning where all services of a destination lie in an area whose own people do not see it; else None."""
    regions = [region.removeprefix("DE") for service in destination.services for region in service.regions]
    named = (regions[0][:digits] for digits in _LEVELS if regions and len(regions[0]) >= digits)
    area = next((each for each in named if all(region.startswith(each) for region in regions)), "")
    if not area.startswith(destination.tenant) or len(area) <= len(destination.tenant):
        return None
    return Text(
        f"Wer nur das Gebiet {area} sieht, sieht diesen Zustellpunkt nicht: Sein Mandant ist weiter gefasst als seine "
        "Leistungen. Soll er dort gesehen werden, legen Sie ihn mit diesem Mandanten an.",
        f"Whoever sees the area {area} alone does not see this destination: its tenant is wider than its services. If it shall "
        "be seen there, create it with that tenant.",
    )


_MOST_CALLBACKS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class DestinationStanding:
    """How a destination stands: its keys and what was done to them, its circuit, and callbacks that were given up."""

    destination: Destination
    keys: Sequence[StoredKey]
    changes: Sequence[KeyChange]
    ways: Sequence[AdapterChange]
    circuit: Circuit
    dead_callbacks: Sequence[OutgoingCallback]


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyAddition:
    """What became of a key: whether it was put on record now, and its change where that takes two persons."""

    added: bool
    change: KeyChange | None = None

    @property
    def waits(self) -> bool:
        """Whether a second person has to say the same."""
        return self.change is not None and self.change.state is ChangeState.OPEN


class DestinationService:
    """Reads and changes destinations for a person; what takes a second one is proposed to ``keys`` and ``ways``."""

    def __init__(
        self,
        *,
        store: Store,
        policy: KeyPolicy,
        destinations: Destinations,
        keys: KeyApproval,
        ways: AdapterApproval,
    ) -> None:
        self._store = store
        self._policy = policy
        self._destinations = destinations
        self._desk = keys
        self._ways = ways

    def list(self, person: Person, *, offset: int = 0, limit: int = 100) -> Page[Destination]:
        """Return one page of the destinations in a person's scope, oldest first."""
        person.require(Right.SEE)
        return self._store.parties.destinations(scope=person.scope, offset=offset, limit=limit)

    def show(self, destination_id: UUID, person: Person) -> DestinationStanding:
        """Return how a destination stands; raise ``NotFound`` for one that is not in the person's scope."""
        person.require(Right.SEE)
        destination = self._mine(destination_id, person)
        callbacks = self._store.callbacks.dead(party=str(destination_id), limit=_MOST_CALLBACKS).items
        return DestinationStanding(
            destination=destination,
            keys=self._store.parties.keys(destination_id),
            changes=self._desk.of(destination),
            ways=self._ways.of(destination),
            circuit=self._store.circuits.circuit(destination_id),
            dead_callbacks=callbacks,
        )

    def create(
        self,
        draft: Draft,
        person: Person,
        *,
        encryption_key: Mapping[str, Any],
        signature_key: Mapping[str, Any],
        owner: str,
        tenant: str = "",
        tenant_id: str | None = None,
        now: datetime,
    ) -> Destination:
        """Create a destination for the subscriber ``owner``, in status ``created``.

        Another adapter than the mailbox is proposed by a person, and waits for a second one.

        Raises:
            Forbidden: the right is missing, or the tenant or an area is another's.
            NotFound: no such client in the person's scope.
            Malformed, InvalidSettings: a key that is refused; an adapter or option that is wrong.
        """
        person = person.acting(Right.OPERATE)
        place = place_for(self._store, person, area=tenant, tenant_id=tenant_id)
        self._require_owner(owner, person)
        _require_inside(person, draft.services or ())
        wish = self._wish(None, draft, person)
        proposed = wish if wish is not None and person.is_named and wish.adapter != "mailbox" else None
        made = self._destinations.create(
            draft if proposed is None else replace(draft, adapter=None, adapter_config=None),
            encryption_key=encryption_key,
            signature_key=signature_key,
            owner=owner,
            tenant=place.area,
            tenant_id=place.tenant_id,
            now=now,
            actor=person.name,
        )
        if proposed is not None:
            self._ways.propose(made, proposed, person, by=By(actor=person.name, now=now))
        return made

    def change(
        self,
        destination_id: UUID,
        draft: Draft,
        person: Person,
        *,
        now: datetime,
        expected: str | None = None,
        text: str = "",
    ) -> Destination:
        """Replace the parts that ``draft`` says, each as a whole; keys are changed by :meth:`change_key` alone.

        ``expected`` is the revision that the person saw, ``text`` the reason that a second person is told.

        Another adapter, or other options, are a person's to propose and wait for a second one (:meth:`waiting_way`): who
        says the same as the proposal that waits, and nothing else, approves it. The machine's user changes them at once.
        They close the circuit: what failed before says nothing of the new way.

        Raises:
            Forbidden, NotFound: the right is missing; not in the person's scope; an area outside it; whoever created it may
                not start it; a secret of another address; an approval by whoever proposed.
            Malformed, InvalidSettings: a step of status that does not exist; an adapter or option that is wrong.
            Conflict: somebody changed it since ``expected`` (slug ``overtaken``); another change of its adapter waits.
        """
        destination = self._mine(destination_id, person)
        new = [each for each in draft.services or () if each not in destination.services]
        if new:
            _require_inside(person.acting(Right.OPERATE), new)
        wish, by = self._wish(destination, draft, person), By(actor=person.name, now=now, text=text)
        rest = replace(draft, encryption_kid=None)
        if wish is not None and person.is_named:
            rest = replace(rest, adapter=None, adapter_config=None)
            waiting = self._ways.waiting(destination)
            if waiting is not None:
                if rest.parts() or AdapterWish.of(waiting) != wish:
                    raise adapter_change_open()
                self._ways.approve(destination, waiting.change_id, person, by=by)
                return self._mine(destination_id, person)
        require_proposer(person, destination)
        if draft.status == "active":
            self._require_second_person(destination, person, now)
        changed = self._changed(destination, rest, by, expected=expected)
        if wish is not None and person.is_named:
            self._ways.propose(changed, wish, person, by=by)
        elif wish is not None:
            self._store.circuits.change(destination_id, lambda _: Circuit(destination_id=destination_id), now)
        return changed

    def waiting_way(self, destination_id: UUID, person: Person) -> AdapterChange | None:
        """Return the change of a destination's adapter that waits for a second person, if one does."""
        return self._ways.waiting(self._mine(destination_id, person))

    def decide_way(
        self, destination_id: UUID, change_id: int, person: Person, *, approve: bool, text: str, now: datetime
    ) -> AdapterChange:
        """Approve a proposed adapter as a second person, or turn it down, or take one's own back.

        Raises:
            Forbidden: it is one's own (``second-person``), the right is missing, or the account is bound to a tenant.
            NotFound: not in the person's scope. Conflict: it is decided, or was made on another state.
        """
        destination = self._mine(destination_id, person)
        _require_everywhere(person)
        by = By(actor=person.name, now=now, text=text)
        if approve:
            return self._ways.approve(destination, change_id, person, by=by)
        require_a_say(person, destination)
        return self._ways.refuse(destination, change_id, by=by)

    def _changed(self, destination: Destination, draft: Draft, by: By, *, expected: str | None) -> Destination:
        if draft.adapter is not None or draft.adapter_config is not None:
            self._ways.remember(destination, by=by)
        if draft.parts():
            return self._destinations.amend(destination, draft, actor=by.actor, now=by.now, expected=expected)
        if expected is not None and expected != destination.revision:
            raise overtaken(Text(f"Den Zustellpunkt {destination.name}", f"destination {destination.name}"))
        return destination

    def _wish(self, before: Destination | None, draft: Draft, person: Person) -> AdapterWish | None:
        """Return what is said of the adapter, judged; None where nothing is."""
        if draft.adapter is None and draft.adapter_config is None:
            return None
        require_a_say(person, before)
        _require_everywhere(person)
        return self._ways.wish(before, draft.adapter, draft.adapter_config)

    def add_key(
        self, destination_id: UUID, jwk: Mapping[str, Any], person: Person, *, now: datetime, text: str = ""
    ) -> KeyAddition:
        """Record a key for sealing, or have one for signatures take the way of two persons, as :meth:`change_key` does.

        A key for sealing is used for nothing until it is activated, so one person may record it. A key for signatures
        counts from its record on.

        Raises:
            Forbidden, NotFound: the right or the second person is missing; not in the person's scope.
            Malformed: the key policy refuses it. Conflict: another key has its ``kid``, or another change of it waits.
        """
        if use_of(jwk) == "wrapKey":
            destination = self._mine(destination_id, person.acting(Right.OPERATE))
            return KeyAddition(added=self._destinations.put_key(destination, jwk, actor=person.name, now=now))
        destination, word = self._mine(destination_id, person), By(actor=person.name, now=now, text=text)
        require_a_say(person, destination)
        if not person.is_named:
            raise _two_for_signatures()
        key = judged(jwk, use="verify", now=now, policy=self._policy)
        if self._store.parties.key(destination_id, key["kid"]) == key:
            return KeyAddition(added=False)
        waiting = self._waiting_key(destination, key["kid"], KeyStep.ADD)
        if waiting is not None and waiting.jwk == key:
            return KeyAddition(added=True, change=self._approve_key(destination, waiting, person, word))
        require_proposer(person, destination)
        return KeyAddition(added=False, change=self._desk.propose_new(destination, key, activate=False, by=word))

    def change_key(
        self, destination_id: UUID, kid: str, step: KeyStep, by: Person, *, now: datetime, text: str = ""
    ) -> KeyChange:
        """Activate or retire a key: an operator's word is noted, an approver's same word carries it out.

        Raises:
            Forbidden: the right is missing, or it is the first person again (``second-person``).
            NotFound: no such destination or key in the person's scope.
            Conflict: there is nothing to change, or another change of the key waits. Malformed: the key policy refuses it.
        """
        destination = self._mine(destination_id, by)
        word = By(actor=by.name, now=now, text=text)
        waiting = self._waiting_key(destination, kid, step)
        if waiting is None:
            require_proposer(by, destination)
            return self._desk.propose(destination, step, kid, by=word)
        return self._approve_key(destination, waiting, by, word)

    def _waiting_key(self, destination: Destination, kid: str, step: KeyStep) -> KeyChange | None:
        found = self._desk.of(destination)
        wanted = (kid, step, ChangeState.OPEN)
        return next((each for each in found if (each.kid, each.step, each.state) == wanted), None)

    def decide_key(
        self, destination_id: UUID, change_id: int, person: Person, *, approve: bool, text: str, now: datetime
    ) -> KeyChange:
        """Approve a proposed change of a key as a second person, or turn it down; errors as :meth:`decide_way`."""
        destination = self._mine(destination_id, person)
        by = By(actor=person.name, now=now, text=text)
        if not approve:
            require_a_say(person, destination)
            return self._desk.refuse(destination, change_id, by=by)
        return self._approve_key(destination, self._desk.proposal(destination, change_id), person, by)

    def _approve_key(self, destination: Destination, change: KeyChange, person: Person, by: By) -> KeyChange:
        require_approver(self._store, person, change.proposed_by, destination, now=by.now)
        return self._desk.approve(destination, change.change_id, by=by)

    def close_circuit(self, destination_id: UUID, person: Person, *, text: str, now: datetime) -> Circuit:
        """Close the circuit breaker, so that deliveries are attempted at once."""
        self._mine(destination_id, person.acting(Right.OPERATE))
        after = {"text": text} if text else {}
        entry = AuditEntry(
            at=now, actor=person.name, action="circuit.close", target=f"destination:{destination_id}", after=after
        )

        def audited(before: Circuit) -> AuditEntry:
            until = None if before.open_until is None else before.open_until.isoformat()
            return replace(entry, before={"failures": before.failures, "open_until": until})

        closed = Circuit(destination_id=destination_id)
        return self._store.circuits.change(destination_id, lambda _: closed, now, audit=audited)

    def _mine(self, destination_id: UUID, person: Person) -> Destination:
        found = self._store.parties.visible_destination(destination_id, scope=person.scope)
        if found is None:
            raise not_found("destination-not-found", destination_id)
        return found

    def _require_second_person(self, destination: Destination, person: Person, now: datetime) -> None:
        """Whoever works at the machine may be the one who created it, and counts only until there are others."""
        if person.is_named:
            self._desk.require_second_person(destination, actor=person.name, now=now)
        elif self._desk.awaits_first_start(destination) and anybody_may(self._store, Right.OPERATE):
            raise needs_second_person(
                Forbidden,
                Text(
                    "Zum ersten Mal nimmt sie einen Zustellpunkt in Betrieb, sobald es Konten mit der Rolle operator gibt. "
                    "Nennen Sie die Person mit --as.",
                    "As soon as there are accounts with the role operator, it is who puts a destination into service for the "
                    "first time. Name the person with --as.",
                ),
            )

    def _require_owner(self, owner: str, person: Person) -> None:
        client = self._store.parties.visible_client(owner, scope=person.scope)
        if client is None or client.kind is not ClientKind.SUBSCRIBER or client.disabled_at is not None:
            raise not_found("client-not-found", owner)


def _two_for_signatures() -> Forbidden:
    return needs_second_person(
        Forbidden,
        Text(
            "Ein Signaturschlüssel gilt sofort: Zwei Personen nehmen ihn auf. Nennen Sie mit --as, wer Sie sind.",
            "A signature key counts at once: two persons record it. Name with --as who you are.",
        ),
    )


def _require_inside(person: Person, offers: Iterable[OfferedService]) -> None:
    """Who administers one area has nothing offered outside it."""
    outside = [region for offer in offers for region in offer.regions if not person.covers(region.removeprefix("DE"))]
    if outside:
        named = ", ".join(dict.fromkeys(outside))
        raise outside_scope(Text(f"Diese Gebiete liegen ({named})", f"These areas lie ({named})"))


def _require_everywhere(person: Person) -> None:
    """Adapters' options name files and networks of the hub, so people of one tenant do not write them."""
    if not any(map(person.may_everywhere, (Right.OPERATE, Right.APPROVE))):
        raise outside_scope(Text("Die Einstellungen von Adaptern liegen", "The settings of adapters lie"))


__all__ = ["DestinationService", "DestinationStanding", "KeyAddition", "KeyChange", "KeyStep"]
