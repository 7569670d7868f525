"""Destinations as administrators change them: within their tenant, keys by two persons, adapters with strict options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from hub.crypto.keys import KeyPolicy
from hub.errors import Forbidden, Invalid, NotFound, Text, handed_in
from hub.exchange.destinations import Destinations, Draft
from hub.exchange.judging import use_of
from hub.exchange.key_changes import By, KeyDesk
from hub.parties import ClientKind, Destination
from hub.persons import Person, Right, anybody_may
from hub.store import AuditEntry, Circuit, OutgoingCallback, Page, Store, StoredKey
from hub.store.key_changes import KeyChange, KeyChangeState, KeyStep

_MOST_CALLBACKS = 500

#: Builds an adapter from its options, which touches nothing; raises ``ConfigurationError`` for a wrong one.
MakeAdapter = Callable[[Mapping[str, Any]], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How a destination stands: its keys and what was done to them, its circuit, and callbacks that were given up."""

    destination: Destination
    keys: Sequence[StoredKey]
    changes: Sequence[KeyChange]
    circuit: Circuit
    dead_callbacks: Sequence[OutgoingCallback]


class Stewardship:
    """Reads and changes destinations for a person.

    ``files`` is the folder in which files have to lie that adapters' options name. None is the command line's: any file, for
    whoever may use it could change the database anyway.
    """

    def __init__(
        self,
        *,
        store: Store,
        policy: KeyPolicy,
        adapters: Callable[[], Mapping[str, MakeAdapter]],
        files: Path | None,
    ) -> None:
        self._store = store
        self._policy = policy
        self._adapters = adapters
        self._files = files
        self._destinations = Destinations(store=store, policy=policy)
        self._desk = KeyDesk(store=store, policy=policy)

    def list(self, person: Person, *, offset: int = 0, limit: int = 100) -> Page[Destination]:
        """Return one page of the destinations in a person's scope, oldest first."""
        person.insist(Right.SEE)
        return self._store.destinations(tenant=person.tenant, offset=offset, limit=limit)

    def show(self, destination_id: UUID, person: Person) -> Standing:
        """Return how a destination stands; raise ``NotFound`` for one that is not in the person's scope."""
        person.insist(Right.SEE)
        destination = self._mine(destination_id, person)
        callbacks = self._store.dead_callbacks(party=str(destination_id), limit=_MOST_CALLBACKS).items
        return Standing(
            destination=destination,
            keys=self._store.keys(destination_id),
            changes=self._desk.of(destination),
            circuit=self._store.circuit(destination_id),
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
        now: datetime,
    ) -> Destination:
        """Create a destination for the subscriber ``owner``, in status ``created``.

        Raises:
            Forbidden: the right is missing, or the tenant is another's.
            NotFound: no such client in the person's scope.
            Malformed, InvalidSettings: a key that is refused; an adapter or option that is wrong.
        """
        person.insist(Right.OPERATE)
        tenant = tenant or person.tenant
        if not person.covers(tenant) or not (tenant == "" or (tenant.isascii() and tenant.isdigit())):
            raise Forbidden(
                Text(
                    "Der Mandant ist ein ARS-Präfix innerhalb Ihres Zuständigkeitsbereichs.",
                    "The tenant is an ARS prefix within your scope.",
                ),
                slug="outside-tenant",
            )
        self._insist_on_owner(owner, person)
        self._insist_on_adapter(draft, None, person)
        return self._destinations.create(
            draft,
            encryption_key=encryption_key,
            signature_key=signature_key,
            owner=owner,
            tenant=tenant,
            now=now,
            actor=person.name,
        )

    def change(
        self, destination_id: UUID, draft: Draft, person: Person, *, now: datetime, expected: str | None = None
    ) -> Destination:
        """Replace the parts that ``draft`` says, each as a whole; keys are changed by :meth:`change_key` alone.

        ``expected`` is the revision that the person saw.

        Another adapter, or other options, close the circuit: what failed before says nothing of the new way.

        Raises:
            Forbidden, NotFound: the right is missing; not in the person's scope; whoever created it may not start it.
            Malformed, InvalidSettings: a step of status that does not exist; an adapter or option that is wrong.
            Conflict: somebody changed it since ``expected`` (slug ``overtaken``).
        """
        person.insist(Right.OPERATE)
        destination = self._mine(destination_id, person)
        self._insist_on_adapter(draft, destination, person)
        if draft.status == "active":
            self._insist_on_second_person(destination, person)
        draft = replace(draft, encryption_kid=None)
        changed = self._destinations.amend(destination, draft, actor=person.name, now=now, expected=expected)
        if draft.adapter is not None or draft.adapter_config is not None:
            self._store.change_circuit(destination_id, lambda _: Circuit(destination_id=destination_id), now)
        return changed

    def add_key(self, destination_id: UUID, jwk: Mapping[str, Any], person: Person, *, now: datetime) -> bool:
        """Add a key for sealing; it is used for nothing until it is activated. Return False where it was there already.

        Raises:
            Forbidden, NotFound: the right is missing; not in the person's scope.
            Malformed: the key policy refuses it, or it is for signatures: that counts at once, so :meth:`change_key` adds it.
        """
        person.insist(Right.OPERATE)
        destination = self._mine(destination_id, person)
        if use_of(jwk) == "verify":
            raise Invalid(
                Text(
                    "Ein Signaturschlüssel gilt sofort; ihn fügt die Behörde selbst hinzu, oder zwei Personen auf den "
                    "Verwaltungsseiten.",
                    "A signature key counts at once; the authority adds it itself, or two persons on the admin pages.",
                ),
                slug="second-person",
            )
        return self._destinations.put_key(destination, jwk, actor=person.name, now=now)

    def change_key(self, destination_id: UUID, kid: str, step: KeyStep, by: Person, *, now: datetime) -> KeyChange:
        """Activate or retire a key: the first person's word is noted, another person's same word carries it out.

        Raises:
            Forbidden: the right is missing, or it is the first person again (``second-person``).
            NotFound: no such destination or key in the person's scope.
            Conflict: there is nothing to change, or another change of the key waits. Malformed: the key policy refuses it.
        """
        by.insist(Right.OPERATE)
        destination = self._mine(destination_id, by)
        word = By(actor=by.name, now=now)
        waiting = next(
            (
                each
                for each in self._desk.of(destination)
                if (each.kid, each.step, each.state) == (kid, step, KeyChangeState.OPEN)
            ),
            None,
        )
        if waiting is None:
            return self._desk.propose(destination, step, kid, by=word)
        return self._desk.approve(destination, waiting.change_id, by=word)

    def close_circuit(self, destination_id: UUID, person: Person, *, text: str, now: datetime) -> Circuit:
        """Close the circuit breaker, so that deliveries are attempted at once."""
        person.insist(Right.OPERATE)
        self._mine(destination_id, person)
        after = {"text": text} if text else {}
        entry = AuditEntry(
            at=now, actor=person.name, action="circuit.close", target=f"destination:{destination_id}", after=after
        )

        def audited(before: Circuit) -> AuditEntry:
            until = None if before.open_until is None else before.open_until.isoformat()
            return replace(entry, before={"failures": before.failures, "open_until": until})

        closed = Circuit(destination_id=destination_id)
        return self._store.change_circuit(destination_id, lambda _: closed, now, audit=audited)

    def _mine(self, destination_id: UUID, person: Person) -> Destination:
        found = self._store.destination(destination_id)
        if found is None or not person.covers(found.tenant):
            raise NotFound(
                Text(
                    f"Den Zustellpunkt {destination_id} gibt es nicht, oder nicht in Ihrem Zuständigkeitsbereich.",
                    f"Destination {destination_id} does not exist, or not within your scope.",
                ),
                slug="destination-not-found",
            )
        return found

    def _insist_on_second_person(self, destination: Destination, person: Person) -> None:
        """Whoever works at the machine may be the one who created it, and counts only until there are others."""
        if person.is_named:
            self._desk.insist_on_second_person(destination, actor=person.name)
        elif self._desk.awaits_first_start(destination) and anybody_may(self._store, Right.OPERATE):
            raise Forbidden(
                Text(
                    "Zum ersten Mal nimmt einen Zustellpunkt eine zweite Person in Betrieb, sobald es Konten mit der Rolle "
                    "operator gibt. Nennen Sie die Person mit --as.",
                    "As soon as there are accounts with the role operator, a second person puts a destination into service "
                    "for the first time. Name the person with --as.",
                ),
                slug="second-person",
            )

    def _insist_on_owner(self, owner: str, person: Person) -> None:
        client = self._store.client(owner)
        usable = client is not None and client.kind is ClientKind.SUBSCRIBER and client.disabled_at is None
        if client is None or not usable or not person.covers(client.tenant):
            raise NotFound(
                Text(
                    f"Es gibt keinen empfangenden Client {owner}, der nicht gesperrt ist. „hub clients list“ zeigt alle.",
                    f"There is no subscriber {owner} that is not disabled. 'hub clients list' shows all.",
                ),
                slug="client-not-found",
            )

    def _insist_on_adapter(self, draft: Draft, before: Destination | None, person: Person) -> None:
        """Build the adapter once, which touches nothing: a wrong name or option is refused here, not at a delivery."""
        if draft.adapter is None and draft.adapter_config is None:
            return
        name = draft.adapter or (before.adapter if before is not None else "mailbox")
        known = self._adapters()
        if name not in known:
            raise Invalid(
                Text(
                    f"Diesen Adapter gibt es nicht. Bekannt sind: {', '.join(sorted(known))}.",
                    f"There is no such adapter. Known are: {', '.join(sorted(known))}.",
                ),
                slug="unknown-adapter",
            )
        options = draft.adapter_config or {}
        _insist_on_everything(person)
        if self._files is not None:
            kept = before.adapter_config if before is not None and before.adapter == name else {}
            changed = {option: value for option, value in options.items() if kept.get(option) != value}
            _insist_on_confinement(changed, self._files)
        with handed_in():
            known[name](options)


def _insist_on_everything(person: Person) -> None:
    """Adapters' options name files and networks of the hub, so people of one tenant do not write them."""
    if person.tenant:
        raise Forbidden(
            Text(
                "Adapter stellen nur Personen ein, deren Konto auf keinen Mandanten beschränkt ist.",
                "Only persons whose account is bound to no tenant set adapters.",
            ),
            slug="outside-tenant",
        )


def _insist_on_confinement(options: Mapping[str, Any], folder: Path) -> None:
    """Refuse options that would let somebody far away read or write the hub's own files, or reach its own network."""
    switches = sorted(name for name in options if name.startswith("allow_"))
    if switches:
        raise Forbidden(
            Text(
                f"Diese Schalter setzt nur die Befehlszeile: {', '.join(switches)}.",
                f"These switches are for the command line only: {', '.join(switches)}.",
            ),
            slug="option-not-allowed",
        )
    for name, value in options.items():
        if name.endswith(("_file", "path")) and value is not None and not _lies_in(folder, value):
            raise Forbidden(
                Text(
                    f"Die Option {name} nennt eine Datei außerhalb von {folder.name}/ im Datenordner. Legen Sie sie dort ab.",
                    f"The option {name} names a file outside {folder.name}/ in the data folder. Put it there.",
                ),
                slug="option-not-allowed",
            )


def _lies_in(folder: Path, value: object) -> bool:
    if not isinstance(value, str) or "\0" in value or len(value) > 1_000:  # noqa: PLR2004  # no path is longer
        return False
    return Path(value).is_absolute() and Path(value).resolve().is_relative_to(folder.resolve())


__all__ = ["KeyChange", "KeyStep", "Standing", "Stewardship"]
