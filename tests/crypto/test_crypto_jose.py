"""JWE and JWS as honest parties use them; jwcrypto is the oracle, in both directions."""

from __future__ import annotations

import hashlib
import json
import os
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jwcrypto import jwe as oracle_jwe
from jwcrypto import jwk as oracle_jwk
from jwcrypto import jws as oracle_jws

from hub import crypto
from hub.crypto import base64url, keys
from hub.errors import SealBroken, TooLarge, UnsupportedMedia

Pair = tuple[dict[str, Any], dict[str, Any]]
ALGORITHMS = ["RSA-OAEP-256", "A256GCM"]

#: Fixtures here are values made once per run: no example can leave a trace for the next.
shared = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def written(key: keys.EncryptionKey, pieces: list[bytes]) -> tuple[bytes, crypto.Seal]:
    out: list[bytes] = []
    writer = crypto.JweWriter(key, content_type="application/pdf", sink=out.append)
    for piece in pieces:
        writer.write(piece)
    seal = writer.finish()
    return b"".join(out), seal


def in_pieces(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


def scanned(jwe: bytes, size: int = 1000, **options: Any) -> crypto.Scanned:
    scanner = crypto.JweScanner(**{"allow_zip": False, "require_cty": True, "limit": 10**9} | options)
    for piece in in_pieces(jwe, size):
        scanner.feed(piece)
    return scanner.finish()


def read(jwe: bytes, key: keys.DecryptionKey, *, size: int = 4096, max_output: int = 10**8) -> bytes:
    def source() -> Iterator[bytes]:
        return iter(in_pieces(jwe, size))

    return b"".join(crypto.JweReader(source, [key], max_output=max_output).plaintext())


def by_oracle(public: dict[str, Any], content: bytes, **header: Any) -> bytes:
    key = oracle_jwk.JWK(**{name: public[name] for name in ("kty", "n", "e")})
    protected = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "kid": "theirs"} | header
    token = oracle_jwe.JWE(content, json.dumps(protected), algs=ALGORITHMS)
    token.add_recipient(key)
    compact: str = token.serialize(compact=True)
    return compact.encode()


def opened_by_oracle(jwe: bytes, private: dict[str, Any]) -> bytes:
    token = oracle_jwe.JWE(algs=ALGORITHMS)
    token.deserialize(jwe.decode(), oracle_jwk.JWK(**private | {"key_ops": ["unwrapKey", "decrypt"]}))
    payload: bytes = token.payload
    return payload


# Base64url.


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=6))
def test_base64url_in_pieces_equals_base64url_at_once_and_reads_back(content: bytes, cuts: list[int]) -> None:
    encoder = base64url.Encoder()
    edges = [0, *sorted(min(cut, len(content)) for cut in cuts), len(content)]
    pieces = [encoder.update(content[a:b]) for a, b in pairwise(edges)]
    text = b"".join(pieces) + encoder.finish()
    assert text == base64url.encode(content)
    assert base64url.decode(text, part="x") == content


@given(st.text(alphabet="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ \n", max_size=12))
def test_base64url_takes_exactly_one_spelling(text: str) -> None:
    segment = text.encode()
    try:
        content = base64url.decode(segment, part="x")
    except SealBroken:
        return
    assert base64url.encode(content) == segment


# JWE.


def test_a_content_over_the_cap_is_refused(
    encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey
) -> None:
    jwe, _ = crypto.encrypt(encryption_key, b"x" * 1001, "application/json")
    with pytest.raises(TooLarge):
        crypto.decrypt(jwe, [decryption_key], max_output=1000)
    with pytest.raises(TooLarge):
        read(jwe, decryption_key, max_output=1000)
    assert len(crypto.decrypt(jwe, [decryption_key], max_output=1001)) == 1001


def test_compression_is_refused_where_it_is_not_allowed(rsa_pair: Pair, decryption_key: keys.DecryptionKey) -> None:
    jwe = by_oracle(rsa_pair[0], b"{}", zip="DEF", cty="application/json")
    with pytest.raises(SealBroken):
        scanned(jwe)
    with pytest.raises(SealBroken):
        crypto.decrypt(jwe, [decryption_key], max_output=100, allow_zip=False)
    assert scanned(jwe, allow_zip=True).header.zip == "DEF"


def test_the_scanner_asks_for_cty_and_kid_where_it_is_told_to(rsa_pair: Pair) -> None:
    without_cty = by_oracle(rsa_pair[0], b"{}")
    with pytest.raises(SealBroken) as refused:
        scanned(without_cty)
    assert refused.value.members["member"] == "cty"
    assert scanned(without_cty, require_cty=False).header.cty is None
    key = oracle_jwk.JWK(**{name: rsa_pair[0][name] for name in ("kty", "n", "e")})
    token = oracle_jwe.JWE(b"{}", json.dumps({"alg": "RSA-OAEP-256", "enc": "A256GCM"}), algs=ALGORITHMS)
    token.add_recipient(key)
    without_kid = token.serialize(compact=True).encode()
    with pytest.raises(SealBroken) as refused:
        scanned(without_kid, require_cty=False)
    assert refused.value.members["member"] == "kid"
    assert scanned(without_kid, require_cty=False, require_kid=False).header.kid is None


def test_the_scanner_stops_at_its_limit_and_at_the_header(encryption_key: keys.EncryptionKey) -> None:
    jwe, _ = crypto.encrypt(encryption_key, b"x" * 5000, "application/json")
    assert scanned(jwe, limit=len(jwe)).size == len(jwe)
    with pytest.raises(TooLarge):
        scanned(jwe, limit=len(jwe) - 1)
    scanner = crypto.JweScanner(allow_zip=False, require_cty=True, limit=10**9)
    with pytest.raises(SealBroken):
        scanner.feed(base64url.encode(b'{"alg":"none"}') + b".")


@pytest.mark.parametrize("size", [100, 262_144, 1_048_576, 5_000_000])
def test_a_scanner_that_hashes_beside_finds_the_same(encryption_key: keys.EncryptionKey, size: int) -> None:
    jwe, _ = crypto.encrypt(encryption_key, os.urandom(3_000_000), "application/pdf")
    with ThreadPoolExecutor(2) as pool:
        assert scanned(jwe, size, pool=pool) == scanned(jwe, size)
        assert scanned(jwe, size, pool=pool).sha512 == hashlib.sha512(jwe).hexdigest()


@pytest.mark.parametrize("content_type", ["", "json", "a/b\n", "ä/b", "application/", "a/" + "b" * 200, 'a/b"'])
def test_a_content_type_that_is_none_is_refused(encryption_key: keys.EncryptionKey, content_type: str) -> None:
    with pytest.raises(UnsupportedMedia):
        crypto.encrypt(encryption_key, b"", content_type)


def test_an_abandoned_writer_leaves_nothing_that_opens(
    encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey
) -> None:
    out: list[bytes] = []
    crypto.JweWriter(encryption_key, content_type="a/b", sink=out.append).write(b"x" * 3000)
    with pytest.raises(SealBroken):
        crypto.decrypt(b"".join(out), [decryption_key], max_output=10_000)


@shared
@given(st.binary(max_size=5000), st.integers(1, 700), st.integers(1, 900))
def test_what_is_sealed_in_pieces_opens_in_pieces_and_the_seal_tells_the_truth(
    encryption_key: keys.EncryptionKey,
    decryption_key: keys.DecryptionKey,
    content: bytes,
    writing: int,
    reading: int,
) -> None:
    jwe, seal = written(encryption_key, in_pieces(content, writing))
    assert read(jwe, decryption_key, size=reading) == content
    assert crypto.decrypt(jwe, [decryption_key], max_output=len(content)) == content
    assert (seal.sha512, seal.size) == (hashlib.sha512(jwe).hexdigest(), len(jwe))
    assert (seal.plaintext_sha512, seal.plaintext_size) == (hashlib.sha512(content).hexdigest(), len(content))
    seen = scanned(jwe, size=reading)
    assert (seen.tag, seen.sha512, seen.size) == (seal.tag, seal.sha512, seal.size)
    assert seen.header == crypto.JweHeader(
        alg="RSA-OAEP-256", enc="A256GCM", kid=encryption_key.kid, cty="application/pdf", zip=None
    )


def test_sealing_at_once_and_as_a_stream_look_alike(encryption_key: keys.EncryptionKey) -> None:
    at_once, seal = crypto.encrypt(encryption_key, b"x" * 1000, "application/pdf")
    streamed, other = written(encryption_key, [b"x" * 1000])
    assert [len(part) for part in at_once.split(b".")] == [len(part) for part in streamed.split(b".")]
    assert at_once.split(b".")[0] == streamed.split(b".")[0]
    assert seal.plaintext_sha512 == other.plaintext_sha512
    assert seal.sha512 == hashlib.sha512(at_once).hexdigest()
    assert at_once.endswith(b"." + seal.tag.encode())


@pytest.mark.parametrize("size", [1, 2, 3, 1000, 3 * 256 * 1024 + 1, 2_500_001])
def test_the_oracle_opens_what_we_seal(encryption_key: keys.EncryptionKey, rsa_pair: Pair, size: int) -> None:
    content = os.urandom(size)
    at_once, _ = crypto.encrypt(encryption_key, content, "application/json")
    streamed, _ = written(encryption_key, [content])
    assert opened_by_oracle(at_once, rsa_pair[1]) == content
    assert opened_by_oracle(streamed, rsa_pair[1]) == content


@pytest.mark.parametrize("header", [{}, {"cty": "application/xml"}, {"zip": "DEF"}, {"typ": "JWE", "zip": "DEF"}])
@pytest.mark.parametrize("size", [0, 1, 100_000, 1_100_000])
def test_we_open_what_the_oracle_seals(
    rsa_pair: Pair, decryption_key: keys.DecryptionKey, header: dict[str, Any], size: int
) -> None:
    content = os.urandom(size // 2) * 2
    jwe = by_oracle(rsa_pair[0], content, **header)
    assert crypto.decrypt(jwe, [decryption_key], max_output=size) == content
    assert read(jwe, decryption_key, max_output=size) == content


def test_a_large_compressed_content_opens_in_steps(rsa_pair: Pair, decryption_key: keys.DecryptionKey) -> None:
    for size in (1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 5_000_000):
        jwe = by_oracle(rsa_pair[0], b"a" * size, zip="DEF")
        assert read(jwe, decryption_key, max_output=size) == b"a" * size
        assert len(crypto.decrypt(jwe, [decryption_key], max_output=size)) == size


def test_the_key_is_found_by_kid_by_thumbprint_or_by_trying(
    rsa_pair: Pair, decryption_key: keys.DecryptionKey, other_decryption_key: keys.DecryptionKey
) -> None:
    ring = [other_decryption_key, decryption_key]
    for kid in (decryption_key.kid, keys.thumbprint(rsa_pair[0]), "an-old-name", other_decryption_key.kid):
        assert crypto.decrypt(by_oracle(rsa_pair[0], b"{}", kid=kid), ring, max_output=10) == b"{}"


def test_the_reader_tells_the_header_before_anything_is_released(
    encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey
) -> None:
    jwe, _ = crypto.encrypt(encryption_key, b"{}", "application/json")
    reader = crypto.JweReader(lambda: iter([jwe]), [decryption_key], max_output=10)
    assert reader.header.cty == "application/json"


def test_twenty_megabytes_pass_through_with_little_memory(
    encryption_key: keys.EncryptionKey, decryption_key: keys.DecryptionKey
) -> None:
    piece = os.urandom(256 * 1024)
    jwe, seal = written(encryption_key, [piece] * 80)
    view = in_pieces(jwe, 256 * 1024)
    tracemalloc.start()
    try:
        writer = crypto.JweWriter(encryption_key, content_type="application/pdf", sink=len)
        for _ in range(80):
            writer.write(piece)
        assert writer.finish().size == seal.size
        scanner = crypto.JweScanner(allow_zip=False, require_cty=True, limit=10**9)
        for chunk in view:
            scanner.feed(chunk)
        assert scanner.finish().sha512 == seal.sha512
        reader = crypto.JweReader(lambda: iter(view), [decryption_key], max_output=10**9)
        assert sum(map(len, reader.plaintext())) == 80 * len(piece)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


# JWS.


def test_the_oracle_verifies_what_we_sign(
    signing_key: keys.SigningKey, signature_pair: Pair, receipt_key: keys.SigningKey, ed25519_pair: Pair
) -> None:
    for token, public, alg in (
        (crypto.sign_ps512(signing_key, b'{"a":1}', typ="secevent+jwt"), signature_pair[0], "PS512"),
        (crypto.sign_eddsa(receipt_key, b'{"a":1}', typ="receipt+jwt"), ed25519_pair[0], "EdDSA"),
    ):
        theirs = oracle_jws.JWS()
        theirs.allowed_algs = [alg]
        theirs.deserialize(token, oracle_jwk.JWK(**public))
        assert theirs.payload == b'{"a":1}'
        assert json.loads(theirs.objects["protected"]).keys() == {"alg", "typ", "kid"}


def test_we_verify_what_the_oracle_signs(
    signature_pair: Pair, verification_key: keys.VerificationKey, ed25519_pair: Pair
) -> None:
    for private, alg, verify, key in (
        (signature_pair[1], "PS512", crypto.verify_ps512, verification_key),
        (ed25519_pair[1], "EdDSA", crypto.verify_eddsa, keys.ed25519_verification_key(ed25519_pair[0])),
    ):
        theirs = oracle_jws.JWS(b'{"a":1}')
        theirs.allowed_algs = [alg]
        header = {"alg": alg, "kid": key.kid, "typ": "secevent+jwt"}
        theirs.add_signature(oracle_jwk.JWK(**private), None, json.dumps(header), None)
        token = theirs.serialize(compact=True)
        assert verify(token, key, typ="secevent+jwt") == b'{"a":1}'
        assert crypto.read_jws_header(token) == crypto.JwsHeader(alg=alg, typ="secevent+jwt", kid=key.kid)


def test_a_changed_payload_does_not_verify(
    signing_key: keys.SigningKey, verification_key: keys.VerificationKey
) -> None:
    head, _, signature = crypto.sign_ps512(signing_key, b'{"a":1}', typ="x").split(".")
    payload = base64url.encode(b'{"a":2}').decode()
    with pytest.raises(SealBroken):
        crypto.verify_ps512(f"{head}.{payload}.{signature}", verification_key, typ="x")


def test_a_token_may_name_its_key_by_thumbprint(signature_pair: Pair, verification_key: keys.VerificationKey) -> None:
    by_thumbprint = keys.read_signing_key(
        signature_pair[1] | {"kid": keys.thumbprint(signature_pair[0])}, written_by_us=True
    )
    token = crypto.sign_ps512(by_thumbprint, b"{}", typ="x")
    assert crypto.verify_ps512(token, verification_key, typ="x") == b"{}"
