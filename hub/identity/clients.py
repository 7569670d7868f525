"""Parties of the API: OAuth clients, and the directory in which both doors look them and destinations up.

OAuth clients, their secrets and access tokens (RFC 6749 client credentials, RFC 9068 token profile).

Rights come from the client's record; a token's scope is an upper bound. Both scope families of FIT-Connect are understood:
the URIs of today and the older ``send:region:DE…`` / ``subscribe:destination:…`` forms.

Destinations, their judged keys and clients, read at most a second ago: both doors, and all who ask who calls, look here.

The accept path needs them for every application; reading and judging a key each time would cost more than sealing.
A change (a key withdrawn, a client disabled) is seen at once by the node that makes it, for its store tells
:meth:`Directory.forget`, and by every other node within :data:`FRESH`.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID, uuid4

import orjson
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hub.crypto import (
    EncryptionKey,
    HubKeys,
    KeyPolicy,
    idempotency_mac,
    judge_encryption_key,
    read_jws_header,
    sign_ps512,
    verify_ps512,
)
from hub.errors import Forbidden, Invalid, KeyRefused, KeyUnavailable, NotFound, Text, Unauthenticated
from hub.identity.assertions import Assertions
from hub.identity.throttle import Throttle, ThrottleBounds
from hub.model import EVERYTHING, Client, ClientKind, ClientSoftware, Destination, canonical_service
from hub.store import Store

#: How old an answer may be.
FRESH = timedelta(seconds=1)
_MOST = 20_000
_NOTHING: Mapping[str, tuple[datetime, Any]] = {}

#: A destination by its id, or a client by its.
Party = UUID | str
T = TypeVar("T")


class Directory:
    """Looks up parties, with answers at most :data:`FRESH` old."""

    def __init__(self, *, store: Store, policy: KeyPolicy) -> None:
        self._store = store
        self.policy = policy
        self.answers: dict[Party, dict[str, tuple[datetime, Any]]] = {}
        self._changes = 0

    def forget(self, party: Party) -> None:
        """Look this destination or client, and its keys, up anew next time."""
        self._changes += 1
        self.answers.pop(party, None)

    def client(self, client_id: str, *, now: datetime) -> Client | None:
        """Return the client, or None."""
        return self._fresh(client_id, "client", now, lambda: self._store.parties.client(client_id))

    def destination(self, destination_id: UUID, *, now: datetime) -> Destination | None:
        """Return the destination, or None."""
        return self._fresh(destination_id, "destination", now, lambda: self._store.parties.destination(destination_id))

    def at_hand(self, destination_id: UUID, *, now: datetime) -> Destination | None:
        """Return the destination if that takes no look into the store; None says nothing."""
        known = self._answer(destination_id, "destination", now)
        answer: Destination | None = None if known is None else known[1]
        return answer

    def software(self, client_id: str, *, now: datetime) -> ClientSoftware | None:
        """Return whose software a client is, or None."""
        return self._fresh(client_id, "software", now, lambda: self._store.vendors.software(client_id))

    def is_nobodys_software(self, client_id: str, *, now: datetime) -> bool:
        """Tell whether it is known without a look into the store that a client is no vendor's."""
        known = self._answer(client_id, "software", now)
        return known is not None and known[1] is None

    def grants(self, vendor_id: str, *, now: datetime) -> frozenset[tuple[str, str]]:
        """Return for whom a vendor acts, as (tenant, service)."""
        return self._fresh(vendor_id, "grants", now, lambda: self._store.vendors.grants(vendor_id))

    def lineage(self, destination: Destination, *, now: datetime) -> frozenset[str]:
        """Return whose a destination is, and all tenants above."""
        read = self._store.vendors.lineage
        return self._fresh(destination.destination_id, "lineage", now, lambda: read(destination.tenant_id))

    def encryption_key(self, destination: Destination, *, now: datetime) -> EncryptionKey:
        """Return the destination's current key, judged good for use now.

        Raises:
            KeyUnavailable: there is none, or the key policy refuses it. No other key is tried: an authority that
                rotates its key means it.
        """
        name = f"key {destination.encryption_kid}"
        return self._fresh(destination.destination_id, name, now, lambda: self._judged(destination, now))

    def _judged(self, destination: Destination, now: datetime) -> EncryptionKey:
        jwk = self._store.parties.usable_key(destination.destination_id, destination.encryption_kid)
        if jwk is None:
            raise _no_key(destination, Text("Er ist nicht hinterlegt.", "It is not on record."))
        try:
            return judge_encryption_key(jwk, now=now, policy=self.policy)
        except KeyRefused as error:
            raise _no_key(destination, error.detail) from error

    def _fresh(self, party: Party, name: str, now: datetime, read: Callable[[], T]) -> T:
        known = self._answer(party, name, now)
        if known is not None:
            answer: T = known[1]
            return answer
        before = self._changes
        answer = read()
        # What was changed while it was read may be the state of before; it answers this once and is not kept.
        if self._changes == before:
            if len(self.answers) >= _MOST:
                self.answers.clear()
            self.answers.setdefault(party, {})[name] = (now, answer)
        return answer

    def _answer(self, party: Party, name: str, now: datetime) -> tuple[datetime, Any] | None:
        known = self.answers.get(party, _NOTHING).get(name)
        return known if known is not None and now - FRESH < known[0] <= now else None


def _no_key(destination: Destination, why: Text) -> KeyUnavailable:
    return KeyUnavailable(
        Text(
            f"Für {destination.name} ist kein verwendbarer Schlüssel hinterlegt. {why.de} Der Betrieb des Hubs muss "
            "handeln.",
            f"There is no usable key for {destination.name}. {why.en} The hub's operators have to act.",
        ),
        retry_after=timedelta(hours=1),
        destinationId=str(destination.destination_id),
    )


#: Longest life of an access token (FIT-Connect section 2).
TOKEN_LIFE = timedelta(seconds=1800)
_TOKEN_TYPE = "at+jwt"  # noqa: S105  # a media type, not a secret
_OWN_SCOPES = "urn:rathaus-hub:scope:"
_SCOPES = "https://schema.fitko.de/fit-connect/oauth/scopes/"
#: Wrong secrets that turn a client id away at one address, and an address whatever the ids. There is no bound over all
#: addresses: secrets have 256 random bits, so nobody guesses one, and a stranger could keep the client out.
_BOUNDS = ThrottleBounds(kind="client", window=timedelta(seconds=60), by_pair=10, by_address=60)
#: Slow hashes under way at once.
_HASHES_AT_ONCE = 4
_CACHE_SIZE = 10_000


class ScopeRight(StrEnum):
    """What a token may be used for; the scopes of ``openapi.yaml``."""

    #: Submit applications and submissions, read their state.
    SEND = "send"
    #: Collect from own destinations, write their events.
    SUBSCRIBE = "subscribe"
    #: Create and change own destinations and keys.
    MANAGE = "manage"
    #: See what administrators see: routing tables, clients, destinations. Machines only; persons have rights of their own.
    SEE = "see"
    #: Draft routing tables.
    EDIT = "edit"


#: Scope tokens of today, and the right that each gives.
SCOPES: dict[str, ScopeRight] = {
    f"{_SCOPES}send-submissions": ScopeRight.SEND,
    f"{_SCOPES}subscribe-destinations": ScopeRight.SUBSCRIBE,
    f"{_SCOPES}manage-destinations": ScopeRight.MANAGE,
    f"{_OWN_SCOPES}see": ScopeRight.SEE,
    f"{_OWN_SCOPES}edit": ScopeRight.EDIT,
}
#: Beginnings of the older scope tokens, and the right that each gives.
_OLD_SCOPES = {
    "send:region:": ScopeRight.SEND,
    "subscribe:destination:": ScopeRight.SUBSCRIBE,
    "manage:destination:": ScopeRight.MANAGE,
    "create:destination": ScopeRight.MANAGE,
}
_IN_REGION = "send:region:DE"
_AND_SERVICE = "+send:service:"
_DEFAULT_SCOPES = {
    ClientKind.SENDER: (f"{_SCOPES}send-submissions",),
    ClientKind.SUBSCRIBER: (f"{_SCOPES}subscribe-destinations",),
    ClientKind.MACHINE: (f"{_OWN_SCOPES}see", f"{_OWN_SCOPES}edit"),
}
#: Kinds that persons may create and give secrets to. Whoever knew a machine's secret could draft by it and approve the
#: draft as somebody else; so machines are made on the command line, by those who could change the database anyway.
FOR_PERSONS = (ClientKind.SENDER, ClientKind.SUBSCRIBER)


def right_of(scope: str) -> ScopeRight | None:
    """Return the right that a scope token gives, or None for an unknown one."""
    if scope in SCOPES:
        return SCOPES[scope]
    return next((right for start, right in _OLD_SCOPES.items() if scope.startswith(start)), None)


def contains(held: str, wanted: str) -> bool:
    """Tell whether a client that holds one scope may have a token with another: the same, or less of the same right."""
    right = right_of(wanted)
    held, wanted = canonical(held), canonical(wanted)
    if held == wanted:
        return right is not None
    if right is None or right_of(held) is not right:
        return False
    if held in SCOPES:
        return True
    region, _, service = held.partition(_AND_SERVICE)
    narrower, _, for_service = wanted.partition(_AND_SERVICE)
    is_region = region.startswith(_IN_REGION) and narrower.startswith(region)
    return is_region and service in {"", for_service}


def canonical(token: str) -> str:
    """Return a scope token as the hub writes it: ``send:region:de06`` is ``send:region:DE06``, and a service has one name."""
    lower = token.lower()
    if lower.startswith(_IN_REGION.lower()):
        region, narrows, service = lower[len(_IN_REGION) :].partition(_AND_SERVICE)
        return _IN_REGION + region + narrows + canonical_service(service)
    return lower if right_of(lower) is not None else token


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Who is calling: an authenticated client with the scopes of its token."""

    client_id: str
    kind: ClientKind
    scopes: tuple[str, ...]
    expires_at: datetime

    @property
    def rights(self) -> frozenset[ScopeRight]:
        """What this caller may do at all."""
        return frozenset(right for right in map(right_of, self.scopes) if right is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """An issued access token."""

    access_token: str = field(repr=False)
    scopes: tuple[str, ...]
    life: timedelta


def new_client(
    kind: ClientKind, name: str, *, now: datetime, tenant: str = "", manage: bool = False, client_id: str | None = None
) -> tuple[Client, str]:
    """Make a client and its secret; the secret is random, shown once and stored only as argon2id."""
    secret = secrets.token_urlsafe(32)
    scopes: tuple[str, ...] = _DEFAULT_SCOPES[kind]
    if manage:
        scopes = (*scopes, f"{_SCOPES}manage-destinations")
    client = Client(
        client_id=client_id or str(uuid4()),
        kind=kind,
        name=name,
        secret_hash=hash_secret(secret),
        scopes=scopes,
        tenant=tenant,
        created_at=now,
    )
    return client, secret


def require_for_persons(kind: str) -> None:
    """Raise ``Forbidden`` for a kind of clients that persons may not create or give a secret."""
    if kind not in FOR_PERSONS:
        raise Forbidden(
            Text(
                "Clients dieser Art legt nur die Befehlszeile an (hub clients), damit die zweite Person eine andere bleibt.",
                "Clients of this kind are made on the command line only (hub clients), so that the second person is another.",
            ),
            slug="machine-client",
        )


def hash_secret(secret: str) -> str:
    """Return the argon2id hash; the cost suits 256-bit random secrets, which need no slow guessing."""
    return _hasher().hash(secret)


def _secret_fits(secret_hash: str, secret: str) -> bool:
    try:
        return _hasher().verify(secret_hash, secret)
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def _hasher() -> PasswordHasher:
    return PasswordHasher(time_cost=1, memory_cost=8 * 1024, parallelism=1)


class Clients:
    """Issues tokens to clients and recognises callers by them."""

    def __init__(
        self,
        *,
        store: Store,
        directory: Directory,
        keys: HubKeys,
        issuer: str,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """``failed`` is told of each log-in that fails."""
        self._store = store
        self._directory = directory
        self._keys = keys
        self._issuer = issuer
        self._cache_key = secrets.token_bytes(32)
        # Both caches only save work: losing them costs one argon2 or one RSA verification.
        self._known_secrets: dict[bytes, str] = {}
        self._known_tokens: dict[bytes, Caller] = {}
        self._logins = store.logins
        self._throttle = Throttle(store=store, bounds=_BOUNDS, failed=failed)
        self._hashing = threading.BoundedSemaphore(_HASHES_AT_ONCE)
        self._assertions = Assertions(store=store, policy=directory.policy, issuer=issuer)
        # An unknown client must take as long as a wrong secret.
        self._nobody = hash_secret(secrets.token_urlsafe(32))

    def issue(self, client_id: str, secret: str, scope: str | None, *, address: str = "", now: datetime) -> Token:
        """Exchange client credentials for an access token: :meth:`authenticate`, then :meth:`grant`."""
        return self.grant(self.authenticate(client_id, secret, address=address, now=now), scope, now=now)

    def grant(self, client: Client, scope: str | None, *, now: datetime) -> Token:
        """Return an access token for a client that was authenticated.

        Raises:
            Invalid: a scope that the client does not have (slug ``invalid_scope``).
        """
        scopes = self._granted(client, scope)
        claims = {
            "iss": self._issuer,
            "sub": client.client_id,
            "jti": str(uuid4()),
            "iat": int(now.timestamp()),
            "exp": int((now + TOKEN_LIFE).timestamp()),
            "scope": " ".join(scopes),
            "clientType": client.kind.value,
        }
        token = sign_ps512(self._keys.signing, orjson.dumps(claims), typ=_TOKEN_TYPE)
        return Token(access_token=token, scopes=scopes, life=TOKEN_LIFE)

    def recognise(self, token: str, *, now: datetime) -> Caller:
        """Return who holds ``token``.

        Raises:
            Unauthenticated: forged, foreign or expired token, or a client that is gone or disabled.
        """
        fingerprint = self._fingerprint(token)
        caller = self._known_tokens.get(fingerprint)
        if caller is None:
            caller = self._verify(token)
            if len(self._known_tokens) >= _CACHE_SIZE:
                self._known_tokens.clear()
            self._known_tokens[fingerprint] = caller
        if caller.expires_at <= now:
            raise _bad_token()
        client = self._directory.client(caller.client_id, now=now)
        if client is None or client.disabled_at is not None:
            raise _bad_token()
        return caller

    def authenticate(self, client_id: str, secret: str, *, address: str = "", now: datetime) -> Client:
        """Return the client whose credentials were sent from a network ``address``.

        A secret that the client logged in with before is good whatever others tried meanwhile, and costs no commit.

        Raises:
            Unauthenticated: unknown client, wrong secret, disabled client (slug ``invalid_client``).
            TooMany: too many wrong secrets from this address in the last minute, and this one was never good before.
        """
        client = self._store.parties.client(client_id)
        if client is not None and client.disabled_at is not None:
            client = None
        if client is not None and self._is_proven(client, secret):
            return client
        self._throttle.refuse(subject=client_id, address=address, now=now)
        with self._hashing:
            # Once more: who waited here must count the failures of those before.
            self._throttle.refuse(subject=client_id, address=address, now=now)
            fits = _secret_fits(client.secret_hash if client is not None else self._nobody, secret)
            if client is None or not fits:
                self._throttle.note(subject=client_id, address=address, now=now)
                raise bad_credentials()
        self._logins.prove(client.client_id, self._mac(client, secret))
        self._remember(client, secret)
        return client

    def asserted(self, assertion: str, *, address: str = "", now: datetime) -> Client:
        """Return the client that its vendor's key proves; see :mod:`hub.identity.assertions`.

        Raises:
            Unauthenticated: it proves nobody (slug ``invalid_client``); which check failed is not said.
            TooMany: too many of these from this address in the last minute.
        """
        self._throttle.refuse(address=address, now=now)
        client = self._assertions.proven(assertion, now=now)
        if client is None:
            self._throttle.note(address=address, now=now)
            raise _bad_assertion()
        return client

    def _is_proven(self, client: Client, secret: str) -> bool:
        """Tell at constant cost whether the client logged in with this secret before, here or in another process."""
        if self._known_secrets.get(self._fingerprint(f"{client.client_id}\0{secret}")) == client.secret_hash:
            return True
        mac = self._logins.proven(client.client_id)
        if mac is None or not hmac.compare_digest(mac, self._mac(client, secret)):
            return False
        self._remember(client, secret)
        return True

    def _mac(self, client: Client, secret: str) -> str:
        """Return a hash under the hub's key; it covers the slow hash, so that a new secret voids it."""
        parts = ("client-secret", client.client_id, client.secret_hash, secret)
        return idempotency_mac(self._keys.idempotency, [part.encode("utf-8", "surrogatepass") for part in parts])

    def _remember(self, client: Client, secret: str) -> None:
        if len(self._known_secrets) >= _CACHE_SIZE:
            self._known_secrets.clear()
        self._known_secrets[self._fingerprint(f"{client.client_id}\0{secret}")] = client.secret_hash

    def _verify(self, token: str) -> Caller:
        try:
            header = read_jws_header(token)
            payload = verify_ps512(token, self._keys.verification_key(header.kid), typ=_TOKEN_TYPE)
        except (Invalid, NotFound) as error:
            raise _bad_token() from error
        return self._caller(orjson.loads(payload))

    def _caller(self, claims: dict[str, Any]) -> Caller:
        if claims["iss"] != self._issuer:
            raise _bad_token()
        return Caller(
            client_id=claims["sub"],
            kind=ClientKind(claims["clientType"]),
            scopes=tuple(claims["scope"].split()),
            expires_at=datetime.fromtimestamp(claims["exp"], UTC),
        )

    def _granted(self, client: Client, scope: str | None) -> tuple[str, ...]:
        rights = {right_of(token) for token in client.scopes}
        wanted = tuple(canonical(token) for token in scope.split()) if scope else client.scopes
        if not all(any(contains(held, token) for held in client.scopes) for token in wanted):
            raise _bad_scope()
        if client.kind is ClientKind.SUBSCRIBER and ScopeRight.MANAGE not in rights and not self._owns_any(client):
            raise _bad_scope()
        return wanted

    def _owns_any(self, client: Client) -> bool:
        return self._store.parties.destinations(scope=EVERYTHING, owner=client.client_id, offset=0, limit=1).total > 0

    def _fingerprint(self, text: str) -> bytes:
        """Return a keyed hash, so that neither secrets nor tokens lie in the caches."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self._cache_key, digest_size=32).digest()


def bound_to(client: Client, region: str) -> Client:
    """Return a sender that may send for the area ``region`` (ARS) alone."""
    others = tuple(scope for scope in client.scopes if right_of(scope) is not ScopeRight.SEND)
    return replace(client, scopes=(f"{_IN_REGION}{region}", *others))


def rights_of(scopes: Sequence[str]) -> list[str]:
    """Return the names of the rights that ``scopes`` give, as ``openapi.yaml`` lists them."""
    return sorted({right.value for right in map(right_of, scopes) if right is not None})


def bad_credentials() -> Unauthenticated:
    """Return the refusal of credentials that prove nobody (RFC 6749 section 5.2)."""
    return _unproven(
        Text(
            "client_id oder client_secret ist falsch oder nicht lesbar, oder der Client ist gesperrt. Verlangt ist beides im "
            "Formular, oder Basic mit client_id:client_secret in Base64 (RFC 7617).",
            "client_id or client_secret is wrong or cannot be read, or the client is disabled. Needed are both in the form, or "
            "Basic with client_id:client_secret in Base64 (RFC 7617).",
        )
    )


def _bad_assertion() -> Unauthenticated:
    return _unproven(
        Text(
            "client_assertion weist niemanden aus. Verlangt ist ein JWS (PS512) mit dem Schlüssel des Herstellers: "
            "iss und sub sind die client_id, aud ist die Adresse des Hubs oder sein /token, exp höchstens fünf Minuten voraus, "
            "jti jedes Mal neu.",
            "client_assertion proves nobody. Needed is a JWS (PS512) by the vendor's approved key: iss and sub are the "
            "client_id, aud is the hub's address or its /token, exp at most five minutes ahead, jti new each time.",
        )
    )


def _unproven(way: Text) -> Unauthenticated:
    """Refuse a client as RFC 6749 names it; ``way`` says what was wanted, by a secret or by a vendor's key."""
    return Unauthenticated(way, slug="invalid_client")


def _bad_scope() -> Invalid:
    return Invalid(
        Text(
            "Der Client hat diese Berechtigung nicht. Lassen Sie scope weg, um alle zu erhalten, die er hat.",
            "The client does not have this scope. Leave scope out to get all that it has.",
        ),
        slug="invalid_scope",
    )


def _bad_token() -> Unauthenticated:
    return Unauthenticated(
        Text(
            "Das Zugriffstoken ist ungültig oder abgelaufen. Holen Sie unter /token ein neues.",
            "The access token is invalid or expired. Get a new one at /token.",
        )
    )
