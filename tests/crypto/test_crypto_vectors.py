"""Published vectors, brought to the hub in the forms that it takes.

A vector of a primitive is no token: its message is no header with a payload. So it is used twice. The standards' algorithms,
written down in ``reference_crypto``, have to agree with every vector; then the hub and they have to agree on whole tokens,
in both directions, byte by byte where the algorithm leaves no choice. Keys of tokens are published ones as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import product
from typing import Any

import published_vectors
import pytest
import reference_crypto as reference
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from stage import NOW

from hub import crypto
from hub.crypto import base64url, jws, keys
from hub.crypto.jwe import OAEP_256
from hub.crypto.receipts import make_receipt, verify_receipt
from hub.errors import SealBroken

HEADER = b'{"alg":"RSA-OAEP-256","enc":"A256GCM","kid":"samwise.gamgee","cty":"application/json"}'


def number(text: str) -> int:
    return int.from_bytes(base64url.decode(text.encode(), part="number"), "big")


def segments(token: str | bytes) -> list[bytes]:
    parts = token.encode() if isinstance(token, str) else token
    return [base64url.decode(part, part="part") for part in parts.split(b".")]


def joined(*parts: bytes) -> bytes:
    return b".".join(base64url.encode(part) for part in parts)


@pytest.fixture(scope="module")
def published() -> dict[str, Any]:
    """The RSA key of 4096 bits of RFC 7520 section 5.2.1, private half and all."""
    jwk: dict[str, Any] = dict(published_vectors.cookbook().RSA_key_5_2_1)
    return jwk | {"kid": "samwise.gamgee"}


@pytest.fixture(scope="module")
def opening(published: dict[str, Any]) -> keys.DecryptionKey:
    return keys.read_decryption_key(published | {"alg": "RSA-OAEP-256", "key_ops": ["unwrapKey"]})


@pytest.fixture(scope="module")
def sealing(published: dict[str, Any]) -> keys.EncryptionKey:
    public = {name: published[name] for name in ("kty", "kid", "n", "e")}
    jwk = public | {"alg": "RSA-OAEP-256", "key_ops": ["wrapKey"]}
    return keys.judge_encryption_key(jwk, now=NOW, policy=keys.KeyPolicy(), require_x5c=False)


def opened(jwe: bytes, key: keys.DecryptionKey) -> bytes:
    """What a token holds, by both ways of opening."""

    def source() -> Iterator[bytes]:
        return iter([jwe[:700], jwe[700:]])

    at_once = crypto.decrypt(jwe, [key], max_output=10**6)
    assert b"".join(crypto.JweReader(source, [key], max_output=10**6).plaintext()) == at_once
    return at_once


def refused(jwe: bytes, key: keys.DecryptionKey) -> None:
    with pytest.raises(SealBroken):
        crypto.decrypt(jwe, [key], max_output=10**6)
    with pytest.raises(SealBroken):
        crypto.JweReader(lambda: iter([jwe]), [key], max_output=10**6).plaintext()


# RSA-OAEP-256.


def test_wrapped_keys_open_as_in_the_published_vectors_of_oaep_with_sha_256() -> None:
    """60 vectors of RSA-2048 (cryptography-vectors, RSA/oaep-custom/oaep-sha256-sha256.txt, checked against Bouncy Castle)."""
    vectors = published_vectors.oaep("sha256")
    assert len(vectors) == 60
    for vector in vectors:
        assert private_key(vector).decrypt(vector.wrapped, OAEP_256) == vector.message
    for vector in vectors[::3]:
        assert reference.oaep_decrypt(vector.wrapped, n=vector.n, d=vector.d) == vector.message


HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512")
#: Of SHA-1 for both there is no such file; ``tests/attacks/test_jose_attacks.py`` has that case.
OTHER_PAIRS = sorted(set(product(HASHES, HASHES)) - {("sha256", "sha256"), ("sha1", "sha1")})


@pytest.mark.parametrize(("digest", "mask"), OTHER_PAIRS)
def test_a_key_wrapped_with_another_hash_for_label_or_mask_opens_never(digest: str, mask: str) -> None:
    """23 pairs of hashes, 60 vectors each, of which every sixth is tried (cryptography-vectors, RSA/oaep-custom)."""
    vectors = published_vectors.oaep(digest, mask)[::6]
    assert len(vectors) == 10
    for vector in vectors:
        with pytest.raises(ValueError, match=r"."):
            private_key(vector).decrypt(vector.wrapped, OAEP_256)


def private_key(vector: published_vectors.Oaep) -> rsa.RSAPrivateKey:
    public = rsa.RSAPublicNumbers(vector.e, vector.n)
    return rsa.RSAPrivateNumbers(
        p=vector.p,
        q=vector.q,
        d=vector.d,
        dmp1=vector.d % (vector.p - 1),
        dmq1=vector.d % (vector.q - 1),
        iqmp=pow(vector.q, -1, vector.p),
        public_numbers=public,
    ).private_key(unsafe_skip_rsa_key_validation=True)


# A256GCM, in whole JWEs.


def test_every_published_vector_of_aes_256_gcm_agrees_with_the_standard_written_down() -> None:
    """375 vectors, 191 of them forged (cryptography-vectors, AES/GCM/gcmDecrypt256.rsp: NIST CAVS 14.0, SP 800-38D)."""
    vectors = published_vectors.gcm_256()
    assert (len(vectors), sum(vector.plaintext is None for vector in vectors)) == (375, 191)
    for vector in vectors:
        arguments = (vector.key, vector.iv, vector.ciphertext, vector.tag, vector.aad)
        if vector.plaintext is None:
            with pytest.raises(ValueError, match="tag"):
                reference.gcm_open(*arguments)
            with pytest.raises(InvalidTag):
                AESGCM(vector.key).decrypt(vector.iv, vector.ciphertext + vector.tag, vector.aad)
        else:
            assert reference.gcm_open(*arguments) == vector.plaintext
            assert AESGCM(vector.key).decrypt(vector.iv, vector.ciphertext + vector.tag, vector.aad) == vector.plaintext


def test_a_jwe_around_a_published_vector_opens_and_with_the_vectors_own_tag_it_does_not(
    published: dict[str, Any], opening: keys.DecryptionKey
) -> None:
    """Key, vector, plaintext and ciphertext of 62 NIST vectors (as above) in a JWE of RFC 7520's key.

    A ciphertext of GCM does not depend on the header, so it has to be the published one; the tag does.
    """
    genuine = [vector for vector in published_vectors.gcm_256() if vector.plaintext is not None][::3]
    assert len(genuine) == 62
    for vector in genuine:
        assert vector.plaintext is not None
        wrapped = wrapped_for(published, vector.key)
        ciphertext, tag = reference.gcm_seal(vector.key, vector.iv, vector.plaintext, base64url.encode(HEADER))
        assert ciphertext == vector.ciphertext
        assert opened(joined(HEADER, wrapped, vector.iv, ciphertext, tag), opening) == vector.plaintext
        refused(joined(HEADER, wrapped, vector.iv, ciphertext, vector.tag), opening)


def wrapped_for(published: dict[str, Any], cek: bytes) -> bytes:
    return reference.oaep_encrypt(cek, n=number(published["n"]), e=number(published["e"]), seed=bytes(range(32)))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 3000])
def test_what_the_hub_seals_opens_by_the_standards_written_down(
    published: dict[str, Any], sealing: keys.EncryptionKey, size: int
) -> None:
    """RFC 7516 section 5.2, with OAEP and GCM of our own writing and RFC 7520's key: no code is shared with the hub."""
    content = os.urandom(size)
    streamed = list[bytes]()
    writer = crypto.JweWriter(sealing, content_type="application/pdf", sink=streamed.append)
    writer.write(content)
    writer.finish()
    at_once, _ = crypto.encrypt(sealing, content, "application/pdf")
    for jwe in (at_once, b"".join(streamed))[: 2 if size == 17 else 1]:
        _, wrapped, iv, ciphertext, tag = segments(jwe)
        cek = reference.oaep_decrypt(wrapped, n=number(published["n"]), d=number(published["d"]))
        assert reference.gcm_open(cek, iv, ciphertext, tag, jwe.partition(b".")[0]) == content


# PS512.


def test_the_published_vectors_of_pss_with_sha_512_agree_with_the_standard_but_their_salt_is_not_ours() -> None:
    """90 vectors, 15 valid (cryptography-vectors, SigVerPSS_186-3.rsp: NIST CAVS 11.0), salt of 10 bytes where PS512 has 64."""
    vectors = published_vectors.pss_sha512()
    assert (len(vectors), sum(vector.verifies for vector in vectors)) == (90, 15)
    for vector in vectors:
        numbers = {"n": vector.n, "e": vector.e}
        assert reference.pss_verifies(vector.message, vector.signature, **numbers, salt_size=10) == vector.verifies
        key = rsa.RSAPublicNumbers(vector.e, vector.n).public_key()
        with pytest.raises(InvalidSignature):
            key.verify(vector.signature, vector.message, jws.PSS_512, hashes.SHA512())


def test_hub_and_standard_verify_each_others_ps512_tokens(published: dict[str, Any]) -> None:
    """RFC 7518 section 3.5 and RFC 8017 section 8.1 with RFC 7520's key; a salt of any other length is refused."""
    n, e, d = (number(published[name]) for name in ("n", "e", "d"))
    jwk = published | {"alg": "PS512", "use": "sig", "key_ops": ["sign"]}
    signing = keys.read_signing_key(jwk)
    verifying = keys.verification_key(signing.public_jwk())
    ours = crypto.sign_ps512(signing, b'{"a":1}', typ="secevent+jwt").encode()
    signed, signature = ours.rpartition(b".")[0], segments(ours)[2]
    assert reference.pss_verifies(signed, signature, n=n, e=e, salt_size=64)
    assert not reference.pss_verifies(signed, signature, n=n, e=e, salt_size=63)
    theirs = joined(b'{"alg":"PS512","typ":"secevent+jwt","kid":"samwise.gamgee"}', b'{"a":2}')
    for salt, good in ((b"s" * 64, True), (b"s" * 10, False), (b"s" * 65, False)):
        token = theirs + b"." + base64url.encode(reference.pss_sign(theirs, n=n, d=d, salt=salt))
        if good:
            assert crypto.verify_ps512(token.decode(), verifying, typ="secevent+jwt") == b'{"a":2}'
        else:
            with pytest.raises(SealBroken):
                crypto.verify_ps512(token.decode(), verifying, typ="secevent+jwt")


# Ed25519.


def ed25519_jwk(vector: published_vectors.Ed25519) -> dict[str, Any]:
    x, d = (base64url.encode(part).decode() for part in (vector.public, vector.seed))
    members = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": "published"}
    return members | {"key_ops": ["sign"], "x": x, "d": d}


def test_keys_of_ed25519_sign_as_published() -> None:
    """1024 vectors of 0 to 1023 bytes (cryptography-vectors, Ed25519/sign.input, ed25519.cr.yp.to); four are RFC 8032's."""
    vectors = published_vectors.ed25519()
    assert len(vectors) == 1024
    for vector in vectors:
        jwk = ed25519_jwk(vector)
        key = keys.read_signing_key(jwk)
        assert key.public_jwk()["x"] == jwk["x"]
        assert key.private_key.sign(vector.message) == vector.signature  # type: ignore[call-arg]
        keys.ed25519_verification_key(key.public_jwk()).public_key.verify(vector.signature, vector.message)  # type: ignore[call-arg]


def test_whole_tokens_of_ed25519_are_those_of_the_standard_written_down() -> None:
    """32 keys and messages of sign.input (as above): Ed25519 leaves no choice, so tokens are equal byte by byte."""
    for vector in published_vectors.ed25519()[1::32]:
        assert reference.ed25519_public(vector.seed) == vector.public
        assert reference.ed25519_sign(vector.seed, vector.message) == vector.signature
        key = keys.read_signing_key(ed25519_jwk(vector))
        signed = joined(b'{"alg":"EdDSA","typ":"x","kid":"published"}', vector.message)
        expected = signed + b"." + base64url.encode(reference.ed25519_sign(vector.seed, signed))
        token = crypto.sign_eddsa(key, vector.message, typ="x")
        assert token.encode() == expected
        assert crypto.verify_eddsa(token, keys.verification_key(key.public_jwk()), typ="x") == vector.message


def test_a_receipt_of_a_published_key_is_the_standards_and_verifies_with_the_key_list_alone() -> None:
    """RFC 8037 appendix A.1 (RFC 8032 section 7.1, test 1) as the hub's key."""
    vector = published_vectors.ed25519()[0]
    key = keys.read_signing_key(ed25519_jwk(vector))
    receipt = make_receipt(key, {"application": "a-1"})
    signed = joined(b'{"alg":"EdDSA","typ":"receipt+jwt","kid":"published"}', b'{"application":"a-1"}')
    assert receipt.encode() == signed + b"." + base64url.encode(reference.ed25519_sign(vector.seed, signed))
    assert verify_receipt(receipt, {"keys": [key.public_jwk()]}) == {"application": "a-1"}


def test_the_token_of_rfc_8037_has_a_right_signature_and_lacks_the_name_of_its_key() -> None:
    """RFC 8037 appendix A.4: its header is alg alone, and the hub looks keys up by name."""
    token = (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )
    key = keys.read_signing_key(ed25519_jwk(published_vectors.ed25519()[0]))
    signed = token.rpartition(".")[0].encode()
    assert segments(token)[2] == key.private_key.sign(signed)  # type: ignore[call-arg]
    with pytest.raises(SealBroken) as refusal:
        crypto.verify_eddsa(token, keys.verification_key(key.public_jwk()), typ=None)
    assert refusal.value.members == {"member": "kid"}


# Names of keys.


def test_thumbprints_are_those_of_the_standards() -> None:
    """RFC 7638 section 3.1 (its key is that of RFC 7517 appendix A.1) and RFC 8037 appendix A.3."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQv"
        "RL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKn"
        "qDKgw"
    )
    rsa_key = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    assert keys.thumbprint(rsa_key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    okp = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert keys.thumbprint(okp) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


# Base64url.


def test_base64url_is_that_of_the_standards() -> None:
    """RFC 4648 section 10 without padding, RFC 7515 appendix C."""
    texts = {b"": b"", b"f": b"Zg", b"fo": b"Zm8", b"foo": b"Zm9v", b"foob": b"Zm9vYg", b"fooba": b"Zm9vYmE"}
    for content, text in (texts | {b"foobar": b"Zm9vYmFy", bytes([3, 236, 255, 224, 193]): b"A-z_4ME"}).items():
        assert base64url.encode(content) == text
        assert base64url.decode(text, part="x") == content


# Everybody else's tokens.


@pytest.mark.parametrize("name", sorted(published_vectors.tokens_of_the_cookbook("JWE")))
def test_no_jwe_of_rfc_7520_opens_for_none_has_the_hubs_algorithms(name: str, opening: keys.DecryptionKey) -> None:
    """31 tokens of RFC 7520 section 5 (jwcrypto's tests): compact, general and flattened, one of them for our very key."""
    token = published_vectors.tokens_of_the_cookbook("JWE")[name]
    content = token.encode() if isinstance(token, str) else json.dumps(token).encode()
    refused(content, opening)
    scanner = crypto.JweScanner(allow_zip=True, require_cty=False, require_kid=False, limit=10**6)
    with pytest.raises(SealBroken):
        [scanner.feed(content), scanner.finish()]


@pytest.mark.parametrize("name", sorted(published_vectors.tokens_of_the_cookbook("JWS")))
def test_no_jws_of_rfc_7520_verifies_for_none_has_the_hubs_algorithms(
    name: str, verification_key: keys.VerificationKey
) -> None:
    """17 tokens of RFC 7520 section 4 (jwcrypto's tests): RS256, PS384, ES512, HS256, detached, unprotected, several."""
    token = published_vectors.tokens_of_the_cookbook("JWS")[name]
    text = token if isinstance(token, str) else json.dumps(token)
    with pytest.raises(SealBroken):
        crypto.read_jws_header(text)
    with pytest.raises(SealBroken):
        crypto.verify_ps512(text, verification_key, typ=None)
