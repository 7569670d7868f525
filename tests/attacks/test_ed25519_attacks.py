"""Signatures and keys of Ed25519 that a lenient verifier takes (RFC 8032; "Taming the many EdDSAs", ePrint 2020/1244).

The vectors are our own, made by RFC 8032's arithmetic as ``reference_crypto`` writes it down.
"""

from __future__ import annotations

from typing import Any

import published_vectors
import pytest
import reference_crypto as reference

from hub import crypto
from hub.crypto import base64url, keys
from hub.crypto.receipts import make_receipt, verify_receipt
from hub.errors import KeyRefused, SealBroken

VECTOR = published_vectors.ed25519()[0]
#: Encodings that RFC 8032 section 5.1.3 refuses: a number beyond the field, and the negative of nought.
BEYOND_THE_FIELD = [
    (number | sign << 255).to_bytes(32, "little") for number in range(reference.FIELD, 2**255) for sign in (0, 1)
]
SMALL = [reference.encoded(point) for point in reference.points_of_small_order()]
NEGATIVE_NOUGHT = [(number | 1 << 255).to_bytes(32, "little") for number in (1, reference.FIELD - 1)]


def jwk(public: bytes) -> dict[str, Any]:
    x = base64url.encode(public).decode()
    return {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "key_ops": ["verify"], "kid": "published", "x": x}


@pytest.fixture(scope="module")
def signing() -> keys.SigningKey:
    seed = base64url.encode(VECTOR.seed).decode()
    return keys.read_signing_key(jwk(VECTOR.public) | {"key_ops": ["sign"], "d": seed})


@pytest.fixture(scope="module")
def verifying() -> keys.VerificationKey:
    return keys.ed25519_verification_key(jwk(VECTOR.public))


def token_of(signing: keys.SigningKey) -> tuple[str, bytes]:
    token = crypto.sign_eddsa(signing, b'{"a":1}', typ="x")
    signed, _, signature = token.rpartition(".")
    return signed, base64url.decode(signature.encode(), part="signature")


def verifies(signed: str, signature: bytes, key: keys.VerificationKey) -> bool:
    try:
        crypto.verify_eddsa(f"{signed}.{base64url.encode(signature).decode()}", key, typ="x")
    except SealBroken:
        return False
    return True


def test_a_signature_has_one_spelling(signing: keys.SigningKey, verifying: keys.VerificationKey) -> None:
    """S plus a multiple of the group's order, all that 256 bits hold (RFC 8032 section 5.1.7: S is below the order)."""
    signed, signature = token_of(signing)
    assert verifies(signed, signature, verifying)
    number = int.from_bytes(signature[32:], "little")
    others = [number + times * reference.ORDER for times in range(1, 16)]
    others = [other for other in others if other < 2**256]
    assert len(others) >= 14
    for other in [*others, reference.ORDER - number, 0]:
        assert not verifies(signed, signature[:32] + other.to_bytes(32, "little"), verifying)


def test_every_changed_bit_of_a_signature_is_found(signing: keys.SigningKey, verifying: keys.VerificationKey) -> None:
    """512 signatures that differ in one bit."""
    signed, signature = token_of(signing)
    number = int.from_bytes(signature, "little")
    for bit in range(512):
        assert not verifies(signed, (number ^ 1 << bit).to_bytes(64, "little"), verifying)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 63, 65, 96, 128])
def test_a_signature_of_another_length_is_refused(
    signing: keys.SigningKey, verifying: keys.VerificationKey, size: int
) -> None:
    signed, signature = token_of(signing)
    assert not verifies(signed, (signature * 2)[:size], verifying)


def test_a_commitment_of_small_order_verifies_for_no_honest_key(verifying: keys.VerificationKey) -> None:
    """R is one of the eight points of small order, with S nought and one, and as RFC 8032 would compute it without a nonce."""
    for commitment in [*SMALL, *NEGATIVE_NOUGHT, *BEYOND_THE_FIELD]:
        for number in (0, 1, reference.ORDER - 1):
            signed = jose_signed()
            assert not verifies(signed, commitment + number.to_bytes(32, "little"), verifying)


def jose_signed() -> str:
    parts = (b'{"alg":"EdDSA","typ":"x","kid":"published"}', b'{"a":1}')
    return b".".join(base64url.encode(part) for part in parts).decode()


@pytest.mark.parametrize("public", [*SMALL, *NEGATIVE_NOUGHT, *BEYOND_THE_FIELD], ids=bytes.hex)
def test_a_key_of_small_order_or_of_another_spelling_is_refused(public: bytes) -> None:
    """8 points of small order, their 2 negative spellings, and 38 numbers beyond the field (RFC 8032 section 5.1.3)."""
    for read in (keys.ed25519_verification_key, keys.verification_key):
        with pytest.raises(KeyRefused):
            read(jwk(public))


def test_no_key_list_makes_one_receipt_prove_everything() -> None:
    """Behind a key of small order, R = [1]B and S = 1 verify for any text (for the neutral point, for every text)."""
    commitment = reference.encoded(reference.base())
    signature = base64url.encode(commitment + (1).to_bytes(32, "little")).decode()
    header = base64url.encode(b'{"alg":"EdDSA","typ":"receipt+jwt","kid":"published"}').decode()
    for public in SMALL:
        for number in range(20):
            payload = base64url.encode(b'{"application":"%d"}' % number).decode()
            with pytest.raises((KeyRefused, SealBroken)):
                verify_receipt(f"{header}.{payload}.{signature}", {"keys": [jwk(public)]})


def test_a_key_that_is_no_point_of_the_curve_verifies_nothing(signing: keys.SigningKey) -> None:
    """Half of all numbers are the ordinate of no point (RFC 8032 section 5.1.3): the first ten of them."""
    signed, signature = token_of(signing)
    found = [y for y in range(2, 40) if reference.x_of(y, 0) is None][:10]
    assert len(found) == 10
    for y in found:
        key = keys.ed25519_verification_key(jwk(y.to_bytes(32, "little")))
        assert not verifies(signed, signature, key)


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_a_key_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(KeyRefused):
        keys.ed25519_verification_key(jwk((VECTOR.public * 2)[:size]))
    seed = base64url.encode((VECTOR.seed * 2)[:size]).decode()
    with pytest.raises(KeyRefused):
        keys.read_signing_key(jwk(VECTOR.public) | {"key_ops": ["sign"], "d": seed})


def test_honest_keys_are_not_taken_for_such_ones(signing: keys.SigningKey) -> None:
    """1024 published public keys (cryptography-vectors, Ed25519/sign.input)."""
    for vector in published_vectors.ed25519():
        keys.ed25519_verification_key(jwk(vector.public))
    receipt = make_receipt(signing, {"a": 1})
    assert verify_receipt(receipt, {"keys": [signing.public_jwk()]}) == {"a": 1}
