"""Destinations and their keys: reading them, and what their owners may change (FIT-Connect, sections 4.2 and 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from hub.administration.adapters import shown
from hub.administration.judging import judged, use_of
from hub.crypto.keys import KeyPolicy
from hub.errors import KeyRefused, Malformed, NotFound, Text
from hub.identity.access import existing_destination, own_destination, reach
from hub.identity.clients import Caller
from hub.model.parties import Callback, Destination, OfferedService
from hub.model.submission import is_uri
from hub.store import AuditEntry, Page, Store, StoredKey

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
        return self._store.destination(destination_id)

    def of_owner(self, *, caller: Caller, offset: int, limit: int) -> Page[Destination]:
        """Return the caller's destinations, oldest first, as far as its token reaches."""
        return self._store.destinations(owner=caller.client_id, among=reach(caller), offset=offset, limit=limit)

    def key(self, destination_id: UUID, kid: str) -> Mapping[str, Any]:
        """Return a destination's public key, current or not, so that old seals and signatures can be checked.

        Raises:
            NotFound: no such destination or key.
        """
        existing_destination(self._store, destination_id)
        jwk = self._store.key(destination_id, kid)
        if jwk is None:
            raise NotFound(
                Text(
                    "Diesen Schlüssel hat der Zustellpunkt nicht. encryptionKid des Zustellpunkts nennt den gültigen.",
                    "The destination has no such key. Its encryptionKid names the current one.",
                ),
                slug="key-not-found",
            )
        return jwk

    def keys(self, destination_id: UUID) -> list[StoredKey]:
        """Return all keys, the current encryption key first; raise ``NotFound`` for an unknown destination."""
        existing_destination(self._store, destination_id)
        return self._store.keys(destination_id)

    def create(
        self,
        draft: Draft,
        *,
        encryption_key: Mapping[str, Any],
        signature_key: Mapping[str, Any],
        owner: str,
        tenant: str,
        now: datetime,
        actor: str | None = None,
    ) -> Destination:
        """Create a destination, status ``created``, whose submissions wait in the mailbox.

        Raises:
            Malformed: ``encryptionKid`` is not the encryption key's, or a key is refused by the policy.
        """
        _insist_on_uris(draft)
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
        self._store.add_destination(destination, keys, audit=entry)
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
        _insist_on_uris(draft)
        said = draft.parts()
        if draft.encryption_kid is not None:
            self._insist_on_key(destination, draft.encryption_kid)

        def change(before: Destination) -> Destination:
            self._insist_on_status(before, draft.status)
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

        return self._store.change_destination(destination.destination_id, change, audit=audit, expected=expected)

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
            return self._store.add_key(destination.destination_id, key, now, audit=entry)
        except KeyRefused as exc:
            raise Malformed(exc.detail, slug="key-refused") from exc

    def _insist_on_key(self, destination: Destination, kid: str) -> None:
        jwk = self._store.usable_key(destination.destination_id, kid)
        if jwk is None or jwk.get("key_ops") != ["wrapKey"]:
            raise _malformed(
                "Unter dieser encryptionKid ist kein Schlüssel zum Verschlüsseln hinterlegt. Laden Sie ihn zuerst hoch.",
                "No key for sealing is on record under this encryptionKid. Upload it first.",
            )

    @staticmethod
    def _insist_on_status(destination: Destination, status: str | None) -> None:
        if status is not None and status not in _STATUS.get(destination.status, frozenset()):
            raise Malformed(
                Text(
                    f"Von {destination.status} führt kein Weg zum verlangten Status. Möglich: "
                    f"{', '.join(sorted(_STATUS.get(destination.status, ())))}.",
                    f"No step leads from {destination.status} to the status asked for. Possible: "
                    f"{', '.join(sorted(_STATUS.get(destination.status, ())))}.",
                ),
                slug="destination-state-invalid",
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


def _insist_on_uris(draft: Draft) -> None:
    """Refuse a schema that is named by no URI: it would stand in metadata that the authority turns down."""
    if not all(is_uri(uri) for service in draft.services or () for uri, _ in service.schemas):
        raise _malformed(
            "Ein Schema ist nicht durch eine URI benannt (RFC 3986; Leerzeichen und Umlaute als %20 und %C3…).",
            "A schema is not named by a URI (RFC 3986; blanks and umlauts as %20 and %C3…).",
        )


def _malformed(de: str, en: str) -> Malformed:
    return Malformed(Text(de, en))
