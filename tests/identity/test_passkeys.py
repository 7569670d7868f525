"""Keys as second factor: what an authenticator signs is good here, for this account, once."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import cbor2
import orjson
import pytest
from admin_pages import PASSWORD
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from routing_book import NOW
from test_invitations import Box
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

from hub.errors import Conflict, Forbidden, Invalid, Unauthenticated
from hub.identity.accounts import Accounts
from hub.identity.passkeys import Passkeys, RelyingParty
from hub.identity.second_factors import FactorDemand, FactorRule, SecondFactors
from hub.identity.two_steps import Admitted, TwoSteps, Waiting
from hub.model import Role

ORIGIN = "https://hub.example"


@dataclass
class Authenticator:
    """A key of P-256 as an authenticator has it, and the browser before it (WebAuthn sections 5.8.1, 6.1, 6.5.4)."""

    origin: str = ORIGIN
    host: str = "hub.example"
    key_id: bytes = b"key-of-this-test"
    counter: int = 0
    key: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def create(self, options: str, *, challenge: str | None = None) -> str:
        """Answer ``navigator.credentials.create``."""
        numbers = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
        attested = bytes(16) + struct.pack(">H", len(self.key_id)) + self.key_id + cbor2.dumps(cose)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": self._data(0x41) + attested})
        client = self._client("webauthn.create", challenge or orjson.loads(options)["challenge"])
        return self._answer(clientDataJSON=client, attestationObject=attestation)

    def sign(self, options: str, *, challenge: str | None = None) -> str:
        """Answer ``navigator.credentials.get``."""
        self.counter += 1
        client = self._client("webauthn.get", challenge or orjson.loads(options)["challenge"])
        data = self._data(0x01)
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._answer(clientDataJSON=client, authenticatorData=data, signature=signature)

    def _data(self, flags: int) -> bytes:
        return hashlib.sha256(self.host.encode()).digest() + struct.pack(">BI", flags, self.counter)

    def _client(self, kind: str, challenge: str) -> bytes:
        return orjson.dumps({"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False})

    def _answer(self, **response: bytes) -> str:
        named = bytes_to_base64url(self.key_id)
        parts = {name: bytes_to_base64url(value) for name, value in response.items()}
        return orjson.dumps({"id": named, "rawId": named, "type": "public-key", "response": parts}).decode()


class Desk:
    """One account and its keys."""

    def __init__(self, store: Any, *, demand: FactorDemand = FactorDemand.OPTIONAL) -> None:
        quick = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
        factors = SecondFactors(store=store, box=Box(), rule=FactorRule(demand=demand))
        self.store = store
        self.accounts = Accounts(store=store, box=Box(), hasher=quick, factors=factors)
        self.accounts.add("erika", PASSWORD, roles=(Role.EDITOR,), actor="cli:root", now=NOW)
        self.keys = Passkeys(store=store, accounts=self.accounts, base_url=ORIGIN)
        self.steps = TwoSteps(store=store, accounts=self.accounts)

    @property
    def erika(self) -> Any:
        return self.store.accounts.account("erika")

    def registered(self, key: Authenticator, label: str = "Schlüsselbund") -> str:
        answer = key.create(self.keys.offer(self.erika, now=NOW))
        self.keys.add(self.erika, label, answer, now=NOW)
        return answer

    def begun(self) -> Waiting:
        waiting = self.steps.begin("erika", PASSWORD, address="", now=NOW)
        assert isinstance(waiting, Waiting)
        return waiting

    def asked(self) -> tuple[Waiting, str]:
        waiting = self.begun()
        return waiting, self.keys.ask(waiting.token, self.erika)

    def finish(self, waiting: Waiting, answer: str) -> Admitted:
        return self.steps.finish_with_key(
            waiting.token,
            lambda step, account: self.keys.signed(step, account, answer, now=NOW),
            address="",
            now=NOW,
        )

    def refused(self, waiting: Waiting, answer: str) -> None:
        with pytest.raises(Unauthenticated):
            self.finish(waiting, answer)


@pytest.fixture
def desk(store) -> Desk:
    return Desk(store)


def test_a_key_lets_in_whoever_has_the_password_too(desk):
    one, two = Authenticator(), Authenticator(key_id=b"the second key..")
    desk.registered(one)
    desk.registered(two, "Tresor")
    for key in (one, two, one):
        waiting, options = desk.asked()
        admitted = desk.finish(waiting, key.sign(options))
        assert desk.accounts.session(admitted.token, now=NOW).person.name == "erika"
    assert [(each.label, each.sign_count) for each in desk.store.credentials.passkeys("erika")] == [
        ("Schlüsselbund", 2),
        ("Tresor", 1),
    ]
    # The password alone opens neither pages nor API.
    with pytest.raises(Unauthenticated):
        desk.accounts.check("erika", PASSWORD, now=NOW)


def test_a_challenge_is_good_once(desk):
    key = Authenticator()
    answer = desk.registered(key)
    with pytest.raises(Invalid):
        desk.keys.add(desk.erika, "noch einmal", answer, now=NOW)
    waiting, options = desk.asked()
    signed = key.sign(options)
    desk.finish(waiting, signed)
    desk.refused(waiting, signed)
    # Nor in another log-in, whether that asks for something by now or not.
    other = desk.begun()
    desk.refused(other, signed)
    other, _ = desk.asked()
    desk.refused(other, signed)
    # A wrong answer uses the challenge up, too.
    waiting, options = desk.asked()
    desk.refused(waiting, key.sign(options, challenge=bytes_to_base64url(b"x" * 32)))
    desk.refused(waiting, key.sign(options))


@pytest.mark.parametrize(
    "changes",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://hub.example"},
        {"origin": "https://hub.example:8443"},
        {"host": "example"},
        {"key_id": b"of somebody else"},
    ],
)
def test_an_answer_for_another_site_or_of_another_key_is_refused(desk, changes):
    key = Authenticator()
    desk.registered(key)
    for name, value in changes.items():
        setattr(key, name, value)
    waiting, options = desk.asked()
    desk.refused(waiting, key.sign(options))
    if "key_id" not in changes:
        with pytest.raises(Invalid):
            desk.registered(key)


def test_a_wrong_challenge_is_refused(desk):
    key = Authenticator()
    made_up = bytes_to_base64url(b"y" * 32)
    with pytest.raises(Invalid):
        desk.keys.add(desk.erika, "a", key.create(desk.keys.offer(desk.erika, now=NOW), challenge=made_up), now=NOW)
    desk.registered(key)
    waiting, options = desk.asked()
    desk.refused(waiting, key.sign(options, challenge=made_up))


def test_a_counter_that_goes_back_is_a_copied_key(desk):
    key = Authenticator()
    desk.registered(key)
    waiting, options = desk.asked()
    key.counter = 7
    desk.finish(waiting, key.sign(options))
    for counter in (7, 3):
        waiting, options = desk.asked()
        key.counter = counter - 1
        desk.refused(waiting, key.sign(options))
    waiting, options = desk.asked()
    key.counter = 8
    desk.finish(waiting, key.sign(options))


def test_a_key_is_made_for_the_account_that_asked_and_in_time(desk):
    desk.accounts.add("anton", PASSWORD, roles=(Role.APPROVER,), actor="cli:root", now=NOW)
    anton = desk.store.accounts.account("anton")
    options = desk.keys.offer(desk.erika, now=NOW)
    with pytest.raises(Invalid):
        desk.keys.add(anton, "a", Authenticator().create(options), now=NOW)
    with pytest.raises(Invalid):
        desk.keys.add(desk.erika, "a", Authenticator().create(options), now=NOW + timedelta(minutes=10))
    key = Authenticator()
    desk.registered(key)
    with pytest.raises(Conflict):
        desk.keys.add(anton, "a", key.create(desk.keys.offer(anton, now=NOW)), now=NOW)


@pytest.mark.parametrize(
    "answer", ["", "{", "[]", "{}", '{"response": {"clientDataJSON": "e30"}}', "x" * 20_000, "\ud800"]
)
def test_what_is_no_answer_is_refused_in_words(desk, answer):
    with pytest.raises(Invalid):
        desk.keys.add(desk.erika, "a", answer, now=NOW)
    desk.registered(Authenticator())
    waiting, _ = desk.asked()
    desk.refused(waiting, answer)


def test_a_new_key_ends_all_sessions_and_a_removed_one_lets_nobody_in(desk):
    token, _ = desk.accounts.begin_session(desk.accounts.check("erika", PASSWORD, now=NOW), by="password", now=NOW)
    key = Authenticator()
    desk.registered(key)
    assert desk.accounts.session(token, now=NOW) is None
    waiting, options = desk.asked()
    desk.keys.remove(desk.erika, bytes_to_base64url(key.key_id), now=NOW)
    desk.refused(waiting, key.sign(options))
    assert isinstance(desk.steps.begin("erika", PASSWORD, address="", now=NOW), Admitted)


def test_whoever_must_have_a_second_factor_keeps_the_last_key(store):
    desk, key = Desk(store, demand=FactorDemand.EVERYBODY), Authenticator()
    desk.registered(key)
    with pytest.raises(Forbidden):
        desk.keys.remove(desk.erika, bytes_to_base64url(key.key_id), now=NOW)


@pytest.mark.parametrize(
    ("address", "offers"),
    [
        ("https://hub.example", True),
        ("https://hub.example:8443", True),
        ("http://localhost:8080", True),
        ("http://hub.example", False),
        ("https://192.0.2.1", False),
        ("http://127.0.0.1:8080", False),
    ],
)
def test_keys_are_offered_where_browsers_take_them(address, offers):
    assert (RelyingParty.of(address) is not None) is offers


def test_a_challenge_is_bytes_that_nobody_guesses(desk):
    seen = {orjson.loads(desk.keys.offer(desk.erika, now=NOW))["challenge"] for _ in range(5)}
    assert len(seen) == 5
    assert all(len(base64url_to_bytes(each)) == 32 for each in seen)
