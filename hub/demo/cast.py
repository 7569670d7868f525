"""Who plays in the demo: three clients, five destinations with keys, and the file that tells other programs of them.

A sixth destination belongs to whoever tries a client of their own: no connector collects from it, and it has a subscriber
client to itself. ``demo.json`` tells of it in ``reserved_for_tests``.

The municipal side of the demo: writes the connector's settings and the keys that it needs.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from hub.app import Context, development_authority
from hub.config import Settings
from hub.crypto import make_rsa_pair
from hub.identity import new_client
from hub.model import ClientKind, Destination, OfferedService, Role
from hub.model.adapter import NEWEST
from hub.resources import shipped
from hub.routing import PlannedDestination, load_destinations
from hub.store import AuditEntry, NewDestination

_METADATA_VERSIONS = ("1.0.0", "1.3.0", "2.0.0", "2.1.0")
_VALID_DAYS = 730
_RESERVED = UUID("7e57c11e-27f4-4b0a-9c35-d2a1b7e06414")
#: The stem of the files with the keys that the invented authorities share.
SHARED_KEYS = "authorities"
_FORM_FOR_EVERYTHING = "https://schema.rathaus-hub.example/fim-formloser-antrag/1.2/antrag.schema.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """The demo's parties, as ``demo.json`` tells them. ``folder`` holds the authorities' private keys."""

    folder: Path
    document: Mapping[str, Any]

    @property
    def destinations(self) -> list[Mapping[str, Any]]:
        """The destinations as in ``demo.json``."""
        found: list[Mapping[str, Any]] = self.document["destinations"]
        return found

    @property
    def key_stems(self) -> dict[str, str]:
        """By destination the stem of the files with its private keys; the authorities that were invented share theirs."""
        own = {each["destination_id"]: each["destination_id"] for each in self.destinations}
        return own | dict.fromkeys(self.document.get("authorities", ()), SHARED_KEYS)

    def extended(self, **more: Any) -> Cast:
        """Return the cast with more in ``demo.json``."""
        document = {**self.document, **more}
        write_private(self.folder.parent / "demo.json", document)
        return replace(self, document=document)


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyPairs:
    """Public and private JWKs, by ``use`` (encryption, signing)."""

    public: Mapping[str, Mapping[str, Any]]
    private: Mapping[str, Mapping[str, Any]]


def roles() -> tuple[PlannedDestination, ...]:
    """Read the demo destinations that ship with the routing rules."""
    return load_destinations(shipped("routing_rules") / "hessen" / "destinations.yaml")


def _kept(hub: Context, folder: Path, target: Path) -> Cast:
    """Return what an earlier start made, with what an earlier version did not make yet."""
    document = json.loads(target.read_text(encoding="utf-8"))
    if "reserved_for_tests" not in document:
        document["reserved_for_tests"] = _reserved(hub, folder)
        write_private(target, document)
    if "portal" not in document:
        document["portal"] = _portal(hub, folder)
        write_private(target, document)
    return Cast(folder=folder, document=document)


def prepare(hub: Context, *, say: Callable[[str], None]) -> Cast:
    """Create clients, keys and destinations where they are missing; write ``demo.json`` (mode 0600)."""
    folder = hub.settings.data / "demo"
    target = hub.settings.data / "demo.json"
    if target.is_file():
        return _kept(hub, folder, target)
    # In the append-only log, so that production refuses this database also without the files.
    hub.store.audit.append(AuditEntry(at=hub.clock(), actor="demo", action="demo.prepare", target="hub"))
    folder.mkdir(mode=0o700, exist_ok=True)
    _write_secret(folder / "push.secret", os.urandom(32).hex())
    sender = _client(hub, ClientKind.SENDER, "Demo-Onlinedienst")
    subscriber = _client(hub, ClientKind.SUBSCRIBER, "Demo-Fachverfahren")
    _write_secret(folder / "subscriber.secret", subscriber["client_secret"])
    destinations = []
    for role in roles():
        say(f"  Schlüssel für / keys for {role.name} …")
        destinations.append(_destination(hub, role, folder, owner=subscriber["client_id"], now=hub.clock()))
    _accounts(hub, folder)
    document = _document(hub, folder, sender=sender, subscriber=subscriber, destinations=destinations)
    write_private(target, document)
    return Cast(folder=folder, document=document)


def _document(
    hub: Context,
    folder: Path,
    *,
    sender: Mapping[str, str],
    subscriber: Mapping[str, str],
    destinations: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    base_url = hub.settings.canonical_url
    return {
        "base_url": base_url,
        "token_url": f"{base_url}/token",
        "sender": sender,
        "portal": _portal(hub, folder),
        "subscriber": subscriber,
        "destinations": destinations,
        "reserved_for_tests": _reserved(hub, folder),
    }


def _reserved(hub: Context, folder: Path) -> dict[str, Any]:
    """Make a destination that nobody collects from but whoever tries a client, with a subscriber client of its own."""
    town = next(role for role in roles() if role.adapter == "mailbox")
    role = replace(town, destination_id=_RESERVED, name="Reserviert für Versuche / reserved for tests")
    subscriber = _client(hub, ClientKind.SUBSCRIBER, "Demo-Versuchssystem")
    return {"subscriber": subscriber, **_destination(hub, role, folder, owner=subscriber["client_id"], now=hub.clock())}


def _portal(hub: Context, folder: Path) -> dict[str, str]:
    """Register the citizens' portal as what it is, an online service of its own."""
    portal = _client(hub, ClientKind.SENDER, "Demo-Bürgerportal")
    _write_secret(folder / "portal.secret", portal["client_secret"])
    return portal


def _accounts(hub: Context, folder: Path) -> None:
    """Make two people for the admin pages, because a change of routes needs a second one."""
    people = {}
    for name, roles in (("demo-anna", (Role.EDITOR, Role.OPERATOR)), ("demo-ben", (Role.APPROVER, Role.OPERATOR))):
        people[name] = secrets.token_urlsafe(12)
        hub.accounts.add(name, people[name], roles=roles, actor="demo", now=hub.clock())
    write_private(folder / "accounts.json", people)


def _write_secret(target: Path, text: str) -> None:
    """Write what only the owner may read, at no moment anybody else."""
    target.touch(mode=0o600)
    target.chmod(0o600)
    target.write_text(text, encoding="ascii")


def write_private(target: Path, document: Any) -> None:
    """Write JSON that only the owner may read; the file appears whole or not at all."""
    temporary = target.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(document, stream, ensure_ascii=False, indent=1)
    temporary.rename(target)


def _client(hub: Context, kind: ClientKind, name: str) -> dict[str, str]:
    client, secret = new_client(kind, name, now=hub.clock(), tenant="06", manage=kind is ClientKind.SUBSCRIBER)
    hub.store.parties.add_client(client)
    return {"client_id": client.client_id, "client_secret": secret}


def key_pairs(hub: Context, folder: Path, stem: str, *, subject: str, now: datetime) -> KeyPairs:
    """Make a pair to encrypt and one to sign with, certified by the development PKI; the private ones go into files."""
    authority = development_authority(hub.settings, now=now)
    public, private = {}, {}
    for use in ("encryption", "signing"):
        bare, private[use] = make_rsa_pair(use)
        public[use] = authority.issue(bare, subject=subject, now=now, days=_VALID_DAYS)
        write_private(folder / f"{stem}-{use}.json", private[use])
    return KeyPairs(public=public, private=private)


def new_destination(
    role: PlannedDestination, offers: Sequence[OfferedService], pairs: KeyPairs, *, owner: str, now: datetime
) -> NewDestination:
    """Return a role as a destination with its keys, to be stored; its adapter has no options yet."""
    destination = Destination(
        destination_id=role.destination_id,
        name=role.name,
        status="active",
        owner=owner,
        tenant=role.ars,
        services=tuple(offers),
        metadata_versions=_METADATA_VERSIONS,
        encryption_kid=pairs.public["encryption"]["kid"],
        contact=role.contact,
        adapter=role.adapter,
        adapter_config={},
        created_at=now,
        updated_at=now,
    )
    return destination, [("wrapKey", pairs.public["encryption"]), ("verify", pairs.public["signing"])]


def _destination(hub: Context, role: PlannedDestination, folder: Path, *, owner: str, now: datetime) -> dict[str, Any]:
    pairs = key_pairs(hub, folder, str(role.destination_id), subject=role.name, now=now)
    offers = [offered(hub, role.ars, service) for service in role.services]
    made, keys = new_destination(role, offers, pairs, owner=owner, now=now)
    config = adapter_config(role, folder, push_url="")
    hub.store.parties.add_destination(replace(made, adapter_config=config), keys)
    return {
        "destination_id": str(role.destination_id),
        "name": role.name,
        "ars": role.ars,
        "services": list(role.services),
        "schema_uris": sorted({uri for offer in offers for uri, _ in offer.schemas}),
        "adapter": role.adapter,
        "private_decryption_jwk": pairs.private["encryption"],
        "private_signing_jwk": pairs.private["signing"],
    }


def adapter_config(role: PlannedDestination, folder: Path, *, push_url: str) -> dict[str, Any]:
    """Return the adapter's options; a push goes to the demo specialist system on this machine."""
    if role.adapter == "https":
        return {
            "url": push_url or "http://127.0.0.1:1/",
            "secret_file": str(folder / "push.secret"),
            "envelope": NEWEST,
            "allow_http": True,
            "allow_private_addresses": True,
        }
    if role.adapter == "folder":
        return {"path": str(folder / f"folder-{role.ars}"), "envelope": NEWEST}
    return {}


def offered(hub: Context, ars: str, service: str) -> OfferedService:
    """Offer the schemas that serve this service in an area; where there is none, the form for everything."""
    entries = hub.catalog.entries()
    made_for_it = {entry.manifest.standard for entry in entries if service in (entry.item.services or ())}
    general = hub.catalog.entry(_FORM_FOR_EVERYTHING).manifest.standard
    standards = made_for_it or {general}
    refs = [entry.ref for entry in entries if entry.manifest.standard in standards and entry.serves(service)]
    return OfferedService(
        identifier=service,
        regions=(f"DE{ars}",),
        schemas=tuple((ref.uri, ref.media_type.value) for ref in refs),
    )


_POLL_SECONDS = 1


def write_config(cast: Cast, settings: Settings, *, listen_port: int, desk_port: int) -> None:
    """Write ``connector.toml`` for all demo destinations; paths are relative to the demo's folder."""
    lines = [
        'mode = "both"',
        'poll_for = "all"',
        'journal = "connector.sqlite"',
        f"poll_seconds = {_POLL_SECONDS}",
        f"schema_roots = [{_text(shipped('schemas'))}, {_text(settings.data / 'schemas')}]",
        "[hub]",
        f"base_url = {_text(cast.document['base_url'])}",
        f"token_url = {_text(cast.document['token_url'])}",
        f"client_id = {_text(cast.document['subscriber']['client_id'])}",
        'client_secret_file = "subscriber.secret"',
        "[listen]",
        f"port = {listen_port}",
        'secret_file = "push.secret"',
        "[handover]",
        'mode = "auto"',
        'kind = "http"',
        f'url = "http://127.0.0.1:{desk_port}/cases"',
        "[specialist]",
        f"port = {desk_port}",
        'folder = "fachverfahren"',
    ]
    lines += _destinations_of(cast)
    (cast.folder / "connector.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _destinations_of(cast: Cast) -> Iterator[str]:
    for name, stem in cast.key_stems.items():
        yield "[[destinations]]"
        yield f"destination_id = {_text(name)}"
        yield f'decryption_key_files = ["{stem}-encryption.json"]'
        yield f'signing_key_file = "{stem}-signing.json"'


def write_portal_settings(cast: Cast, settings: Settings, *, port: int) -> Path:
    """Write ``portal.toml`` for the demo's portal, and return its path; paths in it are relative to the demo's folder."""
    lines = [
        f"schema_roots = [{_text(settings.data / 'schemas')}]",
        "[hub]",
        f"base_url = {_text(cast.document['base_url'])}",
        f"client_id = {_text(cast.document['portal']['client_id'])}",
        'client_secret_file = "portal.secret"',
        "[serve]",
        f"port = {port}",
        f'public_url = "http://127.0.0.1:{port}"',
        "[storage]",
        'folder = "portal"',
        "[look]",
        'name = "Rathaus to go"',
    ]
    path = cast.folder / "portal.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _text(value: object) -> str:
    """Write a TOML basic string; JSON's escapes are a subset of TOML's."""
    return json.dumps(str(value), ensure_ascii=True)


__all__ = ["Cast", "adapter_config", "prepare", "roles", "write_portal_settings", "write_private"]
