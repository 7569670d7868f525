"""Keys for the whole run: RSA-4096 takes 0.4 s to make, so every kind is made once."""

from __future__ import annotations

import os
from functools import cache, partial
from typing import Any

import orjson
import pytest
from argon2 import PasswordHasher
from connexion.spec import Specification
from stage import NOW, made_once, served, stage  # noqa: F401  # fixtures for every test

from hub.api import application
from hub.crypto import keys
from hub.identity import accounts
from hub.resources import shipped

#: Fixtures that several modules share; here alone, so that each is loaded once and before anybody imports it.
pytest_plugins = ["store_servers", "bucket", "admin_pages", "openid_pages", "api_people"]

# Secrets that tests write are for their account alone, as an operator's are; the hub refuses others.
os.umask(0o077)

_judged: set[bytes] = set()
_validate = Specification._validate_spec.__func__


@classmethod
def _validate_once(cls: type[Specification], spec: dict[str, Any]) -> None:
    """Judge a contract once: connexion does at each start what takes half a second for ours, and the suite starts hundreds."""
    document = orjson.dumps(spec, option=orjson.OPT_SORT_KEYS)
    if document not in _judged:
        _validate(cls, spec)
        _judged.add(document)


Specification._validate_spec = _validate_once
_load = application.load
_load_shipped = cache(_load)  # Nobody changes the document that it is read into.
application.load = lambda path: (_load_shipped if path == shipped("openapi.yaml") else _load)(path)

# Slow on purpose where people log in; each of the hubs that the suite builds would take a fifth of a second for it.
accounts.PasswordHasher = partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)

Pair = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="session")
def rsa_pair() -> Pair:
    """A destination's key for sealing: (public JWK wrapKey, private JWK unwrapKey), without x5c."""
    return keys.make_rsa_pair("encryption", kid_prefix="seal-")


@pytest.fixture(scope="session")
def other_rsa_pair() -> Pair:
    """Somebody else's key for sealing."""
    return keys.make_rsa_pair("encryption", kid_prefix="other-")


@pytest.fixture(scope="session")
def signature_pair() -> Pair:
    """A subscriber's or the hub's key for PS512: (public JWK verify, private JWK sign), without x5c."""
    return keys.make_rsa_pair("signing", kid_prefix="sign-")


@pytest.fixture(scope="session")
def ed25519_pair() -> Pair:
    """A key for receipts: (public JWK, private JWK)."""
    return keys.make_ed25519_pair("receipt-")


@pytest.fixture(scope="session")
def encryption_key(rsa_pair: Pair) -> keys.EncryptionKey:
    return keys.judge_encryption_key(rsa_pair[0], now=NOW, policy=keys.KeyPolicy(), require_x5c=False)


@pytest.fixture(scope="session")
def decryption_key(rsa_pair: Pair) -> keys.DecryptionKey:
    return keys.read_decryption_key(rsa_pair[1], written_by_us=True)


@pytest.fixture(scope="session")
def other_decryption_key(other_rsa_pair: Pair) -> keys.DecryptionKey:
    return keys.read_decryption_key(other_rsa_pair[1], written_by_us=True)


@pytest.fixture(scope="session")
def signing_key(signature_pair: Pair) -> keys.SigningKey:
    return keys.read_signing_key(signature_pair[1], written_by_us=True)


@pytest.fixture(scope="session")
def verification_key(signature_pair: Pair) -> keys.VerificationKey:
    return keys.judge_signature_key(signature_pair[0], now=NOW, policy=keys.KeyPolicy(), require_x5c=False)


@pytest.fixture(scope="session")
def receipt_key(ed25519_pair: Pair) -> keys.SigningKey:
    return keys.read_signing_key(ed25519_pair[1], written_by_us=True)
