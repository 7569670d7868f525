"""Destinations as administrators change them: within their tenant, keys by two persons, adapters with strict options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from hub.accounts import Person, Right
from hub.crypto.keys import KeyPolicy, judge_encryption_key
from hub.errors import Conflict, Forbidden, Invalid, NotFound, Text
from hub.exchange.destinations import Destinations, Draft
from hub.parties import Destination
from hub.store import AuditEntry, Circuit, OutgoingCallback, Page, Store, StoredKey
from hub.store.key_changes import KeyAction, KeyChange, KeyChanges

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

    ``files`` is the folder in which files have to lie that adapters' options name, None for any (the command line).
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
        self._changes = KeyChanges(store)

    def list(self, person: Person, *, offset: int = 0, limit: int = 100) -> Page[Destination]:
        """Return one page of the destinations in a person's scope, oldest first."""
        person.insist(Right.SEE)
        return self._store.destinations(tenant=person.tenant, offset=offset, limit=limit)

    def show(self, destination_id: UUID, person: Person) -> Standing:
        """Return how a destination stands; raise ``NotFound`` for one that is not in the person's scope."""
        person.insist(Right.SEE)
        destination = self._mine(destination_id, person)
        callbacks = self._store.dead_callbacks(limit=_MOST_CALLBACKS).items
        return Standing(
            destination=destination,
            keys=self._store.keys(destination_id),
            changes=self._changes.of(destination_id),
            circuit=self._store.circuit(destination_id),
            dead_callbacks=[each for each in callbacks if each.party == str(destination_id)],
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
            Malformed, ConfigurationError: a key that is refused; an adapter or option that is wrong.
        """
        person.insist(Right.OPERATE)
        tenant = tenant or person.tenant
        if not person.covers(tenant):
            raise Forbidden(
                Text(f"Ihr Konto ist auf {person.tenant} beschränkt.", f"Your account is bound to {person.tenant}."),
                slug="outside-tenant",
            )
        self._insist_on_owner(owner, person)
        self._insist_on_adapter(draft, None)
        return self._destinations.create(
            draft,
            encryption_key=encryption_key,
            signature_key=signature_key,
            owner=owner,
            tenant=tenant,
            now=now,
            actor=person.name,
        )

    def change(self, destination_id: UUID, draft: Draft, person: Person, *, now: datetime) -> Destination:
        """Replace the parts that ``draft`` says, each as a whole; keys are changed by :meth:`change_key` alone.

        Another adapter, or other options, close the circuit: what failed before says nothing of the new way.

        Raises:
            Forbidden, NotFound: the right is missing; not in the person's scope.
            Malformed, ConfigurationError: a step of status that does not exist; an adapter or option that is wrong.
        """
        person.insist(Right.OPERATE)
        destination = self._mine(destination_id, person)
        self._insist_on_adapter(draft, destination)
        changed = self._destinations.amend(destination, replace(draft, encryption_kid=None), actor=person.name, now=now)
        if draft.adapter is not None or draft.adapter_config is not None:
            self._store.change_circuit(destination_id, lambda _: Circuit(destination_id=destination_id), now)
        return changed

    def add_key(self, destination_id: UUID, jwk: Mapping[str, Any], person: Person, *, now: datetime) -> bool:
        """Add a key; it is used for nothing until it is activated. Return False where it was there already."""
        person.insist(Right.OPERATE)
        return self._destinations.put_key(self._mine(destination_id, person), jwk, actor=person.name, now=now)

    def change_key(
        self, destination_id: UUID, kid: str, action: KeyAction, person: Person, *, now: datetime
    ) -> KeyChange:
        """Activate or retire a key: the first person's word is noted, another person's same word carries it out.

        Raises:
            Forbidden: the right is missing, or it is the first person again (``second-person``).
            NotFound: no such destination or key in the person's scope.
            Conflict: the key is retired, is the current one (retire), or is not for sealing (activate).
            Invalid: the key policy refuses the key by now.
        """
        person.insist(Right.OPERATE)
        destination = self._mine(destination_id, person)
        self._insist_on_step(destination, self._key(destination, kid), action, now)
        waiting = self._waiting(destination_id, kid, action)
        if waiting is None:
            return self._propose(destination_id, kid, action, person, now)
        if waiting.proposed_by == person.name:
            raise _same_person()
        audit = _audit(person, f"key.{action.value}", destination_id, kid, now, proposed_by=waiting.proposed_by)
        audit = replace(audit, before={"encryption_kid": destination.encryption_kid})
        use_kid = kid if action is KeyAction.ACTIVATE else None
        self._changes.settle(waiting, person.name, now, audit=audit, use_kid=use_kid)
        return replace(waiting, settled_by=person.name, settled_at=now)

    def close_circuit(self, destination_id: UUID, person: Person, *, text: str, now: datetime) -> Circuit:
        """Close the circuit breaker, so that deliveries are attempted at once."""
        person.insist(Right.OPERATE)
        self._mine(destination_id, person)
        closed = Circuit(destination_id=destination_id)
        self._store.change_circuit(destination_id, lambda _: closed, now)
        after = {"text": text} if text else {}
        target = f"destination:{destination_id}"
        self._store.append_audit(
            AuditEntry(at=now, actor=person.name, action="circuit.close", target=target, after=after)
        )
        return closed

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

    def _key(self, destination: Destination, kid: str) -> StoredKey:
        found = next((key for key in self._store.keys(destination.destination_id) if key.kid == kid), None)
        if found is None:
            raise NotFound(
                Text("Diesen Schlüssel hat der Zustellpunkt nicht.", "The destination has no such key."),
                slug="key-not-found",
            )
        return found

    def _waiting(self, destination_id: UUID, kid: str, action: KeyAction) -> KeyChange | None:
        return next(
            (
                each
                for each in self._changes.of(destination_id)
                if (each.kid, each.action, each.settled_at) == (kid, action, None)
            ),
            None,
        )

    def _propose(self, destination_id: UUID, kid: str, action: KeyAction, person: Person, now: datetime) -> KeyChange:
        change = KeyChange(
            destination_id=destination_id, kid=kid, action=action, proposed_by=person.name, proposed_at=now
        )
        self._changes.propose(change, audit=_audit(person, f"key.{action.value}.propose", destination_id, kid, now))
        return change

    def _insist_on_step(self, destination: Destination, key: StoredKey, action: KeyAction, now: datetime) -> None:
        if self._changes.is_retired(destination.destination_id, key.kid):
            raise _impossible("Der Schlüssel ist zurückgezogen.", "The key is retired.")
        current = key.kid == destination.encryption_kid
        if action is KeyAction.RETIRE:
            if current:
                raise _impossible(
                    "Der gültige Schlüssel lässt sich nicht zurückziehen. Schalten Sie erst einen anderen frei.",
                    "The current key cannot be retired. Activate another one first.",
                )
            return
        if current or key.use != "wrapKey":
            raise _impossible(
                "Nur ein Schlüssel zum Verschlüsseln, der noch nicht gilt, lässt sich freischalten.",
                "Only a key for sealing that is not the current one can be activated.",
            )
        judge_encryption_key(dict(key.jwk), now=now, policy=self._policy)

    def _insist_on_owner(self, owner: str, person: Person) -> None:
        client = self._store.client(owner)
        if client is None or not person.covers(client.tenant):
            raise NotFound(
                Text(
                    f"Es gibt keinen Client {owner}. „hub clients list“ zeigt alle.",
                    f"There is no client {owner}. 'hub clients list' shows all.",
                ),
                slug="client-not-found",
            )

    def _insist_on_adapter(self, draft: Draft, before: Destination | None) -> None:
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
        if self._files is not None:
            _insist_on_confinement(options, self._files)
        known[name](options)


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


def _audit(person: Person, action: str, destination_id: UUID, kid: str, now: datetime, **after: object) -> AuditEntry:
    return AuditEntry(at=now, actor=person.name, action=action, target=str(destination_id), after={"kid": kid, **after})


def _same_person() -> Forbidden:
    return Forbidden(
        Text(
            "Sie haben das schon vorgeschlagen. Bestätigen muss es eine zweite Person.",
            "You have proposed this already. A second person has to confirm it.",
        ),
        slug="second-person",
    )


def _impossible(de: str, en: str) -> Conflict:
    return Conflict(Text(de, en), slug="invalid-state-transition")


__all__ = ["KeyAction", "KeyChange", "Standing", "Stewardship"]
