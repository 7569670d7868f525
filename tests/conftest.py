"""Keys for the whole run: RSA-4096 takes 0.4 s to make, so every kind is made once."""

from __future__ import annotations

import os
from typing import Any

import pytest
from stage import NOW, made_once, served, stage  # noqa: F401  # fixtures for every test

from hub.crypto import keys

#: Fixtures that several modules share; here alone, so that each is loaded once and before anybody imports it.
pytest_plugins = ["store_servers", "bucket", "admin_pages", "openid_pages", "api_people"]

# Secrets that tests write are for their account alone, as an operator's are; the hub refuses others.
os.umask(0o077)

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
