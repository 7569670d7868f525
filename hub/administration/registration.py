"""Vendors who register themselves, at a test instance alone: a form, a link that is good once, and everything to begin with.

What somebody gets: a vendor of their own, a client that sends, a client that receives with a test destination (mailbox) for all
services that the instance knows, and the private keys of that destination, which only a test instance ever makes for others.
Contents are deleted every night, so nothing here is worth keeping secret for long; it is shown once all the same.

A link is a claim under the hub's own key, with its end in it: nothing is stored before somebody comes back with it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

import orjson

from hub.administration.vendors import VendorService
from hub.crypto import HubKeys, base64url, idempotency_mac, make_rsa_pair
from hub.errors import Conflict, HubError, Invalid, NotFound, Text
from hub.identity import Person, new_client
from hub.identity.throttle import Throttle, ThrottleBounds
from hub.model import ROOT, ClientKind, Destination, OfferedService, Role, Vendor
from hub.notifications.mail import MailedLinks
from hub.store import AuditEntry, Store
from hub.transport.smtp import is_address

#: Behind the hub's address; a browser sends nothing of what stands behind the #.
REGISTRATION_PATH = "/admin/register#"
_LIFE = timedelta(hours=24)
#: Forms that one address, and one mail address, may send within an hour.
_BOUNDS = ThrottleBounds(kind="register", window=timedelta(hours=1), by_pair=3, by_address=10)
_LONGEST = 100
_PRODUCT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,59}/[A-Za-z0-9][A-Za-z0-9._+-]{0,39}")
_VERSIONS = ("1.0.0", "1.3.0", "2.0.0", "2.1.0")
#: Who acts: nobody with an account, so nobody's second person either.
_NOBODY = Person(
    name="cli:registration", full_name="Selbstregistrierung", roles=(Role.VIEWER, Role.OPERATOR), is_named=False
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistrationWish:
    """What somebody enters. ``product`` as in ``Antragsnetz/4.2.1``."""

    name: str
    email: str
    product: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Registered:
    """What somebody gets, once: clients as (client_id, secret), and private keys (JWK) by their use."""

    vendor: Vendor
    sender: tuple[str, str] = field(repr=False)
    receiver: tuple[str, str] = field(repr=False)
    destination: Destination
    private_keys: Mapping[str, Mapping[str, Any]] = field(repr=False)

    def as_document(self, base_url: str) -> dict[str, Any]:
        """Return it as the JSON that the vendor keeps."""
        return {
            "environment": "test",
            "hub": base_url,
            "vendorId": self.vendor.vendor_id,
            "sender": {"clientId": self.sender[0], "clientSecret": self.sender[1]},
            "receiver": {"clientId": self.receiver[0], "clientSecret": self.receiver[1]},
            "destinationId": str(self.destination.destination_id),
            "privateKeys": {use: dict(jwk) for use, jwk in self.private_keys.items()},
        }


class SelfRegistration:
    """Takes forms and links. ``certify`` is the instance's development authority, ``offers`` what a test destination takes."""

    def __init__(  # what is made has many owners
        self,
        *,
        store: Store,
        keys: HubKeys,
        vendors: VendorService,
        base_url: str,
        offers: Callable[[], Sequence[OfferedService]],
        certify: Callable[[Mapping[str, Any], str], dict[str, Any]],
        links: Callable[[], MailedLinks | None] = lambda: None,
    ) -> None:
        self._store = store
        self._keys = keys
        self._vendors = vendors
        self._base_url = base_url
        self._offers = offers
        self._certify = certify
        self._links = links
        self._throttle = Throttle(store=store, bounds=_BOUNDS)

    def begin(self, wish: RegistrationWish, *, address: str, now: datetime) -> str:
        """Mail the link; return it where no mail server is set up, else nothing.

        Raises:
            Invalid: a name, mail address or product that is none. TooMany: this address sent too many forms within the hour.
        """
        wish = RegistrationWish(name=wish.name.strip(), email=wish.email.strip(), product=wish.product.strip())
        self._throttle.refuse(subject=wish.email.lower(), address=address, now=now)
        # Every form counts, also a good one: it makes a mail.
        self._throttle.note(subject=wish.email.lower(), address=address, now=now)
        _require_sense(wish)
        until = now + _LIFE
        link = f"{self._base_url}{REGISTRATION_PATH}{self._token(wish, until)}"
        links = self._links()
        if links is None:
            return link
        if not links.register(wish.email, link, until=until, now=now):
            raise Invalid(
                Text(
                    "Der Mailserver nimmt die Mail an diese Adresse nicht an. Prüfen Sie die Adresse.",
                    "The mail server does not take the mail to this address. Check the address.",
                )
            )
        return ""

    def complete(self, token: str, *, address: str, now: datetime) -> Registered:
        """Make everything, for who holds the link; it is good no more then.

        Raises:
            NotFound: the link is none, over, or was used. Conflict: a vendor of that name is there.
            TooMany: too many links from this address that were none.
        """
        self._throttle.refuse(address=address, now=now)
        wish, until = self._read(token)
        once = sha256(f"registration {token}".encode()).hexdigest()
        if wish is None or until <= now or not self._store.accounts.use_answer(once, until):
            self._throttle.note(address=address, now=now)
            raise NotFound(
                Text(
                    "Dieser Link gilt nicht, nicht mehr, oder wurde schon benutzt. Registrieren Sie sich noch einmal.",
                    "This link is not good, not any more, or was used already. Register once more.",
                )
            )
        return self._made(wish, now)

    def _made(self, wish: RegistrationWish, now: datetime) -> Registered:
        vendor = self._admitted(wish, now)
        self._vendors.delegate(vendor.vendor_id, _NOBODY, tenant_id=ROOT, now=now)
        clients = {}
        for kind in (ClientKind.SENDER, ClientKind.SUBSCRIBER):
            client, secret = new_client(
                kind, f"{vendor.name} ({kind.value})", now=now, manage=kind is ClientKind.SUBSCRIBER
            )
            self._store.parties.add_client(client, audit=_audit("client.add", f"client:{client.client_id}", now))
            self._vendors.set_software(vendor.vendor_id, client.client_id, _NOBODY, product=wish.product, now=now)
            clients[kind] = (client.client_id, secret)
        receiver = clients[ClientKind.SUBSCRIBER]
        destination, private = self._destination(vendor, receiver[0], wish.email, now)
        return Registered(
            vendor=vendor,
            sender=clients[ClientKind.SENDER],
            receiver=receiver,
            destination=destination,
            private_keys=private,
        )

    def _admitted(self, wish: RegistrationWish, now: datetime) -> Vendor:
        """Admit the vendor; who registers a second time gets one beside the first, for nobody shows here who they are."""
        try:
            return self._vendors.create(_NOBODY, name=wish.name, now=now)
        except Conflict:
            return self._vendors.create(_NOBODY, name=f"{wish.name[:80]} {uuid4().hex[:8]}", now=now)

    def _destination(
        self, vendor: Vendor, owner: str, email: str, now: datetime
    ) -> tuple[Destination, Mapping[str, Mapping[str, Any]]]:
        public, private = {}, {}
        for use in ("encryption", "signing"):
            bare, private[use] = make_rsa_pair(use)
            public[use] = self._certify(bare, "CN=Testzustellpunkt")
        destination = Destination(
            destination_id=uuid4(),
            name=f"Test: {vendor.name}",
            status="active",
            owner=owner,
            tenant="",
            services=tuple(self._offers()),
            metadata_versions=_VERSIONS,
            encryption_kid=public["encryption"]["kid"],
            contact={"legalName": vendor.name, "address": "", "phone": "", "email": email},
            adapter="mailbox",
            adapter_config={},
            created_at=now,
            updated_at=now,
        )
        here = f"destination:{destination.destination_id}"
        keys = [("wrapKey", public["encryption"]), ("verify", public["signing"])]
        self._store.parties.add_destination(destination, keys, audit=_audit("destination.create", here, now))
        return destination, private

    def _token(self, wish: RegistrationWish, until: datetime) -> str:
        said = orjson.dumps([wish.name, wish.email, wish.product, int(until.timestamp()), uuid4().hex])
        payload = base64url.encode(said).decode("ascii")
        return f"{payload}.{self._mac(payload)}"

    def _mac(self, payload: str) -> str:
        return idempotency_mac(self._keys.idempotency, [b"registration", payload.encode("ascii")])

    def _read(self, token: str) -> tuple[RegistrationWish | None, datetime]:
        payload, _, mac = token.partition(".")
        none = datetime.fromtimestamp(0, UTC)
        if not token.isascii() or not hmac.compare_digest(self._mac(payload), mac):
            return None, none
        try:
            name, email, product, until, _ = orjson.loads(base64url.decode(payload.encode("ascii"), part="payload"))
        except (HubError, ValueError):
            return None, none
        return RegistrationWish(name=name, email=email, product=product), datetime.fromtimestamp(until, UTC)


def _require_sense(wish: RegistrationWish) -> None:
    named = 0 < len(wish.name) <= _LONGEST and wish.name.isprintable()
    if not named or len(wish.email) > _LONGEST or not is_address(wish.email) or not _PRODUCT.fullmatch(wish.product):
        raise Invalid(
            Text(
                "Verlangt sind ein Name in einer Zeile, eine Mailadresse und Produkt/Version, etwa Antragsnetz/4.2.1.",
                "Needed are a name in one line, a mail address, and product/version, such as Antragsnetz/4.2.1.",
            )
        )


def _audit(action: str, target: str, now: datetime) -> AuditEntry:
    return AuditEntry(at=now, actor=_NOBODY.name, action=action, target=target, after={"by": "self-registration"})
